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

"""CPUs, disks and interfaces by the bulk record and the live XML."""

from hypothesis import given
from hypothesis import strategies
import testtools

from memstat_pollster.model import compute
from tests.unit.model import test_properties

XML = '''<domain type='kvm' id='7'><devices>
<disk type='file' device='disk'><source file='/a'><x/></source>
 <backingStore type='file'><source file='/b'/></backingStore>
 <target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
<disk type='network' device='disk'><source protocol='rbd' name='p/v'/>
 <target dev='vdb' bus='virtio'/></disk>
<interface type='bridge'><mac address='fa:16:3e:00:00:01'/>
 <source bridge='br-int'/><target dev='tap1'/>
 <virtualport type='openvswitch'>
  <parameters interfaceid='11111111-2222-3333-4444-555555555555'/>
 </virtualport></interface>
<interface type='ethernet'><mac address='fa:16:3e:00:00:02'/>
 <target dev='tap2'/><filterref filter='no-spoof'>
 <parameter name='IP' value='10.0.0.9'/></filterref></interface>
<interface type='user'><mac address='fa:16:3e:00:00:03'/></interface>
</devices></domain>'''

FIRST = compute.Interface(
    'tap1', 'fa:16:3e:00:00:01', None,
    {'interfaceid': '11111111-2222-3333-4444-555555555555',
     'bridge': 'br-int'})
SECOND = compute.Interface(
    'tap2', 'fa:16:3e:00:00:02', 'no-spoof',
    {'ip': '10.0.0.9', 'interfaceid': None, 'bridge': None})
DEVICES = compute.Devices(7, ('vda', 'vdb'), (FIRST, SECOND))

CPUS = {'state.state': 1, 'vcpu.current': 2, 'vcpu.maximum': 4,
        'vcpu.0.time': 101, 'vcpu.0.wait': 7, 'vcpu.3.time': 203,
        'vcpu.3.wait': 11, 'cpu.time': 999, 'perf.cpu_cycles': 17,
        'perf.cmt': 19}


def _disk(number, name, first):
    keys = ('rd.reqs', 'rd.bytes', 'rd.times', 'wr.reqs', 'wr.bytes',
            'wr.times', 'allocation', 'capacity', 'physical')
    return {f'block.{number}.name': name,
            **{f'block.{number}.{key}': first + add
               for add, key in enumerate(keys)}}


DISKS = {'block.count': 3, **_disk(0, 'vda', 100), 'block.1.name': 'sda',
         **_disk(2, 'vdb', 200)}


def _net(number, name, first):
    keys = ('rx.bytes', 'rx.pkts', 'rx.errs', 'rx.drop', 'tx.bytes',
            'tx.pkts', 'tx.errs', 'tx.drop')
    return {f'net.{number}.name': name,
            **{f'net.{number}.{key}': first + add
               for add, key in enumerate(keys)}}


NETS = {'net.count': 2, **_net(0, 'tap2', 300), **_net(1, 'tap1', 400)}


class TestInstance(testtools.TestCase):

    def test_cpu_time_is_run_and_wait_of_the_cpus_that_are_there(self):
        self.assertEqual(
            compute.Instance(1, 2, 322, {'cpu_cycles': 17,
                                         'cpu_l3_cache_usage': 19}),
            compute.instance(CPUS))

    def test_without_all_waits_it_is_libvirts_own_sum(self):
        record = {key: value for key, value in CPUS.items()
                  if key != 'vcpu.3.wait'}
        self.assertEqual(999, compute.instance(record).cpu_time_ns)

    def test_a_record_without_what_it_needs_is_not_used(self):
        for key in ('state.state', 'vcpu.current', 'vcpu.maximum'):
            for bad in (-1, None, '2', True, 2.0):
                self.assertIsNone(compute.instance({**CPUS, key: bad}))
        self.assertIsNone(compute.instance(
            {**CPUS, 'vcpu.3.wait': -1, 'cpu.time': None}))


