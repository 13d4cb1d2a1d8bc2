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

"""memstat-pollster status: every guest of this node, one line each."""

import argparse
import collections.abc
import typing

from cliff import lister

from memstat_pollster.cmd import outcome
from memstat_pollster.cmd import survey
from memstat_pollster import monitor
from memstat_pollster import status

#: A guest in one of these is no problem.
FINE: typing.Final = status.QUIET | {status.Status.REPORTING}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _mib(kib: int | None) -> float | None:
    return None if kib is None else _rounded(kib / 1024)


#: column, which is also the key in JSON -> its value; None when missing.
COLUMNS: typing.Final[collections.abc.Mapping[
    str, collections.abc.Callable[[monitor.Guest], typing.Any]]] = {
    'name': lambda guest: guest.display_name,
    'libvirt_name': lambda guest: guest.name,
    'uuid': lambda guest: guest.uuid,
    'status': lambda guest: guest.verdict.status.word,
    'code': lambda guest: int(guest.verdict.status),
    'detail': lambda guest: guest.verdict.detail,
    'age_s': lambda guest: _rounded(guest.age_s),
    'period_s': lambda guest: guest.domain and guest.domain.period_s,
    'used_mib': lambda guest: guest.memory and _mib(guest.memory.used_kib),
    'available_mib': lambda guest: (
        guest.memory and _mib(guest.memory.available_kib)),
    'util_percent': lambda guest: (
        guest.memory and _rounded(guest.memory.util_percent)),
    'remedy': lambda guest: guest.remedy,
}


class Status(lister.Lister):
    """Show every guest of this node, and what keeps it from reporting."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[
            tuple[str, ...], list[tuple[typing.Any, ...]]]:
        self.guests = survey.survey(self.app.conf).guests.values()
        return tuple(COLUMNS), [
            tuple(value(guest) for value in COLUMNS.values())
            for guest in self.guests]

    def run(self, parsed_args: argparse.Namespace) -> int:
        super().run(parsed_args)
        if any(guest.verdict.status not in FINE for guest in self.guests):
            return outcome.ExitStatus.PROBLEMS
        return outcome.ExitStatus.OK
