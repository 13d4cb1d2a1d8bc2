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

"""libvirtd: its configuration, its life, and its cache of probes."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import tempfile

from tests.node import namespace
from tests.node import processes
from tests.node import tools

DAEMON_CONF = """\
unix_sock_dir = "{sockets}"
unix_sock_group = "root"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
max_clients = {max_clients}
max_workers = {max_workers}
host_uuid = "{host_uuid}"
log_outputs = "3:file:{log}"
"""
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
seccomp_sandbox = 0
"""
#: below the cache directory: what libvirtd found out about each QEMU
CAPABILITIES = 'qemu/capabilities'


class DaemonError(Exception):
    """libvirtd did not start; says what it left in its log."""


class Daemon:
    """One libvirtd in a namespace; guests outlive it.

    :param probes: where its probes of QEMU (8 s) are kept between nodes;
        libvirtd itself drops those that no longer fit
    """

    def __init__(self, space: namespace.Namespace, directory: pathlib.Path,
                 probes: pathlib.Path, *, host_uuid: str, max_workers: int,
                 max_clients: int) -> None:
        self._space = space
        self._directory = directory
        self._probes = probes
        self._host_uuid = host_uuid
        self._max_workers = max_workers
        self._max_clients = max_clients
        self._pid_file = directory / 'libvirtd.pid'
        self.log = directory / 'log' / 'libvirtd.log'
        self.socket = directory / 'sock' / 'libvirt-sock'
        self.socket_ro = directory / 'sock' / 'libvirt-sock-ro'

    def prepare(self) -> None:
        """Write what libvirtd reads; before the namespace is made."""
        for name in ('sock', 'etc', 'lib', 'cache', 'log', 'run'):
            (self._directory / name).mkdir()
            (self._directory / name).chmod(0o755)
        (self._directory / 'libvirtd.conf').write_text(DAEMON_CONF.format(
            sockets=self.socket.parent, max_clients=self._max_clients,
            max_workers=self._max_workers, host_uuid=self._host_uuid,
            log=self.log))
        (self._directory / 'etc' / 'qemu.conf').write_text(QEMU_CONF)
        known = self._directory / 'cache' / CAPABILITIES
        known.mkdir(parents=True)
        for path in self._probes.glob('*.xml'):
            shutil.copyfile(path, known / path.name)

    def keep_probes(self) -> None:
        """Keep what libvirtd found out for the next node."""
        self._probes.mkdir(parents=True, exist_ok=True)
        for path in (self._directory / 'cache' / CAPABILITIES).glob('*.xml'):
            data = path.read_bytes()
            kept = self._probes / path.name
            if kept.exists() and kept.read_bytes() == data:
                continue
            with tempfile.NamedTemporaryFile(
                    dir=self._probes, delete=False) as file:
                file.write(data)
            os.rename(file.name, kept)

    def start(self, timeout: float = 60.0) -> None:
        """Start libvirtd; returns when it accepts connections.

        It goes into the background, so that its parent is the namespace's
        init: were it a child of nsenter, out here, that would stop with it
        when it is frozen, and then never see it end.

        :param timeout: seconds
        :raises DaemonError: it ended instead
        :raises TimeoutError: it does not accept any
        """
        output = self._directory / 'log' / 'libvirtd.out'
        with open(output, 'wb') as file:
            started = self._space.run(
                [tools.which('libvirtd'), '--daemon',
                 '--config', str(self._directory / 'libvirtd.conf'),
                 '--pid-file', str(self._pid_file), '--timeout', '0'],
                file, timeout)
        if started:
            raise DaemonError('libvirtd: exit status %d: %s' % (
                started, output.read_text(errors='replace').strip()))
        tools.wait_for(self._accepts, timeout,
                       'connection to %s' % self.socket)

    def _accepts(self) -> bool:
        if not self.runs:
            raise DaemonError('libvirtd ended; the end of its log: %s'
                              % self.log.read_text(errors='replace')[-1000:])
        for path in (self.socket_ro, self.socket):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(path))
                except (FileNotFoundError, ConnectionRefusedError):
                    return False
        return True

    def _find(self) -> processes.Process | None:
        try:
            inner = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        for process in self._space.processes():
            # The name as well: the file outlives a killed libvirtd, and
            # its PID may be another's by then.
            if process.inner == inner and process.arguments and (
                    process.arguments[0].endswith('libvirtd')):
                return process
        return None

    @property
    def pid(self) -> int:
        """libvirtd's PID on the host.

        :raises ProcessLookupError: it does not run
        """
        process = self._find()
        if process is None:
            raise ProcessLookupError('libvirtd does not run')
        return process.pid

    @property
    def runs(self) -> bool:
        """Whether there is a libvirtd, frozen or not."""
        return self._find() is not None

    def stop(self, timeout: float = 30.0) -> None:
        """End libvirtd, by SIGTERM, or SIGKILL after `timeout` seconds."""
        process = self._find()
        if process is None:
            return
        os.kill(process.pid, signal.SIGTERM)
        # One that was not frozen may have ended by now.
        with contextlib.suppress(ProcessLookupError):
            processes.thaw(process.pid)
        try:
            tools.wait_for(lambda: not self.runs, timeout,
                           'end of libvirtd')
        except TimeoutError:
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        process = self._find()
        if process is not None:
            os.kill(process.pid, signal.SIGKILL)
            tools.wait_for(lambda: not self.runs, 60, 'end of libvirtd')
