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
"""What the Ceilometer that is installed here is, and what it can do.

Run as a program it writes that to a file, for the table of releases.
"""

from importlib import metadata
import json
import pathlib
import platform
import sys

from ceilometer.compute import discovery
from ceilometer.polling import manager

from tests.node import agent as polling

VERSION = metadata.version('ceilometer')

OPTIONS = frozenset(option.name for option in manager.POLLING_OPTS)
#: The agent can expose its samples to Prometheus by itself.
HAS_EXPORTER = 'enable_prometheus_exporter' in OPTIONS
#: Pollsters of one cycle can run at the same time.
HAS_THREADS = 'threads_to_process_pollsters' in OPTIONS
#: [compute]fetch_extra_metadata by default: whether Nova is asked for every
#: guest; None: there is no such option, and it is.
EXTRA_METADATA = next((option.default for option in discovery.OPTS
                       if option.name == 'fetch_extra_metadata'), None)

#: The meters of the plugin that this Ceilometer has, too.
IN_TREE = tuple(name for name in polling.METERS if any(
    entry_point.value.startswith('ceilometer.')
    for entry_point in metadata.entry_points(
        group='ceilometer.poll.compute', name=name)))


def distribution():
    """'Debian 12' where the agent is from its packages, else None."""
    if not manager.__file__.startswith('/usr/lib/python3/dist-packages/'):
        return None
    release = platform.freedesktop_os_release()
    return '{NAME} {VERSION_ID}'.format(**release).replace(' GNU/Linux', '')


def main(path):
    """Write the facts for the table of releases."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({
        'ceilometer': VERSION,
        'python': platform.python_version(),
        'distribution': distribution(),
        'memory_available_in_tree': 'memory.available' in IN_TREE,
        'exporter': HAS_EXPORTER,
    }))


if __name__ == '__main__':
    main(sys.argv[1])
