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
"""The node's memory as a page, without a browser."""

import datetime

import types

import testtools

from memstat_pollster.cli.report import curves
from memstat_pollster.cli.report import figures
from memstat_pollster.cli.report import page
from memstat_pollster.cli.report import render
from memstat_pollster.model import facts
from memstat_pollster.model import meters
from memstat_pollster.model import nova_period
from memstat_pollster.model import usage
from memstat_pollster import monitor
from tests.unit import fakes

MADE = datetime.datetime(2026, 3, 5, 7, 11, 13, tzinfo=datetime.timezone.utc)
HOST = page.Host('compute-7', 64 * 1024**2,
                 (('libvirt', '10.2.3'), ('QEMU', '9.1.2')), 10)


def memory(**changes):
    return usage.Memory(**{
        'available_kib': 4000, 'used_kib': 1500, 'source': 'usable',
        'usable_kib': 2500, 'unused_kib': 700, 'swap_in_kib': None,
        'swap_out_kib': None, **changes})


def cycle(*domains, error=None):
    """What a monitor says of these guests; every driver is up for long."""
    libvirt = fakes.Libvirt(*domains)
    if error is not None:
        libvirt.open_errors = [fakes.libvirt_error(38, error)] * 2
    source = libvirt.inspector()
    found = monitor.Monitor(source, facts.Thresholds(3, 0.0),
                            lambda: nova_period.Wanted(10)).cycle()
    source.close()
    return found


class TestAmounts(testtools.TestCase):

    def test_kib(self):
        self.assertEqual(
            ['–', '0.0 MiB', '9.9 MiB', '10 MiB', '999 MiB', '1.0 GiB',
             '99.9 GiB', '100 GiB', '1.0 TiB'],
            [figures.amount(kib) for kib in (
                None, 0, 9.9 * 1024, 10 * 1024, 999 * 1024, 1000 * 1024,
                99.9 * 1024**2, 100 * 1024**2, 1024**3)])

    def test_seconds(self):
        self.assertEqual(
            ['–', '0 s', '3 s', '3.6 s', '10 s', '119 s', '2 min', '2 h',
             '47 h', '2 d'],
            [figures.seconds(value) for value in (
                None, 0, 3, 3.6, 9.96, 119, 120, 7200, 47 * 3600, 172800)])


class TestSplit(testtools.TestCase):
    """The parts of a bar; their sum is the guest's total."""

    def test_by_source(self):
        cases = {
            'all': (memory(), [('used', 1500), ('reclaimable', 1800),
                               ('free', 700)]),
            'free is more than usable': (
                memory(unused_kib=2600),
                [('used', 1500), ('reclaimable', 0), ('free', 2500)]),
            'no free': (memory(unused_kib=None),
                        [('used', 1500), ('reclaimable', 2500)]),
            'caches': (memory(source='caches', usable_kib=None),
                       [('used', 1500), ('reclaimable', 1800),
                        ('free', 700)]),
            'unused': (memory(source='unused', usable_kib=None,
                              unused_kib=2500),
                       [('used', 1500), ('free', 2500)]),
        }
        for name, (given, expected) in cases.items():
            self.assertEqual(expected, list(page.split(given)), name)
            self.assertEqual(4000, sum(kib for _, kib in expected), name)


class TestView(testtools.TestCase):

    def test_rows_totals_and_states(self):
        now = int(datetime.datetime.now().timestamp())
        found = cycle(
            fakes.Domain(1, fakes.healthy(now), display_name='web'),
            fakes.Domain(2, fakes.healthy(now, **{
                'balloon.available': 2**40, 'balloon.rss': 1048576})),
            fakes.Domain(3, fakes.healthy(now, **{'state.state': 5}),
                         domain_id=-1, display_name='off'))
        view = page.view(found, HOST, MADE, '1.2.3')
        invalid, off, web = view.rows
        self.assertEqual(
            [('invalid', 1), ('not_running', 1), ('reporting', 1)],
            [(state.word, state.count) for state in view.states])
        self.assertEqual(
            page.Row(
                name='web', other_name='instance-00000001',
                uuid=fakes.uuid_of(1),
                state=page.State('reporting', len(page.STATES) - 1, 'good',
                                 '✓', 'its numbers are recent and possible',
                                 0),
                segments=(page.Segment('used', 0, 239616),
                          page.Segment('reclaimable', 239616, 131072),
                          page.Segment('free', 370688, 131072)),
                resident=(page.Segment('resident', 0, 204800),),
                words='234 MiB used, 128 MiB reclaimable, 128 MiB free '
                      '(48 % in use)',
                resident_words='200 MiB resident on the host',
                used_kib=239616, size_kib=1048576, resident_kib=204800,
                scale_kib=1048576, util=100 * 239616 / 501760,
                age_s=web.age_s, period_s=10, detail='fresh and possible',
                remedy=()), web)
        self.assertEqual(
            ('invalid', (), 'no numbers', None, 1048576),
            (invalid.state.word, invalid.segments, invalid.words,
             invalid.used_kib, invalid.resident_kib))
        self.assertEqual('off', off.name)
        # The one that is shut off has been promised nothing.
        self.assertEqual([
            ('Guests', '3', '1 with numbers, 2 without'),
            ('Used by guests', '234 MiB',
             'of 490 MiB in the 1 with numbers; 128 MiB reclaimable'),
            ('Resident on the host', '1.4 GiB',
             "2 % of the host's 64.0 GiB"),
            ('Promised to running guests', '2.0 GiB',
             "3 % of the host's 64.0 GiB"),
        ], [(total.name, total.figure, total.note) for total in view.totals])
        self.assertEqual(
            ('libvirt 10.2.3', 'QEMU 9.1.2', "Nova's period 10 s"),
            view.facts)

    def test_a_command_in_a_remedy(self):
        now = int(datetime.datetime.now().timestamp())
        (row,) = page.view(cycle(fakes.Domain(
            4, fakes.healthy(now), period=None)), HOST, MADE, '1').rows
        self.assertEqual(
            ((False, 'hard reboot the guest, or set the period live: '),
             (True, 'virsh dommemstat --live --period 10 '
                    + fakes.uuid_of(4))), row.remedy)

    def test_a_detail_that_quotes_a_tenant(self):
        guest = fakes.Domain(5, fakes.healthy(1))
        guest.document = '<domain><name>\x1b[2J' + 'x' * 9999
        (row,) = page.view(cycle(guest), HOST, MADE, '1').rows
        self.assertTrue(row.detail.isprintable())
        self.assertLessEqual(len(row.detail), page.LINE)


