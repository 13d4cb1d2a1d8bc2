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

"""This compute node, as the agent's configuration describes it.

The pollsters and the command line make their monitor here, so that both see
the same guests and judge them alike.
"""

from oslo_config import cfg

from memstat_pollster.config import connection_uri
from memstat_pollster.config import launch
from memstat_pollster.config import nova
from memstat_pollster.config import options
from memstat_pollster.host import inspector
from memstat_pollster.host import roster
from memstat_pollster.model import facts
from memstat_pollster import monitor


def make_inspector(conf: cfg.ConfigOpts) -> inspector.Inspector:
    """An inspector of this node's libvirt; nothing is opened yet."""
    settings, _problems = options.load(conf)
    return inspector.Inspector(connection_uri.of(conf),
                               timeout_s=settings.read_timeout,
                               max_stuck=settings.max_stuck_reads)


def make_roster(source: inspector.Inspector) -> roster.Roster:
    """What stands for libvirt where Ceilometer's discovery asks it."""
    return roster.Roster(source)


def make_monitor(conf: cfg.ConfigOpts,
                 source: monitor.Source | None = None,
                 uptimes: monitor.Uptimes | None = None) -> monitor.Monitor:
    """A monitor of this node; nothing is read yet.

    :param source: what it reads from; None: ``make_inspector(conf)``
    :param uptimes: see ``monitor.Monitor``
    """
    settings, _problems = options.load(conf)
    return monitor.Monitor(
        source or make_inspector(conf),
        facts.Thresholds(settings.stale_after_periods, settings.boot_grace),
        nova.Watcher(settings.nova_config_files, settings.nova_config_dirs,
                     launch.Finder(launch.NOVA_COMPUTE).get).get, uptimes)
