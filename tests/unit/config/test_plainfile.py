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


"""Files of others, of any kind."""

import os
import socket

import fixtures

from memstat_pollster.config import errors
from memstat_pollster.config import plainfile
from tests.unit import files


class TestRead(files.FilesTest):
    def why(self, path, **options):
        return str(self.assertRaises(errors.FileError, plainfile.read, path,
                                     **options))

    def test_a_file_up_to_the_bound(self):
        path = self.write('x', '1234567')
        self.assertEqual(b'1234567', plainfile.read(path))
        self.assertEqual(b'1234567', plainfile.read(str(path), 7))
        self.assertEqual('it has more than 6 bytes',
                         self.why(path, most_bytes=6))

    def test_what_is_no_regular_file_is_not_even_opened(self):
        """Nobody may ever write to a pipe; a watchdog starts."""
        pipe, unix = self.directory / 'pipe', self.directory / 'socket'
        os.mkfifo(pipe)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(unix))
            for path in (pipe, unix, '/dev/zero', '/dev/null'):
                self.assertEqual('it is no regular file', self.why(path))

    def test_one_that_became_a_pipe_is_opened_without_waiting(self):
        """Between the look at it and its opening."""
        path, regular = self.directory / 'pipe', self.write('x', '')
        os.mkfifo(path)
        answers, stat = [regular], os.stat

        def first_a_file(name, **options):
            return stat(answers.pop() if answers else name, **options)
        self.useFixture(fixtures.MonkeyPatch('os.stat', first_a_file))
        self.assertEqual('it is no regular file', self.why(path))

    def test_what_is_not_there_or_a_directory_is_said_as_by_the_system(self):
        for path, number in ((self.directory / 'gone', 2),
                             (self.directory, 21)):
            self.assertEqual(os.strerror(number), self.why(path))

    def test_a_pipe_that_is_meant_is_read(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        os.write(write, b'1234567')
        os.close(write)
        self.assertEqual(b'1234567', plainfile.read(f'/dev/fd/{read}',
                                                    any_kind=True))
