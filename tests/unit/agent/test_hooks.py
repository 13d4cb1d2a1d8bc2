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


"""Whatever of the plugin's fails, the agent goes on as without the plugin."""

import logging

from ceilometer.compute import discovery as ceilometer_discovery
from ceilometer.compute.pollsters import instance_stats
from ceilometer.compute.virt import inspector as virt_inspector
from ceilometer.polling import plugin_base
import fixtures
import testtools

from memstat_pollster.agent import discovery
from memstat_pollster.agent import hooks
from memstat_pollster.agent import pollsters
from memstat_pollster.agent import samples
from memstat_pollster.agent import serving
from tests.unit.agent import test_pollsters
from tests.unit.agent import test_serving
from tests.unit import fakes

PART = hooks.Part('do it', 'The agent goes on', logging.ERROR)


class Mute(Exception):
    """An error that cannot even be printed."""

    def __str__(self):
        raise ValueError('broken')


def failing(error):
    def fail(*args, **kwargs):
        raise error
    return fail


class HooksTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.logger = self.useFixture(fixtures.FakeLogger(
            level=logging.INFO, format='%(levelname)s %(message)s'))
        hooks.forget()
        self.addCleanup(hooks.forget)


class TestAttempt(HooksTest):
    def test_what_works_has_its_value_and_no_line(self):
        self.assertEqual(7, hooks.attempt(PART, lambda: 7))
        self.assertEqual('', self.logger.output)

    def test_each_kind_of_failure_is_told_once_with_its_place(self):
        for error in (KeyError('x'), KeyError('y'), Mute()):
            self.assertIsNone(hooks.attempt(PART, failing(error)))
        line = failing.__code__.co_firstlineno + 2
        self.assertEqual([
            f'ERROR memstat_pollster could not do it: {what} (test_hooks.py, '
            f'line {line}). The agent goes on. This is told once'
            for what in ("KeyError: 'x'", 'Mute')],
            self.logger.output.splitlines())

    def test_another_part_of_the_same_failure_is_told(self):
        other = hooks.Part('do that', 'So it is')
        for part in (PART, other, PART, other):
            hooks.attempt(part, failing(KeyError('x')))
        self.assertEqual(
            ['ERROR', 'WARNING'],
            [line.split()[0] for line in self.logger.output.splitlines()])

    def test_an_answer_by_exception_passes(self):
        self.assertRaises(KeyError, hooks.attempt, PART,
                          failing(KeyError('x')), passing=(LookupError,))
        self.assertEqual('', self.logger.output)

    def test_what_ends_the_process_passes(self):
        for kind in (KeyboardInterrupt, SystemExit):
            self.assertRaises(kind, hooks.attempt, PART, failing(kind()))
        self.assertEqual('', self.logger.output)


