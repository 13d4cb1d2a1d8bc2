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

"""memstat-pollster show: all that is known of one guest, and the reasoning."""

import argparse
import collections.abc
import dataclasses
import datetime
import textwrap
import typing

from cliff import show

from memstat_pollster.cli import base
from memstat_pollster.cli.commands import status_command as listing
from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import terminal
from memstat_pollster.cli import select
from memstat_pollster.model import domain
from memstat_pollster.model import fields
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import reasoning
from memstat_pollster.model import stats
from memstat_pollster.model import steps
from memstat_pollster import text


def moment(seconds: int | None) -> str | None:
    """A time stamp in local time, to the second; None when there is none."""
    if not seconds:
        return None
    try:
        return datetime.datetime.fromtimestamp(
            seconds).astimezone().isoformat(sep=' ')
    except (OverflowError, OSError, ValueError):
        return f'{seconds} s after the epoch'


def _reading(guest: judged.Guest) -> dict[str, int | None] | None:
    return None if guest.reading is None else dataclasses.asdict(
        guest.reading)


#: key -> value, beyond those of the listing.
MORE: typing.Final[collections.abc.Mapping[
    str, collections.abc.Callable[[judged.Guest, nova_period.Wanted],
                                  typing.Any]]] = {
    'guest_os': lambda guest, wanted: (
        guest.domain and guest.domain.guest_os.value),
    'balloon_model': lambda guest, wanted: (
        guest.domain and guest.domain.balloon_model),
    'nova_period_s': lambda guest, wanted: wanted.period_s,
    'nova_period_file': lambda guest, wanted: wanted.source,
    'used_from': lambda guest, wanted: guest.memory and guest.memory.source,
    'reading': lambda guest, wanted: _reading(guest),
    'rules': lambda guest, wanted: [
        {'status': answer.status.word, 'holds': answer.holds,
         'why': answer.why} for answer in reasoning.reasoning(guest)],
    'steps': steps.steps,
    'check': steps.check,
}


