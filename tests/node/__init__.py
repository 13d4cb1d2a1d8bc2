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

"""A compute node in miniature: a private libvirtd with guests on real QEMUs.

.. code-block:: python

    with node.Node() as compute:
        web = compute.linux('web')
        windows = compute.scripted('win', attach=True)
        windows.driver.push(node.windows_without_service())
        print(web.meminfo(), web.domain.memoryStats())

Needs root and the packages :class:`MissingTools` names, nothing else: no
KVM (everything runs under TCG), no cgroups, no network. Whatever it starts
ends with the process that started it, even when that one is SIGKILLed.
"""

from tests.node.driver import QTestError
from tests.node.guests import Guest
from tests.node.guests import LinuxGuest
from tests.node.guests import ScriptedGuest
from tests.node.node import Node
from tests.node.stats import linux_stats
from tests.node.stats import NO_VALUE
from tests.node.stats import record
from tests.node.stats import S_AVAIL
from tests.node.stats import S_CACHES
from tests.node.stats import S_HTLB_PGALLOC
from tests.node.stats import S_HTLB_PGFAIL
from tests.node.stats import S_MAJFLT
from tests.node.stats import S_MEMFREE
from tests.node.stats import S_MEMTOT
from tests.node.stats import S_MINFLT
from tests.node.stats import S_SWAP_IN
from tests.node.stats import S_SWAP_OUT
from tests.node.stats import STATS_VQ
from tests.node.stats import windows_without_service
from tests.node.tools import MissingTools
from tests.node.tools import wait_for

__all__ = (
    'Guest', 'LinuxGuest', 'MissingTools', 'NO_VALUE', 'Node',
    'QTestError', 'S_AVAIL', 'S_CACHES', 'S_HTLB_PGALLOC',
    'S_HTLB_PGFAIL', 'S_MAJFLT', 'S_MEMFREE', 'S_MEMTOT', 'S_MINFLT',
    'S_SWAP_IN', 'S_SWAP_OUT',
    'STATS_VQ', 'ScriptedGuest', 'linux_stats', 'record', 'wait_for',
    'windows_without_service',
)
