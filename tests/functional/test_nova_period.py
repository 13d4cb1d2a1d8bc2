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

"""nova.conf and the live XML: what is wanted and what is in force."""

from tests.functional import published
from tests.functional.published import mib
from tests.functional import test_signatures

NOVA_OFF = (
    "Nova's [libvirt]mem_stats_period_seconds is not above 0 on this host: "
    'set it, restart nova-compute and hard reboot the guest')
NONE = "its live XML has <memballoon model='none'/>"
NO_PERIOD = 'its live XML has a memballoon without a statistics period'


class NovaTest(published.SharedAgentTest):
    period = 10

    @classmethod
    def make_guests(cls):
        cls.none = cls.new_scripted('none', model='none')
        cls.without = cls.new_scripted('without', mib(402, 52, 152),
                                       period=None)

    @classmethod
    def start_agent(cls, **options):
        return super().start_agent(nova_conf=cls.nova_conf(cls.period),
                                   **options)

    @staticmethod
    def nova_conf(period):
        return f'[libvirt]\nmem_stats_period_seconds = {period}\n'


class TestWanted(NovaTest):
    """nova.conf asks for statistics: their absence is a fault."""

    def test_10_and_no_device(self):
        self.check(self.none, 'no_device', NONE, test_signatures.HARD_REBOOT,
                   level='WARNING')

    def test_10_and_no_period(self):
        self.check(self.without, 'stats_disabled', NO_PERIOD,
                   test_signatures.set_period(self.without),
                   level='WARNING', age='frozen')

    def wait_remedy(self, guest, remedy):
        """Wait for it; the guest's samples."""
        def newest(cycles):
            samples = cycles[-1][guest.uuid]
            told = published.ours(samples['memory.balloon.status'])
            return samples if told['balloon_remedy'] == remedy else None
        return self.agent.wait_for(newest, remedy)

    def test_nova_conf_is_read_again(self):
        """10 becomes 0 becomes 25, while the agent runs."""
        lines = {self.none: [], self.without: []}

        def tell(level, none, without):
            for guest, word, detail, remedy in (
                    (self.none, 'no_device', NONE, none),
                    (self.without, 'stats_disabled', NO_PERIOD, without)):
                lines[guest].append(self.line(level, guest, word, detail,
                                              remedy))
                self.agent.wait_for(
                    lambda _, guest=guest: self.said_of(guest)
                    == lines[guest], '\n'.join(lines[guest]))

        self.settled(self.none, 'no_device')
        tell('WARNING', test_signatures.HARD_REBOOT,
             test_signatures.set_period(self.without))
        self.agent.write_nova_conf(self.nova_conf(0))
        self.assertPublished(
            self.none, self.wait_remedy(self.none, NOVA_OFF),
            'no_device', NONE, NOVA_OFF)
        self.assertPublished(
            self.without, self.wait_remedy(self.without, NOVA_OFF),
            'stats_disabled', NO_PERIOD, NOVA_OFF, age='frozen')
        tell('INFO', NOVA_OFF, NOVA_OFF)
        self.agent.write_nova_conf(self.nova_conf(25))
        remedy = test_signatures.set_period(self.without).replace(
            'period 10', 'period 25')
        self.assertPublished(
            self.without, self.wait_remedy(self.without, remedy),
            'stats_disabled', NO_PERIOD, remedy, age='frozen')
        # The guests are as they were, but what was told of them is untrue.
        tell('WARNING', test_signatures.HARD_REBOOT, remedy)
        self.agent.write_nova_conf(self.nova_conf(10))
        self.wait_remedy(self.none, test_signatures.HARD_REBOOT)


class TestSwitchedOff(NovaTest):
    """nova.conf asks for none: their absence is what was asked for."""

    period = 0

    @published.signature(
        'no_device',
        "``model='none'``, and nova.conf asks for none")
    def test_0_and_no_device(self):
        self.check(self.none, 'no_device', NONE, NOVA_OFF, level='INFO')

    @published.signature(
        'stats_disabled',
        'No period, and nova.conf asks for none')
    def test_0_and_no_period(self):
        self.check(self.without, 'stats_disabled', NO_PERIOD, NOVA_OFF,
                   level='INFO', age='frozen')

    def test_nothing_is_a_warning(self):
        self.settled(self.none, 'no_device')
        self.assertEqual([], self.agent.said('WARNING'))
