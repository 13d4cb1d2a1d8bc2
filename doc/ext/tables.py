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
import pathlib
import re
import typing

from memstat_pollster import domain
from memstat_pollster import meters
from memstat_pollster import status

ROOT: typing.Final = pathlib.Path(__file__).resolve().parents[2]
PACKAGE: typing.Final = ROOT / 'memstat_pollster'
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
             rst(each.meaning), _remedies(each))
            for each in sorted(status.Status)]


def _remedies(each: status.Status) -> str:
    names = {domain.GuestOS.WINDOWS: 'Windows', domain.GuestOS.LINUX: 'Linux',
             domain.GuestOS.CIRROS: 'cirros',
             domain.GuestOS.FREEBSD: 'FreeBSD'}
    texts = [(names.get(guest_os, 'any other guest' if len(each.remedies) > 1
                        else ''),
              rst(text.replace('{period}', '10').replace('{uuid}', 'UUID')))
             for guest_os, text in each.remedies.items()]
    return '\n\n'.join(f'{name}: {text}' if name else text
                       for name, text in texts) or 'None is needed.'


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


# Meters

def meter_rows() -> list[Row]:
    """(name, unit, type, what it says, what it is made of)."""
    return [(f'``{meter.name}``', meter.unit or 'none', meter.type,
             rst(meter.description), rst(meter.source))
            for meter in meters.METERS.values()]


# Rooms

@dataclasses.dataclass(frozen=True)
class Room:
    """A module of the package, as the table of rooms has it."""

    name: str
    purpose: str
    outside: tuple[str, ...]
    below: frozenset[str]
    pure: bool


def _assigned(path: pathlib.Path) -> dict[str, typing.Any]:
    """The literals that a module assigns to names in capitals."""
    found = {}
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name) and target.id.isupper():
                    try:
                        found[target.id] = ast.literal_eval(statement.value)
                    except ValueError:  # computed
                        continue
    return found


def _purpose(room: str) -> str:
    path = PACKAGE / f'{room}.py'
    if not path.exists():
        path = PACKAGE / room / '__init__.py'
    return ' '.join((ast.get_docstring(ast.parse(path.read_text())) or ''
                     ).partition('\n\n')[0].split())


def rooms() -> list[Room]:
    """The rooms by the tables that tests/unit/test_rooms.py enforces."""
    table = _assigned(ROOT / 'tests' / 'unit' / 'test_rooms.py')
    return [Room(name, _purpose(name), tuple(sorted(table['OUTSIDE'][name])),
                 frozenset(below) - {name}, name in table['PURE'])
            for name, below in table['BELOW'].items() if name != '__init__']


def room_rows() -> list[Row]:
    """(room, what it holds, what it may import of the outside)."""
    return [(f'``{room.name}``' + (' (pure)' if room.pure else ''),
             rst(room.purpose) or 'the commands',
             ', '.join(f'``{name}``' for name in room.outside) or 'nothing')
            for room in rooms()]


WIDTH, HEIGHT = 132, 46
GAP_X, GAP_Y = 18, 52
MARGIN = 18

STYLE = '''
.card { fill: #ffffff; stroke: #c9d1d9 }
.room { fill: #eef4fb; stroke: #2a6db0 }
.pure { fill: #eaf6ec; stroke: #2c7d3c }
.name { fill: #14212e; font: bold 14px sans-serif }
.uses { fill: #3d4c5c; font: 11px sans-serif }
.edge { fill: none; stroke: #8394a5; stroke-width: 1.3 }
@media (prefers-color-scheme: dark) {
.card { fill: #14191f; stroke: #3d4c5c }
.room { fill: #17324d; stroke: #6aaeea }
.pure { fill: #16351d; stroke: #6fc381 }
.name { fill: #f0f4f8 }
.uses { fill: #b8c4d0 }
.edge { stroke: #7a8b9c }
}'''


def _levels(drawn: dict[str, Room]) -> list[list[str]]:
    """Rooms by the longest way down to the ground, the ground first."""
    level: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in level:
            level[name] = 1 + max(map(of, drawn[name].below), default=-1)
        return level[name]
    found: list[list[str]] = [[] for _ in range(1 + max(map(of, drawn)))]
    for name in drawn:
        found[level[name]].append(name)
    return found


def _steps(drawn: dict[str, Room]) -> list[tuple[str, str]]:
    """(room, room below it), without those that another way implies."""
    def reach(name: str) -> set[str]:
        return set().union(drawn[name].below, *(
            reach(below) for below in drawn[name].below))
    return [(name, below) for name, room in drawn.items()
            for below in room.below
            if not any(below in reach(other) for other in room.below
                       if other != below)]


def drawing() -> str:
    """The rooms as an SVG: what stands on what, readable in dark mode."""
    drawn = {room.name: room for room in rooms()}
    levels, steps = _levels(drawn), _steps(drawn)
    widest = max(map(len, levels))
    width = 2 * MARGIN + widest * WIDTH + (widest - 1) * GAP_X
    height = 2 * MARGIN + len(levels) * HEIGHT + (len(levels) - 1) * GAP_Y
    centre: dict[str, float] = {}
    top: dict[str, float] = {}
    for depth, row in enumerate(levels):
        # Each room above the middle of what it stands on.
        row = sorted(row, key=lambda name: (
            sum(centre[below] for below in drawn[name].below)
            / len(drawn[name].below) if drawn[name].below else 0, name))
        start = (width - len(row) * WIDTH - (len(row) - 1) * GAP_X) / 2
        for place, name in enumerate(row):
            centre[name] = start + place * (WIDTH + GAP_X) + WIDTH / 2
            top[name] = height - MARGIN - HEIGHT - depth * (HEIGHT + GAP_Y)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {width} {height}" style="max-width: {width}px">',
        '<title>The rooms: each stands on those that it imports</title>',
        f'<style>{STYLE}</style>',
        f'<rect class="card" x="1" y="1" width="{width - 2}" '
        f'height="{height - 2}" rx="10"/>']
    for name, below in sorted(steps):
        from_x, from_y = centre[name], top[name] + HEIGHT
        to_x, to_y = centre[below], top[below]
        bend = GAP_Y * 0.6
        lines.append(
            f'<path class="edge" d="M{from_x:g} {from_y:g} C{from_x:g} '
            f'{from_y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}"/>')
    for name, room in drawn.items():
        kind = 'pure' if room.pure else 'room'
        uses = ', '.join(room.outside) or 'standard library'
        x, y = centre[name], top[name]
        lines += [
            f'<rect class="{kind}" x="{x - WIDTH / 2:g}" y="{y:g}" '
            f'width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
            f'<text class="name" text-anchor="middle" x="{x:g}" '
            f'y="{y + 20:g}">{html.escape(name)}</text>',
            f'<text class="uses" text-anchor="middle" x="{x:g}" '
            f'y="{y + 36:g}">{html.escape(uses)}</text>']
    return '\n'.join([*lines, '</svg>'])
