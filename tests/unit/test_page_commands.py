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

"""Every command on every page is run by a test, or says why not."""

import pathlib
import re

import fixtures
import testtools

from tests import page_commands

#: How a command of a page begins that stands in another kind of block.
COMMAND = re.compile(
    r' +(?:[#$] )?(?:sudo |pip |apt(?:-get)? |systemctl |tools/\w|virsh |tox '
    r'|memstat-pollster |setfacl |usermod |openstack |gnocchi )')

#: The test that runs what is not marked, and the pages in its order.
RUNNER = (page_commands.CHECKOUT / 'tests' / 'functional'
          / 'test_page_commands.py')


class TestPages(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.blocks = [block for page in page_commands.pages()
                       for block in page_commands.blocks(page)]

    def test_each_block_is_run_or_marked(self):
        text = RUNNER.read_text()
        order = re.search(r'\nPAGES = \((.*?)\)\n', text, re.DOTALL)[1]
        self.assertEqual(
            {block.page for block in self.blocks if block.elsewhere is None},
            set(re.findall(r"'([\w-]+)'", order)))
        self.assertIn('for block in page_commands.blocks(', text)
        self.assertGreater(len([block for block in self.blocks
                                if block.elsewhere is None]), 20)

    def test_each_block_has_commands(self):
        self.assertEqual([], [block.place for block in self.blocks
                              if not block.commands])

    def test_each_mark_stands_before_a_block(self):
        for page in page_commands.pages():
            self.assertEqual(
                len(re.findall(r'^ *\.\. elsewhere:', page.read_text(),
                               re.MULTILINE)),
                len([block for block in page_commands.blocks(page)
                     if block.elsewhere]), page.name)

    def test_no_command_stands_in_another_kind_of_block(self):
        strange = []
        for page in page_commands.pages():
            text = page.read_text()
            for found in re.finditer(
                    r'^( *)(?!\.\.)\S.*::\n\n((?:\1 +.*\n|\n)+)'
                    r'|^( *)\.\. code-block:: (?:sh|bash|shell)\b'
                    r'.*\n\n((?:\3 +.*\n|\n)+)', text, re.MULTILINE):
                body = found[2] or found[4]
                strange += [(page.name, line) for line in body.splitlines()
                            if COMMAND.match(line)]
        self.assertEqual([], strange)


class TestBlocks(testtools.TestCase):

    def blocks(self, text):
        path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path) / 'page.rst'
        path.write_text(text)
        return page_commands.blocks(path)

    def test_commands_and_what_they_say(self):
        self.assertEqual(
            [page_commands.Block('page', 3, ('one', 'two \\\n   --three',
                                             'four'), None)],
            self.blocks('Text\n\n.. code-block:: console\n\n   # one\n'
                        '   says this\n   $ two \\\n      --three\n'
                        '   # four\n\nText\n'))

    def test_marks(self):
        self.assertEqual(
            [(('one',), 'in the guest'), (('two',), None)],
            [(block.commands, block.elsewhere) for block in self.blocks(
                '#. Text\n\n   .. elsewhere: in the guest\n\n'
                '   .. code-block:: console\n\n      $ one\n\n   Text\n\n'
                '.. code-block:: console\n\n   $ two\n')])
