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

"""The queries of the Grafana dashboard for Gnocchi, on what Gnocchi has."""

import time

from memstat_pollster.model import status
from tests.e2e import base
from tests.e2e import grafana
from tests import node

DASHBOARD = 'memstat-gnocchi'
#: Guests of base.Lab that never report, with their statuses.
SICK = {'no-device': status.Status.NO_DEVICE,
        'no-driver': status.Status.DRIVER_MISSING,
        'windows': status.Status.SERVICE_MISSING,
        'hung': status.Status.STALE}
EVERYWHERE = {'node': [base.HOST],
              'project': [base.PROJECT, base.OTHER_PROJECT]}
FOREIGN = {'node': [base.HOST], 'project': [base.OTHER_PROJECT]}


class TestGnocchiDashboard(base.EndToEndTest):

    def setUp(self):
        super().setUp()
        self.plugin = grafana.GnocchiPlugin(self.lab.client.api)
        self.panels = grafana.targets(DASHBOARD)
        self.start = base.stamp(time.time() - 20)
        for name in (*base.APPS, 'foreign', *SICK):
            meter = ('memory.balloon.status' if name in SICK
                     else 'memory.util')
            self.lab.wait_measure(
                self.lab.guests[name], meter, time.time() - 20,
                'last' if name in SICK else 'mean')

    def ask(self, title, number=0, chosen=EVERYWHERE):
        """The newest value of each of a panel's curves."""
        curves = self.plugin.query(self.panels[title][number], chosen,
                                   self.start)
        return {label: points[-1][1] for label, points in curves.items()
                if points}

    def wait(self, title, expected, number=0, chosen=EVERYWHERE, names=None):
        """Until the newest values are these.

        :param names: look at these curves only
        """
        found = {}

        def right():
            found.clear()
            found.update({
                label: round(value, 6) for label, value in self.ask(
                    title, number, chosen).items()
                if names is None or label in names})
            return found == expected
        try:
            node.wait_for(right, 120, title, 0.5)
        except TimeoutError:
            self.assertEqual(expected, found)
            raise

    def test_no_panel_is_left_out(self):
        self.assertEqual(
            {'Used memory of each node', 'Resident against used',
             'Used memory of each guest', 'Utilisation of each guest',
             'Age of the statistics', 'Resident memory of each guest',
             'Guests by status', 'Guests that do not report'},
            set(self.panels))
        for target in sum(self.panels.values(), []):
            self.assertIs(False, target['draw_missing_datapoint_as_zero'])

    def test_variables(self):
        """An operator chooses from what there is."""
        found = {name: self.plugin.values(query) for name, query
                 in grafana.variables(DASHBOARD).items()}
        self.assertEqual({name: set(values)
                          for name, values in EVERYWHERE.items()}, found)

    def test_each_guest(self):
        used = {name: float(mib) for name, mib in base.APPS.items()}
        used['foreign'] = 390.0
        self.wait('Used memory of each guest', used, names=used)
        self.wait('Utilisation of each guest', {
            name: 100 * mib / base.TOTAL_MIB for name, mib in used.items()},
            names=used)
        for title in ('Age of the statistics',
                      'Resident memory of each guest'):
            self.eventually(
                set(), lambda title=title: set(used) - set(self.ask(title)))
        # What was never reported has no curve, not one at 0.
        self.assertEqual(set(), {'no-device', 'no-driver', 'windows'}
                         & set(self.ask('Used memory of each guest')))

    def test_a_project_of_a_node(self):
        self.wait('Used memory of each node', {base.HOST: 390.0},
                  chosen=FOREIGN)
        used = sum(base.APPS.values()) + 390.0
        # The Linux guests come on top of it; the last point may lack some.
        node.wait_for(
            lambda: self.ask('Used memory of each node').get(
                base.HOST, 0) > used,
            120, 'the sum of all guests', 0.5)

    def test_resident_against_used(self):
        self.wait('Resident against used', {'given': 512.0}, 0, FOREIGN)
        self.wait('Resident against used', {'used': 390.0}, 2, FOREIGN)

        def near():
            own = self.lab.guests['foreign'].domain.memoryStats()['rss']
            found = self.ask('Resident against used', 1, FOREIGN)
            return abs(found.get('resident', 0) - own / 1024) < 16
        node.wait_for(near, 120, 'the resident memory of the guest', 0.5)

    def test_guests_by_status(self):
        for each in status.Status:
            (number,) = (number for number, target in enumerate(
                self.panels['Guests by status'])
                if target['label'] == each.word)
            wanted = sum(found is each for found in SICK.values())
            if each is status.Status.REPORTING:
                self.wait('Guests by status', {each.word: 1.0}, number,
                          FOREIGN)
            elif each in SICK.values() and each is not status.Status.STALE:
                self.wait('Guests by status', {each.word: wanted}, number)
            else:
                self.eventually(
                    True, lambda each=each, number=number: (
                        each.word in self.ask('Guests by status', number)))

    def test_guests_that_do_not_report(self):
        self.wait('Guests that do not report', {
            name: float(each) for name, each in SICK.items()}, names=SICK)
        self.eventually(set(), lambda: set(base.APPS) & set(
            self.ask('Guests that do not report')))
