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

"""Which calls to libvirt wait for a QEMU that does not answer.

``python -m benchmarks.calls`` starts guests on a node of its own, stops their
QEMUs and makes each call on a guest of its own, from a thread and a
connection of its own: on a frozen guest that nobody has asked anything since,
on one that another client's call is stuck on, and on a healthy one beside
them.  Needs root.  The documentation's table is made of the files that
``--json doc/source/measured/calls/HOST.json`` writes.
"""

import argparse
import collections.abc
from concurrent import futures
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import secrets
import subprocess
import sys
import threading
import time
import typing

import libvirt

from tests import node

NOVA = 'http://openstack.org/xmlns/libvirt/nova/1.1'
#: libvirtd starts more threads one by one, and not while a call waits for one:
#: enough are there from the beginning, so that no call waits for another.
WORKERS = 300
#: As many as libvirtd starts with.
FEW_WORKERS = 5
#: libvirt itself gives up waiting for a guest's job after 30 s.
DEADLINE_S = 35.0
#: What is answered at all while all threads are stuck is answered in ms.
DEADLINE_NO_THREAD_S = 5.0
#: So often each call is made on a healthy guest, in each state of the others.
TIMES = 10
AT_A_TIME = 5
MIB = 64
NIC = 'nic'

#: What the guest that is asked is like, and who else asks it.
STATES = {
    'idle': 'frozen, not asked anything since',
    'held': "another client's call is stuck on it",
    'held_long': 'the same, for more than 30 s',
    'same_connection': "that call is stuck on the caller's own connection",
    'healthy': 'a healthy guest beside them',
    'healthy_same_connection':
        "a healthy guest, on the stuck call's connection",
    'no_thread': "a healthy guest, and all of libvirtd's threads are stuck",
}

GROUPS = {
    'STATE': libvirt.VIR_DOMAIN_STATS_STATE,
    'BALLOON': libvirt.VIR_DOMAIN_STATS_BALLOON,
    'CPU_TOTAL': libvirt.VIR_DOMAIN_STATS_CPU_TOTAL,
    'VCPU': libvirt.VIR_DOMAIN_STATS_VCPU,
    'INTERFACE': libvirt.VIR_DOMAIN_STATS_INTERFACE,
    'BLOCK': libvirt.VIR_DOMAIN_STATS_BLOCK,
    'PERF': libvirt.VIR_DOMAIN_STATS_PERF,
    'IOTHREAD': libvirt.VIR_DOMAIN_STATS_IOTHREAD,
    'MEMORY': libvirt.VIR_DOMAIN_STATS_MEMORY,
    'DIRTYRATE': libvirt.VIR_DOMAIN_STATS_DIRTYRATE,
}
#: What Ceilometer's compute meters are made of.
METERED = ('STATE', 'BALLOON', 'CPU_TOTAL', 'VCPU', 'INTERFACE', 'BLOCK')
NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT


