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

import logging
import threading

import fixtures
import libvirt
import testtools

from memstat_pollster.model import compute
from memstat_pollster.model import facts
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import observation
from memstat_pollster.model import stats
from memstat_pollster.model import status
from memstat_pollster.model import usage
from memstat_pollster import monitor
from memstat_pollster import text
from tests.unit import fakes
from tests.unit import threads

EPOCH = 1_800_000_000


class Source:
    """What a monitor reads from, with its clocks in the test's hand."""

    uri = 'test:///fake'

    def __init__(self, *domains):
        self.domains = {domain.uuid: domain for domain in domains}
        self.now = 0.0
        self.error = None
        self.xml_error = None
        self.fetched = []
        self.before_xml = None
        self.named = []
        self.unread = set()
        self.more = []
        self.set_by_s = 0.0

    def read_more(self, kinds):
        self.more.append(kinds)
        return self.read()

    def read(self):
        if self.error is not None:
            return observation.Snapshot(EPOCH + self.now, self.now, {},
                                      self.error)
        return observation.Snapshot(EPOCH + self.now, self.now, {
            uuid: observation.Record(uuid, domain.ID(), domain.name(),
                                   stats.parse(domain.record))
            for uuid, domain in self.domains.items()}, step_s=self.set_by_s)

    def live_xml(self, uuids):
        if self.before_xml is not None:
            self.before_xml()
        self.fetched += uuids
        if self.xml_error is not None:
            raise observation.ReadFailed(self.xml_error)
        return observation.Documents(
            {uuid: self.domains[uuid].XMLDesc(0) for uuid in uuids
             if uuid in self.domains and uuid not in self.unread},
            {uuid: 'not in time' for uuid in self.unread})

    def nova_metadata(self, uuids):
        self.named += uuids
        return {uuid: self.domains[uuid].metadata(0, '', 0)
                for uuid in uuids}


class MonitorTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.logger = self.useFixture(fixtures.FakeLogger(
            level=logging.INFO, format='%(levelname)s %(message)s'))
        self.wanted = nova_period.Wanted(10)
        self.told = 0

    def make(self, *domains):
        self.source = Source(*domains)
        self.monitor = monitor.Monitor(
            self.source, facts.Thresholds(stale_after_periods=3,
                                           boot_grace_s=120.0),
            lambda: self.wanted)

    def cycle(self, after=300.0):
        self.source.now += after
        return self.monitor.cycle()

    def said(self):
        """The log lines since the last call."""
        lines = self.logger.output.splitlines()
        fresh, self.told = lines[self.told:], len(lines)
        return fresh


def answers(source, domain):
    """The guest has just answered."""
    domain.record['balloon.last-update'] = int(EPOCH + source.now)


