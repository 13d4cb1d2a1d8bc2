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

"""Any life of a few guests, and what the monitor publishes meanwhile.

Hypothesis makes the lives up: guests boot, answer, hang, are paused, saved,
restored, migrated in, reset and stopped, the host's clock is stepped, and
somebody polls at any time.  The model knows what no poll tells: when a guest
made the numbers that its QEMU has, and in which run.

In CI the lives are the same ones each time.  A long search for others, from
the top of the checkout:

    MEMSTAT_EXAMPLES=1000000 python -m testtools.run tests.unit.test_life
"""

import dataclasses
import os
import typing

import fixtures
import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from memstat_pollster.model import facts
from memstat_pollster.model import nova_period
from memstat_pollster.model import status
from memstat_pollster import monitor
from tests.unit import fakes
from tests.unit import test_monitor

EXAMPLES = int(os.environ.get('MEMSTAT_EXAMPLES', '3000'))

PERIOD_S = 10
THRESHOLDS = facts.Thresholds(stale_after_periods=3, boot_grace_s=120.0)
LIMIT_S = PERIOD_S * THRESHOLDS.stale_after_periods
GUESTS = (1, 2)
#: Within a period, about as long as it, as long as a poll, and as a night.
SECONDS = st.sampled_from((1, 4, 11, 20, 29, 61, 300, 300))
#: How long after each other something is followed by polls.
POLLS = st.lists(SECONDS, max_size=4)
#: virDomainState
RUNNING, PAUSED, OFF = 1, 3, 5
#: virDomainRunningReason
BOOTED, MIGRATED, RESTORED, UNPAUSED = 1, 2, 3, 5
#: The total of a guest's first answer; each later one has 1 KiB more.
TOTAL_KIB = 501760


class _Source(test_monitor.Source):
    """One whose wall clock can be stepped."""

    step_s = 0

    def wall(self, second):
        return test_monitor.EPOCH + second + self.step_s

    def read(self):
        return dataclasses.replace(super().read(),
                                   wall_s=self.wall(self.now))


class _Guest:
    """One guest; all times are seconds of the monotonic clock.

    :ivar answers: (when, in which run) of each answer that it ever made
    :ivar held: which of them QEMU has; None: none
    :ivar answers_from: when it answers next at the earliest
    :ivar seen: the stamp that the monitor saw last of this run; None: none
    :ivar seen_at: since when it has, without a break
    :ivar fresh: polls that found an answer made since the poll before, since
        anything happened that takes two of them
    :ivar steps: of the clock since a poll was answered for it
    :ivar unknowable: nothing that can be seen tells how old its answer is
    """

    def __init__(self, number, source):
        self.source = source
        self.domain = fakes.Domain(number, {}, domain_id=-1, period=PERIOD_S)
        self.runs, self.answers = 0, []
        self.stop()

    def forget(self, unknowable):
        self.seen, self.seen_at = None, None
        self.fresh, self.steps, self.unknowable = 0, 0, unknowable

    def stop(self, saved=None):
        """:param saved: running or paused, where it is to go on like that"""
        self.domain.domain_id, self.state, self.reason = -1, OFF, 1
        self.held, self.stamp, self.saved = None, 0, saved
        self.hung = self.busy = self.to_replay = False
        self.forget(False)

    @property
    def exists(self):
        return self.state != OFF

    def run(self, state, reason, answers_from):
        """A new QEMU."""
        self.runs += 1
        self.domain.domain_id = self.runs
        self.state, self.reason = state, reason
        self.answers_from = answers_from

    def replay(self):
        """QEMU reads what the guest wrote before, and stamps it anew."""
        if self.answers:
            self.held = len(self.answers) - 1
            self.stamp = int(self.source.wall(self.source.now))

    def live(self):
        """Answer once a period, at a second of its own."""
        if self.state != RUNNING or self.hung:
            return
        now = self.source.now
        latest = now - (now - self.runs) % PERIOD_S
        if latest >= self.answers_from and (
                not self.answers or latest > self.answers[-1][0]):
            self.held = len(self.answers)
            self.answers.append((latest, self.runs))
            self.stamp = int(self.source.wall(latest))
            self.unknowable = False

    def start(self, seconds):
        """Boot, which takes that long, or go on from where it was saved."""
        saved = self.saved
        self.stop()
        if saved is None:
            self.run(RUNNING, BOOTED, self.source.now + seconds)
            return
        self.run(saved, RESTORED, self.source.now)
        # One that was saved paused has nothing until it is resumed.
        self.to_replay = saved == PAUSED
        if saved == RUNNING:
            self.replay()

    def migrate_in(self, seconds):
        """With numbers that are that old."""
        self.stop()
        self.answers.append((self.source.now - seconds, None))
        self.run(RUNNING, MIGRATED, self.source.now)
        self.replay()

    def destroy(self, _seconds):
        self.stop()

    def save(self, _seconds):
        self.stop(saved=self.state)

    def reset(self, seconds):
        """Boot from inside, which takes that long."""
        self.answers_from, self.hung = self.source.now + seconds, False

    def reset_by_qemu_10(self, seconds):
        """QEMU forgets what was sent before."""
        self.reset(seconds)
        self.held, self.stamp, self.fresh = None, 0, 0

    def pause(self, _seconds):
        self.state = PAUSED

    def resume(self, _seconds):
        self.state, self.reason = RUNNING, UNPAUSED
        self.answers_from = max(self.answers_from, self.source.now)
        if self.to_replay:
            self.to_replay = False
            self.replay()

    def hang_or_go_on(self, _seconds):
        self.hung = not self.hung

    def be_held_or_freed(self, _seconds):
        """Another job holds the guest, or its QEMU is frozen."""
        self.busy = not self.busy

    EVENTS: typing.ClassVar = {
        OFF: (start, migrate_in),
        RUNNING: (save, destroy, reset, reset_by_qemu_10, pause,
                  hang_or_go_on, hang_or_go_on, be_held_or_freed),
        PAUSED: (save, destroy, resume, resume, be_held_or_freed)}

    def show(self):
        """What libvirt says of it now."""
        record = {'state.state': self.state, 'state.reason': self.reason,
                  'balloon.current': 524288, 'balloon.maximum': 1048576}
        if self.exists and not self.busy:
            record.update({'balloon.rss': 204800,
                           'balloon.last-update': self.stamp})
            if self.held is not None:
                record.update({'balloon.available': TOTAL_KIB + self.held,
                               'balloon.usable': 262144})
        self.domain.record = record
        return self.domain

    def polled(self, told):
        """Check what a poll made of it."""
        if told.memory is not None:
            made_at, run = self.answers[
                told.memory.available_kib - TOTAL_KIB]
            # Not of another time, from before a restore or a migration.
            assert run == self.runs, (run, self.runs)
            age_s = self.source.now - made_at
            # Time stamps are whole seconds.
            assert self.unknowable or age_s <= LIMIT_S + 1, age_s
        if self.state != RUNNING:
            self.seen_at = None
        if self.state != RUNNING or self.busy:
            assert told.memory is None
            return
        self.steps = 0
        if self.stamp != self.seen or self.seen_at is None:
            self.seen_at = self.source.now
        for_s = self.source.now - self.seen_at
        if self.held is None and for_s < THRESHOLDS.boot_grace_s:
            assert told.verdict.status is status.Status.STARTING, told
        elif self.held is None or for_s > LIMIT_S:
            assert told.verdict.status in (
                status.Status.DRIVER_MISSING, status.Status.STALE), told
        own = (self.held is not None
               and self.answers[self.held][1] == self.runs)
        if own and self.stamp != self.seen:
            self.fresh += 1
        self.seen = self.stamp
        if own and self.fresh >= 2 and (
                self.source.now - self.answers[self.held][0] < LIMIT_S):
            assert told.verdict.status is status.Status.REPORTING, told


