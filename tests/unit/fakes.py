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

"""A libvirt written by hand: what its connection returns, raises and hangs."""

import threading
import time

import libvirt

from memstat_pollster.host import inspector

NOVA = """<metadata>
  <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
    <nova:name>{name}</nova:name>
    <nova:image><nova:properties>{properties}</nova:properties></nova:image>
  </nova:instance></metadata>"""


def libvirt_error(code, message):
    """A real libvirtError, as the bindings raise it."""
    error = libvirt.libvirtError(message)
    error.err = (code, libvirt.VIR_FROM_QEMU, message,
                 libvirt.VIR_ERR_ERROR, None, None, None, 0, 0)
    return error


def uuid_of(number):
    return f'00000000-0000-4000-8000-{number:012d}'


def healthy(last_update, **changes):
    """The bulk record of a healthy guest; all numbers differ."""
    record = {
        'state.state': 1, 'state.reason': 1,
        'balloon.current': 524288, 'balloon.maximum': 1048576,
        'balloon.swap_in': 3072, 'balloon.swap_out': 5120,
        'balloon.major_fault': 7, 'balloon.minor_fault': 11,
        'balloon.unused': 131072, 'balloon.available': 501760,
        'balloon.usable': 262144, 'balloon.last-update': last_update,
        'balloon.disk_caches': 65536, 'balloon.hugetlb_pgalloc': 0,
        'balloon.hugetlb_pgfail': 0, 'balloon.rss': 204800,
    }
    record.update(changes)
    return {key: value for key, value in record.items() if value is not None}


