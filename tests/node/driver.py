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

"""A virtio balloon driver without a guest, played over QEMU's qtest socket.

QEMU runs under TCG with a firmware that halts the CPU for ever, so nobody
in the guest touches the device and QEMU's own timers, the statistics
polling among them, go on. The device is driven as a transitional one,
through the legacy registers in its I/O BAR (virtio 1.2, section 4.1.4.10).
"""

from __future__ import annotations

from collections.abc import Iterable
import pathlib
import socket
import struct
import threading

from tests.node import stats
from tests.node import tools

# PCI configuration space, mechanism #1 (one dword at a time)
CONFIG_ADDRESS, CONFIG_DATA = 0xcf8, 0xcfc
CONFIG_ENABLE = 1 << 31
CONFIG_ID, CONFIG_COMMAND, CONFIG_BAR0 = 0x00, 0x04, 0x10
COMMAND_IO_MEMORY_MASTER = 7
TRANSITIONAL_BALLOON = 0x10021af4

# the legacy registers, at IO_BASE of our own choice
IO_BASE = 0xc000
HOST_FEATURES = IO_BASE + 0x00
GUEST_FEATURES = IO_BASE + 0x04
QUEUE_PFN = IO_BASE + 0x08
QUEUE_SIZE = IO_BASE + 0x0c
QUEUE_SELECT = IO_BASE + 0x0e
QUEUE_NOTIFY = IO_BASE + 0x10
STATUS = IO_BASE + 0x12
ACTUAL = IO_BASE + 0x18
RESET, ACKNOWLEDGE, DRIVER, DRIVER_OK = 0, 1, 2, 4

INFLATE, DEFLATE, STATS = range(3)
PAGE = 4096
RINGS = 0x10000  # guest-physical, one ring every RING_STRIDE
#: A ring of 1024 entries, which QEMU has from 10 on, takes 0x7006 bytes.
RING_STRIDE = 0x10000
BUFFER = 0x40000  # guest-physical: the statistics record

#: Seconds for an answer, which takes QEMU under a millisecond by itself: of
#: one that runs on a machine with more to do ...
ANSWER_TIMEOUT = 60.0
#: ... and of one that may be frozen, while other guests wait.
PATIENCE = 2.0


def _used_offset(entries: int) -> int:
    """Where the used ring begins (virtio 1.2, section 2.7.2)."""
    end = 16 * entries + 6 + 2 * entries
    return (end + PAGE - 1) // PAGE * PAGE


def _ring_bytes(entries: int) -> int:
    return _used_offset(entries) + 6 + 8 * entries


class QTestError(Exception):
    """QEMU refused a qtest command, or hung up."""


class QTest:
    """The client's side of QEMU's qtest protocol; not thread-safe.

    A command that a frozen QEMU did not answer in time has still been
    sent: it takes effect when QEMU thaws. Its late answer is recognised
    and dropped, see :meth:`settled`.
    """

    def __init__(self, path: pathlib.Path, timeout: float = 60.0) -> None:
        self._socket = tools.wait_for(
            lambda: self._connect(path), timeout, 'qtest socket %s' % path)
        self._buffered = b''
        self._owed = 0

    @staticmethod
    def _connect(path: pathlib.Path) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        return connection

    def settled(self) -> bool:
        """Whether every command sent so far has been answered.

        Takes what answers have arrived, without waiting for more.
        """
        try:
            while self._owed:
                self._answer(0.0)
        except (TimeoutError, BlockingIOError):
            return False
        return True

    def commands(self, *lines: str,
                 timeout: float = ANSWER_TIMEOUT) -> list[str]:
        """Send commands in one go and return the value of each answer.

        :param timeout: seconds for each answer
        :raises TimeoutError: QEMU did not answer (frozen)
        :raises QTestError: it refused a command, or is gone
        """
        late = self._owed
        self._socket.settimeout(timeout)
        self._socket.sendall(('\n'.join(lines) + '\n').encode())
        self._owed += len(lines)
        for _ in range(late):
            self._answer(timeout)
        answers = [self._answer(timeout) for _ in lines]
        for line, answer in zip(lines, answers, strict=True):
            if not answer.startswith('OK'):
                raise QTestError('%s: %s' % (line[:60], answer))
        return [answer[3:] for answer in answers]

    def _answer(self, timeout: float) -> str:
        self._socket.settimeout(timeout)
        while True:
            while b'\n' not in self._buffered:
                chunk = self._socket.recv(65536)
                if not chunk:
                    raise QTestError('QEMU closed its qtest socket')
                self._buffered += chunk
            line, self._buffered = self._buffered.split(b'\n', 1)
            if not line.startswith(b'IRQ'):
                self._owed -= 1
                return line.decode()

    def write_port(self, width: str, port: int, value: int) -> None:
        """Write a port; width is b, w or l (8, 16, 32 bits)."""
        self.commands('out%s 0x%x 0x%x' % (width, port, value))

    def read_port(self, width: str, port: int) -> int:
        """Read a port; width is b, w or l (8, 16, 32 bits)."""
        return int(self.commands('in%s 0x%x' % (width, port))[0], 16)

    def close(self) -> None:
        """Hang up; QEMU goes on."""
        self._socket.close()


