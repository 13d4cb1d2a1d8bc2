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

"""What a verdict on one guest rests on."""

import dataclasses
import typing

from memstat_pollster.model import domain as domain_xml
from memstat_pollster.model import history
from memstat_pollster.model import stats


#: libvirt keeps a period in a C int (virDomainMemballoonDef).
MAX_PERIOD_S: typing.Final = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Thresholds:
    """What the operator has set.

    :ivar stale_after_periods: numbers older than this many periods of their
        guest are stale
    :ivar boot_grace_s: how long a guest that runs may take to its first
        numbers
    """

    stale_after_periods: int = 3
    boot_grace_s: float = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a verdict on one guest rests on.

    :ivar reading: None when libvirt said nothing of this guest
    :ivar domain: what its live XML says; None when it could not be had
    :ivar past: what earlier readings add
    :ivar trouble: why libvirt said nothing, or why there is no XML
    """

    reading: stats.Reading | None
    domain: domain_xml.Domain | None = None
    past: history.Past = history.Past()
    thresholds: Thresholds = Thresholds()
    trouble: str | None = None

    @property
    def stale_after_s(self) -> float:
        """How old this guest's numbers may be, by its period in force."""
        period = (self.domain.period_s or 0) if self.domain else 0
        return float(min(period, MAX_PERIOD_S)
                     * self.thresholds.stale_after_periods)