class Monitor:
    """A QEMU's monitor: one call at a time, and it may be frozen.

    :ivar calls: how many calls have asked it
    """

    def __init__(self):
        self._free = threading.Event()
        self._free.set()
        self._lock = threading.Lock()
        self._since_s = None
        self.calls = 0

    def freeze(self):
        self._free.clear()

    def thaw(self):
        self._free.set()

    def ask(self):
        """False at once when another call holds it; blocks while frozen."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self.calls += 1
            self._since_s = time.time()
            if not self._free.wait(30):
                raise AssertionError('a frozen guest was never thawed')
            return True
        finally:
            self._since_s = None
            self._lock.release()

    def occupied_ms(self):
        """By the wall clock, and without a sign, as libvirt has it."""
        since_s = self._since_s
        return None if since_s is None else int(
            (time.time() - since_s) * 1000) % (1 << 32)


class Domain:
    """A guest of the fake libvirt.

    :ivar xml_error: raised when its XML is asked for
    :ivar metadata_error: raised when its metadata is asked for
    :ivar period_error: raised when its period is to be set
    :ivar period_set: called when its period has been set
    """

    def __init__(self, number, record, *, domain_id=None, period=10,
                 model='virtio', display_name='web', properties=''):
        self.uuid = uuid_of(number)
        self.domain_id = number if domain_id is None else domain_id
        self.name_ = f'instance-{number:08x}'
        self.record = record
        self.period, self.model = period, model
        self.display_name, self.properties = display_name, properties
        self.document = None
        self.xml_error = self.period_error = self.metadata_error = None
        self.period_set = lambda: None
        self.states_asked = 0
        self.monitor = Monitor()
        #: The guest's job, as XMLDesc needs it from libvirt 11 on.
        self.xml_monitor = Monitor()

    def UUIDString(self):
        return self.uuid

    def ID(self):
        return self.domain_id

    def name(self):
        return self.name_

    def controlInfo(self, flags=0):
        milliseconds = self.monitor.occupied_ms()
        if milliseconds is None:
            return [libvirt.VIR_DOMAIN_CONTROL_OK, 0, 0]
        return [libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, 0, milliseconds]

    def read(self):
        """The bulk record with NOWAIT; blocks on a QEMU that is frozen."""
        if not self.monitor.ask():
            return {key: self.record[key] for key in (
                'state.state', 'state.reason', 'balloon.current',
                'balloon.maximum') if key in self.record}
        return dict(self.record)

    def state(self, flags=0):
        """Waits for nobody, whatever the guest does."""
        self.states_asked += 1
        return [self.record['state.state'],
                self.record.get('state.reason', 0)]

    def setMemoryStatsPeriod(self, period, flags):
        """Blocks on a QEMU that is frozen, as libvirt does."""
        assert flags == libvirt.VIR_DOMAIN_AFFECT_LIVE
        if self.period_error is not None:
            raise self.period_error
        if not self.monitor.ask():
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_TIMEOUT,
                                'cannot acquire state change lock')
        self.period = period
        self.period_set()

    def metadata(self, kind, uri, flags):
        """Waits for nobody, whatever the guest does."""
        if self.metadata_error is not None:
            raise self.metadata_error
        if self.display_name is None:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN_METADATA,
                                'no metadata')
        # libvirt takes the namespace off the element that it returns.
        return f'<instance>\n  <name>{self.display_name}</name>\n</instance>'

    def XMLDesc(self, flags=0):
        self.xml_monitor.ask()
        if self.xml_error is not None:
            raise self.xml_error
        if self.document is not None:
            return self.document
        identity = f" id='{self.domain_id}'" if self.domain_id >= 0 else ''
        stats = ('' if self.period is None
                 else f"<stats period='{self.period}'/>")
        balloon = '' if self.model is None else (
            f"<memballoon model='{self.model}'>{stats}</memballoon>")
        metadata = '' if self.display_name is None else NOVA.format(
            name=self.display_name, properties=self.properties)
        return (f"<domain type='kvm'{identity}><name>{self.name_}</name>"
                f'<uuid>{self.uuid}</uuid>{metadata}'
                f'<devices>{balloon}</devices></domain>')


class Libvirt:
    """Stands for one libvirtd; ``open`` is an opener for the inspector.

    :ivar calls: names of the calls made, in order
    :ivar groups: what each bulk call asked for, in order
    :ivar open_errors: raised by the next opens, one each
    :ivar write_errors: raised by the next opens for writing, one each
    :ivar read_errors: raised by the next bulk reads, one each
    :ivar slow_s: how long a bulk read takes beyond its guests
    :ivar qemu_version: as libvirt writes it; 0 when it does not know
    :ivar before_retry: called before some guests are read again
    """

    def __init__(self, *domains):
        self.domains = {domain.uuid: domain for domain in domains}
        self.calls = []
        self.groups = []
        self.open_errors, self.read_errors = [], []
        self.write_errors = []
        #: Whether a thread is left for calls that may take long.
        self._threads = threading.Event()
        self._threads.set()
        self._awake = threading.Event()
        self._awake.set()
        self.opened = self.closed = 0
        self.slow_s = 0.0
        self.qemu_version = 9_001_002
        self.before_retry = lambda: None

    def freeze(self):
        """No call returns, whatever it asks for."""
        self._awake.clear()

    def use_up_threads(self):
        """No call returns that libvirtd does not know to be quick."""
        self._threads.clear()

    def thaw(self):
        self._awake.set()
        self._threads.set()
        for domain in self.domains.values():
            domain.monitor.thaw()
            domain.xml_monitor.thaw()

    def called(self, name):
        self.calls.append(name)
        if not self._awake.wait(30):
            raise AssertionError('a frozen libvirtd was never thawed')

    def need_thread(self):
        if not self._threads.wait(30):
            raise AssertionError('a thread was never free again')

    def open(self, uri):
        self.called('open')
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.opened += 1
        return Connection(self)

    def open_writable(self, uri):
        self.called('open_writable')
        if self.write_errors:
            raise self.write_errors.pop(0)
        return WritableConnection(self)

    def count(self, name):
        return self.calls.count(name)

    def inspector(self, **options):
        return inspector.Inspector('test:///fake', opener=self.open,
                                   writer=self.open_writable, **options)


BALLOON_AND_STATE = (libvirt.VIR_DOMAIN_STATS_BALLOON
                     | libvirt.VIR_DOMAIN_STATS_STATE)


class Connection:
    def __init__(self, owner):
        self._owner = owner

    def getAllDomainStats(self, stats=0, flags=0):
        owner = self._owner
        owner.called('stats')
        owner.need_thread()
        assert stats & BALLOON_AND_STATE == BALLOON_AND_STATE
        owner.groups.append(stats)
        assert flags == libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        if owner.read_errors:
            raise owner.read_errors.pop(0)
        time.sleep(owner.slow_s)
        return [(domain, domain.read())
                for domain in tuple(owner.domains.values())]

    def domainListGetStats(self, doms, stats=0, flags=0):
        owner = self._owner
        owner.called(('some', *(domain.name() for domain in doms)))
        owner.need_thread()
        assert stats & BALLOON_AND_STATE == BALLOON_AND_STATE
        owner.groups.append(stats)
        assert flags == libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        owner.before_retry()
        gone = [domain for domain in doms if domain.uuid not in owner.domains]
        if gone:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN, 'no domain')
        return [(domain, domain.read()) for domain in doms]

    def listAllDomains(self, flags=0):
        self._owner.called('list')
        wanted = {0: lambda domain: True,
                  libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE:
                      lambda domain: domain.domain_id >= 0,
                  libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING:
                      lambda domain: domain.record['state.state'] == 1}
        return [domain for domain in self._owner.domains.values()
                if wanted[flags](domain)]

    def getHostname(self):
        self._owner.called('host')
        return 'compute-7'

    def getInfo(self):
        # model, MiB, CPUs, MHz, NUMA nodes, sockets, cores, threads
        return ['x86_64', 65433, 16, 2600, 2, 4, 8, 3]

    def getLibVersion(self):
        return 10_002_003

    def getType(self):
        return 'QEMU'

    def getVersion(self):
        return self._owner.qemu_version

    def close(self):
        self._owner.closed += 1
        return 0


class WritableConnection(Connection):
    def lookupByUUIDString(self, uuid):
        self._owner.called('lookup')
        try:
            return self._owner.domains[uuid]
        except KeyError:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN,
                                'no domain') from None


def hold(test, domain):
    """Have another client's call be stuck at a guest until the test ends.

    As on libvirt 11 and later, its XML waits for that call.
    """
    domain.monitor.freeze()
    domain.xml_monitor.freeze()
    thread = threading.Thread(target=domain.monitor.ask, daemon=True)
    thread.start()
    test.addCleanup(thread.join)
    test.addCleanup(domain.xml_monitor.thaw)
    test.addCleanup(domain.monitor.thaw)
    wait_until(lambda: domain.monitor.occupied_ms() is not None,
               'a call that holds the guest')


def wait_until(condition, what, timeout=60.0):
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {timeout} s: {what}')
        time.sleep(0.005)
