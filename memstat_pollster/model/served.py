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

"""How each of Ceilometer's own compute meters gets its number.

For doctor and for the documentation's table.  A unit test compares it with
the pollsters of the installed Ceilometer and with what they ask.
"""

import dataclasses
import enum
import typing

from memstat_pollster.model import compute


class How(enum.Enum):
    """Who asks libvirt for a meter; the value is for the documentation."""

    RECORD = 'the bulk call of the cycle'
    ASKED = ('Ceilometer asks itself, within "read_timeout", and not of a '
             'guest that does not answer')
    NOT_ASKED = 'nothing is asked'


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Meters that are answered alike.

    :ivar method: of Ceilometer's inspector; None where it needs none
    :ivar source: keys of libvirt's bulk record, or why there are none; what
        is in double quotes is literal
    """

    meters: tuple[str, ...]
    method: str | None
    how: How
    source: str


def _both(pattern: str, *last: str) -> tuple[str, ...]:
    """For read and write, or for incoming and outgoing."""
    ways = (('read', 'write') if pattern.startswith('disk')
            else ('incoming', 'outgoing'))
    return tuple(pattern.format(way, each) for each in last for way in ways)


ROWS: typing.Final = (
    Row(('cpu',), compute.INSTANCE, How.RECORD,
        '"vcpu.N.time" + "vcpu.N.wait" of all CPUs that are there; where one '
        'of them is missing, "cpu.time"'),
    Row(('vcpus',), compute.INSTANCE, How.RECORD, '"vcpu.current"'),
    Row(('power.state',), compute.INSTANCE, How.RECORD, '"state.state"'),
    Row(('perf.cpu.cycles', 'perf.instructions', 'perf.cache.references',
         'perf.cache.misses', 'memory.bandwidth.total',
         'memory.bandwidth.local', 'cpu_l3_cache'), compute.INSTANCE,
        How.RECORD, '"perf.*", where the guest has these counters on'),
    Row(('cpu_util',), compute.INSTANCE, How.RECORD,
        'not there: Ceilometer has no number for it with libvirt'),
    Row(_both('disk.device.{}.{}', 'requests', 'bytes', 'latency'),
        compute.DISKS, How.RECORD,
        '"block.N.{rd,wr}.{reqs,bytes,times}"; which disks have a source is '
        'in the live XML'),
    Row(_both('network.{}.{}', 'bytes', 'bytes.delta', 'packets',
              'packets.error', 'packets.drop'), compute.INTERFACES,
        How.RECORD,
        '"net.N.{rx,tx}.{bytes,pkts,errs,drop}"; MAC, filter, bridge and '
        'interface id are in the live XML'),
    Row(tuple(f'disk.device.{each}' for each in (
        'capacity', 'allocation', 'usage')), compute.DISK_SIZES, How.ASKED,
        'not there: for a disk in a file libvirt 9.0 says an allocation of '
        '0, and a physical size without holes'),
    Row(_both('network.{}.{}', 'bytes.rate'), 'inspect_vnic_rates',
        How.NOT_ASKED, 'not there: Ceilometer has none with libvirt'),
    Row(('disk.device.iops',), 'inspect_disk_iops', How.NOT_ASKED,
        'not there: Ceilometer has none with libvirt'),
    Row(('disk.device.latency',), 'inspect_disk_latency', How.NOT_ASKED,
        'not there: Ceilometer has none with libvirt'),
    Row(('disk.root.size', 'disk.ephemeral.size'), None, How.NOT_ASKED,
        'not there: they are of the flavor'),
)

_BY_METER: typing.Final = {meter: row for row in ROWS for meter in row.meters}

#: All of them, of whatever release of Ceilometer.
METERS: typing.Final = tuple(_BY_METER)


def how(meter: str, *, serve: bool, replace: bool) -> How:
    """How a meter of this module is answered with these options.

    :param serve: [memstat]serve_compute; without it a guest that does not
        answer is asked, too, and nothing limits how long that takes
    :param replace: [memstat]replace_builtin: without it the memory meters are
        Ceilometer's, and come from the same call as cpu
    """
    row = _BY_METER[meter]
    if row.how is How.RECORD and not (serve and (
            replace or row.method != compute.INSTANCE)):
        return How.ASKED
    return row.how
