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

"""Pollsters of one name that other packages have registered."""

from ceilometer.polling import plugin_base
import fixtures
import testtools

from memstat_pollster.agent import hooks
from memstat_pollster.agent import takeover


class EntryPoint:
    """Stands for one of importlib.metadata's."""

    def __init__(self, found):
        self._found = found

    def load(self):
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def made():
    """A class of another package."""
    class Pollster:
        def setup_environment(self):
            pass

        def get_samples(self, manager, cache, resources):
            return iter(['theirs'])
    return Pollster


def ours(self, manager, cache, resources):
    return iter(['ours'])


class TakeoverTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())

    def register(self, *found):
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.config.entrypoints.rivals',
            lambda name: list(map(EntryPoint, found))))

    def samples(self, pollster):
        return list(pollster.get_samples(None, {}, []))


class TestRivals(TakeoverTest):
    def test_what_cannot_be_imported_or_is_no_class_is_none(self):
        """The agent cannot load it either."""
        first, second = made(), made()
        self.register(first, ImportError('no such module'),
                      AttributeError('no such class'),
                      SyntaxError('no Python'), ours, second, first)
        self.assertEqual([first, second], takeover.rivals('memory.usage'))


class Frozen(type):
    """Classes of another package that cannot be changed."""

    def __setattr__(cls, name, value):
        raise TypeError('it cannot be changed')


class TestAll(TakeoverTest):
    def test_one_that_cannot_be_changed_leaves_all_as_they_were(self):
        """The plugin's pollster then leaves the name to them."""
        class Last(metaclass=Frozen):
            def setup_environment(self):
                pass

        class Inherited(made()):
            pass
        first, second = made(), Inherited
        self.register(first, second, Last)
        pollsters = first(), second()
        before = dict(vars(first)), dict(vars(second))
        self.assertRaises(TypeError, takeover.replace, 'memory.usage', ours)
        self.assertEqual(before, (dict(vars(first)), dict(vars(second))))
        for pollster in pollsters:
            self.assertEqual(['theirs'], self.samples(pollster))

    def test_a_second_agent_of_the_process_asks_the_plugin_once(self):
        calls = []

        def counted(self, manager, cache, resources):
            calls.append(resources)
            raise KeyError('x')
        self.addCleanup(hooks.forget)
        cls = made()
        self.register(cls)
        pollster = cls()
        for _ in range(2):
            takeover.replace('memory.usage', counted)
        self.assertEqual(['theirs'], self.samples(pollster))
        self.assertEqual([[]], calls)


class TestTwo(TakeoverTest):
    """One name, two other packages: one extension has to be left."""

    def test_each_that_is_loaded_answers_and_the_others_decline(self):
        classes = made(), made(), made()
        self.register(*classes)
        loaded = classes[1](), classes[2]()
        self.assertTrue(takeover.replace('memory.usage', ours))
        for pollster in loaded:
            self.assertEqual(['ours'], self.samples(pollster))
            # The agent may make it again.
            type(pollster)().setup_environment()
        self.assertRaises(plugin_base.ExtensionLoadError,
                          classes[0]().setup_environment)

    def test_where_none_is_loaded_all_decline_and_ours_loads(self):
        classes = made(), made()
        self.register(*classes)
        self.assertFalse(takeover.replace('memory.usage', ours))
        for cls in classes:
            self.assertRaises(plugin_base.ExtensionLoadError,
                              cls().setup_environment)
