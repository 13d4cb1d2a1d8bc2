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

"""Workers that make calls: how many are out, and what holds them up."""

import collections.abc
import dataclasses
import time
import typing

from memstat_pollster import background
from memstat_pollster.host import calls
from memstat_pollster.host import connection
from memstat_pollster.host import worker
from memstat_pollster.model import observation

_T = typing.TypeVar('_T')

#: How long libvirt may take over what it knows without asking any QEMU, at
#: the least; measured at under 1.5 ms, with frozen guests and 200 healthy
#: ones.  On a host where reading may take longer so may this.
PATIENCE_WITH_LIBVIRT_S: typing.Final = 1.0
PATIENCE_SHARE: typing.Final = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A call that a worker makes.

    :ivar found: what it has found up to now, by UUID
    """

    reader: worker.Worker
    job: worker.Job[None]
    progress: calls.Progress
    found: dict[str, typing.Any]
    began_s: float

    @property
    def out(self) -> bool:
        """Whether it has not returned."""
        return not self.job.done()


def wait_for_progress(call: Call, patience_s: float,
                      deadline_s: float) -> frozenset[str]:
    """Wait for a call that goes from guest to guest.

    :returns: the guests that it has been asking for too long, if it is
        held up
    """
    before, since_s = call.progress.asking, time.monotonic()
    while True:
        left_s = max(deadline_s - time.monotonic(), 0.0)
        if background.is_done(call.job, min(patience_s / 2, left_s)):
            return frozenset()
        asking, now_s = call.progress.asking, time.monotonic()
        if now_s >= deadline_s:
            return asking
        if asking != before:
            before, since_s = asking, now_s
        elif now_s - since_s >= patience_s:
            return asking


class Pool:
    """The workers that read one libvirt.

    :param uri: libvirt's URI
    :param timeout_s: how long one cycle may take
    :param max_stuck: how many calls may be out at a time that may not return
    :param opener: opens a connection
    """

    def __init__(self, uri: str, timeout_s: float, max_stuck: int,
                 opener: connection.Opener) -> None:
        self._uri, self._opener = uri, opener
        self._timeout_s, self._max_stuck = timeout_s, max_stuck
        self._patience_s = max(PATIENCE_WITH_LIBVIRT_S,
                               timeout_s * PATIENCE_SHARE)
        self._free: list[worker.Worker] = []
        self._left_behind: list[worker.Worker] = []
        self._watch: worker.Worker | None = None
        self._watch_job: worker.Job[typing.Any] | None = None
        #: How long reading all guests takes, when none holds it up.
        self.usual_s = 0.0

    @property
    def stuck(self) -> int:
        """How many workers are held up by a call of theirs at present."""
        return (sum(each.thread.is_alive() for each in self._left_behind)
                + self.is_watch_stuck())

    @property
    def patience_s(self) -> float:
        """After how long is asked what holds a call up."""
        return min(max(self._timeout_s / 10, 3 * self.usual_s),
                   self._timeout_s / 3)

    def leave(self, each: worker.Worker) -> None:
        """Leave a worker behind with the call that it is in."""
        self._left_behind.append(each)

    def close(self) -> None:
        """Give the connections back; calls left behind stay behind."""
        for each in (*self._free, self._watch):
            if each is not None:
                each.retire()
        self._free.clear()
        self._watch = None

    def may_ask(self, out: collections.abc.Iterable[Call]) -> bool:
        """Whether one more call may be made that may not return."""
        # A worker ends when its call has returned and its connection closed.
        self._left_behind = [each for each in self._left_behind
                             if each.thread.is_alive()]
        return (len(self._left_behind) + sum(call.out for call in out)
                < self._max_stuck)

    def start(self, out: list[Call], found: dict[str, typing.Any],
               make: collections.abc.Callable[[calls.Progress],
                                              calls.Work[None]]) -> Call:
        """Have a free worker make a call."""
        reader = None
        while self._free and reader is None:
            reader = self._free.pop()
            if not reader.thread.is_alive():
                reader = None
        reader = reader or worker.Worker(self._uri, self._opener)
        progress = calls.Progress()
        call = Call(reader, reader.submit(make(progress)), progress, found,
                     time.monotonic())
        out.append(call)
        return call

    def settle(self, out: list[Call]) -> None:
        """Keep one worker whose call has returned; leave the others."""
        for call in out:
            if call.out:
                call.progress.given_up.set()
                self._left_behind.append(call.reader)
            if call.out or self._free:
                call.reader.retire()
            else:
                self._free.append(call.reader)

    def wait(self, call: Call, deadline_s: float) -> frozenset[str]:
        """Wait for a call, until it is held up by a guest, or is late.

        :returns: the UUIDs of guests that may hold it up; none where it has
            returned, or is merely late
        :raises ReadFailed: when libvirt itself does not answer
        """
        patience_s = self.patience_s
        while not background.is_done(call.job, min(
                patience_s, max(deadline_s - time.monotonic(), 0.0))):
            if time.monotonic() >= deadline_s:
                return frozenset()
            occupied = self.ask(calls.occupied,
                                       self.left_s(deadline_s))
            # One that was occupied before this call began is passed over.
            since_s = time.monotonic() - call.began_s
            held = frozenset(
                uuid for uuid, seconds in occupied.items()
                if patience_s * 0.8 <= seconds <= since_s)
            if held and call.out:
                return held
        return frozenset()

    # The watch: what libvirt says without asking any QEMU

    def left_s(self, deadline_s: float) -> float:
        """How long libvirt may take over what it knows itself."""
        return min(self._patience_s,
                   max(deadline_s - time.monotonic(), self._timeout_s / 10))

    def is_watch_stuck(self) -> bool:
        return self._watch_job is not None and not self._watch_job.done()

    def ask(self, work: calls.Work[_T], timeout_s: float) -> _T:
        """What libvirt says without asking any QEMU.

        :raises ReadFailed: when libvirt fails or does not answer, now or
            since an earlier question
        """
        if self.is_watch_stuck():
            raise observation.ReadFailed('libvirt still does not answer')
        if self._watch is None or not self._watch.thread.is_alive():
            self._watch = worker.Worker(self._uri, self._opener)
        job = self._watch_job = self._watch.submit(work)
        if not background.is_done(job, timeout_s):
            raise observation.ReadFailed(
                f'libvirt did not answer within {timeout_s:g} s')
        return job.result()
