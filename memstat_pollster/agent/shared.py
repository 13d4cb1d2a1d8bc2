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

import threading
import typing
import weakref

from oslo_config import cfg

from memstat_pollster.agent import devices
from memstat_pollster.agent import discovery
from memstat_pollster.agent import own_calls
from memstat_pollster.config import options
from memstat_pollster.model import compute
from memstat_pollster import node


class Agent:
    """What all pollsters of one agent share."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf
        source = node.make_inspector(conf)
        self.monitor = node.make_monitor(conf, source)
        self.roster = node.make_roster(source)
        settings, _problems = options.load(conf)
        self.read_timeout_s = float(settings.read_timeout)
        self.own_calls = own_calls.OwnCalls(lambda: source.stuck,
                                            settings.max_stuck_reads)
        source.count_too(lambda: self.own_calls.left_behind)
        self.known_devices = devices.Known(self.monitor)
        #: What cycles that began with a pollster went on to ask for.
        self.usual: dict[str, compute.Kinds] = {}
        self.discovery = discovery.Watch(self.monitor)


_agents: weakref.WeakKeyDictionary[typing.Any, Agent] = (
    weakref.WeakKeyDictionary())
_agents_lock = threading.Lock()


def agent_of(manager: typing.Any, conf: cfg.ConfigOpts) -> Agent:
    """What the pollsters of this agent share, made when first needed."""
    with _agents_lock:
        found = _agents.get(manager)
        if found is None:
            found = _agents[manager] = Agent(conf)
        return found


def agent_with(conf: cfg.ConfigOpts) -> Agent | None:
    """The agent that has this configuration, once it is known."""
    with _agents_lock:
        for found in _agents.values():
            if found.conf is conf:
                return found
    return None
