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

"""The node that the functional tests stand on is what they take it for."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from xml.etree import ElementTree

import testtools

from tests.functional import base
import tests.node as node
from tests.node import domain_xml
from tests.node.tools import libvirt

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

UNPRIVILEGED = """
import json, os, sys
import libvirt  # as root, who can read every interpreter's modules
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
read_only, read_write, name = sys.argv[1:]
domain = libvirt.openReadOnly(read_only).lookupByName(name)
try:
    libvirt.open(read_write)
except libvirt.libvirtError as error:
    refused = error.get_error_code()
else:
    refused = None
print(json.dumps({'uid': os.getuid(), 'refused': refused,
                  'unused': domain.memoryStats()['unused']}))
"""

LIVES_UNTIL_KILLED = """
import sys
from tests import node
compute = node.Node(sys.argv[1])
compute.start()
compute.scripted('orphan', attach=True)
print('running', flush=True)
sys.stdin.read()
"""


def commands_naming(text: str) -> list[str]:
    """The command lines of this machine's processes that contain `text`."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            command = path.read_bytes().replace(b'\0', b' ').decode(
                errors='replace')
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in command:
            found.append(command)
    return found


class TestLinuxGuest(base.FunctionalTest):
    """A guest with Linux's own balloon driver."""

    def test_statistics_equal_its_own_meminfo(self) -> None:
        guest = self.linux('web')
        shown = {'available': 'MemTotal', 'unused': 'MemFree',
                 'usable': 'MemAvailable', 'disk_caches': 'Cached'}

        def differences() -> dict[str, int] | None:
            own = guest.meminfo()
            told = guest.domain.memoryStats()
            off = {key: told[key] - own[name]
                   for key, name in shown.items()}
            settled = all(abs(kib) <= 256 for kib in off.values())
            return off if settled else None

        off = node.wait_for(differences, 60, 'statistics like meminfo', 0.5)
        self.assertEqual(0, off['available'])

    def test_without_driver_it_never_reports(self) -> None:
        guest = self.linux('cirros', cmdline='noballoon')
        told = guest.domain.memoryStats()
        self.assertEqual(0, told['last_update'])
        self.assertNotIn('available', told)
        guest.command('load', '^DRV loaded')
        node.wait_for(lambda: guest.domain.memoryStats()['last_update'], 60,
                      'first record after the driver was loaded')

    def test_console_survives_reboot_and_start(self) -> None:
        guest = self.linux('again')
        first = guest.qemu_pid
        total = guest.meminfo()['MemTotal']
        guest.command('reboot', '^REBOOTING')
        guest.wait_ready()
        self.assertEqual(total, guest.meminfo()['MemTotal'])
        guest.command('sh poweroff -f &', '^RC=0')
        node.wait_for(lambda: not guest.domain.isActive(), 60, 'shut-off')
        self.assertRaises(ProcessLookupError, lambda: guest.qemu_pid)
        guest.start()
        guest.wait_ready()
        self.assertEqual(total, guest.meminfo()['MemTotal'])
        self.assertNotEqual(first, guest.qemu_pid)

    def test_balloon_starts_inflated_below_the_maximum(self) -> None:
        guest = self.linux('small', mib=112, maximum_mib=160)
        node.wait_for(
            lambda: guest.domain.memoryStats()['actual'] == 112 * 1024, 60,
            'inflated balloon')
        self.assertEqual(160 * 1024, guest.domain.maxMemory())


