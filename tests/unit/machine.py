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

"""What the machine is, hidden from the unit tests.

Importing ``tests.unit`` does it, so it is done before anything that is tested
is imported: there is nothing in /etc and among systemd's units, no process but
the tests' own says what it is, the environment has what makes Python find its
modules, the machine is called :data:`NAME`, and the locale is :data:`LOCALE`.
A test that needs anything else makes it.
"""

import errno
import locale
import os
import platform
import re
import socket
import sys
import typing

NAME: typing.Final = 'unit-tests.example'
LOCALE: typing.Final = 'C.UTF-8'
HIDDEN: typing.Final = ('/etc', '/run/systemd', '/lib/systemd',
                        '/usr/lib/systemd', '/usr/local/lib/systemd')

#: What Python, glibc and libraries open for themselves: users, names, time,
#: certificates and the kinds of files.
SHOWN: typing.Final = (
    '/etc/hosts', '/etc/localtime', '/etc/mime.types', '/etc/passwd',
    '/etc/group', '/etc/pki/tls', '/etc/ssl', '/etc/timezone')

#: Beginnings of names of the environment that stay: where programs and
#: modules are, who runs and measures the tests, and how long they search.
KEPT: typing.Final = (
    'COVERAGE_', 'COV_CORE_', 'GIT_CONFIG_', 'LD_LIBRARY_PATH', 'MEMSTAT_',
    'MUTANT_', 'PATH', 'PBR_VERSION', 'PYTEST_', 'PYTHON', 'TMPDIR',
    'VIRTUAL_ENV')

SET: typing.Final = {'HOME': '/nonexistent', 'LC_ALL': LOCALE, 'TZ': 'UTC'}


def is_hidden(path: object) -> bool:
    """Whether a path is the machine's configuration.

    :param path: as given to the function that uses it, which may be a file
        descriptor
    """
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str):
        return False
    whole = os.path.abspath(path)
    return whole.startswith(tuple(f'{each}/' for each in HIDDEN)) and not any(
        whole == each or whole.startswith(f'{each}/')
        or each.startswith(f'{whole}/') for each in SHOWN)


def _is_of_another(path: str) -> bool:
    """Whether it is the command line of a process that no test started."""
    found = re.fullmatch(r'/proc/(\d+)/cmdline', path)
    if found is None or int(found.group(1)) == os.getpid():
        return False
    try:
        with open(f'/proc/{found.group(1)}/stat', 'rb') as file:
            parent = file.read().rpartition(b')')[2].split()[1]
    except OSError:
        return True
    return int(parent) != os.getpid()


def _not_there(path: object) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    """No audit hook can be taken away again: it stays for the process."""
    if event in ('os.listdir', 'os.scandir'):
        if str(arguments[0]) in HIDDEN or is_hidden(arguments[0]):
            raise _not_there(arguments[0])
    elif event == 'open' and (is_hidden(arguments[0])
                              or _is_of_another(str(arguments[0]))):
        raise _not_there(arguments[0])


def _hiding(name: str) -> None:
    """Looking at a file raises no event, so the functions are replaced."""
    original = getattr(os, name)

    def look(path: typing.Any, *rest: typing.Any, **named: typing.Any,
             ) -> typing.Any:
        if not is_hidden(path):
            return original(path, *rest, **named)
        if name == 'access':
            return False
        raise _not_there(path)

    # What takes a directory's descriptor is known by the function.
    for functions in (os.supports_dir_fd, os.supports_fd,
                      os.supports_follow_symlinks,
                      os.supports_effective_ids):
        if original in functions:
            functions.add(look)
    setattr(os, name, look)


def hide() -> None:
    """Do it, for this process; its children have the environment only."""
    kept = {name: value for name, value in os.environ.items()
            if name.startswith(KEPT)}
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update(SET)
    locale.setlocale(locale.LC_ALL, LOCALE)
    name = os.uname()
    mine = os.uname_result((name.sysname, NAME, name.release, name.version,
                            name.machine))
    socket.gethostname = lambda: NAME
    os.uname = lambda: mine
    platform.node = lambda: NAME
    for look in ('access', 'lstat', 'stat'):
        _hiding(look)
    sys.addaudithook(_hook)
