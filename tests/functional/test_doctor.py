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
"""``memstat-pollster doctor`` on a real agent's files, whole and broken."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import yaml

from memstat_pollster.model import meters
from tests.functional import published
from tests.node import agent as polling

COMMAND = os.path.join(os.path.dirname(sys.executable), 'memstat-pollster')

ADD = ('add them to a source of their own; '
       'share/memstat-pollster/polling.yaml shows how')
CORRECT = 'correct it; the defaults are looked at meanwhile'


def ok(finding):
    return 'ok', finding, None


def skipped(finding, remedy=None):
    return 'skipped', finding, remedy


def let_in(path):
    return (f'"setfacl -m u:nobody:r {path}" (package acl) lets nobody read '
            'that file and gives no other right; then restart the agent and '
            'run this again')


def dotted(number):
    """A version as libvirt writes it, as people do."""
    return f'{number // 10**6}.{number // 1000 % 1000}.{number % 1000}'


CPU = ok('answered from the bulk call of the cycle: cpu')


class TestDoctor(published.SharedGuestsTest):

    @classmethod
    def make_guests(cls):
        usual = published.mib(480, 200, 300, 120)
        cls.web = cls.new_scripted('web', usual)
        cls.paused = cls.new_scripted('paused', usual, period=400)
        cls.paused.domain.suspend()

    def setUp(self):
        super().setUp()
        # A real agent's files; it need not run.
        self.agent = polling.Agent(
            self.node.ro_uri, interval=300,
            nova_conf='[libvirt]\nmem_stats_period_seconds = 1\n')
        self.addCleanup(self.agent.close)
        self.directory = self.agent.directory
        self.conf = self.directory / 'ceilometer.conf'
        self.polling = self.directory / 'polling.yaml'
        self.pipeline = self.directory / 'pipeline.yaml'
        self.definitions = self.directory / 'gnocchi_resources.yaml'
        self.write(self.pipeline, {
            'sources': [{'name': 'meters', 'meters': ['*'],
                         'sinks': ['sink']}],
            'sinks': [{'name': 'sink', 'publishers': ['gnocchi://']}]})
        self.write(self.definitions, {'resources': [{
            'resource_type': 'instance', 'metrics': dict.fromkeys(
                meters.METERS)}]})

    @staticmethod
    def write(path, document):
        path.write_text(yaml.safe_dump(document))

    def healthy(self):
        """Every check of the files as they are made, in order."""
        libvirt = self.node.connection
        rivals = 'memory, memory.usage, memory.available and 3 more'
        return {
            'configuration': ok(f'{self.conf} can be used'),
            'options': ok('the options of [memstat] can be used'),
            'agent_user': ok('checked as nobody, in the groups nogroup'),
            'libvirt': ok(f'{self.node.ro_uri} answers nobody over its '
                          'read-only socket'),
            'libvirt_version': ok(
                f'libvirt {dotted(libvirt.getLibVersion())}'),
            'qemu_version': ok(f'QEMU {dotted(libvirt.getVersion())}'),
            'libvirt_python': ok('libvirt-python ' + importlib.metadata
                                 .version('libvirt-python')),
            'ceilometer_version': ok(
                'Ceilometer ' + importlib.metadata.version('ceilometer')),
            'entry_points': ok(f'all {len(meters.METERS)} pollsters load'),
            'builtin_pollsters': ok(f'{rivals} of ceilometer are replaced'),
            'polling_meters': ok(f'{self.polling} lists all 11 meters'),
            'polling_interval': ok(
                'polled every 300 s, by a source of its own'),
            'compute_meters': ok(
                f'{self.polling} lists no other meter for which Ceilometer '
                'asks libvirt'),
            'nova_conf': ok('mem_stats_period_seconds is 1'),
            'guest_periods': ok(
                'all 1 running guests have a period of 1 s'),
            'clock': ok('none of 2 time stamps lies in the future'),
            'gnocchi_definitions': ok(
                f'{self.definitions} names all 11 meters')}

    def run_doctor(self, *options, prefix=None, arguments=()):
        if prefix is None:
            prefix = polling.unprivileged()
        return subprocess.run(
            [*prefix, COMMAND, '--config-file', str(self.conf), *options,
             'doctor', *arguments], capture_output=True, text=True,
            timeout=120, cwd='/')

    def check(self, status, *options, **differing):
        """The whole of the output is what is healthy but for this."""
        self.compare(self.run_doctor(*options, arguments=('-f', 'json')),
                     status, differing)

    def compare(self, done, status, differing):
        self.assertEqual('', done.stderr)
        expected = {**self.healthy(), **differing}
        self.assertEqual(
            [{'outcome': outcome, 'check': name, 'finding': finding,
              'remedy': remedy}
             for name, (outcome, finding, remedy) in expected.items()],
            json.loads(done.stdout))
        self.assertEqual(status, done.returncode)

    def needs_permissions(self):
        if 'dac_read_search' in ' '.join(polling.unprivileged()):
            self.skipTest('nobody cannot read this checkout but with '
                          'CAP_DAC_READ_SEARCH, which opens every file')

    def change(self, path, pattern, text):
        old = path.read_text()
        new = re.sub(pattern, lambda _: text, old)
        self.assertNotEqual(old, new)
        path.write_text(new)

    # Whole

    def test_all_is_well(self):
        self.check(0)

    def test_the_agents_files_are_enough_for_the_agent(self):
        """What is called healthy here serves samples."""
        self.change(self.polling, 'interval: 300', 'interval: 1')
        self.check(0, polling_interval=ok(
            'polled every 1 s, by a source of its own'))
        self.agent.start()
        self.agent.wait_status(self.web.uuid, 'reporting')

    def test_root_looks_as_the_agents_user(self):
        self.needs_permissions()
        done = self.run_doctor(prefix=(), arguments=(
            '-f', 'json', '--user', 'nobody'))
        self.compare(done, 0, {})

    def test_root_with_a_python_that_the_agents_user_may_not_use(self):
        """What is known of that Python says nothing of the agent's."""
        self.needs_permissions()
        closed = self.directory / 'closed'
        closed.mkdir(mode=0o700)
        (closed / 'python').symlink_to(sys.executable)
        done = self.run_doctor(
            prefix=['env', 'PYTHONPATH=' + ':'.join(filter(None, sys.path)),
                    str(closed / 'python')],
            arguments=('-f', 'json', '--user', 'nobody'))
        self.compare(done, 0, dict.fromkeys(
            ('libvirt_python', 'ceilometer_version', 'entry_points',
             'builtin_pollsters'), skipped(
                 f'nobody may not use {closed}, where the Python of this '
                 'command is: it is not the one that the agent runs with',
                 "run the memstat-pollster of the agent's Python "
                 'environment')))

    def test_a_line_for_each_check(self):
        done = self.run_doctor()
        rows = [[cell.strip() for cell in line.split('|')[1:-1]]
                for line in done.stdout.splitlines() if line[0] == '|']
        self.assertEqual(
            [['outcome', 'check', 'finding', 'remedy'],
             *([outcome, name, finding, remedy or ''] for
               name, (outcome, finding, remedy) in self.healthy().items())],
            rows)

    # libvirt

    def test_libvirt_is_not_there(self):
        uri = f'qemu:///system?socket={self.directory}/none'
        done = self.run_doctor('--uri', uri, arguments=('-f', 'json'))
        gone = skipped('libvirt did not answer')
        self.compare(done, 2, {
            'libvirt': (
                'error', f'{uri}: Failed to connect socket to '
                f"'{self.directory}/none': No such file or directory",
                'see that libvirtd or virtqemud runs ("systemctl status '
                'libvirtd virtqemud") and that libvirt_uri is its URI'),
            **dict.fromkeys(('libvirt_version', 'qemu_version',
                             'guest_periods', 'clock'), gone)})

    def test_a_socket_that_is_closed_to_the_agent(self):
        done = self.run_doctor('--uri', self.node.rw_uri,
                               arguments=('-f', 'json'))
        found = {each['check']: each for each in json.loads(done.stdout)}
        self.assertEqual((2, 'error'), (done.returncode,
                                        found['libvirt']['outcome']))
        self.assertIn('Permission denied', found['libvirt']['finding'])
        self.assertEqual('the socket is open to its owner root alone (mode '
                         '0700): go on as root', found['libvirt']['remedy'])

    # ceilometer.conf

    def test_a_configuration_that_is_none(self):
        self.conf.write_text('[DEFAULT\nlibvirt_uri')
        done = self.run_doctor('--uri', self.node.ro_uri,
                               arguments=('-f', 'json'))
        found = {each['check']: each for each in json.loads(done.stdout)}
        self.assertEqual(('error', CORRECT),
                         (found['configuration']['outcome'],
                          found['configuration']['remedy']))
        self.assertIn(str(self.conf), found['configuration']['finding'])
        self.assertEqual((1, ''), (done.returncode, done.stderr))
        self.assertEqual('ok', found['libvirt']['outcome'])

    def test_a_configuration_that_cannot_be_read(self):
        self.needs_permissions()
        self.conf.chmod(0o600)
        done = self.run_doctor('--uri', self.node.ro_uri,
                               arguments=('-f', 'json'))
        found = json.loads(done.stdout)[0]
        self.assertEqual((1, 'error', let_in(self.conf)),
                         (done.returncode, found['outcome'],
                          found['remedy']))
        self.assertIn(str(self.conf), found['finding'])

    def test_options_that_cannot_be_used(self):
        self.change(self.conf, r'\[memstat\]\n',
                    '[memstat]\nstale_after_periods = many\nboot_grace = -1\n')
        done = self.run_doctor(arguments=('-f', 'json'))
        found = json.loads(done.stdout)[1]
        self.assertEqual((1, 'error', 'correct [memstat] in ceilometer.conf '
                          'and restart the agent'),
                         (done.returncode, found['outcome'],
                          found['remedy']))
        for name in ('stale_after_periods', 'boot_grace'):
            self.assertIn(f'option [memstat]{name} cannot be used, its '
                          'default', found['finding'])
        self.compare(done, 1, {'options': (
            'error', found['finding'], found['remedy'])})

    def test_meters_that_are_left_to_ceilometer(self):
        self.change(self.conf, r'\[memstat\]\n',
                    '[memstat]\nreplace_builtin = false\n')
        self.check(0, builtin_pollsters=ok(
            'memory, memory.usage, memory.available and 3 more are left to '
            'ceilometer unchecked, because [memstat]replace_builtin is '
            'false'))

    # polling.yaml

    def broken_polling(self, finding, remedy='correct the file: the agent '
                       'does not start with it'):
        self.check(
            1, polling_meters=('error', finding, remedy),
            **dict.fromkeys(('polling_interval', 'compute_meters'), skipped(
                f'{self.polling} cannot be used')))

    def test_no_polling_yaml(self):
        self.polling.unlink()
        missing = f'there is no {self.polling}'
        self.check(
            1, polling_meters=(
                'error', f'{missing}: the agent polls nothing',
                'copy share/memstat-pollster/polling.yaml to '
                '/etc/ceilometer'), polling_interval=skipped(missing),
            compute_meters=skipped(missing))

    def test_a_polling_yaml_that_is_no_yaml(self):
        self.polling.write_text('sources: [}\n\x07')
        done = self.run_doctor(arguments=('-f', 'json'))
        found = {each['check']: each for each in json.loads(done.stdout)}
        finding = found['polling_meters']['finding']
        self.assertTrue(finding.startswith(f'{self.polling}: '), finding)
        self.assertTrue(finding.isprintable())
        self.broken_polling(finding, 'correct the file')

    def test_a_polling_yaml_that_cannot_be_read(self):
        self.needs_permissions()
        self.polling.chmod(0o600)
        self.broken_polling(
            f'{self.polling}: Permission denied',
            let_in(self.polling))
        if shutil.which('setfacl') is None:
            self.skipTest('acl is not installed')
        command = let_in(self.polling).split('"')[1]
        done = subprocess.run(shlex.split(command), capture_output=True,
                              text=True, timeout=60)
        self.assertEqual((0, '', ''),
                         (done.returncode, done.stdout, done.stderr))
        self.check(0)

    def test_a_polling_yaml_of_the_wrong_shape(self):
        self.write(self.polling, {'sources': {'memstat': 300}})
        self.broken_polling(f'{self.polling}: it has no list of sources')

    def test_meters_that_nobody_polls(self):
        document = yaml.safe_load(self.polling.read_text())
        for name in ('memory.balloon.status', 'memory.util'):
            document['sources'][0]['meters'].remove(name)
        self.write(self.polling, document)
        self.check(1, polling_meters=(
            'warning', f'{self.polling} does not list memory.util, '
            'memory.balloon.status', ADD))

    def test_no_meter_at_all(self):
        self.write(self.polling, {'sources': [
            {'name': 'other', 'interval': 300, 'meters': ['cpu']}]})
        self.check(1, polling_meters=(
            'error', f'{self.polling} does not list memory, memory.usage, '
            'memory.available and 8 more', ADD), polling_interval=skipped(
                f'{self.polling} has no source with these meters'),
            compute_meters=CPU)

    def polled_with(self, **source):
        document = yaml.safe_load(self.polling.read_text())
        document['sources'].append(
            {'name': 'other', 'interval': 299, 'meters': ['cpu'], **source})
        self.write(self.polling, document)

    def test_a_meter_in_two_sources(self):
        self.polled_with(meters=['memory.usage'])
        self.check(1, polling_meters=(
            'warning', f'{self.polling} has memory.usage in more than one '
            'source: memstat, other', 'leave each meter in one source, or '
            'every guest has two samples'), polling_interval=ok(
                'polled every 299 s, by a source of its own'))

    def serve_nothing(self):
        self.change(self.conf, r'\[memstat\]\n',
                    '[memstat]\nserve_compute = false\n')

    def test_a_source_that_shares_its_thread(self):
        self.polled_with(interval=300)
        self.check(0, polling_interval=ok(
            'polled every 300 s, in one thread with other meters'),
            compute_meters=CPU)

    def test_a_source_that_shares_its_thread_without_serve_compute(self):
        self.polled_with(interval=300)
        self.serve_nothing()
        self.check(1, polling_interval=(
            'warning', f'{self.polling}: source memstat has the interval of '
            'source other, and so its thread: one waits for the other',
            'give the source of these meters an interval that no other has, '
            'such as 299 beside 300'), compute_meters=self.stops('cpu'))

    def test_another_thread_without_serve_compute(self):
        self.polled_with()
        self.serve_nothing()
        self.check(0, compute_meters=ok(
            'Ceilometer asks libvirt for cpu itself, in another thread, '
            'because [memstat]serve_compute is false'))

    def test_a_source_that_polls_everything(self):
        self.write(self.polling, {'sources': [
            {'name': 'all', 'interval': 60, 'meters': ['*']}]})
        self.check(0, polling_interval=ok(
            'polled every 60 s, in one thread with other meters'),
            compute_meters=ok(
                'answered from the bulk call of the cycle: cpu, vcpus, '
                'power.state and 20 more; asked by Ceilometer itself, within '
                '[memstat]read_timeout: disk.device.capacity, '
                'disk.device.allocation, disk.device.usage'))
        self.serve_nothing()
        self.check(1, polling_interval=(
            'warning', f'{self.polling}: source all polls other meters, '
            'too, in the same thread', 'move these meters to a source of '
            'their own with an interval that no other has'),
            compute_meters=self.stops('cpu, vcpus, power.state and 23 more'))

    def stops(self, names):
        return ('warning', f'{self.polling}: Ceilometer asks libvirt for '
                f'{names} itself, in the thread of the memory meters, because '
                '[memstat]serve_compute is false: one QEMU that does not '
                'answer stops all of them', 'set [memstat]serve_compute to '
                'true, or move the memory meters to a source with an '
                'interval that no other has')

    def test_an_interval_shorter_than_the_guests_period(self):
        slow = self.scripted('slow', period=17)
        self.change(self.polling, 'interval: 300', 'interval: 5')
        self.check(1, polling_interval=(
            'warning', 'polled every 5 s, but there are guests that are '
            'asked for numbers every 17 s only',
            "make the interval at least as long as Nova's "
            'mem_stats_period_seconds'), guest_periods=(
                'warning', 'of 2 running guests 1 with another period than '
                f'1 s: {self.named(slow)}',
                'a hard reboot lets Nova write the XML anew'))

    # nova.conf and the guests

    def test_guests_that_differ_from_nova(self):
        none = self.scripted('none', period=None)
        bare = self.scripted('bare', model='none')
        self.agent.nova_conf.write_text(
            '[libvirt]\nmem_stats_period_seconds = 7\n')
        self.check(
            1, nova_conf=ok('mem_stats_period_seconds is 7'),
            clock=ok('none of 2 time stamps lies in the future'),
            guest_periods=(
                'warning', 'of 3 running guests 1 without a balloon device: '
                f'{self.named(bare)}; 1 without a period: '
                f'{self.named(none)}; 1 with another period than 7 s: '
                f'{self.named(self.web)}',
                '"memstat-pollster enable --all" sets it live; a hard '
                'reboot lets Nova write the XML anew'))

    @staticmethod
    def named(guest):
        names = dict.fromkeys((guest.display_name, guest.name))
        return f'{" / ".join(names)} ({guest.uuid})'

    def test_nova_has_statistics_switched_off(self):
        self.agent.nova_conf.write_text(
            '[libvirt]\nmem_stats_period_seconds = -1\n')
        self.check(
            0, nova_conf=ok('mem_stats_period_seconds is -1: memory '
                            'statistics are switched off'),
            guest_periods=skipped(
                'Nova has memory statistics switched off'))

    def test_no_nova_conf(self):
        self.agent.nova_conf.unlink()
        self.change(self.polling, 'interval: 300', 'interval: 20')
        self.check(
            1, nova_conf=skipped(
                f'there is no {self.agent.nova_conf}: 10 s is assumed',
                'on a compute node, name its files in '
                '[memstat]nova_config_files'),
            polling_interval=ok('polled every 20 s, by a source of its own'),
            guest_periods=(
                'warning', 'of 1 running guests 1 with another period than '
                f'10 s: {self.named(self.web)}',
                'a hard reboot lets Nova write the XML anew'))

    def broken_nova(self, finding, remedy):
        self.check(
            1, nova_conf=(
                'warning', f'{finding}; 10 s is assumed where they say '
                'nothing else', remedy),
            guest_periods=(
                'warning', 'of 1 running guests 1 with another period than '
                f'10 s: {self.named(self.web)}',
                'a hard reboot lets Nova write the XML anew'))

    def test_a_nova_conf_that_cannot_be_read(self):
        self.needs_permissions()
        path = self.agent.nova_conf
        path.chmod(0o640)
        self.broken_nova(
            f'{path} cannot be read: Permission denied',
            let_in(path))
        path.chmod(0o600)
        self.broken_nova(
            f'{path} cannot be read: Permission denied',
            let_in(path))

    def test_a_nova_conf_with_a_wrong_value(self):
        self.agent.nova_conf.write_text(
            '[libvirt]\nmem_stats_period_seconds = often\n')
        done = self.run_doctor(arguments=('-f', 'json'))
        found = {each['check']: each for each in json.loads(done.stdout)}
        finding = found['nova_conf']['finding']
        self.assertTrue(finding.startswith(
            f'{self.agent.nova_conf}: Value for option '
            'mem_stats_period_seconds'), finding)
        self.broken_nova(finding.partition('; 10 s')[0], 'correct the file')

    # Gnocchi

    def test_definitions_that_name_only_ceilometers_meters(self):
        self.write(self.definitions, {'resources': [{
            'resource_type': 'instance', 'metrics': dict.fromkeys(
                polling.IN_TREE)}]})
        self.check(1, gnocchi_definitions=(
            'warning', f'{self.definitions} does not name memory.usable, '
            'memory.unused, memory.util and 2 more: Gnocchi does not store '
            'them', 'write one that does with "memstat-pollster '
            'gnocchi-resources"'))

    def test_the_definitions_of_a_second_publisher(self):
        """Each sink has a file of its own; together they name all."""
        second = self.directory / 'memstat.yaml'
        self.write(second, yaml.safe_load(self.definitions.read_text()))
        self.write(self.definitions, {'resources': []})
        document = yaml.safe_load(self.pipeline.read_text())
        document['sinks'].append({
            'name': 'memstat', 'publishers': [
                f'gnocchi://?resources_definition_file={second}']})
        self.write(self.pipeline, document)
        self.check(0, gnocchi_definitions=ok(
            f'{self.definitions}, {second} together name all 11 meters'))

    def broken_gnocchi(self, finding):
        self.check(1, gnocchi_definitions=(
            'error', finding, 'correct or make that file; "memstat-pollster '
            'gnocchi-resources" writes one'))

    def test_definitions_that_are_none(self):
        self.definitions.write_text('- 1\n')
        self.broken_gnocchi(f'{self.definitions}: it is not a mapping')
        self.definitions.write_text('resources: {}\n')
        self.write(self.definitions, {'resources': [{
            'resource_type': 'instance', 'metrics': 7}]})
        self.broken_gnocchi(
            f'{self.definitions}: the metrics of resource_type instance are '
            'neither a mapping nor a list of names')

    def test_a_pipeline_that_is_none(self):
        self.write(self.pipeline, {'sinks': 'sink'})
        self.broken_gnocchi(
            f'{self.pipeline}: sinks is not a list of mappings')

    def test_no_gnocchi_here(self):
        self.write(self.pipeline, {'sinks': [
            {'name': 'sink', 'publishers': ['notifier://']}]})
        self.check(0, gnocchi_definitions=skipped(
            f'{self.pipeline} publishes nothing to Gnocchi'))
        self.pipeline.unlink()
        self.check(0, gnocchi_definitions=skipped(
            'there is no pipeline.yaml on this machine, and no notification '
            'agent with this configuration is seen to run',
            'run this where the notification agent runs'))

    def test_ceilometers_own_pipeline_where_the_notification_agent_runs(self):
        """Debian's packages install no pipeline.yaml."""
        self.pipeline.unlink()
        service = self.directory / 'ceilometer-agent-notification'
        service.write_text('input()\n')
        process = subprocess.Popen(
            [sys.executable, str(service), '--config-file', str(self.conf)],
            stdin=subprocess.PIPE)
        self.addCleanup(process.communicate, b'\n')
        self.check(0)

    # The command

    def test_a_user_who_is_not_there(self):
        done = self.run_doctor(prefix=(),
                               arguments=('--user', 'no-such-user'))
        self.assertEqual(
            (3, '', 'memstat-pollster: there is no user no-such-user\n'),
            (done.returncode, done.stdout, done.stderr))

    def test_only_root_looks_as_another(self):
        done = self.run_doctor(arguments=('--user', 'daemon'))
        self.assertEqual(
            (3, '', 'memstat-pollster: only root can look as the user '
                    'daemon\n'), (done.returncode, done.stdout, done.stderr))
