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
"""The agent of the Ceilometer that is installed here, with the plugin."""

from urllib import request

from tests.functional import published
from tests.functional import test_hostile
from tests.functional import test_signatures as signatures
from tests.matrix import release
from tests import node
from tests.node import agent as polling
from tests.node import domain_xml
from tests.node import nova_api
from tests.node import tools

if release.HAS_EXPORTER:
    from prometheus_client import parser

#: A meter of Ceilometer's own that every guest has, to compare with.
COMPARED = 'cpu'
METERS = (*polling.METERS, COMPARED)
#: Between the guest's own answer and the record that QEMU has of it.
TOLERANCE_MIB = 0.25
#: Agents started one after the other: were two pollsters of one name left,
#: chance would decide between them each time.
STARTS = 5


class ReleaseTest(published.SharedAgentTest):
    """Six guests, and a Nova that knows none of them but their flavor.

    Releases before 25 ask for the id of the flavor in any case.
    """

    # A guest's answer may be late on a busy machine.
    memstat = {'boot_grace': 3, 'stale_after_periods': 8}

    @classmethod
    def make_guests(cls):
        cls.web = cls.new_linux('web')
        cls.busy = cls.new_scripted(
            'busy', published.mib(490, 128, 256, 64, swap_in=3, swap_out=5))
        cls.liar = cls.new_scripted('liar', [
            (node.S_MEMTOT, 2 ** 63), (node.S_MEMFREE, 129 << 20),
            (node.S_AVAIL, 257 << 20)])
        cls.stale = cls.new_scripted(
            'stale', published.mib(491, 127, 255), answers=False)
        cls.silent = cls.new_scripted('silent')
        cls.off = cls.new_scripted('off', published.mib(492, 126, 254))
        cls.off.domain.destroy()
        cls.running = (cls.web, cls.busy, cls.liar, cls.stale, cls.silent)
        cls.web.wait_ready()

    @classmethod
    def start_agent(cls, **options):
        if not hasattr(cls, 'nova'):
            cls.nova = nova_api.NovaApi()
            cls.nova.start()
            cls.addClassCleanup(cls.nova.stop)
        groups = {'memstat': cls.memstat, **cls.nova.options(),
                  **options.pop('options', cls.groups)}
        return super().start_agent(options=groups, meters=METERS, **options)

    def assertPublished(self, guest, samples, *args, **expected):
        """As in the functional tests, but for the meter to compare with."""
        super().assertPublished(
            guest, {name: sample for name, sample in samples.items()
                    if name != COMPARED}, *args, **expected)

    def assertOurs(self, cycle, left=()):
        """Each guest that runs has a status; all numbers are the plugin's.

        :param left: meters that are left to Ceilometer
        """
        self.assertEqual({guest.uuid for guest in self.running}, set(cycle))
        for samples in cycle.values():
            self.assertIn('memory.balloon.status', samples)
            self.assertEqual(
                {name: name not in (*left, COMPARED) for name in samples},
                {name: 'balloon_status' in sample.metadata
                 for name, sample in samples.items()})
        self.assertEqual(set(METERS), set(cycle[self.busy.uuid]))


