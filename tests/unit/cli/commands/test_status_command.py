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

"""The status command, on a libvirt written by hand."""

import csv
import io
import re

import fixtures
import libvirt

from memstat_pollster.cli.output import listing
from memstat_pollster.cli.output import terminal
from tests.unit import commands
from tests.unit import fakes

WEB = {
    'name': 'web', 'libvirt_name': 'instance-00000001',
    'uuid': fakes.uuid_of(1), 'status': 'reporting', 'code': 0,
    'detail': 'fresh and possible', 'age_s': 2.0, 'period_s': 10,
    'used_mib': 234.0, 'available_mib': 490.0, 'util_percent': 47.8,
    'remedy': None,
}
NOTHING = {key: None for key in WEB}
RELOAD = ('see that the guest is alive; in Linux reload virtio_balloon, in '
          'Windows restart the service BalloonService')


def web(number=1, **changes):
    return fakes.Domain(number, fakes.healthy(commands.ago(2)), **changes)


def hung(number=2, **changes):
    return fakes.Domain(number, fakes.healthy(commands.ago(1000)), **changes)


def silent(number, **changes):
    """A guest that has never sent anything."""
    record = {key: value for key, value in fakes.healthy(0).items()
              if key.startswith('state.') or key in (
                  'balloon.current', 'balloon.maximum', 'balloon.rss',
                  'balloon.last-update')}
    record.update(changes)
    return fakes.Domain(number, record, display_name=f'silent{number}')


class _Moving(fakes.Monitor):
    """A guest that has just answered whenever it is read."""

    def __init__(self, record):
        super().__init__()
        self._record = record

    def ask(self):
        self._record['balloon.last-update'] = commands.ago(0)
        return super().ask()


class StatusTest(commands.CommandTest):
    def known(self, *records):
        """The records, whose ages have been checked and are taken off."""
        found = []
        for record in records:
            age_s = record['age_s']
            if age_s is not None:
                self.assertTrue(age_s >= 0, age_s)
            found.append({**record, 'age_s': None})
        return found


class TestJson(StatusTest):
    def test_a_healthy_guest(self):
        self.make(web())
        status, (record,) = self.json('status')
        # The time stamp has whole seconds; the test takes some, too.
        self.assertTrue(2 <= record['age_s'] < 9, record)
        self.assertEqual((0, {**WEB, 'age_s': None}, ''),
                         (status, *self.known(record), self.stderr))

    def test_the_keys_are_an_interface(self):
        self.make(web())
        _status, (record,) = self.json('status')
        self.assertEqual(
            ['name', 'libvirt_name', 'uuid', 'status', 'code', 'detail',
             'age_s', 'period_s', 'used_mib', 'available_mib',
             'util_percent', 'remedy'], list(record))

    def test_a_guest_without_numbers_has_none(self):
        self.make(hung())
        status, (record,) = self.json('status')
        detail = record.pop('detail')
        self.assertRegex(
            detail, r'^the guest last answered 10\d\d s ago, more than 30 s$')
        self.assertEqual(
            (1, {**NOTHING, 'name': 'web', 'uuid': fakes.uuid_of(2),
                 'libvirt_name': 'instance-00000002', 'status': 'stale',
                 'code': 7, 'period_s': 10, 'remedy': RELOAD}),
            (status, {**self.known(record)[0], 'detail': None}))

    def test_guests_come_by_name(self):
        self.make(web(1, display_name='zebra'), web(2, display_name='ant'),
                  web(3, display_name=None), web(4, display_name='ant'))
        _status, records = self.json('status')
        self.assertEqual(
            [('ant', 2), ('ant', 4), (None, 3), ('zebra', 1)],
            [(record['name'], int(record['uuid'][-12:]))
             for record in records])

    def test_no_guests(self):
        self.assertEqual((0, []), self.json('status'))

    def test_one_reading_is_one_bulk_call(self):
        self.make(web(), hung())
        self.json('status')
        self.assertEqual(['open', 'list', 'open', 'stats', 'list'],
                         self.libvirt.calls)

    def test_a_guest_that_reboots_is_waited_for_where_qemu_forgets(self):
        """QEMU 10 and later; of an earlier one the first reading tells."""
        for version, expected, waits in (
                (9_002_000, (1, 'driver_missing'), 0),
                (10_000_000, (0, 'reporting'), 1)):
            guest = hung()
            guest.record = {
                key: value for key, value in fakes.healthy(0).items()
                if key.startswith('state.') or key in (
                    'balloon.rss', 'balloon.maximum', 'balloon.last-update')}
            self.make(guest)
            self.libvirt.qemu_version = version
            waited = []

            def report(progress, seconds, text, guest=guest, waited=waited):
                waited.append(seconds)
                guest.record = fakes.healthy(commands.ago(0))
            self.useFixture(fixtures.MonkeyPatch(
                'memstat_pollster.cli.output.terminal.Progress.wait', report))
            with open(self.conf, 'a') as file:
                file.write('boot_grace = 0\n')
            status, (record,) = self.json('status')
            self.assertEqual((expected, waits),
                             ((status, record['status']), len(waited)))

    def test_a_hostile_name_is_data(self):
        self.make(web(display_name='&lt;b&gt;&#10;&amp;amp;\u202e'))
        _status, (record,) = self.json('status')
        self.assertEqual('<b>\n&amp;\u202e', record['name'])
        self.assertTrue(self.stdout.isascii())


