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

"""Cycles of the plugin while some QEMUs are stopped, and who else suffers."""

import collections.abc
import itertools
import pathlib
import statistics
import subprocess
import threading
import time
import typing

from benchmarks import clocks
from benchmarks import contestants
from benchmarks import fleet
from tests import node

#: read_timeout's default, which is in force here.
READ_TIMEOUT_S = 5
WARM_UP = 3
#: The other client asks so often, one healthy guest after the other.
OTHER_EVERY_S = 0.25
#: Cycles to wait for guests that were thawed; the first should have them.
MOST_CYCLES_TO_THAW = 5


class OtherClient:
    """``virsh domstats`` of healthy guests, over and over."""

    def __init__(self, uri: str,
                 guests: collections.abc.Sequence[node.ScriptedGuest]
                 ) -> None:
        self._uri, self._guests = uri, guests
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.took_s: list[float] = []
        self.failed = 0

    def __enter__(self) -> 'OtherClient':
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        for guest in itertools.cycle(self._guests):
            began = time.perf_counter()
            said = subprocess.run(
                ['virsh', '-r', '-c', self._uri, 'domstats', guest.name],
                capture_output=True, text=True)
            self.took_s.append(time.perf_counter() - began)
            self.failed += 'balloon.available' not in said.stdout
            if self._ended.wait(OTHER_EVERY_S):
                return


def workers_in_use(uri: str) -> int:
    """By libvirtd's own count; its answer occupies none of them."""
    said = subprocess.run(
        ['virt-admin', '-c', uri, 'server-threadpool-info', 'libvirtd'],
        check=True, capture_output=True, text=True).stdout
    numbers = {key.strip(): value.strip() for key, _, value in
               (line.partition(':') for line in said.splitlines())}
    return int(numbers['nWorkers']) - int(numbers['freeWorkers'])


class _Cycles:
    """Cycles of one agent, and whether each had every healthy guest."""

    def __init__(self, guests: fleet.Fleet,
                 agent: contestants.Contestant) -> None:
        self._guests, self._agent = guests, agent
        self.missed = 0
        self.workers: list[int] = []

    def run(self, count: int, frozen: collections.abc.Sequence[
            node.ScriptedGuest] = ()) -> list[float]:
        """Wall times of so many cycles."""
        healthy = {guest.uuid for guest in self._guests.guests} - {
            guest.uuid for guest in frozen}
        took = []
        for _ in range(count):
            self._guests.refresh(but=frozen)
            measures = self._agent.cycle()
            took.append(measures['wall_s'])
            self.missed += len(healthy - set(measures['reported']))
            if frozen:
                self.workers.append(
                    workers_in_use(self._guests.node.admin_uri))
        return took


def measure(guests: fleet.Fleet, numbers: collections.abc.Sequence[int],
            count: int, logs: pathlib.Path) -> dict[str, typing.Any]:
    """The same agent undisturbed, with k frozen guests, and undisturbed."""
    result: dict[str, typing.Any] = {
        'guests': len(guests.guests), 'read_timeout_s': READ_TIMEOUT_S,
        'frozen': {}}
    for number in numbers:
        result['frozen'][number] = _with_frozen(guests, number, count, logs)
    return result


def _with_frozen(guests: fleet.Fleet, number: int, count: int,
                 logs: pathlib.Path) -> dict[str, typing.Any]:
    # Spread evenly: libvirt reads guests one after the other.
    step = len(guests.guests) // max(number, 1)
    frozen = tuple(guests.guests[step // 2 + step * each]
                   for each in range(number))
    others = [guest for guest in guests.guests if guest not in frozen]
    with contestants.running(('plugin',), guests.node.ro_uri,
                             logs) as running:
        cycles = _Cycles(guests, running['plugin'])
        cycles.run(WARM_UP)
        cycles.missed = 0
        # Measured beside the same other client in each phase.
        with OtherClient(guests.node.ro_uri, others) as client:
            before = cycles.run(count)
        idle_workers = workers_in_use(guests.node.admin_uri)
        for guest in frozen:
            guest.freeze()
        try:
            with OtherClient(guests.node.ro_uri, others) as meanwhile:
                first, = cycles.run(1, frozen)
                later = cycles.run(count, frozen)
        finally:
            for guest in frozen:
                guest.thaw()
        thawed_in = 0
        if frozen:
            # What is stuck returns within milliseconds, and the guests
            # answer what they were asked while they were frozen.
            time.sleep(0.5)
            missed = cycles.missed
            complete = False
            while not complete and thawed_in < MOST_CYCLES_TO_THAW:
                thawed_in += 1
                cycles.missed = 0
                cycles.run(1)
                complete = cycles.missed == 0
            cycles.missed = missed
        with OtherClient(guests.node.ro_uri, others):
            after = cycles.run(count)
    undisturbed = [*before, *after]
    return {
        'undisturbed_s': clocks.summary(undisturbed),
        'first_s': first,
        'later_s': clocks.summary(later),
        'later_to_undisturbed': (statistics.median(later)
                                 / statistics.median(undisturbed)),
        'healthy_missed': cycles.missed,
        'cycles_until_thawed_report': thawed_in,
        'stuck_workers': max(cycles.workers, default=0) - (
            idle_workers if frozen else 0),
        'other_client_s': {
            'undisturbed': _latency(client), 'meanwhile': _latency(meanwhile)},
        'cycles': {'undisturbed_s': undisturbed, 'later_s': later},
    }


def _latency(client: OtherClient) -> dict[str, typing.Any]:
    return {'calls': len(client.took_s), 'failed': client.failed,
            'median': statistics.median(client.took_s),
            'longest': max(client.took_s)}
