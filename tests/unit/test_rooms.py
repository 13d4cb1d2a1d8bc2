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


"""The modules are rooms: what each may import, and what none may do."""

import ast
import configparser
import pathlib
import subprocess
import sys

import testtools

ROOT = pathlib.Path(__file__).resolve().parents[2]
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

#: Rooms that know no I/O, no clock and no configuration object.
PURE = ('stats', 'domain', 'history', 'status', 'meters',
        'definitions')
#: What they may have of the standard library.
PURE_STDLIB = {'collections', 'dataclasses', 'enum', 'functools', 'itertools',
               'math', 're', 'types', 'typing'}
#: Builtins that do I/O or reach a module behind the back of "import".
IMPURE_BUILTINS = {'open', 'print', 'input', 'exec', 'eval', 'compile',
                   '__import__', 'breakpoint'}

#: room -> what it may import of the outside.  A room that is new belongs
#: in here, and in the documentation's table of rooms.
OUTSIDE = {
    '__init__': set(),
    'stats': set(),
    'domain': {'lxml'},
    'history': set(),
    'status': set(),
    'meters': set(),
    'entrypoints': set(),
    'definitions': set(),
    'gnocchi': {'gnocchiclient', 'keystoneauth1', 'oslo_config'},
    'nova': {'oslo_config'},
    'opts': {'oslo_config'},
    'inspector': {'libvirt'},
    'monitor': set(),
    'node': {'oslo_config'},
    'processes': set(),
    'builtin': {'ceilometer', 'oslo_log'},
    'pollsters': {'ceilometer', 'oslo_config', 'oslo_log'},
    'cmd': {'cliff', 'jinja2', 'oslo_config', 'oslo_log', 'yaml'},
}
#: room -> the rooms below it, which it may use.
BELOW = {
    '__init__': set(),
    'stats': set(),
    'domain': set(),
    'history': {'stats'},
    'status': {'stats', 'history', 'domain'},
    'meters': set(),
    'entrypoints': set(),
    'definitions': {'meters'},
    'gnocchi': {'definitions', 'meters'},
    'nova': set(),
    'opts': set(),
    'inspector': {'stats'},
    'monitor': {'stats', 'domain', 'history', 'status', 'nova', 'inspector'},
    'node': {'inspector', 'monitor', 'nova', 'opts', 'status'},
    'processes': set(),
    'builtin': {'entrypoints'},
    'pollsters': {'stats', 'domain', 'history', 'status', 'nova', 'opts',
                  'inspector', 'monitor', 'meters', 'node', 'builtin'},
    'cmd': {'stats', 'domain', 'history', 'status', 'nova', 'opts',
            'inspector', 'monitor', 'meters', 'node', 'definitions',
            'entrypoints', 'gnocchi', 'processes', 'cmd'},
}


def _sources(directory):
    return sorted((ROOT / directory).rglob('*.py'))


def _room(path):
    """The room a file of the package belongs to; a subpackage is one."""
    return path.relative_to(ROOT / PACKAGE).parts[0].removesuffix('.py')


def _imports(path):
    """Dotted names of all that a file imports, wherever it does so."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {'.' * node.level + f'{node.module or ""}.{alias.name}'
                      for alias in node.names}
    return names


def _outside(path):
    """Top-level packages of neither the standard library nor the project."""
    return ({name.split('.')[0] for name in _imports(path)}
            - set(sys.stdlib_module_names) - {PACKAGE})


def _rooms_used(path):
    return {name.split('.')[1] for name in _imports(path)
            if name.split('.')[0] == PACKAGE}


def _names(path):
    return {node.id for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Name)}


def _told(offences):
    """{file: what is wrong with it}, without the files that are right."""
    return {str(path.relative_to(ROOT)): sorted(found)
            for path, found in offences.items() if found}


class TestRooms(testtools.TestCase):
    """Data flows one way: libvirt -> reading -> status -> samples."""

    def test_every_module_is_a_room_of_the_table(self):
        unknown = {_room(path) for path in _sources(PACKAGE)} - set(OUTSIDE)
        self.assertEqual(set(), unknown)
        self.assertEqual(set(OUTSIDE), set(BELOW))

    def test_a_room_imports_no_more_of_the_outside_than_the_table_says(self):
        offences = {path: _outside(path) - OUTSIDE[_room(path)]
                    for path in _sources(PACKAGE)}
        self.assertEqual({}, _told(offences))

    def test_a_room_uses_only_the_rooms_below_it(self):
        offences = {path: _rooms_used(path) - BELOW[_room(path)]
                    for path in _sources(PACKAGE)}
        self.assertEqual({}, _told(offences))

    def test_no_room_imports_another_by_a_relative_name(self):
        """The other tests here would not see it."""
        offences = {path: {name for name in _imports(path)
                           if name.startswith('.')}
                    for path in _sources(PACKAGE)}
        self.assertEqual({}, _told(offences))

    def test_nothing_below_stands_on_a_room_above(self):
        """The table itself has no circle."""
        left = {room: below - {room} for room, below in BELOW.items()}
        while left:
            ground = {room for room, below in left.items() if not below}
            self.assertNotEqual(set(), ground, f'circle among {sorted(left)}')
            left = {room: below - ground for room, below in left.items()
                    if room not in ground}

    def test_only_the_inspector_knows_libvirt(self):
        self.assertEqual({'inspector'}, self._importers('libvirt'))

    def test_only_the_pollsters_and_the_replacement_know_ceilometer(self):
        self.assertEqual({'builtin', 'pollsters'},
                         self._importers('ceilometer'))

    def test_nobody_but_tests_imports_the_pollsters(self):
        self.assertEqual([], [_room(path) for path in _sources(PACKAGE)
                              if 'pollsters' in _rooms_used(path)])

    @staticmethod
    def _importers(package):
        return {_room(path) for path in _sources(PACKAGE)
                if package in _outside(path)}

    def test_all_but_those_two_work_where_there_is_no_ceilometer(self):
        """The command line does, on a node whose agent is broken."""
        rooms = sorted({_room(path) for path in _sources(PACKAGE)}
                       - {'__init__', 'builtin', 'pollsters'})
        program = ('import sys\n'
                   'sys.modules["ceilometer"] = None\n'
                   'sys.modules["libvirt"] = None\n'
                   + ''.join(f'import {PACKAGE}.{room}\n' for room in rooms))
        done = subprocess.run([sys.executable, '-c', program], cwd=ROOT,
                              capture_output=True, text=True)
        self.assertEqual((0, '', ''),
                         (done.returncode, done.stdout, done.stderr))


class TestPureRooms(testtools.TestCase):
    """Time and thresholds are arguments; files and sockets are elsewhere."""

    def _pure(self):
        return [ROOT / PACKAGE / f'{room}.py' for room in PURE]

    def test_they_import_nothing_that_has_a_clock_or_does_io(self):
        offences = {path: {name.split('.')[0] for name in _imports(path)}
                    - PURE_STDLIB - OUTSIDE[_room(path)] - {PACKAGE}
                    for path in self._pure()}
        self.assertEqual({}, _told(offences))

    def test_they_are_covered_whole(self):
        """tox -e cover fails where one is not."""
        tox = configparser.ConfigParser(interpolation=None)
        tox.read(ROOT / 'tox.ini')
        _, _, include = tox['testenv:cover']['commands'].partition(
            '--fail-under=100 --include=')
        self.assertEqual(
            sorted(f'{PACKAGE}/{room}.py' for room in PURE),
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
