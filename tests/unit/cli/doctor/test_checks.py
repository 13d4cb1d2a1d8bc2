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
"""What the doctor makes of what it is told."""

import ast
import dataclasses
import pathlib
import sys

import fixtures
import testtools

from memstat_pollster.cli.commands import doctor_command
from memstat_pollster.cli.doctor import checks
from memstat_pollster.cli.doctor import examination
from memstat_pollster.cli.doctor import polling
from memstat_pollster.model import domain
from memstat_pollster.model import judged
from memstat_pollster.model import meters
from memstat_pollster.model import served
from memstat_pollster.model import stats
from memstat_pollster.model import status

ALL = tuple(meters.METERS)
SOURCE = {'name': 'memstat', 'interval': 300, 'meters': ['memory']}


def outcome(check):
    return check.outcome.value


def guest(number, *, period=10, model='virtio', state=1, last_update=None):
    return judged.Guest(
        f'uuid-{number}', f'instance-{number}', None,
        stats.Reading(state=state, last_update_s=last_update),
        domain.Domain(number, f'instance-{number}', None, model, period,
                      domain.GuestOS.UNKNOWN),
        status.Verdict(status.Status.REPORTING, ''), None, None, None)


class TestPolling(testtools.TestCase):

    def test_documents_that_the_agent_refuses(self):
        for document, message in (
                (None, 'it has no list of sources'),
                (['sources'], 'it has no list of sources'),
                ({'sources': {'a': 1}}, 'it has no list of sources'),
                ({'sources': [SOURCE, 7]}, 'source 2 has no name'),
                ({'sources': [{'interval': 3, 'meters': ['a']}]},
                 'source 1 has no name'),
                ({'sources': [{**SOURCE, 'interval': 'often'}]},
                 'source memstat has no interval in seconds'),
                ({'sources': [{'name': 'memstat', 'meters': ['a']}]},
                 'source memstat has no interval in seconds'),
                ({'sources': [{**SOURCE, 'interval': 0}]},
                 'source memstat has interval 0'),
                ({'sources': [{**SOURCE, 'meters': 'memory'}]},
                 'source memstat has no list of meters'),
                ({'sources': [{**SOURCE, 'meters': []}]},
                 'source memstat has no list of meters'),
                ({'sources': [{**SOURCE, 'meters': ['memory', 7]}]},
                 'source memstat has no list of meters'),
                ({'sources': [{**SOURCE, 'meters': ['memory', '!cpu']}]},
                 'source memstat both includes and excludes meters by name'),
                ({'sources': [{**SOURCE, 'meters': ['memory', '*']}]},
                 'source memstat has "*" beside names')):
            error = self.assertRaises(polling.BrokenPolling, polling.sources,
                                      document)
            self.assertEqual(message, str(error))

    def test_what_a_source_polls(self):
        for patterns, meter, expected in (
                (['memory.usage'], 'memory.usage', True),
                (['memory.usage'], 'memory', False),
                (['memory.*'], 'memory.swap.in', True),
                (['*'], 'memory', True),
                (['!cpu'], 'memory', True),
                (['!memory*'], 'memory.util', False),
                (['*', '!memory'], 'memory', False),
                (['*', '!memory'], 'memory.util', True)):
            source = polling.Source('s', 1, tuple(patterns))
            self.assertEqual(expected, source.polls(meter), patterns)

    def test_an_interval_in_quotes_is_one(self):
        """As the agent takes it."""
        (source,) = polling.sources(
            {'sources': [{**SOURCE, 'interval': '60'}]})
        self.assertEqual(60, source.interval_s)

    def test_a_name_that_is_none(self):
        (source,) = polling.sources(
            {'sources': [{**SOURCE, 'name': '\x1b[2J'}]})
        self.assertEqual('\\x1b[2J', source.name)

    def test_wildcards_for_the_plugins_meters_are_no_other_meters(self):
        own = polling.Source('own', 299, ('memory', 'memory.*'))
        self.assertEqual('ok', outcome(polling.interval(
            'polling.yaml', (own,), 10, serve=False)))
        for patterns in (('*',), ('!cpu',), (*ALL, 'cpu')):
            self.assertEqual('warning', outcome(polling.interval(
                'polling.yaml', (polling.Source('all', 299, patterns),), 10,
                serve=False)))

    def test_with_serve_compute_no_thread_of_its_own_is_needed(self):
        own = polling.Source('own', 299, ALL)
        for found, thread in (
                ((own,), 'by a source of its own'),
                ((own, polling.Source('b', 300, ('cpu',))),
                 'by a source of its own'),
                ((own, polling.Source('b', 299, ('cpu',))),
                 'in one thread with other meters'),
                ((polling.Source('all', 299, ('*',)),),
                 'in one thread with other meters')):
            self.assertEqual(
                checks.Check('polling_interval', checks.Grade.OK,
                             f'polled every 299 s, {thread}'),
                polling.interval('p.yaml', found, 10, serve=True))

    def compute_meters(self, *found, serve=True, replace=True,
                       there=served.METERS):
        check = polling.compute_meters('p.yaml', found, there, serve=serve,
                                       replace=replace)
        return outcome(check), check.finding, check.remedy

    def test_how_ceilometers_compute_meters_are_answered(self):
        own = polling.Source('own', 300, ALL)
        self.assertEqual(
            ('ok', 'p.yaml lists no other meter for which Ceilometer asks '
             'libvirt', None),
            self.compute_meters(own, polling.Source('b', 300, (
                'volume.size', 'disk.root.size'))))
        other = polling.Source('b', 300, (
            'cpu', 'disk.device.capacity', 'network.incoming.bytes*',
            'power.state'))
        self.assertEqual(
            ('ok', 'answered from the bulk call of the cycle: cpu, '
             'power.state, network.incoming.bytes and 1 more; asked by '
             'Ceilometer itself, within [memstat]read_timeout: '
             'disk.device.capacity', None),
            self.compute_meters(own, other))
        self.assertEqual(
            ('ok', 'answered from the bulk call of the cycle: '
             'network.incoming.bytes; asked by Ceilometer itself, within '
             '[memstat]read_timeout: cpu, disk.device.capacity', None),
            self.compute_meters(own, other, replace=False, there=(
                'cpu', 'disk.device.capacity', 'network.incoming.bytes')))

    def test_without_serve_compute_it_is_the_interval_that_counts(self):
        own = polling.Source('own', 299, ALL)
        other = polling.Source('b', 300, ('cpu', 'disk.device.usage'))
        self.assertEqual(
            ('ok', 'Ceilometer asks libvirt for cpu, disk.device.usage '
             'itself, in another thread, because [memstat]serve_compute is '
             'false', None), self.compute_meters(own, other, serve=False))
        warning = (
            'warning', 'p.yaml: Ceilometer asks libvirt for vcpus itself, in '
            'the thread of the memory meters, because [memstat]serve_compute '
            'is false: one QEMU that does not answer stops all of them',
            'set [memstat]serve_compute to true, or move the memory meters '
            'to a source with an interval that no other has')
        for beside in ((polling.Source('c', 299, ('vcpus',)),),
                       (polling.Source('d', 17, ('vcpus', 'memory')),)):
            self.assertEqual(warning, self.compute_meters(
                own, other, *beside, serve=False))


