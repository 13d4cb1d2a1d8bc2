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
import logging
import typing

from ceilometer.polling import plugin_base
from oslo_config import cfg
from oslo_log import log

from memstat_pollster.agent import discovery
from memstat_pollster.agent import hooks
from memstat_pollster.agent import samples
from memstat_pollster.agent import serving
from memstat_pollster.agent import shared
from memstat_pollster.agent import takeover
from memstat_pollster.config import options
from memstat_pollster.model import meters

LOG = log.getLogger(__name__)


_PLACES: typing.Final = hooks.Part(
    'find its place in Ceilometer',
    'The function that it looked for stays as it is; the meters of '
    'memstat_pollster are there')

SERVES: typing.Final = 'it serves the meter itself'

_said: set[str] = set()


def _say_once(message: str) -> None:
    """A WARNING, the first time that this process has to give it."""
    if message not in _said:
        _said.add(message)
        LOG.warning('%s', message)


def _see(manager: typing.Any, conf: cfg.ConfigOpts,
         found: collections.abc.Collection[typing.Any],
         error: Exception | None) -> None:
    shared.agent_of(manager, conf).discovery.see(conf, found, error)


def _connect(manager: typing.Any, conf: cfg.ConfigOpts) -> typing.Any:
    return shared.agent_of(manager, conf).roster.connection()


class _Pollster(plugin_base.PollsterBase):
    """A pollster of one meter; all of them share one reading a cycle."""

    meter: typing.ClassVar[meters.Meter]

    def __init_subclass__(cls, name: str, **kwargs: typing.Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.meter = meters.METERS[name]
        cls.get_samples = takeover.guarded(
            name, samples.samples_of(cls.meter), takeover.stand_in(name))

    def setup_environment(self) -> None:
        """Register the options and settle who serves this meter.

        :raises ceilometer.polling.plugin_base.ExtensionLoadError: when
            another pollster of this name does, in-tree or replaced
        """
        super().setup_environment()
        reason = hooks.attempt(
            hooks.Part(f'set up {self.meter.name}',
                       "It is left to Ceilometer's own pollster, where there "
                       'is one', logging.ERROR), self._settle)
        if reason != SERVES:
            raise plugin_base.ExtensionLoadError(reason or 'see the log')

    def _settle(self) -> str:
        """Why this pollster declines; or SERVES."""
        name = self.meter.name
        settings, problems = options.load(self.conf)
        for problem in problems:
            _say_once(problem)
        hooks.attempt(_PLACES, lambda: discovery.watch(_see))
        hooks.attempt(_PLACES, lambda: discovery.guard(_connect))
        if settings.serve_compute:
            hooks.attempt(_PLACES, serving.serve)
        else:
            _say_once('[memstat]serve_compute is false: a QEMU that does not '
                      'answer can hold up cpu, disk.device.* and network.*, '
                      'and all pollsters of the same interval with them')
        if settings.replace_builtin:
            if takeover.replace(name, samples.samples_of(self.meter)):
                return (f'the in-tree pollster {name} has been given the '
                        f'samples of memstat_pollster')
        elif takeover.rivals(name):
            names = [each for each in meters.METERS if takeover.rivals(each)]
            _say_once('[memstat]replace_builtin is false: Ceilometer itself '
                      f'serves {", ".join(names)}; their numbers are not '
                      'checked by memstat_pollster')
            return f'{name} is left to the in-tree pollster'
        return SERVES

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
