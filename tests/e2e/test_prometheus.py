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

"""Ceilometer's Prometheus exporter with the plugin, and a real Prometheus."""

import collections
import hashlib
import unittest

import requests

from memstat_pollster import meters
from tests.e2e import prometheus
from tests.e2e import services
from tests.functional import base
from tests.functional import published
from tests import node
from tests.node import domain_xml

#: Those that come from the guest itself.
OWN = ('memory.usage', 'memory.available', 'memory.usable', 'memory.unused',
       'memory.util', 'memory.swap.in', 'memory.swap.out')
#: A name that would break the exporter's text, were it not escaped.
HOSTILE = 'a"b\\c 1\n# {e="1"} 2'
#: Cycles that are scraped without a pause.
DENSE_CYCLES = 20


def numbers(total, unused, usable, swap_in=0, swap_out=0):
    """What the meters say of a record; MiB."""
    return dict(zip(OWN, (
        total - usable, total, usable, unused,
        100 * (total - usable) / total, swap_in, swap_out), strict=True))


class PrometheusTest(published.SharedAgentTest):
    """An agent with its exporter on a port of the class's own."""

    #: More of group [polling].
    polling: dict[str, object] = {}

    @classmethod
    def setUpClass(cls):
        try:
            prometheus.check()
        except node.MissingTools as error:
            if base.must_run():
                raise
            raise unittest.SkipTest(
                f'PROMETHEUS TESTS DO NOT RUN HERE: {error}') from error
        cls.address = f'127.0.0.1:{services.free_port()}'
        cls.groups = {'polling': {
            'enable_prometheus_exporter': True,
            'prometheus_listen_addresses': cls.address, **cls.polling}}
        super().setUpClass()

    @classmethod
    def start_prometheus(cls, targets, **options):
        """A server of the class's own."""
        directory = services.Directory('memstat-e2e-')
        cls.addClassCleanup(directory.close)
        server = prometheus.Prometheus(directory, targets, **options)
        cls.addClassCleanup(server.stop)
        server.start()
        return server


