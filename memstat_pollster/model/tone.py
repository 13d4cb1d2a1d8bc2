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

"""How grave a status is: what a terminal and a page colour it by."""

import enum
import typing

from memstat_pollster.model import status


class Tone(enum.Enum):
    """Worst first."""

    #: Numbers that came no more come, or cannot be true.
    BAD = 'bad'
    #: It never had numbers, or there is nobody to ask.
    WARN = 'warn'
    #: No numbers, and nothing to be seen to.
    CALM = 'calm'
    GOOD = 'good'


#: It may come slowly, so it is not told at once; but a guest has been lost.
_LOST: typing.Final = frozenset((status.Status.STALE,))


def of(now: status.Status) -> Tone:
    """The tone of a status; of one that nobody has thought of, WARN."""
    if now is status.Status.REPORTING:
        return Tone.GOOD
    if now in status.QUIET:
        return Tone.CALM
    return Tone.BAD if now in status.IMMEDIATE | _LOST else Tone.WARN
