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

"""The in-tree pollsters of the same names, replaced.

The agent loads every entry point of ``ceilometer.poll.compute``.  Of two
pollsters with one name it gives the guests to whichever comes first, and the
Prometheus exporter of Ceilometer 26 and 27 loses the series of both.  So
exactly one extension may be left for each name, and it has to answer with the
plugin's samples.
"""

import contextlib
import functools
import gc
import logging
import typing

from ceilometer.polling import plugin_base
from oslo_config import cfg

from memstat_pollster.agent import hooks
from memstat_pollster.agent import samples
from memstat_pollster.config import entrypoints

#: Where Ceilometer's own pollsters that stand in for the plugin's keep what
#: they have read in a cycle: what the plugin answers others with has no
#: memory numbers.
STOCK_KEY: typing.Final = 'memstat_pollster_stock'

#: By name: what makes a pollster of each class that was made to decline.
_declined: dict[str, list[hooks.Function]] = {}


def rivals(name: str) -> list[type]:
    """The classes of other packages that are registered under this name.

    An entry point that cannot be loaded is no rival: the agent cannot load it
    either, and says so itself.  Nor is one that is no class.
    """
    classes = []
    for entry_point in entrypoints.rivals(name):
        found = hooks.outcome(entry_point.load).value
        if isinstance(found, type) and found not in classes:
            classes.append(found)
    return classes


def _is_loaded(cls: type) -> bool:
    """Whether the agent holds a pollster of this class already.

    Entry points are loaded in no certain order, and an in-tree pollster whose
    construction failed (libvirt was not up yet) has been dropped for good.
    The traceback of that failure may hold its remains until the collector
    has run.
    """
    gc.collect()
    return any(type(found) is cls for found in gc.get_referrers(cls))


def _declining(cls: typing.Any) -> hooks.Function:
    def decline(self: typing.Any) -> None:
        raise plugin_base.ExtensionLoadError(
            f'replaced by {entrypoints.OWN_PACKAGE}, option '
            '[memstat]replace_builtin')
    return hooks.marked(decline, cls.setup_environment)


def _maker(cls: typing.Any) -> hooks.Function:
    """What makes a pollster of a class that was made to decline."""
    def make(conf: cfg.ConfigOpts) -> typing.Any:
        # Of its own class: the agent may make one of ``cls`` meanwhile.
        return type(cls.__name__, (cls,), {
            'setup_environment': setup_environment})(conf)
    setup_environment = hooks.original_of(cls.setup_environment)
    return make


def replace(name: str, get_samples: samples.GetSamples) -> bool:
    """Leave only pollsters of this name that answer with ``get_samples``.

    Each in-tree pollster that the agent holds already gets ``get_samples``,
    and the plugin's has to decline; all others are made to decline.  Where
    the agent holds none, the plugin's loads.  So the meter is there whichever
    was loaded first and whether or not libvirt was up at that time.

    When this raises, every class is as it was before.

    :returns: whether the plugin's own pollster has to decline
    """
    classes = rivals(name)
    loaded = list(map(_is_loaded, classes))
    declined = []
    with contextlib.ExitStack() as undo:
        for cls, is_loaded in zip(classes, loaded, strict=True):
            # The class, not the object: the agent may make it again.
            if is_loaded:
                _set(undo, cls, 'get_samples',
                     guarded(name, get_samples, _theirs(cls)))
            else:
                declined.append(_maker(cls))
                _set(undo, cls, 'setup_environment', _declining(cls))
        undo.pop_all()
    _declined[name] = declined
    return any(loaded)


def _set(undo: contextlib.ExitStack, cls: type, name: str,
         value: object) -> None:
    before = vars(cls).get(name)
    setattr(cls, name, value)
    if before is None:
        undo.callback(delattr, cls, name)
    else:
        undo.callback(setattr, cls, name, before)


def _theirs(cls: typing.Any) -> hooks.Function:
    """The class's own ``get_samples``, apart from what the plugin answers."""
    original = hooks.original_of(cls.get_samples)

    def theirs(self: typing.Any, manager: typing.Any,
               cache: dict[str, typing.Any], resources: typing.Any,
               ) -> typing.Any:
        return original(self, manager, cache.setdefault(STOCK_KEY, {}),
                        resources)
    return theirs


def stand_in(name: str) -> hooks.Function:
    """A ``get_samples`` by a pollster of this name that had to decline.

    Without samples where there is none, or it cannot be made.
    """
    part = hooks.Part(
        f"make Ceilometer's own pollster of {name}",
        'There are no samples of this meter while that lasts')

    def get_samples(self: typing.Any, manager: typing.Any,
                    cache: dict[str, typing.Any], resources: typing.Any,
                    ) -> typing.Any:
        for make in _declined.get(name, ()):
            pollster = hooks.attempt(part, functools.partial(make, self.conf))
            if pollster is not None:
                return pollster.get_samples(
                    manager, cache.setdefault(STOCK_KEY, {}), resources)
        return []
    return get_samples


def guarded(name: str, get_samples: samples.GetSamples,
            theirs: hooks.Function) -> samples.GetSamples:
    """``get_samples``, and ``theirs`` where it fails."""
    def ours(*args: typing.Any, **kwargs: typing.Any) -> list[typing.Any]:
        # All of them before the first is given out: of what fails half-way
        # the agent would have some twice.
        return list(get_samples(*args, **kwargs))
    return hooks.first(hooks.Part(
        f'make samples of {name}',
        "Ceilometer's own pollster makes them where it has one; its numbers "
        'are not checked', logging.ERROR), ours, theirs)
