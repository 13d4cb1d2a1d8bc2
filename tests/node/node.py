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

"""The node itself: a directory, a namespace, libvirtd and its guests."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent import futures
import errno
import os
import pathlib
import re
import shutil
import threading
import uuid

from tests.node import daemon
from tests.node import directory
from tests.node import domain_xml
from tests.node import guests
from tests.node import image
from tests.node import namespace
from tests.node import processes
from tests.node import tools
from tests.node.tools import libvirt

#: bytes in sockaddr_un.sun_path, the closing zero included
SOCKET_PATH_MAX = 108
#: libvirtd takes five of a connection's calls at a time
AT_A_TIME = 5


class Node:
    """A compute node; a context manager.

    :param directory: for everything the node keeps; made if need be,
        empty if not, and removed by :meth:`stop`. By default a new one
        in /tmp.
    :param host_uuid: what the daemon says its host is; by default each
        node is a host of its own
    :param max_workers: libvirtd's threads for its clients' calls
    :param max_clients: libvirtd's bound on connections
    :ivar guests: by name
    :raises MissingTools: by :meth:`start`
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, *,
                 host_uuid: str | None = None, max_workers: int = 20,
                 max_clients: int = 200) -> None:
        self._given = directory
        self._host_uuid = host_uuid or str(uuid.uuid4())
        self._max_workers = max_workers
        self._max_clients = max_clients
        self._images = image.Images.default()
        self._lock = threading.RLock()
        self._connection: libvirt.virConnect | None = None
        self._answering: guests.Answering | None = None
        self._space: namespace.Namespace | None = None
        self._daemon: daemon.Daemon | None = None
        self._owner = 0
        self._kept: directory.Directory | None = None
        self.directory: pathlib.Path | None = None
        self.guests: dict[str, guests.Guest] = {}

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start libvirtd; about 8 s the very first time, then under 1 s.

        :raises MissingTools: naming all that is not there
        """
        tools.check_node()
        # Errors are raised as well; printed, they only litter test output.
        libvirt.registerErrorHandler(_say_nothing, None)
        self._owner = os.getpid()
        self.directory = self._make_directory()
        try:
            self._space = namespace.Namespace(self.directory)
            self._daemon = daemon.Daemon(
                self._space, self.directory,
                self._images.directory / 'probes', host_uuid=self._host_uuid,
                max_workers=self._max_workers, max_clients=self._max_clients)
            self._daemon.prepare()
            self._space.start()
            self._daemon.start()
            self.connection.getCapabilities()
            self._daemon.keep_probes()
        except BaseException:
            self.stop()
            raise

    def _make_directory(self) -> pathlib.Path:
        if self._given is None:
            self._kept = directory.Directory('memstat-node-')
            path = self._kept.path
        else:
            path = pathlib.Path(self._given).resolve()
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise FileExistsError(
                    errno.ENOTEMPTY, 'the node wants a directory for itself',
                    str(path))
        # An unprivileged user may pass through to the read-only socket.
        path.chmod(0o711)
        return path

    def stop(self) -> None:
        """Kill all that runs here and remove the directory.

        May be called again; in a forked child of the process that started
        the node it does nothing.
        """
        if self.directory is None or self._owner != os.getpid():
            return
        if self._answering is not None:
            self._answering.stop()
            self._answering = None
        self._space.stop()
        self._close_connection()
        for guest in self.guests.values():
            guest.close()
        self.guests.clear()
        path, self.directory = self.directory, None
        tools.wait_for(lambda: _removed(path), 60, 'removal of %s' % path)
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    # The daemon

    @property
    def log(self) -> pathlib.Path:
        """libvirtd's log: warnings and errors."""
        return self._daemon.log

    @property
    def socket_ro(self) -> pathlib.Path:
        """The socket of the read-only connection, open to every user."""
        return self._daemon.socket_ro

    @property
    def rw_uri(self) -> str:
        """For root."""
        return 'qemu:///system?socket=%s' % self._daemon.socket

    @property
    def ro_uri(self) -> str:
        """For everybody, by openReadOnly()."""
        return 'qemu:///system?socket=%s' % self._daemon.socket_ro

    @property
    def admin_uri(self) -> str:
        """For virt-admin: libvirtd's own view of its clients and workers."""
        return 'libvirtd:///system?socket=%s' % (
            self.socket_ro.with_name('libvirt-admin-sock'))

    @property
    def connection(self) -> libvirt.virConnect:
        """A read-write connection; a new one if the last is dead."""
        with self._lock:
            if self._connection is not None and (
                    self._connection.isAlive() != 1):
                self._close_connection()
            if self._connection is None:
                self._connection = libvirt.open(self.rw_uri)
            return self._connection

    def _close_connection(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                connection.close()
            except libvirt.libvirtError:
                pass  # its daemon has gone: closed all the same

    @property
    def daemon_pid(self) -> int:
        """libvirtd's PID on the host.

        :raises ProcessLookupError: it does not run
        """
        return self._daemon.pid

    @property
    def clears_at_reset(self) -> bool:
        """Whether QEMU forgets a guest's statistics when that is reset.

        It does from version 10 on; before, numbers and timestamp stay.
        """
        return self.connection.getVersion() >= 10_000_000

    def start_daemon(self) -> None:
        """Start libvirtd again, if it has ended; it finds the guests."""
        if not self._daemon.runs:
            self._daemon.start()

    def stop_daemon(self) -> None:
        """End libvirtd as a package upgrade does; guests go on."""
        self._daemon.stop()
        self._close_connection()

    def kill_daemon(self) -> None:
        """Kill libvirtd as the OOM killer does; guests go on."""
        self._daemon.kill()
        self._close_connection()

    def restart_daemon(self) -> None:
        """Stop and start."""
        self.stop_daemon()
        self.start_daemon()

    def freeze_daemon(self) -> None:
        """SIGSTOP libvirtd: connections are taken, calls not answered."""
        processes.freeze(self.daemon_pid)

    def thaw_daemon(self) -> None:
        """SIGCONT libvirtd."""
        processes.thaw(self.daemon_pid)

    def processes(self) -> list[processes.Process]:
        """What runs on the node, with the host's PIDs."""
        return self._space.processes()

    # The guests

    def linux(self, name: str, *, mib: int = 128,
              maximum_mib: int | None = None, period: int | None = 1,
              model: str | None = 'virtio', autodeflate: bool = True,
              free_page_reporting: bool = True, cmdline: str = '',
              display_name: str | None = None,
              properties: Mapping[str, str] | None = None,
              metadata: bool = True, flavor_id: str | None = '42',
              project_id: str = domain_xml.PROJECT_ID,
              wait: bool = True) -> guests.LinuxGuest:
        """Boot a Linux guest.

        :param name: the domain's: letters, digits, - and _
        :param mib: memory, MiB
        :param maximum_mib: the flavor's memory if that is more, MiB; the
            balloon then starts inflated by the difference
        :param period: of the statistics, s; None: none is written
        :param model: the balloon's; 'none', or None for no element at all
        :param cmdline: further words for the kernel; noballoon keeps the
            driver from loading
        :param display_name: the server's name in Nova's metadata
        :param properties: the image's, in Nova's metadata
        :param metadata: False: a guest that Nova did not make
        :param flavor_id: None as from Nova before 2025.2
        :param project_id: whose server it is
        :param wait: return when it takes commands, else at once
        """
        boot = self._images.linux()
        spec = domain_xml.Domain(
            name=name, mib=mib, maximum_mib=maximum_mib,
            emulator=tools.which('qemu-system-x86_64'),
            boot=domain_xml.kernel_boot(
                str(boot.kernel), str(boot.initramfs), cmdline),
            balloon=domain_xml.Balloon(model, period, autodeflate,
                                       free_page_reporting),
            metadata=_metadata(metadata, display_name or name, flavor_id,
                               properties, project_id),
            devices="<serial type='pty'/>")
        guest = guests.LinuxGuest(self, spec)
        self._add(guest)
        if wait:
            try:
                guest.wait_ready()
            except TimeoutError:
                guest.destroy()
                raise
        return guest

    def scripted(self, name: str, *, mib: int = 512, period: int | None = 1,
                 model: str | None = 'virtio',
                 display_name: str | None = None,
                 properties: Mapping[str, str] | None = None,
                 metadata: bool = True, flavor_id: str | None = '42',
                 project_id: str = domain_xml.PROJECT_ID,
                 devices: str = '', vcpus: str = '<vcpu>1</vcpu>',
                 attach: bool = False) -> guests.ScriptedGuest:
        """Start a scripted guest; its `mib` cost the host next to nothing.

        :param devices: further elements for its XML, such as a disk
        :param vcpus: the elements that say which CPUs it has
        :param attach: bind the driver, with a statistics queue
        """
        qtest = self.directory / (name + '.qtest')
        if len(os.fsencode(qtest)) >= SOCKET_PATH_MAX:
            raise ValueError('%s: too long for a socket' % qtest)
        spec = domain_xml.Domain(
            name=name, mib=mib, emulator=tools.which('qemu-system-x86_64'),
            boot=domain_xml.rom_boot(str(self._images.halt_rom())),
            balloon=domain_xml.Balloon(model, period),
            metadata=_metadata(metadata, display_name or name, flavor_id,
                               properties, project_id),
            devices=devices, vcpus=vcpus,
            arguments=('-qtest', 'unix:%s,server=on,wait=off' % qtest,
                       '-qtest-log', 'none'))
        guest = guests.ScriptedGuest(self, spec, qtest)
        self._add(guest)
        if attach and guest.driver is not None:
            guest.driver.attach()
        return guest

    def _add(self, guest: guests.Guest) -> None:
        if not re.fullmatch(r'[\w-]+', guest.name, re.ASCII):
            raise ValueError('not a name for a guest: %r' % guest.name)
        with self._lock:
            if guest.name in self.guests:
                raise ValueError('there is a guest %s already' % guest.name)
            self.guests[guest.name] = guest
        try:
            guest.define()
        except BaseException:
            guest.destroy()
            raise

    def forget(self, guest: guests.Guest) -> None:
        """For the guest's own use, when it has been destroyed."""
        with self._lock:
            self.guests.pop(guest.name, None)

    def destroy(self, name: str) -> None:
        """End a guest, frozen or not, and forget its domain."""
        self.guests[name].destroy()

    def destroy_all(self) -> None:
        """End every guest."""
        with futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(lambda guest: guest.destroy(),
                          list(self.guests.values())))

    def answer(self) -> None:
        """From now on answer QEMU's requests for all scripted guests.

        Guests made later are included; those with ``driver.answers``
        False, and those not attached, are left alone.
        """
        with self._lock:
            if self._answering is None:
                self._answering = guests.Answering(self)


def _metadata(wanted: bool, display_name: str, flavor_id: str | None,
              properties: Mapping[str, str] | None, project_id: str,
              ) -> domain_xml.Metadata | None:
    if not wanted:
        return None
    return domain_xml.Metadata(display_name, flavor_id, properties or {},
                               project_id)


def _removed(path: pathlib.Path) -> bool:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        return False
    return not path.exists()


def _say_nothing(context: object, error: object) -> None:
    """libvirt's error handler."""
