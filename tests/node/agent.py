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
"""The real ceilometer-polling agent beside a node, as an unprivileged user.

Its notifications go to a driver of oslo.messaging that writes each as a line
of JSON: what is read back here is what the agent published, without a
message bus.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import typing

import yaml

from tests.node import directory
from tests.node import tools

#: Those that Ceilometer 27 has itself.
IN_TREE = ('memory', 'memory.usage', 'memory.available', 'memory.resident',
           'memory.swap.in', 'memory.swap.out')

#: nobody and nogroup: may use a socket that is open to all, and no other.
UNPRIVILEGED = 65534

#: CAP_DAC_READ_SEARCH, see unprivileged().
READ_ONLY_CAPABILITIES = 1 << 2

_PACKAGE = pathlib.Path(__file__).resolve().parent.parent.parent

#: The meters of the plugin, as the example for operators lists them.
METERS: typing.Final[tuple[str, ...]] = tuple(yaml.safe_load(
    (_PACKAGE / 'etc' / 'polling.yaml').read_text())['sources'][0]['meters'])

_DRIVER = """\
[oslo.messaging.notify.drivers]
jsonlines = notify_driver:JSONLines
"""

#: From Python 3.14 on a worker that multiprocessing starts does not inherit
#: what oslo.log has set up, so that nothing of it would be in the log.
_SITE = """\
import multiprocessing
multiprocessing.set_start_method('fork')
"""


def unprivileged() -> tuple[str, ...]:
    """The command that runs another as nobody, and ends it with us.

    Where nobody cannot so much as read the interpreter or the checkout
    (below /root), it may search and read everything, but still writes and
    connects nowhere that is not open to all.
    """
    command = ('setpriv', f'--reuid={UNPRIVILEGED}',
               f'--regid={UNPRIVILEGED}', '--clear-groups',
               '--no-new-privs', '--pdeathsig=KILL')
    check = [*command, '--bounding-set=-all', '--inh-caps=-all',
             sys.executable, '-c',
             f'import os; os.listdir({sys.prefix!r}); '
             f'os.listdir({sys.base_prefix!r}); '
             f'os.listdir({str(_PACKAGE)!r})']
    if subprocess.run(check, cwd='/', capture_output=True).returncode == 0:
        return (*command, '--bounding-set=-all', '--inh-caps=-all')
    return (*command, '--bounding-set=-all,+dac_read_search',
            '--inh-caps=-all,+dac_read_search',
            '--ambient-caps=-all,+dac_read_search')


@dataclasses.dataclass(frozen=True)
class Sample:
    """One sample as the agent published it.

    :ivar unit: with the sample's type, so that one tuple tells both
    :ivar read_s: the agent's monotonic clock when the cycle was read that it
        is of, the same for all of the plugin's; None: not the plugin's
    """

    name: str
    resource_id: str
    volume: float
    unit: str
    type: str
    timestamp: str
    project_id: str
    user_id: str
    metadata: dict[str, typing.Any] = dataclasses.field(compare=False)
    read_s: float | None = dataclasses.field(default=None, compare=False)

    @classmethod
    def of(cls, message: dict[str, typing.Any]) -> Sample:
        metadata = message['resource_metadata']
        return cls(message['counter_name'], message['resource_id'],
                   message['counter_volume'], message['counter_unit'],
                   message['counter_type'], message['timestamp'],
                   message['project_id'], message['user_id'], metadata,
                   message['monotonic_time'] if 'balloon_status' in metadata
                   else None)


def polling_command() -> str:
    """The agent of this environment, or else the distribution's."""
    found = shutil.which('ceilometer-polling', path=os.pathsep.join((
        os.path.dirname(sys.executable), '/usr/bin')))
    if found is None:
        raise FileNotFoundError('ceilometer-polling')
    return found


def run_unprivileged(code: str, *arguments: str) -> str:
    """What a piece of Python prints when nobody runs it."""
    return subprocess.run(
        [*unprivileged(), sys.executable, '-c', code, *arguments], cwd='/',
        check=True, capture_output=True, text=True).stdout


@dataclasses.dataclass(frozen=True)
class Process:
    """A process as /proc describes it.

    :ivar uids: real, effective, saved and file system user id
    """

    pid: int
    parent: int
    uids: list[int]
    effective_capabilities: int

    @classmethod
    def of(cls, entry: pathlib.Path) -> Process:
        fields = dict(line.split(':', 1) for line in
                      (entry / 'status').read_text().splitlines())
        return cls(int(entry.name), int(fields['PPid']),
                   [int(uid) for uid in fields['Uid'].split()],
                   int(fields['CapEff'], 16))


class AgentDied(Exception):
    """The agent ended by itself; the message has the end of its log."""


