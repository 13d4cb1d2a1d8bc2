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

"""Runs commands in the test's own process, on a libvirt written by hand."""

import datetime
import io
import json
import logging
import pathlib
import textwrap
import time

import fixtures
import testtools

from memstat_pollster.cli import application
from memstat_pollster.host import inspector
from tests.unit import fakes


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


class CommandTest(testtools.TestCase):
    """A test of a command.

    :ivar libvirt: its guests are those of :meth:`make`
    :ivar nova_conf: Nova's file, which asks for a period of 10 s
    :ivar stdout: of the last command
    :ivar stderr: of the last command
    """

    #: [memstat] of the configuration
    memstat = ''
    #: what a stream of the command is
    stream = io.StringIO

    def setUp(self):
        super().setUp()
        # Other than in any other environment that the tests run in.
        for name in ('NO_COLOR', 'CLIFF_FIT_WIDTH', 'CLIFF_MAX_TERM_WIDTH'):
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '160'))
        self.useFixture(fixtures.EnvironmentVariable('TERM', 'xterm'))
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        self.addCleanup(lambda: (root.setLevel(level),
                                 setattr(root, 'handlers', handlers)))
        self.etc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.nova_conf = self.etc / 'nova.conf'
        self.set_nova_period(10)
        self.conf = self.etc / 'ceilometer.conf'
        self.conf.write_text(textwrap.dedent(f'''\
            [DEFAULT]
            libvirt_uri = test:///configured
            [memstat]
            nova_config_files = {self.nova_conf}
            ''') + textwrap.dedent(self.memstat))
        self.libvirt = fakes.Libvirt()
        self.addCleanup(lambda: self.libvirt.thaw())

    def set_nova_period(self, seconds):
        self.nova_conf.write_text(
            f'[libvirt]\nmem_stats_period_seconds = {seconds}\n')

    def make(self, *domains):
        self.libvirt = fakes.Libvirt(*domains)

    def make_inspector(self, conf):
        return inspector.Inspector(
            'test:///fake', timeout_s=2.0, opener=self.libvirt.open,
            writer=self.libvirt.open_writable)

    def run_command(self, *argv, stdin=''):
        """Its exit status; see ``stdout`` and ``stderr``."""
        out, err = self.stream(), self.stream()
        given = self.stream(stdin)
        status = application.main(
            ['--config-file', str(self.conf), '--config-dir',
             self.useFixture(fixtures.TempDir()).path, *argv],
            lambda: application.App(stdout=out, stderr=err, stdin=given,
                              make_inspector=self.make_inspector))
        self.stdout, self.stderr = out.getvalue(), err.getvalue()
        return status

    def json(self, *argv):
        """(exit status, what it prints as JSON)."""
        status = self.run_command(*argv, '-f', 'json')
        return status, json.loads(self.stdout)


def ago(seconds):
    """A time stamp of that many seconds ago."""
    return int(time.time()) - seconds


def utc(seconds):
    """A time as Gnocchi writes it."""
    return datetime.datetime.fromtimestamp(
        seconds, datetime.timezone.utc).isoformat()


class CapturedStderr(fixtures.Fixture):
    """Where argparse writes, whatever stream the application has."""

    def _setUp(self):
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', io.StringIO()))
