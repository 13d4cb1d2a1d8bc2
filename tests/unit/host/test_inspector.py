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

import subprocess
import sys
import threading
import time

import fixtures
import libvirt
import testtools

from memstat_pollster.host import calls
from memstat_pollster.host import inspector
from memstat_pollster.host import processes
from memstat_pollster.model import compute
from memstat_pollster.model import observation
from memstat_pollster.model import stats
from tests.unit import fakes
from tests.unit import threads

RUNNING = {'state.state': 1, 'balloon.rss': 7}
BROKEN = (libvirt.VIR_ERR_INTERNAL_ERROR, 'client socket is closed')


class TestRead(testtools.TestCase):
    def test_every_guest_comes_from_one_bulk_call(self):
        web = fakes.Domain(1, RUNNING)
        off = fakes.Domain(2, {'state.state': 5}, domain_id=-1)
        node = fakes.Libvirt(web, off)
        snapshot = node.inspector().read()
        self.assertEqual(
            {web.uuid: observation.Record(web.uuid, 1, 'instance-00000001',
                                        stats.Reading(state=1, rss_kib=7)),
             off.uuid: observation.Record(off.uuid, -1, 'instance-00000002',
                                        stats.Reading(state=5))},
            snapshot.records)
        self.assertIsNone(snapshot.error)
        # Before the first read it looks which guests run.
        self.assertEqual(['open', 'list', 'open', 'stats'], node.calls)

    def test_calls_that_others_left_behind_count(self):
        """Of libvirtd's workers max_stuck_reads are taken, whoever does."""
        node = fakes.Libvirt(fakes.Domain(1, RUNNING))
        reader = node.inspector(max_stuck=2)
        others = [2]
        reader.count_too(lambda: others[0])
        self.assertEqual([True], [record.busy for record
                                  in reader.read().records.values()])
        self.assertEqual(0, node.count('stats'))
        others[0] = 1
        self.assertEqual([False], [record.busy for record
                                   in reader.read().records.values()])

    def test_the_connection_is_opened_at_the_first_read_and_kept(self):
        node = fakes.Libvirt()
        reader = node.inspector()
        self.assertEqual([], node.calls)
        reader.read()
        reader.read()
        self.assertEqual(['open', 'list', 'open', 'stats', 'stats'],
                         node.calls)

    def test_a_connection_that_broke_is_opened_again_at_once(self):
        """libvirtd was restarted between two cycles: no cycle is lost."""
        node = fakes.Libvirt(fakes.Domain(1, RUNNING))
        reader = node.inspector()
        reader.read()
        node.read_errors.append(fakes.libvirt_error(*BROKEN))
        snapshot = reader.read()
        self.assertEqual([fakes.uuid_of(1)], list(snapshot.records))
        self.assertEqual((3, 1), (node.opened, node.closed))

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
        self.assertEqual((3, 2), (node.opened, node.closed))

    def test_without_libvirt_python_the_snapshot_says_what_to_install(self):
        done = subprocess.run(
            [sys.executable, '-c', 'import sys\n'
             'sys.modules["libvirt"] = None\n'
             'from memstat_pollster.host import inspector\n'
             'reader = inspector.Inspector("qemu:///system")\n'
             'print(reader.read().error, reader.stuck)\n'],
            check=True, capture_output=True, text=True)
        self.assertEqual(
            ('libvirt-python is not installed: install it (on Debian, '
             'Ubuntu and RHEL python3-libvirt) 0\n', ''),
            (done.stdout, done.stderr))

    def test_times_are_taken_before_the_call(self):
        web = fakes.Domain(1, RUNNING)
        node = fakes.Libvirt(web)
        reader = node.inspector(timeout_s=0.5)
        web.monitor.freeze()
        self.addCleanup(node.thaw)
        before = time.time(), time.monotonic()
        snapshot = reader.read()
        after = time.time(), time.monotonic()
        # A tenth of the timeout at least goes by with waiting.
        self.assertTrue(before[0] <= snapshot.wall_s <= after[0] - 0.04)
        self.assertTrue(
            before[1] <= snapshot.monotonic_s <= after[1] - 0.04)


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
        self.assertEqual(['open', 'list', 'open', 'stats',
                          ('some', 'instance-00000001'),
                          ('some', 'instance-00000001')], self.calls)

    def test_one_that_ends_meanwhile_costs_nothing(self):
        web = fakes.Domain(1, self.BUSY)
        node = fakes.Libvirt(fakes.Domain(2, self.FREE), web)
        node.before_retry = node.domains.clear
        snapshot = node.inspector().read()
        self.assertIsNone(snapshot.error)
        self.assertEqual({fakes.uuid_of(2), web.uuid},
                         set(snapshot.records))


