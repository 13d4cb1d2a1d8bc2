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

"""One agent and its guests, shared by the tests of a class."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from concurrent import futures
import re
import time
from typing import Any
from typing import TypeVar
import unittest

from testtools import content

from memstat_pollster.model import meters
from memstat_pollster.model import status as statuses
from tests.functional import base
from tests import node
from tests.node import agent as polling

#: Unit and type of each meter, as README and DESIGN promise them.
#: Which they have to be, tests/unit/agent/test_pollsters.py says.
KINDS = {meter.name: (meter.unit, meter.type)
         for meter in meters.METERS.values()}
#: The counters of a guest that counts nothing: :func:`mib`'s, and a Linux
#: guest's that is at rest.
COUNTERS_AT_0 = {'memory.swap.in': 0.0, 'memory.swap.out': 0.0}
#: tests/unit/model/test_status.py has the codes that were ever released, as
#: they
#: must stay.
CODES = {each.word: int(each) for each in statuses.Status}
#: libvirt's whole seconds, and what the kernel's clocks differ by.
CLOCK_SLACK_S = 1.5
#: Periods, of 1 s mostly, that a guest may miss: on a machine with more to do
#: its answers are some seconds late, and it is no less alive.
STALE_AFTER = 10
RESIDENT_SLACK_MIB = 16

Samples = Mapping[str, polling.Sample]


_Test = TypeVar('_Test', bound=Callable[..., None])


def signature(word: str, text: str) -> Callable[[_Test], _Test]:
    """Mark a test that shows what a status looks like in libvirt.

    The documentation's table of signatures is made from these marks, without
    importing the tests: both arguments have to be literals.

    :param word: the status that the guest comes to
    :param text: what libvirt says of such a guest; reStructuredText
    """
    if word not in CODES:
        raise ValueError(f'{word} is no status')

    def mark(test: _Test) -> _Test:
        return test
    return mark


def mib(total: int, unused: int, usable: int | None = None,
        caches: int | None = None, *, swap_in: int = 0, swap_out: int = 0,
        ) -> list[tuple[int, int]]:
    """A Linux driver's record; amounts in MiB."""
    return node.linux_stats(
        total * 1024, unused * 1024,
        None if usable is None else usable * 1024,
        None if caches is None else caches * 1024,
        swap_in * 1024, swap_out * 1024)


def counted(text: str) -> str:
    """A text with N for every number of seconds."""
    return re.sub(r'\b\d+ s\b', 'N s', text)


def ours(sample: polling.Sample) -> dict[str, str]:
    """The plugin's own keys of a sample's metadata."""
    return {key: counted(value) for key, value in sample.metadata.items()
            if key.startswith(('balloon_', 'memory_usage_'))}


def word(samples: Samples) -> str | None:
    """The status that a guest's samples of one cycle tell."""
    status = samples.get('memory.balloon.status')
    return status.metadata['balloon_status'] if status else None


def read_s(sample: polling.Sample) -> float:
    """When the guest was read, seconds since the epoch.

    Not the sample's timestamp: that is of when Ceilometer had it.
    """
    assert sample.read_s is not None
    return time.time() - time.monotonic() + sample.read_s


class SharedGuestsTest(base.FunctionalTest):
    """Tests of guests that are started once, in :meth:`make_guests`.

    :cvar names: of the guests to be destroyed in the end
    """

    names: list[str]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        try:
            cls.node = base.shared_node()
        except node.MissingTools as error:
            if base.must_run():
                raise
            raise unittest.SkipTest(
                f'FUNCTIONAL TESTS DO NOT RUN HERE: {error}') from error
        cls.names = []
        cls.addClassCleanup(cls._destroy_guests)
        cls.node.answer()
        cls.make_guests()

    @classmethod
    def _destroy_guests(cls) -> None:
        """All at once, as far as libvirtd lets one connection."""
        with futures.ThreadPoolExecutor(5) as pool:
            list(pool.map(cls.node.destroy, [
                name for name in cls.names if name in cls.node.guests]))

    @classmethod
    def make_guests(cls) -> None:
        """Start the guests that all tests of the class look at."""

    @classmethod
    def new_linux(cls, name: str, **options: Any) -> node.LinuxGuest:
        """A Linux guest for all tests of the class; it may still boot."""
        options.setdefault('display_name', f'Server {name}')
        name = f'{name}-{cls.__name__.lower()}'
        cls.names.append(name)
        options.setdefault('wait', False)
        return cls.node.linux(name, **options)

    @classmethod
    def new_scripted(cls, name: str, record: Any = None, *,
                     answers: bool = True, features: int | None = None,
                     **options: Any) -> node.ScriptedGuest:
        """A scripted guest for all tests of the class.

        :param record: what its driver sends at once; None: it binds nothing
        :param answers: whether QEMU's later requests are answered
        :param features: bind a driver that knows these
        """
        options.setdefault('display_name', f'Server {name}')
        name = f'{name}-{cls.__name__.lower()}'
        cls.names.append(name)
        guest = cls.node.scripted(name, **options)
        if guest.driver is not None:
            guest.driver.answers = answers
        if features is not None:
            guest.driver.attach(features)
        elif record is not None:
            guest.driver.attach()
        if record is not None:
            guest.driver.push(record)
        return guest


