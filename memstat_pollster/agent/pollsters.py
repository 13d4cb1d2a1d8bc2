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

"""The meters, as pollsters of Ceilometer's compute agent."""

import collections.abc
import threading
import time
import typing
import uuid
import weakref

from ceilometer.compute.pollsters import util
from ceilometer.polling import plugin_base
from ceilometer import sample as ceilometer_sample
from oslo_config import cfg
from oslo_log import log

from memstat_pollster.agent import takeover
from memstat_pollster.config import options
from memstat_pollster.model import journal
from memstat_pollster.model import judged
from memstat_pollster.model import meters
from memstat_pollster.model import stats
from memstat_pollster.model import status
from memstat_pollster.model import usage
from memstat_pollster import monitor
from memstat_pollster import node

LOG = log.getLogger(__name__)

#: Where a cycle is kept in the dictionary that the agent hands to every
#: pollster of one polling cycle.
CACHE_KEY: typing.Final = 'memstat_pollster'

#: For how many seconds after it was read a cycle serves pollsters that are
#: called.  The agent stamps a sample with the time at which its pollster was
#: called, and between two of the plugin's an in-tree one may hang for hours
#: on a QEMU that does not answer.
CYCLE_LASTS_S: typing.Final = 10.0

#: Whose exceptions mean that Nova was asked in vain.
NOVA_CLIENTS: typing.Final = ('keystoneauth1', 'novaclient')


def _mib(kib: int | None) -> float | None:
    return None if kib is None else kib / 1024


def _of_memory(field: str) -> collections.abc.Callable[
        [judged.Guest], float | None]:
    def value(guest: judged.Guest) -> float | None:
        return None if guest.memory is None else _mib(
            getattr(guest.memory, field))
    return value


def _util(guest: judged.Guest) -> float | None:
    return None if guest.memory is None else guest.memory.util_percent


def _balloon(guest: judged.Guest) -> float | None:
    """libvirt's own record; of a guest that is unreachable not always read."""
    if (guest.reading is None
            or guest.verdict.status is status.Status.UNREACHABLE):
        return None
    return _mib(usage.balloon_kib(guest.reading))


def _resident(guest: judged.Guest) -> float | None:
    return None if guest.reading is None else _mib(guest.reading.rss_kib)


#: Meter -> the sample's volume, or None where there is to be no sample.
VALUES: typing.Final[collections.abc.Mapping[
    str, collections.abc.Callable[[judged.Guest], float | None]]] = {
        'memory': _balloon,
        'memory.usage': _of_memory('used_kib'),
        'memory.available': _of_memory('available_kib'),
        'memory.usable': _of_memory('usable_kib'),
        'memory.unused': _of_memory('unused_kib'),
        'memory.util': _util,
        'memory.balloon.status': lambda guest: int(guest.verdict.status),
        'memory.stats.age': lambda guest: guest.age_s,
        'memory.resident': _resident,
        'memory.swap.in': _of_memory('swap_in_kib'),
        'memory.swap.out': _of_memory('swap_out_kib'),
    }


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


