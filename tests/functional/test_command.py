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

"""The installed command, on guests of every status."""

import csv
import fcntl
import io
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from testtools import content

from benchmarks import counting
from tests.functional import published
from tests.functional.published import mib
from tests.functional import test_signatures
from tests import node
from tests.node import agent

COMMAND = os.path.join(os.path.dirname(sys.executable), 'memstat-pollster')

#: How old the numbers of a guest that answers every second may be: the
#: machine is busy.
FRESH_S = published.STALE_AFTER

HOSTILE = '<script>alert(1)</script>\x85\u202e\n[2J' + 'W' * 9000

NOTHING = {'age_s': None, 'used_mib': None, 'available_mib': None,
           'util_percent': None, 'remedy': None}
RELOAD_WINDOWS = ('see that the guest is alive and restart its service '
                  'BalloonService')
UNREACHABLE = (
    'see whether QEMU hangs (storage, a stopped process) or a long job runs: '
    '"virsh domcontrol" and "virsh domjobinfo" of this guest')
IMPOSSIBLE = ('the guest sends impossible numbers: look for a broken or '
              'hostile balloon driver in it')
SENT = {'swap_in': 7, 'swap_out': 13}


class CommandTest(published.SharedGuestsTest):
    """Runs the command as an operator does.

    :cvar directory: of its configuration, which is that of an agent
    """

    memstat = ('boot_grace = 3\nread_timeout = 2\n'
               f'stale_after_periods = {published.STALE_AFTER}\n')
    period_s = 10

    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(
            prefix='memstat-command-', dir='/tmp'))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.directory.chmod(0o755)
        cls.nova_conf = cls.directory / 'nova.conf'
        super().setUpClass()
        cls.configuration = cls.configure(cls.period_s)

    @classmethod
    def configure(cls, period_s):
        """A ceilometer.conf beside a nova.conf."""
        cls.nova_conf.write_text(
            f'[libvirt]\nmem_stats_period_seconds = {period_s}\n')
        path = cls.directory / 'ceilometer.conf'
        path.write_text(
            f'[DEFAULT]\nlibvirt_uri = {cls.node.ro_uri}\n'
            f'[memstat]\nnova_config_files = {cls.nova_conf}\n{cls.memstat}')
        return path

    @classmethod
    def command(cls, *argv, root=False):
        return [*(() if root else agent.unprivileged()), sys.executable,
                COMMAND, '--config-file', str(cls.configuration),
                '--config-dir', str(cls.directory), *argv]

    def run_command(self, *argv, root=False, **options):
        """A process that has ended; by nobody unless it is said."""
        return subprocess.run(
            self.command(*argv, root=root), cwd='/', text=True, timeout=120,
            capture_output=True, stdin=subprocess.DEVNULL, **options)

    def json(self, *argv, **options):
        """(exit status, what it prints as JSON, what it says beside it)."""
        done = self.run_command(*argv, '-f', 'json', **options)
        self.addDetail('stderr', content.text_content(done.stderr))
        return done.returncode, json.loads(done.stdout), done.stderr


