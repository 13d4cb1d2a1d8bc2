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

"""Ceilometer's own compute pollsters, answered from the plugin's reading.

Every in-tree libvirt pollster asks through
``GenericComputePollster._inspect_cached``, the same in Ceilometer 19 to 27.
Only where its numbers come from changes: samples, names, units and metadata
stay Ceilometer's.  A guest whose record lacks anything is asked by Ceilometer
itself; one that does not answer is not asked, and has no sample.
"""

import collections.abc
import typing

from ceilometer.compute import pollsters
from ceilometer.compute.virt import inspector as virt_inspector
from ceilometer.compute.virt.libvirt import inspector as libvirt_inspector

from memstat_pollster.agent import devices
from memstat_pollster.agent import hooks
from memstat_pollster.agent import own_calls
from memstat_pollster.agent import samples
from memstat_pollster.agent import shared
from memstat_pollster.config import options
from memstat_pollster.model import compute
from memstat_pollster.model import meters
from memstat_pollster.model import observation

Answer = tuple[float, list[typing.Any]]

_PART: typing.Final = hooks.Part(
    "answer Ceilometer's own pollsters",
    'They ask libvirt themselves, and a QEMU that does not answer can hold '
    'them up')


def serve() -> None:
    """Have Ceilometer's pollsters ask here first; once is enough."""
    hooks.decide(pollsters.GenericComputePollster, '_inspect_cached', _PART,
                 _decide)


def stop() -> None:
    """Leave Ceilometer's pollsters as they were."""
    hooks.take_back(pollsters.GenericComputePollster, '_inspect_cached')


def _decide(original: hooks.Function, pollster: typing.Any,
            cache: dict[str, typing.Any], instance: typing.Any,
            *args: typing.Any, **kwargs: typing.Any,
            ) -> hooks.Outcome[typing.Any] | None:
    """The plugin's answer, or what Ceilometer's own call comes to in time."""
    try:
        answer = _answer(pollster, cache, instance)
    except virt_inspector.InstanceNotFoundException as exc:
        return hooks.Outcome(None, exc)
    if answer is not None:
        return hooks.Outcome(answer, None)
    once = cache.get(samples.CACHE_KEY)
    agent = shared.agent_with(pollster.conf)
    if (once is None or agent is None or once.patience is None
            or not isinstance(pollster.inspector,
                              libvirt_inspector.LibvirtInspector)):
        return None
    done = agent.own_calls.ask(
        instance.id, lambda: original(pollster, cache, instance, *args,
                                      **kwargs), once.patience)
    if isinstance(done.error, own_calls.LeftBehind):
        # One stuck call makes others on its connection stall.  Ceilometer
        # opens another where it has none.
        pollster.inspector._libvirt_connection = None
    return done


def _answer(pollster: typing.Any, cache: dict[str, typing.Any],
            instance: typing.Any, *_: typing.Any, **__: typing.Any,
            ) -> Answer | None:
    """What the pollster would have had; None: Ceilometer has to ask.

    :raises InstanceNotFoundException: Ceilometer logs it at DEBUG
    """
    settings, _problems = options.load(pollster.conf)
    if pollster.sample_name in meters.METERS and settings.replace_builtin:
        # One that the plugin replaces; here it stands in for it.
        return None
    method = pollster.inspector_method
    if method not in compute.KINDS or not isinstance(
            pollster.inspector, libvirt_inspector.LibvirtInspector):
        return None
    done: dict[str, Answer] = cache.setdefault(method, {})
    if instance.id in done:
        return done[instance.id]
    agent = shared.agent_with(pollster.conf)
    if agent is None:
        return None
    once = cache.setdefault(samples.CACHE_KEY, samples.CycleOnce())
    # Of two threads the second would find no bytes since the first.
    with once.answering:
        if instance.id in done:
            return done[instance.id]
        read_s, records, error = once.records(
            agent, method, pollster.sample_name or '')
        record = records.get(instance.id)
        if error is not None or record is None:
            raise virt_inspector.InstanceNotFoundException(
                error or f'{instance.id} is not on this node')
        if record.domain_id < 0:
            return None
        if not record.reading.answered:
            raise virt_inspector.InstanceNotFoundException(
                f'{instance.id} does not answer')
        group = devices.GROUPS.get(method)
        if group is not None and once.devices_of.get(group) is not records:
            agent.known_devices.update(records, group)
            once.devices_of[group] = records
        if method not in _RESULTS:
            return None
        result = _RESULTS[method](pollster, agent, record)
        if result is not None:
            done[instance.id] = read_s, result
            return done[instance.id]
    return None


