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

"""What each folder of the package imports, read from its files.

The documentation's drawing is made of this, and tests/unit/test_layout.py
compares it with what is allowed.  Knows nothing of Sphinx.
"""

import ast
import collections.abc
import dataclasses
import pathlib
import sys
import typing

ROOT: typing.Final = pathlib.Path(__file__).resolve().parents[2]
NAME: typing.Final = 'memstat_pollster'
PACKAGE: typing.Final = ROOT / NAME

#: Folders and files that know no I/O, no clock and no configuration object.
PURE: typing.Final = ('gnocchi/definitions.py', 'model', 'text.py')


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of the package, or a module beside the folders.

    :ivar name: its path below the package
    :ivar purpose: the first paragraph of its docstring
    :ivar outside: what it imports of neither the standard library nor the
        package
    :ivar below: the other folders that it imports
    """

    name: str
    purpose: str
    outside: frozenset[str]
    below: frozenset[str]
    pure: bool


def sources() -> list[pathlib.Path]:
    """The files of the package, without an ``__init__.py`` of no code."""
    return sorted(PACKAGE.rglob('*.py'))


def folder_of(path: pathlib.Path) -> str:
    """The folder that a file belongs to; its own name beside the folders."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '/'.join(parts[:-1] or parts)


def imports(path: pathlib.Path) -> set[str]:
    """Dotted names of all that a file imports, wherever it does so."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {'.' * node.level + f'{node.module or ""}.{alias.name}'
                      for alias in node.names}
    return names


def outside(path: pathlib.Path) -> set[str]:
    """Top-level packages of neither the standard library nor the project."""
    return ({name.split('.')[0] for name in imports(path)}
            - set(sys.stdlib_module_names) - {NAME})


def modules_used(path: pathlib.Path) -> set[pathlib.Path]:
    """The files of the package that a file imports."""
    found = set()
    for name in imports(path):
        parts = name.split('.')
        if parts[0] == NAME:
            for used in (parts, parts[:-1]):
                file = ROOT.joinpath(*used).with_suffix('.py')
                if file.is_file():
                    found.add(file)
                    break
    return found


def is_pure(path: pathlib.Path) -> bool:
    """Whether a file is to know no I/O and no clock."""
    name = path.relative_to(PACKAGE).as_posix()
    return any(name == each or name.startswith(f'{each}/') for each in PURE)


def _purpose(name: str) -> str:
    path = PACKAGE / f'{name}.py'
    if not path.is_file():
        path = PACKAGE / name / '__init__.py'
    return ' '.join((ast.get_docstring(ast.parse(path.read_text())) or ''
                     ).partition('\n\n')[0].split())


def folders() -> dict[str, Folder]:
    """All of them, by name."""
    files: dict[str, list[pathlib.Path]] = {}
    for path in sources():
        files.setdefault(folder_of(path), []).append(path)
    files.pop('__init__')
    return {name: Folder(
        name, _purpose(name),
        frozenset(_all(outside, paths)),
        frozenset(folder_of(used) for used in _all(modules_used, paths)
                  ) - {name},
        all(map(is_pure, paths))) for name, paths in files.items()}


_T = typing.TypeVar('_T')


def _all(read: collections.abc.Callable[[pathlib.Path], set[_T]],
         paths: list[pathlib.Path]) -> set[_T]:
    return set().union(*map(read, paths))
