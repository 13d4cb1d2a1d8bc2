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
"""The real ceilometer-polling agent with the plugin, on real guests."""

from ceilometer.compute.virt.libvirt import inspector as stock
from ceilometer import service
import testtools

from tests.functional import base
from tests.functional import published
from tests import node
from tests.node import agent as polling

#: Between the guest's own answer and the record that QEMU has of it.
TOLERANCE_KIB = 256


class AgentTest(base.FunctionalTest):
    def agent(self, **options):
        """A running agent of this test, with short graces."""
        settings = {'boot_grace': 5,
                    'stale_after_periods': published.STALE_AFTER}
        groups = options.pop('options', {})
        settings.update(groups.pop('memstat', {}))
        agent = polling.Agent(self.node.ro_uri, options={
            'memstat': settings, **groups}, **options)
        self.addCleanup(agent.close)
        self.addCleanup(lambda: self.addDetail(
            'agent.log', testtools.content.text_content(
                '\n'.join(agent.log()[-200:]))))
        agent.start()
        return agent


class TestHealthyLinux(AgentTest):
    def test_meters_equal_the_guests_own_meminfo_and_follow_it(self):
        guest = self.linux('web')
        agent = self.agent()

        def kib(samples):
            return {name: samples[name].volume * 1024 for name in (
                'memory.available', 'memory.usable', 'memory.unused')}

        def equal(samples, own):
            return all(abs(value - own[key]) <= TOLERANCE_KIB
                       for value, key in zip(
                           kib(samples).values(),
                           ('MemTotal', 'MemAvailable', 'MemFree'),
                           strict=True))

        def newest(cycles):
            samples = cycles[-1].get(guest.uuid, {}) if cycles else {}
            # Read each time: what a guest has free changes by itself.
            if 'memory.available' in samples and equal(
                    samples, guest.meminfo()):
                return kib(samples)
            return None

        def follows():
            return agent.wait_for(
                newest, "the meters equal the guest's own meminfo")

        agent.wait_status(guest.uuid, 'reporting')
        before = follows()
        guest.command('eat 32', '^ATE')

        def eaten():
            after = follows()
            self.assertEqual(before['memory.available'],
                             after['memory.available'])
            return all(31 <= (before[name] - after[name]) / 1024 <= 34
                       for name in ('memory.usable', 'memory.unused'))
        # A guest that reports free pages to QEMU has none of them meanwhile.
        node.wait_for(eaten, 60, '32 MiB less usable and unused', 0.5)

    def test_usage_equals_what_stock_ceilometer_computes(self):
        """A scripted guest holds still, so both see the same moment."""
        guest = self.scripted('still', attach=True)
        guest.driver.push(node.linux_stats(
            501760, 131072, avail_kib=262144, caches_kib=65536,
            swap_in_kib=3072, swap_out_kib=5120))
        self.node.answer()
        samples = self.agent().wait_status(guest.uuid, 'reporting')
        conf = service.prepare_service([], [])
        conf.set_override('libvirt_uri', self.node.ro_uri)

        class Instance:
            id = guest.uuid
        theirs = stock.LibvirtInspector(conf).inspect_instance(Instance, None)
        self.assertEqual(
            {'memory': theirs.memory_actual,
             'memory.usage': theirs.memory_usage,
             'memory.available': theirs.memory_available,
             'memory.resident': theirs.memory_resident,
             'memory.swap.in': theirs.memory_swap_in,
             'memory.swap.out': theirs.memory_swap_out},
            {name: samples[name].volume for name in polling.IN_TREE})
        self.assertEqual((234.0, 490.0), (theirs.memory_usage,
                                          theirs.memory_available))


class TestReplacement(AgentTest):
    """The in-tree pollsters are installed beside the plugin's in all."""

    def setUp(self):
        super().setUp()
        self.guest = self.scripted('web', attach=True)
        self.guest.driver.push(node.linux_stats(
            501760, 131072, avail_kib=262144, caches_kib=65536))
        self.node.answer()

    def assertOurs(self, cycle):
        """One sample of each meter, all of them this plugin's."""
        self.assertEqual([self.guest.uuid], list(cycle))
        self.assertEqual(
            {name: 'reporting' for name in polling.METERS},
            {name: sample.metadata.get('balloon_status')
             for name, sample in cycle[self.guest.uuid].items()})

    def test_20_starts(self):
        agent = self.agent()
        for start in range(20):
            if start:
                agent.stop()
                agent.start()
            for cycle in agent.wait_cycles(2)[:2]:
                self.assertOurs(cycle)

    def test_10_cycles_with_a_thread_for_each_pollster(self):
        agent = self.agent(options={
            'polling': {'threads_to_process_pollsters': 0}})
        cycles = agent.wait_cycles(10)
        self.assertGreaterEqual(len(cycles), 10)
        for cycle in cycles:
            self.assertOurs(cycle)

    def test_replace_builtin_false_leaves_the_names_to_ceilometer(self):
        agent = self.agent(options={'memstat': {'replace_builtin': False}})
        for cycle in agent.wait_cycles(3):
            self.assertEqual(
                {name: None if name in polling.IN_TREE else 'reporting'
                 for name in polling.METERS},
                {name: sample.metadata.get('balloon_status')
                 for name, sample in cycle[self.guest.uuid].items()})
        self.assertEqual(
            ['WARNING [memstat]replace_builtin is false: Ceilometer itself '
             'serves memory, memory.usage, memory.available, '
             'memory.resident, memory.swap.in, memory.swap.out; their '
             'numbers are not checked by memstat_pollster'],
            agent.said('WARNING'))

    def test_libvirt_that_is_not_up_when_the_agent_starts(self):
        """Ceilometer drops its own memory pollsters then, for good."""
        self.node.stop_daemon()
        self.addCleanup(self.node.start_daemon)
        agent = self.agent()
        agent.wait_log('Unable to discover resources')
        self.node.start_daemon()
        agent.wait_status(self.guest.uuid, 'reporting')
        self.assertOurs(agent.wait_cycles(2)[-1])


class TestRights(AgentTest):
    def test_the_agent_reaches_only_the_read_only_socket(self):
        guest = self.linux('web')
        agent = self.agent()
        agent.wait_status(guest.uuid, 'reporting')
        for process in agent.processes():
            self.assertEqual([polling.UNPRIVILEGED] * 4, process.uids)
            self.assertEqual(0, process.effective_capabilities
                             & ~polling.READ_ONLY_CAPABILITIES)
        found = polling.run_unprivileged(
            'import libvirt, sys\n'
            'try:\n'
            '    libvirt.open(sys.argv[1])\n'
            'except libvirt.libvirtError as error:\n'
            '    print(error.get_error_message())\n', self.node.rw_uri)
        self.assertThat(found, testtools.matchers.Contains(
            'Permission denied'))


class TestBadInput(AgentTest):
    def test_domains_that_are_not_novas_and_files_that_cannot_be_read(self):
        guest = self.linux('web')
        foreign = self.scripted('foreign', metadata=False)
        agent = self.agent(nova_conf='[libvirt\n')
        agent.wait_status(guest.uuid, 'reporting')
        cycles = agent.wait_cycles(4)
        self.assertEqual({guest.uuid}, set().union(*cycles))
        said = agent.said()
        self.assertEqual(1, sum(
            line.startswith(f'INFO Guest {foreign.name} ({foreign.uuid}) is '
                            f'on this node, but is not metered')
            for line in said), said)
        self.assertEqual(1, sum(
            str(agent.nova_conf) in line for line in said), said)
