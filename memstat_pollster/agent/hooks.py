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


"""The one place through which the agent comes to the plugin's code.

The plugin hooks into discovery, into pollsters of other packages and into
their questions to libvirt.  Whatever of the plugin's raises there is told
once, and the agent goes on as without the plugin: a fault of a metering
plugin must never take one of Ceilometer's own functions away.

Here, and nowhere else in the package, every Exception is caught.  What is
none (KeyboardInterrupt, SystemExit) passes.
"""

import collections.abc
import dataclasses
import functools
import logging
import pathlib
import threading
import traceback
import typing

from oslo_log import log

from memstat_pollster import text

LOG = log.getLogger(__name__)

_T = typing.TypeVar('_T')

_MARK: typing.Final = 'memstat_pollster_original'


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A part of the plugin that the agent comes to.

    :ivar task: what it could not do, after "could not"
    :ivar meaning: what that means for the agent, one sentence
    :ivar level: of the line in the log
    """

    task: str
    meaning: str
    level: int = logging.WARNING


_told: set[tuple[Part, type[Exception]]] = set()
_told_lock = threading.Lock()


def forget() -> None:
    """Tell each failure anew, as a process that starts does."""
    with _told_lock:
        _told.clear()


class Outcome(typing.Generic[_T]):
    """What a call came to.

    :ivar value: what it returned; None when it raised
    :ivar error: what it raised; None when it returned
    """

    def __init__(self, value: _T | None, error: Exception | None) -> None:
        self.value = value
        self.error = error

    def get(self) -> _T:
        """What the call returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return typing.cast(_T, self.value)


def outcome(work: collections.abc.Callable[[], _T]) -> Outcome[_T]:
    """Call ``work`` once; what it raises is returned."""
    try:
        return Outcome(work(), None)
    except Exception as exc:  # noqa: BLE001 - the one place, see above
        return Outcome(None, exc)


def attempt(part: Part, work: collections.abc.Callable[[], _T], *,
            passing: tuple[type[Exception], ...] = ()) -> _T | None:
    """What a part of the plugin makes of a call.

    :param passing: exceptions by which this part answers the agent: they are
        raised
    :returns: None when it failed; that is told then, once for each part and
        kind of exception
    """
    done = outcome(work)
    if isinstance(done.error, passing):
        raise done.error
    if done.error is not None:
        # Not where it is caught: oslo.log adds the exception that is being
        # handled to every line.
        _tell_once(part, done.error)
    return done.value


def _tell_once(part: Part, error: Exception) -> None:
    key = part, type(error)
    with _told_lock:
        if key in _told:
            return
        _told.add(key)
    LOG.log(part.level, 'memstat_pollster could not %s: %s. %s. This is told '
            'once', part.task, _described(error), part.meaning)
    LOG.debug('memstat_pollster could not %s', part.task, exc_info=error)


def _described(error: Exception) -> str:
    """Its class, what it says and where it was raised, on one line."""
    said = outcome(lambda: text.one_line(error)).value or ''
    name = type(error).__name__
    what = name if said in ('', name) else f'{name}: {said}'
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return what
    return (f'{what} ({pathlib.PurePath(frames[-1].filename).name}, line '
            f'{frames[-1].lineno})')


Function = collections.abc.Callable[..., typing.Any]


def first(part: Part, ours: Function, original: Function, *,
          passing: tuple[type[Exception], ...] = ()) -> Function:
    """A function that asks the plugin, and the agent's where that has none.

    Both are called with whatever the agent calls it with.

    :param ours: its None stands for no answer
    :param original: where it was made here, the one below it is meant
    :param passing: see :func:`attempt`
    """
    original = original_of(original)

    @functools.wraps(original)
    def ask(*args: typing.Any, **kwargs: typing.Any) -> typing.Any:
        answer = attempt(part, lambda: ours(*args, **kwargs), passing=passing)
        return original(*args, **kwargs) if answer is None else answer
    return marked(ask, original)


def marked(function: Function, original: Function) -> Function:
    """A function of the plugin's, from which the agent's can be had again."""
    setattr(function, _MARK, original_of(original))
    return function


def original_of(function: Function) -> Function:
    """The agent's function below one of the plugin's; or itself."""
    found: Function = getattr(function, _MARK, function)
    return found


def ask_first(owner: type, name: str, part: Part, ours: Function, *,
              passing: tuple[type[Exception], ...] = ()) -> None:
    """Put :func:`first` in the place of a function of the agent's.

    Where the plugin stands already, or there is no such function, nothing is
    done; the latter is told.

    :param owner: the class whose function it is
    """
    _put(owner, name, part, lambda original: first(part, ours, original,
                                                   passing=passing))


def decide(owner: type, name: str, part: Part, ours: Function) -> None:
    """Let the plugin say what a call of a function of the agent's comes to.

    See :func:`ask_first` for the rest.

    :param ours: is given the agent's function and what it was called with,
        and returns the :class:`Outcome`; None: the agent's function is called
    """
    def make(original: Function) -> Function:
        @functools.wraps(original)
        def call(*args: typing.Any, **kwargs: typing.Any) -> typing.Any:
            done = attempt(part, lambda: ours(original, *args, **kwargs))
            return original(*args, **kwargs) if done is None else done.get()
        return marked(call, original)
    _put(owner, name, part, make)


def watch(owner: type, name: str, part: Part, see: Function) -> None:
    """Let ``see`` see what each call of a function of the agent's comes to.

    The call's value and exception stay as they are, whatever ``see`` does.
    See :func:`ask_first` for the rest.

    :param see: is given the :class:`Outcome`, and what the function was
        called with
    """
    def make(original: Function) -> Function:
        @functools.wraps(original)
        def call(*args: typing.Any, **kwargs: typing.Any) -> typing.Any:
            done = outcome(lambda: original(*args, **kwargs))
            attempt(part, lambda: see(done, *args, **kwargs))
            return done.get()
        return marked(call, original)
    _put(owner, name, part, make)


def on_another(owner: type, name: str, part: Part, another: Function, *,
               passing: tuple[type[Exception], ...] = (),
               ours: tuple[type[Exception], ...] = ()) -> None:
    """Call a method of the agent's on another object than its own.

    See :func:`ask_first` for the rest.

    :param another: makes that object from what the method was called with;
        its None stands for the object itself
    :param passing: see :func:`attempt`
    :param ours: exceptions by which that object says that it cannot be used:
        the method is called on the object itself then
    """
    def make(original: Function) -> Function:
        @functools.wraps(original)
        def call(self: typing.Any, *args: typing.Any,
                 **kwargs: typing.Any) -> typing.Any:
            other = attempt(part, lambda: another(self, *args, **kwargs),
                            passing=passing)
            if other is None:
                return original(self, *args, **kwargs)
            done = outcome(lambda: original(other, *args, **kwargs))
            if isinstance(done.error, ours):
                _tell_once(part, done.error)
                return original(self, *args, **kwargs)
            return done.get()
        return marked(call, original)
    _put(owner, name, part, make)


def _put(owner: type, name: str, part: Part,
         make: collections.abc.Callable[[Function], Function]) -> None:
    def put() -> None:
        original = getattr(owner, name)
        if original_of(original) is original:
            setattr(owner, name, make(original))
    attempt(part, put)


def take_back(owner: type, name: str) -> None:
    """Leave the agent's function as it was before the plugin came."""
    setattr(owner, name, original_of(getattr(owner, name)))
