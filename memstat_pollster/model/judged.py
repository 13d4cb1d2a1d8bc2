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

"""A guest as it was judged, and all guests of a node."""

import collections.abc
import dataclasses

from memstat_pollster.model import domain as domain_xml
from memstat_pollster.model import facts
from memstat_pollster.model import nova_period
from memstat_pollster.model import observation
from memstat_pollster.model import stats
from memstat_pollster.model import status
from memstat_pollster.model import usage
from memstat_pollster import text


def names(*given: str | None) -> tuple[str, ...]:
    """Of these names those that there are, each once."""
    return tuple(dict.fromkeys(filter(None, given)))


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """One guest, judged.

    :ivar uuid: Nova's and libvirt's
    :ivar name: libvirt's name
    :ivar display_name: Nova's, as the tenant wrote it; None where unknown
    :ivar reading: None when libvirt did not answer for it
    :ivar domain: its live XML; None where that could not be had
    :ivar verdict: status and detail
    :ivar remedy: what to do about it, one line; None when nothing
    :ivar age_s: how old the guest's numbers are; None when it has sent none
        or their age is not known
    :ivar memory: the guest's own numbers; None unless it is reporting
    :ivar evidence: what the verdict rests on, for those who explain it; None
        when libvirt itself did not answer.  Nothing in it but adds to the
        rest, so it does not tell two guests apart.
    """

    uuid: str
    name: str
    display_name: str | None
    reading: stats.Reading | None
    domain: domain_xml.Domain | None
    verdict: status.Verdict
    remedy: str | None
    age_s: float | None
    memory: usage.Memory | None
    evidence: facts.Evidence | None = dataclasses.field(
        default=None, compare=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """What people call it, each once: Nova's name, then libvirt's.

        As the tenant wrote it: see ``text.printable``.
        """
        return names(self.display_name, self.name)

    def __str__(self) -> str:
        shown = dict.fromkeys(map(text.printable, self.names))
        return f"{' / '.join(shown) or 'guest'} ({self.uuid})"


@dataclasses.dataclass(frozen=True, slots=True)
class Cycle:
    """All guests of the node at one time.

    :ivar monotonic_s: when they were read
    :ivar guests: by UUID; empty when ``error`` is set
    :ivar error: why libvirt said nothing; None if it did
    :ivar advice: what an operator can do about that; None where nothing is
        known
    :ivar wanted: Nova's option at that time
    :ivar records: what was read, by UUID, where more than memory was asked
    """

    monotonic_s: float
    guests: collections.abc.Mapping[str, Guest]
    error: str | None = None
    advice: str | None = None
    wanted: nova_period.Wanted = nova_period.Wanted(
        nova_period.DEFAULT_PERIOD_S)
    records: collections.abc.Mapping[str, observation.Record] = (
        dataclasses.field(default_factory=dict, compare=False, repr=False))

    def find(self, uuid: str) -> Guest | None:
        """A guest by UUID; unreachable when libvirt itself did not answer.

        :returns: None for a guest that is not on this node (any more)
        """
        guest = self.guests.get(uuid)
        if guest is not None or self.error is None:
            return guest
        verdict = status.judge(facts.Evidence(None, trouble=self.error))
        return Guest(uuid, '', None, None, None, verdict, None, None, None)
