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

"""The numbers of libvirt's record, explained."""

import collections.abc
import dataclasses
import typing




@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A number of libvirt's record, explained.

    :ivar name: libvirt's
    :ivar attribute: of ``stats.Reading``
    :ivar origin: where the same number is found
    """

    name: str
    attribute: str
    origin: str
    meaning: str


FIELDS: typing.Final = (
    Field('available', 'available_kib', 'MemTotal',
          'all that its kernel manages'),
    Field('usable', 'usable_kib', 'MemAvailable',
          'what it can give to new work'),
    Field('unused', 'unused_kib', 'MemFree', 'what it uses for nothing'),
    Field('disk_caches', 'disk_caches_kib', 'Cached', 'its page cache'),
    Field('swap_in', 'swap_in_kib', 'pswpin (vmstat)',
          'swapped in since its boot'),
    Field('swap_out', 'swap_out_kib', 'pswpout (vmstat)',
          'swapped out since its boot'),
    Field('current', 'current_kib', '-', "given to it, by libvirt's record"),
    Field('maximum', 'maximum_kib', '-', 'the most it can have'),
    Field('rss', 'rss_kib', '-', 'what its QEMU holds of the host'),
)

#: How used memory is reckoned, by what the guest sends.
FORMULAE: typing.Final[collections.abc.Mapping[str, str]] = {
    'usable': 'available - usable',
    'caches': 'available - unused - disk_caches',
    'unused': 'available - unused',
}