class TestVersions(testtools.TestCase):

    def test_libvirt(self):
        self.assertEqual(
            ['error', 'ok', 'ok'],
            [outcome(checks.libvirt_version(version)) for version in (
                (5, 10, 0), (6, 0, 0), (12, 3, 4))])

    def test_hypervisor(self):
        self.assertEqual(
            ['ok', 'skipped', 'error'],
            [outcome(checks.hypervisor_version(*found)) for found in (
                ('QEMU', (7, 2, 22)), ('QEMU', None), ('LXC', (1, 2, 3)))])

    def test_ceilometer(self):
        self.assertEqual(
            ['skipped', 'warning', 'ok', 'warning', 'ok', 'ok', 'warning',
             'warning'],
            [outcome(checks.ceilometer_version(version)) for version in (
                None, '18.2.0', '19.0.0', '20.0.0', '22.0.1', '27.0.0',
                '28.0.0', 'unknown')])

    def test_bindings_without_a_version(self):
        """They are there, or libvirt could not have answered."""
        self.assertEqual(
            checks.Check('libvirt_python', checks.Grade.SKIPPED,
                         'libvirt-python is installed, but its version is '
                         'not known'),
            checks.bindings_version(None, installed=True))

    def test_bindings(self):
        self.assertEqual('error', outcome(checks.bindings_version(None)))


