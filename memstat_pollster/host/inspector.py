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
import dataclasses
import errno
import grp
import os
import pathlib
import queue
import re
import stat
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

from memstat_pollster.model import stats

_T = typing.TypeVar('_T')

#: Seconds to wait before a guest that was busy is asked once more.  Any other
#: client that reads a guest's statistics holds its job for a few ms.
RETRIES_S: typing.Final = (0.01, 0.03, 0.1, 0.2)

#: How many guests one call reads once a read has met a frozen one.
GUESTS_AT_A_TIME: typing.Final = 8

#: How long libvirt may take over what it knows without asking any QEMU, at
#: the least; measured at under 1.5 ms, with frozen guests and 200 healthy
#: ones.  On a host where reading may take longer so may this.
PATIENCE_WITH_LIBVIRT_S: typing.Final = 1.0
PATIENCE_SHARE: typing.Final = 0.2


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
    :ivar advice: what to do about that; None where nothing is known
    """

    wall_s: float
    monotonic_s: float
    records: collections.abc.Mapping[str, Record]
    error: str | None = None
    advice: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """The host as libvirt describes it.

    :ivar name: its host name
    :ivar memory_kib: all of its memory; libvirt gives whole MiB
    :ivar libvirt: the daemon's version, (major, minor, release)
    :ivar hypervisor: libvirt's word for what it drives: QEMU
    :ivar hypervisor_version: of the one that new guests get; None when
        libvirt does not know
    """

    name: str
    memory_kib: int
    libvirt: tuple[int, int, int]
    hypervisor: str
    hypervisor_version: tuple[int, int, int] | None


class ReadFailed(Exception):
    """libvirt answered with an error; the message is for an operator.

    :ivar advice: what to do about it; None where nothing is known
    """

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


class Connection(typing.Protocol):
    """The part of ``libvirt.virConnect`` that is used."""

    def getAllDomainStats(self, stats: int = 0, flags: int = 0) -> list[
            tuple[typing.Any, dict[str, object]]]: ...

    def domainListGetStats(
            self, doms: list[typing.Any], stats: int = 0, flags: int = 0,
            ) -> list[tuple[typing.Any, dict[str, object]]]: ...

    def listAllDomains(self, flags: int = 0) -> list[typing.Any]: ...

    def getHostname(self) -> str: ...

    def getInfo(self) -> list[typing.Any]: ...

    def getLibVersion(self) -> int: ...

    def getType(self) -> str: ...

    def getVersion(self) -> int: ...

    def lookupByUUIDString(self, uuid: str) -> typing.Any: ...

    def close(self) -> int: ...


Opener = collections.abc.Callable[[str], Connection]
Refuse = collections.abc.Callable[[str], str | None]


_NOT_INSTALLED: typing.Final = (
    'libvirt-python is not installed: install it (on Debian, Ubuntu and RHEL '
    'python3-libvirt)')


def _no_output(context: object, error: object) -> None:
    """Instead of libvirt's default, which prints every error to stderr."""


def open_read_only(uri: str) -> Connection:
    """Open libvirt's read-only socket.

    :raises ReadFailed: when libvirt-python is not installed
    :raises libvirt.libvirtError: when libvirt cannot be reached
    """
    if libvirt is None:
        raise ReadFailed(_NOT_INSTALLED)
    # Errors arrive as exceptions; a second copy on stderr in every cycle of
    # an outage would fill the journal.
    libvirt.registerErrorHandler(_no_output, None)
    return typing.cast(Connection, libvirt.openReadOnly(uri))


def open_read_write(uri: str) -> Connection:
    """Open libvirt's other socket, which takes changes.

    :raises ReadFailed: when libvirt-python is not installed
    :raises libvirt.libvirtError: when libvirt cannot be reached, or refuses
    """
    if libvirt is None:
        raise ReadFailed(_NOT_INSTALLED)
    libvirt.registerErrorHandler(_no_output, None)
    return typing.cast(Connection, libvirt.open(uri))


def _message(exc: Exception) -> str:
    return ' '.join(str(exc).split()) or type(exc).__name__


def _failed(exc: typing.Any) -> ReadFailed:
    """A libvirtError, mapped."""
    message = _message(exc)
    return ReadFailed(message, _advice(exc.get_error_code(), message))


