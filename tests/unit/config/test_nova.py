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


import os
import pathlib
import socket

import fixtures
from oslo_config import cfg
import testtools

from memstat_pollster.config import launch
from memstat_pollster.config import nova
from memstat_pollster.model import nova_period
from tests.unit import servers

NOBODY = 65534


def _option(value):
    return f'[libvirt]\nmem_stats_period_seconds = {value}\n'


class _Case(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.etc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.etc.chmod(0o755)
        self.nova_conf = self.etc / 'nova.conf'
        self.compute_conf = self.etc / 'nova-compute.conf'
        self.files = [str(self.nova_conf), str(self.compute_conf)]

    def _write(self, name, text):
        path = self.etc / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def _without_rights(self):
        """Go on as a user whom file modes bind: they do not bind root."""
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)


class TestRead(_Case):

    def _assert_default_because(self, start):
        """Nova's default, and one problem that begins like this."""
        self._assert_period_though(nova_period.DEFAULT_PERIOD_S, start)

    def _assert_period_though(self, period_s, start):
        wanted = nova.read(self.files)
        self.assertEqual(period_s, wanted.period_s)
        self.assertEqual(1, len(wanted.problems), wanted.problems)
        self.assertEqual([wanted.problems[0]],
                         wanted.problems[0].splitlines())
        self.assertTrue(wanted.problems[0].startswith(start),
                        wanted.problems[0])

    def test_says_what_the_file_says(self):
        said = {}
        for value in (1, 10, 600, 0, -1):
            self._write('nova.conf', _option(value))
            said[value] = nova.read(self.files)
        self.assertEqual(
            {value: nova_period.Wanted(value) for value in said}, said)

    def test_a_file_that_does_not_set_it_means_novas_default(self):
        self._write('nova.conf', '[libvirt]\nvirt_type = qemu\n')
        self.assertEqual(nova_period.Wanted(10), nova.read(self.files))

    def test_the_option_of_another_group_is_another_option(self):
        self._write('nova.conf', '[DEFAULT]\nmem_stats_period_seconds = 3\n')
        self.assertEqual(nova_period.Wanted(10), nova.read(self.files))

    def test_no_file_there_is_a_problem_that_names_them_all(self):
        self.assertEqual(
            nova_period.Wanted(10, (f'there is no {self.files[0]} and no '
                             f'{self.files[1]}',)),
            nova.read(self.files))

    def test_no_file_named_is_a_problem(self):
        self.assertEqual(nova_period.Wanted(10, ('no file of Nova is named',)),
                         nova.read([]))

    def test_one_file_there_is_enough(self):
        self._write('nova-compute.conf', _option(7))
        self.assertEqual(nova_period.Wanted(7), nova.read(self.files))

    def test_a_directory_of_files_alone_is_enough(self):
        self._write('nova.conf.d/10.conf', _option(7))
        self.assertEqual(nova_period.Wanted(7), nova.read(self.files))

    def test_it_is_known_which_file_sets_it(self):
        self._write('nova.conf', '[libvirt]\n')
        self.assertIsNone(nova.read(self.files).source)
        self._write('nova.conf', _option(7))
        self.assertEqual(str(self.nova_conf), nova.read(self.files).source)
        last = self._write('nova.conf.d/10.conf', _option(7))
        self.assertEqual(str(last), nova.read(self.files).source)

    def test_a_link_to_nowhere_is_no_file(self):
        self.nova_conf.symlink_to(self.etc / 'gone')
        self.assertEqual(
            nova_period.Wanted(10, (f'there is no {self.nova_conf}',)),
            nova.read(self.files[:1]))

    def test_a_path_below_a_file_is_no_file(self):
        self._write('nova.conf', _option(7))
        path = str(self.nova_conf / 'nova.conf')
        self.assertEqual(nova_period.Wanted(10, (f'there is no {path}',)),
                         nova.read([path]))

    def test_a_link_that_goes_in_a_circle_cannot_be_read(self):
        self.nova_conf.symlink_to(self.nova_conf)
        self._assert_default_because(f'{self.nova_conf} cannot be read: ')

    def test_a_file_that_may_not_be_read(self):
        self._write('nova.conf', _option(7)).chmod(0o000)
        self._without_rights()
        self.assertEqual(
            nova_period.Wanted(10, (f'{self.nova_conf} cannot be read: '
                             f'Permission denied',)),
            nova.read(self.files))

    def test_a_file_in_a_directory_that_may_not_be_searched(self):
        """os.path.exists() says of it that it is not there."""
        path = self._write('private/nova.conf', _option(7))
        path.parent.chmod(0o000)
        self.addCleanup(path.parent.chmod, 0o755)
        self._without_rights()
        self.assertEqual(
            nova_period.Wanted(10, (
                f'{path} cannot be read: Permission denied',)),
            nova.read([str(path)]))

    def test_a_directory_of_files_that_may_not_be_listed(self):
        self._write('nova.conf', _option(7))
        directory = self._write('nova.conf.d/10.conf', _option(8)).parent
        directory.chmod(0o000)
        self.addCleanup(directory.chmod, 0o755)
        self._without_rights()
        self.assertEqual(
            nova_period.Wanted(7, (f'{directory} cannot be read: '
                            f'Permission denied',)),
            nova.read(self.files))

    def test_a_directory_in_place_of_a_file(self):
        self.nova_conf.mkdir()
        self.assertEqual(
            nova_period.Wanted(10, (
                f'{self.nova_conf} cannot be read: it is a directory',)),
            nova.read(self.files))

    def test_a_broken_file(self):
        for text in ('garbage\n', '[libvirt\n', '  continued\n',
                     '[libvirt]\n= 7\n'):
            self._write('nova.conf', text)
            self._assert_default_because(f'{self.nova_conf} cannot be used: ')

    def test_a_file_that_is_no_text(self):
        self.nova_conf.write_bytes(b'\xff\xfe\x00[libvirt]\n')
        self._assert_default_because(f'{self.nova_conf} cannot be used: ')

    def test_a_value_that_is_no_number(self):
        for value in ('ten', '1.5', '10s', '9' * 5000):
            self._write('nova.conf', _option(value))
            self._assert_default_because(f'{self.nova_conf}: ')

    def test_a_value_that_stands_for_an_unknown_option(self):
        self._write('nova.conf', _option('$no_such_option'))
        self._assert_default_because(f'{self.nova_conf} cannot be used: ')

    def test_a_file_that_cannot_be_used_costs_only_what_it_says(self):
        self._write('nova.conf', _option(7))
        self._write('nova-compute.conf', 'garbage\n')
        self._assert_period_though(
            7, f'{self.compute_conf} cannot be used: ')
        self._write('nova.conf', 'garbage\n')
        self._write('nova-compute.conf', _option(8))
        self._assert_period_though(8, f'{self.nova_conf} cannot be used: ')

    def test_every_problem_is_told(self):
        self._write('nova.conf', 'garbage\n')
        self.compute_conf.mkdir()
        self.assertEqual(
            [f'{self.nova_conf} cannot be used',
             f'{self.compute_conf} cannot be read'],
            [problem.partition(': ')[0]
             for problem in nova.read(self.files).problems])

    def test_a_file_that_would_hold_the_agent_up(self):
        os.mkfifo(self.nova_conf)
        self._assert_default_because(
            f'{self.nova_conf} cannot be read: it is no regular file')
        self.nova_conf.unlink()
        self.nova_conf.symlink_to('/dev/zero')
        self._assert_default_because(
            f'{self.nova_conf} cannot be read: it is no regular file')
        self.nova_conf.unlink()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.nova_conf))
            self._assert_default_because(
                f'{self.nova_conf} cannot be read: it is no regular file')
        self.nova_conf.unlink()
        with self.nova_conf.open('wb') as file:
            file.truncate(2**40)
        self._assert_default_because(
            f'{self.nova_conf} cannot be read: it has more than 4194304 bytes')

    def test_a_pipe_among_the_files_of_a_directory(self):
        self._write('nova.conf', _option(7))
        directory = self.etc / 'nova.conf.d'
        directory.mkdir()
        os.mkfifo(directory / '10.conf')
        self._assert_period_though(
            7, f'{directory}/10.conf cannot be read: it is no regular file')

    def test_other_sources_are_named_and_not_asked(self):
        """oslo.config would read the URL, and wait for it without end."""
        server = self.useFixture(servers.Http(lambda request: (200, b'')))
        self._write('nova.conf', f'[DEFAULT]\nconfig_source = far, away\n'
                    f'[far]\ndriver = remote_file\nuri = {server.url}\n'
                    f'{_option(7)}')
        self._assert_period_though(
            7, f'{self.nova_conf}: options of other sources '
            f'([DEFAULT]config_source = far, away) are not read')
        self.assertEqual([], server.requests)

    def test_the_agents_own_environment_is_not_novas(self):
        """oslo.config takes options from the environment, and would here."""
        self.useFixture(fixtures.EnvironmentVariable(
            'OS_LIBVIRT__MEM_STATS_PERIOD_SECONDS', '77'))
        self._write('nova.conf', _option(7))
        self.assertEqual(nova_period.Wanted(7), nova.read(self.files))


