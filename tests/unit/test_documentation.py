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
import itertools
import json
import pathlib
import re

import testtools

from benchmarks import calls as made
from benchmarks import report
from memstat_pollster.model import meters
from memstat_pollster.model import status
from tests.unit import extensions

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / 'doc' / 'source'
#: Each test of these modules shows a signature, but for those named.
SIGNATURES = {
    'test_signatures': set(),
    'test_hostile': {'test_names', 'test_log'},
}


calls = extensions.calls
tables = extensions.tables


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
        reboot = ('see that the guest is alive; if it is, reboot it, because '
                  'a balloon driver that is part of the kernel cannot be '
                  'reloaded')
        self.assertEqual(
            ('None is needed.',
             'hard reboot the guest, or set the period live: ``virsh '
             'dommemstat --live --period 10 UUID``',
             'Windows: see that the guest is alive and restart its service '
             'BalloonService\n\n'
             'Linux: see that the guest is alive and reload virtio\\_balloon '
             'in it\n\n'
             f'cirros: {reboot}\n\n'
             f'FreeBSD: {reboot}\n\n'
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

    def test_every_command_has_its_exit_statuses(self):
        rows = {row[0]: row[1:] for row in tables.exit_rows()}
        self.assertEqual({f'``{name}``' for name in (
            'doctor', 'enable', 'gnocchi-resources', 'gnocchi-upgrade',
            'report', 'show', 'status')}, set(rows))
        self.assertEqual(
            ('the definitions were written', 'never', 'never',
             'the command could not do its work'),
            rows['``gnocchi-resources``'])
        for name, row in rows.items():
            self.assertEqual(4, len(row), name)

    def test_every_meter_has_a_row(self):
        self.assertEqual(
            [(f'``{each.name}``', each.unit or 'none', each.type)
             for each in meters.METERS.values()],
            [row[:3] for row in tables.meter_rows()])

    def test_every_folder_is_drawn_with_what_it_imports(self):
        drawing = tables.drawing()
        folders = extensions.layout.folders()
        self.assertEqual(sorted(folders), sorted(re.findall(
            r'class="folders-name"[^>]*>([^<]+)<', drawing)))
        self.assertEqual(
            {'model': (True, {'lxml'}), 'host': (False, {'libvirt'})},
            {name: (folders[name].pure, folders[name].outside)
             for name in ('model', 'host')})
        self.assertIn('>libvirt</text>', drawing)

    def test_the_way_between_two_folders_is_drawn_once(self):
        """The agent stands on the monitor, and through it on the model."""
        steps = tables._steps(extensions.layout.folders())
        self.assertIn(('host', 'model'), steps)
        self.assertNotIn(('agent', 'model'), steps)
        self.assertEqual(len(steps),
                         tables.drawing().count('class="folders-edge"'))

    def test_how_ceilometers_meters_are_answered(self):
        rows = {row[0]: row[1:] for row in tables.served_rows()}
        self.assertEqual(
            ('``state.state``', 'the bulk call of the cycle',
             '``inspect_instance``'), rows['``power.state``'])
        self.assertEqual(
            ('not there: they are of the flavor', 'nothing is asked', 'none'),
            rows['``disk.root.size``, ``disk.ephemeral.size``'])

    def test_text_stays_text(self):
        self.assertEqual(
            r'\*not\* \`this\` \|x\| but ``virsh a_b`` and a\_',
            tables.rst('*not* `this` |x| but "virsh a_b" and a_'))


class TestAddresses(testtools.TestCase):
    """What of a built page would be loaded from another machine."""

    def test_what_a_browser_loads_by_itself(self):
        for text in ('<script async src="https://a.example/x?id=1">',
                     '<img alt="" src=//a.example/x?id=1>',
                     "<link rel='stylesheet' href='https://a.example/x?id=1'>",
                     'script.src = "https://a.example/x?id=1" + now',
                     '@import url("https://a.example/x?id=1");',
                     'background: url(//a.example/x?id=1) left'):
            self.assertEqual(
                ['a.example/x?id=1'],
                [each.partition('//')[2]
                 for each in extensions.addresses.loaded(text)],
                text)

    def test_not_what_is_the_pages_own_or_waits_for_a_click(self):
        self.assertEqual([], extensions.addresses.loaded(
            '<script src="_static/x.js"></script> <img src="x.png"> '
            '<a href="https://a.example/">https://a.example</a> '
            '@import url("x.css"); url(data:image/png;base64,AA//)'))


class TestBenchmarks(testtools.TestCase):
    def test_the_tables_are_made_of_the_measurements_beside_them(self):
        directory = SOURCE / 'benchmarks'
        result = json.loads((directory / 'result.json').read_text())
        self.assertEqual(
            (directory / 'tables.txt').read_text(),
            ''.join(table.rst() for table in report.tables(result)),
            'run "python -m benchmarks.report doc/source/benchmarks"')


class TestCalls(testtools.TestCase):
    """Which calls wait for QEMU, by what was measured."""

    def _host(self, libvirt, **states):
        return calls.Host('Debian', libvirt, '1.2.3', '2026-01-02T03:04',
                          35.0, {'ask': states})

    def test_every_call_was_made_in_every_state_on_every_host(self):
        expected = {
            name: [state for state in made.STATES
                   if not (call.all_guests and state == 'idle')]
            for name, call in made.CALLS.items()}
        hosts = calls.hosts()
        self.assertEqual(
            {host.distribution: expected for host in hosts},
            {host.distribution: {name: [state for state in made.STATES
                                        if state in states]
                                 for name, states in host.calls.items()}
             for host in hosts})

    def test_every_host_has_a_libvirt_of_its_own(self):
        releases = [host.release for host in calls.hosts()]
        self.assertEqual(['9.0', '11.3', '12.8'], releases)

    def test_a_healthy_guest_answered_every_call_whole(self):
        self.assertEqual([], [
            (host.libvirt, name, states['healthy'])
            for host in calls.hosts()
            for name, states in host.calls.items()
            if calls.verdict(states['healthy']) != 'answers'])

    def test_every_call_that_the_package_makes_was_made(self):
        """By the names of libvirt's methods in the folder that knows it."""
        methods = {name for cls in (made.libvirt.virConnect,
                                    made.libvirt.virDomain)
                   for name in vars(cls) if not name.startswith('_')}
        used = set()
        for path in (ROOT / 'memstat_pollster' / 'host').glob('*.py'):
            used |= {node.func.attr
                     for node in ast.walk(ast.parse(path.read_text()))
                     if isinstance(node, ast.Call)
                     and isinstance(node.func, ast.Attribute)}
        self.assertIn('XMLDesc', used)
        measured = {name.partition('(')[0] for name in made.CALLS}
        # openReadOnly's measurement closes the connection, too; libvirt's own
        # connect() asks nobody.
        self.assertEqual(set(), ((used & methods) - measured
                                 - {'close', 'connect'}))

    def test_what_a_caller_has_to_reckon_with(self):
        for expected, said in (
                ('answers', {'took_s': 0.0021}),
                ('a part', {'took_s': 0.0034, 'missing': ['x'], 'of': 7}),
                ('error 55', {'took_s': 0.0056, 'error': 55,
                              'message': 'not running'}),
                ('30 s, then answers', {'took_s': 30.0013}),
                ('30 s, then a part', {'took_s': 29.998, 'missing': ['x'],
                                       'of': 9}),
                ('30 s, then error 68', {'took_s': 30.0007, 'error': 68,
                                         'message': 'timed out'}),
                ('waits', {'took_s': None})):
            self.assertEqual(expected, calls.verdict(said))

    def test_hosts_that_differ_are_named(self):
        quick, slow, never = ({'took_s': took_s}
                              for took_s in (0.0017, 30.0023, None))
        old = self._host('9.0.0', idle=quick, held=quick, held_long=quick,
                         no_thread=quick)
        new = self._host('11.3.0', idle=quick, held=quick, held_long=slow,
                         no_thread=never)
        newer = self._host('12.8.0', idle=quick, held=slow, held_long=slow,
                           no_thread=never)
        self.assertEqual(
            [('``ask``', 'answers',
              '9.0: answers; 11.3, 12.8: 30 s, then answers',
              '9.0: answers; 11.3, 12.8: waits')],
            calls.rows([old, new, newer]))

    def test_how_a_host_was_measured(self):
        host = self._host(
            '9.0.0', idle={'took_s': 0.0131}, held={'took_s': 30.0017},
            held_long={'took_s': None}, healthy={'took_s': 0.0274},
            healthy_same_connection={'took_s': None})
        self.assertEqual(
            [('Debian', '9.0.0', '1.2.3', '2026-01-02', '13 ms', '27 ms',
              '1 of 1')],
            calls.measured([host]))


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
            if not (ROOT / path).exists()
            and not path.startswith(('doc/build/', 'releasenotes/build/'))])

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


