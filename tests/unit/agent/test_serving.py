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

"""Ceilometer's own pollsters, answered from the plugin's reading."""

import importlib.metadata
import threading
import time

from ceilometer.compute.pollsters import disk
from ceilometer.compute.pollsters import instance_stats
from ceilometer.compute.pollsters import net
from ceilometer.compute.virt import inspector as virt_inspector
from ceilometer.compute.virt.libvirt import inspector as libvirt_inspector
import libvirt

from memstat_pollster.agent import hooks
from memstat_pollster.agent import serving
from memstat_pollster.agent import shared
from memstat_pollster.config import options
from memstat_pollster.model import meters
from memstat_pollster.model import served
from tests.unit.agent import test_pollsters
from tests.unit import fakes
from tests.unit.model import test_compute as records

#: Ceilometer 19, which Debian 12 ships, has no power.state.
POWER = [cls for name, cls in vars(instance_stats).items()
         if name == 'PowerStatePollster']

ALL = (instance_stats.CPUPollster, *POWER,
       disk.PerDeviceReadBytesPollster,
       disk.PerDeviceDiskWriteLatencyPollster,
       net.IncomingBytesPollster, net.IncomingBytesDeltaPollster)


BY_METER = {meter: row for row in served.ROWS for meter in row.meters}


def entry_points(*name):
    return [found for found in importlib.metadata.entry_points(
        group='ceilometer.poll.compute')
        if not name or found.name == name[0]]


def numbers_of_first(uuid):
    """What ALL find out about the guest that ``guest(1)`` makes."""
    nic = f'instance-00000001-{uuid}-tap1'
    return {
        ('cpu', uuid): 322, **({('power.state', uuid): 1} if POWER else {}),
        ('disk.device.read.bytes', f'{uuid}-vda'): 101,
        ('disk.device.read.bytes', f'{uuid}-vdb'): 201,
        ('disk.device.write.latency', f'{uuid}-vda'): 105,
        ('disk.device.write.latency', f'{uuid}-vdb'): 205,
        ('network.incoming.bytes', nic): 400,
        ('network.incoming.bytes', 'no-spoof'): 300,
        ('network.incoming.bytes.delta', nic): 0,
        ('network.incoming.bytes.delta', 'no-spoof'): 0,
    }


class Stock(libvirt_inspector.LibvirtInspector):
    """Ceilometer's inspector; says what it was asked.

    :ivar before: each is called before the sizes of disks are returned
    """

    def __init__(self):
        self.cache = {}
        self.asked = []
        self.before = []

    def inspect_instance(self, instance, duration=None):
        self.asked.append(('inspect_instance', instance.id))
        return virt_inspector.InstanceStats(cpu_time=77)

    def inspect_disks(self, instance, duration):
        self.asked.append(('inspect_disks', instance.id))
        return iter(())

    def inspect_vnics(self, instance, duration):
        self.asked.append(('inspect_vnics', instance.id))
        return iter(())

    def inspect_disk_info(self, instance, duration):
        self.asked.append(('inspect_disk_info', instance.id))
        for each in self.before:
            each(self, instance)
        return iter([virt_inspector.DiskInfo('vda', 3, 2, 1)])


def guest(number, **changes):
    found = fakes.Domain(number, fakes.healthy(
        int(time.time()), **{**records.CPUS, **records.DISKS, **records.NETS,
                             **changes}))
    found.document = records.XML.replace("id='7'", f"id='{number}'")
    return found


class ServingTest(test_pollsters.PollsterTest):
    def setUp(self):
        super().setUp()
        self.stock = Stock()
        serving.serve()
        self.addCleanup(serving.stop)
        self.addCleanup(hooks.forget)

    def serve(self, *domains):
        super().serve(*domains)
        options.load(self.conf)
        shared.agent_of(self.manager, self.conf)

    def cycle(self, *numbers, classes=ALL):
        """One cycle: {(meter, resource): volume}."""
        cache, found = {}, {}
        for cls in classes:
            pollster = cls.__new__(cls)
            pollster.conf, pollster.inspector = self.conf, self.stock
            for sample in pollster.get_samples(
                    self.manager, cache,
                    [test_pollsters.instance(each) for each in numbers]):
                found[sample.name, sample.resource_id] = sample.volume
        return found


