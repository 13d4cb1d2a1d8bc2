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

"""The commands of the pages, in a copy of this machine.

Each block that is not marked is run as it stands, page after page, beside the
distribution's agent and a libvirtd with guests.  What a page leaves to its
reader (the name of a guest, the path of a virtual environment) is put in; and
systemd does not run in a copy, so its commands only write down what they were
asked for.
"""

import pathlib
import pwd
import shutil
import subprocess
import tempfile
import unittest

from tests.functional import base
from tests.functional import published
from tests.functional import root
from tests import node
from tests.node import agent as polling
from tests import page_commands

#: In the order of somebody who installs the plugin and then uses it.
PAGES = ('README', 'quickstart', 'install', 'doctor', 'command', 'report',
         'guests', 'security', 'troubleshooting')

#: Debian's package and this are two ways to the same Python: from Debian 13
#: on pip does not put the one in the place of the other.
OTHER_WAY = 'pip install --break-system-packages'

#: The way back is at the end of a page, which others need the plugin after.
AT_LAST = 'pip uninstall'

STUB = """#!/bin/sh
echo "$0 $*" >>/var/log/systemd-stubs
"""

ENVIRONMENT = {'DEB_BUILD_OPTIONS': 'nocheck', 'SHELL': '/bin/bash'}

#: What begins so says with its exit status 1 what it found.
FINDS = ('memstat-pollster ', 'sudo -u ceilometer memstat-pollster ',
         'sudo -u ceilometer head ', 'grep ')

LOG = '/var/log/ceilometer/ceilometer-agent-compute.log'


class TestCommands(published.SharedGuestsTest):

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
            prefix='memstat-pages-', dir='/tmp'))
        cls.addClassCleanup(shutil.rmtree, cls.scratch)
        cls.root.apt('update')
        cls.provide_user()
        cls.root.apt('install', 'acl', 'ceilometer-agent-compute',
                     'libvirt-clients', 'procps', 'python3-pip',
                     'python3-venv', 'sudo')
        cls.clone = cls.scratch / 'clone'
        subprocess.run(['git', 'clone', '--quiet', page_commands.CHECKOUT,
                        cls.clone], check=True)
        for name in ('systemctl', 'journalctl', 'timedatectl'):
            cls.root.write(f'/usr/bin/{name}', STUB, 0o755)
        # libvirt is where the pages have it, and what they name is there.
        socket = cls.node.socket_ro
        cls.sh('mkdir -p /run/libvirt /etc/nova /etc/bash_completion.d '
               f'&& ln -s {socket} /run/libvirt/libvirt-sock-ro '
               f'&& ln -s {socket.with_name("libvirt-sock")} '
               '/run/libvirt/libvirt-sock '
               "&& echo '[libvirt]' >/etc/nova/nova.conf "
               '&& chmod 600 /etc/nova/nova.conf '
               f'&& mkdir -p /var/log/ceilometer && touch {LOG} '
               '&& python3 -m venv --system-site-packages /opt/agent')

    @staticmethod
    def missing(error):
        if base.must_run():
            raise error
        raise unittest.SkipTest(f'FUNCTIONAL TESTS DO NOT RUN HERE: {error}')

    @classmethod
    def provide_user(cls):
        """The copy's ceilometer is a user that the node's libvirtd knows."""
        try:
            pwd.getpwnam('ceilometer')
        except KeyError:
            nobody = str(polling.UNPRIVILEGED)
            cls.sh(f'groupadd -o -g {nobody} ceilometer && useradd -o '
                   f'-u {nobody} -g ceilometer -d /var/lib/ceilometer '
                   '-s /bin/false ceilometer')

    @classmethod
    def make_guests(cls):
        record = published.mib(480, 200, 300, 120)
        cls.guest = [cls.new_scripted(name, record, display_name=name)
                     for name in ('web', 'busy', 'hung')][0]

    @classmethod
    def sh(cls, command, timeout=60):
        return cls.root.run('bash', '-c', command, timeout=timeout)

    def completed(self, command):
        """A page's command for this node."""
        name = self.guest.domain.name()
        for placeholder, value in (
                ('/path/to/venv', '/opt/agent'), ('GUEST', name),
                ('instance-0000002a', name),
                ('./python3-memstat-pollster_1.0.0_all.deb',
                 './build/deb/python3-memstat-pollster_*_all.deb')):
            command = command.replace(placeholder, value)
        return command

    def run_block(self, block):
        """What is wrong with a block's commands."""
        for command in block.commands:
            command = self.completed(command)
            other_way = OTHER_WAY in command
            if other_way:
                self.root.apt('remove', 'python3-memstat-pollster')
            # The copy has no terminal, whose user would say yes; and it has
            # no agent, but other tests have, whom the command would follow.
            said = self.root.run(
                'unshare', '--pid', '--fork', '--mount-proc',
                'bash', '-c', f'yes | ({command}\n); echo "status $?"',
                timeout=540, cwd=self.clone, environment=ENVIRONMENT)
            if other_way:
                self.sh('apt-get --yes install '
                        f'{self.clone}/build/deb/*_all.deb', timeout=540)
            status = int(said.rpartition('status ')[2])
            found = command.startswith(FINDS) or '| grep' in command
            if status not in ((0, 1) if found else (0,)) or (
                    'Traceback' in said or 'usage:' in said):
                yield f'{block.place}: {command}: {said[-3000:]}'

    def test_every_block(self):
        blocks = [
            block for name in PAGES
            for block in page_commands.blocks(
                {page.stem: page for page in page_commands.pages()}[name])
            if block.elsewhere is None]
        blocks.sort(key=lambda block: AT_LAST in ' '.join(block.commands))
        wrong = [each for block in blocks for each in self.run_block(block)]
        self.assertEqual([], wrong)

        with self.subTest('setfacl lets in, and no group does'):
            self.sh('sudo -u ceilometer head -c0 /etc/nova/nova.conf')
            self.assertNotIn('root', self.sh('id -nG ceilometer').split())
        with self.subTest('pip has taken back what it installed'):
            # What is left is Debian's package.
            self.assertEqual(
                '/usr/bin/memstat-pollster\n',
                self.sh('ls /usr/bin/memstat-pollster '
                        '/usr/local/bin/memstat-pollster '
                        '/opt/agent/bin/memstat-pollster 2>/dev/null '
                        '|| true'))
        with self.subTest('every restart is of a unit that there is'):
            asked = self.sh('cat /var/log/systemd-stubs').splitlines()
            self.assertIn('/usr/bin/systemctl restart '
                          'ceilometer-agent-compute', asked)
            self.sh('ls /lib/systemd/system/ceilometer-agent-compute.service')