class StatusTest(CommandTest):
    @classmethod
    def make_guests(cls):
        windows = {'properties': {'os_type': 'windows'}}
        cls.web = cls.new_scripted('web', mib(500, 90, 266, 111, **SENT))
        cls.old = cls.new_scripted('old', mib(320, 72))
        cls.paused = cls.new_scripted('paused', mib(415, 85, 215))
        cls.no_device = cls.new_scripted('no-device', model='none')
        cls.no_period = cls.new_scripted('no-period', mib(430, 87, 203),
                                         period=None)
        cls.silent = cls.new_scripted('silent',
                                      properties={'os_distro': 'cirros'})
        cls.service = cls.new_scripted(
            'service', node.windows_without_service(), answers=False,
            **windows)
        cls.hung = cls.new_scripted('hung', mib(420, 92, 202), answers=False,
                                    **windows)
        cls.liar = cls.new_scripted(
            'liar', node.linux_stats(2**52, 204800, avail_kib=1))
        cls.resumed = cls.new_scripted('resumed', mib(410, 91, 201),
                                       period=600)
        cls.frozen = cls.new_scripted('frozen', mib(440, 94, 204))
        cls.off = cls.new_scripted('off')
        cls.hostile = cls.new_scripted('hostile', mib(450, 95, 205),
                                       display_name=HOSTILE)
        cls.paused.domain.suspend()
        cls.resumed.domain.suspend()
        cls.resumed.domain.resume()
        cls.off.close()
        cls.off.domain.destroy()
        cls.frozen.freeze()
        # The guests that say nothing have done so for long enough.
        time.sleep(published.STALE_AFTER + 2)

    @staticmethod
    def row(guest, status, detail, period_s=1, **changes):
        return {**NOTHING, 'name': guest.display_name,
                'libvirt_name': guest.name, 'uuid': guest.uuid,
                'status': status, 'code': published.CODES[status],
                'detail': detail, 'period_s': period_s, **changes}

    def expected(self):
        """What is to be told of every guest, without ages."""
        web, old, hostile = (dict(zip((
            'used_mib', 'available_mib', 'util_percent'), numbers,
            strict=True)) for numbers in (
                (234.0, 500.0, 46.8), (248.0, 320.0, 77.5),
                (245.0, 450.0, 54.4)))
        rows = [
            self.row(self.web, 'reporting', test_signatures.HEALTHY, **web),
            self.row(self.old, 'reporting', test_signatures.HEALTHY, **old),
            self.row(self.hostile, 'reporting', test_signatures.HEALTHY,
                     **hostile),
            self.row(self.resumed, 'starting', 'its time stamp is not yet '
                     'known to be its own: the guest may have been restored, '
                     'migrated or resumed, or the clock was set, since it '
                     'was last seen to answer', 600),
            self.row(self.paused, 'not_running', 'the guest is paused'),
            self.row(self.off, 'not_running', 'the guest is shut off'),
            self.row(self.no_device, 'no_device',
                     "its live XML has <memballoon model='none'/>", None,
                     remedy=test_signatures.HARD_REBOOT),
            self.row(self.no_period, 'stats_disabled', 'its live XML has a '
                     'memballoon without a statistics period', None,
                     remedy=test_signatures.set_period(self.no_period)),
            self.row(self.silent, 'driver_missing', test_signatures.NEVER,
                     remedy=test_signatures.CIRROS_DRIVER),
            self.row(self.service, 'service_missing',
                     test_signatures.NO_NUMBERS,
                     remedy=test_signatures.WINDOWS_SERVICE),
            self.row(self.hung, 'stale', test_signatures.SILENT,
                     remedy=RELOAD_WINDOWS),
            self.row(self.liar, 'invalid', 'available 4503599627370496 KiB '
                     'is more than the 524288 KiB the guest can have',
                     remedy=IMPOSSIBLE),
            self.row(self.frozen, 'unreachable', test_signatures.STOPPED,
                     None, remedy=UNREACHABLE),
        ]
        return sorted(rows, key=lambda row: (row['name'], row['uuid']))

    def check_ages(self, rows):
        """Ages are right by the clock; they are taken off."""
        now = time.time()
        for row in rows:
            row['detail'] = published.counted(row['detail'])
            age_s, row['age_s'] = row['age_s'], None
            if row['status'] in ('reporting', 'invalid'):
                self.assertTrue(0 <= age_s <= FRESH_S, row)
            elif row['status'] in ('stale', 'stats_disabled'):
                guest = (self.hung if row['status'] == 'stale'
                         else self.no_period)
                stamp = guest.domain.memoryStats()['last_update']
                self.assertTrue(0 <= now - stamp - age_s <= 60, row)
            else:
                self.assertIsNone(age_s, row)
        return rows