class TestServing(ServingTest):
    def test_every_number_comes_from_one_bulk_call(self):
        self.serve(guest(1))
        self.cycle(1)
        del self.node.groups[:]
        self.assertEqual(numbers_of_first(fakes.uuid_of(1)), self.cycle(1))
        self.assertEqual([], self.stock.asked)
        self.assertEqual([
            libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON
            | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
            | libvirt.VIR_DOMAIN_STATS_VCPU | libvirt.VIR_DOMAIN_STATS_PERF
            | libvirt.VIR_DOMAIN_STATS_BLOCK
            | libvirt.VIR_DOMAIN_STATS_INTERFACE], self.node.groups)

    def test_what_nobody_polls_is_not_asked(self):
        self.serve(guest(1))
        for _ in range(2):
            self.cycle(1, classes=(net.IncomingBytesPollster,))
        self.assertEqual([
            libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON
            | libvirt.VIR_DOMAIN_STATS_INTERFACE] * 2, self.node.groups)

    def test_each_meter_is_answered_as_the_table_says(self):
        """Of whatever this Ceilometer has pollsters for."""
        self.serve(guest(1))
        for name, row in BY_METER.items():
            found = entry_points(name)
            if not found:
                continue
            cls = found[0].load()
            method = getattr(cls, 'inspector_method', None)
            self.assertEqual((name, row.method), (name, method))
            del self.stock.asked[:]
            if row.how is served.How.NOT_ASKED:
                self.assertIs(
                    getattr(virt_inspector.Inspector, method or '', None),
                    getattr(libvirt_inspector.LibvirtInspector, method or '',
                            None))
            else:
                self.cycle(1, classes=(cls,))
                self.assertEqual(
                    (name, [] if row.how is served.How.RECORD
                     else [(method, fakes.uuid_of(1))]),
                    (name, self.stock.asked))

    def test_the_table_has_each_meter_that_ceilometer_asks_libvirt_for(self):
        self.assertEqual([], [
            found.name for found in entry_points()
            if found.value.startswith('ceilometer.')
            and hasattr(found.load(), 'inspector_method')
            and found.name not in {*BY_METER, *meters.METERS}])

    def test_bytes_since_the_cycle_before_and_from_a_new_counter(self):
        first = guest(1)
        self.serve(first)
        classes = (net.OutgoingBytesDeltaPollster,)
        self.cycle(1, classes=classes)
        first.record['net.1.tx.bytes'] = 404 + 1009
        first.record['net.0.tx.bytes'] = 13
        self.assertEqual({1009, 13}, set(
            self.cycle(1, classes=classes).values()))
        self.assertEqual(1413, self.stock.cache['tap1'][4])

    def test_a_guest_whose_record_lacks_a_number_is_asked_alone(self):
        self.serve(guest(1), guest(2, **{'net.0.rx.drop': None}))
        self.cycle(1, 2)
        self.assertEqual([('inspect_vnics', fakes.uuid_of(2))],
                         list(dict.fromkeys(self.stock.asked)))

    def test_sizes_of_disks_are_asked_of_guests_that_answer(self):
        silent = guest(2)
        for key in ('balloon.rss', 'balloon.last-update'):
            del silent.record[key]
        self.serve(guest(1), silent)
        self.cycle(1, 2, classes=(disk.PerDeviceCapacityPollster,))
        self.assertEqual([('inspect_disk_info', fakes.uuid_of(1))],
                         self.stock.asked)

    def test_a_guest_that_does_not_answer_costs_its_samples_alone(self):
        silent = guest(2)
        for key in ('balloon.rss', 'balloon.last-update'):
            del silent.record[key]
        self.serve(guest(1), silent)
        self.assertEqual(numbers_of_first(fakes.uuid_of(1)),
                         self.cycle(1, 2))
        self.assertEqual([], self.stock.asked)
        self.assertNotIn('Traceback', self.logger.output)

    def test_a_guest_that_is_shut_off_is_ceilometers(self):
        off = guest(1)
        off.domain_id = -1
        self.serve(off)
        self.cycle(1, classes=(instance_stats.CPUPollster,))
        self.assertEqual([('inspect_instance', fakes.uuid_of(1))],
                         self.stock.asked)

    def test_a_fault_of_ours_is_told_once_and_ceilometer_asks(self):
        self.serve(guest(1))
        del self.stock.cache
        for _ in range(2):
            self.cycle(1, classes=(net.IncomingBytesPollster,))
        self.assertEqual([('inspect_vnics', fakes.uuid_of(1))] * 2,
                         self.stock.asked)
        self.assertEqual(1, self.logger.output.count(
            "WARNING memstat_pollster could not answer Ceilometer's own "
            'pollsters: AttributeError: '))

    def test_stopped_it_is_as_it_was(self):
        self.serve(guest(1))
        serving.serve()
        serving.stop()
        self.assertEqual(77, self.cycle(
            1, classes=(instance_stats.CPUPollster,))['cpu',
                                                      fakes.uuid_of(1)])
        self.assertEqual([], self.node.groups)


