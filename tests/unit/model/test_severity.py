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

"""How grave each status is, and what that looks like."""

import testtools

from memstat_pollster.cli.output import terminal
from memstat_pollster.cli.report import page
from memstat_pollster.model import advice
from memstat_pollster.model import status
from tests.unit.model import test_status


class TestSeverities(testtools.TestCase):

    def test_of_every_status(self):
        found = {each: [] for each in advice.Severity}
        for each in status.Status:
            if each.word in test_status.TestInterface.RELEASED:
                found[each.advice.severity].append(each.word)
        self.assertEqual({
            advice.Severity.BAD: ['unreachable', 'stale', 'invalid'],
            advice.Severity.WARN: [
                'no_device', 'stats_disabled', 'driver_missing',
                'service_missing'],
            advice.Severity.CALM: ['not_running', 'starting'],
            advice.Severity.GOOD: ['reporting']}, found)

    def test_only_what_is_a_problem_looks_like_one(self):
        self.assertEqual(
            {each for each in status.Status if status.is_problem(each, 10)},
            {each for each in status.Status
             if each.advice.severity in (advice.Severity.BAD,
                                         advice.Severity.WARN)})

    def test_colours_on_a_terminal(self):
        self.assertEqual(
            ['\033[31mstale\033[0m', '\033[33mno_device\033[0m',
             '\033[2mstarting\033[0m', '\033[32mreporting\033[0m'],
            [terminal.paint(each.word, each, True) for each in (
                status.Status.STALE, status.Status.NO_DEVICE,
                status.Status.STARTING, status.Status.REPORTING)])
        self.assertEqual('x', terminal.paint('x', status.Status.STALE, False))

    def test_words_and_signs_of_the_page_worst_first(self):
        self.assertEqual([
            ('unreachable', 'bad', '✕', 'QEMU or libvirt did not answer'),
            ('invalid', 'bad', '✕', 'it sends impossible numbers'),
            ('stale', 'bad', '✕', 'it has stopped answering'),
            ('driver_missing', 'warn', '!',
             'no balloon driver has ever spoken'),
            ('service_missing', 'warn', '!',
             'its driver sends no numbers'),
            ('no_device', 'warn', '!', 'it has no balloon device'),
            ('stats_disabled', 'warn', '!', 'nobody asks it for numbers'),
            ('starting', 'calm', '…', 'its first numbers are not due yet'),
            ('not_running', 'calm', '‖', 'it does not run'),
            ('reporting', 'good', '✓',
             'its numbers are recent and possible'),
        ], [(state.word, state.severity, state.sign, state.meaning)
            for state in page.STATES.values()
            if state.word in test_status.TestInterface.RELEASED])
        self.assertEqual(list(range(len(status.Status))),
                         [state.rank for state in page.STATES.values()])
