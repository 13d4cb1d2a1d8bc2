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

"""memstat-pollster status: every guest of this node, one line each."""

import argparse
import collections
import collections.abc
import functools
import io
import textwrap
import time
import typing

from cliff import lister

from memstat_pollster.cli import base
from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import table
from memstat_pollster.cli.output import terminal
from memstat_pollster.cli import select
from memstat_pollster.cli import survey
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import status

#: How often --watch reads, in seconds, unless it is told.
WATCH_S: typing.Final = 2.0


def rounded(value: float | None) -> float | None:
    """With one digit; None stays None."""
    return None if value is None else round(value, 1)


def mib(kib: int | None) -> float | None:
    """KiB as MiB with one digit; None stays None."""
    return None if kib is None else rounded(kib / 1024)


#: column, which is also the key in JSON -> its value; None when missing.
COLUMNS: typing.Final[collections.abc.Mapping[
    str, collections.abc.Callable[[judged.Guest], typing.Any]]] = {
    'name': lambda guest: guest.display_name,
    'libvirt_name': lambda guest: guest.name,
    'uuid': lambda guest: guest.uuid,
    'status': lambda guest: guest.verdict.status.word,
    'code': lambda guest: int(guest.verdict.status),
    'detail': lambda guest: guest.verdict.detail,
    'age_s': lambda guest: rounded(guest.age_s),
    'period_s': lambda guest: guest.domain and guest.domain.period_s,
    'used_mib': lambda guest: guest.memory and mib(guest.memory.used_kib),
    'available_mib': lambda guest: (
        guest.memory and mib(guest.memory.available_kib)),
    'util_percent': lambda guest: (
        guest.memory and rounded(guest.memory.util_percent)),
    'remedy': lambda guest: guest.remedy,
}


def row(guest: judged.Guest, formatter: str) -> tuple[typing.Any, ...]:
    """A guest's values, in the order of the columns."""
    return base.harmless(
        tuple(value(guest) for value in COLUMNS.values()), formatter)


def summary(found: collections.abc.Collection[judged.Guest],
            wanted: nova_period.Wanted) -> str:
    """How many guests there are of each status, in one line."""
    if not found:
        return 'no guests'
    counts = collections.Counter(guest.verdict.status for guest in found)
    bad = sum(is_problem(guest, wanted) for guest in found)
    line = (f'{len(found)} guest{"s" * (len(found) != 1)}: '
            + ', '.join(f'{count} {each.word}'
                        for each, count in sorted(counts.items())))
    return f'{line}; {bad} to be seen to' if bad else line


def is_problem(guest: judged.Guest, wanted: nova_period.Wanted) -> bool:
    """Whether somebody has to see to this guest."""
    return status.is_problem(guest.verdict.status, wanted.period_s)


#: What people get to see of a row, in fewer and wider columns.
_TABLE: typing.Final = (
    table.Column('status', max(len(each.word) for each in status.Status)),
    table.Column('age/period'),
    table.Column('used MiB', right=True),
    table.Column('of MiB', right=True),
    table.Column('util', len('100.0 %'), right=True),
)


def _table_row(screen: typing.TextIO,
               record: dict[str, typing.Any]) -> table.Row:
    util = record['util_percent']
    return table.Row(
        table.names(record), (
            table.status(record, screen),
            f'{_text(record["age_s"])} / {_text(record["period_s"])} s',
            _text(record['used_mib']), _text(record['available_mib']),
            '-' if util is None else f'{util} %'),
        record['remedy'] or '')


def _text(value: object) -> str:
    return '-' if value is None else str(value)


