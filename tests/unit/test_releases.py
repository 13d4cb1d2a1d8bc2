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

"""README's table of supported releases is what the matrix found."""

import json
import pathlib
import subprocess
import sys

import testtools

ROOT = pathlib.Path(__file__).resolve().parents[2]


class TestReleases(testtools.TestCase):

    def test_the_table_is_made_from_the_committed_result(self):
        made = subprocess.run(
            [sys.executable, str(ROOT / 'tools' / 'matrix.py'), 'table'],
            check=True, capture_output=True, text=True).stdout
        _, _, after = (ROOT / 'README.rst').read_text().partition(
            '.. The table is written by "tools/matrix.py publish".\n')
        self.assertEqual(made.strip(),
                         after.partition('.. End of the table.')[0].strip())

    def test_every_test_of_every_release_passed(self):
        result = json.loads(
            (ROOT / 'doc' / 'source' / 'matrix.json').read_text())
        self.assertEqual(
            [('19.0.0', 0), ('22.0.1', 0), ('24.0.2', 0), ('25.0.0', 0),
             ('26.0.0', 0), ('27.0.0', 0)],
            [(each['ceilometer'], each['failed'])
             for each in result['releases']])
