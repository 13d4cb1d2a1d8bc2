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
"""QEMUs and a libvirtd that do not answer, by SIGSTOP and SIGCONT."""

import logging
import os
import random
import subprocess
import threading
import time

import fixtures
import libvirt
import testtools

from memstat_pollster.host import inspector
from memstat_pollster.host import processes
from memstat_pollster.model import facts
from memstat_pollster.model import nova_period
from memstat_pollster import monitor
from tests.functional import base
from tests.functional import published
from tests import node
from tests.node import agent as polling

#: read_timeout of these tests: twice its default, because a process that is
#: kept from running for seconds reads the fewer guests in time.
TIMEOUT_S = 10
#: What a machine with more to do may add to a cycle.  Were four frozen guests
#: waited for one after the other, that would add 30 s.
SLACK_S = 10
THRESHOLDS = facts.Thresholds(published.STALE_AFTER)


class Blind:
    """Sees no process: every QEMU is asked, stopped or not."""

    @staticmethod
    def stopped(runs):
        return {}


class FrozenTest(base.FunctionalTest):
    def fleet(self, count, period=1):
        """So many healthy scripted guests that answer."""
        guests = [self.scripted(f'g{n}', attach=True, period=period)
                  for n in range(count)]
        for guest in guests:
            guest.driver.push(node.linux_stats(
                501760, 131072, avail_kib=262144, caches_kib=65536))
        self.node.answer()
        return guests

    def freeze(self, *guests):
        for guest in guests:
            guest.freeze()
            self.addCleanup(self.thaw, guest)

    @staticmethod
    def thaw(guest):
        try:
            guest.thaw()
        except ProcessLookupError:
            pass  # destroyed meanwhile

    def inspector(self, **options):
        """One that sees no processes, as where /proc hides them."""
        options = {'timeout_s': TIMEOUT_S, 'watch': Blind(), **options}
        found = inspector.Inspector(self.node.ro_uri, **options)
        self.addCleanup(found.close)
        return found

    def admin(self, command):
        """What libvirtd says of itself: {name: number}."""
        found = subprocess.run(
            ['virt-admin', '-c', self.node.admin_uri, command, 'libvirtd'],
            check=True, capture_output=True, text=True).stdout
        return {key.strip(): int(value) for key, _, value in (
            line.partition(':') for line in found.splitlines())
            if value.strip()}

    def workers_in_use(self):
        """Of libvirtd's own count: all workers less the free ones."""
        numbers = self.admin('server-threadpool-info')
        return numbers['nWorkers'] - numbers['freeWorkers']

    def wait_workers(self, count, idle):
        """Wait until so many workers more than that are in a call.

        One that has just answered is for a moment still counted.
        """
        node.wait_for(lambda: self.workers_in_use() - idle == count, 60,
                      f'{count} workers are in a call')

    def wait_returned(self, reader):
        node.wait_for(lambda: reader.stuck == 0, 60, 'no call is stuck')

    @staticmethod
    def answered(snapshot, guests):
        return [not snapshot.records[guest.uuid].busy for guest in guests]


