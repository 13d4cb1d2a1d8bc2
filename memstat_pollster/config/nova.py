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
import typing

from oslo_config import cfg

from memstat_pollster.config import errors
from memstat_pollster.config import launch
from memstat_pollster.config import plainfile
from memstat_pollster.config import sourceless
from memstat_pollster.model import nova_period

GROUP: typing.Final = 'libvirt'
NAME: typing.Final = 'mem_stats_period_seconds'


def read(files: collections.abc.Sequence[str], dirs: str = 'last',
         started: launch.Words | None = None) -> nova_period.Wanted:
    """Read the option from Nova's files; the last file that sets it wins.

    Each file is read by itself, so that one which is unreadable or broken
    costs only what it says.

    :param dirs: [memstat]nova_config_dirs: how the ``*.conf`` files of each
        one's ``.d`` directory, sorted, stand to the files; see
        :func:`launch.order`
    :param started: what nova-compute is started with, which counts where
        ``dirs`` is auto; None: nobody knows
    :returns: Nova's default where no file says otherwise; a problem when
        none of the files is there, and when the files say two things by the
        two orders and nobody knows which is nova-compute's.  Never raises for
        what is in the files.
    """
    orders = _orders(files, dirs, started)
    values: dict[str, int | None] = {}
    problems: list[str] = []
    for path in orders[0]:
        if _is_there(path):
            values[path], problem = _read_one(path)
            problems += [problem] if problem else []
    if not values:
        problems.append('there is no ' + ' and no '.join(files) if files else
                        'no file of Nova is named')
    setting = [[path for path in order if values.get(path) is not None]
               for order in orders]
    if not setting[0]:
        return nova_period.Wanted(nova_period.DEFAULT_PERIOD_S,
                                  tuple(problems))
    source = setting[0][-1]
    periods = [value for paths in setting
               if (value := values[paths[-1]]) is not None]
    period, other = periods[0], periods[-1]
    if other == period:
        return nova_period.Wanted(period, tuple(problems), source)
    problems.append(
        f'it is {other} s ({setting[-1][-1]}) where nova-compute is started '
        f'with --config-file and {period} s ({source}) where it is not, and '
        'how it is started cannot be seen: say so in '
        '[memstat]nova_config_dirs')
    return nova_period.Wanted(period, tuple(problems), source, other)


def _orders(files: collections.abc.Sequence[str], dirs: str,
            started: launch.Words | None) -> list[list[str]]:
    """Every order in which nova-compute may read, the likeliest first."""
    first = [(launch.FILE, path) for path in files]
    if dirs == 'auto' and started is not None:
        words = [started]
    else:
        words = [(), tuple(first)] if dirs == 'auto' else [
            () if dirs == 'last' else tuple(first)]
    return [_listed(launch.order(files, each)) for each in words]


def _listed(words: collections.abc.Iterable[tuple[str, str]]) -> list[str]:
    """The files, and in place of each directory of files those in it."""
    found: list[str] = []
    for option, path in words:
        if option == launch.FILE:
            found.append(path)
        elif not os.path.isdir(path):
            # Not there, or below a directory that hides FILE as well, of
            # which that is said already.
            continue
        elif not _may_list(path):
            found.append(path)
        else:
            found += sorted(glob.glob(os.path.join(glob.escape(path),
                                                   '*.conf')))
    return found


def _may_list(directory: str) -> bool:
    return os.access(directory, os.R_OK | os.X_OK, effective_ids=True)


def _is_there(path: str) -> bool:
    """Whether there is such a file, or one may be hidden from this user.

    os.path.exists() would say "not there" below a directory that may not be
    searched.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read_one(path: str) -> tuple[int | None, str | None]:
    """(the option's value where the file sets it, what went wrong)."""
    if os.path.isdir(path):
        why = ('it is a directory' if _may_list(path)
               else os.strerror(errno.EACCES))
        return None, f'{path} cannot be read: {why}'
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

    :param dirs: see :func:`read`
    :param started: tells what nova-compute is started with
    """

    def __init__(self, files: collections.abc.Sequence[str],
                 dirs: str = 'last', started: collections.abc.Callable[
                     [], launch.Words | None] = lambda: None) -> None:
        self._files, self._dirs = tuple(files), dirs
        self._started = started
        # Both at once, without a lock: of two threads that read each goes on
        # with what it has read.
        self._known: tuple[object, nova_period.Wanted] | None = None

    def get(self) -> nova_period.Wanted:
        """The option as the files say it now."""
        known = self._known
        started = self._started() if self._dirs == 'auto' else None
        signature = tuple(
            tuple(map(_fingerprint, order))
            for order in _orders(self._files, self._dirs, started))
        if known is None or known[0] != signature:
            known = self._known = signature, read(self._files, self._dirs,
                                                  started)
        return known[1]


def _fingerprint(path: str) -> tuple[object, ...]:
    try:
        found = os.stat(path)
    except OSError as exc:
        return path, exc.errno
    return (path, found.st_ino, found.st_size, found.st_mtime_ns,
            found.st_mode, found.st_uid, found.st_gid)