class TestHeldByAnotherClient(testtools.TestCase):
    """Its call is no sign that the guest is frozen."""

    def setUp(self):
        super().setUp()
        self.web, self.other = (fakes.Domain(n, RUNNING) for n in (1, 2))
        self.node = fakes.Libvirt(self.web, self.other)
        self.addCleanup(self.node.thaw)

    def reader(self, timeout_s):
        found = self.node.inspector(timeout_s=timeout_s)
        self.addCleanup(found.close)
        found.read()
        self.node.calls.clear()
        return found

    def test_it_is_asked_again_until_the_deadline(self):
        reader = self.reader(60.0)
        fakes.hold(self, self.web)
        looks = []
        look = self.web.controlInfo

        def thaw_late(flags=0):
            """Long after the retries of one call are over."""
            looks.append(self.node.calls.count(
                ('some', 'instance-00000001')))
            if len(looks) == 5:
                self.web.monitor.thaw()
            return look(flags)
        self.web.controlInfo = thaw_late
        self.assertEqual([1, 2], answered(reader.read()))
        self.assertEqual([len(calls.RETRIES_S)] * 5, looks[:5])
        self.assertEqual(0, reader.stuck)

    def test_one_whose_monitor_is_free_is_asked_again_too(self):
        """A job need not use the monitor."""
        reader = self.reader(60.0)
        self.web.record = TestBusyGuests.BUSY
        asked = []

        def answer_late():
            asked.append(None)
            if len(asked) == 2 * len(calls.RETRIES_S) + 3:
                self.web.record = TestBusyGuests.FREE
        self.node.before_retry = answer_late
        self.assertEqual([1, 2], answered(reader.read()))

    def test_held_by_the_same_call_it_is_not_waited_for_again(self):
        reader = self.reader(0.6)
        fakes.hold(self, self.web)
        self.assertEqual([2], answered(reader.read()))
        self.node.calls.clear()
        self.assertEqual([2], answered(reader.read()))
        self.assertEqual(['stats'], self.node.calls)

    def test_held_by_a_later_call_it_is(self):
        """What was true of it in the last cycle is not remembered."""
        reader = self.reader(1.0)
        fakes.hold(self, self.web)
        self.assertEqual([2], answered(reader.read()))
        self.web.monitor.thaw()
        fakes.wait_until(lambda: self.web.monitor.occupied_ms() is None,
                         'it is free')
        time.sleep(2 * calls.SAME_S)
        fakes.hold(self, self.web)
        self.node.before_retry = self.web.monitor.thaw
        self.assertEqual([1, 2], answered(reader.read()))


def answered(snapshot):
    """Numbers of the guests that were read, in order."""
    return sorted(int(record.name.removeprefix('instance-'), 16)
                  for record in snapshot.records.values()
                  if not record.busy)


class TestFrozenGuests(testtools.TestCase):
    """QEMUs that do not answer, among ten guests."""

    def setUp(self):
        super().setUp()
        self.guests = [fakes.Domain(n, RUNNING) for n in range(1, 11)]
        self.node = fakes.Libvirt(*self.guests)
        self.addCleanup(self.node.thaw)
        self.reader = self.node.inspector(timeout_s=4.0, max_stuck=5)
        self.reader.read()
        self.node.calls.clear()

    def freeze(self, *numbers):
        for number in numbers:
            self.guests[number - 1].monitor.freeze()

    def healthy(self, *frozen):
        return [n for n in range(1, 11) if n not in frozen]

    def test_one_costs_nobody_else_a_reading(self):
        self.freeze(3)
        snapshot = self.reader.read()
        self.assertEqual(self.healthy(3), answered(snapshot))
        self.assertEqual(stats.Reading(state=1, reason=0), snapshot.records[
            fakes.uuid_of(3)].reading)
        self.assertEqual(1, self.reader.stuck)

    def test_one_that_is_paused_is_found_too(self):
        """QEMU pauses a guest whose storage fails, and may hang then."""
        self.guests[2].record = {'state.state': 3, 'balloon.rss': 7}
        self.freeze(3)
        self.assertEqual(self.healthy(), answered(self.reader.read()))
        self.assertEqual(1, self.reader.stuck)

    def test_four_cost_nobody_else_a_reading_and_one_call_each(self):
        frozen = (1, 4, 5, 10)
        asked = [guest.monitor.calls for guest in self.guests]
        self.freeze(*frozen)
        for _ in range(3):
            self.assertEqual(self.healthy(*frozen),
                             answered(self.reader.read()))
        self.assertEqual(4, self.reader.stuck)
        self.assertEqual(
            [1] * 4, [self.guests[n - 1].monitor.calls - asked[n - 1]
                      for n in frozen])

    def test_later_cycles_are_one_bulk_call_again(self):
        self.freeze(3)
        self.reader.read()
        self.node.calls.clear()
        self.assertEqual(self.healthy(3), answered(self.reader.read()))
        self.assertEqual(['stats'], self.node.calls)

    def test_a_call_that_is_merely_slow_is_not_left_behind(self):
        """With and without a guest that an earlier call is stuck on."""
        self.node.slow_s = 0.8
        self.assertEqual(self.healthy(), answered(self.reader.read()))
        self.assertEqual(0, self.reader.stuck)
        self.node.slow_s = 0.0
        self.reader.read()
        self.freeze(3)
        self.reader.read()
        self.node.slow_s = 0.8
        asked = sum(guest.states_asked for guest in self.guests)
        self.node.calls.clear()
        self.assertEqual(self.healthy(3), answered(self.reader.read()))
        self.assertEqual(1, self.reader.stuck)
        self.assertEqual((1, 0), (
            self.node.count('stats'),
            sum(guest.states_asked for guest in self.guests) - asked))

    def test_all_of_them_stop_at_the_bound_and_are_all_unreachable(self):
        self.freeze(*range(1, 11))
        for _ in range(3):
            snapshot = self.reader.read()
            self.assertEqual([], answered(snapshot))
            self.assertEqual(10, len(snapshot.records))
            self.assertIsNone(snapshot.error)
            self.assertEqual(5, self.reader.stuck)

    def test_at_the_bound_nothing_is_asked_that_could_get_stuck(self):
        self.freeze(*range(1, 11))
        self.reader.read()
        self.node.calls.clear()
        self.reader.read()
        self.assertEqual(['list'], self.node.calls)

    def test_one_that_thaws_is_read_in_the_next_cycle(self):
        self.freeze(3)
        self.reader.read()
        self.guests[2].monitor.thaw()
        fakes.wait_until(lambda: self.reader.stuck == 0, 'nothing is stuck')
        self.assertEqual(self.healthy(), answered(self.reader.read()))

    def test_all_are_read_in_the_cycle_after_a_thaw(self):
        self.freeze(*range(1, 11))
        self.reader.read()
        self.node.thaw()
        fakes.wait_until(lambda: self.reader.stuck == 0, 'nothing is stuck')
        self.assertEqual(self.healthy(), answered(self.reader.read()))
        self.node.calls.clear()
        self.reader.read()
        self.assertEqual(['stats'], self.node.calls)

    def test_guests_that_were_not_asked_are_tried_last(self):
        """What is known to answer is not put at risk for what is not."""
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.host.calls.GUESTS_AT_A_TIME', 1))
        self.freeze(1, 2, 3, 4, 5, 6)
        self.assertEqual([], answered(self.reader.read()))
        self.guests[1].monitor.thaw()
        fakes.wait_until(lambda: self.reader.stuck == 4, 'one has returned')
        self.assertEqual([2], answered(self.reader.read()))
        self.assertEqual(5, self.reader.stuck)

    def test_readers_are_daemons_and_end_with_their_call(self):
        before = set(threading.enumerate())
        self.freeze(3, 4)
        self.reader.read()
        made = set(threading.enumerate()) - before
        self.assertEqual({True}, {thread.daemon for thread in made})
        self.node.thaw()
        self.reader.close()
        fakes.wait_until(lambda: not any(t.is_alive() for t in made),
                         'every reader has ended')
        fakes.wait_until(lambda: self.node.opened == self.node.closed,
                         'every connection is closed')


