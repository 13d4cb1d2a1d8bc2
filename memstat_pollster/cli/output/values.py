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
import json
import typing

from memstat_pollster import text

#: Formats that write any character of a string so that it does no harm.
ESCAPING_FORMATS: typing.Final = frozenset(('json', 'yaml'))

#: The most characters of one value in any other format.
TEXT_LENGTH: typing.Final = 1000


#: A spreadsheet that opens a CSV file takes what begins so for a formula.
_FORMULA: typing.Final = ('=', '+', '-', '@')

#: Within double quotes a shell would still expand these.  The quotation mark
#: itself is cliff's.
_SHELL: typing.Final = str.maketrans({'\\': r'\\', '$': r'\$', '`': r'\`'})


def harmless(values: tuple[typing.Any, ...],
             formatter: str) -> tuple[typing.Any, ...]:
    """A row as it may leave in a format.

    JSON and YAML write every value as it is.  Elsewhere a text has no control
    characters of a terminal and nothing that another program would run, what
    is missing is empty, and a list or a mapping is JSON.
    """
    if formatter in ESCAPING_FORMATS:
        return values
    return tuple(_harmless(value, formatter) for value in values)


def _harmless(value: typing.Any, formatter: str) -> typing.Any:
    if value is None:
        return ''
    if isinstance(value, (dict, list, tuple)):
        # JSON has escaped its control characters itself, and stays whole.
        value = json.dumps(value)
    elif isinstance(value, str):
        value = text.printable(value, TEXT_LENGTH)
    else:
        return value
    if formatter == 'csv' and value.lstrip().startswith(_FORMULA):
        return f"'{value}"
    return value.translate(_SHELL) if formatter == 'shell' else value


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