class TestLogLines(testtools.TestCase):
    """A log line that a page quotes is one that the plugin can write."""

    LEVELS = {'error': 'ERROR', 'warning': 'WARNING', 'info': 'INFO',
              'log': '(?:INFO|WARNING|ERROR)'}

    def _sources(self):
        return [ast.parse(path.read_text())
                for path in (ROOT / 'memstat_pollster').rglob('*.py')]

    @staticmethod
    def _pattern(node):
        """What a string of the code can become; None for anything else."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return re.sub(r'%(?:\d+\$)?[-\w.]*?[sdrg]|\\{\w+\\}', '(.*)',
                          re.escape(node.value))
        if isinstance(node, ast.JoinedStr):
            return ''.join(
                re.escape(part.value) if isinstance(part, ast.Constant)
                else '(.*)' for part in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return ''.join(TestLogLines._pattern(side) or '(.*)'
                           for side in (node.left, node.right))
        return None

    def _lines(self):
        """Patterns of whole lines: LOG's, and those told once by a helper."""
        for tree in self._sources():
            for call in ast.walk(tree):
                if not isinstance(call, ast.Call):
                    continue
                name = getattr(call.func, 'attr',
                               getattr(call.func, 'id', None))
                if name in self.LEVELS and getattr(
                        call.func.value, 'id', None) == 'LOG':
                    texts = [self._pattern(each) for each in call.args[:2]]
                    text = next(filter(None, texts), None)
                    if text is not None and text != '(.*)':
                        yield f'{self.LEVELS[name]} {text}'

    def _phrases(self):
        """Patterns of every text in the code with a few letters of its own.

        One without would match whatever a page quotes.
        """
        return {pattern for tree in self._sources()
                for node in ast.walk(tree)
                if (pattern := self._pattern(node)) is not None
                and len(re.findall('[a-z]', pattern)) >= 9}

    def _quoted(self):
        return [(page.name, line.strip())
                for page in SOURCE.rglob('*.rst')
                for block in re.findall(
                    r'^( *)\.\. code-block:: text\n\1   :class: log\n\n'
                    r'((?:\1   .*\n|\n)+)', page.read_text(), re.MULTILINE)
                for line in block[1].splitlines() if line.strip()]

    def test_every_line_that_is_quoted_is_in_the_code(self):
        lines, phrases = list(self._lines()), self._phrases()
        quoted = self._quoted()
        self.assertEqual([], [
            (page, line) for page, line in quoted
            if not any(re.fullmatch(pattern, line) for pattern in lines)
            # A problem with an option, which opts words and pollsters tell.
            and not (line.startswith(('WARNING option [', 'WARNING ['))
                     and any(re.fullmatch(f'WARNING {pattern}', line)
                             for pattern in phrases))])
        self.assertGreater(len(quoted), 5)

    def test_every_reason_and_remedy_that_is_quoted_is_in_the_code(self):
        """The parts of a line that the code puts into another."""
        phrases = self._phrases()
        strange = []
        for _page, line in self._quoted():
            told = re.fullmatch(
                r'\w+ Memory statistics of .*?\): (?P<word>\w+): (.*?)'
                r'(?:\. Remedy: (.*))?'
                r'|.* because (.*) \(option \[memstat\]nova_config_files\)'
                r'|.* libvirt at \S+: (.*); all guests .*', line)
            if told is None:
                continue
            word, *parts = told.groups()
            self.assertIn(word, {None, *(each.word
                                         for each in status.Status)})
            strange += [part for part in parts if part
                        and not any(re.fullmatch(pattern, part)
                                    for pattern in phrases)]
        self.assertEqual([], strange)