class TestSlowIsNotStuck(testtools.TestCase):
    """A QEMU that does not answer for a while, and then does."""

    def setUp(self):
        super().setUp()
        self.guests = [fakes.Domain(n, RUNNING) for n in range(1, 11)]
        self.node = fakes.Libvirt(*self.guests)
        self.addCleanup(self.node.thaw)
        self.reader = self.node.inspector(timeout_s=6.0, max_stuck=3)
        self.reader.read()

    def thaw_when(self, number, condition, what):
        """Thaw a guest from another thread, once the condition holds."""
        def work():
            fakes.wait_until(condition, what)
            self.guests[number - 1].monitor.thaw()
        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)

    def test_it_reports_in_the_cycle_in_which_it_answers(self):
        slow = self.guests[2]
        slow.monitor.freeze()
        self.thaw_when(3, lambda: self.guests[9].monitor.calls >= 2,
                       'the others have been read')
        self.assertEqual(list(range(1, 11)), answered(self.reader.read()))
        self.assertEqual(0, self.reader.stuck)

    def test_its_call_is_not_made_twice(self):
        slow = self.guests[2]
        slow.monitor.freeze()
        self.thaw_when(3, lambda: self.guests[9].monitor.calls >= 2,
                       'the others have been read')
        asked = slow.monitor.calls
        self.reader.read()
        self.assertEqual(1, slow.monitor.calls - asked)

    def test_one_that_an_earlier_call_is_held_up_by_is_not_waited_for(self):
        self.reader = self.node.inspector(timeout_s=1.0, max_stuck=3)
        self.guests[2].monitor.freeze()
        self.reader.read()
        self.node.calls.clear()
        self.assertEqual([1, 2, *range(4, 11)],
                         answered(self.reader.read()))
        self.assertEqual(['stats'], self.node.calls)

    def test_a_call_left_behind_that_returns_makes_its_guest_report(self):
        """In the very cycle, although that cycle's own call passed it."""
        self.reader = self.node.inspector(timeout_s=1.0, max_stuck=3)
        held = self.guests[2]
        held.monitor.freeze()
        self.reader.read()
        bulk = fakes.Connection.getAllDomainStats

        def read_and_thaw(connection, stats=0, flags=0):
            answers = bulk(connection, stats, flags)
            if stats == fakes.BALLOON_AND_STATE:
                held.monitor.thaw()
                fakes.wait_until(lambda: self.reader.stuck == 0,
                                 'the call left behind has returned')
            return answers
        self.useFixture(fixtures.MonkeyPatch(
            'tests.unit.fakes.Connection.getAllDomainStats', read_and_thaw))
        self.assertEqual(list(range(1, 11)), answered(self.reader.read()))

    def test_frozen_again_while_the_call_left_behind_walks_on(self):
        """Nothing that was true of a call is remembered as true."""
        self.reader = self.node.inspector(timeout_s=1.0, max_stuck=3)
        first, second = self.guests[2], self.guests[6]
        first.monitor.freeze()
        self.reader.read()
        second.monitor.freeze()
        first.monitor.thaw()
        fakes.wait_until(lambda: second.monitor.occupied_ms() is not None,
                         'the call has walked on to the second')
        self.assertEqual([*range(1, 7), 8, 9, 10],
                         answered(self.reader.read()))
        first.monitor.freeze()
        self.assertEqual([1, 2, 4, 5, 6, 8, 9, 10],
                         answered(self.reader.read()))
        self.assertEqual(2, self.reader.stuck)

    def test_guests_that_were_not_asked_say_why(self):
        """Nothing is known to be wrong with them."""
        self.reader = self.node.inspector(timeout_s=1.0, max_stuck=2)
        for number in (2, 5):
            self.guests[number - 1].monitor.freeze()
        self.reader.read()
        self.assertEqual(2, self.reader.stuck)
        troubles = {int(uuid[-12:]): record.trouble for uuid, record
                    in self.reader.read().records.items()}
        self.assertEqual(
            {number: 'it was not asked: as many calls to libvirt are stuck '
                     'as [memstat]max_stuck_reads allows'
             for number in range(1, 11)}, troubles)
        self.node.thaw()
        fakes.wait_until(lambda: self.reader.stuck == 0, 'nothing is stuck')
        self.assertEqual({None}, {
            record.trouble for record in self.reader.read().records.values()})

    def test_no_two_calls_that_may_get_stuck_are_begun_at_once(self):
        for number in (2, 5):
            self.guests[number - 1].monitor.freeze()
        self.reader = self.node.inspector(timeout_s=2.0, max_stuck=5)
        begun = []
        called = self.node.called

        def note(name):
            begun.append((name, sum(
                guest.monitor.occupied_ms() is not None
                for guest in self.guests)))
            called(name)
        self.node.called = note
        self.reader.read()
        self.assertEqual(
            [('stats', 0), 1, 2],
            [begun[[name for name, _ in begun].index('stats')],
             *sorted({held for name, held in begun
                      if isinstance(name, tuple) and held})])


    def test_a_slow_one_is_read_although_its_call_sticks_elsewhere(self):
        """The call goes on past it, to one that is frozen again."""
        self.reader = self.node.inspector(timeout_s=60.0, max_stuck=3)
        self.reader.read()
        slow, flaps = self.guests[2], self.guests[6]
        slow.monitor.freeze()

        def work():
            fakes.wait_until(lambda: self.guests[9].monitor.calls >= 3,
                             'the others have been read')
            flaps.monitor.freeze()
            slow.monitor.thaw()
        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)
        self.assertEqual(list(range(1, 11)), answered(self.reader.read()))


