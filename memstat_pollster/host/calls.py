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

"""What is asked of libvirt: each a function of a connection."""

import collections.abc
import dataclasses
import threading
import time
import typing

from memstat_pollster.host import bindings
from memstat_pollster.host import connection
from memstat_pollster.model import compute
from memstat_pollster.model import observation
from memstat_pollster.model import stats

libvirt = bindings.libvirt

Answer = tuple[typing.Any, dict[str, object]]
_T = typing.TypeVar('_T')
Work = collections.abc.Callable[[connection.Connection], _T]
#: Guests that are not waited for, by UUID: while their monitor is occupied
#: since that time by the wall clock; None: whatever holds them.
Held = collections.abc.Mapping[str, float | None]
Refuse = collections.abc.Callable[[str], str | None]

#: Seconds to wait before a guest that was busy is asked once more.  Any other
#: client that reads a guest's statistics holds its job for a few ms.
RETRIES_S: typing.Final = (0.01, 0.03, 0.1, 0.2)

#: Why a guest was not asked that nothing is known to be wrong with.
NO_CALL_LEFT: typing.Final = (
    'it was not asked: as many calls to libvirt are stuck as '
    '[memstat]max_stuck_reads allows')
LATE: typing.Final = (
    'it was not asked: the time for the cycle, [memstat]read_timeout, was '
    'over')

#: How exactly libvirt's milliseconds say since when a monitor is occupied.
SAME_S: typing.Final = 0.1

#: What libvirt says of one guest where others may well have their XML.
ERRORS_OF_A_GUEST: typing.Final = () if libvirt is None else (
    libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_OPERATION_INVALID,
    libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_ACCESS_DENIED)

#: How many guests one call reads once a read has met a frozen one.
GUESTS_AT_A_TIME: typing.Final = 8


def groups_of(kinds: compute.Kinds) -> int:
    """The groups that libvirt is asked for.

    Memory is in each call: by it a guest that did not answer is told.
    """
    groups = (libvirt.VIR_DOMAIN_STATS_BALLOON
              | libvirt.VIR_DOMAIN_STATS_STATE)
    if compute.INSTANCE in kinds:
        groups |= (libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
                   | libvirt.VIR_DOMAIN_STATS_VCPU
                   | libvirt.VIR_DOMAIN_STATS_PERF)
    if compute.DISKS in kinds:
        groups |= libvirt.VIR_DOMAIN_STATS_BLOCK
    if compute.INTERFACES in kinds:
        groups |= libvirt.VIR_DOMAIN_STATS_INTERFACE
    return int(groups)


def record_of(answer: Answer, keep: bool = False,
              ) -> tuple[str, observation.Record]:
    """A guest's UUID, and its part of libvirt's bulk answer."""
    guest, parameters = answer
    uuid = guest.UUIDString()
    return uuid, observation.Record(uuid, guest.ID(), guest.name(),
                                    stats.parse(parameters),
                                    parameters=parameters if keep else None)


