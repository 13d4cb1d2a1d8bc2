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

"""The in-tree pollsters of the same names, replaced.

The agent loads every entry point of ``ceilometer.poll.compute``.  Of two
pollsters with one name it gives the guests to whichever comes first, and the
Prometheus exporter of Ceilometer 26 and 27 loses the series of both.  So
exactly one extension may be left for each name, and it has to answer with the
plugin's samples.
"""

import gc
import typing

from ceilometer.polling import plugin_base
from oslo_log import log

from memstat_pollster.agent import samples
from memstat_pollster.config import entrypoints

LOG = log.getLogger(__name__)


def rivals(name: str) -> list[type]:
    """The classes of other packages that are registered under this name.

    An entry point that cannot be imported, or is no class, is no rival: the
    agent cannot load it either, and says so itself.
    """
    classes = []
    for entry_point in entrypoints.rivals(name):
        try:
            found = entry_point.load()
        except (ImportError, AttributeError):
            continue
        if isinstance(found, type) and found not in classes:
            classes.append(found)
    return classes


def _is_loaded(cls: type) -> bool:
    """Whether the agent holds a pollster of this class already.

    Entry points are loaded in no certain order, and an in-tree pollster whose
    construction failed (libvirt was not up yet) has been dropped for good.
    The traceback of that failure may hold its remains until the collector
    has run.
    """
    gc.collect()
    return any(type(found) is cls for found in gc.get_referrers(cls))


def _decline(self: typing.Any) -> None:
    raise plugin_base.ExtensionLoadError(
        f'replaced by {entrypoints.OWN_PACKAGE}, option '
        '[memstat]replace_builtin')


def replace(name: str, get_samples: samples.GetSamples) -> bool:
    """Leave one extension of this name, answering with ``get_samples``.

    Where the agent holds an in-tree pollster already, that one gets
    ``get_samples`` and the plugin's has to decline; where it does not, every
    in-tree one is made to decline instead, and the plugin's loads.  So the
    meter is there whichever was loaded first and whether or not libvirt was
    up at that time.

    :returns: whether the plugin's own pollster has to decline
    """
    taken = False
    for cls in rivals(name):
        # The class, not the object: the agent may make it again.
        if not taken and _is_loaded(cls):
            cls.get_samples = get_samples  # type: ignore[attr-defined]
            taken = True
        else:
            cls.setup_environment = _decline  # type: ignore[attr-defined]
    return taken
