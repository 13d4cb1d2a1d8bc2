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

"""memstat-pollster gnocchi-resources and gnocchi-upgrade."""

import importlib.util
import io
import os
import pathlib

import fixtures
from oslo_config import cfg
import yaml

from memstat_pollster.cli import application
from memstat_pollster.config import errors
from memstat_pollster.gnocchi import definitions
from memstat_pollster.gnocchi import publisher
from tests.unit import files
from tests.unit import servers

STOCK = pathlib.Path(importlib.util.find_spec(
    'ceilometer').submodule_search_locations[0],
    'publisher', 'data', 'gnocchi_resources.yaml')

FILE = """\
resources:
  - resource_type: instance
    metrics:
      cpu:
"""
PIPELINE = """\
sources: []
sinks:
  - name: one
    publishers:
      - gnocchi://?resources_definition_file={}&archive_policy=low
      - notifier://
  - name: two
    publishers:
      - gnocchi://{}
"""


class CommandTest(files.FilesTest):
    def setUp(self):
        super().setUp()
        self.ceilometer_conf = self.configuration()

    def run_command(self, *arguments):
        """Exit status, standard output, standard error."""
        out, err = io.StringIO(), io.StringIO()
        with fixtures.MonkeyPatch('sys.stdout', out), \
                fixtures.MonkeyPatch('sys.stderr', err):
            status = application.main(['--config-file', self.ceilometer_conf,
                                 *map(str, arguments)])
        return status, out.getvalue(), err.getvalue()


