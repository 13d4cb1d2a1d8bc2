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

"""The agent's configuration, read as the agent reads it."""

import collections.abc
import dataclasses
import glob
import os
import pathlib

from oslo_config import cfg

from memstat_pollster.config import connection_uri
from memstat_pollster.config import errors
from memstat_pollster.config import launch
from memstat_pollster.config import options
from memstat_pollster.config import plainfile
from memstat_pollster.config import sourceless
from memstat_pollster import text

#: The agent's file on every distribution.
CEILOMETER_CONF = '/etc/ceilometer/ceilometer.conf'


def load(sources: collections.abc.Sequence[tuple[str, str]],
         uri: str | None = None) -> tuple[cfg.ConfigOpts, tuple[str, ...]]:
    """Read the files that ceilometer-polling would read.

    :param sources: ('--config-file' or '--config-dir', path), in order; none:
        those that the agent of this machine is started with, or Ceilometer's
        own where it is started with none or not seen
    :param uri: libvirt's URI, where another than the configured one is meant
    :returns: the options, and one message for each of [memstat]'s that cannot
        be used, whose default is in force instead, for what is not read, and
        for what may be otherwise
    :raises errors.ConfigurationError: naming the file that
        cannot be used
    """
    if not sources:
        _see_that_it_can_be_read(CEILOMETER_CONF)
        sources = as_started()
    _see_that_they_are_plain(sources)
    try:
        conf = _parsed([word for source in sources for word in source], uri)
        _settings, problems = options.load(conf)
    except (cfg.ConfigFilesPermissionDeniedError,
            cfg.ConfigFilesNotFoundError) as exc:
        raise errors.ConfigurationError(
            f'configuration: {exc}; {_HOW_TO_READ}') from exc
    except UnicodeDecodeError as exc:
        raise errors.ConfigurationError(
            f'configuration: {_not_text(sources)} is no text: {exc}') from exc
    except (cfg.Error, OSError, ValueError) as exc:
        # ValueError: an option's value that its type does not take.
        raise errors.ConfigurationError(
            f'configuration: {reason(exc)}') from exc
    unread = sourceless.not_read(conf)
    return conf, (*(() if unread is None else (f'configuration: {unread}',)),
                  *problems, *either_way(conf, sources))


def as_started() -> tuple[tuple[str, str], ...]:
    """The files and directories that the agent of this machine names.

    :returns: see :func:`load`; nothing where it names none, is not seen, or
        names what is not here, as in a container
    """
    words = launch.Finder(launch.COMPUTE_AGENT).get() or ()
    named = tuple((option, path or CEILOMETER_CONF) for option, path in words)
    return named if all(is_there(path) for _option, path in named) else ()


def either_way(conf: cfg.ConfigOpts,
               sources: collections.abc.Sequence[tuple[str, str]],
               ) -> tuple[str, ...]:
    """What [memstat] says otherwise if the agent is started in another way.

    oslo.config reads the directories ceilometer.conf.d before the files that
    --config-file names, and after the default ones.

    :param conf: as :func:`load` has read it
    :param sources: as given to that
    :returns: one message for each option with two values; none where it is
        known how the agent is started
    """
    files = cfg.find_config_files('ceilometer', 'ceilometer-polling')
    if sources or not files or not cfg.find_config_dirs(
            'ceilometer', 'ceilometer-polling') or launch.Finder(
            launch.COMPUTE_AGENT).get() is not None:
        return ()
    other = _parsed([word for path in files
                     for word in (launch.FILE, path)], None)
    values = [dataclasses.asdict(options.load(each)[0])
              for each in (conf, other)]
    return tuple(
        f'option [{options.GROUP}]{name} is {value} where the agent is '
        f'started without --config-file and {values[1][name]} where it is '
        'started with it, which cannot be seen'
        for name, value in values[0].items() if value != values[1][name])


def defaults(uri: str | None = None) -> cfg.ConfigOpts:
    """What is in force where no file says anything.

    :param uri: see :func:`load`
    """
    return _parsed([], uri, default_config_files=[], default_config_dirs=[])


def _parsed(words: collections.abc.Sequence[str], uri: str | None,
            **files: collections.abc.Sequence[str]) -> cfg.ConfigOpts:
    """The options of an agent that is started with these words."""
    conf = cfg.ConfigOpts()
    sourceless.parse(conf, words, project='ceilometer',
                     prog='ceilometer-polling', **files)
    # Registers the option; raises what is wrong with its value.
    connection_uri.of(conf)
    if uri is not None:
        conf.set_override('libvirt_uri', uri)
    return conf