class TestStatus(StatusTest):
    """One node with a guest of every status that DESIGN has."""

    def test_every_status_as_json(self):
        status, rows, said = self.json('status', '--wait', '0')
        self.assertEqual(self.expected(), self.check_ages(rows))
        self.assertEqual((1, ''), (status, said))
        self.assertEqual(set(published.CODES),
                         {row['status'] for row in rows})

    def test_where_ceilometer_is_not_installed(self):
        program = ('import sys; sys.modules["ceilometer"] = None\n'
                   'from memstat_pollster.cli import application\n'
                   'sys.exit(application.main(sys.argv[1:]))')
        done = subprocess.run(
            [sys.executable, '-c', program, *self.command()[-4:], 'status',
             '-f', 'json', '--wait', '0'], capture_output=True, text=True,
            timeout=120)
        self.assertEqual((1, ''), (done.returncode, done.stderr))
        self.assertEqual(self.expected(),
                         self.check_ages(json.loads(done.stdout)))

    def test_yaml_and_csv_say_the_same_of_each(self):
        done = self.run_command('status', '--wait', '0', '-f', 'csv')
        self.assertEqual(
            [(row['uuid'], row['status']) for row in self.expected()],
            [(row['uuid'], row['status'])
             for row in csv.DictReader(io.StringIO(done.stdout))])
        done = self.run_command('status', '--wait', '0', '-f', 'yaml')
        self.assertEqual(
            {row['uuid'] for row in self.expected()},
            set(re.findall(r'uuid: (\S+)', done.stdout)))

    def test_table_and_counts(self):
        done = self.run_command('status', '--wait', '0')
        self.assertEqual(
            '13 guests: 3 reporting, 1 starting, 2 not_running, 1 no_device, '
            '1 stats_disabled, 1 driver_missing, 1 service_missing, 1 stale, '
            '1 invalid, 1 unreachable; 7 to be seen to',
            done.stdout.splitlines()[-1])
        for row in self.expected():
            self.assertIn(row['uuid'], done.stdout)
            self.assertIn(row['status'], done.stdout)
        self.assertEqual([], [
            character for character in done.stdout
            if not character.isprintable() and character != '\n'])
        self.assertIn('<script>alert(1)</script>\\x85\\u202e\\n[2JWW',
                      done.stdout)

    def test_problems_and_the_exit_status(self):
        status, rows, _said = self.json('status', '--problems', '--wait', '0')
        self.assertEqual(1, status)
        self.assertEqual(
            {'no_device', 'stats_disabled', 'driver_missing', 'stale',
             'service_missing', 'invalid', 'unreachable'},
            {row['status'] for row in rows})
        status, rows, _said = self.json(
            'status', '--wait', '0', self.web.name, self.paused.uuid,
            'Server old')
        self.assertEqual((0, [self.web.uuid, self.paused.uuid,
                              self.old.uuid]),
                         (status, [row['uuid'] for row in rows]))

    def test_what_nova_excuses(self):
        self.configure(0)
        self.addCleanup(self.configure, self.period_s)
        status, rows, _said = self.json('status', '--wait', '0',
                                        self.no_device.uuid,
                                        self.no_period.uuid)
        self.assertEqual(0, status)
        self.assertIn("Nova's [libvirt]mem_stats_period_seconds is not above "
                      '0', rows[0]['remedy'])

    def test_a_name_that_is_nearly_right(self):
        done = self.run_command('status', 'Server wbe')
        self.assertEqual((3, ''), (done.returncode, done.stdout))
        self.assertEqual('memstat-pollster: no guest of this node is named '
                         'Server wbe; did you mean Server web?\n'.replace(
                             ' or Server', ''),
                         re.sub(r'(web)( or [^?]*)?\?', r'\1?', done.stderr))

    def test_show_every_guest(self):
        for row in self.expected():
            status, shown, _said = self.json('show', row['uuid'],
                                             '--wait', '0')
            rules = [rule for rule in shown['rules'] if rule['holds']]
            self.assertEqual(
                [row['status']], [rule['status'] for rule in rules])
            self.assertEqual(row, {
                key: value for key, value in
                self.check_ages([shown])[0].items() if key in row})
            self.assertEqual(int(row['remedy'] is not None), status)
            self.assertEqual(row['remedy'] is not None, bool(shown['steps']))

    def test_show_for_people(self):
        done = self.run_command('show', self.web.name)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        for line in ('  used      234.0 of 500.0 MiB, 46.8 %: available - '
                     'usable',
                     '  YES  reporting        fresh and possible',
                     '  available         512000  MemTotal          all '
                     'that its kernel manages'):
            self.assertIn(line + '\n', done.stdout)
        self.assertIn(
            f' Nova mem_stats_period_seconds is 10 ({self.nova_conf}) ',
            re.sub(r'(\S)\s+', r'\1 ', done.stdout))


