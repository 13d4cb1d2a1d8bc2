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

"""What must be remembered of a guest between two polling cycles.

No clock is read here: every time is an argument.  Two clocks come in.  Wall
time is compared with the guest's time stamp, which QEMU takes from the host's
wall clock; monotonic time tells how long something has been seen, whatever
happens to the wall clock.
"""

import dataclasses
import math
import typing

from memstat_pollster.model import stats

#: virDomainRunningReason: booted on this host and running since.
RUNNING_BOOTED: typing.Final = 1

#: Reasons after which QEMU has put old numbers under a new time stamp:
#: migrated in, restored from a save file, from a snapshot, postcopy.
#: Measured for the first two on libvirt 9.0 and QEMU 7.2.
REPLAYING_REASONS: typing.Final = frozenset((2, 3, 4, 10, 11))

#: Reasons after which QEMU has run for longer than its guest: unpaused, woken
#: up.  After every other one both have run alike, but for moments.
INTERRUPTED_REASONS: typing.Final = frozenset((5, 8))


#: How far ahead of the host's clock a time stamp may be and still be now: a
#: guest may answer while it is being read, and clocks are slewed.
FUTURE_SLACK_S: typing.Final = 10.0

#: By how much the wall clock may differ from the monotonic one without having
#: been set: it is slewed, and the two are read one after the other.
STEP_S: typing.Final = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """What the readings up to now say of a guest's latest one, in seconds.

    :ivar age_s: how old the guest's numbers are; None when it never sent any
        or when their time stamp is not theirs (``proven`` is False)
    :ivar held_s: for how long this time stamp has been seen, by the
        monotonic clock; 0 when it is new
    :ivar running_s: for how long the guest is known to have run without a
        break or a reset; 0 at first sight, where nothing else tells
    :ivar resumed: whether it was seen not running before that
    :ivar reset: whether the machine was seen to be reset, as by a reboot from
        inside: it has run for longer than its guest
    :ivar proven: whether the time stamp can be the numbers' own.  False
        after a restore, a migration or at first sight of a guest that was
        not just booted, until the time stamp has moved once; and while it
        lies in the future.
    :ivar moved: whether the time stamp is another than at the last reading
    """

    age_s: float | None = None
    held_s: float = 0.0
    running_s: float = 0.0
    resumed: bool = False
    proven: bool = True
    moved: bool = False
    reset: bool = False


@dataclasses.dataclass(slots=True)
class _Seen:
    domain_id: int
    reason: int | None = None
    running_since: float | None = None
    stopped: bool = False
    reset: bool = False
    last_update_s: int | None = None
    held_since: float = 0.0
    made_at: float = 0.0
    read_at: float = 0.0
    wall_at: float = 0.0
    took_s: float = 0.0
    step_s: float = 0.0
    proven: bool = True


def _age_of_new(seen: _Seen, age: float, elapsed: float, back: float,
                took_s: float, step_s: float) -> tuple[float, bool]:
    """How old numbers are whose time stamp came since the last reading.

    :param age: by the clock before this reading
    :param elapsed: seconds since the last reading; without end where there
        was none
    :param back: by how much the clock was set back since then
    :param took_s: for how long was read
    :param step_s: by how much the clock was set while that
    :returns: the age, and whether it can be believed
    """
    soonest, latest = -FUTURE_SLACK_S - took_s, elapsed + 1.0
    # The guest may have answered by the clock after this reading, by the one
    # at its beginning, by the one before that, or, while the last reading was
    # out, by the one before that again.
    ages = []
    if soonest <= age <= latest:
        ages.append(age)
    if abs(step_s) >= STEP_S and -took_s - 1.0 <= age + step_s <= 1.0:
        ages.append(age + step_s)
    if back >= STEP_S and soonest <= age + back <= latest:
        ages.append(age + back)
    if seen.step_s <= -STEP_S and (
            elapsed - seen.took_s - 1.0 <= age + back - seen.step_s <= latest):
        ages.append(age + back - seen.step_s)
    if not ages:
        return age, back < STEP_S
    return max(ages), (
        max(ages) - max(min(ages), 0.0) <= FUTURE_SLACK_S + 1.0)


