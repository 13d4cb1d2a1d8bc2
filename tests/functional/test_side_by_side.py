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
import pathlib

import fixtures
import testtools
from testtools import content

from benchmarks import other_tools
from benchmarks import side_by_side
from memstat_pollster.host import inspector
from memstat_pollster.model import facts
from memstat_pollster.model import nova_period
from memstat_pollster import monitor
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
        kept = {} if self.node.clears_at_reset else {'reset': 3}
        self.assertEqual(
            {'total-2-63': 2, 'total-2-64-2': 2, 'total-0': 2,
             'total-over': 2, 'free-over': 1, 'usable-over': 1,
             'swap-of-wmi': 1, 'actual-lies': 1, 'service-hangs': 3,
             'period-0': 3, 'no-period': 3, **kept},
            {name: count / side_by_side.CYCLES for name, count
             in collections.Counter(
                 wrong.name for wrong in outcome.stock).items()})
        self.assertEqual(
            {'total-2-63': 'invalid', 'total-2-64-2': 'invalid',
             'total-0': 'invalid', 'total-over': 'invalid',
             'free-over': 'invalid', 'usable-over': 'invalid',
             'swap-of-wmi': 'reporting', 'actual-lies': 'invalid',
             'no-service': 'service_missing', 'service-hangs': 'stale',
             'reset': ('driver_missing' if self.node.clears_at_reset
                       else 'stale'),
             'period-0': 'stats_disabled',
             'no-period': 'stats_disabled'}, outcome.words)

    def test_100_cycles_over_unchanged_sick_guests_are_silent(self):
        more = [self.new_scripted('never'),
                self.new_scripted('none', model='none')]
        guests = [*self.guests.values(), *more]
        source = inspector.Inspector(self.node.ro_uri)
        self.addCleanup(source.close)
        sick = collections.Counter({
            'invalid': 7, 'service_missing': 1, 'stale': 1,
            'stats_disabled': 2, 'driver_missing': 1, 'no_device': 1})
        sick['driver_missing' if self.node.clears_at_reset else 'stale'] += 1

        def watch():
            return monitor.Monitor(
                source, facts.Thresholds(published.STALE_AFTER, 0.0),
                lambda: nova_period.Wanted(10))

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


class TestOtherTools(testtools.TestCase):
    """What the others wrote is read as they wrote it."""

    SCRAPE = """\
# HELP libvirt_domain_info_memory_usage_bytes Memory usage of the domain
# TYPE libvirt_domain_info_memory_usage_bytes gauge
libvirt_domain_info_memory_usage_bytes{domain="side-reset",uuid="x"} 3.21e+08
libvirt_domain_info_maximum_memory_bytes{domain="side-reset",uuid="x"} 5.4e+08
process_resident_memory_bytes 2.6857472e+07
"""

    def test_a_scrape(self):
        self.assertEqual(
            {'side-reset': {'memory.usage': 3.21e8 / 2**20}},
            other_tools.of_exporter(self.SCRAPE))

    def test_collectds_files(self):
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        virt = directory / 'side-reset' / 'virt'
        virt.mkdir(parents=True)
        for what, values in (('available', (7, 500, 501)),
                             ('rss', (1, 2, 3)), ('unused', (8, 20, 21))):
            (virt / f'memory-{what}-2026-11-23').write_text(
                'epoch,value\n' + ''.join(
                    f'1795475585.2,{value * 2**20}.000000\n'
                    for value in values))
        cycles = other_tools.of_collectd(directory, 2)
        self.assertEqual([
            {'side-reset': {'memory.available': 500, 'memory.unused': 20}},
            {'side-reset': {'memory.available': 501, 'memory.unused': 21}},
        ], cycles)
        # Its guest has 500 and 32 MiB.
        self.assertEqual((3, 4), other_tools.count(cycles))
