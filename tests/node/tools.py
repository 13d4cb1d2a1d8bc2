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

"""What the node needs from the machine, and how it waits for things."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import glob
import os
import random
import shutil
import socket
import time
from typing import TypeVar

try:
    import libvirt
except ImportError:  # said by check_node(), with the package's name
    libvirt = None

T = TypeVar('T')

LOOPBACK = '127.0.0.1'
#: Below the ports that the kernel gives to outgoing connections.
PORTS = range(10240, 32768)

#: executable -> the Debian package it comes from
NODE_EXECUTABLES = {
    'libvirtd': 'libvirt-daemon',
    'qemu-system-x86_64': 'qemu-system-x86',
    'unshare': 'util-linux',
    'nsenter': 'util-linux',
    'mount': 'mount',
    'umount': 'mount',
}
IMAGE_EXECUTABLES = {
    'busybox': 'busybox-static',
    'cpio': 'cpio',
}
KERNEL_EXECUTABLES = {
    'apt-get': 'apt',
    'apt-cache': 'apt',
    'dpkg': 'dpkg',
}
#: Debian keeps daemons here, which is not on every user's PATH.
SEARCH_PATH = os.pathsep.join(
    [os.environ.get('PATH', os.defpath), '/usr/sbin', '/sbin'])
QEMU_DRIVER = (
    '/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so',
    '/usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so',
)


class MissingTools(Exception):
    """This machine cannot run the node; says what to install or change.

    :ivar missing: executables, files or rights that are not there
    :ivar packages: the Debian packages that bring them
    """

    def __init__(self, missing: Iterable[str],
                 packages: Iterable[str] = ()) -> None:
        self.missing = tuple(missing)
        self.packages = tuple(sorted(set(packages)))
        message = 'a compute node for tests needs: ' + ', '.join(self.missing)
        if self.packages:
            message += ('; on Debian: apt-get install '
                        '--no-install-recommends %s'
                        % ' '.join(self.packages))
        super().__init__(message)


def which(name: str) -> str | None:
    """The path of an executable, /sbin and /usr/sbin included."""
    return shutil.which(name, path=SEARCH_PATH)


def require(executables: Mapping[str, str]) -> None:
    """Raise MissingTools for those of `executables` that are not there."""
    absent = [name for name in executables if which(name) is None]
    if absent:
        raise MissingTools(absent, (executables[name] for name in absent))


def check_node() -> None:
    """Raise one MissingTools naming everything the node lacks here.

    What only a Linux guest needs is included, so that a machine is found
    wanting at once and not half-way through a test run.
    """
    executables = NODE_EXECUTABLES | IMAGE_EXECUTABLES
    missing = [name for name in executables if which(name) is None]
    packages = [executables[name] for name in missing]
    if libvirt is None:
        missing.append('the Python module libvirt (pip: libvirt-python)')
        packages.append('python3-libvirt')
    if not any(glob.glob(pattern) for pattern in QEMU_DRIVER):
        missing.append("libvirt's QEMU driver")
        packages.append('libvirt-daemon-driver-qemu')
    if os.geteuid() != 0:
        missing.append('root (mount and PID namespaces)')
    if missing:
        raise MissingTools(missing, packages)


def wait_for(predicate: Callable[[], T], timeout: float, what: str,
             interval: float = 0.02) -> T:
    """Poll `predicate` until its value is true, and return that value.

    :param timeout: seconds; the predicate is asked at least once
    :param what: what is waited for, as the error is to name it
    :param interval: seconds between two questions
    :raises TimeoutError: naming `what` and how long it was waited for
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError('%s: not within %g s' % (what, timeout))
        time.sleep(interval)


#: Sockets that say "this port is taken" to other tests of this machine.
_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port of loopback that nothing listens on, and no other test gets.

    It is this process's until it ends, whatever listens there and when.

    :raises OSError: 100 ports tried, none is free
    """
    for port in random.sample(PORTS, 100):
        reserved = socket.socket(socket.AF_UNIX)
        try:
            # A name without a file: it goes with its socket.
            reserved.bind(f'\0memstat-port-{port}')
            with socket.socket() as probe:
                probe.bind((LOOPBACK, port))
        except OSError:
            reserved.close()
            continue
        _reserved.append(reserved)
        return port
    raise OSError('100 ports tried, none is free')
