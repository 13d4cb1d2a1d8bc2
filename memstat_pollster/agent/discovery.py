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

"""A watch over Ceilometer's discovery, and what it asks libvirt.

The watch says why guests are not metered: the agent calls no pollster in a
cycle for which there are no guests, so a pollster cannot tell that discovery
fails.

Discovery by libvirt's metadata asks for the XML of every guest.  On libvirt 11
and later that waits 30 s for each guest that a call is stuck at, and all
pollsters with it: so it looks through guests that the plugin has read.
"""

import collections.abc
import threading
import typing

from ceilometer.compute import discovery
from oslo_config import cfg
from oslo_log import log

from memstat_pollster.agent import hooks
from memstat_pollster.model import journal
from memstat_pollster.model import judged
from memstat_pollster.model import observation
from memstat_pollster import monitor

LOG = log.getLogger(__name__)

#: Whose exceptions mean that Nova was asked in vain.
NOVA_CLIENTS: typing.Final = ('keystoneauth1', 'novaclient')


class Watch:
    """What one agent's discovery comes to, and what of that has been told.

    For any number of threads: an agent has one for each polling interval.
    """

    def __init__(self, source: monitor.Monitor) -> None:
        self._monitor = source
        #: Held for all that follows.
        self._lock = threading.Lock()
        # Held for a second cycle: a guest may start after discovery.
        self._undiscovered = journal.Journal(False, quiet=(), immediate=())
        #: By UUID, why it was said to be incomplete.
        self._incomplete: dict[str, str] = {}
        self._discovered: set[str] = set()
        #: Each way in which discovery has failed since it last did not.
        self._failing: set[str] = set()
        self._empty = 0

    def see(self, conf: cfg.ConfigOpts,
            found: collections.abc.Collection[typing.Any],
            error: Exception | None) -> None:
        """Take in what a discovery came to; say it if that means no meters.

        The agent repeats a discovery that fails for each of its pollsters,
        and does not call them: each kind of failure is told once, until
        discovery recovers.
        """
        failure = type(error).__name__ if error is not None else ''
        with self._lock:
            self._discovered = {instance.id for instance in found}
            if found:
                if self._failing:
                    LOG.info("Ceilometer's discovery returns guests again")
                self._failing.clear()
                self._empty = 0
                return
            if failure in self._failing:
                return
            guests = [guest for guest in self._monitor.cycle().guests.values()
                      if guest.display_name is not None]
            # One that returns nothing may be right: a guest that has been
            # started meanwhile is found by the next.
            self._empty = self._empty + 1 if guests and not failure else 0
            if not guests or not failure and self._empty < 2:
                return
            self._failing.add(failure)
            LOG.error("None of the %d guests of this node is metered: "
                      "Ceilometer's discovery (%s) %s", len(guests),
                      conf.compute.instance_discovery_method,
                      _why_nothing(conf, guests, error))

    def tell_undiscovered(self, cycle: judged.Cycle,
                          discovered: collections.abc.Set[str]) -> None:
        """Name, once, each guest of the node that discovery leaves out."""
        if cycle.error is not None:
            return
        with self._lock:
            for guest in cycle.guests.values():
                # Where agents share the guests, the others' are discovered,
                # too.
                missing = guest.uuid not in discovered | self._discovered
                foreign = guest.display_name is None
                if self._undiscovered.is_news(guest.uuid, missing,
                                              foreign) and missing:
                    LOG.info('Guest %s is on this node, but is not metered: '
                             "Ceilometer's discovery does not return it%s",
                             guest, ' (its libvirt metadata has no part of '
                             "Nova's)" if foreign else '')
            self._undiscovered.retain(cycle.guests)
            for uuid in self._incomplete.keys() - cycle.guests.keys():
                del self._incomplete[uuid]

    def tell_incomplete(self, guest: judged.Guest, why: Exception) -> None:
        """Name, once, a guest that discovery did not describe whole."""
        with self._lock:
            if self._incomplete.get(guest.uuid) != repr(why):
                self._incomplete[guest.uuid] = repr(why)
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
    extra = compute_option(conf, 'fetch_extra_metadata')
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


def compute_option(conf: cfg.ConfigOpts, name: str) -> typing.Any:
    """An option of group [compute]; None where this Ceilometer has none."""
    try:
        return getattr(conf.compute, name)
    except cfg.NoSuchOptError:
        return None


#: (agent's manager, its configuration, instances found, why none)
See = collections.abc.Callable[[
    typing.Any, typing.Any, collections.abc.Collection[typing.Any],
    Exception | None], None]

_PART: typing.Final = hooks.Part(
    "look at what Ceilometer's discovery came to",
    'Discovery goes on; but while this lasts, guests that it does not return '
    'are not named here')


def watch(see: See) -> None:
    """Let ``see`` see what each discovery of this node's guests comes to.

    What discovery returns and raises stays as it is, whatever ``see`` does.
    Only the first one of a process is taken.
    """
    def seen(done: hooks.Outcome[typing.Any], discoverer: typing.Any,
             manager: typing.Any, *_: typing.Any, **__: typing.Any) -> None:
        see(manager, discoverer.conf, _instances(done.value), done.error)

    hooks.watch(discovery.InstanceDiscovery, 'discover', _PART, seen)


Connect = collections.abc.Callable[[typing.Any, cfg.ConfigOpts], typing.Any]

_LIBVIRT: typing.Final = 'discover_libvirt_polling'

_GUARD: typing.Final = hooks.Part(
    "read libvirt for Ceilometer's discovery",
    'It asks libvirt itself, and a QEMU that does not answer can hold up '
    'all pollsters')


def guard(connect: Connect) -> None:
    """Let discovery by libvirt's metadata look through what ``connect`` gives.

    What it makes of that, Nova's answers included, stays its own.

    :param connect: gives what stands for the connection to libvirt, by the
        agent's manager and configuration
    """
    def another(discoverer: typing.Any, manager: typing.Any,
                *_: typing.Any, **__: typing.Any) -> typing.Any:
        kind = type(discoverer)
        found: typing.Any = object.__new__(type(kind.__name__, (kind,), {
            'connection': connect(manager, discoverer.conf)}))
        # Its caches and its client of Nova are those of the other.
        found.__dict__ = discoverer.__dict__
        return found

    hooks.on_another(discovery.InstanceDiscovery, _LIBVIRT, _GUARD, another,
                     passing=(observation.ReadFailed,),
                     ours=(observation.NotRead,))


def stop() -> None:
    """Leave Ceilometer's discovery as it was."""
    hooks.take_back(discovery.InstanceDiscovery, 'discover')
    hooks.take_back(discovery.InstanceDiscovery, _LIBVIRT)


def _instances(found: object) -> collections.abc.Collection[typing.Any]:
    """:raises TypeError: for what can be read only once: it is the agent's"""
    if not isinstance(found, collections.abc.Collection | None):
        raise TypeError(f'discovery returned {type(found).__name__}, which '
                        f'is no list')
    return found or ()
