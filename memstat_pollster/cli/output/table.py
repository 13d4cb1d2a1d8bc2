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

"""Guests as a table for people, however narrow their terminal is.

Every row has a guest, some short cells and a text.  Where there is room they
are columns; on a narrower terminal guest and text have lines of their own,
and nothing is left out.
"""

import argparse
import collections.abc
import dataclasses
import textwrap
import typing

from cliff.formatters import table as cliff_table

from memstat_pollster.cli.output import terminal
from memstat_pollster.model import judged
from memstat_pollster.model import status as statuses
from memstat_pollster import text

#: Columns of the text where there is room for as many as one likes.
TEXT_WIDTH: typing.Final = 46

#: With fewer, a UUID that ends a command in quotation marks would be torn.
_LEAST_TEXT: typing.Final = 38

#: A guest's UUID is never torn either.
_UUID_WIDTH: typing.Final = 36

#: With fewer for names, every name has a line of its own.
_LEAST_NAME: typing.Final = 12

_GAP, _INDENT = '  ', '  '


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of short cells.

    :ivar least: its least width, so that it keeps it from picture to picture
    :ivar right: whether it is of numbers; then they end in one line where
        the table has no frame
    """

    title: str
    least: int = 0
    right: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A guest, of harmless texts.

    :ivar names: the first is what people call it
    :ivar cells: as many as there are columns; may be painted
    """

    names: tuple[str, ...]
    cells: tuple[str, ...]
    text: str


class GuestTable(cliff_table.TableFormatter):
    """cliff's formatter of a listing of guests with -f table.

    Where -c chooses columns it is cliff's own table of them.
    """

    #: Of the cells.
    cells: typing.ClassVar[collections.abc.Sequence[Column]]
    #: Of the texts.
    title: typing.ClassVar[str]

    def row(self, record: dict[str, typing.Any],
            screen: typing.TextIO) -> Row:
        """Make a row of a record.

        :param screen: what the table ends up on
        """
        raise NotImplementedError

    def emit_list(self, column_names: collections.abc.Sequence[str],
                  data: collections.abc.Iterable[
                      collections.abc.Sequence[typing.Any]],
                  stdout: typing.TextIO,
                  parsed_args: argparse.Namespace) -> None:
        if parsed_args.columns:
            super().emit_list(column_names, data, stdout, parsed_args)
            return
        rows = [self.row(dict(zip(column_names, values, strict=True)), stdout)
                for values in data]
        if rows or parsed_args.print_empty:
            Table(self.cells, self.title, rows).emit(
                super().emit_list, stdout, parsed_args,
                width(stdout, parsed_args))


class StatusTable(GuestTable):
    """The table of the command status."""

    cells = (
        Column('status', max(len(each.word) for each in statuses.Status)),
        Column('age/period'),
        Column('used MiB', right=True),
        Column('of MiB', right=True),
        Column('util', len('100.0 %'), right=True))
    title = 'remedy'

    def row(self, record: dict[str, typing.Any],
            screen: typing.TextIO) -> Row:
        util = record['util_percent']
        return Row(
            names(record), (
                status(record, screen),
                f'{_shown(record["age_s"])} / {_shown(record["period_s"])} s',
                _shown(record['used_mib']), _shown(record['available_mib']),
                '-' if util in (None, '') else f'{util} %'),
            record['remedy'] or '')


class EnableTable(GuestTable):
    """The table of the command enable."""

    cells = (Column('action'), Column('status'))
    title = 'detail'

    def row(self, record: dict[str, typing.Any],
            screen: typing.TextIO) -> Row:
        return Row(names(record), (record['action'], status(record, screen)),
                   record['detail'])


def _shown(value: object) -> str:
    return '-' if value in (None, '') else str(value)


def names(record: dict[str, typing.Any]) -> tuple[str, ...]:
    """What a record calls its guest: Nova's name, libvirt's and the UUID."""
    return tuple(map(text.printable, judged.names(
        record['name'], record['libvirt_name'], record['uuid'])))


def status(record: dict[str, typing.Any], screen: typing.TextIO) -> str:
    """The status of a record, in its colour if the screen has colours."""
    word = record['status']
    return terminal.paint(word, statuses.Status[word.upper()],
                          terminal.has_colours(screen))


