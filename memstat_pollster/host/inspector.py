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
connection nor killing the client.  Which calls those are is measured, by
release of libvirt, in doc/source/hangs.rst.  What follows from that:

* Every such call is made by a worker, a daemon thread with a connection of
  its own, because one stuck call makes others on its connection stall.
* All guests are read in one bulk call.  With NOWAIT it passes over a guest
  whose job another call holds, so the call that is held up by a guest
  shields all others from it: no guest has two.
* A call that takes long may be held up by one guest, or have many to read.
  ``controlInfo``, which never waits, tells: it says for how long each
  guest's monitor has been occupied.  If one has been all the time, another
  worker reads the others, a few at a time, so that what was read is kept
  when that one is held up as well.  No two workers are started at once.
* Slow is not stuck: a call that is held up is waited for until the deadline
  of the cycle.  Only then it is left behind, and counted.  Guests that a call
  of an earlier cycle is still held up by are passed over at once.
* A QEMU whose process is stopped (SIGSTOP, a debugger) is not asked at all,
  so that no call is left behind on it.  It is looked at until the deadline in
  the first cycle, and once in later ones.
* At ``max_stuck`` calls out nothing more is asked until one returns.  Guests
  that could not be asked are tried last in the cycles that follow, or first
  where nothing but time was short.

