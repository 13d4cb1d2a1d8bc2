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


"""Readings and memory from what libvirt really returned.

The records were taken with a read-only connection from getAllDomainStats
(BALLOON | STATE, NOWAIT) of libvirt 9.0.0 and QEMU 7.2: of Linux 6.1 guests,
and of guests whose driver was played, honest or hostile, over QEMU's qtest
socket.
"""

import dataclasses
import typing

import testtools

from memstat_pollster.model import stats
from memstat_pollster.model import usage


class Recording(typing.NamedTuple):
    """One guest's record.

    :ivar wall_s: the host's clock when it was read
    :ivar record: as libvirt returned it
    """

    wall_s: float
    record: dict[str, int]


RECORDED: typing.Final = {
    'healthy': Recording(1795451932.0, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 262144,
        'balloon.maximum': 262144, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 905, 'balloon.unused': 195680,
        'balloon.available': 223632, 'balloon.usable': 198852,
        'balloon.last-update': 1795451932, 'balloon.disk_caches': 2216,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 199640}),
    'model none': Recording(1795451924.1, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 327680,
        'balloon.maximum': 327680, 'balloon.rss': 37084}),
    'never reported': Recording(1795451922.8, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 131072,
        'balloon.maximum': 131072, 'balloon.last-update': 0,
        'balloon.rss': 222216}),
    'Windows without blnsvr': Recording(1795451977.0, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.last-update': 1795451976,
        'balloon.rss': 39584}),
    'Linux before 4.6': Recording(1795451978.4, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 1, 'balloon.unused': 300000,
        'balloon.available': 500000, 'balloon.last-update': 1795451978,
        'balloon.rss': 39712}),
    'Linux before 4.16': Recording(1795451979.0, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 1, 'balloon.unused': 300002,
        'balloon.available': 500001, 'balloon.usable': 400003,
        'balloon.last-update': 1795451978, 'balloon.rss': 39512}),
    'free and caches only': Recording(1795451979.6, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 1, 'balloon.unused': 300002,
        'balloon.available': 500001, 'balloon.last-update': 1795451979,
        'balloon.disk_caches': 100003, 'balloon.rss': 39512}),
    'Linux before 4.11, at its start': Recording(1795451977.7, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.swap_in': 0,
        'balloon.last-update': 1795451977, 'balloon.rss': 39616}),
    'driver unloaded': Recording(1795451944.6, {
        'state.state': 1, 'state.reason': 5, 'balloon.current': 262144,
        'balloon.maximum': 262144, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 905, 'balloon.unused': 195680,
        'balloon.available': 223632, 'balloon.usable': 198852,
        'balloon.last-update': 1795451941, 'balloon.disk_caches': 2216,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 199640}),
    'no period': Recording(1795451950.8, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 196608,
        'balloon.maximum': 196608, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 720, 'balloon.unused': 130468,
        'balloon.available': 158096, 'balloon.usable': 134736,
        'balloon.last-update': 1795451947, 'balloon.disk_caches': 2200,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 199764}),
    'no period, restored': Recording(1795451953.7, {
        'state.state': 1, 'state.reason': 3, 'balloon.current': 196608,
        'balloon.maximum': 196608, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 720, 'balloon.unused': 130468,
        'balloon.available': 158096, 'balloon.usable': 134736,
        'balloon.last-update': 1795451953, 'balloon.disk_caches': 2200,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 144908}),
    'period set to 0': Recording(1795451940.6, {
        'state.state': 1, 'state.reason': 5, 'balloon.current': 262144,
        'balloon.maximum': 262144, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 905, 'balloon.unused': 195680,
        'balloon.available': 223632, 'balloon.usable': 198852,
        'balloon.last-update': 1795451937, 'balloon.disk_caches': 2216,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 199640}),
    'paused': Recording(1795451935.0, {
        'state.state': 3, 'state.reason': 1, 'balloon.current': 262144,
        'balloon.maximum': 262144, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 905, 'balloon.unused': 195680,
        'balloon.available': 223632, 'balloon.usable': 198852,
        'balloon.last-update': 1795451932, 'balloon.disk_caches': 2216,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 199640}),
    'resumed': Recording(1795451937.6, {
        'state.state': 1, 'state.reason': 5, 'balloon.current': 262144,
        'balloon.maximum': 262144, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 905, 'balloon.unused': 195680,
        'balloon.available': 223632, 'balloon.usable': 198852,
        'balloon.last-update': 1795451937, 'balloon.disk_caches': 2216,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 199640}),
    'restored': Recording(1795451968.4, {
        'state.state': 1, 'state.reason': 3, 'balloon.current': 163840,
        'balloon.maximum': 163840, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 882, 'balloon.unused': 98152,
        'balloon.available': 125328, 'balloon.usable': 103056,
        'balloon.last-update': 1795451968, 'balloon.disk_caches': 2216,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 144660}),
    'restored, answered': Recording(1795451974.4, {
        'state.state': 1, 'state.reason': 3, 'balloon.current': 163840,
        'balloon.maximum': 163840, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 882, 'balloon.unused': 98152,
        'balloon.available': 125328, 'balloon.usable': 103056,
        'balloon.last-update': 1795451973, 'balloon.disk_caches': 2216,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 144392}),
    'restored paused': Recording(1795451976.3, {
        'state.state': 3, 'state.reason': 2, 'balloon.current': 163840,
        'balloon.maximum': 163840, 'balloon.last-update': 0,
        'balloon.rss': 144368}),
    'restored paused, resumed': Recording(1795451976.3, {
        'state.state': 1, 'state.reason': 5, 'balloon.current': 163840,
        'balloon.maximum': 163840, 'balloon.swap_in': 0,
        'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 882, 'balloon.unused': 98152,
        'balloon.available': 125328, 'balloon.usable': 103056,
        'balloon.last-update': 1795451976, 'balloon.disk_caches': 2216,
        'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0,
        'balloon.rss': 143228}),
    'shut off': Recording(1795451924.1, {
        'state.state': 5, 'state.reason': 0, 'balloon.current': 229376,
        'balloon.maximum': 229376}),
    'another job': Recording(1795451925.7, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 98304,
        'balloon.maximum': 98304}),
    'total of 2**63 bytes': Recording(1795451980.2, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.unused': 300,
        'balloon.available': 9007199254740992, 'balloon.usable': 400,
        'balloon.last-update': 1795451979, 'balloon.rss': 39412}),
    'total of 2**64-2 bytes': Recording(1795451980.8, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.unused': 300,
        'balloon.available': 18014398509481983, 'balloon.usable': 400,
        'balloon.last-update': 1795451980, 'balloon.rss': 39624}),
    'total of 0': Recording(1795451981.4, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.unused': 300,
        'balloon.available': 0, 'balloon.usable': 400,
        'balloon.last-update': 1795451981, 'balloon.rss': 39500}),
    'total under a page': Recording(1795451982.1, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.unused': 2,
        'balloon.available': 3, 'balloon.usable': 1,
        'balloon.last-update': 1795451981, 'balloon.rss': 39884}),
    'total over the maximum': Recording(1795451982.7, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.unused': 300,
        'balloon.available': 524289, 'balloon.usable': 400,
        'balloon.last-update': 1795451982, 'balloon.rss': 39252}),
    'free over the total': Recording(1795451983.3, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.unused': 500001,
        'balloon.available': 500000, 'balloon.usable': 400,
        'balloon.last-update': 1795451982, 'balloon.rss': 39500}),
    'usable over the total': Recording(1795451983.9, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.unused': 300,
        'balloon.available': 500000, 'balloon.usable': 700000,
        'balloon.last-update': 1795451983, 'balloon.rss': 39348}),
    'caches alone': Recording(1795451984.5, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.last-update': 1795451984,
        'balloon.disk_caches': 12345, 'balloon.rss': 39460}),
    'swap of 2**54 KiB': Recording(1795451985.1, {
        'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
        'balloon.maximum': 524288, 'balloon.swap_in': 18014398509481983,
        'balloon.swap_out': 18014398509481983, 'balloon.unused': 200000,
        'balloon.available': 500000, 'balloon.usable': 250000,
        'balloon.last-update': 1795451984, 'balloon.disk_caches': 60000,
        'balloon.rss': 39548}),
    'actual of 2**64 bytes': Recording(1795451985.9, {
        'state.state': 1, 'state.reason': 1,
        'balloon.current': 18014381330137092, 'balloon.maximum': 524288,
        'balloon.swap_in': 0, 'balloon.swap_out': 0, 'balloon.major_fault': 0,
        'balloon.minor_fault': 1, 'balloon.unused': 300000,
        'balloon.available': 500000, 'balloon.usable': 400000,
        'balloon.last-update': 1795451985, 'balloon.disk_caches': 90000,
        'balloon.rss': 39292}),
}