class TestFrozenGuests(FrozenTest):
    def test_healthy_guests_are_read_in_every_cycle(self):
        """With 1, 2 and 4 frozen of 12, one call of libvirtd's for each."""
        guests = self.fleet(12)
        for frozen in ([3], [0, 7], [1, 4, 5, 11]):
            reader = self.inspector()
            reader.read()
            idle = self.workers_in_use()
            self.freeze(*(guests[n] for n in frozen))
            expected = [n not in frozen for n in range(12)]
            for _ in range(3):
                began = time.monotonic()
                snapshot = reader.read()
                took = time.monotonic() - began
                self.assertEqual(expected, self.answered(snapshot, guests))
                self.assertLess(took, TIMEOUT_S + SLACK_S)
                self.assertEqual(len(frozen), reader.stuck)
                self.wait_workers(len(frozen), idle)
            for n in frozen:
                guests[n].thaw()
            self.wait_returned(reader)
            self.assertEqual([True] * 12,
                             self.answered(reader.read(), guests))

    def test_all_frozen_at_once_stay_within_the_bound(self):
        guests = self.fleet(12)
        reader = self.inspector()
        reader.read()
        idle = self.workers_in_use()
        self.freeze(*guests)
        for _ in range(3):
            snapshot = reader.read()
            self.assertEqual([False] * 12, self.answered(snapshot, guests))
            self.assertIsNone(snapshot.error)
            self.assertEqual(5, reader.stuck)
            self.wait_workers(5, idle)
        for guest in guests:
            guest.thaw()
        self.wait_returned(reader)
        self.assertEqual([True] * 12, self.answered(reader.read(), guests))

    def test_other_clients_are_served_meanwhile(self):
        guests = self.fleet(4)
        reader = self.inspector()
        reader.read()
        self.freeze(guests[1])
        reader.read()
        other = libvirt.openReadOnly(self.node.ro_uri)
        self.addCleanup(other.close)
        for _ in range(5):
            found = other.lookupByUUIDString(guests[2].uuid).memoryStats()
            self.assertEqual(501760, found['available'])
        # All the time.
        self.assertEqual(1, reader.stuck)

    def test_a_qemu_killed_while_it_is_read_is_just_gone(self):
        guests = self.fleet(3)
        reader = self.inspector()
        reader.read()
        self.freeze(guests[1])
        reader.read()
        os.kill(guests[1].qemu_pid, 9)
        self.wait_returned(reader)
        snapshot = node.wait_for(
            lambda: next((s for s in [reader.read()]
                          if not s.records[guests[1].uuid].reading.running),
                         None), 60, 'libvirt has seen it end')
        self.assertIsNone(snapshot.records[guests[1].uuid].reading.rss_kib)
        self.assertEqual([True, True],
                         self.answered(snapshot, guests[::2]))


class TestSlowGuests(FrozenTest):
    """A QEMU that does not answer for a while, and then does."""

    def setUp(self):
        super().setUp()
        self.guests = self.fleet(6)
        self.logger = self.useFixture(fixtures.FakeLogger(
            level=logging.INFO, format='%(levelname)s %(message)s'))

    def monitor(self, **options):
        self.reader = self.inspector(**options)
        found = monitor.Monitor(self.reader, THRESHOLDS,
                                lambda: nova_period.Wanted(10))
        self.assertEqual(['reporting'] * 6, self.words(found.cycle()))
        return found

    def words(self, cycle):
        return [cycle.find(guest.uuid).verdict.status.word
                for guest in self.guests]

    def slow(self, guest, seconds):
        """Keep a QEMU from running for so long, beside the test."""
        guest.freeze()
        timer = threading.Timer(seconds, self.thaw, [guest])
        timer.start()
        self.addCleanup(timer.join)
        self.addCleanup(timer.cancel)
        return timer

    def check(self, found):
        for seconds in (0.6, 1.5, 4.0):
            timer = self.slow(self.guests[2], seconds)
            self.assertEqual(['reporting'] * 6, self.words(found.cycle()),
                             seconds)
            timer.join()
        self.assertEqual(0, self.reader.stuck)
        self.assertEqual('', self.logger.output)

    def test_it_reports_in_the_very_cycle_and_nothing_is_logged(self):
        """Where its process is seen to be stopped, and where not."""
        self.check(self.monitor())
        self.check(self.monitor(watch=processes.Watch()))

    def test_two_of_them_among_healthy_ones_for_many_cycles(self):
        """One slow every few seconds, one that freezes and thaws."""
        found = self.monitor(timeout_s=5.0, watch=processes.Watch())
        done = threading.Event()
        chance = random.Random(7)

        def disturb(guest, frozen_s, well_s):
            while not done.is_set():
                guest.freeze()
                done.wait(frozen_s())
                self.thaw(guest)
                done.wait(well_s())
        threads = [
            threading.Thread(target=disturb, args=(
                self.guests[1], lambda: 1.5, lambda: 2.0)),
            threading.Thread(target=disturb, args=(
                self.guests[4], lambda: chance.uniform(0.01, 7.0),
                lambda: chance.uniform(0.01, 2.0)))]
        self.addCleanup(self.thaw, self.guests[1])
        self.addCleanup(self.thaw, self.guests[4])
        for thread in threads:
            self.addCleanup(thread.join)
            thread.start()
        self.addCleanup(done.set)
        ends, longest_s, missed = time.monotonic() + 40, 0.0, []
        while time.monotonic() < ends:
            began_s = time.monotonic()
            words = self.words(found.cycle())
            longest_s = max(longest_s, time.monotonic() - began_s)
            missed += [word for place, word in enumerate(words)
                       if place not in (1, 4) and word != 'reporting']
            time.sleep(0.2)
        self.addDetail('longest', testtools.content.text_content(
            f'{longest_s:.2f} s'))
        self.assertEqual([], missed)
        self.assertLess(longest_s, 5.0 + SLACK_S)
        name = self.guests[1].uuid
        self.assertNotIn(name, self.logger.output)


