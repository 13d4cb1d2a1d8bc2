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

"""What a command knows of the guests: one judged cycle."""

from oslo_config import cfg

from memstat_pollster.cmd import outcome
from memstat_pollster import monitor
from memstat_pollster import node


def survey(conf: cfg.ConfigOpts) -> monitor.Cycle:
    """All guests of this node, judged as the agent judges them.

    :raises memstat_pollster.cmd.outcome.LibvirtUnreachable: when libvirt
        says nothing
    """
    cycle = node.make_monitor(conf).cycle()
    if cycle.error is not None:
        raise outcome.LibvirtUnreachable(
            f'libvirt at {node.libvirt_uri(conf)}: {cycle.error}')
    return cycle