READINGS = {
    'healthy': stats.Reading(
        state=1, reason=1, current_kib=262144, maximum_kib=262144,
        rss_kib=199640, last_update_s=1795451932, available_kib=223632,
        unused_kib=195680, usable_kib=198852, disk_caches_kib=2216,
        swap_in_kib=0, swap_out_kib=0),
    'model none': stats.Reading(
        state=1, reason=1, current_kib=327680, maximum_kib=327680,
        rss_kib=37084),
    'never reported': stats.Reading(
        state=1, reason=1, current_kib=131072, maximum_kib=131072,
        rss_kib=222216, last_update_s=0),
    'Windows without blnsvr': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39584, last_update_s=1795451976),
    'Linux before 4.6': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39712, last_update_s=1795451978, available_kib=500000,
        unused_kib=300000, swap_in_kib=0, swap_out_kib=0),
    'Linux before 4.16': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39512, last_update_s=1795451978, available_kib=500001,
        unused_kib=300002, usable_kib=400003, swap_in_kib=0, swap_out_kib=0),
    'free and caches only': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39512, last_update_s=1795451979, available_kib=500001,
        unused_kib=300002, disk_caches_kib=100003, swap_in_kib=0,
        swap_out_kib=0),
    'Linux before 4.11, at its start': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39616, last_update_s=1795451977, swap_in_kib=0),
    'driver unloaded': stats.Reading(
        state=1, reason=5, current_kib=262144, maximum_kib=262144,
        rss_kib=199640, last_update_s=1795451941, available_kib=223632,
        unused_kib=195680, usable_kib=198852, disk_caches_kib=2216,
        swap_in_kib=0, swap_out_kib=0),
    'no period': stats.Reading(
        state=1, reason=1, current_kib=196608, maximum_kib=196608,
        rss_kib=199764, last_update_s=1795451947, available_kib=158096,
        unused_kib=130468, usable_kib=134736, disk_caches_kib=2200,
        swap_in_kib=0, swap_out_kib=0),
    'no period, restored': stats.Reading(
        state=1, reason=3, current_kib=196608, maximum_kib=196608,
        rss_kib=144908, last_update_s=1795451953, available_kib=158096,
        unused_kib=130468, usable_kib=134736, disk_caches_kib=2200,
        swap_in_kib=0, swap_out_kib=0),
    'period set to 0': stats.Reading(
        state=1, reason=5, current_kib=262144, maximum_kib=262144,
        rss_kib=199640, last_update_s=1795451937, available_kib=223632,
        unused_kib=195680, usable_kib=198852, disk_caches_kib=2216,
        swap_in_kib=0, swap_out_kib=0),
    'paused': stats.Reading(
        state=3, reason=1, current_kib=262144, maximum_kib=262144,
        rss_kib=199640, last_update_s=1795451932, available_kib=223632,
        unused_kib=195680, usable_kib=198852, disk_caches_kib=2216,
        swap_in_kib=0, swap_out_kib=0),
    'resumed': stats.Reading(
        state=1, reason=5, current_kib=262144, maximum_kib=262144,
        rss_kib=199640, last_update_s=1795451937, available_kib=223632,
        unused_kib=195680, usable_kib=198852, disk_caches_kib=2216,
        swap_in_kib=0, swap_out_kib=0),
    'restored': stats.Reading(
        state=1, reason=3, current_kib=163840, maximum_kib=163840,
        rss_kib=144660, last_update_s=1795451968, available_kib=125328,
        unused_kib=98152, usable_kib=103056, disk_caches_kib=2216,
        swap_in_kib=0, swap_out_kib=0),
    'restored, answered': stats.Reading(
        state=1, reason=3, current_kib=163840, maximum_kib=163840,
        rss_kib=144392, last_update_s=1795451973, available_kib=125328,
        unused_kib=98152, usable_kib=103056, disk_caches_kib=2216,
        swap_in_kib=0, swap_out_kib=0),
    'restored paused': stats.Reading(
        state=3, reason=2, current_kib=163840, maximum_kib=163840,
        rss_kib=144368, last_update_s=0),
    'restored paused, resumed': stats.Reading(
        state=1, reason=5, current_kib=163840, maximum_kib=163840,
        rss_kib=143228, last_update_s=1795451976, available_kib=125328,
        unused_kib=98152, usable_kib=103056, disk_caches_kib=2216,
        swap_in_kib=0, swap_out_kib=0),
    'shut off': stats.Reading(
        state=5, reason=0, current_kib=229376, maximum_kib=229376),
    'another job': stats.Reading(
        state=1, reason=1, current_kib=98304, maximum_kib=98304),
    'total of 2**63 bytes': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39412, last_update_s=1795451979,
        available_kib=9007199254740992, unused_kib=300, usable_kib=400),
    'total of 2**64-2 bytes': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39624, last_update_s=1795451980,
        available_kib=18014398509481983, unused_kib=300, usable_kib=400),
    'total of 0': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39500, last_update_s=1795451981, available_kib=0,
        unused_kib=300, usable_kib=400),
    'total under a page': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39884, last_update_s=1795451981, available_kib=3,
        unused_kib=2, usable_kib=1),
    'total over the maximum': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39252, last_update_s=1795451982, available_kib=524289,
        unused_kib=300, usable_kib=400),
    'free over the total': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39500, last_update_s=1795451982, available_kib=500000,
        unused_kib=500001, usable_kib=400),
    'usable over the total': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39348, last_update_s=1795451983, available_kib=500000,
        unused_kib=300, usable_kib=700000),
    'caches alone': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39460, last_update_s=1795451984, disk_caches_kib=12345),
    'swap of 2**54 KiB': stats.Reading(
        state=1, reason=1, current_kib=524288, maximum_kib=524288,
        rss_kib=39548, last_update_s=1795451984, available_kib=500000,
        unused_kib=200000, usable_kib=250000, disk_caches_kib=60000,
        swap_in_kib=18014398509481983, swap_out_kib=18014398509481983),
    'actual of 2**64 bytes': stats.Reading(
        state=1, reason=1, current_kib=18014381330137092, maximum_kib=524288,
        rss_kib=39292, last_update_s=1795451985, available_kib=500000,
        unused_kib=300000, usable_kib=400000, disk_caches_kib=90000,
        swap_in_kib=0, swap_out_kib=0),
}

