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

"""Clocks of processes, and what is made of many measurements."""

import collections.abc
import statistics
import time


def cpu_of(pid: int) -> float:
    """CPU time of another process with all its threads, in seconds.

    The same as utime + stime of its /proc/PID/stat, but in nanoseconds where
    that counts ticks of 10 ms: Linux's CPU clock of a process, whose number
    clock_getcpuclockid(3) makes of the PID like this.
    """
    return time.clock_gettime(~pid << 3 | 2)


def summary(values: collections.abc.Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    if len(values) < 2:
        return {'median': values[0], 'q1': values[0], 'q3': values[0]}
    q1, median, q3 = statistics.quantiles(values, n=4, method='inclusive')
    return {'median': median, 'q1': q1, 'q3': q3}


def ratio(ours: collections.abc.Sequence[float],
          theirs: collections.abc.Sequence[float]) -> float:
    """Median of the ratios within each round.

    A disturbance of the machine that lasts for a round changes both sides of
    its ratio, and one that does not is an outlier that the median leaves out.
    """
    return statistics.median(
        mine / other for mine, other in zip(ours, theirs, strict=True))
