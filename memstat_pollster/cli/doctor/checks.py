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
import typing

from memstat_pollster.cli import versions
from memstat_pollster.model import history
from memstat_pollster.model import judged
from memstat_pollster.model import meters

#: How many guests, or meters, a line names.
NAMED: typing.Final = 3

#: libvirt's oldest, and the majors of Ceilometer, that this is made for.
LIBVIRT: typing.Final = (6, 0, 0)
CEILOMETER: typing.Final = (19, *range(22, 28))

#: Where nobody knows which of two values nova-compute takes.
SAY_THE_ORDER: typing.Final = (
    'set [memstat]nova_config_dirs: first where nova-compute is started with '
    '--config-file, last where it is not')

Document = typing.Any


class Grade(enum.Enum):
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
    outcome: Grade
    finding: str
    remedy: str | None = None


def listed(names: collections.abc.Sequence[object]) -> str:
    """The first few of them, and how many more there are."""
    text = ', '.join(map(str, names[:NAMED]))
    more = len(names) - NAMED
    return f'{text} and {more} more' if more > 0 else text


def configuration(problem: str, remedy: str | None = None) -> Check:
    """The agent's files, when they cannot be used.

    :param remedy: who has to be let in, where one cannot be read
    """
    return Check('configuration', Grade.ERROR, problem,
                 remedy or 'correct it; the defaults are looked at meanwhile')


def configuration_unread(names: collections.abc.Sequence[str],
                         unread: str) -> Check:
    """The agent's files, when they name another source that is not read."""
    return Check('configuration', Grade.WARNING,
                 f'{listed(names)} can be used, but {unread}',
                 'name a file with the same options by --config-file')


def configuration_either(names: collections.abc.Sequence[str],
                         either: collections.abc.Sequence[str]) -> Check:
    """The agent's files, when nobody knows in which order it reads them."""
    return Check('configuration', Grade.WARNING,
                 f'{listed(names)} can be used, but {"; ".join(either)}',
                 'give this command the --config-file options of the agent, '
                 'or set each option in one file only')


def options(problems: collections.abc.Sequence[str]) -> Check:
    """The values of [memstat]."""
    if not problems:
        return Check('options', Grade.OK,
                     'the options of [memstat] can be used')
    return Check('options', Grade.ERROR, '; '.join(problems),
                 'correct [memstat] in ceilometer.conf and restart the agent')


def libvirt(uri: str, user: str, error: str | None,
            advice: str | None) -> Check:
    """Whether libvirt answers.

    :param error: why it does not; None when it does
    :param advice: what is known to help against that; None: nothing
    """
    if error is not None:
        return Check('libvirt', Grade.ERROR, f'{uri}: {error}',
                     advice or 'see what ails it ("systemctl status libvirtd '
                     'virtqemud", "journalctl -u libvirtd -u virtqemud"), and '
                     f'whether "virsh -r -c \'{uri}\' list" answers {user}')
    return Check('libvirt', Grade.OK,
                 f'{uri} answers {user} over its read-only socket')


def libvirt_version(version: tuple[int, int, int]) -> Check:
    """libvirtd's own."""
    found = f'libvirt {versions.dotted(version)}'
    if version < LIBVIRT:
        return Check('libvirt_version', Grade.ERROR, found,
                     f'upgrade libvirt: {versions.dotted(LIBVIRT)} is the '
                     'oldest that is supported')
    return Check('libvirt_version', Grade.OK, found)


def hypervisor_version(name: str, version: tuple[int, int, int] | None,
                       ) -> Check:
    """What libvirt starts new guests with."""
    if name != 'QEMU':
        return Check('qemu_version', Grade.ERROR,
                     f'libvirt drives {name}, not QEMU',
                     'name the libvirt of the KVM guests: '
                     '[DEFAULT]libvirt_uri, or --uri')
    if version is None:
        return Check('qemu_version', Grade.SKIPPED,
                     'libvirt does not know which QEMU it starts')
    return Check('qemu_version', Grade.OK,
                 f'QEMU {versions.dotted(version)}')


def not_the_agents(name: str, user: str, barred: str) -> Check:
    """A check of this Python, where the agent must run with another.

    :param barred: what this user may not enter or run, on the way to it
    """
    return Check(name, Grade.SKIPPED,
                 f'{user} may not use {barred}, where the Python of this '
                 'command is: it is not the one that the agent runs with',
                 'run the memstat-pollster of the agent\'s Python environment')


def bindings_version(version: str | None, installed: bool = False) -> Check:
    """libvirt-python's.

    :param version: None where its package does not say it
    :param installed: whether it can be imported
    """
    if version is None and installed:
        return Check('libvirt_python', Grade.SKIPPED,
                     'libvirt-python is installed, but its version is not '
                     'known')
    if version is None:
        return Check('libvirt_python', Grade.ERROR,
                     'libvirt-python is not installed here',
                     'install it in the environment of the agent (on '
                     'Debian, Ubuntu and RHEL python3-libvirt)')
    return Check('libvirt_python', Grade.OK, f'libvirt-python {version}')


def ceilometer_version(version: str | None) -> Check:
    """Ceilometer's; None when it is not installed."""
    if version is None:
        return Check('ceilometer_version', Grade.SKIPPED,
                     'Ceilometer is not installed in the Python environment '
                     'of this command',
                     'where there is an agent, install memstat-pollster in '
                     'its environment and run that one')
    major = version.partition('.')[0]
    if not major.isdigit() or int(major) not in CEILOMETER:
        return Check('ceilometer_version', Grade.WARNING,
                     f'Ceilometer {version} is none of those that this is '
                     f'tested with: {CEILOMETER[0]}, {CEILOMETER[1]} to '
                     f'{CEILOMETER[-1]}',
                     'look at the samples that the agent publishes')
    return Check('ceilometer_version', Grade.OK, f'Ceilometer {version}')


