# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""What ``memstat-pollster doctor`` makes of what it found: pure functions.

Each takes facts and returns a :class:`Check`; nothing here reads a file, a
clock or libvirt, and rendering is elsewhere.

oslo.upgradecheck was looked at for this and does not fit: its
``UpgradeCommands.check`` prints its own table or JSON by way of a global
configuration object and has one text for each check, where finding and
remedy are two here; its status 2 means that a check failed, where every
command of this package means that libvirt cannot be reached; and it asks
whether an upgrade may go on, before services are restarted.
"""

import collections.abc
import dataclasses
import enum
import fnmatch
import typing

from memstat_pollster.cli import versions
from memstat_pollster.model import history
from memstat_pollster.model import judged
from memstat_pollster.model import meters
from memstat_pollster import text

#: How many guests, or meters, a line names.
NAMED: typing.Final = 3

#: libvirt's oldest, and the majors of Ceilometer, that this is made for.
LIBVIRT: typing.Final = (6, 0, 0)
CEILOMETER: typing.Final = (19, *range(22, 28))

Document = typing.Any


class Outcome(enum.Enum):
    """What a check came to; the value is a published word."""

    OK = 'ok'
    #: It works, but less well than it could.
    WARNING = 'warning'
    #: Meters are missing or wrong until this is mended.
    ERROR = 'error'
    #: It cannot be told here; the finding says why.
    SKIPPED = 'skipped'


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    :ivar name: its stable name
    :ivar finding: what was found, one line
    :ivar remedy: what to do, one line; None where there is nothing to do
    """

    name: str
    outcome: Outcome
    finding: str
    remedy: str | None = None


class BrokenPolling(ValueError):
    """A polling.yaml that the agent would refuse; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A source of polling.yaml."""

    name: str
    interval_s: int
    meters: tuple[str, ...]

    def polls(self, meter: str) -> bool:
        """Whether the agent polls a meter for this source.

        As ceilometer/agent.py ``Source.is_supported``: an exclusion wins, and
        exclusions alone mean everything else.
        """
        if any(fnmatch.fnmatch(meter, each[1:])
               for each in self.meters if each.startswith('!')):
            return False
        wanted = [each for each in self.meters if not each.startswith('!')]
        return not wanted or any(fnmatch.fnmatch(meter, each)
                                 for each in wanted)


def listed(names: collections.abc.Sequence[object]) -> str:
    """The first few of them, and how many more there are."""
    text = ', '.join(map(str, names[:NAMED]))
    more = len(names) - NAMED
    return f'{text} and {more} more' if more > 0 else text


def sources(document: Document) -> tuple[Source, ...]:
    """What a polling.yaml says.

    :param document: as YAML has it
    :raises BrokenPolling: where the agent would not start, or not poll
    """
    if not isinstance(document, dict) or not isinstance(
            document.get('sources'), list):
        raise BrokenPolling('it has no list of sources')
    return tuple(_source(number, each) for number, each
                 in enumerate(document['sources'], 1))


def _source(number: int, given: Document) -> Source:
    if not isinstance(given, dict) or 'name' not in given:
        raise BrokenPolling(f'source {number} has no name')
    # YAML's aliases make a list of lists larger than any memory.
    name = (str(number) if isinstance(given['name'], (dict, list))
            else text.printable(str(given['name'])))
    try:
        interval_s = int(given['interval'])
    except (KeyError, OverflowError, TypeError, ValueError) as exc:
        raise BrokenPolling(
            f'source {name} has no interval in seconds') from exc
    if interval_s <= 0:
        raise BrokenPolling(f'source {name} has interval {interval_s}')
    named = given.get('meters')
    if not isinstance(named, list) or not named or not all(
            isinstance(each, str) and each for each in named):
        raise BrokenPolling(f'source {name} has no list of meters')
    plain = [each for each in named if each[0] not in '!*']
    if plain and any(each[0] == '!' for each in named):
        raise BrokenPolling(
            f'source {name} both includes and excludes meters by name')
    if plain and '*' in named:
        raise BrokenPolling(f'source {name} has "*" beside names')
    for each in ('resources', 'discovery'):
        if not isinstance(given.get(each) or [], list):
            raise BrokenPolling(f'the {each} of source {name} are no list')
    return Source(name, interval_s, tuple(named))


def configuration(problem: str) -> Check:
    """The agent's files, when they cannot be used."""
    return Check('configuration', Outcome.ERROR, problem,
                 'correct it; the defaults are looked at meanwhile')