class TestStoppedProcesses(FrozenTest):
    """Nothing is left behind on a QEMU that is seen to be stopped."""

    def test_no_call_of_ours_is_stuck_and_others_are_read(self):
        guests = self.fleet(12)
        reader = self.inspector(timeout_s=3.0, watch=processes.Watch())
        reader.read()
        idle = self.workers_in_use()
        frozen = [1, 4, 5, 11]
        self.freeze(*(guests[n] for n in frozen))
        expected = [n not in frozen for n in range(12)]
        for _ in range(3):
            self.assertEqual(expected, self.answered(reader.read(), guests))
            self.assertEqual(0, reader.stuck)
        self.wait_workers(0, idle)
        for n in frozen:
            # Nobody holds its job: libvirt 11 gives its XML at once.
            self.assertIn('<domain', guests[n].domain.XMLDesc())
            guests[n].thaw()
        self.assertEqual([True] * 12, self.answered(reader.read(), guests))

    def test_all_of_them(self):
        guests = self.fleet(12)
        reader = self.inspector(timeout_s=3.0, watch=processes.Watch())
        self.freeze(*guests)
        for _ in range(3):
            snapshot = reader.read()
            self.assertEqual([False] * 12, self.answered(snapshot, guests))
            self.assertIsNone(snapshot.error)
            self.assertEqual(0, reader.stuck)
        for guest in guests:
            guest.thaw()
        self.assertEqual([True] * 12, self.answered(reader.read(), guests))


class TestXML(FrozenTest):
    """Of a guest whose job a call that is stuck holds."""

    def test_it_costs_nobody_else_its_xml(self):
        """libvirt 11 and later wait for the job for 30 s; 9 does not."""
        guests = self.fleet(4)
        reader = self.inspector(timeout_s=3.0)
        self.freeze(guests[1])
        reader.read()
        began_s = time.monotonic()
        documents = reader.live_xml([guest.uuid for guest in guests])
        self.assertLess(time.monotonic() - began_s, SLACK_S)
        self.assertLessEqual({guest.uuid for guest in (
            guests[0], *guests[2:])}, set(documents.found))
        self.assertEqual({guest.uuid for guest in guests},
                         {*documents.found, *documents.failed})

    def test_nova_names_a_guest_that_is_held(self):
        guests = self.fleet(2)
        reader = self.inspector(timeout_s=3.0)
        self.freeze(guests[1])
        found = monitor.Monitor(reader, THRESHOLDS,
                                lambda: nova_period.Wanted(10)).cycle()
        self.assertEqual(
            {guest.uuid: guest.display_name for guest in guests},
            {uuid: guest.display_name
             for uuid, guest in found.guests.items()})


