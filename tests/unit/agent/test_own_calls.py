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

"""Questions that Ceilometer's pollsters ask libvirt themselves."""

import threading

from ceilometer.compute.virt import inspector as virt_inspector
import testtools

from memstat_pollster.agent import own_calls
from tests.unit import fakes


class TestOwnCalls(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.stuck = 0
        self.calls = own_calls.OwnCalls(lambda: self.stuck, 3)
        self.thaw = threading.Event()
        self.addCleanup(self.thaw.set)

    def ask(self, uuid, call, left_s=60.0):
        return self.calls.ask(uuid, call, own_calls.Patience(
            left_s, 3)).get()

    def block(self):
        if not self.thaw.wait(60):
            raise AssertionError('never thawed')
        return 5

    def leave(self, *uuids):
        for uuid in uuids:
            error = self.assertRaises(
                virt_inspector.InstanceNotFoundException, self.ask, uuid,
                self.block, 0)
            self.assertEqual(f'{uuid} did not answer', str(error))

    def not_asked(self, uuid):
        return str(self.assertRaises(
            virt_inspector.InstanceNotFoundException, self.ask, uuid,
            lambda: 7))

    def test_what_a_call_returns_and_raises(self):
        self.assertEqual(7, self.ask('a', lambda: 7))
        error = virt_inspector.InstanceShutOffException('off')

        def fail():
            raise error
        self.assertIs(error, self.assertRaises(
            virt_inspector.InstanceShutOffException, self.ask, 'a', fail))
        self.assertEqual(0, self.calls.left_behind)

    def test_a_guest_whose_call_was_left_behind_is_not_asked(self):
        self.leave('a')
        self.assertEqual('a still does not answer', self.not_asked('a'))
        self.assertEqual(7, self.ask('b', lambda: 7))
        self.thaw.set()
        fakes.wait_until(lambda: not self.calls.left_behind, 'it to return')
        self.assertEqual(7, self.ask('a', lambda: 7))

    def test_at_the_bound_nobody_is_asked(self):
        self.leave('a', 'b')
        self.stuck = 1
        self.assertEqual('c is not asked: others do not answer',
                         self.not_asked('c'))
        self.stuck = 0
        self.assertEqual(7, self.ask('c', lambda: 7))

    def test_two_pollsters_at_once_do_not_get_stuck_on_one_guest(self):
        """With threads_to_process_pollsters each asks in its own thread."""
        begun = threading.Event()
        asked = []

        def call():
            asked.append(1)
            begun.set()
            return self.block()
        first = threading.Thread(target=lambda: self.calls.ask(
            'a', call, own_calls.Patience(4.0, 3)))
        first.start()
        self.assertTrue(begun.wait(60))
        second = self.calls.ask('a', call, own_calls.Patience(0, 3))
        first.join(60)
        self.assertEqual(([1], 'a still does not answer', 1), (
            asked, str(second.error), self.calls.left_behind))

    def test_one_that_was_left_behind_is_told_from_one_not_asked(self):
        def kind(uuid, call):
            return type(self.assertRaises(
                virt_inspector.InstanceNotFoundException, self.ask, uuid,
                call, 0))
        self.assertEqual(
            [own_calls.LeftBehind, virt_inspector.InstanceNotFoundException],
            [kind('a', self.block), kind('a', self.block)])

    def test_all_of_a_cycle_have_its_time_together(self):
        patience = own_calls.Patience(0, 3)
        self.assertEqual(own_calls.GRACE_S / 4, patience.left_s)
        self.calls.ask('a', self.block, patience)
        self.assertEqual(7, self.calls.ask('b', lambda: 7, patience).get())
        patience.spend(0.7)
        self.assertEqual(
            'b is not asked: others do not answer', str(self.assertRaises(
                virt_inspector.InstanceNotFoundException,
                self.calls.ask('b', lambda: 7, patience).get)))
        self.assertEqual(7, self.ask('b', lambda: 7))
