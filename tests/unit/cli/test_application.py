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

"""The application: its options, its configuration, and how it ends."""

import grp
import logging
import os
import pathlib
import re
import shutil
import subprocess
import sys

import fixtures
import libvirt
import testtools

from memstat_pollster.cli import application
from memstat_pollster.cli.doctor import rights
from memstat_pollster.config import ceilometer_conf
from memstat_pollster.config import errors
from tests.unit import commands
from tests.unit import fakes
from tests.unit import servers

NOBODY = 65534


class TestHelp(commands.CommandTest):
    def test_without_a_command_there_is_help(self):
        self.assertEqual(0, self.run_command())
        self.assertIn('Show every guest of this node', self.stdout)

    def test_of_the_command(self):
        self.assertEqual(0, self.run_command('--help'))
        self.assertIn('--config-file PATH', self.stdout)

    def test_of_a_subcommand_needs_no_configuration(self):
        self.conf.unlink()
        for words in (('status', '--help'), ('help', 'status')):
            self.assertEqual(0, self.run_command(*words), words)
            self.assertIn('--problems', self.stdout)


class TestExitStatuses(commands.CommandTest):
    """Each help names every exit status of its command, and no other."""

    def test_in_each_help(self):
        for name in ('doctor', 'enable', 'gnocchi-resources',
                     'gnocchi-upgrade', 'report', 'show', 'status'):
            self.assertEqual(0, self.run_command(name, '--help'))
            words = ' '.join(self.stdout.split())
            self.assertEqual(1, words.count('Exit status: '), name)
            few = name.startswith('gnocchi')
            self.assertEqual(
                ['0', '3'] if few else ['0', '1', '2', '3'],
                re.findall(r'(\d) when ', words.partition(
                    'Exit status: ')[2]), name)


class TestImports(testtools.TestCase):
    def test_a_command_imports_no_other_and_nothing_of_ceilometer(self):
        """What is not imported takes no time."""
        program = ('import sys\n'
                   'from memstat_pollster.cli import application\n'
                   'application.main(["--uri", "test:///no/such.xml", '
                   '"--config-file", "/dev/null", "status"])\n'
                   'print(*sys.modules)\n')
        done = subprocess.run([sys.executable, '-c', program],
                              capture_output=True, text=True)
        imported = set(done.stdout.split())
        self.assertIn('memstat_pollster.cli.commands.status_command', imported)
        self.assertEqual(set(), imported & {
            'ceilometer', 'cmd2', 'jinja2', 'requests', 'rich',
            'memstat_pollster.cli.commands.enable_command',
            'memstat_pollster.cli.commands.report_command',
            'memstat_pollster.cli.commands.show_command',
            'memstat_pollster.agent.pollsters'})


class TestUsage(commands.CommandTest):
    """Wrong words end with 3: 2 would say that libvirt is away."""

    def test_unknown_command(self):
        self.assertEqual(3, self.run_command('sttaus'))
        self.assertIn('Did you mean one of these?\n  status\n', self.stdout)

    def test_unknown_option(self):
        self.useFixture(commands.CapturedStderr())
        self.assertEqual(3, self.run_command('status', '--bogus'))

    def test_a_wait_that_is_no_number(self):
        self.useFixture(commands.CapturedStderr())
        for word in ('x', '-1', 'nan', 'inf'):
            self.assertEqual(3, self.run_command('status', f'--wait={word}'))

    def test_an_unknown_column(self):
        self.assertEqual(3, self.run_command('status', '-c', 'bogus'))
        self.assertIn('No recognized column names', self.stderr)
        self.assertNotIn('Traceback', self.stderr)


