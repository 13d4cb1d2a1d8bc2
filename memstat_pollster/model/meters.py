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

The names, units and types are a published interface.  How a value is made of
a guest's reading is in :mod:`memstat_pollster.agent.pollsters`.
"""

import collections.abc
import dataclasses
import typing

#: Ceilometer's words for the type of a sample (ceilometer/sample.py).
GAUGE: typing.Final = 'gauge'
CUMULATIVE: typing.Final = 'cumulative'


@dataclasses.dataclass(frozen=True, slots=True)
class Meter:
    """A row of the table of meters.

    :ivar unit: empty where there is none
    :ivar type: gauge, or cumulative for counters since the guest's boot
    :ivar description: one line, for operators
    :ivar source: the field, or the arithmetic of fields, of libvirt's
        record that the value is made of; one line
    :ivar stopped: published for a guest that is shut off, too, when
        [compute]report_stopped_instance_metrics is set
    """

    name: str
    unit: str
    description: str
    source: str
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


METERS: typing.Final[collections.abc.Mapping[str, Meter]] = {
    meter.name: meter for meter in (
        Meter('memory', 'MiB', 'memory given to the guest',
              'balloon.current', stopped=True),
        Meter('memory.usage', 'MiB',
              'memory that the guest cannot give to new work',
              'available - usable; without usable: available - unused - '
              'disk_caches; without that: available - unused'),
        Meter('memory.available', 'MiB',
              "the guest's total memory, its own MemTotal", 'available'),
        Meter('memory.usable', 'MiB',
              'memory that the guest can give to new work, its own '
              'MemAvailable', 'usable'),
        Meter('memory.unused', 'MiB',
              'memory that the guest uses for nothing at all, its own '
              'MemFree', 'unused'),
        Meter('memory.util', '%', 'memory.usage of memory.available',
              '100 * memory.usage / memory.available'),
        Meter('memory.balloon.status', '',
              "0 when the guest's numbers are published, else the code of "
              'the reason why not', 'the first rule that holds',
              stopped=True),
        Meter('memory.stats.age', 's',
              "how old the guest's numbers are; none when it never sent any",
              'time of the poll - last-update'),
        Meter('memory.resident', 'MiB',
              "memory of the guest's QEMU on the host", 'rss'),
        Meter('memory.swap.in', 'MiB',
              "swapped in since the guest's boot", 'swap_in',
              type=CUMULATIVE),
        Meter('memory.swap.out', 'MiB',
              "swapped out since the guest's boot", 'swap_out',
              type=CUMULATIVE),
    )}
