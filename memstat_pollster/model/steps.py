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

"""What to do about a status, step by step, and how to see that it helped.

The one-line remedy of a status says what; these say how.
"""

import typing

from memstat_pollster.model import advice
from memstat_pollster.model import domain
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import status

_CHECK: typing.Final = (
    'memstat-pollster status {uuid}   says "reporting"',
    'virsh dommemstat {uuid}   twice, {period} s apart: last_update moves')


def _filled(found: advice.Steps, guest: judged.Guest,
            wanted: nova_period.Wanted) -> list[str]:
    """The steps with this guest's UUID, and the period it has or is to have.

    Neither is the tenant's to choose.
    """
    period_s = guest.domain.period_s if guest.domain else None
    return [step.replace('{uuid}', guest.uuid).replace(
        '{period}', str(period_s or wanted.period_s)) for step in found]


def steps(guest: judged.Guest, wanted: nova_period.Wanted) -> list[str]:
    """What to do about a guest; empty where there is nothing to be done."""
    now = guest.verdict.status
    guest_os = guest.domain.guest_os if guest.domain else None
    if status.is_excused(now, wanted.period_s):
        return _filled(advice.NOVA_OFF_STEPS, guest, wanted)
    known = now.advice.steps
    found = known.get(guest_os, known.get(advice.ANY_OS))
    if found is None:
        # Without steps of its own, what is to be done is the remedy.
        remedy = status.remedy(
            now, guest_os=guest_os or domain.GuestOS.UNKNOWN,
            uuid=guest.uuid, nova_period_s=wanted.period_s)
        found = (remedy,) if remedy else ()
    return _filled(found, guest, wanted)


def check(guest: judged.Guest, wanted: nova_period.Wanted) -> list[str]:
    """How to see that the steps have helped; empty without steps."""
    return _filled(_CHECK, guest, wanted) if steps(guest, wanted) else []
