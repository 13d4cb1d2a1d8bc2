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
"""Guests that start, stop and are renamed while they are read."""

import os
import signal
import threading
import time

import libvirt

from memstat_pollster.host import inspector
from memstat_pollster.model import facts
from memstat_pollster.model import nova_period
from memstat_pollster import monitor
from tests.functional import base
from tests import node

GUESTS, STARTS = 20, 200


def total_kib(number):
    """Every guest has a total of its own, by which it is known."""
    return 200000 + 1000 * number


class Poller(threading.Thread):
    """Cycles without a pause; keeps what each one said."""

    def __init__(self, uri):
        super().__init__(daemon=True)
        self.reader = inspector.Inspector(uri)
        self.monitor = monitor.Monitor(
            self.reader, facts.Thresholds(),
            lambda: nova_period.Wanted(10))
        self.cycles = []
        self._ended = threading.Event()

    def run(self):
        while not self._ended.is_set():
            began = time.monotonic()
            cycle = self.monitor.cycle()
            self.cycles.append((began, time.monotonic(), cycle))

    def stop(self):
        self._ended.set()
        self.join(60)
        self.reader.close()


class TestComingAndGoing(base.FunctionalTest):
    def setUp(self):
        super().setUp()
        self.guests = [self.scripted(f'g{n}', attach=True)
                       for n in range(GUESTS)]
        #: uuid: times of [started, began to stop, stopped], a list of runs
        self.runs = {guest.uuid: [] for guest in self.guests}

    def up(self, number, start=True):
        guest = self.guests[number]
        run = [time.monotonic(), None, None]
        self.runs[guest.uuid].append(run)
        record = node.linux_stats(total_kib(number), 131072,
                                  avail_kib=150000)
        if start:
            self.start(guest, record)
        else:
            guest.driver.push(record)

    @staticmethod
    def start(guest, record):
        """Start it, and again where libvirt stops what it starts.

        Who waits for an answer while QEMU dies makes libvirt 9.0 hear of
        the end twice (qemuMonitorSend puts back the watch that the first end
        took away); the second is taken for the end of the next QEMU if that
        one is being started already, or has just been.
        """
        for _ in range(10):
            try:
                guest.start()
                guest.driver.attach()
                guest.driver.push(record)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_FAILED:
                    raise
            except (OSError, node.QTestError):
                pass  # QEMU has gone
            else:
                return
            guest.close()
            node.wait_for(lambda: not guest.domain.isActive(), 60,
                          f'{guest.name} is shut off')
        raise AssertionError(f'{guest.name} does not start')

    def down(self, number):
        guest = self.guests[number]
        run = self.runs[guest.uuid][-1]
        run[1] = time.monotonic()
        guest.close()
        try:
            os.kill(guest.qemu_pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # libvirt has stopped it, see start()
        node.wait_for(lambda: not guest.domain.isActive(), 60,
                      f'{guest.name} is shut off')
        run[2] = time.monotonic()

    def ran(self, uuid, began, ended):
        """Whether the guest may have run at any time between these."""
        return any(started <= ended and (stopped is None or stopped >= began)
                   for started, _stopping, stopped in self.runs[uuid])

    def test_200_starts_and_stops_with_renames(self):
        for number in range(GUESTS):
            self.up(number, start=False)
        self.node.answer()
        poller = Poller(self.node.ro_uri)
        self.addCleanup(poller.stop)
        poller.start()
        lanes = [threading.Thread(target=self.lane, args=(lane,))
                 for lane in range(4)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join(240)
        self.assertFalse(any(lane.is_alive() for lane in lanes))
        # An exception would have ended it.
        self.assertTrue(poller.is_alive())
        poller.stop()
        self.assertEqual(STARTS + GUESTS,
                         sum(map(len, self.runs.values())))
        self.assertGreater(len(poller.cycles), 100)
        numbers = {guest.uuid: n for n, guest in enumerate(self.guests)}
        seen = 0
        for began, ended, cycle in poller.cycles:
            self.assertIsNone(cycle.error)
            for uuid, guest in cycle.guests.items():
                if guest.memory is None:
                    continue
                seen += 1
                self.assertTrue(self.ran(uuid, began, ended))
                self.assertEqual(total_kib(numbers[uuid]),
                                 guest.memory.available_kib)
        self.assertGreater(seen, STARTS)

    def lane(self, lane):
        """Stop and start its share of the guests, renaming one in four."""
        mine = range(lane, GUESTS, 4)
        for turn in range(STARTS // GUESTS):
            for number in mine:
                self.down(number)
                if number % 4 == 0:
                    guest = self.guests[number]
                    guest.domain.rename(f'renamed-{number}-{turn}', 0)
                self.up(number)
