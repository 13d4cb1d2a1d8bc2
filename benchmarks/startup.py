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
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time
import typing

from benchmarks import clocks

#: libvirt's own test driver, with one guest: no daemon, no QEMU.
_NODE = ('--config-file', os.devnull, '--uri', 'test:///default')
_COMMAND = ('import sys\n'
            'from memstat_pollster.cmd import shell\n'
            'sys.exit(shell.main(sys.argv[1:]))\n')
_LIBRARIES = ('import cliff.app, cliff.commandmanager, libvirt\n'
              'from oslo_config import cfg\n')

#: What is started; the second of them is what the rest is compared with.
CONTESTANTS: dict[str, tuple[str, ...]] = {
    'python': ('pass',),
    'libraries': (_LIBRARIES,),
    'help': (_COMMAND, '--help'),
    'status': (_COMMAND, *_NODE, 'status', '--wait', '0'),
}
LABELS = {'python': 'Python, and nothing',
          'libraries': 'Python, cliff, libvirt and oslo.config',
          'help': 'memstat-pollster --help',
          'status': 'memstat-pollster status, one guest'}
WARM_UP = 2
#: So many imports are named.
NAMED = 10

#: A line of "-X importtime": microseconds by itself, cumulated, the module.
_IMPORT = re.compile(r'import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)')


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
    # status ends with 1 where a guest does not report, as that one.
    if done.returncode not in (0, 1) or 'Traceback' in done.stderr:
        raise RuntimeError(done.stderr)
    return wall_s, cpu_s, done.stderr


def interval(values: collections.abc.Sequence[float]) -> tuple[float, float]:
    """Of the median, 95 %, whatever the values are distributed like."""
    ranked = sorted(values)
    reach = 0.98 * len(ranked) ** 0.5
    middle = len(ranked) / 2
    return (ranked[max(int(middle - reach), 0)],
            ranked[min(int(middle + reach), len(ranked) - 1)])


def imports() -> list[tuple[str, float]]:
    """The dearest modules that status imports: (name, ms by itself)."""
    runs: dict[str, list[int]] = {}
    for _ in range(5):
        _wall, _cpu, told = _run(CONTESTANTS['status'], '-X', 'importtime')
        for found in _IMPORT.finditer(told):
            runs.setdefault(found[2], []).append(int(found[1]))
    medians = {name: statistics.median(each) / 1000
               for name, each in runs.items()}
    return sorted(medians.items(), key=lambda each: -each[1])[:NAMED]


def measure(count: int, _logs: pathlib.Path) -> dict[str, typing.Any]:
    """Wall and CPU time of each; all take turns in each round."""
    wall: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    cpu: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    loads = []
    for number in range(-WARM_UP, count):
        for name, words in CONTESTANTS.items():
            wall_s, cpu_s, _told = _run(words)
            if number >= 0:
                wall[name].append(wall_s)
                cpu[name].append(cpu_s)
        loads.append(os.getloadavg()[0])
    result: dict[str, typing.Any] = {
        'rounds': count, 'load': clocks.summary(loads), 'contestants': {},
        'imports_ms': imports()}
    for name in CONTESTANTS:
        ratios = [mine / other for mine, other in zip(
            wall[name], wall['libraries'], strict=True)]
        result['contestants'][name] = {
            'wall_s': {**clocks.summary(wall[name]),
                       'shortest': min(wall[name])},
            'cpu_s': clocks.summary(cpu[name]),
            'to_libraries': statistics.median(ratios),
            'to_libraries_95': interval(ratios)}
    return result
