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

"""What all pollsters of one agent share."""

import gc
import weakref

import fixtures
import testtools

from memstat_pollster.agent import shared
from tests.unit import threads


class Manager:
    """Stands for the agent."""


class TestAgentOf(testtools.TestCase):
    def test_two_pollsters_at_once_make_one(self):
        gate = threads.Gate()

        class Agent:
            def __init__(self, conf):
                gate()
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.shared.Agent', Agent))
        manager, found = Manager(), []
        gate.check_alone(self, lambda: found.append(
            shared.agent_of(manager, None)), 'agent_of')
        self.assertIs(found[0], found[1])

    def test_it_goes_with_its_manager(self):
        class Agent:
            def __init__(self, conf):
                pass
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.shared.Agent', Agent))
        manager = Manager()
        found = weakref.ref(shared.agent_of(manager, None))
        self.assertIsNotNone(found())
        del manager
        gc.collect()
        self.assertIsNone(found())
