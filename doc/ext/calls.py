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

"""What was measured of libvirt's calls, as the documentation's table.

``python -m benchmarks.calls`` writes the files.  Knows nothing of Sphinx.
"""

import collections.abc
import dataclasses
import json
import pathlib
import typing

MEASURED: typing.Final = (
    pathlib.Path(__file__).resolve().parents[1] / 'source' / 'measured'
    / 'calls')

#: Nothing that waits for a guest's job returns sooner, and nothing else takes
#: as long: libvirt waits for 30 s.
JOB_WAIT_S: typing.Final = 25.0

Said = collections.abc.Mapping[str, typing.Any]
Row = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Host:
    """One file: what was measured on one host.

    :ivar calls: by call and state of the guest: took_s, error, missing
    """

    distribution: str
    libvirt: str
    qemu: str
    date: str
    deadline_s: float
    calls: collections.abc.Mapping[str, collections.abc.Mapping[str, Said]]

    @property
    def release(self) -> str:
        """libvirt's version without the last number."""
        return self.libvirt.rpartition('.')[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split('.')))


def hosts(directory: pathlib.Path = MEASURED) -> list[Host]:
    """Every host, the oldest libvirt first."""
    found = []
    for path in directory.glob('*.json'):
        read = json.loads(path.read_text())
        found.append(Host(**{field.name: read[field.name]
                             for field in dataclasses.fields(Host)}))
    return sorted(found, key=lambda host: _numbers(host.libvirt))


def verdict(said: Said) -> str:
    """What a caller has to reckon with, in words."""
    if said['took_s'] is None:
        return 'waits'
    if 'error' in said:
        answer = f'error {said["error"]}'
    elif 'missing' in said:
        answer = 'a part'
    else:
        answer = 'answers'
    if said['took_s'] >= JOB_WAIT_S:
        return f'30 s, then {answer}'
    return answer


def _worst(host: Host, call: str, states: collections.abc.Sequence[str]
           ) -> str | None:
    """The verdict over the longest; None: the call was not made so."""
    found = [host.calls[call][state] for state in states
             if state in host.calls[call]]
    if not found:
        return None
    return verdict(max(found, key=lambda said: (
        float('inf') if said['took_s'] is None else said['took_s'])))


def cell(found: collections.abc.Sequence[Host], call: str,
         states: collections.abc.Sequence[str]) -> str:
    """The verdict, by libvirt's release where hosts differ."""
    by_verdict: dict[str, list[str]] = {}
    for host in found:
        text = _worst(host, call, states) or 'not asked'
        by_verdict.setdefault(text, []).append(host.release)
    if len(by_verdict) == 1:
        return next(iter(by_verdict))
    return '; '.join(f'{", ".join(releases)}: {text}'
                     for text, releases in by_verdict.items())


COLUMNS: typing.Final = (('idle',), ('held', 'held_long'), ('no_thread',))


def rows(found: collections.abc.Sequence[Host]) -> list[Row]:
    """(calls, frozen, held, all threads stuck), equal ones in one row."""
    by_cells: dict[Row, list[str]] = {}
    for call in found[0].calls:
        cells = tuple(cell(found, call, states) for states in COLUMNS)
        by_cells.setdefault(cells, []).append(f'``{call}``')
    return [(', '.join(calls), *cells) for cells, calls in by_cells.items()]


def _longest_ms(host: Host, states: collections.abc.Collection[str]) -> float:
    """Of the calls that neither waited nor made an error."""
    return 1000 * max(
        said['took_s'] for found in host.calls.values()
        for state, said in found.items()
        if state in states and verdict(said) in ('answers', 'a part'))


def measured(found: collections.abc.Sequence[Host]) -> list[Row]:
    """(host, libvirt, QEMU, date, longest ms, ms healthy, stalls)."""
    table = []
    for host in found:
        same = [states['healthy_same_connection']
                for states in host.calls.values()]
        stalled = sum(verdict(said) == 'waits' for said in same)
        table.append((
            host.distribution, host.libvirt, host.qemu,
            host.date.partition('T')[0],
            f'{_longest_ms(host, ("idle", "held", "held_long")):.0f} ms',
            f'{_longest_ms(host, ("healthy",)):.0f} ms',
            f'{stalled} of {len(same)}'))
    return table
