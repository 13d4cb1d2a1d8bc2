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

Each class has one agent and the guests that its tests look at.  The
documentation's table of signatures is made from their decorators.
"""

import threading
import time

import libvirt

from tests.functional import published
from tests.functional.published import mib
from tests import node
from tests.node import agent as polling

HEALTHY = 'fresh and possible'
NEVER = 'the guest has never reported: no balloon driver speaks'
NO_NUMBERS = 'the balloon driver is bound, but sends no memory numbers'
SILENT = 'the guest last answered N s ago, more than N s'
STOPPED = "its QEMU's process is stopped, by a signal or a debugger"

LINUX_DRIVER = (
    'load the balloon driver in the guest: "modprobe virtio_balloon", and '
    'see that its kernel has CONFIG_VIRTIO_BALLOON')
WINDOWS_DRIVER = (
    'install the balloon driver from virtio-win, then run "blnsvr.exe -i" as '
    'administrator (service BalloonService)')
ANY_DRIVER = (
    f'Linux: {LINUX_DRIVER}. Windows: {WINDOWS_DRIVER}. cirros: use another '
    'image. FreeBSD: measure inside the guest')
CIRROS_DRIVER = (
    'cirros images have no balloon driver that can be loaded: use another '
    'image for guests whose memory is to be metered')
FREEBSD_DRIVER = (
    "FreeBSD's balloon driver sends no statistics (one that does was proposed "
    'in April 2026): measure inside the guest, unless its FreeBSD has the new '
    'driver')
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

    memstat = {'boot_grace': 120,
               'stale_after_periods': published.STALE_AFTER}

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
                   numbers={**published.COUNTERS_AT_0, **numbers},
                   age='fresh', **expected)

    @published.signature(
        'reporting',
        'Healthy Linux: all numbers, the timestamp moves every period')
    def test_linux_equals_its_own_meminfo(self):
        self.agent.wait_status(self.web.uuid, 'reporting')

        def equal(cycles):
            samples = cycles[-1][self.web.uuid]
            if published.word(samples) != 'reporting':
                return None
            # Read each time: what a guest has free changes by itself.
            own = {key: kib / 1024
                   for key, kib in self.web.meminfo().items()}
            usable = samples['memory.usable'].volume
            unused = samples['memory.unused'].volume
            # 256 KiB: reading meminfo in the guest takes memory too.
            if (abs(usable - own['MemAvailable']) > 0.25
                    or abs(unused - own['MemFree']) > 0.25):
                return None
            return samples, own['MemTotal']
        samples, total = self.agent.wait_for(
            equal, "the meters equal the guest's own meminfo")
        usable = samples['memory.usable'].volume
        self.assertPublished(
            self.web, samples, 'reporting', HEALTHY, memory=128.0,
            age='fresh', source='usable', numbers={
                'memory.available': total, 'memory.usable': usable,
                'memory.unused': samples['memory.unused'].volume,
                'memory.usage': total - usable,
                'memory.util': 100 * (total - usable) / total,
                **published.COUNTERS_AT_0})
        self.assertEqual([], self.said_of(self.web))

    @published.signature('reporting', 'All fields there are')
    def test_all_fields(self):
        self.check_reporting(self.current, 'usable', {
            'memory.available': 500.0, 'memory.usable': 266.0,
            'memory.unused': 90.0, 'memory.usage': 234.0,
            'memory.util': 46.8, 'memory.swap.in': 7.0,
            'memory.swap.out': 13.0})

    @published.signature('reporting', 'No ``disk_caches``: Linux before 4.16')
    def test_kernel_without_caches(self):
        self.check_reporting(self.no_caches, 'usable', {
            'memory.available': 480.0, 'memory.usable': 300.0,
            'memory.unused': 123.0, 'memory.usage': 180.0,
            'memory.util': 37.5})

    @published.signature(
        'reporting',
        'No ``usable``: usage is computed from caches')
    def test_kernel_without_available(self):
        self.check_reporting(self.no_avail, 'caches', {
            'memory.available': 400.0, 'memory.unused': 71.0,
            'memory.usage': 240.0, 'memory.util': 60.0})

    @published.signature(
        'reporting',
        'Neither: Linux before 4.6; usage is all that is not free')
    def test_kernel_with_neither(self):
        self.check_reporting(self.oldest, 'unused', {
            'memory.available': 320.0, 'memory.unused': 72.0,
            'memory.usage': 248.0, 'memory.util': 77.5})

    @published.signature(
        'reporting',
        'An uninitialised first record (``swap_in`` 0 and nothing else) of '
        'Linux before 4.11, then numbers')
    def test_uninitialised_first_record_of_an_old_kernel(self):
        self.check_reporting(self.uninitialised, 'unused', {
            'memory.available': 300.0, 'memory.unused': 101.0,
            'memory.usage': 199.0, 'memory.util': 100 * 199 / 300})
        self.assertEqual(['starting', 'reporting'],
                         self.words(self.uninitialised))

    @published.signature(
        'starting',
        'Boots slowly: timestamp 0 within ``boot_grace``')
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

    @published.signature(
        'driver_missing',
        'Linux without the driver: timestamp 0')
    def test_linux_without_the_driver(self):
        self.check_driver_missing(self.noballoon, LINUX_DRIVER, memory=128.0)

    @published.signature(
        'driver_missing',
        'Nothing but firmware runs: timestamp 0')
    def test_no_driver_at_all(self):
        """Firmware, a boot loader, a guest that no longer boots."""
        self.check_driver_missing(self.firmware, ANY_DRIVER)

    @published.signature(
        'driver_missing',
        'Driver without a statistics queue (FreeBSD): timestamp 0')
    def test_driver_without_a_statistics_queue(self):
        self.check_driver_missing(self.no_queue, FREEBSD_DRIVER)

    @published.signature(
        'driver_missing',
        'Driver bound, and it never sends anything: timestamp 0')
    def test_driver_bound_and_silent(self):
        self.check_driver_missing(self.bound, CIRROS_DRIVER)

    @published.signature(
        'driver_missing',
        'Windows without the driver: timestamp 0')
    def test_windows_without_the_driver(self):
        self.check_driver_missing(self.windows, WINDOWS_DRIVER)

    def check_service_missing(self, guest, remedy):
        """Numbers that are not there have no age."""
        self.check(guest, 'service_missing', NO_NUMBERS, remedy)
        # A driver that came up before the agent by more than the grace is
        # not starting.
        self.assertIn(self.words(guest), (['starting', 'service_missing'],
                                          ['service_missing']))

    @published.signature(
        'service_missing',
        'Windows whose service never ran: a timestamp that stands still, no '
        'numbers')
    def test_windows_whose_service_never_ran(self):
        self.check_service_missing(self.no_service, WINDOWS_SERVICE)

    @published.signature(
        'service_missing',
        'Windows whose answers are empty: a timestamp that moves, no '
        'numbers')
    def test_windows_that_answers_every_poll_with_nothing(self):
        self.check_service_missing(self.wmi, WINDOWS_SERVICE)

    @published.signature(
        'service_missing',
        'Linux before 4.11 that sends nothing after its uninitialised '
        'record')
    def test_old_kernel_that_sends_nothing_after_its_first_record(self):
        self.check_service_missing(self.uninitialised, LINUX_RELOAD)

    def check_no_period(self, guest):
        self.check(guest, 'stats_disabled', 'its live XML has a memballoon '
                   'without a statistics period', set_period(guest),
                   age='frozen')
        self.assertEqual(['stats_disabled'], self.words(guest))

    @published.signature(
        'stats_disabled',
        "No period in the XML: numbers of the driver's start")
    def test_no_period(self):
        self.check_no_period(self.no_period)

    @published.signature(
        'stats_disabled',
        "Period 0 in the XML: numbers of the driver's start")
    def test_period_0(self):
        """libvirt leaves the element out of its live XML."""
        self.check_no_period(self.zero_period)

    @published.signature(
        'stats_disabled',
        'No balloon in the XML of an older Nova: libvirt adds one without a '
        'period')
    def test_no_element_in_the_xml_of_an_older_nova(self):
        """libvirt adds a balloon without a period by itself."""
        self.check_no_period(self.no_element)

    @published.signature(
        'no_device',
        "``<memballoon model='none'/>``: no timestamp")
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

    @published.signature(
        'service_missing',
        'Windows whose service stopped after good numbers: they are gone, '
        'the timestamp stands still')
    def test_windows_whose_service_stopped(self):
        self.check(self.stopped, 'service_missing', NO_NUMBERS,
                   WINDOWS_SERVICE)

    @published.signature(
        'stale',
        'Windows whose service hangs: good numbers and a timestamp that '
        'stand still')
    def test_windows_whose_service_hangs(self):
        self.check_stale(self.frozen, 'see that the guest is alive and '
                         'restart its service BalloonService')

    @published.signature(
        'stale',
        'Reset into something without a driver: good numbers and a '
        'timestamp that stand still (QEMU 10 and later: last-update 0, '
        '``driver_missing``)')
    def test_guest_reset_into_something_without_a_driver(self):
        if self.node.clears_at_reset:
            self.check(self.reset, 'driver_missing', 'the guest has not '
                       'reported since it was reset: no balloon driver '
                       'speaks', ANY_DRIVER)
            return
        self.check_stale(self.reset, 'see that the guest is alive; in Linux '
                         'reload virtio_balloon, in Windows restart the '
                         'service BalloonService')

    @published.signature(
        'stale',
        'Linux that hangs (a kernel panic): good numbers and a '
        'timestamp that stand still')
    def test_linux_that_hangs(self):
        self.check_stale(self.hung, 'see that the guest is alive; in Linux '
                         'reload virtio_balloon, in Windows restart the '
                         'service BalloonService', memory=128.0)

    @published.signature(
        'stale',
        'Linux whose driver was unloaded: good numbers and a '
        'timestamp that stand still')
    def test_linux_whose_driver_was_unloaded(self):
        self.check_stale(self.unloaded, 'see that the guest is alive; in '
                         'Linux reload virtio_balloon, in Windows restart '
                         'the service BalloonService', memory=128.0)
        self.unloaded.command('load', '^DRV loaded')
        self.settled(self.unloaded, 'reporting')
        self.assertEqual(
            self.line('INFO', self.unloaded, 'reporting', HEALTHY),
            self.said_of(self.unloaded)[-1])


class TestOperators(published.SharedAgentTest):
    """What is done to a running guest: its period changed, or a pause."""

    #: Too old for a period of 1 s.
    OLD_S = published.STALE_AFTER + 0.5

    @classmethod
    def make_guests(cls):
        cls.zero = cls.new_scripted('zero', mib(411, 81, 211))
        cls.paused = cls.new_scripted('paused', mib(415, 85, 215))
        cls.given = cls.new_scripted('given', mib(412, 82, 206), period=None)
        cls.raised = cls.new_scripted('raised', mib(413, 83, 213))
        cls.lowered = cls.new_scripted('lowered', mib(414, 84, 214),
                                       period=60, answers=False)

    @classmethod
    def set_period(cls, guest, seconds):
        guest.domain.setMemoryStatsPeriod(
            seconds, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    @classmethod
    def happen(cls):
        cls.agent.wait_status(cls.zero.uuid, 'reporting')
        cls.agent.wait_status(cls.raised.uuid, 'reporting')
        cls.agent.wait_status(cls.paused.uuid, 'reporting')
        cls.set_period(cls.zero, 0)
        cls.set_period(cls.raised, 15)
        cls.paused.domain.suspend()

    def age_of(self, guest, cycles):
        """The age of a reporting guest in the newest cycle; else None."""
        samples = cycles[-1].get(guest.uuid, {})
        if published.word(samples) != 'reporting':
            return None
        return samples['memory.stats.age'].volume

    @published.signature(
        'stats_disabled',
        'Period 0 set live: the last numbers stay')
    def test_period_0_set_live(self):
        self.assertEqual(411 * 1024,
                         self.zero.domain.memoryStats()['available'])
        self.check(self.zero, 'stats_disabled', 'its live XML has a '
                   'memballoon without a statistics period',
                   set_period(self.zero), age='frozen')
        self.assertEqual(['reporting', 'stats_disabled'],
                         self.words(self.zero))

    @published.signature('reporting', 'A period set live where there was none')
    def test_period_set_live_as_the_remedy_says(self):
        self.settled(self.given, 'stats_disabled')
        self.set_period(self.given, 1)
        samples = self.settled(self.given, 'reporting')
        self.assertPublished(
            self.given, samples, 'reporting', HEALTHY, source='usable',
            age='fresh', numbers={
                'memory.available': 412.0, 'memory.usable': 206.0,
                'memory.unused': 82.0, 'memory.usage': 206.0,
                'memory.util': 50.0, **published.COUNTERS_AT_0})
        self.assertEqual(
            self.line('INFO', self.given, 'reporting', HEALTHY),
            self.said_of(self.given)[-1])

    @published.signature(
        'reporting',
        'Period raised live: numbers may be older')
    def test_period_raised_live(self):
        """An age that the old period called stale is fresh by the new."""
        self.agent.wait_for(
            lambda cycles: (
                self.age_of(self.raised, cycles) or 0) > self.OLD_S,
            'numbers that are too old for the first period')
        self.agent.wait_cycles(3)
        self.assertEqual(['reporting'], self.words(self.raised))
        self.assertEqual([], self.said_of(self.raised))

    @published.signature('stale', 'Period lowered live: numbers must be newer')
    def test_period_lowered_live(self):
        """An age that the old period called fresh is stale by the new."""
        self.agent.wait_for(
            lambda cycles: (
                self.age_of(self.lowered, cycles) or 0) > self.OLD_S,
            'numbers that are too old for the second period')
        self.assertEqual(['reporting'], self.words(self.lowered))
        self.set_period(self.lowered, 1)
        self.check(self.lowered, 'stale', SILENT, 'see that the guest is '
                   'alive; in Linux reload virtio_balloon, in Windows '
                   'restart the service BalloonService', age='frozen')
        found, = [line for line in self.agent.said()
                  if self.lowered.uuid in line]
        self.assertIn(f'more than {published.STALE_AFTER} s', found)

    @published.signature(
        'not_running',
        'Paused: numbers and timestamp stand still')
    def test_paused_and_resumed(self):
        """A guest that somebody paused is no news, before and after."""
        self.check(self.paused, 'not_running', 'the guest is paused',
                   level=None, age='frozen')
        # Long enough for what it sent before to be out of date.
        self.agent.wait_for(
            lambda cycles: cycles[-1][self.paused.uuid][
                'memory.stats.age'].volume > self.OLD_S, 'old numbers')
        self.paused.driver.set(mib(415, 35, 115))
        before = len(self.history(self.paused))
        self.paused.domain.resume()
        self.check(self.paused, 'reporting', HEALTHY, level=None,
                   age='fresh', source='usable', numbers={
                       'memory.available': 415.0, 'memory.usable': 115.0,
                       'memory.unused': 35.0, 'memory.usage': 300.0,
                       'memory.util': 100 * 300 / 415,
                       **published.COUNTERS_AT_0})
        after = self.history(self.paused)[before:]
        self.assertEqual({115.0}, {
            samples['memory.usable'].volume for samples in after
            if 'memory.usable' in samples})
        self.assertIn(self.words(self.paused), (
            ['reporting', 'not_running', 'reporting'],
            ['reporting', 'not_running', 'starting', 'reporting']))


class TestMoved(published.SharedAgentTest):
    """Linux guests that are saved, migrated and rebooted.

    Of a save file QEMU makes old numbers under a new time stamp.  The guest
    eats memory right after it has answered, and is moved before it answers
    again: what libvirt says then is known to be untrue.
    """

    #: Longer than it takes to eat and to be moved, on a busy machine too.
    PERIOD_S = 10
    EATEN_MIB = 24
    #: A boot on a machine with more to do takes a while.
    memstat = {'boot_grace': 120, 'stale_after_periods': 8}

    @classmethod
    def make_guests(cls):
        cls.saved = cls.new_linux('saved', period=cls.PERIOD_S)
        cls.migrated = cls.new_linux('migrated', period=cls.PERIOD_S)
        cls.rebooted = cls.new_linux('rebooted', period=cls.PERIOD_S)
        cls.new_scripted('neighbour', mib(421, 91, 221))
        cls.saved.wait_ready()
        cls.migrated.wait_ready()
        cls.rebooted.wait_ready()

    def next_answer(self, guest):
        """Wait for a guest's next answer."""
        stamp = guest.domain.memoryStats()['last_update']
        return node.wait_for(
            lambda: self.newer_than(guest.domain, stamp), 60, 'an answer')

    def eat_unseen(self, guest):
        """Let a guest eat between two answers; what it last told, in KiB."""
        self.agent.wait_status(guest.uuid, 'reporting')
        told = self.next_answer(guest)
        guest.command(f'eat {self.EATEN_MIB}', '^ATE')
        return told

    @staticmethod
    def newer_than(domain, stamp):
        told = domain.memoryStats()
        return told if told['last_update'] > stamp else None

    def replay(self, domain, told, moved_s):
        """Watch libvirt until the guest has answered; what it said before.

        :param moved_s: when the guest was restored or migrated
        """
        first = domain.memoryStats()
        self.assertEqual(told['usable'], first['usable'])
        self.assertGreaterEqual(first['last_update'], int(moved_s))
        answer = node.wait_for(
            lambda: self.newer_than(domain, first['last_update']), 90,
            'an answer')
        self.assertGreater(told['usable'] - answer['usable'],
                           (self.EATEN_MIB - 1) * 1024)
        self.assertGreaterEqual(
            answer['last_update'] - first['last_update'], 2)

    def assertNeverOld(self, told, samples):
        """Not one of these samples has what the guest told before."""
        for each in samples:
            if 'memory.usable' in each:
                self.assertGreater(
                    told['usable'] / 1024 - each['memory.usable'].volume,
                    self.EATEN_MIB - 1)
                self.assertEqual('reporting', published.word(each))

    @published.signature(
        'starting',
        'Restored from a save file: old numbers under a new timestamp')
    def test_saved_and_restored(self):
        guest = self.saved
        told = self.eat_unseen(guest)
        guest.domain.managedSave()
        before = len(self.agent.wait_for(
            lambda cycles: cycles if guest.uuid not in cycles[-1] else None,
            'a cycle without the guest'))
        self.agent.wait_cycles(3)
        restored_s = time.time()
        guest.start()
        self.replay(guest.domain, told, restored_s)
        self.settled(guest, 'reporting')
        after = [cycle[guest.uuid] for cycle in self.agent.cycles()[before:]
                 if guest.uuid in cycle]
        starting = [each for each in after
                    if published.word(each) == 'starting']
        self.assertGreaterEqual(len(starting), 2)
        for each in starting:
            self.assertPublished(
                guest, each, 'starting', 'its time stamp is not yet known '
                'to be its own: the guest may have been restored, migrated '
                'or resumed, or the clock was set, since it was last seen '
                'to answer', memory=128.0)
        self.assertNeverOld(told, after)
        self.assertEqual([], self.said_of(guest))

    @published.signature(
        'starting',
        'Migrated in: old numbers under a new timestamp')
    def test_migrated_live(self):
        guest = self.migrated
        other = node.Node()
        other.start()
        self.addCleanup(other.stop)
        agent = polling.Agent(other.ro_uri, options={'memstat': self.memstat})
        self.addCleanup(agent.close)
        agent.start()
        other.scripted('neighbour')
        agent.wait_cycles(1)
        told = self.eat_unseen(guest)
        guest.domain.migrateToURI3(
            f'qemu+unix:///system?socket={other.directory}/sock/libvirt-sock',
            {libvirt.VIR_MIGRATE_PARAM_URI:
             f'unix://{other.directory}/migration'},
            libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
            | libvirt.VIR_MIGRATE_UNSAFE)
        migrated_s = time.time()
        domain = other.connection.lookupByUUIDString(guest.uuid)
        self.assertEqual([libvirt.VIR_DOMAIN_RUNNING,
                          libvirt.VIR_DOMAIN_RUNNING_MIGRATED],
                         domain.state())
        self.replay(domain, told, migrated_s - 2)
        agent.wait_status(guest.uuid, 'reporting')
        self.assertNeverOld(told, [cycle[guest.uuid] for cycle
                                   in agent.cycles() if guest.uuid in cycle])
        words = self.words(guest, agent)
        self.assertEqual(['starting', 'reporting'],
                         [each for each in words if each != 'not_running'])
        self.assertEqual([], self.said_of(guest, agent))

    @published.signature(
        'reporting',
        'Rebooting: numbers and timestamp of the last boot, until they are '
        'stale or the new driver reports (QEMU 10 and later: last-update 0 '
        'until then, ``starting``)')
    def test_rebooting(self):
        """What the last boot sent stands for as long as it is fresh."""
        self.rebooted.command('eat 24', '^ATE')
        eaten = self.rebooted.meminfo()['MemAvailable'] / 1024
        self.agent.wait_for(lambda cycles: any(
            abs(samples['memory.usable'].volume - eaten) < 1
            for samples in self.history(self.rebooted)
            if 'memory.usable' in samples), 'what it has eaten')
        # Right after an answer, so that none comes before the end.
        stamp = self.next_answer(self.rebooted)['last_update']
        self.rebooted.command('reboot', '^REBOOTING')
        if not self.node.clears_at_reset:
            self.assertEqual(
                stamp, self.rebooted.domain.memoryStats()['last_update'])
        self.rebooted.wait_ready()
        self.agent.wait_for(
            lambda cycles: any(
                samples['memory.usable'].volume > eaten + 20
                for samples in self.history(self.rebooted)[-1:]
                if 'memory.usable' in samples), 'the new boot')
        words = self.words(self.rebooted)
        self.assertEqual([], self.said_of(self.rebooted))
        if self.node.clears_at_reset and 'starting' in words:
            self.assertEqual(['reporting', 'starting', 'reporting'], words)
            return
        self.assertEqual(['reporting'], words)


