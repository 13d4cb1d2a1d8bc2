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

"""The node's memory as one self-contained page of HTML.

A pure function of a judged cycle, the host's facts and the time: no clock,
no network, no libvirt.  Everything that a tenant can choose (a guest's name)
goes through ``monitor.printable`` and Jinja2's autoescape; and the page's
content security policy names the hashes of its one style and its one script,
so that a browser runs nothing else even if something got through.
"""

import collections.abc
import dataclasses
import datetime
import typing

from memstat_pollster.cli.report import curves
from memstat_pollster.cli.report import figures
from memstat_pollster.model import advice
from memstat_pollster.model import judged
from memstat_pollster.model import meters
from memstat_pollster.model import stats
from memstat_pollster.model import status
from memstat_pollster.model import usage
from memstat_pollster import text

Status = status.Status

#: What the parts of a bar are called: class of the page's style, label.
LEGEND: typing.Final = (
    ('used', 'used'), ('reclaimable', 'reclaimable'), ('free', 'free'),
    ('resident', 'resident on the host'))

#: How far back the curves go.
DAY_S: typing.Final = 86400.0

#: The most characters of a detail: an XML parser may quote a tenant's text.
LINE: typing.Final = 400

_SIGNS: typing.Final[collections.abc.Mapping[advice.Severity, str]] = {
    advice.Severity.BAD: '✕', advice.Severity.WARN: '!',
    advice.Severity.CALM: '…', advice.Severity.GOOD: '✓'}


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """What is known of the host; None where it is not.

    :ivar name: its host name
    :ivar memory_kib: all of its memory
    :ivar versions: software and version, in the order to be shown
    :ivar nova_period_s: Nova's mem_stats_period_seconds
    """

    name: str
    memory_kib: int | None = None
    versions: tuple[tuple[str, str], ...] = ()
    nova_period_s: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar: its class, where it starts and how long it is."""

    kind: str
    start: int
    length: int


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """A status as the page shows it, and how many guests are in it.

    :ivar rank: its place when rows are sorted by status, worst first
    :ivar severity: class of the page's style
    """

    word: str
    rank: int
    severity: str
    sign: str
    meaning: str
    count: int = 0

    @property
    def label(self) -> str:
        return self.word.replace('_', ' ')


def _states() -> collections.abc.Iterator[tuple[Status, State]]:
    severities = list(advice.Severity)
    for rank, each in enumerate(sorted(Status, key=lambda each: (
            severities.index(each.advice.severity), each.advice.rank))):
        said = each.advice
        yield each, State(
            each.word, rank, said.severity.value,
            '‖' if each is Status.NOT_RUNNING else _SIGNS[said.severity],
            said.short or said.meaning)


#: Every status, in the order of the page.
STATES: typing.Final[collections.abc.Mapping[Status, State]] = dict(_states())


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """What Gnocchi has of this node's guests.

    :ivar usage: the meter memory.usage, by the guest's UUID
    :ivar span_s: how far back it was asked for
    :ivar error: why it has nothing, or no more; None if it answered
    :ivar answered: of how many guests it said something before the error
    """

    usage: collections.abc.Mapping[str, meters.Series] = dataclasses.field(
        default_factory=dict)
    span_s: float = DAY_S
    error: str | None = None
    answered: int = 0

    def problem(self, guests: int) -> str | None:
        """What there is none of, and why; None where nothing is missing.

        :param guests: how many there are
        """
        if self.error is None:
            return None
        some = (f' of {guests - self.answered} of {guests} guests'
                if self.answered else '')
        return f'curves{some}: {self.error}'


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One guest as the page shows it; amounts in KiB, missing is None.

    :ivar size_kib: the memory its machine has
    :ivar scale_kib: how much the whole width of its bars is
    :ivar words: the bar in words
    :ivar remedy: (whether it is a command, text) of each piece
    """

    name: str
    other_name: str | None
    uuid: str
    state: State
    segments: tuple[Segment, ...]
    resident: tuple[Segment, ...]
    words: str
    resident_words: str
    used_kib: int | None
    size_kib: int | None
    resident_kib: int | None
    scale_kib: int
    util: float | None
    age_s: float | None
    period_s: int | None
    detail: str
    remedy: tuple[tuple[bool, str], ...]
    curve: curves.Curve | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Total:
    """A figure of the whole node, with a bar where there is something to."""

    name: str
    figure: str
    note: str
    segments: tuple[Segment, ...] = ()
    size: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """All that the template shows."""

    host: str
    made: datetime.datetime
    facts: tuple[str, ...]
    version: str
    error: str | None
    totals: tuple[Total, ...]
    states: tuple[State, ...]
    rows: tuple[Row, ...]
    common_kib: int
    note: str | None = None
    legend: tuple[tuple[str, str], ...] = LEGEND


def _state(found: Status, count: int = 0) -> State:
    return dataclasses.replace(STATES[found], count=count)


def split(memory: usage.Memory) -> tuple[tuple[str, int], ...]:
    """Used, reclaimable and free memory, as far as the guest tells them.

    Their sum is the guest's total.  Free memory can be more than what is
    usable (the kernel keeps some for itself): what is used counts, as the
    meter memory.usage does, and free is then what is usable.

    :returns: (kind, KiB) of each; without reclaimable where the guest sends
        neither usable memory nor caches
    """
    left = memory.available_kib - memory.used_kib
    if memory.unused_kib is None:
        # What can be had, without what of it is free already.
        return ('used', memory.used_kib), ('reclaimable', left)
    free = min(memory.unused_kib, left)
    if memory.source == 'unused':
        return ('used', memory.used_kib), ('free', free)
    return (('used', memory.used_kib), ('reclaimable', left - free),
            ('free', free))


