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

"""What doctor makes of polling.yaml: pure functions."""

import collections.abc
import dataclasses
import fnmatch

from memstat_pollster.cli.doctor import checks
from memstat_pollster.model import meters
from memstat_pollster.model import served
from memstat_pollster import text

Check = checks.Check
Grade = checks.Grade


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


def sources(document: checks.Document) -> tuple[Source, ...]:
    """What a polling.yaml says.

    :param document: as YAML has it
    :raises BrokenPolling: where the agent would not start, or not poll
    """
    if not isinstance(document, dict) or not isinstance(
            document.get('sources'), list):
        raise BrokenPolling('it has no list of sources')
    return tuple(_source(number, each) for number, each
                 in enumerate(document['sources'], 1))


def _source(number: int, given: checks.Document) -> Source:
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


def skipped(why: str) -> list[Check]:
    """The checks that need a polling.yaml that can be used."""
    return [Check(name, Grade.SKIPPED, why)
            for name in ('polling_interval', 'compute_meters')]


def none(name: str) -> list[Check]:
    """There is no polling.yaml of that name, and there should be one."""
    missing = f'there is no {name}'
    return [Check('polling_meters', Grade.ERROR,
                  f'{missing}: the agent polls nothing',
                  'copy share/memstat-pollster/polling.yaml to '
                  '/etc/ceilometer'),
            *skipped(missing)]


def broken(path: str, problem: str,
                   remedy: str | None = None) -> list[Check]:
    """A polling.yaml that says nothing.

    :param problem: the file's name, and what is wrong with it
    :param remedy: who has to be let in, where it cannot be read
    """
    return [Check('polling_meters', Grade.ERROR, problem,
                  remedy or 'correct the file'),
            *skipped(f'{path} cannot be used')]


def meters_polled(path: str,
                   found: collections.abc.Sequence[Source]) -> Check:
    """Whether polling.yaml has every meter, once."""
    holders = {meter: [source.name for source in found if source.polls(meter)]
               for meter in meters.METERS}
    missing = [meter for meter, names in holders.items() if not names]
    twice = [meter for meter, names in holders.items() if len(names) > 1]
    if missing:
        return Check('polling_meters',
                     Grade.ERROR if len(missing) == len(holders)
                     else Grade.WARNING,
                     f'{path} does not list {checks.listed(missing)}',
                     'add them to a source of their own; '
                     'share/memstat-pollster/polling.yaml shows how')
    if twice:
        return Check('polling_meters', Grade.WARNING,
                     f'{path} has {checks.listed(twice)} in more than one '
                     f'source: {checks.listed(holders[twice[0]])}',
                     'leave each meter in one source, or every guest has '
                     'two samples')
    return Check('polling_meters', Grade.OK,
                 f'{path} lists all {len(holders)} meters')


def interval(path: str, found: collections.abc.Sequence[Source],
             period_s: int | None, *, serve: bool) -> Check:
    """Whether a frozen QEMU can stop the thread, and the right pace.

    :param period_s: the longest statistics period of a guest; None where no
        guest has one, or it is not known
    :param serve: [memstat]serve_compute
    """
    own = [source for source in found
           if any(map(source.polls, meters.METERS))]
    if not own:
        return Check('polling_interval', Grade.SKIPPED,
                     f'{path} has no source with these meters')
    shared = [(source.name, other.name) for source in own for other in found
              if other is not source
              and other.interval_s == source.interval_s]
    if shared and not serve:
        return Check('polling_interval', Grade.WARNING,
                     f'{path}: source {shared[0][0]} has the interval of '
                     f'source {shared[0][1]}, and so its thread: one '
                     'waits for the other',
                     'give the source of these meters an interval that no '
                     'other has, such as 299 beside 300')
    crowded = [source.name for source in own if _polls_others(source)]
    if crowded and not serve:
        return Check('polling_interval', Grade.WARNING,
                     f'{path}: source {crowded[0]} polls other meters, too, '
                     'in the same thread',
                     'move these meters to a source of their own with an '
                     'interval that no other has')
    shortest = min(source.interval_s for source in own)
    if period_s is not None and shortest < period_s:
        return Check('polling_interval', Grade.WARNING,
                     f'polled every {shortest} s, but there are guests that '
                     f'are asked for numbers every {period_s} s only',
                     "make the interval at least as long as Nova's "
                     'mem_stats_period_seconds')
    thread = ('in one thread with other meters' if shared or crowded
              else 'by a source of its own')
    return Check('polling_interval', Grade.OK,
                 f'polled every {shortest} s, {thread}')


def compute_meters(path: str, found: collections.abc.Sequence[Source],
                   there: collections.abc.Container[str], *, serve: bool,
                   replace: bool) -> Check:
    """How Ceilometer's other compute meters are answered.

    :param there: the meters that there are pollsters of
    :param serve: [memstat]serve_compute
    :param replace: [memstat]replace_builtin
    """
    name = 'compute_meters'
    polled = {meter: [source for source in found if source.polls(meter)]
              for meter in served.METERS if meter in there}
    by_how = {how: [meter for meter, sources in polled.items() if sources
                    and served.how(meter, serve=serve,
                                   replace=replace) is how]
              for how in served.How}
    answered, asked = by_how[served.How.RECORD], by_how[served.How.ASKED]
    if not answered and not asked:
        return Check(name, Grade.OK, f'{path} lists no other meter for which '
                     'Ceilometer asks libvirt')
    if serve:
        return Check(name, Grade.OK, '; '.join(
            f'{who}: {checks.listed(some)}' for who, some in (
                ('answered from the bulk call of the cycle', answered),
                ('asked by Ceilometer itself, within [memstat]read_timeout',
                 asked)) if some))
    paces = {source.interval_s for source in found
             if any(map(source.polls, meters.METERS))}
    beside = [meter for meter in asked if any(
        source.interval_s in paces for source in polled[meter])]
    if not beside:
        return Check(name, Grade.OK, 'Ceilometer asks libvirt for '
                     f'{checks.listed(asked)} itself, in another thread, '
                     'because [memstat]serve_compute is false')
    return Check(name, Grade.WARNING, f'{path}: Ceilometer asks libvirt for '
                 f'{checks.listed(beside)} itself, in the thread of the '
                 'memory meters, because [memstat]serve_compute is false: '
                 'one QEMU that does not answer stops all of them',
                 'set [memstat]serve_compute to true, or move the memory '
                 'meters to a source with an interval that no other has')


def _polls_others(source: Source) -> bool:
    """Whether it names anything that is no meter of the plugin's."""
    wanted = [each for each in source.meters if not each.startswith('!')]
    return not wanted or any(
        each == '*' or not any(fnmatch.fnmatch(meter, each)
                               for meter in meters.METERS)
        for each in wanted)
