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

"""Every number of Ceilometer's own pollsters, with and without the plugin.

A reading of Ceilometer's own before and one after it are what each number of
the plugin's has to lie between; of a guest at rest they are equal.
"""

import importlib.metadata
import os
import socket
import subprocess

from ceilometer.compute import discovery
import libvirt
from oslo_config import cfg

from benchmarks import agent
from memstat_pollster.agent import serving
from memstat_pollster.agent import shared
from memstat_pollster.config import options
from memstat_pollster.model import compute
from memstat_pollster.model import served
from tests.functional import base
from tests.node import domain_xml

#: The pollsters of this release that ask libvirt.
METERS = tuple(
    meter for row in served.ROWS if row.method in compute.KINDS
    for meter in row.meters if importlib.metadata.entry_points(
        group=agent.NAMESPACE, name=meter))
#: A guest has none of these counters unless it is asked for them.
NO_NUMBER = ('perf.', 'memory.bandwidth', 'cpu_l3_cache', 'cpu_util')

BRIDGE = f'msb{os.getpid()}'
#: Of four CPUs the second and the last are not there.
HOLES = '''<vcpu current='2'>4</vcpu><vcpus>
<vcpu id='0' enabled='yes' hotpluggable='no'/>
<vcpu id='1' enabled='no' hotpluggable='yes'/>
<vcpu id='2' enabled='yes' hotpluggable='yes'/>
<vcpu id='3' enabled='no' hotpluggable='yes'/></vcpus>'''

#: Without a rule, so that libvirt needs no ebtables for it.
FILTER = "<filter name='memstat-matrix' chain='root'/>"

MEDIUM = '''<disk type='file' device='cdrom'>
<driver name='qemu' type='raw'/>{source}<target dev='hdb' bus='ide'/>
<readonly/></disk>'''


def _nic(tap, number, more='', source="<target dev='{}'/>"):
    return (f"<mac address='fa:16:3e:01:00:{number:02x}'/>"
            f"{source.format(tap)}<model type='virtio'/>{more}</interface>")