NO_NUMBERS = ('no total memory (available)',)

HEALTHY_MEMORY = usage.Memory(
    available_kib=223632, used_kib=24780, source='usable',
    usable_kib=198852, unused_kib=195680, swap_in_kib=0, swap_out_kib=0)
RESTORED_MEMORY = usage.Memory(
    available_kib=125328, used_kib=22272, source='usable',
    usable_kib=103056, unused_kib=98152, swap_in_kib=0, swap_out_kib=0)
NO_PERIOD_MEMORY = usage.Memory(
    available_kib=158096, used_kib=23360, source='usable',
    usable_kib=134736, unused_kib=130468, swap_in_kib=0, swap_out_kib=0)

#: What each record is worth by its numbers alone, however old they are: the
#: memory, or what is impossible of it.
WORTH = {
    'healthy': HEALTHY_MEMORY,
    'model none': NO_NUMBERS,
    'never reported': NO_NUMBERS,
    'Windows without blnsvr': NO_NUMBERS,
    'Linux before 4.6': usage.Memory(
        available_kib=500000, used_kib=200000, source='unused',
        usable_kib=None, unused_kib=300000, swap_in_kib=0, swap_out_kib=0),
    'Linux before 4.16': usage.Memory(
        available_kib=500001, used_kib=99998, source='usable',
        usable_kib=400003, unused_kib=300002, swap_in_kib=0, swap_out_kib=0),
    'free and caches only': usage.Memory(
        available_kib=500001, used_kib=99996, source='caches',
        usable_kib=None, unused_kib=300002, swap_in_kib=0, swap_out_kib=0),
    'Linux before 4.11, at its start': NO_NUMBERS,
    'driver unloaded': HEALTHY_MEMORY,
    'no period': NO_PERIOD_MEMORY,
    'no period, restored': NO_PERIOD_MEMORY,
    'period set to 0': HEALTHY_MEMORY,
    'paused': HEALTHY_MEMORY,
    'resumed': HEALTHY_MEMORY,
    'restored': RESTORED_MEMORY,
    'restored, answered': RESTORED_MEMORY,
    'restored paused': NO_NUMBERS,
    'restored paused, resumed': RESTORED_MEMORY,
    'shut off': NO_NUMBERS,
    'another job': NO_NUMBERS,
    'total of 2**63 bytes': (
        'available 9007199254740992 KiB is more than the 524288 KiB the '
        'guest can have',),
    'total of 2**64-2 bytes': (
        'available 18014398509481983 KiB is more than the 524288 KiB the '
        'guest can have',),
    'total of 0': (
        'available 0 KiB is less than a page',
        'usable 400 KiB is more than available 0 KiB',
        'unused 300 KiB is more than available 0 KiB'),
    'total under a page': ('available 3 KiB is less than a page',),
    'total over the maximum': (
        'available 524289 KiB is more than the 524288 KiB the guest can '
        'have',),
    'free over the total': (
        'unused 500001 KiB is more than available 500000 KiB',),
    'usable over the total': (
        'usable 700000 KiB is more than available 500000 KiB',),
    'caches alone': NO_NUMBERS,
    # The usage is right all the same; only the swap is not published.
    'swap of 2**54 KiB': usage.Memory(
        available_kib=500000, used_kib=250000, source='usable',
        usable_kib=250000, unused_kib=200000, swap_in_kib=None,
        swap_out_kib=None),
    'actual of 2**64 bytes': (
        'current 18014381330137092 KiB is more than the 524288 KiB the guest '
        'can have',),
}

