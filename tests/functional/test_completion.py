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
"""Completion in bash, and the man page."""

import os
import pathlib
import subprocess
import sys

import fixtures
import testtools

from tests.functional import base

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = os.path.join(os.path.dirname(sys.executable), 'memstat-pollster')
BASH_COMPLETION = '/usr/share/bash-completion/bash_completion'

#: What bash does when TAB is pressed after the words given.
PRESS_TAB = f"""
source {BASH_COMPLETION}
source "$1"
shift
COMP_WORDS=(memstat-pollster "$@")
COMP_CWORD=$#
COMP_LINE="${{COMP_WORDS[*]}}"
COMP_POINT=${{#COMP_LINE}}
$(complete -p memstat-pollster | sed 's/.* -F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


class TestCompletion(testtools.TestCase):

    def setUp(self):
        super().setUp()
        if not os.path.exists(BASH_COMPLETION):
            if base.must_run():
                self.fail('bash-completion is missing')
            self.skipTest('FUNCTIONAL TESTS DO NOT RUN HERE: '
                          'bash-completion is missing')
        self.script = pathlib.Path(self.useFixture(
            fixtures.TempDir()).path) / 'memstat-pollster'
        self.script.write_text(subprocess.run(
            [COMMAND, 'complete'], check=True, capture_output=True,
            text=True, timeout=60).stdout)

    def press_tab(self, *words):
        done = subprocess.run(
            ['bash', '--norc', '-c', PRESS_TAB, 'bash', str(self.script),
             *words], check=True, capture_output=True, text=True, timeout=60)
        self.assertEqual('', done.stderr)
        return done.stdout.split()

    def test_commands(self):
        self.assertEqual(['doctor'], self.press_tab('do'))
        self.assertEqual(['report'], self.press_tab('rep'))
        missing = ({'complete', 'doctor', 'help', 'report', 'status'}
                   - set(self.press_tab('')))
        self.assertEqual(set(), missing)

    def test_options(self):
        self.assertEqual(['--output'], self.press_tab('report', '--out'))
        self.assertEqual(['--user'], self.press_tab('doctor', '--us'))

    def test_files(self):
        self.assertEqual([f'{ROOT}/README.rst'],
                         self.press_tab('report', f'{ROOT}/READ'))


class TestManPage(testtools.TestCase):

    def test_it_has_every_command(self):
        """That it is what --help says, tox -e manpage-check tells."""
        page = (ROOT / 'doc/man/memstat-pollster.1').read_text()
        listed = subprocess.run(
            [COMMAND, '--help'], check=True, capture_output=True, text=True,
            timeout=60).stdout.partition('Commands:\n')[2]
        commands = {line.split()[0] for line in listed.splitlines()
                    if line.startswith('  ') and line[2] != ' '}
        self.assertTrue({'doctor', 'report', 'status'} <= commands, listed)
        self.assertEqual(
            {name.replace('-', '\\-') for name in commands
             - {'complete', 'help'}},
            {line.removeprefix('.SS ') for line in page.splitlines()
             if line.startswith('.SS ')})