class TestSecondReading(CommandTest):
    """What one reading cannot tell: whether a resumed guest still answers."""

    @classmethod
    def make_guests(cls):
        cls.alive = cls.new_scripted('alive', mib(401, 81, 201), period=2)
        cls.dead = cls.new_scripted('dead', mib(402, 82, 202), answers=False)
        for guest in (cls.alive, cls.dead):
            guest.domain.suspend()
            guest.domain.resume()

    def test_it_is_read_until_it_is_told(self):
        status, rows, said = self.json('status')
        self.assertEqual(
            (1, ['reporting', 'stale'], ''),
            (status, [row['status'] for row in rows], said))


class TestCost(CommandTest):
    # One that takes long is looked after by more calls.
    memstat = f'{CommandTest.memstat}read_timeout = 300\n'

    @classmethod
    def make_guests(cls):
        for number in range(3):
            cls.new_scripted(f'g{number}', mib(400 + number, 80, 200))

    def test_one_bulk_read(self):
        """What libvirtd gets to see of a command."""
        proxy = counting.CountingSocket(self.directory / 'counted',
                                        self.node.socket_ro)
        self.addCleanup(proxy.close)
        status, rows, _said = self.json('--uri', proxy.uri, 'status',
                                        root=True)
        self.assertEqual((0, 3), (status, len(rows)))
        calls = proxy.take()
        self.assertEqual(
            {'CONNECT_GET_ALL_DOMAIN_STATS': 1, 'DOMAIN_GET_XML_DESC': 3,
             'CONNECT_LIST_ALL_DOMAINS': 2, 'CONNECT_OPEN': 2},
            {name: calls[name] for name in counting.NAMES.values()
             if calls.get(name) and name not in (
                 'AUTH_LIST', 'CONNECT_SUPPORTS_FEATURE')})


class TestLibvirtAway(CommandTest):
    def test_no_socket(self):
        done = self.run_command('--uri', 'qemu:///system?socket=/no/such',
                                'status')
        self.assertEqual((2, ''), (done.returncode, done.stdout))
        self.assertEqual(
            "memstat-pollster: libvirt at qemu:///system?socket=/no/such: "
            "Failed to connect socket to '/no/such': No such file or "
            'directory; see that libvirtd or virtqemud runs ("systemctl '
            'status libvirtd virtqemud") and that libvirt_uri is its URI\n',
            done.stderr)

    def test_a_socket_that_is_not_for_everybody(self):
        uri = self.node.rw_uri
        done = self.run_command('--uri', uri, 'status')
        self.assertEqual((2, ''), (done.returncode, done.stdout))
        self.assertIn('Permission denied; the socket is open to its owner '
                      'root alone (mode 0700): go on as root\n', done.stderr)

    def test_a_frozen_daemon(self):
        self.node.freeze_daemon()
        self.addCleanup(self.node.thaw_daemon)
        done = self.run_command('status', '--summary')
        self.assertEqual(2, done.returncode)
        self.assertRegex(done.stdout, r'libvirt did not answer within \d s')


