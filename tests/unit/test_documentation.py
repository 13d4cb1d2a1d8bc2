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

import importlib.util
import itertools
import pathlib
import re

import testtools

from memstat_pollster import meters
from memstat_pollster import status

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / 'doc' / 'source'
#: Each test of these modules shows a signature, but for those named.
SIGNATURES = {
    'test_signatures': set(),
    'test_hostile': {'test_names', 'test_log'},
}


def _tables():
    """doc/ext/tables.py, which is in no package."""
    spec = importlib.util.spec_from_file_location(
        'tables', ROOT / 'doc' / 'ext' / 'tables.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = _tables()


class TestTables(testtools.TestCase):
    """What the pages' tables and drawing are made of."""

    def test_every_status_has_a_row_with_its_code_and_word(self):
        self.assertEqual(
            [(str(int(each)), f'``{each.word}``')
             for each in sorted(status.Status)],
            [(code, word.splitlines()[-1])
             for code, word, _, _ in tables.status_rows()])

    def test_a_remedy_is_told_by_guest_os(self):
        rows = {row[0]: row[3] for row in tables.status_rows()}
        self.assertEqual(
            ('None is needed.',
             'hard reboot the guest, or set the period live: ``virsh '
             'dommemstat --live --period 10 UUID``',
             'Windows: see that the guest is alive and restart its service '
             'BalloonService\n\n'
             'Linux: see that the guest is alive and reload virtio\\_balloon '
             'in it\n\n'
             'any other guest: see that the guest is alive; in Linux reload '
             'virtio\\_balloon, in Windows restart the service '
             'BalloonService'),
            (rows['0'], rows['4'], rows['7']))

    def test_every_status_has_a_signature(self):
        self.assertEqual({each.word for each in status.Status},
                         {each.word for each in tables.signatures()})

    def test_every_test_of_a_signature_is_marked_as_one(self):
        self.assertEqual(SIGNATURES, {module: tables.unmarked(module)
                                      for module in SIGNATURES})

    def test_no_signature_is_told_twice(self):
        texts = [each.text for each in tables.signatures()]
        self.assertEqual(sorted(set(texts)), sorted(texts))

    def test_every_meter_has_a_row(self):
        self.assertEqual(
            [(f'``{each.name}``', each.unit or 'none', each.type)
             for each in meters.METERS.values()],
            [row[:3] for row in tables.meter_rows()])

    def test_every_room_is_drawn_with_what_it_imports(self):
        drawing = tables.drawing()
        rooms = {each.name: each for each in tables.rooms()}
        self.assertEqual(sorted(rooms), sorted(re.findall(
            r'class="name"[^>]*>([^<]+)<', drawing)))
        self.assertEqual(
            {'stats': (True, ()), 'inspector': (False, ('libvirt',))},
            {name: (rooms[name].pure, rooms[name].outside)
             for name in ('stats', 'inspector')})
        self.assertIn('>libvirt</text>', drawing)

    def test_the_way_between_two_rooms_is_drawn_once(self):
        """pollsters stands on monitor, and through it on status."""
        drawn = {each.name: each for each in tables.rooms()}
        steps = tables._steps(drawn)
        self.assertIn(('monitor', 'status'), steps)
        self.assertNotIn(('monitor', 'stats'), steps)
        self.assertEqual(len(steps), tables.drawing().count('class="edge"'))

    def test_text_stays_text(self):
        self.assertEqual(
            r'\*not\* \`this\` \|x\| but ``virsh a_b`` and a\_',
            tables.rst('*not* `this` |x| but "virsh a_b" and a_'))


class TestLinks(testtools.TestCase):
    """Sphinx checks links between its pages; these are all others."""

    #: Paths of the checkout, as pages name them.
    PATH = re.compile(r'``((?:benchmarks|debian|doc|etc|memstat_pollster|'
                      r'releasenotes|tests|tools)/[\w./-]*)``')

    def _pages(self):
        pages = [*ROOT.glob('*.rst'), *SOURCE.rglob('*.rst')]
        self.assertIn(ROOT / 'README.rst', pages)
        return pages

    def test_every_file_that_is_linked_to_exists(self):
        missing = []
        for page in self._pages():
            for target in re.findall(r'<([^<>\s]+)>`__?', page.read_text()):
                if ':' in target:
                    continue
                path = page.parent / target.partition('#')[0]
                if not path.exists():
                    missing.append(f'{page.relative_to(ROOT)}: {target}')
        self.assertEqual([], missing)

    def test_every_path_that_is_named_exists(self):
        self.assertEqual([], [
            f'{page.relative_to(ROOT)}: {path}'
            for page in self._pages()
            for path in self.PATH.findall(page.read_text())
            if not (ROOT / path).exists()])

    def test_every_page_is_in_one_table_of_contents(self):
        listed = list(itertools.chain.from_iterable(
            re.findall(r'^   (?:.+ <)?([\w/-]+)>?$', block, re.MULTILINE)
            for page in SOURCE.rglob('*.rst')
            for block in page.read_text().split('.. toctree::')[1:]))
        self.assertEqual(
            sorted(str(page.relative_to(SOURCE).with_suffix(''))
                   for page in SOURCE.rglob('*.rst')
                   if page != SOURCE / 'index.rst'),
            sorted(listed))
