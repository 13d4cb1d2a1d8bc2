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

import concurrent.futures
import configparser
import importlib
import logging
import pathlib
import threading
import time

from ceilometer.compute import discovery
from ceilometer.compute.pollsters import instance_stats
from ceilometer.compute.pollsters import util
from ceilometer.polling import plugin_base
from ceilometer import sample as ceilometer_sample
from ceilometer import service
import fixtures
from keystoneauth1 import exceptions
import libvirt
from oslo_config import cfg
import testtools
import yaml

from memstat_pollster.agent import hooks
from memstat_pollster.agent import pollsters
from memstat_pollster.agent import takeover
from memstat_pollster.host import inspector
from memstat_pollster.model import meters
from memstat_pollster import monitor
from tests.unit import fakes
from tests.unit import threads

SETUP_CFG = pathlib.Path(__file__).resolve().parents[3] / 'setup.cfg'
POLLING_YAML = SETUP_CFG.parent / 'etc' / 'polling.yaml'


class Manager:
    """Stands for the agent: pollsters only ever hand it on."""


def instance(number, **changes):
    """What discovery by libvirt metadata makes of a guest."""
    fields = {
        'id': fakes.uuid_of(number), 'name': f'server-{number}',
        'flavor': {'id': '42', 'name': 'm1.lab', 'vcpus': 1, 'ram': 512,
                   'disk': 3, 'ephemeral': 1, 'swap': 0},
        'image': {'id': 'image'}, 'os_type': 'hvm', 'architecture': 'x86_64',
        'OS-EXT-SRV-ATTR:instance_name': f'instance-{number:08x}',
        'OS-EXT-SRV-ATTR:host': 'node', 'OS-EXT-STS:vm_state': 'running',
        'tenant_id': 'project', 'user_id': 'user', 'hostId': 'hash',
        'status': 'active', 'metadata': {},
    }
    fields.update(changes)
    return discovery.NovaLikeServer(**fields)


class PollsterTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.prepare()
        self.manager = Manager()
        self.monotonic_s = 5011.5
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.samples._monotonic_s',
            lambda: self.monotonic_s))

    def prepare(self, *config_files):
        """Ceilometer's configuration, and the log after it was set up."""
        self.conf = service.prepare_service([], list(config_files))
        self.logger = self.useFixture(fixtures.FakeLogger(
            level=logging.INFO, format='%(levelname)s %(message)s'))

    def serve(self, *domains):
        """Let the pollsters read these guests."""
        self.node = fakes.Libvirt(*domains)
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.host.inspector.Inspector', self._inspector))

    def _inspector(self, uri, **options):
        self.uri = uri
        return _real_inspector('test:///fake', opener=self.node.open,
                               **options)

    def pollster(self, name):
        """The plugin's pollster as if nothing competed for the name."""
        cls = type('Pollster', (pollsters._Pollster,), {}, name=name)
        cls.setup_environment = plugin_base.PollsterBase.setup_environment
        return cls(self.conf)

    def poll(self, instances, names=None):
        """One cycle: {uuid: {meter: sample}}."""
        cache, found = {}, {}
        for name in names or meters.METERS:
            for sample in self.pollster(name).get_samples(
                    self.manager, cache, instances):
                guest = found.setdefault(sample.resource_id, {})
                self.assertNotIn(name, guest)
                guest[name] = sample
        return found


_real_inspector = inspector.Inspector


def now_record(**changes):
    return fakes.healthy(int(time.time()), **changes)


