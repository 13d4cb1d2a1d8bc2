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

"""The virtio balloon's statistics records, as drivers write them.

Tags and layout: virtio 1.2, section 5.5.6.4 (struct virtio_balloon_stat).
"""

from __future__ import annotations

from collections.abc import Iterable
import struct

(S_SWAP_IN, S_SWAP_OUT, S_MAJFLT, S_MINFLT, S_MEMFREE, S_MEMTOT,
 S_AVAIL, S_CACHES, S_HTLB_PGALLOC, S_HTLB_PGFAIL) = range(10)

#: feature bit 1: the device has a statistics queue
STATS_VQ = 1 << 1
#: -1, which QEMU takes for "not given"
NO_VALUE = 2 ** 64 - 1

KIB = 1024


def record(pairs: Iterable[tuple[int, int]], tail: bytes = b'') -> bytes:
    """A statistics buffer: packed little-endian 16-bit tag, 64-bit value.

    :param pairs: (tag, value); a value is cut to 64 bits, -1 thus allowed
    :param tail: appended as it is, for records that end half-way
    """
    packed = (struct.pack('<HQ', tag, value & NO_VALUE)
              for tag, value in pairs)
    return b''.join(packed) + tail


def linux_stats(total_kib: int, free_kib: int, avail_kib: int | None = None,
                caches_kib: int | None = None, swap_in_kib: int = 0,
                swap_out_kib: int = 0) -> list[tuple[int, int]]:
    """What Linux's driver reports, in the order it does; values in KiB.

    :param avail_kib: MemAvailable; None as from a kernel before 4.6
    :param caches_kib: Cached; None as from a kernel before 4.16
    """
    pairs = [
        (S_SWAP_IN, swap_in_kib * KIB),
        (S_SWAP_OUT, swap_out_kib * KIB),
        (S_MAJFLT, 0),
        (S_MINFLT, 1),
        (S_MEMFREE, free_kib * KIB),
        (S_MEMTOT, total_kib * KIB),
    ]
    if avail_kib is not None:
        pairs.append((S_AVAIL, avail_kib * KIB))
    if caches_kib is not None:
        pairs.append((S_CACHES, caches_kib * KIB))
    return pairs


def windows_without_service() -> list[tuple[int, int]]:
    """What the Windows driver reports while blnsvr does not run.

    Balloon/sys/Device.c of virtio-win fills its buffer with ones when it
    starts and when the service closes it, and queues it like that: tags
    QEMU does not know, so a timestamp arrives and no number.
    """
    return [(0xffff, NO_VALUE)] * 10
