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

"""Reads all guests, and never hangs.

A call that asks a QEMU which does not answer blocks for as long as that QEMU
is frozen, holds the guest's job, and nothing ends it: neither closing the
connection nor killing the client.  What follows from that (measured on
libvirt 9.0 and QEMU 7.2):

* Every call is made by a reader, a daemon thread with a connection of its
  own, because one stuck call makes others on its connection stall.  A reader
  that does not answer in time is left behind with its call, and counted.
* All guests are read in one bulk call.  With NOWAIT it passes over a guest
  whose job another call holds, so the call that is left behind on a frozen
  guest shields all later ones from it: no guest has two.
* Whether a call that takes long is stuck or merely slow is told by
  ``controlInfo``, which never asks QEMU: a second reader, the watch, looks for
  a monitor that has been occupied all the time.  Then the rest is read by
  another reader, a few guests at a time, so that what was read is kept when
  it meets the next frozen guest.
* At ``max_stuck`` calls left behind nothing more is asked until one returns.
  Guests that could not be asked are tried last in the cycles that follow, or
  first where nothing but time was short.
"""

import collections.abc
import threading
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


class Inspector:
    """Reads all guests of one libvirt, read-only and with a deadline.

    Safe to be shared by threads: one reads at a time.

    :param uri: libvirt's URI, opened read-only at the first read and again
        whenever the connection breaks
    :param timeout_s: how long one read may take
    :param max_stuck: how many calls may be left behind at a time
    :param opener: opens a connection; for tests
    :param writer: opens a connection that takes changes; for tests
    """

    def __init__(self, uri: str, *, timeout_s: float = 5.0,
                 max_stuck: int = 5,
                 opener: connection.Opener = connection.open_read_only,
                 writer: connection.Opener = connection.open_read_write,
                 ) -> None:
        self.uri = uri
        self._timeout_s = timeout_s
        self._patience_s = max(PATIENCE_WITH_LIBVIRT_S,
                               timeout_s * PATIENCE_SHARE)
        self._max_stuck = max_stuck
        self._opener, self._writer = opener, writer
        self._lock = threading.Lock()
        self._reader: worker.Worker | None = None
        self._watch: worker.Worker | None = None
        self._left_behind: list[worker.Worker] = []
        self._watch_job: worker.Job[typing.Any] | None = None
        self._busy: frozenset[str] = frozenset()
        self._unasked: dict[str, None] = {}
        self._was_late = False
        self._usual_s = 0.0

    @property
    def stuck(self) -> int:
        """How many readers are held up by a call of theirs at present."""
        return (sum(reader.thread.is_alive() for reader in self._left_behind)
                + self._watch_is_stuck())

    def read(self) -> observation.Snapshot:
        """Read every guest; an error is part of the snapshot, not raised.

        A guest that could not be read in time is in it with nothing but its
        state.
        """
        with self._lock:
            wall_s, monotonic_s = time.time(), time.monotonic()
            try:
                records = self._read(monotonic_s + self._timeout_s)
            except observation.ReadFailed as exc:
                return observation.Snapshot(wall_s, monotonic_s, {}, str(exc),
                                exc.advice)
            self._busy = frozenset(uuid for uuid, record in records.items()
                                   if record.busy)
            return observation.Snapshot(wall_s, monotonic_s, records)

    def live_xml(self, uuids: collections.abc.Collection[str]
                 ) -> dict[str, str]:
        """The live XML of these guests; one that is gone is left out.

        libvirt makes it from what it knows itself, so a frozen QEMU does not
        matter.

        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        if not uuids:
            return {}
        with self._lock:
            return self._ask_watch(calls.live_xml(frozenset(uuids)),
                                   self._timeout_s)

    def host(self) -> observation.HostFacts:
        """What libvirt says of the host.

        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        with self._lock:
            return self._ask_watch(calls.host_facts, self._timeout_s)

    def set_period(self, uuid: str, period_s: int,
                   refuse: calls.Refuse) -> None:
        """Have QEMU ask a running guest for statistics from now on.

        The only thing here that changes anything; the agent never does it.
        It changes the guest's live XML and not the one that libvirt starts
        the guest with next time.

        :param refuse: asked with the guest's live XML right before; says why
            the period must not be set, or None
        :raises ReadFailed: when that refuses, or libvirt does, or when it
            does not answer in time: then the period may still be set later
        """
        with self._lock:
            if self.stuck >= self._max_stuck:
                raise observation.ReadFailed(
                    'too many calls to libvirt are stuck already')
            writer = worker.Worker(self.uri, self._writer)
            job = writer.submit(calls.set_period(uuid, period_s, refuse))
            writer.retire()
            if not background.is_done(job, self._timeout_s):
                writer.held_by = frozenset((uuid,))
                self._left_behind.append(writer)
                raise observation.ReadFailed(
                    f'QEMU did not answer within {self._timeout_s:g} s; once '
                    f'it does, its period may still be set')
            job.result()

    def close(self) -> None:
        """Give the connections back; calls left behind stay behind."""
        with self._lock:
            for reader in (self._reader, self._watch):
                if reader is not None:
                    reader.retire()
            self._reader = self._watch = None

    def _read(self, deadline: float) -> dict[str, observation.Record]:
        # A reader ends when its call has returned and its connection closed.
        self._left_behind = [reader for reader in self._left_behind
                             if reader.thread.is_alive()]
        if self._watch_is_stuck():
            raise observation.ReadFailed('libvirt still does not answer')
        if not self._unasked and len(self._left_behind) < self._max_stuck:
            began = time.monotonic()
            job = self._start(lambda source: calls.bulk(source, self._busy))
            held = self._wait(job, deadline)
            if held is None:
                records = job.result()
                self._usual_s = time.monotonic() - began
                return records
            return self._read_around(held, deadline)
        return self._read_around(frozenset(), deadline)

    def _read_around(self, held: collections.abc.Set[str],
                     deadline: float) -> dict[str, observation.Record]:
        """Read what can be read beside guests that do not answer.

        :param held: UUIDs of guests that a call has just been left behind on
        """
        records = self._ask_watch(calls.list_states, self._patience_s)
        # Those that a read did not come to are asked last, longest first;
        # where it was time alone that ran out they have their turn.
        known = [uuid for uuid in records if uuid not in self._unasked]
        waiting = [uuid for uuid in self._unasked if uuid in records]
        order = waiting + known if self._was_late else known + waiting
        asked = set(held)
        while (len(self._left_behind) < self._max_stuck
                and time.monotonic() < deadline):
            found: dict[str, observation.Record] = {}
            given_up = threading.Event()
            job = self._start(calls.read_some(
                [uuid for uuid in order if uuid not in asked], found,
                given_up))
            stopped_by = self._wait(job, deadline)
            if stopped_by is None:
                job.result()
            # A copy: a reader that is left behind may still add to it.
            records.update(found.copy())
            if stopped_by is None:
                asked.update(order)
                break
            given_up.set()
            asked.update(found, stopped_by)
        self._unasked = dict.fromkeys(
            uuid for uuid in order
            if uuid not in asked and records[uuid].busy)
        self._was_late = len(self._left_behind) < self._max_stuck
        return records

    def _wait(self, job: 'worker.Job[typing.Any]',
              deadline: float) -> frozenset[str] | None:
        """Wait for a call; leave it behind when it is stuck or too late.

        :returns: None when the call has returned; else the UUIDs of the
            guests that it is stuck on, none where it is merely too late
        :raises ReadFailed: when libvirt itself does not answer
        """
        patience = min(max(self._timeout_s / 10, 3 * self._usual_s),
                       self._timeout_s / 3)
        while not background.is_done(job, min(
                patience, max(deadline - time.monotonic(), 0.0))):
            try:
                occupied = self._ask_watch(calls.occupied(patience * 0.8),
                                           self._patience_s)
            except observation.ReadFailed:
                self._leave_reader(frozenset())
                raise
            if job.done():
                break
            # The monitors that earlier calls were left behind on stay
            # occupied by those; this call passes them over.
            held = occupied.difference(
                *(reader.held_by for reader in self._left_behind))
            if held or time.monotonic() >= deadline:
                self._leave_reader(held)
                return held
        return None

    def _start(self, work: calls.Work[_T]) -> 'worker.Job[_T]':
        if self._reader is None or not self._reader.thread.is_alive():
            self._reader = worker.Worker(self.uri, self._opener)
        return self._reader.submit(work)

    def _leave_reader(self, held_by: frozenset[str]) -> None:
        """Leave the reader behind with the call that it is in."""
        if self._reader is not None:
            self._reader.held_by = held_by
            self._left_behind.append(self._reader)
            self._reader.retire()
            self._reader = None

    def _watch_is_stuck(self) -> bool:
        return self._watch_job is not None and (
            not self._watch_job.done())

    def _ask_watch(self, work: calls.Work[_T], timeout_s: float) -> _T:
        """What libvirt says without asking any QEMU.

        :raises ReadFailed: when libvirt fails or does not answer, now or
            since an earlier question
        """
        if self._watch_is_stuck():
            raise observation.ReadFailed('libvirt still does not answer')
        if self._watch is None or not self._watch.thread.is_alive():
            self._watch = worker.Worker(self.uri, self._opener)
        job = self._watch_job = self._watch.submit(work)
        if not background.is_done(job, timeout_s):
            raise observation.ReadFailed(
                f'libvirt did not answer within {timeout_s:g} s')
        return job.result()