class Life(stateful.RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.logger = fixtures.FakeLogger()
        self.logger.setUp()
        self.source = _Source()
        self.guests = [_Guest(number, self.source) for number in (1, 2)]
        for guest in self.guests:
            guest.start(3)
        self.stepped = False
        self.monitor = self.new_monitor()

    def teardown(self):
        self.logger.cleanUp()

    def new_monitor(self):
        return monitor.Monitor(self.source, THRESHOLDS,
                               lambda: nova_period.Wanted(PERIOD_S))

    @stateful.rule(polls=POLLS)
    def restart_the_agent(self, polls):
        self.monitor = self.new_monitor()
        for guest in self.guests:
            # A new agent cannot see that the clock was once stepped.
            guest.forget(unknowable=self.stepped)
        self.poll(polls)

    @stateful.rule(number=st.integers(0, 1), event=st.integers(0, 39),
                   seconds=st.integers(0, 150), polls=POLLS)
    def happen(self, number, event, seconds, polls):
        guest = self.guests[number]
        possible = guest.EVENTS[guest.state]
        possible[event % len(possible)](guest, seconds)
        self.poll(polls)

    @stateful.rule(by_s=st.sampled_from((-3600, -120, -31, -8, -3, 3, 8, 31,
                                         120, 3600)), polls=POLLS)
    def step_the_clock(self, by_s, polls):
        self.source.step_s += by_s
        self.stepped = True
        for guest in self.guests:
            guest.steps, guest.fresh = guest.steps + 1, 0
            if guest.seen is None or guest.steps > 1:
                guest.unknowable = True
        self.poll(polls)

    @stateful.rule(seconds=SECONDS)
    def wait(self, seconds):
        self.source.now += seconds
        for guest in self.guests:
            guest.live()

    @stateful.rule(polls=POLLS)
    def poll(self, polls):
        for seconds in polls:
            self.wait(seconds)
            self.poll_now()

    def poll_now(self):
        self.source.domains = {
            guest.domain.uuid: guest.show() for guest in self.guests
            if guest.exists or guest.saved}
        told = self.monitor.cycle().guests
        assert set(told) == set(self.source.domains)
        for guest in self.guests:
            if guest.domain.uuid in told:
                guest.polled(told[guest.domain.uuid])
        for book in (self.monitor._readings, self.monitor._journal,
                     self.monitor._domains, self.monitor._troubled):
            assert len(book) <= len(told), book


Life.TestCase.settings = hypothesis.settings(
    max_examples=max(1, EXAMPLES // 10), stateful_step_count=30,
    deadline=None, derandomize='MEMSTAT_EXAMPLES' not in os.environ,
    suppress_health_check=[check for check in hypothesis.HealthCheck
                           if check.name == 'too_slow'])
TestLife = Life.TestCase
