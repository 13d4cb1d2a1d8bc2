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
"""Keystone, Nova and Glance, as far as Ceilometer's compute agent asks them.

One server on loopback that answers what novaclient, glanceclient and
openstacksdk ask on behalf of instance discovery, and 404 to all else.  What it
says of a guest is what Nova would: the same as in the guest's libvirt
metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
import datetime
from http import server
import json
import threading
from typing import Any
from urllib import parse

from tests.node import domain_xml
from tests.node import guests as node_guests

TOKEN = 'a-token'
CREDENTIALS = {'username': 'ceilometer', 'password': 'a-password',
               'project_name': 'service', 'user_domain_id': 'default',
               'project_domain_id': 'default'}


class NovaApi:
    """A context manager: the services run inside.

    :param guests: those that Nova knows
    :param host: the compute host that they are on, as Nova calls it
    :param flavors: names of the flavors that Nova still has
    :ivar asked: the path of every request, in order
    """

    def __init__(self, guests: Iterable[node_guests.Guest] = (), *,
                 host: str = 'node', flavors: Iterable[str] = (
                     domain_xml.FLAVOR_NAME,)) -> None:
        self.guests = list(guests)
        self.host = host
        self.flavors = list(flavors)
        self.asked: list[str] = []
        api = self

        class Handler(_Handler):
            services = api

        self._server = server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> NovaApi:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return 'http://127.0.0.1:%d' % self._server.server_address[1]

    def options(self) -> dict[str, dict[str, object]]:
        """For ceilometer.conf: {group: {option: value}}."""
        return {'service_credentials': {
            'auth_type': 'v3password', 'auth_url': f'{self.url}/identity/v3',
            **CREDENTIALS}}

    # What is answered: (status, body) or None

    def answer(self, path: str, query: dict[str, list[str]],
               ) -> tuple[int, dict[str, Any]] | None:
        """To an authenticated GET."""
        kind, *rest = path.strip('/').split('/')
        versions = {'compute': self._versions('compute', 'v2.1', '2.1'),
                    'image': self._versions('image', 'v2', '2.0'),
                    'identity': self._versions('identity', 'v3', '3.14')}
        if not rest and kind in versions:
            return 300, versions[kind]
        resource = [step for step in rest[1:] if step != 'detail']
        if kind == 'image':
            return self._image(resource)
        if kind != 'compute':
            return None
        if not resource:
            version, = versions[kind]['versions']
            return 200, {'version': version}
        found = {'servers': self._servers(query),
                 'flavors': self._flavors()}.get(resource[0])
        if found is None:
            return None
        if len(resource) == 1:
            return 200, {resource[0]: found}
        for each in found:
            if each['id'] == resource[1]:
                return 200, {resource[0].removesuffix('s'): each}
        return None

    def _versions(self, service: str, path: str, number: str,
                  ) -> dict[str, Any]:
        return {'versions': [{
            'id': f'v{number}', 'status': 'CURRENT',
            'version': number if service == 'compute' else '',
            'min_version': number if service == 'compute' else '',
            'links': [{'rel': 'self',
                       'href': f'{self.url}/{service}/{path}/'}]}]}

    def token(self) -> dict[str, Any]:
        """Keystone's answer to a password."""
        now = datetime.datetime.now(datetime.timezone.utc)
        return {'token': {
            'methods': ['password'],
            'user': {'id': 'c' * 32, 'name': 'ceilometer',
                     'domain': {'id': 'default', 'name': 'Default'}},
            'project': {'id': 'd' * 32, 'name': 'service',
                        'domain': {'id': 'default', 'name': 'Default'}},
            'roles': [{'id': 'e' * 32, 'name': 'admin'}],
            'issued_at': _zulu(now),
            'expires_at': _zulu(now + datetime.timedelta(hours=1)),
            'catalog': [
                {'type': kind, 'name': name, 'id': name, 'endpoints': [
                    {'interface': interface, 'region': 'RegionOne',
                     'region_id': 'RegionOne', 'id': f'{name}-{interface}',
                     'url': f'{self.url}/{kind}{path}'}
                    for interface in ('public', 'internal', 'admin')]}
                for kind, name, path in (('compute', 'nova', '/v2.1'),
                                         ('image', 'glance', ''),
                                         ('identity', 'keystone', ''))]}}

    def _servers(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """GET /servers/detail: of one host, changed since, after a marker."""
        if query.get('host', [self.host]) != [self.host]:
            return []
        if 'changes-since' in query or 'marker' in query:
            return []
        return [self._server_of(guest) for guest in self.guests]

    def _server_of(self, guest: node_guests.Guest) -> dict[str, Any]:
        return {
            'id': guest.uuid, 'name': guest.display_name,
            'tenant_id': domain_xml.PROJECT_ID,
            'user_id': domain_xml.USER_ID, 'hostId': 'f' * 56,
            'status': 'ACTIVE', 'metadata': {}, 'links': [],
            'image': {'id': domain_xml.IMAGE_ID, 'links': []},
            'flavor': {'id': domain_xml.FLAVOR_ID, 'links': []},
            'OS-EXT-SRV-ATTR:instance_name': guest.name,
            'OS-EXT-SRV-ATTR:host': self.host,
            'OS-EXT-AZ:availability_zone': 'nova',
            'OS-EXT-STS:vm_state': 'active',
            'OS-EXT-STS:task_state': None,
            'OS-EXT-STS:power_state': 1,
        }

    def _flavors(self) -> list[dict[str, Any]]:
        return [{'id': domain_xml.FLAVOR_ID, 'name': name, 'ram': 512,
                 'vcpus': 1, 'disk': 1, 'swap': '',
                 'OS-FLV-EXT-DATA:ephemeral': 0,
                 'os-flavor-access:is_public': True, 'links': []}
                for name in self.flavors]

    @staticmethod
    def _image(resource: list[str]) -> tuple[int, dict[str, Any]] | None:
        if resource != ['images', domain_xml.IMAGE_ID]:
            return None
        return 200, {'id': domain_xml.IMAGE_ID, 'name': 'lab',
                     'status': 'active', 'container_format': 'bare',
                     'disk_format': 'qcow2', 'min_disk': 1, 'min_ram': 0}


def _zulu(moment: datetime.datetime) -> str:
    return moment.strftime('%Y-%m-%dT%H:%M:%S.%fZ')


class _Handler(server.BaseHTTPRequestHandler):
    services: NovaApi
    protocol_version = 'HTTP/1.1'

    def do_GET(self) -> None:  # the name is http.server's
        self.services.asked.append(self.path)
        parts = parse.urlsplit(self.path)
        steps = parts.path.strip('/').split('/')
        if (len(steps) > 1
                and self.headers.get('X-Auth-Token') != TOKEN):
            self._reply(401, {'error': {'message': 'no token'}})
            return
        found = self.services.answer(parts.path,
                                     parse.parse_qs(parts.query))
        self._reply(*(found or (404, {'itemNotFound': {
            'code': 404, 'message': f'nothing at {parts.path}'}})))

    def do_POST(self) -> None:  # the name is http.server's
        self.services.asked.append(self.path)
        body = json.loads(self.rfile.read(
            int(self.headers.get('Content-Length', 0))) or b'{}')
        if self.path.rstrip('/') != '/identity/v3/auth/tokens':
            self._reply(404, {})
            return
        user = body['auth']['identity']['password']['user']
        if (user['name'], user['password']) != (
                CREDENTIALS['username'], CREDENTIALS['password']):
            self._reply(401, {'error': {'message': 'wrong password'}})
            return
        self._reply(201, self.services.token(), {'X-Subject-Token': TOKEN})

    def _reply(self, status: int, body: dict[str, Any],
               headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {'Content-Type': 'application/json',
                            'Content-Length': str(len(data)),
                            **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Nothing: NovaApi.asked has it."""
