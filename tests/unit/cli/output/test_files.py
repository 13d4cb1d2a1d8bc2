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

"""A file that others read while it is replaced."""

import os
import pathlib
import stat

import fixtures
import testtools

from memstat_pollster.cli.output import files


class TestReplaced(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        self.path = self.directory / 'page.html'
        self.path.write_text('before')

    def test_who_has_it_open_reads_the_old_one_to_the_end(self):
        """Written in place, it would be half of each."""
        with self.path.open() as reader:
            self.assertEqual('bef', reader.read(3))
            files.write(str(self.path), 'after, and longer')
            self.assertEqual('ore', reader.read())
        self.assertEqual('after, and longer', self.path.read_text())
        self.assertEqual(['page.html'], os.listdir(self.directory))

    def test_it_is_whole_when_it_takes_the_name(self):
        seen, replace = [], os.replace

        def look(draft, path):
            seen.append((pathlib.Path(draft).parent,
                         pathlib.Path(draft).read_text(),
                         self.path.read_text()))
            replace(draft, path)
        self.useFixture(fixtures.MonkeyPatch('os.replace', look))
        files.write(str(self.path), 'after')
        self.assertEqual([(self.directory, 'after', 'before')], seen)

    def test_no_right_but_to_read_write_and_run_is_kept(self):
        self.path.chmod(0o6755)
        files.write(str(self.path), 'after')
        self.assertEqual(0o755, stat.S_IMODE(self.path.stat().st_mode))
