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
from memstat_pollster.host import processes
from memstat_pollster.model import compute
from memstat_pollster.model import domain
from memstat_pollster.model import observation
from memstat_pollster.model import stats

libvirt = bindings.libvirt

Answer = tuple[typing.Any, dict[str, object]]
_T = typing.TypeVar('_T')
Work = collections.abc.Callable[[connection.Connection], _T]
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
    :ivar given_up: set when it is left behind, so that it asks nobody else
        once the guest that holds it up answers
    """

    def __init__(self) -> None:
        self.asking: frozenset[str] = frozenset()
        self.given_up = threading.Event()


def _take(source: connection.Connection, answers: list[Answer],
          known_busy: collections.abc.Collection[str],
          found: dict[str, observation.Record], progress: Progress,
          kinds: compute.Kinds) -> None:
    """Keep these answers, and ask those guests again that were busy.

    NOWAIT leaves out QEMU's part of a guest that another job holds, instead
    of waiting for that job for up to 30 s.  Mostly that job is another
    client's reading, over in a moment: those guests, and only those, are
    asked again a few times within a third of a second.
    """
    for pause_s in (*RETRIES_S, None):
        busy = []
        for answer in answers:
            uuid, record = record_of(answer, bool(kinds))
            found[uuid] = record
            if record.busy and uuid not in known_busy:
                busy.append(answer[0])
        if not busy or pause_s is None or progress.given_up.wait(pause_s):
            return
        progress.asking = frozenset(each.UUIDString() for each in busy)
        answers = _stats_of(source, busy, kinds)


def read_all(known_busy: collections.abc.Collection[str],
             found: dict[str, observation.Record], kinds: compute.Kinds,
             progress: Progress) -> Work[None]:
    """Read the balloon and state of every guest in one call, into ``found``.

    :param kinds: what is read beside them
    :param known_busy: UUIDs of the guests that were busy to the end of the
        last read: a migration, or a QEMU that hangs.  They are not waited for
    """
    def work(source: connection.Connection) -> None:
        found.clear()
        answers = source.getAllDomainStats(
            groups_of(kinds),
            libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
        _take(source, answers, known_busy, found, progress, kinds)
    return work


def read_some(uuids: collections.abc.Sequence[str],
              known_busy: collections.abc.Collection[str],
              found: dict[str, observation.Record], kinds: compute.Kinds,
              progress: Progress) -> Work[None]:
    """Read these guests in their order, a few at a time, into ``found``.

    :param known_busy: see :func:`read_all`
    """
    def work(source: connection.Connection) -> None:
        domains = {each.UUIDString(): each
                   for each in source.listAllDomains(0)}
        present = [domains[uuid] for uuid in uuids if uuid in domains]
        for start in range(0, len(present), GUESTS_AT_A_TIME):
            if progress.given_up.is_set():
                return
            few = present[start:start + GUESTS_AT_A_TIME]
            progress.asking = frozenset(each.UUIDString() for each in few)
            _take(source, _stats_of(source, few, kinds), known_busy, found,
                  progress, kinds)
    return work


def live_xml(uuids: collections.abc.Sequence[str], found: dict[str, str],
             gone: set[str], progress: Progress) -> Work[None]:
    """Read the live XML of these guests, one at a time, into ``found``.

    :param gone: gets the UUIDs of those that are not there
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
                if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
                gone.add(uuid)
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