class TestOrder(_Case):
    """The last that sets it wins, as for nova-compute without arguments."""

    def _novas_own_reading(self):
        """The option as nova-compute reads these files."""
        conf = cfg.ConfigOpts()
        conf.register_opt(cfg.IntOpt('mem_stats_period_seconds', default=10),
                          group='libvirt')
        conf([], project='nova', prog='nova-compute',
             default_config_files=[path for path in self.files
                                   if os.path.exists(path)],
             default_config_dirs=[path + '.d' for path in self.files
                                  if os.path.exists(path + '.d')])
        return conf.libvirt.mem_stats_period_seconds

    def _assert_period(self, period_s):
        self.assertEqual(nova_period.Wanted(period_s), nova.read(self.files))
        self.assertEqual(period_s, self._novas_own_reading())

    def test_within_a_file(self):
        self._write('nova.conf', _option(7) + '[libvirt]\n'
                    'mem_stats_period_seconds = 8\n')
        self._assert_period(8)

    def test_nova_compute_conf_overrides_nova_conf(self):
        self._write('nova.conf', _option(7))
        self._write('nova-compute.conf', _option(0))
        self._assert_period(0)

    def test_a_file_that_does_not_set_it_overrides_nothing(self):
        self._write('nova.conf', _option(7))
        self._write('nova-compute.conf', '[DEFAULT]\ndebug = true\n')
        self._assert_period(7)

    def test_a_directory_overrides_the_files_sorted_by_name(self):
        self._write('nova.conf', _option(7))
        self._write('nova.conf.d/20-late.conf', _option(-1))
        self._write('nova.conf.d/10-early.conf', _option(9))
        self._assert_period(-1)

    def test_the_directory_of_nova_conf_overrides_nova_compute_conf(self):
        self._write('nova.conf.d/10.conf', _option(9))
        self._write('nova-compute.conf', _option(8))
        self._assert_period(9)

    def test_the_directory_of_nova_compute_conf_overrides_all(self):
        self._write('nova-compute.conf.d/01.conf', _option(11))
        self._write('nova.conf.d/99.conf', _option(9))
        self._write('nova-compute.conf', _option(8))
        self._write('nova.conf', _option(7))
        self._assert_period(11)

    def test_only_conf_files_of_a_directory_count(self):
        self._write('nova.conf', _option(7))
        self._write('nova.conf.d/10.conf~', _option(8))
        self._write('nova.conf.d/11.rpmsave', _option(9))
        self._write('nova.conf.d/.12.conf', _option(11))
        self._assert_period(7)

    def test_a_directory_whose_name_looks_like_a_pattern(self):
        self.files = [str(self.etc / 'nova[1].conf')]
        self._write('nova[1].conf.d/10.conf', _option(9))
        self._write('nova1.conf.d/10.conf', _option(8))
        self.assertEqual(nova_period.Wanted(9), nova.read(self.files))


