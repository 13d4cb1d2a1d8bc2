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

"""Every status and every signature, from the driver to the sample.

Each class has one agent and the guests that its tests look at.  The table in
doc/source/statuses.rst names the test of each signature.
"""

from tests import node
from tests.functional import published
from tests.functional.published import mib

HEALTHY = 'fresh and possible'
NEVER = 'the guest has never reported: no balloon driver speaks'
NO_NUMBERS = 'the balloon driver is bound, but sends no memory numbers'
SILENT = 'the guest last answered N s ago, more than N s'

LINUX_DRIVER = (
    'load the balloon driver in the guest: "modprobe virtio_balloon", and '
    'see that its kernel has CONFIG_VIRTIO_BALLOON')
WINDOWS_DRIVER = (
    'install the balloon driver from virtio-win, then run "blnsvr.exe -i" as '
    'administrator (service BalloonService)')
ANY_DRIVER = f'Linux: {LINUX_DRIVER}. Windows: {WINDOWS_DRIVER}'
CIRROS_DRIVER = (
    'cirros does not load a balloon driver by itself: in the guest run '
    '"modprobe virtio_balloon" where its kernel has the module, or use '
    'another image')
FREEBSD_DRIVER = (
    "FreeBSD's balloon driver sends no statistics: measure inside the guest")
WINDOWS_SERVICE = (
    'in the guest run "blnsvr.exe -i" from virtio-win as administrator and '
    'see that the service BalloonService runs')
LINUX_RELOAD = (
    'reload virtio_balloon in the guest; kernels before 4.11 may need an '
    'update')
HARD_REBOOT = (
    'hard reboot the guest, so that Nova writes its XML anew with a balloon '
    'device')


def set_period(guest):
    return ('hard reboot the guest, or set the period live: "virsh '
            f'dommemstat --live --period 10 {guest.uuid}"')


class TestReporting(published.SharedAgentTest):
    """Numbers that are fresh and possible, from every kind of driver."""

    memstat = {'boot_grace': 120}

    @classmethod
    def make_guests(cls):
        cls.web = cls.new_linux('web')
        cls.current = cls.new_scripted('current', mib(
            500, 90, 266, 111, swap_in=7, swap_out=13))
        cls.no_caches = cls.new_scripted('no-caches', mib(480, 123, 300))
        cls.no_avail = cls.new_scripted('no-avail', mib(400, 71, None, 89))
        cls.oldest = cls.new_scripted('oldest', mib(320, 72))
        cls.uninitialised = cls.new_scripted(
            'uninitialised', [(node.S_SWAP_IN, 0)], answers=False)
        cls.slow = cls.new_scripted('slow')
        cls.web.wait_ready()

    @classmethod
    def happen(cls):
        for guest in (cls.uninitialised, cls.slow):
            cls.agent.wait_status(guest.uuid, 'starting')
        cls.slow.driver.attach()
        cls.slow.driver.push(mib(250, 60, 150))
        cls.uninitialised.driver.push(mib(300, 101))
        cls.uninitialised.driver.answers = True

    def check_reporting(self, guest, source, numbers, **expected):
        self.check(guest, 'reporting', HEALTHY, level=None, source=source,
                   numbers={'memory.swap.in': 0.0, 'memory.swap.out': 0.0,
                            **numbers}, age='fresh', **expected)

    def test_linux_equals_its_own_meminfo(self):
        self.agent.wait_status(self.web.uuid, 'reporting')
        own = {key: kib / 1024 for key, kib in self.web.meminfo().items()}

        def equal(cycles):
            samples = cycles[-1][self.web.uuid]
            usable = samples['memory.usable'].volume
            unused = samples['memory.unused'].volume
            # 256 KiB: reading meminfo in the guest takes memory too.
            if (abs(usable - own['MemAvailable']) > 0.25
                    or abs(unused - own['MemFree']) > 0.25):
                return None
            return samples
        samples = self.agent.wait_for(equal, f'the meters equal {own}')
        total = own['MemTotal']
        usable = samples['memory.usable'].volume
        self.assertPublished(
            self.web, samples, 'reporting', HEALTHY, memory=128.0,
            age='fresh', source='usable', numbers={
                'memory.available': total, 'memory.usable': usable,
                'memory.unused': samples['memory.unused'].volume,
                'memory.usage': total - usable,
                'memory.util': 100 * (total - usable) / total,
                'memory.swap.in': 0.0, 'memory.swap.out': 0.0})
        self.assertEqual([], self.said_of(self.web))

    def test_all_fields(self):
        self.check_reporting(self.current, 'usable', {
            'memory.available': 500.0, 'memory.usable': 266.0,
            'memory.unused': 90.0, 'memory.usage': 234.0,
            'memory.util': 46.8, 'memory.swap.in': 7.0,
            'memory.swap.out': 13.0})

    def test_kernel_without_caches(self):
        self.check_reporting(self.no_caches, 'usable', {
            'memory.available': 480.0, 'memory.usable': 300.0,
            'memory.unused': 123.0, 'memory.usage': 180.0,
            'memory.util': 37.5})

    def test_kernel_without_available(self):
        self.check_reporting(self.no_avail, 'caches', {
            'memory.available': 400.0, 'memory.unused': 71.0,
            'memory.usage': 240.0, 'memory.util': 60.0})

    def test_kernel_with_neither(self):
        self.check_reporting(self.oldest, 'unused', {
            'memory.available': 320.0, 'memory.unused': 72.0,
            'memory.usage': 248.0, 'memory.util': 77.5})

    def test_uninitialised_first_record_of_an_old_kernel(self):
        self.check_reporting(self.uninitialised, 'unused', {
            'memory.available': 300.0, 'memory.unused': 101.0,
            'memory.usage': 199.0, 'memory.util': 100 * 199 / 300})
        self.assertEqual(['starting', 'reporting'],
                         self.words(self.uninitialised))

    def test_guest_that_boots_slowly(self):
        self.check_reporting(self.slow, 'usable', {
            'memory.available': 250.0, 'memory.usable': 150.0,
            'memory.unused': 60.0, 'memory.usage': 100.0,
            'memory.util': 40.0})
        self.assertEqual(['starting', 'reporting'], self.words(self.slow))
        self.assertPublished(
            self.slow, self.history(self.slow)[0], 'starting',
            'no numbers yet; seen running for N s of N s that a boot may '
            'take')