class TestWorkers(testtools.TestCase):
    """One whose call has returned is free in that very cycle."""

    def test_at_the_bound_guests_are_read_once_a_call_returns(self):
        guests = [fakes.Domain(n, RUNNING) for n in range(1, 5)]
        node = fakes.Libvirt(*guests)
        self.addCleanup(node.thaw)
        reader = node.inspector(timeout_s=1.0, max_stuck=1)
        self.addCleanup(reader.close)
        reader.read()
        guests[1].monitor.freeze()
        reader.read()
        self.assertEqual(1, reader.stuck)
        reader._timeout_s = 60.0
        asked = guests[0].states_asked

        def work():
            fakes.wait_until(lambda: guests[0].states_asked > asked,
                             'the next cycle has begun')
            guests[1].monitor.thaw()
        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)
        self.assertEqual([1, 2, 3, 4], answered(reader.read()))


class TestCycle(testtools.TestCase):
    """All that a cycle asks has one time, and less than a second more."""

    def setUp(self):
        super().setUp()
        self.guests = [fakes.Domain(n, RUNNING) for n in range(1, 5)]
        self.node = fakes.Libvirt(*self.guests)
        self.addCleanup(self.node.thaw)
        self.uuids = [guest.uuid for guest in self.guests]
        self.reader = self.node.inspector(timeout_s=2.0, max_stuck=9)
        self.addCleanup(self.reader.close)
        self.reader.read()

    def test_whatever_of_it_is_held_up(self):
        began_s = time.monotonic()
        self.guests[0].monitor.freeze()
        self.reader.read()
        for guest in self.guests[1:]:
            guest.monitor.freeze()
            guest.xml_monitor.freeze()
        self.reader.live_xml(self.uuids)
        more = self.reader.read_more(frozenset((compute.INSTANCE,)))
        self.node.use_up_threads()
        self.assertRaises(observation.ReadFailed, self.reader.nova_metadata,
                          self.uuids)
        self.reader.live_xml(self.uuids)
        self.assertLess(time.monotonic() - began_s, 3.0)
        self.assertEqual([], answered(more))

    def test_a_second_reading_has_what_the_first_left(self):
        more = self.reader.read_more(frozenset((compute.INSTANCE,)))
        self.assertEqual((None, [1, 2, 3, 4]), (more.error, answered(more)))

    def test_and_a_moment_where_that_left_nothing(self):
        """The guests that are healthy have numbers of each kind."""
        self.guests[0].monitor.freeze()
        self.assertEqual([2, 3, 4], answered(self.reader.read()))
        more = self.reader.read_more(frozenset((compute.INSTANCE,)))
        self.assertEqual((None, [2, 3, 4]), (more.error, answered(more)))

    def test_for_each_of_several_readings(self):
        """One that did not answer in this cycle has had its time."""
        self.guests[0].record = TestBusyGuests.BUSY
        self.assertEqual([2, 3, 4], answered(self.reader.read()))
        for kind in (compute.INSTANCE, compute.DISKS, compute.INTERFACES):
            more = self.reader.read_more(frozenset((kind,)))
            self.assertEqual((None, [2, 3, 4]),
                             (more.error, answered(more)))
        self.guests[0].record = TestBusyGuests.FREE
        self.assertEqual([1, 2, 3, 4], answered(self.reader.read()))

    def test_after_which_it_is_known_who_is_held(self):
        fakes.hold(self, self.guests[0])
        self.reader.read()
        self.reader.read_more(frozenset((compute.DISKS,)))
        self.node.calls.clear()
        self.assertEqual([2, 3, 4], answered(self.reader.read()))
        self.assertEqual(['stats'], self.node.calls)

    def test_but_no_more_than_one(self):
        self.reader._left_s = -60.0
        self.node.calls.clear()
        self.assertEqual(
            'the time for the cycle is over',
            self.reader.read_more(frozenset((compute.DISKS,))).error)
        self.assertEqual(set(self.uuids),
                         set(self.reader.live_xml(self.uuids).failed))
        self.assertRaises(observation.ReadFailed, self.reader.nova_metadata,
                          self.uuids)
        self.assertEqual(([], 0), (self.node.calls, self.reader.stuck))

    def test_the_next_has_all_of_it_again(self):
        self.reader._left_s = -60.0
        self.assertEqual([1, 2, 3, 4], answered(self.reader.read()))
        self.assertEqual({}, self.reader.live_xml(self.uuids).failed)


class Processes:
    """Stands for the kernel's record: which runs are stopped."""

    def __init__(self):
        self.now = {}
        self.looks = []

    def stopped(self, runs):
        self.looks.append(frozenset(runs))
        return {run: stop for run, stop in self.now.items() if run in runs}


