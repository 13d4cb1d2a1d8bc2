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

"""Gathers what doctor looks at; what to make of it is in ``checks``."""

import collections.abc
import contextlib
import dataclasses
import os
import subprocess
import sys
import time
import typing

from oslo_config import cfg

from memstat_pollster.cli.doctor import checks
from memstat_pollster.cli.doctor import polling
from memstat_pollster.cli.doctor import rights
from memstat_pollster.cli.output import outcome
from memstat_pollster.cli import survey
from memstat_pollster.cli import versions
from memstat_pollster.config import ceilometer_conf
from memstat_pollster.config import entrypoints
from memstat_pollster.config import errors
from memstat_pollster.config import options
from memstat_pollster.config import packaged
from memstat_pollster.config import sourceless
from memstat_pollster.config import yamlfile
from memstat_pollster.gnocchi import definitions
from memstat_pollster.gnocchi import publisher
from memstat_pollster.host import bindings
from memstat_pollster.host import inspector
from memstat_pollster.host import processes
from memstat_pollster.model import judged
from memstat_pollster.model import meters
from memstat_pollster.model import observation
from memstat_pollster.model import served
from memstat_pollster import node
from memstat_pollster import text


Check = checks.Check
Grade = checks.Grade

#: Whom the agent's service runs as on every distribution that packages it.
AGENT_USER: typing.Final = 'ceilometer'

#: The service that publishes to Gnocchi, by its program's name.
_NOTIFICATION: typing.Final = 'ceilometer-agent-notification'

#: How long the pollsters may take to load: ceilometer takes a second or two.
LOAD_TIMEOUT_S: typing.Final = 60.0

#: Loads what the agent would.  A process of its own, because what goes wrong
#: while somebody else's package is imported may be anything at all.
_LOAD: typing.Final = """\
from memstat_pollster.config import entrypoints
for each in entrypoints.own():
    each.load()
"""

_POLLING: typing.Final = cfg.StrOpt('cfg_file', default='polling.yaml')

_UNKNOWN: typing.Final = 'libvirt did not answer'


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """All checks, and whether libvirt answered at all."""

    checks: tuple[Check, ...]
    libvirt_answered: bool

    @property
    def exit_status(self) -> outcome.ExitStatus:
        """How the command ends."""
        if not self.libvirt_answered:
            return outcome.ExitStatus.UNREACHABLE
        if any(check.outcome in (Grade.WARNING, Grade.ERROR)
               for check in self.checks):
            return outcome.ExitStatus.PROBLEMS
        return outcome.ExitStatus.OK