class TestDevices(testtools.TestCase):

    def test_those_that_ceilometer_sees(self):
        self.assertEqual(DEVICES, compute.devices(XML))

    def test_xml_that_is_none(self):
        for bad in ('', '<domain', '<domain id="x"/>', '\ud800'):
            self.assertIsNone(compute.devices(bad))

    def test_an_interface_whose_target_has_no_name(self):
        """Ceilometer has to ask: its counters go by that name."""
        self.assertIsNone(compute.devices(
            "<domain id='7'><devices><interface>"
            "<mac address='52:54:00:00:00:01'/><target/>"
            '</interface></devices></domain>'))

    def test_disks_in_the_order_of_the_xml(self):
        self.assertEqual(
            [compute.DiskUse('vda', 100, 101, 103, 104, 102, 105),
             compute.DiskUse('vdb', 200, 201, 203, 204, 202, 205)],
            compute.disk_uses(DISKS, DEVICES))

    def test_interfaces_go_by_name_not_by_number(self):
        self.assertEqual(
            [compute.Traffic(FIRST, *range(400, 408)),
             compute.Traffic(SECOND, *range(300, 308))],
            compute.traffic(NETS, DEVICES))

    def test_one_missing_number_leaves_the_guest_to_be_asked(self):
        self.assertIsNone(compute.disk_uses(
            {**DISKS, 'block.2.rd.times': -1}, DEVICES))
        self.assertIsNone(compute.traffic(
            {**NETS, 'net.1.tx.drop': None}, DEVICES))
        self.assertIsNone(compute.traffic(
            {**NETS, 'net.2.name': 'tap1'}, DEVICES))

    def test_a_medium_changes_the_fingerprint_and_a_counter_does_not(self):
        before = compute.fingerprint(DISKS, 'block')
        self.assertEqual(before, compute.fingerprint(
            {**DISKS, 'block.0.rd.reqs': 5}, 'block'))
        self.assertNotEqual(before, compute.fingerprint(
            {**DISKS, 'block.1.path': '/c.iso'}, 'block'))
        self.assertEqual(before, compute.fingerprint(
            {**DISKS, 'net.0.name': 'tap9'}, 'block'))
        self.assertNotEqual(
            compute.fingerprint(NETS, 'net'),
            compute.fingerprint({**NETS, 'net.0.name': 'tap9'}, 'net'))

    def test_a_device_that_the_record_lacks(self):
        record = {key: value for key, value in NETS.items()
                  if not key.startswith('net.1.')}
        self.assertIsNone(compute.traffic(record, DEVICES))
        names = {**DISKS, 'block.2.name': 'vdz'}
        self.assertIsNone(compute.disk_uses(names, DEVICES))

    def test_thousands_of_disks(self):
        record = {}
        for number in range(3000):
            record.update(_disk(number, f'd{number}', number))
        many = compute.Devices(1, tuple(f'd{n}' for n in range(3000)), ())
        self.assertEqual(3000, len(compute.disk_uses(record, many)))


_KEYS = strategies.one_of(
    strategies.sampled_from(sorted({**CPUS, **DISKS, **NETS})),
    strategies.text(),
    strategies.from_regex(r'(vcpu|block|net)\.\d{1,30}\.(name|time|wait)'))
_VALUES = strategies.one_of(
    strategies.integers(), strategies.text(), strategies.none(),
    strategies.booleans(), strategies.floats(), strategies.binary())


class TestHostile(testtools.TestCase):

    @test_properties.SLOW
    @given(strategies.dictionaries(_KEYS, _VALUES))
    def test_any_change_to_a_record_gives_numbers_or_none(self, changes):
        record = {**CPUS, **DISKS, **NETS, **changes}
        compute.fingerprint(record, 'block')
        instance = compute.instance(record)
        if instance is not None:
            self.assertGreaterEqual(instance.cpu_time_ns, 0)
        for found in (compute.disk_uses(record, DEVICES),
                      compute.traffic(record, DEVICES)):
            self.assertIn(None if found is None else len(found), (None, 2))

    @test_properties.SLOW
    @given(strategies.text())
    def test_any_text_as_xml(self, xml):
        self.assertIsNone(compute.devices(xml))