class TestSamples(PollsterTest):
    def test_a_reporting_guest_has_every_meter(self):
        self.serve(fakes.Domain(1, now_record()))
        samples = self.poll([instance(1)])[fakes.uuid_of(1)]
        age = samples.pop('memory.stats.age')
        self.assertTrue(0 <= age.volume < 60, age.volume)
        self.assertEqual(('s', 'gauge'), (age.unit, age.type))
        self.assertEqual({
            'memory': (512.0, 'MiB', 'gauge'),
            'memory.usage': (234.0, 'MiB', 'gauge'),
            'memory.available': (490.0, 'MiB', 'gauge'),
            'memory.usable': (256.0, 'MiB', 'gauge'),
            'memory.unused': (128.0, 'MiB', 'gauge'),
            'memory.util': (100 * 234 / 490, '%', 'gauge'),
            'memory.balloon.status': (0, '', 'gauge'),
            'memory.resident': (200.0, 'MiB', 'gauge'),
            'memory.swap.in': (3.0, 'MiB', 'cumulative'),
            'memory.swap.out': (5.0, 'MiB', 'cumulative'),
        }, {name: (sample.volume, sample.unit, sample.type)
            for name, sample in samples.items()})
        for name, sample in samples.items():
            self.assertEqual((name, 'user', 'project', 'server-1'),
                             (sample.name, sample.user_id, sample.project_id,
                              sample.resource_metadata['display_name']))

    def test_metadata_say_status_source_detail_and_remedy(self):
        self.serve(fakes.Domain(1, now_record()),
                   fakes.Domain(2, now_record(), model='none'))
        samples = self.poll([instance(1), instance(2)])

        def ours(sample):
            return {key: value for key, value
                    in sample.resource_metadata.items()
                    if key.startswith(('balloon_', 'memory_usage'))}
        good, bad = (samples[fakes.uuid_of(n)] for n in (1, 2))
        self.assertEqual(
            {'balloon_status': 'reporting', 'memory_usage_source': 'usable'},
            ours(good['memory.usage']))
        self.assertEqual({'balloon_status': 'reporting'},
                         ours(good['memory.unused']))
        self.assertEqual(
            {'balloon_status': 'no_device', 'balloon_detail':
             "its live XML has <memballoon model='none'/>",
             'balloon_remedy': 'hard reboot the guest, so that Nova writes '
             'its XML anew with a balloon device'},
            ours(bad['memory.balloon.status']))
        self.assertEqual(
            {'memory', 'memory.resident', 'memory.balloon.status',
             'memory.stats.age'}, set(bad))

    def test_all_else_is_what_ceilometer_itself_says_of_an_instance(self):
        self.serve(*(fakes.Domain(n, now_record()) for n in (1, 2)))
        instances = [instance(n, image_meta={'os_distro': 'debian'})
                     for n in (1, 2)]
        samples = self.poll(instances)
        own = ('balloon_status', 'balloon_detail', 'balloon_remedy',
               'memory_usage_source')
        for described in instances:
            expected = util.make_sample_from_instance(
                self.conf, described, 'x', 'gauge', 'MiB', 1)
            for sample in samples[described.id].values():
                for key in own:
                    sample.resource_metadata.pop(key, None)
                self.assertEqual(
                    (expected.resource_metadata, expected.user_id,
                     expected.project_id, expected.resource_id,
                     expected.source),
                    (sample.resource_metadata, sample.user_id,
                     sample.project_id, sample.resource_id, sample.source))

    def test_no_two_samples_have_one_id_or_share_their_metadata(self):
        self.serve(*(fakes.Domain(n, now_record()) for n in (1, 2)))
        samples = [sample for found in self.poll(
            [instance(1), instance(2)]).values()
            for sample in found.values()]
        for each in (samples, {sample.id for sample in samples},
                     {id(sample.resource_metadata) for sample in samples}):
            self.assertEqual(2 * len(meters.METERS), len(each))

    def test_one_bulk_read_serves_all_meters_of_a_cycle(self):
        self.serve(fakes.Domain(1, now_record()))
        self.poll([instance(1)])
        self.assertEqual(['open', 'list', 'open', 'stats', 'list'],
                         self.node.calls)
        self.poll([instance(1)])
        self.assertEqual(2, self.node.count('stats'))

    def test_a_reading_that_is_old_is_not_published_as_new(self):
        """An in-tree pollster of the same cycle hung between two of ours.

        The agent stamps each sample with the time at which its pollster was
        called.
        """
        web = fakes.Domain(1, now_record())
        self.serve(web)
        cache, found = {}, []
        for name, hung_s in (('memory.usage', 0), ('memory.util', 9),
                             ('memory.available', 2)):
            self.monotonic_s += hung_s
            found += self.pollster(name).get_samples(
                self.manager, cache, [instance(1)])
            web.record['balloon.available'] = 600 * 1024
        self.assertEqual([234.0, 100 * 234 / 490, 600.0],
                         [sample.volume for sample in found])
        self.assertEqual(2, self.node.count('stats'))

    def test_one_read_also_when_pollsters_run_in_threads(self):
        self.serve(fakes.Domain(1, now_record()))
        cache, ready = {}, threading.Barrier(len(meters.METERS))

        def run(name):
            pollster = self.pollster(name)
            ready.wait(60)
            return list(pollster.get_samples(self.manager, cache,
                                             [instance(1)]))
        with concurrent.futures.ThreadPoolExecutor(
                len(meters.METERS)) as pool:
            samples = list(pool.map(run, meters.METERS))
        self.assertEqual([1] * len(meters.METERS),
                         [len(found) for found in samples])
        self.assertEqual(1, self.node.count('stats'))

    def test_two_pollsters_at_once_have_the_same_cycle(self):
        """The second waits for the first to have read."""
        self.serve(fakes.Domain(1, now_record()))
        gate, cycle = threads.Gate(), monitor.Monitor.cycle

        def hold(found):
            gate()
            return cycle(found)
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.monitor.Monitor.cycle', hold))
        cache = {}
        pollster = self.pollster('memory.usage')
        gate.check_alone(self, lambda: list(pollster.get_samples(
            self.manager, cache, [instance(1)])), 'get')

    def test_a_guest_that_is_held_has_its_status_alone(self):
        """libvirt's own record of its balloon may be an old one."""
        self.serve(fakes.Domain(1, {
            'state.state': 1, 'state.reason': 1, 'balloon.current': 524288,
            'balloon.maximum': 1048576}))
        self.assertEqual(
            {fakes.uuid_of(1): {'memory.balloon.status': 9}},
            {uuid: {name: sample.volume for name, sample in found.items()}
             for uuid, found in self.poll([instance(1)]).items()})

    def test_a_sample_has_the_time_of_its_reading(self):
        self.serve(fakes.Domain(1, now_record()))
        before_s = time.monotonic()
        samples = self.poll([instance(1)])[fakes.uuid_of(1)]
        after_s = time.monotonic()
        times = {sample.monotonic_time for sample in samples.values()}
        self.assertEqual(1, len(times))
        self.assertTrue(before_s <= times.pop() <= after_s)

    def test_its_guests_are_those_of_this_node(self):
        self.assertEqual('local_instances',
                         self.pollster('memory.usage').default_discovery)

    def test_a_guest_that_is_not_here_has_no_sample(self):
        self.serve(fakes.Domain(1, now_record()))
        self.assertEqual({}, self.poll([instance(2)]))

    def test_without_libvirt_every_guest_is_unreachable(self):
        self.serve()
        self.node.open_errors = [
            fakes.libvirt_error(38, 'no such socket') for _ in range(2)]
        samples = self.poll([instance(1), instance(2)])
        self.assertEqual(
            {fakes.uuid_of(n): {'memory.balloon.status':
                                (9, 'no such socket')} for n in (1, 2)},
            {uuid: {name: (s.volume, s.resource_metadata['balloon_detail'])
                    for name, s in meters.items()}
             for uuid, meters in samples.items()})

    def test_a_guest_that_is_shut_off_has_samples_only_when_asked_for(self):
        off = fakes.Domain(1, {
            'state.state': 5, 'state.reason': 1, 'balloon.current': 262144,
            'balloon.maximum': 524288}, domain_id=-1)
        self.serve(off)
        self.assertEqual({}, self.poll([instance(1)]))
        if 'report_stopped_instance_metrics' not in self.conf.compute:
            self.skipTest('this Ceilometer has no such option')
        self.conf.set_override('report_stopped_instance_metrics', True,
                               'compute')
        self.assertEqual(
            {'memory': 256.0, 'memory.balloon.status': 2},
            {name: sample.volume for name, sample in
             self.poll([instance(1)])[off.uuid].items()})

    def test_what_discovery_left_incomplete_costs_only_that_guest(self):
        self.serve(*(fakes.Domain(n, now_record()) for n in (1, 2)))
        broken = instance(1, flavor=None)
        for _ in range(2):
            samples = self.poll([broken, instance(2)], ['memory.usage'])
            self.assertEqual([fakes.uuid_of(2)], list(samples))
        self.assertEqual(
            1, self.logger.output.count('says of it is incomplete'))
        self.assertIn(f'WARNING Guest web / instance-00000001 '
                      f'({broken.id}) is not metered', self.logger.output)

    def test_a_guest_that_discovery_leaves_out_is_named_once(self):
        self.serve(fakes.Domain(1, now_record()),
                   fakes.Domain(2, now_record(), display_name=None))
        for _ in range(4):
            self.poll([instance(1)])
        self.assertEqual(
            [f'INFO Guest instance-00000002 ({fakes.uuid_of(2)}) is on this '
             f"node, but is not metered: Ceilometer's discovery does not "
             f"return it (its libvirt metadata has no part of Nova's)"],
            [line for line in self.logger.output.splitlines()
             if 'discovery' in line])

    def test_the_agents_own_libvirt_options_are_used(self):
        for uri, kind, expected in (
                ('', 'kvm', 'qemu:///system'), ('', 'lxc', 'lxc:///'),
                ('qemu:///system?socket=/x', 'kvm',
                 'qemu:///system?socket=/x')):
            self.serve()
            self.manager = Manager()
            self.conf.set_override('libvirt_uri', uri)
            self.conf.set_override('libvirt_type', kind)
            self.poll([instance(1)])
            self.assertEqual(expected, self.uri)

    def test_a_value_out_of_bounds_is_named_once_and_costs_no_guest(self):
        path = self.useFixture(fixtures.TempDir()).join('ceilometer.conf')
        pathlib.Path(path).write_text('[memstat]\nboot_grace = -7\n')
        self.prepare(path)
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.pollsters._said', set()))
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.takeover.rivals', lambda name: []))
        self.serve(fakes.Domain(1, now_record()))
        for cls in (pollsters.MemoryUtilPollster,
                    pollsters.MemoryUsagePollster):
            samples = list(cls(self.conf).get_samples(self.manager, {},
                                                      [instance(1)]))
            self.assertEqual(1, len(samples))
        self.assertEqual(1, self.logger.output.count(
            'WARNING option [memstat]boot_grace cannot be used, its default '
            '120 is: '))


