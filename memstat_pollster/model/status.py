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

"""The statuses, the rules that tell them apart, and what to do about each.

The codes and words are a published interface: they are stored in Gnocchi and
Prometheus and alarmed upon.  Never renumber.
"""

import collections.abc
import dataclasses
import enum
import types
import typing

from memstat_pollster.model import domain as domain_xml
from memstat_pollster.model import history
from memstat_pollster.model import stats
from memstat_pollster.model import usage


#: libvirt keeps a period in a C int (virDomainMemballoonDef).
MAX_PERIOD_S: typing.Final = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Thresholds:
    """What the operator has set.

    :ivar stale_after_periods: numbers older than this many periods of their
        guest are stale
    :ivar boot_grace_s: how long a guest that runs may take to its first
        numbers
    """

    stale_after_periods: int = 3
    boot_grace_s: float = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a verdict on one guest rests on.

    :ivar reading: None when libvirt said nothing of this guest
    :ivar domain: what its live XML says; None when it could not be had
    :ivar past: what earlier readings add
    :ivar trouble: why libvirt said nothing, or why there is no XML
    """

    reading: stats.Reading | None
    domain: domain_xml.Domain | None = None
    past: history.Past = history.Past()
    thresholds: Thresholds = Thresholds()
    trouble: str | None = None

    @property
    def stale_after_s(self) -> float:
        """How old this guest's numbers may be, by its period in force."""
        period = (self.domain.period_s or 0) if self.domain else 0
        return float(min(period, MAX_PERIOD_S)
                     * self.thresholds.stale_after_periods)


def _unreachable(seen: Evidence) -> str | None:
    if seen.reading is None:
        return seen.trouble or 'libvirt said nothing of this guest'
    if seen.reading.state is None:
        return 'libvirt gave no state'
    if not seen.reading.running:
        # That it does not run libvirt knows without asking QEMU.
        return None
    if not seen.reading.answered:
        return ('QEMU did not answer, or another job (a migration, a '
                'snapshot, a call that is stuck) holds the domain')
    if seen.domain is None:
        return seen.trouble or 'its live XML could not be read'
    if seen.domain.has_balloon and seen.reading.last_update_s is None:
        return 'QEMU said nothing of the balloon device'
    return None


def _not_running(seen: Evidence) -> str | None:
    reading = seen.reading
    if reading is None or reading.running:
        return None
    word = stats.STATE_WORDS.get(reading.state or 0, 'not running')
    return f'the guest is {word}'


def _no_device(seen: Evidence) -> str | None:
    if seen.domain is None or seen.domain.has_balloon:
        return None
    if seen.domain.balloon_model is None:
        return 'its live XML has no memballoon device'
    return "its live XML has <memballoon model='none'/>"


def _stats_disabled(seen: Evidence) -> str | None:
    if seen.domain is None or (seen.domain.period_s or 0) > 0:
        return None
    if seen.domain.period_s is None:
        return 'its live XML has a memballoon without a statistics period'
    return f"its live XML has <stats period='{seen.domain.period_s}'/>"


def _starting(seen: Evidence) -> str | None:
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


def _driver_missing(seen: Evidence) -> str | None:
    if seen.reading is None or seen.reading.last_update_s != 0:
        return None
    return 'the guest has never reported: no balloon driver speaks'


def _service_missing(seen: Evidence) -> str | None:
    if seen.reading is None or seen.reading.has_numbers:
        return None
    return 'the balloon driver is bound, but sends no memory numbers'


def _stale(seen: Evidence) -> str | None:
    past, limit = seen.past, seen.stale_after_s
    if not past.proven:
        return (f'the guest has not answered for {past.held_s:.0f} s, and the '
                f'age of its numbers is not known')
    if past.age_s is None or past.age_s <= limit:
        return None
    return (f'the guest last answered {past.age_s:.0f} s ago, more than '
            f'{limit:.0f} s')


def _invalid(seen: Evidence) -> str | None:
    if seen.reading is None:
        return None
    return '; '.join(usage.impossible(seen.reading)) or None


def _reporting(seen: Evidence) -> str:
    lie = usage.swap_lie(seen.reading) if seen.reading else None
    if lie:
        return f'fresh and possible, but {lie}: its swap is not published'
    return 'fresh and possible'


_ANY_OS: typing.Final = None
_NOVA_OFF: typing.Final = (
    "Nova's [libvirt]mem_stats_period_seconds is not above 0 on this host: "
    "set it, restart nova-compute and hard reboot the guest")
_WINDOWS_DRIVER: typing.Final = (
    'install the balloon driver from virtio-win, then run '
    '"blnsvr.exe -i" as administrator (service BalloonService)')
_WINDOWS_SERVICE: typing.Final = (
    'in the guest run "blnsvr.exe -i" from virtio-win as administrator and '
    'see that the service BalloonService runs')
_LINUX_DRIVER: typing.Final = (
    'load the balloon driver in the guest: "modprobe virtio_balloon", and '
    'see that its kernel has CONFIG_VIRTIO_BALLOON')
_OS = domain_xml.GuestOS

Rule = collections.abc.Callable[[Evidence], str | None]
Remedies = collections.abc.Mapping[domain_xml.GuestOS | None, str]


