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

"""Memory of the agent while guests come and go."""

import gc
import json
import os
import pathlib
import sys
import typing

from benchmarks import agent
from benchmarks import synthetic

#: Of all guests, so many are replaced by others in each cycle: with a tenth,
#: 2,000 cycles of 100 guests have seen 20,000.
REPLACED = 10
#: Every so many guests one has no numbers, so that verdicts change.
SILENT_EACH = 7
#: Until then everything has been imported, compiled and filled once.
WARM_UP = 200
EVERY = 50


def resident() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')


def run(cycles: int, count: int) -> dict[str, typing.Any]:
    """Poll all meters of so many guests for so many cycles."""
    domains: dict[str, synthetic.Domain] = {}
    resources: dict[str, typing.Any] = {}
    synthetic.play_libvirt(domains)
    conf = agent.configuration(synthetic.URI)
    pollsters = agent.pollsters(conf, agent.ELEVEN, plugin=True)
    manager = agent.Manager()
    points = []
    samples = made = 0
    for cycle in range(cycles + 1):
        for identity in list(domains)[:count // REPLACED]:
            del domains[identity], resources[identity]
        while len(domains) < count:
            made += 1
            domain = synthetic.Domain(made, reports=made % SILENT_EACH != 0)
            domains[domain.UUIDString()] = domain
            resources[domain.UUIDString()] = synthetic.instance(domain)
        samples += len(agent.samples(pollsters, manager,
                                     list(resources.values())))
        if cycle % EVERY == 0 or cycle == cycles:
            gc.collect()
            points.append((cycle, resident()))
    warm = [size for cycle, size in points if cycle >= min(WARM_UP, cycles)]
    return {'cycles': cycles, 'guests': count, 'guests_seen': made,
            'samples': samples, 'warm_up': WARM_UP,
            'growth_bytes': warm[-1] - warm[0],
            'highest_growth_bytes': max(warm) - warm[0],
            'resident_bytes': points}


if __name__ == '__main__':
    # Ceilometer logs to stdout, which is for the measures here.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(run(*map(int, sys.argv[1:]))), file=answers, flush=True)
