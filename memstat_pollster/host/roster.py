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

"""The guests of a node for who wants to look through them all.

Ceilometer's discovery asks each guest for its metadata, XML and state.  Here
it gets guests that have been read already, by the rules of the inspector: no
question of its is made to libvirt, so none waits.
"""

import collections.abc
import threading
import typing

from memstat_pollster.host import bindings
from memstat_pollster.host import descriptions
from memstat_pollster.host import processes
from memstat_pollster.model import observation

#: For a guest whose XML has never been had: what discovery takes from it (the
#: type of its operating system's boot, the architecture) is unknown.
UNKNOWN_XML: typing.Final = "<domain><os><type arch=''/></os></domain>"


class _AsRead:
    """Stands for one of libvirt's objects."""

    def __getattr__(self, name: str) -> typing.Any:
        """What a later Ceilometer may ask for, too.

        :raises NotRead: it has to ask libvirt
        """
        if name.startswith('__'):
            raise AttributeError(name)
        raise observation.NotRead(f'{name} was not read')


class Guest(_AsRead):
    """A guest as it was read, with the methods of a libvirt.virDomain."""

    def __init__(self, found: descriptions.Description, xml: str) -> None:
        self._found = found
        self._xml = xml

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return self._found.uuid

    def ID(self) -> int:  # noqa: N802 - libvirt's name
        return self._found.domain_id

    def name(self) -> str:
        return self._found.name

    def state(self, flags: int = 0) -> list[int]:
        return list(self._found.state)

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802 - libvirt's name
        return self._xml

    def metadata(self, kind: int, uri: str, flags: int = 0) -> str:
        """Nova's part of the metadata.

        :raises LibvirtError: where libvirt had none, as libvirt raised it
        """
        found = self._found.metadata.get(uri)
        if found is None:
            raise bindings.LibvirtError(f'metadata of {uri} was not read')
        if isinstance(found, bindings.LibvirtError):
            raise found.with_traceback(None)
        return found


class Connection(_AsRead):
    """A node's guests, with the one method that discovery calls."""

    def __init__(self, guests: list[Guest]) -> None:
        self._guests = guests

    def listAllDomains(self, flags: int = 0) -> list[Guest]:  # noqa: N802
        return list(self._guests)


class Source(typing.Protocol):
    """See ``inspector.Inspector``."""

    def describe(self, known: collections.abc.Container[processes.Run],
                 ) -> list[descriptions.Description]: ...

    def live_xml(self, uuids: collections.abc.Collection[str],
                 ) -> observation.Documents: ...


class Roster:
    """The guests of a node from one look to the next.

    Safe to be shared by threads: looks follow each other.

    What discovery takes from a guest's XML does not change while the guest
    runs: it is read once a run.  That of a guest that a call or another job
    holds is not asked for: on libvirt 11 and later it takes 30 s.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._documents: dict[processes.Run, str] = {}
        self._last: list[Guest] | None = None

    def connection(self) -> Connection:
        """All guests as they are now.

        Where libvirt does not answer, as they were at the last look.

        :raises ReadFailed: when there was no such look
        """
        with self._lock:
            try:
                self._last = self._look()
            except observation.ReadFailed:
                if self._last is None:
                    raise
            return Connection(self._last)

    def _look(self) -> list[Guest]:
        found = self._source.describe(self._documents)
        wanted = [each.uuid for each in found
                  if not each.is_held and each.run not in self._documents]
        documents = self._source.live_xml(wanted)
        runs = {each.uuid: each.run for each in found}
        xml = {run: document for run, document in self._documents.items()
               if runs.get(run[0]) == run}
        xml.update((runs[uuid], document)
                   for uuid, document in documents.found.items())
        # The next run of a guest that is shut off has no other id.
        self._documents = {run: document for run, document in xml.items()
                           if run[1] >= 0}
        return [Guest(each, xml.get(each.run, UNKNOWN_XML))
                for each in found if each.uuid in documents.found
                or each.uuid in documents.failed or each.uuid not in wanted]