#: An honest guest of which no two numbers are alike.
HONEST = stats.Reading(
    state=1, reason=5, current_kib=4194304, maximum_kib=8388608,
    rss_kib=2097211, last_update_s=1795451932, available_kib=4030413,
    unused_kib=1510027, usable_kib=2710039, disk_caches_kib=940051,
    swap_in_kib=7013, swap_out_kib=9029)


def _but(**changes):
    return dataclasses.replace(HONEST, **changes)


class TestParse(testtools.TestCase):

    def test_every_recorded_answer_becomes_its_reading(self):
        self.assertEqual(READINGS, {name: stats.parse(recording.record)
                                    for name, recording in RECORDED.items()})

    def test_an_empty_record_is_a_reading_of_nothing(self):
        self.assertEqual(stats.Reading(), stats.parse({}))

    def test_what_is_no_amount_is_missing_and_never_zero(self):
        record = RECORDED['healthy'].record
        for value in (None, '4096', b'4096', 4096.0, float('nan'), True,
                      False, -1, -4096, [4096], {'kib': 4096}, (4096,)):
            self.assertEqual(
                stats.Reading(), stats.parse(dict.fromkeys(record, value)),
                repr(value))

    def test_one_value_of_a_wrong_type_costs_no_other(self):
        for key, field in (('balloon.available', 'available_kib'),
                           ('balloon.usable', 'usable_kib'),
                           ('balloon.last-update', 'last_update_s'),
                           ('state.state', 'state'),
                           ('balloon.maximum', 'maximum_kib')):
            record = {**RECORDED['healthy'].record, key: '77'}
            self.assertEqual(
                dataclasses.replace(READINGS['healthy'], **{field: None}),
                stats.parse(record))

    def test_no_resident_memory_is_said_of_a_qemu_killed_while_read(self):
        """libvirt says 0 then."""
        record = {**RECORDED['healthy'].record, 'balloon.rss': 0}
        self.assertEqual(
            dataclasses.replace(READINGS['healthy'], rss_kib=None),
            stats.parse(record))

    def test_a_guest_may_have_nothing_of_anything_else(self):
        record = dict.fromkeys(RECORDED['healthy'].record, 0)
        self.assertEqual(
            stats.Reading(
                state=0, reason=0, current_kib=0, maximum_kib=0,
                last_update_s=0, available_kib=0, unused_kib=0, usable_kib=0,
                disk_caches_kib=0, swap_in_kib=0, swap_out_kib=0),
            stats.parse(record))

    def test_the_time_stamp_is_found_only_with_its_hyphen(self):
        self.assertEqual(stats.Reading(last_update_s=1795451932),
                         stats.parse({'balloon.last-update': 1795451932,
                                      'balloon.last_update': 1895451932}))

    def test_unknown_keys_are_passed_over(self):
        record = {**RECORDED['healthy'].record, 'balloon.oom_kill': 3,
                  'balloon.unused.': 11, 'vcpu.current': 2, '': 5}
        self.assertEqual(READINGS['healthy'], stats.parse(record))

    def test_the_record_is_left_as_it_was(self):
        record = dict(RECORDED['healthy'].record)
        stats.parse(record)
        self.assertEqual(RECORDED['healthy'].record, record)


