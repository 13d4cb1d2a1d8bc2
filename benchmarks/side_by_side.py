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

"""Stock Ceilometer and the plugin on one node of hostile and sick guests.

``python -m benchmarks.side_by_side`` lists every wrong number that either
published; tests/functional/test_side_by_side.py asserts the plugin's count.
A number is wrong when the guest does not have it: what each guest really has
is written down here beside what its driver says.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import sys

import libvirt
import prettytable

from tests import node
from tests.node import agent as polling

MIB = 1024 * 1024
#: What a guest has, all by the guest's own count but "memory".
METERS = ('memory', 'memory.usage', 'memory.available', 'memory.usable',
          'memory.unused', 'memory.swap.in', 'memory.swap.out')
TOLERANCE_MIB = 0.001
PERIOD_S = 1
#: Periods that a guest may miss: on a busy machine answers come late.
STALE_AFTER = 10
#: Numbers that stand still are out of date once they are as old as this.
SETTLED_S = 12
CYCLES = 5


@dataclasses.dataclass(frozen=True)
class Truth:
    """What a guest has; MiB."""

    total: int = 500
    used: int = 234
    free: int = 90
    swap_in: int = 3
    swap_out: int = 7
    memory: int = 512

    def meters(self) -> dict[str, float]:
        """The truth, meter by meter."""
        return dict(zip(METERS, (
            self.memory, self.used, self.total, self.total - self.used,
            self.free, self.swap_in, self.swap_out), strict=True))

    def record(self, **lies: int | None) -> list[tuple[int, int]]:
        """A driver's record of it, but for what it lies about, in bytes."""
        fields = {
            'swap_in': self.swap_in * MIB, 'swap_out': self.swap_out * MIB,
            'free': self.free * MIB, 'total': self.total * MIB,
            'avail': (self.total - self.used) * MIB} | lies
        tags = (node.S_SWAP_IN, node.S_SWAP_OUT, node.S_MEMFREE,
                node.S_MEMTOT, node.S_AVAIL)
        return [(tag, value) for tag, value
                in zip(tags, fields.values(), strict=True)
                if value is not None]


@dataclasses.dataclass(frozen=True)
class Case:
    """One guest.

    :ivar truth: what it has while it is looked at
    :ivar said: what its driver said at last; None: it says nothing
    :ivar answers: whether the driver still answers
    :ivar period: of the statistics when it starts
    :ivar befalls: what happens to it after its driver spoke
    """

    truth: Truth
    said: list[tuple[int, int]] | None
    answers: bool = True
    period: int | None = PERIOD_S
    befalls: collections.abc.Callable[
        [node.ScriptedGuest], object] = lambda guest: None


def _lie(number: int, **lies: int | None) -> Case:
    truth = Truth(used=200 + number, free=80 + number, swap_in=number,
                  swap_out=2 * number)
    return Case(truth, truth.record(**lies))


def _silent(number: int, **options: object) -> Case:
    """It sent good numbers once; by now they are others."""
    before = Truth(used=100 + number, free=210 + number, swap_in=number,
                   swap_out=number + 1)
    now = Truth(used=400 + number, free=20 + number, swap_in=700 + number,
                swap_out=900 + number)
    return Case(now, before.record(), answers=False, **options)


def _period_0(guest: node.ScriptedGuest) -> None:
    guest.domain.setMemoryStatsPeriod(0, libvirt.VIR_DOMAIN_AFFECT_LIVE)


#: name -> what it is: the 13 of the table.
CASES = {
    'total-2-63': _lie(1, total=2**63),
    'total-2-64-2': _lie(2, total=2**64 - 2),
    'total-0': _lie(3, total=0),
    'total-over': _lie(4, total=513 * MIB),
    'free-over': _lie(5, free=700 * MIB, avail=None),
    'usable-over': _lie(6, avail=650 * MIB),
    'swap-of-wmi': _lie(7, swap_in=2**64 - 4096),
    'actual-lies': dataclasses.replace(
        _lie(8), befalls=lambda guest: guest.driver.set_actual(2**32 - 1)),
    'no-service': Case(Truth(used=207), node.windows_without_service(),
                       answers=False),
    'service-hangs': _silent(11),
    'reset': _silent(12, befalls=lambda guest: guest.domain.reset()),
    'period-0': _silent(13, befalls=_period_0),
    'no-period': _silent(14, period=None),
}


