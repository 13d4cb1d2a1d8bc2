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

"""Guests that lie: whatever they send, no impossible sample comes of it."""

import itertools
import math
import re

from tests.functional import published
from tests.functional.published import mib
from tests import node

KIB, MIB = 1024, 1024 * 1024
#: What the machine of every guest here has: 512 MiB.
MAXIMUM_MIB, MAXIMUM_KIB = 512, 524288
#: More than the QEMU of a guest with 512 MiB can occupy.
RESIDENT_LIMIT_MIB = 1024
#: No honest guest here says that it swapped more.
SWAPPED_LIMIT_MIB = 1000

INVALID_REMEDY = (
    'the guest sends impossible numbers: look for a broken or hostile '
    'balloon driver in it')
USUAL = mib(500, 90, 266, 111)


def bytes_of(total=500 * MIB, free=90 * MIB, avail=266 * MIB,
             caches=111 * MIB):
    """A record in bytes; None leaves a field out."""
    fields = ((node.S_MEMTOT, total), (node.S_MEMFREE, free),
              (node.S_AVAIL, avail), (node.S_CACHES, caches))
    return [(tag, value) for tag, value in fields if value is not None]


def over(name, kib, limit_kib):
    return f'{name} {kib} KiB is more than available {limit_kib} KiB'


def too_much(kib):
    return (f'available {kib} KiB is more than the {MAXIMUM_KIB} KiB the '
            f'guest can have')


#: name -> (record, detail): each is invalid.
LIES = {
    'total-2-63': (bytes_of(total=2**63), too_much(2**53)),
    'total-2-64-2': (bytes_of(total=2**64 - 2), too_much(2**54 - 1)),
    'total-0': (
        bytes_of(total=0),
        'available 0 KiB is less than a page; '
        + '; '.join((over('usable', 272384, 0), over('unused', 92160, 0),
                     over('disk_caches', 113664, 0)))),
    'total-3': (bytes_of(3 * KIB, 2 * KIB, KIB, KIB),
                'available 3 KiB is less than a page'),
    'total-over': (bytes_of(total=(MAXIMUM_KIB + 1) * KIB),
                   too_much(MAXIMUM_KIB + 1)),
    'free-over': (bytes_of(free=500 * MIB + KIB),
                  over('unused', 512001, 512000)),
    'usable-over': (bytes_of(avail=501 * MIB),
                    over('usable', 513024, 512000)),
    'caches-over': (bytes_of(caches=2**62),
                    over('disk_caches', 2**52, 512000)),
    'sum-over': (bytes_of(free=300 * MIB, avail=None, caches=201 * MIB),
                 'unused 307200 KiB and disk_caches 205824 KiB are together '
                 'more than available 512000 KiB'),
    'only-total': (bytes_of(free=None, avail=None, caches=None),
                   'neither usable nor unused memory'),
    'only-free': (bytes_of(None, 90 * MIB, None, None),
                  'no total memory (available)'),
    'only-usable': (bytes_of(None, None, 266 * MIB, None),
                    'no total memory (available)'),
    'only-caches': (bytes_of(None, None, None, 111 * MIB),
                    'no total memory (available)'),
    # MEMFREE whole, then a part of MEMTOT.
    'cut-off': (node.record(USUAL[:5]) + node.record(USUAL[5:6])[:7],
                'no total memory (available)'),
    'twice': (USUAL + [(node.S_MEMTOT, 2**60)], too_much(2**50)),
}


def honest(total, usable, unused, usage):
    return {'memory.available': total, 'memory.usable': usable,
            'memory.unused': unused, 'memory.usage': usage,
            'memory.util': 100 * usage / total}


#: name -> (record, detail, numbers): odd, but nothing in it is untrue.
ODD = {
    'unknown-tags': (
        [(0x7fff, 2**63), *mib(480, 70, 240, 60), (0xfffe, 1)],
        'fresh and possible',
        honest(480.0, 240.0, 70.0, 240.0)
        | published.COUNTERS_AT_0),
    'last-one-counts': (
        [(node.S_MEMTOT, 2**63), *mib(400, 70, 300, 60)],
        'fresh and possible',
        honest(400.0, 300.0, 70.0, 100.0)
        | published.COUNTERS_AT_0),
    'oversized': (
        [*[(node.S_MEMTOT, 2**62), (42, 7)] * 200, *mib(320, 70, 200, 60)],
        'fresh and possible',
        honest(320.0, 200.0, 70.0, 120.0)
        | published.COUNTERS_AT_0),
    'swap': (
        [(node.S_SWAP_IN, 2**64 - 4096), (node.S_SWAP_OUT, 5 * MIB),
         *bytes_of(250 * MIB, 50 * MIB, 125 * MIB, None)],
        'fresh and possible, but swap_in 18014398509481980 KiB cannot be '
        'true: its swap is not published',
        honest(250.0, 125.0, 50.0, 125.0)),
}

