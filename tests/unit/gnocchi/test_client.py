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

"""Gnocchi, reached as Ceilometer's publisher reaches it."""

import socket
import subprocess
import sys

import fixtures
from gnocchiclient import exceptions
from oslo_config import cfg
import testtools

from memstat_pollster.gnocchi import client as gnocchi
from memstat_pollster.model import meters
from tests.unit import files
from tests.unit import servers

#: Gnocchi as ceilometer-upgrade leaves it, in part.
INSTANCE = {'host': {'type': 'string', 'required': False,
                     'min_length': 0, 'max_length': 255}}


class ResourceTypes:
    """Gnocchi's resource types, as its client shows them.

    :ivar types: {name: attributes}
    :ivar racing: somebody else makes the same change, a moment before
    :ivar failure: raised by every request
    """

    def __init__(self, types):
        self.types = types
        self.racing = False
        self.failure = None
        self.updates = []

    def get(self, name):
        if self.failure is not None:
            raise self.failure
        if name not in self.types:
            raise exceptions.ResourceTypeNotFound('Resource type not found')
        return {'name': name, 'state': 'active',
                'attributes': dict(self.types[name])}

    def update(self, name, operations):
        attributes = self.types[name]
        for operation in operations:
            attribute = operation['path'].removeprefix('/attributes/')
            known = attribute in attributes
            if operation['op'] != 'add':
                raise exceptions.BadRequest('unknown operation')
            attributes[attribute] = operation['value']
            if known or self.racing:
                raise exceptions.Conflict('it is there')
        self.updates.append((name, operations))


class Client:
    def __init__(self, **types):
        self.resource_type = ResourceTypes(types)


class TestAttribute(testtools.TestCase):
    ADDED = {'type': 'string', 'required': False,
             'min_length': 0, 'max_length': 255}

    def test_it_is_added_once(self):
        client = Client(instance=dict(INSTANCE))
        self.assertIs(True, gnocchi.add_attribute(client))
        self.assertEqual({'instance': {**INSTANCE,
                                       'balloon_status': self.ADDED}},
                         client.resource_type.types)
        self.assertIs(False, gnocchi.add_attribute(client))
        self.assertEqual(1, len(client.resource_type.updates))

    def test_another_controller_may_be_faster(self):
        client = Client(instance=dict(INSTANCE))
        client.resource_type.racing = True
        self.assertIs(False, gnocchi.add_attribute(client))

    def _fails(self, client):
        return str(self.assertRaises(gnocchi.GnocchiError,
                                     gnocchi.add_attribute, client))

    def test_without_the_resource_type_it_says_what_makes_it(self):
        self.assertEqual(
            'Gnocchi has no resource type instance yet: run '
            'ceilometer-upgrade first', self._fails(Client()))

    def test_an_attribute_of_another_type_is_told(self):
        client = Client(instance={'balloon_status': {'type': 'number'}})
        self.assertEqual(
            'the attribute balloon_status of resource type instance is a '
            'number, no string: remove it if nothing needs it',
            self._fails(client))

    def test_what_gnocchi_answers_is_told(self):
        client = Client(instance=dict(INSTANCE))
        client.resource_type.failure = exceptions.Forbidden(
            403, message='admin only')
        self.assertEqual('Gnocchi: admin only (HTTP 403)', self._fails(client))

    def test_an_answer_without_words_is_named(self):
        client = Client(instance=dict(INSTANCE))
        client.resource_type.failure = exceptions.ConnectionTimeout('')
        self.assertIn('Gnocchi: ', self._fails(client))
        self.assertNotEqual('Gnocchi: ', self._fails(client))


