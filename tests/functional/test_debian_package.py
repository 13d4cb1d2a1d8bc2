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

"""The Debian package, beside the distribution's own Ceilometer.

In a copy of this machine: what the distribution's agent publishes before the
package is installed, with it, and after it has been purged.
"""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import unittest

from testtools import content

from tests.functional import base
from tests.functional import published
from tests.functional import root
from tests import node
from tests.node import agent as polling
from tests.node import nova_api

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = 'python3-memstat-pollster'
#: Where a package may leave something; the rest is apt's and dpkg's own.
PLACES = ('/etc', '/opt', '/usr', '/var/lib/ceilometer', '/var/lib/systemd')

SET_UP = r"""
cp -a /etc/ceilometer /etc/ceilometer.before
cp etc/polling.yaml etc/pipeline.yaml /etc/ceilometer
mkdir -p /etc/ceilometer/ceilometer.conf.d
printf '[memstat]\nboot_grace = 77\n' \
    >/etc/ceilometer/ceilometer.conf.d/memstat.conf
"""
TAKE_BACK = """
rm -r /etc/ceilometer
mv /etc/ceilometer.before /etc/ceilometer
"""

SYSTEMCTL = """#!/bin/sh
echo "$*" >>/var/log/systemctl
"""


class TestDebianPackage(published.SharedGuestsTest):
    @classmethod
    def setUpClass(cls):
        if shutil.which('apt-get') is None:
            cls.missing(node.MissingTools(['Debian (apt-get)']))
        super().setUpClass()
        cls.root = root.Root()
        cls.addClassCleanup(cls.root.stop)
        try:
            cls.root.start()
        except node.MissingTools as error:
            cls.missing(error)
        cls.scratch = pathlib.Path(tempfile.mkdtemp(
            prefix='memstat-deb-', dir='/tmp'))
        cls.addClassCleanup(shutil.rmtree, cls.scratch)
        cls.nova = nova_api.NovaApi()
        cls.nova.start()
        cls.addClassCleanup(cls.nova.stop)
        cls.root.apt('update')
        cls.provide_user()
        cls.root.apt('install', 'ceilometer-agent-compute', 'lintian',
                     'systemd')
        cls.user = int(cls.root.run('id', '-u', 'ceilometer', timeout=30))
        cls.clone = cls.clone_as('one')
        # Where the set-up of the documentation is, the unit tests pass.
        cls.root.run('sh', '-ec', SET_UP, timeout=30, cwd=cls.clone)
        cls.said = cls.root.run('tools/build-deb', cwd=cls.clone,
                                timeout=600)
        cls.root.run('sh', '-ec', TAKE_BACK, timeout=30)
        cls.package, = cls.clone.glob('build/deb/*.deb')

    @staticmethod
    def missing(error):
        if base.must_run():
            raise error
        raise unittest.SkipTest(f'FUNCTIONAL TESTS DO NOT RUN HERE: {error}')

    @classmethod
    def provide_user(cls):
        """The copy's ceilometer is a user that the node's libvirtd knows.

        libvirtd refuses a client whose user or group has no name; it looks at
        this machine's, the package makes its own in the copy.
        """
        try:
            pwd.getpwnam('ceilometer')
        except KeyError:
            nobody = str(polling.UNPRIVILEGED)
            cls.root.run('groupadd', '--non-unique', '--gid', nobody,
                         'ceilometer', timeout=30)
            cls.root.run('useradd', '--non-unique', '--uid', nobody, '--gid',
                         'ceilometer', '--home-dir', '/var/lib/ceilometer',
                         '--shell', '/bin/false', 'ceilometer', timeout=30)

    @classmethod
    def make_guests(cls):
        cls.web = cls.new_linux('web')

    @classmethod
    def clone_as(cls, name, source=CHECKOUT):
        subprocess.run(['git', 'clone', '--quiet', source,
                        cls.scratch / name], check=True)
        return cls.scratch / name

    def agent(self):
        """The distribution's agent as its own user, and no other group's."""
        agent = polling.Agent(
            self.node.ro_uri, user=self.user, options={
                **self.nova.options(), 'memstat': {'boot_grace': 5}},
            command=self.root.command(
                'setpriv', '--reuid=ceilometer', '--regid=ceilometer',
                '--clear-groups', '--no-new-privs', '--pdeathsig=KILL',
                '--bounding-set=-all', '--inh-caps=-all',
                '/usr/bin/ceilometer-polling'))
        self.addCleanup(agent.close)
        self.addCleanup(lambda: self.addDetail(
            'agent.log', content.text_content(
                '\n'.join(agent.log()[-300:]))))
        agent.start()
        return agent

    def stock(self):
        """{meter: balloon_status} of a guest with Ceilometer alone."""
        agent = self.agent()
        samples = agent.wait_for(
            lambda cycles: cycles and 'memory.usage' in cycles[-1].get(
                self.web.uuid, {}) and cycles[-1][self.web.uuid],
            'samples of a guest that reports')
        agent.stop()
        return {name: sample.metadata.get('balloon_status')
                for name, sample in samples.items()}

    def files(self):
        """What there is in the copy."""
        return set(self.root.run(
            'find', *PLACES, timeout=60).splitlines())

    def test_published_with_it_and_nothing_left_after_it(self):
        self.web.wait_ready()
        before_files = self.files()
        before = self.stock()
        self.assertIsNone(before['memory.usage'])
        self.assertNotIn('memory.balloon.status', before)

        self.root.write('/usr/bin/systemctl', SYSTEMCTL, 0o755)
        self.root.run('mkdir', '-p', '/run/systemd/system', timeout=30)
        said = self.root.apt('install', str(self.package))
        self.assertIn('the running agent does not have this version yet',
                      said)
        agent = self.agent()
        samples = agent.wait_status(self.web.uuid, 'reporting')
        self.assertEqual(
            {name: 'reporting' for name in polling.METERS},
            {name: sample.metadata['balloon_status']
             for name, sample in samples.items()})
        self.assertEqual({self.user}, {
            uid for process in agent.processes() for uid in process.uids})
        agent.stop()

        said = self.root.apt('purge', PACKAGE)
        self.assertIn('the running agent has it until:', said)
        self.assertEqual(before_files, self.files())
        self.assertEqual(before, self.stock())
        self.assertEqual(
            {'--quiet is-active ceilometer-agent-compute'},
            set(self.root.run('cat', '/var/log/systemctl',
                              timeout=30).splitlines()))

    def test_the_unit_tests_ran_with_the_distributions_libraries(self):
        log = (self.clone / 'build/deb/build.log').read_text()
        self.assertRegex(log, r'\nRan [1-9]\d\d+ tests in ')

    def test_lintian_finds_nothing(self):
        changes, = self.clone.glob('build/deb/*.changes')
        self.assertEqual('', self.root.run(
            'lintian', '--allow-root', '--fail-on=error,warning',
            str(changes), timeout=120))

    def test_systemd_finds_nothing_wrong_with_the_drop_in(self):
        target = '/etc/systemd/system'
        name = 'ceilometer-agent-compute.service'
        self.root.run('cp', '-r', f'{self.clone}/etc/systemd/{name}.d',
                      target, timeout=30)
        self.addCleanup(self.root.run, 'rm', '-r', f'{target}/{name}.d',
                        timeout=30)
        self.assertEqual('', self.root.run(
            'systemd-analyze', 'verify', '--man=no', name, timeout=60))
        # 3.6 says systemd 252, 3.4 systemd 257; 9.2 without the drop-in.
        self.assertRegex(self.root.run(
            'systemd-analyze', 'security', '--offline=true', name,
            timeout=60), rf'{name}: 3\.\d OK')

    def test_it_holds_the_whole_of_the_python_package(self):
        listed = subprocess.run(
            ['git', 'ls-files', 'memstat_pollster'], cwd=self.clone,
            check=True, capture_output=True, text=True).stdout.split()
        prefix = './usr/lib/python3/dist-packages/'
        packed = [line.split()[-1] for line in self.root.run(
            'dpkg-deb', '--contents', str(self.package),
            timeout=60).splitlines()]
        self.assertEqual(
            sorted(listed),
            sorted(name.removeprefix(prefix) for name in packed
                   if name.startswith(prefix + 'memstat_pollster/')
                   and not name.endswith('/')))

    def test_the_same_commit_makes_the_same_bytes(self):
        """Elsewhere, later, with another umask and time zone."""
        other = self.clone_as('another-place', self.clone)
        os.chmod(other, 0o700)
        self.root.run(
            'sh', '-c', 'umask 077 && exec tools/build-deb', cwd=other,
            timeout=300, environment={
                'TZ': 'Asia/Tokyo', 'DEB_BUILD_OPTIONS': 'nocheck'})
        again, = other.glob('build/deb/*.deb')
        self.assertEqual(self.package.name, again.name)
        self.assertEqual(self.package.read_bytes(), again.read_bytes())
