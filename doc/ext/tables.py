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

"""What the documentation's tables and drawing are made of.

Everything here is read from the code and from the tests, so that a page
cannot say anything else.  Knows nothing of Sphinx.
"""

import ast
import collections.abc
import dataclasses
import html
import importlib.metadata
import pathlib
import re
import typing

import layout

from memstat_pollster.cli import application
from memstat_pollster.cli import base
from memstat_pollster.cli.output import outcome
from memstat_pollster.model import domain
from memstat_pollster.model import meters
from memstat_pollster.model import served
from memstat_pollster.model import status

ROOT: typing.Final = pathlib.Path(__file__).resolve().parents[2]
FUNCTIONAL: typing.Final = ROOT / 'tests' / 'functional'

Row = tuple[str, ...]


def rst(text: str) -> str:
    """Plain text as reStructuredText; what is in double quotes is literal."""
    parts = re.split(r'"([^"]+)"', text)
    parts[::2] = [re.sub(r'([\\*_`|])', r'\\\1', part)
                  for part in parts[::2]]
    parts[1::2] = [f'``{part}``' for part in parts[1::2]]
    return ''.join(parts)


# Statuses

def status_rows() -> list[Row]:
    """(code, word, meaning, remedies), by code."""
    return [(str(int(each)),
             f'.. _status-{each.word.replace("_", "-")}:\n\n``{each.word}``',
             rst(each.advice.meaning), _remedies(each))
            for each in sorted(status.Status)]


def _remedies(each: status.Status) -> str:
    names = {domain.GuestOS.WINDOWS: 'Windows', domain.GuestOS.LINUX: 'Linux',
             domain.GuestOS.CIRROS: 'cirros',
             domain.GuestOS.FREEBSD: 'FreeBSD'}
    remedies = each.advice.remedies
    other = 'any other guest' if len(remedies) > 1 else ''
    found = [(names.get(guest_os, other) if guest_os else other,
              rst(text.replace('{period}', '10').replace('{uuid}', 'UUID')))
             for guest_os, text in remedies.items()]
    return '\n\n'.join(f'{name}: {text}' if name else text
                       for name, text in found) or 'None is needed.'


def rule_order() -> str:
    """The statuses in the order in which their rules are asked."""
    return ', '.join(f'``{each.word}``' for each in status.Status)


# Signatures

@dataclasses.dataclass(frozen=True)
class Signature:
    """A functional test that shows what a status looks like in libvirt."""

    word: str
    text: str
    where: str
    test: str


def _tests(path: pathlib.Path) -> collections.abc.Iterator[
        tuple[str, ast.FunctionDef]]:
    for cls in ast.parse(path.read_text()).body:
        if isinstance(cls, ast.ClassDef):
            for function in cls.body:
                if (isinstance(function, ast.FunctionDef)
                        and function.name.startswith('test_')):
                    yield cls.name, function


def _mark(function: ast.FunctionDef) -> tuple[str, str] | None:
    for decorator in function.decorator_list:
        if (isinstance(decorator, ast.Call)
                and isinstance(decorator.func, ast.Attribute)
                and decorator.func.attr == 'signature'):
            word, text = map(ast.literal_eval, decorator.args)
            return word, text
    return None


def signatures() -> list[Signature]:
    """Every test that is marked as one, by code, then as in the tests."""
    found = []
    for path in sorted(FUNCTIONAL.glob('test_*.py')):
        for cls, function in _tests(path):
            mark = _mark(function)
            if mark is not None:
                found.append(Signature(*mark, f'{path.stem}.{cls}',
                                       function.name))
    return sorted(found, key=lambda each: status.Status[each.word.upper()])


def unmarked(module: str) -> set[str]:
    """The tests of a module that show no signature."""
    return {function.name for _, function in _tests(FUNCTIONAL
                                                    / f'{module}.py')
            if _mark(function) is None}


def signature_rows() -> list[Row]:
    """(signature, status, test)."""
    return [(each.text, f'``{each.word}``',
             f'``{each.where}`` ``{each.test}``')
            for each in signatures()]


# Exit statuses