class TestConnect(files.FilesTest):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())

    def conf(self, **groups):
        conf = cfg.ConfigOpts()
        conf(['--config-file', self.configuration(**groups)])
        return conf

    def test_with_the_credentials_that_ceilometer_has(self):
        client = gnocchi.connect(self.conf(service_credentials={
            'auth_type': 'gnocchi-basic', 'user': 'ceilometer',
            'endpoint': 'http://gnocchi:8041', 'interface': 'internal',
            'region_name': 'north'}))
        self.assertEqual(
            ('http://gnocchi:8041', 'internal', 'north', {
                'Authorization': 'basic Y2VpbG9tZXRlcjo='}),
            (client.api.endpoint_override, client.api.interface,
             client.api.region_name,
             client.api.session.auth.get_headers(None)))

    def test_no_request_takes_longer_than_it_may(self):
        client = gnocchi.connect(self.conf(service_credentials={
            'auth_type': 'gnocchi-basic', 'user': 'ceilometer',
            'endpoint': 'http://gnocchi:8041'}))
        self.assertEqual(30, client.api.session.timeout)

    def test_with_another_section_that_ceilometer_names(self):
        conf = self.conf(
            gnocchi={'auth_section': 'metric'},
            metric={'auth_type': 'gnocchi-noauth', 'user_id': 'u',
                    'project_id': 'p', 'endpoint': 'http://metric:1'},
            service_credentials={'auth_type': 'none'})
        for _ in range(2):
            client = gnocchi.connect(conf)
            self.assertEqual(('http://metric:1', 'public', None),
                             (client.api.endpoint_override,
                              client.api.interface, client.api.region_name))

    def _fails(self, **groups):
        return str(self.assertRaises(gnocchi.GnocchiError, gnocchi.connect,
                                     self.conf(**groups)))

    def test_without_credentials_it_says_whose_file_is_meant(self):
        self.assertEqual(
            'the configuration has no [service_credentials]auth_type: name '
            'the ceilometer.conf that the notification agent reads with '
            '--config-file', self._fails())

    def test_credentials_that_cannot_be_used_are_told(self):
        for groups, message in (
                ({'auth_type': 'magic'}, 'The plugin magic could not be '
                                         'found'),
                ({'auth_type': 'password'}, 'auth_url'),
                ({'auth_type': 'gnocchi-basic', 'interface': 'back',
                  'user': 'c', 'endpoint': 'http://x'}, 'interface')):
            said = self._fails(service_credentials=groups)
            self.assertIn('logging in for Gnocchi: ', said)
            self.assertIn(message, said)

    def test_a_gnocchi_that_does_not_listen_is_told(self):
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            port = listener.getsockname()[1]
        client = gnocchi.connect(self.conf(service_credentials={
            'auth_type': 'gnocchi-basic', 'user': 'c',
            'endpoint': f'http://127.0.0.1:{port}'}))
        error = self.assertRaises(gnocchi.GnocchiError,
                                  gnocchi.add_attribute, client)
        self.assertIn(f'Gnocchi: Unable to establish connection to '
                      f'http://127.0.0.1:{port}/', str(error))

    def test_a_keystone_that_does_not_listen_is_told(self):
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            url = f'http://127.0.0.1:{listener.getsockname()[1]}'
        self.assertIn(url, self._fails(service_credentials={
            'auth_type': 'password', 'auth_url': url, 'username': 'c',
            'password': 'x', 'project_name': 'service',
            'user_domain_name': 'Default', 'project_domain_name': 'Default'}))