class Readings:
    """The last reading of each guest, as far as the next one needs it.

    How ages survive a host clock that is stepped: the wall clock's answer is
    kept between two bounds of the monotonic clock.  Numbers are at least as
    old as they were when their stamp was first seen and the time since (a
    stamp that a step back made look new still goes stale), and when the stamp
    has moved since the last reading they are at most as old as that (a step
    forward makes no moving guest stale for longer than one cycle).

    A stamp that moved while the clock was set back is of the clock before
    that or of the one after it.  Where only one of the two can be, that one
    counts; where both can, the older age does, and after a step of more than
    :data:`FUTURE_SLACK_S` nothing is believed until the stamp moves again.
    Neither is a stamp in the future.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def observe(self, uuid: str, domain_id: int, reading: stats.Reading, *,
                wall_s: float, monotonic_s: float, took_s: float = 0.0,
                step_s: float = 0.0) -> Past:
        """Take in one reading and say what it means beside the earlier ones.

        :param domain_id: libvirt's id; another one is another run of QEMU
        :param wall_s: time of the reading, taken before it was asked for
        :param monotonic_s: the same on the monotonic clock
        :param took_s: for how long was read: a time stamp may be that much
            later
        :param step_s: by how much the wall clock was set meanwhile: a time
            stamp may be of the clock after that
        """
        seen = self._seen.get(uuid)
        if seen is None or seen.domain_id != domain_id:
            seen = self._seen[uuid] = _Seen(domain_id)
        if not reading.running:
            seen.running_since, seen.stopped = None, True
            return self._stopped(seen, reading, wall_s, monotonic_s)
        if not reading.answered or reading.last_update_s is None:
            # Nothing was learnt; what is known stays known.
            return Past(proven=seen.proven)
        first = seen.reason is None
        if seen.running_since is None:
            seen.running_since = monotonic_s
        if first:
            # Anything but "booted" may be running on numbers of another
            # time: it can have been restored paused and resumed since.
            seen.proven = reading.reason == RUNNING_BOOTED
        elif (reading.reason != seen.reason
                and reading.reason in REPLAYING_REASONS):
            seen.proven, seen.last_update_s = False, None
        seen.reason = reading.reason if reading.reason is not None else 0

        stamp = reading.last_update_s
        known = seen.last_update_s
        moved = bool(stamp and known and stamp != known)
        if stamp != known:
            seen.held_since = monotonic_s
        if stamp == 0 and known:
            # QEMU 10 and later take back what the guest sent when it is
            # reset (virtio_balloon_reset_enter); earlier ones keep it.
            seen.running_since, seen.reset = monotonic_s, True
        elapsed = monotonic_s - seen.read_at
        age = None
        if stamp:
            age = wall_s - stamp
            if stamp == known:
                # Of this one is known how old it was when it came.
                if age < -FUTURE_SLACK_S - took_s:
                    seen.proven = False
                age = max(age, monotonic_s - seen.made_at)
            else:
                age, believed = _age_of_new(
                    seen, age, math.inf if known is None else elapsed,
                    0.0 if known is None
                    else elapsed - (wall_s - seen.wall_at), took_s, step_s)
                if moved:
                    seen.proven = believed
                    age = min(age, elapsed)
                if not believed or age < -FUTURE_SLACK_S - took_s:
                    seen.proven = False
                age = max(age, 0.0)
                seen.made_at = monotonic_s - age
        seen.last_update_s = stamp
        seen.read_at, seen.wall_at = monotonic_s, wall_s + step_s
        seen.took_s, seen.step_s = took_s, step_s
        return Past(
            age_s=age if seen.proven else None,
            held_s=monotonic_s - seen.held_since,
            running_s=monotonic_s - seen.running_since,
            resumed=seen.stopped, proven=seen.proven, moved=moved,
            reset=seen.reset)

    @staticmethod
    def _stopped(seen: _Seen, reading: stats.Reading, wall_s: float,
                 monotonic_s: float) -> Past:
        """A guest that does not run keeps the age of what it sent before."""
        stamp = reading.last_update_s
        if not stamp or seen.reason is None or not seen.proven:
            return Past(proven=False)
        age = max(wall_s - stamp, 0.0)
        if stamp == seen.last_update_s:
            age = max(age, monotonic_s - seen.made_at)
        return Past(age_s=age)

    def retain(self, uuids: typing.Collection[str]) -> None:
        """Forget every guest but these."""
        for uuid in self._seen.keys() - set(uuids):
            del self._seen[uuid]