class TestStoppedProcess(testtools.TestCase):
    """A QEMU whose process is stopped is not asked."""

    def setUp(self):
        super().setUp()
        self.guests = [fakes.Domain(n, RUNNING) for n in range(1, 4)]
        self.node = fakes.Libvirt(*self.guests)
        self.addCleanup(self.node.thaw)
        self.processes = Processes()
        self.run = fakes.uuid_of(2), 2
        self.reader = self.node.inspector(timeout_s=0.6, max_stuck=3,
                                          watch=self.processes)

    def stop(self, ticks=5):
        self.processes.now = {self.run: processes.Stop(77, 11, ticks)}

    def test_a_guest_that_is_paused_is_read_beside_it(self):
        """It has resident memory, and numbers of disks and networks."""
        paused = self.guests[2]
        paused.record = {'state.state': 3, 'balloon.rss': 11}
        self.stop()
        for _ in range(2):
            records = self.reader.read().records
            self.assertEqual(stats.Reading(state=3, rss_kib=11),
                             records[paused.uuid].reading)
        # Not again and again until the time is over.
        asked = self.node.count(('some', 'instance-00000001',
                                 'instance-00000003'))
        self.assertEqual(2, asked)

    def test_one_that_is_paused_and_held_is_not_waited_for(self):
        paused = self.guests[2]
        paused.record = {'state.state': 3, 'balloon.rss': 11}
        fakes.hold(self, paused)
        self.stop()
        self.reader.read()
        looks = len(self.processes.looks)
        records = self.reader.read().records
        self.assertEqual(
            [(1, 7), (1, None), (3, None)],
            [(record.reading.state, record.reading.rss_kib)
             for record in records.values()])
        self.assertEqual(1, len(self.processes.looks) - looks)

    def test_no_call_is_made_to_it_and_none_left_behind(self):
        self.stop()
        self.guests[1].monitor.freeze()
        for _ in range(2):
            snapshot = self.reader.read()
            self.assertEqual([1, 3], answered(snapshot))
            self.assertEqual(
                "its QEMU's process is stopped, by a signal or a debugger",
                snapshot.records[self.run[0]].trouble)
        self.assertEqual((0, 0), (self.guests[1].monitor.calls,
                                  self.reader.stuck))

    def test_what_runs_is_known_before_the_first_read(self):
        self.reader.read()
        self.assertEqual(
            [frozenset((fakes.uuid_of(n), n) for n in (1, 2, 3))],
            self.processes.looks)

    def test_one_that_goes_on_within_the_cycle_reports(self):
        self.stop()
        look = self.processes.stopped

        def go_on(runs):
            found = look(runs)
            if len(self.processes.looks) == 3:
                self.processes.now = {}
            return found
        self.processes.stopped = go_on
        snapshot = self.reader.read()
        self.assertEqual([1, 2, 3], answered(snapshot))
        self.assertIsNone(snapshot.records[self.run[0]].trouble)

    def test_in_later_cycles_it_is_looked_at_once(self):
        self.stop()
        self.reader.read()
        self.processes.looks.clear()
        self.reader.read()
        self.assertEqual(1, len(self.processes.looks))

    def test_one_that_ran_since_is_waited_for_again(self):
        self.stop()
        self.reader.read()
        self.stop(ticks=6)
        self.processes.looks.clear()
        self.reader.read()
        self.assertLess(1, len(self.processes.looks))

    def test_another_run_of_the_guest_is_asked(self):
        self.stop()
        self.reader.read()
        self.guests[1].domain_id = 9
        self.assertEqual([1, 2, 3], answered(self.reader.read()))


class TestSlowGuests(testtools.TestCase):
    """A host so loaded that not all guests can be read in time."""

    def test_each_has_its_turn(self):
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.host.calls.GUESTS_AT_A_TIME', 1))
        node = fakes.Libvirt(*(fakes.Domain(n, RUNNING)
                               for n in range(1, 9)))
        node.slow_s = 0.5
        node.before_retry = lambda: time.sleep(0.1)
        reader = node.inspector(timeout_s=0.3)
        turns = [set(answered(reader.read())) for _ in range(1 + 2 * 8)]
        self.assertEqual(set(), turns[0])
        self.assertEqual(set(range(1, 9)), set.union(*turns))
        self.assertNotEqual(set(range(1, 9)), turns[-1])


class TestSlowLibvirt(testtools.TestCase):
    """libvirtd answers, but each of its answers takes long."""

    def test_it_reports_within_the_time_for_a_cycle(self):
        node = fakes.Libvirt(*(fakes.Domain(n, RUNNING) for n in (1, 2)))
        reader = node.inspector(timeout_s=5.0)
        self.addCleanup(reader.close)
        reader.read()
        called = node.called

        def slow(name):
            called(name)
            time.sleep(1.6)
        node.called = slow
        for _ in range(2):
            snapshot = reader.read()
            self.assertEqual((None, [1, 2]),
                             (snapshot.error, answered(snapshot)))
        self.assertEqual(0, reader.stuck)

    def test_it_is_asked_who_holds_a_guest_and_answers_late(self):
        node = fakes.Libvirt(*(fakes.Domain(n, RUNNING) for n in (1, 2)))
        self.addCleanup(node.thaw)
        reader = node.inspector(timeout_s=4.0)
        self.addCleanup(reader.close)
        reader.read()
        node.domains[fakes.uuid_of(1)].monitor.freeze()
        called = node.called

        def slow_to_list(name):
            called(name)
            if name == 'list':
                time.sleep(0.5)
        node.called = slow_to_list
        snapshot = reader.read()
        self.assertEqual((None, [2]), (snapshot.error, answered(snapshot)))


    def test_an_answer_that_comes_too_late_costs_nobody_his_numbers(self):
        """Nobody is asked again; what has been read stays."""
        guests = [fakes.Domain(n, RUNNING) for n in (1, 2)]
        node = fakes.Libvirt(*guests)
        self.addCleanup(node.thaw)
        reader = node.inspector(timeout_s=1.5)
        self.addCleanup(reader.close)
        reader.read()
        guests[0].monitor.freeze()
        asked = guests[1].monitor.calls
        called = node.called

        def freeze_then(name):
            if name == 'list' and guests[1].monitor.calls > asked:
                node.freeze()
            called(name)
        node.called = freeze_then
        snapshot = reader.read()
        self.assertEqual((None, [2]), (snapshot.error, answered(snapshot)))
        self.assertEqual('libvirt still does not answer', reader.read().error)