class TestStarted(_Case):
    """The order is that of nova-compute, by how it is started."""

    def setUp(self):
        super().setUp()
        self.extra = self.etc / 'extra'
        self.both = tuple((launch.FILE, path) for path in self.files)

    def _novas_own_reading(self, words):
        """The option as nova-compute reads it with these arguments."""
        conf = cfg.ConfigOpts()
        conf.register_opt(cfg.IntOpt('mem_stats_period_seconds', default=10),
                          group='libvirt')
        conf([each for word in words for each in word], project='nova',
             prog='nova-compute', default_config_files=[
                 path for path in self.files if os.path.exists(path)],
             default_config_dirs=[path + '.d' for path in self.files
                                  if os.path.exists(path + '.d')])
        return conf.libvirt.mem_stats_period_seconds

    def _periods(self, *words):
        """By our reading, which is Nova's own."""
        wanted = nova.read(self.files, 'auto', words)
        self.assertEqual((self._novas_own_reading(words), (), None),
                         (wanted.period_s, wanted.problems, wanted.other_s))
        return wanted.period_s

    def test_directories_and_files(self):
        """Each of the cases that were tried with Nova itself."""
        self._write('nova.conf', _option(6))
        self._write('nova-compute.conf', '[libvirt]\n')
        self._write('nova.conf.d/10.conf', _option(7))
        self.assertEqual([7, 6], [self._periods(),
                                  self._periods(*self.both)])
        self._write('nova-compute.conf.d/10.conf', _option(8))
        self._write('nova-compute.conf', _option(5))
        self.assertEqual(
            [8, 5, 6], [self._periods(), self._periods(*self.both),
                        self._periods(*self.both[::-1])])

    def test_a_directory_alone(self):
        self._write('nova.conf', '')
        self._write('nova-compute.conf', '')
        self._write('nova.conf.d/10.conf', _option(7))
        self.assertEqual([7, 7], [self._periods(),
                                  self._periods(*self.both)])

    def test_directories_that_are_named(self):
        """They take the place of those beside the files."""
        self._write('nova.conf', _option(6))
        self._write('nova-compute.conf', _option(5))
        self._write('nova.conf.d/10.conf', _option(7))
        self._write('extra/10.conf', _option(9))
        extra = launch.DIRECTORY, str(self.extra)
        self.assertEqual(
            [9, 5, 9, 5], [self._periods(extra),
                           self._periods(extra, *self.both),
                           self._periods(*self.both, extra),
                           self._periods(self.both[0], extra, self.both[1])])

    def test_the_option_goes_before_what_is_seen(self):
        self._write('nova.conf', _option(6))
        self._write('nova.conf.d/10.conf', _option(7))
        self.assertEqual(
            [6, 6, 7, 7],
            [nova.read(self.files, dirs, words).period_s
             for dirs in ('first', 'last') for words in ((), self.both)])

    def test_nobody_knows(self):
        self._write('nova.conf', _option(6))
        self.assertEqual(nova_period.Wanted(6), nova.read(self.files, 'auto'))
        path = self._write('nova.conf.d/10.conf', _option(6))
        self.assertEqual(nova_period.Wanted(6), nova.read(self.files, 'auto'))
        self._write('nova.conf.d/10.conf', _option(7))
        self.assertEqual(
            nova_period.Wanted(7, (
                f'it is 6 s ({self.nova_conf}) where nova-compute is started '
                f'with --config-file and 7 s ({path}) where it is not, and '
                'how it is started cannot be seen: say so in '
                '[memstat]nova_config_dirs',), other_s=6),
            nova.read(self.files, 'auto'))

    def test_a_directory_that_cannot_be_listed_is_told_in_every_order(self):
        self._write('nova.conf', _option(6))
        directory = self._write('nova.conf.d/10.conf', _option(7)).parent
        directory.chmod(0o000)
        self.addCleanup(directory.chmod, 0o755)
        self._without_rights()
        for words in ((), self.both, None):
            self.assertEqual(
                nova_period.Wanted(6, (f'{directory} cannot be read: '
                                       'Permission denied',)),
                nova.read(self.files, 'auto', words))

    def test_nova_is_started_in_another_way(self):
        started = [()]
        watcher = nova.Watcher(self.files, 'auto', lambda: started[0])
        self._write('nova.conf', _option(6))
        self._write('nova.conf.d/10.conf', _option(7))
        self.assertEqual(nova_period.Wanted(7), watcher.get())
        started[0] = self.both
        self.assertEqual(nova_period.Wanted(6), watcher.get())


