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

"""The only room that knows libvirt: reads all guests, and never hangs.

A call into libvirt can block for as long as one QEMU is frozen, and nothing
ends it but that QEMU.  So every call is made by a reader: a daemon thread
with a connection of its own, which is left behind with its call when it does
not answer in time, and counted until it does.
"""

import collections.abc
import dataclasses
import queue
import threading
import time
import typing

try:
    import libvirt
    LibvirtError = libvirt.libvirtError
except ImportError:
    libvirt = None

    class LibvirtError(Exception):  # type: ignore[no-redef]
        """Stands in where libvirt-python is missing; never raised."""

from memstat_pollster import stats

_T = typing.TypeVar('_T')

#: Seconds to wait before a guest that was busy is asked once more.  Any other
#: client that reads a guest's statistics holds its job for a few ms.
RETRIES_S: typing.Final = (0.01, 0.03, 0.1, 0.2)


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One guest of libvirt's bulk answer.

    :ivar uuid: the guest's, as Nova and libvirt spell it
    :ivar domain_id: libvirt's id of this run of QEMU; -1 when shut off
    :ivar name: libvirt's name
    :ivar reading: what libvirt said of it
    """

    uuid: str
    domain_id: int
    name: str
    reading: stats.Reading

    @property
    def busy(self) -> bool:
        """Whether QEMU's part is missing because a job holds the guest."""
        return self.reading.running and not self.reading.answered


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """All guests of the node as one bulk call saw them.

    :ivar wall_s: wall clock before the call was made, seconds since the
        epoch: ages reckoned from it are never too small by the time that
        the call took
    :ivar monotonic_s: the monotonic clock at the same moment
    :ivar records: by UUID; empty when ``error`` is set
    :ivar error: why libvirt said nothing, for an operator; None if it did
    """

    wall_s: float
    monotonic_s: float
    records: collections.abc.Mapping[str, Record]
    error: str | None = None


class ReadFailed(Exception):
    """libvirt answered with an error; the message is for an operator."""


class Connection(typing.Protocol):
    """The part of ``libvirt.virConnect`` that is used."""

    def getAllDomainStats(self, stats: int = 0, flags: int = 0) -> list[
            tuple[typing.Any, dict[str, object]]]: ...

    def domainListGetStats(
            self, doms: list[typing.Any], stats: int = 0, flags: int = 0,
            ) -> list[tuple[typing.Any, dict[str, object]]]: ...

    def lookupByUUIDString(self, uuidstr: str) -> typing.Any: ...

    def close(self) -> int: ...


Opener = collections.abc.Callable[[str], Connection]


def _no_output(context: object, error: object) -> None:
    """Instead of libvirt's default, which prints every error to stderr."""


def open_read_only(uri: str) -> Connection:
    """Open libvirt's read-only socket.

    :raises ReadFailed: when libvirt-python is not installed
    :raises libvirt.libvirtError: when libvirt cannot be reached
    """
    if libvirt is None:
        raise ReadFailed('libvirt-python is not installed: install it (on '
                         'Debian and Ubuntu python3-libvirt, on RHEL '
                         'python3-libvirt)')
    # Errors arrive as exceptions; a second copy on stderr in every cycle of
    # an outage would fill the journal.
    libvirt.registerErrorHandler(_no_output, None)
    return typing.cast(Connection, libvirt.openReadOnly(uri))


def _message(exc: Exception) -> str:
    return ' '.join(str(exc).split()) or type(exc).__name__


class _Job(typing.Generic[_T]):
    """One piece of work for a reader, and what came of it."""

    def __init__(self, work: collections.abc.Callable[[Connection], _T]):
        self.work = work
        self.done = threading.Event()
        self._value: _T | None = None
        self._error: str | None = 'the reader ended without an answer'

    def run(self, reader: '_Reader') -> None:
        try:
            self._value, self._error = self._attempt(reader), None
        except ReadFailed as exc:
            self._error = str(exc)
        finally:
            self.done.set()

    def _attempt(self, reader: '_Reader') -> _T:
        """Do the work; once more on a new connection if the old one broke.

        A connection that broke since the last cycle (libvirtd was restarted)
        is found out by the first call on it.
        """
        fresh = reader.connection is None
        try:
            return self.work(reader.connect())
        except LibvirtError as exc:
            reader.disconnect()
            if fresh:
                raise ReadFailed(_message(exc)) from exc
        try:
            return self.work(reader.connect())
        except LibvirtError as exc:
            reader.disconnect()
            raise ReadFailed(_message(exc)) from exc

    def result(self) -> _T:
        """What the work returned.

        :raises ReadFailed: when libvirt answered with an error
        """
        if self._error is not None:
            raise ReadFailed(self._error)
        return typing.cast(_T, self._value)