class TestConfiguration(CommandTest):
    """Nothing but a line that names what cannot be used."""

    def fails(self, *argv):
        done = subprocess.run(
            [*agent.unprivileged(), sys.executable, COMMAND, *argv, 'status'],
            capture_output=True, text=True, cwd='/', timeout=120)
        self.assertEqual((3, '', 1), (done.returncode, done.stdout,
                                      done.stderr.count('\n')), done.stderr)
        return done.stderr

    def test_files_that_cannot_be_used(self):
        broken = self.directory / 'broken.txt'
        broken.write_text('[DEFAULT\n')
        self.assertIn(str(broken), self.fails('--config-file', str(broken)))
        self.assertIn('/no/such', self.fails('--config-file', '/no/such'))
        self.assertIn('/no/such', self.fails('--config-dir', '/no/such'))


class TestEnable(CommandTest):
    """Guests without a period, made to report on real QEMU."""

    period_s = 1

    def enable(self, *argv):
        return self.json('--uri', self.node.rw_uri, 'enable', *argv,
                         root=True)

    def period_of(self, guest, flags=0):
        found = re.search(r"<stats period='(\d+)'/>",
                          guest.domain.XMLDesc(flags))
        return int(found.group(1)) if found else None

    def test_a_linux_guest(self):
        guest = self.linux('web', period=None)
        own = guest.meminfo()
        persistent = guest.domain.XMLDesc(2)
        _status, rows, _said = self.json('status', guest.uuid)
        self.assertEqual('stats_disabled', rows[0]['status'])
        status, (row,), said = self.enable(guest.name, '--yes')
        self.assertEqual((0, '', 'set', 'reporting'),
                         (status, said, row['action'], row['status']))
        self.assertEqual((1, persistent), (self.period_of(guest),
                                           guest.domain.XMLDesc(2)))
        status, (row,), _said = self.json('status', guest.uuid)
        self.assertEqual((0, 'reporting', round(own['MemTotal'] / 1024, 1)),
                         (status, row['status'], row['available_mib']))

    def test_all_and_no_other(self):
        first = self.scripted('first', period=None, attach=True)
        second = self.scripted('second', period=0, attach=True)
        slow = self.scripted('slow', period=60, attach=True)
        none = self.scripted('none', model='none')
        for guest in (first, second, slow):
            guest.driver.push(mib(411, 83, 203))
        status, rows, said = self.enable('--all', '--dry-run')
        ours = {guest.uuid for guest in (first, second, slow, none)}
        planned = {row['uuid']: row['action'] for row in rows
                   if row['uuid'] in ours}
        self.assertEqual({first.uuid: 'would_set', second.uuid: 'would_set',
                          none.uuid: 'skipped'}, planned)
        self.assertIsNone(self.period_of(first))
        status, rows, said = self.enable('--all', '--yes')
        self.assertEqual((1, ''), (status, said))
        self.assertEqual(
            {first.uuid: ('set', 'reporting'),
             second.uuid: ('set', 'reporting'),
             none.uuid: ('skipped', 'no_device')},
            {row['uuid']: (row['action'], row['status']) for row in rows
             if row['uuid'] in ours})
        self.assertEqual([1, 1, 60], [
            self.period_of(guest) for guest in (first, second, slow)])

    def test_what_it_refuses(self):
        without = self.scripted('without', period=None, attach=True)
        none = self.scripted('none', model='none')
        slow = self.scripted('slow', period=60, attach=True)
        frozen = self.scripted('frozen', period=None, attach=True)
        frozen.freeze()
        self.addCleanup(frozen.thaw)
        status, rows, _said = self.enable(none.name, slow.name, frozen.name,
                                          '--yes')
        self.assertEqual(
            (1, [('skipped', 'it has no balloon device: hard reboot it, so '
                  'that Nova writes its XML anew'),
                 ('skipped', 'its period is 60 s already'),
                 ('skipped', test_signatures.STOPPED)]),
            (status, [(row['action'], row['detail']) for row in rows]))
        self.configure(0)
        self.addCleanup(self.configure, self.period_s)
        done = self.run_command('--uri', self.node.rw_uri, 'enable', '--yes',
                                without.name, root=True)
        self.assertEqual((3, ''), (done.returncode, done.stdout))
        self.assertIn('statistics are switched off on purpose', done.stderr)
        self.assertIsNone(self.period_of(without))

    def test_a_user_who_may_only_read(self):
        guest = self.scripted('without', period=None, attach=True)
        done = self.run_command('--uri', self.node.ro_uri, 'enable', '--yes',
                                guest.name)
        self.assertEqual((3, ''), (done.returncode, done.stdout))
        self.assertIn('read only access prevents '
                      'virDomainSetMemoryStatsPeriod; go on as root',
                      done.stderr)
        self.assertIsNone(self.period_of(guest))


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, argv, columns=150, **environment):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack('HHHH', 40, columns, 0, 0))
        self._slave = slave
        self.before = termios.tcgetattr(slave)
        variables = {key: value for key, value in os.environ.items()
                     if key not in ('NO_COLOR', 'COLUMNS', 'LINES')}
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, cwd='/',
            env={**variables, 'TERM': 'xterm', **environment},
            start_new_session=True, preexec_fn=self._take_terminal)
        self.output = ''

    @staticmethod
    def _take_terminal():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # A shell's background jobs ignore it, and their children with them.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def read(self, timeout=0.1):
        while select.select([self.master], [], [], timeout)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            self.output += data.decode(errors='replace')

    def wait_for(self, text, count=1):
        def seen():
            self.read(0)
            return self.output.count(text) >= count
        node.wait_for(seen, 60, repr(text))

    def end(self):
        """Its exit status; what it left of the terminal is in ``after``."""
        def ended():
            self.read(0)
            return self.process.poll() is not None
        node.wait_for(ended, 60, 'end of the command')
        self.read()
        self.after = termios.tcgetattr(self._slave)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self._slave)