class TestScriptedGuest(base.FunctionalTest):
    """A guest that reports what the test says."""

    def test_every_number_arrives_in_its_field(self) -> None:
        guest = self.scripted('exact', attach=True)
        guest.driver.push(node.linux_stats(
            500_003, 300_007, avail_kib=400_009, caches_kib=50_021,
            swap_in_kib=11, swap_out_kib=23))
        told = guest.domain.memoryStats()
        self.assertGreater(told.pop('last_update'), 0)
        self.assertGreater(told.pop('rss'), 0)
        self.assertEqual(
            {'actual': 524_288, 'available': 500_003, 'unused': 300_007,
             'usable': 400_009, 'disk_caches': 50_021, 'swap_in': 11,
             'swap_out': 23, 'major_fault': 0, 'minor_fault': 1}, told)

    def test_windows_without_service_has_a_time_and_no_number(self) -> None:
        guest = self.scripted('windows', attach=True)
        guest.driver.push(node.windows_without_service())
        told = guest.domain.memoryStats()
        self.assertEqual({'actual', 'last_update', 'rss'}, set(told))
        self.assertGreater(told['last_update'], 0)

    def test_driver_without_statistics_queue_never_reports(self) -> None:
        guest = self.scripted('freebsd')
        guest.driver.attach(features=0)
        self.assertEqual(0, guest.domain.memoryStats()['last_update'])

    def test_guest_may_lie_about_its_balloon(self) -> None:
        guest = self.scripted('liar', mib=640, attach=True)
        guest.driver.set_actual(4096)  # 16 MiB
        self.assertEqual((640 - 16) * 1024,
                         guest.domain.memoryStats()['actual'])

    def test_polls_are_answered_past_a_frozen_guest(self) -> None:
        frozen = self.scripted('frozen', attach=True)
        lively = self.scripted('lively', attach=True)
        for guest in (frozen, lively):
            guest.driver.push(node.linux_stats(700_001, 300_007, 400_009))
        self.node.answer()
        frozen.freeze()
        before = lively.domain.memoryStats()['last_update']
        node.wait_for(
            lambda: lively.domain.memoryStats()['last_update'] > before + 2,
            60, 'answers of the guest that is not frozen')
        frozen.thaw()
        lively.driver.answers = False
        silent = lively.domain.memoryStats()['last_update']
        node.wait_for(
            lambda: frozen.domain.memoryStats()['last_update'] > silent + 2,
            60, 'answers of the thawed guest')
        self.assertEqual(silent, lively.domain.memoryStats()['last_update'])

    def test_what_a_frozen_guest_was_told_holds_when_it_thaws(self) -> None:
        guest = self.scripted('late', attach=True)
        guest.driver.push(node.linux_stats(700_001, 300_007))
        guest.freeze()
        self.assertRaises(TimeoutError, guest.driver.push,
                          node.linux_stats(700_001, 200_003), timeout=2.0)
        guest.thaw()
        node.wait_for(
            lambda: guest.domain.memoryStats()['unused'] == 200_003, 60,
            'the record of the time when it was frozen')

    def test_frozen_guest_is_destroyed(self) -> None:
        guest = self.scripted('doomed', attach=True)
        guest.freeze()
        guest.destroy()
        self.assertNotIn(guest.name, self.node.guests)
        self.assertRaises(libvirt.libvirtError,
                          self.node.connection.lookupByName, guest.name)

    def test_restarted_guest_has_a_new_driver(self) -> None:
        guest = self.scripted('twice', attach=True)
        guest.domain.destroy()
        guest.start()
        self.assertFalse(guest.driver.attached)
        guest.driver.attach()
        guest.driver.push(node.linux_stats(700_001, 300_007))
        self.assertEqual(300_007, guest.domain.memoryStats()['unused'])


class TestDomains(base.FunctionalTest):
    """The XML is Nova's where the plugin looks."""

    def balloon(self, guest: node.Guest) -> dict[str, str | None]:
        tree = ElementTree.fromstring(guest.domain.XMLDesc())
        element = tree.find('devices/memballoon')
        stats = element.find('stats')
        return {'model': element.get('model'),
                'autodeflate': element.get('autodeflate'),
                'period': None if stats is None else stats.get('period')}

    def test_balloon_as_nova_writes_it(self) -> None:
        self.assertEqual(
            {'model': 'virtio', 'autodeflate': 'on', 'period': '7'},
            self.balloon(self.scripted('on', period=7)))

    def test_balloon_of_nova_with_statistics_off(self) -> None:
        guest = self.scripted('off', model='none')
        self.assertIsNone(guest.driver)
        self.assertEqual(
            {'model': 'none', 'autodeflate': None, 'period': None},
            self.balloon(guest))

    def test_balloon_that_libvirt_adds_by_itself(self) -> None:
        guest = self.scripted('old', model=None, attach=True)
        self.assertEqual(
            {'model': 'virtio', 'autodeflate': None, 'period': None},
            self.balloon(guest))

    def metadata(self, guest: node.Guest) -> ElementTree.Element | None:
        tree = ElementTree.fromstring(guest.domain.XMLDesc())
        return tree.find('metadata/{%s}instance' % domain_xml.NOVA)

    def test_display_name_may_be_anything(self) -> None:
        name = 'a <b> & "c"\n\u00e9' * 1000
        guest = self.scripted('named', display_name=name)
        self.assertEqual(name, guest.display_name)
        self.assertEqual(name, self.metadata(guest).find(
            '{%s}name' % domain_xml.NOVA).text)

    def test_image_properties_and_flavor(self) -> None:
        guest = self.scripted('image', properties={'os_type': 'windows'})
        tree = self.metadata(guest)
        names = {'nova': domain_xml.NOVA}
        flavor = tree.find('nova:flavor', names)
        found, = tree.findall('nova:image/nova:properties/nova:property',
                              names)
        self.assertEqual(('os_type', 'windows'),
                         (found.get('name'), found.text))
        self.assertEqual(('42', '512'),
                         (flavor.get('id'),
                          flavor.find('nova:memory', names).text))

    def test_flavor_of_older_nova_has_no_id(self) -> None:
        flavor = self.metadata(self.scripted('old', flavor_id=None)).find(
            '{%s}flavor' % domain_xml.NOVA)
        self.assertEqual({'name': 'm1.lab'}, flavor.attrib)
        self.assertIsNone(flavor.find('{%s}extraSpecs' % domain_xml.NOVA))

    def test_guest_that_nova_did_not_make(self) -> None:
        guest = self.scripted('foreign', metadata=False)
        self.assertIsNone(self.metadata(guest))