class TestConfiguration(commands.CommandTest):
    """What cannot be used is named; there is never a traceback."""

    def fails(self, *argv):
        self.assertEqual(3, self.run_command(*argv, 'status'))
        self.assertEqual('', self.stdout)
        self.assertNotIn('Traceback', self.stderr)
        self.assertEqual(1, self.stderr.count('\n'), self.stderr)
        return self.stderr

    def test_a_file_that_is_not_there(self):
        self.assertIn('/no/such.conf',
                      self.fails('--config-file', '/no/such.conf'))

    def test_a_directory_that_is_not_there(self):
        self.assertIn('/no/such', self.fails('--config-dir', '/no/such'))

    def test_a_file_that_is_no_configuration(self):
        for text in (b'no section\n', b'[DEFAULT\n', b'[x]\n = 1\n',
                     b'\xff\xfe\x00'):
            self.conf.write_bytes(text)
            self.assertIn(str(self.conf), self.fails(), text)

    def test_a_file_that_may_not_be_read(self):
        self.conf.chmod(0)
        for mode in (0o755, 0o700):
            self.etc.chmod(mode)
            error = self.refused_as_nobody()
            self.assertIn(str(self.conf), str(error))
            self.assertIn('run this as a user who may read', str(error))

    def refused_as_nobody(self, load=None):
        """The error of a user whom file modes bind: they bind no root."""
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)
        try:
            return self.assertRaises(
                errors.ConfigurationError,
                load or (lambda: ceilometer_conf.load(
                    [('--config-file', str(self.conf))])))
        finally:
            if os.getuid() == 0:
                os.seteuid(0)

    def test_the_last_file_wins(self):
        other = self.etc / 'other.conf'
        other.write_text('[DEFAULT]\nlibvirt_uri = test:///other\n')
        conf, problems = ceilometer_conf.load([
            ('--config-file', str(self.conf)),
            ('--config-file', str(other))])
        self.assertEqual(('test:///other', ()), (conf.libvirt_uri, problems))

    def test_a_directory_is_read(self):
        directory = self.etc / 'conf.d'
        directory.mkdir()
        (directory / '1.conf').write_text('[memstat]\nread_timeout = 7\n')
        conf, _problems = ceilometer_conf.load([
            ('--config-file', str(self.conf)),
            ('--config-dir', str(directory))])
        self.assertEqual(('test:///configured', 7),
                         (conf.libvirt_uri, conf.memstat.read_timeout))

    def test_the_uri_goes_before_the_configuration(self):
        conf, _problems = ceilometer_conf.load(
            [('--config-file', str(self.conf))], 'test:///named')
        self.assertEqual('test:///named', conf.libvirt_uri)

    def test_a_directory_with_a_file_that_is_no_text(self):
        """oslo.config does not say which file it was."""
        directory = self.etc / 'conf.d'
        directory.mkdir()
        (directory / '1.conf').write_text('[memstat]\nread_timeout = 7\n')
        (directory / '2.conf').write_bytes(b'\xff')
        error = self.assertRaises(
            errors.ConfigurationError, ceilometer_conf.load,
            [('--config-file', str(self.conf)),
             ('--config-dir', str(directory))])
        self.assertEqual(
            f'configuration: {directory}/2.conf is no text: '
            "'utf-8' codec can't decode byte 0xff in position 0: invalid "
            'start byte', str(error))

    def test_a_value_that_names_an_option_that_is_not_there(self):
        with self.conf.open('a') as file:
            file.write('[DEFAULT]\nlibvirt_uri = $nothing\n')
        self.assertEqual(
            'memstat-pollster: configuration: option libvirt_uri: no such '
            'option nothing in group [DEFAULT]\n', self.fails())

    def test_a_file_that_would_hold_the_command_up(self):
        directory = self.etc / 'conf.d'
        directory.mkdir()
        os.mkfifo(directory / '1.conf')
        huge = self.etc / 'huge.conf'
        with huge.open('wb') as file:
            file.truncate(2**40)
        for source, file, why in (
                ('--config-dir', directory, 'it is no regular file'),
                ('--config-file', huge, 'it has more than 4194304 bytes')):
            error = self.assertRaises(
                errors.ConfigurationError, ceilometer_conf.load,
                [(source, str(file))])
            self.assertIn(why, str(error))
            self.assertIn(f'configuration: {file}', str(error))

    def test_a_pipe_that_is_named_is_read(self):
        """As a shell makes one of <(command)."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        os.write(write, b'[memstat]\nread_timeout = 7\n')
        os.close(write)
        conf, _problems = ceilometer_conf.load(
            [('--config-file', f'/dev/fd/{read}')])
        self.assertEqual(7, conf.memstat.read_timeout)

    def test_other_sources_are_named_and_not_asked(self):
        server = self.useFixture(servers.Http(lambda request: (200, b'')))
        with self.conf.open('a') as file:
            file.write('[DEFAULT]\nconfig_source = far\n[far]\n'
                       f'driver = remote_file\nuri = {server.url}\n')
        _conf, problems = ceilometer_conf.load(
            [('--config-file', str(self.conf))])
        self.assertEqual(
            ('configuration: options of other sources '
             '([DEFAULT]config_source = far) are not read',), problems)
        self.assertEqual([], server.requests)

    def test_ceilometers_own_files(self):
        """Where no file is named: those that the agent finds."""
        home = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.EnvironmentVariable('HOME', home))
        own = pathlib.Path(home, '.ceilometer')
        own.mkdir()
        file = own / 'ceilometer.conf'
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.config.ceilometer_conf.CEILOMETER_CONF',
            str(file)))
        file.write_text('[DEFAULT]\nlibvirt_uri = test:///own\n')
        conf, problems = ceilometer_conf.load([])
        self.assertEqual((str(file), 'test:///own', ()),
                         (conf.config_file[0], conf.libvirt_uri, problems))
        conf, _problems = ceilometer_conf.load([], 'test:///named')
        self.assertEqual('test:///named', conf.libvirt_uri)
        file.write_bytes(b'\xff')
        error = self.assertRaises(errors.ConfigurationError,
                                  ceilometer_conf.load, [])
        self.assertIn(f'configuration: {file} is no text: ', str(error))

    def test_defaults(self):
        for uri, expected in ((None, ''), ('test:///named',) * 2):
            conf = ceilometer_conf.defaults(uri)
            self.assertEqual((expected, []),
                             (conf.libvirt_uri, conf.config_file))

    def test_a_file_in_a_directory_that_hides_it(self):
        """oslo.config would take it for absent, and use the defaults."""
        path = str(self.conf)
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.config.ceilometer_conf.CEILOMETER_CONF', path))
        self.etc.chmod(0)
        error = self.refused_as_nobody(
            lambda: ceilometer_conf.load([]))
        self.assertEqual(
            f'configuration: {path}: Permission denied; run this as a user '
            "who may read Ceilometer's configuration (root, ceilometer), or "
            'name other files with --config-file', str(error))
        self.etc.chmod(0o755)

    def test_an_option_that_cannot_be_used_costs_only_itself(self):
        with self.conf.open('a') as file:
            file.write('stale_after_periods = soon\n')
        self.make(fakes.Domain(1, fakes.healthy(commands.ago(2))))
        self.assertEqual(0, self.run_command('status', '-f', 'json'))
        self.assertIn('option [memstat]stale_after_periods cannot be used, '
                      'its default 3 is: ', self.stderr)
        self.assertIn(str(self.conf), self.stderr)


class TestText(testtools.TestCase):
    """What is written, whoever chose it and wherever it goes."""

    def test_a_page_is_utf_8_in_every_locale(self):
        done = subprocess.run(
            [sys.executable, '-c', 'import sys\n'
             'from memstat_pollster.cli import application\n'
             'sys.exit(application.main(["--config-file", "/dev/null", '
             '"--uri", "test:///default", "report", "--wait", "0", '
             '"-o", "-"]))\n'],
            capture_output=True, timeout=120, env={
                **os.environ, 'LC_ALL': 'C', 'PYTHONUTF8': '0',
                'PYTHONCOERCECLOCALE': '0', 'PYTHONIOENCODING': 'ascii'})
        # libvirt itself warns there where this host's name is unknown.
        said = [line for line in done.stderr.splitlines()
                if b': info :' not in line and b'virGetHostname' not in line]
        self.assertEqual((0, []), (done.returncode, said))
        self.assertIn('·', done.stdout.decode('utf-8'))

    def test_an_error_has_no_control_characters(self):
        formatter = application._Harmless('%(message)s')
        self.assertEqual('a\n\\x1b[31mb\\r', formatter.format(
            logging.makeLogRecord({'msg': 'a\n\x1b[31mb\r'})))


class TestLogging(commands.CommandTest):
    """The monitor's lines are for the agent's log."""

    def setUp(self):
        super().setUp()
        domain = fakes.Domain(1, fakes.healthy(commands.ago(2)))
        domain.document = '<broken'
        self.make(domain)

    def test_they_are_not_on_the_terminal(self):
        self.assertEqual(1, self.run_command('status'))
        self.assertEqual('', self.stderr)

    def test_unless_they_are_asked_for(self):
        self.assertEqual(1, self.run_command('-v', 'status'))
        self.assertIn('its live XML cannot be parsed', self.stderr)

    def test_a_log_file_has_them_all(self):
        log = self.etc / 'log'
        self.assertEqual(1, self.run_command('--log-file', str(log),
                                             'status'))
        self.assertIn('its live XML cannot be parsed', log.read_text())
        self.assertEqual('', self.stderr)


class TestInterruption(commands.CommandTest):
    def test_ctrl_c_is_130(self):
        def interrupt(uri):
            raise KeyboardInterrupt
        self.make_inspector = interrupt
        self.assertEqual(130, self.run_command('status'))
        self.assertEqual(('', ''), (self.stdout, self.stderr))

    def test_ctrl_c_while_it_loads(self):
        program = ('import sys\n'
                   'from memstat_pollster.cli import main\n'
                   'interrupted = sys.argv.pop()\n'
                   'class Interrupt:\n'
                   '    def find_spec(self, name, *rest):\n'
                   '        if name == interrupted:\n'
                   '            raise KeyboardInterrupt\n'
                   'sys.meta_path.insert(0, Interrupt())\n'
                   'sys.exit(main.main())\n')
        for module in ('memstat_pollster.cli.application', 'cliff',
                       'oslo_config',
                       'memstat_pollster.cli.commands.status_command'):
            done = subprocess.run(
                [sys.executable, '-c', program, 'status', module],
                capture_output=True, text=True)
            self.assertEqual((130, '', ''), (
                done.returncode, done.stdout, done.stderr), module)

    def test_an_error_that_nobody_foresaw_has_no_traceback(self):
        def fail(conf):
            raise RuntimeError('what is this')
        self.make_inspector = fail
        self.assertEqual(3, self.run_command('status'))
        self.assertEqual('memstat-pollster: what is this\n', self.stderr)


class TestStreams(commands.CommandTest):
    """A process of its own, with libvirt's own driver for tests."""

    def run_to(self, redirection, *argv, pass_fds=(), **environment):
        """(exit status, standard output, standard error)"""
        done = subprocess.run(
            # dash takes no descriptor above 9.
            ['bash', '-c', f'exec "$@" {redirection}', '-', sys.executable,
             '-c', 'import sys; from memstat_pollster.cli import application\n'
             'sys.exit(application.main(sys.argv[1:]))', '--config-file',
             str(self.conf), *argv], capture_output=True,
            env={**os.environ, 'PYTHONUNBUFFERED': '', **environment},
            pass_fds=pass_fds)
        return (done.returncode, done.stdout.decode('ascii'),
                done.stderr.decode())

    def libvirt_of(self, name):
        """The URI of a libvirt with one guest of that name."""
        path = self.etc / 'node.xml'
        path.write_text(
            f"<node><domain type='test'><name>{name}</name><memory>8</memory>"
            f'<uuid>{fakes.uuid_of(1)}</uuid><os><type>hvm</type></os>'
            '</domain></node>', encoding='utf-8')
        return f'test://{path}'

    def test_a_name_that_the_locale_cannot_write(self):
        uri = self.libvirt_of('w\xe9b\u7f51')
        status, shown, said = self.run_to(
            '', '--uri', uri, 'status', '--wait', '0', '-c', 'libvirt_name',
            '-f', 'value', PYTHONIOENCODING='ascii')
        self.assertEqual(('w\\xe9b\\u7f51\n', ''), (shown, said))

    def test_a_reader_that_has_gone(self):
        """Whatever the size of what it has not read."""
        for argv in (('complete',), ('--uri', self.libvirt_of('web'),
                                     'status', '--wait', '0')):
            reader, writer = os.pipe()
            os.close(reader)
            self.addCleanup(os.close, writer)
            self.assertEqual(
                (141, '', ''),
                self.run_to(f'>&{writer}', *argv, pass_fds=[writer]), argv)

    def test_a_disk_that_is_full(self):
        for argv in (('--uri', self.libvirt_of('web'), 'status', '--summary',
                      '--wait', '0'), ('--version',)):
            self.assertEqual(
                (3, '', 'memstat-pollster: standard output: No space left on '
                        'device\n'), self.run_to('>/dev/full', *argv), argv)

    def test_a_log_file_that_cannot_be_written(self):
        self.assertEqual(
            (3, '', 'memstat-pollster: /no/such/log: No such file or '
                    'directory\n'),
            self.run_to('', '--log-file', '/no/such/log', 'status'))

    def test_streams_that_are_closed(self):
        argv = ('--uri', self.libvirt_of('web'), 'status', '--summary',
                '--wait', '0')
        expected = self.run_to('', *argv)
        self.assertEqual('', expected[2])
        self.assertEqual((expected[0], '', ''), self.run_to('>&-', *argv))
        self.assertEqual(expected, self.run_to('2>&-', *argv))


