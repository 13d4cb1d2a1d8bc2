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

"""What is told of discovery, by cycles written by hand."""

import dataclasses
import logging

from ceilometer.compute import discovery as ceilometer_discovery
import fixtures
import libvirt
from lxml import etree
import testtools

from memstat_pollster.agent import discovery
from memstat_pollster.agent import hooks
from memstat_pollster.agent import pollsters
from memstat_pollster.model import judged
from memstat_pollster.model import observation
from memstat_pollster.model import status
from tests.unit.agent import test_pollsters
from tests.unit import fakes
from tests.unit import threads


def guest(number):
    return judged.Guest(
        uuid=fakes.uuid_of(number), name=f'instance-{number:08x}',
        display_name='web', reading=None, domain=None,
        verdict=status.Verdict(status.Status.REPORTING, 'x'), remedy=None,
        age_s=None, memory=None)


def cycle(*numbers, error=None):
    return judged.Cycle(7.0, {fakes.uuid_of(n): guest(n) for n in numbers},
                        error)


class Monitor:
    """Stands for the monitor.

    :ivar now: what the next cycle is
    :ivar before: called before it
    """

    def __init__(self):
        self.now = cycle()
        self.before = lambda: None

    def cycle(self):
        self.before()
        return self.now


class TestWatch(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.logger = self.useFixture(fixtures.FakeLogger(
            level=logging.INFO, format='%(message)s'))
        self.monitor = Monitor()
        self.watch = discovery.Watch(self.monitor)

    def named(self):
        """How often each guest was said not to be metered."""
        return [self.logger.output.count(
            f'Guest web / instance-{n:08x} ({fakes.uuid_of(n)}) is on this '
            'node, but is not metered') for n in (1, 2)]

    def test_two_discoveries_at_once_follow_each_other(self):
        gate = threads.Gate()
        self.monitor.before = gate
        gate.check_alone(self, lambda: self.watch.see(None, [], None), 'see')

    def test_two_tasks_at_once_name_guests_one_after_the_other(self):
        """Each would forget a guest that the other has forgotten."""
        gate, retain = threads.Gate(), self.watch._undiscovered.retain

        def hold(uuids):
            gate()
            retain(uuids)
        self.watch._undiscovered.retain = hold
        gate.check_alone(
            self, lambda: self.watch.tell_undiscovered(cycle(1), set()),
            'tell_undiscovered')

    def test_so_they_do_with_what_is_incomplete(self):
        gate = threads.Gate()

        class Why(Exception):
            def __repr__(self):
                gate()
                return 'Why()'
        gate.check_alone(
            self, lambda: self.watch.tell_incomplete(guest(1), Why()),
            'tell_incomplete')
        self.assertEqual(1, self.logger.output.count('is incomplete: Why()'))

    def test_nothing_is_told_while_libvirt_is_down(self):
        for _ in range(3):
            self.watch.tell_undiscovered(cycle(1, error='down'), set())
        self.assertEqual([0, 0], self.named())

    def test_a_guest_that_is_left_out_is_named_at_the_second_cycle(self):
        self.watch.tell_undiscovered(cycle(1, 2), {fakes.uuid_of(2)})
        self.assertEqual([0, 0], self.named())
        for _ in range(3):
            self.watch.tell_undiscovered(cycle(1, 2), {fakes.uuid_of(2)})
        self.assertEqual([1, 0], self.named())

    def test_a_guest_that_left_is_named_again_when_it_is_back(self):
        for _ in range(2):
            self.watch.tell_undiscovered(cycle(1), set())
        self.watch.tell_undiscovered(cycle(), set())
        for _ in range(2):
            self.watch.tell_undiscovered(cycle(1), set())
        self.assertEqual([2, 0], self.named())

    def test_a_guest_that_becomes_novas_is_named_again(self):
        """What was said of it is not true any more."""
        foreign = dataclasses.replace(guest(1), display_name=None)
        for found in (foreign, guest(1)):
            for _ in range(3):
                self.watch.tell_undiscovered(judged.Cycle(
                    7.0, {found.uuid: found}), set())
        self.assertEqual(
            [True, False],
            ["no part of Nova's" in line
             for line in self.logger.output.splitlines()])

    def test_another_reason_why_a_guest_is_incomplete_is_told(self):
        for name in ('flavor', 'flavor', 'image', 'image'):
            self.watch.tell_incomplete(guest(1), KeyError(name))
        self.assertEqual(
            ["KeyError('flavor')", "KeyError('image')"],
            [line.rpartition(': ')[2]
             for line in self.logger.output.splitlines()])

    def test_an_incomplete_guest_that_left_is_named_again(self):
        def told():
            return self.logger.output.count('says of it is incomplete')
        for _ in range(2):
            self.watch.tell_incomplete(guest(1), KeyError('flavor'))
        self.assertEqual(1, told())
        self.watch.tell_undiscovered(cycle(1), {fakes.uuid_of(1)})
        self.watch.tell_incomplete(guest(1), KeyError('flavor'))
        self.assertEqual(1, told())
        self.watch.tell_undiscovered(cycle(), set())
        self.watch.tell_incomplete(guest(1), KeyError('flavor'))
        self.assertEqual(2, told())


NOVAS = """<instance>
  <name>{name}</name>
  <flavor name="m1.tiny" id="5f3c">
    <memory>512</memory><disk>1</disk><swap>0</swap>
    <ephemeral>0</ephemeral><vcpus>3</vcpus>
  </flavor>
  <owner>
    <user uuid="user-{number}">someone</user>
    <project uuid="project-{number}">something</project>
  </owner>
  <root type="image" uuid="image-{number}"/>
</instance>"""


def novas_guest(number, name):
    found = fakes.Domain(number, test_pollsters.now_record())
    found.document = (f"<domain id='{number}'><os><type arch='aarch64'>hvm"
                      f'</type></os></domain>')
    document = NOVAS.format(number=number, name=name)
    found.metadata = lambda kind, uri, flags=0: document
    return found


class TestGuard(test_pollsters.PollsterTest):
    """Ceilometer's own discovery, by libvirt's metadata."""

    def setUp(self):
        super().setUp()
        # Other tests leave what a pollster that is made puts there.
        discovery.stop()
        self.addCleanup(discovery.stop)
        self.addCleanup(hooks.forget)
        self.guests = novas_guest(1, 'web'), novas_guest(2, 'db')
        self.serve(*self.guests)
        self.addCleanup(self.node.thaw)
        self.connections = 0

    def discover(self):
        """What discovery returns, as dictionaries."""
        test = self

        class Discovery(ceilometer_discovery.InstanceDiscovery):
            method = 'libvirt_metadata'

            def __init__(self):
                self.conf = test.conf
                self.flavors = []

            @property
            def connection(self):
                test.connections += 1
                return test.node.open('test:///fake')

            def get_flavor_id(self, name):
                # Ceilometer 22 and older ask Nova.
                self.flavors.append(name)
                return '5f3c'

            def get_server(self, uuid):
                # Ceilometer 24 asks Nova; it knows none of that name.
                return None
        self.discoverer = Discovery()
        return [vars(each) for each in self.discoverer.discover(self.manager)]

    def guard(self):
        discovery.guard(pollsters._connect)

    def test_it_returns_what_it_would_have(self):
        before = self.discover()
        self.assertEqual(
            [('web', 'aarch64', 'hvm'), ('db', 'aarch64', 'hvm')],
            [(each['name'], each['architecture'], each['os_type'])
             for each in before])
        flavors = self.discoverer.flavors
        self.guard()
        self.guard()
        self.assertEqual(before, self.discover())
        # The object is the agent's own as far as anybody can tell.
        self.assertEqual(flavors, self.discoverer.flavors)
        self.assertEqual(1, self.connections)

    def test_a_guest_that_is_held_is_not_waited_for(self):
        self.guard()
        before = self.discover()
        held = self.guests[1]
        fakes.hold(self, held)
        asked = held.xml_monitor.calls
        self.assertEqual(before, self.discover())
        self.assertEqual(asked, held.xml_monitor.calls)

    def test_an_agent_that_is_started_while_a_guest_is_held(self):
        held = self.guests[1]
        fakes.hold(self, held)
        self.guard()
        self.assertEqual(
            [('web', 'aarch64', 'hvm'), ('db', '', None)],
            [(each['name'], each['architecture'], each['os_type'])
             for each in self.discover()])

    def test_libvirt_that_has_never_answered(self):
        self.node.open_errors = [fakes.libvirt_error(
            libvirt.VIR_ERR_SYSTEM_ERROR, 'no socket')]
        self.guard()
        error = self.assertRaises(observation.ReadFailed, self.discover)
        self.assertIn('no socket', str(error))
        self.assertEqual(2, len(self.discover()))
        self.assertEqual(0, self.connections)

    def test_a_fault_of_ours_is_told_once_and_it_asks_itself(self):
        def connect(manager, conf):
            raise KeyError('x')
        discovery.guard(connect)
        for number in (1, 2):
            self.assertEqual(2, len(self.discover()))
            self.assertEqual(number, self.connections)
        self.assertEqual(1, self.logger.output.count(
            "memstat_pollster could not read libvirt for Ceilometer's "
            'discovery: KeyError'))

    def test_a_later_ceilometer_that_asks_for_more_asks_itself(self):
        """Of guests, or of libvirt; told once, and nothing is lost."""
        cls = ceilometer_discovery.InstanceDiscovery
        original = hooks.original_of(cls.discover_libvirt_polling)

        def more(discoverer, manager, param=None):
            connection = discoverer.connection
            asked.append(asking[0](connection))
            return original(discoverer, manager)
        self.useFixture(fixtures.MonkeyPatch(
            'ceilometer.compute.discovery.InstanceDiscovery.'
            'discover_libvirt_polling', more))
        self.guard()
        for ask, answer in (
                (lambda source: source.getHostname(), 'compute-7'),
                (lambda source: source.listAllDomains()[1].controlInfo()[0],
                 0)):
            asking, asked = [ask], []
            self.assertEqual(['web', 'db'],
                             [each['name'] for each in self.discover()])
            self.assertEqual([answer], asked)
        self.assertEqual(1, self.logger.output.count(
            "memstat_pollster could not read libvirt for Ceilometer's "
            'discovery: NotRead: getHostname was not read'))

    def test_what_it_raises_itself_passes_and_is_not_tried_again(self):
        self.guard()
        self.guests[0].document = 'no XML'
        self.assertRaises(etree.XMLSyntaxError, self.discover)
        self.assertEqual(0, self.connections)
        self.assertEqual('', self.logger.output)