def option(conf: cfg.ConfigOpts, opt: cfg.Opt, group: str | None = None,
           ) -> str:
    """The value of one of Ceilometer's options, registered where it is not.

    :raises errors.ConfigurationError: naming the option,
        when its value cannot be used
    """
    conf.register_opt(opt, group=group)
    try:
        return str((conf if group is None else conf[group])[opt.dest])
    except (cfg.Error, ValueError) as exc:
        raise errors.ConfigurationError(
            f'[{group or "DEFAULT"}]{opt.name} cannot be used: '
            f'{reason(exc)}') from exc


def reason(error: Exception) -> str:
    """What is wrong, on one line.

    For any error in a value of [DEFAULT] oslo.config says that there is no
    such option.
    """
    cause = error.__context__
    if (isinstance(error, cfg.NoSuchOptError) and isinstance(cause, cfg.Error)
            and error.opt_name not in str(cause)):
        return f'option {error.opt_name}: {text.one_line(cause)}'
    return text.one_line(error)


def find(conf: cfg.ConfigOpts, name: str) -> pathlib.Path | None:
    """A file as Ceilometer looks for it (ceilometer/agent.py, declarative.py).

    But for its working directory, which is / for a service.

    :returns: None where there is none
    """
    if os.path.isabs(name):
        return pathlib.Path(name) if is_there(name) else None
    path = conf.find_file(name)
    return None if path is None else pathlib.Path(path)


def is_read_by(conf: cfg.ConfigOpts,
               words: collections.abc.Sequence[str]) -> bool:
    """Whether a service that is started so reads this configuration.

    :param words: its command line
    """
    named = [after for word, after in zip(words, [*words[1:], ''],
                                          strict=True)
             if word == '--config-file']
    named += [word.partition('=')[2] for word in words
              if word.startswith('--config-file=')]
    ours = conf.config_file or [CEILOMETER_CONF]
    return bool(set(named or [CEILOMETER_CONF]) & set(ours))


def is_there(path: str) -> bool:
    """Whether there is such a file, or one may be hidden from this user."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        # ValueError: no file has a name with a null character.
        return False
    except OSError:
        # It may be, below a directory that hides it.
        return True
    return True


_HOW_TO_READ = ("run this as a user who may read Ceilometer's configuration "
                '(root, ceilometer), or name other files with --config-file')


def _files(sources: collections.abc.Sequence[tuple[str, str]],
           ) -> list[str]:
    """The files that oslo.config reads, as far as they can be seen."""
    paths = [path for _option, path in sources]
    named = {option for option, _path in sources}
    if launch.FILE not in named:
        paths += cfg.find_config_files('ceilometer', 'ceilometer-polling')
    if launch.DIRECTORY not in named:
        paths += cfg.find_config_dirs('ceilometer', 'ceilometer-polling')
    return [file for path in paths for file in (
        sorted(glob.glob(os.path.join(path, '*.conf')))
        if os.path.isdir(path) else [path])]


def _not_text(sources: collections.abc.Sequence[tuple[str, str]]) -> str:
    """The file that cannot be decoded; oslo.config does not say which."""
    for file in _files(sources):
        try:
            plainfile.read(file).decode('utf-8')
        except errors.FileError:
            continue
        except UnicodeDecodeError:
            return file
    return 'a file'


def _see_that_they_are_plain(
        sources: collections.abc.Sequence[tuple[str, str]]) -> None:
    """oslo.config reads a pipe, a device or a huge file to its end.

    A pipe or /dev/null that is named on the command line is meant.

    :raises errors.ConfigurationError: naming the file
    """
    named = {path for _option, path in sources}
    for file in _files(sources):
        if file in named and not os.path.isfile(file):
            continue
        try:
            plainfile.read(file)
        except errors.FileError as exc:
            if isinstance(exc.__cause__, OSError):
                # oslo.config says so itself.
                continue
            raise errors.ConfigurationError(
                f'configuration: {file}: {exc}') from exc


def _see_that_it_can_be_read(path: str) -> None:
    """oslo.config takes a file in a directory that hides it for absent.

    :raises errors.ConfigurationError: when the user may not
        see whether there is such a file
    """
    try:
        os.stat(path)
    except PermissionError as exc:
        raise errors.ConfigurationError(
            f'configuration: {path}: {exc.strerror}; {_HOW_TO_READ}') from exc
    except OSError:
        # It is not there: the defaults are in force, as for the agent.
        pass
