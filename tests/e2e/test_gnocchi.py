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

import importlib.util
import math
import pathlib
import shutil
import time
import uuid

from memstat_pollster.model import meters
from tests.e2e import base
from tests.e2e import measures as shown_measures
from tests.functional import published
from tests import node

#: Between the guest's own answer and the record that QEMU has of it.
SLACK = {'MiB': 256 / 1024, '%': 0.3}
#: VIR_DOMAIN_PAUSED
PAUSED = 3


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
        """Rows of the table; read while the guest stands still.

        What Gnocchi has is a little older: it comes to be the same.
        """
        rows = []

        def equal():
            own = self.expected(guest.meminfo())
            own['memory.util'] = (
                100 * own['memory.usage'] / own['memory.available'])
            found = {meter: self.lab.wait_points(guest, meter, began)[-1][1]
                     for meter in own}
            rows[:] = [(guest.name, what, meter, f'{wanted:.2f}',
                        f'{found[meter]:.2f}')
                       for meter, wanted in own.items()]
            return all(abs(found[meter] - wanted) <= SLACK[
                '%' if meter == 'memory.util' else 'MiB']
                for meter, wanted in own.items()) or rows
        began = time.time()
        self.eventually(True, equal)
        return rows

    def test_they_equal_the_guests_own_meminfo_and_follow_it(self):
        rows = []
        for name, mib in (('web', 24), ('db', 96)):
            guest = self.lab.guests[name]
            self.addCleanup(guest.command, 'free', '^FREED')
            rows += self.check(guest, 'idle')
            guest.command(f'eat {mib}', '^ATE')
            rows += self.check(guest, f'{mib} MiB more')
        shown_measures.write(rows)


def newest(output):
    """Lines of NAME TIMESTAMP VALUE: {the guest's id: value}."""
    return {name.partition('/')[0]: float(value) for name, _, value in map(
        str.split, output.splitlines())}


class TestSetUp(base.EndToEndTest):
    """The commands that are run once, by the page."""

    def test_the_attribute_is_added_once(self):
        self.assertEqual(
            [['attribute balloon_status of resource type instance: added\n'],
             ['attribute balloon_status of resource type instance: there '
              'already, nothing to do\n']],
            [self.lab.outputs['first upgrade'],
             self.lab.outputs['second upgrade']])
        self.assertEqual(
            {'type': 'string', 'required': False, 'min_length': 0,
             'max_length': 255},
            self.lab.client.resource_type.get('instance')['attributes'][
                'balloon_status'])

    def test_a_guest_has_all_metrics_with_their_policies(self):
        guest = self.lab.guests['app-3']
        self.lab.wait_measure(guest, 'memory.stats.age', 0)
        self.eventually('reporting',
                        lambda: self.lab.words().get(guest.name))
        self.eventually(
            {name: ('memstat-status' if name == 'memory.balloon.status'
                    else 'ceilometer-low', meter.unit)
             for name, meter in meters.METERS.items()},
            lambda: {
                found['name']: (found['archive_policy']['name'],
                                found['unit'])
                for found in map(
                    self.lab.client.metric.get,
                    self.lab.client.resource.get('instance', guest.uuid)[
                        'metrics'].values())})
        shown, = self.lab.page('gnocchi-metrics', GUEST=guest.uuid)
        rows = {row['Field']: row['Value'] for row in base.table(shown)}
        self.assertEqual(('app-3', base.PROJECT, base.HOST, 'reporting'),
                         (rows['display_name'], rows['project_id'],
                          rows['host'], rows['balloon_status']))
        for name in meters.METERS:
            self.assertIn(f'{name}: ', shown)

    def test_nothing_is_refused_or_dropped(self):
        log = self.lab.notification.service.log()
        self.assertEqual([], [
            line for line in log if 'is not handled by Gnocchi' in line
            or (' ERROR ' in line and 'oslo_cache.' not in line)])