class BalloonDriver:
    """A balloon driver that does as it is told; safe to use in threads.

    Every method may raise TimeoutError (QEMU is frozen; what was sent
    takes effect when it thaws), QTestError or OSError (QEMU is gone).

    :ivar answers: whether :meth:`answer_poll` answers; a test sets it
        False to play a driver that fell silent: from then on it is
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._qtest = QTest(path)
        self._lock = threading.RLock()
        self._record: bytes | None = None
        self._attached = False
        self._avail_index = 0
        self._queue_size = 0
        self._answers = True

    @property
    def answers(self) -> bool:
        return self._answers

    @answers.setter
    def answers(self, value: bool) -> None:
        with self._lock:  # not while an answer is on its way
            self._answers = value

    @property
    def attached(self) -> bool:
        """Whether the driver has bound the device."""
        return self._attached

    def attach(self, features: int = stats.STATS_VQ) -> None:
        """Bind the driver.

        :param features: what the driver knows; 0 is one that cannot send
            statistics, FreeBSD's for example
        """
        with self._lock:
            device = self._find_device()
            self._write_config(device, CONFIG_BAR0, IO_BASE)
            self._write_config(device, CONFIG_COMMAND,
                               COMMAND_IO_MEMORY_MASTER)
            write = self._qtest.write_port
            for status in (RESET, ACKNOWLEDGE, ACKNOWLEDGE | DRIVER):
                write('b', STATUS, status)
            offered = self._qtest.read_port('l', HOST_FEATURES)
            write('l', GUEST_FEATURES, offered & features)
            queues = [INFLATE, DEFLATE]
            if features & stats.STATS_VQ:
                queues.append(STATS)
            for queue in queues:
                self._set_up_queue(queue)
            self._avail_index = 0
            self._attached = True
            write('b', STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK)

    def _find_device(self) -> int:
        for device in range(32):
            self._select_config(device, CONFIG_ID)
            if self._qtest.read_port('l', CONFIG_DATA) == (
                    TRANSITIONAL_BALLOON):
                return device
        raise QTestError('no transitional virtio balloon on PCI bus 0')

    def _select_config(self, device: int, offset: int) -> None:
        self._qtest.write_port('l', CONFIG_ADDRESS,
                               CONFIG_ENABLE | device << 11 | offset)

    def _write_config(self, device: int, offset: int, value: int) -> None:
        self._select_config(device, offset)
        self._qtest.write_port('l', CONFIG_DATA, value)

    def _set_up_queue(self, queue: int) -> None:
        ring = RINGS + queue * RING_STRIDE
        self._qtest.write_port('w', QUEUE_SELECT, queue)
        self._queue_size = self._qtest.read_port('w', QUEUE_SIZE)
        size = _ring_bytes(self._queue_size)
        if size > RING_STRIDE:
            raise QTestError('queue %d has %d entries: its ring takes %d '
                             'bytes' % (queue, self._queue_size, size))
        self._qtest.commands('memset 0x%x 0x%x 0x0' % (ring, size))
        self._qtest.write_port('l', QUEUE_PFN, ring // PAGE)

    @property
    def _stats_ring(self) -> int:
        return RINGS + STATS * RING_STRIDE

    @property
    def _avail_ring(self) -> int:
        return self._stats_ring + 16 * self._queue_size

    @property
    def _used_ring(self) -> int:
        return self._stats_ring + _used_offset(self._queue_size)

    def set(self, pairs: Iterable[tuple[int, int]] | bytes) -> None:
        """Choose what the next push or answered poll sends."""
        with self._lock:
            self._record = (pairs if isinstance(pairs, bytes)
                            else stats.record(pairs))

    def push(self, pairs: Iterable[tuple[int, int]] | bytes | None = None,
             timeout: float = ANSWER_TIMEOUT) -> None:
        """Give QEMU one record; it is in force when this returns.

        :param pairs: (tag, value) in bytes, or a raw buffer; None: the
            record of last time. Later polls are answered with the same.
        :param timeout: seconds for each answer of QEMU
        """
        with self._lock:
            if pairs is not None:
                self.set(pairs)
            if self._record is None:
                raise ValueError('there is no record yet to push again')
            slot = self._avail_index % self._queue_size
            self._avail_index = (self._avail_index + 1) & 0xffff
            descriptor = struct.pack('<QIHH', BUFFER, len(self._record),
                                     0, 0)
            lines = [
                'write 0x%x 0x10 0x%s' % (self._stats_ring,
                                          descriptor.hex()),
                'writew 0x%x 0x0' % (self._avail_ring + 4 + 2 * slot),
                'writew 0x%x 0x%x' % (self._avail_ring + 2,
                                      self._avail_index),
                'outw 0x%x 0x%x' % (QUEUE_NOTIFY, STATS),
            ]
            if self._record:
                lines.insert(0, 'write 0x%x 0x%x 0x%s' % (
                    BUFFER, len(self._record), self._record.hex()))
            self._qtest.commands(*lines, timeout=timeout)

    def answer_poll(self) -> bool:
        """Answer QEMU's request for numbers; False if there was none.

        A QEMU that still owes answers to earlier commands (it is frozen)
        is left alone without waiting for it. So is one whose guest has
        been given no record yet: QEMU would mark the device broken for an
        empty one.
        """
        with self._lock:
            if not (self._attached and self.answers
                    and self._record is not None
                    and self._qtest.settled()):
                return False
            used, = self._qtest.commands(
                'readw 0x%x' % (self._used_ring + 2), timeout=PATIENCE)
            if int(used, 16) != self._avail_index:
                return False
            self.push(timeout=PATIENCE)
            return True

    def set_actual(self, pages: int) -> None:
        """Claim that the balloon holds `pages` pages of 4 KiB."""
        with self._lock:
            self._qtest.write_port('l', ACTUAL, pages)

    def detach(self) -> None:
        """Reset the device, as unloading the driver does."""
        with self._lock:
            self._qtest.write_port('b', STATUS, RESET)
            self._attached = False

    def close(self) -> None:
        """Hang up, leaving the device as it is."""
        with self._lock:
            self._attached = False
            self._qtest.close()
