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

"""The guests of a node."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import threading
from typing import TYPE_CHECKING

from tests.node import console
from tests.node import domain_xml
from tests.node import driver
from tests.node import processes
from tests.node.tools import libvirt

if TYPE_CHECKING:
    from tests.node import node


class Guest:
    """A persistent domain, as Nova's are.

    :ivar name: the domain's name
    :ivar display_name: the server's name in Nova's metadata; the domain's
        name where there is no metadata
    :ivar uuid: the domain's UUID
    """

    def __init__(self, compute: node.Node, spec: domain_xml.Domain) -> None:
        self._node = compute
        self._spec = spec
        self._connection: libvirt.virConnect | None = None
        self._domain: libvirt.virDomain | None = None
        self.name = spec.name
        self.display_name = (spec.name if spec.metadata is None
                             else spec.metadata.display_name)
        self.uuid = spec.uuid

    def define(self) -> None:
        """Define the domain and start it."""
        self._node.connection.defineXML(self._spec.xml())
        self.start()

    @property
    def domain(self) -> libvirt.virDomain:
        """The domain, on the node's present read-write connection."""
        connection = self._node.connection
        if self._domain is None or self._connection is not connection:
            self._domain = connection.lookupByUUIDString(self.uuid)
            self._connection = connection
        return self._domain

    @property
    def qemu_pid(self) -> int:
        """The PID of the guest's QEMU, on the host.

        :raises ProcessLookupError: the guest does not run
        """
        # By UUID: the name may have been changed.
        for process in self._node.processes():
            if self.uuid in process.arguments:
                return process.pid
        raise ProcessLookupError('%s: no QEMU runs' % self.name)

    def freeze(self) -> None:
        """SIGSTOP QEMU: its monitor answers nobody any more."""
        processes.freeze(self.qemu_pid)

    def thaw(self) -> None:
        """SIGCONT QEMU."""
        processes.thaw(self.qemu_pid)

    def start(self) -> None:
        """Start the guest, the first time or after a shut-off."""
        self.domain.create()

    def close(self) -> None:
        """Let go what this process holds of the guest."""

    def destroy(self) -> None:
        """End the guest and forget its domain; it may have ended before.

        QEMU is killed first: libvirt's own way, SIGTERM and a grace
        period, takes 2 s a guest.
        """
        self.close()
        try:
            os.kill(self.qemu_pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # shut off, or migrated away
        for step in (self._destroy, self._undefine):
            try:
                step()
            except libvirt.libvirtError as error:
                if error.get_error_code() not in (
                        libvirt.VIR_ERR_NO_DOMAIN,
                        libvirt.VIR_ERR_OPERATION_INVALID):
                    raise
        self._node.forget(self)

    def _destroy(self) -> None:
        self.domain.destroy()

    def _undefine(self) -> None:
        self.domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)


class LinuxGuest(Guest):
    """A busybox guest with the real balloon driver and a console."""

    def __init__(self, compute: node.Node, spec: domain_xml.Domain) -> None:
        super().__init__(compute, spec)
        self._console = console.Console(self._terminal)

    def _terminal(self) -> str | None:
        found = re.search(r"<serial type='pty'[^>]*>\s*"
                          r"<source path='([^']+)'", self.domain.XMLDesc())
        return found.group(1) if found else None

    def start(self) -> None:
        self._console.close()
        super().start()
        self._console.open()

    def close(self) -> None:
        self._console.close()

    def wait_ready(self, timeout: float = 180.0) -> None:
        """Wait until the guest's init takes commands.

        Once for each boot: after a reboot or start, for the new one.

        :param timeout: seconds; a boot takes 2 to 3 s under TCG
        :raises TimeoutError: with the console's last lines
        """
        self._console.wait('^GUEST-READY$', timeout)

    def command(self, line: str, pattern: str, timeout: float = 60.0) -> str:
        """Send a line to the guest's init; see guest-init.sh.

        :param pattern: of the answer's line to return
        :param timeout: seconds
        :raises TimeoutError: with the console's last lines
        """
        return self._console.command(line, pattern, timeout)

    def meminfo(self) -> dict[str, int]:
        """What the guest's own /proc/meminfo says, in KiB.

        MemTotal, MemFree, MemAvailable and Cached.
        """
        line = self.command('mem', '^MEM ')
        return {key: int(value)
                for key, value in re.findall(r'(\w+):(\d+)', line)}


class ScriptedGuest(Guest):
    """A guest without an operating system, see :mod:`tests.node.driver`.

    :ivar driver: None if the guest has no balloon, or is not started; a
        new one, not attached, after each start
    """

    def __init__(self, compute: node.Node, spec: domain_xml.Domain,
                 qtest: pathlib.Path) -> None:
        super().__init__(compute, spec)
        self._qtest = qtest
        self.driver: driver.BalloonDriver | None = None

    def start(self) -> None:
        self.close()
        self._qtest.unlink(missing_ok=True)
        super().start()
        if self._spec.balloon.model != 'none':
            self.driver = driver.BalloonDriver(self._qtest)

    def close(self) -> None:
        if self.driver is not None:
            self.driver.close()
            self.driver = None


class Answering:
    """Answers QEMU's requests for every scripted guest of a node.

    QEMU arms its next request when the last one is answered, as a guest's
    driver does at once. A frozen or dead QEMU holds nobody up for long:
    see :meth:`tests.node.driver.BalloonDriver.answer_poll`.
    """

    def __init__(self, compute: node.Node) -> None:
        self._node = compute
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name='answering', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            for guest in list(self._node.guests.values()):
                if isinstance(guest, ScriptedGuest):
                    self._answer(guest.driver)

    @staticmethod
    def _answer(balloon: driver.BalloonDriver | None) -> None:
        if balloon is None:
            return
        try:
            balloon.answer_poll()
        except (TimeoutError, OSError, driver.QTestError):
            # Frozen: tried again when it has answered what it owes. Gone:
            # the guest's next start brings a new driver.
            pass

    def stop(self) -> None:
        """Returns when no more answers are given."""
        self._ended.set()
        self._thread.join()
