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

"""What "tools/test --host" says where it cannot make a host.

Each time in a copy of tools, so that nobody else's build is touched.
"""

import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import testtools

from tests import node

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


class TestHosts(testtools.TestCase):

    def setUp(self):
        super().setUp()
        # mkdtemp's own is closed to others, who run it in a test, too.
        self.scratch = tempfile.mkdtemp(prefix='memstat-hosts-')
        self.addCleanup(shutil.rmtree, self.scratch)
        os.chmod(self.scratch, 0o755)
        self.checkout = pathlib.Path(self.scratch, 'checkout')
        self.checkout.mkdir()
        shutil.copytree(CHECKOUT / 'tools', self.checkout / 'tools')
        for name in ('bindep.txt', 'setup.cfg'):
            shutil.copy(CHECKOUT / name, self.checkout)

    def run_host(self, *before, suite='trixie', **environment):
        """The exit status and what is said, of a host that cannot be."""
        done = subprocess.run(
            [*before, 'tools/test', '--host', suite, '--unit'],
            cwd=self.checkout, capture_output=True, text=True, timeout=300,
            env={**os.environ, **environment})
        return done.returncode, done.stdout, done.stderr.splitlines()

    def assert_nothing_is_left(self):
        self.assertNotIn(self.scratch,
                         pathlib.Path('/proc/self/mounts').read_text())
        self.assertEqual(['trixie.lock'], sorted(
            path.name for path in
            (self.checkout / 'build' / 'hosts').iterdir()))

    def test_a_suite_that_is_unknown(self):
        self.assertEqual(
            (2, '', ['== --host buzz: the hosts are bookworm trixie forky']),
            self.run_host(suite='buzz'))

    def test_without_root(self):
        self.assertEqual(
            (1, '', ['== --host takes root: mmdebstrap, mounts and '
                     'namespaces']),
            self.run_host('setpriv', '--reuid=65534', '--regid=65534',
                          '--clear-groups'))

    def test_a_host_in_use(self):
        hosts = self.checkout / 'build' / 'hosts'
        hosts.mkdir(parents=True)
        with open(hosts / 'trixie.lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            status, said, log = self.run_host()
        self.assertEqual((1, '0 passed, 0 failed\n'), (status, said))
        self.assertIn('== host trixie: build/hosts/trixie is in use by '
                      'another run', log)
        self.assert_nothing_is_left()

    def test_no_mirror(self):
        status, said, log = self.run_host(
            MEMSTAT_MIRROR='http://127.0.0.1:9/debian')
        self.assertEqual((1, '0 passed, 0 failed\n'), (status, said))
        self.assertEqual(1, len([line for line in log if line.startswith(
            '== mmdebstrap could not make trixie: E:')]), log)
        self.assert_nothing_is_left()

    def test_no_space(self):
        """The build directory is a small file system of its own."""
        (self.checkout / 'build').mkdir()
        status, said, log = self.run_host(
            'unshare', '--mount', '--propagation', 'private', 'sh', '-c',
            'mount -t tmpfs -o size=16m tmpfs build && exec "$@"', 'sh')
        self.assertEqual((1, '0 passed, 0 failed\n'), (status, said))
        self.assertIn('== no space: trixie takes 8192 MiB below build/hosts, '
                      '16 MiB are free', log)

    def test_an_interrupt_leaves_nothing(self):
        """While mmdebstrap works, which has mounts of its own."""
        process = subprocess.Popen(
            ['tools/test', '--host', 'trixie', '--unit'], cwd=self.checkout,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, 'MEMSTAT_MIRROR': 'http://192.0.2.1/debian'})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        log = self.checkout / 'build' / 'log' / 'mmdebstrap.log'
        node.wait_for(lambda: log.exists() and 'apt-get update' in
                      log.read_text(), 60, 'mmdebstrap')
        process.send_signal(signal.SIGTERM)
        self.assertEqual(143, process.wait(90))
        self.assert_nothing_is_left()
