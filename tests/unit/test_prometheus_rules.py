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

"""etc/prometheus says what the statuses say; promtool tests the rest."""

import pathlib
import re

import testtools
import yaml

from memstat_pollster.model import meters
from memstat_pollster.model import status
from tools import alert_rules

ETC = pathlib.Path(__file__).resolve().parents[2] / 'etc' / 'prometheus'


def groups():
    """The rules by the name of their group."""
    document = yaml.safe_load((ETC / 'memstat_rules.yml').read_text())
    return {group['name']: group['rules'] for group in document['groups']}


class TestRules(testtools.TestCase):
    """etc/prometheus/memstat_rules.yml"""

    def test_each_status_that_needs_something_done_has_its_rule(self):
        self.assertEqual(
            alert_rules.rules(),
            [rule for rule in groups()['memstat-guests']
             if 'status' in rule['labels']])

    def test_the_file_is_as_genconfig_writes_it(self):
        (block,) = alert_rules.BLOCK.findall(alert_rules.FILE.read_text())
        self.assertEqual(block, alert_rules.written())

    def test_the_rule_of_a_status(self):
        self.assertEqual({
            'alert': 'MemstatGuestStatsDisabled',
            'expr': 'guest:ceilometer_memory_balloon_status:last5m'
                    '{memory_statistics!="off"} == 4',
            'for': '1h',
            'labels': {'severity': 'warning', 'status': 'stats_disabled'},
            'annotations': {
                'summary': '{{ $labels.resource_name }} on {{ '
                           '$labels.instance }} has had no memory numbers '
                           'for an hour: stats_disabled',
                'description': 'The live XML has a balloon without a '
                               'statistics period.',
                'remedy': 'hard reboot the guest, or set the period live: '
                          '"virsh dommemstat --live --period 10 '
                          '{{ $labels.resource }}"'},
        }, alert_rules.rule(status.Status.STATS_DISABLED))
        self.assertEqual(
            ('15m', 'critical'),
            (alert_rules.rule(status.Status.UNREACHABLE)['for'],
             alert_rules.rule(status.Status.UNREACHABLE)['labels'][
                 'severity']))

    def test_no_other_rule_compares_with_a_code_but_those_that_are_fine(self):
        """A guest without numbers, whatever the reason: > 2."""
        (changes,) = (rule for rule in groups()['memstat-guests']
                      if rule['alert'] == 'MemstatGuestReasonChanges')
        (code,) = re.findall(r'\[3h\]\) > (\d+)', changes['expr'])
        self.assertEqual(
            status.QUIET | {status.Status.REPORTING},
            {each for each in status.Status if each <= int(code)})

    def test_every_metric_is_a_meter_of_the_plugin_or_ceilometers_own(self):
        text = (ETC / 'memstat_rules.yml').read_text()
        ours = {'ceilometer_' + name.replace('.', '_')
                for name in meters.METERS}
        self.assertEqual({'ceilometer_cpu'}, set(
            re.findall(r'\bceilometer_\w+', text)) - ours)

    def test_every_alert_says_what_it_is_and_what_to_do(self):
        self.assertEqual({}, {
            rule['alert']: sorted(rule['annotations'])
            for rules in groups().values() for rule in rules
            if 'alert' in rule and (
                sorted(rule['annotations'])
                != ['description', 'remedy', 'summary']
                or rule['labels']['severity'] not in ('warning', 'critical'))})


class TestConfiguration(testtools.TestCase):
    """etc/prometheus/prometheus.yml"""

    def test_the_job_and_the_label_are_those_that_the_rules_ask_for(self):
        document = yaml.safe_load((ETC / 'prometheus.yml').read_text())
        (job,) = document['scrape_configs']
        rules = (ETC / 'memstat_rules.yml').read_text()
        self.assertEqual(['memstat_rules.yml'], document['rule_files'])
        self.assertEqual({job['job_name']},
                         set(re.findall('job="(.+?)"', rules)))
        (labels,) = (config['labels'] for config in job['static_configs']
                     if 'labels' in config)
        self.assertEqual({f'{name}!="{value}"'
                          for name, value in labels.items()},
                         set(re.findall(r'\{(\w+!=".*?")\}', rules)))
