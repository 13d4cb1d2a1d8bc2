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

"""One guest's balloon statistics: parsed, and told possible from impossible.

The numbers come from the guest's balloon driver through QEMU and libvirt,
and everything but the time stamp is the guest's to choose: a hostile tenant
can put any 64-bit value into any field.  Nothing here trusts them, and
nothing here does I/O.

All amounts of memory are in KiB, as in libvirt.  A value that is missing or
is no number is None, never 0.
"""

import dataclasses
import typing


#: virDomainState
STATE_RUNNING: typing.Final = 1
STATE_BLOCKED: typing.Final = 2
STATE_PAUSED: typing.Final = 3
STATE_SHUTOFF: typing.Final = 5

#: virDomainState values of a guest whose virtual CPUs run.  "Blocked" is
#: waiting for a resource; ceilometer and Nova count it as running too.
RUNNING_STATES: typing.Final = frozenset((STATE_RUNNING, STATE_BLOCKED))

#: virDomainState -> the word used to describe it.
STATE_WORDS: typing.Final = {
    0: 'in no known state',
    1: 'running',
    2: 'blocked',
    3: 'paused',
    4: 'shutting down',
    5: 'shut off',
    6: 'crashed',
    7: 'suspended by its own power management',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What libvirt said of one guest, in KiB and seconds; missing is None.

    :ivar state: virDomainState, from libvirt's own memory
    :ivar reason: why it is in that state (virDomainRunningReason and kin)
    :ivar current_kib: memory given to the guest, as libvirt keeps it from
        QEMU's last balloon event.  That event says what the guest wrote into
        its ``actual`` register: a hostile guest can claim to have given back
        any amount (measured: 2**32 - 1 pages make it 18014381330137092)
    :ivar maximum_kib: the most memory the guest can have, from its XML
    :ivar rss_kib: memory of the QEMU process on the host; None when 0, which
        is what libvirt says of a QEMU killed while it was being read
    :ivar last_update_s: host time of the guest's last record, whole seconds
        since the epoch; 0: it never sent one
    :ivar available_kib: the guest's MemTotal (stat-total-memory)
    :ivar unused_kib: MemFree (stat-free-memory)
    :ivar usable_kib: MemAvailable (stat-available-memory)
    :ivar disk_caches_kib: Cached (stat-disk-caches)
    :ivar swap_in_kib: swapped in since the guest's boot
    :ivar swap_out_kib: swapped out since the guest's boot
    """

    state: int | None = None
    reason: int | None = None
    current_kib: int | None = None
    maximum_kib: int | None = None
    rss_kib: int | None = None
    last_update_s: int | None = None
    available_kib: int | None = None
    unused_kib: int | None = None
    usable_kib: int | None = None
    disk_caches_kib: int | None = None
    swap_in_kib: int | None = None
    swap_out_kib: int | None = None

    @property
    def running(self) -> bool:
        """Whether the guest's virtual CPUs are meant to run."""
        return self.state in RUNNING_STATES

    @property
    def answered(self) -> bool:
        """Whether QEMU's part of the record is there.

        While another job holds the domain, libvirt leaves out everything it
        would have to ask QEMU for: neither resident memory nor time stamp
        is there (measured on libvirt 9.0 with a frozen QEMU and NOWAIT).
        """
        return self.rss_kib is not None or self.last_update_s is not None

    @property
    def has_numbers(self) -> bool:
        """Whether the guest's record holds any amount of memory."""
        return not (self.available_kib is None and self.unused_kib is None
                    and self.usable_kib is None
                    and self.disk_caches_kib is None)


def _number(record: typing.Mapping[str, object], key: str) -> int | None:
    value = record.get(key)
    # type() and not isinstance(): True is no amount of memory.
    return value if type(value) is int and value >= 0 else None


def parse(record: typing.Mapping[str, object]) -> Reading:
    """Parse one domain's record of libvirt's bulk statistics.

    :param record: what ``virConnect.getAllDomainStats`` returned for one
        domain with VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_STATE
    :returns: a Reading; whatever is missing, negative or not an integer is
        None in it.  Never raises.
    """
    return Reading(
        state=_number(record, 'state.state'),
        reason=_number(record, 'state.reason'),
        current_kib=_number(record, 'balloon.current'),
        maximum_kib=_number(record, 'balloon.maximum'),
        rss_kib=_number(record, 'balloon.rss') or None,
        # The only key that libvirt spells with a hyphen.
        last_update_s=_number(record, 'balloon.last-update'),
        available_kib=_number(record, 'balloon.available'),
        unused_kib=_number(record, 'balloon.unused'),
        usable_kib=_number(record, 'balloon.usable'),
        disk_caches_kib=_number(record, 'balloon.disk_caches'),
        swap_in_kib=_number(record, 'balloon.swap_in'),
        swap_out_kib=_number(record, 'balloon.swap_out'))
