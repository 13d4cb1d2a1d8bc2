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


"""Evidence to status, detail and remedy, row by row."""

import dataclasses
import logging
import os
import pathlib

import fixtures
import testtools

from memstat_pollster.config import nova
from memstat_pollster.model import domain
from memstat_pollster.model import facts
from memstat_pollster.model import history
from memstat_pollster.model import nova_period
from memstat_pollster.model import rules
from memstat_pollster.model import stats
from memstat_pollster.model import status
from memstat_pollster import monitor
from tests.unit.model import test_stats

NOBODY = 65534
UUID = '6f9c3c1a-6a27-4f29-9b5b-0c7f4a1f9d11'

Past = history.Past

#: A guest asked every 10 s, of which the numbers are stale after 30 s.
NOVAS = domain.Domain(
    domain_id=23, name='instance-0000002a', display_name='web',
    balloon_model='virtio', period_s=10, guest_os=domain.GuestOS.UNKNOWN)
NO_PERIOD = dataclasses.replace(NOVAS, period_s=None)
PERIOD_0 = dataclasses.replace(NOVAS, period_s=0)
MODEL_NONE = dataclasses.replace(NOVAS, balloon_model='none', period_s=None)
NO_ELEMENT = dataclasses.replace(NOVAS, balloon_model=None, period_s=None)

#: It answered just now, and has run for a quarter of an hour.
FRESH = Past(age_s=0.4, running_s=900.0, moved=True)
#: It runs as long, and has not answered for ten minutes.
FROZEN = Past(age_s=611.0, held_s=600.0, running_s=900.0)
#: It runs as long, and has never answered.
SILENT = Past(held_s=900.0, running_s=900.0)
#: It was started 40 s ago, and has not answered yet.
BOOTING = Past(held_s=40.0, running_s=40.0)

NOT_ITS_OWN = (
    'its time stamp is not yet known to be its own: the guest may have been '
    'restored, migrated or resumed, or the clock was set, since it was last '
    'seen to answer')
BUSY = ('QEMU did not answer, or another job (a migration, a snapshot, a call '
        'that is stuck) holds the domain')
UNBOUND = 'the guest has never reported: no balloon driver speaks'
NO_NUMBERS = 'the balloon driver is bound, but sends no memory numbers'
STALE_611 = 'the guest last answered 611 s ago, more than 30 s'
NULL_SWAP = (
    'fresh and possible, but swap_in 18014398509481983 KiB and swap_out '
    '18014398509481983 KiB cannot be true: its swap is not published')


def _judge(name, seen_domain, past, **changes):
    reading = dataclasses.replace(test_stats.READINGS[name], **changes)
    verdict = status.judge(facts.Evidence(reading, seen_domain, past))
    return verdict.status.word, verdict.detail


class TestInterface(testtools.TestCase):
    """Stored in Gnocchi and Prometheus, and alarmed upon."""

    #: Every status that was ever released, in the order of the rules.  A
    #: release adds those that are new.
    RELEASED = {
        'unreachable': 9, 'not_running': 2, 'no_device': 3,
        'stats_disabled': 4, 'starting': 1, 'driver_missing': 5,
        'service_missing': 6, 'stale': 7, 'invalid': 8, 'reporting': 0}

    def test_codes_and_words_never_change(self):
        now = {each.word: int(each) for each in status.Status}
        self.assertEqual(
            self.RELEASED,
            {word: now.get(word) for word in self.RELEASED})

    def test_a_new_status_has_the_next_code(self):
        """An alias, which a code that is taken makes, would be no status."""
        self.assertEqual(list(range(len(status.Status.__members__))),
                         sorted(status.Status))

    def test_released_rules_are_asked_in_their_order(self):
        self.assertEqual(
            list(self.RELEASED),
            [each.word for each in status.Status
             if each.word in self.RELEASED])

    def test_the_last_rule_always_holds(self):
        self.assertEqual(
            [status.Status.REPORTING], list(status.Status)[-1:])

    def test_only_one_rule_speaks_where_nothing_is_known(self):
        """Each can be asked alone, whatever those above it would say."""
        nothing = facts.Evidence(None)
        self.assertEqual(
            {'unreachable', 'reporting'},
            {each.word for each in status.Status if each.rule(nothing)})

    def test_every_status_has_a_meaning_of_one_line(self):
        meanings = [each.advice.meaning for each in status.Status]
        self.assertEqual([[text] for text in meanings],
                         [text.splitlines() for text in meanings])
        self.assertEqual([], [text for text in meanings
                              if not text.endswith('.')])

    def test_what_is_told_when(self):
        self.assertEqual(
            ({'starting', 'not_running'}, {'unreachable', 'invalid'},
             {'no_device', 'stats_disabled'}),
            ({each.word for each in status.QUIET},
             {each.word for each in status.IMMEDIATE},
             {each.word for each in status.Status
              if each.advice.by_configuration}))


