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

"""One read of all guests, until each has answered or its time is over.

What is not remembered is who is held: whenever something is to be asked,
``controlInfo`` says anew whose monitor is occupied.  A guest whose monitor is
free is asked; one whose monitor is not is looked at again a moment later.
"""

import collections.abc
import concurrent.futures
import dataclasses
import functools
import time
import typing

from memstat_pollster.host import calls
from memstat_pollster.host import pool
from memstat_pollster.host import processes
from memstat_pollster.model import compute
from memstat_pollster.model import observation

Records = dict[str, observation.Record]

#: Why a guest is not asked.
STOPPED: typing.Final = (
    "its QEMU's process is stopped, by a signal or a debugger")

#: How long after each other is looked whether a guest can be asked: at first,
#: and after a while.
LOOK_S: typing.Final = 0.05
LOOK_LATER_S: typing.Final = 0.25


class Round:
    """One read of all guests.

    :param workers: make the calls
    :param watch: looks which QEMUs are stopped
    :param kinds: what is read of each guest beside its memory
    :param known_held: guests that did not answer to the end of the last read
    :param stopped: the runs of QEMUs that are stopped
    :param deadline_s: until when guests are waited for

    :ivar records: of every guest
    :ivar held: guests whose monitor was occupied at the last look, by UUID,
        and since when
    :ivar unasked: guests that could not be asked, in order
    """

    def __init__(self, workers: pool.Pool, watch: processes.Watch,
                 kinds: compute.Kinds, known_held: calls.Held,
                 stopped: collections.abc.Iterable[processes.Run],
                 deadline_s: float) -> None:
        self._pool, self._watch = workers, watch
        self._kinds, self._known_held = kinds, known_held
        self._deadline_s = deadline_s
        self._stopped = frozenset(stopped)
        self._out: list[pool.Call] = []
        self._asked: set[str] = set()
        self._gone: set[str] = set()
        #: Held by a command that an earlier cycle saw: not waited for.
        self._passed: set[str] = set()
        self.records: Records = {}
        self.held: dict[str, float] = {}
        self.unasked: tuple[str, ...] = ()

    def may_ask(self) -> bool:
        """Whether one more call may be made that may not return."""
        return self._pool.may_ask(self._out)

    def settle(self) -> None:
        """Leave the calls behind that have not returned."""
        self._pool.settle(self._out)

    def read_all(self) -> None:
        """Ask all in one call; where it is held up they have their state."""
        began_s = time.monotonic()
        found: Records = {}
        call = self._pool.start(self._out, found, functools.partial(
            calls.read_all, self._known_held, found, self._kinds))
        held = self._pool.wait(call, self._deadline_s)
        if call.out:
            self._asked.update(held)
            self.read_states()
            return
        call.job.result()
        self._pool.usual_s = time.monotonic() - began_s
        self.records = found.copy()
        self._asked.update(self.records)
        self._learn(call)

    def read_states(self) -> None:
        """Every guest, with its state and why it is not asked, if so."""
        self.records = self._pool.ask(calls.list_states,
                                      self._pool.left_s(self._deadline_s))
        for uuid, domain_id in self._stopped:
            record = self.records.get(uuid)
            if record is not None and record.domain_id == domain_id:
                self.records[uuid] = dataclasses.replace(record,
                                                         trouble=STOPPED)

    def read_rest(self, later: collections.abc.Iterable[str], late: bool,
                  fresh: collections.abc.Set[processes.Run]) -> None:
        """Read those that have not answered, until all have or time is over.

        :param later: guests that the last read could not ask, longest first:
            they are asked last
        :param late: whether it could not because its time was over: then
            they are asked first
        :param fresh: QEMUs that have been stopped since the last read; they
            are waited for
        """
        waiting = [uuid for uuid in later if uuid in self.records]
        known = [uuid for uuid in self.records if uuid not in waiting]
        order = [*waiting, *known] if late else [*known, *waiting]
        pause_s = LOOK_S
        while True:
            self._merge_all()
            fresh = self._look(fresh)
            left = [uuid for uuid in order if self._unread(uuid)]
            if time.monotonic() >= self._deadline_s or not (left or fresh):
                break
            if self.may_ask() and any(uuid not in self._passed
                                      for uuid in left):
                try:
                    self._ask(left)
                except observation.ReadFailed:
                    # Late is not gone: what others have answered is kept.
                    self._merge_all()
                    if (time.monotonic() < self._deadline_s
                            or not self._has_answers()):
                        raise
                if time.monotonic() >= self._deadline_s:
                    continue
            self._merge_all()
            if not fresh and all(uuid in self._passed for uuid in left
                                 if self._unread(uuid)):
                break
            self._pause(min(pause_s, LOOK_S) if fresh else pause_s)
            pause_s = min(pause_s * 1.5, LOOK_LATER_S)
        self.unasked = tuple(
            uuid for uuid in order
            if uuid not in self._asked and self._unread(uuid))

    def _has_answers(self) -> bool:
        return any(record.reading.answered
                   for record in self.records.values())

    def _unread(self, uuid: str) -> bool:
        """Whether a guest has not answered, and may.

        One that is paused has no numbers of its own, but those of QEMU.  It is
        asked once: while it is migrated in it answers nothing.
        """
        record = self.records[uuid]
        if record.trouble is not None or uuid in self._gone:
            return False
        return record.busy or (
            record.domain_id >= 0 and not record.reading.answered
            and uuid not in self._asked)

    def _ask(self, left: list[str]) -> None:
        """Ask those of these guests whose monitor is free."""
        occupied = self._pool.ask(
            calls.occupied(frozenset(left)),
            self._pool.left_s(self._deadline_s))
        self.held = {uuid: since_s for uuid, since_s in occupied.items()
                     if since_s is not None}
        self._passed = {
            uuid for uuid in left if calls.is_passed(
                self._known_held, uuid, self.held.get(uuid))}
        free = [uuid for uuid in left if uuid not in self.held
                and uuid not in self._passed]
        self._asked.update(uuid for uuid in left
                           if not self.records[uuid].busy)
        if not free or time.monotonic() >= self._deadline_s:
            return
        found: Records = {}
        call = self._pool.start(self._out, found, functools.partial(
            calls.read_some, free, self._known_held, found, self._kinds))
        held = self._pool.wait(call, self._deadline_s)
        if not call.out:
            call.job.result()
            self._asked.update(free)
        self._learn(call)
        # A copy: a worker that is held up may still add to it.
        self._asked.update(found.copy(), held)

    def _learn(self, call: pool.Call) -> None:
        self._gone.update(call.progress.gone)
        self._passed.update(call.progress.held)
        self.held.update({
            uuid: since_s for uuid, since_s in call.progress.held.items()
            if since_s is not None})

    def _look(self, fresh: collections.abc.Set[processes.Run],
              ) -> collections.abc.Set[processes.Run]:
        """Which of these QEMUs are stopped still; the others can be asked."""
        if not fresh:
            return fresh
        still = self._watch.stopped(fresh)
        for uuid, domain_id in fresh - still.keys():
            record = self.records.get(uuid)
            if record is not None and record.domain_id == domain_id:
                self.records[uuid] = dataclasses.replace(record, trouble=None)
        return still.keys()

    def _pause(self, most_s: float) -> None:
        """Until a call returns, or for so long."""
        seconds = min(most_s, max(self._deadline_s - time.monotonic(), 0.0))
        waiting = [call.job for call in self._out if call.out]
        if waiting:
            concurrent.futures.wait(waiting, seconds,
                                    concurrent.futures.FIRST_COMPLETED)
        else:
            time.sleep(seconds)

    def _merge_all(self) -> None:
        """Add what was found; what QEMU said goes before that it did not."""
        for call in self._out:
            # A copy: a worker that is held up may still add to it.
            for uuid, record in call.found.copy().items():
                before = self.records.get(uuid)
                if before is None or not record.busy or (
                        before.busy and before.trouble is None):
                    self.records[uuid] = record
