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

"""How a service is started, by what there is of it below a directory."""

import os
import pathlib
import subprocess
import sys

import fixtures
import testtools

from memstat_pollster.config import launch
from tests.unit import fakes

FILE, DIRECTORY = launch.FILE, launch.DIRECTORY
NOVA_CONF, COMPUTE_CONF = '/etc/nova/nova.conf', '/etc/nova/nova-compute.conf'
BOTH = (FILE, NOVA_CONF), (FILE, COMPUTE_CONF)

UNIT = """\
[Unit]
Description=OpenStack Nova Compute
ExecStart=/bin/not this one

[Service]
# ExecStart=/usr/bin/nova-compute --config-file /no
User=nova
ExecStart={}
Restart=on-failure
"""

#: What of Debian's init scripts counts.
SCRIPT = """\
#!/bin/sh
# nova-compute --config-file /not/this
NAME=nova-compute
DAEMON_ARGS=""
if [ -f '/etc/nova/nova-compute.conf' ] ; then
        DAEMON_ARGS="--config-file=/etc/nova/nova-compute.conf"
fi
DAEMON_ARGS="--config-file=${CONFIG_FILE} ${DAEMON_ARGS}"
exec $DAEMON $DAEMON_ARGS
"""


class LaunchTest(testtools.TestCase):

    service = launch.NOVA_COMPUTE

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def process(self, pid, *arguments, comm='nova-compute'):
        self.write(f'proc/{pid}/comm', f'{comm}\n')
        return self.write(f'proc/{pid}/cmdline', ''.join(
            f'{each}\0' for each in arguments))

    def unit(self, command, directory='lib/systemd/system',
             name='nova-compute.service'):
        return self.write(f'{directory}/{name}', UNIT.format(command))

    def find(self):
        return launch.find(self.service, self.root)


class TestProcesses(LaunchTest):

    def test_none_is_seen(self):
        self.assertIsNone(self.find())

    def test_the_arguments_in_their_order(self):
        for arguments, expected in (
                ((), ()),
                (('--verbose',), ()),
                ((FILE, NOVA_CONF, f'{FILE}={COMPUTE_CONF}'), BOTH),
                ((f'{DIRECTORY}=/d', FILE, NOVA_CONF),
                 ((DIRECTORY, '/d'), (FILE, NOVA_CONF))),
                ((FILE,), ((FILE, None),)),
                (('--config-files', '/x'), ())):
            self.process(7, '/usr/bin/nova-compute', *arguments)
            self.assertEqual(expected, self.find())

    def test_how_its_program_is_called(self):
        for arguments, comm in (
                (('nova-compute',), 'nova-compute'),
                (('/usr/bin/python3', '/usr/bin/nova-compute'), 'python3'),
                (('/usr/bin/python3.13', '-sE', '/opt/nova/bin/nova-compute'),
                 'nova-compute')):
            self.process(7, *arguments, FILE, NOVA_CONF, comm=comm)
            self.assertEqual(BOTH[:1], self.find())

    def test_other_processes(self):
        for number, (arguments, comm) in enumerate((
                (('vi', NOVA_CONF, '/usr/bin/nova-compute'), 'vi'),
                (('sudo', 'nova-compute', FILE, '/x'), 'sudo'),
                (('python3', '/usr/bin/nova-api', FILE, '/x'), 'python3'),
                (('python3', 'x.py', 'nova-compute', FILE, '/x'), 'python3'),
                (('nova-compute', FILE, '/x'), 'qemu-system-x86'),
                ((), 'kworker/0:1'), ((), 'python3'))):
            self.process(number + 2, *arguments, comm=comm)
        self.assertIsNone(self.find())

    def test_a_title_in_place_of_the_arguments(self):
        """As cotyledon and setproctitle make it."""
        self.process(7, 'nova-compute: master process [/usr/bin/nova-compute '
                     f'{FILE} {NOVA_CONF} {FILE}={COMPUTE_CONF}]', '', '')
        self.process(8, 'nova-compute: Compute worker(0)')
        self.assertEqual(BOTH, self.find())

    def test_several(self):
        """Those that agree are one; of those that do not nothing is known."""
        self.process(7, 'nova-compute', FILE, NOVA_CONF)
        self.process(8, 'nova-compute', FILE, NOVA_CONF)
        self.assertEqual(BOTH[:1], self.find())
        self.process(9, 'nova-compute', DIRECTORY, '/d')
        self.assertIsNone(self.find())

    def test_anybody_can_call_a_process_so(self):
        if os.geteuid() != 0:
            self.skipTest('only root makes a process of another user')
        os.chown(self.process(7, 'nova-compute', DIRECTORY, '/home/x').parent,
                 43210, 43210)
        self.assertIsNone(self.find())

    def test_one_that_has_ended_meanwhile(self):
        self.process(7, 'nova-compute').unlink()
        self.assertIsNone(self.find())

    def test_it_counts_more_than_its_unit(self):
        self.unit(f'/usr/bin/nova-compute {FILE} /old')
        self.process(7, 'nova-compute', FILE, NOVA_CONF)
        self.assertEqual(BOTH[:1], self.find())


