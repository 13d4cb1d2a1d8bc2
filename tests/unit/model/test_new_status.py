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

"""What a new status needs: one rule and one row, and no other place."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import fixtures
import testtools

import memstat_pollster
from tests import unit
from tests.unit import fakes

RULE = '''def tenth(seen: facts.Evidence) -> str | None:
    if seen.reading is None or seen.reading.rss_kib != 77:
        return None
    return 'its QEMU holds 77 KiB'


def reporting('''
ROW = '''    TENTH = (
        1000, rules.tenth, texts.Advice(
            'The guest is the tenth.', remedies={
                _ANY_OS: 'do the tenth thing with {uuid}'}))
    REPORTING = ('''

#: Runs commands on a guest of that status, and one of every severity.
PROGRAM = '''import json
import sys

from memstat_pollster.cli.report import page
from tests.unit import commands
from tests.unit import fakes


class Run(commands.CommandTest):
    stream = commands.Terminal

    def runTest(self):
        tenth, bad, off, web = (
            fakes.Domain(number, fakes.healthy(commands.ago(age_s)),
                         display_name=name)
            for number, (name, age_s) in enumerate((
                ('tenth', 2), ('bad', 1000), ('off', 2), ('web', 2)), 1))
        tenth.record['balloon.rss'] = 77
        off.record['state.state'] = 3
        without = fakes.Domain(5, {}, model='none', display_name='without')
        without.record.update(fakes.healthy(commands.ago(2)))
        self.make(tenth, bad, off, web, without)
        told = {}
        for words in ('status tenth -f json', 'status tenth web',
                      'status --summary', 'show tenth', 'show web',
                      'report -o -',
                      'enable tenth --dry-run'):
            exit_status = self.run_command(*words.split())
            told[words] = exit_status, self.stdout, self.stderr
        told['page'] = [
            [state.word, state.severity, state.sign, state.meaning]
            for state in page.STATES.values()]
        json.dump(told, open(sys.argv[1], 'w'))


outcome = Run().run()
for _test, trace in [*outcome.errors, *outcome.failures]:
    sys.exit(trace)
'''


class TestTenth(testtools.TestCase):
    """The package with a row more, as an operator gets to see it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        temporary = fixtures.TempDir()
        temporary.setUp()
        cls.addClassCleanup(temporary.cleanUp)
        tree = pathlib.Path(temporary.path)
        for package in (memstat_pollster, unit):
            source = pathlib.Path(package.__file__).parent
            target = tree / package.__name__.replace('.', '/')
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(
                '__pycache__', 'test_*.py'))
        for name, old, new in (('rules', 'def reporting(', RULE),
                               ('status', '    REPORTING = (', ROW)):
            module = tree / 'memstat_pollster' / 'model' / f'{name}.py'
            text = module.read_text()
            assert text.count(old) == 1, old
            module.write_text(text.replace(old, new))
        (tree / 'tests' / '__init__.py').touch()
        (tree / 'program.py').write_text(PROGRAM)
        done = subprocess.run(
            [sys.executable, 'program.py', 'told.json'], cwd=tree,
            capture_output=True, text=True,
            # The distribution's metadata may be where this process has it.
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(
                map(os.path.abspath, (tree, *sys.path)))})
        assert done.returncode == 0, done.stdout + done.stderr
        cls.told = json.loads((tree / 'told.json').read_text())

    def test_status_has_it_in_every_way(self):
        exit_status, text, said = self.told['status tenth -f json']
        (row,) = json.loads(text)
        self.assertEqual(
            (1, 'tenth', 1000, 'its QEMU holds 77 KiB',
             f'do the tenth thing with {fakes.uuid_of(1)}', None, ''),
            (exit_status, row['status'], row['code'], row['detail'],
             row['remedy'], row['used_mib'], said))
        exit_status, text, said = self.told['status tenth web']
        self.assertEqual((1, ''), (exit_status, said))
        self.assertIn('\033[33mtenth\033[0m', text)
        self.assertEqual(
            '5 guests: 1 reporting, 1 not_running, 1 no_device, 1 stale, '
            '1 tenth; 3 to be seen to\n', self.told['status --summary'][1])

    def test_show_explains_it(self):
        exit_status, text, said = self.told['show tenth']
        self.assertEqual((1, ''), (exit_status, said))
        self.assertIn('  \033[33mYES\033[0m  tenth            its QEMU holds '
                      '77 KiB\n', text)
        self.assertIn('What to do\n  1. do the tenth thing with '
                      f'{fakes.uuid_of(1)}\n', text)

    def test_show_asks_its_rule_of_other_guests(self):
        exit_status, text, said = self.told['show web']
        self.assertEqual((0, ''), (exit_status, said))
        self.assertIn('  no   tenth            what it asks for is not so\n',
                      text)

    def test_enable_leaves_it_alone(self):
        exit_status, text, said = self.told['enable tenth --dry-run']
        self.assertEqual((0, ''), (exit_status, said))
        self.assertIn('its period is 10 s already', text)

    def test_the_page_shows_it_among_what_has_to_be_seen_to(self):
        exit_status, text, said = self.told['report -o -']
        self.assertEqual((0, ''), (exit_status, said))
        self.assertIn('do the tenth thing', text)
        words = [word for word, *_rest in self.told['page']]
        self.assertTrue(words.index('stats_disabled') < words.index('tenth')
                        < words.index('starting'), words)
        self.assertIn(['tenth', 'warn', '!', 'The guest is the tenth.'],
                      self.told['page'])