def _advice(code: int | None, message: str) -> str | None:
    """What an operator can do about an error of libvirt's.

    A socket that cannot be used is VIR_ERR_SYSTEM_ERROR with the system's
    own words; polkit's refusals have codes of their own.
    """
    if code == libvirt.VIR_ERR_SYSTEM_ERROR:
        if os.strerror(errno.EACCES) in message:
            return _who_may_use(message)
        if (os.strerror(errno.ENOENT) in message
                or os.strerror(errno.ECONNREFUSED) in message):
            return ('see that libvirtd or virtqemud runs ("systemctl status '
                    'libvirtd virtqemud") and that libvirt_uri is its URI')
    if code in (libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_ERR_AUTH_CANCELLED,
                libvirt.VIR_ERR_AUTH_UNAVAILABLE):
        return ('polkit does not let this user in: go on as root or as a '
                'member of the group libvirt, or with a rule for the action '
                'that is named')
    if code == libvirt.VIR_ERR_OPERATION_DENIED:
        return "go on as root, with libvirt's read-write socket"
    return None


_AS_ROOT: typing.Final = 'go on as root or as a member of the group libvirt'


def _who_may_use(message: str) -> str:
    """Whom the socket that an error names is open to."""
    named = re.search("'(/[^']+)'", message)
    if named is None:
        return _AS_ROOT
    try:
        found = pathlib.Path(named.group(1)).stat()
        group = grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return _AS_ROOT
    return (f'the socket is open to its owner and the group {group} (mode '
            f'{stat.S_IMODE(found.st_mode):04o}): go on as root or as a '
            f'member of that group')


class _Job(typing.Generic[_T]):
    """One piece of work for a reader, and what came of it."""

    def __init__(self, work: collections.abc.Callable[[Connection], _T]):
        self.work = work
        self.done = threading.Event()
        self._value: _T | None = None
        self._error: ReadFailed | None = ReadFailed(
            'the reader ended without an answer')

    def run(self, reader: '_Reader') -> None:
        try:
            self._value, self._error = self._attempt(reader), None
        except ReadFailed as exc:
            self._error = exc
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
                raise _failed(exc) from exc
        try:
            return self.work(reader.connect())
        except LibvirtError as exc:
            reader.disconnect()
            raise _failed(exc) from exc

    def result(self) -> _T:
        """What the work returned.

        :raises ReadFailed: when libvirt answered with an error
        """
        if self._error is not None:
            raise self._error
        return typing.cast(_T, self._value)


class _Reader:
    """A daemon thread with a connection that nobody else uses."""

    def __init__(self, uri: str, opener: Opener) -> None:
        self._uri, self._opener = uri, opener
        self._jobs: queue.SimpleQueue[_Job[typing.Any] | None] = (
            queue.SimpleQueue())
        self.connection: Connection | None = None
        #: What it was left behind on: UUIDs of guests that do not answer.
        self.held_by: frozenset[str] = frozenset()
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


def _record(answer: tuple[typing.Any, dict[str, object]]
            ) -> tuple[str, Record]:
    domain, parameters = answer
    uuid = domain.UUIDString()
    return uuid, Record(uuid, domain.ID(), domain.name(),
                        stats.parse(parameters))


def _stats_of(connection: Connection, domains: list[typing.Any]
              ) -> list[tuple[typing.Any, dict[str, object]]]:
    """The balloon and state of these guests, with NOWAIT.

    :returns: an empty list when one of them has just ended; what was read
        before stands, and the next cycle has the others
    """
    try:
        return connection.domainListGetStats(
            domains,
            libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_STATE,
            libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
    except LibvirtError as exc:
        if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return []


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
    records: dict[str, Record] = {}
    answers = connection.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_STATE,
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
    for pause_s in (*RETRIES_S, None):
        busy = []
        for answer in answers:
            uuid, record = _record(answer)
            records[uuid] = record
            if record.busy and uuid not in known_busy:
                busy.append(answer[0])
        if not busy or pause_s is None:
            break
        time.sleep(pause_s)
        answers = _stats_of(connection, busy)
    return records


def _live_xml(uuids: collections.abc.Set[str]
              ) -> collections.abc.Callable[[Connection], dict[str, str]]:
    def work(connection: Connection) -> dict[str, str]:
        documents = {}
        for domain in connection.listAllDomains(0):
            uuid = domain.UUIDString()
            if uuid not in uuids:
                continue
            try:
                documents[uuid] = domain.XMLDesc(0)
            except LibvirtError as exc:
                if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
        return documents
    return work


def _read_some(uuids: collections.abc.Sequence[str],
               found: dict[str, Record], given_up: threading.Event,
               ) -> collections.abc.Callable[[Connection], None]:
    """Read these guests in their order, a few at a time, into ``found``.

    :param given_up: set when the reader was left behind, so that it asks
        nobody else once the guest that holds it answers
    """
    def work(connection: Connection) -> None:
        domains = {domain.UUIDString(): domain
                   for domain in connection.listAllDomains(0)}
        present = [domains[uuid] for uuid in uuids if uuid in domains]
        for start in range(0, len(present), GUESTS_AT_A_TIME):
            if given_up.is_set():
                return
            few = present[start:start + GUESTS_AT_A_TIME]
            found.update(map(_record, _stats_of(connection, few)))
    return work


def _list_states(connection: Connection) -> dict[str, Record]:
    """The state of every guest; asks no QEMU, so it cannot get stuck."""
    return dict(map(_record, connection.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_STATE, 0)))