def entry_points(registered: collections.abc.Collection[str],
                 failure: str | None, ceilometer: bool) -> Check:
    """Whether the agent can load the plugin's pollsters.

    :param registered: the meters that the plugin has an entry point for
    :param failure: why loading them failed; None when it did not
    :param ceilometer: whether Ceilometer is installed
    """
    missing = [name for name in meters.METERS if name not in registered]
    if missing:
        return Check('entry_points', Grade.ERROR,
                     f'not registered: {listed(missing)}',
                     'install memstat-pollster anew, as root')
    if not ceilometer:
        return Check('entry_points', Grade.SKIPPED,
                     f'{len(registered)} pollsters are registered; without '
                     'Ceilometer they cannot be loaded')
    if failure is not None:
        return Check('entry_points', Grade.ERROR, failure,
                     'install what is missing in the environment of the '
                     'agent, readable for its user')
    return Check('entry_points', Grade.OK,
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
        return Check('builtin_pollsters', Grade.OK,
                     'no other package has pollsters of these names')
    if not replace:
        return Check('builtin_pollsters', Grade.OK,
                     f'{listed(names)} are left to {listed(packages)} '
                     'unchecked, because [memstat]replace_builtin is false')
    return Check('builtin_pollsters', Grade.OK,
                 f'{listed(names)} of {listed(packages)} are replaced')


def guest_periods(guests: collections.abc.Iterable[judged.Guest],
                  wanted_s: int) -> Check:
    """Whether the guests that run have the period that Nova would give."""
    if wanted_s <= 0:
        return Check('guest_periods', Grade.SKIPPED,
                     'Nova has memory statistics switched off')
    guests = list(guests)
    running = [guest for guest in guests
               if guest.domain and guest.reading and guest.reading.running]
    unread = [guest for guest in guests if guest.domain is None and (
        guest.reading is None or guest.reading.state is None
        or guest.reading.running)]
    more = (f'; the live XML of {len(unread)} others could not be read: '
            f'{listed(unread)}' if unread else '')
    if unread and not running:
        return Check('guest_periods', Grade.SKIPPED,
                     'no live XML could be read: ' + listed(unread))
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
        all_of = '' if unread else 'all '
        return Check('guest_periods', Grade.OK,
                     f'{all_of}{len(running)} running guests have a period of '
                     f'{wanted_s} s{more}')
    remedies = [remedy for some, remedy in (
        (none, '"memstat-pollster enable --all" sets it live'),
        (without or other, 'a hard reboot lets Nova write the XML anew'))
        if some]
    return Check('guest_periods', Grade.WARNING,
                 f'of {len(running)} running guests {found}{more}',
                 '; '.join(remedies))


def nova_conf(period_s: int, problems: collections.abc.Sequence[str],
              present: bool, remedy: str | None) -> Check:
    """Nova's option, and whether its files could be read.

    :param present: whether any of the files is there
    :param remedy: who has to be let in, where one cannot be read
    """
    if not present:
        return Check('nova_conf', Grade.SKIPPED,
                     f'{"; ".join(problems)}: {period_s} s is assumed',
                     'on a compute node, name its files in '
                     '[memstat]nova_config_files')
    if problems:
        return Check('nova_conf', Grade.WARNING,
                     f'{"; ".join(problems)}; {period_s} s is assumed '
                     'where they say nothing else',
                     remedy or 'correct the file')
    if period_s <= 0:
        return Check('nova_conf', Grade.OK,
                     f'mem_stats_period_seconds is {period_s}: memory '
                     'statistics are switched off')
    return Check('nova_conf', Grade.OK,
                 f'mem_stats_period_seconds is {period_s}')


def broken_gnocchi(problem: str) -> Check:
    """A file of the publisher's that says nothing.

    :param problem: the file's name, and what is wrong with it
    """
    return Check('gnocchi_definitions', Grade.ERROR, problem,
                 'correct or make that file; "memstat-pollster '
                 'gnocchi-resources" writes one')


def gnocchi_definitions(files: collections.abc.Sequence[str],
                        missing: collections.abc.Collection[str]) -> Check:
    """Whether Gnocchi's publisher knows the meters.

    :param files: the definitions that publishers of pipeline.yaml read
    :param missing: the meters that none of them names
    """
    names = [name for name in meters.METERS if name in missing]
    several = len(files) > 1
    if names:
        do = 'do' if several else 'does'
        return Check('gnocchi_definitions', Grade.WARNING,
                     f'{listed(files)} {do} not name {listed(names)}: '
                     'Gnocchi does not store them',
                     'write one that does with "memstat-pollster '
                     'gnocchi-resources"')
    return Check('gnocchi_definitions', Grade.OK,
                 f'{listed(files)} {"together name" if several else "names"} '
                 f'all {len(meters.METERS)} meters')


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
        return Check('clock', Grade.WARNING,
                     f'{len(ahead)} guests last answered up to {most_s:.0f} '
                     's in the future: '
                     f'{listed([guest for _, guest in ahead])}',
                     'see that the clock of the host is right and kept so '
                     '("chronyc tracking"); the guests recover with their '
                     'next answer')
    return Check('clock', Grade.OK,
                 f'none of {len(stamps)} time stamps lies in the future')
