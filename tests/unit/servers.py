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

"""Services that answer HTTP on loopback, as a test says."""

import http.server
import json
import threading

import fixtures


class _Handler(http.server.BaseHTTPRequestHandler):

    def _answer(self):
        length = int(self.headers.get('Content-Length') or 0)
        self.body = self.rfile.read(length)
        self.server.requests.append((self.command, self.path))
        answer = self.server.answer(self)
        if answer is None:
            # Until the test is over, or the client has gone.
            self.server.over.wait(60)
            return
        code, body = answer
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(code)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PATCH = do_POST = _answer

    def log_message(self, format, *args):
        """Nothing on stderr."""


class Http(fixtures.Fixture):
    """A service on a port of its own.

    :param answer: of a request (path, command, body), its answer: status and
        what is sent as JSON, or bytes as they are; None: it hangs
    :ivar requests: (method, path) of all that came
    """

    def __init__(self, answer):
        self._answer = answer

    def _setUp(self):
        # Debian builds packages with a proxy that is not there.
        for name in ('no_proxy', 'NO_PROXY'):
            self.useFixture(fixtures.EnvironmentVariable(name, '127.0.0.1'))
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
        server.daemon_threads = True
        server.block_on_close = False
        server.answer, server.requests = self._answer, []
        server.over = threading.Event()
        self.requests = server.requests
        self.url = f'http://127.0.0.1:{server.server_address[1]}'
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.addCleanup(server.over.set)

    @property
    def credentials(self):
        """Of ceilometer.conf: it is a Gnocchi without Keystone."""
        return {'auth_type': 'gnocchi-basic', 'user': 'ceilometer',
                'endpoint': self.url}


class ResourceTypes:
    """Gnocchi's resource type instance.

    :ivar attributes: by name
    """

    def __init__(self):
        self.attributes = {}

    def answer(self, request):
        if request.path != '/v1/resource_type/instance':
            return 404, {'message': request.path}
        if request.command == 'PATCH':
            for operation in json.loads(request.body):
                self.attributes[operation['path'].rpartition('/')[2]] = (
                    operation['value'])
        return 200, {'name': 'instance', 'state': 'active',
                     'attributes': self.attributes}
