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

"""The commands of README.rst and the documentation's pages.

A block of commands is a code-block of console; each command begins with ``#``
or ``$`` and a space, a line that ends in a backslash goes on in the next one,
and other lines are what a command says.  What is for another system, or cannot
be run by a test, says so in a comment before its block::

    .. elsewhere: in the guest

    .. code-block:: console

       $ ls /sys/bus/virtio/drivers/virtio_balloon/
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import textwrap

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]

#: Whose blocks the end-to-end tests run by their names; tests/e2e/pages.py.
END_TO_END = ('aodh', 'gnocchi')

_BLOCK = re.compile(r'^( *)\.\. code-block:: console$')
_ELSEWHERE = re.compile(r'^ *\.\. elsewhere: (\S.*)$')


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of commands.

    :ivar page: its page, without .rst
    :ivar line: of its directive
    :ivar elsewhere: why no test runs it; None: one does
    """

    page: str
    line: int
    commands: tuple[str, ...]
    elsewhere: str | None

    @property
    def place(self) -> str:
        return f'{self.page}.rst:{self.line}'


def pages() -> list[pathlib.Path]:
    """All of them, but for those whose commands end-to-end tests run."""
    return [CHECKOUT / 'README.rst', *(
        path for path in sorted((CHECKOUT / 'doc' / 'source').glob('*.rst'))
        if path.stem not in END_TO_END)]


def blocks(path: pathlib.Path) -> list[Block]:
    """A page's blocks, in their order."""
    lines = path.read_text().splitlines()
    found = []
    for number, line in enumerate(lines):
        directive = _BLOCK.match(line)
        if directive is None:
            continue
        before = [each for each in lines[:number] if each.strip()]
        mark = _ELSEWHERE.match(before[-1]) if before else None
        found.append(Block(path.stem, number + 1, tuple(commands(
            _body(lines[number + 1:], len(directive[1])))),
            mark[1] if mark else None))
    return found


def _body(lines: list[str], indent: int) -> str:
    found = []
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        found.append(line)
    return textwrap.dedent('\n'.join(found))


def commands(text: str) -> list[str]:
    """The commands of a block's text, each with all its lines."""
    found: list[str] = []
    goes_on = False
    for line in text.splitlines():
        if goes_on:
            found[-1] += f'\n{line}'
        elif line.startswith(('# ', '$ ')):
            found.append(line[2:])
        else:
            continue
        goes_on = line.endswith('\\')
    return found
