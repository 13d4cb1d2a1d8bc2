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

"""Which rules were asked of a guest, and what they said."""

import dataclasses

from memstat_pollster.model import judged
from memstat_pollster.model import status


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What one rule says of a guest.

    :ivar holds: None when an earlier rule has decided
    :ivar why: the facts, in one line; None when it was not asked
    """

    status: status.Status
    holds: bool | None
    why: str | None


def reasoning(guest: judged.Guest) -> list[Answer]:
    """The rules in their order, up to the one that decided."""
    answers = []
    decided = guest.evidence is None
    for each in status.Status:
        if decided or guest.evidence is None:
            answers.append(Answer(each, None, None))
            continue
        detail = each.rule(guest.evidence)
        decided = detail is not None
        answers.append(Answer(each, decided, detail if decided
                              else each.why_not(guest.evidence)))
    return answers
