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

"""Many scripted guests that report when they are told to."""

from concurrent import futures
import time

from tests import node

#: How many guests are started at a time; libvirtd takes so many calls.
AT_A_TIME = 5
#: Nova's default.  QEMU asks that often; the numbers move by refresh().
PERIOD_S = 10
MIB = 512


class Fleet:
    """Guests on a node, all healthy.

    They do not answer by themselves, because a thread that answered 200 of
    them would take its CPU time from what is measured.  Instead every guest
    sends one record before each round, as it would have done since the last
    cycle of an agent that polls less often than every period.
    """

    def __init__(self, compute: node.Node) -> None:
        self.node = compute
        self.guests: list[node.ScriptedGuest] = []
        self._refreshed = 0

    def grow(self, count: int) -> None:
        """Start guests until there are so many."""
        names = [f'bench-{number:03d}'
                 for number in range(len(self.guests), count)]
        with futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            self.guests += pool.map(self._start, names)

    def _start(self, name: str) -> node.ScriptedGuest:
        guest = self.node.scripted(name, mib=MIB, period=PERIOD_S,
                                   attach=True)
        number = int(name.rpartition('-')[2])
        guest.driver.set(node.linux_stats(
            501760, 131072 + number, avail_kib=262144 + 2 * number,
            caches_kib=65536))
        return guest

    def refresh(self, *, but: tuple[node.ScriptedGuest, ...] = ()) -> None:
        """Every guest sends a record; its time stamp is another then.

        Time stamps are whole seconds.
        """
        while int(time.time()) == self._refreshed:
            time.sleep(0.02)
        with futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(lambda guest: guest.driver.push(),
                          [guest for guest in self.guests
                           if guest not in but]))
        self._refreshed = int(time.time())
