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

"""Connections to libvirt, and what its errors mean."""

import collections.abc
import errno
import grp
import os
import pathlib
import pwd
import re
import stat
import typing

from memstat_pollster.host import bindings
from memstat_pollster.model import observation
from memstat_pollster import text

libvirt = bindings.libvirt


class Connection(typing.Protocol):
    """The part of ``libvirt.virConnect`` that is used."""

    def getAllDomainStats(self, stats: int = 0, flags: int = 0) -> list[
            tuple[typing.Any, dict[str, object]]]: ...

    def domainListGetStats(
            self, doms: list[typing.Any], stats: int = 0, flags: int = 0,
            ) -> list[tuple[typing.Any, dict[str, object]]]: ...

    def listAllDomains(self, flags: int = 0) -> list[typing.Any]: ...

    def getHostname(self) -> str: ...

    def getInfo(self) -> list[typing.Any]: ...

    def getLibVersion(self) -> int: ...

    def getType(self) -> str: ...

    def getVersion(self) -> int: ...

    def lookupByUUIDString(self, uuid: str) -> typing.Any: ...

    def close(self) -> int: ...


Opener = collections.abc.Callable[[str], Connection]

_NOT_INSTALLED: typing.Final = (
    'libvirt-python is not installed: install it (on Debian, Ubuntu and RHEL '
    'python3-libvirt)')


def _no_output(context: object, error: object) -> None:
    """Instead of libvirt's default, which prints every error to stderr."""


def open_read_only(uri: str) -> Connection:
    """Open libvirt's read-only socket.

    :raises ReadFailed: when libvirt-python is not installed
    :raises libvirt.libvirtError: when libvirt cannot be reached
    """
    if libvirt is None:
        raise observation.ReadFailed(_NOT_INSTALLED)
    # Errors arrive as exceptions; a second copy on stderr in every cycle of
    # an outage would fill the journal.
    libvirt.registerErrorHandler(_no_output, None)
    return typing.cast(Connection, libvirt.openReadOnly(uri))


def open_read_write(uri: str) -> Connection:
    """Open libvirt's other socket, which takes changes.

    :raises ReadFailed: when libvirt-python is not installed
    :raises libvirt.libvirtError: when libvirt cannot be reached, or refuses
    """
    if libvirt is None:
        raise observation.ReadFailed(_NOT_INSTALLED)
    libvirt.registerErrorHandler(_no_output, None)
    return typing.cast(Connection, libvirt.open(uri))


def failed(exc: typing.Any) -> observation.ReadFailed:
    """A libvirtError, mapped."""
    message = text.one_line(exc)
    return observation.ReadFailed(message,
                                  _advice(exc.get_error_code(), message))


def _advice(code: int | None, message: str) -> str | None:
    """What an operator can do about an error of libvirt's.

    A socket that cannot be used is VIR_ERR_SYSTEM_ERROR with the system's
    own words; polkit's refusals have codes of their own.
    """
    if code == libvirt.VIR_ERR_SYSTEM_ERROR:
        if os.strerror(errno.EACCES) in message:
            return _who_may_use(message)
        if (os.strerror(errno.ENOENT) in message
                or os.strerror(errno.ECONNREFUSED) in message):
            return ('see that libvirtd or virtqemud runs ("systemctl status '
                    'libvirtd virtqemud") and that libvirt_uri is its URI')
    if code in (libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_ERR_AUTH_CANCELLED,
                libvirt.VIR_ERR_AUTH_UNAVAILABLE):
        return ('polkit does not let this user in: go on as root or as a '
                'member of the group libvirt, or with a rule for the action '
                'that is named')
    if code == libvirt.VIR_ERR_OPERATION_DENIED:
        return "go on as root, with libvirt's read-write socket"
    return None


_AS_ROOT: typing.Final = (
    'go on as root, or as a member of the group that the socket is open to, '
    'which on most distributions is libvirt')

#: Groups that give more than the use of a socket.
_MIGHTY_GROUPS: typing.Final = frozenset((
    'adm', 'disk', 'docker', 'kmem', 'lxd', 'root', 'shadow', 'sudo', 'sys',
    'wheel'))


def _who_may_use(message: str) -> str:
    """Whom the socket that an error names is open to."""
    named = re.search("'(/[^']+)'", message)
    if named is None:
        return _AS_ROOT
    try:
        found = pathlib.Path(named.group(1)).stat()
        group = grp.getgrgid(found.st_gid).gr_name
        owner = pwd.getpwuid(found.st_uid).pw_name
    except (OSError, KeyError):
        return _AS_ROOT
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o006 == 0o006:
        return (f'the socket is open to everybody (mode {mode:04o}): see '
                'whether AppArmor or SELinux refused this ("journalctl -k")')
    if mode & 0o060 != 0o060:
        return (f'the socket is open to its owner {owner} alone (mode '
                f'{mode:04o}): go on as root')
    if group in _MIGHTY_GROUPS:
        return (f'the socket is open to its owner {owner} and the group '
                f'{group} (mode {mode:04o}), which gives more than that: go '
                'on as root')
    return (f'the socket is open to its owner {owner} and the group {group} '
            f'(mode {mode:04o}): go on as root or as a member of that group')