class TestOrder(testtools.TestCase):
    def test_by_status_then_usage_then_name(self):
        """The worst first; of one status the fullest."""
        def row(name, status, util):
            return types.SimpleNamespace(
                name=name, util=util, state=page.STATES[status])
        rows = [
            row('b', page.Status.REPORTING, 11.0),
            row('a', page.Status.REPORTING, 11.0),
            row('c', page.Status.REPORTING, 97.0),
            row('d', page.Status.STALE, None),
            row('e', page.Status.UNREACHABLE, None),
            row('f', page.Status.NOT_RUNNING, None)]
        self.assertEqual('edfcab', ''.join(
            each.name for each in sorted(rows, key=page._order)))


class TestCurve(testtools.TestCase):
    """Steps, each as long as its point stands for; a gap stays a gap."""

    def test_steps_and_a_gap(self):
        series = meters.Series(300.0, (
            (1000.0, 100.0), (1300.0, 150.0), (2200.0, 50.0)))
        self.assertEqual(
            curves.Curve(2000, 'M0 50.00H300V25.00H600M1200 75.00H1500',
                       '50 MiB to 150 MiB used in the last 33 min, 1 gap'),
            curves.curve(series, 1000.0, 3000.0, 200 * 1024))

    def test_a_guest_that_has_stopped(self):
        series = meters.Series(300.0, ((1000.0, 100.0),))
        self.assertEqual(
            '100 MiB to 100 MiB used in the last 2 h, none for the last '
            '115 min',
            curves.curve(series, 1000.0, 8200.0, 200 * 1024).words)

    def test_what_is_older_or_of_the_future_is_left_out(self):
        series = meters.Series(300.0, (
            (900.0, 999.0), (1000.0, 20.0), (2900.0, 40.0), (3000.0, 999.0)))
        found = curves.curve(series, 1000.0, 3000.0, 50 * 1024)
        self.assertEqual('M0 60.00H300M1900 20.00H2000', found.path)
        self.assertIsNone(curves.curve(series, 4000.0, 5000.0, 1))

    def test_more_than_the_machine_has_now(self):
        """It was resized since: the curve is as high as its highest."""
        series = meters.Series(60.0, ((0.0, 400.0), (60.0, 100.0)))
        self.assertEqual('M0 0.00H60V75.00H120',
                         curves.curve(series, 0.0, 600.0, 200 * 1024).path)

    def test_a_page_with_and_without_gnocchi(self):
        now = int(datetime.datetime.now().timestamp())
        found = cycle(fakes.Domain(1, fakes.healthy(now)),
                      fakes.Domain(2, fakes.healthy(now)))
        history = page.History({fakes.uuid_of(2): meters.Series(
            300.0, ((MADE.timestamp() - 600, 256.0),))})
        html = render.render(found, HOST, MADE, '1', history)
        self.assertEqual(1, html.count('class="curve"'))
        self.assertIn('<path d="M85800 75.00H86100"/>', html)
        self.assertIn('256 MiB to 256 MiB used in the last 24 h', html)
        html = render.render(found, HOST, MADE, '1',
                           page.History(error='<b>no token'))
        self.assertIn('No curves: &lt;b&gt;no token', html)
        self.assertEqual(0, html.count('class="curve"'))


class TestRender(testtools.TestCase):

    def test_an_empty_node(self):
        html = render.render(cycle(), HOST, MADE, '1.2.3')
        self.assertIn('There is no guest on this node.', html)
        self.assertNotIn('<script', html)
        self.assertIn('<time datetime="2026-03-05T07:11:13+00:00">'
                      '2026-03-05 07:11:13 UTC</time>', html)

    def test_libvirt_does_not_answer(self):
        html = render.render(cycle(error='<b>no socket\x1b[2J'),
                           page.Host('compute-7'), MADE, '1.2.3')
        self.assertIn('&lt;b&gt;no socket\\x1b[2J', html)
        self.assertNotIn('<table', html)

    def test_nothing_that_a_tenant_wrote_is_markup(self):
        now = int(datetime.datetime.now().timestamp())
        html = render.render(cycle(fakes.Domain(
            1, fakes.healthy(now),
            display_name='&lt;i&gt;"{{ 1 }}&#x202e;')), HOST, MADE, '1')
        self.assertIn('<bdi>&lt;i&gt;&#34;{{ 1 }}\\u202e</bdi>', html)
        self.assertNotIn('<i>', html)
        self.assertNotIn('\u202e', html)

    def test_nothing_is_loaded(self):
        html = render.render(cycle(), HOST, MADE, '1.2.3')
        self.assertNotRegex(html, r'(?i)https?://(?!www\.apache\.org/)')
        self.assertIn('content="default-src &#39;none&#39;; script-src', html)