class _Agent:
    """What all pollsters of one agent share."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.monitor = node.make_monitor(conf)
        # Held for a second cycle: a guest may start after discovery.
        self._undiscovered = journal.Journal(False, quiet=(), immediate=())
        self._incomplete: set[str] = set()
        self._discovery = threading.Lock()
        self._discovered: set[str] = set()
        self._failing = False
        self._empty = 0

    def see_discovery(self, conf: cfg.ConfigOpts,
                      found: collections.abc.Collection[typing.Any],
                      error: Exception | None) -> None:
        """Take in what a discovery came to; say it if that means no meters.

        The agent repeats a discovery that fails for each of its pollsters,
        and does not call them: this is told once, until discovery recovers.
        """
        with self._discovery:
            self._discovered = {instance.id for instance in found}
            if found:
                if self._failing:
                    LOG.info("Ceilometer's discovery returns guests again")
                self._failing, self._empty = False, 0
                return
            if self._failing:
                return
            guests = [guest for guest in self.monitor.cycle().guests.values()
                      if guest.display_name is not None]
            # One that returns nothing may be right: a guest that has been
            # started meanwhile is found by the next.
            self._empty = self._empty + 1 if guests else 0
            if not guests or error is None and self._empty < 2:
                return
            self._failing = True
            LOG.error("None of the %d guests of this node is metered: "
                      "Ceilometer's discovery (%s) %s", len(guests),
                      conf.compute.instance_discovery_method,
                      _why_nothing(conf, guests, error))

    def tell_undiscovered(self, cycle: judged.Cycle,
                          discovered: collections.abc.Set[str]) -> None:
        """Name, once, each guest of the node that discovery leaves out."""
        if cycle.error is not None:
            return
        for guest in cycle.guests.values():
            # Where agents share the guests, the others' are discovered, too.
            missing = guest.uuid not in discovered | self._discovered
            if self._undiscovered.is_news(guest.uuid, missing) and missing:
                LOG.info('Guest %s is on this node, but is not metered: '
                         "Ceilometer's discovery does not return it%s", guest,
                         '' if guest.display_name else ' (its libvirt '
                         "metadata has no part of Nova's)")
        self._undiscovered.retain(cycle.guests)
        self._incomplete.intersection_update(cycle.guests)

    def tell_incomplete(self, guest: judged.Guest, why: Exception) -> None:
        """Name, once, a guest that discovery did not describe whole."""
        if guest.uuid not in self._incomplete:
            self._incomplete.add(guest.uuid)
            LOG.warning('Guest %s is not metered, because what discovery '
                        'says of it is incomplete: %r', guest, why)


def _why_nothing(conf: cfg.ConfigOpts,
                 guests: collections.abc.Sequence[judged.Guest],
                 error: Exception | None) -> str:
    """Why discovery returns none of these guests, and what to do."""
    if conf.compute.instance_discovery_method != 'libvirt_metadata':
        return (f'does not return them. It asks Nova for the guests of host '
                f'{conf.host!r}: see that this is what Nova calls the node '
                f"([DEFAULT]host), and that the agent's log has no errors of "
                f'Nova or Keystone ([service_credentials])')
    if error is None:
        return "does not return them: see the errors in the agent's log"
    why = f'fails: {type(error).__name__}: {error}'
    if type(error).__module__.partition('.')[0] not in NOVA_CLIENTS:
        return why
    credentials = ("set the agent's credentials in [service_credentials] of "
                   'ceilometer.conf')
    extra = _compute_option(conf, 'fetch_extra_metadata')
    if extra is None:
        return (f'{why}. It asks Nova for every guest, as Ceilometer does '
                f'before 25. Remedy: {credentials}')
    if extra:
        return (f'{why}. It asks Nova for every guest, as [compute]'
                f'fetch_extra_metadata is true. Remedy: {credentials}; or set '
                f'that option to false, if Nova is 2025.2 or newer')
    without = [guest for guest in guests
               if guest.domain is None or guest.domain.flavor_id is None]
    if not without:
        return f'{why}. Remedy: {credentials}'
    names = ', '.join(map(str, without[:monitor.NAMES_IN_SUMMARY]))
    return (f'{why}. It asks Nova for the flavor of {len(without)} of them, '
            f'whose libvirt metadata has no flavor id, among them {names}. '
            f'Remedy: {credentials}; or hard reboot these guests, if Nova is '
            f'2025.2 or newer')


_monotonic_s = time.monotonic


class _CycleOnce:
    """One cycle for all pollsters of one polling cycle, in any thread.

    And another one for those that are called long after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cycle: judged.Cycle | None = None
        self._lasts_until_s = 0.0
        self._described: dict[str, ceilometer_sample.Sample] = {}

    def get(self, agent: _Agent, discovered: collections.abc.Set[str]
            ) -> judged.Cycle:
        with self._lock:
            if self._cycle is None or _monotonic_s() > self._lasts_until_s:
                self._cycle = agent.monitor.cycle()
                # From here, not from the reading: one that takes long would
                # else be made for each of the pollsters.
                self._lasts_until_s = _monotonic_s() + CYCLE_LASTS_S
                agent.tell_undiscovered(self._cycle, discovered)
            return self._cycle

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


_agents: weakref.WeakKeyDictionary[typing.Any, _Agent] = (
    weakref.WeakKeyDictionary())
_agents_lock = threading.Lock()


def _agent_of(manager: typing.Any, conf: cfg.ConfigOpts) -> _Agent:
    """What the pollsters of this agent share, made when first needed."""
    with _agents_lock:
        found = _agents.get(manager)
        if found is None:
            found = _agents[manager] = _Agent(conf)
        return found


def _compute_option(conf: cfg.ConfigOpts, name: str) -> typing.Any:
    """An option of group [compute]; None where this Ceilometer has none."""
    try:
        return getattr(conf.compute, name)
    except cfg.NoSuchOptError:
        return None


def _reports_stopped(conf: cfg.ConfigOpts) -> bool:
    return bool(_compute_option(conf, 'report_stopped_instance_metrics'))