class TestExporter(PrometheusTest):
    """What the exporter itself serves, scraped as densely as it can be."""

    @classmethod
    def make_guests(cls):
        # No guest of a busy machine goes stale by accident: a long period.
        cls.linux_guest = cls.new_linux('web', period=5)
        cls.records = {
            cls.new_scripted(name, published.mib(*record[:3], None,
                                                 **record[3]),
                             period=5, display_name=display_name):
            numbers(*record[:3], **record[3])
            for name, display_name, record in (
                ('one', 'Server one', (480, 110, 200, {})),
                ('two', 'Server two', (490, 120, 205, {'swap_in': 3})),
                ('three', HOSTILE, (500, 130, 215, {'swap_out': 7})))}
        cls.driverless = cls.new_scripted('driverless', period=5)

    def scrape(self):
        """{meter's metric: {uuid: value}}; one series for each."""
        found = collections.defaultdict(dict)
        for each in prometheus.scrape(self.address):
            of = found[each.name]
            self.assertNotIn(each.labels['resource'], of)
            of[each.labels['resource']] = each.value
        return found

    def settle(self):
        for guest in (self.linux_guest, *self.records):
            self.settled(guest, 'reporting', 60)
        self.settled(self.driverless, 'driver_missing')

    def test_labels(self):
        """Those that queries and rules may use; the status is no label."""
        self.settle()
        guest = next(guest for guest in self.records
                     if guest.display_name == HOSTILE)
        labels = {
            'publisher': 'ceilometer',
            'project': domain_xml.PROJECT_ID,
            'user': domain_xml.USER_ID,
            'resource': guest.uuid,
            'resource_name': f'{HOSTILE}:{guest.name}',
            'server_group': 'none',
            'flavor_id': '42',
            'flavor_name': 'm1.lab',
            'vm_instance': hashlib.sha224(
                f'{domain_xml.PROJECT_ID}node'.encode()).hexdigest(),
        }
        wanted = {}
        for meter in meters.METERS.values():
            shards = meter.name.split('.')
            wanted[prometheus.metric(meter.name)] = {
                **labels,
                'counter': meter.name,
                'memory': shards[2] if len(shards) > 2 else guest.uuid,
                'type': shards[1] if len(shards) > 1 else 'memory',
                **({'unit': meter.unit} if meter.unit else {}),
            }

        def found(_cycles):
            of = {each.name: each.labels
                  for each in prometheus.scrape(self.address)
                  if each.labels['resource'] == guest.uuid}
            return of if len(of) == len(wanted) else None
        self.assertEqual(wanted, self.agent.wait_for(
            found, 'a scrape with every meter'))

    def test_dense_scrapes(self):
        """Present and right, but while the exporter renews a meter.

        It then has no series of that meter at all, and never some guests'
        without the others'.  The in-tree pollsters of the same names are
        installed: there is one series for each guest and meter.
        """
        self.settle()
        healthy = {self.linux_guest.uuid,
                   *(guest.uuid for guest in self.records)}
        everyone = healthy | {self.driverless.uuid}
        resources = {prometheus.metric(name): healthy if name in OWN
                     or name == 'memory.stats.age' else everyone
                     for name in meters.METERS}
        before = len(self.agent.cycles())
        texts = []
        while len(self.agent.cycles()) < before + DENSE_CYCLES:
            texts += [requests.get(f'http://{self.address}/metrics',
                                   timeout=10).text for _ in range(10)]
        cycles = len(self.agent.cycles()) - before
        present = collections.Counter()
        absences = collections.Counter()
        previous = dict.fromkeys(resources, True)
        for text in texts:
            found = collections.defaultdict(dict)
            for each in prometheus.parse(text):
                self.assertNotIn(each.labels['resource'], found[each.name])
                found[each.name][each.labels['resource']] = each.value
            self.assertEqual(set(), set(found) - set(resources))
            for name, wanted in resources.items():
                present[name] += name in found
                if name in found:
                    self.assertEqual(wanted, set(found[name]), name)
                elif previous[name]:
                    absences[name] += 1
                previous[name] = name in found
            for guest, values in self.records.items():
                self.assertEqual(
                    {name: value for name, value in values.items()
                     if prometheus.metric(name) in found},
                    {name: found[prometheus.metric(name)][guest.uuid]
                     for name in values
                     if prometheus.metric(name) in found})
            codes = found.get(prometheus.metric('memory.balloon.status'))
            if codes:
                self.assertEqual({uuid: 0 for uuid in healthy}
                                 | {self.driverless.uuid: 5}, codes)
        # Once a cycle at the most; the cycle at either end may be a part.
        self.assertEqual({}, {name: count for name, count in absences.items()
                              if count > cycles + 2})
        self.assertEqual(set(resources), set(+present))

    def test_withheld_numbers_and_destroyed_guests_vanish(self):
        self.settle()
        liar = self.new_scripted('liar', published.mib(470, 100, 190),
                                 period=5)
        goes = self.new_scripted('goes', published.mib(460, 105, 180),
                                 period=5)
        for guest in (liar, goes):
            self.settled(guest, 'reporting')
        of_all = {prometheus.metric(name) for name in meters.METERS}
        self.assertEqual([of_all] * 2, [self.served(liar), self.served(goes)])
        # More free than total: impossible, and told at the next reading.
        liar.driver.push(published.mib(470, 471, 190))
        self.node.destroy(goes.name)
        self.agent.wait_cycles(2)
        withheld = {prometheus.metric(name) for name in OWN}
        self.assertEqual([of_all - withheld, set()],
                         [self.served(liar), self.served(goes)])
        self.assertEqual(8, self.agent.wait_for(
            lambda _cycles: self.scrape()[prometheus.metric(
                'memory.balloon.status')].get(liar.uuid), "the liar's status"))
        # The others are still there.
        for guest in self.records:
            self.assertEqual(of_all, self.served(guest))

    def served(self, guest):
        """A guest's metrics in one polling cycle.

        Of ten scrapes, as a meter that is being renewed has no series.
        """
        found = set()
        for _ in range(10):
            for name, of in self.scrape().items():
                if guest.uuid in of:
                    found.add(name)
        return found


