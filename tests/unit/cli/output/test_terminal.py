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

"""What is written to a terminal, byte by byte, and what is left of it."""

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios

import fixtures
import testtools

from memstat_pollster.cli.output import terminal
from tests.unit import commands

ON, OFF = '\033[?1049h\033[?25l\033[?7l', '\033[?7h\033[?25h\033[?1049l'


class Pty(fixtures.Fixture):
    """A terminal of 7 lines and 33 columns.

    :ivar stream: what a command writes to
    :ivar master: what shows it
    """

    def _setUp(self):
        self.master, slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack('HHHH', 7, 33, 0, 0))
        self.stream = os.fdopen(slave, 'w', encoding='utf-8')
        self.addCleanup(self.close)

    def close(self):
        # What it could not be given fails once more.
        with contextlib.suppress(OSError):
            self.stream.close()

    def read(self):
        """What has been written; line ends as the program wrote them."""
        found = b''
        while select.select([self.master], [], [], 0)[0]:
            found += os.read(self.master, 65536)
        return found.decode().replace('\r\n', '\n')


class TerminalTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        for name in ('COLUMNS', 'LINES', 'NO_COLOR'):
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.useFixture(fixtures.EnvironmentVariable('TERM', 'xterm'))
        # The one that the tests are run on does not count.
        self.useFixture(fixtures.MonkeyPatch('sys.__stdout__', io.StringIO()))
        self.pty = self.useFixture(Pty())


class TestSize(TerminalTest):
    def test_of_the_stream_itself(self):
        self.assertEqual((33, 7), terminal.size(self.pty.stream))
        self.assertEqual(33, terminal.width(self.pty.stream))

    def test_the_environment_goes_before_it(self):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '55'))
        self.assertEqual((55, 7), terminal.size(self.pty.stream))

    def test_a_terminal_that_does_not_know(self):
        fcntl.ioctl(self.pty.stream, termios.TIOCSWINSZ, bytes(8))
        self.assertEqual((80, 24), terminal.size(self.pty.stream))

    def test_what_is_no_terminal(self):
        with open(os.devnull, 'w') as stream:
            for each in (stream, io.StringIO()):
                self.assertEqual((80, 24), terminal.size(each))
                self.assertEqual(79, terminal.width(each))

    def test_columns_of_a_text(self):
        self.assertEqual([0, 3, 4, 2, 5, 4], list(map(terminal.columns, (
            '', 'abc', '网络', 'e\u0301x', '\033[31mstale\033[0m',
            '\U0001f600ab'))))


class TestColours(TerminalTest):
    def test_on_a_terminal_whose_user_wants_them(self):
        self.assertTrue(terminal.has_colours(self.pty.stream))
        self.assertFalse(terminal.has_colours(io.StringIO()))
        for name, value in (('NO_COLOR', '1'), ('TERM', 'dumb')):
            with fixtures.EnvironmentVariable(name, value):
                self.assertFalse(terminal.has_colours(self.pty.stream), name)
        with fixtures.EnvironmentVariable('NO_COLOR', ''):
            self.assertTrue(terminal.has_colours(self.pty.stream))


class TestProgress(TerminalTest):
    def test_lines_replace_each_other_and_the_last_is_gone(self):
        with terminal.Progress(self.pty.stream) as progress:
            progress.show('one')
            self.assertEqual('\rone\033[K', self.pty.read())
            progress.show('of three', 0.33)
            self.assertEqual('\r[#######.............] of three\033[K',
                             self.pty.read())
            progress.show('which is a little longer', 0.4)
            self.assertEqual('\r[##...] which is a little longer\033[K',
                             self.pty.read())
        self.assertEqual('\r\033[K', self.pty.read())

    def test_it_stays_on_one_line(self):
        with terminal.Progress(self.pty.stream) as progress:
            progress.show('a text that is too long for 32 columns', 2.0)
        self.assertEqual(
            '\r[#####] a text that is too long \033[K\r\033[K',
            self.pty.read())

    def test_a_bar_is_neither_empty_nor_full_too_early(self):
        with terminal.Progress(self.pty.stream) as progress:
            for done, full in ((-1.0, 0), (0.0, 0), (0.5, 10), (1.0, 20)):
                progress.show('', done)
                self.assertEqual(
                    f"\r[{'#' * full}{'.' * (20 - full)}] \033[K",
                    self.pty.read())

    def test_nothing_shown_is_nothing_to_clear(self):
        with terminal.Progress(self.pty.stream):
            pass
        self.assertEqual('', self.pty.read())

    def test_it_is_gone_when_it_is_interrupted(self):
        def interrupted():
            with terminal.Progress(self.pty.stream) as progress:
                progress.show('one')
                raise KeyboardInterrupt
        self.assertRaises(KeyboardInterrupt, interrupted)
        self.assertEqual('\rone\033[K\r\033[K', self.pty.read())

    def test_what_is_no_terminal_gets_nothing(self):
        stream = io.StringIO()
        with terminal.Progress(stream) as progress:
            progress.show('one', 0.5)
            progress.wait(0.01, 'two')
        self.assertEqual('', stream.getvalue())

    def test_stderr_is_the_default(self):
        stderr = commands.Terminal()
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', stderr))
        terminal.Progress().show('one')
        self.assertEqual('\rone\033[K', stderr.getvalue())

    def test_time_is_counted_down(self):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '99'))
        now = [1000.0]

        def sleep(seconds):
            now[0] += seconds
        self.useFixture(fixtures.MonkeyPatch('time.sleep', sleep))
        self.useFixture(fixtures.MonkeyPatch('time.monotonic',
                                             lambda: now[0]))
        with terminal.Progress(self.pty.stream) as progress:
            progress.wait(0.5, 'it moves')
        self.assertAlmostEqual(1000.5, now[0])
        self.assertEqual(
            '\r[....................] it moves; read again in 0 s\033[K'
            '\r[########............] it moves; read again in 0 s\033[K'
            '\r[################....] it moves; read again in 0 s\033[K'
            '\r\033[K', self.pty.read())


