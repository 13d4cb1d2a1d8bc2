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
"""The table of supported releases, from what "tools/test --matrix" found.

    collect     gather the environments' facts and test results in
                build/results/matrix.json
    publish     take that file into the documentation, and its table into
                README.rst
    table       print the table of the documentation's file
"""

import datetime
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOUND = ROOT / 'build' / 'results' / 'matrix.json'
PUBLISHED = ROOT / 'doc' / 'source' / 'matrix.json'
README = ROOT / 'README.rst'
BEGIN = '.. The table is written by "tools/matrix.py publish".\n'
END = '.. End of the table.\n'

#: First number of Ceilometer's version -> OpenStack's series, as in the
#: deliverables of openstack/releases.
SERIES = {'19': 'Zed', '22': '2024.1', '23': '2024.2', '24': '2025.1',
          '25': '2025.2', '26': '2026.1', '27': '2026.2'}
#: Who else ships a version that was installed from PyPI.
SHIPPED = {'22.0.1': 'Ubuntu 24.04'}
COLUMNS = ('Ceilometer', 'OpenStack', 'Shipped by', 'Python',
           '``memory.available`` of its own', 'Prometheus exporter',
           'Tests passed')


def collect(names):
    """Facts and results of the environments of these names.

    An environment whose tests did not run has no facts, or no results.
    """
    import count_results
    releases = []
    for name in names:
        facts = ROOT / 'build' / 'matrix' / name / 'facts.json'
        passed, failed, _ = count_results.count(
            ROOT / 'build' / 'results' / f'{name}.subunit')
        releases.append({**json.loads(facts.read_text()),
                         'passed': passed, 'failed': failed})
    releases.sort(key=lambda each: [
        int(part) for part in each['ceilometer'].split('.')])
    today = datetime.datetime.now(datetime.timezone.utc).date()
    FOUND.write_text(json.dumps(
        {'date': today.isoformat(), 'releases': releases}, indent=2) + '\n')


def rows(result):
    """The table's cells."""
    return [COLUMNS] + [(
        each['ceilometer'],
        SERIES[each['ceilometer'].split('.')[0]],
        each['distribution'] or SHIPPED.get(each['ceilometer'], ''),
        each['python'],
        'yes' if each['memory_available_in_tree'] else 'no',
        'yes' if each['exporter'] else 'no',
        '{passed} of {}'.format(each['passed'] + each['failed'], **each),
    ) for each in result['releases']]


def table(result):
    """The table in reStructuredText."""
    lines = ['.. list-table::', '   :header-rows: 1', '']
    for row in rows(result):
        marks = ['   * -'] + ['     -'] * (len(row) - 1)
        lines += [f'{mark} {cell}'.rstrip() for mark, cell
                  in zip(marks, row, strict=True)]
    lines += ['', f"As of {result['date']}."]
    return '\n'.join(lines) + '\n'


def publish():
    result = FOUND.read_text()
    PUBLISHED.write_text(result)
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(
        f'{before}{BEGIN}\n{table(json.loads(result))}\n{END}{after}')


def main(command, *arguments):
    if command == 'collect':
        collect(arguments)
    elif command == 'publish':
        publish()
    elif command == 'table':
        print(table(json.loads(PUBLISHED.read_text())), end='')
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(*(sys.argv[1:] or ['help']))