class TestNoThreadOfLibvirtd(testtools.TestCase):
    """All that make calls which may take long are stuck: other clients'."""

    def setUp(self):
        super().setUp()
        self.web = fakes.Domain(1, RUNNING)
        off = fakes.Domain(2, {'state.state': 5, 'state.reason': 3},
                           domain_id=-1)
        self.node = fakes.Libvirt(self.web, off)
        self.addCleanup(self.node.thaw)
        self.reader = self.node.inspector(timeout_s=0.5, max_stuck=2)
        self.addCleanup(self.reader.close)
        self.reader.read()
        self.node.use_up_threads()

    def test_each_guest_has_its_state_and_the_node_no_error(self):
        for stuck in (1, 2, 2):
            snapshot = self.reader.read()
            self.assertEqual(
                (None, {fakes.uuid_of(1): stats.Reading(state=1, reason=0),
                        fakes.uuid_of(2): stats.Reading(state=5, reason=3)}),
                (snapshot.error, {uuid: record.reading for uuid, record
                                  in snapshot.records.items()}))
            self.assertEqual(stuck, self.reader.stuck)

    def test_names_that_do_not_come_are_no_error_of_the_node(self):
        self.web.metadata = lambda *_: self.node.need_thread()
        self.assertEqual(
            'libvirt did not answer within 0.5 s',
            str(self.assertRaises(
                observation.ReadFailed, self.reader.nova_metadata,
                [self.web.uuid])))
        self.assertEqual(1, self.reader.stuck)
        self.assertIsNone(self.reader.read().error)
        self.assertEqual('too many calls to libvirt are stuck already',
                         str(self.assertRaises(
                             observation.ReadFailed,
                             self.reader.nova_metadata, [self.web.uuid])))

    def test_all_are_read_when_one_is_free_again(self):
        self.reader.read()
        self.node.thaw()
        fakes.wait_until(lambda: self.reader.stuck == 0, 'nothing is stuck')
        self.assertEqual([1, 2], answered(self.reader.read()))