class TestDiscovery(PollsterTest):
    """What the agent does not call a pollster for."""

    NONE = ("ERROR None of the %d guests of this node is metered: "
            "Ceilometer's discovery (%s) %s")
    AGAIN = "INFO Ceilometer's discovery returns guests again"
    CREDENTIALS = ("set the agent's credentials in [service_credentials] of "
                   'ceilometer.conf')

    def setUp(self):
        super().setUp()

        def discover(discoverer, manager, param=None):
            if isinstance(discoverer.found, Exception):
                raise discoverer.found
            return discoverer.found
        # MonkeyPatch keeps what another test's watch has left on it.
        hooks.take_back(discovery.InstanceDiscovery, 'discover')
        self.useFixture(fixtures.MonkeyPatch(
            'ceilometer.compute.discovery.InstanceDiscovery.discover',
            discover))
        pollsters.MemoryUtilPollster(self.conf)
        pollsters.StatsAgePollster(self.conf)
        # Its __init__ would make clients of Nova and Glance.
        self.discoverer = discovery.InstanceDiscovery.__new__(
            discovery.InstanceDiscovery)
        self.discoverer.conf = self.conf

    def fetch_extra_metadata(self, value):
        """Set the option of this name, which Ceilometer has from 25 on."""
        name = 'fetch_extra_metadata'
        if name not in self.conf.compute:
            self.conf.register_opt(cfg.BoolOpt(name), 'compute')
        self.conf.set_override(name, value, 'compute')

    def discover(self, found):
        """One discovery as the agent runs it; what the plugin says of it.

        :param found: what Ceilometer's own returns, or raises
        """
        before = len(self.logger.output)
        self.discoverer.found = found
        try:
            returned = self.discoverer.discover(self.manager, None)
        except (KeyError, exceptions.ClientException,
                libvirt.libvirtError) as error:
            returned = error
        self.assertIs(found, returned)
        return [line for line in self.logger.output[before:].splitlines()
                if "Ceilometer's discovery" in line]

    def test_a_failure_is_told_once_and_so_is_its_end(self):
        self.serve(fakes.Domain(1, now_record()))
        self.fetch_extra_metadata(False)
        failure = exceptions.MissingAuthPlugin('nobody to ask')
        self.assertEqual([self.NONE % (
            1, 'libvirt_metadata', 'fails: MissingAuthPlugin: nobody to ask. '
            'It asks Nova for the flavor of 1 of them, whose libvirt metadata '
            f'has no flavor id, among them web / instance-00000001 '
            f'({fakes.uuid_of(1)}). Remedy: {self.CREDENTIALS}; or hard '
            'reboot these guests, if Nova is 2025.2 or newer')],
            self.discover(failure))
        for _ in range(3):
            self.assertEqual([], self.discover(failure))
        self.assertEqual([self.AGAIN], self.discover([instance(1)]))
        self.assertEqual([], self.discover([instance(1)]))
        self.assertEqual(1, len(self.discover(failure)))

    def test_another_kind_of_failure_is_told_once_too(self):
        self.serve(fakes.Domain(1, now_record()))
        nova = exceptions.MissingAuthPlugin('nobody to ask')
        for _ in range(2):
            told = [len(self.discover(failure)) for failure in (
                nova, KeyError('name'), nova, KeyError('name'), [], [])]
            # Of nothing that is returned only the second time counts.
            self.assertEqual([1, 1, 0, 0, 0, 1], told)
            self.assertEqual([self.AGAIN], self.discover([instance(1)]))

    def test_nova_is_asked_for_every_guest(self):
        self.serve(fakes.Domain(1, now_record()))
        self.fetch_extra_metadata(True)
        self.assertEqual([self.NONE % (
            1, 'libvirt_metadata', 'fails: MissingAuthPlugin: nobody. It asks '
            'Nova for every guest, as [compute]fetch_extra_metadata is true. '
            f'Remedy: {self.CREDENTIALS}; or set that option to false, if '
            'Nova is 2025.2 or newer')],
            self.discover(exceptions.MissingAuthPlugin('nobody')))

    def test_a_failure_that_is_not_novas_has_no_remedy_of_ours(self):
        self.serve(fakes.Domain(1, now_record()))
        self.assertEqual(
            [self.NONE % (1, 'libvirt_metadata', "fails: KeyError: 'name'")],
            self.discover(KeyError('name')))

    def test_guests_that_are_not_returned_are_told_the_second_time(self):
        """The first time they may have been started since."""
        self.serve(fakes.Domain(1, now_record()),
                   fakes.Domain(2, now_record()))
        self.conf.set_override('instance_discovery_method', 'naive',
                               'compute')
        self.conf.set_override('host', 'a-node')
        self.assertEqual([], self.discover([]))
        self.assertEqual([self.NONE % (
            2, 'naive', 'does not return them. It asks Nova for the guests of '
            "host 'a-node': see that this is what Nova calls the node "
            "([DEFAULT]host), and that the agent's log has no errors of Nova "
            'or Keystone ([service_credentials])')], self.discover([]))
        self.assertEqual([], self.discover([]))
        self.assertEqual([self.AGAIN], self.discover([instance(1)]))

    def test_a_node_without_guests_of_nova_is_no_news(self):
        self.serve(fakes.Domain(1, now_record(), display_name=None))
        for _ in range(3):
            self.assertEqual([], self.discover([]))
        self.assertEqual([], self.discover(KeyError('x')))

    def test_nothing_is_said_of_guests_while_libvirt_is_down(self):
        self.serve(fakes.Domain(1, now_record()))
        down = fakes.libvirt_error(
            libvirt.VIR_ERR_SYSTEM_ERROR, 'Failed to connect socket')
        self.node.open_errors = [down] * 2
        self.assertEqual([], self.discover(down))
        self.assertIn('all guests of this node are unreachable until it '
                      'answers', self.logger.output)

    def test_guests_of_another_agent_of_the_group_are_discovered(self):
        """Each gets its share of them only after discovery."""
        self.serve(fakes.Domain(1, now_record()),
                   fakes.Domain(2, now_record()))
        for _ in range(4):
            self.assertEqual([], self.discover([instance(1), instance(2)]))
            self.poll([instance(1)])
            self.assertNotIn('is not metered', self.logger.output)


