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
"""An oslo.messaging notification driver that appends lines of JSON to a file.

It stands where the message bus is in production.  The agent finds it by the
entry point that :mod:`tests.node.agent` puts on its path; nothing else here
is imported with it.
"""

import os

from oslo_messaging.notify import notifier
from oslo_serialization import jsonutils


class JSONLines(notifier.Driver):
    """Appends each notification to the file named by MEMSTAT_SAMPLES."""

    def notify(self, ctxt, msg, priority, retry):
        line = jsonutils.dumps(msg).encode() + b'\n'
        # One write of an O_APPEND file: lines of several threads stay whole.
        target = os.open(os.environ['MEMSTAT_SAMPLES'],
                         os.O_WRONLY | os.O_APPEND)
        try:
            os.write(target, line)
        finally:
            os.close(target)
