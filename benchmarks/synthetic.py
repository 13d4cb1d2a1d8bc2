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

"""Thousands of guests that are nothing but their records.

libvirt's connection is played by a class here; everything above it, from the
plugin's inspector to its pollsters, is the real thing.
"""

import time
import typing
import uuid

from ceilometer.compute import discovery
from ceilometer.compute import pollsters as in_tree
from ceilometer.compute.virt import inspector as in_tree_inspector
import libvirt

from benchmarks import agent
from memstat_pollster.host import inspector
from memstat_pollster.model import domain as live_xml
from memstat_pollster.model import facts
from memstat_pollster.model import history
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import stats
from memstat_pollster.model import status
from memstat_pollster import monitor
from tests.node import domain_xml

URI = 'qemu:///synthetic'
PERIOD_S = 10


class Domain:
    """A healthy guest, or one without numbers, as the bindings show it."""

    def __init__(self, number: int, *, reports: bool = True) -> None:
        self._id = number
        self._name = f'instance-{number:08x}'
        self._uuid = str(uuid.UUID(int=number, version=4))
        self._reports = reports

    def UUIDString(self) -> str:
        return self._uuid

    def ID(self) -> int:
        return self._id

    def name(self) -> str:
        return self._name

    def XMLDesc(self, _flags: int) -> str:
        document = domain_xml.Domain(
            name=self._name, mib=512, emulator='/usr/bin/qemu', boot='',
            balloon=domain_xml.Balloon(period=PERIOD_S),
            metadata=domain_xml.Metadata(self._name)).xml()
        return document.replace('<domain ', f"<domain id='{self._id}' ", 1)

    def record(self, last_update: int) -> dict[str, int]:
        """Its part of libvirt's bulk answer."""
        found = {
            'state.state': 1, 'state.reason': 1,
            'balloon.current': 524288, 'balloon.maximum': 524288,
            'balloon.last-update': last_update, 'balloon.rss': 204800}
        if self._reports:
            found |= {
                'balloon.swap_in': 3072, 'balloon.swap_out': 5120,
                'balloon.major_fault': 7, 'balloon.minor_fault': 11,
                'balloon.unused': 131072, 'balloon.available': 501760,
                'balloon.usable': 262144, 'balloon.disk_caches': 65536,
                'balloon.hugetlb_pgalloc': 0, 'balloon.hugetlb_pgfail': 0}
        return found


class Connection:
    """What the plugin's inspector asks of libvirt, without any guest.

    Every guest has reported since the last reading.
    """

    def __init__(self, domains: dict[str, Domain]) -> None:
        self._domains = domains
        self._readings = 0

    def getAllDomainStats(self, _stats: int, _flags: int) -> list[
            tuple[Domain, dict[str, int]]]:
        self._readings += 1
        last_update = int(time.time()) - self._readings % 2
        return [(domain, domain.record(last_update))
                for domain in self._domains.values()]

    def listAllDomains(self, _flags: int) -> list[Domain]:
        return list(self._domains.values())

    def close(self) -> int:
        return 0


def play_libvirt(domains: dict[str, Domain]) -> None:
    """From now on this process sees these guests, whatever it opens."""
    libvirt.openReadOnly = lambda _uri: Connection(domains)


def instance(domain: Domain) -> typing.Any:
    """As Ceilometer's discovery makes it of Nova's metadata."""
    return discovery.NovaLikeServer(**{
        'id': domain.UUIDString(), 'name': domain.name(),
        'flavor': {'id': '42', 'name': 'm1.lab', 'vcpus': 1, 'ram': 512,
                   'disk': 1, 'ephemeral': 0, 'swap': 0, 'extra_specs': {}},
        'image': {'id': domain_xml.IMAGE_ID}, 'os_type': 'hvm',
        'architecture': 'x86_64',
        'OS-EXT-SRV-ATTR:instance_name': domain.name(),
        'OS-EXT-SRV-ATTR:host': 'node', 'OS-EXT-STS:vm_state': 'running',
        'tenant_id': domain_xml.PROJECT_ID, 'user_id': domain_xml.USER_ID,
        'hostId': '3' * 56, 'status': 'active', 'metadata': {},
        'image_meta': {'container_format': 'bare', 'disk_format': 'qcow2',
                       'min_disk': '1', 'min_ram': '0'}})


