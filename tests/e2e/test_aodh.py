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

"""The alarms of the page aodh.rst, evaluated by a real aodh-evaluator."""

from testtools import content

from tests.e2e import base

GROUP = 'web-servers'


class TestAlarms(base.EndToEndTest):
    def setUp(self):
        super().setUp()
        self.names = set()
        evaluator = self.lab.aodh.evaluator
        self.addCleanup(lambda: self.addDetail(
            'aodh-evaluator.log',
            content.text_content('\n'.join(evaluator.log()[-60:]))))

    def aodh(self, block, **variables):
        """What the command of a block of the page printed, as rows."""
        self.lab.aodh.evaluator.check()
        output, = self.lab.page(
            block, page='aodh', OS_AUTH_TYPE='aodh-noauth',
            AODH_AODH_ENDPOINT=self.lab.aodh.endpoint, AODH_USER_ID='user',
            AODH_PROJECT_ID='project', GRANULARITY=base.GRANULARITY_S,
            **variables)
        return base.table(output)

    def create(self, block, **variables):
        """Make an alarm; its name."""
        made = {row['Field']: row['Value']
                for row in self.aodh(block, **variables)}
        self.names.add(made['name'])
        return made['name']

    def states(self):
        """{name: state} of this test's alarms."""
        return {row['name']: row['state'] for row in self.aodh('aodh-list')
                if row['name'] in self.names}

    def test_a_guest_that_fills_up_and_then_says_no_more(self):
        """A real one: first idle, then full, then paused, then back."""
        guest = self.lab.guests['db']
        alarm = self.create('aodh-guest', GUEST=guest.uuid)
        self.eventually({alarm: 'ok'}, self.states)
        self.addCleanup(guest.command, 'free', '^FREED')
        guest.command('eat 120', '^ATE')
        self.eventually({alarm: 'alarm'}, self.states)
        guest.domain.suspend()
        try:
            self.eventually({alarm: 'insufficient data'}, self.states)
        finally:
            guest.domain.resume()
        self.eventually({alarm: 'alarm'}, self.states)

    def test_a_guest_that_hung_before_is_never_ok(self):
        hung = self.lab.guests['hung'].uuid
        well = self.lab.guests['app-9'].uuid
        for name in 'hung', 'app-9':
            self.lab.wait_measure(self.lab.guests[name],
                                  'memory.balloon.status', 0, 'last')
        self.eventually('stale', lambda: self.lab.words().get('hung'))
        numbers = self.create('aodh-guest', GUEST=hung)
        other = self.create('aodh-guest', GUEST=well)
        status = self.create('aodh-status', GUEST=hung)
        quiet = self.create('aodh-status', GUEST=well)
        self.eventually({numbers: 'insufficient data', other: 'ok',
                         status: 'alarm', quiet: 'ok'}, self.states)

    def test_a_group_of_which_one_hangs(self):
        """Their mean is 96.25 %; the one that hangs is not in it."""
        for name in 'app-0', 'app-1', 'hung':
            guest = self.lab.guests[name]
            self.lab.wait_measure(guest, 'memory.balloon.status', 0, 'last')
            self.lab.client.resource.update(
                'instance', guest.uuid, {'server_group': GROUP})
        alarm = self.create('aodh-group', GROUP=GROUP)
        self.eventually({alarm: 'alarm'}, self.states)
