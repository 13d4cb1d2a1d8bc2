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


"""What holds whatever a guest, a tenant or libvirt comes up with.

Each property is tried with 3,000 examples, or as many as MEMSTAT_EXAMPLES
says; with a tenth of that where files are read.  A long search, from the top
of the checkout:

    MEMSTAT_EXAMPLES=1000000 python -m testtools.run tests.unit.test_properties
"""

import dataclasses
import math
import os
import pathlib

import fixtures
import hypothesis
from hypothesis import strategies as st
import testtools

from memstat_pollster.config import nova
from memstat_pollster.model import domain
from memstat_pollster.model import facts
from memstat_pollster.model import history
from memstat_pollster.model import journal
from memstat_pollster.model import stats
from memstat_pollster.model import status
from memstat_pollster.model import usage

EXAMPLES = int(os.environ.get('MEMSTAT_EXAMPLES', '3000'))

SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, derandomize=False,
    # Debian 12's Hypothesis has no differing_executors.
    suppress_health_check=[check for check in hypothesis.HealthCheck
                           if check.name in ('too_slow',
                                             'differing_executors')])
#: Where files are read.
SLOW = hypothesis.settings(SETTINGS, max_examples=max(1, EXAMPLES // 10))

#: The host's wall clock around which time stamps lie.
NOW = 1795451932

#: Sizes near each other, and the ends of what 64 bits hold in KiB.
AMOUNTS = st.one_of(
    st.integers(0, 2**21),
    st.sampled_from((0, 1, 3, 4, 2**20 - 1, 2**20, 2**20 + 1, 2**50,
                     2**50 + 1, 2**53, 2**54 - 1, 2**64 // 1024, 2**63,
                     2**64 - 2, 2**64 - 1)),
    st.integers(0, 2**64 - 1))
STAMPS = st.one_of(
    st.integers(NOW - 700, NOW + 700),
    st.sampled_from((0, 1, NOW, 2**31, 2**63, 2**64 - 1)))
NONSENSE = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.floats(),
    st.integers(max_value=-1), st.lists(st.integers(), max_size=1))

AMOUNT_KEYS = (
    'balloon.current', 'balloon.maximum', 'balloon.rss', 'balloon.available',
    'balloon.unused', 'balloon.usable', 'balloon.disk_caches',
    'balloon.swap_in', 'balloon.swap_out')
OTHER_KEYS = ('balloon.major_fault', 'balloon.minor_fault',
              'balloon.hugetlb_pgalloc', 'balloon.hugetlb_pgfail',
              'balloon.last_update')


def _honest(total, usable, unused, stamp, reason):
    """What a guest sends of which nothing is wrong, but perhaps the time."""
    return {'state.state': 1, 'state.reason': reason,
            'balloon.current': total, 'balloon.maximum': total + 4,
            'balloon.rss': total // 2 + 1, 'balloon.last-update': stamp,
            'balloon.available': total + 3,
            'balloon.usable': total * usable // 100,
            'balloon.unused': total * unused // 100}


def _without(record, keys):
    return {key: value for key, value in record.items() if key not in keys}


def _records():
    """Of guests that are well, that err in a thing or two, or in anything."""
    states = st.sampled_from((1,) * 12 + (2, 0, 3, 4, 5, 6, 7, 99, None, '1'))
    keys = ('state.reason', 'balloon.last-update', *AMOUNT_KEYS, *OTHER_KEYS)
    values = {'state.reason': st.integers(0, 12),
              'balloon.last-update': STAMPS,
              **dict.fromkeys(AMOUNT_KEYS + OTHER_KEYS, AMOUNTS)}
    honest = st.builds(
        _honest, st.integers(1, 2**21), st.integers(0, 100),
        st.integers(0, 100), STAMPS,
        st.sampled_from((1,) * 6 + (2, 3, 4, 5, 10, 11)))
    nearly = st.builds(
        lambda record, changes, keys: _without({**record, **changes}, keys),
        honest,
        st.dictionaries(st.sampled_from(keys), AMOUNTS | NONSENSE,
                        max_size=2),
        st.sets(st.sampled_from(keys), max_size=2))
    silent = st.builds(
        lambda record, stamp: {
            **_without(record, AMOUNT_KEYS[3:]),
            'balloon.last-update': stamp},
        honest, STAMPS)
    anything = st.builds(
        lambda first, second: {**second, **first},
        st.fixed_dictionaries(
            {'state.state': states},
            optional={key: each | NONSENSE for key, each in values.items()}),
        st.dictionaries(st.text(max_size=8), AMOUNTS | NONSENSE,
                        max_size=1))
    nothing = st.dictionaries(
        st.sampled_from(('state.state', *keys)), NONSENSE, max_size=3)
    return st.one_of(honest, nearly, silent, anything, nothing)


RECORDS = _records()

DOMAINS = st.builds(
    lambda found, missing: None if missing == 0 else found,
    st.builds(
        domain.Domain,
        domain_id=st.integers(-1, 2**31 - 1), name=st.just('a'),
        display_name=st.none(),
        balloon_model=st.sampled_from(
            ('virtio',) * 12 + ('virtio-transitional', 'xen', '', 'none',
                                None)),
        period_s=st.sampled_from(
            (10,) * 12 + (1, 300, 2**31 - 1, 2**63, None, 0, -1, -2**63)),
        guest_os=st.sampled_from(domain.GuestOS)),
    st.integers(0, 12))

#: One cycle: what libvirt said, how long ago the guest answered (None: its
#: time stamp is as the record says), which run of QEMU it is, by how much the
#: two clocks have gone on.  The wall clock may be stepped either way.
CYCLES = st.lists(
    st.tuples(RECORDS, st.none() | st.floats(-5, 60),
              st.sampled_from((23, 23, 23, 24, -1)),
              st.sampled_from((10.0,) * 6 + (300.0, -3600.0, 3600.0, 1e9)),
              st.sampled_from((10.0,) * 6 + (300.0, 0.0, 1e9))),
    min_size=1, max_size=3)

THRESHOLDS = st.builds(
    facts.Thresholds,
    stale_after_periods=st.sampled_from((3, 3, 3, 1, 1000)),
    boot_grace_s=st.sampled_from((120.0, 120.0, 120.0, 0.0, 86400.0)))

#: As the inspector hands it on: one line.
TROUBLE = st.none() | st.text(max_size=9).map(
    lambda text: ' '.join(text.split()) or 'no answer').filter(
        lambda text: len(text.splitlines()) == 1)


def _lines(text):
    return text.splitlines() if isinstance(text, str) else None


class TestJudgement(testtools.TestCase):

    def test_any_past_ends_in_one_status_with_one_line(self):
        reached = set()

        @SETTINGS
        @hypothesis.given(CYCLES, DOMAINS, THRESHOLDS, TROUBLE)
        def check(cycles, found, thresholds, trouble):
            for seen in self._evidence(cycles, found, thresholds, trouble):
                verdict = status.judge(seen)
                self._check_past(seen.past)
                self._check_verdict(verdict)
                self._check_published(seen, verdict)
                reached.add(verdict.status)

        check()
        if EXAMPLES >= 2000:
            # Or else nothing was shown about the statuses that are missing.
            self.assertEqual(set(status.Status), reached)

    def _evidence(self, cycles, found, thresholds, trouble):
        readings = history.Readings()
        wall_s, monotonic_s = float(NOW), 5011.5
        for record, ago_s, domain_id, wall_on_s, monotonic_on_s in cycles:
            wall_s += wall_on_s
            monotonic_s += monotonic_on_s
            if ago_s is not None and 'balloon.last-update' in record:
                record = {**record,
                          'balloon.last-update': int(wall_s - ago_s)}
            reading = stats.parse(record)
            past = readings.observe(
                'web', domain_id, reading, wall_s=wall_s,
                monotonic_s=monotonic_s)
            yield facts.Evidence(reading, found, past, thresholds, trouble)
        self.assertEqual(1, len(readings))

    @SETTINGS
    @hypothesis.given(
        st.none() | RECORDS.map(stats.parse), DOMAINS,
        st.builds(history.Past,
                  age_s=st.none() | st.floats(0, 1e20),
                  held_s=st.floats(0, 1e12), running_s=st.floats(0, 1e12),
                  resumed=st.booleans(), proven=st.booleans(),
                  moved=st.booleans()),
        THRESHOLDS, TROUBLE)
    def test_any_evidence_at_all_ends_in_one_status_with_one_line(
            self, reading, found, past, thresholds, trouble):
        """Whether or not such a past can come about."""
        self._check_verdict(status.judge(
            facts.Evidence(reading, found, past, thresholds, trouble)))

    def _check_past(self, past):
        for seconds in (past.age_s, past.held_s, past.running_s):
            if seconds is not None:
                self.assertTrue(math.isfinite(seconds) and seconds >= 0, past)

    def _check_verdict(self, verdict):
        self.assertIsInstance(verdict.status, status.Status)
        self.assertEqual([verdict.detail], _lines(verdict.detail))

    def _check_published(self, seen, verdict):
        """Published is only what is the guest's own, recent and possible."""
        if verdict.status is not status.Status.REPORTING:
            return
        self.assertIsNotNone(usage.memory(seen.reading))
        self.assertTrue(seen.reading.running)
        self.assertTrue(seen.domain.has_balloon)
        self.assertGreater(seen.domain.period_s, 0)
        self.assertTrue(seen.past.proven)
        self.assertLessEqual(
            seen.past.age_s,
            seen.domain.period_s * seen.thresholds.stale_after_periods)

    @SETTINGS
    @hypothesis.given(
        st.sampled_from(status.Status), st.sampled_from(domain.GuestOS),
        st.uuids().map(str), st.integers())
    def test_a_remedy_is_one_line_without_a_gap(self, each, guest_os, uuid,
                                                period_s):
        text = status.remedy(each, guest_os=guest_os, uuid=uuid,
                             nova_period_s=period_s)
        if text is not None:
            self.assertEqual([text], _lines(text))
            self.assertEqual((False, False), ('{' in text, '}' in text))


class TestNumbers(testtools.TestCase):

    @SETTINGS
    @hypothesis.given(RECORDS)
    def test_only_what_is_possible_is_published_of_any_record(self, record):
        reading = stats.parse(record)
        for value in dataclasses.astuple(reading):
            self.assertTrue(value is None
                            or (type(value) is int and value >= 0), value)
        problems = usage.impossible(reading)
        lies = [*problems, usage.swap_lie(reading) or 'none']
        self.assertEqual([[lie] for lie in lies], [_lines(lie)
                                                   for lie in lies])
        balloon = usage.balloon_kib(reading)
        self.assertTrue(
            balloon is None or 0 < balloon <= record['balloon.maximum'])
        memory = usage.memory(reading)
        self.assertEqual(bool(problems), memory is None)
        if memory is not None:
            self._check_memory(record, memory)

    def _check_memory(self, record, memory):
        self.assertTrue(
            0 <= memory.used_kib <= memory.available_kib
            <= record['balloon.maximum'], memory)
        self.assertGreater(memory.available_kib, 0)
        self.assertIn(memory.source, ('usable', 'caches', 'unused'))
        self.assertTrue(math.isfinite(memory.util_percent))
        self.assertTrue(0 <= memory.util_percent <= 100, memory)
        for part in (memory.usable_kib, memory.unused_kib):
            self.assertTrue(part is None
                            or 0 <= part <= memory.available_kib, memory)
        swapped = (memory.swap_in_kib, memory.swap_out_kib)
        self.assertTrue(
            swapped == (None, None)
            or all(0 <= counter <= 2**50 for counter in swapped), memory)
        # Everything is the guest's own number, as it sent it.
        self.assertEqual(record['balloon.available'], memory.available_kib)
        self.assertIn(memory.usable_kib,
                      (None, record.get('balloon.usable')))
        self.assertIn(memory.unused_kib,
                      (None, record.get('balloon.unused')))


class TestNews(testtools.TestCase):

    @SETTINGS
    @hypothesis.given(st.lists(st.tuples(
        st.sampled_from(('web', 'db')), st.sampled_from(status.Status)),
        max_size=24))
    def test_nothing_is_told_twice_running_and_nothing_quiet_at_all(
            self, verdicts):
        told_once = journal.Journal(
            status.Status.REPORTING, quiet=status.QUIET,
            immediate=status.IMMEDIATE)
        told = {'web': [status.Status.REPORTING],
                'db': [status.Status.REPORTING]}
        for uuid, each in verdicts:
            before = told[uuid][-1]
            if told_once.is_news(uuid, each):
                told[uuid].append(each)
            if (each in status.IMMEDIATE
                    and before is status.Status.REPORTING):
                self.assertIs(each, told[uuid][-1])
        for lines in told.values():
            self.assertEqual(
                [], [each for each, after in zip(lines, lines[1:],
                                                 strict=False)
                     if each is after])
            self.assertEqual(set(), status.QUIET & set(lines))
        told_once.retain([])
        self.assertEqual(0, len(told_once))


XML_PIECES = st.sampled_from((
    '<domain>', '<domain id="23">', "<domain xmlns:n='"
    "http://openstack.org/xmlns/libvirt/nova/1.1'>", '</domain>',
    '<devices>', '</devices>', '<metadata>', '</metadata>',
    '<n:instance>', '</n:instance>', '<n:name>', '</n:name>', '<n:name/>',
    '<n:image><n:properties><n:property name="os_distro">',
    '</n:property></n:properties></n:image>', '<n:property/>',
    "<memballoon model='virtio'>", '<memballoon>', '</memballoon>',
    "<stats period='10'/>", '<stats/>', '<features><hyperv/></features>',
    '<name>', '</name>', '<!-- -->', '<?pi?>', '<![CDATA[', ']]>', '&lt;',
    '&x;', '<!DOCTYPE domain [<!ENTITY x "y">]>', '\x00', '\ud800', '\n',
    '<?xml version="1.0" encoding="utf-16"?>', 'windows'))


class TestXML(testtools.TestCase):

    def _check(self, xml):
        """A Domain, or InvalidDomainXML with a message of one line."""
        try:
            found = domain.parse(xml)
        except domain.InvalidDomainXML as exc:
            self.assertEqual([str(exc)], _lines(str(exc)))
            return
        self.assertIs(int, type(found.domain_id))
        self.assertIs(str, type(found.name))
        self.assertIsInstance(found.guest_os, domain.GuestOS)
        self.assertIn(type(found.period_s), (int, type(None)))
        for text in (found.display_name, found.balloon_model):
            self.assertIn(type(text), (str, type(None)))

    @SETTINGS
    @hypothesis.given(st.text())
    def test_any_text_is_a_domain_or_refused(self, text):
        self._check(text)

    @SETTINGS
    @hypothesis.given(st.lists(XML_PIECES, max_size=12).map(''.join))
    def test_any_pieces_of_xml_are_a_domain_or_refused(self, xml):
        self._check(xml)

    @SETTINGS
    @hypothesis.given(st.text(), st.text(), st.text())
    def test_any_text_in_any_place_is_a_domain_or_refused(
            self, name, distro, period):
        self._check(
            "<domain id='23' xmlns:n='"
            f"http://openstack.org/xmlns/libvirt/nova/1.1'><name>{name}"
            f'</name><metadata><n:instance><n:name>{name}</n:name><n:image>'
            f"<n:properties><n:property name='os_distro'>{distro}"
            '</n:property></n:properties></n:image></n:instance></metadata>'
            f"<devices><memballoon model='virtio'><stats period='{period}'/>"
            '</memballoon></devices></domain>')


class TestNovaConf(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path,
                                 'nova.conf')

    @SLOW
    @hypothesis.given(st.binary() | st.text().map(
        lambda text: b'[libvirt]\nmem_stats_period_seconds = '
        + text.encode(errors='replace')))
    def test_any_file_is_an_option_or_a_problem_of_one_line(self, content):
        self.path.write_bytes(content)
        wanted = nova.read([str(self.path)])
        self.assertIs(int, type(wanted.period_s))
        for problem in wanted.problems:
            self.assertEqual([problem], _lines(problem))
            self.assertIn(str(self.path), problem)
