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
import threading
import time
import typing

from memstat_pollster.host import bindings
from memstat_pollster.host import connection
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

#: How many guests one call reads once a read has met a frozen one.
GUESTS_AT_A_TIME: typing.Final = 8


def record_of(answer: Answer) -> tuple[str, observation.Record]:
    """A guest's UUID, and its part of libvirt's bulk answer."""
    domain, parameters = answer
    uuid = domain.UUIDString()
    return uuid, observation.Record(uuid, domain.ID(), domain.name(),
                                    stats.parse(parameters))


def _stats_of(source: connection.Connection,
              domains: list[typing.Any]) -> list[Answer]:
    """The balloon and state of these guests, with NOWAIT.

    :returns: an empty list when one of them has just ended; what was read
        before stands, and the next cycle has the others
    """
    try:
        return source.domainListGetStats(
            domains,
            libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_STATE,
            libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
    except bindings.LibvirtError as exc:
        if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return []


def bulk(source: connection.Connection,
         known_busy: collections.abc.Collection[str],
         ) -> dict[str, observation.Record]:
    """Read the balloon and state of every guest in one call.

    NOWAIT leaves out QEMU's part of a guest that another job holds, instead
    of waiting for that job for up to 30 s.  Mostly that job is another
    client's reading, over in a moment: those guests, and only those, are
    asked again a few times within a third of a second.

    :param known_busy: UUIDs of the guests that were busy to the end of the
        last read: a migration, or a QEMU that hangs.  They are not waited for
    """
    records: dict[str, observation.Record] = {}
    answers = source.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_STATE,
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
    for pause_s in (*RETRIES_S, None):
        busy = []
        for answer in answers:
            uuid, record = record_of(answer)
            records[uuid] = record
            if record.busy and uuid not in known_busy:
                busy.append(answer[0])
        if not busy or pause_s is None:
            break
        time.sleep(pause_s)
        answers = _stats_of(source, busy)
    return records


def live_xml(uuids: collections.abc.Set[str]) -> Work[dict[str, str]]:
    """The live XML of these guests, without those that are gone."""
    def work(source: connection.Connection) -> dict[str, str]:
        documents = {}
        for domain in source.listAllDomains(0):
            uuid = domain.UUIDString()
            if uuid not in uuids:
                continue
            try:
                documents[uuid] = domain.XMLDesc(0)
            except bindings.LibvirtError as exc:
                if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
        return documents
    return work


def read_some(uuids: collections.abc.Sequence[str],
              found: dict[str, observation.Record],
              given_up: threading.Event) -> Work[None]:
    """Read these guests in their order, a few at a time, into ``found``.

    :param given_up: set when the reader was left behind, so that it asks
        nobody else once the guest that holds it answers
    """
    def work(source: connection.Connection) -> None:
        domains = {domain.UUIDString(): domain
                   for domain in source.listAllDomains(0)}
        present = [domains[uuid] for uuid in uuids if uuid in domains]
        for start in range(0, len(present), GUESTS_AT_A_TIME):
            if given_up.is_set():
                return
            few = present[start:start + GUESTS_AT_A_TIME]
            found.update(map(record_of, _stats_of(source, few)))
    return work


def list_states(source: connection.Connection
                ) -> dict[str, observation.Record]:
    """The state of every guest; asks no QEMU, so it cannot get stuck."""
    return dict(map(record_of, source.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_STATE, 0)))


def occupied(since_s: float) -> Work[frozenset[str]]:
    """UUIDs of the guests whose monitor has been occupied for that long."""
    def work(source: connection.Connection) -> frozenset[str]:
        found = set()
        for domain in source.listAllDomains(
                libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            try:
                state, _detail, milliseconds = domain.controlInfo()
            except bindings.LibvirtError as exc:
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


def set_period(uuid: str, period_s: int, refuse: Refuse) -> Work[None]:
    """Have QEMU ask a running guest for statistics from now on.

    :param refuse: asked with the guest's live XML right before; says why
        the period must not be set, or None
    """
    def work(source: connection.Connection) -> None:
        domain = source.lookupByUUIDString(uuid)
        reason = refuse(domain.XMLDesc(0))
        if reason is not None:
            raise observation.ReadFailed(reason)
        domain.setMemoryStatsPeriod(period_s, libvirt.VIR_DOMAIN_AFFECT_LIVE)
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