def _stats_of(source: connection.Connection,
              domains: list[typing.Any], kinds: compute.Kinds,
              ) -> list[Answer]:
    """The balloon and state of these guests, and more, with NOWAIT.

    :returns: an empty list when one of them has just ended; what was read
        before stands, and the next cycle has the others
    """
    try:
        return source.domainListGetStats(
            domains, groups_of(kinds),
            libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
    except bindings.LibvirtError as exc:
        if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return []


class Progress:
    """How far a worker is that asks guests one after the other.

    The worker writes it, and who waits for it reads it.

    :ivar asking: UUIDs of the guests that it asks now
    :ivar held: guests that are not waited for, because they were held in the
        last read and still are, by the same command; by UUID, since when
    :ivar gone: guests that are not there any more
    :ivar given_up: set when it is left behind, so that it asks nobody else
        once the guest that holds it up answers
    """

    def __init__(self) -> None:
        self.asking: frozenset[str] = frozenset()
        self.held: dict[str, float | None] = {}
        self.gone: set[str] = set()
        self.given_up = threading.Event()


def _take(source: connection.Connection, answers: list[Answer],
          known_held: Held, found: dict[str, observation.Record],
          progress: Progress, kinds: compute.Kinds) -> None:
    """Keep these answers, and ask those guests again that were busy.

    NOWAIT leaves out QEMU's part of a guest that another job holds, instead
    of waiting for that job for up to 30 s.  Mostly that job is another
    client's reading, over in a moment: those guests, and only those, are
    asked again a few times within a third of a second.  Whoever waits for
    this goes on with that until the deadline.
    """
    for pause_s in (*RETRIES_S, None):
        busy = []
        for answer in answers:
            uuid, record = record_of(answer, bool(kinds))
            found[uuid] = record
            if not record.busy:
                continue
            since_s = (occupied_since(answer[0]) if uuid in known_held
                       else None)
            if is_passed(known_held, uuid, since_s):
                progress.held[uuid] = since_s
            else:
                busy.append(answer[0])
        if not busy or pause_s is None or progress.given_up.wait(pause_s):
            return
        progress.asking = frozenset(each.UUIDString() for each in busy)
        answers = _stats_of(source, busy, kinds)


def read_all(known_held: Held, found: dict[str, observation.Record],
             kinds: compute.Kinds, progress: Progress) -> Work[None]:
    """Read the balloon and state of every guest in one call, into ``found``.

    :param kinds: what is read beside them
    :param known_held: the guests that did not answer to the end of the last
        read, and since when their monitor was occupied.  One that still is,
        by the same command, is not waited for
    """
    def work(source: connection.Connection) -> None:
        found.clear()
        answers = source.getAllDomainStats(
            groups_of(kinds),
            libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
        _take(source, answers, known_held, found, progress, kinds)
    return work


def read_some(uuids: collections.abc.Sequence[str],
              known_held: Held, found: dict[str, observation.Record],
              kinds: compute.Kinds, progress: Progress) -> Work[None]:
    """Read these guests in their order, a few at a time, into ``found``.

    :param known_held: see :func:`read_all`
    """
    def work(source: connection.Connection) -> None:
        domains = {each.UUIDString(): each
                   for each in source.listAllDomains(0)}
        present = [domains[uuid] for uuid in uuids if uuid in domains]
        progress.gone.update(set(uuids) - domains.keys())
        for start in range(0, len(present), GUESTS_AT_A_TIME):
            if progress.given_up.is_set():
                return
            few = present[start:start + GUESTS_AT_A_TIME]
            progress.asking = frozenset(each.UUIDString() for each in few)
            _take(source, _stats_of(source, few, kinds), known_held, found,
                  progress, kinds)
    return work


def live_xml(uuids: collections.abc.Sequence[str], found: dict[str, str],
             gone: set[str], failed: dict[str, str],
             progress: Progress) -> Work[None]:
    """Read the live XML of these guests, one at a time, into ``found``.

    :param gone: gets the UUIDs of those that are not there
    :param failed: gets what libvirt said of those whose XML it has not
    """
    def work(source: connection.Connection) -> None:
        domains = {each.UUIDString(): each
                   for each in source.listAllDomains(0)}
        for uuid in uuids:
            if progress.given_up.is_set():
                return
            progress.asking = frozenset((uuid,))
            try:
                found[uuid] = domains[uuid].XMLDesc(0)
            except KeyError:
                gone.add(uuid)
            except bindings.LibvirtError as exc:
                if exc.get_error_code() in ERRORS_OF_A_GUEST:
                    # Of a guest that is held libvirt 11.0 to 11.4 say so
                    # after 30 s.
                    failed[uuid] = connection.failed(exc).args[0]
                elif exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    gone.add(uuid)
                else:
                    raise
    return work


def unasked(records: dict[str, observation.Record],
            uuids: collections.abc.Iterable[str],
            late: bool) -> dict[str, observation.Record]:
    """The same records; those of guests that were not asked say why.

    :param uuids: of guests that a read has not come to
    :param late: whether the time was over; otherwise the calls were used up
    """
    for uuid in uuids:
        record = records.get(uuid)
        if record is not None and record.busy and record.trouble is None:
            records[uuid] = dataclasses.replace(
                record, trouble=LATE if late else NO_CALL_LEFT)
    return records


def list_states(source: connection.Connection
                ) -> dict[str, observation.Record]:
    """The state of every guest; asks no QEMU, so it cannot get stuck.

    One by one: libvirtd answers that even where all threads that make calls
    which may take long are stuck.  A bulk call for the state needs such a
    thread.
    """
    found = {}
    for each in source.listAllDomains(0):
        try:
            state, reason = each.state()
        except bindings.LibvirtError as exc:
            if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            continue  # it has just ended
        uuid, record = record_of((each, {'state.state': state,
                                         'state.reason': reason}))
        found[uuid] = record
    return found


def list_runs(source: connection.Connection) -> frozenset[tuple[str, int]]:
    """Each guest that runs: its UUID, and libvirt's id of the run."""
    return frozenset(
        (each.UUIDString(), each.ID()) for each in source.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))


def occupied_since(guest: typing.Any) -> float | None:
    """Since when a guest's monitor is occupied, seconds since the epoch.

    It asks no QEMU.  The time tells one command from another: it stays the
    same for as long as the command takes, also where the clock is set.

    :returns: None for one that is free, or in a long job
    """
    return _control(guest)[1]


def _control(guest: typing.Any) -> tuple[int | None, float | None]:
    """What libvirt says of a guest's monitor, and since when it is occupied.

    :returns: nothing of a guest that has just ended
    """
    try:
        state, _detail, milliseconds = guest.controlInfo()
    except bindings.LibvirtError as exc:
        if exc.get_error_code() not in (
                libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise
        return None, None
    if state != libvirt.VIR_DOMAIN_CONTROL_OCCUPIED:
        return state, None
    if milliseconds >= 1 << 31:
        # An unsigned number of 32 bits: the clock was set back meanwhile.
        milliseconds -= 1 << 32
    return state, time.time() - milliseconds / 1000


def is_same(before_s: float, since_s: float) -> bool:
    """Whether a monitor is still occupied with the same command.

    :param before_s: since when it was at an earlier look
    :param since_s: since when it is now
    """
    return abs(since_s - before_s) <= SAME_S


def is_passed(known_held: Held, uuid: str, since_s: float | None) -> bool:
    """Whether a guest that does not answer is not waited for.

    :param since_s: since when its monitor is occupied; None if it is free
    """
    if uuid not in known_held:
        return False
    before_s = known_held[uuid]
    return before_s is None or (
        since_s is not None and is_same(before_s, since_s))


def occupied(uuids: collections.abc.Collection[str] | None = None,
             ) -> Work[dict[str, float | None]]:
    """Since when the monitors of guests are occupied.

    :param uuids: of the guests that are looked at; None: all
    :returns: by UUID; without guests whose monitor is free.  None of one that
        is in a step of a long job, as a migration: libvirt says since when
        that job lasts, and not the step
    """
    def work(source: connection.Connection) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for each in source.listAllDomains(
                libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            uuid = each.UUIDString()
            if uuids is None or uuid in uuids:
                state, since_s = _control(each)
                if state in (libvirt.VIR_DOMAIN_CONTROL_OCCUPIED,
                             libvirt.VIR_DOMAIN_CONTROL_JOB):
                    found[uuid] = since_s
        return found
    return work


def set_period(uuid: str, period_s: int, refuse: Refuse) -> Work[None]:
    """Have QEMU ask a running guest for statistics from now on.

    :param refuse: asked with the guest's live XML right before; says why
        the period must not be set, or None
    """
    def work(source: connection.Connection) -> None:
        found = source.lookupByUUIDString(uuid)
        for pause_s in (*RETRIES_S, None):
            if found.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_OK:
                break
            if pause_s is None:
                raise observation.ReadFailed(
                    'another job (a migration, a snapshot, a call that is '
                    'stuck) holds it')
            time.sleep(pause_s)
        reason = refuse(found.XMLDesc(0))
        if reason is not None:
            raise observation.ReadFailed(reason)
        found.setMemoryStatsPeriod(period_s, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    return work


def _version(number: int) -> tuple[int, int, int]:
    """libvirt's way to write a version: 1,000,000 * major + 1,000 * minor."""
    major, rest = divmod(number, 1_000_000)
    return major, *divmod(rest, 1_000)


def host_facts(source: connection.Connection) -> observation.HostFacts:
    """What libvirt says of the host."""
    number = source.getVersion()
    return observation.HostFacts(
        name=source.getHostname(),
        memory_kib=source.getInfo()[1] * 1024,
        libvirt=_version(source.getLibVersion()),
        hypervisor=source.getType(),
        hypervisor_version=_version(number) if number > 0 else None)