def _occupied(since_s: float) -> collections.abc.Callable[
        [Connection], frozenset[str]]:
    """UUIDs of the guests whose monitor has been occupied for that long."""
    def work(connection: Connection) -> frozenset[str]:
        found = set()
        for domain in connection.listAllDomains(
                libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            try:
                state, _detail, milliseconds = domain.controlInfo()
            except LibvirtError as exc:
                if exc.get_error_code() not in (
                        libvirt.VIR_ERR_NO_DOMAIN,
                        libvirt.VIR_ERR_OPERATION_INVALID):
                    raise
                continue  # it has just ended
            if (state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED
                    and milliseconds >= since_s * 1000):
                found.add(domain.UUIDString())
        return frozenset(found)
    return work


def _version(number: int) -> tuple[int, int, int]:
    """libvirt's way to write a version: 1,000,000 * major + 1,000 * minor."""
    major, rest = divmod(number, 1_000_000)
    return major, *divmod(rest, 1_000)


def _host(connection: Connection) -> Host:
    number = connection.getVersion()
    return Host(
        name=connection.getHostname(),
        memory_kib=connection.getInfo()[1] * 1024,
        libvirt=_version(connection.getLibVersion()),
        hypervisor=connection.getType(),
        hypervisor_version=_version(number) if number > 0 else None)


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
                 max_stuck: int = 5, opener: Opener = open_read_only,
                 writer: Opener = open_read_write) -> None:
        self.uri = uri
        self._timeout_s = timeout_s
        self._patience_s = max(PATIENCE_WITH_LIBVIRT_S,
                               timeout_s * PATIENCE_SHARE)
        self._max_stuck = max_stuck
        self._opener, self._writer = opener, writer
        self._lock = threading.Lock()
        self._reader: _Reader | None = None
        self._watch: _Reader | None = None
        self._left_behind: list[_Reader] = []
        self._watch_job: _Job[typing.Any] | None = None
        self._busy: frozenset[str] = frozenset()
        self._unasked: dict[str, None] = {}
        self._was_late = False
        self._usual_s = 0.0

    @property
    def stuck(self) -> int:
        """How many readers are held up by a call of theirs at present."""
        return (sum(reader.thread.is_alive() for reader in self._left_behind)
                + self._watch_is_stuck())

    def read(self) -> Snapshot:
        """Read every guest; an error is part of the snapshot, not raised.

        A guest that could not be read in time is in it with nothing but its
        state.
        """
        with self._lock:
            wall_s, monotonic_s = time.time(), time.monotonic()
            try:
                records = self._read(monotonic_s + self._timeout_s)
            except ReadFailed as exc:
                return Snapshot(wall_s, monotonic_s, {}, str(exc),
                                exc.advice)
            self._busy = frozenset(uuid for uuid, record in records.items()
                                   if record.busy)
            return Snapshot(wall_s, monotonic_s, records)

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
            return self._ask_watch(_live_xml(frozenset(uuids)),
                                   self._timeout_s)

    def host(self) -> Host:
        """What libvirt says of the host.

        :raises ReadFailed: when libvirt fails or does not answer in time
        """
        with self._lock:
            return self._ask_watch(_host, self._timeout_s)

    def set_period(self, uuid: str, period_s: int, refuse: Refuse) -> None:
        """Have QEMU ask a running guest for statistics from now on.

        The only thing here that changes anything; the agent never does it.
        It changes the guest's live XML and not the one that libvirt starts
        the guest with next time.

        :param refuse: asked with the guest's live XML right before; says why
            the period must not be set, or None
        :raises ReadFailed: when that refuses, or libvirt does, or when it
            does not answer in time: then the period may still be set later
        """
        def work(connection: Connection) -> None:
            domain = connection.lookupByUUIDString(uuid)
            reason = refuse(domain.XMLDesc(0))
            if reason is not None:
                raise ReadFailed(reason)
            domain.setMemoryStatsPeriod(period_s,
                                        libvirt.VIR_DOMAIN_AFFECT_LIVE)

        with self._lock:
            if self.stuck >= self._max_stuck:
                raise ReadFailed('too many calls to libvirt are stuck already')
            writer = _Reader(self.uri, self._writer)
            job = writer.submit(work)
            writer.retire()
            if not job.done.wait(self._timeout_s):
                writer.held_by = frozenset((uuid,))
                self._left_behind.append(writer)
                raise ReadFailed(
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

    def _read(self, deadline: float) -> dict[str, Record]:
        # A reader ends when its call has returned and its connection closed.
        self._left_behind = [reader for reader in self._left_behind
                             if reader.thread.is_alive()]
        if self._watch_is_stuck():
            raise ReadFailed('libvirt still does not answer')
        if not self._unasked and len(self._left_behind) < self._max_stuck:
            began = time.monotonic()
            job = self._start(lambda connection: _bulk(connection,
                                                       self._busy))
            held = self._wait(job, deadline)
            if held is None:
                records = job.result()
                self._usual_s = time.monotonic() - began
                return records
            return self._read_around(held, deadline)
        return self._read_around(frozenset(), deadline)

    def _read_around(self, held: collections.abc.Set[str],
                     deadline: float) -> dict[str, Record]:
        """Read what can be read beside guests that do not answer.

        :param held: UUIDs of guests that a call has just been left behind on
        """
        records = self._ask_watch(_list_states, self._patience_s)
        # Those that a read did not come to are asked last, longest first;
        # where it was time alone that ran out they have their turn.
        known = [uuid for uuid in records if uuid not in self._unasked]
        waiting = [uuid for uuid in self._unasked if uuid in records]
        order = waiting + known if self._was_late else known + waiting
        asked = set(held)
        while (len(self._left_behind) < self._max_stuck
                and time.monotonic() < deadline):
            found: dict[str, Record] = {}
            given_up = threading.Event()
            job = self._start(_read_some(
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

    def _wait(self, job: _Job[typing.Any],
              deadline: float) -> frozenset[str] | None:
        """Wait for a call; leave it behind when it is stuck or too late.

        :returns: None when the call has returned; else the UUIDs of the
            guests that it is stuck on, none where it is merely too late
        :raises ReadFailed: when libvirt itself does not answer
        """
        patience = min(max(self._timeout_s / 10, 3 * self._usual_s),
                       self._timeout_s / 3)
        while not job.done.wait(min(patience,
                                    max(deadline - time.monotonic(), 0.0))):
            try:
                occupied = self._ask_watch(_occupied(patience * 0.8),
                                           self._patience_s)
            except ReadFailed:
                self._leave_reader(frozenset())
                raise
            if job.done.is_set():
                break
            # The monitors that earlier calls were left behind on stay
            # occupied by those; this call passes them over.
            held = occupied.difference(
                *(reader.held_by for reader in self._left_behind))
            if held or time.monotonic() >= deadline:
                self._leave_reader(held)
                return held
        return None

    def _start(self, work: collections.abc.Callable[[Connection], _T]
               ) -> _Job[_T]:
        if self._reader is None or not self._reader.thread.is_alive():
            self._reader = _Reader(self.uri, self._opener)
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
            not self._watch_job.done.is_set())

    def _ask_watch(self, work: collections.abc.Callable[[Connection], _T],
                   timeout_s: float) -> _T:
        """What libvirt says without asking any QEMU.

        :raises ReadFailed: when libvirt fails or does not answer, now or
            since an earlier question
        """
        if self._watch_is_stuck():
            raise ReadFailed('libvirt still does not answer')
        if self._watch is None or not self._watch.thread.is_alive():
            self._watch = _Reader(self.uri, self._opener)
        job = self._watch_job = self._watch.submit(work)
        if not job.done.wait(timeout_s):
            raise ReadFailed(f'libvirt did not answer within {timeout_s:g} s')
        return typing.cast(_T, job.result())
