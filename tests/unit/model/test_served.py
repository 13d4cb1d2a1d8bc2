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

"""How each of Ceilometer's own compute meters gets its number."""

import collections

import testtools

from memstat_pollster.model import meters
from memstat_pollster.model import served


def by_how(**options):
    """How many meters are answered how."""
    return collections.Counter(served.how(meter, **options)
                               for meter in served.METERS)


class TestServed(testtools.TestCase):

    def test_no_meter_stands_twice_or_is_the_plugins(self):
        every = [meter for row in served.ROWS for meter in row.meters]
        self.assertEqual(every, list(dict.fromkeys(every)))
        self.assertEqual([], [each for each in every if each in meters.METERS])

    def test_names_of_both_ways(self):
        for meter in ('disk.device.read.latency', 'disk.device.write.bytes',
                      'network.incoming.packets.drop',
                      'network.outgoing.bytes.delta'):
            self.assertIn(meter, served.METERS)

    def test_what_the_options_change(self):
        record, asked, none = served.How
        self.assertEqual(
            {record: 27, asked: 3, none: 6},
            by_how(serve=True, replace=True))
        self.assertEqual(
            {record: 16, asked: 14, none: 6},
            by_how(serve=True, replace=False))
        for replace in (True, False):
            self.assertEqual({asked: 30, none: 6},
                             by_how(serve=False, replace=replace))
        self.assertEqual(
            [asked, record, asked, none],
            [served.how(meter, serve=True, replace=False) for meter in (
                'cpu', 'network.incoming.bytes', 'disk.device.usage',
                'disk.root.size')])
