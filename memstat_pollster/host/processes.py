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

"""The QEMU of each guest, by the kernel's own record of processes.

libvirt tells a read-only client no start time.  The command lines and start
times of processes are open to every user (unless /proc is mounted with
hidepid), and libvirt gives each QEMU its guest's UUID.
"""

import collections.abc
import concurrent.futures
import dataclasses
import os
import pathlib
import time
import typing

from memstat_pollster import background

PROC: typing.Final = pathlib.Path('/proc')

#: How long after the first look at a process that is stopped the second is.
LOOKS_APART_S: typing.Final = 0.02

#: For how long all processes are looked at.
SEARCH_S: typing.Final = 1.0


class _Unanswered(Exception):
    """The kernel has not answered, or a thread has failed."""


class Search:
    """Which processes are the QEMU of which guest.

    The kernel needs a process's memory map for its arguments, and for one
    that hangs may never get it ("ps" hangs there, too).  So a thread looks,
    which is left behind when it takes too long.  There is one at a time.

    :param proc: where the kernel's record is
    :param within_s: how long to wait for it
    """

    def __init__(self, proc: pathlib.Path = PROC,
                 within_s: float = SEARCH_S) -> None:
        self._proc = proc
        self._within_s = within_s
        self._out: concurrent.futures.Future[dict[bytes, list[int]]] | None = (
            None)

    def pids(self) -> dict[bytes, list[int]] | None:
        """By the argument -uuid; None when that cannot be known now."""
        if self._out is not None and not self._out.done():
            return None
        self._out = background.start(self._look, _Unanswered(),
                                     'memstat-processes')
        if not background.is_done(self._out, self._within_s):
            return None
        try:
            return self._out.result()
        except _Unanswered:
            return None

    def _look(self) -> dict[bytes, list[int]]:
        found: dict[bytes, list[int]] = {}
        for directory in self._proc.glob('[0-9]*'):
            try:
                arguments = (directory / 'cmdline').read_bytes().split(b'\0')
            except OSError:
                # It has ended, or it is not ours to see.
                continue
            uuid = _after(arguments, b'-uuid')
            if uuid:
                found.setdefault(uuid, []).append(int(directory.name))
        return found


def uptimes(uuids: collections.abc.Collection[str],
            proc: pathlib.Path = PROC) -> dict[str, float]:
    """For how many seconds the QEMU of each of these guests has run.

    :returns: by UUID; a guest whose process cannot be seen from here is not
        in it.  Of two processes (a migration within a host) the younger one
        counts.  Never raises.
    """
    found: dict[str, float] = {}
    pids = Search(proc).pids() or {}
    for uuid in uuids:
        for pid in pids.get(uuid.encode(), ()):
            try:
                uptime_s = _uptime_s((proc / str(pid) / 'stat').read_bytes())
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


def words_of(program: str, proc: pathlib.Path = PROC,
             within_s: float = SEARCH_S) -> list[list[str]] | None:
    """The command line of each process of a Python program, as words.

    Python's own name and path come first, or what the program has made of its
    title, as "NAME: master process [/usr/bin/NAME --config-file FILE]".

    :param within_s: how long to wait for the kernel; see :class:`Search`
    :returns: nothing of a process that cannot be seen from here; None when
        the kernel did not answer.  Never raises.
    """
    out = background.start(lambda: _words_of(program, proc), _Unanswered(),
                           'memstat-processes')
    if not background.is_done(out, within_s):
        return None
    try:
        return out.result()
    except _Unanswered:
        return None


def _words_of(program: str, proc: pathlib.Path) -> list[list[str]]:
    found = []
    for directory in proc.glob('[0-9]*'):
        try:
            line = (directory / 'cmdline').read_bytes()
        except OSError:
            # It has ended, or it is not ours to see.
            continue
        words = [word.strip('[]') for word in
                 line.decode(errors='replace').replace('\0', ' ').split()]
        names = [os.path.basename(word) for word in words[:2]]
        if program in names or words[:1] == [f'{program}:']:
            found.append(words)
    return found


#: A run of QEMU: a guest's UUID, and libvirt's id of the run.
Run = tuple[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """A process that is stopped, and how far it had come."""

    pid: int
    started: int
    ticks: int


class Watch:
    """Looks which QEMUs are stopped: by SIGSTOP, or by a debugger.

    One that is will not answer whoever asks it, and who asks is held up and
    holds the guest's job.  A process that waits for storage ("D") is no such
    sign: a healthy QEMU on a host that swaps was seen so at two looks in 7 of
    238 pairs, and one that hangs on storage mostly is not.

    :param proc: where the kernel's record is
    :param search: finds the processes
    """

    def __init__(self, proc: pathlib.Path = PROC,
                 search: Search | None = None) -> None:
        self._proc = proc
        self._search = search or Search(proc)
        self._pids: dict[Run, int] = {}
        self._unseen: frozenset[Run] = frozenset()

    def stopped(self, runs: collections.abc.Collection[Run],
                ) -> dict[Run, Stop]:
        """Which of these are stopped at two looks, with nothing in between.

        :returns: nothing of a QEMU that cannot be seen from here.  Never
            raises.
        """
        self._find(frozenset(runs))
        first = self._look(self._pids)
        if not first:
            return {}
        time.sleep(LOOKS_APART_S)
        second = self._look(first)
        return {run: stop for run, stop in first.items()
                if second.get(run) == stop}

    def _find(self, runs: frozenset[Run]) -> None:
        """Find the processes of new runs, and forget those of old ones."""
        self._pids = {run: pid for run, pid in self._pids.items()
                      if run in runs}
        new = runs - self._pids.keys()
        if new == self._unseen:
            return
        found = self._search.pids()
        if found is None:
            # They are looked for again in the next cycle.
            return
        seen = {run: found.get(run[0].encode(), []) for run in new}
        # Of two, which is libvirt's own cannot be told.
        self._pids.update({run: pids[0] for run, pids in seen.items()
                           if len(pids) == 1})
        self._unseen = frozenset(new - self._pids.keys())

    def _look(self, runs: collections.abc.Iterable[Run]) -> dict[Run, Stop]:
        found = {}
        for run in tuple(runs):
            pid = self._pids[run]
            try:
                stat = (self._proc / str(pid) / 'stat').read_bytes()
                fields = stat.rpartition(b')')[2].split()
                if fields[0] in (b'T', b't'):
                    found[run] = Stop(pid, int(fields[19]),
                                      int(fields[11]) + int(fields[12]))
            except (OSError, ValueError, IndexError):
                # It has ended, or it is not ours to see.
                continue
        return found