class TestReading(testtools.TestCase):

    def test_a_guest_runs_when_it_is_running_or_waits_for_something(self):
        self.assertEqual(
            {1, 2}, {state for state in (None, *range(12), 2**64 - 1)
                     if stats.Reading(state=state).running})

    def test_only_qemu_knows_resident_memory_and_time_stamp(self):
        """Another job on the domain leaves out both."""
        self.assertEqual(
            {'shut off', 'another job'},
            {name for name, reading in READINGS.items()
             if not reading.answered})

    def test_either_of_the_two_shows_that_qemu_answered(self):
        self.assertEqual((True, True),
                         (stats.Reading(rss_kib=39504).answered,
                          stats.Reading(last_update_s=0).answered))

    def test_swap_counters_are_no_memory_numbers(self):
        """Kernels before 4.11 send swap_in and nothing else."""
        self.assertEqual(
            {'model none', 'never reported', 'Windows without blnsvr',
             'Linux before 4.11, at its start', 'restored paused',
             'shut off', 'another job'},
            {name for name, reading in READINGS.items()
             if not reading.has_numbers})

    def test_any_single_amount_is_a_memory_number_even_0(self):
        self.assertEqual(
            [True, True, True, True],
            [stats.Reading(**{field: 0}).has_numbers
             for field in ('available_kib', 'unused_kib', 'usable_kib',
                           'disk_caches_kib')])


