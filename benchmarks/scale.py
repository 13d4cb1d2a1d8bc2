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

"""Cost against guests: stock Ceilometer, the plugin and the bare call."""

import collections.abc
import pathlib
import time
import typing

from benchmarks import clocks
from benchmarks import contestants
from benchmarks import counting
from benchmarks import fleet

NAMES = ('stock', 'plugin', 'plugin-two', 'bare')
MEASURES = ('wall_s', 'daemon_cpu_s', 'agent_cpu_s')
#: libvirtd goes on for a moment after it has answered.
SETTLE_S = 0.02
WARM_UP = 2


def one_cycle(contestant: contestants.Contestant, daemon_pid: int
              ) -> dict[str, typing.Any]:
    """A cycle, with libvirtd's CPU time during it."""
    before = clocks.cpu_of(daemon_pid)
    measures = contestant.cycle()
    time.sleep(SETTLE_S)
    measures['daemon_cpu_s'] = clocks.cpu_of(daemon_pid) - before
    return measures


def rounds(guests: fleet.Fleet, names: collections.abc.Sequence[str],
           count: int, logs: pathlib.Path) -> dict[str, dict[str, list[
               float]]]:
    """Each contestant once in each round, in turns; all measures by name.

    :raises RuntimeError: a contestant has no numbers of some guest
    """
    found = {name: {measure: [] for measure in MEASURES} for name in names}
    with contestants.running(names, guests.node.ro_uri, logs) as running:
        for number in range(-WARM_UP, count):
            guests.refresh()
            turn = number % len(names)
            for name in (*names[turn:], *names[:turn]):
                measures = one_cycle(running[name], guests.node.daemon_pid)
                if len(set(measures['reported'])) != len(guests.guests):
                    raise RuntimeError(
                        f'{name} has numbers of {len(measures["reported"])} '
                        f'of {len(guests.guests)} guests')
                if number >= 0:
                    for measure in MEASURES:
                        found[name][measure].append(measures[measure])
                    found[name]['samples'] = measures['samples']
    return found


def calls(guests: fleet.Fleet, names: collections.abc.Iterable[str],
          logs: pathlib.Path) -> dict[str, dict[str, dict[str, int]]]:
    """How many calls each makes in its first cycle and in later ones.

    ``again`` is a cycle in which no guest has reported since the last one:
    an agent that polls more often than the guests' period has such cycles.
    """
    path = guests.node.socket_ro.with_name('count')
    found = {}
    passing = counting.CountingSocket(path, guests.node.socket_ro)
    try:
        for name in names:
            guests.refresh()
            with contestants.running(
                    (name,), passing.uri, logs) as running:
                contestant = running[name]
                passing.take()
                found[name] = {}
                for cycle in ('first', 'later', 'again'):
                    if cycle == 'later':
                        guests.refresh()
                    contestant.cycle()
                    found[name][cycle] = passing.take()
    finally:
        passing.close()
        path.unlink()
    return found


def idle_cpu(guests: fleet.Fleet, seconds: float = 2.0) -> float:
    """What libvirtd uses in a second in which nobody asks it anything."""
    pid = guests.node.daemon_pid
    before = clocks.cpu_of(pid)
    time.sleep(seconds)
    return (clocks.cpu_of(pid) - before) / seconds


def measure(guests: fleet.Fleet, count: int, logs: pathlib.Path
            ) -> dict[str, typing.Any]:
    """Everything about one size of fleet."""
    raw = rounds(guests, NAMES, count, logs)
    counted = calls(guests, NAMES, logs)
    result = {
        'guests': len(guests.guests), 'rounds': count,
        'idle_daemon_cpu_s_per_s': idle_cpu(guests),
        'contestants': {}, 'ratios': {}}
    for name in NAMES:
        result['contestants'][name] = {
            'samples': raw[name].pop('samples'),
            'rpcs': sum(counted[name]['later'].values()),
            'rpcs_by_cycle': counted[name],
            'rounds': raw[name],
            **{each: clocks.summary(raw[name][each]) for each in MEASURES}}
    for name in NAMES:
        result['ratios'][name] = {
            other: {each: clocks.ratio(raw[name][each], raw[other][each])
                    for each in MEASURES}
            for other in ('stock', 'bare')}
    return result


def measure_parts(guests: fleet.Fleet, count: int, logs: pathlib.Path,
                  parts: collections.abc.Iterable[int] = (1, 2, 3, 4, 5, 8),
                  ) -> dict[str, typing.Any]:
    """One bulk call against slices on several connections at once."""
    names = ('stock', 'bare', *(f'parts-{each}' for each in parts))
    raw = rounds(guests, names, count, logs)
    return {'guests': len(guests.guests), 'contestants': {
        name: {
            **{each: clocks.summary(raw[name][each]) for each in MEASURES},
            'stock_to_this': clocks.ratio(raw['stock']['wall_s'],
                                          raw[name]['wall_s']),
            'rounds': {each: raw[name][each] for each in MEASURES},
        } for name in names}}