class TestEntryPoints(testtools.TestCase):
    def test_setup_cfg_names_each_meter_and_its_class(self):
        setup = configparser.ConfigParser()
        setup.read(SETUP_CFG)
        lines = setup['entry_points']['ceilometer.poll.compute'].split('\n')
        named = {}
        for line in filter(None, lines):
            name, _, target = line.partition(' = ')
            module, _, attribute = target.partition(':')
            found = getattr(importlib.import_module(module), attribute)
            named[name] = found.meter.name
        self.assertEqual({name: name for name in meters.METERS}, named,
                         'setup.cfg has to name a class of pollsters.py for '
                         'each meter, and no other')


class TestExample(testtools.TestCase):
    def test_it_polls_every_meter_in_a_source_of_their_own(self):
        sources = yaml.safe_load(POLLING_YAML.read_text())['sources']
        self.assertEqual(list(meters.METERS), sources[0]['meters'],
                         'name each meter in the first source of '
                         'etc/polling.yaml, in the same order')
        self.assertEqual([], [
            meter for source in sources[1:] for meter in source['meters']
            if meter in meters.METERS])

    def test_one_reading_serves_both_sources(self):
        """The agent polls all sources of one interval in one cycle."""
        sources = yaml.safe_load(POLLING_YAML.read_text())['sources']
        self.assertEqual([300] * 2, [each['interval'] for each in sources])