class TestThisMachine(LaunchTest):

    def test_a_process_that_runs(self):
        program = self.write('bin/nova-compute', 'input()\n')
        with subprocess.Popen(
                [sys.executable, program, FILE, NOVA_CONF,
                 f'{FILE}={COMPUTE_CONF}'], stdin=subprocess.PIPE) as child:
            self.addCleanup(child.kill)
            fakes.wait_until(
                lambda: launch.find(self.service) is not None, 'a process')
            self.assertEqual(BOTH, launch.find(self.service))
            child.communicate(b'\n')
        self.assertIsNone(launch.find(self.service))


class TestTheAgent(LaunchTest):

    service = launch.COMPUTE_AGENT

    def test_another_agent_is_another_service(self):
        conf = '/etc/ceilometer/ceilometer.conf'
        self.process(7, '/usr/bin/python3', '/usr/bin/ceilometer-polling',
                     FILE, '/x', '--polling-namespaces', 'central',
                     comm='ceilometer-poll')
        self.assertIsNone(self.find())
        self.process(8, '/usr/bin/python3', '/usr/bin/ceilometer-polling',
                     FILE, conf, '--polling-namespaces', 'compute',
                     comm='ceilometer-poll')
        self.assertEqual(((FILE, conf),), self.find())


class TestUnits(LaunchTest):

    def test_the_command_of_one(self):
        for command, expected in (
                ('/usr/bin/nova-compute', ()),
                (f'/usr/bin/nova-compute {FILE} {NOVA_CONF}', BOTH[:1]),
                (f'-@/usr/bin/nova-compute \\\n  {FILE} "{NOVA_CONF}" \\\n'
                 f'  {FILE}={COMPUTE_CONF}', BOTH),
                ('/usr/bin/something-else', None),
                ("/usr/bin/nova-compute it's", ())):
            self.unit(command)
            self.assertEqual(expected, self.find())

    def test_names_of_distributions(self):
        for name in ('nova-compute-kvm.service', 'devstack@n-cpu.service',
                     'openstack-nova-compute.service'):
            path = self.unit(f'/usr/bin/nova-compute {FILE} {NOVA_CONF}',
                             name=name)
            self.assertEqual(BOTH[:1], self.find())
            path.unlink()

    def test_the_administrators_hides_the_distributions(self):
        for number, directory in enumerate((
                'lib/systemd/system', 'usr/lib/systemd/system',
                'run/systemd/system', 'etc/systemd/system')):
            self.unit(f'/usr/bin/nova-compute {FILE} /{number}', directory)
            self.assertEqual(((FILE, f'/{number}'),), self.find())

    def test_one_that_is_masked(self):
        self.unit('/usr/bin/nova-compute')
        path = self.root / 'etc/systemd/system/nova-compute.service'
        path.parent.mkdir(parents=True)
        path.symlink_to('/dev/null')
        self.assertIsNone(self.find())

    def test_drop_ins(self):
        """In the order of their names; an empty value takes back."""
        self.unit('/usr/bin/nova-compute')
        self.write('etc/systemd/system/nova-compute.service.d/20.conf',
                   '[Service]\nExecStart=\n'
                   f'ExecStart=/usr/bin/nova-compute {FILE} {NOVA_CONF}\n')
        self.write('lib/systemd/system/nova-compute.service.d/10.conf',
                   '[Service]\nExecStart=\nExecStart=/usr/bin/nova-compute\n')
        self.assertEqual(BOTH[:1], self.find())
        self.write('etc/systemd/system/nova-compute.service.d/30.conf',
                   '[Service]\nExecStart=\nExecStart=/usr/bin/nova-compute '
                   f'{DIRECTORY} /d\n')
        self.assertEqual(((DIRECTORY, '/d'),), self.find())
        # Of one name in two directories the administrator's counts.
        self.write('lib/systemd/system/nova-compute.service.d/30.conf',
                   '[Service]\nExecStart=\nExecStart=/usr/bin/nova-compute '
                   f'{DIRECTORY} /e\n')
        self.assertEqual(((DIRECTORY, '/d'),), self.find())

    def test_one_that_is_no_text(self):
        self.unit('/usr/bin/nova-compute').write_bytes(b'\xff\x00[Service]\n')
        self.assertIsNone(self.find())


