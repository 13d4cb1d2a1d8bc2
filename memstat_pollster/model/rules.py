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

"""The rules that tell the statuses apart: why each holds, or does not.

A rule is given the evidence and says in one line why its status holds, or
None.  It may rely on the rules before it having said nothing.  Its ``why_not``
says in one line the facts by which it does not hold.
"""

from memstat_pollster.model import facts
from memstat_pollster.model import stats
from memstat_pollster.model import usage


def unreachable(seen: facts.Evidence) -> str | None:
    if seen.reading is None:
        return seen.trouble or 'libvirt said nothing of this guest'
    if seen.reading.state is None:
        return 'libvirt gave no state'
    if not seen.reading.running:
        # That it does not run libvirt knows without asking QEMU.
        return None
    if not seen.reading.answered:
        return seen.trouble or (
            'QEMU did not answer, or another job (a migration, a snapshot, a '
            'call that is stuck) holds the domain')
    if seen.domain is None:
        return seen.trouble or 'its live XML could not be read'
    if seen.domain.has_balloon and seen.reading.last_update_s is None:
        return 'QEMU said nothing of the balloon device'
    return None


def not_running(seen: facts.Evidence) -> str | None:
    reading = seen.reading
    if reading is None or reading.running:
        return None
    word = stats.STATE_WORDS.get(reading.state or 0, 'not running')
    return f'the guest is {word}'


def no_device(seen: facts.Evidence) -> str | None:
    if seen.domain is None or seen.domain.has_balloon:
        return None
    if seen.domain.balloon_model is None:
        return 'its live XML has no memballoon device'
    return "its live XML has <memballoon model='none'/>"


def stats_disabled(seen: facts.Evidence) -> str | None:
    if seen.domain is None or (seen.domain.period_s or 0) > 0:
        return None
    if seen.domain.period_s is None:
        return 'its live XML has a memballoon without a statistics period'
    return f"its live XML has <stats period='{seen.domain.period_s}'/>"


def starting(seen: facts.Evidence) -> str | None:
    past, reading = seen.past, seen.reading
    if reading is None:
        return None
    limit, grace = seen.stale_after_s, seen.thresholds.boot_grace_s
    if reading.last_update_s and not past.proven and past.held_s <= limit:
        return ('its time stamp is not yet known to be its own: the guest '
                'may have been restored, migrated or resumed, or the clock '
                'was set, since it was last seen to answer')
    if (past.resumed and past.running_s <= limit
            and past.age_s is not None and past.age_s > limit):
        return (f'resumed {past.running_s:.0f} s ago or less; its next '
                f'numbers are not due yet')
    if reading.has_numbers or past.running_s >= grace:
        return None
    if past.age_s is not None and past.age_s >= grace:
        # The driver came up long ago: only the service can be missing.
        return None
    return (f'no numbers yet; seen running for {past.running_s:.0f} s of '
            f'{grace:.0f} s that a boot may take')


def driver_missing(seen: facts.Evidence) -> str | None:
    if seen.reading is None or seen.reading.last_update_s != 0:
        return None
    if seen.past.reset:
        return ('the guest has not reported since it was reset: no balloon '
                'driver speaks')
    return 'the guest has never reported: no balloon driver speaks'


def service_missing(seen: facts.Evidence) -> str | None:
    if seen.reading is None or seen.reading.has_numbers:
        return None
    return 'the balloon driver is bound, but sends no memory numbers'


def stale(seen: facts.Evidence) -> str | None:
    past, limit = seen.past, seen.stale_after_s
    if not past.proven:
        return (f'the guest has not answered for {past.held_s:.0f} s, and the '
                f'age of its numbers is not known')
    if past.age_s is None or past.age_s <= limit:
        return None
    return (f'the guest last answered {past.age_s:.0f} s ago, more than '
            f'{limit:.0f} s')


def invalid(seen: facts.Evidence) -> str | None:
    if seen.reading is None:
        return None
    return '; '.join(usage.impossible(seen.reading)) or None


def reporting(seen: facts.Evidence) -> str:
    lie = usage.swap_lie(seen.reading) if seen.reading else None
    if lie:
        return f'fresh and possible, but {lie}: its swap is not published'
    return 'fresh and possible'


def otherwise(_seen: facts.Evidence) -> str:
    """For a rule that has no words of its own for why it does not hold."""
    return 'what it asks for is not so'


def why_not_unreachable(_seen: facts.Evidence) -> str:
    return 'libvirt answered, and its QEMU if it runs'


def why_not_not_running(seen: facts.Evidence) -> str:
    state = seen.reading.state if seen.reading else None
    return 'the guest is ' + stats.STATE_WORDS.get(state or 0, 'running')


def why_not_no_device(seen: facts.Evidence) -> str:
    model = seen.domain.balloon_model if seen.domain else None
    return f"its live XML has <memballoon model='{model}'>"


def why_not_stats_disabled(seen: facts.Evidence) -> str:
    period_s = seen.domain.period_s if seen.domain else None
    return f"its live XML has <stats period='{period_s}'/>"


def why_not_starting(seen: facts.Evidence) -> str:
    past, grace_s = seen.past, seen.thresholds.boot_grace_s
    if not past.proven:
        return (f'its time stamp has stood still for {past.held_s:.0f} s, '
                f'more than {seen.stale_after_s:.0f} s')
    if seen.reading is not None and seen.reading.has_numbers:
        return 'its numbers have come, and are its own'
    known_s = max(past.running_s, past.age_s or 0.0)
    return (f'it has run for {known_s:.0f} s or more; a boot may take '
            f'{grace_s:.0f} s')


def why_not_driver_missing(_seen: facts.Evidence) -> str:
    return 'its driver has spoken: last-update is not 0'


def why_not_service_missing(_seen: facts.Evidence) -> str:
    return 'its record has memory numbers'


def why_not_stale(seen: facts.Evidence) -> str:
    return (f'its numbers are {seen.past.age_s or 0:.0f} s old; up to '
            f'{seen.stale_after_s:.0f} s they are fresh')


def why_not_invalid(_seen: facts.Evidence) -> str:
    return 'its numbers can be true'