class TestSelection(StatusTest):
    def setUp(self):
        super().setUp()
        self.make(web(1, display_name='front'), hung(2, display_name='back'),
                  web(3, display_name='front'))

    def names(self, *argv):
        status, records = self.json('status', *argv)
        return status, [int(record['uuid'][-12:]) for record in records]

    def test_by_each_of_its_names(self):
        for word in ('back', 'instance-00000002', fakes.uuid_of(2),
                     fakes.uuid_of(2).upper()):
            self.assertEqual((1, [2]), self.names(word), word)

    def test_a_name_that_two_have(self):
        self.assertEqual((0, [1, 3]), self.names('front'))

    def test_each_once_in_the_order_of_the_words(self):
        self.assertEqual((1, [3, 2]), self.names(
            fakes.uuid_of(3), 'back', 'instance-00000003'))

    def test_problems(self):
        self.assertEqual((1, [2]), self.names('--problems'))
        self.assertEqual((0, []), self.names('--problems', 'front'))

    def test_an_unknown_name(self):
        self.assertEqual(3, self.run_command('status', 'frnt'))
        self.assertEqual(
            ('', 'memstat-pollster: no guest of this node is named frnt; did '
                 'you mean front?\n'), (self.stdout, self.stderr))

    def test_a_name_like_no_other(self):
        self.assertEqual(3, self.run_command('status', '\x1b[2Jq'))
        self.assertEqual(
            'memstat-pollster: no guest of this node is named \\x1b[2Jq; '
            '"memstat-pollster status" lists its guests\n', self.stderr)

    def test_no_name_at_all(self):
        """As a script has it whose variable is empty."""
        self.assertEqual(3, self.run_command('status', ''))
        self.assertEqual(
            "memstat-pollster: no guest of this node is named ''; "
            '"memstat-pollster status" lists its guests\n', self.stderr)

    def test_a_name_on_an_empty_node(self):
        self.make()
        self.assertEqual(3, self.run_command('status', 'front'))
        self.assertEqual('memstat-pollster: no guest of this node is named '
                         'front: it has no guests\n', self.stderr)