class TestResources(CommandTest):
    def test_it_prints_the_merged_file(self):
        source = self.write('own.yaml', FILE)
        status, out, err = self.run_command(
            'gnocchi-resources', '--from', source)
        self.assertEqual((0, ''), (status, err))
        self.assertEqual(definitions.merged(yaml.safe_load(FILE)),
                         yaml.safe_load(out))
        self.assertIn('      cpu:\n      memory:\n', out)
        self.assertIn('# "memstat-pollster gnocchi-resources"', out)
        self.assertEqual(FILE, source.read_text())

    def test_ceilometers_own_file_differs_by_what_was_added_only(self):
        _, out, _ = self.run_command('gnocchi-resources', '--from', STOCK)
        lost = ({line.replace("'", '').rstrip()
                 for line in STOCK.read_text().splitlines()
                 if line.strip() and not line.strip().startswith('#')}
                - {line.replace("'", '').rstrip()
                   for line in out.splitlines()})
        self.assertEqual(set(), lost)

    def test_merging_what_was_merged_prints_the_same(self):
        _, first, _ = self.run_command('gnocchi-resources', '--from', STOCK)
        merged = self.write('merged.yaml', first)
        _, second, _ = self.run_command('gnocchi-resources', '--from', merged)
        self.assertEqual(first, second)

    def test_the_source_may_be_written(self):
        source = self.write('gnocchi_resources.yaml', FILE)
        source.chmod(0o640)
        for _ in range(2):
            self.assertEqual((0, '', ''), self.run_command(
                'gnocchi-resources', '--output', source))
        self.assertEqual(definitions.merged(yaml.safe_load(FILE)),
                         yaml.safe_load(source.read_text()))
        self.assertEqual(0o640, source.stat().st_mode & 0o777)
        self.assertEqual({'ceilometer.conf', 'gnocchi_resources.yaml'},
                         {path.name for path in self.directory.iterdir()})

    def test_a_new_file_can_be_read_by_the_agent(self):
        target = self.directory / 'new.yaml'
        self.run_command('gnocchi-resources', '--from', STOCK,
                         '-o', target)
        self.assertEqual(0o644, target.stat().st_mode & 0o777)

    def test_a_source_that_cannot_be_used_is_named_and_stays(self):
        cases = {
            'broken.yaml': ('resources: [', 'while parsing a flow'),
            'empty.yaml': ('', 'it is not a mapping'),
            'other.yaml': ('resources: []\n',
                           'it has no resource_type instance'),
        }
        for name, (text, message) in cases.items():
            path = self.write(name, text)
            status, out, err = self.run_command(
                'gnocchi-resources', '--from', path, '--output', path)
            self.assertEqual((3, ''), (status, out))
            self.assertIn(f'{path}: ', err)
            self.assertIn(message, err)
            self.assertEqual(text, path.read_text())

    def test_paths_that_are_not_there_are_named(self):
        absent = self.directory / 'absent' / 'file.yaml'
        for arguments in (('--from', absent),
                          ('--from', STOCK, '--output', absent)):
            status, out, err = self.run_command('gnocchi-resources',
                                                *arguments)
            self.assertEqual((3, ''), (status, out))
            self.assertIn(str(absent), err)
            self.assertIn('No such file or directory', err)


    def test_the_source_may_be_a_pipe(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        with open(write, 'w') as file:
            file.write(FILE)
        status, out, _err = self.run_command(
            'gnocchi-resources', '--from', f'/dev/fd/{read}')
        self.assertEqual((0, definitions.merged(yaml.safe_load(FILE))),
                         (status, yaml.safe_load(out)))


class TestSource(files.FilesTest):
    """Which file Ceilometer's publisher reads now."""

    def source(self, **options):
        conf = cfg.ConfigOpts()
        # Of a project without a directory in /etc, where one may be.
        conf(['--config-file', self.configuration(DEFAULT=options)],
             project='memstat-none')
        return publisher.source(conf)

    def test_ceilometers_own(self):
        self.assertEqual(STOCK, self.source())

    def test_the_one_beside_ceilometer_conf(self):
        path = self.write('gnocchi_resources.yaml', FILE)
        self.assertEqual(path, self.source())

    def test_the_one_that_the_publisher_names(self):
        for name in ('named.yaml', self.directory / 'named.yaml'):
            query = f'?resources_definition_file={name}'
            self.write('pipeline.yaml', PIPELINE.format(name, query))
            path = self.write('named.yaml', FILE)
            self.write('gnocchi_resources.yaml', '')
            self.assertEqual(path, self.source())

    def test_ceilometers_own_where_the_named_one_is_not_there(self):
        """It may be what is to be written now."""
        for name in ('new.yaml', self.directory / 'new.yaml'):
            self.write('pipeline.yaml', 'sinks: [{publishers: ["gnocchi://?'
                       f'resources_definition_file={name}"]}}]')
            self.assertEqual(STOCK, self.source())

    def test_the_pipeline_may_have_another_name(self):
        self.write('pipes.yaml', PIPELINE.format(
            'named.yaml', '?resources_definition_file=named.yaml'))
        path = self.write('named.yaml', FILE)
        self.assertEqual(path, self.source(pipeline_cfg_file='pipes.yaml'))

    def test_a_pipeline_without_gnocchi_has_the_default(self):
        self.write('pipeline.yaml', 'sinks: []\n')
        self.assertEqual(STOCK, self.source())

    def _fails(self):
        return str(self.assertRaises(errors.ConfigurationError, self.source))

    def test_two_files_are_no_answer(self):
        path = self.write('pipeline.yaml', PIPELINE.format('b.yaml', ''))
        self.assertEqual(
            f'the publishers in {path} read more than one file: say with '
            '--from which one is meant: b.yaml, gnocchi_resources.yaml',
            self._fails())

    def test_a_pipeline_that_is_none_is_named(self):
        path = self.write('pipeline.yaml', '[]')
        self.assertEqual(f'{path}: it is not a mapping', self._fails())


class TestUpgrade(CommandTest):
    def test_it_is_added_once(self):
        types = servers.ResourceTypes()
        server = self.useFixture(servers.Http(types.answer))
        self.ceilometer_conf = self.configuration(
            service_credentials=server.credentials)
        line = 'attribute balloon_status of resource type instance: '
        self.assertEqual((0, f'{line}added\n', ''),
                         self.run_command('gnocchi-upgrade'))
        self.assertEqual((0, f'{line}there already, nothing to do\n', ''),
                         self.run_command('gnocchi-upgrade'))
        self.assertEqual(
            {'balloon_status': {'type': 'string', 'required': False,
                                'min_length': 0, 'max_length': 255}},
            types.attributes)

    def test_a_gnocchi_that_hangs_is_not_waited_for_for_ever(self):
        server = self.useFixture(servers.Http(lambda request: None))
        self.ceilometer_conf = self.configuration(
            service_credentials=server.credentials)
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.gnocchi.client.DEADLINE_S', 0.2))
        self.assertEqual(
            (3, '', 'memstat-pollster: Gnocchi: no end of it within 0.2 s\n'),
            self.run_command('gnocchi-upgrade'))

    def test_without_credentials_it_fails_with_a_line(self):
        status, out, err = self.run_command('gnocchi-upgrade')
        self.assertEqual((3, ''), (status, out))
        self.assertIn('no [service_credentials]auth_type', err)
