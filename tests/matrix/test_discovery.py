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

"""The three ways in which Ceilometer finds the guests of its node."""

import pathlib
import shutil
import tempfile

from testtools import content

from tests.functional import published
from tests.matrix import release
from tests.node import agent as polling
from tests.node import domain_xml
from tests.node import nova_api

#: What they say is of another moment in each sample.
MOVING = ('memory.stats.age', 'memory.resident')
AGAIN = "INFO Ceilometer's discovery returns guests again"


def told(samples):
    """{meter: all that must not depend on how the guest was found}."""
    return {name: (None if name in MOVING else sample.volume, sample.unit,
                   sample.type, sample.resource_id, sample.project_id,
                   sample.user_id, published.ours(sample))
            for name, sample in samples.items()}


class TestDiscovery(published.SharedGuestsTest):

    @classmethod
    def make_guests(cls):
        cls.web = cls.new_scripted(
            'web', published.mib(490, 128, 256, 64, swap_in=3, swap_out=5))
        cls.silent = cls.new_scripted('silent')

    def start_nova(self, *guests, **options):
        """A Nova that knows these guests."""
        nova = nova_api.NovaApi(guests, **options)
        nova.start()
        self.addCleanup(nova.stop)
        return nova

    def start_agent(self, nova, method='libvirt_metadata', *,
                    coordination=None, **compute):
        """An agent with Nova's credentials, or without any."""
        agent = polling.Agent(self.node.ro_uri, options={
            # A guest's answer may be late on a busy machine.
            'memstat': {'boot_grace': 3, 'stale_after_periods': 8},
            'compute': {'instance_discovery_method': method, **compute},
            'coordination': coordination or {},
            **(nova.options() if nova else {})})
        self.addCleanup(agent.close)
        self.addCleanup(lambda: self.addDetail(
            'agent.log', content.text_content(
                '\n'.join(agent.log()[-300:]))))
        agent.start()
        return agent

    def coordination(self):
        """Where the agents of a group find each other."""
        directory = pathlib.Path(tempfile.mkdtemp(
            prefix='memstat-coordination-', dir='/tmp'))
        self.addCleanup(shutil.rmtree, directory)
        directory.chmod(0o777)
        return {'backend_url': f'file://{directory}'}

    def about_discovery(self, agent):
        """What the plugin has said of discovery."""
        return [line for line in agent.said()
                if "Ceilometer's discovery" in line]

    def wait_told(self, agent, lines):
        """Wait until the plugin has said this of discovery, and no more."""
        agent.wait_for(lambda _: self.about_discovery(agent)[:len(lines)]
                       == lines, f'{lines} in the log')
        self.assertEqual(lines, self.about_discovery(agent))

    def test_the_three_methods_give_the_same_samples(self):
        nova = self.start_nova(self.web, self.silent)
        agents = {
            'libvirt_metadata': self.start_agent(nova),
            'naive': self.start_agent(nova, 'naive'),
            'workload_partitioning': self.start_agent(
                nova, 'workload_partitioning',
                coordination=self.coordination())}
        found = {}
        for method, agent in agents.items():
            agent.wait_status(self.web.uuid, 'reporting')
            agent.wait_status(self.silent.uuid, 'driver_missing')
            found[method] = {uuid: told(samples) for uuid, samples
                             in agent.wait_cycles(1)[-1].items()}
            self.assertEqual([], self.about_discovery(agent))
        for method in agents:
            self.assertEqual(found['libvirt_metadata'], found[method])
        self.assertEqual({self.web.uuid, self.silent.uuid},
                         set(found['naive']))
        self.assertEqual(
            (234.0, 'MiB', 'gauge', self.web.uuid, domain_xml.PROJECT_ID,
             domain_xml.USER_ID, {'balloon_status': 'reporting',
                                  'memory_usage_source': 'usable'}),
            found['naive'][self.web.uuid]['memory.usage'])
        self.assertNotEqual([], [
            path for path in nova.asked
            if path.startswith('/compute/v2.1/servers/detail')
            and 'host=node' in path])

    def test_metadata_without_a_flavor_id_and_nova_answers(self):
        """As Nova wrote it before 2025.2."""
        old = self.scripted('old', attach=True, flavor_id=None)
        old.driver.push(published.mib(491, 129, 257))
        nova = self.start_nova(self.web, self.silent, old)
        agent = self.start_agent(nova)
        sample = agent.wait_status(old.uuid, 'reporting')['memory.usage']
        self.assertEqual((234.0, domain_xml.FLAVOR_ID),
                         (sample.volume, sample.metadata['flavor']['id']))
        self.assertEqual([], self.about_discovery(agent))

    def test_metadata_without_a_flavor_id_and_no_credentials(self):
        old = self.scripted('old', attach=True, flavor_id=None)
        agent = self.start_agent(None)
        why, instead = {
            None: ('every guest, as Ceilometer does before 25', ''),
            True: ('every guest, as [compute]fetch_extra_metadata is true',
                   '; or set that option to false, if Nova is 2025.2 or '
                   'newer'),
            False: ('the flavor of 1 of them, whose libvirt metadata has no '
                    f'flavor id, among them {old.name} ({old.uuid})',
                    '; or hard reboot these guests, if Nova is 2025.2 or '
                    'newer'),
        }[release.EXTRA_METADATA]
        first = (
            "ERROR None of the 3 guests of this node is metered: Ceilometer's "
            'discovery (libvirt_metadata) fails: MissingAuthPlugin: An auth '
            'plugin is required to determine endpoint URL. It asks Nova for '
            f"{why}. Remedy: set the agent's credentials in "
            f'[service_credentials] of ceilometer.conf{instead}')
        self.wait_told(agent, [first])
        old.destroy()
        if release.EXTRA_METADATA is None:
            return
        expected = [first, AGAIN]
        if release.EXTRA_METADATA:
            agent.stop()
            agent = self.start_agent(None, fetch_extra_metadata=False)
            expected = []
        agent.wait_status(self.web.uuid, 'reporting')
        self.wait_told(agent, expected)

    def test_nova_knows_the_node_by_another_name(self):
        nova = self.start_nova(self.web, self.silent, host='node.example.org')
        # Ceilometer asks for changes alone until that has passed.
        agent = self.start_agent(nova, 'naive', resource_cache_expiry=0)
        first = (
            "ERROR None of the 2 guests of this node is metered: Ceilometer's "
            'discovery (naive) does not return them. It asks Nova for the '
            "guests of host 'node': see that this is what Nova calls the "
            "node ([DEFAULT]host), and that the agent's log has no errors of "
            'Nova or Keystone ([service_credentials])')
        self.wait_told(agent, [first])
        nova.host = 'node'
        agent.wait_status(self.web.uuid, 'reporting')
        self.wait_told(agent, [first, AGAIN])
