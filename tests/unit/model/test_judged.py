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

"""A guest as it was judged, by itself and among the others."""

import testtools

from memstat_pollster.model import judged
from memstat_pollster.model import meters
from memstat_pollster.model import status
from memstat_pollster.model import usage
from tests.unit import fakes


def guest(number=1, **changes):
    fields = {
        'uuid': fakes.uuid_of(number), 'name': 'instance-00000001',
        'display_name': 'web', 'reading': None, 'domain': None,
        'verdict': status.Verdict(status.Status.REPORTING, 'x'),
        'remedy': None, 'age_s': 3.5, 'memory': None}
    fields.update(changes)
    return judged.Guest(**fields)


class TestNames(testtools.TestCase):
    def test_each_once_and_without_what_is_missing(self):
        self.assertEqual(
            [('web', 'instance-00000001'), ('instance-00000001',), ()],
            [guest(display_name=display_name, name=name).names
             for display_name, name in (
                 ('web', 'instance-00000001'),
                 ('instance-00000001', 'instance-00000001'), (None, ''))])

    def test_in_a_line(self):
        uuid = fakes.uuid_of(1)
        self.assertEqual(
            [f'a\\nb / instance-00000001 ({uuid})', f'guest ({uuid})'],
            [str(guest(display_name='a\nb')),
             str(guest(display_name=None, name=''))])


class TestFind(testtools.TestCase):
    def test_a_guest_that_was_read(self):
        web = guest(1)
        cycle = judged.Cycle(7.0, {web.uuid: web})
        self.assertIs(web, cycle.find(web.uuid))
        self.assertIsNone(cycle.find(fakes.uuid_of(2)))

    def test_any_is_unreachable_while_libvirt_does_not_answer(self):
        self.assertEqual(
            guest(5, name='', display_name=None, age_s=None,
                  verdict=status.Verdict(status.Status.UNREACHABLE, 'down')),
            judged.Cycle(7.0, {}, 'down').find(fakes.uuid_of(5)))


class TestMeters(testtools.TestCase):
    """The value of each meter, of a guest that has all numbers or none."""

    def test_of_one_that_reports(self):
        memory = usage.Memory(
            available_kib=1024 * 490, used_kib=1024 * 234, source='usable',
            usable_kib=1024 * 256, unused_kib=1024 * 128,
            swap_in_kib=1024 * 3, swap_out_kib=1024 * 5)
        self.assertEqual(
            {'memory.usage': 234.0, 'memory.available': 490.0,
             'memory.usable': 256.0, 'memory.unused': 128.0,
             'memory.util': 100 * 234 / 490, 'memory.balloon.status': 0,
             'memory.stats.age': 3.5, 'memory.swap.in': 3.0,
             'memory.swap.out': 5.0},
            {name: value for name, meter in meters.METERS.items()
             if (value := meter.value(guest(memory=memory))) is not None})

    def test_of_one_that_does_not(self):
        sick = guest(age_s=None, verdict=status.Verdict(
            status.Status.UNREACHABLE, 'x'))
        self.assertEqual(
            {'memory.balloon.status': 9},
            {name: value for name, meter in meters.METERS.items()
             if (value := meter.value(sick)) is not None})
