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

import threading

import libvirt
import testtools

from memstat_pollster import inspector
from memstat_pollster import stats
from tests.unit import fakes

RUNNING = {'state.state': 1, 'balloon.rss': 7}
BROKEN = (libvirt.VIR_ERR_INTERNAL_ERROR, 'client socket is closed')


class TestRead(testtools.TestCase):
    def test_every_guest_comes_from_one_bulk_call(self):
        web = fakes.Domain(1, RUNNING)
        off = fakes.Domain(2, {'state.state': 5}, domain_id=-1)
        node = fakes.Libvirt(web, off)
        snapshot = node.inspector().read()
        self.assertEqual(
            {web.uuid: inspector.Record(web.uuid, 1, 'instance-00000001',
                                        stats.Reading(state=1, rss_kib=7)),
             off.uuid: inspector.Record(off.uuid, -1, 'instance-00000002',
                                        stats.Reading(state=5))},
            snapshot.records)
        self.assertIsNone(snapshot.error)
        self.assertEqual(['open', 'stats'], node.calls)

    def test_the_connection_is_opened_at_the_first_read_and_kept(self):
        node = fakes.Libvirt()
        reader = node.inspector()
        self.assertEqual([], node.calls)
        reader.read()
        reader.read()
        self.assertEqual(['open', 'stats', 'stats'], node.calls)

    def test_a_connection_that_broke_is_opened_again_at_once(self):
        """libvirtd was restarted between two cycles: no cycle is lost."""
        node = fakes.Libvirt(fakes.Domain(1, RUNNING))
        reader = node.inspector()
        reader.read()
        node.read_errors.append(fakes.libvirt_error(*BROKEN))
        snapshot = reader.read()
        self.assertEqual([fakes.uuid_of(1)], list(snapshot.records))
        self.assertEqual((2, 1), (node.opened, node.closed))

    def test_an_error_is_part_of_the_snapshot(self):
        node = fakes.Libvirt()
        reader = node.inspector()
        node.open_errors.append(fakes.libvirt_error(
            libvirt.VIR_ERR_SYSTEM_ERROR,
            "Failed to connect socket to '/run/x': No such file"))
        snapshot = reader.read()
        self.assertEqual(
            ({}, "Failed to connect socket to '/run/x': No such file"),
            (snapshot.records, snapshot.error))
        self.assertIsNone(reader.read().error)

    def test_two_errors_in_a_row_end_the_read(self):
        node = fakes.Libvirt()
        reader = node.inspector()
        reader.read()
        node.read_errors += [fakes.libvirt_error(*BROKEN),
                             fakes.libvirt_error(*BROKEN)]
        self.assertEqual('client socket is closed', reader.read().error)
        self.assertEqual((2, 2), (node.opened, node.closed))

    def test_without_libvirt_python_the_snapshot_says_what_to_install(self):
        def opener(uri):
            raise inspector.ReadFailed('libvirt-python is not installed')
        reader = inspector.Inspector('test:///', opener=opener)
        self.assertEqual('libvirt-python is not installed',
                         reader.read().error)

    def test_times_are_taken_before_the_call(self):
        node = fakes.Libvirt()
        reader = node.inspector(timeout_s=0.3)
        node.hang.set()
        self.addCleanup(node.released.set)
        before = reader.read()
        node.hang.clear()
        after = reader.read()
        self.assertGreaterEqual(after.wall_s - before.wall_s, 0.3)
        self.assertGreaterEqual(after.monotonic_s - before.monotonic_s, 0.3)


