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

"""Nothing that an operator is told to do gives more rights than it needs."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import testtools

from memstat_pollster.model import domain
from memstat_pollster.model import status
from tests.unit.cli.commands import test_doctor_command
from tests.unit.cli.doctor import test_checks
from tests.unit import commands

ROOT = pathlib.Path(__file__).resolve().parents[4]

#: Groups whose members have much more than one file of Nova's.
POWERFUL = ('root', 'sudo', 'wheel', 'admin', 'adm', 'disk', 'shadow', 'kvm',
            'kmem', 'docker', 'lxd', 'staff', 'libvirt', 'nova', 'systemd-.*')

#: What gives a right that is not one user's to read one file.
WIDENING = tuple(re.compile(each) for each in (
    # Membership in a group, whichever it is.
    r'\busermod\b', r'\bgpasswd\s+(-a|--add)', r'\badduser\s+\S+\s+\S+',
    r'\bgroupmod\b', r'\baddgroup\b', r'\bgroupmems\b', r'\bnewgrp\b',
    # More for a file's group, or for everybody.
    r'\bchmod\b[^"\n]*?\s[^\s"]*[goa][ugoa]*[+=]', r'\bchmod\b[^"\n]*?\s[+=]',
    r'\bchmod\b[^"\n]*?\s[0-7]*([1-7][0-7]|[0-7][1-7])\b',
    # Another owner.
    r'\bchown\b', r'\bchgrp\b',
    # More than reading, for more than one user, or below a directory.
    r'\bsetfacl\b[^"\n]*?\b[dgom]:', r'\bsetfacl\b[^"\n]*\s-\w*R',
    r'\bsetfacl\b[^"\n]*\bu:[^:\s]*:\w*w',
    r'\bsetenforce\b', r'\baa-(disable|complain)\b', r'\bNOPASSWD\b',
    *(rf'\b(in|join|to|of) the group {group}\b' for group in POWERFUL
      if group not in ('libvirt', 'nova'))))


def widening(text):
    """The parts of a text that would give more than it takes."""
    return [found.group() for each in WIDENING
            for found in each.finditer(text)]


def texts_of(path):
    """What a source may say: its strings, each as a whole."""
    tree = ast.parse(path.read_text())
    quoted = {id(part) for node in ast.walk(tree)
              if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
              if part is not node}
    for node in ast.walk(tree):
        if id(node) in quoted:
            continue
        if isinstance(node, ast.JoinedStr):
            yield ''.join(str(part.value) if isinstance(part, ast.Constant)
                          else '{}' for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


class TestWidening(testtools.TestCase):

    def test_what_is_refused(self):
        for text in ('"usermod -aG root ceilometer"', 'usermod -a -G nova c',
                     'adduser ceilometer disk', 'gpasswd -a c shadow',
                     'gpasswd --add c shadow', 'chmod o+r /etc/nova/nova.conf',
                     'chmod a+r f', 'chmod +r f', 'chmod g+r f',
                     'chmod 644 f', 'chmod 0640 f', 'chmod -R 0755 d',
                     'chmod u=rw,go=r f', 'chgrp ceilometer f',
                     'chown ceilometer f', 'setfacl -m g:adm:r f',
                     'setfacl -m o::r f', 'setfacl -R -m u:c:r d',
                     'setfacl -m u:c:rw f', 'setfacl -m d:u:c:r d',
                     'as a member of the group root',
                     'join it to the group wheel'):
            self.assertNotEqual([], widening(text), text)

    def test_what_is_not(self):
        for text in ('"setfacl -m u:ceilometer:r /etc/nova/nova.conf"',
                     'setfacl -m u:ceilometer:rx /etc/nova/nova.conf.d',
                     'gpasswd --delete ceilometer libvirt',
                     'chmod 600 f', 'chmod 0700 d', 'chmod u+r f',
                     'chmod go-r f', 'go on as root'):
            self.assertEqual([], widening(text), text)


class TestRemedies(testtools.TestCase):

    def test_of_every_status_and_operating_system(self):
        found = [text for each in status.Status
                 for system in (*domain.GuestOS, None)
                 for text in (each.advice.meaning,
                              each.advice.remedies.get(system, ''),
                              *each.advice.steps.get(system, ()))]
        self.assertNotEqual(set(), set(found) - {''})
        self.assertEqual([], widening('\n'.join(found)))

    def test_of_every_check_of_the_doctor(self):
        for make in test_checks.TestRemedies.BAD_NEWS:
            self.assertEqual([], widening(make().remedy))

    def test_every_text_of_the_package(self):
        found = [(str(path.relative_to(ROOT)), text)
                 for path in sorted((ROOT / 'memstat_pollster').rglob('*.py'))
                 for text in texts_of(path)]
        self.assertIn(True, ['setfacl' in text for _name, text in found])
        self.assertEqual([], [(name, widening(text)) for name, text in found
                              if widening(text)])

    def test_every_page(self):
        pages = [ROOT / 'README.rst', *sorted(
            (ROOT / 'doc' / 'source').rglob('*.rst')), *sorted(
            (ROOT / 'debian').glob('*python3*')), *sorted(
            (ROOT / 'releasenotes' / 'notes').glob('*.yaml'))]
        self.assertEqual([], [(path.name, widening(path.read_text()))
                              for path in pages
                              if widening(path.read_text())])


class TestWhoMayRead(commands.CommandTest):
    """The remedy for each owner, mode and place of a file."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest('only root makes a file that others cannot read')
        self.etc.chmod(0o755)

    def ask(self, path):
        return subprocess.run(
            [sys.executable, '-c', test_doctor_command.TestWhoMayRead.ASK,
             str(path)], text=True, capture_output=True,
            timeout=60).stdout.strip()

    def said(self, letters, path, what):
        return (f'"setfacl -m u:nobody:{letters} {path}" (package acl) lets '
                f'nobody {what} and gives no other right; then restart the '
                'agent and run this again')

    def test_a_file_of_a_group(self):
        """Whichever group it is, and whether or not that may read it."""
        path = self.etc / 'polling.yaml'
        path.touch()
        for group in (0, 6, 42, 43210):
            for mode in (0o600, 0o640):
                os.chown(path, 0, group)
                path.chmod(mode)
                answer = self.ask(path)
                self.assertEqual(self.said('r', path, 'read that file'),
                                 answer)
                self.assertEqual([], widening(answer))

    def test_a_directory_that_hides_it(self):
        path = self.etc / 'private' / 'nova.conf'
        path.parent.mkdir(0o700)
        path.touch(0o600)
        self.assertEqual(
            self.said('x', path.parent, 'through that directory'),
            self.ask(path))

    def test_a_directory_that_may_not_be_listed(self):
        path = self.etc / 'nova.conf.d'
        path.mkdir(0o711)
        self.assertEqual(self.said('rx', path, 'list that directory'),
                         self.ask(path))

    def test_a_name_that_a_shell_would_take_apart(self):
        path = self.etc / 'a b'
        path.touch(0o600)
        self.assertEqual(self.said('r', f"'{path}'", 'read that file'),
                         self.ask(path))
