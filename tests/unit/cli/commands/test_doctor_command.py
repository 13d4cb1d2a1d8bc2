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
"""memstat-pollster doctor on a libvirt written by hand."""

import contextlib
import importlib.metadata
import importlib.util
import os
import pathlib
import subprocess
import sys

import fixtures

from memstat_pollster.cli.doctor import examination
from memstat_pollster.cli.doctor import rights
from memstat_pollster.config import nova
from memstat_pollster.config import yamlfile
from memstat_pollster.host import inspector
from memstat_pollster.model import meters
from memstat_pollster.model import observation
from tests.unit import commands
from tests.unit import fakes

POLLING = ('sources: [{name: memstat, interval: 299, meters: ['
           + ', '.join(meters.METERS) + ']}]\n')
PIPELINE = ('sinks: [{name: sink, publishers: ["gnocchi://"]}]\n')
DEFINITIONS = ('resources: [{resource_type: instance, metrics: ['
               + ', '.join(meters.METERS) + ']}]\n')
NO_AGENT = ('on this machine, and no notification agent with this '
            'configuration is seen to run')
OF_ITS_PYTHON = ("run the memstat-pollster of the notification agent's Python "
                 'environment')


class DoctorTest(commands.CommandTest):

    #: Ceilometer takes a second to load.
    load = ''

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.cli.doctor.examination._LOAD', self.load))
        self.conf.write_text(self.conf.read_text()
                             + f'[polling]\ncfg_file = {self.etc}/polling\n')
        self.polling = self.etc / 'polling'
        self.polling.write_text(POLLING)
        (self.etc / 'pipeline.yaml').write_text(PIPELINE)
        self.definitions = self.etc / 'gnocchi_resources.yaml'
        self.definitions.write_text(DEFINITIONS)
        self.make(fakes.Domain(1, fakes.healthy(commands.ago(3))))

    def doctor(self, *argv):
        """(exit status, {check: (outcome, finding, remedy)})."""
        me = rights.user_name()
        status, found = self.json('doctor', '--user', me, *argv)
        return status, {each['check']: (each['outcome'], each['finding'],
                                        each['remedy']) for each in found}


class TestWhole(DoctorTest):

    load = examination._LOAD

    def test_every_check_and_its_order(self):
        status, found = self.doctor()
        self.assertEqual(
            ['configuration', 'options', 'agent_user', 'libvirt',
             'libvirt_version', 'qemu_version', 'libvirt_python',
             'ceilometer_version', 'entry_points', 'builtin_pollsters',
             'polling_meters', 'polling_interval', 'compute_meters',
             'nova_conf',
             'guest_periods', 'clock', 'gnocchi_definitions'], list(found))
        self.assertEqual(
            {name: 'ok' for name in found} | {
                'agent_user': 'skipped' if os.geteuid() == 0 else 'ok',
                'ceilometer_version': found['ceilometer_version'][0]},
            {name: outcome for name, (outcome, _, _) in found.items()})
        self.assertEqual(
            ('ok', 'libvirt 10.2.3', None), found['libvirt_version'])
        self.assertEqual(('ok', 'QEMU 9.1.2', None), found['qemu_version'])
        self.assertEqual(0, status)

    def test_a_table_has_no_none(self):
        self.assertEqual(0, self.run_command('doctor', '--user',
                                             rights.user_name()))
        self.assertNotIn('None', self.stdout)

    def test_a_clock_that_was_set_back(self):
        self.make(fakes.Domain(1, fakes.healthy(commands.ago(-3600))))
        status, found = self.doctor()
        self.assertEqual((1, 'warning'), (status, found['clock'][0]))

    def test_a_guest_without_a_period(self):
        self.make(fakes.Domain(1, fakes.healthy(commands.ago(3)),
                               period=None))
        status, found = self.doctor()
        self.assertEqual((1, 'warning'), (status, found['guest_periods'][0]))


