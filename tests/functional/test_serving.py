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

"""Ceilometer's own compute pollsters, with and without the plugin's reading.

On real QEMU: what a stock reading before and one after it say is what the
plugin's reading has to lie between.
"""

import os
import threading
import time

from ceilometer.compute import discovery
import libvirt

from benchmarks import agent
from memstat_pollster.agent import discovery as watch
from memstat_pollster.agent import pollsters
from memstat_pollster.agent import serving
from memstat_pollster.config import options
from tests.functional import base
from tests import node
from tests.node import agent as polling

METERS = (
    'power.state', 'cpu', 'vcpus',
    'disk.device.read.bytes', 'disk.device.read.requests',
    'disk.device.write.bytes', 'disk.device.write.requests',
    'disk.device.read.latency', 'disk.device.write.latency',
    'disk.device.capacity', 'disk.device.allocation', 'disk.device.usage',
    'network.incoming.bytes', 'network.incoming.packets',
    'network.outgoing.bytes', 'network.outgoing.packets',
    'network.incoming.packets.drop', 'network.incoming.packets.error',
    'network.outgoing.packets.drop', 'network.outgoing.packets.error',
    'network.incoming.bytes.delta', 'network.outgoing.bytes.delta')

#: A guest's disks and interfaces: three of each, of which Ceilometer meters
#: two; a CD-ROM without medium, and an interface without a target.
SERIES = 2 * sum(name.startswith(('disk', 'network')) for name in METERS) + 3


def _devices(directory, number):
    first, second = (directory / f'serving-{number}{letter}.raw'
                     for letter in 'ab')
    for disk, written in ((first, 300000), (second, 70000)):
        disk.write_bytes(b'x' * written)
        os.truncate(disk, 8 << 20)
        disk.chmod(0o666)
    tap, mac = f'ms{os.getpid()}{number}', f'fa:16:3e:00:{number:02x}'
    return f'''
<disk type='file' device='disk'><driver name='qemu' type='raw'/>
 <source file='{first}'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='hdb' bus='ide'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='raw'/>
 <source file='{second}'/><target dev='vdb' bus='virtio'/></disk>
<interface type='ethernet'><mac address='{mac}:01'/><target dev='{tap}a'/>
 <model type='virtio'/></interface>
<interface type='ethernet'><mac address='{mac}:02'/><target dev='{tap}b'/>
 <model type='virtio'/></interface>
<interface type='user'><mac address='{mac}:03'/><model type='virtio'/>
</interface>'''


