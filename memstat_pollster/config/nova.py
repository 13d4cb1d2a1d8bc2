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

"""Nova's mem_stats_period_seconds: what the operator wants of guests."""

import collections.abc
import errno
import glob
import os
import stat
import typing

from oslo_config import cfg

from memstat_pollster.config import errors
from memstat_pollster.config import plainfile
from memstat_pollster.config import sourceless
from memstat_pollster.model import nova_period

GROUP: typing.Final = 'libvirt'
NAME: typing.Final = 'mem_stats_period_seconds'


def read(files: collections.abc.Sequence[str]) -> nova_period.Wanted:
    """Read the option from Nova's files; the last file that sets it wins.

    The order is oslo.config's: the files as given, then the ``*.conf`` files
    of each one's ``.d`` directory, sorted.  Each file is read by itself, so
    that one which is unreadable or broken costs only what it says.

    :returns: Nova's default where no file says otherwise; a problem when
        none of the files is there.  Never raises for what is in the files.
    """
    period, source = nova_period.DEFAULT_PERIOD_S, None
    problems, seen = [], 0
    for path in _with_directories(files):
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            # os.path.exists() would say "not there" below a directory that
            # may not be searched.
            seen += 1
            problems.append(f'{path} cannot be read: {exc.strerror}')
            continue
        seen += 1
        if stat.S_ISDIR(found.st_mode):
            why = ('it is a directory' if _may_list(path)
                   else os.strerror(errno.EACCES))
            problems.append(f'{path} cannot be read: {why}')
            continue
        value, problem = _read_one(path)
        if problem:
            problems.append(problem)
        if value is not None:
            period, source = value, path
    if not seen:
        problems.append('there is no ' + ' and no '.join(files) if files else
                        'no file of Nova is named')
    return nova_period.Wanted(period, tuple(problems), source)


def _with_directories(files: collections.abc.Sequence[str]) -> list[str]:
    paths = list(files)
    for path in files:
        directory = path + '.d'
        if not os.path.isdir(directory):
            # Not there, or below a directory that hides FILE as well, of
            # which that is said already.
            continue
        if not _may_list(directory):
            paths.append(directory)
            continue
        paths += sorted(glob.glob(os.path.join(glob.escape(directory),
                                               '*.conf')))
    return paths


def _may_list(directory: str) -> bool:
    return os.access(directory, os.R_OK | os.X_OK, effective_ids=True)


def _read_one(path: str) -> tuple[int | None, str | None]:
    """(the option's value where the file sets it, what went wrong)."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.IntOpt(NAME), group=GROUP)
    try:
        plainfile.read(path)
        sourceless.parse(
            conf, [], project='nova', prog='nova-compute',
            default_config_files=[path], default_config_dirs=[],
            use_env=False)
        unread = sourceless.not_read(conf)
        return conf[GROUP][NAME], f'{path}: {unread}' if unread else None
    except errors.FileError as exc:
        return None, f'{path} cannot be read: {exc}'
    except cfg.ConfigFilesPermissionDeniedError:
        return None, f'{path} cannot be read: Permission denied'
    except cfg.ConfigFileValueError as exc:
        return None, f'{path}: {exc}'
    except (cfg.Error, OSError, ValueError) as exc:
        return None, f'{path} cannot be used: {exc}'


class Watcher:
    """Nova's option, read again whenever one of its files changes.

    Nova itself takes a change in only when nova-compute is restarted, which
    an operator who changes it does next.
    """

    def __init__(self, files: collections.abc.Sequence[str]) -> None:
        self._files = tuple(files)
        # Both at once, without a lock: of two threads that read each goes on
        # with what it has read.
        self._known: tuple[object, nova_period.Wanted] | None = None

    def get(self) -> nova_period.Wanted:
        """The option as the files say it now."""
        known = self._known
        signature = tuple(map(_fingerprint, _with_directories(self._files)))
        if known is None or known[0] != signature:
            known = self._known = signature, read(self._files)
        return known[1]


def _fingerprint(path: str) -> tuple[object, ...]:
    try:
        found = os.stat(path)
    except OSError as exc:
        return path, exc.errno
    return (path, found.st_ino, found.st_size, found.st_mtime_ns,
            found.st_mode, found.st_uid, found.st_gid)
