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

"""memstat-pollster enable: give running guests a statistics period."""

import argparse
import collections.abc
import typing

from cliff import lister

from memstat_pollster.cli import base
from memstat_pollster.cli import enabling
from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import terminal
from memstat_pollster.cli import select
from memstat_pollster.cli import survey
from memstat_pollster.model import facts
from memstat_pollster.model import judged

COLUMNS: typing.Final = ('name', 'libvirt_name', 'uuid', 'action', 'status',
                         'detail')


class Enable(base.Shown, lister.Lister):
    """Have QEMU ask running guests for memory statistics, without a reboot.

    For guests that have a balloon device but no statistics period
    (stats_disabled): they were started when Nova's option was 0, by a Nova
    that knew none, or by other means. Their period is set live to Nova's
    mem_stats_period_seconds, after a look at the plan; then the command waits
    until they report. A guest whose period is set is never touched, and
    nothing at all where Nova's option is 0 or less. Needs root, or whoever
    may use libvirt's read-write socket.
    """

    notes = (
        'The period is set in the running guest only. It stays through '
        'reboots from inside the guest and through live migration. What '
        'libvirt starts the guest from next time is left to Nova, which '
        'writes it anew, with its own period, at a hard reboot and whenever '
        'it starts a guest that was stopped; a soft reboot through Nova '
        'starts it from the old one again, without a period.')
    exits = {
        outcome.ExitStatus.OK:
            'every guest that was chosen has a period and reports, or does '
            'not run',
        outcome.ExitStatus.PROBLEMS: 'one does not',
        outcome.ExitStatus.UNREACHABLE: base.UNREACHABLE,
        outcome.ExitStatus.FAILED:
            'nothing was changed, or an error ended it, after it said what '
            'was',
    }
    formatter_namespace = 'cliff.formatter.memstat_pollster.enable'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_guest(parser, 'guests', nargs='*')
        parser.add_argument(
            '--all', action='store_true',
            help='every guest of this node that needs it')
        parser.add_argument(
            '--period', metavar='SECONDS', type=_period,
            help="another period than Nova's option")
        parser.add_argument(
            '-y', '--yes', action='store_true',
            help='do not ask, for scripts')
        parser.add_argument(
            '--dry-run', action='store_true',
            help='show the plan, change nothing')
        parser.add_argument(
            '--wait', metavar='SECONDS', type=base.seconds,
            help='how long the guests may take to report (default: three '
                 f'periods and {enabling.SLACK_S:g} s; 0: do not wait)')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        if bool(parsed_args.guests) == parsed_args.all:
            raise outcome.CommandFailed(
                'name the guests, or say --all for all that need it')
        self._kept = enabling.Kept()
        super().run(parsed_args)
        self._kept.raise_again()
        if any(step.unsolved for step in self._enabling.steps):
            return outcome.ExitStatus.PROBLEMS
        return outcome.ExitStatus.OK

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[
            tuple[str, ...], list[tuple[typing.Any, ...]]]:
        with (self._kept as kept, terminal.ended_by_signals(),
                survey.opened(self.app.conf,
                              self.app.make_inspector) as found):
            cycle = found.read()
            period_s = enabling.period(cycle.wanted, parsed_args.period)
            self._enabling = work = enabling.Enabling(
                found, period_s, self._plan(cycle, parsed_args, period_s))
            if work.todo and not parsed_args.dry_run:
                if not parsed_args.yes:
                    self._ask(period_s)
                kept.work = work
                work.set()
                wait_s = parsed_args.wait
                if wait_s is None:
                    wait_s = 3 * period_s + enabling.SLACK_S
                work.follow(wait_s, terminal.Progress(self.app.stderr))
        return COLUMNS, [self._row(step) for step in self._enabling.steps]

    @staticmethod
    def _row(step: enabling.Step) -> tuple[typing.Any, ...]:
        return (step.guest.display_name, step.guest.name, step.guest.uuid,
                step.action, step.guest.verdict.status.word, step.detail)

    @staticmethod
    def _plan(cycle: judged.Cycle, parsed_args: argparse.Namespace,
              period_s: int) -> list[enabling.Step]:
        """Of all guests only those that need something."""
        if not parsed_args.all:
            return [enabling.plan(guest, period_s)
                    for guest in select.find_to_change(
                        cycle, parsed_args.guests,
                        not parsed_args.yes or parsed_args.dry_run)]
        steps = [enabling.plan(guest, period_s)
                 for guest in cycle.guests.values()]
        return [step for step in steps
                if step.action == enabling.WOULD_SET or step.unsolved]

    def _ask(self, period_s: int) -> None:
        """Show the plan, and go on when the operator says so.

        :raises outcome.CommandFailed: otherwise
        """
        if not self.app.stdin.isatty():
            raise outcome.CommandFailed(
                'there is no terminal to ask at; say --yes to go on, or '
                '--dry-run to see the plan; nothing has been changed')
        count = len(self._enabling.todo)
        for step in self._enabling.steps:
            mark = '+' if step.action == enabling.WOULD_SET else ' '
            self.app.stderr.write(f'{mark} {step.guest}: {step.detail}\n')
        self.app.stderr.write(f'Set the period of {count} '
                              f'guest{"s" * (count != 1)} to {period_s} s, '
                              f'live? [y/N] ')
        self.app.stderr.flush()
        answer = ''
        try:
            answer = self.app.stdin.readline()
        finally:
            # Neither Ctrl-C nor Ctrl-D ends the line of the question.
            if not answer.endswith('\n'):
                self.app.stderr.write('\n')
        if answer.strip().lower() not in ('y', 'yes'):
            raise outcome.CommandFailed('nothing has been changed')

    def produce_output(
            self, parsed_args: argparse.Namespace,
            column_names: collections.abc.Sequence[str],
            data: collections.abc.Iterable[typing.Any]) -> int:
        if parsed_args.formatter == 'table' and not self._enabling.steps:
            self.app.stdout.write('every running guest has a period\n')
            return 0
        return super().produce_output(parsed_args, column_names, data)


def _period(text: str) -> int:
    """A statistics period as an argument, in whole seconds, above 0."""
    if not text.isdecimal() or not 0 < int(text) <= facts.MAX_PERIOD_S:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no whole number of seconds above 0')
    return int(text)