class TestUsed(testtools.TestCase):

    def test_is_what_is_not_usable(self):
        self.assertEqual((1320374, 'usable'), usage.used(HONEST))

    def test_without_usable_is_what_is_neither_free_nor_cache(self):
        self.assertEqual((1580335, 'caches'),
                         usage.used(_but(usable_kib=None)))

    def test_without_caches_either_is_what_is_not_free(self):
        self.assertEqual(
            (2520386, 'unused'),
            usage.used(_but(usable_kib=None, disk_caches_kib=None)))

    def test_usable_is_enough(self):
        self.assertEqual(
            (1320374, 'usable'),
            usage.used(_but(unused_kib=None, disk_caches_kib=None)))

    def test_nothing_usable_is_a_number_and_not_a_missing_one(self):
        self.assertEqual((4030413, 'usable'), usage.used(_but(usable_kib=0)))

    def test_no_caches_at_all_is_a_number_and_not_a_missing_one(self):
        self.assertEqual(
            (2520386, 'caches'),
            usage.used(_but(usable_kib=None, disk_caches_kib=0)))

    def test_nothing_is_known_without_the_fields_it_needs(self):
        self.assertEqual(
            [(None, None)] * 3,
            [usage.used(_but(available_kib=None)),
             usage.used(_but(usable_kib=None, unused_kib=None)),
             usage.used(stats.Reading())])

    def test_a_lie_shows_as_less_than_nothing(self):
        self.assertEqual((-5, 'usable'),
                         usage.used(_but(usable_kib=4030418)))


