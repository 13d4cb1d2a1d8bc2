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

"""The table of supported hosts, from what "tools/test --host" found.

    collect SUITE   add the suite's facts and results to
                    build/results/hosts.json
    publish         take that file into the documentation, and its table into
                    README.rst
    table           print the table of the documentation's file
    facts           print what this machine is, for collect
"""

import datetime
import json
import pathlib
import re
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOUND = ROOT / 'build' / 'results' / 'hosts.json'
PUBLISHED = ROOT / 'doc' / 'source' / 'hosts.json'
README = ROOT / 'README.rst'
BEGIN = '.. The table is written by "tools/hosts.py publish".\n'
END = '.. End of the table of hosts.\n'

#: suite -> its name in the table, in the table's order
SUITES = {'bookworm': 'Debian 12', 'trixie': 'Debian 13',
          'forky': 'forky (Debian 14 to be)'}
STEPS = ('unit', 'functional', 'matrix', 'package')
#: fact -> the package whose version it is
PACKAGES = {'libvirt': 'libvirt-daemon', 'qemu': 'qemu-system-x86',
            'python': 'python3', 'ceilometer': 'python3-ceilometer'}
COLUMNS = ('Host', 'libvirt', 'QEMU', 'Python', 'Guest kernel',
           'Its Ceilometer', 'Demo', *(f'{step.capitalize()} tests'
                                       for step in STEPS), 'Tested')


def upstream(version):
    """'10.0.13' of Debian's '1:10.0.13+ds-0+deb13u1'."""
    return re.match(r'(?:\d+:)?([\d.]*\d)', version)[1]


def candidate(package):
    """The version of a package that is installed, or would be."""
    shown = subprocess.run(['apt-cache', 'policy', package], check=True,
                           capture_output=True, text=True).stdout
    return upstream(re.search(r'Candidate: (\S+)', shown)[1])


def kernel_version(image):
    """The version that a kernel was made of.

    Debian 12's calls itself 6.1.0 and says the true one behind that
    (Linux's x86/boot.rst, kernel_version).
    """
    data = image.read_bytes()
    start = 0x200 + struct.unpack_from('<H', data, 0x20e)[0]
    said = data[start:data.index(b'\0', start)].decode()
    found = re.search(r' Debian (\d\S*)', said)
    return upstream(found[1] if found else said)


def facts():
    """What this machine is: versions of Debian's packages, upstream's part.

    A machine where no Linux guest has booted has no kernel for them.
    """
    kernel = ROOT / 'build' / 'node' / 'kernel' / 'vmlinuz'
    return {**{fact: candidate(package)
               for fact, package in PACKAGES.items()},
            'kernel': kernel_version(kernel) if kernel.exists() else None}


def steps(path, today):
    """{step: passed, failed, skipped and when} of a file of tools/test's.

    The releases of the matrix are one step.
    """
    found = {}
    for line in path.read_text().splitlines():
        name, *counts = line.split()
        step = 'matrix' if name.startswith('ceilometer-') else name
        result = found.setdefault(step, {
            'passed': 0, 'failed': 0, 'skipped': 0, 'date': today})
        for key, count in zip(('passed', 'failed', 'skipped'), counts,
                              strict=True):
            result[key] += int(count)
    return found


def merged(result, suite, found, results):
    """The result with a suite's facts, and with those steps that it ran."""
    known = {each['suite']: each for each in result['hosts']}
    before = known.get(suite, {})
    # The same steps of another libvirt say nothing of this one.
    kept = before.get('steps', {}) if all(
        before.get(fact) == found[fact] for fact in PACKAGES) else {}
    known[suite] = {'suite': suite, **found, 'steps': {**kept, **results}}
    return {'hosts': [known[name] for name in SUITES if name in known]}


def collect(suite):
    root = ROOT / 'build' / 'hosts' / suite
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    result = {'hosts': []}
    if FOUND.exists():
        result = json.loads(FOUND.read_text())
    elif PUBLISHED.exists():
        result = json.loads(PUBLISHED.read_text())
    found = json.loads(subprocess.run(
        [ROOT / 'tools' / 'in-root', root, 'python3',
         '/checkout/tools/hosts.py', 'facts'],
        check=True, stdout=subprocess.PIPE).stdout)
    result = merged(result, suite, found, steps(
        root / 'checkout' / 'build' / 'results' / 'steps', today))
    FOUND.parent.mkdir(parents=True, exist_ok=True)
    FOUND.write_text(json.dumps(result, indent=2) + '\n')


def counted(result):
    """'203 of 203', with the tests that were skipped."""
    if result is None:
        return ''
    text = '{passed} of {}'.format(
        result['passed'] + result['failed'], **result)
    if result['skipped']:
        text += ', {skipped} skipped'.format(**result)
    return text


def row(host):
    """The table's cells; a step that did not run leaves its own empty."""
    found = host['steps']
    demo = found.get('demo')
    return (
        SUITES[host['suite']], host['libvirt'], host['qemu'], host['python'],
        host['kernel'] or '', host['ceilometer'],
        '' if demo is None else 'fails' if demo['failed'] else 'runs',
        *(counted(found.get(step)) for step in STEPS),
        min((each['date'] for each in found.values()), default=''))


def table(result):
    """The table in reStructuredText."""
    lines = ['.. list-table::', '   :header-rows: 1', '']
    for cells in [COLUMNS, *map(row, result['hosts'])]:
        marks = ['   * -'] + ['     -'] * (len(cells) - 1)
        lines += [f'{mark} {cell}'.rstrip() for mark, cell
                  in zip(marks, cells, strict=True)]
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
        collect(*arguments)
    elif command == 'publish':
        publish()
    elif command == 'table':
        print(table(json.loads(PUBLISHED.read_text())), end='')
    elif command == 'facts':
        print(json.dumps(facts()))
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(*(sys.argv[1:] or ['help']))