class TestExitStatus(StatusTest):
    """Fit for Nagios."""

    def status(self, domain):
        self.make(web(1), domain)
        return self.run_command('status', '--wait', '0')

    def test_what_is_no_problem(self):
        paused = hung(2)
        paused.record.update({'state.state': 3, 'state.reason': 1})
        shut_off = fakes.Domain(2, {'state.state': 5, 'state.reason': 1},
                                domain_id=-1)
        for domain in (web(2), paused, shut_off, silent(2)):
            self.assertEqual(0, self.status(domain), domain.record)

    def test_what_is_one(self):
        liar = web(2)
        liar.record['balloon.usable'] = 2**60
        for domain in (hung(2), web(2, period=None), web(2, model='none'),
                       liar):
            self.assertEqual(1, self.status(domain), domain.record)

    def test_what_nova_excuses(self):
        self.set_nova_period(0)
        for domain in (web(2, period=None), web(2, model='none')):
            self.assertEqual(0, self.status(domain), domain.period)
        self.assertEqual(1, self.status(hung(2)))

    def test_libvirt_that_cannot_be_reached(self):
        self.libvirt.open_errors = [fakes.libvirt_error(
            libvirt.VIR_ERR_SYSTEM_ERROR, 'Failed to connect socket to '
            "'/nowhere/libvirt-sock-ro': Connection refused")]
        self.assertEqual(2, self.run_command('status', '-f', 'json'))
        self.assertEqual(
            ('', 'memstat-pollster: libvirt at test:///configured: Failed to '
                 "connect socket to '/nowhere/libvirt-sock-ro': Connection "
                 'refused; see that libvirtd or virtqemud runs ("systemctl '
                 'status libvirtd virtqemud") and that libvirt_uri is its '
                 'URI\n'), (self.stdout, self.stderr))

    def test_the_uri_that_was_named_is_the_one_that_is_told(self):
        self.libvirt.open_errors = [fakes.libvirt_error(
            libvirt.VIR_ERR_NO_CONNECT, 'no such thing')]
        self.assertEqual(2, self.run_command('--uri', 'test:///x', 'status'))
        self.assertEqual('memstat-pollster: libvirt at test:///x: no such '
                         'thing\n', self.stderr)


class TestSummary(StatusTest):
    def test_says_how_many_of_each(self):
        self.make(web(1), web(2), hung(3))
        self.assertEqual(1, self.run_command('status', '--summary'))
        self.assertEqual('3 guests: 2 reporting, 1 stale; 1 to be seen to\n',
                         self.stdout)

    def test_nothing_to_be_seen_to(self):
        self.make(web(1))
        self.assertEqual(0, self.run_command('status', '--summary'))
        self.assertEqual('1 guest: 1 reporting\n', self.stdout)

    def test_no_guests(self):
        self.assertEqual(0, self.run_command('status', '--summary'))
        self.assertEqual('no guests\n', self.stdout)

    def test_an_error_is_on_stdout_too(self):
        """Nagios shows no other stream."""
        self.libvirt.open_errors = [fakes.libvirt_error(
            libvirt.VIR_ERR_NO_CONNECT, 'no such thing')]
        self.assertEqual(2, self.run_command('status', '--summary'))
        self.assertEqual('libvirt at test:///configured: no such thing\n',
                         self.stdout)


class TestNova(StatusTest):
    def test_what_keeps_its_file_from_being_used_is_told(self):
        self.nova_conf.unlink()
        self.make(web())
        self.assertEqual(0, self.run_command('status', '-f', 'json'))
        self.assertEqual(
            "memstat-pollster: Nova's mem_stats_period_seconds is taken to "
            f'be 10 s, because there is no {self.nova_conf}\n', self.stderr)