class TestReadOnly(base.FunctionalTest):
    """The read-only socket, which an agent uses."""

    def test_period_cannot_be_set(self) -> None:
        guest = self.scripted('fixed', period=5)
        connection = libvirt.openReadOnly(self.node.ro_uri)
        self.addCleanup(connection.close)
        domain = connection.lookupByName(guest.name)
        error = self.assertRaises(libvirt.libvirtError,
                                  domain.setMemoryStatsPeriod, 1)
        self.assertEqual(libvirt.VIR_ERR_OPERATION_DENIED,
                         error.get_error_code())
        self.assertEqual(29, error.get_error_code())

    def test_unprivileged_user_may_read_and_nothing_else(self) -> None:
        guest = self.scripted('public', attach=True)
        guest.driver.push(node.linux_stats(700_001, 300_007))
        done = subprocess.run(
            [sys.executable, '-c', UNPRIVILEGED, self.node.ro_uri,
             self.node.rw_uri, guest.name],
            capture_output=True, text=True, timeout=60)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(
            {'uid': 65534, 'unused': 300_007,
             'refused': libvirt.VIR_ERR_SYSTEM_ERROR},
            json.loads(done.stdout))


class TestDaemon(base.FunctionalTest):
    """Guests outlive libvirtd, and nothing outlives the test's process."""

    def check_guest_outlives(self, restart: str) -> None:
        guest = self.scripted('stays', attach=True)
        qemu, daemon = guest.qemu_pid, self.node.daemon_pid
        if restart == 'restart':
            self.node.restart_daemon()
        else:
            self.node.kill_daemon()
            self.assertRaises(ProcessLookupError,
                              lambda: self.node.daemon_pid)
            self.node.start_daemon()
        guest.driver.push(node.linux_stats(700_001, 123_457))
        self.assertEqual(123_457, guest.domain.memoryStats()['unused'])
        self.assertEqual(qemu, guest.qemu_pid)
        self.assertNotEqual(daemon, self.node.daemon_pid)

    def test_guest_outlives_a_restart(self) -> None:
        self.check_guest_outlives('restart')

    def test_guest_outlives_a_killed_daemon(self) -> None:
        self.check_guest_outlives('kill')

    def test_frozen_daemon_answers_when_it_thaws(self) -> None:
        connection = libvirt.openReadOnly(self.node.ro_uri)
        self.addCleanup(connection.close)
        answered = threading.Event()

        def ask() -> None:
            connection.listAllDomains()
            answered.set()

        self.node.freeze_daemon()
        asking = threading.Thread(target=ask, daemon=True)
        try:
            asking.start()
            self.assertFalse(answered.wait(0.5))
        finally:
            self.node.thaw_daemon()
        asking.join(60)
        self.assertTrue(answered.is_set())

    def test_sigkill_leaves_no_process(self) -> None:
        directory = tempfile.mkdtemp(prefix='memstat-node-', dir='/tmp')
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        child = subprocess.Popen(
            [sys.executable, '-c', LIVES_UNTIL_KILLED, directory],
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(child.stdin.close)
        self.addCleanup(child.stdout.close)
        try:
            self.assertEqual(b'running\n', child.stdout.readline())
            qemus = [command for command in commands_naming(directory)
                     if 'guest=orphan' in command]
            self.assertEqual(1, len(qemus))
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        node.wait_for(lambda: not commands_naming(directory), 60,
                      'end of all that ran in %s' % directory)

    def test_stop_leaves_nothing_and_may_be_repeated(self) -> None:
        compute = node.Node()
        compute.start()
        self.addCleanup(compute.stop)
        directory = compute.directory
        compute.scripted('gone', attach=True).freeze()
        compute.stop()
        compute.stop()
        self.assertFalse(directory.exists())
        self.assertEqual([], commands_naming(str(directory)))


class TestMissingTools(testtools.TestCase):
    """What is missing is told by name, with the packages that bring it."""

    def test_message_names_executables_and_packages(self) -> None:
        error = node.MissingTools(['libvirtd', 'cpio'],
                                  ['libvirt-daemon', 'cpio'])
        self.assertEqual(
            'a compute node for tests needs: libvirtd, cpio; on Debian: '
            'apt-get install --no-install-recommends cpio libvirt-daemon',
            str(error))