class Status(enum.IntEnum):
    """Why a guest's memory numbers are, or are not, published.

    A row is a status: its code, its rule, what it means, and what to do about
    it by guest OS, one line each, where None stands for any other.  The rules
    are asked in the order of the rows.  The first that says something
    decides, and what it says is the detail, so each may rely on those above
    it having passed.  The documentation's table is made from these rows.

    :ivar rule: says in one line why the status holds, None when it does not
    :ivar meaning: for the documentation, one line
    :ivar remedies: empty where nothing is to be done
    """

    rule: Rule
    meaning: str
    remedies: Remedies

    def __new__(cls, code: int, rule: Rule, meaning: str,
                remedies: Remedies = types.MappingProxyType({})) -> 'Status':
        made = int.__new__(cls, code)
        made._value_ = code
        made.rule, made.meaning = rule, meaning
        made.remedies = types.MappingProxyType(dict(remedies))
        return made

    UNREACHABLE = (
        9, _unreachable,
        'QEMU or libvirt did not answer in time, or another job held the '
        'guest.', {
            _ANY_OS: 'see whether QEMU hangs (storage, a stopped process) or '
                     'a long job runs: "virsh domcontrol" and "virsh '
                     'domjobinfo" of this guest'})
    NOT_RUNNING = (
        2, _not_running,
        'The guest is paused, suspended, shut off or crashed.')
    NO_DEVICE = (
        3, _no_device,
        "The live XML has no balloon, or <memballoon model='none'/>.", {
            _ANY_OS: 'hard reboot the guest, so that Nova writes its XML '
                     'anew with a balloon device'})
    STATS_DISABLED = (
        4, _stats_disabled,
        'The live XML has a balloon without a statistics period.', {
            _ANY_OS: 'hard reboot the guest, or set the period live: "virsh '
                     'dommemstat --live --period {period} {uuid}"'})
    STARTING = (
        1, _starting,
        'The first numbers, or the first after a pause, a restore or a '
        'migration, are not due yet: wait until boot_grace is over, or for '
        'one answer.')
    DRIVER_MISSING = (
        5, _driver_missing,
        'The guest has never reported: it has no balloon driver, or one that '
        'sends no statistics.', {
            _OS.WINDOWS: _WINDOWS_DRIVER,
            _OS.LINUX: _LINUX_DRIVER,
            _OS.CIRROS:
                'cirros does not load a balloon driver by itself: in the '
                'guest run "modprobe virtio_balloon" where its kernel has '
                'the module, or use another image',
            _OS.FREEBSD:
                "FreeBSD's balloon driver sends no statistics: measure "
                'inside the guest',
            _ANY_OS: f'Linux: {_LINUX_DRIVER}. Windows: {_WINDOWS_DRIVER}'})
    SERVICE_MISSING = (
        6, _service_missing,
        'The driver is bound, but sends no memory numbers: mostly Windows '
        'without the service BalloonService.', {
            _OS.WINDOWS: _WINDOWS_SERVICE,
            _OS.LINUX: 'reload virtio_balloon in the guest; kernels before '
                       '4.11 may need an update',
            _ANY_OS: f'Windows: {_WINDOWS_SERVICE}'})
    STALE = (
        7, _stale,
        'The guest has not answered for stale_after_periods (3) of its '
        'periods.', {
            _OS.WINDOWS: 'see that the guest is alive and restart its '
                         'service BalloonService',
            _OS.LINUX: 'see that the guest is alive and reload '
                       'virtio_balloon in it',
            _ANY_OS: 'see that the guest is alive; in Linux reload '
                     'virtio_balloon, in Windows restart the service '
                     'BalloonService'})
    INVALID = (
        8, _invalid,
        'The guest sent numbers that it cannot have; the detail names them.', {
            _ANY_OS: 'the guest sends impossible numbers: look for a broken '
                     'or hostile balloon driver in it'})
    REPORTING = (
        0, _reporting,
        "The guest's numbers are its own, fresh and possible. Only now are "
        'they published.')

    @property
    def word(self) -> str:
        """The status as metadata and logs spell it."""
        return self.name.lower()


#: No news for an operator: a guest that starts, or that somebody stopped.
QUIET: typing.Final = frozenset((Status.STARTING, Status.NOT_RUNNING))
#: Told at the first reading; every other status at the second.
IMMEDIATE: typing.Final = frozenset((Status.UNREACHABLE, Status.INVALID))
#: What Nova's option decides; told at INFO when the operator has set it <= 0.
BY_CONFIGURATION: typing.Final = frozenset(
    (Status.NO_DEVICE, Status.STATS_DISABLED))


def is_excused(now: Status, nova_period_s: int) -> bool:
    """Whether a status is what the operator has asked Nova for.

    :param nova_period_s: Nova's mem_stats_period_seconds
    """
    return now in BY_CONFIGURATION and nova_period_s <= 0


def is_problem(now: Status, nova_period_s: int) -> bool:
    """Whether somebody has to see to a guest of this status."""
    return not (now is Status.REPORTING or now in QUIET
                or is_excused(now, nova_period_s))


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """A guest's status and, in one line, the facts that decided it."""

    status: Status
    detail: str


def judge(seen: Evidence) -> Verdict:
    """One status for any evidence whatever; never raises."""
    for status in Status:
        detail = status.rule(seen)
        if detail is not None:
            return Verdict(status, detail)
    raise AssertionError('the last rule always holds')


def remedy(status: Status, *, guest_os: domain_xml.GuestOS,
           uuid: str, nova_period_s: int) -> str | None:
    """What an operator can do about a status, in one line.

    :param uuid: the guest's, to be named in commands; unlike its names it
        is not the tenant's to choose
    :param nova_period_s: Nova's mem_stats_period_seconds; at <= 0 the
        operator has switched statistics off, and all that helps is Nova's
        option
    :returns: None where there is nothing to be done
    """
    if is_excused(status, nova_period_s):
        return _NOVA_OFF
    text = status.remedies.get(guest_os, status.remedies.get(_ANY_OS))
    if text is None:
        return None
    return text.replace('{period}', str(nova_period_s)).replace('{uuid}', uuid)