class TestGuest(MonitorTest):
    def test_a_healthy_guest_has_its_own_numbers(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        self.make(web)
        cycle = self.cycle()
        self.assertEqual({web.uuid: judged.Guest(
            uuid=web.uuid, name='instance-00000001', display_name='web',
            reading=stats.parse(web.record),
            domain=cycle.guests[web.uuid].domain,
            verdict=status.Verdict(status.Status.REPORTING,
                                   'fresh and possible'),
            remedy=None, age_s=2.0,
            memory=usage.Memory(
                available_kib=501760, used_kib=239616, source='usable',
                usable_kib=262144, unused_kib=131072, swap_in_kib=3072,
                swap_out_kib=5120))}, cycle.guests)
        self.assertEqual([], self.said())

    def test_a_stale_guest_has_no_numbers_but_an_age(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH))
        self.make(web)
        guest = self.cycle(31.0).guests[web.uuid]
        self.assertEqual(
            (status.Status.STALE, None, 31.0),
            (guest.verdict.status, guest.memory, guest.age_s))

    def test_numbers_that_were_never_sent_have_no_age(self):
        """Windows without its service: only the driver has a time stamp."""
        windows = fakes.Domain(1, fakes.healthy(EPOCH, **{
            f'balloon.{key}': None for key in (
                'unused', 'available', 'usable', 'disk_caches', 'swap_in',
                'swap_out')}))
        self.make(windows)
        guest = self.cycle().guests[windows.uuid]
        self.assertEqual((status.Status.SERVICE_MISSING, None),
                         (guest.verdict.status, guest.age_s))

    def test_what_is_read_beside_the_cycle_is_part_of_it(self):
        """So it has the time that the cycle has left."""
        web = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        self.make(web)
        self.cycle()
        kinds = frozenset((compute.DISKS,))
        self.assertEqual([web.uuid],
                         list(self.monitor.read_more(kinds).records))
        self.assertEqual([kinds], self.source.more)

    def test_a_clock_that_is_set_while_guests_are_read(self):
        """The one that answered before and the one that did after."""
        before = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        after = fakes.Domain(2, fakes.healthy(EPOCH + 300 + 3600))
        self.make(before, after)
        self.source.set_by_s = 3600.0
        self.assertEqual(
            {before.uuid: (status.Status.REPORTING, 2.0),
             after.uuid: (status.Status.REPORTING, 0.0)},
            {uuid: (guest.verdict.status, guest.age_s)
             for uuid, guest in self.cycle().guests.items()})

    def test_an_error_of_libvirt_makes_any_guest_unreachable(self):
        self.make()
        self.source.error = 'no socket'
        cycle = self.cycle()
        self.assertEqual({}, cycle.guests)
        guest = cycle.find(fakes.uuid_of(7))
        self.assertEqual(
            (fakes.uuid_of(7), status.Verdict(status.Status.UNREACHABLE,
                                              'no socket'), None),
            (guest.uuid, guest.verdict, guest.memory))

    def test_a_guest_that_is_not_here_is_not_found(self):
        self.make()
        self.assertIsNone(self.cycle().find(fakes.uuid_of(7)))

    def test_a_guest_that_vanishes_before_its_xml_is_read_is_skipped(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        gone = fakes.Domain(2, fakes.healthy(EPOCH + 299))
        self.make(web, gone)
        self.source.before_xml = lambda: self.source.domains.pop(gone.uuid)
        self.assertEqual([web.uuid], list(self.cycle().guests))
        self.assertEqual([], self.said())

    def test_xml_of_another_run_of_the_guest_is_not_used(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        self.make(web)

        def restarted():
            web.domain_id = 9
        self.source.before_xml = restarted
        self.assertEqual({}, self.cycle().guests)

    def test_unparseable_xml_costs_only_its_guest_and_is_said_once(self):
        bad = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        bad.document = '<domain'
        web = fakes.Domain(2, fakes.healthy(EPOCH + 299))
        self.make(bad, web)
        guests = self.cycle().guests
        self.assertEqual(
            {bad.uuid: status.Status.UNREACHABLE,
             web.uuid: status.Status.REPORTING},
            {uuid: guest.verdict.status for uuid, guest in guests.items()})
        self.assertThat(guests[bad.uuid].verdict.detail,
                        testtools.matchers.StartsWith(
                            'its live XML cannot be parsed: '))
        lines = self.said()
        self.assertEqual([1, 1], [
            sum(line.startswith(start) for line in lines) for start in (
                f'ERROR Guest {bad.uuid}: its live XML cannot be parsed',
                'WARNING Memory statistics of web / instance-00000001')])
        self.cycle()
        self.assertEqual([], self.said())

    def test_xml_that_libvirt_refuses_leaves_new_guests_unreachable(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        self.make(web)
        self.source.xml_error = 'permission denied'
        guest = self.cycle().guests[web.uuid]
        self.assertEqual(
            status.Verdict(status.Status.UNREACHABLE,
                           'its live XML could not be read: '
                           'permission denied'), guest.verdict)


class TestXMLIsReadSeldom(MonitorTest):
    def fetched(self):
        fetched, self.source.fetched = self.source.fetched, []
        return fetched

    def test_not_again_while_the_guest_answers(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 299))
        self.make(web)
        self.cycle()
        self.assertEqual([web.uuid], self.fetched())
        for _ in range(3):
            self.source.now += 300
            answers(self.source, web)
            self.cycle(after=1.0)
            self.assertEqual([], self.fetched())

    def test_again_for_another_run_of_the_guest(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 299))
        self.make(web)
        self.cycle()
        web.domain_id = 2
        web.record['balloon.last-update'] += 300
        self.cycle()
        self.assertEqual([web.uuid] * 2, self.fetched())

    def test_a_period_raised_live_keeps_the_guest_reporting(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 299))
        self.make(web)
        self.cycle()
        web.period = 600
        self.assertEqual(status.Status.REPORTING,
                         self.cycle().guests[web.uuid].verdict.status)

    def test_a_period_lowered_live_counts_once_the_guest_stops(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 298), period=600)
        self.make(web)
        self.cycle()
        web.period = 10
        guest = self.cycle().guests[web.uuid]
        self.assertEqual(
            status.Verdict(status.Status.STALE, 'the guest last answered '
                           '302 s ago, more than 30 s'), guest.verdict)

    def test_a_period_switched_off_live_is_told_apart_from_stale(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        self.make(web)
        self.cycle()
        web.period = 0
        self.assertEqual(status.Status.STATS_DISABLED,
                         self.cycle(after=1.0).guests[
                             web.uuid].verdict.status)

    def test_a_period_set_live_is_seen_in_the_next_cycle(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH), period=None)
        self.make(web)
        self.assertEqual(status.Status.STATS_DISABLED,
                         self.cycle().guests[web.uuid].verdict.status)
        web.period = 10
        self.source.now += 300
        answers(self.source, web)
        self.assertEqual(status.Status.REPORTING, self.cycle(
            after=1.0).guests[web.uuid].verdict.status)

    def test_never_again_for_guests_without_a_device_or_shut_off(self):
        none = fakes.Domain(1, {'state.state': 1, 'balloon.rss': 5,
                                'balloon.maximum': 7}, model='none')
        off = fakes.Domain(2, {'state.state': 5}, domain_id=-1)
        self.make(none, off)
        self.cycle()
        self.assertEqual([none.uuid, off.uuid], self.fetched())
        self.cycle()
        self.assertEqual([], self.fetched())


    def test_not_of_a_guest_that_is_held_and_the_others_are_read(self):
        """libvirt 11 and later wait 30 s for the XML of such a guest."""
        held = fakes.Domain(1, {
            'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
            'balloon.maximum': 1048576})
        web = fakes.Domain(2, fakes.healthy(EPOCH + 299))
        self.make(held, web)
        guests = self.cycle().guests
        self.assertEqual([web.uuid], self.fetched())
        self.assertEqual({
            held.uuid: status.Verdict(
                status.Status.UNREACHABLE, 'QEMU did not answer, or another '
                'job (a migration, a snapshot, a call that is stuck) holds '
                'the domain'),
            web.uuid: status.Verdict(status.Status.REPORTING,
                                     'fresh and possible')},
            {uuid: guest.verdict for uuid, guest in guests.items()})

    def test_of_a_guest_that_was_held_once_it_answers(self):
        held = fakes.Domain(1, {
            'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
            'balloon.maximum': 1048576})
        self.make(held)
        self.cycle()
        held.record = fakes.healthy(EPOCH + 599)
        self.assertEqual(status.Status.REPORTING,
                         self.cycle().guests[held.uuid].verdict.status)
        self.assertEqual([held.uuid], self.fetched())