class TestLibvirt(DoctorTest):

    def test_it_does_not_let_us_in(self):
        self.libvirt.open_errors += [fakes.libvirt_error(
            38, 'Failed to connect socket: Permission denied')] * 4
        status, found = self.doctor()
        self.assertEqual(2, status)
        self.assertEqual(
            ('error', 'test:///fake: Failed to connect socket: Permission '
             'denied', 'go on as root, or as a member of the group that the '
             'socket is open to, which on most distributions is libvirt'),
            found['libvirt'])
        self.assertEqual(
            [('skipped', 'libvirt did not answer', None)] * 4,
            [found[name] for name in ('libvirt_version', 'qemu_version',
                                      'guest_periods', 'clock')])

    def test_it_answers_one_question_and_not_the_other(self):
        self.libvirt.read_errors += [fakes.libvirt_error(1, 'no')] * 4
        status, found = self.doctor()
        self.assertEqual((2, 'error'), (status, found['libvirt'][0]))
        self.assertEqual('ok', found['libvirt_version'][0])


class TestNova(DoctorTest):
    """Nova's files are read once, by the cycle."""

    def read(self):
        """(the checks that tell of Nova, how often each file was read)."""
        files, original = [], nova.read

        def read(names, *rest):
            files.extend(names)
            return original(names, *rest)
        self.useFixture(fixtures.MonkeyPatch('memstat_pollster.config.nova.read',
                                             read))
        _status, found = self.doctor()
        return found['nova_conf'], found['guest_periods'], files

    def test_its_period_is_what_the_guests_were_judged_by(self):
        self.set_nova_period(17)
        self.assertEqual(
            (('ok', 'mem_stats_period_seconds is 17', None),
             ('warning', 'of 1 running guests 1 with another period than '
              '17 s: web / instance-00000001 '
              f'({fakes.uuid_of(1)})',
              'a hard reboot lets Nova write the XML anew'),
             [str(self.nova_conf)]), self.read())

    def test_it_is_told_when_libvirt_is_silent(self):
        self.set_nova_period(-3)
        self.libvirt.open_errors += [fakes.libvirt_error(38, 'no')] * 4
        self.assertEqual(
            (('ok', 'mem_stats_period_seconds is -3: memory statistics are '
              'switched off', None),
             ('skipped', 'libvirt did not answer', None),
             [str(self.nova_conf)]), self.read())


    def test_two_orders_of_its_files(self):
        """Nobody sees how nova-compute is started."""
        self.set_nova_period(6)
        directory = self.etc / 'nova.conf.d'
        directory.mkdir()
        (directory / 'a.conf').write_text(
            '[libvirt]\nmem_stats_period_seconds = 10\n')
        self.assertEqual(
            ('warning', f'it is 6 s ({self.nova_conf}) where nova-compute is '
             f'started with --config-file and 10 s ({directory}/a.conf) where '
             'it is not, and how it is started cannot be seen: say so in '
             '[memstat]nova_config_dirs; 10 s is assumed where they say '
             'nothing else', 'set [memstat]nova_config_dirs: first where '
             'nova-compute is started with --config-file, last where it is '
             'not'), self.doctor()[1]['nova_conf'])


