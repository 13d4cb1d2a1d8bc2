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

"""No unit test sees the machine that it runs on."""

import contextlib
import glob
import locale
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile

from oslo_config import cfg
import testtools

from tests.unit import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: What a test would say of the machine if it saw it.
LOOK = """\
import locale, os, socket, sys
if sys.argv[1:] == ['hidden']:
    import tests.unit
print(sorted(set(os.environ) & {'COLUMNS', 'OS_USERNAME', 'NO_COLOR'}),
      os.environ.get('LC_ALL'), os.environ.get('HOME'), socket.gethostname(),
      locale.setlocale(locale.LC_CTYPE), os.path.exists('/etc/fstab'))
"""


class TestMachine(testtools.TestCase):

    def test_there_is_nothing_in_etc(self):
        for path in ('/etc/ceilometer/ceilometer.conf', '/etc/nova',
                     '/etc/hostname', '/usr/../etc/hostname', '/etc/../etc/os-'
                     'release', '/etc/shadow', b'/etc/hostname',
                     pathlib.Path('/etc/hostname')):
            self.assertRaises(FileNotFoundError, open, path)
            self.assertRaises(FileNotFoundError, os.open, path, os.O_RDONLY)
            self.assertRaises(FileNotFoundError, os.stat, path)
            self.assertRaises(FileNotFoundError, os.lstat, path)
            self.assertRaises(FileNotFoundError, os.listdir, path)
            self.assertRaises(FileNotFoundError, os.scandir, path)
            self.assertFalse(os.path.exists(path))
            self.assertFalse(os.access(path, os.F_OK))
        self.assertFalse(pathlib.Path('/etc/hostname').exists())
        self.assertEqual([], glob.glob('/etc/host*name'))

    def test_there_is_no_other_process_and_no_unit(self):
        with subprocess.Popen(
                [sys.executable, '-c', 'input()'],
                stdin=subprocess.PIPE) as child:
            seen = set()
            for path in pathlib.Path('/proc').glob('[0-9]*'):
                with contextlib.suppress(OSError):
                    (path / 'cmdline').read_bytes()
                    seen.add(int(path.name))
            child.communicate(b'\n')
        self.assertEqual({os.getpid(), child.pid}, seen)
        for path in ('/lib/systemd/system', '/usr/lib/systemd/system',
                     '/run/systemd/system', '/etc/systemd/system'):
            self.assertEqual([], glob.glob(f'{path}/*.service'))
        self.assertTrue(os.path.exists('/proc/self/stat'))

    def test_what_is_elsewhere_is_there(self):
        with tempfile.TemporaryDirectory() as directory:
            etc = pathlib.Path(directory) / 'etc'
            etc.mkdir()
            (etc / 'nova.conf').write_text('x')
            self.assertEqual(['nova.conf'], os.listdir(etc))
            self.assertEqual('x', (etc / 'nova.conf').read_text())
            descriptor = os.open(etc, os.O_RDONLY)
            self.addCleanup(os.close, descriptor)
            self.assertEqual(1, os.stat(
                'nova.conf', dir_fd=descriptor).st_size)
            self.assertEqual(['nova.conf'], os.listdir(descriptor))
        self.assertFalse(os.path.exists(etc))
        self.assertTrue(os.path.isdir('/etc'))

    def test_oslo_config_finds_no_file_of_a_service(self):
        for project, program in (('ceilometer', 'ceilometer-polling'),
                                 ('nova', 'nova-compute')):
            self.assertEqual([], cfg.find_config_files(project, program))
            self.assertEqual([], cfg.find_config_dirs(project, program))

    def test_the_environment(self):
        self.assertEqual([], [
            name for name in os.environ if name not in machine.SET
            and not name.startswith(machine.KEPT)])
        self.assertEqual(machine.SET, {
            name: os.environ[name] for name in machine.SET})

    def test_the_name(self):
        self.assertEqual([machine.NAME] * 3, [
            socket.gethostname(), os.uname().nodename, platform.node()])

    def test_the_locale(self):
        self.assertEqual('C.UTF-8', locale.setlocale(locale.LC_CTYPE))
        self.assertEqual('utf-8', locale.getpreferredencoding(False).lower())

    def test_before_any_test_module_is_imported(self):
        """A process that sees the machine, and one that runs unit tests."""
        said = [subprocess.run(
            [sys.executable, '-c', LOOK, *arguments], check=True, cwd=ROOT,
            capture_output=True, text=True, timeout=60, env={
                **os.environ, 'PYTHONPATH': os.pathsep.join(
                    filter(None, sys.path)),
                'COLUMNS': '42', 'OS_USERNAME': 'x', 'NO_COLOR': '1',
                'LC_ALL': 'C', 'HOME': '/root'}).stdout
            for arguments in ((), ('hidden',))]
        self.assertTrue(said[0].startswith(
            "['COLUMNS', 'NO_COLOR', 'OS_USERNAME'] C /root "), said)
        self.assertNotIn(machine.NAME, said[0])
        self.assertEqual(
            f"[] C.UTF-8 /nonexistent {machine.NAME} C.UTF-8 False\n",
            said[1])
