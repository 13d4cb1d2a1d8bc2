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
"""A clone, an sdist and a wheel all build, and what they install works."""

import configparser
import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import fixtures
import testtools

from memstat_pollster.model import meters

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

LOAD = """
from importlib import metadata
for entry in sorted(metadata.entry_points(group='ceilometer.poll.compute'),
                    key=lambda entry: entry.name):
    if entry.dist.name == 'memstat-pollster':
        print(entry.name, entry.load().meter.name)
"""


def files_below(directory):
    return {str(path.relative_to(directory))
            for path in directory.rglob('*') if path.is_file()}


class TestPackaging(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)

    def run_python(self, python, *arguments, **options):
        """What a command prints; its errors are in the failure."""
        done = subprocess.run(
            [str(python), *map(str, arguments)], text=True,
            capture_output=True, cwd=options.pop('cwd', '/'), **options)
        if done.returncode:
            self.fail(f'{arguments}: {done.stdout}\n{done.stderr}')
        return done.stdout

    def venv(self, name):
        self.run_python(sys.executable, '-m', 'venv', self.directory / name)
        return self.directory / name / 'bin' / 'python'

    def pip(self, python, *arguments, **options):
        return self.run_python(python, '-m', 'pip', '--quiet',
                               '--disable-pip-version-check', *arguments,
                               **options)

    def clone(self, name, source=CHECKOUT):
        subprocess.run(['git', 'clone', '--quiet', source,
                        self.directory / name], check=True)
        return self.directory / name

    def test_clone_sdist_and_wheel(self):
        python = self.venv('clean')
        self.pip(python, 'install', 'build')
        clone = self.clone('clone')
        environment = {key: value for key, value in os.environ.items()
                       if key != 'PBR_VERSION'}
        dist = self.directory / 'dist'
        # An sdist, and the wheel from that sdist, as build does by default.
        self.run_python(python, '-m', 'build', '--outdir', dist, clone,
                        env=environment)
        (sdist,) = dist.glob('*.tar.gz')
        (wheel,) = dist.glob('*.whl')
        version = wheel.name.split('-')[1]
        self.assertThat(version, testtools.matchers.StartsWith('1.0.0'))
        with tarfile.open(sdist) as archive:
            names = {name.partition('/')[2] for name in archive.getnames()}
        self.assertTrue({'README.rst', 'LICENSE', 'setup.cfg', 'tools/demo',
                         'tests/node/node.py', 'etc/polling.yaml',
                         'memstat_pollster/agent/pollsters.py',
                         'doc/man/memstat-pollster.1'} <= names, names)

        with zipfile.ZipFile(wheel) as archive:
            packed = {name for name in archive.namelist()
                      if name.startswith('memstat_pollster/')}
        # All of the package, with the mark that it has types, and no more.
        self.assertEqual(
            {f'memstat_pollster/{name}'
             for name in files_below(clone / 'memstat_pollster')}, packed)
        self.assertIn('memstat_pollster/py.typed', packed)

        self.pip(python, 'install', 'ceilometer==27.0.0', wheel)
        self.assertEqual([f'{name} {name}' for name in sorted(meters.METERS)],
                         self.run_python(python, '-c', LOAD).splitlines())
        listed = self.run_python(
            python.with_name('oslo-config-generator'),
            '--namespace', 'memstat_pollster', '--wrap-width', '79')
        self.assertEqual(
            (CHECKOUT / 'etc/memstat-pollster.conf.sample').read_text(),
            listed)
        self.assertEqual(
            files_below(CHECKOUT / 'etc'),
            files_below(self.directory / 'clean/share/memstat-pollster'))
        self.assertTrue((self.directory
                         / 'clean/share/man/man1/memstat-pollster.1').exists())
        # The page's template is in the wheel, which was made from the sdist.
        page = self.directory / 'report.html'
        done = subprocess.run(
            [python.with_name('memstat-pollster'), '--uri',
             f'qemu:///system?socket={self.directory}/none', 'report', '-o',
             page], capture_output=True, text=True, timeout=60)
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn('Failed to connect socket', page.read_text())

    def test_a_release_is_checked_and_the_same_wherever_it_is_built(self):
        python = self.venv('release')
        tox = configparser.ConfigParser()
        tox.read(CHECKOUT / 'tox.ini')
        self.pip(python, 'install',
                 *tox['testenv:release']['deps'].split())
        here = self.clone('here')
        subprocess.run(
            ['git', '-c', 'user.name=Nobody', '-c',
             'user.email=nobody@example.org', 'tag', '--annotate',
             '--message=1.0.0', '1.0.0'], cwd=here, check=True)
        built = []
        for clone, umask, zone in (
                (here, 0o022, 'UTC'),
                (self.clone('there', here), 0o077, 'Asia/Tokyo')):
            # What is not committed is not released.
            (clone / 'memstat_pollster' / 'left_over.py').touch()
            self.run_python(
                python, clone / 'tools/build_release.py', umask=umask,
                env=dict(os.environ, TZ=zone, PBR_VERSION='7.7.7'))
            built.append({
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in (clone / 'dist').iterdir()})
        self.assertEqual({'memstat_pollster-1.0.0.tar.gz',
                          'memstat_pollster-1.0.0-py3-none-any.whl'},
                         set(built[0]))
        self.assertEqual(built[0], built[1])
        wheel, = here.glob('dist/*.whl')
        names = zipfile.ZipFile(wheel).namelist()
        self.assertIn('memstat_pollster/agent/pollsters.py', names)
        self.assertNotIn('memstat_pollster/left_over.py', names)
        sdist, = here.glob('dist/*.tar.gz')
        with tarfile.open(sdist) as archive:
            notes = archive.extractfile(
                'memstat_pollster-1.0.0/RELEASENOTES.rst').read().decode()
        self.assertIn('\n1.0.0\n=====\n', notes)