class TestTable(StatusTest):
    def setUp(self):
        super().setUp()
        self.make(web(1), hung(2, display_name=None))

    def test_all_there_is(self):
        self.assertEqual(1, self.run_command('status'))
        self.assertEqual(f'''\
+--------------------------------------+-----------+---------------+----------\
+--------+--------+------------------------------------------------+
| guest                                | status    | age/period    | used MiB \
| of MiB | util   | remedy                                         |
+--------------------------------------+-----------+---------------+----------\
+--------+--------+------------------------------------------------+
| instance-00000002                    | stale     | N / 10 s | -        \
| -      | -      | see that the guest is alive; in Linux reload   |
| {fakes.uuid_of(2)} |           |               |          \
|        |        | virtio_balloon, in Windows restart the service |
|                                      |           |               |          \
|        |        | BalloonService                                 |
| web                                  | reporting | N / 10 s    | 234.0    \
| 490.0  | 47.8 % | -                                              |
| instance-00000001                    |           |               |          \
|        |        |                                                |
| {fakes.uuid_of(1)} |           |               |          \
|        |        |                                                |
+--------------------------------------+-----------+---------------+----------\
+--------+--------+------------------------------------------------+
2 guests: 1 reporting, 1 stale; 1 to be seen to
''', re.sub(r'\d+\.\d( / )', r'N\1', self.stdout))

    def test_columns_that_are_chosen(self):
        self.run_command('status', '-c', 'uuid', '-c', 'status')
        self.assertEqual(
            ['uuid', fakes.uuid_of(2), fakes.uuid_of(1)],
            re.findall(r'^\| (\S+)', self.stdout, re.MULTILINE))

    def test_sorted_by_a_column_that_it_shows_in_another_way(self):
        self.run_command('status', '--sort-column', 'code')
        self.assertEqual(['reporting', 'stale'], re.findall(
            r'\| (reporting|stale) ', self.stdout))

    def test_no_guests(self):
        self.make()
        self.assertEqual(0, self.run_command('status'))
        self.assertEqual('no guests\n', self.stdout)

    def test_control_characters_of_a_name_are_shown_and_not_sent(self):
        name = 'x&#x85;\u202e&#10;' + 'y' * 100
        self.make(web(display_name=name))
        for formatter in ('table', 'value', 'csv'):
            self.run_command('status', '-f', formatter)
            self.assertEqual([], [
                character for character in self.stdout
                if not character.isprintable() and character not in '\r\n'],
                formatter)
            self.assertIn('x\\x85\\u202e\\n',
                          self.stdout.replace('\\\\', '\\'))

    def test_csv_is_whole(self):
        self.run_command('status', '-f', 'csv')
        rows = list(csv.DictReader(io.StringIO(self.stdout)))
        self.assertEqual(['stale', 'reporting'],
                         [row['status'] for row in rows])
        self.assertEqual(list(listing.COLUMNS), list(rows[0]))

    def test_no_colours_where_it_is_no_terminal(self):
        self.run_command('status')
        self.assertNotIn('\033', self.stdout)


class TestTerminal(StatusTest):
    stream = commands.Terminal

    def setUp(self):
        super().setUp()
        self.make(web(1), hung(2))

    def test_statuses_are_coloured(self):
        self.run_command('status')
        self.assertIn('| \033[32mreporting\033[0m | ', self.stdout)
        self.assertIn('| \033[31mstale\033[0m     | ', self.stdout)

    def test_colours_can_be_refused(self):
        for name, value in (('NO_COLOR', '1'), ('TERM', 'dumb')):
            with fixtures.EnvironmentVariable(name, value):
                self.run_command('status')
            self.assertNotIn('\033', self.stdout, name)

    def test_other_formats_are_never_coloured(self):
        self.run_command('status', '-f', 'json')
        self.assertNotIn('\033', self.stdout)

    def test_the_remedy_takes_the_width_that_is_left(self):
        self.run_command('status')
        widths = {len(re.sub('\033\\[[0-9]*m', '', line))
                  for line in self.stdout.splitlines()[:-1]}
        self.assertEqual(1, len(widths))
        self.assertTrue(140 < widths.pop() <= 160)


