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

"""How long the QEMU of each guest has run, by the kernel's own record.

libvirt tells a read-only client no start time.  The command lines and start
times of processes are open to every user (unless /proc is mounted with
hidepid), and libvirt gives each QEMU its guest's UUID.
"""

import collections.abc
import os
import pathlib
import time
import typing

PROC: typing.Final = pathlib.Path('/proc')


def uptimes(uuids: collections.abc.Collection[str],
            proc: pathlib.Path = PROC) -> dict[str, float]:
    """For how many seconds the QEMU of each of these guests has run.

    :returns: by UUID; a guest whose process cannot be seen from here is not
        in it.  Of two processes (a migration within a host) the younger one
        counts.  Never raises.
    """
    found: dict[str, float] = {}
    wanted = {uuid.encode(): uuid for uuid in uuids}
    for directory in proc.glob('[0-9]*'):
        try:
            arguments = (directory / 'cmdline').read_bytes().split(b'\0')
            uuid = wanted.get(_after(arguments, b'-uuid'))
            if uuid is None:
                continue
            uptime_s = _uptime_s((directory / 'stat').read_bytes())
        except (OSError, ValueError, IndexError):
            # It has ended, or it is not ours to see.
            continue
        found[uuid] = min(uptime_s, found.get(uuid, uptime_s))
    return found


def _after(arguments: list[bytes], option: bytes) -> bytes:
    """What follows an option; nothing when it is not there."""
    for name, value in zip(arguments, arguments[1:], strict=False):
        if name == option:
            return value
    return b''


def _uptime_s(stat: bytes) -> float:
    """By /proc/PID/stat; see proc(5).

    The second field is the process's name, in parentheses, and may hold
    anything; starttime is the 22nd.
    """
    ticks = int(stat.rpartition(b')')[2].split()[19])
    started_s = ticks / os.sysconf('SC_CLK_TCK')
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - started_s, 0.0)
