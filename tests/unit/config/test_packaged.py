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

"""Files of Ceilometer's package, and whose configuration a service reads."""

import pathlib
import types

import fixtures
import testtools

from memstat_pollster.config import ceilometer_conf
from memstat_pollster.config import packaged


class TestConfiguration(testtools.TestCase):

    def test_a_file_of_the_package(self):
        package = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        file = package / 'pipeline' / 'data' / 'pipeline.yaml'
        file.parent.mkdir(parents=True)
        file.touch()
        self.assertEqual(
            [file, None, None, None, None],
            [packaged.configuration(*given) for given in (
                (package, 'pipeline.yaml'), (package, 'polling.yaml'),
                (package, str(file)), (package, 'no\0file'),
                (None, 'pipeline.yaml'))])

    def test_ceilometers_own(self):
        directory = packaged.directory()
        if directory is None:
            self.skipTest('Ceilometer is not installed')
        self.assertTrue(packaged.configuration(directory, 'pipeline.yaml'))


class TestIsReadBy(testtools.TestCase):
    """By the command line of a service."""

    def test_whose_files_it_names(self):
        own = '/etc/ceilometer/ceilometer.conf'
        for ours, words, expected in (
                (['/a.conf'], ['x', '--config-file', '/a.conf'], True),
                (['/a.conf'], ['x', '--config-file=/a.conf'], True),
                (['/a.conf', '/b.conf'],
                 ['x', '--config-file=/c.conf', '--config-file', '/b.conf'],
                 True),
                (['/a.conf'], ['x', '--config-file=/b.conf'], False),
                (['/a.conf'], ['x'], False),
                (['/a.conf'], ['x', '--config-file'], False),
                ([own], ['x', '--log-file', '/y'], True),
                (None, ['x'], True),
                (None, ['x', f'--config-file={own}'], True)):
            conf = types.SimpleNamespace(config_file=ours)
            self.assertEqual(expected, ceilometer_conf.is_read_by(
                conf, words), (ours, words))