class TestConfiguration(DoctorTest):

    def test_other_sources_of_options_are_not_read(self):
        self.conf.write_text('[DEFAULT]\nconfig_source = far\n'
                             + self.conf.read_text())
        status, found = self.doctor()
        level, finding, remedy = found['configuration']
        files, _, rest = finding.partition(' can be used, but ')
        self.assertEqual(
            (1, 'warning', str(self.conf), 'options of other sources '
             '([DEFAULT]config_source = far) are not read',
             'name a file with the same options by --config-file'),
            (status, level, files.partition(',')[0], rest, remedy))

    def test_broken(self):
        self.conf.write_text('[DEFAULT\n')
        _status, found = self.doctor()
        self.assertEqual('error', found['configuration'][0])
        self.assertIn(str(self.conf), found['configuration'][1])

    def test_a_broken_one_and_a_uri(self):
        self.conf.write_text('[DEFAULT\n')
        seen = []
        make = self.make_inspector

        def make_inspector(conf):
            seen.append(conf.libvirt_uri)
            return make(conf)
        self.make_inspector = make_inspector
        self.run_command('--uri', 'test:///named', 'doctor', '--user',
                         rights.user_name())
        self.assertEqual(['test:///named'], seen)

    def test_no_polling_yaml(self):
        self.polling.unlink()
        status, found = self.doctor()
        self.assertEqual((1, 'error', 'skipped'), (
            status, found['polling_meters'][0], found['polling_interval'][0]))

    def test_broken_polling_yamls(self):
        for text in ('sources: [}', 'sources: 7\n'):
            self.polling.write_text(text)
            status, found = self.doctor()
            self.assertEqual((1, 'error', 'skipped'), (
                status, found['polling_meters'][0],
                found['polling_interval'][0]))
            self.assertIn(str(self.polling), found['polling_meters'][1])

    def test_definitions_that_name_too_little(self):
        self.definitions.write_text('resources: []\n')
        status, found = self.doctor()
        self.assertEqual((1, 'warning'),
                         (status, found['gnocchi_definitions'][0]))

    def test_definitions_and_pipelines_that_are_none(self):
        for name in ('gnocchi_resources.yaml', 'pipeline.yaml'):
            (self.etc / name).write_text('- 1\n')
            status, found = self.doctor()
            self.assertEqual((1, 'error'),
                             (status, found['gnocchi_definitions'][0]))
            self.assertIn(name, found['gnocchi_definitions'][1])

    def test_no_gnocchi(self):
        (self.etc / 'pipeline.yaml').write_text('sinks: []\n')
        status, found = self.doctor()
        self.assertEqual((0, 'skipped'),
                         (status, found['gnocchi_definitions'][0]))
        (self.etc / 'pipeline.yaml').unlink()
        status, found = self.doctor()
        self.assertEqual(
            (0, ('skipped', f'there is no pipeline.yaml {NO_AGENT}',
                 'run this where the notification agent runs')),
            (status, found['gnocchi_definitions']))

    def test_a_pipeline_with_a_name_of_its_own(self):
        before = self.conf.read_text()
        for name in ('pipes.yaml', f'{self.etc}/pipes.yaml'):
            self.conf.write_text(f'{before}[DEFAULT]\n'
                                 f'pipeline_cfg_file = {name}\n')
            _status, found = self.doctor()
            self.assertEqual(
                ('skipped', f'there is no {name} {NO_AGENT}',
                 'run this where the notification agent runs'),
                found['gnocchi_definitions'])

    def test_definitions_that_the_pipeline_names_and_that_are_not_there(self):
        """The publisher reads Ceilometer's own then, and says nothing."""
        pipeline = self.etc / 'pipeline.yaml'
        for name, shown in (('none.yaml', 'none.yaml'),
                            (f'{self.etc}/none.yaml',) * 2,
                            ('/no%00ne.yaml', '/no\\x00ne.yaml')):
            pipeline.write_text(
                'sinks: [{name: sink, publishers: ["gnocchi://'
                f'?resources_definition_file={name}"]}}]\n')
            status, found = self.doctor()
            self.assertEqual(
                (1, ('error', f'{pipeline} names {shown}, which is not there',
                     'correct or make that file; "memstat-pollster '
                     'gnocchi-resources" writes one')),
                (status, found['gnocchi_definitions']))


