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

"""Every command that has formats, in every format that it has."""

import argparse
import csv
import io
import json
import subprocess

import testtools
import yaml

from memstat_pollster.cli import base
from memstat_pollster.cli.output import values
from tests.unit.cli.commands import test_enable_command
from tests.unit.cli.commands import test_status_command
from tests.unit import commands

LISTS = ('csv', 'json', 'table', 'value', 'yaml')
ONE = ('json', 'shell', 'table', 'value', 'yaml')
#: command -> (its words, its formats)
COMMANDS = {
    'status': (('status', '--wait', '0'), LISTS),
    'show': (('show', 'instance-00000003', '--wait', '0'), ONE),
    'enable': (('enable', '--all', '--dry-run'), LISTS),
    'doctor': (('doctor',), LISTS),
}
FORMULAE = ('=1+2', '+1', '-1', '@SUM(1)', '\t=1', '\r=1', ' =1')


class TestMissing(commands.CommandTest):
    """What is missing is empty; null in JSON and YAML."""

    def setUp(self):
        super().setUp()
        # None of them has a name of Nova's, nor numbers.
        silent = test_status_command.silent(3)
        silent.display_name = None
        self.make(silent, test_enable_command.without(
            4, display_name=None))

    def test_no_format_writes_the_word_none(self):
        for name, (words, formats) in COMMANDS.items():
            for each in formats:
                for more in ((), ('-c', self.column(name))):
                    self.run_command(*words, '-f', each, *more)
                    self.assertNotEqual('', self.stdout, (name, each))
                    self.assertNotIn('None', self.stdout, (name, each, more))

    @staticmethod
    def column(name):
        return 'remedy' if name == 'doctor' else 'name'

    def test_null_where_there_is_such_a_thing(self):
        for name, (words, _formats) in COMMANDS.items():
            for each, load in (('json', json.loads),
                               ('yaml', yaml.safe_load)):
                self.run_command(*words, '-f', each)
                rows = load(self.stdout)
                rows = [rows] if isinstance(rows, dict) else rows
                self.assertIn(None, [row[self.column(name)] for row in rows],
                              (name, each))

    def test_what_is_missing_does_not_keep_others_from_being_sorted(self):
        self.make(test_status_command.web(1), test_status_command.silent(3),
                  test_status_command.web(2, display_name='-x'))
        for each in LISTS:
            self.run_command('status', '--wait', '0', '-f', each,
                             '--sort-column', 'used_mib')
            self.assertEqual('', self.stderr, each)
        self.run_command('status', '--wait', '0', '-f', 'csv', '-c', 'name',
                         '--sort-column', 'name')
        self.assertEqual(['"name"', '"\'-x"', '"silent3"', '"web"'],
                         self.stdout.splitlines())

    def test_empty_elsewhere(self):
        for name, (words, formats) in COMMANDS.items():
            if 'csv' in formats:
                self.run_command(*words, '-f', 'csv')
                rows = list(csv.DictReader(io.StringIO(self.stdout)))
                self.assertIn('', [row[self.column(name)] for row in rows],
                              name)
        self.run_command(*COMMANDS['show'][0], '-f', 'shell')
        self.assertIn('\nused_mib=""\n', self.stdout)


class TestFormulae(commands.CommandTest):
    """No cell of a tenant's is a formula to a spreadsheet."""

    def test_of_each_command(self):
        for number, formula in enumerate(FORMULAE, 1):
            domain = test_enable_command.without(
                number, display_name=formula.replace('\t', '&#9;').replace(
                    '\r', '&#13;'))
            self.make(domain)
            for words in (('status',), ('enable', '--all', '--dry-run')):
                self.run_command(*words, '-f', 'csv', '-c', 'name')
                (row,) = csv.DictReader(io.StringIO(self.stdout))
                self.assertNotIn(row['name'].lstrip()[:1], '=+-@', formula)
                self.run_command(*words, '-f', 'json', '-c', 'name')
                self.assertEqual(formula, json.loads(self.stdout)[0]['name'])

    def test_numbers_stay_numbers(self):
        self.assertEqual((-3, -1.5, '', "'-x"), values.harmless(
            (-3, -1.5, None, '-x'), 'csv'))


class TestShell(commands.CommandTest):
    """-f shell is for eval: a tenant's text must not be run."""

    def test_a_shell_reads_what_was_written(self):
        name = '$(echo x) `echo y` ${HOME} "z" \\ \\" !$'
        self.make(test_status_command.web(3, display_name=(
            name.replace('"', '&quot;'))))
        self.run_command('show', 'instance-00000003', '-f', 'shell', '-c',
                         'name', '-c', 'uuid')
        done = subprocess.run(
            ['sh', '-c', 'eval "$1"; printf %s "$name"', 'sh', self.stdout],
            capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual((name, ''), (done.stdout, done.stderr))

    def test_what_is_no_text_is_json(self):
        self.make(test_status_command.silent(3))
        self.run_command('show', 'instance-00000003', '--wait', '0', '-f',
                         'value', '-c', 'reading')
        self.assertIsNone(json.loads(self.stdout)['available_kib'])


class TestNumbers(testtools.TestCase):
    """Numbers of seconds, as arguments."""

    def accepted(self, kind):
        found = []
        for word in ('0', '0.05', '0.1', '7.5', '1e7', '1e8', '-0', '-1',
                     'nan', 'inf', '-inf', '1e999', '', ' ', 'x', '1_0'):
            try:
                kind(word)
            except argparse.ArgumentTypeError as exc:
                self.assertIn(repr(word), str(exc))
            else:
                found.append(word)
        return found

    def test_how_long(self):
        self.assertEqual(['0', '0.05', '0.1', '7.5', '1e7', '-0'],
                         self.accepted(base.seconds))

    def test_how_often(self):
        self.assertEqual(['0.1', '7.5', '1e7'],
                         self.accepted(base.interval))


class TestWatch(commands.CommandTest):
    def test_without_a_pause(self):
        self.useFixture(commands.CapturedStderr())
        for word in ('0', '-1', 'nan', 'inf', '1e-9'):
            self.assertEqual(3, self.run_command('status', f'--watch={word}'),
                             word)
