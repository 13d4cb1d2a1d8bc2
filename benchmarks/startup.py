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

"""What the command takes until it does something: its start."""

import collections.abc
import os
import re
import resource
import statistics
import subprocess
import sys
import time
import typing

from benchmarks import clocks
from benchmarks import fleet

#: What the console script does.
_COMMAND = ('import sys\n'
            'from memstat_pollster.cli import main\n'
            'sys.exit(main.main())\n')
_LIBRARIES = ('import cliff.app, cliff.commandmanager, libvirt\n'
              'from oslo_config import cfg\n')

#: All of them report: one bulk read, and nothing to wait for.
GUESTS = 20
LABELS = {'python': 'Python, and nothing',
          'libraries': 'Python, cliff, libvirt and oslo.config',
          'help': 'memstat-pollster --help',
          'status': f'memstat-pollster status, {GUESTS} guests'}
WARM_UP = 2
#: So many imports are named.
NAMED = 10

#: A line of "-X importtime": microseconds by itself, cumulated, the module.
_IMPORT = re.compile(r'import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)')


def contestants(uri: str) -> dict[str, tuple[str, ...]]:
    """What is started; what follows "libraries" is compared with it."""
    return {
        'python': ('pass',),
        'libraries': (_LIBRARIES,),
        'help': (_COMMAND, '--help'),
        'status': (_COMMAND, '--config-file', os.devnull, '--uri', uri,
                   'status'),
    }


def _cpu_s() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(words: collections.abc.Sequence[str], *options: str
         ) -> tuple[float, float, str]:
    """One process: (wall s, CPU s, what it wrote on stderr)."""
    before, began = _cpu_s(), time.monotonic()
    done = subprocess.run([sys.executable, *options, '-c', *words],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120)
    wall_s, cpu_s = time.monotonic() - began, _cpu_s() - before
    # status ends with 1 where a guest does not report.
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return wall_s, cpu_s, done.stderr


def interval(values: collections.abc.Sequence[float]) -> tuple[float, float]:
    """Of the median, 95 %, whatever the values are distributed like."""
    ranked = sorted(values)
    reach = 0.98 * len(ranked) ** 0.5
    middle = len(ranked) / 2
    return (ranked[max(int(middle - reach), 0)],
            ranked[min(int(middle + reach), len(ranked) - 1)])


def imports(uri: str) -> list[tuple[str, float]]:
    """The dearest modules that status imports: (name, ms by itself)."""
    words = contestants(uri)['status']
    runs: dict[str, list[int]] = {}
    for _ in range(5):
        _wall, _cpu, told = _run(words, '-X', 'importtime')
        for found in _IMPORT.finditer(told):
            runs.setdefault(found[2], []).append(int(found[1]))
    medians = {name: statistics.median(each) / 1000
               for name, each in runs.items()}
    return sorted(medians.items(), key=lambda each: -each[1])[:NAMED]


def measure(guests: fleet.Fleet, count: int) -> dict[str, typing.Any]:
    """Wall and CPU time of each; all take turns in each round."""
    uri = guests.node.ro_uri
    chosen = contestants(uri)
    wall: dict[str, list[float]] = {name: [] for name in chosen}
    cpu: dict[str, list[float]] = {name: [] for name in chosen}
    loads = []
    for number in range(-WARM_UP, count):
        guests.refresh()
        for name, words in chosen.items():
            wall_s, cpu_s, _told = _run(words)
            if number >= 0:
                wall[name].append(wall_s)
                cpu[name].append(cpu_s)
        loads.append(os.getloadavg()[0])
    result: dict[str, typing.Any] = {
        'rounds': count, 'load': clocks.summary(loads), 'contestants': {},
        'imports_ms': imports(uri)}
    for name in chosen:
        ratios = [mine / other for mine, other in zip(
            wall[name], wall['libraries'], strict=True)]
        result['contestants'][name] = {
            'wall_s': {**clocks.summary(wall[name]),
                       'shortest': min(wall[name])},
            'cpu_s': clocks.summary(cpu[name]),
            'to_libraries': statistics.median(ratios),
            'to_libraries_95': interval(ratios)}
    return result