class _Making:
    """Making the samples of the in-tree meters; all readings are there."""

    def __init__(self, count: int, *, plugin: bool) -> None:
        domains = [Domain(number) for number in range(1, count + 1)]
        play_libvirt({domain.UUIDString(): domain for domain in domains})
        self._resources = [instance(domain) for domain in domains]
        self._manager = agent.Manager()
        self._conf = agent.configuration(URI)
        self._pollsters = agent.pollsters(self._conf, agent.IN_TREE,
                                          plugin=plugin)
        self._cache: dict[str, typing.Any] = {}
        self._samples: list[typing.Any] = []

    def cycle(self) -> None:
        self._samples = agent.samples(self._pollsters, self._manager,
                                      self._resources, self._cache)

    def found(self) -> tuple[int, list[str]]:
        return len(self._samples), []


class StockMaking(_Making):
    """By the in-tree pollsters, out of their cache."""

    def __init__(self, count: int) -> None:
        # Where the in-tree pollsters keep the one that they share.
        in_tree.GenericComputePollster._inspector = object()
        super().__init__(count, plugin=False)

    def prepare(self) -> None:
        self._samples = []
        reading = in_tree_inspector.InstanceStats(
            power_state=1, cpu_number=1, cpu_time=1, memory_actual=512.0,
            memory_available=490.0, memory_usage=234.0, memory_resident=200.0,
            memory_swap_in=3.0, memory_swap_out=5.0)
        self._cache = {'inspect_instance': {
            each.id: (time.monotonic(), [reading])
            for each in self._resources}}


class PluginMaking(_Making):
    """By the plugin's pollsters, out of a cycle that is read and judged."""

    def __init__(self, count: int) -> None:
        super().__init__(count, plugin=True)
        self._reader = agent.pollsters(self._conf, ('memory.stats.age',),
                                       plugin=True)

    def prepare(self) -> None:
        self._samples = []
        self._cache = {}
        agent.samples(self._reader, self._manager, self._resources,
                      self._cache)


class Judging:
    """The pure part: parse, remember and judge each record."""

    def __init__(self, count: int) -> None:
        self._guests = [(domain, live_xml.parse(domain.XMLDesc(0)))
                        for domain in (Domain(number) for number
                                       in range(1, count + 1))]
        self._connection = Connection(
            {domain.UUIDString(): domain for domain, _ in self._guests})
        self._readings = history.Readings()
        self._thresholds = facts.Thresholds()
        self._answers: list[typing.Any] = []
        self._verdicts: list[status.Verdict] = []

    def prepare(self) -> None:
        self._answers = [
            (domain.UUIDString(), domain.ID(), live, record)
            for (domain, record), (_, live) in zip(
                self._connection.getAllDomainStats(0, 0), self._guests,
                strict=True)]
        self._verdicts = []

    def cycle(self) -> None:
        wall_s, monotonic_s = time.time(), time.monotonic()
        for identity, domain_id, live, record in self._answers:
            reading = stats.parse(record)
            past = self._readings.observe(
                identity, domain_id, reading, wall_s=wall_s,
                monotonic_s=monotonic_s)
            self._verdicts.append(status.judge(facts.Evidence(
                reading, live, past, self._thresholds)))

    def found(self) -> tuple[int, list[str]]:
        return sum(verdict.status is status.Status.REPORTING
                   for verdict in self._verdicts), []


class Monitoring:
    """All of a cycle but libvirt and samples; for the whole of the cost."""

    def __init__(self, count: int) -> None:
        domains = [Domain(number) for number in range(1, count + 1)]
        play_libvirt({domain.UUIDString(): domain for domain in domains})
        self._monitor = monitor.Monitor(
            inspector.Inspector(URI), facts.Thresholds(),
            lambda: nova_period.Wanted(PERIOD_S))
        self._cycle: judged.Cycle | None = None

    def prepare(self) -> None:
        self._cycle = None

    def cycle(self) -> None:
        self._cycle = self._monitor.cycle()

    def found(self) -> tuple[int, list[str]]:
        return sum(guest.memory is not None
                   for guest in self._cycle.guests.values()), []
