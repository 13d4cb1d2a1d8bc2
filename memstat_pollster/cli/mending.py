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

The one-line remedy of a status says what; these say how.  They are chosen
like it: by status and guest OS, where None stands for any other.
"""

import collections.abc
import typing

from memstat_pollster.model import domain
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import status

_OS = domain.GuestOS
_S = status.Status

Steps = tuple[str, ...]

_LINUX_BOUND: typing.Final = (
    'in the guest, see whether the driver is bound: "ls '
    '/sys/bus/virtio/drivers/virtio_balloon/" lists a virtio device')
_HARD_REBOOT: typing.Final = (
    'openstack server reboot --hard {uuid}   (the guest is restarted: agree '
    'on it with its owner)')
_CONSOLE: typing.Final = (
    'see that the guest is alive: its console, "virsh screenshot {uuid}", or '
    'a ping')
_WINDOWS_SERVICE: typing.Final = (
    'in the guest, as administrator, in the directory where it is to stay: '
    '"blnsvr.exe -i" from virtio-win',
    'see that it starts at boot: "sc config BalloonService start= auto"')
_WINDOWS_DRIVER: typing.Final = (
    'attach the virtio-win ISO to the guest',
    'in the guest, as administrator: "pnputil /add-driver '
    'D:\\Balloon\\...\\balloon.inf /install", with the directory of its '
    'Windows version',
    *_WINDOWS_SERVICE)
_LINUX_DRIVER: typing.Final = (
    _LINUX_BOUND,
    'if not: "modprobe virtio_balloon"',
    'if there is no such module: a kernel with CONFIG_VIRTIO_BALLOON',
    'make it last: a line "virtio_balloon" in /etc/modules-load.d/')
_LINUX_RELOAD: typing.Final = (
    'in the guest: "modprobe -r virtio_balloon && modprobe virtio_balloon"')
_WINDOWS_RESTART: typing.Final = (
    'in the guest, as administrator: "net stop BalloonService" and "net '
    'start BalloonService"')

_STEPS: typing.Final[collections.abc.Mapping[
    tuple[status.Status, domain.GuestOS | None], Steps]] = {
    (_S.UNREACHABLE, None): (
        'see since when its monitor is occupied: "virsh domcontrol {uuid}"',
        'see whether a job runs: "virsh domjobinfo {uuid}"; a migration or a '
        'snapshot ends by itself',
        'otherwise see what its QEMU waits for: "ps -o stat,wchan:30 -p '
        '$(pgrep -f uuid.{uuid})"; D is storage, T a stopped process'),
    (_S.NO_DEVICE, None): (_HARD_REBOOT,),
    (_S.STATS_DISABLED, None): (
        'memstat-pollster enable {uuid}   (live, as root; until its next '
        'start)',
        'or ' + _HARD_REBOOT),
    (_S.DRIVER_MISSING, _OS.LINUX): _LINUX_DRIVER,
    (_S.DRIVER_MISSING, _OS.CIRROS): (
        'in the guest: "sudo modprobe virtio_balloon"',
        'if its kernel has no such module: use another image'),
    (_S.DRIVER_MISSING, _OS.FREEBSD): (
        "FreeBSD's driver has no statistics: measure inside the guest",),
    (_S.DRIVER_MISSING, _OS.WINDOWS): _WINDOWS_DRIVER,
    (_S.DRIVER_MISSING, None): (
        _CONSOLE,
        *(f'Linux: {step}' for step in _LINUX_DRIVER),
        *(f'Windows: {step}' for step in _WINDOWS_DRIVER)),
    (_S.SERVICE_MISSING, _OS.LINUX): (
        _LINUX_RELOAD, 'a kernel before 4.11 may have to be updated'),
    (_S.SERVICE_MISSING, None): _WINDOWS_SERVICE,
    (_S.STALE, _OS.LINUX): (_CONSOLE, _LINUX_RELOAD),
    (_S.STALE, _OS.WINDOWS): (_CONSOLE, _WINDOWS_RESTART),
    (_S.STALE, None): (_CONSOLE, f'Linux: {_LINUX_RELOAD}',
                       f'Windows: {_WINDOWS_RESTART}'),
    (_S.INVALID, None): (
        'see in the detail which number cannot be true',
        'look in the guest for a balloon driver that is broken or was '
        'tampered with; ask its owner'),
}
_NOVA_OFF: typing.Final = (
    "if statistics are wanted: set [libvirt]mem_stats_period_seconds in "
    "Nova's configuration to a number above 0, such as 10",
    'restart nova-compute', _HARD_REBOOT)

_CHECK: typing.Final = (
    'memstat-pollster status {uuid}   says "reporting"',
    'virsh dommemstat {uuid}   twice, {period} s apart: last_update moves')


def _filled(steps: Steps, guest: judged.Guest,
            wanted: nova_period.Wanted) -> list[str]:
    """The steps with this guest's UUID, and the period it has or is to have.

    Neither is the tenant's to choose.
    """
    period_s = guest.domain.period_s if guest.domain else None
    return [step.replace('{uuid}', guest.uuid).replace(
        '{period}', str(period_s or wanted.period_s)) for step in steps]


def steps(guest: judged.Guest, wanted: nova_period.Wanted) -> list[str]:
    """What to do about a guest; empty where there is nothing to be done."""
    now = guest.verdict.status
    guest_os = guest.domain.guest_os if guest.domain else None
    if status.is_excused(now, wanted.period_s):
        return _filled(_NOVA_OFF, guest, wanted)
    found = _STEPS.get((now, guest_os), _STEPS.get((now, None)))
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