class TestEntryPoints(testtools.TestCase):

    def test_outcomes(self):
        for arguments, expected in (
                ((ALL, None, True), 'ok'),
                ((ALL, None, False), 'skipped'),
                ((ALL, 'ImportError: no', True), 'error'),
                ((ALL[1:], None, True), 'error'),
                (((), None, False), 'error')):
            self.assertEqual(expected,
                             outcome(checks.entry_points(*arguments)))

    def test_nobody_else_has_pollsters_of_these_names(self):
        """Ceilometer is not installed."""
        self.assertEqual(
            checks.Check('builtin_pollsters', checks.Grade.OK,
                         'no other package has pollsters of these names'),
            checks.builtin_pollsters({name: [] for name in ALL}, True))


class TestDefinitions(testtools.TestCase):

    def test_one_file_or_several(self):
        """Each of several may lack what the others name."""
        for files, missing, finding in (
                (['a.yaml'], (), 'a.yaml names all 11 meters'),
                (['a.yaml', 'b.yaml'], (),
                 'a.yaml, b.yaml together name all 11 meters'),
                (['a.yaml'], {'memory.util'}, 'a.yaml does not name '
                 'memory.util: Gnocchi does not store them'),
                (['a.yaml', 'b.yaml'], {'memory.util'}, 'a.yaml, b.yaml do '
                 'not name memory.util: Gnocchi does not store them')):
            self.assertEqual(finding, checks.gnocchi_definitions(
                files, missing).finding)


class TestGuests(testtools.TestCase):

    def test_only_guests_that_run_have_to_have_novas_period(self):
        check = checks.guest_periods(
            [guest(1), guest(2, period=0, state=3), guest(3, period=0),
             guest(4, model=None), guest(5, period=7)], 10)
        self.assertEqual(
            'of 4 running guests 1 without a balloon device: instance-4 '
            '(uuid-4); 1 without a period: instance-3 (uuid-3); 1 with '
            'another period than 10 s: instance-5 (uuid-5)', check.finding)

    def test_guests_whose_xml_is_not_known_are_not_said_to_be_well(self):
        """A QEMU that hangs keeps its XML from whoever asks."""
        frozen, stopped = (
            dataclasses.replace(guest(number, state=state), domain=None)
            for number, state in ((2, 1), (3, 5)))
        for guests, expected in (
                ([guest(1), frozen, stopped],
                 ('ok', '1 running guests have a period of 10 s; the live '
                        'XML of 1 others could not be read: instance-2 '
                        '(uuid-2)')),
                ([guest(1, period=7), frozen],
                 ('warning', 'of 1 running guests 1 with another period than '
                             '10 s: instance-1 (uuid-1); the live XML of 1 '
                             'others could not be read: instance-2 (uuid-2)')),
                ([frozen], ('skipped', 'no live XML could be read: '
                                       'instance-2 (uuid-2)')),
                ([stopped], ('ok', 'all 0 running guests have a period of '
                                   '10 s'))):
            found = checks.guest_periods(guests, 10)
            self.assertEqual(expected, (outcome(found), found.finding))

    def test_the_first_few_are_named(self):
        check = checks.guest_periods(
            [guest(number, period=None) for number in range(9)], 10)
        self.assertEqual(
            'of 9 running guests 9 without a period: instance-0 (uuid-0), '
            'instance-1 (uuid-1), instance-2 (uuid-2) and 6 more',
            check.finding)

    def test_time_stamps_of_the_future(self):
        guests = [guest(1, last_update=1_000), guest(2, last_update=1_011),
                  guest(3, last_update=0), guest(4, last_update=1_047)]
        self.assertEqual(
            checks.Check(
                'clock', checks.Grade.WARNING,
                '2 guests last answered up to 47 s in the future: instance-2 '
                '(uuid-2), instance-4 (uuid-4)',
                'see that the clock of the host is right and kept so '
                '("chronyc tracking"); the guests recover with their next '
                'answer'),
            checks.clock(guests, 1_000.0))
        self.assertEqual(
            'none of 3 time stamps lies in the future',
            checks.clock(guests, 1_040.0).finding)


class Construction:
    """Stands in for Check, and remembers in which line each was made.

    :ivar made: (file, line) of each, by the module that makes it
    """

    def __init__(self):
        self.made = []

    def __call__(self, *arguments, **named):
        check = checks_Check(*arguments, **named)
        frame = sys._getframe(1)
        self.made.append((frame.f_code.co_filename, frame.f_lineno))
        return check


checks_Check = checks.Check