class TestQueries(base.EndToEndTest):
    """Each of the page's queries, against what the guests are known to be."""

    def check_values(self, expected, output):
        """Every point is this: the scripted guest stands still."""
        values = [float(row['value']) for row in base.table(output)]
        self.assertNotEqual([], values)
        self.assertEqual([expected] * len(values), values)

    def test_one_guest(self):
        guest = self.lab.guests['app-3']  # 310 of 400 MiB, 11.25 are free
        for meter in meters.METERS:
            self.lab.wait_measure(guest, meter, 0, aggregation=(
                'last' if meter == 'memory.balloon.status' else 'mean'))
        for name, expected in (
                ('gnocchi-usage', [310.0]), ('gnocchi-util', [77.5]),
                ('gnocchi-percent', [77.5, 19.6875])):
            for value, output in zip(
                    expected, self.lab.page(name, GUEST=guest.uuid),
                    strict=True):
                self.check_values(value, output)

    def test_percentages_of_a_guest_whose_kernel_keeps_free_memory(self):
        """MemAvailable is less than MemFree: no share is less than 0."""
        guest = self.lab.guests['idle']
        own = {meter: self.lab.wait_measure(guest, f'memory.{meter}', 0)
               for meter in ('available', 'usable', 'unused')}
        self.assertEqual(
            {'available': 400.0, 'usable': 340.0, 'unused': 352.0}, own)
        used, cached = self.lab.page('gnocchi-percent', GUEST=guest.uuid)
        self.check_values(15.0, used)
        self.check_values(0.0, cached)

    def test_the_ten_fullest_of_a_project(self):
        """Another project's guest is fuller than nine of them."""
        expected = [(self.lab.guests[name].uuid, 100 * used / base.TOTAL_MIB)
                    for name, used in base.APPS.items()]
        for name in base.APPS:
            self.lab.wait_measure(self.lab.guests[name], 'memory.util', 0,
                                  aggregation='mean')

        def fullest():
            output, = self.lab.page('gnocchi-fullest')
            return list(newest(output).items())
        self.eventually(expected, fullest)

    def test_guests_that_do_not_report_by_attribute(self):
        sick = {'no-device': 'no_device', 'no-driver': 'driver_missing',
                'windows': 'service_missing', 'hung': 'stale'}

        def found():
            output, = self.lab.page('gnocchi-sick')
            return {row['display_name']: (row['balloon_status'], row['id'])
                    for row in base.table(output)}
        self.eventually({name: (word, self.lab.guests[name].uuid)
                         for name, word in sick.items()}, found)
        self.eventually(
            [{'id': self.lab.guests['hung'].uuid, 'display_name': 'hung'}],
            lambda: base.table(*self.lab.page('gnocchi-stale')))

    def test_guests_that_do_not_report_by_metric(self):
        sick = {'no-device': 'no_device', 'no-driver': 'driver_missing',
                'windows': 'service_missing', 'hung': 'stale'}
        self.eventually(
            {self.lab.guests[name].uuid: published.CODES[word]
             for name, word in sick.items()},
            lambda: newest(*self.lab.page('gnocchi-status')))

    def test_guests_that_nobody_polls(self):
        silent = str(uuid.uuid4())
        self.lab.client.resource.create('instance', {
            'id': silent, 'project_id': base.PROJECT, 'host': 'gone',
            'display_name': 'silent', 'flavor_id': '42',
            'image_ref': 'none', 'flavor_name': 'm1.lab',
            'balloon_status': 'reporting'})
        self.addCleanup(self.lab.client.resource.delete, silent)

        def found():
            _, output = self.lab.page('gnocchi-silent')
            return output.split()
        self.eventually([silent], found)

    def test_host_wide_sums(self):
        """As the sums of what each guest has for itself."""
        reporting = ('web', 'db', 'gap', 'foreign', 'idle', *base.APPS)
        for name in reporting:
            self.lab.wait_measure(self.lab.guests[name], 'memory.usage', 0)
        # Gnocchi works through what came later while the commands run.
        until = time.time()
        self.eventually([{}] * 4, lambda: self.differences(until))
        used = self.of_each('memory.usage')
        self.assertLessEqual(len(reporting), max(
            sum(when in each for each in used)
            for when in set().union(*used)))

    def of_each(self, meter):
        return [self.lab.points(found['id'], meter)
                for found in self.lab.client.resource.list('instance')]

    def differences(self, until):
        """Of each command: {time: (it should say, it says)}."""
        outputs = [*self.lab.page('gnocchi-host'),
                   *self.lab.page('gnocchi-hosts')]
        used = self.of_each('memory.usage')
        resident = self.of_each('memory.resident')
        told = []
        for output, (points, of) in zip(outputs, (
                (used, math.fsum), (used, len), (resident, math.fsum),
                (used, math.fsum)), strict=True):
            rows = base.table(output)
            self.assertNotEqual([], rows)
            self.assertIn({row.get('group') for row in rows},
                          ({None}, {'host: node'}))
            found = {base.moment(row['timestamp']):
                     round(float(row['value']), 6) for row in rows}
            own = {when: round(of([each[when] for each in points
                                   if when in each]), 6) for when in found}
            told.append({when: (own[when], found[when]) for when in found
                         if when < until and own[when] != found[when]})
        return told


