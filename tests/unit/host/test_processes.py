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

"""How long a QEMU has run, asked of the kernel."""

import os
import pathlib
import subprocess
import sys
import threading
import time

import fixtures
import testtools

from memstat_pollster.host import processes
from tests.unit import fakes

TICKS = os.sysconf('SC_CLK_TCK')


class TestThisMachine(testtools.TestCase):
    def test_a_process_that_has_just_been_started(self):
        uuid = '3f3f1f0e-7b5a-4c65-9a36-d4a1b3f0a9a1'
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, '-c', 'input()', '-uuid', uuid],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(process.communicate)
        fakes.wait_until(lambda: processes.uptimes([uuid]), 'a process')
        found = processes.uptimes([uuid, fakes.uuid_of(404)])
        self.assertEqual([uuid], list(found))
        # The kernel counts in ticks.
        self.assertTrue(0 <= found[uuid] <= time.monotonic() - began + 0.1,
                        found)


class TestWords(testtools.TestCase):
    """Command lines of a Python program."""

    def test_by_its_path_or_by_the_title_that_it_gave_itself(self):
        """Cotyledon gives its processes titles."""
        proc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for pid, line in (
                ('11', b'/usr/bin/python3\0/usr/bin/the-agent\0--config-file'
                       b'\0/a.conf\0'),
                ('12', b'the-agent: master process [/usr/bin/the-agent '
                       b'--config-file=/b.conf]\0\0'),
                ('13', b'the-agent: NotificationService worker(0)\0'),
                ('14', b'unshare\0--fork\0/usr/bin/the-agent\0'),
                ('15', b'/usr/bin/the-agent-2\0'), ('16', b''),
                ('17', b'\xff')):
            (proc / pid).mkdir()
            (proc / pid / 'cmdline').write_bytes(line)
        (proc / '18').mkdir()
        self.assertEqual(
            [['/usr/bin/python3', '/usr/bin/the-agent', '--config-file',
              '/a.conf'],
             ['the-agent:', 'NotificationService', 'worker(0)'],
             ['the-agent:', 'master', 'process', '/usr/bin/the-agent',
              '--config-file=/b.conf']],
            sorted(processes.words_of('the-agent', proc)))


class TestRecords(testtools.TestCase):
    """Of a /proc that was written down."""

    def setUp(self):
        super().setUp()
        self.proc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.now = time.clock_gettime(time.CLOCK_BOOTTIME)

    def process(self, pid, uuid, age_s, name='qemu-system-x86'):
        directory = self.proc / str(pid)
        directory.mkdir()
        (directory / 'cmdline').write_bytes(
            b'/usr/bin/qemu\0-uuid\0%s\0-S\0' % uuid.encode())
        started = round((self.now - age_s) * TICKS)
        fields = [str(number) for number in range(4, 53)]
        fields[18] = str(started)
        (directory / 'stat').write_text(
            f'{pid} ({name}) S {" ".join(fields)}\n')

    def uptimes(self, *uuids):
        """To 10 s: the clock goes on while the records are read."""
        return {uuid: round(uptime_s, -1) for uuid, uptime_s
                in processes.uptimes(uuids, self.proc).items()}

    def test_each_has_its_own(self):
        self.process(11, fakes.uuid_of(1), 100)
        self.process(12, fakes.uuid_of(2), 200)
        self.process(13, fakes.uuid_of(3), 300)
        self.assertEqual(
            {fakes.uuid_of(1): 100, fakes.uuid_of(3): 300},
            self.uptimes(fakes.uuid_of(1), fakes.uuid_of(3)))

    def test_of_two_the_younger_counts(self):
        self.process(11, fakes.uuid_of(1), 100)
        self.process(12, fakes.uuid_of(1), 20)
        self.assertEqual({fakes.uuid_of(1): 20},
                         self.uptimes(fakes.uuid_of(1)))

    def test_a_name_may_hold_anything(self):
        self.process(11, fakes.uuid_of(1), 100, name=') S 1 2 (x) R')
        self.assertEqual({fakes.uuid_of(1): 100},
                         self.uptimes(fakes.uuid_of(1)))

    def test_a_process_that_ends_or_is_hidden_is_left_out(self):
        self.process(11, fakes.uuid_of(1), 100)
        (self.proc / '11' / 'stat').unlink()
        self.process(12, fakes.uuid_of(2), 100)
        (self.proc / '12' / 'cmdline').unlink()
        self.process(13, fakes.uuid_of(3), 100)
        (self.proc / '13' / 'stat').write_text('13 (short')
        self.process(14, fakes.uuid_of(4), 100)
        (self.proc / '14' / 'cmdline').write_bytes(b'qemu\0-uuid')
        (self.proc / '15').mkdir()
        self.assertEqual({}, self.uptimes(*map(fakes.uuid_of, range(1, 5))))

    def test_a_clock_ahead_of_its_start_is_no_negative_time(self):
        self.process(11, fakes.uuid_of(1), -50)
        self.assertEqual({fakes.uuid_of(1): 0},
                         self.uptimes(fakes.uuid_of(1)))


class TestHangs(testtools.TestCase):
    """The kernel does not answer for a process; a pipe stands for that."""

    def setUp(self):
        super().setUp()
        self.proc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (self.proc / '11').mkdir()
        self.cmdline = self.proc / '11' / 'cmdline'
        os.mkfifo(self.cmdline)
        self.search = processes.Search(self.proc, within_s=0.1)
        self.addCleanup(self.answer)

    def answer(self):
        """Let the thread that reads go on."""
        if self.cmdline.is_fifo():
            with self.cmdline.open('wb') as pipe:
                pipe.write(b'qemu\0-uuid\0%s\0'
                           % fakes.uuid_of(1).encode())
                self.cmdline.unlink()

    def threads(self):
        return [thread for thread in threading.enumerate()
                if thread.name == 'memstat-processes']

    def test_words_of_a_program_are_not_waited_for_either(self):
        self.assertIsNone(processes.words_of('qemu', self.proc, 0.1))
        (thread,) = self.threads()
        self.answer()
        thread.join(60)

    def test_one_thread_is_left_behind_and_keeps_no_process_alive(self):
        for _ in range(3):
            self.assertIsNone(self.search.pids())
        (thread,) = self.threads()
        self.assertTrue(thread.daemon)

    def test_after_it_has_answered_all_is_looked_at_anew(self):
        self.assertIsNone(self.search.pids())
        (thread,) = self.threads()
        self.answer()
        thread.join(60)
        self.cmdline.write_bytes(b'qemu\0-uuid\0%s\0'
                                 % fakes.uuid_of(2).encode())
        self.assertEqual({fakes.uuid_of(2).encode(): [11]},
                         self.search.pids())

    def test_a_run_is_looked_for_again_once_it_answers(self):
        watch = processes.Watch(self.proc, self.search)
        run = fakes.uuid_of(2), 7
        self.assertEqual({}, watch.stopped([run]))
        (thread,) = self.threads()
        self.answer()
        thread.join(60)
        self.cmdline.write_bytes(b'qemu\0-uuid\0%s\0'
                                 % fakes.uuid_of(2).encode())
        fields = [str(number) for number in range(4, 53)]
        (self.proc / '11' / 'stat').write_text(f'11 (x) T {" ".join(fields)}')
        self.assertEqual([run], list(watch.stopped([run])))