class Theirs:
    """Stands for a class of the agent's.

    :ivar calls: what its function was called with
    """

    def __init__(self, outcome=7):
        self.calls = []
        self._outcome = outcome

    def ask(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


class PlaceTest(HooksTest):
    def setUp(self):
        super().setUp()
        self.cls = type('Theirs', (Theirs,), {'ask': Theirs.ask})
        self.before = self.cls.ask
        self.addCleanup(self.taken_back)

    def taken_back(self):
        hooks.take_back(self.cls, 'ask')
        self.assertIs(self.before, self.cls.ask)


class TestAskFirst(PlaceTest):
    def test_an_answer_of_ours_is_the_answer(self):
        hooks.ask_first(self.cls, 'ask', PART, lambda self, a, b: [a, b])
        theirs = self.cls()
        self.assertEqual([1, 2], theirs.ask(1, b=2))
        self.assertEqual([], theirs.calls)

    def test_without_one_theirs_is_called_once_with_the_same(self):
        for ours in (lambda *args, **kwargs: None, failing(KeyError('x')),
                     lambda self: 'it takes no such arguments'):
            hooks.ask_first(self.cls, 'ask', PART, ours)
            theirs = self.cls()
            self.assertEqual(7, theirs.ask(1, b=2))
            self.assertEqual([((1,), {'b': 2})], theirs.calls)
            hooks.take_back(self.cls, 'ask')
        self.assertEqual(2, len(self.logger.output.splitlines()))

    def test_an_exception_of_theirs_passes_and_is_no_news(self):
        hooks.ask_first(self.cls, 'ask', PART, lambda self: None)
        for error in (OSError('theirs'), KeyboardInterrupt()):
            theirs = self.cls(error)
            self.assertIs(error, self.assertRaises(type(error), theirs.ask))
            self.assertEqual([((), {})], theirs.calls)
        self.assertEqual('', self.logger.output)

    def test_the_first_of_a_process_stays(self):
        for answer in ('first', 'second'):
            hooks.ask_first(self.cls, 'ask', PART, lambda self, a=answer: a)
        self.assertEqual('first', self.cls().ask())

    def test_a_function_that_is_not_there_is_told(self):
        """A later Ceilometer may have another."""
        hooks.ask_first(self.cls, 'no_such', PART, lambda self: None)
        self.assertIn('could not do it: AttributeError: ',
                      self.logger.output)
        self.assertFalse(hasattr(self.cls, 'no_such'))


class TestWatch(PlaceTest):
    def test_it_sees_value_and_exception_which_stay_as_they_are(self):
        seen = []
        hooks.watch(self.cls, 'ask', PART, lambda done, self, *args: (
            seen.append((done.value, done.error, args))))
        error = OSError('theirs')
        self.assertEqual(7, self.cls().ask(1))
        self.assertIs(error, self.assertRaises(OSError, self.cls(error).ask))
        self.assertEqual([(7, None, (1,)), (None, error, ())], seen)

    def test_what_it_raises_itself_is_told(self):
        hooks.watch(self.cls, 'ask', PART, failing(KeyError('x')))
        error = OSError('theirs')
        for theirs in (self.cls(), self.cls()):
            self.assertEqual(7, theirs.ask())
            self.assertEqual([((), {})], theirs.calls)
        self.assertIs(error, self.assertRaises(OSError, self.cls(error).ask))
        self.assertEqual(1, len(self.logger.output.splitlines()))

    def test_what_ends_the_process_passes(self):
        seen = []
        hooks.watch(self.cls, 'ask', PART, lambda *args: seen.append(args))
        self.assertRaises(SystemExit, self.cls(SystemExit()).ask)
        self.assertEqual([], seen)
        hooks.take_back(self.cls, 'ask')
        hooks.watch(self.cls, 'ask', PART, failing(KeyboardInterrupt()))
        self.assertRaises(KeyboardInterrupt, self.cls().ask)


class TestDiscovery(HooksTest):
    """Discovery of the agent, with a plugin that is broken."""

    def setUp(self):
        super().setUp()
        hooks.take_back(ceilometer_discovery.InstanceDiscovery, 'discover')
        self.calls = 0

        def discover(discoverer, manager, param=None):
            self.calls += 1
            if isinstance(discoverer.found, Exception):
                raise discoverer.found
            return discoverer.found
        self.useFixture(fixtures.MonkeyPatch(
            'ceilometer.compute.discovery.InstanceDiscovery.discover',
            discover))

    def discover(self, see, found):
        discovery.watch(see)
        self.addCleanup(discovery.stop)
        discoverer = ceilometer_discovery.InstanceDiscovery.__new__(
            ceilometer_discovery.InstanceDiscovery)
        discoverer.conf, discoverer.found = 'conf', found
        return discoverer.discover('manager')

    def test_guests_are_returned_all_the_same(self):
        found = ['guest']
        for _ in range(2):
            self.assertIs(found, self.discover(failing(KeyError('x')), found))
        self.assertEqual(2, self.calls)
        self.assertEqual(1, self.logger.output.count(
            "WARNING memstat_pollster could not look at what Ceilometer's "
            "discovery came to: KeyError: 'x'"))

    def test_its_own_failure_stays_its_own(self):
        error = OSError('Nova is away')
        self.assertIs(error, self.assertRaises(
            OSError, self.discover, failing(KeyError('x')), error))
        self.assertEqual(1, self.calls)

    def test_it_sees_what_discovery_is_given_and_returns(self):
        seen = []
        self.discover(lambda *args: seen.append(args), ['guest'])
        self.discover(lambda *args: seen.append(args), None)
        self.assertEqual([('manager', 'conf', ['guest'], None),
                          ('manager', 'conf', (), None)], seen)

    def test_what_can_be_read_only_once_is_left_to_the_agent(self):
        found = self.discover(lambda *args: list(args[2]), iter(['guest']))
        self.assertEqual(['guest'], list(found))
        self.assertIn('TypeError: discovery returned list_iterator',
                      self.logger.output)


class TestAnswers(test_serving.ServingTest):
    """Questions to libvirt, with a plugin that is broken."""

    def test_ceilometer_asks_itself_once_for_each_guest(self):
        self.serve(test_serving.guest(1))
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.monitor.Monitor.cycle',
            failing(KeyError('x'))))
        for _ in range(2):
            self.assertEqual(77, self.cycle(
                1, classes=(instance_stats.CPUPollster,))[
                    'cpu', fakes.uuid_of(1)])
        self.assertEqual([('inspect_instance', fakes.uuid_of(1))] * 2,
                         self.stock.asked)
        self.assertEqual(1, self.logger.output.count('could not answer'))


