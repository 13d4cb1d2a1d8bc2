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

"""Sphinx directives for what :mod:`tables` reads from code and tests."""

import typing

import calls
from docutils import nodes
from docutils import statemachine
from sphinx import application
from sphinx.util import docutils
import tables


def list_table(header: tables.Row, rows: list[tables.Row],
               widths: str) -> list[str]:
    """A list-table's source, line by line."""
    lines = ['.. list-table::', '   :header-rows: 1', f'   :widths: {widths}',
             '']
    for row in [header, *rows]:
        for number, cell in enumerate(row):
            first = '   * - ' if number == 0 else '     - '
            for line in cell.splitlines():
                lines.append((first + line).rstrip())
                first = ' ' * 7
    return lines


class _Generated(docutils.SphinxDirective):
    """Source that is made when the page is read."""

    def source(self) -> list[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        where = nodes.Element()
        where.document = self.state.document
        self.state.nested_parse(
            statemachine.StringList(self.source(), source=self.name),
            self.content_offset, where)
        return where.children


def _table(header: tables.Row, rows: typing.Callable[[], list[tables.Row]],
           widths: str) -> type[_Generated]:
    class Table(_Generated):
        def source(self) -> list[str]:
            return list_table(header, rows(), widths)
    return Table


class RuleOrder(_Generated):
    def source(self) -> list[str]:
        return [f'{tables.rule_order()}.']


class FolderDrawing(docutils.SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [nodes.raw('', tables.drawing(), format='html')]


def setup(app: application.Sphinx) -> dict[str, bool]:
    app.add_directive('status-table', _table(
        ('Code', 'Status', 'Meaning', 'Remedy'), tables.status_rows,
        '6 16 34 44'))
    app.add_directive('exit-table', _table(
        ('Command', '0', '1', '2', '3'), tables.exit_rows,
        '16 21 21 21 21'))
    app.add_directive('rule-order', RuleOrder)
    app.add_directive('signature-table', _table(
        ('Signature', 'Status', 'Test'), tables.signature_rows, '40 18 42'))
    app.add_directive('meter-table', _table(
        ('Meter', 'Unit', 'Type', 'What it says', 'Made of'),
        tables.meter_rows, '22 6 12 30 30'))
    app.add_directive('served-table', _table(
        ('Meters', "In libvirt's bulk record", 'With ``serve_compute``',
         'Instead of'), tables.served_rows, '32 28 24 16'))
    app.add_directive('folder-table', _table(
        ('Folder', 'What it holds', 'Imports'), tables.folder_rows,
        '18 56 26'))
    app.add_directive('folder-drawing', FolderDrawing)
    app.add_directive('calls-table', _table(
        ('Call', 'Frozen, nobody else asks it',
         "Another client's call is stuck on it",
         "Healthy, all of libvirtd's threads are stuck"),
        lambda: calls.rows(calls.hosts()), '40 18 24 18'))
    app.add_directive('calls-measured', _table(
        ('Host', 'libvirt', 'QEMU', 'Measured', 'Longest answer',
         'of a healthy guest', 'Stalled beside a stuck call'),
        lambda: calls.measured(calls.hosts()), '26 10 10 14 12 12 16'))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