class TestValues(base.FunctionalTest):

    def setUp(self):
        super().setUp()
        self.addCleanup(serving.stop)
        self.conf = agent.configuration(self.node.ro_uri)
        options.load(self.conf)
        self.manager = agent.Manager()
        shared.agent_of(self.manager, self.conf)
        self.made = agent.pollsters(self.conf, METERS, plugin=False)
        self.inspector = self.made[0].inspector
        self.addCleanup(self._forget_inspector)
        # The agent's is one for the life of the process.
        self.inspector.cache.clear()

    @staticmethod
    def _forget_inspector():
        cls = serving.pollsters.GenericComputePollster
        if hasattr(cls, '_inspector'):
            del cls._inspector

    def file(self, name, size):
        path = self.node.directory / f'{name}-{os.getpid()}.raw'
        path.write_bytes(b'x' * 70000)
        os.truncate(path, size)
        path.chmod(0o666)
        self.addCleanup(path.unlink)
        return path

    def instance(self, guest):
        return discovery.NovaLikeServer(**{
            'id': guest.uuid, 'name': guest.display_name, 'flavor': {
                'id': '42', 'name': 'm1.lab', 'vcpus': 1, 'ram': 512,
                'disk': 3, 'ephemeral': 1, 'swap': 0},
            'image': {'id': 'image'}, 'os_type': 'hvm',
            'architecture': 'x86_64', 'metadata': {}, 'status': 'active',
            'OS-EXT-SRV-ATTR:instance_name': guest.name,
            'OS-EXT-SRV-ATTR:host': 'node',
            'OS-EXT-STS:vm_state': 'running', 'hostId': 'hash',
            'tenant_id': domain_xml.PROJECT_ID,
            'user_id': domain_xml.USER_ID})

    def cycle(self, *guests):
        """{(meter, resource): (volume, all else)}."""
        found = {}
        for sample in agent.samples(self.made, self.manager, [
                self.instance(guest) for guest in guests]):
            series = sample.name, sample.resource_id
            self.assertNotIn(series, found)
            found[series] = sample.volume, (
                sample.unit, sample.type, sample.user_id, sample.project_id,
                sample.resource_metadata)
        return found

    def compare(self, *guests, asked=(compute.DISK_SIZES,)):
        """The three readings, the plugin's in the middle.

        :param asked: what Ceilometer may be asked itself
        """
        serving.stop()
        self.cycle(*guests)
        before = self.cycle(*guests)
        serving.serve()
        methods = set()
        for method in compute.KINDS:
            self._watch(method, methods)
        # The first finds out what the second can have in one call.
        self.cycle(*guests)
        middle = self.cycle(*guests)
        for method in compute.KINDS:
            delattr(self.inspector, method)
        serving.stop()
        after = self.cycle(*guests)
        self.assertEqual(set(asked), methods)
        self.assertEqual(set(before), set(middle))
        self.assertEqual(set(before), set(after))
        for series, (volume, rest) in middle.items():
            self.assertEqual((series, before[series][1]), (series, rest))
            if not series[0].endswith('.delta'):
                self.assertTrue(
                    before[series][0] <= volume <= after[series][0],
                    (series, before[series][0], volume, after[series][0]))
        return before, middle, after

    def _watch(self, method, methods):
        original = getattr(self.inspector, method)

        def call(*args):
            methods.add(method)
            return original(*args)
        setattr(self.inspector, method, call)

    def series(self, guest, disks=(), nics=()):
        """Every series that a running guest has to have."""
        found = set()
        for meter in METERS:
            if meter.startswith('disk.'):
                found |= {(meter, f'{guest.uuid}-{disk}') for disk in disks}
            elif meter.startswith('network.'):
                # Ceilometer 19 gives one of them another's name.
                name = self.made[METERS.index(meter)].sample_name
                found |= {(name, nic if nic == 'memstat-matrix' else
                           f'{guest.name}-{guest.uuid}-{nic}')
                          for nic in nics}
            elif not meter.startswith(NO_NUMBER):
                found.add((meter, guest.uuid))
        return found

    def test_disks(self):
        guest = self.scripted('disks', attach=True, devices=''.join(
            f"<disk type='file' device='disk'><driver name='qemu' "
            f"type='raw'/><source file='{self.file(name, size)}'/>"
            f"<target dev='{name}' bus='virtio'/></disk>"
            for name, size in (('vda', 8 << 20), ('vdb', 3 << 20)))
            + MEDIUM.format(source=''))
        _, middle, _ = self.compare(guest)
        self.assertEqual(self.series(guest, ('vda', 'vdb')), set(middle))
        self.assertEqual(
            8 << 20, middle['disk.device.capacity', f'{guest.uuid}-vda'][0])
        # A medium that is put in is metered from the next cycle on.
        medium = self.file('medium', 1 << 20)
        guest.domain.updateDeviceFlags(MEDIUM.format(
            source=f"<source file='{medium}'/>"))
        _, middle, _ = self.compare(guest)
        self.assertEqual(self.series(guest, ('vda', 'hdb', 'vdb')),
                         set(middle))
        # libvirt 9.0 leaves a source element behind; Ceilometer then has no
        # sizes of the guest's disks at all, with and without the plugin.
        guest.domain.updateDeviceFlags(MEDIUM.format(source=''))
        self.compare(guest)

    def test_interfaces(self):
        subprocess.run(['ip', 'link', 'add', BRIDGE, 'type', 'bridge'],
                       check=True)
        self.addCleanup(subprocess.run, ['ip', 'link', 'del', BRIDGE],
                        check=True)
        subprocess.run(['ip', 'link', 'set', BRIDGE, 'up'], check=True)
        taps = [f'msv{os.getpid()}{letter}' for letter in 'abc']
        bridged = ("<interface type='bridge'><source bridge='%s'/>" % BRIDGE)
        guest = self.scripted('nics', attach=True, devices=(
            bridged + _nic(taps[0], 1)
            + "<interface type='ethernet'>" + _nic(taps[1], 2)
            + "<interface type='user'>" + _nic('', 3, source='')))
        for tap in taps[:2]:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
                sender.bind((tap, 0))
                sender.send(b'\xff' * 6 + b'\x02\0\0\0\0\x01'
                            b'\x88\xb5' + b'x' * 100)
        _, middle, _ = self.compare(guest)
        self.assertEqual(self.series(guest, (), taps[:2]), set(middle))
        for tap in taps[:2]:
            # No driver of the guest's takes them from QEMU: it reads one.
            self.assertGreater(middle[
                'network.incoming.bytes',
                f'{guest.name}-{guest.uuid}-{tap}'][0], 0)
        parameters = {series[1]: rest[-1]['parameters'] for series, (_, rest)
                      in middle.items() if series[0].startswith('network.')}
        self.assertEqual(
            [BRIDGE, None], [parameters[f'{guest.name}-{guest.uuid}-{tap}'][
                'bridge'] for tap in taps[:2]])
        # One that is plugged in between two cycles.
        guest.domain.attachDevice(bridged + _nic(taps[2], 4))
        _, middle, _ = self.compare(guest)
        self.assertEqual(self.series(guest, (), taps), set(middle))
        # Started again, its counters begin anew, and that one is gone.
        guest.domain.destroy()
        guest.start()
        readings = self.compare(guest)
        self.assertEqual(self.series(guest, (), taps[:2]), set(readings[1]))
        for found in readings:
            self.assertEqual([], [
                (series, volume) for series, (volume, _) in found.items()
                if series[0].endswith('.delta') and volume < 0])

    def test_a_filter(self):
        connection = self.node.connection
        try:
            found = connection.nwfilterDefineXML(FILTER)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
            # Debian 13 has it in a package of its own.
            self.skipTest('this libvirtd has no network filters')
        self.addCleanup(found.undefine)
        guest = self.scripted('filtered', devices=(
            "<interface type='ethernet'>" + _nic(
                f'msf{os.getpid()}', 5,
                "<filterref filter='memstat-matrix'>"
                "<parameter name='IP' value='10.9.8.7'/></filterref>")))
        # Before the filter, which it uses.
        self.addCleanup(self.node.destroy, guest.name)
        _, middle, _ = self.compare(guest)
        self.assertEqual(self.series(guest, (), ['memstat-matrix']),
                         set(middle))

    def test_holes_between_the_cpus(self):
        guest = self.scripted('holes', attach=True, vcpus=HOLES)
        _, middle, _ = self.compare(guest)
        self.assertEqual(self.series(guest), set(middle))
        if ('vcpus', guest.uuid) in middle:
            self.assertEqual(2, middle['vcpus', guest.uuid][0])

    def test_a_guest_that_runs(self):
        guest = self.linux('runs')
        _, middle, _ = self.compare(guest)
        self.assertEqual(self.series(guest), set(middle))
        self.assertGreater(middle['cpu', guest.uuid][0], 10**8)

    def test_a_guest_at_rest(self):
        guest = self.scripted('paused', attach=True, devices=(
            f"<disk type='file' device='disk'><driver name='qemu' "
            f"type='raw'/><source file='{self.file('vda', 5 << 20)}'/>"
            "<target dev='vda' bus='virtio'/></disk>"))
        guest.domain.suspend()
        before, middle, after = self.compare(guest)
        self.assertEqual(self.series(guest, ('vda',)), set(middle))
        self.assertEqual(before, middle)
        self.assertEqual(before, after)

    def test_a_guest_that_is_shut_off(self):
        guest = self.scripted('off', attach=True)
        other = self.scripted('on', attach=True)
        guest.domain.destroy()
        for reported in (False, True):
            try:
                self.conf.set_override('report_stopped_instance_metrics',
                                       reported, 'compute')
            except cfg.NoSuchOptError:
                pass  # before Ceilometer has that option
            before, middle, _ = self.compare(guest, other, asked=(
                compute.INSTANCE, compute.DISKS, compute.DISK_SIZES,
                compute.INTERFACES))
            off = {series: found for series, found in before.items()
                   if series[1] == guest.uuid}
            self.assertEqual(off, {
                series: found for series, found in middle.items()
                if series[1] == guest.uuid})
