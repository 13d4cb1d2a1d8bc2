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

"""Two threads, and a place that only one of them may be in at a time."""

import gc
import sys
import threading

from tests.unit import fakes


def frames():
    """Where each thread is.

    Python before 3.11.5 and 3.12 can wait for itself for ever when it collects
    garbage here (gh-106883).
    """
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        gc.enable()


class Gate:
    """Holds whoever comes by, until it is opened.

    :ivar inside: the threads that came by, in order
    """

    def __init__(self):
        self.inside = []
        self._entered = threading.Event()
        self._open = threading.Event()

    def __call__(self):
        self.inside.append(threading.current_thread())
        self._entered.set()
        assert self._open.wait(60), 'the gate was never opened'

    def held(self, test, work):
        """A thread that does the work and is at the gate now."""
        test.addCleanup(self._open.set)
        thread = threading.Thread(target=work)
        thread.start()
        assert self._entered.wait(60), 'it does not come by'
        return thread

    def release(self, test, thread):
        """Open the gate, and wait until the thread has done its work."""
        self._open.set()
        thread.join(60)
        test.assertFalse(thread.is_alive())

    def check_alone(self, test, work, function):
        """A second thread waits at a lock while the first is at the gate.

        :param work: what both do; it comes by here
        :param function: name of the function that has the lock
        """
        test.addCleanup(self._open.set)
        threads = [threading.Thread(target=work) for _ in range(2)]
        threads[0].start()
        assert self._entered.wait(60), 'nobody comes by'
        threads[1].start()

        def waits():
            frame = frames().get(threads[1].ident)
            return frame is not None and frame.f_code.co_name == function
        fakes.wait_until(lambda: len(self.inside) > 1 or waits(),
                         'the second waits, or comes by')
        test.assertEqual(threads[:1], self.inside)
        self._open.set()
        for thread in threads:
            thread.join(60)
            test.assertFalse(thread.is_alive())
