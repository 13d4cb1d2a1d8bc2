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

"""The command memstat-pollster: its global options and how it ends."""

import argparse
import collections.abc
import functools
import importlib.metadata
import io
import logging
import os
import signal
import sys
import typing

from cliff import app
from cliff import commandmanager
from oslo_config import cfg

from memstat_pollster.cli.output import outcome
from memstat_pollster.cli import survey
from memstat_pollster.config import ceilometer_conf
from memstat_pollster.config import errors
from memstat_pollster import node
from memstat_pollster import text

#: Entry points of this group are the commands.
NAMESPACE: typing.Final = 'memstat_pollster.cli'

DESCRIPTION: typing.Final = (
    'See, explain and mend the memory statistics of the KVM guests on this '
    'compute node. Needs neither a running agent nor Ceilometer. '
    'Exit status: 0 all is well, 1 something has to be done, 2 libvirt '
    'cannot be reached, 3 the command could not do its work.')


class _Commands(commandmanager.CommandManager):
    """The commands, each imported when it is run.

    cliff's own way imports all of them first, templates and clients included.
    """

    def load_commands(self, namespace: str) -> None:
        self.group_list.append(namespace)
        for point in importlib.metadata.entry_points(group=namespace):
            self.commands[point.name] = point


class _Quiet(logging.Filter):
    """What the monitor logs for an agent, a command says in its own way."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.name.startswith('memstat_pollster.')


class _Harmless(logging.Formatter):
    """Lines without a terminal's control characters, whoever sent them."""

    def format(self, record: logging.LogRecord) -> str:
        return '\n'.join(text.printable(line, sys.maxsize)
                         for line in super().format(record).split('\n'))


class App(app.App):
    """The application; commands reach it as ``self.app``.

    :ivar make_inspector: makes what reads libvirt, of the configuration
    """

    NAME = 'memstat-pollster'
    LOG = logging.getLogger(NAME)

    def __init__(
            self, stdout: typing.TextIO | None = None,
            stderr: typing.TextIO | None = None,
            stdin: typing.TextIO | None = None,
            make_inspector: survey.MakeInspector = node.make_inspector,
            ) -> None:
        super().__init__(
            description=DESCRIPTION,
            version=importlib.metadata.version('memstat-pollster'),
            command_manager=_Commands(NAMESPACE),
            stdin=stdin, stdout=stdout, stderr=stderr, deferred_help=True)
        self.make_inspector = make_inspector
        self._failure: outcome.ExitStatus | None = None

    def build_option_parser(
            self, description: str | None, version: str | None,
            argparse_kwargs: dict[str, typing.Any] | None = None,
            ) -> argparse.ArgumentParser:
        parser = super().build_option_parser(description, version,
                                             argparse_kwargs)
        group = parser.add_argument_group('configuration')
        for name, meaning in (
                ('file', 'a file of the agent\'s configuration; may be '
                         'repeated, the last one that sets an option wins'),
                ('dir', 'a directory whose .conf files are read, sorted, '
                        'after those named before it; may be repeated')):
            group.add_argument(
                f'--config-{name}', metavar='PATH', dest='sources',
                action='append', default=[],
                type=functools.partial(_source, f'--config-{name}'),
                help=f'{meaning} (default: what ceilometer-polling reads, '
                     'where it exists)')
        group.add_argument(
            '--uri', metavar='URI',
            help="libvirt's URI (default: [DEFAULT]libvirt_uri, else "
                 'qemu:///system)')
        return parser

    def configure_logging(self) -> None:
        """Warnings and errors on stderr; the monitor's log with -v only."""
        verbosity = 2 if self.options.debug else self.options.verbose_level
        root = logging.getLogger()
        root.setLevel(logging.DEBUG if verbosity > 2 else logging.INFO)
        console = logging.StreamHandler(self.stderr)
        console.setFormatter(_Harmless(f'{self.NAME}: %(message)s'))
        console.setLevel(logging.WARNING if verbosity < 2 else logging.DEBUG)
        if verbosity < 2:
            console.addFilter(_Quiet())
        root.addHandler(console)
        if self.options.log_file:
            try:
                file = logging.FileHandler(self.options.log_file)
            except OSError as exc:
                self.LOG.error('%s: %s', exc.filename, exc.strerror)
                raise SystemExit(outcome.ExitStatus.FAILED) from exc
            file.setFormatter(logging.Formatter(self.LOG_FILE_MESSAGE_FORMAT))
            root.addHandler(file)

    @functools.cached_property
    def conf(self) -> cfg.ConfigOpts:
        """The agent's configuration; read when a command first needs it.

        :raises outcome.CommandFailed: naming the file
            that cannot be used
        """
        try:
            conf, problems = ceilometer_conf.load(self.options.sources,
                                                  self.options.uri)
        except errors.ConfigurationError as exc:
            raise outcome.CommandFailed(str(exc)) from exc
        for problem in problems:
            self.LOG.warning('%s', problem)
        return conf

    def interact(self) -> None:
        """Without a command there is help, no prompt."""
        self.run_subcommand(['help'])
        raise SystemExit(outcome.ExitStatus.OK)

    def clean_up(self, cmd: typing.Any, result: int,
                 err: BaseException | None) -> None:
        if err is not None:
            self._failure = getattr(err, 'exit_status',
                                    outcome.ExitStatus.FAILED)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command.

        :returns: its exit status; an error that it raised has its own
        """
        self._failure = None
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            # It says which commands are near, and returns 2.
            super().run_subcommand(argv)
            return outcome.ExitStatus.FAILED
        result = super().run_subcommand(argv)
        return result if self._failure is None else self._failure


def _source(option: str, path: str) -> tuple[str, str]:
    return option, path


def main(argv: collections.abc.Sequence[str] | None = None,
         make_app: collections.abc.Callable[[], App] = App) -> int:
    """The console script.

    :param make_app: for tests
    :returns: the exit status; see ``outcome.ExitStatus``
    """
    _prepare_streams()
    words = sys.argv[1:] if argv is None else argv
    try:
        result = _run(words, make_app)
        # Otherwise Python complains, after this has returned.
        sys.stdout.flush()
    except OSError as exc:
        # Nothing more is to be tried, least of all at the end.
        with open(os.devnull, 'w') as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if isinstance(exc, BrokenPipeError):
            return 128 + signal.SIGPIPE
        sys.stderr.write(f'{App.NAME}: standard output: {exc.strerror}\n')
        return outcome.ExitStatus.FAILED
    return result


def _run(words: collections.abc.Sequence[str],
         make_app: collections.abc.Callable[[], App]) -> int:
    try:
        return int(make_app().run(list(words)))
    except SystemExit as exc:
        # argparse ends with 2 where the arguments are wrong; here that
        # would mean that libvirt cannot be reached.
        return outcome.ExitStatus.FAILED if exc.code == 2 else _code(exc)


def _prepare_streams() -> None:
    """See that any name can be printed, whatever the locale and stream are.

    A tenant's name must not keep the other guests from being shown.
    """
    for name in ('stdout', 'stderr'):
        stream = getattr(sys, name)
        if stream is None:
            # The shell's >&-
            setattr(sys, name, os.fdopen(os.open(
                os.devnull, os.O_WRONLY), 'w'))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')


def _code(exc: SystemExit) -> int:
    return exc.code if isinstance(exc.code, int) else int(bool(exc.code))
