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

"""What is said of each status, by operating system: the whole table."""

import re

import testtools

from memstat_pollster.model import domain
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import status
from memstat_pollster.model import steps
from tests.unit.model import test_status

UUID = test_status.UUID
EVERY_OS = tuple(each.value for each in domain.GuestOS)

CONSOLE = (f'see that the guest is alive: its console, "virsh screenshot '
           f'{UUID}", or a ping')
HARD_REBOOT = (f'openstack server reboot --hard {UUID}   (the guest is '
               'restarted: agree on it with its owner)')
RELOAD = ('in the guest: "modprobe -r virtio_balloon && modprobe '
          'virtio_balloon"')
OLD_KERNEL = 'a kernel before 4.11 may have to be updated'
RESTART = ('in the guest, as administrator: "net stop BalloonService" and '
           '"net start BalloonService"')
REBOOT = ("if the guest is alive: reboot it; a driver that is part of the "
          "guest's kernel cannot be reloaded")
BLNSVR = ['in the guest, as administrator, in the directory where it is to '
          'stay: "blnsvr.exe -i" from virtio-win',
          'see that it starts at boot: "sc config BalloonService start= '
          'auto"', 'if it ends with exit code 1008: start the service '
          'Winmgmt, which it needs, and see that it is not disabled']
VIRTIO_WIN = ['attach the virtio-win ISO to the guest',
              'in the guest, as administrator: "pnputil /add-driver '
              'D:\\Balloon\\...\\balloon.inf /install", with the directory '
              'of its Windows version', *BLNSVR]
MODPROBE = ['in the guest, see whether the driver is bound: "ls '
            '/sys/bus/virtio/drivers/virtio_balloon/" lists a virtio device',
            'if not: "modprobe virtio_balloon"',
            'if there is no such module: a kernel with CONFIG_VIRTIO_BALLOON',
            'make it last: a line "virtio_balloon" in /etc/modules-load.d/']
OTHER_IMAGE = ['use another image: cirros images have no balloon driver that '
               'can be loaded']
NEW_FREEBSD = ['find out whether the FreeBSD of the guest has a balloon '
               'driver with statistics; one was proposed in April 2026',
               'if not: measure inside the guest']


def labelled(system, found):
    return [f'{system}: {step}' for step in found]


#: status -> operating system -> steps.  One-line remedies of the same rows
#: are in test_status.
STEPS = {
    'unreachable': dict.fromkeys(EVERY_OS, [
        f'see since when its monitor is occupied: "virsh domcontrol {UUID}"',
        f'see whether a job runs: "virsh domjobinfo {UUID}"; a migration or '
        'a snapshot ends by itself',
        'otherwise see what its QEMU waits for: "ps -o stat,wchan:30 -p '
        f'$(pgrep -f uuid.{UUID})"; D is storage, T a stopped process']),
    'not_running': dict.fromkeys(EVERY_OS, []),
    'no_device': dict.fromkeys(EVERY_OS, [HARD_REBOOT]),
    'stats_disabled': dict.fromkeys(EVERY_OS, [
        f'memstat-pollster enable {UUID}   (live, as root; until its next '
        'start)', f'or {HARD_REBOOT}']),
    'starting': dict.fromkeys(EVERY_OS, []),
    'driver_missing': {
        'windows': VIRTIO_WIN, 'linux': MODPROBE, 'cirros': OTHER_IMAGE,
        'freebsd': NEW_FREEBSD,
        'unknown': [CONSOLE, *labelled('Linux', MODPROBE),
                    *labelled('Windows', VIRTIO_WIN),
                    *labelled('cirros', OTHER_IMAGE),
                    *labelled('FreeBSD', NEW_FREEBSD)]},
    'service_missing': {
        'windows': BLNSVR, 'linux': [RELOAD, OLD_KERNEL],
        'cirros': ['in the guest: "sudo reboot"',
                   'if it still sends no memory numbers: use another image'],
        'freebsd': ['see that the guest is a FreeBSD: its image property '
                    'os_distro says so',
                    'if it is: measure inside the guest'],
        'unknown': [*labelled('Windows', BLNSVR),
                    *labelled('Linux', [RELOAD, OLD_KERNEL])]},
    'stale': {
        'windows': [CONSOLE, RESTART], 'linux': [CONSOLE, RELOAD],
        'cirros': [CONSOLE, REBOOT], 'freebsd': [CONSOLE, REBOOT],
        'unknown': [CONSOLE, f'Linux: {RELOAD}', f'Windows: {RESTART}']},
    'invalid': dict.fromkeys(EVERY_OS, [
        'see in the detail which number cannot be true',
        'look in the guest for a balloon driver that is broken or was '
        'tampered with; ask its owner']),
    'reporting': dict.fromkeys(EVERY_OS, []),
}