def _segments(parts: collections.abc.Iterable[tuple[str, int]]
              ) -> tuple[Segment, ...]:
    found, start = [], 0
    for kind, kib in parts:
        found.append(Segment(kind, start, kib))
        start += kib
    return tuple(found)


def _pieces(text: str | None) -> tuple[tuple[bool, str], ...]:
    """A remedy cut at its quotation marks: what is quoted is a command."""
    return tuple((bool(place % 2), piece) for place, piece
                 in enumerate((text or '').split('"')) if piece)


def _row(guest: judged.Guest, line: curves.Curve | None) -> Row:
    reading = guest.reading or stats.Reading()
    resident, size = reading.rss_kib, reading.maximum_kib
    memory = guest.memory
    parts = () if memory is None else split(memory)
    if memory is not None:
        words = ', '.join(f'{figures.amount(kib)} {kind}'
                          for kind, kib in parts)
        words += f' ({memory.util_percent:.0f} % in use)'
    else:
        words = 'no numbers'
    names = list(map(text.printable, guest.names))
    return Row(
        name=names[0] if names else 'guest',
        other_name=names[1] if names[1:] else None,
        uuid=text.printable(guest.uuid),
        state=_state(guest.verdict.status),
        segments=_segments(parts),
        resident=_segments([('resident', resident)] if resident else []),
        words=words,
        resident_words=f'{figures.amount(resident)} resident on the host',
        used_kib=memory.used_kib if memory else None,
        size_kib=size, resident_kib=resident,
        scale_kib=max(size or 0, resident or 0,
                      memory.available_kib if memory else 0, 1),
        util=memory.util_percent if memory else None,
        age_s=guest.age_s,
        period_s=guest.domain.period_s if guest.domain else None,
        detail=text.printable(guest.verdict.detail, LINE),
        remedy=_pieces(guest.remedy), curve=line)


def _order(row: Row) -> tuple[int, float, str]:
    return row.state.rank, -(row.util or 0), row.name


def _totals(guests: collections.abc.Collection[judged.Guest],
            states: collections.abc.Sequence[State],
            host: Host) -> tuple[Total, ...]:
    reporting = [guest.memory for guest in guests if guest.memory is not None]
    sums = {'used': 0, 'reclaimable': 0, 'free': 0}
    for memory in reporting:
        for kind, kib in split(memory):
            sums[kind] += kib
    have = sum(sums.values())
    sizes = [guest.reading.maximum_kib for guest in guests
             if guest.reading and guest.reading.running
             and guest.reading.maximum_kib]
    residents = [guest.reading.rss_kib for guest in guests
                 if guest.reading and guest.reading.rss_kib]
    used = Total('Used by guests', figures.amount(None),
                 'no guest has numbers')
    if reporting:
        used = Total(
            'Used by guests', figures.amount(sums['used']),
            f'of {figures.amount(have)} in the {len(reporting)} with numbers; '
            f'{figures.amount(sums["reclaimable"])} reclaimable',
            _segments(sums.items()), max(have, 1))
    return (
        Total('Guests', str(len(guests)),
              f'{len(reporting)} with numbers, '
              f'{len(guests) - len(reporting)} without',
              _segments((state.severity, state.count)
                        for state in reversed(states)), max(len(guests), 1)),
        used,
        _of_host('Resident on the host', 'resident', sum(residents), host),
        _of_host('Promised to running guests', 'used', sum(sizes), host))


def _of_host(name: str, kind: str, kib: int, host: Host) -> Total:
    if not host.memory_kib:
        return Total(name, figures.amount(kib), 'of an unknown amount')
    return Total(name, figures.amount(kib),
                 f'{100 * kib / host.memory_kib:.0f} % of '
                 f"the host's {figures.amount(host.memory_kib)}",
                 _segments([(kind, kib)]), max(host.memory_kib, kib))


def _facts(host: Host) -> tuple[str, ...]:
    facts = [f'{name} {version}' for name, version in host.versions]
    if host.nova_period_s is not None:
        facts.append(f"Nova's period {host.nova_period_s} s"
                     if host.nova_period_s > 0 else
                     'Nova has memory statistics switched off')
    return tuple(map(text.printable, facts))


def view(cycle: judged.Cycle, host: Host, made: datetime.datetime,
         version: str, history: History | None = None) -> Page:
    """What is to be shown, in order; see :func:`render`."""
    guests = cycle.guests.values()
    history = history or History()
    problem = history.problem(len(guests))
    rows = tuple(sorted((_row(guest, _curve(guest, history, made.timestamp()))
                         for guest in guests), key=_order))
    found = [guest.verdict.status for guest in guests]
    states = tuple(_state(each, found.count(each)) for each in STATES
                   if each in found)
    return Page(
        host=text.printable(host.name), made=made, version=version,
        facts=_facts(host),
        error=cycle.error and text.printable(cycle.error, LINE),
        totals=_totals(guests, states, host), states=states, rows=rows,
        common_kib=max((row.scale_kib for row in rows), default=1),
        note=problem and text.printable(problem, LINE))


def _curve(guest: judged.Guest, history: History,
           end_s: float) -> curves.Curve | None:
    series = history.usage.get(guest.uuid)
    if series is None or guest.reading is None:
        return None
    return curves.curve(series, end_s - history.span_s, end_s,
                 guest.reading.maximum_kib or 1)