class TestShutOff(published.SharedAgentTest):
    """With and without [compute]report_stopped_instance_metrics."""

    groups = {'compute': {'instance_discovery_method': 'libvirt_metadata',
                          'report_stopped_instance_metrics': True}}

    @classmethod
    def make_guests(cls):
        cls.stopped = cls.new_scripted('stopped', mib(416, 86, 216))
        cls.running = cls.new_scripted('running', mib(417, 87, 217))

    @classmethod
    def happen(cls):
        cls.without = cls.start_agent(options={'memstat': cls.memstat})
        for agent in (cls.agent, cls.without):
            agent.wait_status(cls.stopped.uuid, 'reporting')
        cls.stopped.domain.destroy()

    @published.signature(
        'not_running',
        'Shut off, and Ceilometer is to report it '
        '(``report_stopped_instance_metrics``)')
    def test_shut_off_and_reported(self):
        self.check(self.stopped, 'not_running', 'the guest is shut off',
                   level=None, resident=False)

    @published.signature(
        'not_running',
        'Shut off, and Ceilometer is not to report it: no sample')
    def test_shut_off_and_not_reported(self):
        self.without.wait_for(
            lambda cycles: self.stopped.uuid not in cycles[-1],
            'a cycle without the guest')
        for cycle in self.without.wait_cycles(3)[-3:]:
            self.assertEqual({self.running.uuid}, set(cycle))
        self.assertEqual(['reporting'],
                         self.words(self.stopped, self.without))
        self.assertEqual([], self.said_of(self.stopped, self.without))