@dataclasses.dataclass(frozen=True)
class Target:
    """Whom a call is made on.

    :ivar uuid: of the guest that is asked
    :ivar healthy: of a guest beside it
    :ivar nic: of the guest that is asked: the name of its interface
    """

    connection: libvirt.virConnect
    uuid: str
    healthy: str
    nic: str
    read_only_uri: str

    @property
    def domain(self) -> libvirt.virDomain:
        return self.connection.lookupByUUIDString(self.uuid)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call.

    :ivar make: prepares it and returns what is to be timed
    :ivar writes: needs a connection that takes changes
    :ivar all_guests: asks all guests of the node, and so is not made while
        some of them are frozen and not held
    """

    make: collections.abc.Callable[
        [Target], collections.abc.Callable[[], typing.Any]]
    writes: bool = False
    all_guests: bool = False


def _domain(method: str, *arguments: typing.Any, **about: bool) -> Call:
    return Call(lambda target: lambda domain=target.domain: getattr(
        domain, method)(*arguments), **about)


def _node(method: str, *arguments: typing.Any) -> Call:
    return Call(lambda target: lambda: getattr(
        target.connection, method)(*arguments))


def _of_nic(target: Target) -> collections.abc.Callable[[], typing.Any]:
    domain = target.domain
    return lambda: domain.interfaceStats(target.nic)


def _stats(groups: collections.abc.Iterable[str], flags: int = NOWAIT
           ) -> Call:
    wanted = sum(GROUPS[name] for name in groups)

    def make(target: Target) -> collections.abc.Callable[[], typing.Any]:
        domain = target.domain
        return lambda: target.connection.domainListGetStats(
            [domain], wanted, flags)
    return Call(make)


def _all_stats(groups: collections.abc.Iterable[str], flags: int = NOWAIT,
               all_guests: bool = True) -> Call:
    wanted = sum(GROUPS[name] for name in groups)

    def make(target: Target) -> collections.abc.Callable[[], typing.Any]:
        return lambda: [
            each for each in target.connection.getAllDomainStats(wanted, flags)
            if each[0].UUIDString() == target.uuid]
    return Call(make, all_guests=all_guests)


CALLS: dict[str, Call] = {
    'openReadOnly': Call(lambda target: lambda: libvirt.openReadOnly(
        target.read_only_uri).close()),
    'getHostname': _node('getHostname'),
    'getInfo': _node('getInfo'),
    'getLibVersion': _node('getLibVersion'),
    'getVersion': _node('getVersion'),
    'getType': _node('getType'),
    'getCapabilities': _node('getCapabilities'),
    'listAllDomains': _node('listAllDomains', 0),
    'listAllDomains(ACTIVE)': _node(
        'listAllDomains', libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE),
    'getAllDomainStats(STATE)': _all_stats(['STATE'], 0, all_guests=False),
    'getAllDomainStats(STATE, NOWAIT)': _all_stats(
        ['STATE'], all_guests=False),
    'getAllDomainStats(STATE|BALLOON, NOWAIT)': _all_stats(
        ['STATE', 'BALLOON']),
    'getAllDomainStats(METERED, NOWAIT)': _all_stats(METERED),
    'lookupByUUIDString': Call(lambda target: lambda: (
        target.connection.lookupByUUIDString(target.uuid))),
    'UUIDString': _domain('UUIDString'),
    'name': _domain('name'),
    'ID': _domain('ID'),
    'state': _domain('state'),
    'info': _domain('info'),
    'isActive': _domain('isActive'),
    'isPersistent': _domain('isPersistent'),
    'OSType': _domain('OSType'),
    'maxMemory': _domain('maxMemory'),
    'controlInfo': _domain('controlInfo'),
    'metadata(nova)': _domain(
        'metadata', libvirt.VIR_DOMAIN_METADATA_ELEMENT, NOVA),
    'metadata(nova, LIVE)': _domain(
        'metadata', libvirt.VIR_DOMAIN_METADATA_ELEMENT, NOVA,
        libvirt.VIR_DOMAIN_AFFECT_LIVE),
    'XMLDesc': _domain('XMLDesc', 0),
    'XMLDesc(INACTIVE)': _domain(
        'XMLDesc', libvirt.VIR_DOMAIN_XML_INACTIVE),
    'jobInfo': _domain('jobInfo'),
    'jobStats': _domain('jobStats'),
    'vcpus': _domain('vcpus'),
    'vcpusFlags(LIVE)': _domain(
        'vcpusFlags', libvirt.VIR_DOMAIN_AFFECT_LIVE),
    'memoryStats': _domain('memoryStats'),
    'interfaceStats': Call(_of_nic),
    'blockStats': _domain('blockStats', 'vda'),
    'blockStatsFlags': _domain('blockStatsFlags', 'vda'),
    'blockInfo': _domain('blockInfo', 'vda'),
    'diskErrors': _domain('diskErrors'),
    'setMemoryStatsPeriod(LIVE)': _domain(
        'setMemoryStatsPeriod', 10, libvirt.VIR_DOMAIN_AFFECT_LIVE,
        writes=True),
    'setMemoryStatsPeriod(CONFIG)': _domain(
        'setMemoryStatsPeriod', 10, libvirt.VIR_DOMAIN_AFFECT_CONFIG,
        writes=True),
    **{f'domainListGetStats({name}, NOWAIT)': _stats([name])
       for name in GROUPS},
    'domainListGetStats(STATE|CPU_TOTAL|INTERFACE, NOWAIT)': _stats(
        ['STATE', 'CPU_TOTAL', 'INTERFACE']),
    'domainListGetStats(STATE|BALLOON, NOWAIT)': _stats(['STATE', 'BALLOON']),
    'domainListGetStats(STATE|BALLOON)': _stats(['STATE', 'BALLOON'], 0),
    'domainListGetStats(METERED, NOWAIT)': _stats(METERED),
    'domainListGetStats(0)': _stats([], 0),
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a call.

    :ivar took_s: None: nothing until the deadline
    :ivar error: libvirt's error code
    :ivar message: libvirt's words for it
    :ivar keys: what a bulk call says of the guest, numbers in names left out
    """

    took_s: float | None = None
    error: int | None = None
    message: str | None = None
    keys: tuple[str, ...] | None = None


