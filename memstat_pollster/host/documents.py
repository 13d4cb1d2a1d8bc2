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

"""Reads the live XML of guests, each of which may not come.

From libvirt 11 on it waits for the guest's job.
"""

import collections.abc
import concurrent.futures
import functools
import time

from memstat_pollster.host import calls
from memstat_pollster.host import pool
from memstat_pollster.model import observation


def read(workers: pool.Pool, uuids: collections.abc.Sequence[str],
         patience_s: float, deadline_s: float) -> observation.Documents:
    """The live XML of these guests; what fails for one costs only it.

    :param workers: make the calls
    :param patience_s: for how long is waited for one before the others are
        read, so that there is time left for them
    :param deadline_s: until when all are waited for
    :raises ReadFailed: when libvirt itself fails
    """
    found: dict[str, str] = {}
    gone: set[str] = set()
    failed: dict[str, str] = {}
    passed: set[str] = set()
    out: list[pool.Call] = []
    try:
        while time.monotonic() < deadline_s:
            left = [uuid for uuid in uuids if uuid not in found
                    and uuid not in gone and uuid not in failed]
            untried = [uuid for uuid in left if uuid not in passed]
            if untried and workers.may_ask(out):
                call = workers.start(out, found, functools.partial(
                    calls.live_xml, untried, found, gone, failed))
                passed.update(
                    pool.wait_for_progress(call, patience_s, deadline_s))
                if not call.out:
                    call.job.result()
                    passed.update(untried)
                continue
            # Slow is not stuck: those that are out have until the deadline.
            waiting = [call.job for call in out if call.out]
            if not left or not waiting:
                break
            concurrent.futures.wait(
                waiting, max(deadline_s - time.monotonic(), 0.0),
                concurrent.futures.FIRST_COMPLETED)
    finally:
        workers.settle(out)
    documents, why = found.copy(), failed.copy()
    return observation.Documents(documents, {
        uuid: why.get(uuid, 'its live XML was not read in time')
        for uuid in uuids if uuid not in documents and uuid not in gone})
