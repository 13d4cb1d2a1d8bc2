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

"""What needs no libvirt: judging guests and making samples."""

import collections.abc
import pathlib
import typing

from benchmarks import clocks
from benchmarks import contestants

GUESTS = (1000, 10000)
KINDS = ('judging', 'monitoring', 'making-stock', 'making-plugin')
WARM_UP = 2


def measure(count: int, logs: pathlib.Path,
            sizes: collections.abc.Sequence[int] = GUESTS
            ) -> dict[str, typing.Any]:
    """CPU time in microseconds of a guest, or of a sample when making them.

    All take turns in each round.  CPU time and not the wall's: nothing here
    waits for anything, and what else the machine does is not meant.
    """
    names = [f'{kind}-{size}' for size in sizes for kind in KINDS]
    took: dict[str, list[float]] = {name: [] for name in names}
    # "synthetic" stands where others have a URI.
    with contestants.running(names, 'synthetic', logs) as running:
        for number in range(-WARM_UP, count):
            for name in names:
                measures = running[name].cycle()
                if number >= 0:
                    took[name].append(measures['agent_cpu_s'] * 1e6
                                      / measures['samples'])
    result: dict[str, typing.Any] = {'rounds': count, 'guests': {}}
    for size in sizes:
        mine = {kind: took[f'{kind}-{size}'] for kind in KINDS}
        result['guests'][size] = {
            **{f'{kind}_us': clocks.summary(mine[kind]) for kind in KINDS},
            'sample_plugin_to_stock': clocks.ratio(
                mine['making-plugin'], mine['making-stock'])}
    small, large = sizes[0], sizes[-1]
    result['linearity'] = {
        kind: clocks.ratio(took[f'{kind}-{large}'], took[f'{kind}-{small}'])
        for kind in KINDS}
    return result
