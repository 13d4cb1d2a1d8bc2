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

"""The statuses: a table with a row for each.

The codes and words are a published interface: they are stored in Gnocchi and
Prometheus and alarmed upon.  Never renumber.
"""

import collections.abc
import dataclasses
import enum
import typing

from memstat_pollster.model import advice as texts
from memstat_pollster.model import domain as domain_xml
from memstat_pollster.model import facts
from memstat_pollster.model import rules

_OS = texts.GuestOS
_ANY_OS = texts.ANY_OS
_Severity = texts.Severity
_Telling = texts.Telling

Rule = collections.abc.Callable[[facts.Evidence], str | None]
WhyNot = collections.abc.Callable[[facts.Evidence], str]


class Status(enum.IntEnum):
    """Why a guest's memory numbers are, or are not, published.

    A row is a status: its code, its rule, what is said of it, and why the
    rule does not hold of another guest.  The rules are asked in the order of
    the rows.  The first that says something decides, and what it says is the
    detail, so each may rely on those above it having passed.  The
    documentation's table is made from these rows.

    :ivar rule: says in one line why the status holds, None when it does not
    :ivar advice: what is said of the status
    :ivar why_not: says in one line why the status does not hold
    """

    rule: Rule
    advice: texts.Advice
    why_not: WhyNot

    def __new__(cls, code: int, rule: Rule, said: texts.Advice,
                why_not: WhyNot = rules.otherwise) -> 'Status':
        made = int.__new__(cls, code)
        made._value_ = code
        made.rule, made.advice, made.why_not = rule, said, why_not
        return made

    UNREACHABLE = (
        9, rules.unreachable, texts.Advice(
            'QEMU or libvirt did not answer in time, or another job held the '
            'guest.',
            'QEMU or libvirt did not answer', {
                _ANY_OS:
                    'see whether QEMU hangs (storage, a stopped process) or '
                    'a long job runs: "virsh domcontrol" and "virsh '
                    'domjobinfo" of this guest'}, {
                _ANY_OS: (
                    'see since when its monitor is occupied: "virsh '
                    'domcontrol {uuid}"',
                    'see whether a job runs: "virsh domjobinfo {uuid}"; a '
                    'migration or a snapshot ends by itself',
                    'otherwise see what its QEMU waits for: "ps -o '
                    'stat,wchan:30 -p $(pgrep -f uuid.{uuid})"; D is '
                    'storage, T a stopped process')},
            severity=_Severity.BAD, rank=1, telling=_Telling.AT_ONCE),
        rules.why_not_unreachable)
    NOT_RUNNING = (
        2, rules.not_running, texts.Advice(
            'The guest is paused, suspended, shut off or crashed.',
            'it does not run',
            severity=_Severity.CALM, rank=2, telling=_Telling.NEVER),
        rules.why_not_not_running)
    NO_DEVICE = (
        3, rules.no_device, texts.Advice(
            "The live XML has no balloon, or <memballoon model='none'/>.",
            'it has no balloon device', {
                _ANY_OS: 'hard reboot the guest, so that Nova writes its XML '
                         'anew with a balloon device'}, {
                _ANY_OS: (texts.HARD_REBOOT_STEP,)},
            rank=3, by_configuration=True),
        rules.why_not_no_device)
    STATS_DISABLED = (
        4, rules.stats_disabled, texts.Advice(
            'The live XML has a balloon without a statistics period.',
            'nobody asks it for numbers', {
                _ANY_OS: 'hard reboot the guest, or set the period live: '
                         '"virsh dommemstat --live --period {period} '
                         '{uuid}"'}, {
                _ANY_OS: (
                    'memstat-pollster enable {uuid}   (live, as root; until '
                    'its next start)',
                    'or ' + texts.HARD_REBOOT_STEP)},
            rank=4, by_configuration=True),
        rules.why_not_stats_disabled)
    STARTING = (
        1, rules.starting, texts.Advice(
            'The first numbers, or the first after a pause, a restore or a '
            'migration, are not due yet: wait until boot_grace is over, or '
            'for one answer.',
            'its first numbers are not due yet',
            severity=_Severity.CALM, rank=1, telling=_Telling.NEVER),
        rules.why_not_starting)
    DRIVER_MISSING = (
        5, rules.driver_missing, texts.Advice(
            'The guest has never reported, or not since it was reset: it has '
            'no balloon driver, or one that sends no statistics.',
            'no balloon driver has ever spoken', {
                _OS.WINDOWS: texts.WINDOWS_DRIVER,
                _OS.LINUX: texts.LINUX_DRIVER,
                _OS.CIRROS: texts.CIRROS_DRIVER,
                _OS.FREEBSD: texts.FREEBSD_DRIVER,
                _ANY_OS: f'Linux: {texts.LINUX_DRIVER}. Windows: '
                         f'{texts.WINDOWS_DRIVER}. cirros: use another image. '
                         'FreeBSD: measure inside the guest'}, {
                _OS.WINDOWS: texts.WINDOWS_DRIVER_STEPS,
                _OS.LINUX: texts.LINUX_DRIVER_STEPS,
                _OS.CIRROS: texts.CIRROS_DRIVER_STEPS,
                _OS.FREEBSD: texts.FREEBSD_DRIVER_STEPS,
                _ANY_OS: (
                    texts.CONSOLE_STEP,
                    *texts.each_of('Linux', texts.LINUX_DRIVER_STEPS),
                    *texts.each_of('Windows', texts.WINDOWS_DRIVER_STEPS),
                    *texts.each_of('cirros', texts.CIRROS_DRIVER_STEPS),
                    *texts.each_of('FreeBSD', texts.FREEBSD_DRIVER_STEPS))},
            rank=1),
        rules.why_not_driver_missing)
    SERVICE_MISSING = (
        6, rules.service_missing, texts.Advice(
            'The driver is bound, but sends no memory numbers: mostly '
            'Windows without the service BalloonService.',
            'its driver sends no numbers', {
                _OS.WINDOWS: texts.WINDOWS_SERVICE,
                _OS.LINUX: texts.LINUX_SERVICE,
                _OS.CIRROS: texts.CIRROS_SERVICE,
                _OS.FREEBSD: texts.FREEBSD_SERVICE,
                _ANY_OS: f'Windows: {texts.WINDOWS_SERVICE}. Linux: '
                         f'{texts.LINUX_SERVICE}'}, {
                _OS.WINDOWS: texts.WINDOWS_SERVICE_STEPS,
                _OS.LINUX: (texts.LINUX_RELOAD_STEP,
                            texts.LINUX_OLD_KERNEL_STEP),
                _OS.CIRROS: texts.CIRROS_SERVICE_STEPS,
                _OS.FREEBSD: texts.FREEBSD_SERVICE_STEPS,
                _ANY_OS: (
                    *texts.each_of('Windows', texts.WINDOWS_SERVICE_STEPS),
                    *texts.each_of('Linux', (texts.LINUX_RELOAD_STEP,
                                             texts.LINUX_OLD_KERNEL_STEP)))},
            rank=2),
        rules.why_not_service_missing)
    STALE = (
        7, rules.stale, texts.Advice(
            'The guest has not answered for stale_after_periods (3) of its '
            'periods.',
            'it has stopped answering', {
                _OS.WINDOWS: 'see that the guest is alive and restart its '
                             'service BalloonService',
                _OS.LINUX: 'see that the guest is alive and reload '
                           'virtio_balloon in it',
                _OS.CIRROS: texts.BUILT_IN_STALE,
                _OS.FREEBSD: texts.BUILT_IN_STALE,
                _ANY_OS: 'see that the guest is alive; in Linux reload '
                         'virtio_balloon, in Windows restart the service '
                         'BalloonService'}, {
                _OS.LINUX: (texts.CONSOLE_STEP, texts.LINUX_RELOAD_STEP),
                _OS.WINDOWS: (texts.CONSOLE_STEP,
                              texts.WINDOWS_RESTART_STEP),
                _OS.CIRROS: (texts.CONSOLE_STEP, texts.BUILT_IN_STEP),
                _OS.FREEBSD: (texts.CONSOLE_STEP, texts.BUILT_IN_STEP),
                _ANY_OS: (
                    texts.CONSOLE_STEP,
                    f'Linux: {texts.LINUX_RELOAD_STEP}',
                    f'Windows: {texts.WINDOWS_RESTART_STEP}')},
            # It may come slowly, so it is not told at once; but a guest has
            # been lost.
            severity=_Severity.BAD, rank=3),
        rules.why_not_stale)
    INVALID = (
        8, rules.invalid, texts.Advice(
            'The guest sent numbers that it cannot have; the detail names '
            'them.',
            'it sends impossible numbers', {
                _ANY_OS: 'the guest sends impossible numbers: look for a '
                         'broken or hostile balloon driver in it'}, {
                _ANY_OS: (
                    'see in the detail which number cannot be true',
                    'look in the guest for a balloon driver that is broken '
                    'or was tampered with; ask its owner')},
            severity=_Severity.BAD, rank=2, telling=_Telling.AT_ONCE),
        rules.why_not_invalid)
    REPORTING = (
        0, rules.reporting, texts.Advice(
            "The guest's numbers are its own, fresh and possible. Only now "
            'are they published.',
            'its numbers are recent and possible',
            severity=_Severity.GOOD))

    @property
    def word(self) -> str:
        """The status as metadata and logs spell it."""
        return self.name.lower()


def _of(telling: texts.Telling) -> frozenset[Status]:
    return frozenset(each for each in Status
                     if each.advice.telling is telling)


#: No news for an operator: a guest that starts, or that somebody stopped.
QUIET: typing.Final = _of(texts.Telling.NEVER)
#: Told at the first reading; every other status at the second.
IMMEDIATE: typing.Final = _of(texts.Telling.AT_ONCE)


def is_excused(now: Status, nova_period_s: int) -> bool:
    """Whether a status is what the operator has asked Nova for.

    :param nova_period_s: Nova's mem_stats_period_seconds
    """
    return now.advice.by_configuration and nova_period_s <= 0


def is_problem(now: Status, nova_period_s: int) -> bool:
    """Whether somebody has to see to a guest of this status."""
    return not (now is Status.REPORTING or now in QUIET
                or is_excused(now, nova_period_s))


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """A guest's status and, in one line, the facts that decided it."""

    status: Status
    detail: str


def judge(seen: facts.Evidence) -> Verdict:
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
        return texts.NOVA_OFF
    remedies = status.advice.remedies
    text = remedies.get(guest_os, remedies.get(_ANY_OS))
    if text is None:
        return None
    return text.replace('{period}', str(nova_period_s)).replace('{uuid}', uuid)
