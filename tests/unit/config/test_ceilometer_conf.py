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

"""ceilometer.conf and ceilometer.conf.d, in the order of the agent."""

import pathlib

import fixtures
import testtools

from memstat_pollster.config import ceilometer_conf
from memstat_pollster.config import launch
from memstat_pollster.config import options


class TestOrder(testtools.TestCase):

    def setUp(self):
        super().setUp()
        home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.EnvironmentVariable('HOME', str(home)))
        self.root = home / 'root'
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.config.launch.ROOT', self.root))
        # oslo.config looks there, before it looks in /etc.
        self.etc = home / '.ceilometer'
        self.conf = self.write('ceilometer.conf', boot_grace=6)
        self.write('ceilometer.conf.d/10.conf', boot_grace=7,
                   max_stuck_reads=9)

    def write(self, name, **memstat):
        path = self.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('[memstat]\n' + ''.join(
            f'{name} = {value}\n' for name, value in memstat.items()))
        return path

    def agent(self, *words):
        """An agent that runs with these arguments."""
        process = self.root / 'proc' / '7'
        process.mkdir(parents=True)
        (process / 'comm').write_text('ceilometer-poll\n')
        (process / 'cmdline').write_text('\0'.join((
            '/usr/bin/python3', '/usr/bin/ceilometer-polling', *words,
            '--polling-namespaces', 'compute', '')))

    def load(self, *sources):
        """(boot_grace, max_stuck_reads, problems)"""
        conf, problems = ceilometer_conf.load(sources)
        settings = options.load(conf)[0]
        return settings.boot_grace, settings.max_stuck_reads, problems

    def test_without_config_file_the_directory_wins(self):
        self.agent()
        self.assertEqual((7, 9, ()), self.load())

    def test_with_config_file_the_file_wins(self):
        self.agent('--config-file', str(self.conf))
        self.assertEqual((6, 9, ()), self.load())

    def test_other_files_that_the_agent_names(self):
        other = self.write('other.conf', boot_grace=11)
        self.agent('--config-file', str(self.conf),
                   f'--config-file={other}')
        self.assertEqual((11, 9, ()), self.load())
        self.assertEqual((6, 9, ()), self.load((launch.FILE, str(self.conf))))

    def test_a_directory_that_the_agent_names(self):
        directory = self.write('extra/10.conf', boot_grace=12).parent
        self.agent('--config-dir', str(directory))
        self.assertEqual((12, 5, ()), self.load())

    def test_files_that_are_in_a_container_only(self):
        self.agent('--config-file', '/srv/no/ceilometer.conf')
        self.assertEqual((7, 9, ()), self.load())

    def test_nobody_knows(self):
        self.assertEqual((7, 9, (
            'option [memstat]boot_grace is 7 where the agent is started '
            'without --config-file and 6 where it is started with it, which '
            'cannot be seen',)), self.load())

    def test_nobody_knows_and_it_does_not_matter(self):
        self.write('ceilometer.conf.d/10.conf', max_stuck_reads=9)
        self.assertEqual((6, 9, ()), self.load())

    def test_a_file_of_the_directory_that_is_no_text(self):
        """Which is read beside a file that is named, too."""
        bad = self.etc / 'ceilometer.conf.d' / '20.conf'
        bad.write_bytes(b'[memstat]\n\xff')
        error = self.assertRaises(
            ceilometer_conf.errors.ConfigurationError, self.load,
            (launch.FILE, str(self.conf)))
        self.assertIn(f'{bad} is no text', str(error))