class TestAdvice(commands.CommandTest):
    """What an error of libvirt's asks of the operator."""

    def told(self, code, message):
        self.libvirt.open_errors = [fakes.libvirt_error(code, message)]
        self.assertEqual(2, self.run_command('status'))
        self.assertTrue(self.stderr.startswith(
            f'memstat-pollster: libvirt at test:///configured: {message}'))
        return self.stderr.strip().rpartition(message)[2]

    def refused(self, mode, group=None):
        """What is told of a socket of that mode."""
        socket = self.etc / 'libvirt-sock-ro'
        socket.touch()
        if group is not None:
            shutil.chown(socket, group=group)
        socket.chmod(mode)
        return self.told(
            libvirt.VIR_ERR_SYSTEM_ERROR,
            f"Failed to connect socket to '{socket}': Permission denied")

    def test_a_socket_that_is_for_a_group(self):
        group = grp.getgrgid(os.getegid()).gr_name
        if os.geteuid() == 0:
            group = 'daemon'
        self.assertEqual(
            f'; the socket is open to its owner {rights.user_name()} and the '
            f'group {group} (mode 0660): go on as root or as a member of '
            'that group', self.refused(0o660, group))

    def test_a_socket_that_is_for_its_owner_alone(self):
        """Nobody is sent into a group that has no rights."""
        for mode in (0o700, 0o600, 0o640, 0o620):
            self.assertEqual(
                f'; the socket is open to its owner {rights.user_name()} '
                f'alone (mode {mode:04o}): go on as root',
                self.refused(mode))

    def test_a_socket_that_is_for_a_group_that_gives_more(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give a file to root's group")
        for group in ('root', 'sudo', 'disk', 'shadow'):
            self.assertEqual(
                f'; the socket is open to its owner root and the group '
                f'{group} (mode 0770), which gives more than that: go on as '
                'root', self.refused(0o770, group))

    def test_a_socket_that_is_for_everybody(self):
        self.assertEqual(
            '; the socket is open to everybody (mode 0777): see whether '
            'AppArmor or SELinux refused this ("journalctl -k")',
            self.refused(0o777))

    def test_a_socket_that_cannot_be_seen(self):
        self.assertEqual(
            '; go on as root, or as a member of the group that the socket is '
            'open to, which on most distributions is libvirt',
            self.told(libvirt.VIR_ERR_SYSTEM_ERROR, 'Failed to connect '
                      "socket to '/no/such/libvirt-sock': Permission denied"))

    def test_a_daemon_that_does_not_run(self):
        for words in ('No such file or directory', 'Connection refused'):
            self.assertEqual(
                '; see that libvirtd or virtqemud runs ("systemctl status '
                'libvirtd virtqemud") and that libvirt_uri is its URI',
                self.told(libvirt.VIR_ERR_SYSTEM_ERROR, 'Failed to connect '
                          f"socket to '/run/libvirt/libvirt-sock': {words}"))

    def test_polkit(self):
        self.assertEqual(
            '; polkit does not let this user in: go on as root or as a '
            'member of the group libvirt, or with a rule for the action that '
            'is named',
            self.told(libvirt.VIR_ERR_AUTH_UNAVAILABLE, 'authentication '
                      'unavailable: no polkit agent available to '
                      "authenticate action 'org.libvirt.unix.manage'"))

    def test_any_other_error_stands_for_itself(self):
        self.assertEqual('', self.told(libvirt.VIR_ERR_INTERNAL_ERROR,
                                       'internal error: whatever'))