class Status(base.Command, lister.Lister):
    """Show every guest of this node, and why one has no memory numbers.

    A guest's own memory is shown when its numbers are fresh and possible;
    otherwise its status says why not and the remedy what to do. "show" tells
    more of one guest.
    """

    _epilog = (
        'Exit status: 0 when all guests that are meant to report do, 1 when '
        'one does not, 2 when libvirt cannot be reached, 3 when the command '
        'could not do its work. Guests that start or do not run are no '
        'problem, nor are those without a device or a period where '
        "mem_stats_period_seconds in Nova's configuration is 0 or less.")

    formatter: typing.Any
    _screen: typing.TextIO | None = None

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_guest(parser, 'guests', nargs='*', default='all guests')
        parser.add_argument(
            '--problems', action='store_true',
            help='only the guests that somebody has to see to')
        parser.add_argument(
            '--summary', action='store_true',
            help='only the line of counts, on stdout, for monitoring')
        base.add_wait(parser)
        parser.add_argument(
            '--watch', metavar='SECONDS', nargs='?', type=base.seconds,
            const=WATCH_S,
            help='read and show again every so many seconds (default: '
                 '%(const)g), until Ctrl-C; put guests before it')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        if parsed_args.watch is not None:
            self._watch(parsed_args)
        try:
            self._select(self.survey(parsed_args.wait, parsed_args.guests),
                         parsed_args.guests)
        except outcome.CommandFailed as exc:
            if parsed_args.summary:
                self.app.stdout.write(f'{exc}\n')
            raise
        if parsed_args.summary:
            self.app.stdout.write(f'{self._summary()}\n')
        else:
            super().run(parsed_args)
        if any(is_problem(guest, self._wanted) for guest in self._found):
            return outcome.ExitStatus.PROBLEMS
        return outcome.ExitStatus.OK

    def _select(self, cycle: judged.Cycle,
                words: collections.abc.Sequence[str]) -> None:
        """Keep the guests of a reading that the exit status is about.

        :raises outcome.CommandFailed: when a word names
            none
        """
        self._wanted = cycle.wanted
        self._found = (select.find(cycle, words) if words
                       else list(cycle.guests.values()))

    def _summary(self) -> str:
        return summary(self._found, self._wanted)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[
            tuple[str, ...], list[tuple[typing.Any, ...]]]:
        return tuple(COLUMNS), [
            row(guest, parsed_args.formatter)
            for guest in self._found if not parsed_args.problems
            or is_problem(guest, self._wanted)]

    def produce_output(
            self, parsed_args: argparse.Namespace,
            column_names: collections.abc.Sequence[str],
            data: collections.abc.Iterable[typing.Any]) -> int:
        if parsed_args.formatter != 'table' or parsed_args.columns:
            return super().produce_output(parsed_args, column_names, data)
        self.formatter = table.Formatter(
            self.formatter, _TABLE, 'remedy',
            functools.partial(_table_row, self._terminal), self._terminal)
        counts = self._summary()
        width = table.width(self._terminal, parsed_args)
        if width is not None:
            counts = textwrap.fill(counts, width)
        if self._screen:
            # What does not fit on the screen is cut off below.
            self.app.stdout.write(counts + '\n')
        super().produce_output(parsed_args, column_names, data)
        if not self._screen:
            self.app.stdout.write(counts + '\n')
        return 0

    @property
    def _terminal(self) -> typing.TextIO:
        """What a picture ends up on, though --watch collects it first."""
        return self._screen or self.app.stdout

    def _watch(self, parsed_args: argparse.Namespace) -> typing.NoReturn:
        """Show what every reading says, until a signal ends it."""
        self._screen = self.app.stdout
        with (survey.opened(self.app.conf, self.app.make_inspector) as found,
                terminal.screen(self._screen) as draw):
            while True:
                draw(self._picture(found, parsed_args))
                time.sleep(parsed_args.watch)

    def _picture(self, found: survey.Node,
                 parsed_args: argparse.Namespace) -> str:
        self.app.stdout = picture = io.StringIO()
        if parsed_args.formatter == 'table' or parsed_args.summary:
            picture.write(time.strftime('%F %T') + '\n')
        try:
            self._select(found.read(), parsed_args.guests)
            if parsed_args.summary:
                picture.write(self._summary())
            else:
                super().run(parsed_args)
        except outcome.CommandFailed as exc:
            # It may answer again, and a guest may come back.
            picture.write(f'{exc}\n')
        finally:
            self.app.stdout = self._screen
        return picture.getvalue().rstrip('\n')
