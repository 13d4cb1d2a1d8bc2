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

"""How a service is started, and with which files of configuration.

oslo.config (``ConfigOpts._parse_config_files``) reads the default files, then
the default directories ``*.conf.d``, then what ``--config-file`` and
``--config-dir`` name, in their order; the last that sets an option wins.  A
``--config-file`` takes the place of the default files, a ``--config-dir`` that
of the default directories.  So the directories win over the files of a service
that is started without ``--config-file``, and lose where one is given, as
Debian's init scripts do.

The arguments are looked for where they are true first: the running process,
then systemd's units with their drop-ins, then the init script.
"""

import collections.abc
import concurrent.futures
import dataclasses
import os
import pathlib
import pwd
import re
import shlex
import typing

from memstat_pollster import background
from memstat_pollster.config import errors
from memstat_pollster.config import plainfile

FILE: typing.Final = '--config-file'
DIRECTORY: typing.Final = '--config-dir'

#: An option and its path; None: a path that a script makes as it runs.
Word = tuple[str, str | None]
Words = tuple[Word, ...]

ROOT: typing.Final = pathlib.Path('/')

#: Where systemd looks for units, the first that has one first.
_UNITS: typing.Final = (
    'etc/systemd/system', 'run/systemd/system', 'usr/local/lib/systemd/system',
    'usr/lib/systemd/system', 'lib/systemd/system')

#: What cotyledon, and with it oslo.service, calls a process that it manages.
_MANAGED: typing.Final = re.compile(r'[\w-]+: master process \[(.*)\]')

_NAMED: typing.Final = re.compile(
    rf'(?<![\w-])({FILE}|{DIRECTORY})(?:=|\s+)["\']?([^\s"\';]+)')

#: Nobody writes longer ones.
_MOST_BYTES: typing.Final = 2**18

#: For how long a service is looked for.
SEARCH_S: typing.Final = 1.0

#: So many characters of a process's name the kernel keeps.
_COMM: typing.Final = 15