class TestNarrowTerminal(StatusTest):
    """Nothing is left out where there are fewer columns."""

    stream = commands.Terminal

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.EnvironmentVariable('NO_COLOR', '1'))

    def lines(self, columns, *argv):
        with fixtures.EnvironmentVariable('COLUMNS', str(columns)):
            self.run_command('status', '--wait', '0', *argv)
        return self.stdout.split('\n')

    def test_every_line_has_its_place(self):
        self.make(web(1), hung(2, display_name='a-name-as-wide-as-some'))
        # How wide the ages are depends on the machine.
        self.assertEqual([
            'guest status age/period used MiB of MiB util', '-' * 75,
            'a-name-as-wide-as-some',
            ' stale N / 10 s - - -',
            f' instance-00000002 {fakes.uuid_of(2)}',
            ' see that the guest is alive; in Linux reload virtio_balloon, in '
            'Windows',
            ' restart the service BalloonService',
            'web reporting N / 10 s 234.0 490.0 47.8 %',
            f' instance-00000001 {fakes.uuid_of(1)}',
            '2 guests: 1 reporting, 1 stale; 1 to be seen to', '',
        ], [re.sub(' +', ' ', re.sub(r'\d+\.\d( / )', r'N\1', line))
            for line in self.lines(75)])

    def test_an_option_narrows_it_too(self):
        self.make(web(1))
        self.stream = io.StringIO
        self.assertEqual('-' * 70, self.lines(160, '--max-width', '70')[1])
        self.assertEqual('-' * 90, self.lines(90, '--fit-width')[1])
        self.assertTrue(self.lines(90)[0].startswith('+---'))

    def test_no_line_is_wider_whatever_the_names(self):
        self.make(
            # Of a long period: it stays fresh however long the loop takes.
            web(1, display_name='W' * 9000, period=3600),
            hung(2, display_name='网' * 40),
            hung(3, display_name='&#x1f600;e&#x301;' * 20 + '&#10;&#x85;'),
            web(4, display_name='x', period=None), silent(5),
            web(6, model='none', display_name=None))
        for columns in (*range(38, 110), 142, 143, 150, 160, 200, 250):
            for line in self.lines(columns):
                self.assertTrue(terminal.columns(line) <= columns,
                                (columns, line))
            for number in range(1, 7):
                self.assertIn(fakes.uuid_of(number), self.stdout)
            # Two of them are those of remedies.
            self.assertEqual((63, 40), (self.stdout.count('W'),
                                        self.stdout.count('网')))
            self.assertEqual([], [
                character for character in self.stdout
                if not character.isprintable() and character != '\n'])

    def test_a_command_in_a_remedy_is_torn_at_no_hyphen(self):
        self.make(web(1, period=None))
        for columns in (*range(40, 110), 142, 143, 160):
            lines = self.lines(columns)
            self.assertTrue(any(fakes.uuid_of(1) + '"' in line
                                for line in lines), columns)
            self.assertTrue(any('--period' in line for line in lines))

    def test_an_empty_table_only_where_it_is_asked_for(self):
        self.assertEqual(['no guests', ''], self.lines(80))
        self.assertEqual(
            ['guest  status           age/period  used MiB  of MiB     util',
             '-' * 80, 'no guests', ''], self.lines(80, '--print-empty'))


class TestSecondReading(StatusTest):
    """One reading cannot tell a moving guest from a frozen one."""

    memstat = 'boot_grace = 2'

    def resumed(self, number, period=1):
        """A guest that was resumed before the command was started."""
        domain = web(number, period=period)
        domain.record['state.reason'] = 5
        return domain

    def test_a_guest_that_moves(self):
        domain = self.resumed(1)
        domain.monitor = _Moving(domain.record)
        self.make(domain)
        status, (record,) = self.json('status')
        self.assertEqual((0, 'reporting', 2), (
            status, record['status'], self.libvirt.count('stats')))

    def test_a_guest_that_does_not(self):
        self.make(self.resumed(1))
        status, (record,) = self.json('status')
        self.assertEqual((1, 'stale'), (status, record['status']))
        # Two where the second came late.
        self.assertIn(self.libvirt.count('stats'), (2, 3))

    def test_it_waits_for_no_guest_of_a_longer_period_than_it_may(self):
        self.make(self.resumed(1, period=60))
        status, (record,) = self.json('status')
        self.assertEqual((0, 'starting', 1), (
            status, record['status'], self.libvirt.count('stats')))

    def test_it_waits_for_no_guest_that_was_not_asked_for(self):
        self.make(self.resumed(1), web(2, display_name='other'))
        status, (record,) = self.json('status', 'other')
        self.assertEqual((0, 'reporting', 1), (
            status, record['status'], self.libvirt.count('stats')))

    def test_it_need_not_wait(self):
        self.make(self.resumed(1))
        status, (record,) = self.json('status', '--wait', '0')
        self.assertEqual((0, 'starting', 1), (
            status, record['status'], self.libvirt.count('stats')))

    def test_a_guest_that_has_sent_nothing_for_as_long_as_a_boot(self):
        """Its QEMU cannot be seen, so it is watched."""
        self.make(silent(1))
        status, (record,) = self.json('status')
        self.assertEqual((1, 'driver_missing'), (status, record['status']))
        self.assertEqual(2, self.libvirt.count('stats'))

    def test_progress_is_shown_on_a_terminal_and_then_gone(self):
        self.stream = commands.Terminal
        self.make(self.resumed(1))
        self.run_command('status', '-f', 'json', '--wait', '3')
        self.assertIn('1 of 1 guests cannot be told by one reading; read '
                      'again in 2 s', self.stderr)
        self.assertTrue(self.stderr.endswith('\r\033[K'), self.stderr)