def options(problems: collections.abc.Sequence[str]) -> Check:
    """The values of [memstat]."""
    if not problems:
        return Check('options', Outcome.OK,
                     'the options of [memstat] can be used')
    return Check('options', Outcome.ERROR, '; '.join(problems),
                 'correct [memstat] in ceilometer.conf and restart the agent')


def libvirt(uri: str, user: str, error: str | None,
            advice: str | None) -> Check:
    """Whether libvirt answers.

    :param error: why it does not; None when it does
    :param advice: what is known to help against that; None: nothing
    """
    if error is not None:
        return Check('libvirt', Outcome.ERROR, f'{uri}: {error}',
                     advice or 'see what ails it ("systemctl status libvirtd '
                     'virtqemud", "journalctl -u libvirtd -u virtqemud"), and '
                     f'whether "virsh -r -c \'{uri}\' list" answers {user}')
    return Check('libvirt', Outcome.OK,
                 f'{uri} answers {user} over its read-only socket')


def libvirt_version(version: tuple[int, int, int]) -> Check:
    """libvirtd's own."""
    found = f'libvirt {versions.dotted(version)}'
    if version < LIBVIRT:
        return Check('libvirt_version', Outcome.ERROR, found,
                     f'upgrade libvirt: {versions.dotted(LIBVIRT)} is the '
                     'oldest that is supported')
    return Check('libvirt_version', Outcome.OK, found)


def hypervisor_version(name: str, version: tuple[int, int, int] | None,
                       ) -> Check:
    """What libvirt starts new guests with."""
    if name != 'QEMU':
        return Check('qemu_version', Outcome.ERROR,
                     f'libvirt drives {name}, not QEMU',
                     'name the libvirt of the KVM guests: '
                     '[DEFAULT]libvirt_uri, or --uri')
    if version is None:
        return Check('qemu_version', Outcome.SKIPPED,
                     'libvirt does not know which QEMU it starts')
    return Check('qemu_version', Outcome.OK,
                 f'QEMU {versions.dotted(version)}')


def bindings_version(version: str | None) -> Check:
    """libvirt-python's; None when it is not installed."""
    if version is None:
        return Check('libvirt_python', Outcome.ERROR,
                     'libvirt-python is not installed here',
                     'install it in the environment of the agent (on '
                     'Debian, Ubuntu and RHEL python3-libvirt)')
    return Check('libvirt_python', Outcome.OK, f'libvirt-python {version}')


def ceilometer_version(version: str | None) -> Check:
    """Ceilometer's; None when it is not installed."""
    if version is None:
        return Check('ceilometer_version', Outcome.SKIPPED,
                     'Ceilometer is not installed in the Python environment '
                     'of this command',
                     'where there is an agent, install memstat-pollster in '
                     'its environment and run that one')
    major = version.partition('.')[0]
    if not major.isdigit() or int(major) not in CEILOMETER:
        return Check('ceilometer_version', Outcome.WARNING,
                     f'Ceilometer {version} is none of those that this is '
                     f'tested with: {CEILOMETER[0]}, {CEILOMETER[1]} to '
                     f'{CEILOMETER[-1]}',
                     'look at the samples that the agent publishes')
    return Check('ceilometer_version', Outcome.OK, f'Ceilometer {version}')


def entry_points(registered: collections.abc.Collection[str],
                 failure: str | None, ceilometer: bool) -> Check:
    """Whether the agent can load the plugin's pollsters.

    :param registered: the meters that the plugin has an entry point for
    :param failure: why loading them failed; None when it did not
    :param ceilometer: whether Ceilometer is installed
    """
    missing = [name for name in meters.METERS if name not in registered]
    if missing:
        return Check('entry_points', Outcome.ERROR,
                     f'not registered: {listed(missing)}',
                     'install memstat-pollster anew, as root')
    if not ceilometer:
        return Check('entry_points', Outcome.SKIPPED,
                     f'{len(registered)} pollsters are registered; without '
                     'Ceilometer they cannot be loaded')
    if failure is not None:
        return Check('entry_points', Outcome.ERROR, failure,
                     'install what is missing in the environment of the '
                     'agent, readable for its user')
    return Check('entry_points', Outcome.OK,
                 f'all {len(registered)} pollsters load')