class TestNeverReported(published.SharedAgentTest):
    """Guests that never sent a number, each for a reason of its own."""

    @classmethod
    def make_guests(cls):
        cls.noballoon = cls.new_linux(
            'noballoon', cmdline='noballoon',
            properties={'os_distro': 'ubuntu'})
        cls.firmware = cls.new_scripted('firmware')
        cls.no_queue = cls.new_scripted(
            'no-queue', features=0, properties={'os_distro': 'freebsd'})
        cls.bound = cls.new_scripted(
            'bound', features=node.STATS_VQ,
            properties={'os_distro': 'cirros'})
        cls.windows = cls.new_scripted(
            'windows', properties={'os_type': 'windows'})
        cls.no_service = cls.new_scripted(
            'no-service', node.windows_without_service(), answers=False,
            properties={'os_type': 'windows'})
        cls.wmi = cls.new_scripted(
            'wmi', node.windows_without_service(),
            properties={'os_type': 'windows'})
        cls.uninitialised = cls.new_scripted(
            'uninitialised', [(node.S_SWAP_IN, 0)], answers=False,
            properties={'os_distro': 'centos'})
        cls.no_period = cls.new_scripted(
            'no-period', mib(430, 87, 203), period=None)
        cls.zero_period = cls.new_scripted(
            'zero-period', mib(440, 97, 213), period=0)
        cls.no_element = cls.new_scripted(
            'no-element', mib(450, 107, 223), model=None)
        cls.no_device = cls.new_scripted('no-device', model='none')
        cls.noballoon.wait_ready()

    def check_driver_missing(self, guest, remedy, **expected):
        self.check(guest, 'driver_missing', NEVER, remedy, **expected)
        self.assertEqual(['starting', 'driver_missing'], self.words(guest))

    def test_linux_without_the_driver(self):
        self.check_driver_missing(self.noballoon, LINUX_DRIVER, memory=128.0)

    def test_no_driver_at_all(self):
        """Firmware, a boot loader, a guest that no longer boots."""
        self.check_driver_missing(self.firmware, ANY_DRIVER)

    def test_driver_without_a_statistics_queue(self):
        self.check_driver_missing(self.no_queue, FREEBSD_DRIVER)

    def test_driver_bound_and_silent(self):
        self.check_driver_missing(self.bound, CIRROS_DRIVER)

    def test_windows_without_the_driver(self):
        self.check_driver_missing(self.windows, WINDOWS_DRIVER)

    def check_service_missing(self, guest, remedy, age):
        self.check(guest, 'service_missing', NO_NUMBERS, remedy, age=age)
        # A driver that came up before the agent by more than the grace is
        # not starting.
        self.assertIn(self.words(guest), (['starting', 'service_missing'],
                                          ['service_missing']))

    def test_windows_whose_service_never_ran(self):
        self.check_service_missing(self.no_service, WINDOWS_SERVICE,
                                   'frozen')

    def test_windows_that_answers_every_poll_with_nothing(self):
        self.check_service_missing(self.wmi, WINDOWS_SERVICE, 'fresh')

    def test_old_kernel_that_sends_nothing_after_its_first_record(self):
        self.check_service_missing(self.uninitialised, LINUX_RELOAD,
                                   'frozen')

    def check_no_period(self, guest):
        self.check(guest, 'stats_disabled', 'its live XML has a memballoon '
                   'without a statistics period', set_period(guest),
                   age='frozen')
        self.assertEqual(['stats_disabled'], self.words(guest))

    def test_no_period(self):
        self.check_no_period(self.no_period)

    def test_period_0(self):
        """libvirt leaves the element out of its live XML."""
        self.check_no_period(self.zero_period)

    def test_no_element_in_the_xml_of_an_older_nova(self):
        """libvirt adds a balloon without a period by itself."""
        self.check_no_period(self.no_element)

    def test_no_device(self):
        self.check(self.no_device, 'no_device',
                   "its live XML has <memballoon model='none'/>",
                   HARD_REBOOT)
        self.assertEqual(['no_device'], self.words(self.no_device))


