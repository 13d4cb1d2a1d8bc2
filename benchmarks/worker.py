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

"""Who reads the guests: each in a process of its own, told when to.

The process is idle but for its cycles, so its CPU time is theirs.
"""

import json
import sys
import threading
import time
import typing

import libvirt

from benchmarks import agent
from benchmarks import synthetic

WHAT = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_STATE
FLAGS = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT


class Reading(typing.Protocol):
    """A way to read all guests."""

    def prepare(self) -> None:
        """What is no part of the cycle."""

    def cycle(self) -> None:
        """What is measured."""

    def found(self) -> tuple[int, list[str]]:
        """How many samples, and of which guests the guest's own numbers."""


class Polling:
    """The agent with some meters."""

    def __init__(self, uri: str, names: tuple[str, ...], *, plugin: bool
                 ) -> None:
        conf = agent.configuration(uri)
        self._manager = agent.Manager()
        self._resources = agent.instances(conf)
        self._pollsters = agent.pollsters(conf, names, plugin=plugin)
        self._samples: list[typing.Any] = []

    def prepare(self) -> None:
        self._samples = []

    def cycle(self) -> None:
        self._samples = agent.samples(self._pollsters, self._manager,
                                      self._resources, {})

    def found(self) -> tuple[int, list[str]]:
        return len(self._samples), [
            sample.resource_id for sample in self._samples
            if sample.name == 'memory.usage']


class Bare:
    """The one call that nobody can do without, and nothing else."""

    def __init__(self, uri: str) -> None:
        self._connection = libvirt.openReadOnly(uri)
        self._answers: list[typing.Any] = []

    def prepare(self) -> None:
        self._answers = []

    def cycle(self) -> None:
        self._answers = self._connection.getAllDomainStats(WHAT, FLAGS)

    def found(self) -> tuple[int, list[str]]:
        return 0, [domain.UUIDString() for domain, record in self._answers
                   if 'balloon.available' in record]


class InParts(Bare):
    """The same guests in slices, each on a connection of its own.

    Each thread lists the domains itself, as it has to in every cycle.
    """

    def __init__(self, uri: str, count: int) -> None:
        self._connections = [libvirt.openReadOnly(uri) for _ in range(count)]
        self._answers = []

    def _read(self, part: int) -> None:
        connection = self._connections[part]
        domains = sorted(connection.listAllDomains(0),
                         key=lambda domain: domain.UUIDString())
        self._answers += connection.domainListGetStats(
            domains[part::len(self._connections)], WHAT, FLAGS)

    def cycle(self) -> None:
        threads = [threading.Thread(target=self._read, args=(part,))
                   for part in range(len(self._connections))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def make(name: str, uri: str) -> Reading:
    """A contestant by its name."""
    kind, _, count = name.rpartition('-')
    if name == 'stock':
        return Polling(uri, agent.TWO, plugin=False)
    if name == 'plugin':
        return Polling(uri, agent.ELEVEN, plugin=True)
    if name == 'plugin-two':
        return Polling(uri, agent.TWO, plugin=True)
    if name == 'bare':
        return Bare(uri)
    if kind == 'parts':
        return InParts(uri, int(count))
    return {
        'making-stock': synthetic.StockMaking,
        'making-plugin': synthetic.PluginMaking,
        'judging': synthetic.Judging,
        'monitoring': synthetic.Monitoring,
    }[kind](int(count))


def serve(name: str, uri: str) -> None:
    """A cycle for each line on stdin, its measures as a line on stdout."""
    # Ceilometer logs to stdout, which is for the measures here.
    answers, sys.stdout = sys.stdout, sys.stderr
    reading = make(name, uri)
    print(json.dumps({'ready': name}), file=answers, flush=True)
    for _line in sys.stdin:
        reading.prepare()
        cpu, began = time.process_time(), time.perf_counter()
        reading.cycle()
        measures = {'wall_s': time.perf_counter() - began,
                    'agent_cpu_s': time.process_time() - cpu}
        measures['samples'], measures['reported'] = reading.found()
        print(json.dumps(measures), file=answers, flush=True)


if __name__ == '__main__':
    serve(*sys.argv[1:])