class TestGap(base.EndToEndTest):
    """A guest that is paused for a while, and comes back."""

    def test_a_gap_stays_a_gap(self):
        guest = self.lab.guests['gap']
        began = self.lab.wait_points(
            guest, 'memory.usage', time.time())[0][0]
        self.addCleanup(self._resume, guest)
        left = time.time()
        guest.domain.suspend()
        # libvirt goes on giving the numbers of before.
        old = self.own_numbers(guest)
        self.assertIn('usable', old)

        def paused():
            points = self.lab.measures(guest, 'memory.balloon.status', 'last')
            found = sorted(
                when for when, value in points.items() if when > left
                and value == published.CODES['not_running'])
            return found if len(found) > 3 else None
        # What was polled before may come with a later time in the first,
        # and the last is not over.
        _, *inside, _ = node.wait_for(paused, 120, 'points in the gap', 0.5)
        self.assertEqual(old, self.own_numbers(guest))
        back = time.time()
        self._resume(guest)
        self.lab.wait_measure(guest, 'memory.usage',
                              back + base.GRANULARITY_S)
        variables = {'GUEST': guest.uuid,
                     'START': base.stamp(began),
                     'STOP': base.stamp(time.time())}

        def points(name):
            """Those before, in and after the gap; its edges are left out."""
            output, = self.lab.page(name, **variables)
            found = {'before': [], 'in': [], 'after': []}
            for row in base.table(output):
                began = base.moment(row['timestamp'])
                where = ('before' if began + base.GRANULARITY_S < left else
                         'after' if began > back else
                         'in' if began in inside else None)
                if where is not None:
                    found[where].append((row.get('name'), row['value']))
            return found

        usage = points('gnocchi-gap')
        self.assertNotEqual([], usage['before'])
        self.assertEqual([], usage['in'])
        self.assertNotEqual([], usage['after'])
        status = points('gnocchi-gap-status')
        self.assertEqual({(None, '2.0')}, set(status['in']))
        self.assertEqual({(None, '0.0')}, set(status['before']))
        filled = points('gnocchi-gap-filled')
        self.assertEqual({(f'{guest.uuid}/memory.usage/mean', 'nan'),
                          (f'{guest.uuid}/memory.balloon.status/last', '2.0')
                          }, set(filled['in']))

    @staticmethod
    def own_numbers(guest):
        """What libvirt has of the guest's own; rss is QEMU's."""
        found = guest.domain.memoryStats()
        del found['rss']
        return found

    @staticmethod
    def _resume(guest):
        if guest.domain.state()[0] == PAUSED:
            guest.domain.resume()


class TestOneFile(base.EndToEndTest):
    """The other way into Gnocchi: everything in one definitions file."""

    def test_a_new_guest_has_all_metrics(self):
        notification = self.lab.notification
        notification.stop()
        self.addCleanup(self._beside)
        for path in notification.path.glob('*.yaml'):
            path.unlink()
        ceilometer = pathlib.Path(importlib.util.find_spec(
            'ceilometer').submodule_search_locations[0])
        shutil.copy(ceilometer / 'pipeline/data/pipeline.yaml',
                    notification.path)
        merged = notification.path / 'gnocchi_resources.yaml'
        shutil.copy(ceilometer / 'publisher/data/gnocchi_resources.yaml',
                    merged)
        self.lab.page('gnocchi-merged')
        first = merged.read_bytes()
        self.lab.page('gnocchi-merged')
        self.assertEqual(first, merged.read_bytes())
        self.lab.without_keystone()
        notification.start()
        guest = self.lab.node.scripted(
            'late', attach=True, project_id=base.OTHER_PROJECT)
        self.addCleanup(self.lab.node.destroy, guest.name)
        guest.driver.push(node.linux_stats(409600, 11520, 92160))
        for meter in meters.METERS:
            self.lab.wait_measure(guest, meter, 0, aggregation=(
                'last' if meter == 'memory.balloon.status' else 'mean'))
        self.assertEqual(77.5, self.lab.wait_measure(
            guest, 'memory.util', 0))

        def found():
            resource = self.lab.client.resource.get('instance', guest.uuid)
            return set(resource['metrics']), resource['balloon_status']
        self.eventually((set(meters.METERS), 'reporting'), found)

    def _beside(self):
        self.lab.notification.stop()
        (self.lab.notification.path / 'gnocchi_resources.yaml').unlink(
            missing_ok=True)
        self.lab.page('gnocchi-beside')
        self.lab.without_keystone()
        self.lab.notification.start()