def builtin_pollsters(rivals: collections.abc.Mapping[
        str, collections.abc.Collection[str]], replace: bool) -> Check:
    """Who serves the meters that other packages have pollsters for.

    :param rivals: by meter, the packages that have one, too
    :param replace: [memstat]replace_builtin
    """
    names = [name for name in meters.METERS if rivals.get(name)]
    packages = sorted({each for found in rivals.values() for each in found})
    if not names:
        return Check('builtin_pollsters', Outcome.OK,
                     'no other package has pollsters of these names')
    if not replace:
        return Check('builtin_pollsters', Outcome.OK,
                     f'{listed(names)} are left to {listed(packages)} '
                     'unchecked, because [memstat]replace_builtin is false')
    return Check('builtin_pollsters', Outcome.OK,
                 f'{listed(names)} of {listed(packages)} are replaced')


def no_polling(name: str) -> list[Check]:
    """There is no polling.yaml of that name, and there should be one."""
    missing = f'there is no {name}'
    return [Check('polling_meters', Outcome.ERROR,
                  f'{missing}: the agent polls nothing',
                  'copy share/memstat-pollster/polling.yaml to '
                  '/etc/ceilometer'),
            Check('polling_interval', Outcome.SKIPPED, missing)]


def broken_polling(path: str, problem: str,
                   remedy: str | None = None) -> list[Check]:
    """A polling.yaml that says nothing.

    :param problem: the file's name, and what is wrong with it
    :param remedy: who has to be let in, where it cannot be read
    """
    return [Check('polling_meters', Outcome.ERROR, problem,
                  remedy or 'correct the file'),
            Check('polling_interval', Outcome.SKIPPED,
                  f'{path} cannot be used')]


def polling_meters(path: str,
                   found: collections.abc.Sequence[Source]) -> Check:
    """Whether polling.yaml has every meter, once."""
    holders = {meter: [source.name for source in found if source.polls(meter)]
               for meter in meters.METERS}
    missing = [meter for meter, names in holders.items() if not names]
    twice = [meter for meter, names in holders.items() if len(names) > 1]
    if missing:
        return Check('polling_meters',
                     Outcome.ERROR if len(missing) == len(holders)
                     else Outcome.WARNING,
                     f'{path} does not list {listed(missing)}',
                     'add them to a source of their own; '
                     'share/memstat-pollster/polling.yaml shows how')
    if twice:
        return Check('polling_meters', Outcome.WARNING,
                     f'{path} has {listed(twice)} in more than one source: '
                     f'{listed(holders[twice[0]])}',
                     'leave each meter in one source, or every guest has '
                     'two samples')
    return Check('polling_meters', Outcome.OK,
                 f'{path} lists all {len(holders)} meters')


def polling_interval(path: str, found: collections.abc.Sequence[Source],
                     period_s: int | None) -> Check:
    """Whether the source has a thread of its own, and the right pace.

    :param period_s: the longest statistics period of a guest; None where no
        guest has one, or it is not known
    """
    own = [source for source in found
           if any(map(source.polls, meters.METERS))]
    if not own:
        return Check('polling_interval', Outcome.SKIPPED,
                     f'{path} has no source with these meters')
    shared = [(source.name, other.name) for source in own for other in found
              if other is not source
              and other.interval_s == source.interval_s]
    if shared:
        return Check('polling_interval', Outcome.WARNING,
                     f'{path}: source {shared[0][0]} has the interval of '
                     f'source {shared[0][1]}, and so its thread: one '
                     'waits for the other',
                     'give the source of these meters an interval that no '
                     'other has, such as 299 beside 300')
    crowded = [source.name for source in own if _polls_others(source)]
    if crowded:
        return Check('polling_interval', Outcome.WARNING,
                     f'{path}: source {crowded[0]} polls other meters, too, '
                     'in the same thread',
                     'move these meters to a source of their own with an '
                     'interval that no other has')
    shortest = min(source.interval_s for source in own)
    if period_s is not None and shortest < period_s:
        return Check('polling_interval', Outcome.WARNING,
                     f'polled every {shortest} s, but there are guests that '
                     f'are asked for numbers every {period_s} s only',
                     "make the interval at least as long as Nova's "
                     'mem_stats_period_seconds')
    return Check('polling_interval', Outcome.OK,
                 f'polled every {shortest} s, by a source of its own')


def _polls_others(source: Source) -> bool:
    """Whether it names anything that is no meter of the plugin's."""
    wanted = [each for each in source.meters if not each.startswith('!')]
    return not wanted or any(
        each == '*' or not any(fnmatch.fnmatch(meter, each)
                               for meter in meters.METERS)
        for each in wanted)