def constructions(path):
    """(first line, last line) of each Check that may be bad news."""
    for node in ast.walk(ast.parse(pathlib.Path(path).read_text())):
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in (
                'Check', 'checks.Check')
                and {'WARNING', 'ERROR'} & {
                    each.attr for each in ast.walk(node)
                    if isinstance(each, ast.Attribute)}):
            yield node.lineno, node.end_lineno


class TestRemedies(testtools.TestCase):
    """Bad news always comes with something to do."""

    SOURCES = polling.Source('a', 300, ALL), polling.Source('b', 300, ('cpu',))

    #: Every check of this module that can be bad news, and how it comes.
    BAD_NEWS = (
        lambda: checks.configuration('x.conf: no'),
        lambda: checks.configuration_unread(['x.conf'], 'no source'),
        lambda: checks.configuration_either(
            ['c.conf'], ['option [memstat]boot_grace is 5 ... and 7 ...']),
        lambda: checks.options(['option [memstat]boot_grace cannot be used']),
        lambda: checks.libvirt('qemu:///system', 'nobody', 'no', None),
        lambda: checks.libvirt('qemu:///system', 'nobody', 'no', 'do so'),
        lambda: checks.libvirt_version((5, 9, 8)),
        lambda: checks.hypervisor_version('LXC', (1, 2, 3)),
        lambda: checks.bindings_version(None),
        lambda: checks.ceilometer_version('18.2.0'),
        lambda: checks.entry_points(ALL[1:], None, True),
        lambda: checks.entry_points(ALL, 'ImportError: no', True),
        lambda: polling.none('polling.yaml')[0],
        lambda: polling.broken('p.yaml', 'p.yaml: no')[0],
        lambda: polling.broken('p.yaml', 'p.yaml: no', 'let in')[0],
        lambda: polling.meters_polled('p.yaml', ()),
        lambda: polling.meters_polled(
            'p.yaml', [polling.Source('a', 300, ALL[2:])]),
        lambda: polling.meters_polled(
            'p.yaml', [polling.Source('a', 300, ALL),
                       polling.Source('b', 299, ('memory',))]),
        lambda: polling.interval(
            'p.yaml', TestRemedies.SOURCES, None, serve=False),
        lambda: polling.interval(
            'p.yaml', [polling.Source('a', 300, (*ALL, 'cpu'))], None,
            serve=False),
        lambda: polling.interval(
            'p.yaml', TestRemedies.SOURCES[:1], 301, serve=True),
        lambda: polling.compute_meters(
            'p.yaml', TestRemedies.SOURCES, ('cpu',), serve=False,
            replace=True),
        lambda: checks.guest_periods([guest(1, period=None)], 10),
        lambda: checks.guest_periods([guest(1, model=None)], 10),
        lambda: checks.guest_periods([guest(1, period=7)], 10),
        lambda: checks.nova_conf(10, ['nova.conf: no'], True, None),
        lambda: checks.nova_conf(10, ['nova.conf: no'], True, 'let in'),
        lambda: checks.broken_gnocchi('pipeline.yaml: no'),
        lambda: checks.gnocchi_definitions(['d.yaml'], {'memory.util'}),
        lambda: checks.clock([guest(1, last_update=1_011)], 1_000.0),
    )

    def test_every_check_that_can_be_bad_news(self):
        construction = Construction()
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.cli.doctor.checks.Check', construction))
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.cli.doctor.polling.Check', construction))
        for make in self.BAD_NEWS:
            check = make()
            self.assertIn(outcome(check), ('warning', 'error'), check)
            self.assertTrue(check.remedy, check)
            self.assertNotIn('\n', check.remedy)
        self.assertEqual([], [
            (module.__name__, first, last) for module in (checks, polling)
            for first, last in constructions(module.__file__)
            if not any(file == module.__file__ and first <= line <= last
                       for file, line in construction.made)],
            'lines that no row of the table reaches')

    def test_the_doctor_makes_none_elsewhere(self):
        self.assertEqual([], [
            *constructions(doctor_command.__file__),
            *constructions(examination.__file__)])

    def test_an_error_of_libvirts_that_nobody_knows_help_for(self):
        self.assertEqual(
            checks_Check(
                'libvirt', checks.Grade.ERROR,
                'qemu:///system: End of file while reading data: '
                'Input/output error',
                'see what ails it ("systemctl status libvirtd virtqemud", '
                '"journalctl -u libvirtd -u virtqemud"), and whether '
                '"virsh -r -c \'qemu:///system\' list" answers ceilometer'),
            checks.libvirt('qemu:///system', 'ceilometer', 'End of file '
                           'while reading data: Input/output error', None))