class TestTable(testtools.TestCase):
    def test_the_types_are_words_of_ceilometers(self):
        self.assertEqual({ceilometer_sample.TYPE_GAUGE,
                          ceilometer_sample.TYPE_CUMULATIVE},
                         {meter.type for meter in meters.METERS.values()})


class TestReplacement(PollsterTest):
    """Classes of this test stand for the in-tree pollsters."""

    def rival(self):
        class InTree(plugin_base.PollsterBase):
            default_discovery = 'local_instances'
            works = True

            def setup_environment(self):
                if not self.works:
                    raise OSError('libvirt is not up')

            def get_samples(self, manager, cache, resources):
                return iter(['in-tree'])
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.takeover.rivals',
            lambda name: [InTree] if name == 'memory.usage' else []))
        return InTree

    def volumes(self, pollster):
        return [(sample.name, sample.volume) for sample in
                pollster.get_samples(self.manager, {}, [instance(1)])]

    def test_an_in_tree_pollster_made_before_answers_for_the_plugin(self):
        self.serve(fakes.Domain(1, now_record()))
        in_tree = self.rival()(self.conf)
        self.assertRaises(plugin_base.ExtensionLoadError,
                          pollsters.MemoryUsagePollster, self.conf)
        self.assertEqual([('memory.usage', 234.0)], self.volumes(in_tree))

    def test_an_in_tree_pollster_made_after_declines(self):
        self.serve(fakes.Domain(1, now_record()))
        in_tree = self.rival()
        ours = pollsters.MemoryUsagePollster(self.conf)
        self.assertRaises(plugin_base.ExtensionLoadError, in_tree, self.conf)
        self.assertEqual([('memory.usage', 234.0)], self.volumes(ours))

    def test_an_in_tree_pollster_that_failed_before_is_made_up_for(self):
        """libvirt was not up when the agent started."""
        self.serve(fakes.Domain(1, now_record()))
        in_tree = self.rival()
        in_tree.works = False
        self.assertRaises(plugin_base.ExtensionLoadError, in_tree, self.conf)
        ours = pollsters.MemoryUsagePollster(self.conf)
        self.assertEqual([('memory.usage', 234.0)], self.volumes(ours))

    def test_replace_builtin_false_leaves_them_and_says_so_once(self):
        in_tree = self.rival()
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.agent.pollsters._said', set()))
        pollsters.MemoryUtilPollster(self.conf)  # registers the options
        self.conf.set_override('replace_builtin', False, 'memstat')
        for _ in range(2):
            self.assertRaises(plugin_base.ExtensionLoadError,
                              pollsters.MemoryUsagePollster, self.conf)
        pollsters.MemoryUtilPollster(self.conf)
        self.assertEqual(['in-tree'],
                         list(in_tree(self.conf).get_samples(None, {}, [])))
        self.assertEqual(
            ['WARNING [memstat]replace_builtin is false: Ceilometer itself '
             'serves memory.usage; their numbers are not checked by '
             'memstat_pollster'], self.logger.output.splitlines())

    def test_ceilometers_own_pollsters_are_found_as_rivals(self):
        self.assertEqual([instance_stats.MemoryUsagePollster],
                         takeover.rivals('memory.usage'))
        self.assertEqual([], takeover.rivals('memory.balloon.status'))