class TestBusy(published.SharedAgentTest):
    """A guest whose job another client holds, in a call that is stuck."""

    memstat = {'boot_grace': 4,
               'stale_after_periods': published.STALE_AFTER}

    @classmethod
    def make_guests(cls):
        cls.busy = cls.new_scripted('busy', mib(418, 88, 209))
        cls.other = cls.new_scripted('other', mib(419, 89, 219))
        cls.connection = libvirt.open(cls.node.rw_uri)
        domain = cls.connection.lookupByUUIDString(cls.busy.uuid)
        cls.busy.freeze()
        cls.stuck = threading.Thread(target=domain.memoryStats, daemon=True)
        cls.stuck.start()
        node.wait_for(
            lambda: cls.busy.domain.controlInfo()[0]
            == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, 60, 'a stuck call')

    @classmethod
    def tearDownClass(cls):
        cls.stuck.join(60)
        cls.connection.close()
        super().tearDownClass()

    @published.signature(
        'unreachable',
        "Another client's call holds the guest: neither resident memory nor "
        'timestamp')
    def test_another_job_holds_the_guest(self):
        self.addCleanup(self.busy.thaw)
        # From libvirt 11 on Ceilometer's own discovery waits for the guest's
        # job, 30 s in each cycle.
        samples = self.settled(self.busy, 'unreachable', timeout=300)
        # The same QEMU is seen to be stopped, which says more.
        detail = STOPPED
        remedy = ('see whether QEMU hangs (storage, a stopped process) or a '
                  'long job runs: "virsh domcontrol" and "virsh domjobinfo" '
                  'of this guest')
        self.assertPublished(self.busy, samples, 'unreachable', detail,
                             remedy, memory=None, resident=False)
        self.assertEqual(
            [self.line('WARNING', self.busy, 'unreachable', detail, remedy)],
            self.said_of(self.busy))
        # Nobody else is kept waiting.
        self.assertEqual(['reporting'], self.words(self.other))
        both = {self.busy.uuid, self.other.uuid}
        self.assertEqual([], [cycle for cycle in self.agent.cycles()
                              if not both <= set(cycle)])
        self.busy.thaw()
        self.settled(self.busy, 'reporting')
        self.assertEqual(
            self.line('INFO', self.busy, 'reporting', HEALTHY),
            self.said_of(self.busy)[-1])