#: name -> display name
NAMES = {
    'newline': 'web\n2026-11-23 00:00:00.000 1 ERROR root [-] all is lost',
    'escape': 'web\x9b2J\x9b31m \u202egnp.exe \u2028 \x85 \x7f',
    'html': '<script>alert("1")</script>&amp;%s%(name)s{uuid}',
    'long': 'x' * 10_000,
    'image': 'web',
}
PROPERTIES = {'image': {'os_distro': 'windows\n{period}%s',
                        'os_type': '<b>\x9b31m' + 'y' * 5000,
                        'hw_qemu_guest_agent': '\u2029'}}


class TestHostile(published.SharedAgentTest):

    @classmethod
    def make_guests(cls):
        cls.guests = {name: cls.new_scripted(name, record)
                      for name, (record, _) in LIES.items()}
        cls.guests |= {name: cls.new_scripted(name, record)
                       for name, (record, *_) in ODD.items()}
        cls.guests |= {
            name: cls.new_scripted(name, display_name=display_name,
                                   properties=PROPERTIES.get(name))
            for name, display_name in NAMES.items()}
        for name in ('actual', 'empty', 'flip', 'swap-only'):
            cls.guests[name] = cls.new_scripted(name, {
                'swap-only': [(node.S_SWAP_IN, 9 * MIB)]}.get(name, USUAL))
        cls.guests['actual'].driver.set_actual(2**32 - 7)

    @classmethod
    def happen(cls):
        cls.agent.wait_status(cls.guests['empty'].uuid, 'reporting')
        cls.guests['empty'].driver.push(b'')
        # A cycle is known to be over when the next has begun: each sees
        # what the one before did not.
        flips = itertools.cycle((bytes_of(total=2**61), USUAL))
        for record in itertools.islice(flips, 20):
            cls.guests['flip'].driver.push(record)
            cls.agent.wait_cycles(1)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.check_every_sample)

    def check_every_sample(self):
        """Whatever was published of whichever guest can be true of it."""
        highest = {
            'memory': MAXIMUM_MIB, 'memory.usage': MAXIMUM_MIB,
            'memory.available': MAXIMUM_MIB, 'memory.usable': MAXIMUM_MIB,
            'memory.unused': MAXIMUM_MIB, 'memory.util': 100,
            'memory.balloon.status': max(published.CODES.values()),
            'memory.stats.age': 3600,
            'memory.resident': RESIDENT_LIMIT_MIB,
            'memory.swap.in': SWAPPED_LIMIT_MIB,
            'memory.swap.out': SWAPPED_LIMIT_MIB}
        samples = self.agent.samples()
        self.assertEqual([], [
            sample for sample in samples
            if not (math.isfinite(sample.volume)
                    and 0 <= sample.volume <= highest[sample.name])])
        for cycle in self.agent.cycles():
            for guest in cycle.values():
                if 'memory.usage' in guest:
                    self.assertLessEqual(guest['memory.usage'].volume,
                                         guest['memory.available'].volume)

    # No line of the class's log is about one of these guests: so many fall
    # ill at once that a summary tells it, see test_log.

    def check_invalid(self, name):
        self.assertPublished(
            self.guests[name], self.settled(self.guests[name], 'invalid'),
            'invalid', LIES[name][1], INVALID_REMEDY, age='fresh')
        self.assertEqual(['invalid'], self.words(self.guests[name]))

    def check_odd(self, name):
        _, detail, numbers = ODD[name]
        self.assertPublished(
            self.guests[name], self.settled(self.guests[name], 'reporting'),
            'reporting', detail, age='fresh', source='usable',
            numbers=numbers)
        self.assertEqual(['reporting'], self.words(self.guests[name]))

    @published.signature('invalid', 'A total of 2^63 bytes')
    def test_total_of_2_63(self):
        self.check_invalid('total-2-63')

    @published.signature('invalid', 'A total of 2^64 - 2 bytes')
    def test_total_of_2_64_less_2(self):
        self.check_invalid('total-2-64-2')

    @published.signature('invalid', 'A total of 0')
    def test_total_of_0(self):
        self.check_invalid('total-0')

    @published.signature('invalid', 'A total of less than a page')
    def test_total_under_a_page(self):
        self.check_invalid('total-3')

    @published.signature('invalid', "A total of more than the guest's maximum")
    def test_total_over_the_maximum(self):
        self.check_invalid('total-over')

    @published.signature('invalid', 'Free memory over the total')
    def test_free_over_total(self):
        self.check_invalid('free-over')

    @published.signature('invalid', 'Usable memory over the total')
    def test_usable_over_total(self):
        self.check_invalid('usable-over')

    @published.signature('invalid', 'Caches over the total')
    def test_caches_over_total(self):
        self.check_invalid('caches-over')

    @published.signature(
        'invalid',
        'Free memory and caches together over the total')
    def test_free_and_caches_together_over_total(self):
        self.check_invalid('sum-over')

    @published.signature('invalid', 'One number and no other')
    def test_single_fields(self):
        for name in ('only-total', 'only-free', 'only-usable',
                     'only-caches'):
            self.check_invalid(name)

    @published.signature('service_missing', 'Swap counters alone')
    def test_swap_and_nothing_else(self):
        guest = self.guests['swap-only']
        self.assertPublished(
            guest, self.settled(guest, 'service_missing'), 'service_missing',
            'the balloon driver is bound, but sends no memory numbers',
            'Windows: in the guest run "blnsvr.exe -i" from virtio-win as '
            'administrator and see that the service BalloonService runs. '
            'Linux: reload virtio_balloon in the guest; kernels before 4.11 '
            'may need an update')

    @published.signature('invalid', 'A record that ends half-way')
    def test_record_that_ends_half_way(self):
        self.check_invalid('cut-off')

    @published.signature('reporting', 'A record of 400 entries too many')
    def test_oversized_record(self):
        self.check_odd('oversized')

    @published.signature('invalid', 'A number sent twice: the last one counts')
    def test_duplicate_tags(self):
        self.check_invalid('twice')
        self.check_odd('last-one-counts')

    @published.signature('reporting', 'Unknown tags beside good numbers')
    def test_unknown_tags(self):
        self.check_odd('unknown-tags')

    @published.signature(
        'reporting',
        'Swap of 2^54 KiB (Windows, a NULL from WMI): all but swap is '
        'published')
    def test_lie_in_swap_costs_swap_only(self):
        self.check_odd('swap')

    @published.signature(
        'invalid',
        'A balloon that is said to hold more than the machine has')
    def test_lying_actual_register(self):
        """QEMU's event takes the lie into libvirt's own record too."""
        guest = self.guests['actual']
        lie = 524288 - (2**32 - 7) * 4 + 2**54
        self.assertEqual(lie, guest.domain.memoryStats()['actual'])
        self.assertEqual(lie, guest.domain.info()[2])
        self.assertPublished(
            guest, self.settled(guest, 'invalid'), 'invalid',
            f'current {lie} KiB is more than the {MAXIMUM_KIB} KiB the guest '
            f'can have', INVALID_REMEDY, age='fresh', memory=None)

    @published.signature(
        'stale',
        'An empty buffer, after which QEMU takes no more: good numbers and a '
        'timestamp that stand still')
    def test_empty_buffer(self):
        """QEMU takes nothing more from such a guest until it is reset."""
        guest = self.guests['empty']
        self.assertPublished(
            guest, self.settled(guest, 'stale'), 'stale',
            'the guest last answered N s ago, more than N s',
            'see that the guest is alive; in Linux reload virtio_balloon, in '
            'Windows restart the service BalloonService', age='frozen')

    @published.signature(
        'invalid',
        'Numbers that are sane and absurd by turns: published when sane')
    def test_numbers_that_flip(self):
        """Published when they are sane, and told of once in 20 cycles."""
        guest = self.guests['flip']
        self.settled(guest, 'reporting')
        seen = self.history(guest)
        words = [published.word(samples) for samples in seen]
        self.assertEqual({'reporting', 'invalid'}, set(words))
        self.assertGreaterEqual(len(self.words(guest)), 15)
        for samples in seen:
            if published.word(samples) == 'reporting':
                self.assertEqual(234.0, samples['memory.usage'].volume)
            else:
                self.assertEqual(
                    {'memory', 'memory.balloon.status', 'memory.stats.age',
                     'memory.resident'}, set(samples))
        # That all is well is told after two cycles, and then the next lie:
        # at the end, and where the flips came slowly.
        lasting = sum(word == 'reporting' and len(list(run)) >= 2
                      for word, run in itertools.groupby(
                          words[words.index('invalid'):]))
        self.assertLessEqual(len(self.said_of(guest)), 2 * lasting)

    def test_names(self):
        """Of a tenant's text a log line has a harmless part, metadata none."""
        for name in NAMES:
            guest = self.guests[name]
            samples = self.settled(guest, 'driver_missing')
            line, = self.said_of(guest)
            self.assertTrue(line.isprintable(), line)
            self.assertLess(len(line), 700)
            for sample in samples.values():
                told = ' '.join(published.ours(sample).values())
                self.assertNotIn(NAMES[name][:20], told)
                self.assertTrue(told.isprintable() and len(told) < 500,
                                told)
        lines = self.agent.log_path.read_bytes().split(b'\n')
        self.assertEqual([], [line for line in lines
                              if line.startswith(b'2026-11-23 00:00:00')])
        told = [line for line in lines if b'memstat_pollster' in line]
        self.assertEqual([], [line for line in told
                              if re.search(rb'[^ -~]', line)])

    def test_log(self):
        """16 guests that lie from the start on make one line."""
        self.settled(self.guests['total-0'], 'invalid')
        summaries = [line for line in self.agent.said('WARNING')
                     if 'invalid' in line and 'flip' not in line]
        self.assertEqual(1, len(summaries), summaries)
        self.assertIn(f'WARNING Memory statistics of {len(LIES) + 1} '
                      f'guests: invalid', summaries[0])
