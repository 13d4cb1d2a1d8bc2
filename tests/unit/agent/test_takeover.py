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
                      AttributeError('no such class'), ours, second, first)
        self.assertEqual([first, second], takeover.rivals('memory.usage'))


class TestTwo(TakeoverTest):
    """One name, two other packages: one extension has to be left."""

    def test_the_first_that_is_loaded_answers_and_the_others_decline(self):
        classes = made(), made(), made()
        self.register(*classes)
        second, third = classes[1](), classes[2]()
        self.assertTrue(takeover.replace('memory.usage', ours))
        self.assertEqual(['ours'], self.samples(second))
        self.assertEqual(['theirs'], self.samples(third))
        classes[1]().setup_environment()
        for cls in (classes[0], classes[2]):
            self.assertRaises(plugin_base.ExtensionLoadError,
                              cls().setup_environment)

    def test_where_none_is_loaded_all_decline_and_ours_loads(self):
        classes = made(), made()
        self.register(*classes)
        self.assertFalse(takeover.replace('memory.usage', ours))
        for cls in classes:
            self.assertRaises(plugin_base.ExtensionLoadError,
                              cls().setup_environment)