def nova_metadata(uuids: collections.abc.Collection[str],
                  ) -> Work[dict[str, str]]:
    """Nova's part of these guests' metadata, as XML, where there is one.

    Unlike XMLDesc this waits for no guest's job on any libvirt that was
    tried: doc/source/hangs.rst.
    """
    def work(source: connection.Connection) -> dict[str, str]:
        found = {}
        for each in source.listAllDomains(0):
            if each.UUIDString() not in uuids:
                continue
            for namespace in domain.NOVA_NAMESPACES:
                try:
                    found[each.UUIDString()] = each.metadata(
                        libvirt.VIR_DOMAIN_METADATA_ELEMENT, namespace, 0)
                    break
                except bindings.LibvirtError as exc:
                    if exc.get_error_code() not in (
                            libvirt.VIR_ERR_NO_DOMAIN,
                            libvirt.VIR_ERR_NO_DOMAIN_METADATA):
                        raise
        return found
    return work


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """What libvirt says of a guest without asking it.

    :ivar state: libvirt's state and reason
    :ivar metadata: Nova's part of its metadata, or why there is none, by
        namespace, of the newest that it has
    :ivar is_held: a job has held it for longer than a reading takes
    """

    uuid: str
    domain_id: int
    name: str
    state: tuple[int, ...]
    metadata: dict[str, 'str | bindings.LibvirtError']
    is_held: bool = False

    @property
    def run(self) -> processes.Run:
        """Which run of QEMU it is; its id is -1 when shut off."""
        return self.uuid, self.domain_id


def describe(known: collections.abc.Container[processes.Run],
             ) -> Work[list[Description]]:
    """Describe every guest; asks no QEMU and waits for no guest's job.

    :param known: runs of which it does not matter whether they are held
    """
    def work(source: connection.Connection) -> list[Description]:
        found, busy = {}, []
        for each in source.listAllDomains(0):
            try:
                uuid, domain_id = each.UUIDString(), each.ID()
                found[uuid] = Description(
                    uuid, domain_id, each.name(), tuple(each.state()),
                    _metadata_of(each))
                if (uuid, domain_id) not in known and not _is_free(each):
                    busy.append(each)
            except bindings.LibvirtError as exc:
                if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
                # It has just gone.
        for pause_s in RETRIES_S if busy else ():
            time.sleep(pause_s)
            busy = [each for each in busy if not _is_free(each)]
        for each in busy:
            uuid = each.UUIDString()
            found[uuid] = dataclasses.replace(found[uuid], is_held=True)
        return list(found.values())
    return work


def _metadata_of(guest: typing.Any,
                 ) -> dict[str, 'str | bindings.LibvirtError']:
    found: dict[str, str | bindings.LibvirtError] = {}
    for namespace in domain.NOVA_NAMESPACES:
        try:
            found[namespace] = guest.metadata(
                libvirt.VIR_DOMAIN_METADATA_ELEMENT, namespace, 0)
            break
        except bindings.LibvirtError as exc:
            if (exc.get_error_code()
                    != libvirt.VIR_ERR_NO_DOMAIN_METADATA):
                raise
            found[namespace] = exc
    return found


def _is_free(guest: typing.Any) -> bool:
    """Whether no job holds a guest.

    VIR_DOMAIN_CONTROL_JOB is a job that asks QEMU nothing at the moment.
    """
    try:
        return bool(guest.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_OK)
    except bindings.LibvirtError as exc:
        if exc.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN,
                                        libvirt.VIR_ERR_OPERATION_INVALID):
            raise
        return True  # it does not run


def list_states(source: connection.Connection
                ) -> dict[str, observation.Record]:
    """The state of every guest; asks no QEMU, so it cannot get stuck."""
    return dict(record_of(answer) for answer in source.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_STATE, 0))


def list_runs(source: connection.Connection) -> frozenset[tuple[str, int]]:
    """Each guest that runs: its UUID, and libvirt's id of the run."""
    return frozenset(
        (each.UUIDString(), each.ID()) for each in source.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))


def occupied(source: connection.Connection) -> dict[str, float]:
    """For how many seconds each guest's monitor has been occupied.

    :returns: by UUID; without guests whose monitor is free
    """
    found = {}
    for each in source.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            state, _detail, milliseconds = each.controlInfo()
        except bindings.LibvirtError as exc:
            if exc.get_error_code() not in (
                    libvirt.VIR_ERR_NO_DOMAIN,
                    libvirt.VIR_ERR_OPERATION_INVALID):
                raise
            continue  # it has just ended
        if state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED:
            found[each.UUIDString()] = milliseconds / 1000
    return found


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
