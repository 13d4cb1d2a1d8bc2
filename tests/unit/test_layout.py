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

"""What each folder of the package may import, and what none may do."""

import ast
import configparser
import pathlib
import subprocess
import sys

import testtools

from tests.unit import extensions

ROOT = pathlib.Path(__file__).resolve().parents[2]
layout = extensions.layout

PACKAGE = 'memstat_pollster'

LICENCE = '''\
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
'''

#: What a pure file may have of the standard library.
PURE_STDLIB = {'collections', 'dataclasses', 'enum', 'functools', 'itertools',
               'math', 're', 'types', 'typing'}
#: Builtins that do I/O or reach a module behind the back of "import".
IMPURE_BUILTINS = {'open', 'print', 'input', 'exec', 'eval', 'compile',
                   '__import__', 'breakpoint'}

#: folder -> (what it may import of the outside, the other folders that it may
#: use).  A module beside the folders counts as one.  What is allowed has to
#: be used.  A new file in a folder needs no row.
ALLOWED = {
    'text': ((), ()),
    'background': ((), ()),
    'model': (('lxml',), ('text',)),
    'host': (('libvirt',), ('background', 'model', 'text')),
    'config': (('oslo_config', 'yaml'), ('background', 'model', 'text')),
    'gnocchi': (('gnocchiclient', 'keystoneauth1', 'oslo_config'),
                ('background', 'config', 'model')),
    'monitor': ((), ('model',)),
    'node': (('oslo_config',), ('config', 'host', 'model', 'monitor')),
    'agent': (('ceilometer', 'oslo_config', 'oslo_log'),
              ('background', 'config', 'model', 'monitor', 'node', 'text')),
    'cli/output': (('cliff', 'wcwidth'), ('model', 'text')),
    'cli/report': (('jinja2',), ('model', 'text')),
    'cli/doctor': (('oslo_config',),
                   ('cli', 'cli/output', 'config', 'gnocchi', 'host', 'model',
                    'node', 'text')),
    'cli': (('cliff', 'oslo_config'),
            ('cli/output', 'config', 'host', 'model', 'node', 'text')),
    'cli/commands': (('cliff', 'oslo_config', 'yaml'),
                     ('cli', 'cli/doctor', 'cli/output', 'cli/report',
                      'config', 'gnocchi', 'host', 'model')),
}


def _sources(directory):
    return sorted((ROOT / directory).rglob('*.py'))


def _names(path):
    return {node.id for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Name)}


def _told(offences):
    """{file: what is wrong with it}, without the files that are right."""
    return {str(path.relative_to(ROOT)): sorted(found)
            for path, found in offences.items() if found}


class TestFolders(testtools.TestCase):
    """Data flows one way: libvirt -> reading -> status -> samples."""

    def test_each_imports_what_the_table_says_and_nothing_else(self):
        self.assertEqual(
            {name: (set(outside), set(below))
             for name, (outside, below) in ALLOWED.items()},
            {name: (set(folder.outside), set(folder.below))
             for name, folder in layout.folders().items()})

    def test_none_stands_on_one_above_it(self):
        """The table itself has no circle."""
        left = {name: set(below) for name, (_, below) in ALLOWED.items()}
        while left:
            ground = {name for name, below in left.items() if not below}
            self.assertNotEqual(set(), ground, f'circle among {sorted(left)}')
            left = {name: below - ground for name, below in left.items()
                    if name not in ground}

    def test_no_file_imports_another_by_a_relative_name(self):
        """The other tests here would not see it."""
        offences = {path: {name for name in layout.imports(path)
                           if name.startswith('.')}
                    for path in layout.sources()}
        self.assertEqual({}, _told(offences))

    def test_only_host_knows_libvirt(self):
        self.assertEqual({'host'}, self._importers('libvirt'))

    def test_only_the_agent_knows_ceilometer(self):
        self.assertEqual({'agent'}, self._importers('ceilometer'))

    def test_nobody_imports_the_agent(self):
        self.assertEqual([], [name for name, folder
                              in layout.folders().items()
                              if 'agent' in folder.below])

    @staticmethod
    def _importers(package):
        return {name for name, folder in layout.folders().items()
                if package in folder.outside}

    def test_no_two_files_have_one_name(self):
        names = [path.name for path in layout.sources()
                 if path.name != '__init__.py']
        self.assertEqual(sorted(set(names)), sorted(names))

    def test_no_file_is_long(self):
        self.assertEqual({}, {
            str(path.relative_to(ROOT)): lines for path in layout.sources()
            if (lines := path.read_text().count('\n')) > 420})

    def test_all_but_the_agent_work_where_there_is_no_ceilometer(self):
        """The command line does, on a node whose agent is broken."""
        modules = ['.'.join(path.relative_to(ROOT).with_suffix('').parts)
                   for path in layout.sources()
                   if layout.folder_of(path) not in ('__init__', 'agent')]
        program = ('import sys\n'
                   'sys.modules["ceilometer"] = None\n'
                   'sys.modules["libvirt"] = None\n'
                   + ''.join(f'import {module}\n' for module in modules))
        done = subprocess.run([sys.executable, '-c', program], cwd=ROOT,
                              capture_output=True, text=True, timeout=120)
        self.assertEqual((0, '', ''),
                         (done.returncode, done.stdout, done.stderr))