class TestFallsSilent(published.SharedAgentTest):
    """Guests that sent good numbers, and then no more of them."""

    @classmethod
    def make_guests(cls):
        windows = {'properties': {'os_type': 'windows'}}
        cls.hung = cls.new_linux('hung', cmdline='panic=0')
        cls.unloaded = cls.new_linux('unloaded')
        cls.stopped = cls.new_scripted('stopped', mib(410, 91, 201), **windows)
        cls.frozen = cls.new_scripted('frozen', mib(420, 92, 202), **windows)
        cls.reset = cls.new_scripted('reset', mib(430, 93, 203))
        cls.hung.wait_ready()
        cls.unloaded.wait_ready()

    @classmethod
    def happen(cls):
        silent = (cls.stopped, cls.frozen, cls.reset, cls.hung, cls.unloaded)
        for guest in silent:
            cls.agent.wait_status(guest.uuid, 'reporting')
        cls.unloaded.command('unload', '^DRV unloaded')
        cls.hung.command('sh echo c > /proc/sysrq-trigger', 'Kernel panic')
        for guest in (cls.stopped, cls.frozen, cls.reset):
            guest.driver.answers = False
        cls.stopped.driver.push(node.windows_without_service())
        cls.reset.domain.reset()

    def check_stale(self, guest, remedy, **expected):
        self.check(guest, 'stale', SILENT, remedy, age='frozen', **expected)
        self.assertEqual('stale', self.words(guest)[-1])

    def test_windows_whose_service_stopped(self):
        self.check(self.stopped, 'service_missing', NO_NUMBERS,
                   WINDOWS_SERVICE, age='frozen')

    def test_windows_whose_service_hangs(self):
        self.check_stale(self.frozen, 'see that the guest is alive and '
                         'restart its service BalloonService')

    def test_guest_reset_into_something_without_a_driver(self):
        self.check_stale(self.reset, 'see that the guest is alive; in Linux '
                         'reload virtio_balloon, in Windows restart the '
                         'service BalloonService')

    def test_linux_that_hangs(self):
        self.check_stale(self.hung, 'see that the guest is alive; in Linux '
                         'reload virtio_balloon, in Windows restart the '
                         'service BalloonService', memory=128.0)

    def test_linux_whose_driver_was_unloaded(self):
        self.check_stale(self.unloaded, 'see that the guest is alive; in '
                         'Linux reload virtio_balloon, in Windows restart '
                         'the service BalloonService', memory=128.0)
        self.unloaded.command('load', '^DRV loaded')
        self.settled(self.unloaded, 'reporting')
        self.assertEqual(
            self.line('INFO', self.unloaded, 'reporting', HEALTHY),
            self.said_of(self.unloaded)[-1])