def guest_periods(guests: collections.abc.Iterable[judged.Guest],
                  wanted_s: int) -> Check:
    """Whether the guests that run have the period that Nova would give."""
    if wanted_s <= 0:
        return Check('guest_periods', Outcome.SKIPPED,
                     'Nova has memory statistics switched off')
    running = [guest for guest in guests
               if guest.domain and guest.reading and guest.reading.running]
    without = [guest for guest in running
               if guest.domain and not guest.domain.has_balloon]
    # A period of 0 asks for nothing, like none.
    none = [guest for guest in running
            if guest.domain and guest.domain.has_balloon
            and (guest.domain.period_s or 0) <= 0]
    other = [guest for guest in running
             if guest.domain and guest.domain.has_balloon
             and (guest.domain.period_s or 0) > 0
             and guest.domain.period_s != wanted_s]
    found = '; '.join(
        f'{len(some)} {what}: {listed(some)}' for some, what in (
            (without, 'without a balloon device'),
            (none, 'without a period'),
            (other, f'with another period than {wanted_s} s')) if some)
    if not found:
        return Check('guest_periods', Outcome.OK,
                     f'all {len(running)} running guests have a period of '
                     f'{wanted_s} s')
    remedies = [remedy for some, remedy in (
        (none, '"memstat-pollster enable --all" sets it live'),
        (without or other, 'a hard reboot lets Nova write the XML anew'))
        if some]
    return Check('guest_periods', Outcome.WARNING,
                 f'of {len(running)} running guests {found}',
                 '; '.join(remedies))


def nova_conf(period_s: int, problems: collections.abc.Sequence[str],
              present: bool, remedy: str | None) -> Check:
    """Nova's option, and whether its files could be read.

    :param present: whether any of the files is there
    :param remedy: who has to be let in, where one cannot be read
    """
    if not present:
        return Check('nova_conf', Outcome.SKIPPED,
                     f'{"; ".join(problems)}: {period_s} s is assumed',
                     'on a compute node, name its files in '
                     '[memstat]nova_config_files')
    if problems:
        return Check('nova_conf', Outcome.WARNING,
                     f'{"; ".join(problems)}; {period_s} s is assumed '
                     'where they say nothing else',
                     remedy or 'correct the file')
    if period_s <= 0:
        return Check('nova_conf', Outcome.OK,
                     f'mem_stats_period_seconds is {period_s}: memory '
                     'statistics are switched off')
    return Check('nova_conf', Outcome.OK,
                 f'mem_stats_period_seconds is {period_s}')


def broken_gnocchi(problem: str) -> Check:
    """A file of the publisher's that says nothing.

    :param problem: the file's name, and what is wrong with it
    """
    return Check('gnocchi_definitions', Outcome.ERROR, problem,
                 'correct or make that file; "memstat-pollster '
                 'gnocchi-resources" writes one')


def gnocchi_definitions(files: collections.abc.Sequence[str],
                        missing: collections.abc.Collection[str]) -> Check:
    """Whether Gnocchi's publisher knows the meters.

    :param files: the definitions that publishers of pipeline.yaml read
    :param missing: the meters that none of them names
    """
    names = [name for name in meters.METERS if name in missing]
    if names:
        return Check('gnocchi_definitions', Outcome.WARNING,
                     f'{listed(files)} does not name {listed(names)}: '
                     'Gnocchi does not store them',
                     'write one that does with "memstat-pollster '
                     'gnocchi-resources"')
    return Check('gnocchi_definitions', Outcome.OK,
                 f'{listed(files)} names all {len(meters.METERS)} meters')


def clock(guests: collections.abc.Collection[judged.Guest],
          wall_s: float) -> Check:
    """Whether the host's clock was ahead when guests answered last.

    QEMU stamps a guest's record by the host's clock: one of the future says
    that the clock has been set back since.

    :param wall_s: taken before the guests were read
    """
    stamps = [(guest.reading.last_update_s - wall_s, guest)
              for guest in guests
              if guest.reading and guest.reading.last_update_s]
    ahead = [(by_s, guest) for by_s, guest in stamps
             if by_s > history.FUTURE_SLACK_S]
    if ahead:
        most_s = max(by_s for by_s, _ in ahead)
        return Check('clock', Outcome.WARNING,
                     f'{len(ahead)} guests last answered up to {most_s:.0f} '
                     's in the future: '
                     f'{listed([guest for _, guest in ahead])}',
                     'see that the clock of the host is right and kept so '
                     '("chronyc tracking"); the guests recover with their '
                     'next answer')
    return Check('clock', Outcome.OK,
                 f'none of {len(stamps)} time stamps lies in the future')
