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

"""What a command knows of the guests: one judged cycle.

A fresh process has seen nothing before its first reading.  Two questions stay
open then: whether a time stamp moves, and whether a guest that has sent
nothing has only just been started, or reset.  How long its QEMU has run tells
of a start; the rest is answered by reading again.
"""

import collections.abc
import contextlib
import dataclasses
import time
import typing

from oslo_config import cfg

from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import terminal
from memstat_pollster.config import connection_uri
from memstat_pollster.host import inspector
from memstat_pollster.host import processes
from memstat_pollster.model import judged
from memstat_pollster.model import observation
from memstat_pollster.model import status
from memstat_pollster import node

#: How long a command waits, unless told otherwise, for what one reading
#: cannot tell: three of Nova's periods, and the reading itself.
WAIT_S: typing.Final = 40.0

#: Beyond a guest's period: an answer is due by then, not at once.
SLACK_S: typing.Final = 1.0

#: QEMU 10 and later forget what a guest sent when it is reset.  One that
#: reboots looks like one that never reported until its driver is back.
CLEARS_AT_RESET: typing.Final = (10, 0, 0)
#: How long a guest is given for that, of the time that may be waited.
REBOOT_S: typing.Final = 15.0


Concerns = collections.abc.Callable[[judged.Cycle],
                                    collections.abc.Iterable[judged.Guest]]
MakeInspector = collections.abc.Callable[[cfg.ConfigOpts],
                                         inspector.Inspector]


def _all(cycle: judged.Cycle) -> collections.abc.Iterable[judged.Guest]:
    return cycle.guests.values()


class Node:
    """The guests of this node, from reading to reading.

    :ivar uri: libvirt's
    :ivar inspector: the only way to libvirt
    """

    def __init__(self, conf: cfg.ConfigOpts,
                 make_inspector: MakeInspector) -> None:
        self.uri = connection_uri.of(conf)
        self.inspector = make_inspector(conf)
        self._monitor = node.make_monitor(conf, self.inspector,
                                          processes.uptimes)

    def read(self) -> judged.Cycle:
        """One reading, judged by what was seen before; guests by name.

        :raises outcome.LibvirtUnreachable: when libvirt
            says nothing
        """
        cycle = self._monitor.cycle()
        if cycle.error is not None:
            raise outcome.LibvirtUnreachable(
                f'libvirt at {self.uri}: {cycle.error}'
                + (f'; {cycle.advice}' if cycle.advice else ''))
        return dataclasses.replace(cycle, guests={
            guest.uuid: guest for guest in sorted(
                cycle.guests.values(), key=lambda guest: (
                    guest.display_name or guest.name, guest.uuid))})

    def settle(self, wait_s: float, progress: terminal.Progress,
               concerns: Concerns = _all) -> judged.Cycle:
        """Read, and read again as long as that can tell more of a guest.

        :param wait_s: no later reading is begun after that many seconds
        :param concerns: the guests that are worth waiting for
        :raises outcome.LibvirtUnreachable: when libvirt
            says nothing
        """
        deadline = time.monotonic() + wait_s
        first = True
        while True:
            cycle = self.read()
            left_s = deadline - time.monotonic()
            guests = list(concerns(cycle))
            waits = [due_s for due_s in map(due, guests)
                     if due_s is not None and due_s <= left_s]
            if first and left_s > 0:
                waits += [min(REBOOT_S, left_s)
                          for guest in self._may_reboot(guests)]
            first = False
            if not waits:
                return cycle
            with progress:
                progress.wait(
                    max(waits), f'{len(waits)} of {len(cycle.guests)} guests '
                    f'cannot be told by one reading')


    def _may_reboot(self, guests: list[judged.Guest]) -> list[judged.Guest]:
        """Those that may be rebooting, for all that one reading tells."""
        silent = [guest for guest in guests
                  if guest.verdict.status is status.Status.DRIVER_MISSING]
        if not silent:
            return []
        try:
            version = self.inspector.host().hypervisor_version
        except observation.ReadFailed:
            return []
        return silent if version and version >= CLEARS_AT_RESET else []


def due(guest: judged.Guest) -> float | None:
    """After how many seconds another reading tells more of a guest.

    A time stamp that cannot be believed yet has moved one period later, or
    is known to stand still once the guest's numbers would be stale.

    :returns: None where this reading tells all
    """
    seen = guest.evidence
    if (guest.verdict.status is not status.Status.STARTING or seen is None
            or seen.reading is None or seen.domain is None):
        return None
    past, limit_s = seen.past, seen.stale_after_s
    if seen.reading.last_update_s and not past.proven:
        period_s = float(seen.domain.period_s or 0)
        return (period_s if past.held_s < period_s
                else limit_s - past.held_s) + SLACK_S
    if seen.reading.has_numbers:
        return limit_s - past.running_s + SLACK_S
    grace_s = seen.thresholds.boot_grace_s
    return grace_s - max(past.running_s, past.age_s or 0.0) + SLACK_S


@contextlib.contextmanager
def opened(conf: cfg.ConfigOpts,
           make_inspector: MakeInspector = node.make_inspector,
           ) -> collections.abc.Iterator[Node]:
    """The node, until the block ends."""
    found = Node(conf, make_inspector)
    try:
        yield found
    finally:
        found.inspector.close()


def survey(conf: cfg.ConfigOpts, wait_s: float = WAIT_S,
           make_inspector: MakeInspector = node.make_inspector,
           stream: typing.TextIO | None = None,
           concerns: Concerns = _all) -> judged.Cycle:
    """All guests of this node by name, judged as the agent judges them.

    :param wait_s: how long to wait at most for what one reading cannot tell
    :param stream: where it says what it waits for, if that is a terminal;
        None: stderr
    :param concerns: the guests that are worth waiting for
    :raises outcome.LibvirtUnreachable: when libvirt
        says nothing
    """
    with opened(conf, make_inspector) as found:
        return found.settle(wait_s, terminal.Progress(stream), concerns)