class TestXMLThatCannotBeHad(MonitorTest):
    """Only what is known of this very run of the guest counts."""

    def test_a_guest_that_was_started_anew_is_unreachable_not_gone(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 299))
        self.make(web)
        self.cycle()
        web.domain_id = 9
        for failure in ({'unread': {web.uuid}}, {'xml_error': 'no answer'}):
            for name, value in failure.items():
                setattr(self.source, name, value)
            web.record = fakes.healthy(int(EPOCH + self.source.now + 299))
            guest = self.cycle().guests[web.uuid]
            self.assertEqual(
                (status.Status.UNREACHABLE, None, 'web'),
                (guest.verdict.status, guest.domain, guest.display_name))
        self.source.unread, self.source.xml_error = set(), None
        web.record = fakes.healthy(int(EPOCH + self.source.now + 299))
        self.assertEqual(status.Status.REPORTING,
                         self.cycle().guests[web.uuid].verdict.status)

    def test_one_whose_xml_alone_fails_costs_no_other(self):
        web, held = (fakes.Domain(n, fakes.healthy(EPOCH + 299))
                     for n in (1, 2))
        self.make(web, held)
        self.source.unread = {held.uuid}
        self.assertEqual(
            {web.uuid: status.Verdict(status.Status.REPORTING,
                                      'fresh and possible'),
             held.uuid: status.Verdict(status.Status.UNREACHABLE,
                                       'not in time')},
            {uuid: guest.verdict
             for uuid, guest in self.cycle().guests.items()})

    def test_what_is_known_of_this_run_holds(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 299))
        self.make(web)
        self.cycle()
        self.source.unread = {web.uuid}
        guest = self.cycle().guests[web.uuid]
        self.assertEqual((status.Status.STALE, 10),
                         (guest.verdict.status, guest.domain.period_s))

    def test_old_xml_is_not_used_once_the_new_cannot_be_parsed(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH + 299))
        self.make(web)
        self.cycle()
        web.document = '<broken'
        for _ in range(2):
            guest = self.cycle().guests[web.uuid]
            self.assertEqual((status.Status.UNREACHABLE, None),
                             (guest.verdict.status, guest.domain))

    def test_novas_name_is_asked_for_once(self):
        held = fakes.Domain(1, {
            'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
            'balloon.maximum': 1048576})
        self.make(held)
        self.assertEqual('web', self.cycle().guests[held.uuid].display_name)
        self.cycle()
        self.assertEqual([held.uuid], self.source.named)


