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

"""What libvirt said of a host and its guests at one time."""

import collections.abc
import dataclasses

from memstat_pollster.model import stats


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One guest of libvirt's bulk answer.

    :ivar uuid: the guest's, as Nova and libvirt spell it
    :ivar domain_id: libvirt's id of this run of QEMU; -1 when shut off
    :ivar name: libvirt's name
    :ivar reading: what libvirt said of it
    :ivar trouble: why its QEMU was not asked; None where it was
    :ivar parameters: what libvirt said, where more than memory was asked
    """

    uuid: str
    domain_id: int
    name: str
    reading: stats.Reading
    trouble: str | None = None
    parameters: collections.abc.Mapping[str, object] | None = (
        dataclasses.field(default=None, compare=False, repr=False))

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
    :ivar took_s: for how long was read: guests may have answered by then
    :ivar step_s: by how much the wall clock was set meanwhile; 0 if it was
        not.  Guests that answered after that are stamped by the new one
    :ivar records: by UUID; empty when ``error`` is set
    :ivar error: why libvirt said nothing, for an operator; None if it did
    :ivar advice: what to do about that; None where nothing is known
    """

    wall_s: float
    monotonic_s: float
    records: collections.abc.Mapping[str, Record]
    error: str | None = None
    advice: str | None = None
    took_s: float = 0.0
    step_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Documents:
    """The live XML of some guests.

    :ivar found: by UUID
    :ivar failed: by UUID, why it could not be had; a guest that is in
        neither is not there any more
    """

    found: collections.abc.Mapping[str, str]
    failed: collections.abc.Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class HostFacts:
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


class NotRead(Exception):
    """What is asked for was not read, and only libvirt itself can tell."""