class TestExcused(testtools.TestCase):
    def test_only_what_novas_option_decides_and_only_at_0_or_below(self):
        self.assertEqual(
            {(word, period_s) for word in ('no_device', 'stats_disabled')
             for period_s in (-1, 0)},
            {(each.word, period_s) for each in status.Status
             for period_s in (-1, 0, 1, 10)
             if status.is_excused(each, period_s)})


class TestWhyNot(testtools.TestCase):
    def test_a_rule_without_words_of_its_own_says_so_all_the_same(self):
        """The words of the others are in the tests of the command show."""
        self.assertEqual('what it asks for is not so',
                         rules.otherwise(facts.Evidence(None)))
        self.assertIs(rules.otherwise, status.Status.REPORTING.why_not)


class TestJudge(testtools.TestCase):
    """One row for each thing that a guest can do."""

    def _assert_rows(self, rows):
        """(what it is, record, live XML, past, status, detail) each."""
        self.assertEqual(
            {what: (word, detail) for what, _, _, _, word, detail in rows},
            {what: _judge(name, seen_domain, past)
             for what, name, seen_domain, past, _, _ in rows})
        self.assertEqual(len(rows), len({row[0] for row in rows}))

    def test_guests_that_are_well(self):
        self._assert_rows([
            ('healthy', 'healthy', NOVAS, FRESH,
             'reporting', 'fresh and possible'),
            ('at the very limit of age', 'healthy', NOVAS,
             Past(age_s=30.0, held_s=29.0, running_s=900.0),
             'reporting', 'fresh and possible'),
            ('reported before its grace was over', 'healthy', NOVAS,
             Past(age_s=0.4, running_s=5.0),
             'reporting', 'fresh and possible'),
            ('Linux before 4.6', 'Linux before 4.6', NOVAS, FRESH,
             'reporting', 'fresh and possible'),
            ('Linux before 4.16', 'Linux before 4.16', NOVAS, FRESH,
             'reporting', 'fresh and possible'),
            ('free and caches only', 'free and caches only', NOVAS, FRESH,
             'reporting', 'fresh and possible'),
            ('WMI gave blnsvr a NULL', 'swap of 2**54 KiB', NOVAS, FRESH,
             'reporting', NULL_SWAP),
        ])

    def test_guests_without_device_or_period(self):
        self._assert_rows([
            ("model='none'", 'model none', MODEL_NONE, SILENT,
             'no_device', "its live XML has <memballoon model='none'/>"),
            ("model='none', just started", 'model none', MODEL_NONE, BOOTING,
             'no_device', "its live XML has <memballoon model='none'/>"),
            ('no element', 'model none', NO_ELEMENT, SILENT,
             'no_device', 'its live XML has no memballoon device'),
            ('no period', 'no period', NO_PERIOD, FROZEN, 'stats_disabled',
             'its live XML has a memballoon without a statistics period'),
            ('no period, just booted', 'no period', NO_PERIOD, FRESH,
             'stats_disabled',
             'its live XML has a memballoon without a statistics period'),
            ('no period, restored', 'no period, restored', NO_PERIOD,
             Past(proven=False), 'stats_disabled',
             'its live XML has a memballoon without a statistics period'),
            ('no period and no driver', 'never reported', NO_PERIOD, SILENT,
             'stats_disabled',
             'its live XML has a memballoon without a statistics period'),
            ('period set to 0 live', 'period set to 0', PERIOD_0, FRESH,
             'stats_disabled', "its live XML has <stats period='0'/>"),
            ('a negative period', 'healthy',
             dataclasses.replace(NOVAS, period_s=-5), FRESH,
             'stats_disabled', "its live XML has <stats period='-5'/>"),
        ])

    def test_guests_without_driver(self):
        """No driver, cirros, FreeBSD, firmware: all of them look alike."""
        self._assert_rows([
            ('never sent anything', 'never reported', NOVAS, SILENT,
             'driver_missing', UNBOUND),
            ('has not sent anything yet', 'never reported', NOVAS, BOOTING,
             'starting', 'no numbers yet; seen running for 40 s of 120 s '
             'that a boot may take'),
            ('the last second of its grace', 'never reported', NOVAS,
             Past(held_s=119.0, running_s=119.0),
             'starting', 'no numbers yet; seen running for 119 s of 120 s '
             'that a boot may take'),
            ('reported, was reset, and has not since', 'never reported',
             NOVAS, Past(running_s=900.0, reset=True), 'driver_missing',
             'the guest has not reported since it was reset: no balloon '
             'driver speaks'),
            ('the end of its grace', 'never reported', NOVAS,
             Past(held_s=120.0, running_s=120.0), 'driver_missing', UNBOUND),
        ])

    def test_guests_without_service(self):
        """Windows: blnsvr never ran, was stopped, or its query fails."""
        self._assert_rows([
            ('bound ten minutes ago', 'Windows without blnsvr', NOVAS, FROZEN,
             'service_missing', NO_NUMBERS),
            ('bound ten minutes ago, at first sight',
             'Windows without blnsvr', NOVAS, Past(age_s=611.0),
             'service_missing', NO_NUMBERS),
            ('bound just now', 'Windows without blnsvr', NOVAS,
             Past(age_s=12.0, held_s=10.0, running_s=50.0), 'starting',
             'no numbers yet; seen running for 50 s of 120 s that a boot '
             'may take'),
            ('empty records that move', 'Windows without blnsvr', NOVAS,
             FRESH, 'service_missing', NO_NUMBERS),
            ('the last good values, frozen', 'healthy', NOVAS, FROZEN,
             'stale', STALE_611),
            ('Linux before 4.11, of which one record came',
             'Linux before 4.11, at its start', NOVAS, FROZEN,
             'service_missing', NO_NUMBERS),
        ])

    def test_guests_whose_numbers_are_old(self):
        self._assert_rows([
            ('driver unloaded, or hung', 'driver unloaded', NOVAS, FROZEN,
             'stale', STALE_611),
            ('rebooting, for 20 s', 'healthy', NOVAS,
             Past(age_s=20.0, held_s=20.0, running_s=900.0),
             'reporting', 'fresh and possible'),
            ('rebooting, for 31 s', 'healthy', NOVAS,
             Past(age_s=31.0, held_s=20.0, running_s=900.0),
             'stale', 'the guest last answered 31 s ago, more than 30 s'),
            ('old and impossible', 'free over the total', NOVAS, FROZEN,
             'stale', STALE_611),
        ])

    def test_guests_that_were_paused(self):
        self._assert_rows([
            ('paused', 'paused', NOVAS, Past(age_s=3.0),
             'not_running', 'the guest is paused'),
            ('paused, without device', 'paused', MODEL_NONE, Past(age_s=3.0),
             'not_running', 'the guest is paused'),
            ('paused, saved and restored', 'restored paused', NOVAS,
             Past(proven=False), 'not_running', 'the guest is paused'),
            ('resumed, old numbers', 'resumed', NOVAS,
             Past(age_s=611.0, held_s=600.0, running_s=8.0, resumed=True),
             'starting', 'resumed 8 s ago or less; its next numbers are not '
             'due yet'),
            ('resumed after a short pause', 'resumed', NOVAS,
             Past(age_s=12.0, held_s=8.0, running_s=8.0, resumed=True),
             'reporting', 'fresh and possible'),
            ('resumed and answered', 'resumed', NOVAS,
             Past(age_s=0.6, running_s=8.0, resumed=True, moved=True),
             'reporting', 'fresh and possible'),
            ('resumed and never answered', 'resumed', NOVAS,
             Past(age_s=611.0, held_s=600.0, running_s=31.0, resumed=True),
             'stale', STALE_611),
            ('restored paused, resumed', 'restored paused, resumed', NOVAS,
             Past(resumed=True, proven=False), 'starting', NOT_ITS_OWN),
        ])

    def test_guests_that_were_restored_or_migrated(self):
        unproven = Past(held_s=10.0, running_s=10.0, proven=False)
        self._assert_rows([
            ('restored', 'restored', NOVAS, unproven,
             'starting', NOT_ITS_OWN),
            ('restored, at the end of its time', 'restored', NOVAS,
             Past(held_s=30.0, running_s=30.0, proven=False),
             'starting', NOT_ITS_OWN),
            ('restored and never answered', 'restored', NOVAS,
             Past(held_s=31.0, running_s=31.0, proven=False), 'stale',
             'the guest has not answered for 31 s, and the age of its '
             'numbers is not known'),
            ('restored and answered', 'restored, answered', NOVAS, FRESH,
             'reporting', 'fresh and possible'),
            ('restored, no driver', 'never reported', NOVAS,
             Past(held_s=900.0, running_s=900.0, proven=False),
             'driver_missing', UNBOUND),
        ])
        self.assertEqual(('starting', NOT_ITS_OWN),
                         _judge('restored', NOVAS, unproven, reason=2))

    def test_a_guest_that_is_being_migrated_in(self):
        """The destination lists it as paused for a migration."""
        self.assertEqual(
            ('not_running', 'the guest is paused'),
            _judge('another job', NOVAS, Past(proven=False), state=3,
                   reason=2))

    def test_guests_that_do_not_run(self):
        """libvirt knows it without asking QEMU or reading XML."""
        self.assertEqual(
            {0: 'the guest is in no known state',
             3: 'the guest is paused',
             4: 'the guest is shutting down',
             5: 'the guest is shut off',
             6: 'the guest is crashed',
             7: 'the guest is suspended by its own power management',
             8: 'the guest is not running'},
            {state: _judge('shut off', None, Past(proven=False),
                           state=state)[1]
             for state in (0, 3, 4, 5, 6, 7, 8)})

    def test_a_record_without_a_state(self):
        self.assertEqual(
            ('unreachable', 'libvirt gave no state'),
            _judge('shut off', None, Past(proven=False), state=None))

    def test_a_guest_that_waits_for_a_resource_runs(self):
        self.assertEqual(('reporting', 'fresh and possible'),
                         _judge('healthy', NOVAS, FRESH, state=2))

    def test_guests_that_cannot_be_reached(self):
        self._assert_rows([
            ('another job holds it', 'another job', NOVAS, Past(),
             'unreachable', BUSY),
            ('another job, and it has no device', 'another job', MODEL_NONE,
             Past(), 'unreachable', BUSY),
            ('another job, and no XML', 'another job', None, Past(),
             'unreachable', BUSY),
            ('no XML', 'healthy', None, FRESH,
             'unreachable', 'its live XML could not be read'),
            ('a device of which QEMU said nothing', 'model none', NOVAS,
             SILENT, 'unreachable', 'QEMU said nothing of the balloon '
             'device'),
        ])

    def test_a_guest_of_which_libvirt_said_nothing(self):
        self.assertEqual(
            [status.Verdict(status.Status.UNREACHABLE,
                            'libvirt said nothing of this guest'),
             status.Verdict(status.Status.UNREACHABLE,
                            'libvirt did not answer within 5 s')],
            [status.judge(facts.Evidence(None)),
             status.judge(facts.Evidence(
                 None, NOVAS,
                 trouble='libvirt did not answer within 5 s'))])

    def test_trouble_with_the_xml_is_told(self):
        self.assertEqual(
            status.Verdict(status.Status.UNREACHABLE, 'no more file handles'),
            status.judge(facts.Evidence(
                test_stats.READINGS['healthy'], None, FRESH,
                trouble='no more file handles')))

    def test_guests_that_lie(self):
        """Every recorded lie, with what is impossible as the detail."""
        lies = ('total of 2**63 bytes', 'total of 2**64-2 bytes',
                'total of 0', 'total under a page', 'total over the maximum',
                'free over the total', 'usable over the total',
                'caches alone', 'actual of 2**64 bytes')
        self._assert_rows([
            (name, name, NOVAS, FRESH, 'invalid',
             '; '.join(test_stats.WORTH[name])) for name in lies])
        self.assertEqual(
            ('invalid', 'available 0 KiB is less than a page; usable 400 KiB '
             'is more than available 0 KiB; unused 300 KiB is more than '
             'available 0 KiB'), _judge('total of 0', NOVAS, FRESH))

    def test_every_recorded_answer_is_judged_somewhere_above(self):
        """With the past that it had, by its name; the rest are above."""
        past = {'paused': Past(age_s=3.0), 'restored': Past(proven=False),
                'restored paused': Past(proven=False),
                'restored paused, resumed': Past(proven=False),
                'driver unloaded': FROZEN, 'never reported': SILENT,
                'Windows without blnsvr': FROZEN,
                'Linux before 4.11, at its start': FROZEN}
        seen = {'model none': MODEL_NONE, 'no period': NO_PERIOD,
                'no period, restored': NO_PERIOD, 'period set to 0': PERIOD_0}
        self.assertEqual(
            {'healthy': 'reporting',
             'model none': 'no_device',
             'never reported': 'driver_missing',
             'Windows without blnsvr': 'service_missing',
             'Linux before 4.6': 'reporting',
             'Linux before 4.16': 'reporting',
             'free and caches only': 'reporting',
             'Linux before 4.11, at its start': 'service_missing',
             'driver unloaded': 'stale',
             'no period': 'stats_disabled',
             'no period, restored': 'stats_disabled',
             'period set to 0': 'stats_disabled',
             'paused': 'not_running',
             'resumed': 'reporting',
             'restored': 'starting',
             'restored, answered': 'reporting',
             'restored paused': 'not_running',
             'restored paused, resumed': 'starting',
             'shut off': 'not_running',
             'another job': 'unreachable',
             'total of 2**63 bytes': 'invalid',
             'total of 2**64-2 bytes': 'invalid',
             'total of 0': 'invalid',
             'total under a page': 'invalid',
             'total over the maximum': 'invalid',
             'free over the total': 'invalid',
             'usable over the total': 'invalid',
             'caches alone': 'invalid',
             'swap of 2**54 KiB': 'reporting',
             'actual of 2**64 bytes': 'invalid'},
            {name: _judge(name, seen.get(name, NOVAS),
                          past.get(name, FRESH))[0]
             for name in test_stats.RECORDED})