class TestFrozenLibvirt(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.node = fakes.Libvirt(fakes.Domain(1, RUNNING))
        self.addCleanup(self.node.thaw)
        self.reader = self.node.inspector(timeout_s=0.5, max_stuck=5)

    def test_it_is_said_of_libvirt_and_not_of_its_guests(self):
        self.reader.read()
        self.node.freeze()
        snapshot = self.reader.read()
        self.assertEqual(({}, 'libvirt did not answer within 0.5 s'),
                         (snapshot.records, snapshot.error))

    def test_no_cycle_adds_a_call_to_the_first(self):
        self.node.freeze()
        for _ in range(5):
            self.assertIsNotNone(self.reader.read().error)
        self.assertEqual((1, 1), (self.reader.stuck, len(self.node.calls)))

    def test_it_is_back_in_the_first_cycle_after_it_returns(self):
        self.node.freeze()
        self.reader.read()
        self.node.thaw()
        fakes.wait_until(lambda: self.reader.stuck == 0, 'nothing is stuck')
        self.assertEqual([1], answered(self.reader.read()))


class TestSetPeriod(testtools.TestCase):
    """The one call that changes anything."""

    def setUp(self):
        super().setUp()
        self.web = fakes.Domain(1, RUNNING, period=None)
        self.node = fakes.Libvirt(self.web)
        self.addCleanup(self.node.thaw)
        self.reader = self.node.inspector(max_stuck=2)
        self.shown = []

    def refuse(self, xml):
        self.shown.append(xml)

    def failure(self, refuse=None):
        return str(self.assertRaises(
            observation.ReadFailed, self.reader.set_period, self.web.uuid, 7,
            refuse or self.refuse))

    def test_it_is_set_on_a_connection_of_its_own(self):
        before = self.web.XMLDesc(0)
        self.reader.set_period(self.web.uuid, 7, self.refuse)
        self.assertEqual((7, [before]), (self.web.period, self.shown))
        self.assertEqual(['open_writable', 'lookup'], self.node.calls)
        fakes.wait_until(lambda: self.node.closed == 1, 'it is closed')

    def test_it_is_not_set_when_its_xml_speaks_against_it(self):
        self.assertEqual('not this one',
                         self.failure(lambda xml: 'not this one'))
        self.assertIsNone(self.web.period)

    def impatient(self):
        """For guests that do not answer."""
        self.reader = self.node.inspector(timeout_s=0.3, max_stuck=2)

    def test_a_frozen_guest_is_left_behind(self):
        self.impatient()
        self.web.monitor.freeze()
        self.assertEqual(
            'QEMU did not answer within 0.3 s; once it does, its period may '
            'still be set', self.failure())
        self.assertEqual(1, self.reader.stuck)
        self.node.thaw()
        fakes.wait_until(lambda: self.reader.stuck == 0, 'nothing is stuck')
        self.assertEqual(7, self.web.period)

    def test_no_more_calls_are_left_behind_than_may_be(self):
        self.impatient()
        self.web.monitor.freeze()
        frozen = fakes.Domain(2, RUNNING, period=None)
        frozen.monitor.freeze()
        self.node.domains[frozen.uuid] = frozen
        for uuid in (self.web.uuid, frozen.uuid):
            self.assertRaises(observation.ReadFailed, self.reader.set_period,
                              uuid, 7, self.refuse)
        self.assertEqual(2, self.reader.stuck)
        self.assertEqual('too many calls to libvirt are stuck already',
                         self.failure())
        self.assertEqual(2, self.node.count('open_writable'))

    def test_a_refusal_of_libvirts_comes_with_advice(self):
        self.web.period_error = fakes.libvirt_error(
            libvirt.VIR_ERR_OPERATION_DENIED,
            'operation forbidden: read only access')
        error = self.assertRaises(
            observation.ReadFailed, self.reader.set_period, self.web.uuid, 7,
            self.refuse)
        self.assertEqual(
            ('operation forbidden: read only access',
             "go on as root, with libvirt's read-write socket"),
            (str(error), error.advice))

    def test_a_guest_that_is_gone(self):
        del self.node.domains[self.web.uuid]
        self.assertEqual('no domain', self.failure())


class TestLiveXML(testtools.TestCase):
    def test_a_guest_that_is_gone_is_left_out(self):
        web = fakes.Domain(1, {})
        reader = fakes.Libvirt(web).inspector()
        self.assertEqual(
            observation.Documents({web.uuid: web.XMLDesc(0)}, {}),
            reader.live_xml([web.uuid, fakes.uuid_of(2)]))

    def test_nothing_is_asked_for_no_guests(self):
        node = fakes.Libvirt()
        self.assertEqual(observation.Documents({}, {}),
                         node.inspector().live_xml([]))
        self.assertEqual([], node.calls)

    def test_a_guest_that_ends_meanwhile_is_left_out(self):
        web, gone = fakes.Domain(1, {}), fakes.Domain(2, {})
        gone.xml_error = fakes.libvirt_error(libvirt.VIR_ERR_NO_DOMAIN,
                                             'no domain')
        self.assertEqual(
            observation.Documents({web.uuid: web.XMLDesc(0)}, {}),
            fakes.Libvirt(web, gone).inspector().live_xml(
                [web.uuid, gone.uuid]))

    def test_an_error_of_libvirt_is_raised_as_ours(self):
        web = fakes.Domain(1, {})
        web.xml_error = fakes.libvirt_error(*BROKEN)
        error = self.assertRaises(
            observation.ReadFailed, fakes.Libvirt(web).inspector().live_xml,
            [web.uuid])
        self.assertEqual('client socket is closed', str(error))


    def test_an_error_over_one_guest_costs_only_that_guest(self):
        """libvirt 11.0 to 11.4, of one that is held; and others alike."""
        web, held, last = (fakes.Domain(n, {}) for n in (1, 2, 3))
        for code in (libvirt.VIR_ERR_OPERATION_TIMEOUT,
                     libvirt.VIR_ERR_OPERATION_INVALID,
                     libvirt.VIR_ERR_OPERATION_FAILED,
                     libvirt.VIR_ERR_ACCESS_DENIED):
            held.xml_error = fakes.libvirt_error(
                code, 'Timed out during operation: cannot acquire state '
                'change lock')
            node = fakes.Libvirt(web, held, last)
            self.assertEqual(
                observation.Documents(
                    {guest.uuid: guest.XMLDesc(0) for guest in (web, last)},
                    {held.uuid: 'Timed out during operation: cannot acquire '
                                'state change lock'}),
                node.inspector().live_xml(
                    [guest.uuid for guest in (web, held, last)]))
            self.assertEqual(1, node.opened)


class TestXMLThatDoesNotCome(testtools.TestCase):
    """libvirt 11 and later wait for the guest's job for 30 s."""

    def setUp(self):
        super().setUp()
        self.guests = [fakes.Domain(n, RUNNING) for n in range(1, 5)]
        self.node = fakes.Libvirt(*self.guests)
        self.addCleanup(self.node.thaw)
        self.reader = self.node.inspector(timeout_s=1.0, max_stuck=3)
        self.uuids = [guest.uuid for guest in self.guests]

    def documents(self, *failed):
        return observation.Documents(
            {guest.uuid: guest.XMLDesc(0) for guest in self.guests
             if guest.uuid not in failed},
            {uuid: 'its live XML was not read in time' for uuid in failed})

    def test_it_costs_only_its_guest(self):
        expected = self.documents(self.uuids[1])
        self.guests[1].xml_monitor.freeze()
        self.assertEqual(expected, self.reader.live_xml(self.uuids))
        self.assertEqual(1, self.reader.stuck)

    def test_slow_is_not_stuck(self):
        """One that is held for a while, and then is not."""
        self.reader = self.node.inspector(timeout_s=60.0, max_stuck=2)
        expected = self.documents()
        slow, others = self.guests[1], self.guests[2:]
        slow.xml_monitor.freeze()
        asked = [guest.xml_monitor.calls for guest in others]

        def work():
            fakes.wait_until(
                lambda: all(guest.xml_monitor.calls > before for guest, before
                            in zip(others, asked, strict=True)),
                'the others have been read')
            slow.xml_monitor.thaw()
        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)
        self.assertEqual(expected, self.reader.live_xml(self.uuids))
        fakes.wait_until(lambda: self.reader.stuck == 0, 'nothing is stuck')

    def test_a_libvirt_that_is_slow_as_a_whole_has_its_time(self):
        expected = self.documents()
        self.reader = self.node.inspector(timeout_s=5.0, max_stuck=3)
        called = self.node.called

        def slow(name):
            called(name)
            time.sleep(0.7)
        self.node.called = slow
        self.assertEqual(expected, self.reader.live_xml(self.uuids))
        self.assertEqual(0, self.reader.stuck)

    def test_no_more_calls_are_left_behind_than_may_be(self):
        for guest in self.guests:
            guest.xml_monitor.freeze()
        for _ in range(3):
            self.assertEqual(set(self.uuids), set(
                self.reader.live_xml(self.uuids).failed))
        self.assertEqual(3, self.reader.stuck)

    def test_it_takes_what_the_read_has_left_of_the_cycles_time(self):
        """And a moment where the read took all of it."""
        self.guests[2].monitor.freeze()
        self.reader.read()
        expected = self.documents()
        began_s = time.monotonic()
        self.assertEqual(expected, self.reader.live_xml(self.uuids))
        self.guests[1].xml_monitor.freeze()
        self.reader.live_xml(self.uuids)
        self.assertLess(time.monotonic() - began_s, 1.0)

    def test_one_that_is_held_leaves_the_others_their_time(self):
        """Where the read took all of the cycle's, there is but a moment."""
        self.reader = self.node.inspector(timeout_s=2.0, max_stuck=3)
        expected = self.documents(self.uuids[0])
        self.guests[0].monitor.freeze()
        self.reader.read()
        self.guests[0].xml_monitor.freeze()
        self.assertEqual(expected, self.reader.live_xml(self.uuids))

    def test_a_libvirt_that_does_not_answer_gets_one_call(self):
        self.node.freeze()
        self.assertEqual(set(self.uuids), set(
            self.reader.live_xml(self.uuids).failed))
        self.assertEqual(1, self.reader.stuck)


