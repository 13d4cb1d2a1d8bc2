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

"""Formulas of the pages, rules and dashboards: none is less than 0.

Meters are 0 or more, so only a difference can be less.  An idle small Linux
guest has less usable memory than unused memory, and a QEMU that is swapped
out, or has huge pages, less resident memory than its guest uses.
"""

import json
import pathlib
import re

import testtools
import yaml

from tests.e2e import pages

ETC = pathlib.Path(__file__).resolve().parents[2] / 'etc'

#: A difference, as Gnocchi's operations and as PromQL write it, and what
#: keeps it at 0 or above.
DIFFERENCES = {
    'gnocchi': (re.compile(r'\((-|sub) '),
                re.compile(r'\(clip_min \((-|sub) .* 0\)', re.DOTALL)),
    'promql': (re.compile(r'[^-]\s-\s|\bdelta\(|\bderiv\('),
               re.compile(r'\bclamp_min\(|> 0\b')),
}

#: Where the others are, this many are known to be: the search finds them.
KNOWN = {'gnocchi-percent', 'Resident above used, ten guests'}


def _page(name, language):
    for block, text in pages.blocks(name).items():
        if language == 'gnocchi':
            for command in pages.commands(text):
                for operations in re.findall(r'"(\(.*?\))"', command,
                                             re.DOTALL):
                    yield language, block, operations
        elif not block.endswith('rules'):
            yield language, block, text


def _rules():
    document = yaml.safe_load(
        (ETC / 'prometheus' / 'memstat_rules.yml').read_text())
    for group in document['groups']:
        for rule in group['rules']:
            yield 'promql', rule.get('alert', rule.get('record')), rule['expr']


def _dashboard(name, key, language):
    document = json.loads((ETC / 'grafana' / f'{name}.json').read_text())
    for panel in document['panels']:
        for target in panel.get('targets', ()):
            if target.get(key):
                yield language, panel['title'], target[key]


def formulas():
    """(language, where it stands, formula) of every one that there is."""
    yield from _page('gnocchi', 'gnocchi')
    yield from _page('aodh', 'gnocchi')
    yield from _page('prometheus', 'promql')
    yield from _rules()
    yield from _dashboard('memstat-prometheus', 'expr', 'promql')
    yield from _dashboard('memstat-gnocchi', 'operations', 'gnocchi')


class TestFormulas(testtools.TestCase):

    def test_a_difference_is_kept_at_0_or_above(self):
        found, unguarded = set(), []
        for language, where, formula in formulas():
            difference, guard = DIFFERENCES[language]
            if difference.search(formula):
                found.add(where)
                if not guard.search(formula):
                    unguarded.append((where, formula))
        self.assertEqual([], unguarded)
        self.assertEqual(KNOWN, found)

    def test_formulas_of_every_place_are_looked_at(self):
        seen = {(language, where) for language, where, _ in formulas()}
        for each in (('gnocchi', 'gnocchi-hosts'),
                     ('promql', 'prometheus-util-computed'),
                     ('promql', 'MemstatPollingStuck'),
                     ('promql', 'guest:ceilometer_memory_util:last5m'),
                     ('promql', 'Utilisation of each guest'),
                     ('gnocchi', 'Resident against used')):
            self.assertIn(each, seen)

    def test_a_panel_that_leaves_guests_out_says_why(self):
        document = json.loads(
            (ETC / 'grafana' / 'memstat-prometheus.json').read_text())
        panel, = (each for each in document['panels']
                  if each['title'] == 'Resident above used, ten guests')
        self.assertIn('A guest is not here whose QEMU holds less than the '
                      'guest uses', panel['description'])
