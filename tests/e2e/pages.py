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

"""The commands of a documentation page, to be run as they stand there.

A command block has a name, and its commands begin with a dollar sign::

    .. code-block:: console
       :name: gnocchi-usage

       $ gnocchi measures show memory.usage --resource-id $GUEST
       | timestamp | ...

A line that ends in a backslash goes on in the next one; other lines are what
the command says, as an example.
"""

from __future__ import annotations

import pathlib
import re
import textwrap

SOURCE = pathlib.Path(__file__).resolve().parents[2] / 'doc' / 'source'

_DIRECTIVE = re.compile(r'^( *)\.\. (code-block|sourcecode|literalinclude'
                        r'|parsed-literal)::(.*)$')
_LITERAL = re.compile(r'^(?! *\.\. ).*::$')


class PageError(Exception):
    """The page is not written as the tests need it."""


def _body(lines: list[str], start: int, indent: int) -> list[str]:
    """The lines below a directive that belong to it."""
    found = []
    for line in lines[start:]:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        found.append(line)
    return textwrap.dedent('\n'.join(found)).strip('\n').split('\n')


def blocks(page: str) -> dict[str, str]:
    """{name: text} of a page's blocks, in order.

    :param page: its name, without .rst
    :raises PageError: a block without a name, or one that is not marked
    """
    lines = (SOURCE / f'{page}.rst').read_text().splitlines()
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        where = f'{page}.rst:{number + 1}'
        if _LITERAL.match(line):
            raise PageError(f'{where}: a literal block: use code-block')
        match = _DIRECTIVE.match(line)
        if match is None:
            continue
        body = _body(lines, number + 1, len(match[1]))
        options = {}
        while body and body[0].startswith(':'):
            _, key, value = body.pop(0).split(':', 2)
            options[key] = value.strip()
        name = options.get('name')
        if not name or name in found:
            raise PageError(f'{where}: the block needs a name of its own')
        found[name] = '\n'.join(body).strip('\n')
    return found


def commands(block: str) -> list[str]:
    """A block's commands, without the dollar sign, whole."""
    found: list[str] = []
    goes_on = False
    for line in block.split('\n'):
        if goes_on:
            found[-1] += '\n' + line
        elif line.startswith('$ '):
            found.append(line[2:])
        else:
            continue
        goes_on = line.endswith('\\')
    return found