class TestThresholds(testtools.TestCase):

    def _judge(self, name, past, period_s, **thresholds):
        verdict = status.judge(facts.Evidence(
            test_stats.READINGS[name],
            dataclasses.replace(NOVAS, period_s=period_s), past,
            facts.Thresholds(**thresholds)))
        return verdict.status.word, verdict.detail

    def test_stale_is_reckoned_in_periods_of_the_guest(self):
        past = Past(age_s=57.0, held_s=50.0, running_s=900.0)
        self.assertEqual(
            [('stale', 'the guest last answered 57 s ago, more than 56 s'),
             ('reporting', 'fresh and possible'),
             ('stale', 'the guest last answered 57 s ago, more than 3 s')],
            [self._judge('healthy', past, 7, stale_after_periods=8),
             self._judge('healthy', past, 19, stale_after_periods=3),
             self._judge('healthy', past, 1, stale_after_periods=3)])

    def test_a_boot_may_take_as_long_as_the_operator_says(self):
        past = Past(held_s=200.0, running_s=200.0)
        self.assertEqual(
            [('starting', 'no numbers yet; seen running for 200 s of 300 s '
              'that a boot may take'),
             ('driver_missing', UNBOUND)],
            [self._judge('never reported', past, 10, boot_grace_s=300.0),
             self._judge('never reported', past, 10, boot_grace_s=0.0)])

    def test_a_period_of_any_size_is_judged(self):
        """A guest's XML can carry it; no clock ever gets there."""
        self.assertEqual(('reporting', 'fresh and possible'),
                         self._judge('healthy', FRESH, 10**400))


