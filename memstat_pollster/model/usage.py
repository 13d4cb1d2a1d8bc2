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

"""A guest's own memory numbers: what can be true, and what they come to."""

import dataclasses
import typing

from memstat_pollster.model import stats


PAGE_KIB: typing.Final = 4

#: The most that a guest can have swapped in or out since it was booted:
#: 1 EiB, which takes three years at 10 GB/s.  Windows' blnsvr turns a NULL
#: from WMI into about 2**54 KiB; a Linux guest counts pages since boot.
MAX_SWAPPED_KIB: typing.Final = 2**50


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """A guest's own numbers, all of them possible, in KiB.

    0 <= used <= available <= the guest's maximum, and usable and unused,
    where the guest sent them, lie between 0 and available.

    :ivar source: what ``used_kib`` was computed from: ``usable``, ``caches``
        or ``unused``
    :ivar swap_in_kib: None when either swap counter is missing or impossible
    :ivar swap_out_kib: None when either swap counter is missing or impossible
    """

    available_kib: int
    used_kib: int
    source: str
    usable_kib: int | None
    unused_kib: int | None
    swap_in_kib: int | None
    swap_out_kib: int | None

    @property
    def util_percent(self) -> float:
        """Used memory in percent of the guest's total."""
        return 100.0 * self.used_kib / self.available_kib


def used(reading: stats.Reading) -> tuple[int | None, str | None]:
    """Used memory in KiB and what it was computed from; may be impossible.

    ``available - usable`` as Ceilometer computes it; for kernels before 4.6,
    which send no usable, ``available - unused - disk_caches``, because page
    cache is not what a guest has used up; for kernels before 4.16, which
    send no disk_caches either, ``available - unused``.

    :returns: (None, None) when the fields needed are missing
    """
    total = reading.available_kib
    if total is None:
        return None, None
    if reading.usable_kib is not None:
        return total - reading.usable_kib, 'usable'
    if reading.unused_kib is None:
        return None, None
    if reading.disk_caches_kib is not None:
        return total - reading.unused_kib - reading.disk_caches_kib, 'caches'
    return total - reading.unused_kib, 'unused'


def impossible(reading: stats.Reading) -> tuple[str, ...]:
    """What cannot be true of a guest's memory numbers, one phrase each.

    The evidence for each bound.  Shares are the highest of 1458 answers of
    seven Linux 6.1 guests of 160 and 1024 MiB in four minutes in which they
    filled and freed their memory, rebooted, took huge pages, and had their
    balloon inflated and deflated, with and without autodeflate and free page
    reporting (tests/functional/test_slack.py):

    * A guest's total is never more than the memory its machine has:
      ``balloon.maximum`` is libvirt's own number, hot-plugged memory
      included, and a Linux MemTotal (as Windows' total) is that less what
      the firmware and the kernel reserve: at most 0.951 of it at 1024 MiB,
      0.765 at 160.  No slack is needed.  ``balloon.current`` is no bound:
      with autodeflate an inflated balloon leaves MemTotal as it was, and the
      total was up to 1.22 of it.  A machine with less than a page does not
      exist.
    * Free, usable and cached memory are parts of the total.  They are read
      one after the other within the guest, but what the kernel keeps for
      itself is larger than what moves between two reads: of the total, free
      memory was at most 0.973, usable 0.906, caches 0.688, free memory and
      caches together 0.975.
    * A balloon holds neither less than nothing nor the whole machine.  A
      driver counts the pages that it gave up, so one that makes
      ``balloon.current`` more than the maximum, or 0, lies; QEMU and libvirt
      pass on any 32 bits that it writes (measured).
    * Without a total, or with neither usable nor free memory beside it, the
      rest says nothing: no driver that is known sends such a record.

    :returns: an empty tuple when everything is possible
    """
    total, maximum = reading.available_kib, reading.maximum_kib
    current = reading.current_kib
    if total is None:
        return ('no total memory (available)',)
    problems = []
    if total < PAGE_KIB:
        problems.append(f'available {total} KiB is less than a page')
    if maximum is None:
        problems.append('libvirt gave no balloon.maximum to check against')
    else:
        problems += [f'{name} {value} KiB is more than the {maximum} KiB '
                     f'the guest can have'
                     for name, value in (('available', total),
                                         ('current', current))
                     if value is not None and value > maximum]
    if current == 0:
        problems.append('current 0 KiB is no memory at all')
    for name, value in (('usable', reading.usable_kib),
                        ('unused', reading.unused_kib),
                        ('disk_caches', reading.disk_caches_kib)):
        if value is not None and value > total:
            problems.append(f'{name} {value} KiB is more than '
                            f'available {total} KiB')
    in_use, source = used(reading)
    if in_use is None:
        problems.append('neither usable nor unused memory')
    elif in_use < 0 and not problems:
        # Only unused + disk_caches can get here.
        problems.append(f'unused {reading.unused_kib} KiB and disk_caches '
                        f'{reading.disk_caches_kib} KiB are together more '
                        f'than available {total} KiB')
    return tuple(problems)


def swap_lie(reading: stats.Reading) -> str | None:
    """What cannot be true of the swap counters; None when nothing is wrong.

    A lie here costs only the swap meters: an honest Windows guest whose WMI
    returned NULL sends about 2**54 KiB, and its usage is right all the same.
    """
    lies = [f'{name} {value} KiB'
            for name, value in (('swap_in', reading.swap_in_kib),
                                ('swap_out', reading.swap_out_kib))
            if value is not None and value > MAX_SWAPPED_KIB]
    return ' and '.join(lies) + ' cannot be true' if lies else None


def memory(reading: stats.Reading) -> Memory | None:
    """A guest's numbers, or None when any of them is impossible."""
    total = reading.available_kib
    in_use, source = used(reading)
    if (total is None or in_use is None or source is None
            or impossible(reading)):
        return None
    swap_in, swap_out = reading.swap_in_kib, reading.swap_out_kib
    if swap_in is None or swap_out is None or swap_lie(reading):
        swap_in = swap_out = None
    return Memory(available_kib=total, used_kib=in_use,
                  source=source, usable_kib=reading.usable_kib,
                  unused_kib=reading.unused_kib,
                  swap_in_kib=swap_in, swap_out_kib=swap_out)


def balloon_kib(reading: stats.Reading) -> int | None:
    """Memory given to the guest by libvirt's own record, in KiB.

    :returns: None when it is missing, 0 or more than the guest can have
    """
    current, maximum = reading.current_kib, reading.maximum_kib
    if not current or maximum is None or current > maximum:
        return None
    return current
