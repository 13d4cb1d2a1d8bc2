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

"""The curves of ``memstat-pollster report --gnocchi``."""

import os
import pathlib
import re
import subprocess
import sys
import time

from tests.e2e import base
from tests.node import tools

COMMAND = os.path.join(os.path.dirname(sys.executable), 'memstat-pollster')

ROW = re.compile(r'<tr role="row" data-status="(\w+)".*?</tr>', re.DOTALL)
PATH = re.compile(r'<path d="([^"]*)"/>\s*</svg>\s*<small>([^<]*)</small>')


class TestCurves(base.EndToEndTest):

    def setUp(self):
        super().setUp()
        self.page = pathlib.Path(self.lab.directory.sub('work'), 'page.html')

    def report(self, *configuration):
        return subprocess.run(
            [COMMAND, *configuration, '--uri', self.lab.node.ro_uri,
             'report', '--gnocchi', '--wait', '0', '-o', str(self.page)],
            capture_output=True, text=True, timeout=120)

    def curves(self):
        """{UUID: (path, words)} of the rows that have one."""
        rows = {}
        for row in ROW.finditer(self.page.read_text()):
            uuid, = re.findall(r'<small>([0-9a-f-]{36})</small>', row[0])
            found = PATH.search(row[0])
            if found:
                rows[uuid] = found.groups()
        return rows

    def test_a_gap_stays_a_gap(self):
        guest = self.lab.guests['app-9']
        self.lab.wait_measure(guest, 'memory.usage', 0.0)
        guest.domain.suspend()
        self.addCleanup(self.resume, guest)
        paused = time.time()
        # A measure of each of the guests that go on, well after that.
        self.lab.wait_measure(self.lab.guests['app-8'], 'memory.usage',
                              paused + 4 * base.GRANULARITY_S)
        guest.domain.resume()
        self.lab.wait_measure(guest, 'memory.usage', time.time())

        done = self.report('--config-file', str(self.lab.notification.conf))
        self.assertEqual((0, '', ''),
                         (done.returncode, done.stdout, done.stderr))
        curves = self.curves()
        # Gnocchi has nothing of guests that never had numbers.
        self.assertNotIn(self.lab.guests['no-driver'].uuid, curves)
        self.assertNotIn(self.lab.guests['windows'].uuid, curves)
        path, words = curves[guest.uuid]
        used = base.APPS['app-9']
        self.assertRegex(words, rf'^{used} MiB to {used} MiB used in the '
                                r'last 24 h, [1-9]\d* gaps?$')
        gaps = int(re.search(r'(\d+) gap', words)[1])
        self.assertEqual(gaps + 1, path.count('M'))
        # Down from the top, which is the machine's 512 MiB.
        self.assertEqual({f'{100 - 100 * used / 512:.2f}'},
                         set(re.findall(r'(?:M\d+ |V)([\d.]+)H', path)))
        # Every step is a measure that Gnocchi has.
        self.assertLessEqual(path.count('H'),
                             len(self.lab.measures(guest, 'memory.usage')))
        self.assertGreater(path.count('H'), 1)

    @staticmethod
    def resume(guest):
        if guest.domain.state()[0] == tools.libvirt.VIR_DOMAIN_PAUSED:
            guest.domain.resume()

    def test_without_credentials_the_page_says_so(self):
        done = self.report('--config-file', '/dev/null')
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertIn('the page has no curves: the configuration has no '
                      '[service_credentials]auth_type', done.stderr)
        self.assertEqual({}, self.curves())
        self.assertIn('No curves: the configuration has no '
                      '[service_credentials]auth_type',
                      self.page.read_text())
        self.assertIn(self.lab.guests['app-9'].uuid, self.page.read_text())