HANGS = (
    'see whether QEMU hangs (storage, a stopped process) or a long job '
    'runs: "virsh domcontrol" and "virsh domjobinfo" of this guest')
HARD_REBOOT = (
    'hard reboot the guest, so that Nova writes its XML anew with a balloon '
    'device')
SET_PERIOD = (
    'hard reboot the guest, or set the period live: "virsh dommemstat '
    '--live --period 10 6f9c3c1a-6a27-4f29-9b5b-0c7f4a1f9d11"')
NOVAS_OPTION = (
    "Nova's [libvirt]mem_stats_period_seconds is not above 0 on this host: "
    'set it, restart nova-compute and hard reboot the guest')
VIRTIO_WIN = (
    'install the balloon driver from virtio-win, then run "blnsvr.exe -i" '
    'as administrator (service BalloonService)')
MODPROBE = (
    'load the balloon driver in the guest: "modprobe virtio_balloon", and '
    'see that its kernel has CONFIG_VIRTIO_BALLOON')
BLNSVR = (
    'in the guest run "blnsvr.exe -i" from virtio-win as administrator and '
    'see that the service BalloonService runs')
RELOAD = (
    'reload virtio_balloon in the guest; kernels before 4.11 may need an '
    'update')
LIAR = ('the guest sends impossible numbers: look for a broken or hostile '
        'balloon driver in it')