def start_guests(compute: node.Node) -> dict[str, node.ScriptedGuest]:
    """The guests, as they are to be looked at; by name."""
    guests = {}
    for name, case in CASES.items():
        guest = guests[name] = compute.scripted(
            f'side-{name}', period=case.period, attach=True)
        guest.driver.answers = case.answers
        guest.driver.push(case.said)
        case.befalls(guest)
    compute.answer()
    return guests


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A number that a guest does not have."""

    name: str
    meter: str
    truth: float
    published: float


def wrong_numbers(guests: dict[str, node.ScriptedGuest],
                  cycles: collections.abc.Iterable[
                      dict[str, dict[str, polling.Sample]]]) -> list[Wrong]:
    """Each wrong number of these cycles, once for each cycle."""
    found = []
    for cycle in cycles:
        for name, guest in guests.items():
            truth = CASES[name].truth.meters()
            samples = cycle.get(guest.uuid, {})
            found += [Wrong(name, meter, truth[meter], samples[meter].volume)
                      for meter in METERS if meter in samples
                      and abs(samples[meter].volume - truth[meter])
                      > TOLERANCE_MIB]
    return found


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What both published in CYCLES cycles each, of numbers about memory."""

    stock: list[Wrong]
    plugin: list[Wrong]
    stock_numbers: int
    plugin_numbers: int
    words: dict[str, str]
    stock_warnings: int
    plugin_warnings: int

    def table(self) -> str:
        """Every wrong number, with what is true."""
        table = prettytable.PrettyTable(
            ['guest', 'meter', 'true MiB', 'stock MiB', 'plugin'], align='r')
        table.align['guest'] = table.align['meter'] = 'l'
        table.align['plugin'] = 'l'
        plugin = {(wrong.name, wrong.meter): wrong.published
                  for wrong in self.plugin}
        for wrong in sorted(set(self.stock), key=lambda each: (
                list(CASES).index(each.name), METERS.index(each.meter))):
            told = plugin.get((wrong.name, wrong.meter))
            table.add_row([
                wrong.name, wrong.meter, f'{wrong.truth:.0f}',
                f'{wrong.published:.3f}'.rstrip('0').rstrip('.'),
                f'none: {self.words[wrong.name]}' if told is None
                else f'{told:.3f}'])
        return table.get_string()

    def summary(self) -> str:
        return '\n'.join((
            f'{len(CASES)} guests, {CYCLES} cycles of each agent',
            f'stock:  {len(self.stock)} of {self.stock_numbers} numbers '
            f'wrong, {self.stock_warnings} warnings',
            f'plugin: {len(self.plugin)} of {self.plugin_numbers} numbers '
            f'wrong, {self.plugin_warnings} warnings'))


def _numbers(guests: dict[str, node.ScriptedGuest], cycles: list[
        dict[str, dict[str, polling.Sample]]]) -> int:
    return sum(meter in METERS for cycle in cycles
               for guest in guests.values()
               for meter in cycle.get(guest.uuid, {}))


def compare(compute: node.Node,
            guests: dict[str, node.ScriptedGuest]) -> Outcome:
    """Let both agents poll the same guests at the same time."""
    with contextlib.ExitStack() as stack:
        def agent(**options: object) -> polling.Agent:
            made = stack.enter_context(contextlib.closing(
                polling.Agent(compute.ro_uri, **options)))
            made.start()
            return made
        plugin = agent(options={'memstat': {
            'boot_grace': 3, 'stale_after_periods': STALE_AFTER}})
        stock = agent(options={'memstat': {'replace_builtin': False}},
                      meters=polling.IN_TREE)
        quiet = [guest.uuid for guest in guests.values()]

        def settled(cycles: list[dict[str, dict[str, polling.Sample]]]
                    ) -> bool:
            last = cycles[-1] if cycles else {}
            ages = [last.get(uuid, {}).get('memory.stats.age')
                    for uuid in quiet]
            return all(uuid in last for uuid in quiet) and not any(
                age is not None and 1.5 < age.volume < SETTLED_S
                for age in ages)
        plugin.wait_for(settled, 'numbers that stand still are old')
        by_stock = stock.wait_cycles(CYCLES)[-CYCLES:]
        by_plugin = plugin.cycles()[-CYCLES:]
        return Outcome(
            wrong_numbers(guests, by_stock),
            wrong_numbers(guests, by_plugin),
            _numbers(guests, by_stock), _numbers(guests, by_plugin),
            {name: by_plugin[-1][guest.uuid][
                'memory.balloon.status'].metadata['balloon_status']
             for name, guest in guests.items()},
            len(stock.log('WARNING')), len(plugin.log('WARNING')))


def main() -> int:
    with node.Node() as compute:
        outcome = compare(compute, start_guests(compute))
    print(outcome.table())
    print(outcome.summary())
    return 1 if outcome.plugin else 0


if __name__ == '__main__':
    sys.exit(main())
