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

"""How long is waited for a call, and what is taken to hold it up."""

import concurrent.futures
import threading
import time

import fixtures
import libvirt
import testtools

from memstat_pollster.host import calls
from memstat_pollster.host import pool
from memstat_pollster.model import observation
from tests.unit import fakes


class PoolTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.guests = [fakes.Domain(n, {'state.state': 1}) for n in (1, 2)]
        self.node = fakes.Libvirt(*self.guests)
        self.pool = pool.Pool('test:///fake', 3.0, 3, self.node.open)
        self.addCleanup(self.pool.close)
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def start(self, out):
        return self.pool.start(out, {}, lambda progress: (
            lambda source: self.go_on.wait(60)))


class TestPatience(PoolTest):
    def test_it_follows_what_reading_usually_takes(self):
        """A tenth of the time for a cycle at least, a third at most."""
        expected = {0.0: 0.3, 0.05: 0.3, 0.2: 0.6, 0.3: 0.9, 7.0: 1.0}
        found = {}
        for usual_s in expected:
            self.pool.usual_s = usual_s
            found[usual_s] = round(self.pool.patience_s, 6)
        self.assertEqual(expected, found)

    def test_it_is_learnt_by_reading(self):
        self.node.slow_s = 0.25
        reader = self.node.inspector(timeout_s=3.0)
        self.addCleanup(reader.close)
        reader.read()
        self.assertTrue(0.25 <= reader._pool.usual_s < 60.0)


class TestHeldUp(PoolTest):
    """By controlInfo: since when each guest's monitor is occupied."""

    def held(self, seconds):
        """Which guests are found to hold a call up, or None if none is.

        :param seconds: for how long the first is occupied, of the time that
            the call has been out
        """
        out = []
        call = self.start(out)

        def control(flags=0):
            since_s = time.monotonic() - call.began_s
            return [libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, 0,
                    int(1000 * seconds(since_s))]
        self.guests[0].controlInfo = control
        found = self.pool.wait(call, call.began_s + 1.5)
        self.go_on.set()
        self.pool.settle(out)
        return found

    def test_one_that_has_been_occupied_all_the_time(self):
        self.assertEqual({self.guests[0].uuid},
                         self.held(lambda since_s: since_s - 0.02))

    def test_as_milliseconds_that_are_whole_have_it(self):
        """It seems to have been occupied a moment before the call began."""
        self.assertEqual({self.guests[0].uuid},
                         self.held(lambda since_s: since_s + 0.001))

    def test_not_one_that_is_for_a_moment(self):
        """Many are read one after the other; each is, for a moment."""
        self.assertEqual(set(), self.held(lambda since_s: 0.001))

    def test_not_one_that_was_before_the_call_began(self):
        """Another call holds it, and this one passes it over."""
        self.assertEqual(set(), self.held(lambda since_s: since_s + 9.0))


class TestLongJob(PoolTest):
    """As a migration: libvirt says since when it lasts, and no more."""

    def held(self, *states):
        """The guests found, by the states at each look; the last stays."""
        left = [getattr(libvirt, f'VIR_DOMAIN_CONTROL_{state}')
                for state in states]
        self.guests[1].controlInfo = lambda flags=0: [
            left.pop(0) if len(left) > 1 else left[0], 0, 3_600_000]
        out = []
        call = self.start(out)
        found = self.pool.wait(call, call.began_s + 1.8)
        self.go_on.set()
        self.pool.settle(out)
        return found

    def test_one_that_is_in_a_step_at_two_looks_may_hold_a_call_up(self):
        self.assertEqual({self.guests[1].uuid}, self.held('JOB'))

    def test_one_that_is_at_one_look_does_not(self):
        self.assertEqual(set(), self.held('OK', 'JOB', 'OK', 'JOB', 'OK'))