class TestRemedy(testtools.TestCase):

    def _remedies(self, each):
        """{guest OS: what to do}."""
        return {guest_os.value: status.remedy(
            each, guest_os=guest_os, uuid=UUID, nova_period_s=10)
            for guest_os in domain.GuestOS}

    def _assert_any_os(self, text, each):
        self.assertEqual(
            {guest_os.value: text for guest_os in domain.GuestOS},
            self._remedies(each))

    def test_nothing_is_to_be_done_about_a_guest_that_is_well(self):
        for each in (status.Status.REPORTING, status.Status.STARTING,
                     status.Status.NOT_RUNNING):
            self._assert_any_os(None, each)

    def test_the_host_is_mended_alike_for_every_guest_os(self):
        self._assert_any_os(HANGS, status.Status.UNREACHABLE)
        self._assert_any_os(HARD_REBOOT, status.Status.NO_DEVICE)
        self._assert_any_os(SET_PERIOD, status.Status.STATS_DISABLED)
        self._assert_any_os(LIAR, status.Status.INVALID)

    def test_a_missing_driver(self):
        self.assertEqual(
            {'windows': VIRTIO_WIN,
             'linux': MODPROBE,
             'cirros':
                 'cirros images have no balloon driver that can be loaded: '
                 'use another image for guests whose memory is to be metered',
             'freebsd':
                 "FreeBSD's balloon driver sends no statistics (one that "
                 'does was proposed in April 2026): measure inside the '
                 'guest, unless its FreeBSD has the new driver',
             'unknown': f'Linux: {MODPROBE}. Windows: {VIRTIO_WIN}. cirros: '
                        'use another image. FreeBSD: measure inside the '
                        'guest'},
            self._remedies(status.Status.DRIVER_MISSING))

    def test_a_missing_service(self):
        self.assertEqual(
            {'windows': BLNSVR,
             'linux': RELOAD,
             'cirros':
                 "the balloon driver in the guest's kernel sends no memory "
                 'numbers: reboot the guest, and use another image if it '
                 'still sends none',
             'freebsd':
                 "the guest's balloon driver sends no memory numbers: "
                 'measure inside the guest',
             'unknown': f'Windows: {BLNSVR}. Linux: {RELOAD}'},
            self._remedies(status.Status.SERVICE_MISSING))

    def test_stale_numbers(self):
        either = ('see that the guest is alive; in Linux reload '
                  'virtio_balloon, in Windows restart the service '
                  'BalloonService')
        reboot = ('see that the guest is alive; if it is, reboot it, because '
                  'a balloon driver that is part of the kernel cannot be '
                  'reloaded')
        self.assertEqual(
            {'windows':
                 'see that the guest is alive and restart its service '
                 'BalloonService',
             'linux':
                 'see that the guest is alive and reload virtio_balloon in '
                 'it',
             'cirros': reboot, 'freebsd': reboot, 'unknown': either},
            self._remedies(status.Status.STALE))

    def test_the_period_to_set_is_novas(self):
        self.assertIn('--period 17 ' + UUID, status.remedy(
            status.Status.STATS_DISABLED, guest_os=domain.GuestOS.LINUX,
            uuid=UUID, nova_period_s=17))

    def test_every_remedy_is_one_line(self):
        texts = [text for each in status.Status
                 for text in self._remedies(each).values() if text]
        self.assertEqual([[text] for text in texts],
                         [text.splitlines() for text in texts])


