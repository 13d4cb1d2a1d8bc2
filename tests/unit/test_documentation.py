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

"""The documentation says what the code and the tests say."""

import ast
import pathlib
import re

import testtools

from memstat_pollster import status

ROOT = pathlib.Path(__file__).resolve().parents[2]
STATUSES = ROOT / 'doc' / 'source' / 'statuses.rst'
FUNCTIONAL = ROOT / 'tests' / 'functional'
#: Each test of these modules shows a signature, but for those named.
SIGNATURES = {
    'test_signatures': set(),
    'test_hostile': {'test_names', 'test_log'},
}


def tables():
    """The rows of each list-table, header left out; cells in one line."""
    found = []
    for text in STATUSES.read_text().split('.. list-table::')[1:]:
        rows = re.findall(r'^   \* - (.*?)(?=^   \* - |^\S|\Z)', text,
                          re.MULTILINE | re.DOTALL)
        found.append([[' '.join(cell.split())
                       for cell in re.split(r'^     - ', row, flags=re.M)]
                      for row in rows[1:]])
    return found


def tests_of(module):
    """What is in a functional test's module, as the table names it."""
    tree = ast.parse((FUNCTIONAL / f'{module}.py').read_text())
    return {(f'{module}.{cls.name}', function.name)
            for cls in tree.body if isinstance(cls, ast.ClassDef)
            for function in cls.body
            if isinstance(function, ast.FunctionDef)
            and function.name.startswith('test_')}


class TestStatuses(testtools.TestCase):
    """doc/source/statuses.rst"""

    def setUp(self):
        super().setUp()
        self.statuses, self.signatures = tables()
        self.named = [tuple(re.fullmatch(r'``(.+)`` ``(.+)``', cells[2])
                            .groups()) for cells in self.signatures]

    def test_every_status_is_there_with_its_code(self):
        self.assertEqual(
            [(str(int(each)), f'``{each.word}``') for each in status.Status],
            [(code, word) for code, word, _, _ in self.statuses])

    def test_the_order_of_the_rules_is_told(self):
        text = ' '.join(STATUSES.read_text().split())
        order = ', '.join(
            {'stats_disabled': 'statistics disabled'}.get(
                each.word, each.word.replace('_', ' '))
            for each, _ in status.RULES)
        self.assertIn(f'decides: {order}.', text)

    def test_every_status_has_a_signature_and_none_is_invented(self):
        self.assertEqual({f'``{each.word}``' for each in status.Status},
                         {cells[1] for cells in self.signatures})

    def test_every_test_that_is_named_exists(self):
        existing = set().union(*(
            tests_of(path.stem) for path in FUNCTIONAL.glob('test_*.py')))
        self.assertEqual(set(), set(self.named) - existing)

    def test_every_signature_is_named_once(self):
        wanted = {(where, name) for module, others in SIGNATURES.items()
                  for where, name in tests_of(module) if name not in others}
        self.assertEqual(set(), wanted - set(self.named))
        self.assertEqual(len(self.named), len(set(self.named)))