Nothing of who is held is remembered from one cycle to the next.
"""

import collections.abc
import concurrent.futures
import dataclasses
import functools
import threading
import time
import typing

from memstat_pollster import background
from memstat_pollster.host import calls
from memstat_pollster.host import connection
from memstat_pollster.host import pool
from memstat_pollster.host import processes
from memstat_pollster.host import worker
from memstat_pollster.model import compute
from memstat_pollster.model import observation

_T = typing.TypeVar('_T')
_Records = dict[str, observation.Record]

#: How long reading XML may take beyond the deadline, where reading guests
#: took all of the time; at most, and as a share of the time for a cycle.
XML_GRACE_S: typing.Final = 0.8
XML_GRACE_SHARE: typing.Final = 0.2

#: By how much the wall clock may differ from the monotonic one over a read.
CLOCK_STEP_S: typing.Final = 1.0

#: Why a guest is not asked.
STOPPED: typing.Final = (
    "its QEMU's process is stopped, by a signal or a debugger")

#: How often a QEMU that is stopped is looked at.
LOOK_S: typing.Final = 0.05


class Inspector:
    """Reads all guests of one libvirt, read-only and with a deadline.

    Safe to be shared by threads: one reads at a time.

    :param uri: libvirt's URI, opened read-only at the first read and again
        whenever the connection breaks
    :param timeout_s: how long one cycle may take: a read, and the reading of
        XML that follows it
    :param max_stuck: how many calls may be left behind at a time
    :param opener: opens a connection; for tests
    :param writer: opens a connection that takes changes; for tests
    :param watch: looks which QEMUs are stopped; for tests
    """

    def __init__(self, uri: str, *, timeout_s: float = 5.0,
                 max_stuck: int = 5,
                 opener: connection.Opener = connection.open_read_only,
                 writer: connection.Opener = connection.open_read_write,
                 watch: processes.Watch | None = None) -> None:
        self.uri = uri
        self._timeout_s = timeout_s
        self._pool = pool.Pool(uri, timeout_s, max_stuck, opener)
        self._writer = writer
        self._processes = watch or processes.Watch()
        self._lock = threading.Lock()
        self._deadline_s: float | None = None
        self._runs: frozenset[processes.Run] | None = None
        self._stopped: dict[processes.Run, processes.Stop] = {}
        self._busy: frozenset[str] = frozenset()
        self._unasked: dict[str, None] = {}
        self._kinds: compute.Kinds = frozenset()
        self._was_late = False

    @property
    def stuck(self) -> int:
        """How many workers are held up by a call of theirs at present."""
        return self._pool.stuck

    def read(self, kinds: compute.Kinds = frozenset(),
             ) -> observation.Snapshot:
        """Read every guest; an error is part of the snapshot, not raised.

        :param kinds: what is read of each guest beside its memory

        A guest that could not be read in time is in it with nothing but its
        state.
        """
        with self._lock:
            self._kinds = kinds
            wall_s, monotonic_s = time.time(), time.monotonic()
            self._deadline_s = monotonic_s + self._timeout_s
            try:
                records = self._read(self._deadline_s)
            except observation.ReadFailed as exc:
                return observation.Snapshot(wall_s, monotonic_s, {}, str(exc),
                                            exc.advice)
            self._busy = frozenset(uuid for uuid, record in records.items()
                                   if record.busy)
            self._runs = frozenset(
                (uuid, record.domain_id) for uuid, record in records.items()
                if record.domain_id >= 0)
            took_s = time.monotonic() - monotonic_s
            if abs(time.time() - wall_s - took_s) > CLOCK_STEP_S:
                # The clock was set meanwhile: guests that answered since are
                # stamped by the new one.
                wall_s = time.time() - took_s
            return observation.Snapshot(wall_s, monotonic_s, records,
                                        took_s=took_s)

    def live_xml(self, uuids: collections.abc.Collection[str],
                 ) -> observation.Documents:
        """The live XML of these guests; what fails for one costs only it.

        It takes what is left of the time for the cycle that the last read
        began.

        :raises ReadFailed: when libvirt itself fails
        """
        if not uuids:
            return observation.Documents({}, {})
        with self._lock:
            return self._read_xml(list(uuids))

    def nova_metadata(self, uuids: collections.abc.Collection[str],
                      ) -> dict[str, str]:
        """Nova's part of these guests' metadata, as XML, where there is one.

        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        if not uuids:
            return {}
        with self._lock:
            return self._pool.ask(
                calls.nova_metadata(uuids),
                self._pool.left_s(self._deadline_s or 0.0))

    def describe(self, known: collections.abc.Container[processes.Run],
                 ) -> list[calls.Description]:
        """Every guest, by what libvirt says without asking it.

        :param known: runs of guests whose XML is not wanted
        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        with self._lock:
            self._deadline_s = time.monotonic() + self._timeout_s
            return self._pool.ask(calls.describe(known), self._timeout_s)

    def host(self) -> observation.HostFacts:
        """What libvirt says of the host.

        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        with self._lock:
            return self._pool.ask(calls.host_facts, self._timeout_s)

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
            if not self._pool.may_ask(()):
                raise observation.ReadFailed(
                    'too many calls to libvirt are stuck already')
            writer = worker.Worker(self.uri, self._writer)
            job = writer.submit(calls.set_period(uuid, period_s, refuse))
            writer.retire()
            if not background.is_done(job, self._timeout_s):
                self._pool.leave(writer)
                raise observation.ReadFailed(
                    f'QEMU did not answer within {self._timeout_s:g} s; once '
                    f'it does, its period may still be set')
            job.result()

    def close(self) -> None:
        """Give the connections back; calls left behind stay behind."""
        with self._lock:
            self._pool.close()

    # Reading guests

    def _read(self, deadline_s: float) -> _Records:
        if self._pool.is_watch_stuck():
            raise observation.ReadFailed('libvirt still does not answer')
        held_before = self.stuck
        if self._runs is None:
            self._runs = self._pool.ask(calls.list_runs,
                                        self._pool.left_s(deadline_s))
        stopped = self._processes.stopped(self._runs)
        fresh = {run for run, stop in stopped.items()
                 if self._stopped.get(run) != stop}
        self._stopped = stopped
        out: list[pool.Call] = []
        try:
            if not stopped and not self._unasked and self._pool.may_ask(out):
                began_s = time.monotonic()
                found: _Records = {}
                call = self._pool.start(out, found, functools.partial(
                    calls.read_all, self._busy, found, self._kinds))
                suspects = self._pool.wait(call, deadline_s)
                if not call.out:
                    call.job.result()
                    self._pool.usual_s = time.monotonic() - began_s
                    return self._again(found, out, held_before, deadline_s)
                records = self._states(deadline_s)
            else:
                suspects = frozenset()
                records = self._states(deadline_s)
            self._read_around(records, suspects, out, deadline_s)
            self._wait_for_slow(records, fresh, out, deadline_s)
            self._again(records, out, held_before, deadline_s)
            return calls.unasked(records, self._unasked, self._was_late)
        finally:
            self._pool.settle(out)

    def _states(self, deadline_s: float) -> _Records:
        """Every guest, with its state and why it is not asked, if so."""
        records = self._pool.ask(calls.list_states,
                                 self._pool.left_s(deadline_s))
        for uuid, domain_id in self._stopped:
            record = records.get(uuid)
            if record is not None and record.domain_id == domain_id:
                records[uuid] = dataclasses.replace(record, trouble=STOPPED)
        return records

    def _read_around(self, records: _Records,
                     suspects: collections.abc.Set[str], out: list[pool.Call],
                     deadline_s: float) -> None:
        """Read what can be read beside guests that do not answer.

        :param suspects: UUIDs of guests that may hold up a call that is out
        """
        # Those that a read did not come to are asked last, longest first;
        # where it was time alone that ran out they have their turn.
        known = [uuid for uuid in records if uuid not in self._unasked]
        waiting = [uuid for uuid in self._unasked if uuid in records]
        order = waiting + known if self._was_late else known + waiting
        asked = {*suspects, *(uuid for uuid, record in records.items()
                              if record.trouble is not None)}
        while (self._pool.may_ask(out)
                and time.monotonic() < deadline_s):
            left = [uuid for uuid in order if uuid not in asked]
            if not left:
                break
            call = self._read_some(left, out)
            held = self._pool.wait(call, deadline_s)
            if not call.out:
                call.job.result()
                asked.update(left)
            # A copy: a worker that is held up may still add to it.
            found = call.found.copy()
            _merge(records, found)
            asked.update(found, held)
        self._unasked = dict.fromkeys(
            uuid for uuid in order
            if uuid not in asked and records[uuid].busy)
        self._was_late = self._pool.may_ask(out)

    def _read_some(self, uuids: list[str], out: list[pool.Call],
                   known_busy: collections.abc.Collection[str] | None = None,
                   ) -> pool.Call:
        found: _Records = {}
        return self._pool.start(out, found, functools.partial(
            calls.read_some, uuids,
            self._busy if known_busy is None else known_busy, found,
            self._kinds))

    def _wait_for_slow(self, records: _Records,
                       stopped: collections.abc.Set[processes.Run],
                       out: list[pool.Call], deadline_s: float) -> None:
        """Wait for calls that are out, and for QEMUs that go on.

        :param stopped: those that were not in the cycle before
        """
        while (left_s := deadline_s - time.monotonic()) > 0:
            waiting = [call for call in out if call.out]
            if not waiting and not stopped:
                break
            if stopped:
                left_s = min(left_s, LOOK_S)
            if waiting:
                concurrent.futures.wait(
                    [call.job for call in waiting], left_s,
                    concurrent.futures.FIRST_COMPLETED)
            else:
                time.sleep(left_s)
            for call in waiting:
                if not call.out:
                    _merge(records, call.found)
            if stopped:
                still = self._processes.stopped(stopped)
                running = [uuid for uuid, domain_id in stopped - still.keys()]
                stopped = still.keys()
                for uuid in running:
                    self._stopped = {run: stop for run, stop
                                     in self._stopped.items()
                                     if run[0] != uuid}
                if running and self._pool.may_ask(out):
                    call = self._read_some(running, out)
                    self._pool.wait(call, deadline_s)
                    _merge(records, call.found.copy())
        for call in out:
            _merge(records, call.found.copy())

    def _again(self, records: _Records, out: list[pool.Call], held_before: int,
               deadline_s: float) -> _Records:
        """Read guests that were held where a call left behind has returned.

        What that call itself found may be of an earlier cycle.
        """
        busy = [uuid for uuid, record in records.items()
                if record.busy and record.trouble is None]
        if (busy and self.stuck < held_before and self._pool.may_ask(out)
                and time.monotonic() < deadline_s):
            call = self._read_some(busy, out, known_busy=())
            self._pool.wait(call, deadline_s)
            _merge(records, call.found.copy())
        return records

    # Reading XML

    def _read_xml(self, uuids: list[str]) -> observation.Documents:
        now_s = time.monotonic()
        grace_s = min(XML_GRACE_S, self._timeout_s * XML_GRACE_SHARE)
        if self._deadline_s is None:
            self._deadline_s = now_s + self._timeout_s
        deadline_s = max(self._deadline_s, now_s + grace_s)
        found: dict[str, str] = {}
        gone: set[str] = set()
        passed: set[str] = set()
        out: list[pool.Call] = []
        try:
            while self._pool.may_ask(out):
                left = [uuid for uuid in uuids if uuid not in found
                        and uuid not in gone and uuid not in passed]
                if not left or time.monotonic() >= deadline_s:
                    break
                call = self._pool.start(out, found, functools.partial(
                    calls.live_xml, left, found, gone))
                # So that there is time left for the others.
                held = pool.wait_for_progress(call, grace_s / 4, deadline_s)
                if not call.out:
                    call.job.result()
                    break
                if not held:
                    break
                passed.update(held)
        finally:
            self._pool.settle(out)
        documents = found.copy()
        return observation.Documents(documents, {
            uuid: 'its live XML was not read in time' for uuid in uuids
            if uuid not in documents and uuid not in gone})


def _merge(records: _Records, found: collections.abc.Mapping[
        str, observation.Record]) -> None:
    """Add what was found; what QEMU said goes before that it did not."""
    for uuid, record in found.items():
        before = records.get(uuid)
        if before is None or before.busy or not record.busy:
            records[uuid] = record