class TestScreen(TerminalTest):
    def test_a_picture_has_the_other_screen_for_itself(self):
        with terminal.screen(self.pty.stream) as draw:
            draw('one\ntwo')
            self.assertEqual(f'{ON}\033[Hone\033[K\ntwo\033[K\033[J',
                             self.pty.read())
            draw('three')
            self.assertEqual('\033[Hthree\033[K\033[J', self.pty.read())
        self.assertEqual(OFF, self.pty.read())

    def test_a_picture_that_is_higher_than_the_screen(self):
        with terminal.screen(self.pty.stream) as draw:
            draw('\n'.join('1234567'))
            self.assertEqual(ON + '\033[H' + '\033[K\n'.join('1234567')
                             + '\033[K\033[J', self.pty.read())
            draw('\n'.join('12345678'))
            self.assertEqual(
                '\033[H' + '\033[K\n'.join([*'123456', '... 2 lines more'])
                + '\033[K\033[J', self.pty.read())

    def test_pictures_follow_each_other_where_there_is_no_terminal(self):
        stream = io.StringIO()
        with terminal.screen(stream) as draw:
            draw('one\ntwo')
            draw('three')
        self.assertEqual('one\ntwo\nthree\n', stream.getvalue())

    def test_a_terminal_that_can_only_print(self):
        self.useFixture(fixtures.EnvironmentVariable('TERM', 'dumb'))
        with terminal.screen(self.pty.stream) as draw:
            draw('one')
            draw('two')
        with terminal.Progress(self.pty.stream) as progress:
            progress.show('three')
        self.assertEqual('one\ntwo\n', self.pty.read())

    def test_an_error_leaves_it_clean(self):
        def fail(error):
            with terminal.screen(self.pty.stream):
                raise error
        for error in (KeyboardInterrupt, ValueError):
            self.assertRaises(error, fail, error)
            self.assertEqual(ON + OFF, self.pty.read())

    def test_a_signal_leaves_it_clean_and_handlers_as_they_were(self):
        numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        before = [signal.getsignal(number) for number in numbers]

        def end(number):
            with terminal.screen(self.pty.stream):
                os.kill(os.getpid(), number)
                # The handler runs before the next line is reached.
                signal.sigtimedwait([], 10)
        for number in numbers:
            ended = self.assertRaises(SystemExit, end, number)
            self.assertEqual(128 + number, ended.code)
            self.assertEqual(ON + OFF, self.pty.read())
            self.assertEqual(before, list(map(signal.getsignal, numbers)))

    def test_a_terminal_that_has_gone_keeps_no_error_back(self):
        def vanish():
            with terminal.screen(self.pty.stream):
                with open('/dev/full', 'w') as full:
                    os.dup2(full.fileno(), self.pty.stream.fileno())
                raise KeyboardInterrupt
        self.assertRaises(KeyboardInterrupt, vanish)


#: A shell with job control, in short: it runs a program and says on its own
#: standard output when that has been stopped, which it then goes on.
SHELL = '''\
import os, signal, subprocess, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
def in_front(group):
    os.tcsetpgrp(0, group)
child = subprocess.Popen([sys.executable, '-c', sys.argv[1]],
                         preexec_fn=lambda: (os.setpgid(0, 0),
                                             in_front(os.getpid())))
_, status = os.waitpid(child.pid, os.WUNTRACED)
assert os.WIFSTOPPED(status), status
os.write(1, b'STOPPED')
os.kill(child.pid, signal.SIGCONT)
_, status = os.waitpid(child.pid, 0)
os.write(1, b'ENDED %d' % os.waitstatus_to_exitcode(status))
'''
PICTURES = '''\
import sys, time
from memstat_pollster.cli.output import terminal
with terminal.screen(sys.stdout) as draw:
    while True:
        draw('picture')
        time.sleep(0.01)
'''


class TestStop(TerminalTest):
    """Ctrl-Z gives the shell its screen back, and fg the picture."""

    def wait_for(self, *texts):
        """What is shown until all of them have been, in that order."""
        place = 0
        for text in texts:
            while text not in self.shown[place:]:
                self.assertTrue(select.select([self.pty.master], [], [], 60),
                                self.shown)
                self.shown += os.read(self.pty.master, 65536).decode()
            place = self.shown.index(text, place) + len(text)

    def test_and_go_on(self):
        self.shown = ''
        slave = self.pty.stream.fileno()
        shell = subprocess.Popen(
            [sys.executable, '-c', SHELL, PICTURES], stdin=slave,
            stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.addCleanup(shell.wait)
        self.addCleanup(shell.kill)
        self.wait_for(ON, 'picture')
        os.write(self.pty.master, b'\x1a')
        self.wait_for(OFF, 'STOPPED', ON, 'picture')
        os.write(self.pty.master, b'\x1c')
        self.wait_for('STOPPED', OFF, 'ENDED 131')
        self.assertNotIn('picture', self.shown[
            self.shown.index(OFF):self.shown.index('STOPPED')])
