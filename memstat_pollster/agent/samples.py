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

"""The samples of each meter, all from one reading a cycle."""

import collections.abc
import threading
import time
import typing
import uuid

from ceilometer.compute.pollsters import util
from ceilometer import sample as ceilometer_sample
from oslo_config import cfg

from memstat_pollster.agent import devices
from memstat_pollster.agent import discovery
from memstat_pollster.agent import own_calls
from memstat_pollster.agent import shared
from memstat_pollster.model import compute
from memstat_pollster.model import judged
from memstat_pollster.model import meters
from memstat_pollster.model import observation
from memstat_pollster.model import stats

#: Where a cycle is kept in the dictionary that the agent hands to every
#: pollster of one polling cycle.
CACHE_KEY: typing.Final = 'memstat_pollster'

#: For how many seconds after it was read a cycle serves pollsters that are
#: called.  The agent stamps a sample with the time at which its pollster was
#: called, and between two of the plugin's an in-tree one may hang for hours
#: on a QEMU that does not answer.
CYCLE_LASTS_S: typing.Final = 10.0

GetSamples = collections.abc.Callable[..., collections.abc.Iterator[
    typing.Any]]


def metadata(meter: meters.Meter, guest: judged.Guest) -> dict[str, str]:
    """What a sample says beside its number.

    Nothing of it is the guest's or the tenant's own text.
    """
    extra = {'balloon_status': guest.verdict.status.word}
    if meter.name == 'memory.usage' and guest.memory is not None:
        extra['memory_usage_source'] = guest.memory.source
    if meter.name == 'memory.balloon.status':
        extra['balloon_detail'] = guest.verdict.detail
        extra['balloon_remedy'] = guest.remedy or ''
    return extra


_monotonic_s = time.monotonic


class CycleOnce:
    """One cycle for all pollsters of one polling cycle, in any thread.

    And another one for those that are called long after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cycle: judged.Cycle | None = None
        self._lasts_until_s = 0.0
        self._described: dict[str, ceilometer_sample.Sample] = {}
        self._first = ''
        self._asked: compute.Kinds = frozenset()
        self._read: compute.Kinds = frozenset()
        self._more: dict[str, observation.Snapshot] = {}
        #: For what Ceilometer's pollsters ask libvirt; None before a reading.
        self.patience: own_calls.Patience | None = None
        #: Held while the answers to a pollster of Ceilometer's are made.
        self.answering = threading.Lock()
        #: By group, the records that known devices were compared with.
        self.devices_of: dict[str, devices.Records] = {}

    def get(self, agent: shared.Agent, discovered: collections.abc.Set[str],
            name: str, kinds: compute.Kinds = frozenset()) -> judged.Cycle:
        """The cycle's reading, made for the first pollster that asks.

        :param name: of the pollster that asks
        :param kinds: what it needs beside memory.  What the last cycle that
            began with the same pollster needed is read at once
        """
        with self._lock:
            if self._cycle is None or _monotonic_s() > self._lasts_until_s:
                began_s = _monotonic_s()
                self._more.clear()
                self._first, self._asked = name, frozenset()
                wanted = agent.usual.get(name, frozenset()) | kinds
                self._cycle = (agent.monitor.cycle(wanted) if wanted
                               else agent.monitor.cycle())
                # From here, not from the reading: one that takes long would
                # else be made for each of the pollsters.
                self._lasts_until_s = _monotonic_s() + CYCLE_LASTS_S
                self.patience = own_calls.Patience(
                    agent.read_timeout_s - _monotonic_s() + began_s,
                    agent.own_calls.max_stuck)
                agent.discovery.tell_undiscovered(self._cycle, discovered)
                self._read = wanted
            self._asked |= kinds
            agent.usual[self._first] = self._asked
            return self._cycle

    def records(self, agent: shared.Agent, kind: str, name: str,
                ) -> tuple[float, devices.Records, str | None]:
        """When was read, each guest's record of this kind, and what failed."""
        cycle = self.get(agent, frozenset(), name, frozenset((kind,)))
        with self._lock:
            if kind in self._read:
                return cycle.monotonic_s, cycle.records, cycle.error
            more = self._more.get(kind)
            if more is None:
                more = self._more[kind] = agent.monitor.read_more(
                    frozenset((kind,)))
            return more.monotonic_s, more.records, more.error

    def sample(self, conf: cfg.ConfigOpts, instance: typing.Any,
               meter: meters.Meter, volume: float, extra: dict[str, str],
               monotonic_s: float) -> ceilometer_sample.Sample:
        """A sample as ceilometer's ``make_sample_from_instance`` makes it.

        What ceilometer says of an instance is the same for every meter, and
        putting it together costs a third of a sample: it is done once a cycle.
        """
        known = self._described.get(instance.id)
        if known is None:
            known = self._described[instance.id] = (
                util.make_sample_from_instance(
                    conf, instance, name=meter.name, type=meter.type,
                    unit=meter.unit, volume=volume))
        return ceilometer_sample.Sample(
            name=meter.name, type=meter.type, unit=meter.unit, volume=volume,
            user_id=known.user_id, project_id=known.project_id,
            resource_id=known.resource_id, monotonic_time=monotonic_s,
            resource_metadata={**known.resource_metadata, **extra},
            # Ceilometer's default, uuid1, takes 8 to 30 us where uuid4 takes
            # 4: more than all the rest of a sample.
            id=str(uuid.uuid4()))


def _reports_stopped(conf: cfg.ConfigOpts) -> bool:
    return bool(discovery.compute_option(
        conf, 'report_stopped_instance_metrics'))


def samples_of(meter: meters.Meter) -> GetSamples:
    """A ``get_samples`` method for this meter, for any pollster's class."""

    def get_samples(self: typing.Any, manager: typing.Any,
                    cache: dict[str, typing.Any],
                    resources: collections.abc.Iterable[typing.Any],
                    ) -> collections.abc.Iterator[ceilometer_sample.Sample]:
        """Samples of the guests that have a value; see PollsterBase."""
        # dict.setdefault is atomic: with threads_to_process_pollsters > 1
        # the pollsters of a cycle come here at the same time.
        once = cache.setdefault(CACHE_KEY, CycleOnce())
        agent = shared.agent_of(manager, self.conf)
        instances = list(resources)
        cycle = once.get(agent, {instance.id for instance in instances},
                         meter.name)
        for instance in instances:
            guest = cycle.find(instance.id)
            if guest is None:
                # Gone since discovery, or never on this node.
                continue
            if (guest.reading is not None
                    and guest.reading.state == stats.STATE_SHUTOFF
                    and not (meter.stopped and _reports_stopped(self.conf))):
                continue
            value = meter.value(guest)
            if value is None:
                continue
            try:
                made = once.sample(self.conf, instance, meter, value,
                                   metadata(meter, guest), cycle.monotonic_s)
            except (AttributeError, KeyError, TypeError, ValueError) as exc:
                agent.discovery.tell_incomplete(guest, exc)
                continue
            yield made

    return get_samples