class TestClock(PoolTest):
    """libvirt says by the wall clock since when a monitor is occupied."""

    def held(self, step_s, before_s=0.0):
        """Which guests are found, where the clock is set by so much.

        :param before_s: by how much the monitor is occupied for longer than
            the call is out
        """
        self.go_on.clear()
        shift = [0.0]
        real = time.time
        self.useFixture(fixtures.MonkeyPatch(
            'time.time', lambda: real() + shift[0]))
        occupied_s = time.time() - before_s
        out = []
        call = self.start(out)

        def control(flags=0):
            shift[0] = step_s
            return [libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, 0, int(
                1000 * (time.time() - occupied_s - 0.05)) % (1 << 32)]
        self.guests[0].controlInfo = control
        found = self.pool.wait(call, call.began_s + 1.5)
        self.go_on.set()
        self.pool.settle(out)
        return found

    def test_set_while_a_call_is_held_up_it_is_found_all_the_same(self):
        for step_s in (3600.0, -3600.0, 7.0, -7.0):
            self.assertEqual({self.guests[0].uuid}, self.held(step_s),
                             step_s)

    def test_not_one_that_was_occupied_before(self):
        self.assertEqual(set(), self.held(3600.0, before_s=9.0))

    def test_a_command_is_known_again_whatever_the_clock(self):
        """By the time at which it began."""
        fakes.hold(self, self.guests[0])
        before_s = calls.occupied_since(self.guests[0])
        real = time.time
        for step_s in (3600.0, -3600.0):
            self.useFixture(fixtures.MonkeyPatch(
                'time.time', lambda step_s=step_s: real() + step_s))
            self.assertTrue(calls.is_same(
                before_s, calls.occupied_since(self.guests[0])), step_s)


class Prompt:
    """A worker that makes a call before whoever gives it can look around."""

    def __init__(self, thread):
        self.thread = thread
        self.made_s = None

    def submit(self, work):
        self.made_s = time.monotonic(), time.time()
        while time.monotonic() == self.made_s[0] or (
                time.time() == self.made_s[1]):
            pass
        return concurrent.futures.Future()


class TestEnded(PoolTest):
    """Of a guest that ends while libvirt is asked nothing is said."""

    def raising(self, code):
        def ask(flags=0):
            raise fakes.libvirt_error(code, 'gone')
        return ask

    def test_who_is_occupied(self):
        for code in (libvirt.VIR_ERR_NO_DOMAIN,
                     libvirt.VIR_ERR_OPERATION_INVALID):
            self.guests[0].controlInfo = self.raising(code)
            self.assertEqual({}, self.pool.ask(calls.occupied(), 60.0))
            self.assertIsNone(calls.occupied_since(self.guests[0]))

    def test_states(self):
        self.guests[0].state = self.raising(libvirt.VIR_ERR_NO_DOMAIN)
        self.assertEqual([self.guests[1].uuid],
                         list(self.pool.ask(calls.list_states, 60.0)))

    def test_any_other_error_is_libvirts(self):
        self.guests[0].state = self.guests[0].controlInfo = self.raising(
            libvirt.VIR_ERR_INTERNAL_ERROR)
        for work in (calls.list_states, calls.occupied()):
            self.assertEqual('gone', str(self.assertRaises(
                observation.ReadFailed, self.pool.ask, work, 60.0)))


class TestBegan(PoolTest):
    def test_times_are_taken_before_the_call_is_made(self):
        """Else a guest that holds it seems to be held by an earlier one."""
        prompt = Prompt(threading.current_thread())
        self.pool._free.append(prompt)
        call = self.start([])
        self.assertIs(prompt, call.reader)
        self.assertLessEqual(call.began_s, prompt.made_s[0])
        self.assertLessEqual(call.wall_s, prompt.made_s[1])


class TestWorkers(PoolTest):
    def test_one_whose_call_has_returned_is_free_in_that_cycle(self):
        out = []
        self.start(out)
        for _ in range(4):
            call = self.pool.start(out, {}, lambda progress: (
                lambda source: None))
            fakes.wait_until(lambda call=call: not call.out, 'it returns')
        self.assertEqual((5, 2), (len(out), len(
            {id(call.reader) for call in out})))
        self.assertEqual(2, self.node.opened)
        self.pool.settle(out)
        self.assertEqual(1, self.pool.stuck)
        self.go_on.set()
        fakes.wait_until(lambda: self.pool.stuck == 0, 'it has returned')
        fakes.wait_until(lambda: self.node.closed == 1, 'it is closed')

    def test_it_is_kept_for_the_next_cycle(self):
        self.go_on.set()
        readers = []
        for _ in range(3):
            out = []
            call = self.start(out)
            fakes.wait_until(lambda call=call: not call.out, 'it returns')
            self.pool.settle(out)
            readers.append(call.reader)
        self.assertEqual([readers[0]] * 3, readers)


class TestBound(PoolTest):
    def test_so_many_calls_may_be_out_and_no_more(self):
        out = []
        for _ in range(3):
            self.assertTrue(self.pool.may_ask(out))
            self.start(out)
        self.assertFalse(self.pool.may_ask(out))
        self.pool.settle(out)
        self.assertEqual(3, self.pool.stuck)
        self.assertFalse(self.pool.may_ask([]))
        self.go_on.set()
        fakes.wait_until(lambda: self.pool.may_ask([]), 'they have returned')
