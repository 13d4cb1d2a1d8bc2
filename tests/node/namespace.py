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

"""A PID and mount namespace that ends with this process."""

from __future__ import annotations

from collections.abc import Sequence
import os
import pathlib
import subprocess
import sys
from typing import IO

from tests.node import processes
from tests.node import tools

INIT = pathlib.Path(__file__).with_name('namespace_init.py')


class Namespace:
    """Processes that the kernel kills when this process ends.

    The namespace's init holds a pidfd of this process and exits when it
    reads as ended. Unlike PR_SET_PDEATHSIG that is about the process, not
    the thread that started the namespace, and unlike a pipe's end no child
    of this process can keep it open by accident.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._log = directory / 'log' / 'namespace.out'
        self._unshare: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._link = ''

    def start(self) -> None:
        """Make the namespace; returns when its mounts are in place.

        :raises MissingTools: that is not allowed here (a container without
            CAP_SYS_ADMIN); there is still :meth:`stop` to call
        """
        pidfd = os.pidfd_open(os.getpid())
        try:
            with open(self._log, 'wb') as log:
                self._unshare = subprocess.Popen(
                    ['unshare', '--mount', '--pid', '--fork',
                     '--kill-child=KILL', '--mount-proc',
                     '--propagation', 'private',
                     sys.executable, '-I', str(INIT), str(pidfd),
                     str(self._directory)],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=log, pass_fds=(pidfd,), start_new_session=True)
        finally:
            os.close(pidfd)
        with self._unshare.stdout as output:
            said = output.readline()
        if said.strip() != b'ready':
            raise tools.MissingTools([
                'the right to make PID and mount namespaces (%s)'
                % self._log.read_text(errors='replace').strip()])
        self._link = os.readlink(
            '/proc/%d/ns/pid_for_children' % self._unshare.pid)
        self._init_pid = next(
            process.pid for process in self.processes()
            if process.parent == self._unshare.pid)

    def processes(self) -> list[processes.Process]:
        """Every process in the namespace, with PIDs as seen from here."""
        return processes.in_namespace(self._link)

    def run(self, command: Sequence[str], output: IO[bytes],
            timeout: float) -> int:
        """Run a command in there and return its exit status.

        :param output: a file for what it says; no pipe, for it may leave
            processes behind
        :param timeout: seconds
        :raises subprocess.TimeoutExpired: it has been killed
        """
        return subprocess.run(
            ['nsenter', '--target', str(self._init_pid), '--pid', '--mount',
             *command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, timeout=timeout).returncode

    def stop(self) -> None:
        """Kill everything in the namespace; returns when it is gone."""
        if self._unshare is None:
            return
        # --kill-child: the kernel kills the init as soon as unshare ends,
        # and everything in the namespace with the init.
        self._unshare.kill()
        self._unshare.wait()
        if self._link:
            tools.wait_for(lambda: not self.processes(), 60,
                           'end of the processes in %s' % self._link)
        self._unshare = None
