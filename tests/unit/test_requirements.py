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
"""What is said in several places of a release is the same in all."""

import configparser
import pathlib
import re

import testtools

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

#: Python packages that Debian does not call python3-NAME.
DEBIAN_NAMES = {'libvirt-python': 'python3-libvirt',
                'pyyaml': 'python3-yaml'}


def requirements():
    """{name: lowest version} of requirements.txt."""
    lines = (CHECKOUT / 'requirements.txt').read_text().splitlines()
    return dict(
        re.fullmatch(r'([\w.-]+)>=([\w.]+)', line.split('#')[0].strip())
        .groups() for line in lines if line and not line.startswith('#'))


def relations(field):
    """{package: lowest version} of a field of debian/control."""
    text = (CHECKOUT / 'debian' / 'control').read_text()
    found = re.search(rf'^{field}:\n((?: .*\n)+)', text, re.MULTILINE)[1]
    return dict(re.findall(
        r'^ ([\w.-]+) \(>= (?:\d+:)?([\w.]+)\)', found, re.MULTILINE))


class TestDebianChangelog(testtools.TestCase):
    def test_the_newest_entry_is_of_the_version_in_the_making(self):
        setup = configparser.ConfigParser()
        setup.read(CHECKOUT / 'setup.cfg')
        with open(CHECKOUT / 'debian' / 'changelog') as changelog:
            # tools/build-deb makes 1.0.0~dev5 of it, and runs this then.
            self.assertEqual(
                setup['metadata']['version'],
                re.match(r'memstat-pollster \(([\d.]+)', next(changelog))[1])


class TestDebianControl(testtools.TestCase):
    def test_depends_on_what_the_requirements_name(self):
        expected = {
            DEBIAN_NAMES.get(name.lower(), f'python3-{name.lower()}'): version
            for name, version in requirements().items()}
        self.assertIn('python3-libvirt', expected)
        self.assertEqual(expected, relations('Depends'),
                         'requirements.txt and debian/control differ')

    def test_the_build_has_what_the_tests_import(self):
        """Those without a bound are not looked at: debhelper and others."""
        self.assertEqual(
            {}, {name: version
                 for name, version in relations('Depends').items()
                 if relations('Build-Depends').get(name) != version})


class TestInstallation(testtools.TestCase):
    def test_the_page_installs_what_pip_is_told_not_to(self):
        """Ceilometer itself is what the node runs."""
        page = (CHECKOUT / 'doc' / 'source' / 'install.rst').read_text()
        command = re.search(r'# apt install ((?:.*\\\n)*.*)\n', page)[1]
        self.assertEqual(
            {'python3-pip', *relations('Depends')} - {'python3-ceilometer'},
            set(command.replace('\\', ' ').split()))