class TestBusyGuests(testtools.TestCase):
    """Another client's reading holds a guest for a moment."""

    BUSY = {'state.state': 1, 'balloon.current': 3, 'balloon.maximum': 5}
    FREE = dict(BUSY, **{'balloon.rss': 7, 'balloon.last-update': 11})

    def read(self, *answers):
        """The records of one guest over reads that take these answers."""
        web = fakes.Domain(1, answers[0])
        node = fakes.Libvirt(fakes.Domain(2, self.FREE), web)
        left = list(answers[1:])

        def again():
            if left:
                web.record = left.pop(0)
        node.before_retry = again
        self.calls = node.calls
        self.node, self.reader = node, node.inspector()
        return self.reader.read().records[web.uuid].reading

    def test_it_is_asked_again_and_nobody_else_is(self):
        self.assertEqual(stats.parse(self.FREE),
                         self.read(self.BUSY, self.BUSY, self.FREE))
        self.assertEqual(['open', 'stats', ('again', 'instance-00000001'),
                          ('again', 'instance-00000001')], self.calls)

    def test_one_that_stays_busy_is_waited_for_only_once(self):
        self.assertEqual(stats.parse(self.BUSY), self.read(self.BUSY))
        self.assertEqual(len(inspector.RETRIES_S), len(self.calls) - 2)
        self.calls.clear()
        self.reader.read()
        self.assertEqual(['stats'], self.calls)

    def test_one_that_was_busy_for_long_is_waited_for_again_once_free(self):
        self.read(self.BUSY)
        web = self.node.domains[fakes.uuid_of(1)]
        web.record = self.FREE
        self.reader.read()
        web.record = self.BUSY
        self.calls.clear()
        self.reader.read()
        self.assertIn(('again', 'instance-00000001'), self.calls)

    def test_one_that_ends_meanwhile_costs_nothing(self):
        web = fakes.Domain(1, self.BUSY)
        node = fakes.Libvirt(fakes.Domain(2, self.FREE), web)
        node.before_retry = node.domains.clear
        snapshot = node.inspector().read()
        self.assertIsNone(snapshot.error)
        self.assertEqual({fakes.uuid_of(2), web.uuid},
                         set(snapshot.records))


class TestDeadline(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.node = fakes.Libvirt(fakes.Domain(1, RUNNING))
        self.addCleanup(self.node.released.set)
        self.reader = self.node.inspector(timeout_s=0.1, max_stuck=2)

    def test_a_call_that_hangs_is_left_behind_and_counted(self):
        self.node.hang.set()
        self.assertEqual('libvirt did not answer within 0.1 s',
                         self.reader.read().error)
        self.assertEqual(1, self.reader.stuck)

    def test_the_next_read_has_a_thread_and_connection_of_its_own(self):
        self.node.hang.set()
        self.reader.read()
        self.node.hang.clear()
        self.assertEqual([fakes.uuid_of(1)], list(self.reader.read().records))
        self.assertEqual((2, 1), (self.node.opened, self.reader.stuck))

    def test_no_more_calls_are_left_behind_than_allowed(self):
        self.node.hang.set()
        self.reader.read()
        self.reader.read()
        self.assertEqual(
            '2 calls to libvirt are stuck, as many as '
            '[memstat]max_stuck_reads allows', self.reader.read().error)
        self.assertEqual((2, 2), (self.node.count('stats'),
                                  self.reader.stuck))

    def test_calls_that_return_after_all_are_forgotten_and_closed(self):
        self.node.hang.set()
        self.reader.read()
        self.reader.read()
        self.node.hang.clear()
        self.node.released.set()
        fakes.wait_until(lambda: self.reader.stuck == 0, 'nothing is stuck')
        fakes.wait_until(lambda: self.node.closed == 2, 'both are closed')
        self.assertIsNone(self.reader.read().error)

    def test_readers_are_daemons_and_end_when_closed(self):
        before = set(threading.enumerate())
        self.reader.read()
        made = set(threading.enumerate()) - before
        self.assertEqual([True], [thread.daemon for thread in made])
        self.reader.close()
        fakes.wait_until(lambda: not any(t.is_alive() for t in made),
                         'the reader has ended')
        self.assertEqual(1, self.node.closed)


class TestLiveXML(testtools.TestCase):
    def test_a_guest_that_is_gone_is_left_out(self):
        web = fakes.Domain(1, {})
        reader = fakes.Libvirt(web).inspector()
        self.assertEqual(
            {web.uuid: web.XMLDesc(0)},
            reader.live_xml([web.uuid, fakes.uuid_of(2)]))

    def test_nothing_is_asked_for_no_guests(self):
        node = fakes.Libvirt()
        self.assertEqual({}, node.inspector().live_xml([]))
        self.assertEqual([], node.calls)

    def test_an_error_of_libvirt_is_raised_as_ours(self):
        web = fakes.Domain(1, {})
        web.xml_error = fakes.libvirt_error(*BROKEN)
        error = self.assertRaises(
            inspector.ReadFailed, fakes.Libvirt(web).inspector().live_xml,
            [web.uuid])
        self.assertEqual('client socket is closed', str(error))
