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

"""README's tables of releases and hosts are what the tests found."""

import importlib
import json
import pathlib
import subprocess
import sys

import fixtures
import testtools

ROOT = pathlib.Path(__file__).resolve().parents[2]


def made_and_written(tool, end):
    """A tool's table, and what README has of it."""
    made = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / tool), 'table'],
        check=True, capture_output=True, text=True).stdout
    _, _, after = (ROOT / 'README.rst').read_text().partition(
        f'.. The table is written by "tools/{tool} publish".\n')
    return made.strip(), after.partition(end)[0].strip()


class TestReleases(testtools.TestCase):

    def test_the_table_is_made_from_the_committed_result(self):
        made, written = made_and_written('matrix.py', '.. End of the table.')
        self.assertEqual(made, written)

    def test_every_test_of_every_release_passed(self):
        result = json.loads(
            (ROOT / 'doc' / 'source' / 'matrix.json').read_text())
        self.assertEqual(
            [('19.0.0', 0), ('22.0.1', 0), ('24.0.2', 0), ('25.0.0', 0),
             ('26.0.0', 0), ('27.0.0', 0)],
            [(each['ceilometer'], each['failed'])
             for each in result['releases']])


class TestHosts(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'sys.path', [str(ROOT / 'tools'), *sys.path]))
        self.hosts = importlib.import_module('hosts')

    def test_the_table_is_made_from_the_committed_result(self):
        made, written = made_and_written('hosts.py',
                                         '.. End of the table of hosts.')
        self.assertEqual(made, written)

    def test_steps_of_a_run(self):
        """The releases of the matrix are counted together."""
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'steps')
        path.write_text('demo 1 0 0\nfunctional 178 21 4\n'
                        'ceilometer-22 14 1 2\nceilometer-27 16 3 5\n')
        self.assertEqual({
            'demo': {'passed': 1, 'failed': 0, 'skipped': 0,
                     'date': '2026-11-27'},
            'functional': {'passed': 178, 'failed': 21, 'skipped': 4,
                           'date': '2026-11-27'},
            'matrix': {'passed': 30, 'failed': 4, 'skipped': 7,
                       'date': '2026-11-27'},
        }, self.hosts.steps(path, '2026-11-27'))

    FACTS = {'libvirt': '11.3.0', 'qemu': '10.0.13', 'python': '3.13.5',
             'ceilometer': '24.0.0', 'kernel': '6.12.117'}
    UNIT = {'passed': 695, 'failed': 0, 'skipped': 0, 'date': '2026-11-23'}
    FUNCTIONAL = {'passed': 180, 'failed': 19, 'skipped': 4,
                  'date': '2026-11-27'}

    def test_a_step_that_did_not_run_again_stays(self):
        before = self.hosts.merged({'hosts': []}, 'trixie', self.FACTS,
                                   {'unit': self.UNIT})
        after = self.hosts.merged(before, 'trixie', self.FACTS,
                                  {'functional': self.FUNCTIONAL})
        host, = after['hosts']
        self.assertEqual({'suite': 'trixie', **self.FACTS, 'steps': {
            'unit': self.UNIT, 'functional': self.FUNCTIONAL}}, host)
        self.assertEqual(
            ('Debian 13', '11.3.0', '10.0.13', '3.13.5', '6.12.117',
             '24.0.0', '', '695 of 695', '180 of 199, 4 skipped', '', '',
             '2026-11-23'), self.hosts.row(host))

    def test_results_of_another_libvirt_do_not(self):
        before = self.hosts.merged({'hosts': []}, 'trixie', self.FACTS,
                                   {'unit': self.UNIT})
        facts = {**self.FACTS, 'libvirt': '11.3.1'}
        after = self.hosts.merged(before, 'trixie', facts,
                                  {'functional': self.FUNCTIONAL})
        self.assertEqual({'hosts': [{
            'suite': 'trixie', **facts,
            'steps': {'functional': self.FUNCTIONAL}}]}, after)

    def test_versions_are_those_of_upstream(self):
        self.assertEqual(
            ['10.0.13', '11.3.0', '24.0.0', '6.12.117'],
            [self.hosts.upstream(each) for each in (
                '1:10.0.13+ds-0+deb13u1', '11.3.0-3+deb13u3', '1:24.0.0-2',
                '6.12.117+deb13-cloud-amd64')])
