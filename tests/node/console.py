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

"""The serial console of a Linux guest."""

from __future__ import annotations

from collections.abc import Callable
import errno
import os
import re
import select
import time
import tty


class Console:
    """Lines from a guest's pseudo-terminal, and commands to it.

    The terminal is opened when it is first needed and again after QEMU
    went away with it: a guest started anew has another one. What the guest
    wrote before a match is consumed with the match, so each wait sees only
    what came after the last one.

    :param find_path: the terminal's present path, None if there is none
    """

    def __init__(self, find_path: Callable[[], str | None]) -> None:
        self._find_path = find_path
        self._fd: int | None = None
        self._partial = ''
        self._lines: list[str] = []

    def open(self) -> bool:
        """Open the terminal unless it is open; False if there is none."""
        if self._fd is not None:
            return True
        path = self._find_path()
        if path is None:
            return False
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EIO):
                raise
            return False
        tty.setraw(fd)
        self._fd = fd
        self._partial = ''
        return True

    def close(self) -> None:
        """Let the terminal go; the next use opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for output, and take it."""
        if not self.open():
            time.sleep(timeout)
            return
        if not select.select([self._fd], [], [], timeout)[0]:
            return
        try:
            chunk = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            chunk = b''
        if not chunk:  # QEMU closed its end
            self.close()
            time.sleep(timeout)
            return
        *lines, self._partial = (
            self._partial + chunk.decode(errors='replace')).split('\n')
        self._lines += [line.strip() for line in lines]

    def wait(self, pattern: str, timeout: float) -> str:
        """The next line in which `pattern` is found.

        :param timeout: seconds
        :raises TimeoutError: with the last lines seen
        """
        deadline = time.monotonic() + timeout
        seen: list[str] = []
        while True:
            while self._lines:
                line = self._lines.pop(0)
                if re.search(pattern, line):
                    return line
                seen.append(line)
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    'guest console: no %r within %g s; last lines: %r'
                    % (pattern, timeout, seen[-5:]))
            self._read(0.05)

    def command(self, line: str, pattern: str, timeout: float) -> str:
        """Send a line and return the first answer with `pattern` in it.

        :raises TimeoutError: no such answer, or no terminal to send to
        """
        deadline = time.monotonic() + timeout
        self._read(0)
        self._lines.clear()
        data = (line + '\n').encode()
        while data:
            if time.monotonic() >= deadline:
                raise TimeoutError('guest console: %r not taken within %g s'
                                   % (line, timeout))
            if not self.open():
                self._read(0.05)
                continue
            try:
                data = data[os.write(self._fd, data):]
            except BlockingIOError:
                select.select([], [self._fd], [], 0.05)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self.close()
        return self.wait(pattern, max(0.0, deadline - time.monotonic()))
