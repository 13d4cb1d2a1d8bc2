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
import configparser
import hashlib
import re
import time
import unittest

import requests

from memstat_pollster.model import meters
from memstat_pollster.model import status
from tests.e2e import grafana
from tests.e2e import pages
from tests.e2e import prometheus
from tests.e2e import services
from tests.functional import base
from tests.functional import published
from tests import node
from tests.node import domain_xml
from tests.node import tools

#: Those that come from the guest itself.
OWN = ('memory.usage', 'memory.available', 'memory.usable', 'memory.unused',
       'memory.util', 'memory.swap.in', 'memory.swap.out')
#: A name that would break the exporter's text, were it not escaped.
HOSTILE = 'a"b\\c 1\n# {e="1"} 2'
#: Of guests that share a page's query with those of domain_xml.PROJECT_ID.
OTHER_PROJECT = '3' * 32
#: Cycles that are scraped without a pause.
DENSE_CYCLES = 20


def numbers(total, unused, usable, swap_in=0, swap_out=0):
    """What the meters say of a record; MiB."""
    return dict(zip(OWN, (
        total - usable, total, usable, unused,
        100 * (total - usable) / total, swap_in, swap_out), strict=True))


def options(block):
    """Group [polling] of a block of the page."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(pages.blocks('prometheus')[block])
    return dict(parser['polling'])


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
        cls.address = f'127.0.0.1:{tools.free_port()}'
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

        It then has no series of that meter, or, where its thread is kept
        waiting in between, those of some guests.  The in-tree pollsters of
        the same names are installed: there is one series for each guest and
        meter.
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
                                   timeout=60).text for _ in range(10)]
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
                self.assertEqual(set(), set(found[name]) - wanted, name)
                whole = set(found[name]) == wanted
                present[name] += whole
                absences[name] += previous[name] and not whole
                previous[name] = whole
            for guest, values in self.records.items():
                own = {name: found[prometheus.metric(name)]
                       for name in values}
                self.assertEqual(
                    {name: values[name] for name, of in own.items()
                     if guest.uuid in of},
                    {name: of[guest.uuid] for name, of in own.items()
                     if guest.uuid in of})
            for uuid, code in found[
                    prometheus.metric('memory.balloon.status')].items():
                self.assertEqual(0 if uuid in healthy else 5, code)
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
        self.assertEqual([of_all] * 2, self.served(liar, goes))
        # More free than total: impossible, and told at the next reading.
        liar.driver.push(published.mib(470, 471, 190))
        self.node.destroy(goes.name)
        self.agent.wait_cycles(2)
        withheld = {prometheus.metric(name) for name in OWN}
        self.assertEqual([of_all - withheld, set()],
                         self.served(liar, goes))
        self.assertEqual(8, self.agent.wait_for(
            lambda _cycles: self.scrape()[prometheus.metric(
                'memory.balloon.status')].get(liar.uuid), "the liar's status"))
        # The others are still there.
        self.assertEqual([of_all] * len(self.records),
                         self.served(*self.records))

    def served(self, *guests):
        """The metrics of each guest in two polling cycles.

        Of many scrapes, as a meter that is being renewed has no series.
        """
        found = {guest.uuid: set() for guest in guests}
        before = len(self.agent.cycles())

        def over(cycles):
            for name, of in self.scrape().items():
                for uuid in found.keys() & of.keys():
                    found[uuid].add(name)
            return len(cycles) > before + 1
        self.agent.wait_for(over, 'two polling cycles')
        return list(found.values())


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
    """The page's options: two addresses, TLS, no notifications."""

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
        second = f'127.0.0.2:{tools.free_port()}'
        cls.addresses = [f'127.0.0.1:{tools.free_port()}', second]
        given = {'prometheus_listen_addresses': ','.join(cls.addresses),
                 'prometheus_tls_certfile': cls.certificate,
                 'prometheus_tls_keyfile': key}
        cls.polling = {**options('prometheus-exporter'),
                       **options('prometheus-tls'), **given}
        super().setUpClass()

    @classmethod
    def make_guests(cls):
        cls.guest = cls.new_scripted('driverless')

    def test_prometheus_scrapes_both_addresses(self):
        server = self.start_prometheus(
            [{'targets': self.addresses}], scheme='https',
            tls_config={'ca_file': str(self.certificate)})
        selector = f'{{resource="{self.guest.uuid}"}}'
        query = ('max_over_time('
                 f'ceilometer_memory_balloon_status{selector}[9s])')
        self.assertEqual(
            {'127.0.0.1': 5, '127.0.0.2': 5},
            server.wait_for(lambda: self.told(server.query(query)),
                            'the status from both addresses'))
        self.assertRaises(requests.ConnectionError, requests.get,
                          f'http://{self.addresses[0]}/metrics', timeout=60)

    @staticmethod
    def told(found):
        """The codes by instance, when both know that there is no driver."""
        codes = {each.labels['instance']: each.value for each in found}
        return codes if list(codes.values()) == [5, 5] else None