class TestWatcher(_Case):

    def setUp(self):
        super().setUp()
        self.watcher = nova.Watcher(self.files)

    def test_says_the_same_as_long_as_nothing_changes(self):
        self._write('nova.conf', _option(7))
        first = self.watcher.get()
        self.assertEqual(nova_period.Wanted(7), first)
        self.assertIs(first, self.watcher.get())

    def test_notices_a_change(self):
        self._write('nova.conf', _option(7))
        self.assertEqual(nova_period.Wanted(7), self.watcher.get())
        self._write('nova.conf', _option(610))
        self.assertEqual(nova_period.Wanted(610), self.watcher.get())

    def test_notices_a_change_of_the_same_length(self):
        self._write('nova.conf', _option(7))
        os.utime(self.nova_conf, (1795451932, 1795451932))
        self.assertEqual(nova_period.Wanted(7), self.watcher.get())
        self._write('nova.conf', _option(8))
        os.utime(self.nova_conf, (1795451933, 1795451933))
        self.assertEqual(nova_period.Wanted(8), self.watcher.get())

    def test_notices_a_file_put_in_its_place(self):
        """As configuration management does, keeping even the time."""
        self._write('nova.conf', _option(7))
        self.assertEqual(nova_period.Wanted(7), self.watcher.get())
        kept = self.nova_conf.stat()
        new = self._write('new', _option(8))
        os.utime(new, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        new.replace(self.nova_conf)
        self.assertEqual(nova_period.Wanted(8), self.watcher.get())

    def test_notices_that_a_file_appears_and_goes(self):
        nothing = nova_period.Wanted(10, (
            f'there is no {self.files[0]} and no {self.files[1]}',))
        self.assertEqual(nothing, self.watcher.get())
        self._write('nova-compute.conf', _option(8))
        self.assertEqual(nova_period.Wanted(8), self.watcher.get())
        self.compute_conf.unlink()
        self.assertEqual(nothing, self.watcher.get())

    def test_notices_a_change_in_a_directory_of_files(self):
        self._write('nova.conf', _option(7))
        self.assertEqual(nova_period.Wanted(7), self.watcher.get())
        path = self._write('nova.conf.d/10.conf', _option(8))
        self.assertEqual(nova_period.Wanted(8), self.watcher.get())
        self._write('nova.conf.d/10.conf', _option(911))
        self.assertEqual(nova_period.Wanted(911), self.watcher.get())
        path.unlink()
        self.assertEqual(nova_period.Wanted(7), self.watcher.get())

    def test_notices_that_a_file_may_be_read_now(self):
        """An operator who was told so changes its mode, not its text."""
        self._write('nova.conf', _option(7))
        self.nova_conf.chmod(0o000)
        # The file has to be that user's own for him to change its mode.
        if os.geteuid() == 0:
            os.chown(self.nova_conf, NOBODY, NOBODY)
        self._without_rights()
        self.assertEqual(
            nova_period.Wanted(10, (f'{self.nova_conf} cannot be read: '
                             f'Permission denied',)),
            self.watcher.get())
        self.nova_conf.chmod(0o600)
        self.assertEqual(nova_period.Wanted(7), self.watcher.get())

    def test_notices_that_a_directory_may_be_searched_now(self):
        path = self._write('private/nova.conf', _option(7))
        private = path.parent
        private.chmod(0o000)
        if os.geteuid() == 0:
            os.chown(private, NOBODY, NOBODY)
        self._without_rights()
        watcher = nova.Watcher([str(path)])
        self.assertEqual(
            nova_period.Wanted(10, (
                f'{path} cannot be read: Permission denied',)),
            watcher.get())
        private.chmod(0o755)
        self.assertEqual(nova_period.Wanted(7), watcher.get())

    def test_a_list_changed_by_its_owner_changes_nothing(self):
        self._write('nova.conf', _option(7))
        files = list(self.files)
        watcher = nova.Watcher(files)
        files.clear()
        self.assertEqual(nova_period.Wanted(7), watcher.get())
