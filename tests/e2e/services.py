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

"""Servers of a test's own: on loopback, with a deadline, gone in the end.

.. code-block:: python

    with services.Directory('memstat-e2e-') as directory:
        with services.Service('web', ['python3', '-m', 'http.server', ...],
                              directory.path) as web:
            web.wait(lambda: answers(port))
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
import shutil
import socket
import subprocess
from typing import TypeVar

from tests.node import directory
from tests.node import tools

T = TypeVar('T')

LOOPBACK = tools.LOOPBACK
#: Lines of a log that an error shows.
TAIL = 40


class ServiceError(Exception):
    """A service ended, or is not what it should be; with its log's end."""


def accepts(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


class Directory(directory.Directory):
    """One for services."""

    def sub(self, name: str, user: str | None = None) -> pathlib.Path:
        """A directory in it, made if need be, that belongs to a user."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        if user is not None:
            shutil.chown(path, user, _group(user))
        return path


def _group(user: str) -> str:
    return subprocess.run(['id', '-gn', user], check=True,
                          capture_output=True, text=True).stdout.strip()


def as_user(user: str) -> list[str]:
    """The command that runs another as a user, without any rights more."""
    return ['setpriv', f'--reuid={user}', f'--regid={_group(user)}',
            '--clear-groups', '--no-new-privs', '--bounding-set=-all',
            '--inh-caps=-all', '--pdeathsig=KILL']


class Service:
    """A server and all that it starts; ends with this process at the latest.

    It runs in a PID namespace of its own, so that what it puts into the
    background ends with it as well.

    :param name: of the log, and in errors
    :param directory: of the log; where it runs, too
    :param user: runs as this one; None: root
    :param environment: beside this process's own
    """

    def __init__(self, name: str, command: Sequence[object],
                 directory: pathlib.Path, *, user: str | None = None,
                 environment: Mapping[str, object] | None = None) -> None:
        self.name = name
        self.log_path = directory / f'{name}.log'
        self._directory = directory
        self._command = [
            'setpriv', '--pdeathsig=KILL',
            'unshare', '--pid', '--mount', '--fork', '--kill-child=KILL',
            '--mount-proc', '--propagation', 'private',
            *(as_user(user) if user else []), *map(str, command)]
        self._environment = dict(os.environ, **{
            key: str(value) for key, value in (environment or {}).items()})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; from the main thread, for it ends with its parent."""
        with open(self.log_path, 'ab') as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self._directory, env=self._environment)

    def stop(self) -> None:
        """Kill it and all that it started; it may have ended before."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait(self, condition: Callable[[], T], what: str = 'it is up',
             timeout: float = 240.0) -> T:
        """Wait until a condition is true; its value.

        :raises ServiceError: it ended meanwhile, or the time is over
        """
        def check() -> T:
            self.check()
            return condition()
        try:
            return tools.wait_for(check, timeout, what, interval=0.1)
        except TimeoutError as error:
            raise self.error(str(error)) from error

    def check(self) -> None:
        """:raises ServiceError: it has ended"""
        if self._process is None or self._process.poll() is not None:
            raise self.error('it has ended')

    def error(self, what: str) -> ServiceError:
        """An error that shows the end of the log."""
        return ServiceError('%s: %s; its log ends:\n%s' % (
            self.name, what, '\n'.join(self.log()[-TAIL:])))

    def log(self) -> list[str]:
        """The log's lines."""
        try:
            return self.log_path.read_text(
                errors='backslashreplace').splitlines()
        except FileNotFoundError:
            return []


def run(name: str, command: Sequence[object], directory: pathlib.Path, *,
        user: str | None = None, environment: Mapping[str, object] | None
        = None, timeout: float = 300.0) -> str:
    """Run a command to its end; what it said on standard output.

    :raises ServiceError: it failed; with what it said
    """
    done = subprocess.run(
        [*(as_user(user) if user else []), *map(str, command)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        cwd=directory, timeout=timeout, env=dict(os.environ, **{
            key: str(value) for key, value in (environment or {}).items()}))
    if done.returncode:
        raise ServiceError('%s: exit status %d:\n%s%s' % (
            name, done.returncode, done.stdout, done.stderr))
    return done.stdout