class ReplacedTest(test_serving.ServingTest):
    """Beside an in-tree pollster of memory.usage."""

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.takeover._declined', {}))
        self.useFixture(fixtures.MonkeyPatch(
            'ceilometer.compute.pollsters.GenericComputePollster._inspector',
            self.stock))
        self.stock.inspect_instance = self.inspect_instance

    def rival(self):
        class InTree(instance_stats.MemoryUsagePollster):
            pass
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.takeover.rivals',
            lambda name: [InTree] if name == 'memory.usage' else []))
        return InTree

    def volumes(self, pollster, *numbers):
        return [(sample.resource_id, sample.volume)
                for sample in pollster.get_samples(
                    self.manager, {}, list(map(test_pollsters.instance,
                                               numbers)))]

    def serve(self):
        super().serve(*(fakes.Domain(n, test_pollsters.now_record())
                        for n in (1, 2)))

    def inspect_instance(self, instance, duration=None):
        test_serving.Stock.inspect_instance(self.stock, instance)
        return virt_inspector.InstanceStats(cpu_time=77, memory_usage=31)


class TestSamples(ReplacedTest):
    """Meters that the plugin replaces, with a plugin that is broken."""

    def break_at(self, number):
        """Let making samples fail from this one on."""
        made = []
        sample = samples.CycleOnce.sample

        def fail(*args):
            made.append(args)
            if len(made) < number:
                return sample(*args)
            raise ZeroDivisionError('broken')
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.samples.CycleOnce.sample', fail))

    def check(self, pollster):
        """Ceilometer's own numbers, each guest's once, told once."""
        self.break_at(2)
        for _ in range(2):
            self.assertEqual(
                [(fakes.uuid_of(1), 31), (fakes.uuid_of(2), 31)],
                self.volumes(pollster, 1, 2))
        self.assertEqual(
            [('inspect_instance', fakes.uuid_of(n)) for n in (1, 2, 1, 2)],
            self.stock.asked)
        self.assertEqual(1, self.logger.output.count(
            'ERROR memstat_pollster could not make samples of memory.usage: '
            'ZeroDivisionError: broken'))

    def test_an_in_tree_pollster_that_was_taken_over_answers(self):
        self.serve()
        in_tree = self.rival()(self.conf)
        self.assertRaises(plugin_base.ExtensionLoadError,
                          pollsters.MemoryUsagePollster, self.conf)
        self.check(in_tree)

    def test_an_in_tree_pollster_that_had_to_decline_answers(self):
        self.serve()
        in_tree = self.rival()
        ours = pollsters.MemoryUsagePollster(self.conf)
        self.assertRaises(plugin_base.ExtensionLoadError, in_tree, self.conf)
        self.check(ours)
        # That one was of another class.
        self.assertRaises(plugin_base.ExtensionLoadError, in_tree, self.conf)

    def test_its_own_numbers_are_not_those_that_the_plugin_answers_with(self):
        """What cpu was answered in this cycle has no memory numbers."""
        self.serve()
        ours, cache = self.rival()(self.conf), {}
        self.assertRaises(plugin_base.ExtensionLoadError,
                          pollsters.MemoryUsagePollster, self.conf)
        cpu = instance_stats.CPUPollster.__new__(instance_stats.CPUPollster)
        cpu.conf, cpu.inspector = self.conf, self.stock
        instances = [test_pollsters.instance(1)]
        list(cpu.get_samples(self.manager, cache, instances))
        self.break_at(1)
        self.assertEqual([31], [sample.volume for sample in ours.get_samples(
            self.manager, cache, instances)])

    def test_a_meter_that_is_the_plugins_alone_has_no_samples(self):
        self.serve()
        self.rival()
        ours = pollsters.MemoryUtilPollster(self.conf)
        self.break_at(2)
        self.assertEqual([], self.volumes(ours, 1, 2))
        self.assertIn('could not make samples of memory.util',
                      self.logger.output)

    def test_one_that_cannot_be_made_leaves_none(self):
        self.serve()
        self.rival().setup_environment = failing(OSError('not up'))
        ours = pollsters.MemoryUsagePollster(self.conf)
        self.break_at(1)
        self.assertEqual([], self.volumes(ours, 1))
        self.assertIn("could not make Ceilometer's own pollster of "
                      'memory.usage: ', self.logger.output)

    def test_what_ends_the_process_passes(self):
        self.serve()
        in_tree = self.rival()(self.conf)
        self.assertRaises(plugin_base.ExtensionLoadError,
                          pollsters.MemoryUsagePollster, self.conf)
        for error in (KeyboardInterrupt(), SystemExit()):
            self.useFixture(fixtures.MonkeyPatch(
                'memstat_pollster.monitor.Monitor.cycle', failing(error)))
            self.assertRaises(type(error), self.volumes, in_tree, 1)
        self.assertEqual([], self.stock.asked)