class TestSeries(files.FilesTest):
    """Measures, from a Gnocchi of HTTP answers written by hand."""

    #: As Gnocchi sends them: all granularities, each in its order.
    MEASURES = [['2026-03-05T07:00:00+00:00', 3600.0, 301.5],
                ['2026-03-05T07:00:00+00:00', 300.0, 256.25],
                ['2026-03-05T07:15:00+00:00', 300.0, 257.75],
                ['2026-03-05T07:14:00+00:00', 60.0, 255]]
    BEGIN_S = 1772694000.0

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())

    def ask(self, answer, uuids=('a', 'b', 'c'), **arguments):
        self.server = self.useFixture(servers.Http(answer))
        conf = cfg.ConfigOpts()
        conf(['--config-file', self.configuration(
            service_credentials=self.server.credentials)])
        return gnocchi.all_series(conf, 'memory.usage', uuids, self.BEGIN_S,
                                  310.0, **arguments)

    def test_the_granularity_that_is_nearest(self):
        def answer(request):
            if '/a/' in request.path:
                return 200, self.MEASURES
            if '/b/' in request.path:
                return 404, {'message': 'no'}
            return 200, []
        self.assertEqual(
            gnocchi.Found({'a': meters.Series(300.0, (
                (self.BEGIN_S, 256.25), (self.BEGIN_S + 900, 257.75)))}, 3),
            self.ask(answer))
        query = ('start=2026-03-05T07%3A00%3A00%2B00%3A00&aggregation=mean')
        self.assertEqual(
            [('GET', f'/v1/resource/generic/{uuid}/metric/memory.usage/'
              'measures') for uuid in 'abc'],
            [(method, path.partition('?')[0])
             for method, path in self.server.requests])
        self.assertEqual(set(query.split('&')), set(
            self.server.requests[0][1].partition('?')[2].split('&')) & set(
                query.split('&')))

    def test_an_error_ends_it_and_keeps_what_was_answered(self):
        def answer(request):
            if '/b/' in request.path:
                return 403, {'description': 'not yours', 'code': 403}
            return 200, self.MEASURES[-1:]
        self.assertEqual(
            gnocchi.Found({'a': meters.Series(60.0, (
                (self.BEGIN_S + 840, 255.0),))}, 1,
                'Gnocchi: not yours (HTTP 403)'), self.ask(answer))
        self.assertEqual(2, len(self.server.requests))

    def test_answers_that_are_none_of_gnocchis(self):
        for body in (b'<html>Please log in', b'', b'7', b'{"a": 1}',
                     b'[["yesterday", 300, 1]]', b'[[1, 2]]',
                     b'[["2026-03-05T07:00:00+00:00", null, 1]]',
                     b'[["2026-03-05T07:00:00+00:00", 300, null]]'):
            found = self.ask(lambda request, body=body: (200, body))
            self.assertEqual(({}, 0), (found.series, found.answered), body)
            self.assertTrue(found.error.startswith(
                'Gnocchi: the answer cannot be used, as if something else, '
                'such as a proxy, answered ('), found.error)

    def test_a_gnocchi_that_hangs_is_asked_for_one_guest(self):
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.gnocchi.client.TIMEOUT_S', 0.1))
        found = self.ask(lambda request: None)
        self.assertEqual(({}, 0), (found.series, found.answered))
        self.assertIn('timed out', found.error)
        self.assertLessEqual(len(self.server.requests), 1)

    def test_a_deadline_for_all(self):
        """The work is left behind, and does not answer for what came."""
        self.assertEqual(
            gnocchi.Found({}, 0, 'Gnocchi: no end of it within 0.1 s'),
            self.ask(lambda request: None, seconds=0.1))

    def test_without_credentials(self):
        conf = cfg.ConfigOpts()
        conf(['--config-file', self.configuration()])
        found = gnocchi.all_series(conf, 'memory.usage', ['a'], 0.0, 300.0)
        self.assertEqual(({}, 0), (found.series, found.answered))
        self.assertIn('no [service_credentials]auth_type', found.error)


class TestWithin(testtools.TestCase):

    def test_what_the_work_returns(self):
        self.assertEqual(17, gnocchi.within(60.0, lambda: 17))

    def test_work_that_ends_as_nobody_foresaw(self):
        """It is told, not waited for; Python shows where it was."""
        seen = []
        self.useFixture(fixtures.MonkeyPatch('threading.excepthook',
                                             seen.append))

        def fail():
            raise LookupError('what is this')
        error = self.assertRaises(gnocchi.GnocchiError, gnocchi.within,
                                  60.0, fail)
        self.assertEqual('asking Gnocchi ended without an answer', str(error))
        self.assertEqual([LookupError], [each.exc_type for each in seen])

    def test_a_process_ends_without_waiting_for_it(self):
        done = subprocess.run(
            [sys.executable, '-c',
             'import threading\n'
             'from memstat_pollster.gnocchi import client\n'
             'try:\n'
             '    client.within(0.1, threading.Event().wait)\n'
             'except client.GnocchiError as exc:\n'
             '    print(exc)\n'],
            capture_output=True, text=True, timeout=120)
        self.assertEqual((0, 'Gnocchi: no end of it within 0.1 s\n'),
                         (done.returncode, done.stdout))
