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
import dataclasses
import time
import typing

from cliff import lister

from memstat_pollster.cli import base
from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import table
from memstat_pollster.cli.output import terminal
from memstat_pollster.cli import select
from memstat_pollster.cli import survey
from memstat_pollster.config import connection_uri
from memstat_pollster.model import domain
from memstat_pollster.model import facts
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import observation
from memstat_pollster.model import status

#: How often a guest whose period was set is looked at.
POLL_S: typing.Final = 0.5

#: Beyond three periods: a driver may have just been bound.
SLACK_S: typing.Final = 10.0

WOULD_SET, SET, SKIPPED, FAILED = 'would_set', 'set', 'skipped', 'failed'

COLUMNS: typing.Final = ('name', 'libvirt_name', 'uuid', 'action', 'status',
                         'detail')

#: What people get to see of a step, in fewer columns.
_TABLE: typing.Final = (table.Column('action'), table.Column('status'))

#: Why a guest is skipped where somebody has to do something about it.
HARD_REBOOT: typing.Final = (
    'it has no balloon device: hard reboot it, so that Nova writes its XML '
    'anew')


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What is done about one guest.

    :ivar action: would_set, set, skipped or failed
    :ivar detail: why, or what came of it
    :ivar unsolved: whether somebody has to see to the guest
    """

    guest: judged.Guest
    action: str
    detail: str
    unsolved: bool = False


def plan(guest: judged.Guest, period_s: int) -> Step:
    """What is to be done about a guest."""
    seen = guest.domain
    if guest.verdict.status is status.Status.NOT_RUNNING:
        return Step(guest, SKIPPED, f'{guest.verdict.detail}; Nova gives it '
                    f'a period when it starts it')
    if guest.verdict.status is status.Status.UNREACHABLE or seen is None:
        return Step(guest, SKIPPED, guest.verdict.detail, True)
    if not seen.has_balloon:
        return Step(guest, SKIPPED, HARD_REBOOT, True)
    if (seen.period_s or 0) > 0:
        return Step(guest, SKIPPED, _has_one(seen))
    return Step(guest, WOULD_SET, f'its period is to be {period_s} s')


def _has_one(seen: domain.Domain) -> str:
    return f'its period is {seen.period_s} s already'


def refuse(xml: str) -> str | None:
    """Why a guest of this live XML must not be given a period; or None."""
    try:
        seen = domain.parse(xml)
    except domain.InvalidDomainXML as exc:
        return f'its live XML cannot be parsed: {exc}'
    if seen.domain_id < 0:
        return 'it has been shut off'
    if not seen.has_balloon:
        return HARD_REBOOT
    return _has_one(seen) if (seen.period_s or 0) > 0 else None


class Enable(base.Command, lister.Lister):
    """Have QEMU ask running guests for memory statistics, without a reboot.

    For guests that have a balloon device but no statistics period
    (stats_disabled): they were started when Nova's option was 0, by a Nova
    that knew none, or by other means. Their period is set live to Nova's
    mem_stats_period_seconds, after a look at the plan; then the command waits
    until they report. A guest whose period is set is never touched, and
    nothing at all where Nova's option is 0 or less. Needs root, or whoever
    may use libvirt's read-write socket.
    """

    _epilog = (
        'The period is set in the running guest only. It stays through '
        'reboots from inside the guest and through live migration. What '
        'libvirt starts the guest from next time is left to Nova, which '
        'writes it anew, with its own period, at a hard reboot and whenever '
        'it starts a guest that was stopped; a soft reboot through Nova '
        'starts it from the old one again, without a period. '
        'Exit status: 0 when every guest that was chosen has a period and '
        'reports, or does not run; 1 when one does not; 3 when nothing was '
        'changed.')
    formatter: typing.Any

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
                 f'periods and {SLACK_S:g} s; 0: do not wait)')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        if bool(parsed_args.guests) == parsed_args.all:
            raise outcome.CommandFailed(
                'name the guests, or say --all for all that need it')
        self._steps: list[Step] = []
        self._interrupted = False
        super().run(parsed_args)
        if self._interrupted:
            raise KeyboardInterrupt
        if any(step.unsolved for step in self._steps):
            return outcome.ExitStatus.PROBLEMS
        return outcome.ExitStatus.OK

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[
            tuple[str, ...], list[tuple[typing.Any, ...]]]:
        with survey.opened(self.app.conf, self.app.make_inspector) as found:
            cycle = found.read()
            period_s = self._period(cycle.wanted, parsed_args.period)
            self._steps = self._plan(cycle, parsed_args, period_s)
            todo = [step.guest for step in self._steps
                    if step.action == WOULD_SET]
            if todo and not parsed_args.dry_run:
                if not parsed_args.yes:
                    self._ask(period_s)
                self._set(found, period_s)
                wait_s = parsed_args.wait
                if wait_s is None:
                    wait_s = 3 * period_s + SLACK_S
                try:
                    self._await(found, wait_s)
                except KeyboardInterrupt:
                    self._interrupted = True
        return COLUMNS, [self._row(step, parsed_args.formatter)
                         for step in self._steps]

    @staticmethod
    def _row(step: Step, formatter: str) -> tuple[typing.Any, ...]:
        return base.harmless((
            step.guest.display_name, step.guest.name, step.guest.uuid,
            step.action, step.guest.verdict.status.word, step.detail),
            formatter)

    @staticmethod
    def _period(wanted: nova_period.Wanted, chosen: int | None) -> int:
        """The period to set.

        :raises outcome.CommandFailed: where Nova says
            that there is to be none, or what it says is not known
        """
        if wanted.period_s <= 0:
            raise outcome.CommandFailed(
                f"Nova's [libvirt]mem_stats_period_seconds is "
                f'{wanted.period_s} ({wanted.source}): statistics are '
                f'switched off on purpose; nothing has been changed')
        if chosen is not None:
            return chosen
        if wanted.problems:
            raise outcome.CommandFailed(
                "what Nova's [libvirt]mem_stats_period_seconds is cannot be "
                f'known: {"; ".join(wanted.problems)}; say which period is '
                f'meant with --period')
        return wanted.period_s

    @staticmethod
    def _plan(cycle: judged.Cycle, parsed_args: argparse.Namespace,
              period_s: int) -> list[Step]:
        """Of all guests only those that need something."""
        if not parsed_args.all:
            return [plan(guest, period_s)
                    for guest in select.find(cycle, parsed_args.guests)]
        steps = [plan(guest, period_s) for guest in cycle.guests.values()]
        return [step for step in steps
                if step.action == WOULD_SET or step.unsolved]

    def _ask(self, period_s: int) -> None:
        """Show the plan, and go on when the operator says so.

        :raises outcome.CommandFailed: otherwise
        """
        if not self.app.stdin.isatty():
            raise outcome.CommandFailed(
                'there is no terminal to ask at; say --yes to go on, or '
                '--dry-run to see the plan; nothing has been changed')
        count = 0
        for step in self._steps:
            mark = '+' if step.action == WOULD_SET else ' '
            count += step.action == WOULD_SET
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

    def _set(self, found: survey.Node, period_s: int) -> None:
        """Give each guest of the plan its period.

        :raises outcome.CommandFailed: when libvirt lets
            this user change nothing
        """
        for position, step in enumerate(self._steps):
            if step.action != WOULD_SET:
                continue
            try:
                found.inspector.set_period(step.guest.uuid, period_s, refuse)
            except observation.ReadFailed as exc:
                if exc.advice is not None and not any(
                        each.action == SET for each in self._steps):
                    raise outcome.CommandFailed(
                        f'libvirt at {connection_uri.of(self.app.conf)}: '
                        f'{exc}; {exc.advice}') from exc
                self._steps[position] = dataclasses.replace(
                    step, action=FAILED, detail=str(exc), unsolved=True)
            else:
                self._steps[position] = dataclasses.replace(
                    step, action=SET, unsolved=True,
                    detail=f'its period is {period_s} s now; it has not '
                           f'reported yet')

    def _await(self, found: survey.Node, wait_s: float) -> None:
        """Read until all guests that were given a period report."""
        began = time.monotonic()
        with terminal.Progress(self.app.stderr) as progress:
            while True:
                elapsed_s = time.monotonic() - began
                try:
                    cycle = found.read()
                except outcome.LibvirtUnreachable:
                    # It may answer again; what was set stays set.
                    cycle = None
                if cycle is not None:
                    self._steps = [self._followed(step, cycle, elapsed_s)
                                   for step in self._steps]
                given = [step for step in self._steps if step.action == SET]
                silent = sum(step.unsolved for step in given)
                if not silent or elapsed_s >= wait_s:
                    return
                done = len(given) - silent
                progress.show(f'{done} of {len(given)} guests report',
                              done / len(given))
                time.sleep(POLL_S)

    @staticmethod
    def _followed(step: Step, cycle: judged.Cycle,
                  elapsed_s: float) -> Step:
        """What has become of a guest that was given a period."""
        guest = cycle.guests.get(step.guest.uuid)
        if step.action != SET or not step.unsolved or guest is None:
            return step
        if guest.verdict.status is status.Status.REPORTING:
            return Step(guest, SET, f'it reports after {elapsed_s:.1f} s')
        return Step(guest, SET, 'it has not reported yet: '
                    + guest.verdict.detail, True)

    def produce_output(
            self, parsed_args: argparse.Namespace,
            column_names: collections.abc.Sequence[str],
            data: collections.abc.Iterable[typing.Any]) -> int:
        if parsed_args.formatter == 'table' and not self._steps:
            self.app.stdout.write('every running guest has a period\n')
            return 0
        if parsed_args.formatter == 'table' and not parsed_args.columns:
            self.formatter = table.Formatter(
                self.formatter, _TABLE, 'detail', lambda record: table.Row(
                    table.names(record), (
                        record['action'],
                        table.status(record, self.app.stdout)),
                    record['detail']), self.app.stdout)
        return super().produce_output(parsed_args, column_names, data)


def _period(text: str) -> int:
    """A statistics period as an argument, in whole seconds, above 0."""
    if not text.isdecimal() or not 0 < int(text) <= facts.MAX_PERIOD_S:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no whole number of seconds above 0')
    return int(text)
