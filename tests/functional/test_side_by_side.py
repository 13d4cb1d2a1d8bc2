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

"""What the plugin publishes, and says, of hostile and sick guests."""

import collections
import logging

import fixtures
from testtools import content

from benchmarks import side_by_side
from memstat_pollster import inspector
from memstat_pollster import monitor
from memstat_pollster import nova
from memstat_pollster import status
from tests.functional import published
from tests import node


class TestSideBySide(published.SharedGuestsTest):

    @classmethod
    def make_guests(cls):
        cls.guests = side_by_side.start_guests(cls.node)
        cls.names += [guest.name for guest in cls.guests.values()]

    def test_wrong_numbers_of_13_guests(self):
        outcome = side_by_side.compare(self.node, self.guests)
        self.addDetail('wrong numbers', content.text_content(
            f'{outcome.table()}\n{outcome.summary()}'))
        self.assertEqual([], outcome.plugin)
        self.assertGreater(outcome.plugin_numbers, 0)
        # 24 wrong numbers in each of 5 cycles: the lies are as they were.
        self.assertEqual(
            {'total-2-63': 2, 'total-2-64-2': 2, 'total-0': 2,
             'total-over': 2, 'free-over': 1, 'usable-over': 1,
             'swap-of-wmi': 1, 'actual-lies': 1, 'service-hangs': 3,
             'reset': 3, 'period-0': 3, 'no-period': 3},
            {name: count / side_by_side.CYCLES for name, count
             in collections.Counter(
                 wrong.name for wrong in outcome.stock).items()})
        self.assertEqual(
            {'total-2-63': 'invalid', 'total-2-64-2': 'invalid',
             'total-0': 'invalid', 'total-over': 'invalid',
             'free-over': 'invalid', 'usable-over': 'invalid',
             'swap-of-wmi': 'reporting', 'actual-lies': 'invalid',
             'no-service': 'service_missing', 'service-hangs': 'stale',
             'reset': 'stale', 'period-0': 'stats_disabled',
             'no-period': 'stats_disabled'}, outcome.words)

    def test_100_cycles_over_unchanged_sick_guests_are_silent(self):
        more = [self.new_scripted('never'),
                self.new_scripted('none', model='none')]
        guests = [*self.guests.values(), *more]
        source = inspector.Inspector(self.node.ro_uri)
        self.addCleanup(source.close)
        sick = {'invalid': 7, 'service_missing': 1, 'stale': 2,
                'stats_disabled': 2, 'driver_missing': 1, 'no_device': 1}

        def watch():
            return monitor.Monitor(
                source, status.Thresholds(published.STALE_AFTER, 0.0),
                lambda: nova.Wanted(10))

        def words(by):
            found = by.cycle().guests
            return collections.Counter(
                found[guest.uuid].verdict.status.word for guest in guests)
        before = watch()
        node.wait_for(lambda: words(before) == sick | {'reporting': 1}, 90,
                      'every guest is as sick as it will be')
        said = self.useFixture(fixtures.FakeLogger(
            'memstat_pollster', level=logging.INFO))
        silent = watch()
        for _ in range(2):
            words(silent)
        self.assertEqual(8, len(said.output.splitlines()), said.output)
        said.reset_output()
        for _ in range(100):
            self.assertEqual(sick | {'reporting': 1}, words(silent))
        self.assertEqual('', said.output)