class TestTerminal(CommandTest):
    """What an operator sees, and what is left of the terminal."""

    @classmethod
    def make_guests(cls):
        cls.web = cls.new_scripted('web', mib(500, 90, 266, 111))
        cls.hung = cls.new_scripted('hung', mib(420, 92, 202), answers=False)
        cls.without = cls.new_scripted('without', mib(430, 93, 203),
                                       period=None)
        cls.resumed = cls.new_scripted('resumed', mib(440, 94, 204),
                                       period=3)
        cls.resumed.domain.suspend()
        cls.resumed.domain.resume()

    def start(self, *argv, root=False, **environment):
        terminal = Terminal(self.command(*argv, root=root), **environment)
        self.addCleanup(terminal.close)
        self.addCleanup(lambda: self.addDetail(
            'terminal', content.text_content(repr(terminal.output))))
        return terminal

    def clean(self, terminal):
        """Nothing is switched that was not before."""
        self.assertEqual(terminal.before, terminal.after)
        for on, off in (('\033[?1049h', '\033[?1049l'),
                        ('\033[?25l', '\033[?25h'), ('\033[?7l', '\033[?7h')):
            self.assertEqual(terminal.output.count(on),
                             terminal.output.count(off), repr(on))
            self.assertLessEqual(terminal.output.rfind(on),
                                 terminal.output.rfind(off))

    def test_colours_and_a_table_as_wide_as_the_terminal(self):
        terminal = self.start('status', '--wait', '0')
        self.assertEqual(1, terminal.end())
        self.assertIn('\033[32mreporting\033[0m', terminal.output)
        lines = re.sub('\033\\[[0-9;]*m', '', terminal.output).split('\r\n')
        self.assertTrue(max(map(len, lines)) <= 150, lines)
        self.clean(terminal)

    def test_it_fits_narrower_terminals_and_leaves_nothing_out(self):
        for columns in (60, 80, 100, 160):
            terminal = self.start('status', '--wait', '0', columns=columns)
            self.assertEqual(1, terminal.end())
            shown = re.sub('\033\\[[0-9;]*m', '', terminal.output)
            lines = shown.split('\r\n')
            self.assertTrue(max(map(len, lines)) <= columns, lines)
            self.assertEqual(columns == 160, shown.startswith('+---'))
            words = re.sub(r'[\s|]+', ' ', shown)
            for guest in (self.web, self.hung, self.without, self.resumed):
                for word in (guest.display_name, guest.name, guest.uuid):
                    self.assertIn(word, words, columns)
            for word in ('starting', 'stats_disabled', '--period 10',
                         f'{self.without.uuid}"', '4 guests: '):
                self.assertIn(word, words, columns)

    def test_no_colours_for_those_who_want_none(self):
        terminal = self.start('status', '--wait', '0', NO_COLOR='1')
        self.assertEqual(1, terminal.end())
        self.assertNotIn('\033[3', terminal.output)

    def test_progress_is_shown_and_gone(self):
        terminal = self.start('status')
        self.assertEqual(1, terminal.end())
        self.assertIn('1 of 4 guests cannot be told by one reading',
                      terminal.output)
        self.assertIn('\r\033[K+---', terminal.output)

    def test_watch_draws_again_until_ctrl_c(self):
        terminal = self.start('status', '--watch', '0.3')
        terminal.wait_for('4 guests: ', 3)
        os.write(terminal.master, b'\x03')
        self.assertEqual(130, terminal.end())
        self.assertTrue(terminal.output.rstrip().endswith('\033[?1049l'),
                        repr(terminal.output[-80:]))
        self.assertNotIn('Traceback', terminal.output)
        self.clean(terminal)

    def test_watch_that_is_killed(self):
        terminal = self.start('status', '--watch=0.3')
        terminal.wait_for('4 guests: ')
        terminal.process.send_signal(signal.SIGTERM)
        self.assertEqual(143, terminal.end())
        self.clean(terminal)

    def test_watch_without_libvirt_goes_on(self):
        terminal = self.start('--uri', 'qemu:///system?socket=/no/such',
                              'status', '--watch', '0.3')
        terminal.wait_for('No such file or directory', 3)
        os.write(terminal.master, b'\x03')
        self.assertEqual(130, terminal.end())
        self.clean(terminal)

    def test_ctrl_c_while_it_waits(self):
        guest = self.scripted('waits', period=200, attach=True)
        guest.driver.push(mib(450, 95, 205))
        guest.domain.suspend()
        guest.domain.resume()
        # Its next numbers are due after 600 s; it waits for no others.
        terminal = self.start('status', '--wait', '900', guest.name)
        terminal.wait_for('cannot be told')
        os.write(terminal.master, b'\x03')
        self.assertEqual(130, terminal.end())
        self.assertTrue(terminal.output.endswith('\r\033[K'),
                        repr(terminal.output[-80:]))
        self.assertNotIn('Traceback', terminal.output)

    def test_enable_shows_its_plan_and_asks(self):
        terminal = self.start('--uri', self.node.rw_uri, 'enable',
                              self.without.name, root=True)
        terminal.wait_for('Set the period of 1 guest to 10 s, live? [y/N] ')
        self.assertIn(f'+ Server without / {self.without.name} '
                      f'({self.without.uuid}): its period is to be 10 s',
                      terminal.output)
        os.write(terminal.master, b'n\n')
        self.assertEqual(3, terminal.end())
        self.assertIn('nothing has been changed', terminal.output)
        self.assertNotIn("<stats period", self.without.domain.XMLDesc())