class TestLibvirtd(FrozenTest):
    def setUp(self):
        super().setUp()
        self.guests = self.fleet(2)
        self.reader = self.inspector()
        self.assertIsNone(self.reader.read().error)

    def assertBack(self):
        snapshot = self.reader.read()
        self.assertEqual((None, [True, True]), (
            snapshot.error, self.answered(snapshot, self.guests)
            if not snapshot.error else None))

    def test_restarted_between_two_cycles_no_cycle_is_lost(self):
        before = len(os.listdir('/proc/self/fd'))
        for _ in range(3):
            self.node.restart_daemon()
            self.assertBack()
        self.assertLess(len(os.listdir('/proc/self/fd')) - before, 4)

    def test_killed_and_away(self):
        self.addCleanup(self.node.start_daemon)
        self.node.kill_daemon()
        for _ in range(3):
            self.assertEqual({}, self.reader.read().records)
        self.assertEqual(0, self.reader.stuck)
        self.node.start_daemon()
        self.assertBack()

    def test_frozen_itself(self):
        self.addCleanup(self.node.thaw_daemon)
        self.node.freeze_daemon()
        for _ in range(4):
            self.assertIsNotNone(self.reader.read().error)
        self.assertEqual(2, self.reader.stuck)
        self.node.thaw_daemon()
        self.wait_returned(self.reader)
        self.assertBack()

    def test_that_answers_late_loses_no_cycle(self):
        """Frozen for two seconds of the ten that a cycle may take."""
        self.node.freeze_daemon()
        self.addCleanup(self.node.thaw_daemon)
        timer = threading.Timer(2.0, self.node.thaw_daemon)
        timer.start()
        self.addCleanup(timer.join)
        self.assertBack()
        self.assertEqual(0, self.reader.stuck)

    def test_whose_threads_are_all_stuck(self):
        """In calls of other clients, about a guest that is frozen."""
        reader = self.inspector(timeout_s=3.0)
        self.assertIsNone(reader.read().error)
        before = self.admin('server-threadpool-info')['maxWorkers']
        most = self.admin('server-threadpool-info')['minWorkers']
        self.addCleanup(self.limit_workers, before)
        # It starts more one by one, and not while a call waits.
        self.limit_workers(most)
        self.freeze(self.guests[0])
        others = [threading.Thread(target=self.ask, daemon=True)
                  for _ in range(most + 5)]
        for other in others:
            self.addCleanup(other.join)
            other.start()
        self.addCleanup(self.thaw, self.guests[0])
        node.wait_for(self.calls_wait, 60, 'calls that wait for a thread')
        began_s = time.monotonic()
        snapshot = reader.read()
        took_s = time.monotonic() - began_s
        self.assertIsNone(snapshot.error)
        self.assertEqual(
            {guest.uuid: (1, None) for guest in self.guests},
            {uuid: (record.reading.state, record.reading.rss_kib)
             for uuid, record in snapshot.records.items()})
        self.assertLess(took_s, 3.0 + SLACK_S)
        self.guests[0].thaw()
        self.wait_returned(reader)
        snapshot = reader.read()
        self.assertEqual([True, True], self.answered(snapshot, self.guests))

    def limit_workers(self, most):
        subprocess.run(
            ['virt-admin', '-c', self.node.admin_uri, 'server-threadpool-set',
             'libvirtd', '--max-workers', str(most)],
            check=True, stdout=subprocess.DEVNULL)

    def calls_wait(self):
        numbers = self.admin('server-threadpool-info')
        return not numbers['freeWorkers'] and numbers['jobQueueDepth']

    def ask(self):
        """As another client does, which waits for its answer."""
        other = libvirt.openReadOnly(self.node.ro_uri)
        try:
            other.lookupByUUIDString(self.guests[0].uuid).memoryStats()
        except libvirt.libvirtError as exc:
            # After 30 s, where another call holds the guest.
            self.assertEqual(libvirt.VIR_ERR_OPERATION_TIMEOUT,
                             exc.get_error_code())
        finally:
            other.close()

    def test_frozen_while_it_is_opened(self):
        reader = self.inspector()
        self.addCleanup(self.node.thaw_daemon)
        self.node.freeze_daemon()
        self.assertIsNotNone(reader.read().error)
        self.node.thaw_daemon()
        self.wait_returned(reader)
        self.assertIsNone(reader.read().error)


