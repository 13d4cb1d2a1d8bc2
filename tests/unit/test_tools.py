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

"""The functions that the scripts in tools/ have in common."""

import pathlib
import re
import subprocess

import fixtures
import testtools
import yaml

TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'tools'


class TestWorkers(testtools.TestCase):

    def test_each_functional_test_is_run_by_one_process(self):
        tests = TOOLS.parent / 'tests' / 'functional'
        workers = [each['worker'] for each in yaml.safe_load(
            (tests / 'workers.yaml').read_text())]
        modules = [path.stem for path in tests.glob('test_*.py')]
        self.assertIn('test_node', modules)
        self.assertEqual([], [
            name for name in (*modules, 'test_of_tomorrow')
            if sum(bool(re.search(each, f'tests.functional.{name}.Test.test'))
                   for worker in workers for each in worker) != 1])


class TestQuietly(testtools.TestCase):
    """What installs says nothing, unless it fails."""

    def setUp(self):
        super().setUp()
        self.build = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def run_script(self, script):
        done = subprocess.run(
            ['bash', '-c', f'source {TOOLS}/lib.sh; BUILD={self.build}; '
             f'{script}'], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_a_thousand_warnings(self):
        self.assertEqual((0, '', ''), self.run_script(
            "quietly pip.log bash -c 'seq 1000; echo WARNING >&2'"))
        log = (self.build / 'log' / 'pip.log').read_text().splitlines()
        self.assertEqual((1001, 'WARNING'), (len(log), log[-1]))

    def test_the_last_lines_are_shown_when_it_fails(self):
        status, out, err = self.run_script(
            "quietly pip.log bash -c 'seq 1000; exit 7'")
        lines = err.splitlines()
        self.assertEqual((1, '', [str(n) for n in range(981, 1001)]),
                         (status, out, lines[:-1]))
        self.assertIn('the whole of it is in build/log/pip.log', lines[-1])

    def test_no_script_lets_pip_or_apt_speak(self):
        for path in sorted(TOOLS.iterdir()):
            if path.suffix not in ('', '.sh') or path.is_dir():
                continue
            text = path.read_text().replace('\\\n', ' ')
            for line in text.splitlines():
                if re.search(r'-m pip install|(apt_get|apt-get) (install|'
                             r'update|build-dep) ', line) and (
                                 'say' not in line and '#' not in line):
                    self.assertRegex(line, r'quietly|>>?\s*"', path.name)