class Show(base.Command, show.ShowOne):
    """Show all that is known of one guest, and why its status is what it is.

    What libvirt says of it, each number with its meaning and its name in the
    guest's own /proc/meminfo; what is in force in its live XML and what Nova
    wants; each rule with its answer, in the order in which they are asked,
    up to the one that decided; what to do, step by step, for that guest's
    operating system, and how to see that it helped.
    """

    _epilog = ('Exit status: 0 when the guest is fine, 1 when somebody has to '
               'see to it, 2 when libvirt cannot be reached, 3 when there is '
               'no such guest or the command could not do its work.')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        # cliff's "defaults to table" would be no table.
        parser._option_string_actions['--format'].help = (
            'the output format; table, the default, is a text to read unless '
            '-c chooses columns')
        base.add_guest(parser, 'guest')
        base.add_wait(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        cycle = self.survey(parsed_args.wait, [parsed_args.guest])
        self._wanted = cycle.wanted
        self._guest = select.find_one(cycle, parsed_args.guest)
        super().run(parsed_args)
        if listing.is_problem(self._guest, self._wanted):
            return outcome.ExitStatus.PROBLEMS
        return outcome.ExitStatus.OK

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[
            tuple[str, ...], tuple[typing.Any, ...]]:
        more = tuple(value(self._guest, self._wanted)
                     for value in MORE.values())
        return ((*listing.COLUMNS, *MORE),
                listing.row(self._guest, parsed_args.formatter)
                + base.harmless(more, parsed_args.formatter))

    def produce_output(
            self, parsed_args: argparse.Namespace,
            column_names: collections.abc.Sequence[str],
            data: typing.Any) -> int:
        if parsed_args.formatter != 'table' or parsed_args.columns:
            return super().produce_output(parsed_args, column_names, data)
        width = (parsed_args.max_width if parsed_args.max_width > 0
                 else terminal.width(self.app.stdout))
        self.app.stdout.write(_Text(
            self._guest, self._wanted, width,
            terminal.has_colours(self.app.stdout)).text())
        return 0


class _Text:
    """A guest for people to read."""

    def __init__(self, guest: judged.Guest, wanted: nova_period.Wanted,
                 width: int, coloured: bool) -> None:
        self._guest, self._wanted = guest, wanted
        self._width, self._coloured = width, coloured
        self._lines: list[str] = []

    def text(self) -> str:
        guest = self._guest
        self._head()
        self._title('How it was judged: the first rule that holds decides')
        self._rules()
        self._title('What is in force, and what is wanted')
        self._configuration()
        if guest.reading is not None:
            self._title('What libvirt says')
            self._numbers(guest.reading)
        done = steps.steps(guest, self._wanted)
        if done:
            self._title('What to do')
            self._steps(done)
            self._title('How to see that it helped')
            self._steps(steps.check(guest, self._wanted))
        return '\n'.join(self._lines) + '\n'

    def _title(self, text: str) -> None:
        self._lines += ['', text]

    def _put(self, first: str, text: str) -> None:
        """A line, and what does not fit on it below, indented alike."""
        indent = ' ' * len(first)
        if self._width - len(first) < 20:
            self._lines.append(first.rstrip())
            first = indent = '    '
        self._lines += textwrap.wrap(
            text, max(self._width, 40), initial_indent=first,
            subsequent_indent=indent, break_long_words=False,
            break_on_hyphens=False) or [first.rstrip()]

    def _head(self) -> None:
        guest, now = self._guest, self._guest.verdict.status
        names = dict.fromkeys(filter(None, (guest.display_name, guest.name)))
        self._lines.append(' / '.join(map(text.printable, names)))
        self._put('  uuid      ', guest.uuid)
        start = len(self._lines)
        self._put('  status    ', f'{now.word}: ' + text.printable(
            guest.verdict.detail, base.TEXT_LENGTH))
        self._lines[start] = self._lines[start].replace(
            now.word, terminal.paint(now.word, now, self._coloured), 1)
        guest_os = guest.domain and guest.domain.guest_os
        if guest_os and guest_os is not domain.GuestOS.UNKNOWN:
            self._put('  guest OS  ', f'{guest_os.value}, by its metadata')
        if guest.memory is not None:
            used, total = (listing.mib(guest.memory.used_kib),
                           listing.mib(guest.memory.available_kib))
            self._put('  used      ', f'{used} of {total} MiB, '
                      f'{guest.memory.util_percent:.1f} %: '
                      + fields.FORMULAE[guest.memory.source])

    def _rules(self) -> None:
        for answer in reasoning.reasoning(self._guest):
            if answer.holds is None:
                self._put(f'  -    {answer.status.word:<16} ', 'not asked')
                continue
            start = len(self._lines)
            self._put(f'  {"YES" if answer.holds else "no ":<4} '
                      f'{answer.status.word:<16} ', text.printable(
                          answer.why or '', base.TEXT_LENGTH))
            if answer.holds:
                self._lines[start] = self._lines[start].replace(
                    'YES', terminal.paint('YES', answer.status,
                                          self._coloured), 1)

    def _configuration(self) -> None:
        seen = self._guest.domain
        if seen is None:
            balloon = 'not known'
        elif not seen.has_balloon:
            balloon = 'no balloon device'
        else:
            balloon = (f'a balloon (model {seen.balloon_model}), '
                       + (f'period {seen.period_s} s' if seen.period_s
                          else 'no statistics period'))
        self._put('  live XML  ', text.printable(balloon))
        source = self._wanted.source or "Nova's default"
        self._put('  Nova      ', f'mem_stats_period_seconds is '
                  f'{self._wanted.period_s} ({source})')

    def _numbers(self, reading: stats.Reading) -> None:
        self._put(f'  {"field":<12}{"KiB":>12}  {"/proc/meminfo":<17} ',
                  'meaning')
        for field in fields.FIELDS:
            value = getattr(reading, field.attribute)
            self._put(
                f'  {field.name:<12}{"-" if value is None else value:>12}  '
                f'{field.origin:<17} ', field.meaning)
        stamp = moment(reading.last_update_s)
        if reading.last_update_s == 0:
            stamp = 'never'
        self._put('  last-update ', f'{stamp or "not said"}: when the guest '
                  'last answered, by the clock of this host')

    def _steps(self, steps: collections.abc.Iterable[str]) -> None:
        for number, step in enumerate(steps, 1):
            self._put(f'  {number}. ', step)
