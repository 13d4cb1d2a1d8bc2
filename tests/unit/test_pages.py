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

"""No command of the pages about Gnocchi and Aodh goes without a test."""

import ast
import pathlib

import fixtures
import testtools

from tests.e2e import pages

E2E = pathlib.Path(pages.__file__).parent
PAGES = ('gnocchi', 'aodh')
#: Blocks that show a file of etc/, which the tests use as it is.
FILES = {'gnocchi-pipeline'}


def strings(path):
    """Every string in the calls of a module: page('name'), a loop's too."""
    return {node.value for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)}


class TestPages(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.blocks = {}
        for page in PAGES:
            self.blocks.update(pages.blocks(page))

    def test_every_block_is_run_by_an_end_to_end_test(self):
        used = set().union(*map(strings, E2E.glob('*.py')))
        self.assertEqual(set(), set(self.blocks) - FILES - used)

    def test_every_block_has_commands_or_shows_a_file(self):
        self.assertEqual(FILES, {name for name, block in self.blocks.items()
                                 if not pages.commands(block)})

    def test_no_command_stands_outside_of_a_block(self):
        for page in PAGES:
            text = (pages.SOURCE / f'{page}.rst').read_text()
            lines = [line.strip() for line in text.splitlines()
                     if line.strip().startswith(('$ ', '# '))]
            inside = [line for block in pages.blocks(page).values()
                      for line in block.splitlines()
                      if line.startswith('$ ')]
            self.assertEqual(inside, lines)


class TestParsing(testtools.TestCase):
    def test_commands_may_go_on_and_answers_are_left_out(self):
        self.assertEqual(
            ['one', 'two \\\n  --three | \\\n  four', 'five'],
            pages.commands('$ one\nanswer\n$ two \\\n  --three | \\\n'
                           '  four\n| a | table |\n$ five'))

    def _blocks(self, text):
        self.patch(pages, 'SOURCE', pathlib.Path(
            self.useFixture(fixtures.TempDir()).path))
        (pages.SOURCE / 'page.rst').write_text(text)
        return pages.blocks('page')

    def test_blocks_are_found_by_their_names(self):
        self.assertEqual(
            {'first': '$ one\n\n$ two', 'second': '$ three'},
            self._blocks('Text\n\n.. code-block:: console\n   :name: first\n'
                         '\n   $ one\n\n   $ two\n\nText\n\n'
                         '   .. code-block:: console\n      :name: second\n\n'
                         '      $ three\n\n   Text\n'))

    def test_a_block_that_a_test_could_not_find_is_told(self):
        named = '.. code-block:: console\n   :name: same\n\n   $ a\n\n'
        for text in ('.. code-block:: console\n\n   $ a\n', named + named,
                     'Do this::\n\n   $ a\n'):
            error = self.assertRaises(pages.PageError, self._blocks, text)
            self.assertIn('page.rst:', str(error))
