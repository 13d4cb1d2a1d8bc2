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

"""Values as they leave in a format."""

import datetime
import typing

from memstat_pollster import text

#: Formats that write any character of a string so that it does no harm.
ESCAPING_FORMATS: typing.Final = frozenset(('json', 'yaml'))

#: The most characters of one value in any other format.
TEXT_LENGTH: typing.Final = 1000


def harmless(values: tuple[typing.Any, ...],
             formatter: str) -> tuple[typing.Any, ...]:
    """A row of which no format makes a terminal's control characters."""
    if formatter in ESCAPING_FORMATS:
        return values
    return tuple(text.printable(value, TEXT_LENGTH)
                 if isinstance(value, str) else value for value in values)


def rounded(value: float | None) -> float | None:
    """With one digit; None stays None."""
    return None if value is None else round(value, 1)


def mib(kib: int | None) -> float | None:
    """KiB as MiB with one digit; None stays None."""
    return None if kib is None else rounded(kib / 1024)


def moment(seconds: int | None) -> str | None:
    """A time stamp in local time, to the second; None when there is none."""
    if not seconds:
        return None
    try:
        return datetime.datetime.fromtimestamp(
            seconds).astimezone().isoformat(sep=' ')
    except (OverflowError, OSError, ValueError):
        return f'{seconds} s after the epoch'
