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

"""What is said of a status: the parts of a row of ``status.Status``."""

import collections.abc
import dataclasses
import enum
import typing

from memstat_pollster.model import domain

GuestOS = domain.GuestOS

Steps = tuple[str, ...]
#: By guest OS; None stands for any other.
Remedies = collections.abc.Mapping[domain.GuestOS | None, str]
StepsByOS = collections.abc.Mapping[domain.GuestOS | None, Steps]

ANY_OS: typing.Final = None


class Severity(enum.Enum):
    """How bad a status is; a terminal and the page colour it by this.

    Worst first.  The values are classes of the page's style.
    """

    #: Numbers that came no more come, or cannot be true.
    BAD = 'bad'
    #: It never had numbers, or there is nobody to ask.
    WARN = 'warn'
    #: No numbers, and nothing to be seen to.
    CALM = 'calm'
    GOOD = 'good'


class Telling(enum.Enum):
    """When a status is news for an operator."""

    #: When it has held for a second reading.
    SECOND_READING = 1
    #: At the first reading.
    AT_ONCE = 2
    #: Never: a guest that starts, or that somebody stopped.
    NEVER = 3


@dataclasses.dataclass(frozen=True)
class Advice:
    """Everything that is said of one status.

    :ivar meaning: for the documentation, one line
    :ivar short: the same in a few words, for the page; None: the meaning
    :ivar remedies: what to do about it, one line; empty where nothing is
    :ivar steps: the same step by step; empty: the remedy is the only step
    :ivar rank: its place on the page among those of one severity, worst
        first
    :ivar telling: when it is logged
    :ivar by_configuration: whether Nova's option decides it; it is logged at
        INFO when the operator has set that to 0 or less
    """

    meaning: str
    short: str | None = None
    remedies: Remedies = dataclasses.field(default_factory=dict)
    steps: StepsByOS = dataclasses.field(default_factory=dict)
    severity: Severity = Severity.WARN
    rank: int = 9
    telling: Telling = Telling.SECOND_READING
    by_configuration: bool = False


def each_of(system: str, steps: Steps) -> Steps:
    """The steps of one operating system, for guests of which it is unknown."""
    return tuple(f'{system}: {step}' for step in steps)


NOVA_OFF: typing.Final = (
    "Nova's [libvirt]mem_stats_period_seconds is not above 0 on this host: "
    "set it, restart nova-compute and hard reboot the guest")
WINDOWS_DRIVER: typing.Final = (
    'install the balloon driver from virtio-win, then run '
    '"blnsvr.exe -i" as administrator (service BalloonService)')
WINDOWS_SERVICE: typing.Final = (
    'in the guest run "blnsvr.exe -i" from virtio-win as administrator and '
    'see that the service BalloonService runs')
LINUX_DRIVER: typing.Final = (
    'load the balloon driver in the guest: "modprobe virtio_balloon", and '
    'see that its kernel has CONFIG_VIRTIO_BALLOON')
LINUX_SERVICE: typing.Final = (
    'reload virtio_balloon in the guest; kernels before 4.11 may need an '
    'update')
#: No image of 0.3.0 to 0.6.3 has the module (cirros's src/etc/modules).  One
#: whose kernel has the driver built in reports.
CIRROS_DRIVER: typing.Final = (
    'cirros images have no balloon driver that can be loaded: use another '
    'image for guests whose memory is to be metered')
CIRROS_SERVICE: typing.Final = (
    "the balloon driver in the guest's kernel sends no memory numbers: reboot "
    'the guest, and use another image if it still sends none')
#: The driver with statistics: freebsd-src, pull request 2116.
FREEBSD_DRIVER: typing.Final = (
    "FreeBSD's balloon driver sends no statistics (one that does was "
    'proposed in April 2026): measure inside the guest, unless its FreeBSD '
    'has the new driver')
FREEBSD_SERVICE: typing.Final = (
    "the guest's balloon driver sends no memory numbers: measure inside the "
    'guest')
BUILT_IN_STALE: typing.Final = (
    'see that the guest is alive; if it is, reboot it, because a balloon '
    'driver that is part of the kernel cannot be reloaded')

_LINUX_BOUND: typing.Final = (
    'in the guest, see whether the driver is bound: "ls '
    '/sys/bus/virtio/drivers/virtio_balloon/" lists a virtio device')
HARD_REBOOT_STEP: typing.Final = (
    'openstack server reboot --hard {uuid}   (the guest is restarted: agree '
    'on it with its owner)')
CONSOLE_STEP: typing.Final = (
    'see that the guest is alive: its console, "virsh screenshot {uuid}", or '
    'a ping')
WINDOWS_SERVICE_STEPS: typing.Final = (
    'in the guest, as administrator, in the directory where it is to stay: '
    '"blnsvr.exe -i" from virtio-win',
    'see that it starts at boot: "sc config BalloonService start= auto"',
    'if it ends with exit code 1008: start the service Winmgmt, which it '
    'needs, and see that it is not disabled')
WINDOWS_DRIVER_STEPS: typing.Final = (
    'attach the virtio-win ISO to the guest',
    'in the guest, as administrator: "pnputil /add-driver '
    'D:\\Balloon\\...\\balloon.inf /install", with the directory of its '
    'Windows version',
    *WINDOWS_SERVICE_STEPS)
LINUX_DRIVER_STEPS: typing.Final = (
    _LINUX_BOUND,
    'if not: "modprobe virtio_balloon"',
    'if there is no such module: a kernel with CONFIG_VIRTIO_BALLOON',
    'make it last: a line "virtio_balloon" in /etc/modules-load.d/')
LINUX_RELOAD_STEP: typing.Final = (
    'in the guest: "modprobe -r virtio_balloon && modprobe virtio_balloon"')
LINUX_OLD_KERNEL_STEP: typing.Final = (
    'a kernel before 4.11 may have to be updated')
BUILT_IN_STEP: typing.Final = (
    "if the guest is alive: reboot it; a driver that is part of the guest's "
    'kernel cannot be reloaded')
CIRROS_DRIVER_STEPS: typing.Final = (
    'use another image: cirros images have no balloon driver that can be '
    'loaded',)
CIRROS_SERVICE_STEPS: typing.Final = (
    'in the guest: "sudo reboot"',
    'if it still sends no memory numbers: use another image')
FREEBSD_DRIVER_STEPS: typing.Final = (
    'find out whether the FreeBSD of the guest has a balloon driver with '
    'statistics; one was proposed in April 2026',
    'if not: measure inside the guest')
FREEBSD_SERVICE_STEPS: typing.Final = (
    'see that the guest is a FreeBSD: its image property os_distro says so',
    'if it is: measure inside the guest')
WINDOWS_RESTART_STEP: typing.Final = (
    'in the guest, as administrator: "net stop BalloonService" and "net '
    'start BalloonService"')
NOVA_OFF_STEPS: typing.Final = (
    "if statistics are wanted: set [libvirt]mem_stats_period_seconds in "
    "Nova's configuration to a number above 0, such as 10",
    'restart nova-compute', HARD_REBOOT_STEP)
