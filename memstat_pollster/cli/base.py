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

"""What the commands have in common."""

import argparse
import collections.abc
import typing

from cliff import command
from cliff import display

from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import values
from memstat_pollster.cli import select
from memstat_pollster.cli import survey
from memstat_pollster.model import judged

if typing.TYPE_CHECKING:
    from memstat_pollster.cli import application


#: The shortest pause between two readings, and the longest time to wait.
LEAST_PAUSE_S: typing.Final = 0.1
MOST_S: typing.Final = 1e7


_Exit = outcome.ExitStatus

#: Of every command that asks libvirt.
UNREACHABLE: typing.Final = 'libvirt cannot be reached'
#: Of every command.
FAILED: typing.Final = 'the command could not do its work'


class Command(command.Command):
    """A command of memstat-pollster.

    :ivar app: the application; ``app.conf`` is the agent's configuration
    """

    app: 'application.App'
    #: What the help ends with, before the exit statuses.
    notes: typing.ClassVar[str] = ''
    #: Every exit status that the command has, and when.
    exits: typing.ClassVar[collections.abc.Mapping[outcome.ExitStatus, str]]

    def get_epilog(self) -> str:
        """What the help ends with.

        cliff would say which installed package brings the command, and reads
        the metadata of all packages there are to find out: 0.1 s.
        """
        found = 'Exit status: ' + '; '.join(
            f'{int(number)} when {when}'
            for number, when in sorted(self.exits.items())) + '.'
        return f'{self.notes} {found}' if self.notes else found

    def survey(self, wait_s: float,
               words: collections.abc.Collection[str] = ()) -> judged.Cycle:
        """All guests of this node; see ``survey.survey``.

        :param words: names of the guests to be waited for; none: all
        """
        cycle = survey.survey(
            self.app.conf, wait_s, self.app.make_inspector, self.app.stderr,
            lambda cycle: [
                guest for word in words for guest in select.named(
                    cycle, word)] if words else cycle.guests.values())
        for problem in cycle.wanted.problems:
            self.app.LOG.warning(
                "Nova's mem_stats_period_seconds is taken to be %d s, "
                'because %s', cycle.wanted.period_s, problem)
        return cycle


class _Harmless:
    """A formatter of cliff's whose rows may leave in its format.

    They are made so here, after cliff has sorted them by their values.
    """

    def __init__(self, formatter: typing.Any, name: str) -> None:
        self._formatter, self._name = formatter, name

    def emit_list(self, column_names: collections.abc.Sequence[str],
                  data: collections.abc.Iterable[
                      collections.abc.Sequence[typing.Any]],
                  stdout: typing.TextIO,
                  parsed_args: argparse.Namespace) -> None:
        self._formatter.emit_list(
            column_names, [self._row(row) for row in data], stdout,
            parsed_args)

    def emit_one(self, column_names: collections.abc.Sequence[str],
                 data: collections.abc.Sequence[typing.Any],
                 stdout: typing.TextIO,
                 parsed_args: argparse.Namespace) -> None:
        self._formatter.emit_one(column_names, self._row(data), stdout,
                                 parsed_args)

    def _row(self, row: collections.abc.Sequence[typing.Any],
             ) -> tuple[typing.Any, ...]:
        return values.harmless(tuple(row), self._name)


class Shown(Command, display.DisplayCommandBase):
    """A command with ``-f``, whatever its format is for.

    :ivar formatter: cliff's, chosen for each run
    """

    formatter: typing.Any

    def produce_output(
            self, parsed_args: argparse.Namespace,
            column_names: collections.abc.Sequence[str],
            data: typing.Any) -> int:
        self.formatter = _Harmless(self.formatter, parsed_args.formatter)
        return int(super().produce_output(parsed_args, column_names, data))


def seconds(text: str) -> float:
    """A number of seconds as an argument, 0 or more."""
    return _seconds(text, 0.0)


def interval(text: str) -> float:
    """A pause in seconds as an argument; without one a loop takes a core."""
    return _seconds(text, LEAST_PAUSE_S)


def _seconds(text: str, least: float) -> float:
    try:
        # Python would take 1_0 for 10.
        value = -1.0 if '_' in text else float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= MOST_S:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no number of seconds from {least:g} to {MOST_S:g}')
    return value


def add_guest(parser: argparse.ArgumentParser, dest: str, *,
              nargs: str | None = None, default: str = '') -> None:
    """The argument that names guests, as ``select.named`` takes them.

    :param dest: attribute of the parsed arguments
    :param nargs: argparse's; None: one guest
    :param default: what stands for no name, where none need be given
    """
    parser.add_argument(
        dest, metavar='GUEST', nargs=nargs,
        help="a UUID, libvirt's name or Nova's"
             + (f' (default: {default})' if default else ''))


def add_wait(parser: argparse.ArgumentParser) -> None:
    """The option that bounds ``survey``."""
    parser.add_argument(
        '--wait', metavar='SECONDS', type=seconds, default=survey.WAIT_S,
        help='one reading cannot tell whether the numbers of a guest that '
             'was resumed, restored or migrated still move; wait no longer '
             'than this for the next ones (default: %(default)g; 0: read '
             'once)')