class TestNovasOptionAgainstLiveXML(testtools.TestCase):
    """nova.conf says what is wanted, the live XML what is in force."""

    #: nova.conf -> what is written there; None: there is no such file
    NOVA_CONF = {
        'absent': None,
        'unreadable': '[libvirt]\nmem_stats_period_seconds = 0\n',
        '10': '[libvirt]\nmem_stats_period_seconds = 10\n',
        '0': '[libvirt]\nmem_stats_period_seconds = 0\n',
        '-1': '[libvirt]\nmem_stats_period_seconds = -1\n',
    }

    #: live XML -> (the element, the record of such a guest)
    LIVE_XML = {
        'with period': (
            "<memballoon model='virtio'><stats period='10'/></memballoon>",
            'healthy'),
        'without period': ("<memballoon model='virtio'/>", 'no period'),
        'period 0': (
            "<memballoon model='virtio'><stats period='0'/></memballoon>",
            'period set to 0'),
        'none': ("<memballoon model='none'/>", 'model none'),
        'absent': ('', 'model none'),
    }

    #: (nova.conf, live XML, status, level of the log, remedy).  Where Nova's
    #: file cannot be read, its default of 10 is assumed.
    TABLE = (
        ('absent', 'with period', 'reporting', 'INFO', None),
        ('absent', 'without period', 'stats_disabled', 'WARNING', SET_PERIOD),
        ('absent', 'period 0', 'stats_disabled', 'WARNING', SET_PERIOD),
        ('absent', 'none', 'no_device', 'WARNING', HARD_REBOOT),
        ('absent', 'absent', 'no_device', 'WARNING', HARD_REBOOT),

        ('unreadable', 'with period', 'reporting', 'INFO', None),
        ('unreadable', 'without period', 'stats_disabled', 'WARNING',
         SET_PERIOD),
        ('unreadable', 'period 0', 'stats_disabled', 'WARNING', SET_PERIOD),
        ('unreadable', 'none', 'no_device', 'WARNING', HARD_REBOOT),
        ('unreadable', 'absent', 'no_device', 'WARNING', HARD_REBOOT),

        ('10', 'with period', 'reporting', 'INFO', None),
        ('10', 'without period', 'stats_disabled', 'WARNING', SET_PERIOD),
        ('10', 'period 0', 'stats_disabled', 'WARNING', SET_PERIOD),
        ('10', 'none', 'no_device', 'WARNING', HARD_REBOOT),
        ('10', 'absent', 'no_device', 'WARNING', HARD_REBOOT),

        ('0', 'with period', 'reporting', 'INFO', None),
        ('0', 'without period', 'stats_disabled', 'INFO', NOVAS_OPTION),
        ('0', 'period 0', 'stats_disabled', 'INFO', NOVAS_OPTION),
        ('0', 'none', 'no_device', 'INFO', NOVAS_OPTION),
        ('0', 'absent', 'no_device', 'INFO', NOVAS_OPTION),

        ('-1', 'with period', 'reporting', 'INFO', None),
        ('-1', 'without period', 'stats_disabled', 'INFO', NOVAS_OPTION),
        ('-1', 'period 0', 'stats_disabled', 'INFO', NOVAS_OPTION),
        ('-1', 'none', 'no_device', 'INFO', NOVAS_OPTION),
        ('-1', 'absent', 'no_device', 'INFO', NOVAS_OPTION),
    )

    def _wanted(self):
        """Of each nova.conf, read by a user whom file modes bind."""
        etc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        etc.chmod(0o755)
        paths = {}
        for name, text in self.NOVA_CONF.items():
            paths[name] = etc / f'nova{name}.conf'
            if text is not None:
                paths[name].write_text(text)
        paths['unreadable'].chmod(0o000)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)
        return {name: nova.read([str(path)])
                for name, path in paths.items()}

    def _row(self, wanted, element, name):
        found = domain.parse(f"<domain id='23'><name>a</name><devices>"
                             f'{element}</devices></domain>')
        verdict = status.judge(facts.Evidence(
            test_stats.READINGS[name], found, FRESH))
        return (
            verdict.status.word,
            # The level is no part of what a monitor shows; the lines that it
            # logs are in its own tests.
            logging.getLevelName(monitor._level(verdict.status, wanted)),
            status.remedy(verdict.status, guest_os=found.guest_os, uuid=UUID,
                          nova_period_s=wanted.period_s))

    def test_the_table(self):
        wanted = self._wanted()
        self.assertEqual(
            {row[:2]: row[2:] for row in self.TABLE},
            {(conf, xml): self._row(wanted[conf], *self.LIVE_XML[xml])
             for conf in self.NOVA_CONF for xml in self.LIVE_XML})

    def test_only_what_could_not_be_read_is_a_problem(self):
        self.assertEqual(
            {'absent': (10, 1), 'unreadable': (10, 1), '10': (10, 0),
             '0': (0, 0), '-1': (-1, 0)},
            {name: (found.period_s, len(found.problems))
             for name, found in self._wanted().items()})

    def test_what_the_operator_did_not_choose_stays_a_warning(self):
        """Nova's option switches off statistics, not faults."""
        self.assertEqual(
            {'reporting', 'no_device', 'stats_disabled'},
            {each.word for each in status.Status
             if monitor._level(each, nova_period.Wanted(0)) == logging.INFO})

    def test_a_fault_keeps_its_own_remedy_where_nova_is_off(self):
        self.assertEqual(MODPROBE, status.remedy(
            status.Status.DRIVER_MISSING, guest_os=domain.GuestOS.LINUX,
            uuid=UUID, nova_period_s=0))


class TestStaleAfter(testtools.TestCase):

    def test_is_so_many_periods_in_force(self):
        self.assertEqual(
            [30.0, 0.0, 0.0, 0.0],
            [facts.Evidence(stats.Reading(), found).stale_after_s
             for found in (NOVAS, NO_PERIOD, PERIOD_0, None)])
