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


"""What readings add to each other, and what of verdicts is news."""

import testtools

from memstat_pollster.model import domain
from memstat_pollster.model import facts
from memstat_pollster.model import history
from memstat_pollster.model import journal
from memstat_pollster.model import stats
from memstat_pollster.model import status
from tests.unit.model import test_stats

#: The host's clocks when a test begins; they have nothing in common.
WALL = 1795451932.25
MONOTONIC = 5011.5

BOOTED, MIGRATED, RESTORED, UNPAUSED = 1, 2, 3, 5


class _Guest:
    """One guest and the readings of it, at seconds since the test began."""

    def __init__(self, readings=None, uuid='web'):
        self.readings = history.Readings() if readings is None else readings
        self.uuid = uuid
        self.domain_id = 23

    def at(self, second, stamp, *, reason=BOOTED, state=1, clock_s=0.0):
        """The Past of a reading.

        :param stamp: the guest's last answer in the same seconds; None for
            a guest that has never answered
        :param clock_s: by how much the host's clock is off by now
        """
        return self.readings.observe(
            self.uuid, self.domain_id,
            stats.Reading(
                state=state, reason=reason, rss_kib=39504,
                last_update_s=0 if stamp is None else int(WALL) + stamp),
            wall_s=WALL + second + clock_s, monotonic_s=MONOTONIC + second)

    def unanswered_at(self, second, *, reason=BOOTED, state=1):
        return self.readings.observe(
            self.uuid, self.domain_id,
            stats.Reading(state=state, reason=reason),
            wall_s=WALL + second, monotonic_s=MONOTONIC + second)