def _commands() -> dict[str, type[base.Command]]:
    """The project's own commands, by name."""
    return {point.name: point.load() for point in sorted(
        importlib.metadata.entry_points(group=application.NAMESPACE))}


def exit_rows() -> list[Row]:
    """(command, when it ends with 0, with 1, ...), a column a status."""
    return [(f'``{name}``',
             *(rst(found.exits.get(each, '')) or 'never'
               for each in outcome.ExitStatus))
            for name, found in _commands().items()]


# Meters

def meter_rows() -> list[Row]:
    """(name, unit, type, what it says, what it is made of)."""
    return [(f'``{meter.name}``', meter.unit or 'none', meter.type,
             rst(meter.description), rst(meter.source))
            for meter in meters.METERS.values()]


def served_rows() -> list[Row]:
    """(Ceilometer's meters, place in the record, who asks, instead of)."""
    return [(', '.join(f'``{meter}``' for meter in row.meters),
             rst(row.source), rst(row.how.value),
             f'``{row.method}``' if row.method else 'none')
            for row in served.ROWS]


# Folders

def folder_rows() -> list[Row]:
    """(folder, what it holds, what it imports of the outside)."""
    return [(f'``{each.name}``' + (' (pure)' if each.pure else ''),
             rst(each.purpose),
             ', '.join(f'``{name}``' for name in sorted(each.outside))
             or 'nothing')
            for each in layout.folders().values()]


#: Sizes in pixels; a long way between two folders takes a lane of its own.
HEIGHT, LANE, GAP_X, GAP_Y, MARGIN = 70, 10, 16, 40, 18
#: Of the widest characters of the two fonts.
NAME_PX, USES_PX = 9.2, 6.4

STYLE = '''
.folders-card { fill: #ffffff; stroke: #c9d1d9 }
.folders-folder { fill: #eef4fb; stroke: #2a6db0 }
.folders-pure { fill: #eaf6ec; stroke: #2c7d3c }
.folders-name { fill: #14212e; font: bold 14px sans-serif }
.folders-uses { fill: #3d4c5c; font: 11px sans-serif }
.folders-edge { fill: none; stroke: #8394a5; stroke-width: 1.3 }
@media (prefers-color-scheme: dark) {
.folders-card { fill: #14191f; stroke: #3d4c5c }
.folders-folder { fill: #17324d; stroke: #6aaeea }
.folders-pure { fill: #16351d; stroke: #6fc381 }
.folders-name { fill: #f0f4f8 }
.folders-uses { fill: #b8c4d0 }
.folders-edge { stroke: #7a8b9c }
}'''


def _levels(drawn: dict[str, layout.Folder]) -> list[list[str]]:
    """Folders by the longest way down to the ground, the ground first."""
    level: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in level:
            level[name] = 1 + max(map(of, drawn[name].below), default=-1)
        return level[name]
    found: list[list[str]] = [[] for _ in range(1 + max(map(of, drawn)))]
    for name in drawn:
        found[level[name]].append(name)
    return found


def _steps(drawn: dict[str, layout.Folder]) -> list[tuple[str, str]]:
    """(folder, folder below it), without those that another way implies."""
    def reach(name: str) -> set[str]:
        return set().union(drawn[name].below, *(
            reach(below) for below in drawn[name].below))
    return [(name, below) for name, folder in drawn.items()
            for below in folder.below
            if not any(below in reach(other) for other in folder.below
                       if other != below)]


def _uses(folder: layout.Folder) -> list[str]:
    """What a folder may import of the outside, two to a line."""
    names = sorted(folder.outside) or ['standard library']
    return [', '.join(names[start:start + 2])
            for start in range(0, len(names), 2)]


def _width(folder: layout.Folder) -> float:
    return 16 + max(NAME_PX * len(folder.name),
                    *(USES_PX * len(line) for line in _uses(folder)))


#: A place in the drawing: a folder's name, or (folder, folder, level) for the
#: lane of a way that passes this level by.
_Place = str | tuple[str, str, int]


