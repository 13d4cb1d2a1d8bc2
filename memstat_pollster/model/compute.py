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

"""CPUs, disks and interfaces of one guest, by libvirt's bulk record and XML.

They are what Ceilometer's LibvirtInspector makes of one call for each guest,
disk and interface.  Whatever cannot be had from the record, or is no number,
makes that part of it None: that guest then has to be asked one by one.
Nothing here does I/O, and nothing here raises.
"""

import collections.abc
import dataclasses
import re
import typing

from lxml import etree

Parameters = collections.abc.Mapping[str, object]

#: What the bulk call is asked for beside memory, by Ceilometer's method.
INSTANCE: typing.Final = 'inspect_instance'
DISKS: typing.Final = 'inspect_disks'
#: Not in the bulk record: for a file its allocation and physical size are
#: others than blockInfo's (libvirt 9.0: allocation 0, physical without holes).
DISK_SIZES: typing.Final = 'inspect_disk_info'
INTERFACES: typing.Final = 'inspect_vnics'
KINDS: typing.Final = (INSTANCE, DISKS, DISK_SIZES, INTERFACES)
Kinds = collections.abc.Set[str]

_PERF: typing.Final = {
    'cpu_cycles': 'perf.cpu_cycles',
    'instructions': 'perf.instructions',
    'cache_references': 'perf.cache_references',
    'cache_misses': 'perf.cache_misses',
    # Up to Ceilometer 22.
    'memory_bandwidth_total': 'perf.mbmt',
    'memory_bandwidth_local': 'perf.mbml',
    'cpu_l3_cache_usage': 'perf.cmt',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """CPUs of one guest.

    :ivar cpu_time_ns: of all of its CPUs
    :ivar perf: by the name that Ceilometer gives them; only those there are
    """

    state: int
    cpus: int
    cpu_time_ns: int
    perf: collections.abc.Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class DiskUse:
    """What a guest has read and written of one disk; times in ns."""

    device: str
    read_requests: int
    read_bytes: int
    write_requests: int
    write_bytes: int
    read_time_ns: int
    write_time_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """An interface as the live XML describes it.

    :ivar parameters: those of its filter, its Open vSwitch id, its bridge
    """

    name: str
    mac: str | None
    filter: str | None
    parameters: collections.abc.Mapping[str, str | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """What one interface has received and sent."""

    interface: Interface
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_drop: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_drop: int


@dataclasses.dataclass(frozen=True, slots=True)
class Devices:
    """What a guest's live XML says of its disks and interfaces.

    :ivar disks: targets of the disks that have a source, in its order
    """

    domain_id: int
    disks: tuple[str, ...]
    interfaces: tuple[Interface, ...]


def _number(parameters: Parameters, key: str) -> int | None:
    value = parameters.get(key)
    # type() and not isinstance(): True is no number here.
    return value if type(value) is int and value >= 0 else None


def _numbers(parameters: Parameters, keys: collections.abc.Iterable[str],
             ) -> list[int] | None:
    """All of these numbers; None where one of them cannot be used."""
    found = [_number(parameters, key) for key in keys]
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None


_VCPU_TIME: typing.Final = re.compile(r'vcpu\.([0-9]+)\.time', re.ASCII)


def instance(parameters: Parameters) -> Instance | None:
    """CPU time as in Ceilometer's LibvirtInspector.inspect_instance.

    It is the sum of run and wait of the CPUs that are there.  CPU numbers
    have holes where CPUs were unplugged; where not all have both, it is
    libvirt's own sum.
    """
    state = _number(parameters, 'state.state')
    current = _number(parameters, 'vcpu.current')
    maximum = _number(parameters, 'vcpu.maximum')
    if state is None or not current or maximum is None:
        return None
    total = counted = 0
    for key in parameters:
        named = _VCPU_TIME.fullmatch(key)
        if named is None or len(named[1]) > 9 or int(named[1]) >= maximum:
            continue
        pair = _numbers(parameters, (key, f'vcpu.{named[1]}.wait'))
        if pair is not None:
            total += sum(pair)
            counted += 1
    cpu_time = (total if counted == current
                else _number(parameters, 'cpu.time'))
    if cpu_time is None:
        return None
    perf = {name: value for name, key in _PERF.items()
            if (value := _number(parameters, key)) is not None}
    return Instance(state, current, cpu_time, perf)


def _rows(parameters: Parameters, group: str) -> dict[str, str] | None:
    """The prefix of the keys of each device, by its name.

    None where two have one name.
    """
    rows: dict[str, str] = {}
    for key, name in parameters.items():
        parts = key.split('.')
        if (len(parts) == 3 and parts[0] == group and parts[2] == 'name'
                and isinstance(name, str)):
            if name in rows:
                return None
            rows[name] = f'{group}.{parts[1]}'
    return rows


_USE: typing.Final = ('rd.reqs', 'rd.bytes', 'wr.reqs', 'wr.bytes',
                      'rd.times', 'wr.times')
_TRAFFIC: typing.Final = (
    'rx.bytes', 'rx.pkts', 'rx.errs', 'rx.drop',
    'tx.bytes', 'tx.pkts', 'tx.errs', 'tx.drop')


def _device_numbers(parameters: Parameters, group: str,
                    names: collections.abc.Iterable[str],
                    keys: tuple[str, ...]) -> list[list[int]] | None:
    """These numbers of each of these devices; None where one is missing."""
    rows = _rows(parameters, group)
    if rows is None:
        return None
    found = []
    for name in names:
        if name not in rows:
            return None
        numbers = _numbers(parameters,
                           (f'{rows[name]}.{key}' for key in keys))
        if numbers is None:
            return None
        found.append(numbers)
    return found


def disk_uses(parameters: Parameters, devices: Devices,
              ) -> list[DiskUse] | None:
    """What the guest has read and written, in the order of the XML."""
    found = _device_numbers(parameters, 'block', devices.disks, _USE)
    return None if found is None else [
        DiskUse(device, *numbers)
        for device, numbers in zip(devices.disks, found, strict=True)]


def traffic(parameters: Parameters, devices: Devices) -> list[Traffic] | None:
    """What the guest's interfaces have carried, in the order of the XML."""
    found = _device_numbers(
        parameters, 'net', (each.name for each in devices.interfaces),
        _TRAFFIC)
    return None if found is None else [
        Traffic(interface, *numbers)
        for interface, numbers in zip(devices.interfaces, found,
                                      strict=True)]


def fingerprint(parameters: Parameters, group: str) -> frozenset[object]:
    """What changes when a disk or interface comes, goes or changes medium.

    :param group: block or net

    Another fingerprint means that the XML has to be read again.
    """
    found: set[object] = set()
    for key, value in parameters.items():
        if not key.startswith(f'{group}.'):
            continue
        if key.endswith(('.name', '.path')):
            found.add((key, str(value)))
        elif key.endswith('.physical'):
            found.add(key)
    return frozenset(found)


def devices(xml: str) -> Devices | None:
    """The disks and interfaces of a guest's live XML, as Ceilometer sees them.

    None where the XML cannot be used.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(xml.encode(), parser)
        domain_id = int(root.get('id', '-1'))
    except (etree.XMLSyntaxError, UnicodeEncodeError, ValueError):
        return None
    disks = tuple(
        name for disk in root.findall('devices/disk')
        if disk.find('source') is not None
        for target in disk.findall('target') if (name := target.get('dev')))
    interfaces = []
    for element in root.findall('devices/interface'):
        target, mac = element.find('target'), element.find('mac')
        if target is None or mac is None:
            continue
        name = target.get('dev')
        if name is None:
            return None
        interfaces.append(Interface(name, mac.get('address'),
                                    *_filter(element)))
    return Devices(domain_id, disks, tuple(interfaces))


def _filter(element: etree._Element) -> tuple[
        str | None, dict[str, str | None]]:
    reference, source = element.find('filterref'), element.find('source')
    parameters: dict[str, str | None] = {
        (each.get('name') or '').lower(): each.get('value')
        for each in element.findall('filterref/parameter')}
    port = element.find('virtualport/parameters')
    parameters['interfaceid'] = (None if port is None
                                 else port.get('interfaceid'))
    parameters['bridge'] = None if source is None else source.get('bridge')
    return (None if reference is None else reference.get('filter'),
            parameters)