class Examination:
    """Looks at everything; nothing of what is found wrong ends it.

    :param sources: --config-file and --config-dir, in order
    :param uri: --uri
    :param make_inspector: of a configuration
    """

    def __init__(self, sources: collections.abc.Sequence[tuple[str, str]],
                 uri: str | None,
                 make_inspector: survey.MakeInspector) -> None:
        self._sources, self._uri = sources, uri
        self._make_inspector = make_inspector
        # With the rights of whoever runs this: the agent's user may see none
        # of what is installed here, which does not mean that it is not.
        self._ceilometer = versions.of('ceilometer')
        self._bindings = versions.of('libvirt-python')
        self._package = packaged.directory()
        self._own = {each.name for each in entrypoints.own()}
        self._rivals = {name: sorted({each.dist.name if each.dist
                                      else each.value
                                      for each in entrypoints.rivals(name)})
                        for name in meters.METERS}
        self._in_tree = [name for name in served.METERS
                         if entrypoints.rivals(name)]

    def run(self) -> Findings:
        """Every check, in the order in which they are shown."""
        self._barred = rights.barred(sys.executable)
        conf, found = self._configuration()
        settings, problems = options.load(conf)
        wall_s = time.time()
        with contextlib.closing(self._make_inspector(conf)) as source:
            cycle = node.make_monitor(conf, source).cycle()
            host, error = self._host(source, cycle)
        guests = tuple(cycle.guests.values())
        files = settings.nova_config_files
        wanted = cycle.wanted
        found += [
            checks.options(problems),
            self._user(),
            checks.libvirt(source.uri, rights.user_name(),
                           None if error is None else str(error),
                           None if error is None else error.advice),
            *self._versions(host),
            *self._python(settings.replace_builtin),
            *self._polling(conf, guests, settings),
            checks.nova_conf(
                wanted.period_s, wanted.problems,
                any(map(ceilometer_conf.is_there, files)),
                _let_in([*files, *(file + '.d' for file in files)])
                or (None if wanted.other_s is None else checks.SAY_THE_ORDER)),
        ]
        found += [
            checks.guest_periods(guests, wanted.period_s),
            checks.clock(guests, wall_s),
        ] if error is None else [
            Check('guest_periods', Grade.SKIPPED, _UNKNOWN),
            Check('clock', Grade.SKIPPED, _UNKNOWN)]
        found.append(self._gnocchi(conf))
        return Findings(tuple(found), error is None)

    def _configuration(self) -> tuple[cfg.ConfigOpts, list[Check]]:
        """The agent's files; what they would say if they said nothing."""
        try:
            conf, _problems = ceilometer_conf.load(self._sources, self._uri)
        except errors.ConfigurationError as exc:
            return ceilometer_conf.defaults(self._uri), [checks.configuration(
                str(exc).removeprefix('configuration: '),
                _let_in([path for _option, path in self._sources]
                        or [ceilometer_conf.CEILOMETER_CONF]))]
        names = conf.config_file or []
        names = [*names, *(conf.config_dir or [])]
        if not names:
            return conf, [Check(
                'configuration', Grade.SKIPPED,
                'there is no ceilometer.conf on this machine: the defaults '
                'are in force',
                'where it is kept elsewhere, name it with --config-file')]
        unread = sourceless.not_read(conf)
        if unread is not None:
            return conf, [checks.configuration_unread(names, unread)]
        either = ceilometer_conf.either_way(
            conf, self._sources or ceilometer_conf.as_started())
        if either:
            return conf, [checks.configuration_either(names, either)]
        return conf, [Check('configuration', Grade.OK,
                                   f'{checks.listed(names)} can be used')]

    @staticmethod
    def _user() -> Check:
        name = rights.user_name()
        groups = sorted({rights.group_name(number) for number in
                         (os.getegid(), *os.getgroups())})
        if os.geteuid() == 0:
            why = ('' if rights.has_user(AGENT_USER) else
                   f': there is no user {AGENT_USER} on this machine')
            return Check(
                'agent_user', Grade.SKIPPED,
                f'checked as root, who may read everything{why}',
                'name whom the agent runs as with --user')
        return Check('agent_user', Grade.OK,
                            f'checked as {name}, in the groups '
                            f'{", ".join(groups)}')

    @staticmethod
    def _host(source: inspector.Inspector, cycle: judged.Cycle) -> tuple[
            observation.HostFacts | None, observation.ReadFailed | None]:
        try:
            host = source.host()
        except observation.ReadFailed as exc:
            return None, exc
        if cycle.error is not None:
            return host, observation.ReadFailed(cycle.error, cycle.advice)
        return host, None

    def _versions(self, host: observation.HostFacts | None) -> list[Check]:
        return [
            *([checks.libvirt_version(host.libvirt),
               checks.hypervisor_version(host.hypervisor,
                                         host.hypervisor_version)]
              if host is not None else
              [Check(name, Grade.SKIPPED, _UNKNOWN)
               for name in ('libvirt_version', 'qemu_version')])]

    def _python(self, replace: bool) -> list[Check]:
        """What is installed in the Python of the agent, if that is this one.

        :param replace: [memstat]replace_builtin
        """
        if self._barred is not None:
            return [checks.not_the_agents(name, rights.user_name(),
                                          self._barred)
                    for name in ('libvirt_python', 'ceilometer_version',
                                 'entry_points', 'builtin_pollsters')]
        return [
            checks.bindings_version(self._bindings,
                                    bindings.libvirt is not None),
            checks.ceilometer_version(self._ceilometer),
            self._entry_points(),
            checks.builtin_pollsters(self._rivals, replace)]

    def _entry_points(self) -> Check:
        failure = None
        if self._ceilometer is not None:
            user = group = None
            if os.getuid() != os.geteuid():
                # A child must not get root's rights back.
                user, group = os.geteuid(), os.getegid()
            try:
                done = subprocess.run(
                    [sys.executable, '-c', _LOAD], cwd='/',
                    stdin=subprocess.DEVNULL, capture_output=True,
                    text=True, timeout=LOAD_TIMEOUT_S,
                    user=user, group=group)
            except OSError as exc:
                failure = f'{sys.executable} does not start: {exc.strerror}'
            except subprocess.TimeoutExpired:
                failure = (f'the pollsters did not load within '
                           f'{LOAD_TIMEOUT_S:g} s')
            else:
                if done.returncode:
                    lines = done.stderr.strip().splitlines() or [
                        f'exit status {done.returncode}']
                    failure = f'the pollsters do not load: {lines[-1]}'
        return checks.entry_points(self._own, failure,
                                   self._ceilometer is not None)

    def _polling(self, conf: cfg.ConfigOpts,
                 guests: tuple[judged.Guest, ...],
                 settings: options.Settings) -> list[Check]:
        try:
            name = ceilometer_conf.option(conf, _POLLING, 'polling')
        except errors.ConfigurationError as exc:
            return polling.broken('polling.yaml', _line(exc),
                                         'correct that option')
        file = (ceilometer_conf.find(conf, name)
                or packaged.configuration(self._package, name))
        if file is None:
            if self._ceilometer is None and not self._sources:
                missing = f'there is no {name} on this machine'
                return [Check('polling_meters', Grade.SKIPPED, missing),
                        *polling.skipped(missing)]
            return polling.none(name)
        path = str(file)
        try:
            found = polling.sources(yamlfile.read(file))
        except errors.ConfigurationError as exc:
            return polling.broken(path, _line(exc),
                                         rights.who_may_read(path))
        except polling.BrokenPolling as exc:
            return polling.broken(
                path, f'{path}: {exc}',
                'correct the file: the agent does not start with it')
        periods = [guest.domain.period_s for guest in guests
                   if guest.domain and guest.domain.period_s
                   and guest.reading and guest.reading.running]
        return [polling.meters_polled(path, found),
                polling.interval(path, found, max(periods, default=None),
                                 serve=settings.serve_compute),
                polling.compute_meters(
                    path, found,
                    # Where none is seen, what is there is not known.
                    self._in_tree if self._in_tree and self._barred is None
                    else served.METERS,
                    serve=settings.serve_compute,
                    replace=settings.replace_builtin)]

    def _gnocchi(self, conf: cfg.ConfigOpts) -> Check:
        name = 'gnocchi_definitions'
        # What the notification agent has in its Python, if that is this one.
        package = None if self._barred else self._package
        try:
            configured, path, in_package = publisher.pipeline(conf, package)
            if path is None or in_package:
                # Ceilometer's package has one wherever it is installed: it
                # is read only where the notification agent runs.
                absent = f'there is no {configured} on this machine'
                services = processes.words_of(_NOTIFICATION)
                if services is None:
                    return Check(
                        name, Grade.SKIPPED, f'{absent}, and whether a '
                        'notification agent runs could not be found out',
                        'run this again, where the notification agent runs')
                if not any(ceilometer_conf.is_read_by(conf, words)
                           for words in services):
                    return Check(
                        name, Grade.SKIPPED, f'{absent}, and no '
                        'notification agent with this configuration is seen '
                        'to run', 'run this where the notification agent runs')
                if path is None:
                    return Check(
                        name, Grade.SKIPPED, f'{absent}: the notification '
                        'agent reads the one in its Ceilometer, which is not '
                        'in the Python environment of this command',
                        'run the memstat-pollster of the notification '
                        "agent's Python environment")
            pipeline, names = publisher.publishers(conf, package)
            if not names:
                return Check(name, Grade.SKIPPED,
                                    f'{pipeline} publishes nothing to Gnocchi')
            for each in names:
                if (each != definitions.DEFAULT_FILE
                        and ceilometer_conf.find(conf, each) is None):
                    raise errors.ConfigurationError(
                        f'{pipeline} names {each}, which is not there')
            if package is None and any(
                    ceilometer_conf.find(conf, each) is None
                    for each in names):
                return Check(
                    name, Grade.SKIPPED, f'{pipeline} publishes by the '
                    f'{definitions.DEFAULT_FILE} of the notification '
                    "agent's Ceilometer, which is not in the Python "
                    'environment of this command',
                    'run the memstat-pollster of the notification '
                    "agent's Python environment")
            files = [publisher.definitions_file(conf, package, each)
                     for each in names]
            missing = set(meters.METERS)
            for file in files:
                try:
                    missing &= set(definitions.missing(yamlfile.read(file)))
                except definitions.DefinitionsError as exc:
                    raise errors.ConfigurationError(
                        f'{file}: {exc}') from exc
        except errors.ConfigurationError as exc:
            return checks.broken_gnocchi(_line(exc))
        return checks.gnocchi_definitions(list(map(str, files)), missing)


def _let_in(paths: collections.abc.Iterable[str]) -> str | None:
    """The remedy for the first of them that cannot be read; None: all can."""
    return next(filter(None, map(rights.who_may_read, paths)), None)


def _line(error: Exception) -> str:
    """One line of a message that may have many, as YAML's have."""
    return text.printable(text.one_line(error), 400)