def _keys(answer: typing.Any) -> tuple[str, ...] | None:
    """The keys of one guest's bulk record; None where it is another answer."""
    if (isinstance(answer, list) and answer and isinstance(answer[0], tuple)
            and isinstance(answer[0][0], libvirt.virDomain)):
        return tuple(sorted({re.sub(r'\.\d+\.', '.N.', key)
                             for key in answer[0][1]}))
    return None


class Attempt:
    """A call in a thread of its own, which may never return."""

    def __init__(self, call: Call, target: Target) -> None:
        self._call, self._target = call, target
        self._done = threading.Event()
        self._outcome = Outcome()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        error = message = keys = None
        began = time.perf_counter()
        try:
            made = self._call.make(self._target)
            began = time.perf_counter()
            keys = _keys(made())
        except libvirt.libvirtError as exc:
            error, message = exc.get_error_code(), exc.get_error_message()
        self._outcome = Outcome(time.perf_counter() - began, error, message,
                                keys)
        self._done.set()

    def outcome(self, deadline: float) -> Outcome:
        self._done.wait(max(deadline - time.monotonic(), 0))
        return self._outcome if self._done.is_set() else Outcome()

    @property
    def is_stuck(self) -> bool:
        return not self._done.is_set()


def worst(outcomes: collections.abc.Sequence[Outcome]) -> Outcome:
    """The one that took longest, or never came."""
    return max(outcomes, key=lambda each: (
        float('inf') if each.took_s is None else each.took_s))


class Guests:
    """Guests with a disk and an interface each, for one call each."""

    def __init__(self, compute: node.Node) -> None:
        self._node = compute
        # Other nodes of the machine may share its network.
        self._run = secrets.token_hex(2)
        self._nics: dict[str, str] = {}

    def start(self, prefix: str, count: int) -> list[node.ScriptedGuest]:
        with futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            return list(pool.map(
                lambda number: self._start(f'{prefix}-{number:02d}'),
                range(count)))

    def _start(self, name: str) -> node.ScriptedGuest:
        disk = self._node.directory / f'{name}.raw'
        with open(disk, 'wb') as image:
            image.truncate(1 << 20)
        nic = f'{NIC}{self._run}{name[0]}{name[-2:]}'
        guest = self._node.scripted(name, mib=MIB, period=10, devices=(
            f"<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
            f"<source file='{disk}'/><target dev='vda' bus='virtio'/></disk>"
            f"<interface type='ethernet'><target dev='{nic}' managed='yes'/>"
            f"<model type='virtio'/></interface>"))
        self._nics[guest.uuid] = nic
        return guest

    def target(self, guest: node.ScriptedGuest, beside: node.ScriptedGuest,
               connection: libvirt.virConnect) -> Target:
        return Target(connection, guest.uuid, beside.uuid,
                      self._nics[guest.uuid], self._node.ro_uri)

    def connect(self, call: Call) -> libvirt.virConnect:
        if call.writes:
            return libvirt.open(self._node.rw_uri)
        return libvirt.openReadOnly(self._node.ro_uri)


@dataclasses.dataclass
class Table:
    """Outcomes by call and state, the worst of each."""

    cells: dict[str, dict[str, list[Outcome]]] = dataclasses.field(
        default_factory=lambda: {
            name: {state: [] for state in STATES} for name in CALLS})

    def add(self, name: str, state: str, outcome: Outcome) -> None:
        self.cells[name][state].append(outcome)

    def result(self) -> dict[str, dict[str, dict[str, typing.Any]]]:
        """By call and state, without what there is nothing to say of."""
        return {name: {state: _said(worst(found),
                                    worst(states['healthy']).keys)
                       for state, found in states.items() if found}
                for name, states in self.cells.items()}


def _said(outcome: Outcome, whole: tuple[str, ...] | None
          ) -> dict[str, typing.Any]:
    """An outcome as JSON; `missing`: what a healthy guest's answer has."""
    said: dict[str, typing.Any] = {'took_s': (
        None if outcome.took_s is None else round(outcome.took_s, 4))}
    if outcome.error is not None:
        said.update(error=outcome.error, message=outcome.message)
    if whole is not None and outcome.keys is not None:
        missing = [key for key in whole if key not in outcome.keys]
        if missing:
            said.update(missing=missing, of=len(whole))
    return said