class TestOutages(FrozenTest):
    """As an operator sees them: by the log and by what is left over."""

    def setUp(self):
        super().setUp()
        self.guests = self.fleet(2)
        self.logger = self.useFixture(fixtures.FakeLogger(
            level=logging.INFO, format='%(levelname)s %(message)s'))
        self.reader = self.inspector()
        self.monitor = monitor.Monitor(
            self.reader, THRESHOLDS, lambda: nova_period.Wanted(10))
        self.assertEqual({'reporting'}, self.words())

    def words(self):
        """The statuses of all guests in one cycle."""
        cycle = self.monitor.cycle()
        return {cycle.find(guest.uuid).verdict.status.word
                for guest in self.guests}

    @staticmethod
    def left_over():
        return threading.active_count(), len(os.listdir('/proc/self/fd'))

    def test_a_socket_that_is_missing_for_600_cycles(self):
        """Ten minutes at a cycle a second."""
        self.addCleanup(self.node.start_daemon)
        self.node.kill_daemon()
        self.assertEqual({'unreachable'}, self.words())
        before = self.left_over()
        for _ in range(600):
            self.assertEqual({'unreachable'}, self.words())
        # What was there before may have been let go meanwhile.
        for had, has in zip(before, self.left_over(), strict=True):
            self.assertLessEqual(has, had)
        self.node.start_daemon()
        self.assertEqual({'reporting'}, self.words())
        lines = self.logger.output.splitlines()
        self.assertEqual(2, len(lines), lines)
        self.assertThat(lines[0], testtools.matchers.MatchesRegex(
            'WARNING libvirt at qemu:///.*; all guests of this node are '
            'unreachable until it answers'))
        self.assertThat(lines[1], testtools.matchers.MatchesRegex(
            'INFO libvirt at qemu:///.* answers again'))

    def test_no_connection_is_to_be_had(self):
        """max_clients of libvirtd are there already."""
        others = []
        self.addCleanup(lambda: [each.close() for each in others])
        self.node.restart_daemon()
        limit = self.admin('server-clients-info')
        # At the limit libvirtd takes no connection: whoever opens one hangs.
        for _ in range(limit['nclients_max'] - limit['nclients']):
            others.append(libvirt.openReadOnly(self.node.ro_uri))
        self.assertEqual({'unreachable'}, self.words())
        while others:
            others.pop().close()
        node.wait_for(lambda: self.words() == {'reporting'}, 60,
                      'libvirtd takes connections again')

    def test_the_right_to_use_the_socket_is_lost(self):
        self.addCleanup(self.node.socket_ro.chmod, 0o777)
        self.node.socket_ro.chmod(0o600)
        said = polling.run_unprivileged(
            'import sys\n'
            'from memstat_pollster.host import inspector\n'
            'print(inspector.Inspector(sys.argv[1]).read().error)\n',
            self.node.ro_uri)
        self.assertThat(said, testtools.matchers.Contains(
            f"Failed to connect socket to '{self.node.socket_ro}': "
            f"Permission denied"))


class TestAgent(FrozenTest):
    @published.signature(
        'unreachable',
        "A frozen QEMU: libvirt's call does not return")
    def test_a_source_of_its_own_interval_is_not_held_up(self):
        """As etc/polling.yaml has it; Ceilometer's own cpu meter hangs."""
        guests = self.fleet(3, period=5)
        agent = polling.Agent(
            self.node.ro_uri, options={'memstat': {'serve_compute': False}},
            sources=[{'name': 'others', 'interval': 2, 'meters': ['cpu']}])
        self.addCleanup(agent.close)
        agent.start()
        agent.wait_status(guests[0].uuid, 'reporting')
        agent.wait_for(lambda _: 'cpu' in {
            sample.name for sample in agent.samples()}, 'a cpu sample')
        self.freeze(guests[1])
        agent.wait_status(guests[1].uuid, 'unreachable')
        cpu = sum(sample.name == 'cpu' for sample in agent.samples())
        for cycle in agent.wait_cycles(8)[-4:]:
            for guest in guests[::2]:
                self.assertIn('memory.usage', cycle[guest.uuid])
        # Of the guests that come before the frozen one, one more at most.
        self.assertLess(sum(sample.name == 'cpu' for sample in
                            agent.samples()) - cpu, 6)

    def test_the_agent_stops_while_calls_are_stuck(self):
        """With the discovery of the agent, which never asks QEMU."""
        guests = self.fleet(4, period=5)
        agent = polling.Agent(self.node.ro_uri,
                              options={'memstat': {'boot_grace': 5}})
        self.addCleanup(agent.close)
        agent.start()
        agent.wait_status(guests[0].uuid, 'reporting')
        self.freeze(*guests[1:3])
        for guest in guests[1:3]:
            samples = agent.wait_status(guest.uuid, 'unreachable')
            self.assertEqual({'memory.balloon.status'}, set(samples))
        cycles = agent.wait_cycles(4)[-3:]
        for cycle in cycles:
            self.assertIn('memory.usage', cycle[guests[0].uuid])
            self.assertIn('memory.usage', cycle[guests[3].uuid])
        self.assertEqual(2, sum('unreachable' in line
                                for line in agent.said('WARNING')))
        for guest in guests[1:3]:
            guest.thaw()
        for guest in guests[1:3]:
            agent.wait_status(guest.uuid, 'reporting')
        self.freeze(*guests)
        agent.wait_status(guests[0].uuid, 'unreachable')
        # The guests stay frozen: a call that is waited for never returns.
        self.assertEqual(0, agent.stop())
