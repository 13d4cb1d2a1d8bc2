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

"""The meters: name, unit, type, what each says, and where that comes from.

The names, units and types are a published interface.
"""

import collections.abc
import dataclasses
import typing

from memstat_pollster.model import judged
from memstat_pollster.model import status
from memstat_pollster.model import usage

#: Ceilometer's words for the type of a sample (ceilometer/sample.py).
GAUGE: typing.Final = 'gauge'
CUMULATIVE: typing.Final = 'cumulative'


Value = collections.abc.Callable[[judged.Guest], float | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Meter:
    """A row of the table of meters.

    :ivar unit: empty where there is none
    :ivar type: gauge, or cumulative for counters since the guest's boot
    :ivar description: one line, for operators
    :ivar value: of a judged guest; None where there is to be no sample
    :ivar source: the field, or the arithmetic of fields, of libvirt's
        record that the value is made of; one line
    :ivar stopped: published for a guest that is shut off, too, when
        [compute]report_stopped_instance_metrics is set
    """

    name: str
    unit: str
    description: str
    source: str
    value: Value
    type: str = GAUGE
    stopped: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Series:
    """A meter of one guest over some time, each point a mean.

    :ivar granularity_s: how long each point stands for
    :ivar points: (seconds since the epoch at which it begins, value), in
        order; there is none for a time without a measure
    """

    granularity_s: float
    points: tuple[tuple[float, float], ...]


def _mib(kib: int | None) -> float | None:
    return None if kib is None else kib / 1024


def _of_memory(field: str) -> collections.abc.Callable[
        [judged.Guest], float | None]:
    def value(guest: judged.Guest) -> float | None:
        return None if guest.memory is None else _mib(
            getattr(guest.memory, field))
    return value


def _util(guest: judged.Guest) -> float | None:
    return None if guest.memory is None else guest.memory.util_percent


def _balloon(guest: judged.Guest) -> float | None:
    """libvirt's own record; of a guest that is unreachable not always read."""
    if (guest.reading is None
            or guest.verdict.status is status.Status.UNREACHABLE):
        return None
    return _mib(usage.balloon_kib(guest.reading))


def _resident(guest: judged.Guest) -> float | None:
    return None if guest.reading is None else _mib(guest.reading.rss_kib)


METERS: typing.Final[collections.abc.Mapping[str, Meter]] = {
    meter.name: meter for meter in (
        Meter('memory', 'MiB', 'memory given to the guest',
              'balloon.current', _balloon, stopped=True),
        Meter('memory.usage', 'MiB',
              'memory that the guest cannot give to new work',
              'available - usable; without usable: available - unused - '
              'disk_caches; without that: available - unused',
              _of_memory('used_kib')),
        Meter('memory.available', 'MiB',
              "the guest's total memory, its own MemTotal", 'available',
              _of_memory('available_kib')),
        Meter('memory.usable', 'MiB',
              'memory that the guest can give to new work, its own '
              'MemAvailable', 'usable', _of_memory('usable_kib')),
        Meter('memory.unused', 'MiB',
              'memory that the guest uses for nothing at all, its own '
              'MemFree', 'unused', _of_memory('unused_kib')),
        Meter('memory.util', '%', 'memory.usage of memory.available',
              '100 * memory.usage / memory.available', _util),
        Meter('memory.balloon.status', '',
              "0 when the guest's numbers are published, else the code of "
              'the reason why not', 'the first rule that holds',
              lambda guest: int(guest.verdict.status),
              stopped=True),
        Meter('memory.stats.age', 's',
              "how old the guest's numbers are; none when it never sent any",
              'time of the poll - last-update', lambda guest: guest.age_s),
        Meter('memory.resident', 'MiB',
              "memory of the guest's QEMU on the host", 'rss', _resident),
        Meter('memory.swap.in', 'MiB',
              "swapped in since the guest's boot", 'swap_in',
              _of_memory('swap_in_kib'),
              type=CUMULATIVE),
        Meter('memory.swap.out', 'MiB',
              "swapped out since the guest's boot", 'swap_out',
              _of_memory('swap_out_kib'),
              type=CUMULATIVE),
    )}
