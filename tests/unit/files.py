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

"""Tests with files of configuration in a directory of their own."""

import pathlib

import fixtures
import testtools


class FilesTest(testtools.TestCase):
    """:ivar directory: of the test, removed in the end"""

    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)

    def write(self, name, text):
        """A file in the directory; its path."""
        path = self.directory / name
        path.write_text(text)
        return path

    def configuration(self, **groups):
        """The path of a ceilometer.conf: {group: {option: value}}."""
        return str(self.write('ceilometer.conf', ''.join(
            f'[{group}]\n' + ''.join(f'{name} = {value}\n'
                                     for name, value in options.items())
            for group, options in groups.items())))