class TestLastGuest(PrometheusTest):

    @classmethod
    def make_guests(cls):
        cls.guest = cls.new_scripted('last', published.mib(480, 110, 200))

    def test_nothing_is_left_of_the_last_guest(self):
        self.settled(self.guest, 'reporting')
        self.assertEqual(
            {prometheus.metric(name) for name in meters.METERS},
            self.agent.wait_for(self.complete, 'a scrape of every meter'))
        self.node.destroy(self.guest.name)
        self.agent.wait_for(
            lambda _cycles: prometheus.scrape(self.address) == [],
            'a scrape without any series')

    def complete(self, _cycles):
        found = {each.name for each in prometheus.scrape(self.address)}
        return found if len(found) == len(meters.METERS) else None


class TestTLS(PrometheusTest):
    """[polling]prometheus_tls_enable, and more than one address."""

    @classmethod
    def setUpClass(cls):
        cls.directory = services.Directory('memstat-e2e-')
        cls.addClassCleanup(cls.directory.close)
        path = cls.directory.sub('tls', prometheus.USER)
        cls.certificate, key = path / 'cert.pem', path / 'key.pem'
        services.run('openssl', [
            'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes',
            '-keyout', key, '-out', cls.certificate, '-days', '2',
            '-subj', '/CN=compute1', '-addext',
            'subjectAltName=IP:127.0.0.1,IP:127.0.0.2'],
            path, user=prometheus.USER)
        cls.second = f'127.0.0.2:{services.free_port()}'
        cls.polling = {'prometheus_tls_enable': True,
                       'prometheus_tls_certfile': cls.certificate,
                       'prometheus_tls_keyfile': key}
        super().setUpClass()

    @classmethod
    def make_guests(cls):
        cls.guest = cls.new_scripted('driverless')

    @classmethod
    def start_agent(cls, **options):
        cls.groups['polling']['prometheus_listen_addresses'] = (
            f'{cls.address},{cls.second}')
        return super().start_agent(**options)

    def test_prometheus_scrapes_both_addresses(self):
        self.settled(self.guest, 'driver_missing')
        server = self.start_prometheus(
            [{'targets': [self.address, self.second]}], scheme='https',
            tls_config={'ca_file': str(self.certificate)})
        selector = f'{{resource="{self.guest.uuid}"}}'
        query = ('max_over_time('
                 f'ceilometer_memory_balloon_status{selector}[9s])')
        self.assertEqual(
            {'127.0.0.1': 5, '127.0.0.2': 5},
            server.wait_for(lambda: self.both(server.query(query)),
                            'the status from both addresses'))
        self.assertRaises(requests.ConnectionError, requests.get,
                          f'http://{self.address}/metrics', timeout=10)

    @staticmethod
    def both(found):
        return ({each.labels['instance']: each.value for each in found}
                if len(found) == 2 else None)


class TestRules(unittest.TestCase):
    """etc/prometheus, by Prometheus' own tool."""

    def setUp(self):
        super().setUp()
        try:
            prometheus.check()
        except node.MissingTools as error:
            if base.must_run():
                raise
            self.skipTest(f'PROMETHEUS TESTS DO NOT RUN HERE: {error}')

    def test_check_config(self):
        """With the rules that the configuration names."""
        said = prometheus.promtool('check', 'config',
                                   prometheus.CONFIGURATION)
        self.assertIn(f'SUCCESS: {prometheus.CONFIGURATION} is valid', said)

    def test_check_rules(self):
        self.assertIn('SUCCESS: 15 rules found', prometheus.promtool(
            'check', 'rules', prometheus.RULES))

    def test_unit_tests_of_the_rules(self):
        self.assertIn('SUCCESS', prometheus.promtool(
            'test', 'rules', prometheus.RULES_TEST))