class _Reader:
    """A daemon thread with a connection that nobody else uses."""

    def __init__(self, uri: str, opener: Opener) -> None:
        self._uri, self._opener = uri, opener
        self._jobs: queue.SimpleQueue[_Job[typing.Any] | None] = (
            queue.SimpleQueue())
        self.connection: Connection | None = None
        # daemon: a call that is stuck must not keep the agent from stopping.
        self.thread = threading.Thread(
            target=self._run, name='memstat-reader', daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run(self)
        self.disconnect()

    def submit(self, work: collections.abc.Callable[[Connection], _T]
               ) -> _Job[_T]:
        job = _Job(work)
        self._jobs.put(job)
        return job

    def retire(self) -> None:
        """End the thread once the call that it is in returns."""
        self._jobs.put(None)

    def connect(self) -> Connection:
        if self.connection is None:
            self.connection = self._opener(self._uri)
        return self.connection

    def disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is None:
            return
        try:
            connection.close()
        except LibvirtError:
            # It was broken already; there is nothing left to give back.
            pass


def _bulk(connection: Connection,
          known_busy: collections.abc.Collection[str]) -> dict[str, Record]:
    """Read the balloon and state of every guest in one call.

    NOWAIT leaves out QEMU's part of a guest that another job holds, instead
    of waiting for that job for up to 30 s.  Mostly that job is another
    client's reading, over in a moment: those guests, and only those, are
    asked again a few times within a third of a second.

    :param known_busy: UUIDs of the guests that were busy to the end of the
        last read: a migration, or a QEMU that hangs.  They are not waited for
    """
    what = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_STATE
    flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    records = {}
    busy = []
    answers = connection.getAllDomainStats(what, flags)
    for pause_s in (*RETRIES_S, None):
        busy.clear()
        for domain, parameters in answers:
            uuid = domain.UUIDString()
            records[uuid] = record = Record(
                uuid, domain.ID(), domain.name(), stats.parse(parameters))
            if record.busy and uuid not in known_busy:
                busy.append(domain)
        if not busy or pause_s is None:
            break
        time.sleep(pause_s)
        try:
            answers = connection.domainListGetStats(busy, what, flags)
        except LibvirtError as exc:
            if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            # One of them has just ended; what was read of the rest stands.
            break
    return records


def _live_xml(uuids: collections.abc.Collection[str]
              ) -> collections.abc.Callable[[Connection], dict[str, str]]:
    def work(connection: Connection) -> dict[str, str]:
        documents = {}
        for uuid in uuids:
            try:
                documents[uuid] = (
                    connection.lookupByUUIDString(uuid).XMLDesc(0))
            except LibvirtError as exc:
                if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
        return documents
    return work


class Inspector:
    """Reads all guests of one libvirt, read-only and with a deadline.

    Safe to be shared by threads: one reads at a time.

    :param uri: libvirt's URI, opened read-only at the first read and again
        whenever the connection breaks
    :param timeout_s: how long one read, or one fetch of XML, may take
    :param max_stuck: how many calls may be left behind at a time; while
        there are as many, nothing more is asked
    :param opener: opens a connection; for tests
    """

    def __init__(self, uri: str, *, timeout_s: float = 5.0,
                 max_stuck: int = 5, opener: Opener = open_read_only) -> None:
        self.uri = uri
        self._timeout_s = timeout_s
        self._max_stuck = max_stuck
        self._opener = opener
        self._lock = threading.Lock()
        self._reader: _Reader | None = None
        self._stuck: list[_Job[typing.Any]] = []
        self._busy: frozenset[str] = frozenset()

    @property
    def stuck(self) -> int:
        """How many calls have been left behind and not returned yet."""
        return sum(not job.done.is_set() for job in self._stuck)

    def read(self) -> Snapshot:
        """Read every guest; an error is part of the snapshot, not raised."""
        wall_s, monotonic_s = time.time(), time.monotonic()
        try:
            records = self._call(
                lambda connection: _bulk(connection, self._busy))
        except ReadFailed as exc:
            return Snapshot(wall_s, monotonic_s, {}, str(exc))
        self._busy = frozenset(uuid for uuid, record in records.items()
                               if record.busy)
        return Snapshot(wall_s, monotonic_s, records)

    def live_xml(self, uuids: collections.abc.Collection[str]
                 ) -> dict[str, str]:
        """The live XML of these guests; one that is gone is left out.

        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        return self._call(_live_xml(tuple(uuids))) if uuids else {}

    def close(self) -> None:
        """Give the connection back; calls left behind stay behind."""
        with self._lock:
            if self._reader is not None:
                self._reader.retire()
                self._reader = None

    def _call(self, work: collections.abc.Callable[[Connection], _T]) -> _T:
        with self._lock:
            self._stuck = [job for job in self._stuck
                           if not job.done.is_set()]
            if len(self._stuck) >= self._max_stuck:
                raise ReadFailed(
                    f'{len(self._stuck)} calls to libvirt are stuck, as many '
                    f'as [memstat]max_stuck_reads allows')
            if self._reader is None or not self._reader.thread.is_alive():
                self._reader = _Reader(self.uri, self._opener)
            job = self._reader.submit(work)
            if not job.done.wait(self._timeout_s):
                self._stuck.append(job)
                self._reader.retire()
                self._reader = None
                raise ReadFailed(f'libvirt did not answer within '
                                 f'{self._timeout_s:g} s')
            return job.result()
