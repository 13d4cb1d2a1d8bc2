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

"""Questions that Ceilometer's pollsters ask libvirt themselves, in time.

Such a call may never return: its QEMU can stop after the plugin's reading.
"""

import collections.abc
import concurrent.futures
import threading
import time
import typing

from ceilometer.compute.virt import inspector as virt_inspector

from memstat_pollster.agent import hooks
from memstat_pollster import background

#: What they have together where the reading took all of the cycle's time.
GRACE_S: typing.Final = 0.8

_monotonic_s = time.monotonic


class Patience:
    """How long the calls of one cycle may still be waited for.

    :param left_s: seconds, for all of them together
    :param max_stuck: how many calls may use up their part of it, so that there
        is some left for all others
    """

    def __init__(self, left_s: float, max_stuck: int) -> None:
        self._lock = threading.Lock()
        self._left_s = max(left_s, GRACE_S)
        self._each_s = self._left_s / (max_stuck + 1)

    @property
    def left_s(self) -> float:
        """Seconds for one call; 0 when no more is asked in this cycle."""
        with self._lock:
            return max(min(self._left_s, self._each_s), 0.0)

    def spend(self, seconds: float) -> None:
        """Take the time that a call took."""
        with self._lock:
            self._left_s -= seconds


class LeftBehind(virt_inspector.InstanceNotFoundException):
    """A call did not return in time; Ceilometer logs it at DEBUG."""


class _Failed(Exception):
    """The thread ended without an answer; never seen by the agent."""


class OwnCalls:
    """Calls of one agent's pollsters, on daemon threads.

    They follow each other, so that no two get stuck on one guest.  One that
    does not return in time is left behind.  Until it returns its guest is not
    asked, and it counts as one of the calls that may be stuck.

    :param stuck: how many calls of the plugin's own are stuck at present
    :param max_stuck: how many may be, with those that are counted here
    """

    def __init__(self, stuck: collections.abc.Callable[[], int],
                 max_stuck: int) -> None:
        self._stuck, self.max_stuck = stuck, max_stuck
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._out: dict[str, concurrent.futures.Future[typing.Any]] = {}

    @property
    def left_behind(self) -> int:
        """How many calls have been left behind and have not returned."""
        with self._lock:
            return len(self._still_out())

    def _still_out(self) -> dict[str, 'concurrent.futures.Future[typing.Any]']:
        self._out = {uuid: job for uuid, job in self._out.items()
                     if not job.done()}
        return self._out

    def ask(self, uuid: str, call: collections.abc.Callable[[], typing.Any],
            patience: Patience) -> hooks.Outcome[typing.Any]:
        """What a call about a guest comes to.

        LeftBehind where it does not return in time, and another
        InstanceNotFoundException where it is not made.
        """
        with self._asking:
            return self._ask(uuid, call, patience)

    def _ask(self, uuid: str, call: collections.abc.Callable[[], typing.Any],
             patience: Patience) -> hooks.Outcome[typing.Any]:
        left_s = patience.left_s
        with self._lock:
            out = self._still_out()
            if uuid in out:
                return _no_answer(f'{uuid} still does not answer')
            if not left_s or len(out) + self._stuck() >= self.max_stuck:
                return _no_answer(f'{uuid} is not asked: others do not answer')
        began_s = _monotonic_s()
        job = background.start(lambda: hooks.outcome(call), _Failed(),
                               'memstat-own-call')
        done = background.is_done(job, left_s)
        patience.spend(_monotonic_s() - began_s)
        if done:
            return job.result()
        with self._lock:
            self._out[uuid] = job
        return hooks.Outcome(None, LeftBehind(f'{uuid} did not answer'))


def _no_answer(why: str) -> hooks.Outcome[typing.Any]:
    return hooks.Outcome(None, virt_inspector.InstanceNotFoundException(why))
