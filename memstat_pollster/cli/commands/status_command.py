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
import textwrap
import time
import typing

from cliff import lister

from memstat_pollster.cli import base
from memstat_pollster.cli.output import listing
from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import table
from memstat_pollster.cli.output import terminal
from memstat_pollster.cli import select
from memstat_pollster.cli import survey
from memstat_pollster.model import judged

#: How often --watch reads, in seconds, unless it is told.
WATCH_S: typing.Final = 2.0



class Status(base.Shown, lister.Lister):
    """Show every guest of this node, and why one has no memory numbers.

    A guest's own memory is shown when its numbers are fresh and possible;
    otherwise its status says why not and the remedy what to do. "show" tells
    more of one guest.
    """

    notes = (
        'Guests that start or do not run are no problem, nor are those '
        'without a device or a period where mem_stats_period_seconds in '
        "Nova's configuration is 0 or less.")
    exits = {
        outcome.ExitStatus.OK: 'all guests that are meant to report do',
        outcome.ExitStatus.PROBLEMS: 'one does not',
        outcome.ExitStatus.UNREACHABLE: base.UNREACHABLE,
        outcome.ExitStatus.FAILED: 'there is no such guest, or ' + base.FAILED,
    }
    formatter_namespace = 'cliff.formatter.memstat_pollster.status'

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
            '--watch', metavar='SECONDS', nargs='?', type=base.interval,
            const=WATCH_S,
            help='read and show again every so many seconds (default: '
                 f'%(const)g, at least {base.LEAST_PAUSE_S:g}), until '
                 'Ctrl-C; put guests before it')
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
        if any(listing.is_problem(guest, self._wanted)
               for guest in self._found):
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
        return listing.summary(self._found, self._wanted)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[
            tuple[str, ...], list[tuple[typing.Any, ...]]]:
        return tuple(listing.COLUMNS), [
            listing.row(guest)
            for guest in self._found if not parsed_args.problems
            or listing.is_problem(guest, self._wanted)]

    def produce_output(
            self, parsed_args: argparse.Namespace,
            column_names: collections.abc.Sequence[str],
            data: collections.abc.Iterable[typing.Any]) -> int:
        if parsed_args.formatter != 'table' or parsed_args.columns:
            return super().produce_output(parsed_args, column_names, data)
        counts = self._summary()
        width = table.width(self.app.stdout, parsed_args)
        if width is not None:
            counts = textwrap.fill(counts, width)
        if parsed_args.watch is not None:
            # What does not fit on the screen is cut off below.
            self.app.stdout.write(counts + '\n')
        super().produce_output(parsed_args, column_names, data)
        if parsed_args.watch is None:
            self.app.stdout.write(counts + '\n')
        return 0

    def _watch(self, parsed_args: argparse.Namespace) -> typing.NoReturn:
        """Show what every reading says, until a signal ends it."""
        stdout = self.app.stdout
        with (survey.opened(self.app.conf, self.app.make_inspector) as found,
                terminal.screen(stdout) as draw):
            while True:
                try:
                    picture = self._picture(found, parsed_args, stdout)
                finally:
                    self.app.stdout = stdout
                draw(picture)
                time.sleep(parsed_args.watch)

    def _picture(self, found: survey.Node, parsed_args: argparse.Namespace,
                 screen: typing.TextIO) -> str:
        self.app.stdout = picture = terminal.Picture(screen)
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
        return picture.getvalue().rstrip('\n')