class TestThreads(MonitorTest):
    def test_a_second_cycle_waits_for_the_first(self):
        self.make(fakes.Domain(1, fakes.healthy(EPOCH)))
        gate, read = threads.Gate(), self.source.read

        def hold():
            gate()
            return read()
        self.source.read = hold
        gate.check_alone(self, self.monitor.cycle, 'cycle')

    def test_a_file_that_hangs_keeps_nobody_from_the_lock(self):
        """One of Nova's may be on storage that does not answer."""
        web = fakes.Domain(1, fakes.healthy(EPOCH + 298))
        self.source = Source(web)
        gate, here = threads.Gate(), threading.current_thread()

        def wanted():
            if threading.current_thread() is not here:
                gate()
            return self.wanted
        self.monitor = monitor.Monitor(
            self.source, facts.Thresholds(stale_after_periods=3,
                                          boot_grace_s=120.0), wanted)
        other = gate.held(self, self.monitor.cycle)
        self.assertEqual([web.uuid], list(self.cycle().guests))
        gate.release(self, other)


class TestWhatIsSaid(MonitorTest):
    def cirros(self, number, **options):
        return fakes.Domain(number, fakes.healthy(
            0, **{f'balloon.{key}': None for key in (
                'unused', 'available', 'usable', 'disk_caches', 'swap_in',
                'swap_out')}), **options)

    def test_a_verdict_is_said_when_it_has_held_for_a_second_reading(self):
        sick = self.cirros(
            1, properties='<nova:property name="os_distro">cirros'
            '</nova:property>')
        self.make(sick)
        self.cycle()  # starting
        self.cycle()
        self.assertEqual([], self.said())
        self.cycle()
        self.assertEqual([
            f'WARNING Memory statistics of web / instance-00000001 '
            f'({sick.uuid}): driver_missing: the guest has never reported: '
            f'no balloon driver speaks. Remedy: cirros images have no '
            f'balloon driver that can be loaded: use another image for '
            f'guests whose memory is to be metered'], self.said())

    def test_100_cycles_over_unchanged_sick_guests_say_nothing(self):
        none = fakes.Domain(2, {'state.state': 1, 'balloon.rss': 5,
                                'balloon.maximum': 7}, model='none')
        mute = fakes.Domain(3, fakes.healthy(EPOCH), period=None)
        lies = fakes.Domain(4, fakes.healthy(
            EPOCH, **{'balloon.available': 2**53}), period=1000)
        self.make(self.cirros(1), none, mute, lies)
        for _ in range(3):
            self.cycle()
        self.assertEqual(4, len(self.said()))
        for _ in range(100):
            self.source.now += 300
            answers(self.source, lies)
            self.cycle(after=1.0)
        self.assertEqual([], self.said())

    def test_a_recovery_is_said_at_info(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH), period=None)
        self.make(web)
        self.cycle()
        self.cycle()
        self.said()
        web.period = 10
        for _ in range(2):
            self.source.now += 300
            answers(self.source, web)
            self.cycle(after=1.0)
        self.assertEqual([
            f'INFO Memory statistics of web / instance-00000001 '
            f'({web.uuid}): reporting: fresh and possible'], self.said())

    def test_what_the_operator_has_switched_off_is_no_warning(self):
        self.wanted = nova_period.Wanted(0)
        web = fakes.Domain(1, {'state.state': 1, 'balloon.rss': 5,
                               'balloon.maximum': 7}, model='none')
        self.make(web)
        self.cycle()
        self.cycle()
        self.assertEqual([
            f"INFO Memory statistics of web / instance-00000001 ({web.uuid})"
            f": no_device: its live XML has <memballoon model='none'/>. "
            f"Remedy: Nova's [libvirt]mem_stats_period_seconds is not above "
            f"0 on this host: set it, restart nova-compute and hard reboot "
            f"the guest"], self.said())

    def test_novas_option_that_is_set_while_the_agent_runs(self):
        """The last line about a guest is true, whichever way it goes."""
        web = fakes.Domain(1, {'state.state': 1, 'balloon.rss': 5,
                               'balloon.maximum': 7}, model='none')
        self.make(web)
        about = (f'Memory statistics of web / instance-00000001 ({web.uuid}): '
                 f"no_device: its live XML has <memballoon model='none'/>. "
                 f'Remedy: ')
        off = (f"INFO {about}Nova's [libvirt]mem_stats_period_seconds is not "
               f'above 0 on this host: set it, restart nova-compute and hard '
               f'reboot the guest')
        on = (f'WARNING {about}hard reboot the guest, so that Nova writes its '
              f'XML anew with a balloon device')
        for period_s, line in ((0, off), (10, on), (0, off)):
            self.wanted = nova_period.Wanted(period_s)
            for _ in range(3):
                self.cycle()
            self.assertEqual([line], [
                each for each in self.said() if 'Memory' in each])
        for _ in range(100):
            self.cycle()
        self.assertEqual([], self.said())

    def test_a_period_that_the_remedy_names(self):
        """What was told to be set is not what Nova would set any more."""
        mute = fakes.Domain(1, fakes.healthy(EPOCH), period=None)
        self.make(mute)
        for period_s in (10, 20):
            self.wanted = nova_period.Wanted(period_s)
            for _ in range(3):
                self.cycle()
            self.assertEqual(
                [f'--period {period_s} ' in line for line in self.said()
                 if 'Memory' in line], [True])

    def test_a_fleet_that_falls_over_together_makes_one_line(self):
        fleet = [fakes.Domain(n, fakes.healthy(EPOCH + 299))
                 for n in range(1, 41)]
        self.make(*fleet)
        self.cycle()
        for domain in fleet:
            for key in ('balloon.rss', 'balloon.last-update'):
                del domain.record[key]
        self.cycle()
        lines = self.said()
        self.assertEqual(1, len(lines), lines)
        self.assertThat(lines[0], testtools.matchers.StartsWith(
            'WARNING Memory statistics of 40 guests: unreachable; among '
            f'them web / instance-00000001 ({fleet[0].uuid}), '))

    def test_six_that_change_alike_make_one_line_and_five_make_five(self):
        for count, lines in ((5, 5), (6, 1)):
            fleet = [fakes.Domain(n, fakes.healthy(EPOCH + 299))
                     for n in range(1, count + 1)]
            self.make(*fleet)
            self.cycle()
            for domain in fleet:
                for key in ('balloon.rss', 'balloon.last-update'):
                    del domain.record[key]
            self.cycle()
            self.assertEqual(lines, len(self.said()), count)

    def test_an_outage_is_not_told_again_when_its_reason_changes(self):
        self.make(fakes.Domain(1, fakes.healthy(EPOCH + 299)))
        self.cycle()
        for reason in ('Connection refused', 'No such file', 'timed out'):
            self.source.error = reason
            self.cycle()
        self.assertEqual([
            'WARNING libvirt at test:///fake: Connection refused; all guests '
            'of this node are unreachable until it answers'], self.said())

    def test_an_outage_of_libvirt_makes_one_line_and_one_on_recovery(self):
        self.make(*(fakes.Domain(n, fakes.healthy(EPOCH + 299))
                    for n in range(1, 41)))
        self.cycle()
        self.source.error = 'Connection refused'
        for _ in range(5):
            self.cycle()
        self.assertEqual([
            'WARNING libvirt at test:///fake: Connection refused; all guests '
            'of this node are unreachable until it answers'], self.said())
        self.source.error = None
        for domain in self.source.domains.values():
            answers(self.source, domain)
        self.cycle(after=1.0)
        self.assertEqual(['INFO libvirt at test:///fake answers again'],
                         self.said())

    def test_a_problem_with_novas_files_is_said_once_and_its_end(self):
        self.make()
        self.wanted = nova_period.Wanted(10, (
            '/etc/nova/nova.conf cannot be read: Permission denied',))
        self.cycle()
        self.cycle()
        self.assertEqual([
            "WARNING Nova's mem_stats_period_seconds is taken to be 10 s, "
            'because /etc/nova/nova.conf cannot be read: Permission denied '
            '(option [memstat]nova_config_files)'], self.said())
        self.wanted = nova_period.Wanted(30)
        self.cycle()
        self.assertEqual(["INFO Nova's mem_stats_period_seconds is 30 s"],
                         self.said())

    def test_novas_option_is_said_whenever_it_changes(self):
        """With a problem or without."""
        self.make()
        problem = '/etc/nova/nova.conf: it is broken'
        for wanted, line in (
                (nova_period.Wanted(10), None),
                (nova_period.Wanted(0),
                 "INFO Nova's mem_stats_period_seconds is 0 s"),
                (nova_period.Wanted(0, (problem,)),
                 "WARNING Nova's mem_stats_period_seconds is taken to be 0 s, "
                 f'because {problem} (option [memstat]nova_config_files)'),
                (nova_period.Wanted(30, (problem,)),
                 "WARNING Nova's mem_stats_period_seconds is taken to be 30 "
                 f's, because {problem} (option [memstat]nova_config_files)'),
                (nova_period.Wanted(30),
                 "INFO Nova's mem_stats_period_seconds is 30 s")):
            self.wanted = wanted
            for _ in range(2):
                self.cycle()
            self.assertEqual([line] if line else [], self.said())

    def test_a_hostile_name_makes_one_harmless_line(self):
        web = fakes.Domain(1, fakes.healthy(EPOCH), period=None,
                           display_name='x&#10;\x7fERROR &lt;b&gt;'
                           + 'A' * 10_000)
        self.make(web)
        self.cycle()
        self.cycle()
        (line,) = self.said()
        self.assertThat(line, testtools.matchers.StartsWith(
            'WARNING Memory statistics of x\\n\\x7fERROR <b>AAAA'))
        self.assertLess(len(line), 400)


