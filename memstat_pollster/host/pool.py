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
import concurrent.futures
import dataclasses
import time
import typing

from memstat_pollster import background
from memstat_pollster.host import calls
from memstat_pollster.host import connection
from memstat_pollster.host import worker
from memstat_pollster.model import observation

_T = typing.TypeVar('_T')

#: How long libvirt may take, where the time for a cycle is over, to say what
#: it knows without asking any QEMU; measured at under 1.5 ms, with frozen
#: guests and 200 healthy ones.
LAST_WORD_S: typing.Final = 0.4

#: By how much the wall clock may differ from the monotonic one over a call
#: without having been set.
CLOCK_STEP_S: typing.Final = 0.5

#: How long after each other the two clocks may be read, at most: another
#: thread may run in between.  libvirt counts whole milliseconds besides.
CLOCKS_APART_S: typing.Final = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A call that a worker makes.

    :ivar found: what it has found up to now, by UUID
    :ivar began_s: the monotonic clock before the call was made: it may hold
        up a guest's monitor at once, and what holds a monitor since before
        that time is taken for another call
    :ivar wall_s: the wall clock at the same moment
    """

    reader: worker.Worker
    job: worker.Job[None]
    progress: calls.Progress
    found: dict[str, typing.Any]
    began_s: float
    wall_s: float

    @property
    def out(self) -> bool:
        """Whether it has not returned."""
        return not self.job.done()

    def may_be_held_by(self, since_s: float, patience_s: float) -> bool:
        """Whether it may wait for a command that a monitor is occupied with.

        libvirt reckons for how long by the wall clock.  Where that was set
        since the call began, the command can be of before that or after it.

        :param since_s: since when, by the wall clock
        :param patience_s: for how long at least
        """
        out_s = time.monotonic() - self.began_s
        step_s = time.time() - self.wall_s - out_s
        if abs(step_s) < CLOCK_STEP_S:
            step_s = 0.0
        return any(-CLOCKS_APART_S <= after_s <= out_s - patience_s
                   for after_s in (since_s - self.wall_s,
                                   since_s - self.wall_s - step_s))


def wait_for_progress(call: Call, patience_s: float,
                      deadline_s: float) -> frozenset[str]:
    """Wait for a call that goes from guest to guest.

    :returns: the guests that it has been asking for too long, if it is
        held up; none as long as it asks for no guest yet
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
        elif asking and now_s - since_s >= patience_s:
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
        self._free: list[worker.Worker] = []
        self._left_behind: list[worker.Worker] = []
        self._watch: worker.Worker | None = None
        #: The question that libvirt did not answer in time.
        self._unanswered: worker.Job[typing.Any] | None = None
        #: How many calls that are not made here are stuck and count, too.
        self.others_stuck: collections.abc.Callable[[], int] = lambda: 0
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
                + self.others_stuck() < self._max_stuck)

    def start(self, out: list[Call], found: dict[str, typing.Any],
              make: collections.abc.Callable[[calls.Progress],
                                             calls.Work[None]]) -> Call:
        """Have a free worker make a call.

        :param out: the cycle's calls up to now, and this one.  The worker of
            one that has returned is free again
        """
        held = {id(call.reader) for call in out if call.out}
        free = [*self._free, *(call.reader for call in out)]
        self._free.clear()
        reader = next((each for each in free if id(each) not in held
                       and each.thread.is_alive()), None)
        reader = reader or worker.Worker(self._uri, self._opener)
        progress = calls.Progress()
        began_s, wall_s = time.monotonic(), time.time()
        call = Call(reader, reader.submit(make(progress)), progress, found,
                    began_s, wall_s)
        out.append(call)
        return call

    def settle(self, out: list[Call]) -> None:
        """Keep one worker whose call has returned; leave the others."""
        held = {id(call.reader) for call in out if call.out}
        for call in out:
            if call.out:
                call.progress.given_up.set()
        for reader in {id(call.reader): call.reader for call in out}.values():
            if id(reader) in held:
                self._left_behind.append(reader)
            if id(reader) in held or self._free:
                reader.retire()
            else:
                self._free.append(reader)

    def wait(self, call: Call, deadline_s: float) -> frozenset[str]:
        """Wait for a call, until it is held up by a guest, or is late.

        :returns: the UUIDs of guests that may hold it up; none where it has
            returned, or is merely late
        :raises ReadFailed: when libvirt itself does not answer
        """
        patience_s = self.patience_s
        in_step: frozenset[str] = frozenset()
        while not background.is_done(call.job, min(
                patience_s, max(deadline_s - time.monotonic(), 0.0))):
            if time.monotonic() >= deadline_s:
                return frozenset()
            look = self._submit(calls.occupied())
            either: list[worker.Job[typing.Any]] = [call.job, look]
            concurrent.futures.wait(either, self.left_s(deadline_s),
                                    concurrent.futures.FIRST_COMPLETED)
            if not call.out:
                return frozenset()
            occupied = self._answer(look)
            # One that was occupied before this call began is passed over.
            # Each step of a long job is short, unless its QEMU hangs.
            before = in_step
            in_step = frozenset(uuid for uuid, since_s in occupied.items()
                                if since_s is None)
            held = (in_step & before) | frozenset(
                uuid for uuid, since_s in occupied.items()
                if since_s is not None
                and call.may_be_held_by(since_s, patience_s * 0.8))
            if held and call.out:
                return held
        return frozenset()

    # The watch: what libvirt says without asking any QEMU

    @staticmethod
    def left_s(deadline_s: float) -> float:
        """How long libvirt may take over what it knows itself."""
        return max(deadline_s - time.monotonic(), LAST_WORD_S)

    def is_watch_stuck(self) -> bool:
        """Whether a question that was not answered in time still is not."""
        return self._unanswered is not None and not self._unanswered.done()

    def ask(self, work: calls.Work[_T], timeout_s: float) -> _T:
        """What libvirt says without asking any QEMU.

        :raises ReadFailed: when libvirt fails or does not answer, now or
            since an earlier question
        """
        job = self._submit(work)
        background.is_done(job, timeout_s)
        return self._answer(job)

    def _submit(self, work: calls.Work[_T]) -> worker.Job[_T]:
        if self.is_watch_stuck():
            raise observation.ReadFailed('libvirt still does not answer')
        if self._watch is None or not self._watch.thread.is_alive():
            self._watch = worker.Worker(self._uri, self._opener)
        return self._watch.submit(work)

    def _answer(self, job: worker.Job[_T]) -> _T:
        if not job.done():
            self._unanswered = job
            raise observation.ReadFailed(
                f'libvirt did not answer within {self._timeout_s:g} s')
        return job.result()
