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

"""A guest as a row of values, and all guests in one line."""

import collections
import collections.abc
import dataclasses
import typing

from memstat_pollster.cli.output import values
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import reasoning
from memstat_pollster.model import status
from memstat_pollster.model import steps


#: column, which is also the key in JSON -> its value; None when missing.
COLUMNS: typing.Final[collections.abc.Mapping[
    str, collections.abc.Callable[[judged.Guest], typing.Any]]] = {
    'name': lambda guest: guest.display_name,
    'libvirt_name': lambda guest: guest.name,
    'uuid': lambda guest: guest.uuid,
    'status': lambda guest: guest.verdict.status.word,
    'code': lambda guest: int(guest.verdict.status),
    'detail': lambda guest: guest.verdict.detail,
    'age_s': lambda guest: values.rounded(guest.age_s),
    'period_s': lambda guest: guest.domain and guest.domain.period_s,
    'used_mib': lambda guest: (
        guest.memory and values.mib(guest.memory.used_kib)),
    'available_mib': lambda guest: (
        guest.memory and values.mib(guest.memory.available_kib)),
    'util_percent': lambda guest: (
        guest.memory and values.rounded(guest.memory.util_percent)),
    'remedy': lambda guest: guest.remedy,
}


def _reading(guest: judged.Guest) -> dict[str, int | None] | None:
    return None if guest.reading is None else dataclasses.asdict(
        guest.reading)


#: key -> value, of one guest beyond the columns.
MORE: typing.Final[collections.abc.Mapping[
    str, collections.abc.Callable[[judged.Guest, nova_period.Wanted],
                                  typing.Any]]] = {
    'guest_os': lambda guest, wanted: (
        guest.domain and guest.domain.guest_os.value),
    'guest_os_known_by': lambda guest, wanted: (
        guest.domain and guest.domain.os_known_by
        and guest.domain.os_known_by.value),
    'balloon_model': lambda guest, wanted: (
        guest.domain and guest.domain.balloon_model),
    'nova_period_s': lambda guest, wanted: wanted.period_s,
    'nova_period_file': lambda guest, wanted: wanted.source,
    'used_from': lambda guest, wanted: guest.memory and guest.memory.source,
    'reading': lambda guest, wanted: _reading(guest),
    'rules': lambda guest, wanted: [
        {'status': answer.status.word, 'holds': answer.holds,
         'why': answer.why} for answer in reasoning.reasoning(guest)],
    'steps': steps.steps,
    'check': steps.check,
}


def row(guest: judged.Guest) -> tuple[typing.Any, ...]:
    """A guest's values, in the order of the columns."""
    return tuple(value(guest) for value in COLUMNS.values())


def summary(found: collections.abc.Collection[judged.Guest],
            wanted: nova_period.Wanted) -> str:
    """How many guests there are of each status, in one line."""
    if not found:
        return 'no guests'
    counts = collections.Counter(guest.verdict.status for guest in found)
    bad = sum(is_problem(guest, wanted) for guest in found)
    line = (f'{len(found)} guest{"s" * (len(found) != 1)}: '
            + ', '.join(f'{count} {each.word}'
                        for each, count in sorted(counts.items())))
    return f'{line}; {bad} to be seen to' if bad else line


def is_problem(guest: judged.Guest, wanted: nova_period.Wanted) -> bool:
    """Whether somebody has to see to this guest."""
    return status.is_problem(guest.verdict.status, wanted.period_s)
