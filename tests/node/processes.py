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

"""Processes as this process sees them: a namespace's, with host PIDs."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal

from tests.node import tools

PROC = pathlib.Path('/proc')


@dataclasses.dataclass(frozen=True)
class Process:
    """One process.

    :ivar pid: outside the namespace
    :ivar inner: its PID inside
    :ivar parent: its parent's PID, outside
    :ivar arguments: its command line; empty for a zombie
    """

    pid: int
    inner: int
    parent: int
    arguments: tuple[str, ...]


def _process(entry: pathlib.Path) -> Process:
    status = dict(line.split(':', 1) for line in
                  (entry / 'status').read_text().splitlines())
    raw = (entry / 'cmdline').read_bytes()
    return Process(
        pid=int(entry.name), inner=int(status['NSpid'].split()[-1]),
        parent=int(status['PPid']),
        arguments=tuple(raw.decode(errors='replace').split('\0')[:-1]))


def in_namespace(link: str) -> list[Process]:
    """The processes whose /proc/PID/ns/pid reads `link`."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if os.readlink(entry / 'ns/pid') == link:
                found.append(_process(entry))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        except PermissionError:
            continue  # more privileged than root in here: none of ours
    return found


def _all_threads_stopped(pid: int) -> bool:
    for task in (PROC / str(pid) / 'task').iterdir():
        try:
            state = (task / 'stat').read_text().rpartition(')')[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in 'TtZX':
            return False
    return True


def freeze(pid: int) -> None:
    """SIGSTOP; returns when every thread of the process stands still."""
    os.kill(pid, signal.SIGSTOP)
    tools.wait_for(lambda: _all_threads_stopped(pid), 60,
                   'process %d stopped' % pid)


def thaw(pid: int) -> None:
    """SIGCONT."""
    os.kill(pid, signal.SIGCONT)
