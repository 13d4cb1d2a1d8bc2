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

"""A guest as a text to read."""

import collections.abc
import textwrap
import typing

from memstat_pollster.cli.output import terminal
from memstat_pollster.cli.output import values
from memstat_pollster.model import domain
from memstat_pollster.model import fields
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import reasoning
from memstat_pollster.model import stats
from memstat_pollster.model import steps
from memstat_pollster import text


#: By what a guest's operating system is known, as a text.
KNOWN_BY: typing.Final = {
    domain.KnownBy.OS_DISTRO: 'by the image property os_distro',
    domain.KnownBy.OS_TYPE: 'by the image property os_type',
    domain.KnownBy.LIBOSINFO: "by libosinfo's part of its metadata",
    domain.KnownBy.HYPERV: 'by the Hyper-V features in its XML',
}


class GuestText:
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
        self._lines.append(' / '.join(map(text.printable, guest.names)))
        self._put('  uuid      ', guest.uuid)
        start = len(self._lines)
        self._put('  status    ', f'{now.word}: ' + text.printable(
            guest.verdict.detail, values.TEXT_LENGTH))
        self._lines[start] = self._lines[start].replace(
            now.word, terminal.paint(now.word, now, self._coloured), 1)
        seen = guest.domain
        if seen is not None and seen.os_known_by is not None:
            self._put('  guest OS  ', f'{seen.guest_os.value}, '
                      + KNOWN_BY[seen.os_known_by])
        if guest.memory is not None:
            used, total = (values.mib(guest.memory.used_kib),
                           values.mib(guest.memory.available_kib))
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
                          answer.why or '', values.TEXT_LENGTH))
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
        wanted = self._wanted
        if wanted.problems and wanted.source is None:
            self._put('  Nova      ', 'mem_stats_period_seconds is taken to '
                      f'be {wanted.period_s}: '
                      + text.printable('; '.join(wanted.problems),
                                       values.TEXT_LENGTH))
            return
        source = wanted.source or "Nova's default"
        self._put('  Nova      ', f'mem_stats_period_seconds is '
                  f'{wanted.period_s} ({source})')

    def _numbers(self, reading: stats.Reading) -> None:
        self._put(f'  {"field":<12}{"KiB":>12}  {"/proc/meminfo":<17} ',
                  'meaning')
        for field in fields.FIELDS:
            value = getattr(reading, field.attribute)
            self._put(
                f'  {field.name:<12}{"-" if value is None else value:>12}  '
                f'{field.origin:<17} ', field.meaning)
        stamp = values.moment(reading.last_update_s)
        if reading.last_update_s == 0:
            stamp = 'never'
        self._put('  last-update ', f'{stamp or "not said"}: when the guest '
                  'last answered, by the clock of this host')

    def _steps(self, steps: collections.abc.Iterable[str]) -> None:
        for number, step in enumerate(steps, 1):
            self._put(f'  {number}. ', step)