def width(stream: typing.TextIO,
          parsed_args: argparse.Namespace) -> int | None:
    """How wide a table may be, by cliff's options; None: as it likes."""
    if parsed_args.max_width > 0:
        return int(parsed_args.max_width)
    if parsed_args.fit_width or stream.isatty():
        return terminal.size(stream).columns
    return None


class Table:
    """Rows, laid out.

    :param columns: of the cells
    :param title: of the texts
    """

    def __init__(self, columns: collections.abc.Sequence[Column], title: str,
                 rows: collections.abc.Sequence[Row]) -> None:
        self._columns, self._title, self._rows = columns, title, rows
        self._widths = [
            max(column.least, terminal.columns(column.title),
                *(terminal.columns(row.cells[place]) for row in rows))
            for place, column in enumerate(columns)]

    def emit(self, framed: collections.abc.Callable[..., None],
             stdout: typing.TextIO,
             parsed_args: argparse.Namespace, width: int | None) -> None:
        """Write the table.

        :param framed: writes a table with a frame, as cliff's formatter does
        :param width: how many columns there are; None: as many as it takes
        """
        names = max((terminal.columns(name) for row in self._rows
                     for name in row.names), default=0)
        text = TEXT_WIDTH
        if width is not None:
            # What the frame and the cells leave.
            room = width - 7 - sum(each + 3 for each in self._widths)
            names = min(names, max(room - TEXT_WIDTH, _UUID_WIDTH))
            text = room - max(names, len('guest'))
            if text < _LEAST_TEXT:
                stdout.writelines(f'{line}\n' for line in self._narrow(width))
                return
        framed(
            ('guest', *(column.title for column in self._columns),
             self._title),
            [('\n'.join(piece for name in row.names
                        for piece in _cut(name, names)), *row.cells,
              textwrap.fill(row.text or '-', text, break_on_hyphens=False))
             for row in self._rows], stdout, parsed_args)

    def _narrow(self, width: int) -> collections.abc.Iterator[str]:
        lead = width - sum(self._widths) - len(_GAP) * len(self._widths)
        if lead < _LEAST_NAME:
            lead = 0
        lead = min(lead, max(map(terminal.columns, (
            'guest', *(row.names[0] for row in self._rows)))))
        yield from self._head('guest', [
            column.title for column in self._columns], lead, width)
        yield '-' * width
        for row in self._rows:
            yield from self._head(row.names[0], row.cells, lead, width)
            yield from _flow(row.names[1:], width)
            if row.text:
                yield from textwrap.wrap(
                    row.text, width, initial_indent=_INDENT,
                    subsequent_indent=_INDENT, break_on_hyphens=False)

    def _head(self, name: str, cells: collections.abc.Sequence[str],
              lead: int, width: int) -> collections.abc.Iterator[str]:
        """A name and cells, in one line if they fit.

        :param lead: columns for the name
        """
        if terminal.columns(name) > lead:
            yield from _cut(name, width)
            name = ''
        line = _padded(name, lead)
        for column, cell, size in zip(self._columns, cells, self._widths,
                                      strict=True):
            if terminal.columns(line) + len(_GAP) + size > width:
                yield line.rstrip()
                line = ''
            line += _GAP + _padded(cell, size, column.right)
        yield line.rstrip()


def _padded(text: str, width: int, right: bool = False) -> str:
    space = ' ' * (width - terminal.columns(text))
    return space + text if right else text + space


def _cut(text: str, width: int) -> list[str]:
    """A text in pieces that are no wider than that."""
    pieces = ['']
    for character in text:
        if terminal.columns(pieces[-1] + character) > max(width, 2):
            pieces.append('')
        pieces[-1] += character
    return pieces


def _flow(words: collections.abc.Iterable[str],
          width: int) -> collections.abc.Iterator[str]:
    """Words side by side, as many as fit on an indented line."""
    line = ''
    for piece in (piece for word in words
                  for piece in _cut(word, width - len(_INDENT))):
        if line and terminal.columns(
                _INDENT + line + _GAP + piece) > width:
            yield _INDENT + line
            line = ''
        line += (_GAP if line else '') + piece
    if line:
        yield _INDENT + line
