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

"""What is known of the guests' disks and interfaces, by their live XML."""

import collections.abc
import threading
import time
import typing

from memstat_pollster.model import compute
from memstat_pollster.model import observation
from memstat_pollster import monitor

#: libvirt's record does not say when the bridge of an interface changes.
LASTS_S: typing.Final = 300.0

GROUPS: typing.Final = {compute.DISKS: 'block', compute.INTERFACES: 'net'}

Records = collections.abc.Mapping[str, observation.Record]


class _Entry(typing.NamedTuple):
    fingerprint: frozenset[object]
    until_s: float
    devices: compute.Devices | None


class Known:
    """The devices of a node's guests from cycle to cycle.

    XML is read again when the bulk record shows that a device has come, gone
    or changed its medium, and otherwise after five minutes.
    """

    def __init__(self, source: monitor.Monitor) -> None:
        self._monitor = source
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], _Entry] = {}

    def update(self, records: Records, group: str) -> None:
        """Read XML of those guests for which that is due."""
        with self._lock:
            now_s = time.monotonic()
            due = {}
            for uuid, record in records.items():
                if (record.parameters is None or not record.reading.answered
                        or record.domain_id < 0):
                    continue
                shape = compute.fingerprint(record.parameters, group)
                entry = self._entries.get((uuid, group))
                if (entry is None or entry.fingerprint != shape
                        or entry.until_s < now_s or entry.devices is None
                        or entry.devices.domain_id != record.domain_id):
                    due[uuid] = shape
            documents = self._monitor.live_xml(list(due)) if due else {}
            for uuid, shape in due.items():
                self._entries[uuid, group] = _Entry(
                    shape, now_s + LASTS_S,
                    compute.devices(documents.get(uuid, '')))
            for key in [key for key in self._entries
                        if key[0] not in records]:
                del self._entries[key]

    def find(self, record: observation.Record, group: str,
             ) -> compute.Devices | None:
        """The devices of this run of a guest; None where unknown."""
        entry = self._entries.get((record.uuid, group))
        if (entry is None or entry.devices is None
                or entry.devices.domain_id != record.domain_id):
            return None
        return entry.devices
