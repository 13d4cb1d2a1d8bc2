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

"""Giving guests a statistics period: the plan, and the work."""

import contextlib
import dataclasses
import time
import types
import typing

from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import terminal
from memstat_pollster.cli import survey
from memstat_pollster.model import domain
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import observation
from memstat_pollster.model import status

#: How often a guest whose period was set is looked at.
POLL_S: typing.Final = 0.5

#: Beyond three periods: a driver may have just been bound.
SLACK_S: typing.Final = 10.0

WOULD_SET, SET, SKIPPED, FAILED = 'would_set', 'set', 'skipped', 'failed'

#: Why a guest is skipped where somebody has to do something about it.
HARD_REBOOT: typing.Final = (
    'it has no balloon device: hard reboot it, so that Nova writes its XML '
    'anew')


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What is done about one guest.

    :ivar action: would_set, set, skipped or failed
    :ivar detail: why, or what came of it
    :ivar unsolved: whether somebody has to see to the guest
    """

    guest: judged.Guest
    action: str
    detail: str
    unsolved: bool = False


def plan(guest: judged.Guest, period_s: int) -> Step:
    """What is to be done about a guest."""
    seen = guest.domain
    if guest.verdict.status is status.Status.NOT_RUNNING:
        return Step(guest, SKIPPED, f'{guest.verdict.detail}; Nova gives it '
                    f'a period when it starts it')
    if guest.verdict.status is status.Status.UNREACHABLE or seen is None:
        return Step(guest, SKIPPED, guest.verdict.detail, True)
    if not seen.has_balloon:
        return Step(guest, SKIPPED, HARD_REBOOT, True)
    if (seen.period_s or 0) > 0:
        return Step(guest, SKIPPED, _has_one(seen))
    return Step(guest, WOULD_SET, f'its period is to be {period_s} s')


def _has_one(seen: domain.Domain) -> str:
    return f'its period is {seen.period_s} s already'


def refuse(xml: str) -> str | None:
    """Why a guest of this live XML must not be given a period; or None."""
    try:
        seen = domain.parse(xml)
    except domain.InvalidDomainXML as exc:
        return f'its live XML cannot be parsed: {exc}'
    if seen.domain_id < 0:
        return 'it has been shut off'
    if not seen.has_balloon:
        return HARD_REBOOT
    return _has_one(seen) if (seen.period_s or 0) > 0 else None


def period(wanted: nova_period.Wanted, chosen: int | None) -> int:
    """The period to set.

    :raises outcome.CommandFailed: where Nova says
        that there is to be none, or what it says is not known
    """
    if wanted.period_s <= 0:
        raise outcome.CommandFailed(
            f"Nova's [libvirt]mem_stats_period_seconds is "
            f'{wanted.period_s} ({wanted.source}): statistics are '
            f'switched off on purpose; nothing has been changed')
    if chosen is not None:
        return chosen
    if wanted.problems:
        raise outcome.CommandFailed(
            "what Nova's [libvirt]mem_stats_period_seconds is cannot be "
            f'known: {"; ".join(wanted.problems)}; say which period is '
            f'meant with --period')
    return wanted.period_s


#: Of a guest whose turn had not come when something ended the work.
NOT_REACHED: typing.Final = 'its turn had not come when the command was ended'
#: Of the guest that was being changed then.
IN_DOUBT: typing.Final = (
    'the command was ended while its period was being set: it may have one')


class Enabling:
    """The work on the guests of a plan.

    :ivar steps: what is planned, or was done
    """

    def __init__(self, node: survey.Node, period_s: int,
                 steps: list[Step]) -> None:
        self._node, self._period_s = node, period_s
        self.steps = steps

    @property
    def todo(self) -> list[Step]:
        """The steps that are to be done."""
        return [step for step in self.steps if step.action == WOULD_SET]

    def set(self) -> None:
        """Give each guest of the plan its period.

        :raises outcome.CommandFailed: when libvirt lets this user change
            nothing
        """
        for position, step in enumerate(self.steps):
            if step.action != WOULD_SET:
                continue
            # What stands here if the call below is interrupted.
            self.steps[position] = dataclasses.replace(
                step, action=FAILED, detail=IN_DOUBT, unsolved=True)
            try:
                self._node.inspector.set_period(
                    step.guest.uuid, self._period_s, refuse)
            except observation.ReadFailed as exc:
                if exc.advice is not None and not any(
                        each.action == SET for each in self.steps):
                    self.steps[position] = step
                    raise outcome.CommandFailed(
                        f'libvirt at {self._node.uri}: '
                        f'{exc}; {exc.advice}') from exc
                self.steps[position] = dataclasses.replace(
                    step, action=FAILED, detail=str(exc),
                    unsolved=True)
            else:
                self.steps[position] = dataclasses.replace(
                    step, action=SET, unsolved=True,
                    detail=f'its period is {self._period_s} s now; it has not '
                           f'reported yet')

    @property
    def begun(self) -> bool:
        """Whether a guest was changed, or may have been."""
        return any(step.action in (SET, FAILED) for step in self.steps)

    def stop(self) -> None:
        """Say of the guests whose turn has not come that it has not."""
        self.steps = [
            dataclasses.replace(step, action=SKIPPED, detail=NOT_REACHED,
                                unsolved=True)
            if step.action == WOULD_SET else step for step in self.steps]

    def follow(self, wait_s: float, progress: terminal.Progress) -> None:
        """Read until all guests that were given a period report."""
        began = time.monotonic()
        with progress:
            while True:
                elapsed_s = time.monotonic() - began
                try:
                    cycle = self._node.read()
                except outcome.LibvirtUnreachable:
                    # It may answer again; what was set stays set.
                    cycle = None
                if cycle is not None:
                    self.steps = [self._followed(step, cycle, elapsed_s)
                                   for step in self.steps]
                given = [step for step in self.steps
                         if step.action == SET]
                silent = sum(step.unsolved for step in given)
                if not silent or elapsed_s >= wait_s:
                    return
                done = len(given) - silent
                progress.show(f'{done} of {len(given)} guests report',
                              done / len(given))
                time.sleep(POLL_S)

    @staticmethod
    def _followed(step: Step, cycle: judged.Cycle,
                  elapsed_s: float) -> Step:
        """What has become of a guest that was given a period."""
        guest = cycle.guests.get(step.guest.uuid)
        if step.action != SET or not step.unsolved or guest is None:
            return step
        if guest.verdict.status is status.Status.REPORTING:
            return Step(guest, SET,
                                 f'it reports after {elapsed_s:.1f} s')
        return Step(guest, SET, 'it has not reported yet: '
                             + guest.verdict.detail, True)


class Kept(contextlib.AbstractContextManager['Kept']):
    """Keeps what ends a block from ending the command before it has spoken.

    Only once a guest was changed: what was changed is said, whatever it was
    that ended the work, and then that is raised again.

    :ivar work: set within the block
    """

    def __init__(self) -> None:
        self.work: Enabling | None = None
        self._error: BaseException | None = None

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: types.TracebackType | None) -> bool:
        if error is None or self.work is None or not self.work.begun:
            return False
        self.work.stop()
        self._error = error
        return True

    def raise_again(self) -> None:
        """End as the block would have."""
        if self._error is not None:
            raise self._error