def _lanes(levels: list[list[_Place]], steps: list[tuple[str, str]],
           ) -> list[list[_Place]]:
    """Add the lanes; what each step runs through, from above to below."""
    at = {name: depth for depth, row in enumerate(levels) for name in row}
    ways = []
    for upper, lower in sorted(steps):
        way: list[_Place] = [upper]
        for depth in range(at[upper] - 1, at[lower], -1):
            lane = (upper, lower, depth)
            levels[depth].append(lane)
            way.append(lane)
        ways.append([*way, lower])
    return ways


def _arrange(levels: list[list[_Place]], ways: list[list[_Place]],
             widths: dict[_Place, float]) -> dict[_Place, float]:
    """Centres: each place near the middle of what it is joined to."""
    joined: dict[_Place, set[_Place]] = {place: set() for place in widths}
    for way in ways:
        for one, other in zip(way, way[1:], strict=False):
            joined[one].add(other)
            joined[other].add(one)
    centre: dict[_Place, float] = {}

    def lay(row: list[_Place]) -> None:
        left = -(sum(widths[place] for place in row)
                 + GAP_X * (len(row) - 1)) / 2
        for place in row:
            centre[place] = left + widths[place] / 2
            left += widths[place] + GAP_X
    for row in levels:
        lay(row)
    for sweep in range(12):
        for row in levels if sweep % 2 else levels[::-1]:
            middle = {place: (sum(centre[other] for other in joined[place])
                              / max(len(joined[place]), 1))
                      for place in row}
            row.sort(key=lambda place: (middle[place], str(place)))
            lay(row)
    return centre


def drawing() -> str:
    """The folders as an SVG: what stands on what, readable in dark mode."""
    drawn = layout.folders()
    levels: list[list[_Place]] = [list(row) for row in _levels(drawn)]
    ways = _lanes(levels, _steps(drawn))
    widths: dict[_Place, float] = {
        place: _width(drawn[place]) if isinstance(place, str) else LANE
        for row in levels for place in row}
    centre = _arrange(levels, ways, widths)
    half = max(abs(centre[place]) + widths[place] / 2 for place in widths)
    width = 2 * (MARGIN + half)
    height = 2 * MARGIN + len(levels) * (HEIGHT + GAP_Y) - GAP_Y
    top = {place: height - MARGIN - HEIGHT - depth * (HEIGHT + GAP_Y)
           for depth, row in enumerate(levels) for place in row}
    x = {place: centre[place] + width / 2 for place in widths}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {width:g} {height}" style="max-width: {width:g}px">',
        '<title>The folders: each stands on those that it imports</title>',
        f'<style>{STYLE}</style>',
        f'<rect class="folders-card" x="1" y="1" width="{width - 2:g}" '
        f'height="{height - 2}" rx="10"/>']
    for way in ways:
        path = f'M{x[way[0]]:g} {top[way[0]] + HEIGHT:g}'
        for one, other in zip(way, way[1:], strict=False):
            above, below = top[one] + HEIGHT, top[other]
            bend = (below - above) * 0.6
            path += (f' C{x[one]:g} {above + bend:g} {x[other]:g} '
                     f'{below - bend:g} {x[other]:g} {below:g}')
            if other != way[-1]:
                path += f' V{below + HEIGHT:g}'
        lines.append(f'<path class="folders-edge" d="{path}"/>')
    for name, folder in drawn.items():
        kind = 'pure' if folder.pure else 'folder'
        lines += [
            f'<rect class="folders-{kind}" x="{x[name] - widths[name] / 2:g}" '
            f'y="{top[name]:g}" width="{widths[name]:g}" '
            f'height="{HEIGHT}" rx="6"/>',
            f'<text class="folders-name" text-anchor="middle" x="{x[name]:g}" '
            f'y="{top[name] + 20:g}">{html.escape(name)}</text>']
        lines += [
            f'<text class="folders-uses" text-anchor="middle" x="{x[name]:g}" '
            f'y="{top[name] + 36 + 13 * number:g}">{html.escape(line)}</text>'
            for number, line in enumerate(_uses(folder))]
    return '\n'.join([*lines, '</svg>'])