class Agent:
    """A ceilometer-polling process with the plugin installed.

    :param uri: libvirt's URI for the agent
    :param interval: seconds between two polling cycles
    :param meters: what its polling.yaml lists
    :param sources: more sources of its polling.yaml
    :param options: more of ceilometer.conf: {group: {option: value}}
    :param nova_conf: text of the nova.conf that the plugin is to read; None:
        the file does not exist
    :param command: that starts it, less the arguments; by default this
        environment's agent, as nobody
    :param user: the id of the user that the command runs it as
    """

    def __init__(self, uri: str, *, interval: int = 1,
                 meters: collections.abc.Sequence[str] = METERS,
                 sources: collections.abc.Sequence[
                     collections.abc.Mapping[str, object]] = (),
                 options: collections.abc.Mapping[
                     str, collections.abc.Mapping[str, object]] | None = None,
                 nova_conf: str | None = (
                     '[libvirt]\nmem_stats_period_seconds = 10\n'),
                 command: collections.abc.Sequence[str] | None = None,
                 user: int = UNPRIVILEGED) -> None:
        self._kept = directory.Directory('memstat-agent-')
        self.directory = self._kept.path
        self.nova_conf = self.directory / 'nova.conf'
        self.log_path = self.directory / 'agent.log'
        self.log_path.touch()
        self._samples = self.directory / 'samples.jsonl'
        self._command = command
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._read: list[Sample] = []
        self._offset = 0
        if nova_conf is not None:
            self.nova_conf.write_text(nova_conf)
        (self.directory / 'polling.yaml').write_text(yaml.safe_dump({
            'sources': [{'name': 'memstat', 'interval': interval,
                         'meters': list(meters)}, *map(dict, sources)]}))
        (self.directory / 'ceilometer.conf').write_text(
            _configuration(self._groups(uri, options or {})))

    def _groups(self, uri: str, more: collections.abc.Mapping[
            str, collections.abc.Mapping[str, object]],
            ) -> dict[str, dict[str, object]]:
        groups: dict[str, dict[str, object]] = collections.defaultdict(dict)
        groups['DEFAULT'] = {
            'libvirt_uri': uri,
            'transport_url': 'fake://',
            'host': 'node',
        }
        groups['polling'] = {'cfg_file': self.directory / 'polling.yaml'}
        groups['compute'] = {'instance_discovery_method': 'libvirt_metadata'}
        groups['publisher_notifier'] = {'telemetry_driver': 'jsonlines'}
        groups['memstat'] = {'nova_config_files': self.nova_conf}
        for group, options in more.items():
            groups[group].update(options)
        return groups

    def __enter__(self) -> Agent:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _install_driver(self) -> pathlib.Path:
        """A directory for the agent's path: driver and start method."""
        plugins = self.directory / 'plugins'
        metadata = plugins / 'memstat_node-1.dist-info'
        metadata.mkdir(parents=True, exist_ok=True)
        (metadata / 'METADATA').write_text(
            'Metadata-Version: 2.1\nName: memstat-node\nVersion: 1\n')
        (metadata / 'entry_points.txt').write_text(_DRIVER)
        shutil.copy(pathlib.Path(__file__).with_name('notify_driver.py'),
                    plugins)
        (plugins / 'sitecustomize.py').write_text(_SITE)
        return plugins

    def start(self) -> None:
        """Start the agent; its log and its samples begin anew."""
        environment = dict(os.environ, MEMSTAT_SAMPLES=str(self._samples),
                           PYTHONPATH=str(self._install_driver()))
        self._samples.write_bytes(b'')
        self._read, self._offset = [], 0
        os.chown(self._samples, self._user, UNPRIVILEGED)
        command = [*(self._command or (
                       *unprivileged(), sys.executable, polling_command())),
                   '--polling-namespaces', 'compute', '--config-file',
                   str(self.directory / 'ceilometer.conf')]
        with open(self.log_path, 'wb') as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd='/', env=environment)

    def stop(self, timeout: float = 30.0) -> int | None:
        """SIGTERM, and SIGKILL after ``timeout`` seconds.

        :returns: the agent's exit status; None when it did not run
        """
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
        return process.wait()

    def close(self) -> None:
        """Stop the agent and remove all that it wrote."""
        self.stop()
        self._kept.close()

    def processes(self) -> list[Process]:
        """The agent's main process and its workers."""
        found = []
        for entry in pathlib.Path('/proc').iterdir():
            if entry.name.isdigit():
                try:
                    found.append(Process.of(entry))
                except OSError:
                    continue  # it has just ended
        family = {self.pid}
        for process in found:
            if process.parent in family:
                family.add(process.pid)
        return [process for process in found if process.pid in family]

    def wait_log(self, text: str, timeout: float = 120.0) -> str:
        """Wait for a log line that contains a text; the line."""
        return typing.cast(str, self.wait_for(
            lambda _: next((line for line in self.log() if text in line),
                           None), f'{text!r} in the log', timeout))

    def write_nova_conf(self, text: str) -> None:
        """Another nova.conf, at once: nobody sees half of it."""
        written = self.nova_conf.with_suffix('.new')
        written.write_text(text)
        written.replace(self.nova_conf)

    @property
    def pid(self) -> int:
        """The PID of the agent's main process."""
        if self._process is None:
            raise AgentDied('the agent is not running')
        return self._process.pid

    def log(self, level: str | None = None) -> list[str]:
        """The log's lines; of one level, or of all."""
        # oslo.log before 6 ends a line with an escape sequence (colours).
        text = self.log_path.read_text(
            errors='backslashreplace').replace('\x1b[00m', '')
        complete, _, _partial = text.rpartition('\n')
        return [line for line in complete.split('\n')
                if level is None or f' {level} ' in line]

    def said(self, level: str | None = None) -> list[str]:
        """The plugin's own log lines: level and message."""
        found = []
        for line in self.log(level):
            head, logger, message = line.partition(' memstat_pollster.')
            if logger:
                _name, _, text = message.partition(' ')
                text = text.removeprefix('[-] ')
                found.append(f'{head.rpartition(" ")[2]} {text}')
        return found

    def samples(self) -> list[Sample]:
        """Every sample published since the start, in order."""
        with open(self._samples, 'rb') as published:
            published.seek(self._offset)
            complete, newline, _partial = published.read().rpartition(b'\n')
        self._offset += len(complete) + len(newline)
        for line in complete.splitlines():
            self._read += [Sample.of(each) for each in
                           json.loads(line)['payload']['samples']]
        return self._read

    def cycles(self) -> list[dict[str, dict[str, Sample]]]:
        """Samples by polling cycle: [{uuid: {meter: sample}}].

        The plugin's samples say which cycle they are of.  With those of
        Ceilometer's own pollsters a cycle is over when one that it had
        already has its turn again.  The last cycle, which may not be whole,
        is left out.

        :raises AssertionError: two samples of one guest and meter in a cycle
        """
        cycles: list[dict[str, dict[str, Sample]]] = [{}]
        turns: set[str] = set()
        previous = read_s = None
        for sample in self.samples():
            turn = (sample.name, sample.timestamp)
            if sample.read_s is None or read_s is None:
                over = turn != previous and sample.name in turns
            else:
                over = sample.read_s != read_s
            if over:
                cycles.append({})
                turns, read_s = set(), None
            turns.add(sample.name)
            previous, read_s = turn, sample.read_s or read_s
            guest = cycles[-1].setdefault(sample.resource_id, {})
            if sample.name in guest:
                raise AssertionError(f'two samples in a cycle: {sample}')
            guest[sample.name] = sample
        return cycles[:-1]

    def wait_cycles(self, count: int, timeout: float = 120.0,
                    ) -> list[dict[str, dict[str, Sample]]]:
        """Wait for so many whole cycles more than there are now."""
        wanted = len(self.cycles()) + count
        return self.wait_for(
            lambda cycles: cycles if len(cycles) >= wanted else None,
            f'{count} polling cycles', timeout)

    def wait_for(self, condition: collections.abc.Callable[
            [list[dict[str, dict[str, Sample]]]], typing.Any],
            what: str, timeout: float = 120.0) -> typing.Any:
        """Wait until a condition of the cycles is true; its value.

        :raises AgentDied: when the agent ends meanwhile
        :raises TimeoutError: with the end of the log
        """
        def check() -> typing.Any:
            if self._process is None or self._process.poll() is not None:
                raise AgentDied('\n'.join(self.log()[-20:]))
            return condition(self.cycles())
        try:
            return tools.wait_for(check, timeout, what, interval=0.1)
        except TimeoutError as error:
            tail = '\n'.join(self.log()[-20:])
            raise TimeoutError(f'{error}; the agent said:\n{tail}') from error

    def wait_status(self, uuid: str, word: str, timeout: float = 120.0,
                    ) -> dict[str, Sample]:
        """Wait until the newest cycle says this of a guest; its samples."""
        def newest(cycles: list[dict[str, dict[str, Sample]]]
                   ) -> dict[str, Sample] | None:
            guest = cycles[-1].get(uuid, {}) if cycles else {}
            status = guest.get('memory.balloon.status')
            if status and status.metadata['balloon_status'] == word:
                return guest
            return None
        return typing.cast(dict[str, Sample], self.wait_for(
            newest, f'{uuid} is {word}', timeout))


def _configuration(groups: dict[str, dict[str, object]]) -> str:
    return '\n'.join(
        f'[{group}]\n' + ''.join(f'{name} = {value}\n'
                                 for name, value in options.items())
        for group, options in groups.items())