class TestSetUp(ReplacedTest):
    """A plugin that cannot be set up leaves the name to Ceilometer."""

    def test_in_tree_pollsters_load_and_it_is_told(self):
        self.serve()
        in_tree = self.rival()
        for name in ('memstat_pollster.agent.takeover.replace',
                     'memstat_pollster.config.options.load'):
            with fixtures.MonkeyPatch(name, failing(ZeroDivisionError())):
                self.assertRaises(plugin_base.ExtensionLoadError,
                                  pollsters.MemoryUsagePollster, self.conf)
            self.assertEqual(
                [(fakes.uuid_of(1), 31)], self.volumes(in_tree(self.conf), 1))
        self.assertEqual(1, self.logger.output.count(
            'ERROR memstat_pollster could not set up memory.usage: '
            'ZeroDivisionError'))

    def test_a_hook_that_has_no_place_costs_no_meter(self):
        self.serve()
        serving.stop()
        self.rival()
        with fixtures.MonkeyPatch(
                'ceilometer.compute.pollsters.GenericComputePollster.'
                '_inspect_cached', fixtures.MonkeyPatch.delete):
            ours = pollsters.MemoryUtilPollster(self.conf)
        self.assertEqual(2, len(self.volumes(ours, 1, 2)))
        self.assertIn('could not answer', self.logger.output)

    def test_a_ceilometer_that_has_no_such_class(self):
        self.serve()
        self.rival()
        with fixtures.MonkeyPatch(
                'ceilometer.compute.discovery.InstanceDiscovery',
                fixtures.MonkeyPatch.delete):
            ours = pollsters.MemoryUtilPollster(self.conf)
        self.assertEqual(2, len(self.volumes(ours, 1, 2)))
        self.assertIn('could not find its place in Ceilometer: '
                      'AttributeError: ', self.logger.output)