class TestScripts(LaunchTest):

    DEBIAN = (FILE, COMPUTE_CONF), (FILE, None)

    def test_one_that_a_unit_starts(self):
        self.unit('/etc/init.d/nova-compute systemd-start')
        self.assertIsNone(self.find())
        self.write('etc/init.d/nova-compute', SCRIPT)
        self.assertEqual(self.DEBIAN, self.find())

    def test_one_without_a_unit(self):
        self.write('etc/init.d/nova-compute', SCRIPT)
        self.assertEqual(self.DEBIAN, self.find())

    def test_one_that_names_no_file(self):
        self.write('etc/init.d/nova-compute', '#!/bin/sh\nnova-compute\n')
        self.assertEqual((), self.find())


class TestFinder(LaunchTest):

    def test_what_changes_is_seen(self):
        finder = launch.Finder(self.service, self.root, 30)
        self.assertIsNone(finder.get())
        self.process(7, 'nova-compute', FILE, NOVA_CONF)
        self.assertEqual(BOTH[:1], finder.get())
        self.process(7, 'nova-compute')
        self.assertEqual((), finder.get())

    def test_a_process_for_which_the_kernel_does_not_answer(self):
        """What was found before holds, and one thread asks."""
        gate = fakes.Monitor()
        gate.freeze()
        self.addCleanup(gate.thaw)
        asked = []

        def find(*_arguments):
            asked.append(gate.ask())
            return ()

        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.config.launch.find', find))
        held = launch.Finder(self.service, self.root, 0)
        self.assertEqual([None] * 3, [held.get() for _ in range(3)])
        fakes.wait_until(lambda: gate.calls, 'a question')
        self.assertEqual(1, gate.calls)
        gate.thaw()
        fakes.wait_until(lambda: held.get() == (), 'an answer')
        self.assertEqual({True}, set(asked))


class TestOrder(testtools.TestCase):

    FILES = NOVA_CONF, COMPUTE_CONF
    DEFAULT = ((DIRECTORY, f'{NOVA_CONF}.d'), (DIRECTORY, f'{COMPUTE_CONF}.d'))

    def test_of_every_kind_of_words(self):
        d, e = (DIRECTORY, '/d'), (DIRECTORY, '/e')
        for words, expected in (
                ((), (*BOTH, *self.DEFAULT)),
                (BOTH, (*self.DEFAULT, *BOTH)),
                (BOTH[::-1], (*self.DEFAULT, *BOTH[::-1])),
                ((BOTH[1], (FILE, None)), (*self.DEFAULT, *BOTH)),
                (((FILE, '/other'),), (*self.DEFAULT, *BOTH)),
                ((d, e), (*BOTH, d, e)),
                ((BOTH[0], d, BOTH[1]), (BOTH[0], d, BOTH[1])),
                ((d, BOTH[0]), (BOTH[1], d, BOTH[0])),
                (((DIRECTORY, None),), (*BOTH, *self.DEFAULT))):
            self.assertEqual(list(expected), launch.order(self.FILES, words),
                             words)
