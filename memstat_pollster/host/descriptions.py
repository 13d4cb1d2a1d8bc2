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

"""What libvirt says of guests without asking them: names and states."""

import collections.abc
import dataclasses
import time
import typing

from memstat_pollster.host import bindings
from memstat_pollster.host import calls
from memstat_pollster.host import connection
from memstat_pollster.host import processes
from memstat_pollster.model import domain

libvirt = bindings.libvirt


def nova_metadata(uuids: collections.abc.Collection[str],
                  ) -> calls.Work[dict[str, str]]:
    """Nova's part of these guests' metadata, as XML, where there is one.

    Unlike XMLDesc this waits for no guest's job on any libvirt that was
    tried, but as that for a thread of libvirtd's: doc/source/hangs.rst.
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
             ) -> calls.Work[list[Description]]:
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
        for pause_s in calls.RETRIES_S if busy else ():
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
