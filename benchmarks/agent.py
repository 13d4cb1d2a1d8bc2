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

"""The agent's side of a cycle: what Ceilometer's compute agent would do.

Configuration, discovery and the pollsters are Ceilometer's and the plugin's
own; only the manager that would call them, and publish the samples, is not
there.
"""

import collections.abc
import importlib.metadata
import typing

from ceilometer.compute import discovery
from ceilometer import service

NAMESPACE = 'ceilometer.poll.compute'
PLUGIN = 'memstat_pollster'

#: The two meters that the in-tree pollsters are compared by.
TWO = ('memory.usage', 'memory.available')
#: All that Ceilometer 27 has, too.
IN_TREE = ('memory', 'memory.usage', 'memory.available', 'memory.resident',
           'memory.swap.in', 'memory.swap.out')
ELEVEN = (*IN_TREE, 'memory.usable', 'memory.unused', 'memory.util',
          'memory.balloon.status', 'memory.stats.age')


class Manager:
    """Stands for the agent's, which pollsters are handed and tell apart by."""


def configuration(uri: str) -> typing.Any:
    """ceilometer.conf as on a compute node, with this libvirt.

    Without nova.conf: that Nova's default is assumed is the same work in
    every cycle.
    """
    conf = service.prepare_service([PLUGIN], config_files=[])
    conf.set_override('libvirt_uri', uri)
    conf.set_override('instance_discovery_method', 'libvirt_metadata',
                      group='compute')
    return conf


def instances(conf: typing.Any) -> list[typing.Any]:
    """The node's instances by Ceilometer's own discovery."""
    return discovery.InstanceDiscovery(conf).discover(Manager())


def pollsters(conf: typing.Any, names: collections.abc.Iterable[str], *,
              plugin: bool) -> list[typing.Any]:
    """Pollsters of these names: the plugin's, or the in-tree ones."""
    made = []
    for name in names:
        entry_point, = (
            found for found in importlib.metadata.entry_points(
                group=NAMESPACE, name=name)
            if found.value.startswith(PLUGIN) == plugin)
        made.append(entry_point.load()(conf))
    return made


def samples(made: collections.abc.Iterable[typing.Any], manager: Manager,
            resources: list[typing.Any],
            cache: dict[str, typing.Any] | None = None) -> list[typing.Any]:
    """One polling cycle: each pollster in turn, on one fresh cache."""
    cache = {} if cache is None else cache
    return [sample for pollster in made for sample in
            pollster.get_samples(manager, cache, resources)]
