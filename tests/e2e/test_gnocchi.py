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

"""The plugin's meters in Gnocchi, and what the page gnocchi.rst does there."""

import time

from tests.e2e import base
from tests.e2e import measures

#: Between the guest's own answer and the record that QEMU has of it.
SLACK_MIB = 256 / 1024


class TestMeasures(base.EndToEndTest):
    """What Gnocchi has is what the guests say of themselves."""

    def expected(self, own):
        """A guest's meters in MiB, by its own /proc/meminfo."""
        used = own['MemTotal'] - own['MemAvailable']
        return {'memory.available': own['MemTotal'] / 1024,
                'memory.usable': own['MemAvailable'] / 1024,
                'memory.unused': own['MemFree'] / 1024,
                'memory.usage': used / 1024}

    def check(self, guest, what):
        """Rows of the table; read while the guest stands still."""
        own = self.expected(guest.meminfo())
        began = time.time() + 2 * base.INTERVAL_S
        rows = []
        for meter, mib in own.items():
            found = self.lab.wait_measure(guest, meter, began)
            rows.append((guest.name, what, meter, f'{mib:.2f}',
                         f'{found:.2f}'))
            self.assertAlmostEqual(mib, found, delta=SLACK_MIB, msg=meter)
        util = self.lab.wait_measure(guest, 'memory.util', began)
        percent = 100 * own['memory.usage'] / own['memory.available']
        rows.append((guest.name, what, 'memory.util', f'{percent:.2f}',
                     f'{util:.2f}'))
        self.assertAlmostEqual(percent, util, delta=0.3)
        return rows

    def test_they_equal_the_guests_own_meminfo_and_follow_it(self):
        rows = []
        for name, mib in (('web', 24), ('db', 96)):
            guest = self.lab.guests[name]
            guest.wait_ready()
            rows += self.check(guest, 'idle')
            guest.command(f'eat {mib}', '^ATE')
            rows += self.check(guest, f'{mib} MiB more')
        measures.write(rows)