class TestPackaged(DoctorTest):
    """Where Ceilometer has no file of its operator's, it reads its own."""

    def setUp(self):
        super().setUp()
        (self.etc / 'pipeline.yaml').unlink()
        self.definitions.unlink()
        self.package = self.etc / 'ceilometer'
        for name, text in (
                ('pipeline/data/pipeline.yaml', PIPELINE),
                ('publisher/data/gnocchi_resources.yaml', DEFINITIONS)):
            (self.package / name).parent.mkdir(parents=True)
            (self.package / name).write_text(text)
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.config.packaged.directory',
            lambda: self.package))
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.host.processes.words_of', self.words_of))
        self.words = ['/usr/bin/python3', '/usr/bin/x', '--config-file',
                      str(self.conf)]

    def words_of(self, program):
        self.assertEqual('ceilometer-agent-notification', program)
        return [self.words] if self.words else self.words

    def gnocchi(self):
        return self.doctor()[1]['gnocchi_definitions']

    def test_the_packaged_files_are_looked_at(self):
        file = self.package / 'publisher/data/gnocchi_resources.yaml'
        self.assertEqual(('ok', f'{file} names all 11 meters', None),
                         self.gnocchi())
        file.write_text('resources: []\n')
        self.assertEqual(
            ('warning', f'{file} does not name memory, memory.usage, '
             'memory.available and 8 more: Gnocchi does not store them',
             'write one that does with "memstat-pollster gnocchi-resources"'),
            self.gnocchi())

    def test_the_operators_definitions_go_before_the_packaged_ones(self):
        self.definitions.write_text(DEFINITIONS)
        self.assertEqual(('ok', f'{self.definitions} names all 11 meters',
                          None), self.gnocchi())

    def test_no_notification_agent_or_another_ones(self):
        for words in ([], ['python3', 'x', '--config-file=/other/one.conf']):
            self.words = words
            self.assertEqual(
                ('skipped', f'there is no pipeline.yaml {NO_AGENT}',
                 'run this where the notification agent runs'),
                self.gnocchi())

    def test_a_kernel_that_does_not_tell(self):
        self.words = None
        self.assertEqual(
            ('skipped', 'there is no pipeline.yaml on this machine, and '
             'whether a notification agent runs could not be found out',
             'run this again, where the notification agent runs'),
            self.gnocchi())

    def test_a_notification_agent_of_another_python(self):
        """What is in its Ceilometer is not known here."""
        self.package = None
        self.assertEqual(
            ('skipped', 'there is no pipeline.yaml on this machine: the '
             'notification agent reads the one in its Ceilometer, which is '
             'not in the Python environment of this command',
             OF_ITS_PYTHON), self.gnocchi())
        pipeline = self.etc / 'pipeline.yaml'
        pipeline.write_text(PIPELINE)
        self.assertEqual(
            ('skipped', f'{pipeline} publishes by the gnocchi_resources.yaml '
             "of the notification agent's Ceilometer, which is not in the "
             'Python environment of this command', OF_ITS_PYTHON),
            self.gnocchi())

    def test_a_packaged_polling_yaml(self):
        self.polling.unlink()
        self.conf.write_text(self.conf.read_text().replace(
            f'{self.etc}/polling', 'polling.yaml'))
        file = self.package / 'pipeline/data/polling.yaml'
        file.write_text(POLLING)
        self.assertEqual(('ok', f'{file} lists all 11 meters', None),
                         self.doctor()[1]['polling_meters'])


class TestOtherRights(DoctorTest):
    """What the agent's user may not see is not said to be missing."""

    def test_what_is_installed_is_found_out_with_the_rights_of_before(self):
        _status, expected = self.doctor()

        @contextlib.contextmanager
        def rights_of(_name):
            """Those of a user who sees nothing that is installed."""
            def version(name):
                raise importlib.metadata.PackageNotFoundError(name)
            with (fixtures.MonkeyPatch('importlib.metadata.version', version),
                  fixtures.MonkeyPatch('importlib.metadata.entry_points',
                                       lambda **_chosen: ()),
                  fixtures.MonkeyPatch('importlib.util.find_spec',
                                       lambda _name: None)):
                yield
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.cli.doctor.rights.rights_of', rights_of))
        _status, found = self.doctor()
        # Each run has a --config-dir of its own.
        for each in (expected, found):
            del each['configuration']
        self.assertEqual(expected, found)

    def test_a_python_that_the_agents_user_may_not_use(self):
        if os.geteuid() != 0:
            self.skipTest('only root looks as another')
        python = self.etc / 'bin' / 'python3'
        python.parent.mkdir()
        python.symlink_to(sys.executable)
        self.useFixture(fixtures.MonkeyPatch('sys.executable', str(python)))
        self.etc.chmod(0o700)
        _status, records = self.json('doctor', '--user', 'nobody')
        found = {each['check']: (each['outcome'], each['finding'],
                                 each['remedy']) for each in records}
        self.assertEqual(
            dict.fromkeys(
                ('libvirt_python', 'ceilometer_version', 'entry_points',
                 'builtin_pollsters'),
                ('skipped', f'nobody may not use {self.etc}, where the '
                 'Python of this command is: it is not the one that the '
                 'agent runs with', "run the memstat-pollster of the agent's "
                 'Python environment')),
            {name: each for name, each in found.items()
             if name in ('libvirt_python', 'ceilometer_version',
                         'entry_points', 'builtin_pollsters')})
        self.assertEqual('ok', found['libvirt'][0])