def say(text: str) -> None:
    print(f'== {time.strftime("%H:%M:%S")} {text}', file=sys.stderr,
          flush=True)


def _in_time(attempts: dict[str, Attempt], deadline_s: float
             ) -> dict[str, Outcome]:
    deadline = time.monotonic() + deadline_s
    return {name: attempt.outcome(deadline)
            for name, attempt in attempts.items()}


def _healthy(guests: Guests, guest: node.ScriptedGuest, table: Table,
             wanted: collections.abc.Collection[str],
             deadline_s: float) -> None:
    """Each call some times on a guest that is well, one after the other."""
    for name in wanted:
        connection = guests.connect(CALLS[name])
        target = guests.target(guest, guest, connection)
        for _ in range(TIMES):
            attempt = Attempt(CALLS[name], target)
            outcome = attempt.outcome(time.monotonic() + deadline_s)
            table.add(name, 'healthy', outcome)
            if attempt.is_stuck:
                break
        else:
            connection.close()


def _idle(guests: Guests, healthy: node.ScriptedGuest, table: Table,
          deadline_s: float) -> None:
    """A frozen guest for each call, and nobody else asks it anything."""
    wanted = [name for name, call in CALLS.items() if not call.all_guests]
    frozen = dict(zip(wanted, guests.start('idle', len(wanted)),
                      strict=True))
    connections = {name: guests.connect(CALLS[name]) for name in wanted}
    for guest in frozen.values():
        guest.freeze()
    say(f'{len(wanted)} calls on frozen guests')
    attempts = {name: Attempt(CALLS[name], guests.target(
        frozen[name], healthy, connections[name])) for name in wanted}
    _healthy(guests, healthy, table, wanted, deadline_s)
    for name, outcome in _in_time(attempts, deadline_s).items():
        table.add(name, 'idle', outcome)
    say('idle done')
    with futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(lambda guest: guest.destroy(), frozen.values()))
    say('guests destroyed')


def _held(guests: Guests, healthy: node.ScriptedGuest, table: Table,
          deadline_s: float) -> None:
    """A frozen guest for each call, and another call is stuck on it."""
    frozen = dict(zip(CALLS, guests.start('held', len(CALLS)), strict=True))
    holding = {name: guests.connect(call) for name, call in CALLS.items()}
    for guest in frozen.values():
        guest.freeze()
    began = time.monotonic()
    holders = {name: Attempt(CALLS['memoryStats'], guests.target(
        frozen[name], healthy, holding[name])) for name in CALLS}
    for guest in frozen.values():
        _wait_held(guest)
    say(f'{len(CALLS)} calls on held guests, after '
        f'{time.monotonic() - began:.1f} s')
    for state in ('held', 'held_long'):
        attempts = {name: Attempt(call, guests.target(
            frozen[name], healthy, guests.connect(call)))
            for name, call in CALLS.items()}
        _healthy(guests, healthy, table, CALLS, deadline_s)
        for name, outcome in _in_time(attempts, deadline_s).items():
            table.add(name, state, outcome)
        say(f'{state} done, {time.monotonic() - began:.1f} s')
    # One after the other: the first that stalls ends it for its call.
    attempts = {name: Attempt(Call(_repeated(call)), guests.target(
        healthy, healthy, holding[name])) for name, call in CALLS.items()}
    for name, outcome in _in_time(attempts, deadline_s).items():
        table.add(name, 'healthy_same_connection', outcome)
    attempts = {name: Attempt(call, guests.target(
        frozen[name], healthy, holding[name]))
        for name, call in CALLS.items()}
    for name, outcome in _in_time(attempts, deadline_s).items():
        table.add(name, 'same_connection', outcome)
    free = [name for name, holder in holders.items() if not holder.is_stuck]
    if free:
        raise RuntimeError(f'guests that were not held to the end: {free}')


def _no_thread(deadline_s: float, table: Table) -> None:
    """Calls on a healthy guest while all threads of libvirtd are stuck."""
    with node.Node(max_workers=FEW_WORKERS, max_clients=1000) as compute:
        guests = Guests(compute)
        healthy, *frozen = guests.start('few', FEW_WORKERS + 1)
        targets = {name: guests.target(healthy, healthy, guests.connect(call))
                   for name, call in CALLS.items()}
        for guest in frozen:
            guest.freeze()
        for guest in frozen:
            # One after the other: see WORKERS.
            Attempt(CALLS['memoryStats'], guests.target(
                guest, healthy, libvirt.openReadOnly(compute.ro_uri)))
            _wait_held(guest)
        say(f'{len(CALLS)} calls while {FEW_WORKERS} of {FEW_WORKERS} threads '
            f'are stuck')
        attempts = {name: Attempt(CALLS[name], target)
                    for name, target in targets.items()}
        for name, outcome in _in_time(attempts, deadline_s).items():
            table.add(name, 'no_thread', outcome)