class TestWorth(testtools.TestCase):
    """What of a guest's numbers can be true."""

    def test_every_recorded_answer_is_memory_or_told_impossible(self):
        self.assertEqual(
            WORTH, {name: (usage.impossible(reading)
                           or usage.memory(reading))
                    for name, reading in READINGS.items()})

    def test_what_is_impossible_is_no_memory(self):
        self.assertEqual(
            {name: None for name, worth in WORTH.items()
             if isinstance(worth, tuple)},
            {name: usage.memory(reading)
             for name, reading in READINGS.items()
             if usage.impossible(reading)})

    def test_an_honest_guest_keeps_every_number_in_its_place(self):
        self.assertEqual((), usage.impossible(HONEST))
        self.assertEqual(
            usage.Memory(available_kib=4030413, used_kib=1320374,
                         source='usable', usable_kib=2710039,
                         unused_kib=1510027, swap_in_kib=7013,
                         swap_out_kib=9029),
            usage.memory(HONEST))

    def test_the_bounds_themselves_are_possible(self):
        """A page of memory; all of what the machine has; all of it free."""
        self.assertEqual(
            [(), (), (), ()],
            [usage.impossible(reading) for reading in (
                stats.Reading(maximum_kib=8192, available_kib=4,
                              unused_kib=3),
                _but(available_kib=8388608),
                _but(usable_kib=4030413),
                _but(unused_kib=4030413, disk_caches_kib=4030413))])

    def test_total_alone_says_nothing_of_use(self):
        self.assertEqual(
            ('neither usable nor unused memory',),
            usage.impossible(stats.Reading(maximum_kib=8388608,
                                           available_kib=4030413)))

    def test_total_and_caches_say_nothing_of_use(self):
        self.assertEqual(
            ('neither usable nor unused memory',),
            usage.impossible(stats.Reading(
                maximum_kib=8388608, available_kib=4030413,
                disk_caches_kib=940051)))

    def test_any_other_field_alone_has_no_total(self):
        self.assertEqual(
            [NO_NUMBERS] * 3,
            [usage.impossible(stats.Reading(maximum_kib=8388608,
                                            **{field: 940051}))
             for field in ('unused_kib', 'usable_kib', 'disk_caches_kib')])

    def test_without_a_maximum_there_is_nothing_to_check_against(self):
        reading = _but(maximum_kib=None)
        self.assertEqual(
            ('libvirt gave no balloon.maximum to check against',),
            usage.impossible(reading))
        self.assertIsNone(usage.memory(reading))

    def test_free_memory_and_caches_may_not_exceed_the_total_together(self):
        """Where nothing is used up, each for itself below the total."""
        reading = _but(usable_kib=None, unused_kib=3090363)
        self.assertEqual(
            ('unused 3090363 KiB and disk_caches 940051 KiB are together '
             'more than available 4030413 KiB',),
            usage.impossible(reading))
        self.assertEqual((-1, 'caches'), usage.used(reading))
        self.assertIsNone(usage.memory(reading))

    def test_caches_over_the_total_are_told_even_if_nothing_uses_them(self):
        self.assertEqual(
            ('disk_caches 4030414 KiB is more than available 4030413 KiB',),
            usage.impossible(_but(disk_caches_kib=4030414)))

    def test_a_balloon_that_holds_all_memory_is_told(self):
        self.assertEqual(('current 0 KiB is no memory at all',),
                         usage.impossible(_but(current_kib=0)))
        self.assertEqual((), usage.impossible(_but(current_kib=1)))

    def test_all_that_is_impossible_is_told(self):
        self.assertEqual(
            ('available 8388611 KiB is more than the 8388608 KiB the guest '
             'can have',
             'usable 8388613 KiB is more than available 8388611 KiB',
             'unused 8388617 KiB is more than available 8388611 KiB',
             'disk_caches 8388619 KiB is more than available 8388611 KiB'),
            usage.impossible(_but(
                available_kib=8388611, usable_kib=8388613,
                unused_kib=8388617, disk_caches_kib=8388619)))