#: What only one operating system has.
OF_ONE = {
    'windows': ('blnsvr', 'BalloonService', 'Winmgmt', 'virtio-win',
                'pnputil', 'sc ', 'net st'),
    'linux': ('modprobe', 'modules-load', 'CONFIG_VIRTIO_BALLOON', '4.11',
              'reload virtio_balloon'),
    'cirros': ('cirros',),
    'freebsd': ('FreeBSD', 'freebsd'),
}


def told(each, guest_os):
    """(what to do in one line, and step by step)."""
    wanted = nova_period.Wanted(10)
    seen = domain.Domain(1, 'x', None, 'virtio', 10, guest_os)
    guest = judged.Guest(UUID, 'x', None, None, seen,
                         status.Verdict(each, ''), None, None, None)
    return (status.remedy(each, guest_os=guest_os, uuid=UUID,
                          nova_period_s=10), steps.steps(guest, wanted))


class TestTable(testtools.TestCase):
    """Status by operating system."""

    def test_the_steps(self):
        self.assertEqual(STEPS, {
            each.word: {guest_os.value: told(each, guest_os)[1]
                        for guest_os in domain.GuestOS}
            for each in status.Status})

    def test_nobody_is_told_what_another_system_has(self):
        wrong = []
        for each in status.Status:
            for guest_os in domain.GuestOS:
                if guest_os is domain.GuestOS.UNKNOWN:
                    continue
                remedy, found = told(each, guest_os)
                for system, words in OF_ONE.items():
                    if system != guest_os.value:
                        wrong += [
                            (each.word, guest_os.value, word)
                            for word in words for line in (remedy, *found)
                            if line and word in line]
        self.assertEqual([], wrong)

    def test_what_one_system_has_is_labelled_where_it_is_not_known(self):
        wrong = []
        for each in status.Status:
            remedy, found = told(each, domain.GuestOS.UNKNOWN)
            # "in Linux reload ..., in Windows restart ..." is a label, too.
            lines = re.split(r'\. (?=\w+: )|[;,] (?=in \w+ )', remedy or '')
            for line in (*lines, *found):
                label = re.match(r'(?:in )?(windows|linux|cirros|freebsd)\b',
                                 line.lower())
                for system, words in OF_ONE.items():
                    if (any(word in line for word in words)
                            and (label is None or label[1] != system)):
                        wrong.append((each.word, system, line))
        self.assertEqual([], wrong)

    def test_no_cirros_is_told_to_load_a_module(self):
        """None of its images has this one."""
        self.assertEqual([], [
            line for each in status.Status
            for remedy, found in [told(each, domain.GuestOS.CIRROS)]
            for line in (remedy, *found) if line and 'modprobe' in line])

    def test_nothing_is_said_for_ever(self):
        """Drivers and operating systems change."""
        self.assertEqual([], [
            line for each in status.Status for guest_os in domain.GuestOS
            for remedy, found in [told(each, guest_os)]
            for line in (remedy, *found)
            if line and re.search(r'\b(for ever|forever|never)\b', line)])
