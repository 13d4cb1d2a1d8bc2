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

"""A thread with a connection that nobody else uses."""

import collections.abc
import concurrent.futures
import functools
import queue
import threading
import typing

from memstat_pollster import background
from memstat_pollster.host import bindings
from memstat_pollster.host import connection
from memstat_pollster.model import observation

_T = typing.TypeVar('_T')

Job = concurrent.futures.Future
_Work = collections.abc.Callable[[], None]


class Worker:
    """A daemon thread with a connection that nobody else uses."""

    def __init__(self, uri: str, opener: connection.Opener) -> None:
        self._uri, self._opener = uri, opener
        self._jobs: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self.connection: connection.Connection | None = None
        #: What it was left behind on: UUIDs of guests that do not answer.
        self.held_by: frozenset[str] = frozenset()
        # daemon: a call that is stuck must not keep the agent from stopping.
        self.thread = threading.Thread(
            target=self._run, name='memstat-reader', daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self.disconnect()

    def submit(self, work: collections.abc.Callable[
            [connection.Connection], _T]) -> 'Job[_T]':
        """Have some work done on the connection, after what was given before.

        :returns: its result is the work's; its error is a ReadFailed
        """
        job: Job[_T] = Job()
        self._jobs.put(functools.partial(
            background.fulfil, job, functools.partial(self._attempt, work),
            observation.ReadFailed('the reader ended without an answer')))
        return job

    def _attempt(self, work: collections.abc.Callable[
            [connection.Connection], _T]) -> _T:
        """Do the work; once more on a new connection if the old one broke.

        A connection that broke since the last cycle (libvirtd was restarted)
        is found out by the first call on it.
        """
        fresh = self.connection is None
        try:
            return work(self.connect())
        except bindings.LibvirtError as exc:
            self.disconnect()
            if fresh:
                raise connection.failed(exc) from exc
        try:
            return work(self.connect())
        except bindings.LibvirtError as exc:
            self.disconnect()
            raise connection.failed(exc) from exc

    def retire(self) -> None:
        """End the thread once the call that it is in returns."""
        self._jobs.put(None)

    def connect(self) -> connection.Connection:
        if self.connection is None:
            self.connection = self._opener(self._uri)
        return self.connection

    def disconnect(self) -> None:
        before, self.connection = self.connection, None
        if before is None:
            return
        try:
            before.close()
        except bindings.LibvirtError:
            # It was broken already; there is nothing left to give back.
            pass
