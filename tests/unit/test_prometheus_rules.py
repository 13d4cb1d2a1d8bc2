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

from memstat_pollster import domain
from memstat_pollster import meters
from memstat_pollster import status

ETC = pathlib.Path(__file__).resolve().parents[2] / 'etc' / 'prometheus'

#: status -> (for, severity) where they are not those of the others
URGENT = {status.Status.UNREACHABLE: ('15m', 'critical')}
SPELT = {'15m': '15 minutes', '1h': 'an hour'}


def groups():
    """The rules by the name of their group."""
    document = yaml.safe_load((ETC / 'memstat_rules.yml').read_text())
    return {group['name']: group['rules'] for group in document['groups']}


def expected(of):
    """The rule that tells of a status."""
    period, severity = URGENT.get(of, ('1h', 'warning'))
    wanted = ('{memory_statistics!="off"}'
              if of in status.BY_CONFIGURATION else '')
    return {
        'alert': 'MemstatGuest' + of.word.title().replace('_', ''),
        'expr': f'guest:ceilometer_memory_balloon_status:last5m{wanted}'
                f' == {int(of)}',
        'for': period,
        'labels': {'severity': severity, 'status': of.word},
        'annotations': {
            'summary': '{{ $labels.resource_name }} on {{ $labels.instance '
                       f'}}}} has had no memory numbers for {SPELT[period]}: '
                       f'{of.word}',
            'description': of.meaning,
            'remedy': status.remedy(
                of, guest_os=domain.GuestOS.UNKNOWN,
                uuid='{{ $labels.resource }}', nova_period_s=10),
        },
    }


class TestRules(testtools.TestCase):
    """etc/prometheus/memstat_rules.yml"""

    def test_each_status_that_needs_something_done_has_its_rule(self):
        told = sorted(set(status.Status) - status.QUIET
                      - {status.Status.REPORTING})
        self.assertEqual(
            [expected(each) for each in told],
            [rule for rule in groups()['memstat-guests']
             if 'status' in rule['labels']])

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