class TestServing(base.FunctionalTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(serving.stop)
        self.guests = []
        for number in range(3):
            guest = self.node.scripted(
                f'serving-{number}', attach=True,
                devices=_devices(self.node.directory, number))
            self.addCleanup(guest.destroy)
            self.guests.append(guest)
        self.guests[2].domain.suspend()
        conf = agent.configuration(self.node.ro_uri)
        options.load(conf)
        self.manager = agent.Manager()
        watch.watch(pollsters._see)
        uuids = {guest.uuid for guest in self.guests}
        self.discoverer = discovery.InstanceDiscovery(conf)
        self.instances = [
            found for found in self.discoverer.discover(self.manager)
            if found.id in uuids]
        self.made = agent.pollsters(conf, METERS, plugin=False)
        self.addCleanup(self._forget_inspector)

    def _forget_inspector(self):
        base_class = serving.pollsters.GenericComputePollster
        if hasattr(base_class, '_inspector'):
            del base_class._inspector

    def cycle(self):
        """{(meter, resource): (volume, all else)}."""
        return {(sample.name, sample.resource_id): (
            sample.volume, sample.unit, sample.type, sample.user_id,
            sample.project_id, sample.resource_metadata)
            for sample in agent.samples(self.made, self.manager,
                                        self.instances)}

    def test_numbers_lie_between_two_stock_readings(self):
        serving.stop()
        self.cycle()
        before = self.cycle()
        serving.serve()
        # Ceilometer itself must not be asked: those samples would be missing.
        inspector = self.made[0].inspector
        for method in ('inspect_instance', 'inspect_disks', 'inspect_vnics'):
            setattr(inspector, method, self.fail)
        self.cycle()
        served = self.cycle()
        serving.stop()
        for method in ('inspect_instance', 'inspect_disks', 'inspect_vnics'):
            delattr(inspector, method)
        after = self.cycle()
        self.assertEqual(3 * SERIES, len(before))
        self.assertEqual(before.keys(), served.keys())
        self.assertEqual(before.keys(), after.keys())
        for series, (volume, *rest) in served.items():
            with self.subTest(series=series):
                self.assertEqual(before[series][1:], tuple(rest))
                if series[0].endswith('.delta'):
                    # Since the reading before, whoever made it.
                    self.assertGreaterEqual(volume, 0)
                    continue
                self.assertTrue(
                    before[series][0] <= volume <= after[series][0],
                    (before[series][0], volume, after[series][0]))

    def test_a_frozen_guest_costs_its_own_samples_alone(self):
        serving.serve()
        self.cycle()
        frozen = self.guests[0]
        frozen.freeze()
        self.addCleanup(frozen.thaw)
        for _ in range(3):
            began_s = time.monotonic()
            found = self.cycle()
            self.assertLess(time.monotonic() - began_s, 6.0)
            self.assertEqual(2 * SERIES, len(found))
            self.assertEqual(set(), {series for series in found
                                     if frozen.uuid in series[1]})
        frozen.thaw()
        self.wait_for_all()

    def wait_for_all(self):
        deadline_s = time.monotonic() + 30
        while len(self.cycle()) < 3 * SERIES:
            self.assertLess(time.monotonic(), deadline_s)

    def test_discovery_is_not_held_up_by_a_guest_that_a_call_is_stuck_on(self):
        """From libvirt 11 on Ceilometer's own waits 30 s for its XML."""
        watch.guard(pollsters._connect)
        self.addCleanup(watch.stop)
        serving.serve()
        expected = self.discovered()
        self.assertEqual({guest.uuid for guest in self.guests},
                         set(expected))
        held = self.guests[0]
        held.freeze()
        self.addCleanup(held.thaw)
        stuck = self.hold(held)
        for _ in range(3):
            began_s = time.monotonic()
            self.assertEqual(expected, self.discovered())
            # Stock's 30 s are for each such guest.
            self.assertLess(time.monotonic() - began_s, 6.0)
            self.assertEqual(2 * SERIES, len(self.cycle()))
        self.assertTrue(stuck.is_alive())
        held.thaw()
        self.wait_for_all()
        self.assertEqual(expected, self.discovered())

    def test_a_guest_that_freezes_before_it_is_asked_for_its_disks(self):
        """Ceilometer's own question gets stuck, and is left behind."""
        serving.serve()
        self.cycle()
        frozen = self.guests[0]
        self.addCleanup(frozen.thaw)
        cache, found, began_s = {}, set(), time.monotonic()
        for pollster in self.made:
            if pollster.sample_name == 'disk.device.capacity':
                frozen.freeze()
            found |= {(sample.name, sample.resource_id) for sample in
                      pollster.get_samples(self.manager, cache,
                                           self.instances)}
        self.assertLess(time.monotonic() - began_s, 12.0)
        without = {name for name in METERS if name not in {
            name for name, resource in found if frozen.uuid in resource}}
        self.assertEqual({'disk.device.capacity', 'disk.device.allocation',
                          'disk.device.usage'}, without)
        self.assertEqual(3 * SERIES - 2 * len(without), len(found))
        # The others, while that call is still stuck.
        self.assertEqual(2 * SERIES, len(self.cycle()))
        frozen.thaw()
        self.wait_for_all()

    def discovered(self):
        """{uuid: what Ceilometer's discovery makes of the guest}."""
        uuids = {guest.uuid for guest in self.guests}
        return {found.id: vars(found) for found
                in self.discoverer.discover(self.manager)
                if found.id in uuids}

    def hold(self, guest):
        """Let a call of another client be stuck on a guest."""
        source = libvirt.openReadOnly(self.node.ro_uri)
        found = source.lookupByUUIDString(guest.uuid)
        thread = threading.Thread(target=found.memoryStats, daemon=True)
        thread.start()
        deadline_s = time.monotonic() + 30
        # On a connection of its own: the first may stall now.
        second = libvirt.openReadOnly(self.node.ro_uri)
        self.addCleanup(second.close)
        other = second.lookupByUUIDString(guest.uuid)
        while other.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_OK:
            self.assertLess(time.monotonic(), deadline_s)
            time.sleep(0.05)
        return thread


class TestDefaultFile(base.FunctionalTest):
    """The real agent, polling what Ceilometer's own polling.yaml lists."""

    #: That of Ceilometer 27, less what is not of a compute node.
    METERS = (
        'power.state', 'cpu', 'memory.available', 'memory.usage',
        'network.incoming.bytes', 'network.incoming.packets',
        'network.outgoing.bytes', 'network.outgoing.packets',
        'disk.device.read.bytes', 'disk.device.read.requests',
        'disk.device.write.bytes', 'disk.device.write.requests')

    def test_ceilometers_own_file_and_a_frozen_guest(self):
        self.guests = []
        for number in range(3):
            guest = self.node.scripted(
                f'default-{number}', attach=True,
                devices=_devices(self.node.directory, number))
            self.addCleanup(guest.destroy)
            guest.driver.push(node.linux_stats(
                501760, 131072, avail_kib=262144, caches_kib=65536))
            self.guests.append(guest)
        self.node.answer()
        agent = polling.Agent(self.node.ro_uri, meters=self.METERS)
        self.addCleanup(agent.close)
        agent.start()
        expected = self.series(*self.guests)
        agent.wait_for(lambda cycles: cycles and expected <= self.found(
            cycles[-1]), 'every sample of every guest')
        frozen, *others = self.guests
        self.addCleanup(frozen.thaw)
        frozen.freeze()
        agent.wait_for(lambda cycles: not self.found(cycles[-1])
                       & self.series(frozen), 'a cycle without it')
        for cycle in agent.wait_cycles(6)[-5:]:
            self.assertEqual(self.series(*others), self.found(cycle))
        said = agent.said('WARNING')
        self.assertEqual(1, len(said), said)
        self.assertIn(frozen.uuid, said[0])
        self.assertEqual([], [line for line in agent.log()
                              if 'Traceback' in line])
        frozen.thaw()
        agent.wait_for(lambda cycles: expected <= self.found(cycles[-1]),
                       'every sample again')

    @staticmethod
    def found(cycle):
        return {(meter, resource) for resource, samples in cycle.items()
                for meter in samples}

    def series(self, *guests):
        """Each meter of these guests, and its resource."""
        found = set()
        for guest in guests:
            nics = [f'{guest.name}-{guest.uuid}-{name}' for name in
                    self.taps(guest)]
            for meter in self.METERS:
                kind = meter.partition('.')[0]
                found |= {(meter, resource) for resource in (
                    nics if kind == 'network' else
                    [f'{guest.uuid}-vda', f'{guest.uuid}-vdb']
                    if kind == 'disk' else [guest.uuid])}
        return found

    def taps(self, guest):
        number = self.guests.index(guest)
        return [f'ms{os.getpid()}{number}{letter}' for letter in 'ab']