class TestWithoutCeilometer(DoctorTest):
    """The command line works where there is none."""

    def test_it_is_said(self):
        def version(name, original=importlib.metadata.version):
            if name == 'ceilometer':
                raise importlib.metadata.PackageNotFoundError(name)
            return original(name)
        self.useFixture(fixtures.MonkeyPatch('importlib.metadata.version',
                                             version))
        status, found = self.doctor()
        self.assertEqual(
            (0, 'skipped', 'skipped'),
            (status, found['ceilometer_version'][0],
             found['entry_points'][0]))


class TestUser(DoctorTest):

    def test_one_who_is_not_there(self):
        self.assertEqual(3, self.run_command('doctor', '--user', 'no-such'))
        self.assertEqual('memstat-pollster: there is no user no-such\n',
                         self.stderr)

    def test_numbers_without_a_name(self):
        self.assertEqual('4294967000', rights.group_name(4294967000))
        self.assertTrue(rights.has_user('root'))
        self.assertFalse(rights.has_user('no-such'))


class TestWhoMayRead(commands.CommandTest):
    """As root nothing is barred, so another user asks."""

    ASK = ('import os, sys\n'
           'from memstat_pollster.cli.doctor import rights\n'
           'if os.geteuid() == 0:\n'
           '    os.setgroups([])\n'
           '    os.setgid(65534)\n'
           '    os.setuid(65534)\n'
           'print(rights.who_may_read(sys.argv[1]))\n')

    def ask(self, path):
        return subprocess.run(
            [sys.executable, '-c', self.ASK, str(path)], text=True,
            capture_output=True, timeout=60).stdout.strip()

    def test_a_file_that_can_be_read_or_is_not_there(self):
        self.assertIsNone(rights.who_may_read('/etc/passwd'))
        self.assertIsNone(rights.who_may_read('/no/such/file'))

    def test_a_file_that_its_group_may_read(self):
        if os.geteuid() != 0:
            self.skipTest('only root makes a file that others cannot read')
        self.etc.chmod(0o755)
        path = self.etc / 'secret'
        path.touch()
        path.chmod(0o640)
        self.assertEqual(
            f'"setfacl -m u:nobody:r {path}" (package acl) lets nobody read '
            'that file and gives no other right; then restart the agent and '
            'run this again', self.ask(path))


class TestEntryPoints(DoctorTest):

    def test_pollsters_that_do_not_load(self):
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.cli.doctor.examination._LOAD',
            'import no_such_module\n'))
        status, found = self.doctor()
        if found['ceilometer_version'][0] == 'skipped':
            self.skipTest('Ceilometer is not installed')
        self.assertEqual(1, status)
        self.assertEqual(
            ('error', 'the pollsters do not load: ModuleNotFoundError: No '
             "module named 'no_such_module'", 'install what is missing in '
             'the environment of the agent, readable for its user'),
            found['entry_points'])

    def test_pollsters_that_take_for_ever(self):
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.cli.doctor.examination._LOAD',
            'import time\n'
            'time.sleep(60)\n'))
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.cli.doctor.examination.LOAD_TIMEOUT_S',
            0.1))
        _status, found = self.doctor()
        if found['ceilometer_version'][0] != 'skipped':
            self.assertEqual(
                ('error', 'the pollsters did not load within 0.1 s'),
                found['entry_points'][:2])


class TestNoLibvirt(DoctorTest):

    def make_inspector(self, conf):
        def refuse(uri):
            raise observation.ReadFailed('libvirt-python is not installed')
        return inspector.Inspector('test:///fake', timeout_s=2.0,
                                   opener=refuse)

    def test_no_bindings(self):
        status, found = self.doctor()
        self.assertEqual(
            (2, 'test:///fake: libvirt-python is not installed'),
            (status, found['libvirt'][1]))