class TestErrors(testtools.TestCase):

    def test_only_one_place_catches_every_exception(self):
        """The seam between the agent and the plugin; see agent/hooks.py."""
        blind = {path: [node.lineno for node in ast.walk(
                     ast.parse(path.read_text()))
                        if isinstance(node, ast.ExceptHandler)
                        and self._names_all(node.type)]
                 for path in layout.sources()}
        self.assertEqual({'memstat_pollster/agent/hooks.py': 1}, {
            name: len(found) for name, found in _told(blind).items()})

    @staticmethod
    def _names_all(caught):
        return caught is None or any(
            isinstance(node, ast.Name)
            and node.id in ('Exception', 'BaseException')
            for node in ast.walk(caught))


class TestFiles(testtools.TestCase):

    #: Each with what it opens.
    OPENERS = {
        'cli/application.py': 'standard streams',
        'cli/output/files.py': 'what the operator has named, to write it',
        'config/plainfile.py': 'files of others',
        'host/processes.py': "QEMU's of /proc",
    }

    def test_files_of_others_are_read_in_one_place(self):
        """Others would wait for a pipe, or read a device without end."""
        names = {'open', 'fdopen', 'read_text', 'read_bytes'}
        found = {str(path.relative_to(ROOT / PACKAGE))
                 for path in layout.sources()
                 for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.Call) and (
                     getattr(node.func, 'attr', None) in names
                     and getattr(getattr(node.func, 'value', None), 'id', None)
                     != 'libvirt'
                     or getattr(node.func, 'id', None) == 'open')}
        self.assertEqual(set(self.OPENERS), found)


class TestPure(testtools.TestCase):
    """Time and thresholds are arguments; files and sockets are elsewhere."""

    def _pure(self):
        return [path for path in layout.sources() if layout.is_pure(path)]

    def test_they_import_nothing_that_has_a_clock_or_does_io(self):
        offences = {path: {name.split('.')[0]
                           for name in layout.imports(path)}
                    - PURE_STDLIB - {'lxml', PACKAGE}
                    for path in self._pure()}
        self.assertEqual({}, _told(offences))

    def test_they_are_covered_whole(self):
        """tox -e cover fails where one is not."""
        tox = configparser.ConfigParser(interpolation=None)
        tox.read(ROOT / 'tox.ini')
        _, _, include = tox['testenv:cover']['commands'].partition(
            '--fail-under=100 --include=')
        self.assertEqual(
            sorted(f'{PACKAGE}/{name}' + ('' if name.endswith('.py')
                                          else '/*')
                   for name in layout.PURE),
            sorted(include.replace('\\\n', '').split(',')))

    def test_they_call_no_builtin_that_does_io(self):
        offences = {path: _names(path) & IMPURE_BUILTINS
                    for path in self._pure()}
        self.assertEqual({}, _told(offences))


class TestLicence(testtools.TestCase):

    def test_every_source_begins_with_the_licence(self):
        """After the first line where that names an interpreter."""
        sources = [path for directory in (PACKAGE, 'tests', 'tools')
                   for path in _sources(directory)]
        bare = []
        for path in sources:
            text = path.read_text()
            if text.startswith('#!'):
                text = text.partition('\n')[2]
            if not text.startswith(LICENCE):
                bare.append(str(path.relative_to(ROOT)))
        self.assertEqual([], bare)
        self.assertIn(pathlib.Path(__file__).resolve(), sources)