class SharedAgentTest(SharedGuestsTest):
    """Tests that look at what one agent published of many guests.

    A subclass makes its guests in :meth:`make_guests`, before the agent
    starts, and lets happen to them what is to happen in :meth:`happen`.

    :cvar memstat: options of group [memstat]
    :cvar groups: more of ceilometer.conf
    """

    memstat: Mapping[str, object] = {
        'boot_grace': 3, 'stale_after_periods': STALE_AFTER}
    groups: Mapping[str, Mapping[str, object]] = {}
    agent: polling.Agent

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.agent = cls.start_agent()
        cls.happen()

    @classmethod
    def start_agent(cls, **options: Any) -> polling.Agent:
        """An agent of the class, with its options."""
        options.setdefault('options', {'memstat': cls.memstat, **cls.groups})
        agent = polling.Agent(cls.node.ro_uri, **options)
        cls.addClassCleanup(agent.close)
        agent.start()
        return agent

    @classmethod
    def happen(cls) -> None:
        """Do to the guests what the tests are about; the agent runs."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(lambda: self.addDetail(
            'agent.log', content.text_content(
                '\n'.join(self.agent.log()[-300:]))))

    # What was published

    def words(self, guest: node.Guest, agent: polling.Agent | None = None,
              ) -> list[str]:
        """The statuses that a guest has had, one after the other."""
        found: list[str] = []
        for cycle in (agent or self.agent).cycles():
            now = word(cycle.get(guest.uuid, {}))
            if now is not None and found[-1:] != [now]:
                found.append(now)
        return found

    def history(self, guest: node.Guest) -> list[Samples]:
        """A guest's samples, cycle by cycle, where it had any."""
        return [cycle[guest.uuid] for cycle in self.agent.cycles()
                if guest.uuid in cycle]

    def settled(self, guest: node.Guest, status: str,
                timeout: float = 120.0) -> Samples:
        """Wait until a guest has had a status for three cycles: it is told.

        :returns: its samples of the newest
        """
        def newest(cycles: list[dict[str, dict[str, polling.Sample]]],
                   ) -> Samples | None:
            last = [cycle.get(guest.uuid, {}) for cycle in cycles[-3:]]
            if [word(samples) for samples in last] == [status] * 3:
                return last[-1]
            return None
        return self.agent.wait_for(
            newest, f'{guest.name} is {status} and stays so', timeout)

    def assertPublished(
            self, guest: node.Guest, samples: Samples, status: str,
            detail: str, remedy: str = '', *, memory: float | None = 512.0,
            age: str | None = None, source: str | None = None,
            resident: bool = True,
            numbers: Mapping[str, float] | None = None) -> None:
        """One cycle's samples of a guest are these, and no other.

        :param detail: with N for numbers of seconds
        :param memory: of the meter memory; None: it is not there
        :param age: 'frozen': since libvirt's last-update, which stands
            still; 'fresh': of a guest that answers; None: not published
        :param source: of memory.usage
        :param resident: whether memory.resident is there
        :param numbers: the guest's own, by meter
        """
        volumes = dict(numbers or {})
        volumes['memory.balloon.status'] = CODES[status]
        if memory is not None:
            volumes['memory'] = memory
        found = {name: sample.volume for name, sample in samples.items()}
        if age is not None:
            self.assertIn('memory.stats.age', found)
            volumes['memory.stats.age'] = found['memory.stats.age']
            self.check_age(guest, samples['memory.stats.age'], age)
        if resident:
            self.assertIn('memory.resident', found)
            volumes['memory.resident'] = found['memory.resident']
            own = guest.domain.memoryStats()['rss'] / 1024
            self.assertAlmostEqual(own, found['memory.resident'],
                                   delta=RESIDENT_SLACK_MIB)
        self.assertEqual(volumes, found)
        self.assertEqual({name: KINDS[name] for name in samples},
                         {name: (sample.unit, sample.type)
                          for name, sample in samples.items()})
        expected = {name: {'balloon_status': status} for name in samples}
        expected['memory.balloon.status'].update(
            balloon_detail=detail, balloon_remedy=remedy)
        if source is not None:
            expected['memory.usage']['memory_usage_source'] = source
        self.assertEqual(expected, {name: ours(sample) for name, sample
                                    in samples.items()})

    def check_age(self, guest: node.Guest, sample: polling.Sample,
                  kind: str) -> None:
        """An age is right by the clock."""
        if kind == 'fresh':
            self.assertTrue(0 <= sample.volume <= STALE_AFTER, sample.volume)
        else:
            stamp = guest.domain.memoryStats()['last_update']
            self.assertAlmostEqual(read_s(sample) - stamp, sample.volume,
                                   delta=CLOCK_SLACK_S)

    # What was said

    def said_of(self, guest: node.Guest, agent: polling.Agent | None = None,
                ) -> list[str]:
        """The plugin's log lines that name a guest, INFO and above."""
        return [counted(line) for line in (agent or self.agent).said()
                if guest.uuid in line and not line.startswith('DEBUG ')]

    def line(self, level: str, guest: node.Guest, status: str, detail: str,
             remedy: str = '') -> str:
        """The line that tells a verdict."""
        return (f'{level} Memory statistics of {guest.display_name} / '
                f'{guest.name} ({guest.uuid}): {status}: {detail}'
                + (f'. Remedy: {remedy}' if remedy else ''))

    def check(self, guest: node.Guest, status: str, detail: str,
              remedy: str = '', *, level: str | None = 'WARNING',
              **expected: Any) -> None:
        """A guest comes to a status, is published so, and told of once.

        :param level: None: nothing is to be said of the guest
        """
        samples = self.settled(guest, status)
        self.assertPublished(guest, samples, status, detail, remedy,
                             **expected)
        self.assertEqual(
            [] if level is None
            else [self.line(level, guest, status, detail, remedy)],
            self.said_of(guest))