SIZES = (disk.PerDeviceCapacityPollster, disk.PerDeviceAllocationPollster)


class TestOwnCalls(ServingTest):
    """What Ceilometer goes on asking itself."""

    def setUp(self):
        super().setUp()
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def sizes(self, *numbers):
        return {(name, resource[-5:]) for name, resource
                in self.cycle(*numbers, classes=SIZES)}

    def wait_for(self, *numbers):
        """Let the sizes of these guests' disks be waited for."""
        def wait(inspector, instance):
            if instance.id in map(fakes.uuid_of, numbers):
                self.go_on.wait(60)
        self.stock.before[:] = [wait]

    def set_timeout(self, seconds):
        options.load(self.conf)
        self.conf.set_override('read_timeout', seconds, group='memstat')

    def test_a_guest_that_stops_after_it_was_read_costs_its_own(self):
        self.stock._libvirt_connection = object()
        self.set_timeout(1.0)
        self.serve(guest(1), guest(2), guest(3))
        self.wait_for(2)
        left = {('disk.device.capacity', f'{fakes.uuid_of(1)}-vda'): 3,
                ('disk.device.capacity', f'{fakes.uuid_of(3)}-vda'): 3,
                ('disk.device.allocation', f'{fakes.uuid_of(1)}-vda'): 2,
                ('disk.device.allocation', f'{fakes.uuid_of(3)}-vda'): 2}
        for _ in range(2):
            self.assertEqual(left, self.cycle(1, 2, 3, classes=SIZES))
        # Neither for each meter nor in each cycle.
        self.assertEqual(1, self.stock.asked.count(
            ('inspect_disk_info', fakes.uuid_of(2))))
        self.assertIsNone(self.stock._libvirt_connection)
        self.go_on.set()
        agent = shared.agent_of(self.manager, self.conf)
        fakes.wait_until(lambda: not agent.own_calls.left_behind,
                         'the call to return')
        self.assertEqual(6, len(self.cycle(1, 2, 3, classes=SIZES)))
        self.assertNotIn('Traceback', self.logger.output)
        self.assertNotIn('disk.device', self.logger.output)

    def test_at_the_bound_nobody_is_asked(self):
        self.set_timeout(1.0)
        self.conf.set_override('max_stuck_reads', 2, group='memstat')
        self.serve(guest(1), guest(2), guest(3))
        self.wait_for(1, 2)
        self.assertEqual(set(), self.sizes(1, 2, 3))
        self.assertEqual([('inspect_disk_info', fakes.uuid_of(number))
                          for number in (1, 2)], self.stock.asked)

    def test_what_ceilometer_raises_is_raised_and_asked_once(self):
        self.serve(guest(1))
        for error, said in (
                (virt_inspector.InstanceShutOffException('off'), []),
                (virt_inspector.NoDataException('none'), ['WARNING'] * 2),
                (ValueError('broken'), ['ERROR'] * 2)):
            del self.stock.asked[:]
            before = len(self.logger.output)

            def fail(inspector, instance, error=error):
                raise error
            self.stock.before[:] = [fail]
            self.assertEqual(set(), self.sizes(1))
            self.assertEqual([('inspect_disk_info', fakes.uuid_of(1))] * 2,
                             self.stock.asked)
            self.assertEqual(said, [
                line.split()[0] for line
                in self.logger.output[before:].splitlines()
                if line.startswith(('WARNING', 'ERROR'))
                and 'Nova' not in line])

    def test_what_was_left_behind_counts_for_the_reader(self):
        self.set_timeout(1.0)
        self.conf.set_override('max_stuck_reads', 2, group='memstat')
        self.serve(guest(1), guest(2), guest(3))
        self.wait_for(1, 2)
        self.sizes(1, 2, 3)
        del self.node.groups[:]
        self.sizes(1, 2, 3)
        self.assertEqual([], self.node.groups)
        self.go_on.set()
        agent = shared.agent_of(self.manager, self.conf)
        fakes.wait_until(lambda: not agent.own_calls.left_behind,
                         'they return')
        self.sizes(1, 2, 3)
        self.assertEqual(1, len(self.node.groups))

    def test_ceilometers_own_memory_meters_are_asked_in_bounds(self):
        options.load(self.conf)
        self.conf.set_override('replace_builtin', False, group='memstat')
        silent = guest(2)
        for key in ('balloon.rss', 'balloon.last-update'):
            del silent.record[key]
        self.serve(guest(1), silent)
        self.cycle(1, 2, classes=(instance_stats.MemoryUsagePollster,))
        self.assertEqual([('inspect_instance', fakes.uuid_of(1))],
                         self.stock.asked)