class TestMemory(MonitorTest):
    def test_nothing_is_kept_of_guests_that_are_gone(self):
        self.make()
        for number in range(1, 10_001):
            record = fakes.healthy(EPOCH)
            if number % 3 == 0:
                record['balloon.available'] = 2**53
            domain = fakes.Domain(number, record)
            if number % 7 == 0:
                domain.document = '<broken'
            self.source.domains = {domain.uuid: domain}
            self.monitor.cycle()
        self.source.domains = {}
        self.cycle()
        self.assertEqual(
            [0, 0, 0, 0],
            [len(book) for book in (
                self.monitor._readings, self.monitor._journal,
                self.monitor._domains, self.monitor._troubled)])

    def test_an_inspector_can_be_the_source(self):
        node = fakes.Libvirt(fakes.Domain(1, {'state.state': 5},
                                          domain_id=-1))
        guests = monitor.Monitor(node.inspector(), facts.Thresholds(),
                                 lambda: self.wanted).cycle().guests
        self.assertEqual(
            [status.Verdict(status.Status.NOT_RUNNING,
                            'the guest is shut off')],
            [guest.verdict for guest in guests.values()])
        self.assertEqual(libvirt.VIR_DOMAIN_SHUTOFF,
                         stats.STATE_SHUTOFF)


