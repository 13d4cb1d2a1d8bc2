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
"""memstat-pollster report on a libvirt written by hand."""

import os
import stat
import subprocess
import sys

import fixtures

from tests.unit import commands
from tests.unit import fakes
from tests.unit import servers


class TestReport(commands.CommandTest):

    def setUp(self):
        super().setUp()
        self.page = self.etc / 'page.html'
        self.make(fakes.Domain(1, fakes.healthy(commands.ago(3))))

    def report(self, *argv):
        return self.run_command('report', '-o', str(self.page), *argv)

    def test_a_page(self):
        self.assertEqual(0, self.report())
        self.assertEqual(('', ''), (self.stdout, self.stderr))
        text = self.page.read_text()
        for found in ('Memory of the guests on <bdi>compute-7</bdi>',
                      '<span>libvirt 10.2.3</span>',
                      '<span>QEMU 9.1.2</span>',
                      'Nova&#39;s period 10 s', fakes.uuid_of(1)):
            self.assertIn(found, text)

    def test_on_standard_output(self):
        self.assertEqual(0, self.run_command('report', '-o', '-'))
        self.assertTrue(self.stdout.startswith('<!DOCTYPE html>'))

    def test_a_file_that_is_there_keeps_its_mode_and_its_links(self):
        real = self.etc / 'real.html'
        real.write_text('old')
        real.chmod(0o640)
        self.page.symlink_to(real)
        self.assertEqual(0, self.report())
        self.assertTrue(self.page.is_symlink())
        self.assertIn('compute-7', real.read_text())
        self.assertEqual(0o640, stat.S_IMODE(real.stat().st_mode))
        self.assertEqual(
            {'ceilometer.conf', 'nova.conf', 'page.html', 'real.html'},
            set(os.listdir(self.etc)))

    def test_a_new_file_has_the_mode_of_any(self):
        before = os.umask(0o027)
        self.addCleanup(os.umask, before)
        self.assertEqual(0, self.report())
        self.assertEqual(0o640, stat.S_IMODE(self.page.stat().st_mode))

    def test_a_device_is_written_to(self):
        self.assertEqual(0, self.run_command('report', '-o', '/dev/null'))
        self.assertTrue(stat.S_ISCHR(os.stat('/dev/null').st_mode))

    def test_a_directory_is_no_file(self):
        self.assertEqual(3, self.run_command('report', '-o', str(self.etc)))
        self.assertEqual(
            f'memstat-pollster: {self.etc} cannot be written: Is a '
            'directory\n', self.stderr)

    def test_a_file_that_is_there_keeps_its_owner(self):
        """As root: the agent's group may read it as before."""
        if os.geteuid() != 0:
            self.skipTest('only root gives a file to somebody else')
        self.page.write_text('old')
        os.chown(self.page, 54321, 43210)
        self.page.chmod(0o640)
        self.assertEqual(0, self.report())
        found = self.page.stat()
        self.assertEqual((54321, 43210, 0o640), (
            found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)))

    def test_a_name_as_long_as_names_can_be(self):
        self.page = self.etc / ('p' * 255)
        self.assertEqual(0, self.report())
        self.assertIn('compute-7', self.page.read_text())

    def test_a_full_disk(self):
        self.assertEqual(3, self.run_command('report', '-o', '/dev/full'))
        self.assertEqual(
            'memstat-pollster: /dev/full cannot be written: No space left on '
            'device\n', self.stderr)

    def test_a_file_that_cannot_be_replaced_leaves_no_draft(self):
        self.page.mkdir()
        page = self.etc / 'loop'
        page.symlink_to(page)
        self.assertEqual(3, self.run_command('report', '-o', str(page)))
        self.assertEqual({'ceilometer.conf', 'nova.conf', 'page.html',
                          'loop'}, set(os.listdir(self.etc)))

    def test_a_directory_without_rights(self):
        directory = self.etc / 'closed'
        directory.mkdir()
        page = directory / 'page.html'
        page.touch(0o666)
        directory.chmod(0o555)
        self.addCleanup(directory.chmod, 0o755)
        self.etc.chmod(0o755)
        done = subprocess.run(
            [sys.executable, '-c',
             'import os, sys\n'
             'from memstat_pollster.cli.output import files\n'
             'if os.geteuid() == 0:\n'
             '    os.setgid(65534)\n'
             '    os.setuid(65534)\n'
             'try:\n'
             '    files.write(sys.argv[1], "new")\n'
             'except Exception as exc:\n'
             '    print(exc)\n', str(page)],
            capture_output=True, text=True, timeout=120)
        self.assertEqual(
            f'{page} cannot be written: no file can be made in {directory}: '
            'Permission denied\n', done.stdout)

    def test_libvirt_does_not_answer(self):
        self.libvirt.open_errors += [
            fakes.libvirt_error(38, 'no <socket>')] * 4
        self.page.write_text('old')
        self.assertEqual(2, self.report())
        self.assertIn('no &lt;socket&gt;', self.page.read_text())

    def test_gnocchi_without_credentials(self):
        self.assertEqual(1, self.report('--gnocchi'))
        self.assertIn('the page has no curves: the configuration has no '
                      '[service_credentials]auth_type', self.stderr)
        self.assertIn('No curves: the configuration has no',
                      self.page.read_text())