def _wait_held(guest: node.ScriptedGuest) -> None:
    node.wait_for(lambda: guest.domain.controlInfo()[0]
                  == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, 20,
                  f'{guest.name}: held')


def _repeated(call: Call) -> collections.abc.Callable[
        [Target], collections.abc.Callable[[], typing.Any]]:
    """The same call, some times."""
    def make(target: Target) -> collections.abc.Callable[[], typing.Any]:
        made = call.make(target)

        def run() -> None:
            for _ in range(TIMES):
                made()
        return run
    return make


def _version(number: int) -> str:
    return f'{number // 1000000}.{number // 1000 % 1000}.{number % 1000}'


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()['PRETTY_NAME']
    except OSError:
        return platform.platform()


def measure(deadline_s: float) -> dict[str, typing.Any]:
    table = Table()
    _no_thread(min(deadline_s, DEADLINE_NO_THREAD_S), table)
    with node.Node(max_workers=WORKERS, max_clients=1000) as compute:
        subprocess.run(
            ['virt-admin', '-c', compute.admin_uri, 'server-threadpool-set',
             'libvirtd', '--min-workers', str(WORKERS)],
            check=True, stdout=subprocess.DEVNULL)
        guests = Guests(compute)
        healthy, = guests.start('well', 1)
        say('each call on a healthy guest')
        _healthy(guests, healthy, table, CALLS, deadline_s)
        _idle(guests, healthy, table, deadline_s)
        _held(guests, healthy, table, deadline_s)
        return {
            'date': datetime.datetime.now(datetime.timezone.utc).isoformat(
                timespec='minutes'),
            'distribution': _distribution(),
            'libvirt': _version(compute.connection.getLibVersion()),
            'qemu': _version(compute.connection.getVersion()),
            'linux': platform.release(),
            'deadline_s': deadline_s,
            'calls': table.result(),
        }


def _cell(found: dict[str, typing.Any] | None) -> str:
    if found is None:
        return '-'
    if found['took_s'] is None:
        return 'WAITS'
    text = f'{found["took_s"]:.4f} s'
    if 'error' in found:
        text += f', error {found["error"]}'
    if 'missing' in found:
        text += f', {len(found["missing"])} of {found["of"]} values missing'
    return text


def document(result: dict[str, typing.Any]) -> str:
    """As JSON, a line for each call and state: two runs can be compared."""
    lines = []
    for name, states in result['calls'].items():
        cells = ',\n'.join(f'   {json.dumps(state)}: {json.dumps(said)}'
                           for state, said in states.items())
        lines.append(f'  {json.dumps(name)}: {{\n{cells}}}')
    head = json.dumps({key: value for key, value in result.items()
                       if key != 'calls'}, indent=1)
    calls = ',\n'.join(lines)
    return f'{head[:-2]},\n "calls": {{\n{calls}}}}}\n'


def text(result: dict[str, typing.Any]) -> str:
    lines = [f'{result["distribution"]}: libvirt {result["libvirt"]}, '
             f'QEMU {result["qemu"]}, Linux {result["linux"]}',
             ' | '.join(['call', *STATES])]
    for name, states in result['calls'].items():
        lines.append(' | '.join(
            [name, *(_cell(states.get(state)) for state in STATES)]))
    return '\n'.join(lines)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.calls', description=(
            'Make each call to libvirt on frozen, held and healthy guests. '
            'Needs root; takes about four minutes.'))
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE',
                        help='write the results to this file as well')
    parser.add_argument('--deadline', type=float, default=DEADLINE_S,
                        metavar='S', help='how long a call may take '
                        '(default: %(default)s s)')
    chosen = parser.parse_args(words)
    try:
        result = measure(chosen.deadline)
    except node.MissingTools as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(document(result))
    print(text(result), flush=True)
    return 0


if __name__ == '__main__':
    status = main(sys.argv[1:])
    # Threads that wait for libvirt still are not waited for.
    sys.stdout.flush()
    os._exit(status)