def samples_of(meter: meters.Meter) -> takeover.GetSamples:
    """A ``get_samples`` method for this meter, for any pollster's class."""

    def get_samples(self: typing.Any, manager: typing.Any,
                    cache: dict[str, typing.Any],
                    resources: collections.abc.Iterable[typing.Any],
                    ) -> collections.abc.Iterator[ceilometer_sample.Sample]:
        """Samples of the guests that have a value; see PollsterBase."""
        # dict.setdefault is atomic: with threads_to_process_pollsters > 1
        # the pollsters of a cycle come here at the same time.
        once = cache.setdefault(CACHE_KEY, _CycleOnce())
        agent = _agent_of(manager, self.conf)
        instances = list(resources)
        cycle = once.get(agent, {instance.id for instance in instances})
        for instance in instances:
            guest = cycle.find(instance.id)
            if guest is None:
                # Gone since discovery, or never on this node.
                continue
            if (guest.reading is not None
                    and guest.reading.state == stats.STATE_SHUTOFF
                    and not (meter.stopped and _reports_stopped(self.conf))):
                continue
            value = VALUES[meter.name](guest)
            if value is None:
                continue
            try:
                made = once.sample(self.conf, instance, meter, value,
                                   metadata(meter, guest), cycle.monotonic_s)
            except (AttributeError, KeyError, TypeError, ValueError) as exc:
                agent.tell_incomplete(guest, exc)
                continue
            yield made

    return get_samples


def _watch(manager: typing.Any, conf: cfg.ConfigOpts,
           found: collections.abc.Collection[typing.Any],
           error: Exception | None) -> None:
    _agent_of(manager, conf).see_discovery(conf, found, error)


_said: set[str] = set()


def _say_once(message: str) -> None:
    """A WARNING, the first time that this process has to give it."""
    if message not in _said:
        _said.add(message)
        LOG.warning('%s', message)


class _Pollster(plugin_base.PollsterBase):
    """A pollster of one meter; all of them share one reading a cycle."""

    meter: typing.ClassVar[meters.Meter]

    def __init_subclass__(cls, name: str, **kwargs: typing.Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.meter = meters.METERS[name]
        cls.get_samples = samples_of(cls.meter)

    def setup_environment(self) -> None:
        """Register the options and settle who serves this meter.

        :raises ceilometer.polling.plugin_base.ExtensionLoadError: when
            another pollster of this name does, in-tree or replaced
        """
        super().setup_environment()
        settings, problems = options.load(self.conf)
        for problem in problems:
            _say_once(problem)
        takeover.watch_discovery(_watch)
        if settings.replace_builtin:
            if takeover.replace(self.meter.name, samples_of(self.meter)):
                raise plugin_base.ExtensionLoadError(
                    f'the in-tree pollster {self.meter.name} has been given '
                    f'the samples of memstat_pollster')
        elif takeover.rivals(self.meter.name):
            names = [name for name in meters.METERS if takeover.rivals(name)]
            _say_once('[memstat]replace_builtin is false: Ceilometer itself '
                      f'serves {", ".join(names)}; their numbers are not '
                      'checked by memstat_pollster')
            raise plugin_base.ExtensionLoadError(
                f'{self.meter.name} is left to the in-tree pollster')

    @property
    def default_discovery(self) -> str:
        return 'local_instances'


class MemoryPollster(_Pollster, name='memory'):
    """Memory given to the guest, by libvirt's own record; MiB."""


class MemoryUsagePollster(_Pollster, name='memory.usage'):
    """Memory that the guest cannot give to new work; MiB."""


class MemoryAvailablePollster(_Pollster, name='memory.available'):
    """The guest's total memory, its own MemTotal; MiB."""


class MemoryUsablePollster(_Pollster, name='memory.usable'):
    """Memory that the guest can give to new work, MemAvailable; MiB."""


class MemoryUnusedPollster(_Pollster, name='memory.unused'):
    """Memory that the guest uses for nothing at all, MemFree; MiB."""


class MemoryUtilPollster(_Pollster, name='memory.util'):
    """memory.usage in percent of memory.available."""


class BalloonStatusPollster(_Pollster, name='memory.balloon.status'):
    """Why the guest's numbers are, or are not, published; a status code."""


class StatsAgePollster(_Pollster, name='memory.stats.age'):
    """How old the guest's numbers are; seconds."""


class MemoryResidentPollster(_Pollster, name='memory.resident'):
    """Memory of the QEMU process on the host; MiB."""


class MemorySwapInPollster(_Pollster, name='memory.swap.in'):
    """Swapped in since the guest's boot; MiB."""


class MemorySwapOutPollster(_Pollster, name='memory.swap.out'):
    """Swapped out since the guest's boot; MiB."""
