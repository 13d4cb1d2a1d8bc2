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

"""What the end-to-end tests start ends with them, however they end."""

import os
import signal
import subprocess
import sys

import testtools

from tests.e2e import services
from tests.node import tools

#: A server that leaves another process behind, in a session of its own.
DAEMONISING = ['sh', '-c', 'setsid sleep 1000 & exec sleep 1001']

PARENT = """\
import sys
from tests.e2e import services
directory = services.Directory('memstat-e2e-test-')
service = services.Service('sleeper', sys.argv[1:], directory.path)
service.start()
service.wait(lambda: True)
print(directory.path, flush=True)
sys.stdin.read()
"""


def running(directory):
    """Command lines of the processes that work in a directory."""
    found = set()
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.readlink(f'/proc/{pid}/cwd').startswith(str(directory)):
                with open(f'/proc/{pid}/cmdline') as file:
                    found.add(file.read().replace('\0', ' ').strip())
        except OSError:
            continue  # it has just ended
    return found & {'sleep 1000', 'sleep 1001'}


class TestServices(testtools.TestCase):
    def test_stop_ends_what_the_service_left_in_the_background(self):
        with services.Directory('memstat-e2e-test-') as directory:
            with services.Service('sleeper', DAEMONISING,
                                  directory.path) as service:
                service.wait(lambda: len(running(directory.path)) == 2)
            tools.wait_for(lambda: not running(directory.path), 60,
                           'the end of both processes')
        self.assertFalse(directory.path.exists())

    def test_all_is_gone_when_the_tests_are_killed(self):
        parent = subprocess.Popen(
            [sys.executable, '-c', PARENT, *DAEMONISING],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(parent.communicate)
        self.addCleanup(parent.kill)
        directory = parent.stdout.readline().strip()
        tools.wait_for(lambda: len(running(directory)) == 2, 60,
                       'both processes')
        parent.send_signal(signal.SIGKILL)
        tools.wait_for(lambda: not running(directory), 60,
                       'the end of both processes')
        tools.wait_for(lambda: not os.path.exists(directory), 60,
                       f'removal of {directory}')

    def test_a_service_that_ends_is_an_error_with_its_log(self):
        with services.Directory('memstat-e2e-test-') as directory:
            service = services.Service(
                'broken', ['sh', '-c', 'echo no such table; exit 3'],
                directory.path)
            service.start()
            error = self.assertRaises(
                services.ServiceError, service.wait, lambda: False)
            self.assertEqual('broken: it has ended; its log ends:\n'
                             'no such table', str(error))
