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

* A guest that any other call holds is asked again until the deadline.
* All that a cycle asks has one time together, :data:`GRACE_S` more at most.

Of who is held is remembered since when, to know the same command again in
the next cycle; whether it is held is asked anew each time.
"""

import collections.abc
import contextlib
import threading
import time
import typing

from memstat_pollster import background
from memstat_pollster.host import calls
from memstat_pollster.host import connection
from memstat_pollster.host import descriptions
from memstat_pollster.host import documents
from memstat_pollster.host import pool
from memstat_pollster.host import processes
from memstat_pollster.host import rounds
from memstat_pollster.host import worker
from memstat_pollster.model import compute
from memstat_pollster.model import observation

_T = typing.TypeVar('_T')

#: How long what a cycle asks may take beyond its time, at most, and as a
#: share of that time: where guests took all of it there is XML to be read.
GRACE_S: typing.Final = 0.8
GRACE_SHARE: typing.Final = 0.2

#: By how much the wall clock may differ from the monotonic one over a read.
CLOCK_STEP_S: typing.Final = 1.0

NO_TIME: typing.Final = 'the time for the cycle is over'
TOO_MANY: typing.Final = 'too many calls to libvirt are stuck already'


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
        self._grace_s = min(GRACE_S, timeout_s * GRACE_SHARE)
        self._left_s = timeout_s
        self._runs: frozenset[processes.Run] | None = None
        self._stopped: dict[processes.Run, processes.Stop] = {}
        self._held: calls.Held = {}
        self._silent: frozenset[str] = frozenset()
        self._unasked: tuple[str, ...] = ()
        self._was_late = False

    @property
    def stuck(self) -> int:
        """How many workers are held up by a call of theirs at present."""
        return self._pool.stuck

    def count_too(self, others_stuck: collections.abc.Callable[[], int],
                  ) -> None:
        """Count calls of others among those that may be left behind.

        :param others_stuck: says how many of them are stuck at present
        """
        self._pool.others_stuck = others_stuck

    def read(self, kinds: compute.Kinds = frozenset(),
             ) -> observation.Snapshot:
        """Read every guest; an error is part of the snapshot, not raised.

        :param kinds: what is read of each guest beside its memory

        A guest that could not be read in time is in it with nothing but its
        state.
        """
        with self._lock:
            self._left_s = self._timeout_s
            return self._snapshot(kinds)

    def read_more(self, kinds: compute.Kinds) -> observation.Snapshot:
        """Read every guest again, within the cycle that the last read began.

        :param kinds: see :meth:`read`

        It takes what is left of the time for that cycle.  Guests that did not
        answer in it have had their time, and are not waited for again.
        """
        with self._lock:
            before = self._held
            self._held = {**before, **dict.fromkeys(self._silent)}
            try:
                return self._snapshot(kinds)
            finally:
                self._held = {uuid: before.get(uuid, since_s)
                              for uuid, since_s in self._held.items()
                              if before.get(uuid, since_s) is not None}

    def _snapshot(self, kinds: compute.Kinds) -> observation.Snapshot:
        wall_s, monotonic_s = time.time(), time.monotonic()
        try:
            with self._within() as deadline_s:
                if time.monotonic() >= deadline_s:
                    raise observation.ReadFailed(NO_TIME)
                records = self._read(kinds, deadline_s)
        except observation.ReadFailed as exc:
            return observation.Snapshot(wall_s, monotonic_s, {}, str(exc),
                                        exc.advice)
        self._runs = frozenset(
            (uuid, record.domain_id) for uuid, record in records.items()
            if record.domain_id >= 0)
        took_s = time.monotonic() - monotonic_s
        step_s = time.time() - wall_s - took_s
        return observation.Snapshot(
            wall_s, monotonic_s, records, took_s=took_s,
            step_s=step_s if abs(step_s) > CLOCK_STEP_S else 0.0)

    def live_xml(self, uuids: collections.abc.Collection[str],
                 ) -> observation.Documents:
        """The live XML of these guests; what fails for one costs only it.

        It takes what is left of the time for the cycle that the last read
        began.

        :raises ReadFailed: when libvirt itself fails
        """
        if not uuids:
            return observation.Documents({}, {})
        with self._lock, self._within() as deadline_s:
            # So that a guest that is held leaves the others their time.
            return documents.read(self._pool, list(uuids),
                                  self._grace_s / 4, deadline_s)

    def nova_metadata(self, uuids: collections.abc.Collection[str],
                      ) -> dict[str, str]:
        """Nova's part of these guests' metadata, as XML, where there is one.

        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        if not uuids:
            return {}
        with self._lock, self._within() as deadline_s:
            return self._ask_apart(descriptions.nova_metadata(uuids),
                                   deadline_s)

    def describe(self, known: collections.abc.Container[processes.Run],
                 ) -> list[descriptions.Description]:
        """Every guest, by what libvirt says without asking it.

        :param known: runs of guests whose XML is not wanted
        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        with self._lock:
            self._left_s = self._timeout_s
            with self._within() as deadline_s:
                # A libvirt that is stuck as a whole has no call left behind.
                self._pool.ask(calls.list_runs,
                               self._pool.left_s(deadline_s))
                return self._ask_apart(descriptions.describe(known),
                                       deadline_s)

    def _ask_apart(self, work: calls.Work[_T], deadline_s: float) -> _T:
        """Ask what waits for no guest, but for a thread of libvirtd's.

        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        out: list[pool.Call] = []
        if time.monotonic() >= deadline_s:
            raise observation.ReadFailed(NO_TIME)
        if not self._pool.may_ask(out):
            raise observation.ReadFailed(TOO_MANY)
        answers: list[_T] = []

        def keep(source: connection.Connection) -> None:
            answers.append(work(source))
        call = self._pool.start(out, {}, lambda progress: keep)
        background.is_done(call.job, max(deadline_s - time.monotonic(), 0.0))
        self._pool.settle(out)
        if call.out:
            raise observation.ReadFailed(
                f'libvirt did not answer within {self._timeout_s:g} s')
        call.job.result()
        return answers[-1]

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
                raise observation.ReadFailed(TOO_MANY)
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

    @contextlib.contextmanager
    def _within(self) -> collections.abc.Iterator[float]:
        """The deadline of a question: what the cycle's others left of time.

        And a moment where they left none, once for all of them.
        """
        began_s = time.monotonic()
        grace_s = min(self._grace_s, self._left_s + self._grace_s)
        try:
            yield began_s + max(self._left_s, grace_s, 0.0)
        finally:
            self._left_s -= time.monotonic() - began_s

    def _read(self, kinds: compute.Kinds,
              deadline_s: float) -> rounds.Records:
        if self._pool.is_watch_stuck():
            raise observation.ReadFailed('libvirt still does not answer')
        if self._runs is None:
            self._runs = self._pool.ask(calls.list_runs,
                                        self._pool.left_s(deadline_s))
        stopped = self._processes.stopped(self._runs)
        fresh = {run for run, stop in stopped.items()
                 if self._stopped.get(run) != stop}
        self._stopped = stopped
        this = rounds.Round(self._pool, self._processes, kinds,
                            self._held, stopped, deadline_s)
        try:
            if not stopped and not self._unasked and this.may_ask():
                this.read_all()
            else:
                this.read_states()
            this.read_rest(self._unasked, self._was_late, fresh)
            self._unasked, self._was_late = this.unasked, this.may_ask()
            calls.unasked(this.records, self._unasked, self._was_late)
        finally:
            this.settle()
        self._stopped = {
            (uuid, domain_id): stop
            for (uuid, domain_id), stop in self._stopped.items()
            if uuid in this.records
            and this.records[uuid].trouble is not None}
        self._silent = frozenset(uuid for uuid, record in this.records.items()
                                 if record.busy)
        self._held = {uuid: since_s for uuid, since_s in this.held.items()
                      if uuid in self._silent}
        return this.records
