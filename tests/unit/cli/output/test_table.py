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

"""How rows are laid out; a terminal's width is given."""

import argparse
import io

from cliff.formatters import table as framed
import testtools

from memstat_pollster.cli.output import table
from memstat_pollster.cli.output import terminal

COLUMNS = (table.Column('status', 9), table.Column('used', right=True))
UUID = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee'
WEB = table.Row(('web', 'instance-1', UUID), ('reporting', '234.0'), '')
SICK = table.Row(
    ('a-name-of-20-columns', 'instance-2', UUID),
    ('\033[31mstale\033[0m', '-'),
    f'say "run --period 10 {UUID}" and wait')


def shown(width, *rows):
    """The lines of a table."""
    stdout = io.StringIO()
    table.Table(COLUMNS, 'do', rows).emit(
        framed.TableFormatter().emit_list, stdout, argparse.Namespace(
            max_width=0, fit_width=False, print_empty=True), width)
    return stdout.getvalue().splitlines()


class TestFrame(testtools.TestCase):
    """Where there is room for all columns."""

    def test_as_wide_as_it_likes(self):
        rule = f"+{'-' * 38}+-----------+-------+{'-' * 48}+"
        self.assertEqual([
            rule,
            f"| {'guest':36} | status    | used  | {'do':46} |",
            rule,
            f"| {'web':36} | reporting | 234.0 | {'-':46} |",
            f"| {'instance-1':36} |           |       | {'':46} |",
            f"| {UUID} |           |       | {'':46} |",
            f"| {'a-name-of-20-columns':36} | \033[31mstale\033[0m     "
            '| -     | say "run --period 10' + ' ' * 27 + '|',
            f"| {'instance-2':36} |           |       | "
            f'{UUID}" and wait |',
            f"| {UUID} |           |       | {'':46} |",
            rule], shown(None, WEB, SICK))

    def test_the_text_takes_what_is_left(self):
        row = table.Row(SICK.names, SICK.cells, 'x' * 400)
        for width in (101, 109, 140):
            self.assertEqual({width}, set(map(
                terminal.columns, shown(width, WEB, row))))

    def test_a_long_name_leaves_the_text_its_room(self):
        row = table.Row(('n' * 50, UUID), WEB.cells, '')
        for width, pieces in ((109, [36, 14]), (119, [46, 4]), (123, [50])):
            self.assertEqual(
                pieces, [len(line.split()[1])
                         for line in shown(width, row)
                         if line.startswith('| n')], width)

    def test_no_rows(self):
        for width in (None, 80):
            self.assertEqual('| guest | status | used | do |',
                             shown(width)[1])


class TestNarrow(testtools.TestCase):
    """Nothing is left out where there is less room."""

    def test_it_begins_where_a_uuid_in_a_command_would_be_torn(self):
        self.assertEqual('+---', shown(101, WEB, SICK)[0][:4])
        self.assertEqual('gues', shown(100, WEB, SICK)[0][:4])

    def test_names_beside_their_cells(self):
        self.assertEqual([
            'guest                 status      used',
            '-' * 80,
            'web                   reporting  234.0',
            f'  instance-1  {UUID}',
            'a-name-of-20-columns  \033[31mstale\033[0m          -',
            f'  instance-2  {UUID}',
            f'  say "run --period 10 {UUID}" and wait',
        ], shown(80, WEB, SICK))

    def test_a_name_that_is_too_long_for_that(self):
        self.assertEqual([
            'guest                  status      used',
            '-' * 39,
            'web                    reporting  234.0',
            '  instance-1',
            f'  {UUID}',
            '网' * 19, '网',
            '                       reporting  234.0',
            '  say "run --period 10',
            f'  {UUID}"',
            '  and wait',
        ], shown(39, WEB, table.Row(('网' * 20,), WEB.cells, SICK.text)))

    def test_no_room_for_names_beside_cells(self):
        self.assertEqual([
            'guest',
            '  status      used',
            '-' * 29,
            'web',
            '  reporting  234.0',
            '  instance-1',
            f'  {UUID[:27]}', f'  {UUID[27:]}',
        ], shown(29, WEB))

    def test_no_room_for_the_cells_in_one_line(self):
        self.assertEqual([
            'guest',
            '  status',
            '  used',
            '-' * 12,
            'a-name-of-20', '-columns',
            '  \033[31mstale\033[0m',
            '     -',
        ], shown(12, SICK)[:8])

    def test_nothing_is_lost_however_narrow(self):
        for width in range(9, 140):
            lines = shown(width, WEB, SICK)
            self.assertTrue(max(map(terminal.columns, lines))
                            <= max(width, 11), (width, lines))
            text = ''.join(lines).replace(' ', '')
            for word in (*WEB.names, *SICK.names, 'stale', '234.0', 'wait'):
                if not text.startswith('+'):
                    self.assertIn(word, text)