class TestNovaMetadata(testtools.TestCase):
    def test_of_guests_that_have_some(self):
        web = fakes.Domain(1, RUNNING)
        other = fakes.Domain(2, RUNNING, display_name=None)
        reader = fakes.Libvirt(web, other).inspector()
        self.addCleanup(reader.close)
        self.assertEqual(
            {web.uuid: web.metadata(0, '', 0)},
            reader.nova_metadata([web.uuid, other.uuid, fakes.uuid_of(3)]))
        self.assertEqual({}, reader.nova_metadata([]))


class TestClock(testtools.TestCase):
    def test_set_while_a_read_is_out_both_times_are_told(self):
        """Guests that answered since are stamped by the new clock."""
        node = fakes.Libvirt(fakes.Domain(1, RUNNING))
        reader = node.inspector()
        self.addCleanup(reader.close)
        shift = [0.0]
        real = time.time
        self.useFixture(fixtures.MonkeyPatch(
            'time.time', lambda: real() + shift[0]))
        called = node.called

        def step(name):
            called(name)
            if name == 'stats':
                shift[0] = 3600.0
        node.called = step
        snapshot = reader.read()
        self.assertLess(abs(real() - snapshot.wall_s), 60.0)
        self.assertLess(abs(3600.0 - snapshot.step_s), 1.0)
        self.assertEqual(0.0, reader.read().step_s)

    def test_set_while_a_frozen_guest_is_read_the_others_are_read(self):
        for step_s in (3600.0, -3600.0):
            self.check_frozen(step_s)

    def check_frozen(self, step_s):
        guests = [fakes.Domain(n, RUNNING) for n in range(1, 5)]
        node = fakes.Libvirt(*guests)
        self.addCleanup(node.thaw)
        reader = node.inspector(timeout_s=2.0)
        self.addCleanup(reader.close)
        reader.read()
        guests[2].monitor.freeze()
        shift, real, control = [0.0], time.time, guests[2].controlInfo
        self.useFixture(fixtures.MonkeyPatch(
            'time.time', lambda: real() + shift[0]))

        def step(flags=0):
            shift[0] = step_s
            return control(flags)
        guests[2].controlInfo = step
        self.assertEqual([1, 2, 4], answered(reader.read()), step_s)
        # And it is known again.
        node.calls.clear()
        self.assertEqual([1, 2, 4], answered(reader.read()))
        self.assertEqual(['stats'], node.calls)

    def test_how_long_was_read_is_told(self):
        node = fakes.Libvirt(fakes.Domain(1, RUNNING))
        node.slow_s = 0.2
        reader = node.inspector()
        self.addCleanup(reader.close)
        self.assertLessEqual(0.2, reader.read().took_s)


class TestSides(testtools.TestCase):
    """What reads is read-only."""

    def test_which_opener_is_whose(self):
        web = fakes.Domain(1, RUNNING, period=None)
        node = fakes.Libvirt(web)
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.host.connection.libvirt.openReadOnly',
            node.open))
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.host.connection.libvirt.open',
            node.open_writable))
        reader = inspector.Inspector('test:///fake')
        self.addCleanup(reader.close)
        reader.read()
        reader.live_xml([web.uuid])
        reader.nova_metadata([web.uuid])
        reader.host()
        self.assertEqual(0, node.count('open_writable'))
        reader.set_period(web.uuid, 7, lambda xml: None)
        self.assertEqual(1, node.count('open_writable'))


class TestLock(testtools.TestCase):
    """One reads at a time: each has what it needs of the deadline."""

    def test_a_second_read_waits_for_the_first(self):
        node = fakes.Libvirt(fakes.Domain(1, RUNNING))
        reader = node.inspector(timeout_s=60.0)
        self.addCleanup(reader.close)
        reader.read()
        inside, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        called, count = node.called, []

        def hold(name):
            called(name)
            if name == 'stats':
                count.append(threading.current_thread())
                inside.set()
                assert go_on.wait(60)
        node.called = hold
        threads = [threading.Thread(target=reader.read) for _ in range(2)]
        threads[0].start()
        self.assertTrue(inside.wait(60))
        threads[1].start()
        # Without the lock the second makes its call, on another worker.
        fakes.wait_until(
            lambda: len(count) > 1 or _waits_for_lock(threads[1]),
            'the second waits, or has made its call')
        self.assertEqual(1, len(count))
        go_on.set()
        for thread in threads:
            thread.join(60)
        self.assertEqual(2, len(count))


def _waits_for_lock(thread):
    """Whether a thread is about to enter ``with self._lock`` of read."""
    frame = threads.frames().get(thread.ident)
    return frame is not None and frame.f_code.co_name == 'read'


class TestHost(testtools.TestCase):
    def test_what_libvirt_says_of_the_host(self):
        node = fakes.Libvirt()
        source = node.inspector()
        self.addCleanup(source.close)
        self.assertEqual(
            observation.HostFacts(name='compute-7', memory_kib=65433 * 1024,
                           libvirt=(10, 2, 3), hypervisor='QEMU',
                           hypervisor_version=(9, 1, 2)), source.host())

    def test_a_hypervisor_that_libvirt_does_not_know(self):
        node = fakes.Libvirt()
        node.qemu_version = 0
        source = node.inspector()
        self.addCleanup(source.close)
        self.assertIsNone(source.host().hypervisor_version)

    def test_a_libvirt_that_does_not_answer(self):
        node = fakes.Libvirt()
        node.freeze()
        self.addCleanup(node.thaw)
        source = node.inspector(timeout_s=0.05)
        self.addCleanup(source.close)
        self.assertRaises(observation.ReadFailed, source.host)
