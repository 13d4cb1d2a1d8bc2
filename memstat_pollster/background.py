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

"""Work on daemon threads: what hangs keeps no process from ending."""

import collections.abc
import concurrent.futures
import threading
import typing

_T = typing.TypeVar('_T')


def fulfil(future: 'concurrent.futures.Future[_T]',
           work: collections.abc.Callable[[], _T],
           unanswered: Exception) -> None:
    """Do the work, and give the future what comes of it.

    :param unanswered: an error of its class is the future's; with any other
        one the thread ends, and the future has this one
    """
    try:
        future.set_result(work())
    except type(unanswered) as exc:
        future.set_exception(exc)
    finally:
        if not future.done():
            future.set_exception(unanswered)


def start(work: collections.abc.Callable[[], _T], unanswered: Exception,
          name: str) -> 'concurrent.futures.Future[_T]':
    """Do the work on a thread of its own.

    :param unanswered: see :func:`fulfil`
    :param name: of the thread
    """
    future: concurrent.futures.Future[_T] = concurrent.futures.Future()
    threading.Thread(target=fulfil, args=(future, work, unanswered),
                     name=name, daemon=True).start()
    return future


def is_done(future: 'concurrent.futures.Future[typing.Any]',
            within_s: float) -> bool:
    """Whether a future is done, now or within some seconds."""
    return bool(concurrent.futures.wait([future], within_s).done)
