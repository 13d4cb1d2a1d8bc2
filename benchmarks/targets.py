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

"""What was promised, beside what was measured."""

import dataclasses
import typing

#: The promises about cost are for a node with so many guests.
GUESTS = 100
#: Seconds beside read_timeout that the first cycle with frozen guests has.
FIRST_CYCLE_SLACK_S = 1
MIB = 1 << 20
#: What a guest of the largest number may cost of one of the smallest and
#: still be called linear: caches of the processor are not endless.
LINEAR = 1.25


@dataclasses.dataclass(frozen=True)
class Target:
    """One promise.

    :ivar bound: what the value may be at most, or at least
    """

    what: str
    value: float
    bound: float
    at_most: bool = True

    @property
    def reached(self) -> bool:
        return (self.value <= self.bound if self.at_most
                else self.value >= self.bound)

    @property
    def row(self) -> tuple[str, str, str, str]:
        sign = '<=' if self.at_most else '>='
        return (self.what, f'{sign} {self.bound:g}', f'{self.value:.3g}',
                'reached' if self.reached else 'MISSED')


def at(scale: list[dict[str, typing.Any]]) -> dict[str, typing.Any]:
    """The fleet that the promises are about; else the largest."""
    return next((each for each in scale if each['guests'] == GUESTS),
                scale[-1])


def _of_scale(found: dict[str, typing.Any]) -> list[Target]:
    targets = []
    guests = found['guests']
    for name, meters in (('plugin-two', 'the same two meters'),
                         ('plugin', 'all eleven meters')):
        stock = found['ratios'][name]['stock']
        where = f'{guests} guests, {meters}: '
        targets += [
            Target(where + 'times faster than stock',
                   1 / stock['wall_s'], 5, at_most=False),
            Target(where + 'wall time to the bare call',
                   found['ratios'][name]['bare']['wall_s'], 1.15),
            Target(where + 'libvirtd CPU to stock',
                   stock['daemon_cpu_s'], 0.2),
            Target(where + 'agent CPU to stock',
                   stock['agent_cpu_s'], 0.25),
            Target(where + 'RPCs in a cycle',
                   found['contestants'][name]['rpcs'], 1)]
    return targets


def _of_pure(found: dict[str, typing.Any]) -> list[Target]:
    targets = []
    for size, measured in found['guests'].items():
        targets += [
            Target(f'parse and judge, {size} guests: us a guest',
                   measured['judging_us']['median'], 40),
            Target(f'a sample to an in-tree one, {size} guests',
                   measured['sample_plugin_to_stock'], 1)]
    first, *_, last = found['guests']
    return [*targets, Target(
        f'parse and judge: a guest of {last} to one of {first}',
        found['linearity']['judging'], LINEAR)]


def _of_frozen(found: dict[str, typing.Any]) -> list[Target]:
    targets = []
    for number, measured in found['frozen'].items():
        if not int(number):
            continue
        where = f'{number} frozen of {found["guests"]}: '
        targets += [
            Target(where + 'healthy guests missed in all cycles',
                   measured['healthy_missed'], 0),
            Target(where + 'first cycle, s', measured['first_s'],
                   found['read_timeout_s'] + FIRST_CYCLE_SLACK_S),
            Target(where + 'later cycles to undisturbed ones',
                   measured['later_to_undisturbed'], 1.5),
            Target(where + 'cycles until the thawed report',
                   measured['cycles_until_thawed_report'], 1),
            Target(where + "another client's longest call, s",
                   measured['other_client_s']['meanwhile']['longest'], 1)]
    return targets


def evaluate(result: dict[str, typing.Any]) -> list[Target]:
    """All promises about what was measured."""
    targets = []
    if 'scale' in result:
        targets += _of_scale(at(result['scale']))
    if 'pure' in result:
        targets += _of_pure(result['pure'])
    if 'memory' in result:
        targets.append(Target(
            f'growth over {result["memory"]["cycles"]} cycles, MiB',
            result['memory']['highest_growth_bytes'] / MIB, 1))
    if 'frozen' in result:
        targets += _of_frozen(result['frozen'])
    if 'startup' in result:
        targets += [
            Target(f'{name} until it ends, s',
                   result['startup']['contestants'][name]['wall_s'][
                       'median'], 0.5)
            for name in ('help', 'status')]
    return targets