class TestGuestThatRuns(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.guest = _Guest()

    def test_is_as_old_as_its_time_stamp_at_first_sight(self):
        """Booted on this host: nobody has put another time under it."""
        self.assertEqual(history.Past(age_s=611.25),
                         self.guest.at(0, -611))

    def test_has_moved_when_it_has_answered_since(self):
        self.guest.at(0, -3)
        self.assertEqual(
            history.Past(age_s=2.25, running_s=11.0, moved=True),
            self.guest.at(11, 9))

    def test_grows_old_when_it_has_not(self):
        self.guest.at(0, -3)
        self.guest.at(11, -3)
        self.assertEqual(
            history.Past(age_s=33.25, held_s=30.0, running_s=30.0),
            self.guest.at(30, -3))

    def test_is_held_since_its_time_stamp_was_first_seen(self):
        self.guest.at(0, -3)
        self.guest.at(11, 9)
        self.assertEqual(
            history.Past(age_s=31.25, held_s=29.0, running_s=40.0),
            self.guest.at(40, 9))

    def test_has_no_age_before_it_first_answers(self):
        self.assertEqual(history.Past(), self.guest.at(0, None))
        self.assertEqual(history.Past(held_s=11.0, running_s=11.0),
                         self.guest.at(11, None))

    def test_has_an_age_from_its_first_answer_on(self):
        self.guest.at(0, None)
        self.assertEqual(history.Past(age_s=1.25, running_s=11.0),
                         self.guest.at(11, 10))

    def test_is_now_when_it_answered_while_it_was_read(self):
        """The clock was taken before the call."""
        self.assertEqual(history.Past(age_s=0.0), self.guest.at(0, 2))

    def test_is_another_guest_under_another_uuid(self):
        other = _Guest(self.guest.readings, 'db')
        self.guest.at(0, -3)
        self.assertEqual(history.Past(age_s=7.25), other.at(20, 13))
        self.assertEqual(
            history.Past(age_s=33.25, held_s=30.0, running_s=30.0),
            self.guest.at(30, -3))


class TestGuestWithNumbersOfAnotherTime(testtools.TestCase):
    """QEMU has put a new time stamp under what a guest sent long ago."""

    def _unproven_then_proven(self, reason):
        guest = _Guest()
        return [guest.at(0, -1, reason=reason),
                guest.at(5, -1, reason=reason),
                guest.at(12, 9, reason=reason),
                guest.at(22, 9, reason=reason)]

    def test_restored_or_migrated_in_counts_once_its_stamp_has_moved(self):
        expected = [
            history.Past(proven=False),
            history.Past(held_s=5.0, running_s=5.0, proven=False),
            history.Past(age_s=3.25, running_s=12.0, moved=True),
            history.Past(age_s=13.25, held_s=10.0, running_s=22.0),
        ]
        for reason in (RESTORED, MIGRATED, 4, 10, 11):
            self.assertEqual(expected, self._unproven_then_proven(reason))

    def test_a_guest_that_was_seen_to_run_may_be_restored_under_our_eyes(self):
        """Migrated in, restored, from a snapshot, postcopy: 2, 3, 4, 10, 11.

        After every other reason the numbers are the guest's own.
        """
        unproven = set()
        for reason in range(1, 13):
            guest = _Guest()
            guest.at(0, -1, reason=1)
            if not guest.at(9, 8, reason=reason).proven:
                unproven.add(reason)
        self.assertEqual({2, 3, 4, 10, 11}, unproven)

    def test_a_guest_may_answer_while_the_others_are_read(self):
        """A stamp may be as late as the reading took, and 10 s."""
        def proven(stamp, took_s):
            readings = history.Readings()
            return readings.observe(
                'web', 23, stats.Reading(
                    state=1, reason=1, rss_kib=39504,
                    last_update_s=int(WALL) + stamp),
                wall_s=float(int(WALL)), monotonic_s=MONOTONIC,
                took_s=took_s).proven
        self.assertEqual(
            {(10, 0.0): True, (11, 0.0): False, (30, 20.0): True,
             (31, 20.0): False},
            {(stamp, took_s): proven(stamp, took_s)
             for stamp, took_s in ((10, 0.0), (11, 0.0), (30, 20.0),
                                   (31, 20.0))})

    def test_a_record_without_a_stamp_makes_no_old_numbers_young(self):
        guest = _Guest()
        guest.at(0, -1, reason=1)
        guest.readings.observe(
            'web', 23, stats.Reading(state=1, reason=1, rss_kib=39504),
            wall_s=WALL + 100, monotonic_s=MONOTONIC + 100)
        self.assertEqual(150.0, guest.at(150, -1, reason=1).held_s)

    def test_resumed_before_the_first_sight_may_have_been_restored(self):
        """Restored paused, then resumed: the reason is only "unpaused"."""
        self.assertEqual(
            [history.Past(proven=False),
             history.Past(held_s=5.0, running_s=5.0, proven=False),
             history.Past(age_s=3.25, running_s=12.0, moved=True),
             history.Past(age_s=13.25, held_s=10.0, running_s=22.0)],
            self._unproven_then_proven(UNPAUSED))

    def test_restored_paused_then_resumed_as_it_was_recorded(self):
        """Paused it has no time stamp; resumed it has that very second."""
        readings = history.Readings()
        pasts = []
        for name in ('restored paused', 'restored paused, resumed'):
            recording = test_stats.RECORDED[name]
            pasts.append(readings.observe(
                'rest', 7, stats.parse(recording.record),
                wall_s=recording.wall_s, monotonic_s=MONOTONIC))
        self.assertEqual(
            [history.Past(proven=False),
             history.Past(resumed=True, proven=False)], pasts)

    def test_saved_and_restored_is_another_run(self):
        """Its id is another, and all that was known of it is forgotten."""
        guest = _Guest()
        guest.at(0, -3)
        guest.at(11, 9)
        guest.domain_id = 24
        self.assertEqual(history.Past(proven=False),
                         guest.at(21, 20, reason=RESTORED))

    def test_put_back_to_a_snapshot_in_the_same_run(self):
        guest = _Guest()
        guest.at(0, -3)
        guest.at(11, 9)
        self.assertEqual(
            [history.Past(running_s=21.0, proven=False),
             history.Past(held_s=10.0, running_s=31.0, proven=False),
             history.Past(age_s=1.25, running_s=41.0, moved=True)],
            [guest.at(21, 20, reason=4), guest.at(31, 20, reason=4),
             guest.at(41, 40, reason=4)])

    def test_a_later_pause_casts_no_new_doubt(self):
        guest = _Guest()
        guest.at(0, -1, reason=MIGRATED)
        guest.at(10, 9, reason=MIGRATED)
        guest.at(20, 9, state=3)
        self.assertEqual(
            history.Past(age_s=1.25, resumed=True, moved=True),
            guest.at(30, 29, reason=UNPAUSED))


class TestGuestThatStops(testtools.TestCase):

    def test_keeps_the_age_of_what_it_sent_before(self):
        guest = _Guest()
        guest.at(0, -3)
        self.assertEqual(
            [history.Past(age_s=13.25), history.Past(age_s=3603.25)],
            [guest.at(10, -3, state=3), guest.at(3600, -3, state=3)])

    def test_is_of_unknown_age_at_first_sight(self):
        self.assertEqual(history.Past(proven=False),
                         _Guest().at(0, -3, state=3))

    def test_is_of_unknown_age_as_long_as_nothing_was_proven(self):
        guest = _Guest()
        guest.at(0, -3, reason=RESTORED)
        self.assertEqual(history.Past(proven=False),
                         guest.at(10, -3, state=3))

    def test_resumes_with_its_old_age_and_a_new_time_of_running(self):
        guest = _Guest()
        guest.at(0, -3)
        guest.at(10, -3, state=3)
        guest.at(600, -3, state=3)
        self.assertEqual(
            [history.Past(age_s=613.25, held_s=610.0, resumed=True),
             history.Past(age_s=621.25, held_s=618.0, running_s=8.0,
                          resumed=True),
             history.Past(age_s=1.25, running_s=20.0, resumed=True,
                          moved=True)],
            [guest.at(610, -3, reason=UNPAUSED),
             guest.at(618, -3, reason=UNPAUSED),
             guest.at(630, 629, reason=UNPAUSED)])

    def test_is_forgotten_when_it_starts_anew(self):
        guest = _Guest()
        guest.at(0, -3)
        guest.domain_id = -1
        self.assertEqual(history.Past(proven=False),
                         guest.unanswered_at(10, state=5))
        guest.domain_id = 24
        self.assertEqual(history.Past(), guest.at(20, None))


class TestGuestThatIsReset(testtools.TestCase):
    """As by a reboot from inside; QEMU 10 and later forget what it sent."""

    def test_may_take_as_long_as_a_boot_again(self):
        guest = _Guest()
        guest.at(0, -3)
        guest.at(900, 890)
        self.assertEqual(
            [history.Past(reset=True),
             history.Past(held_s=60.0, running_s=60.0, reset=True),
             history.Past(age_s=1.25, running_s=90.0, reset=True),
             history.Past(age_s=5.25, running_s=120.0, moved=True,
                          reset=True)],
            [guest.at(910, None), guest.at(970, None), guest.at(1000, 999),
             guest.at(1030, 1025)])

    def test_is_no_news_of_a_guest_that_never_sent_anything(self):
        guest = _Guest()
        guest.at(0, None)
        self.assertEqual(history.Past(held_s=60.0, running_s=60.0),
                         guest.at(60, None))

    def test_is_told_starting_and_not_without_driver(self):
        guest, found = _Guest(), domain.Domain(
            domain_id=23, name='instance-0000002a', display_name=None,
            balloon_model='virtio', period_s=10,
            guest_os=domain.GuestOS.UNKNOWN)
        guest.at(0, -3)

        def told(second):
            past = guest.at(second, None)
            return status.judge(facts.Evidence(
                stats.Reading(state=1, rss_kib=39504, last_update_s=0),
                found, past)).status.word
        self.assertEqual(['starting', 'starting', 'driver_missing'],
                         [told(900), told(1000), told(1020)])


class TestGuestThatIsNotAnsweredFor(testtools.TestCase):

    def test_adds_nothing_and_loses_nothing(self):
        guest = _Guest()
        guest.at(0, -3)
        guest.at(11, 9)
        self.assertEqual([history.Past(), history.Past()],
                         [guest.unanswered_at(20), guest.unanswered_at(30)])
        self.assertEqual(
            history.Past(age_s=31.25, held_s=29.0, running_s=40.0),
            guest.at(40, 9))

    def test_stays_unproven(self):
        guest = _Guest()
        guest.at(0, -1, reason=RESTORED)
        self.assertEqual(history.Past(proven=False),
                         guest.unanswered_at(10, reason=RESTORED))
        self.assertEqual(
            history.Past(held_s=20.0, running_s=20.0, proven=False),
            guest.at(20, -1, reason=RESTORED))

    def test_is_at_its_first_sight_when_it_is_first_answered_for(self):
        guest = _Guest()
        guest.unanswered_at(0)
        self.assertEqual(history.Past(age_s=1.25), guest.at(10, 9))


class TestClockThatIsStepped(testtools.TestCase):
    """What one reading makes of it; the whole story is told below."""

    def test_a_step_back_makes_no_frozen_stamp_new(self):
        guest = _Guest()
        guest.at(0, -3)
        guest.at(20, -3)
        self.assertEqual(
            history.Past(age_s=23.25, held_s=20.0, running_s=20.0),
            guest.at(20, -3, clock_s=-15.0))

    def test_nor_that_of_a_guest_that_stops(self):
        guest = _Guest()
        guest.at(0, -3)
        self.assertEqual(history.Past(age_s=63.25),
                         guest.at(60, -3, state=3, clock_s=-30.0))

    def test_a_step_back_by_more_than_the_interval_withholds_nobody(self):
        """The stamp came since, so it can only be of the new clock."""
        guest = _Guest()
        guest.at(0, -3)
        self.assertEqual(
            history.Past(age_s=3.25, running_s=11.0, moved=True),
            guest.at(11, 8 - 3600, clock_s=-3600.0))

    def test_after_one_by_less_a_new_stamp_may_be_of_either_clock(self):
        """By few seconds the older age counts, by more it is not believed."""
        guest = _Guest()
        guest.at(0, -3)
        self.assertEqual(
            [history.Past(age_s=10.25, running_s=300.0, moved=True),
             history.Past(running_s=600.0, proven=False, moved=True),
             history.Past(age_s=4.25, running_s=900.0, moved=True)],
            [guest.at(300, 290, clock_s=-1.0),
             guest.at(600, 535, clock_s=-61.0),
             guest.at(900, 835, clock_s=-61.0)])

    def test_a_step_forward_makes_no_moving_stamp_older_than_the_last(self):
        """The guest answered just before the step."""
        guest = _Guest()
        guest.at(0, -3)
        self.assertEqual(
            history.Past(age_s=11.0, running_s=11.0, moved=True),
            guest.at(11, 9, clock_s=3600.0))

    def test_a_stamp_in_the_future_is_not_believed_until_it_moves(self):
        guest = _Guest()
        self.assertEqual(
            [history.Past(proven=False),
             history.Past(held_s=10.0, running_s=10.0, proven=False),
             history.Past(age_s=1.25, running_s=20.0, moved=True)],
            [guest.at(0, 3600), guest.at(10, 3600), guest.at(20, 19)])

    def test_neither_is_one_that_moved_there(self):
        """A clock stepped forward, and back again before the next poll."""
        guest = _Guest()
        guest.at(0, -3)
        self.assertEqual(
            history.Past(running_s=300.0, proven=False, moved=True),
            guest.at(300, 3700))

    def test_ten_seconds_ahead_is_still_now(self):
        self.assertEqual(
            [history.Past(age_s=0.0), history.Past(proven=False)],
            [_Guest().at(0, 10), _Guest().at(0, 11)])

    def test_a_frozen_stamp_that_a_step_put_into_the_future(self):
        guest = _Guest()
        guest.at(0, -3)
        self.assertEqual(
            history.Past(held_s=10.0, running_s=10.0, proven=False),
            guest.at(10, -3, clock_s=-3600.0))


class TestClockThatIsSteppedWhileItIsRead(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.begin()

    def begin(self):
        self.guest = _Guest()
        self.guest.at(0, -3)

    def read(self, second, stamp, step_s, before_s=0.0):
        """A reading of 5 s during which the clock was set by so much."""
        return self.guest.readings.observe(
            'web', 23, stats.Reading(state=1, reason=BOOTED, rss_kib=39504,
                                     last_update_s=int(WALL) + stamp),
            wall_s=WALL + second + before_s, monotonic_s=MONOTONIC + second,
            took_s=5.0, step_s=step_s)

    def test_one_that_answered_before_is_as_old_as_by_the_old_clock(self):
        for step_s in (3600.0, -3600.0, 120.0, -120.0):
            self.begin()
            self.assertEqual(
                history.Past(age_s=2.25, running_s=300.0, moved=True),
                self.read(300, 298, step_s), step_s)

    def test_one_that_answered_after_it_is_now(self):
        for step_s in (3600.0, -3600.0, 120.0):
            self.begin()
            self.assertEqual(
                history.Past(age_s=0.0, running_s=300.0, moved=True),
                self.read(300, 302 + int(step_s), step_s), step_s)

    def test_where_it_may_be_either_nothing_is_believed(self):
        self.assertEqual(
            history.Past(running_s=300.0, proven=False, moved=True),
            self.read(300, 302 - 120, -120.0))

    def test_one_that_did_not_answer_is_as_old_as_before_and_since(self):
        for step_s in (3600.0, -3600.0, 120.0, -120.0):
            self.begin()
            self.assertEqual(
                history.Past(age_s=23.25, held_s=20.0, running_s=20.0),
                self.read(20, -3, step_s), step_s)

    def test_the_next_reading_withholds_nobody(self):
        for step_s in (3600.0, -3600.0, 120.0, -120.0):
            self.begin()
            self.read(300, 298, step_s)
            self.assertEqual(
                history.Past(age_s=4.25, running_s=600.0, moved=True),
                self.read(600, 596 + int(step_s), 0.0, step_s), step_s)

    def test_nor_does_it_make_young_what_was_sent_right_before_the_step(self):
        """After this guest was read, and then it hung."""
        self.read(300, 298, -290.0)
        self.assertEqual(
            history.Past(running_s=600.0, proven=False, moved=True),
            self.read(600, 302, 0.0, -290.0))

    def test_at_first_sight(self):
        found = {}
        for stamp in (-2, 3602, 1800):
            self.guest = _Guest()
            found[stamp] = self.read(0, stamp, 3600.0)
        self.assertEqual({-2: history.Past(age_s=2.25),
                          3602: history.Past(age_s=0.0),
                          1800: history.Past(proven=False)}, found)


class _Story:
    """A node from second to second: one guest, polled, judged, stepped.

    The guest answers every period by its own clock until it hangs; its
    answers bear the host's clock, which is stepped at one time.

    :ivar cycles: (second, status, how old the numbers truly are) of each
        polling cycle
    """

    PERIOD_S = 10
    LIMIT_S = 3 * PERIOD_S

    def __init__(self, *, interval_s, step_s, step_at, hangs_at=None,
                 answers_at=4, until):
        self._step_s, self._step_at = step_s, step_at
        self._hangs_at = hangs_at
        self._answers_at = answers_at
        self._readings = history.Readings()
        self._domain = domain.Domain(
            domain_id=23, name='instance-0000002a', display_name=None,
            balloon_model='virtio', period_s=self.PERIOD_S,
            guest_os=domain.GuestOS.UNKNOWN)
        self.cycles = [self._cycle(second)
                       for second in range(600, until, interval_s)]

    def _wall(self, second):
        return WALL + second + (
            self._step_s if second >= self._step_at else 0)

    def _last_answer(self, second):
        if self._hangs_at is not None:
            second = min(second, self._hangs_at)
        return second - (second - self._answers_at) % self.PERIOD_S

    def _cycle(self, second):
        answer = self._last_answer(second)
        reading = stats.parse({
            **test_stats.RECORDED['healthy'].record,
            'balloon.last-update': int(self._wall(answer))})
        past = self._readings.observe(
            'web', 23, reading, wall_s=self._wall(second),
            monotonic_s=MONOTONIC + second)
        verdict = status.judge(
            facts.Evidence(reading, self._domain, past))
        return second, verdict.status, second - answer

    def published(self):
        """How old the numbers were that were published."""
        return [age for _, now, age in self.cycles
                if now is status.Status.REPORTING]


class TestNodeWhoseClockIsStepped(testtools.TestCase):
    """At any time between two cycles, whatever the polling interval."""

    STEPS_S = (3600, -3600, 120, -120)

    def _moments(self, interval_s):
        """Seconds of a step within the third interval."""
        return range(600 + 2 * interval_s + 1, 600 + 3 * interval_s + 1,
                     max(1, interval_s // 60))

    def test_a_guest_that_answers_is_withheld_for_one_cycle_at_most(self):
        withheld = {}
        for interval_s in (10, 300):
            for step_s in self.STEPS_S:
                for step_at in self._moments(interval_s):
                    story = _Story(interval_s=interval_s, step_s=step_s,
                                   step_at=step_at,
                                   until=600 + 30 * interval_s)
                    wrong = [cycle for cycle in story.cycles
                             if cycle[1] is not status.Status.REPORTING]
                    if len(wrong) > 1 or any(
                            second >= step_at + interval_s
                            or second < step_at for second, _, _ in wrong):
                        withheld[interval_s, step_s, step_at] = wrong
        self.assertEqual({}, withheld)

    def _too_old(self, interval_s, step_s):
        """Published, but older than three periods: the worst case found.

        :returns: {(when the clock was stepped, when the guest hung): age}
        """
        worst, case = _Story.LIMIT_S, {}
        for step_at in self._moments(interval_s):
            for hangs_at in range(600, step_at + 2 * interval_s,
                                  max(3, interval_s // 20)):
                story = _Story(interval_s=interval_s, step_s=step_s,
                               step_at=step_at, hangs_at=hangs_at,
                               until=600 + 14 * interval_s)
                age = max(story.published())
                if age > worst:
                    worst, case = age, {(step_at, hangs_at): age}
        return case

    def test_no_old_number_is_published_after_a_step_forward(self):
        self.assertEqual({}, self._too_old(10, 3600))
        self.assertEqual({}, self._too_old(300, 3600))

    def test_no_old_number_is_published_after_a_step_back_by_an_hour(self):
        self.assertEqual({}, self._too_old(10, -3600))
        self.assertEqual({}, self._too_old(300, -3600))

    def test_no_old_number_is_published_after_a_step_back_by_seconds(self):
        for step_s in (-8, -20, -60):
            for interval_s in (10, 30):
                self.assertEqual({}, self._too_old(interval_s, step_s),
                                 (interval_s, step_s))

    def test_no_old_number_is_published_after_a_step_back_by_minutes(self):
        """By less than the interval: no stamp need lie in the future."""
        self.assertEqual({}, self._too_old(10, -120))
        self.assertEqual({}, self._too_old(300, -120))

    def test_a_guest_that_hangs_is_told_stale_in_the_end(self):
        told = {}
        for interval_s in (10, 300):
            for step_s in self.STEPS_S:
                for step_at in self._moments(interval_s):
                    story = _Story(interval_s=interval_s, step_s=step_s,
                                   step_at=step_at, hangs_at=step_at - 7,
                                   until=600 + 9 * interval_s)
                    told[interval_s, step_s, step_at] = story.cycles[-1][1]
        self.assertEqual({status.Status.STALE}, set(told.values()))

    def test_without_a_step_nothing_is_withheld_and_nothing_old_said(self):
        """The yardstick of the tests above: the story itself is right."""
        quiet = _Story(interval_s=10, step_s=0, step_at=0, until=900)
        self.assertEqual({status.Status.REPORTING},
                         {now for _, now, _ in quiet.cycles})
        hung = _Story(interval_s=10, step_s=0, step_at=0, hangs_at=700,
                      until=900)
        self.assertEqual([(720, 'reporting', 26), (730, 'stale', 36)],
                         [(second, now.word, age)
                          for second, now, age in hung.cycles][12:14])


class TestRetain(testtools.TestCase):

    def test_guests_that_come_and_go_leave_nothing_behind(self):
        readings = history.Readings()
        for number in range(10000):
            _Guest(readings, f'guest-{number}').at(number, number - 3)
            readings.retain([f'guest-{number}'])
            self.assertEqual(1, len(readings))
        readings.retain([])
        self.assertEqual(0, len(readings))

    def test_ten_thousand_at_once_go_at_once(self):
        readings = history.Readings()
        for number in range(10000):
            _Guest(readings, f'guest-{number}').at(0, -3)
        self.assertEqual(10000, len(readings))
        readings.retain(['guest-77', 'never-seen'])
        self.assertEqual(1, len(readings))
        readings.retain([])
        self.assertEqual(0, len(readings))

    def test_who_stays_keeps_what_is_known_and_who_goes_does_not(self):
        readings = history.Readings()
        stays, goes = _Guest(readings, 'stays'), _Guest(readings, 'goes')
        stays.at(0, -3)
        goes.at(0, -3)
        readings.retain(['stays'])
        self.assertEqual(
            [history.Past(age_s=23.25, held_s=20.0, running_s=20.0),
             history.Past(age_s=23.25)],
            [stays.at(20, -3), goes.at(20, -3)])


class TestJournal(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.journal = journal.Journal('sane', quiet={'asleep', 'waking'},
                                       immediate={'invalid'})

    def _told(self, *verdicts, uuid='web'):
        """(number of the reading, verdict) of all that is told."""
        return [(number, verdict) for number, verdict in enumerate(verdicts)
                if self.journal.is_news(uuid, verdict)]

    def test_a_guest_is_sane_until_something_else_is_told(self):
        self.assertEqual([], self._told('sane', 'sane', 'sane'))
        self.assertEqual(0, len(self.journal))

    def test_a_verdict_is_told_once_when_it_holds_for_a_second_reading(self):
        self.assertEqual([(1, 'stale')],
                         self._told('stale', 'stale', 'stale', 'stale'))

    def test_a_verdict_of_one_reading_is_not_told(self):
        self.assertEqual(
            [], self._told('stale', 'sane', 'stale', 'sane', 'missing'))

    def test_an_immediate_verdict_is_told_at_once_and_once(self):
        self.assertEqual([(0, 'invalid')],
                         self._told('invalid', 'invalid', 'invalid'))

    def test_a_recovery_is_told_when_it_holds(self):
        self.assertEqual(
            [(1, 'stale'), (3, 'sane')],
            self._told('stale', 'stale', 'sane', 'sane', 'sane'))

    def test_recovered_leaves_nothing_behind(self):
        """After as many readings as its two lines have used up."""
        self._told('invalid', 'sane', 'sane')
        self._told(*['sane'] * 2 * journal.READINGS_A_LINE)
        self.assertEqual(0, len(self.journal))

    def test_a_guest_that_changes_on_and_on_is_told_less_often(self):
        """Each verdict is held for as long as it takes to be told."""
        rounds = 3000
        told = self._told(*['invalid', 'sane', 'sane'] * rounds)
        most = journal.LINES_IN_A_ROW + 3 * rounds // journal.READINGS_A_LINE
        self.assertEqual(list(range(0, 3 * 10, 3)),
                         [number for number, verdict in told
                          if verdict == 'invalid'][:10])
        self.assertTrue(most - 2 <= len(told) <= most, len(told))
        self.assertEqual([], [
            each for (_, each), (_, after) in zip(told, told[1:],
                                                  strict=False)
            if each == after])

    def test_what_such_a_guest_comes_to_in_the_end_is_told(self):
        self._told(*['invalid', 'sane', 'sane'] * 100)
        self.assertEqual(
            ['stale'],
            [verdict for _, verdict in self._told(
                *['stale'] * (2 * journal.READINGS_A_LINE))])

    def test_a_guest_that_changes_on_and_on_costs_no_other_its_lines(self):
        self._told(*['invalid', 'sane', 'sane'] * 100)
        self.assertEqual([(0, 'invalid')], self._told('invalid', uuid='db'))

    def test_after_a_recovery_the_same_is_told_again(self):
        self.assertEqual(
            [(0, 'invalid'), (2, 'sane'), (3, 'invalid')],
            self._told('invalid', 'sane', 'sane', 'invalid'))

    def test_a_change_from_one_fault_to_another_is_told(self):
        self.assertEqual(
            [(1, 'stale'), (3, 'missing'), (5, 'invalid')],
            self._told('stale', 'stale', 'missing', 'missing', 'invalid',
                       'invalid'))

    def test_a_hostile_guest_that_flips_gets_one_line(self):
        """Sane and invalid in turn, at every reading."""
        self.assertEqual([(0, 'invalid')],
                         self._told(*['invalid', 'sane'] * 500))

    def test_a_guest_that_flips_after_it_was_told_gets_no_more_lines(self):
        self.assertEqual([(1, 'stale')],
                         self._told('stale', *['stale', 'sane'] * 500))

    def test_a_guest_that_flips_between_faults_gets_one_line(self):
        self.assertEqual([(0, 'invalid')],
                         self._told(*['invalid', 'stale'] * 500))

    def test_two_faults_that_never_hold_are_not_told(self):
        self.assertEqual([], self._told(*['missing', 'stale'] * 500))

    def test_a_quiet_verdict_is_never_told(self):
        self.assertEqual(
            [], self._told('asleep', 'asleep', 'asleep', 'waking', 'waking'))
        self.assertEqual(0, len(self.journal))

    def test_a_quiet_verdict_changes_nothing(self):
        """Neither what was told nor what is about to be."""
        self.assertEqual(
            [(2, 'stale'), (6, 'sane')],
            self._told('stale', 'asleep', 'stale', 'waking', 'sane',
                       'asleep', 'sane'))

    def test_a_fault_that_outlasts_a_stop_is_not_told_again(self):
        self.assertEqual(
            [(1, 'stale')],
            self._told('stale', 'stale', 'asleep', 'asleep', 'waking',
                       'stale', 'stale'))

    def test_guests_have_nothing_to_do_with_each_other(self):
        self.assertEqual([], self._told('stale', uuid='web'))
        self.assertEqual([], self._told('stale', uuid='db'))
        self.assertEqual([(0, 'stale')], self._told('stale', uuid='db'))
        self.assertEqual([(0, 'stale')], self._told('stale', uuid='web'))

    def test_guests_that_come_and_go_leave_nothing_behind(self):
        for number in range(10000):
            self._told('invalid', 'stale', uuid=f'guest-{number}')
        self.assertEqual(10000, len(self.journal))
        self.journal.retain(['guest-77', 'never-seen'])
        self.assertEqual(1, len(self.journal))
        self.journal.retain([])
        self.assertEqual(0, len(self.journal))

    def test_who_stays_is_not_told_again_and_who_comes_back_is(self):
        self._told('invalid', uuid='stays')
        self._told('invalid', uuid='goes')
        self.journal.retain(['stays'])
        self.assertEqual([], self._told('invalid', uuid='stays'))
        self.assertEqual([(0, 'invalid')],
                         self._told('invalid', uuid='goes'))