class TestUptimes(MonitorTest):
    """What tells a process that has just been started that a guest has not.

    A guest that has sent nothing is starting, or has no driver.
    """

    def judged(self, uptime_s, **changes):
        record = {key: value for key, value in fakes.healthy(0).items()
                  if key.startswith('state.') or key in (
                      'balloon.rss', 'balloon.last-update')}
        record.update(changes)
        silent = fakes.Domain(1, record)
        self.make(silent)
        self.asked = []

        def uptimes(uuids):
            self.asked.append(sorted(uuids))
            return {} if uptime_s is None else {silent.uuid: uptime_s}

        self.monitor = monitor.Monitor(
            self.source, facts.Thresholds(3, 120.0), lambda: self.wanted,
            uptimes)
        return self.cycle().guests[silent.uuid].verdict

    def test_a_qemu_that_has_run_for_longer_than_a_boot(self):
        self.assertEqual(status.Status.DRIVER_MISSING,
                         self.judged(120.0).status)
        self.assertEqual([[fakes.uuid_of(1)]], self.asked)

    def test_a_qemu_that_has_run_for_less(self):
        self.assertEqual(
            status.Verdict(status.Status.STARTING, 'no numbers yet; seen '
                           'running for 119 s of 120 s that a boot may take'),
            self.judged(119.0))

    def test_a_qemu_that_cannot_be_seen(self):
        self.assertEqual(status.Status.STARTING, self.judged(None).status)

    def test_a_guest_that_was_paused_may_have_run_for_less(self):
        for reason in (5, 8):
            self.assertEqual(
                (status.Status.STARTING, []),
                (self.judged(999.0, **{'state.reason': reason}).status,
                 self.asked))

    def test_a_guest_that_was_reset_may_have_run_for_less(self):
        """QEMU 10 takes back what a guest sent before its reboot."""
        self.judged(999.0, **fakes.healthy(EPOCH - 1))
        silent = self.source.domains[fakes.uuid_of(1)]
        silent.record = {
            key: value for key, value in fakes.healthy(0).items()
            if key.startswith('state.') or key in (
                'balloon.rss', 'balloon.last-update')}
        self.assertEqual(
            (status.Status.STARTING, []),
            (self.cycle().guests[silent.uuid].verdict.status, self.asked))

    def test_one_that_was_seen_for_long_enough_is_not_asked_about(self):
        self.judged(None)
        self.asked.clear()
        verdict = self.cycle(after=120.0).guests[fakes.uuid_of(1)].verdict
        self.assertEqual((status.Status.DRIVER_MISSING, []),
                         (verdict.status, self.asked))

    def test_a_guest_with_numbers_is_not_asked_about(self):
        self.judged(999.0, **fakes.healthy(EPOCH + 299))
        self.assertEqual([], self.asked)


class TestPrintable(testtools.TestCase):
    def test_short_and_plain_text_stays(self):
        self.assertEqual('Büro <1>', text.printable('Büro <1>'))

    def test_control_and_direction_characters_are_escaped(self):
        self.assertEqual('a\\x1b[31m\\n\\u202eb',
                         text.printable('a\x1b[31m\n\u202eb'))

    def test_long_text_is_cut(self):
        self.assertEqual('A' * 61 + '...', text.printable('A' * 65))
        self.assertEqual('A' * 64, text.printable('A' * 64))