def _instance(pollster: typing.Any, agent: shared.Agent,
              record: observation.Record) -> list[typing.Any] | None:
    settings, _problems = options.load(pollster.conf)
    found = compute.instance(record.parameters or {})
    if found is None or not settings.replace_builtin:
        # Ceilometer's memory meters would come from the same answer.
        return None
    fields = {'power_state': found.state, 'cpu_number': found.cpus,
              'cpu_time': found.cpu_time_ns, **found.perf}
    return [virt_inspector.InstanceStats(**{
        name: value for name, value in fields.items()
        if name in virt_inspector.InstanceStats.fields})]


def _disks(pollster: typing.Any, agent: shared.Agent,
           record: observation.Record) -> list[typing.Any] | None:
    known = agent.known_devices.find(record, 'block')
    found = None if known is None else compute.disk_uses(
        record.parameters or {}, known)
    return None if found is None else [
        virt_inspector.DiskStats(
            device=each.device, read_requests=each.read_requests,
            read_bytes=each.read_bytes, write_requests=each.write_requests,
            write_bytes=each.write_bytes, errors=-1,
            rd_total_times=each.read_time_ns,
            wr_total_times=each.write_time_ns) for each in found]


def _interfaces(pollster: typing.Any, agent: shared.Agent,
                record: observation.Record) -> list[typing.Any] | None:
    known = agent.known_devices.find(record, 'net')
    found = None if known is None else compute.traffic(
        record.parameters or {}, known)
    return None if found is None else [
        _interface(pollster.inspector.cache, each) for each in found]


def _interface(before: dict[str, tuple[int, ...]],
               now: compute.Traffic) -> typing.Any:
    """With what has come and gone since the call before.

    ``before`` is Ceilometer's own, so that it can go on with it.
    """
    name = now.interface.name
    rx_before, tx_before = now.rx_bytes, now.tx_bytes
    if before.get(name):
        rx_before, tx_before = before[name][0], before[name][4]
    before[name] = (now.rx_bytes, now.rx_packets, now.rx_errors, now.rx_drop,
                    now.tx_bytes, now.tx_packets, now.tx_errors, now.tx_drop)
    return virt_inspector.InterfaceStats(
        name=name, mac=now.interface.mac, fref=now.interface.filter,
        parameters=dict(now.interface.parameters),
        rx_bytes=now.rx_bytes, rx_packets=now.rx_packets,
        rx_errors=now.rx_errors, rx_drop=now.rx_drop,
        rx_bytes_delta=_since(rx_before, now.rx_bytes),
        tx_bytes=now.tx_bytes, tx_packets=now.tx_packets,
        tx_errors=now.tx_errors, tx_drop=now.tx_drop,
        tx_bytes_delta=_since(tx_before, now.tx_bytes))


def _since(before: int, now: int) -> int:
    """A counter that is smaller than before has started again."""
    return now - before if now >= before else now


_Result = collections.abc.Callable[
    [typing.Any, shared.Agent, observation.Record], list[typing.Any] | None]

_RESULTS: typing.Final[dict[str, _Result]] = {
    compute.INSTANCE: _instance, compute.DISKS: _disks,
    compute.INTERFACES: _interfaces}
