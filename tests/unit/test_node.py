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

"""What the options of an agent come to on its node."""

import time

import fixtures
from oslo_config import cfg
import testtools

from memstat_pollster.config import options
from memstat_pollster.model import status
from memstat_pollster import node
from tests.unit import fakes


class NodeTest(testtools.TestCase):
    def conf(self, **memstat):
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        options.load(conf)
        for name, value in {'nova_config_files': [], **memstat}.items():
            conf.set_override(name, value, 'memstat')
        return conf


class TestInspector(NodeTest):
    def setUp(self):
        super().setUp()
        self.node = fakes.Libvirt(*(
            fakes.Domain(n, {'state.state': 1, 'balloon.rss': 7})
            for n in range(1, 5)))
        self.addCleanup(self.node.thaw)
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.host.connection.libvirt.openReadOnly',
            self.node.open))

    def read_frozen(self, **memstat):
        """(inspector, seconds) of a read of guests that are all frozen."""
        found = node.make_inspector(self.conf(**memstat))
        self.addCleanup(found.close)
        for domain in self.node.domains.values():
            domain.monitor.freeze()
        began_s = time.monotonic()
        found.read()
        return found, time.monotonic() - began_s

    def test_read_timeout_is_how_long_is_waited(self):
        took_s = self.read_frozen(read_timeout=1)[1]
        # The default is 5.
        self.assertTrue(1.0 <= took_s < 4.0, took_s)

    def test_max_stuck_reads_is_how_many_are_left_behind(self):
        self.assertEqual(2, self.read_frozen(
            read_timeout=1, max_stuck_reads=2)[0].stuck)


class TestMonitor(NodeTest):
    def verdict(self, record, **memstat):
        libvirt = fakes.Libvirt(fakes.Domain(1, record))
        source = libvirt.inspector()
        self.addCleanup(source.close)
        (guest,) = node.make_monitor(
            self.conf(**memstat), source).cycle().guests.values()
        return guest.verdict.status

    def test_stale_after_periods_is_how_old_numbers_may_be(self):
        """Of a guest whose period is 10 s."""
        record = fakes.healthy(int(time.time()) - 500)
        self.assertEqual(
            [status.Status.STALE, status.Status.REPORTING],
            [self.verdict(record, stale_after_periods=periods)
             for periods in (3, 900)])

    def test_boot_grace_is_how_long_a_guest_may_be_silent(self):
        record = {'state.state': 1, 'state.reason': 1, 'balloon.rss': 5,
                  'balloon.maximum': 7, 'balloon.last-update': 0}
        self.assertEqual(
            [status.Status.STARTING, status.Status.DRIVER_MISSING],
            [self.verdict(record, boot_grace=seconds)
             for seconds in (120, 0)])