class TestAgent(ReleaseTest):
    """Of two pollsters with one name, the plugin's alone is left."""

    if release.HAS_EXPORTER:
        groups = {'polling': {
            'enable_prometheus_exporter': True,
            'prometheus_listen_addresses':
                f'{tools.LOOPBACK}:{tools.free_port()}'}}

    def another(self, **options):
        """Another agent, of one test."""
        agent = self.start_agent(options=options)
        self.addCleanup(agent.stop)
        return agent

    def test_linux(self):
        samples = self.settled(self.web, 'reporting')
        self.assertEqual(set(METERS), set(samples))

        def equal(cycles):
            own = {name: kib / 1024
                   for name, kib in self.web.meminfo().items()}
            expected = {
                'memory.available': own['MemTotal'],
                'memory.usable': own['MemAvailable'],
                'memory.unused': own['MemFree'],
                'memory.usage': own['MemTotal'] - own['MemAvailable']}
            samples = cycles[-1].get(self.web.uuid, {})
            return expected.keys() <= samples.keys() and all(
                abs(samples[name].volume - value) <= TOLERANCE_MIB
                for name, value in expected.items())
        self.agent.wait_for(equal, "the meters equal the guest's own")

    def test_busy(self):
        self.check(
            self.busy, 'reporting', signatures.HEALTHY,
            level=None, age='fresh', source='usable', numbers={
                'memory.usage': 234.0, 'memory.available': 490.0,
                'memory.usable': 256.0, 'memory.unused': 128.0,
                'memory.util': 23400 / 490, 'memory.swap.in': 3.0,
                'memory.swap.out': 5.0})

    def test_liar(self):
        self.check(self.liar, 'invalid', test_hostile.too_much(2 ** 53),
                   test_hostile.INVALID_REMEDY, age='fresh')

    def test_stale(self):
        self.check(
            self.stale, 'stale', signatures.SILENT, 'see that the guest is '
            'alive; in Linux reload virtio_balloon, in Windows restart the '
            'service BalloonService', age='frozen')

    def test_silent(self):
        self.check(self.silent, 'driver_missing', signatures.NEVER,
                   signatures.ANY_DRIVER)

    def test_shut_off(self):
        for cycle in self.agent.wait_cycles(3):
            self.assertNotIn(self.off.uuid, cycle)

    def test_one_sample_a_guest_and_meter_in_every_cycle(self):
        """What Agent.cycles() finds twice, it raises."""
        self.settled(self.busy, 'reporting')
        for cycle in self.agent.wait_cycles(5)[-5:]:
            self.assertOurs(cycle)

    def test_a_sample_says_of_its_guest_what_ceilometers_own_does(self):
        for guest in self.running:
            samples = self.agent.wait_cycles(1)[-1][guest.uuid]
            theirs = samples.pop(COMPARED)
            # No other meter has that.
            theirs.metadata.pop('cpu_number', None)
            self.assertEqual(
                (guest.uuid, domain_xml.PROJECT_ID, domain_xml.USER_ID),
                (theirs.resource_id, theirs.project_id, theirs.user_id))
            for sample in samples.values():
                self.assertEqual(
                    (theirs.resource_id, theirs.project_id, theirs.user_id,
                     theirs.metadata),
                    (sample.resource_id, sample.project_id, sample.user_id,
                     {name: value for name, value in sample.metadata.items()
                      if name not in published.ours(sample)}))

    def test_every_start_has_the_same_end(self):
        """Chance decided which pollster won, and a start is quick."""
        agent = self.another()
        for start in range(STARTS):
            if start:
                agent.start()
            # The first may be one that the last stop cut short.
            agent.wait_cycles(2)
            agent.wait_status(self.busy.uuid, 'reporting')
            self.assertOurs(agent.wait_cycles(1)[-1])
            self.assertEqual(0, agent.stop(30), agent.log()[-10:])

    def test_replace_builtin_false(self):
        agent = self.another(memstat={**self.memstat,
                                      'replace_builtin': False})
        agent.wait_status(self.busy.uuid, 'reporting')
        for cycle in agent.wait_cycles(2)[-2:]:
            samples = cycle[self.busy.uuid]
            self.assertEqual(
                {name: name not in (*release.IN_TREE, COMPARED)
                 for name in METERS},
                {name: 'balloon_status' in sample.metadata
                 for name, sample in samples.items()})
            self.assertEqual(published.KINDS['memory.usable'], (
                samples['memory.usable'].unit, samples['memory.usable'].type))
        self.assertEqual(
            ['WARNING [memstat]replace_builtin is false: Ceilometer itself '
             f'serves {", ".join(release.IN_TREE)}; their numbers are not '
             'checked by memstat_pollster'],
            [line for line in agent.said('WARNING')
             if 'replace_builtin' in line])

    if release.HAS_THREADS:
        def test_a_thread_for_each_pollster(self):
            agent = self.another(polling={'threads_to_process_pollsters': 0})
            agent.wait_status(self.busy.uuid, 'reporting')
            for cycle in agent.wait_cycles(5)[-5:]:
                self.assertOurs(cycle)

    if release.HAS_EXPORTER:
        def scrape(self):
            """[(meter, guest)] that the exporter shows now."""
            address = self.groups['polling']['prometheus_listen_addresses']
            with request.urlopen(f'http://{address}/metrics', timeout=30,
                                 ) as answer:
                text = answer.read().decode()
            return sorted(
                (sample.labels['counter'], sample.labels['resource'])
                for family in parser.text_string_to_metric_families(text)
                for sample in family.samples)

        def test_exporter_has_one_series_a_guest_and_meter(self):
            """The agent takes a meter's series away when its turn comes."""
            self.settled(self.busy, 'reporting')
            for _ in range(5):
                expected = sorted(
                    (name, uuid) for uuid, samples
                    in self.agent.wait_cycles(1)[-1].items()
                    for name in samples)
                found = self.agent.wait_for(
                    lambda _, expected=expected: (
                        [self.scrape()] if self.scrape() == expected
                        else None), 'the series of all samples')
                self.assertEqual(len(expected), len(set(expected)), found)