class _Unanswered(Exception):
    """The kernel has not answered, or a thread has failed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """A service of OpenStack's, as distributions start it.

    :ivar programs: what its program is called
    :ivar units: patterns of its units' names, the most usual first
    :ivar scripts: names of its init scripts
    :ivar user: whom it runs as; only this one's and root's processes count,
        because anybody can call a process so
    :ivar namespace: which of the agents it is, by --polling-namespaces; None:
        there is one kind only
    """

    programs: tuple[str, ...]
    units: tuple[str, ...]
    scripts: tuple[str, ...]
    user: str
    namespace: str | None = None


NOVA_COMPUTE: typing.Final = Service(
    ('nova-compute',), ('nova-compute.service',
                        'openstack-nova-compute.service',
                        'nova-compute*.service', 'devstack@n-cpu.service'),
    ('nova-compute',), 'nova')
COMPUTE_AGENT: typing.Final = Service(
    ('ceilometer-polling', 'ceilometer-agent-compute'),
    ('ceilometer-agent-compute.service',
     'openstack-ceilometer-compute.service',
     'devstack@ceilometer-acompute.service'),
    ('ceilometer-agent-compute',), 'ceilometer', 'compute')


def find(service: Service, root: pathlib.Path = ROOT) -> Words | None:
    """The files and directories of configuration that it is started with.

    :param root: where proc and etc are
    :returns: in their order, empty where it is started with none; None where
        it cannot be seen how it is started.  Never raises for what is there.
    """
    for look in (_running, _unit, _script):
        words = look(service, root)
        if words is not None:
            return words
    return None


class Finder:
    """Looks again and again, and is never held up.

    The kernel needs a process's memory map for its arguments, and for one
    that hangs may never get it.  So a thread looks; until it is back, what was
    found last holds.

    :param root: see :func:`find`
    :param within_s: how long to wait for the thread
    """

    def __init__(self, service: Service, root: pathlib.Path | None = None,
                 within_s: float = SEARCH_S) -> None:
        self._service, self._root = service, root or ROOT
        self._within_s = within_s
        self._known: Words | None = None
        self._out: concurrent.futures.Future[Words | None] | None = None

    def get(self) -> Words | None:
        """See :func:`find`."""
        if self._out is None or self._out.done():
            self._out = background.start(
                lambda: find(self._service, self._root), _Unanswered(),
                'memstat-launch')
            background.is_done(self._out, self._within_s)
        if self._out.done():
            try:
                self._known = self._out.result()
            except _Unanswered:
                self._known = None
        return self._known


def _running(service: Service, root: pathlib.Path) -> Words | None:
    """Of the processes; None where there is none, or they differ."""
    users = _users(service)
    found = set()
    for directory in (root / 'proc').glob('[0-9]*'):
        try:
            if directory.stat().st_uid not in users:
                continue
            if not _may_be(service, plainfile.read(directory / 'comm')):
                continue
            line = plainfile.read(directory / 'cmdline', _MOST_BYTES)
        except (OSError, errors.FileError):
            # It has ended, or it is not ours to see.
            continue
        rest = _after_program(service, os.fsdecode(line).rstrip('\0')
                              .split('\0'))
        if rest is not None:
            found.add(_words(rest))
    return found.pop() if len(found) == 1 else None


def _may_be(service: Service, comm: bytes) -> bool:
    """Whether a process of that name may be one, without its arguments."""
    name = os.fsdecode(comm).rstrip('\n')
    return name.startswith('python') or any(
        each[:_COMM] == name for each in service.programs)


def _users(service: Service) -> set[int]:
    users = {0, os.geteuid()}
    try:
        users.add(pwd.getpwnam(service.user).pw_uid)
    except KeyError:
        # It is called otherwise here: its units tell.
        pass
    return users


def _after_program(service: Service, arguments: list[str],
                   ) -> list[str] | None:
    """The arguments of such a program; None: it is another one."""
    managed = _MANAGED.fullmatch(arguments[0])
    if managed:
        arguments = _split(managed.group(1))
    # "python3 -sE /usr/bin/nova-compute ..."
    while (arguments and os.path.basename(arguments[0]).startswith('python')
           or arguments[:1] and arguments[0].startswith('-')):
        arguments = arguments[1:]
    if not arguments or os.path.basename(
            arguments[0]) not in service.programs:
        return None
    rest = arguments[1:]
    if service.namespace and '--polling-namespaces' in ' '.join(
            rest) and service.namespace not in ' '.join(rest):
        return None
    return rest


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _words(arguments: collections.abc.Sequence[str]) -> Words:
    """The options that count, as argparse takes them."""
    found: list[Word] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition('=')
        if name in (FILE, DIRECTORY):
            found.append((name, value if equals else next(rest, None)))
    return tuple(found)


def _unit(service: Service, root: pathlib.Path) -> Words | None:
    """Of the first unit that there is; None where it says too little."""
    directories = [root / each for each in _UNITS]
    for pattern in service.units:
        names = sorted({path.name for directory in directories
                        for path in directory.glob(pattern)})
        for name in names:
            command = _command(directories, name)
            if command is None:
                continue
            if command[0].startswith('/etc/init.d/'):
                # It is called like the program that it starts.
                return _of_script(root / command[0].lstrip('/'))
            rest = _after_program(service, command)
            if rest is not None:
                return _words(rest)
    return None


def _command(directories: collections.abc.Sequence[pathlib.Path],
             name: str) -> list[str] | None:
    """What systemd would start; None where the unit says nothing.

    A drop-in hides those of its name in later directories; all are read in
    the order of their names, after the unit.
    """
    files = [next(path for path in (directory / name for directory
                                    in directories) if os.path.lexists(path))]
    drop_ins: dict[str, pathlib.Path] = {}
    for directory in directories:
        for path in (directory / f'{name}.d').glob('*.conf'):
            drop_ins.setdefault(path.name, path)
    files += [drop_ins[each] for each in sorted(drop_ins)]
    starts: list[str] = []
    for path in files:
        try:
            text = os.fsdecode(plainfile.read(path, _MOST_BYTES))
        except errors.FileError:
            # A unit that is masked is a link to a device.
            continue
        for value in _exec_starts(text):
            # An empty one takes back what was said before.
            starts = [*starts, value] if value else []
    if not starts:
        return None
    # "-", "@", ":", "+" and "!" say how systemd starts it.
    return _split(starts[0].lstrip('-@:+!')) or None


def _exec_starts(text: str) -> list[str]:
    """The values of ExecStart in [Service], in their order."""
    section, values = '', []
    for line in re.sub(r'\\\n', ' ', text).splitlines():
        stripped = line.strip()
        if stripped.startswith('['):
            section = stripped
        name, equals, value = stripped.partition('=')
        if section == '[Service]' and equals and name.strip() == 'ExecStart':
            values.append(value.strip())
    return values


def _script(service: Service, root: pathlib.Path) -> Words | None:
    for name in service.scripts:
        words = _of_script(root / 'etc' / 'init.d' / name)
        if words is not None:
            return words
    return None


def _of_script(path: pathlib.Path) -> Words | None:
    """What an init script names, without running it."""
    try:
        text = os.fsdecode(plainfile.read(path, _MOST_BYTES))
    except errors.FileError:
        return None
    lines = [line for line in text.splitlines()
             if not line.lstrip().startswith('#')]
    return tuple((option, None if '$' in value else value)
                 for option, value in _NAMED.findall('\n'.join(lines)))


def order(files: collections.abc.Sequence[str], words: Words,
          ) -> list[tuple[str, str]]:
    """Files and directories, in the order in which the service reads them.

    :param files: its own, whose directories are FILE.d where it is started
        with no other
    :param words: what it is started with.  A file that is not among ``files``
        is not read: in a container the same name is another file.
    :returns: ``FILE`` or ``DIRECTORY``, and the path
    """
    directories = [(DIRECTORY, path) for option, path in words
                   if option == DIRECTORY and path]
    default = [] if directories else [(DIRECTORY, f'{path}.d')
                                      for path in files]
    if all(option != FILE for option, _path in words):
        return [*((FILE, path) for path in files), *directories, *default]
    rest, named = list(files), []
    for option, path in words:
        if path is None or option == FILE and path not in rest:
            continue
        if option == FILE:
            rest.remove(path)
        named.append((option, path))
    # Those that a script alone knows the names of, or nobody names.
    return [*default, *((FILE, path) for path in rest), *named]
