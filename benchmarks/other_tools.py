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

"""What other tools publish of the 13 guests of :mod:`side_by_side`.

``python -m benchmarks.other_tools`` lets collectd's plugin virt and
prometheus-libvirt-exporter, both of Debian's packages, read the guests over
the same read-only socket, and counts as side_by_side does.  Then one QEMU is
frozen, and what they still publish of the others is looked at for a minute.
The packages are unpacked into a temporary directory: nothing is installed,
no service is started.
"""

from __future__ import annotations

import collections.abc
import contextlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

from benchmarks import side_by_side
from tests import node
from tests.node import tools

PACKAGES = ('collectd-core', 'prometheus-libvirt-exporter')
#: How long the tools are watched once a QEMU is frozen.
FROZEN_S = 60
#: Longer than a tool may take to answer, so that a frozen one counts as such.
ANSWER_S = 10
FROZEN = 'side-no-service'

#: collectd's names of a domain's memory -> ours; all in bytes.
COLLECTD = {'actual_balloon': 'memory', 'available': 'memory.available',
            'usable': 'memory.usable', 'unused': 'memory.unused'}
#: The exporter's series; "Memory usage of the domain", says its HELP.
EXPORTER = {'libvirt_domain_info_memory_usage_bytes': 'memory.usage'}

_COLLECTD_CONF = """\
BaseDir "{directory}"
PIDFile "{directory}/pid"
PluginDir "{root}/usr/lib/collectd"
TypesDB "{root}/usr/share/collectd/types.db"
Interval 1
LoadPlugin csv
<Plugin csv>
  DataDir "{directory}/csv"
</Plugin>
LoadPlugin virt
<Plugin virt>
  Connection "{uri}"
  ExtraStats "memory"
  HostnameFormat name
</Plugin>
"""

#: guest's name in libvirt -> meter -> MiB
Cycle = dict[str, dict[str, float]]


def of_exporter(text: str) -> Cycle:
    """One scrape of the exporter."""
    found: Cycle = {}
    for name, labels, value in re.findall(
            r'^(\w+)\{([^}]*)\} (\S+)$', text, re.MULTILINE):
        guest = re.search(r'\bdomain="([^"]*)"', labels)
        if name in EXPORTER and guest:
            found.setdefault(guest[1], {})[EXPORTER[name]] = (
                float(value) / side_by_side.MIB)
    return found


def of_collectd(directory: pathlib.Path, count: int) -> list[Cycle]:
    """The newest cycles in the files of collectd's plugin csv."""
    cycles: list[Cycle] = [{} for _ in range(count)]
    for path in sorted(directory.glob('*/virt/memory-*')):
        what = re.match(r'memory-(\w+?)-\d', path.name)
        if what is None or what[1] not in COLLECTD:
            continue
        rows = path.read_text().splitlines()[1:][-count:]
        for cycle, row in zip(cycles, rows, strict=False):
            cycle.setdefault(path.parts[-3], {})[COLLECTD[what[1]]] = (
                float(row.partition(',')[2]) / side_by_side.MIB)
    return cycles


def count(cycles: collections.abc.Iterable[Cycle]) -> tuple[int, int]:
    """Wrong numbers, and all of them."""
    wrong = every = 0
    for cycle in cycles:
        for name, case in side_by_side.CASES.items():
            truth = case.truth.meters()
            for meter, value in cycle.get(f'side-{name}', {}).items():
                every += 1
                wrong += not (abs(value - truth[meter])
                              <= side_by_side.TOLERANCE_MIB)
    return wrong, every


class _Tool:
    """A process that reads guests; ended with its ``with``."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> _Tool:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()


class Exporter(_Tool):
    """prometheus-libvirt-exporter."""

    def __init__(self, root: pathlib.Path, uri: str) -> None:
        address = f'{tools.LOOPBACK}:{tools.free_port()}'
        self._url = f'http://{address}/metrics'
        super().__init__([
            str(root / 'usr/bin/prometheus-libvirt-exporter'),
            '--libvirt.uri', uri, '--web.listen-address', address])

    def scrape(self) -> Cycle:
        """A scrape; empty when there was no answer in ANSWER_S."""
        try:
            with urllib.request.urlopen(self._url, timeout=ANSWER_S) as said:
                return of_exporter(said.read().decode())
        except OSError:
            return {}


class Collectd(_Tool):
    """collectd with its plugins virt and csv."""

    def __init__(self, root: pathlib.Path, uri: str,
                 directory: pathlib.Path) -> None:
        self.csv = directory / 'csv'
        conf = directory / 'collectd.conf'
        conf.write_text(_COLLECTD_CONF.format(
            directory=directory, root=root, uri=uri))
        super().__init__([str(root / 'usr/sbin/collectd'), '-f',
                          '-C', str(conf)])

    def rows(self) -> int:
        """How many numbers of the guests that are well it has written."""
        return sum(len(path.read_text().splitlines())
                   for path in self.csv.glob('*/virt/memory-*')
                   if path.parts[-3] != FROZEN)


def unpack(directory: pathlib.Path) -> pathlib.Path:
    """Debian's packages, unpacked below a directory."""
    root = directory / 'root'
    subprocess.run(['apt-get', 'download', *PACKAGES], cwd=directory,
                   check=True, capture_output=True)
    for package in sorted(directory.glob('*.deb')):
        subprocess.run(['dpkg', '-x', str(package), str(root)], check=True)
    return root


def main() -> int:
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix='memstat-other-')))
        root = unpack(directory)
        compute = stack.enter_context(node.Node())
        guests = side_by_side.start_guests(compute)
        time.sleep(side_by_side.SETTLED_S + side_by_side.PERIOD_S)
        collectd = stack.enter_context(
            Collectd(root, compute.ro_uri, directory))
        exporter = stack.enter_context(Exporter(root, compute.ro_uri))
        node.wait_for(exporter.scrape, ANSWER_S, "the exporter's answer", 0.5)
        scrapes = [exporter.scrape() for _ in range(side_by_side.CYCLES)]
        node.wait_for(
            lambda: all(of_collectd(collectd.csv, side_by_side.CYCLES)),
            FROZEN_S, "collectd's files", 0.5)
        rows = of_collectd(collectd.csv, side_by_side.CYCLES)
        for name, cycles in (('collectd', rows), ('exporter', scrapes)):
            wrong, every = count(cycles)
            print(f'{name}: {wrong} of {every} numbers wrong')
        guests[FROZEN.removeprefix('side-')].freeze()
        # What was on its way when the guest froze.
        time.sleep(2)
        before, answers = collectd.rows(), 0
        end = time.monotonic() + FROZEN_S
        while time.monotonic() < end:
            answers += bool(exporter.scrape())
            time.sleep(1)
        print(f'one QEMU frozen for {FROZEN_S} s: collectd wrote '
              f'{collectd.rows() - before} numbers of the other '
              f'{len(guests) - 1} guests; the exporter answered {answers} '
              'scrapes')
    return 0


if __name__ == '__main__':
    sys.exit(main())