class TestUtil(testtools.TestCase):

    def test_is_used_memory_in_percent_of_the_total(self):
        memory = usage.Memory(
            available_kib=8000, used_kib=3000, source='usable',
            usable_kib=5000, unused_kib=1000, swap_in_kib=None,
            swap_out_kib=None)
        self.assertEqual(37.5, memory.util_percent)


class TestSwap(testtools.TestCase):

    def test_an_honest_guest_tells_no_lie(self):
        self.assertIsNone(usage.swap_lie(HONEST))

    def test_a_null_from_wmi_is_told_and_costs_swap_only(self):
        self.assertEqual(
            'swap_in 18014398509481983 KiB and swap_out 18014398509481983 '
            'KiB cannot be true',
            usage.swap_lie(READINGS['swap of 2**54 KiB']))

    def test_one_lie_costs_both_counters(self):
        reading = _but(swap_out_kib=2**54)
        self.assertEqual('swap_out 18014398509481984 KiB cannot be true',
                         usage.swap_lie(reading))
        self.assertEqual(
            usage.Memory(available_kib=4030413, used_kib=1320374,
                         source='usable', usable_kib=2710039,
                         unused_kib=1510027, swap_in_kib=None,
                         swap_out_kib=None),
            usage.memory(reading))

    def test_an_exbibyte_is_the_most_that_is_believed(self):
        self.assertIsNone(usage.swap_lie(_but(swap_in_kib=2**50)))
        self.assertEqual('swap_in 1125899906842625 KiB cannot be true',
                         usage.swap_lie(_but(swap_in_kib=2**50 + 1)))

    def test_one_counter_alone_is_none(self):
        memory = usage.memory(_but(swap_in_kib=None))
        self.assertEqual((None, None),
                         (memory.swap_in_kib, memory.swap_out_kib))


class TestBalloon(testtools.TestCase):

    def test_is_what_the_guest_was_given(self):
        self.assertEqual(4194304, usage.balloon_kib(HONEST))

    def test_may_be_all_that_the_guest_can_have(self):
        self.assertEqual(262144, usage.balloon_kib(READINGS['healthy']))

    def test_a_guest_that_wrote_nonsense_into_its_register_has_none(self):
        """QEMU's event carried the lie into libvirt's record."""
        reading = READINGS['actual of 2**64 bytes']
        self.assertEqual(18014381330137092, reading.current_kib)
        self.assertIsNone(usage.balloon_kib(reading))

    def test_nothing_missing_or_over_the_maximum_is_said(self):
        self.assertEqual(
            [None] * 4,
            [usage.balloon_kib(_but(current_kib=None)),
             usage.balloon_kib(_but(current_kib=0)),
             usage.balloon_kib(_but(current_kib=8388609)),
             usage.balloon_kib(_but(maximum_kib=None))])