class TestQueries(PrometheusTest):
    """The page's queries and the rules, on what Prometheus has scraped."""

    memstat = {'boot_grace': 3, 'read_timeout': 3}

    @classmethod
    def make_guests(cls):
        cls.linux_guest = cls.new_linux('web', period=5)
        cls.apps = [
            cls.new_scripted(
                f'app{n}', published.mib(500, 20 + n, 60 + 10 * n), period=5)
            for n in range(11)]
        cls.foreign = cls.new_scripted(
            'foreign', published.mib(500, 10, 20), period=5,
            project_id=OTHER_PROJECT)
        cls.gap = cls.new_scripted('gap', published.mib(400, 90, 150))
        cls.sick = {
            'no_device': cls.new_scripted('none', model='none'),
            'stats_disabled': cls.new_scripted(
                'no-period', published.mib(480, 100, 200), period=None),
            'driver_missing': cls.new_scripted('driverless'),
            'service_missing': cls.new_scripted(
                'windows', node.windows_without_service()),
            'stale': cls.new_scripted(
                'hung', published.mib(480, 100, 200), answers=False),
            'invalid': cls.new_scripted('liar', published.mib(470, 471)),
            'unreachable': cls.new_scripted(
                'frozen', published.mib(480, 100, 200)),
            'not_running': cls.new_scripted(
                'paused', published.mib(480, 100, 200)),
        }

    @classmethod
    def happen(cls):
        """Guests fall sick; one goes silent for a while."""
        # Nodes whose Nova wants no statistics have a label for the rules.
        switched_off = f'127.0.0.2:{tools.free_port()}'
        second = cls.start_agent(
            meters=['memory.balloon.status'],
            nova_conf='[libvirt]\nmem_stats_period_seconds = 0\n',
            options={'memstat': cls.memstat, 'polling': {
                **cls.groups['polling'],
                'prometheus_listen_addresses': switched_off}})
        cls.addClassCleanup(second.stop)
        cls.server = cls.start_prometheus(
            [{'targets': [cls.address]},
             {'targets': [switched_off],
              'labels': {'memory_statistics': 'off'}}],
            rules=prometheus.hurried(prometheus.RULES.read_text()))
        cls.started = time.time()
        selector = f'ceilometer_memory_usage{{resource="{cls.gap.uuid}"}}'
        cls.agent.wait_status(cls.linux_guest.uuid, 'reporting')
        cls.agent.wait_status(cls.gap.uuid, 'reporting')
        cls.server.wait_for(
            lambda: [each.value for each in cls.server.query(selector)]
            == [250.0], 'the numbers before the gap')
        cls.sick['not_running'].domain.suspend()
        cls.sick['unreachable'].freeze()
        cls.gap.driver.answers = False
        cls.agent.wait_status(cls.gap.uuid, 'stale')
        # Until it asks again Prometheus goes on with what it has.
        cls.server.wait_scrapes(2)
        began = time.time()
        cls.agent.wait_cycles(4)
        cls.server.wait_scrapes(2)
        cls.silent = began, time.time()
        cls.gap.driver.answers = True
        cls.gap.driver.push(published.mib(400, 80, 180))
        cls.server.wait_for(
            lambda: [each.value for each in cls.server.query(selector)]
            == [220.0], 'the numbers after the gap')
        cls.agent.wait_cycles(4)
        for word, guest in cls.sick.items():
            cls.agent.wait_status(guest.uuid, word)
        cls.names_by_uuid = {guest.uuid: guest.name
                             for guest in cls.node.guests.values()}

    @property
    def reporting(self):
        return [self.linux_guest, *self.apps, self.foreign, self.gap]

    def ask(self, block, expected, key='resource', **variables):
        """Wait until a query of the page has this answer: {label: value}.

        A scrape in which the exporter renews a meter has nothing of it, so
        that one answer may be empty.
        """
        expression = pages.blocks('prometheus')[block]
        for name, value in variables.items():
            expression = expression.replace(name, value)
        answers = []
        expected = {key: round(value, 9) for key, value in expected.items()}

        def right():
            found = self.server.query(expression)
            answers.append({each.labels[key]: round(each.value, 9)
                            for each in found})
            self.assertEqual(len(found), len(answers[-1]), found)
            return answers[-1] == expected
        try:
            self.server.wait_for(right, block)
        except services.ServiceError:
            self.assertEqual(expected, answers[-1])
            raise

    def test_usage(self):
        guest = self.apps[3]
        for block in ('prometheus-usage', 'prometheus-util',
                      'prometheus-util-computed'):
            self.ask(block, {guest.uuid: 410.0 if block == 'prometheus-usage'
                             else 100 * 410 / 500}, GUEST=guest.uuid)

    def test_usage_is_the_guests_own(self):
        self.near('prometheus-usage', self.linux_used, 0.5,
                  GUEST=self.linux_guest.uuid)

    def linux_used(self):
        """What the Linux guest itself says now, MiB."""
        own = self.linux_guest.meminfo()
        return (own['MemTotal'] - own['MemAvailable']) / 1024

    def test_usage_anywhere(self):
        query = pages.blocks('prometheus')['prometheus-usage-anywhere']
        wanted = {guest.uuid for guest in self.reporting}
        self.server.wait_for(lambda: wanted == {
            each.labels['resource'] for each in self.server.query(query)},
            'one usage for each guest that reports')

    def test_ten_fullest(self):
        """app0 to app9; the Linux guest and gap use less, foreign more."""
        self.ask('prometheus-fullest', {
            guest.uuid: 100 * (440 - 10 * n) / 500
            for n, guest in enumerate(self.apps[:10])},
            PROJECT=domain_xml.PROJECT_ID)

    def test_guests_that_do_not_report(self):
        codes = {(guest.uuid, instance): status.Status[word.upper()].value
                 for word, guest in self.sick.items()
                 for instance in ('127.0.0.1', '127.0.0.2')}
        for block, wanted in (
                ('prometheus-not-reporting',
                 {key: code for key, code in codes.items() if code > 2}),
                ('prometheus-of-a-status',
                 {key: code for key, code in codes.items() if code == 5})):
            query = pages.blocks('prometheus')[block]
            self.server.wait_for(lambda query=query, wanted=wanted: wanted == {
                (each.labels['resource'], each.labels['instance']): each.value
                for each in self.server.query(query)}, block)
        counts = {(str(int(status.Status[word.upper()])), instance): 1.0
                  for word in self.sick
                  for instance in ('127.0.0.1', '127.0.0.2')}
        counts |= {('0', instance): float(len(self.reporting))
                   for instance in ('127.0.0.1', '127.0.0.2')}
        query = pages.blocks('prometheus')['prometheus-by-status']
        self.server.wait_for(lambda: counts == {
            (each.labels['status'], each.labels['instance']): each.value
            for each in self.server.query(query)}, 'counts by status')

    def test_sums_of_a_node(self):
        all_guests = [*self.reporting, *self.sick.values()]
        # libvirt's own record; of an unreachable guest it is not published.
        given = sum(guest.domain.info()[2] for guest in all_guests
                    if guest is not self.sick['unreachable']) / 1024
        self.ask('prometheus-node-given', {'127.0.0.1': given}, 'instance')
        share = len(self.reporting) / len(all_guests)
        self.ask('prometheus-node-reporting',
                 {'127.0.0.1': share, '127.0.0.2': share}, 'instance')
        scripted = sum(440 - 10 * n for n in range(11)) + 480 + 220
        self.near('prometheus-node-usage',
                  lambda: scripted + self.linux_used(), 1)
        self.near('prometheus-node-resident', lambda: sum(
            guest.domain.memoryStats()['rss'] for guest in all_guests
            if guest is not self.sick['unreachable']) / 1024,
            published.RESIDENT_SLACK_MIB)

    def near(self, block, wanted, slack, **variables):
        """Wait until a query of the page answers what is so at that time.

        :param wanted: tells what is so
        """
        query = pages.blocks('prometheus')[block]
        for name, value in variables.items():
            query = query.replace(name, value)
        last = []

        def near():
            last[:] = wanted(), [
                each.value for each in self.server.query(query)]
            return len(last[1]) == 1 and abs(last[1][0] - last[0]) < slack
        try:
            self.server.wait_for(near, block)
        except services.ServiceError:
            self.assertEqual(*last)
            raise

    def test_a_gap_stays_a_gap(self):
        """What was before, nothing, and what is after; as a graph asks."""
        began, ended = self.silent
        query = pages.blocks('prometheus')['prometheus-history'].replace(
            'GUEST', self.gap.uuid)
        ((_, points),) = self.server.query_range(
            query, self.started, time.time(), 0.5)
        self.assertEqual([], [value for moment, value in points
                              if began < moment < ended])
        self.assertEqual({250.0}, {value for moment, value in points
                                   if moment <= began})
        self.assertEqual({220.0}, {value for moment, value in points
                                   if moment >= ended})
        ((_, codes),) = self.server.query_range(
            f'ceilometer_memory_balloon_status{{resource="{self.gap.uuid}",'
            'instance="127.0.0.1"}', began, ended, 0.5)
        # One that is absent while it is renewed, has no point.
        self.assertEqual({7.0}, {code for _, code in codes})
        query = pages.blocks('prometheus')['prometheus-gap'].replace(
            'GUEST', self.gap.uuid)
        found, = self.server.query(query)
        self.assertTrue(0 < found.value < 1, found.value)

    def test_alerts_fire_for_the_guests_that_they_are_about(self):
        """The rules that are shipped, but for their times."""
        wanted = set()
        for word, guest in self.sick.items():
            if word == 'not_running':
                continue
            name = 'MemstatGuest' + word.title().replace('_', '')
            for instance in ('127.0.0.1', '127.0.0.2'):
                if instance == '127.0.0.1' or word not in (
                        'no_device', 'stats_disabled'):
                    wanted.add((name, guest.name, instance, word))
        wanted.add(('MemstatGuestMemoryHigh', self.foreign.name, '127.0.0.1',
                    None))

        def firing():
            return {(alert['labels']['alertname'],
                     self.names_by_uuid[alert['labels']['resource']],
                     alert['labels']['instance'],
                     alert['labels'].get('status')): alert['annotations']
                    for alert in self.server.alerts()
                    if alert['state'] == 'firing'
                    and alert['labels'].get('resource') != self.gap.uuid}
        try:
            self.server.wait_for(lambda: set(firing()) == wanted,
                                 'the alerts of the sick guests', 60)
        except services.ServiceError:
            self.assertEqual(wanted, set(firing()))
            raise
        frozen = self.sick['unreachable']
        self.assertEqual({
            'summary': f'{frozen.display_name}:{frozen.name} on 127.0.0.1 '
                       f'has had no memory numbers for 15 minutes: '
                       f'unreachable',
            'description': status.Status.UNREACHABLE.advice.meaning,
            'remedy': status.Status.UNREACHABLE.advice.remedies[None],
        }, firing()['MemstatGuestUnreachable', frozen.name, '127.0.0.1',
                    'unreachable'])

    def test_the_dashboards_queries(self):
        """etc/grafana/memstat-prometheus.json, for one node."""
        faults = {guest.uuid: float(status.Status[word.upper()].value)
                  for word, guest in self.sick.items()
                  if word != 'not_running'}
        total = len(self.reporting) + len(self.sick)

        def metric(name):
            return {each.labels['resource']: each.value
                    for each in self.server.query(
                        f'ceilometer_memory{name}{{instance="127.0.0.1"}}')}

        def each_guest(name):
            return lambda: [sorted(metric(name))]

        def sums(*names):
            return lambda: [{None: sum(metric(name).values())}
                            for name in names]
        counts = dict.fromkeys(range(10), 0) | {
            int(code): 1 for code in faults.values()} | {
            0: len(self.reporting), 2: 1}
        wanted = {
            'Guests': lambda: [{None: total}],
            'Reporting': lambda: [{None: len(self.reporting) / total}],
            'Used': sums('_usage'),
            'Given': sums(''),
            'Resident': sums('_resident'),
            'Not reporting': lambda: [{None: len(faults)}],
            'Used memory of each node': lambda: [
                {'127.0.0.1': sum(metric('_usage').values())}],
            'Resident against used': sums('', '_resident', '_usage'),
            'Used memory of each guest': each_guest('_usage'),
            'Utilisation of each guest': each_guest('_util'),
            'Age of the statistics': each_guest('_stats_age'),
            'Resident above used, ten guests': lambda: [dict(sorted(
                ((uuid, value - metric('_usage')[uuid])
                 for uuid, value in metric('_resident').items()
                 if value > metric('_usage').get(uuid, value)),
                key=lambda item: -item[1])[:10])],
            'Guests by status': lambda: [
                {None: count} if count else {} for count in counts.values()],
            'Guests that do not report': lambda: [faults],
        }
        panels = grafana.targets('memstat-prometheus')
        self.assertEqual(set(wanted), set(panels))

        def answers(title):
            found = []
            for target in panels[title]:
                expression = target['expr'].replace(
                    '$instance', r'127\\.0\\.0\\.1').replace('$project', '.+')
                found.append({each.labels.get(
                    'resource', each.labels.get('instance')): each.value
                    for each in self.server.query(expression)})
            if title.endswith(('of each guest', 'of the statistics')):
                return [sorted(each) for each in found]
            return rounded(found)

        def rounded(found):
            return [{key: round(value, 3) for key, value in each.items()}
                    if isinstance(each, dict) else each for each in found]
        for title, expected in wanted.items():
            last = []

            def right(title=title, expected=expected, last=last):
                last[:] = rounded(expected()), answers(title)
                return last[0] == last[1]
            try:
                self.server.wait_for(right, title)
            except services.ServiceError:
                self.assertEqual(*last)
                raise

    def test_the_dashboards_variables(self):
        chosen = {'instance': ['127.0.0.1', '127.0.0.2'],
                  'project': [domain_xml.PROJECT_ID, OTHER_PROJECT]}
        for name, query in grafana.variables('memstat-prometheus').items():
            selector, label = re.fullmatch(
                r'label_values\((.+), (\w+)\)', query).groups()
            self.server.wait_for(
                lambda name=name, label=label, selector=selector: (
                    chosen[name] == self.server.label_values(
                        label, selector.replace('$instance', '.+'))),
                f'{name}: {chosen[name]}')

    def test_every_query_of_the_page_is_asked(self):
        """Each by a test of this class."""
        with open(__file__) as source:
            text = source.read()
        self.assertEqual([], [
            name for name, block in pages.blocks('prometheus').items()
            if block and f"'{name}'" not in text])


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