class TestBroken(DoctorTest):
    """What a file holds may end its own check, and no other."""

    def check(self, name, *expected):
        status, found = self.doctor()
        self.assertEqual((1, expected), (status, found[name]))
        self.assertEqual(17, len(found))

    def test_polling_yamls(self):
        for content, finding in (
                (b'', 'it has no list of sources'),
                (b'\xff\x00', "'utf-8' codec can't decode byte 0xff in "
                 'position 0: invalid start byte'),
                (b'a' * (yamlfile.MOST_BYTES + 1),
                 'it has more than 1048576 bytes'),
                (b'a: 2026-13-13', 'month must be in 1..12'),
                (b'sources: ' + b'[' * 5000, 'maximum recursion depth '
                 'exceeded'),
                (b'sources: [{name: s, interval: .inf, meters: [memory]}]',
                 'source s has no interval in seconds'),
                (b'sources: [{name: [s], interval: 0, meters: [memory]}]',
                 'source 1 has interval 0'),
                (b'sources: [{name: s, interval: 9, meters: [a], '
                 b'discovery: local_instances}]',
                 'the discovery of source s are no list'),
                (b'sources: [{name: s, interval: 9, meters: [a], '
                 b'resources: 7}]', 'the resources of source s are no list')):
            self.polling.write_bytes(content)
            _status, found = self.doctor()
            outcome, said, remedy = found['polling_meters']
            self.assertEqual('error', outcome)
            self.assertTrue(said.startswith(f'{self.polling}: {finding}'),
                            said)
            self.assertIn('correct the file', remedy)
            self.assertEqual(
                ('skipped', f'{self.polling} cannot be used', None),
                found['polling_interval'])

    def test_a_polling_yaml_that_is_no_file(self):
        self.polling.unlink()
        self.polling.mkdir()
        self.check('polling_meters', 'error',
                   f'{self.polling}: Is a directory', 'correct the file')
        self.polling.rmdir()
        os.mkfifo(self.polling)
        self.check('polling_meters', 'error',
                   f'{self.polling}: it is no regular file',
                   'correct the file')
        self.polling.unlink()
        self.polling.symlink_to('/dev/zero')
        self.check('polling_meters', 'error',
                   f'{self.polling}: it is no regular file',
                   'correct the file')

    def test_options_that_name_an_option_that_is_not_there(self):
        before = self.conf.read_text()
        self.conf.write_text(before.replace(
            f'cfg_file = {self.etc}/polling', 'cfg_file = $nothing'))
        self.check('polling_meters', 'error',
                   '[polling]cfg_file cannot be used: no such option '
                   'nothing in group [DEFAULT]',
                   'correct that option')
        self.conf.write_text(
            f'{before}[DEFAULT]\npipeline_cfg_file = $nothing\n')
        self.check('gnocchi_definitions', 'error',
                   '[DEFAULT]pipeline_cfg_file cannot be used: option '
                   'pipeline_cfg_file: no such option nothing in group '
                   '[DEFAULT]',
                   'correct or make that file; "memstat-pollster '
                   'gnocchi-resources" writes one')

    def test_a_publisher_whose_url_is_none(self):
        pipeline = self.etc / 'pipeline.yaml'
        pipeline.write_text(
            'sinks: [{publishers: [7, null, "gnocchi://[::1"]}]\n')
        self.check('gnocchi_definitions', 'error',
                   f'{pipeline}: Invalid IPv6 URL',
                   'correct or make that file; "memstat-pollster '
                   'gnocchi-resources" writes one')

    def test_ceilometers_own_pipeline(self):
        package = importlib.util.find_spec('ceilometer')
        if package is None:
            self.skipTest('Ceilometer is not installed')
        (self.etc / 'pipeline.yaml').write_bytes(pathlib.Path(
            package.submodule_search_locations[0], 'pipeline', 'data',
            'pipeline.yaml').read_bytes())
        status, found = self.doctor()
        self.assertEqual(
            (0, ('ok', f'{self.definitions} names all 11 meters', None)),
            (status, found['gnocchi_definitions']))