class TestCurves(commands.CommandTest):
    """On a Gnocchi of HTTP answers written by hand."""

    def setUp(self):
        super().setUp()
        self.page = self.etc / 'page.html'
        self.make(*(fakes.Domain(number, fakes.healthy(commands.ago(3)))
                    for number in (1, 2, 3)))

    def report(self, answer):
        server = self.useFixture(servers.Http(answer))
        with self.conf.open('a') as file:
            file.write('[service_credentials]\n' + ''.join(
                f'{name} = {value}\n'
                for name, value in server.credentials.items()))
        status = self.run_command('report', '-o', str(self.page), '--gnocchi')
        return status, self.page.read_text(), server

    @staticmethod
    def measures():
        return [[f'{commands.utc(commands.ago(900))}', 300.0, 256.0]]

    def test_guests_that_gnocchi_knows_have_one(self):
        def answer(request):
            if fakes.uuid_of(2) in request.path:
                return 404, {'message': 'no such metric'}
            return 200, self.measures()
        status, page, _server = self.report(answer)
        self.assertEqual((0, '', ''), (status, self.stdout, self.stderr))
        self.assertEqual(2, page.count('class="curve"'))
        self.assertNotIn('No curves', page)

    def test_a_gnocchi_that_breaks_down_keeps_what_it_has_said(self):
        """And is asked for no other guest."""
        def answer(request):
            if fakes.uuid_of(1) in request.path:
                return 200, self.measures()
            return 503, {'description': 'overloaded', 'code': 503}
        status, page, server = self.report(answer)
        self.assertEqual(1, status)
        self.assertEqual([fakes.uuid_of(1), fakes.uuid_of(2)], [
            path.split('/')[4] for _method, path in server.requests])
        self.assertEqual(1, page.count('class="curve"'))
        self.assertIn('No curves of 2 of 3 guests: Gnocchi: ', page)
        self.assertEqual(
            'memstat-pollster: the page has no curves of 2 of 3 guests: '
            'Gnocchi: overloaded (HTTP 503)\n', self.stderr)

    def test_all_of_it_has_a_deadline(self):
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.gnocchi.client.DEADLINE_S', 0.2))
        status, page, _server = self.report(lambda request: None)
        self.assertEqual(
            (1, 'memstat-pollster: the page has no curves: Gnocchi: no end '
                'of it within 0.2 s\n'), (status, self.stderr))
        self.assertIn('No curves: Gnocchi: no end of it within 0.2 s', page)
