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

"""One polling cycle: read all guests, judge them, tell what has changed.

Knows neither libvirt nor ceilometer: the pollsters and the command line both
stand on it.
"""

import collections.abc
import dataclasses
import logging
import threading
import typing

from memstat_pollster.model import compute
from memstat_pollster.model import domain as domain_xml
from memstat_pollster.model import facts
from memstat_pollster.model import history
from memstat_pollster.model import journal
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import observation
from memstat_pollster.model import status
from memstat_pollster.model import usage

# oslo.log's own is a wrapper of it, and takes as long to load as libvirt.
LOG = logging.getLogger(__name__)

#: So many guests that change alike in one cycle make one line.
SUMMARISE_FROM: typing.Final = 6
#: How many of them that line names.
NAMES_IN_SUMMARY: typing.Final = 5


class Source(typing.Protocol):
    """What a monitor reads from; see ``inspector.Inspector``."""

    uri: str

    def read(self, kinds: compute.Kinds = ...) -> observation.Snapshot: ...

    def read_more(self, kinds: compute.Kinds) -> observation.Snapshot: ...

    def live_xml(self, uuids: collections.abc.Collection[str]
                 ) -> observation.Documents: ...

    def nova_metadata(self, uuids: collections.abc.Collection[str]
                      ) -> dict[str, str]: ...


Uptimes = collections.abc.Callable[
    [collections.abc.Collection[str]], collections.abc.Mapping[str, float]]


class Monitor:
    """The guests of one node from cycle to cycle.

    Safe to be shared by threads: cycles follow each other.

    :param source: where readings come from
    :param thresholds: what the operator has set
    :param wanted: returns Nova's option as it is now
    :param uptimes: says for how many seconds the QEMU of each of these
        guests has run, where that is known.  For a process that cannot watch
        a guest for as long as a boot may take; None: what was seen counts
    """

    def __init__(self, source: Source, thresholds: facts.Thresholds,
                 wanted: collections.abc.Callable[[], nova_period.Wanted],
                 uptimes: Uptimes | None = None) -> None:
        self._source = source
        self._thresholds = thresholds
        self._wanted = wanted
        self._uptimes = uptimes
        self._lock = threading.Lock()
        self._readings = history.Readings()
        self._journal = journal.Journal(
            status.Status.REPORTING, quiet=status.QUIET,
            immediate=status.IMMEDIATE)
        self._domains: dict[str, domain_xml.Domain] = {}
        self._names: dict[str, str | None] = {}
        self._troubled: dict[str, str] = {}
        self._nova_told: nova_period.Wanted | None = None
        self._error: str | None = None

    def cycle(self, kinds: compute.Kinds = frozenset()) -> judged.Cycle:
        """Read, judge and remember; log what an operator has to know.

        :param kinds: what is read of each guest beside its memory
        """
        # Files are read before the lock is taken: whatever they are on can
        # hang.
        wanted = self._wanted()
        with self._lock:
            self._tell_nova(wanted)
            snapshot = (self._source.read(kinds) if kinds
                        else self._source.read())
            self._tell_error(snapshot)
            if snapshot.error is not None:
                return judged.Cycle(snapshot.monotonic_s, {}, snapshot.error,
                             snapshot.advice, wanted)
            guests = self._judge_all(snapshot, wanted)
            self._retain(snapshot.records)
            self._tell_changes(guests.values(), wanted)
            return judged.Cycle(snapshot.monotonic_s, guests, wanted=wanted,
                                records=snapshot.records if kinds else {})

    def read_more(self, kinds: compute.Kinds) -> observation.Snapshot:
        """Read what the cycle's first reading did not ask for.

        It takes what that has left of the time for the cycle.
        """
        with self._lock:
            return self._source.read_more(kinds)

    def live_xml(self, uuids: collections.abc.Collection[str],
                 ) -> collections.abc.Mapping[str, str]:
        """The live XML of these guests, of those whose could be read."""
        with self._lock:
            try:
                return self._source.live_xml(uuids).found
            except observation.ReadFailed:
                return {}

    def _judge_all(self, snapshot: observation.Snapshot,
                   wanted: nova_period.Wanted) -> dict[str, judged.Guest]:
        """Judge by the XML that is known, then by new XML where it counts."""
        evidence: dict[str, facts.Evidence] = {}
        verdicts: dict[str, status.Verdict] = {}
        for uuid, record in snapshot.records.items():
            reading = record.reading
            past = self._readings.observe(
                uuid, record.domain_id, reading, wall_s=snapshot.wall_s,
                monotonic_s=snapshot.monotonic_s, took_s=snapshot.took_s,
                step_s=snapshot.step_s)
            evidence[uuid] = facts.Evidence(
                reading, self._known(record), past, self._thresholds,
                record.trouble)
        self._add_uptimes(evidence)
        doubtful = []
        for uuid, seen in evidence.items():
            verdicts[uuid] = status.judge(seen)
            # libvirt 11 and later wait 30 s for the XML of a guest whose job
            # another call holds (qemuDomainGetXMLDesc, 6cc93bf28842).
            if not snapshot.records[uuid].busy and (
                    seen.domain is None or self._may_differ(verdicts[uuid],
                                                            seen.past)):
                doubtful.append(uuid)
        fetched = self._fetch(doubtful, snapshot.records)
        for uuid in doubtful:
            found, trouble = fetched.get(uuid, (None, None))
            if uuid not in fetched or (
                    found is not None and
                    found.domain_id != snapshot.records[uuid].domain_id):
                # Gone, stopped or started while it was read: next cycle.
                del evidence[uuid], verdicts[uuid]
                continue
            evidence[uuid] = dataclasses.replace(
                evidence[uuid], domain=found, trouble=trouble)
            verdicts[uuid] = status.judge(evidence[uuid])
        self._name(uuid for uuid, seen in evidence.items()
                   if seen.domain is None)
        return {uuid: self._guest(snapshot.records[uuid], evidence[uuid],
                                  verdict, wanted)
                for uuid, verdict in verdicts.items()}

    def _known(self, record: observation.Record) -> domain_xml.Domain | None:
        """The XML that is known of this run of a guest."""
        known = self._domains.get(record.uuid)
        if known is None or known.domain_id != record.domain_id:
            return None
        return known

    def _name(self, uuids: collections.abc.Iterable[str]) -> None:
        """Find out Nova's names of guests whose XML cannot be had."""
        nameless = [uuid for uuid in uuids if uuid not in self._names]
        if not nameless:
            return
        try:
            documents = self._source.nova_metadata(nameless)
        except observation.ReadFailed:
            # They go by libvirt's name until it answers.
            return
        for uuid in nameless:
            self._names[uuid] = domain_xml.display_name(
                documents.get(uuid, ''))

    def _add_uptimes(self, evidence: dict[str, facts.Evidence]) -> None:
        """For guests without numbers that may seem to have just started."""
        if self._uptimes is None:
            return
        silent = {
            uuid: seen for uuid, seen in evidence.items()
            if seen.reading is not None and seen.reading.running
            and seen.reading.answered and not seen.reading.has_numbers
            and seen.reading.reason not in history.INTERRUPTED_REASONS
            and not seen.past.reset
            and seen.past.running_s < self._thresholds.boot_grace_s}
        if not silent:
            return
        for uuid, uptime_s in self._uptimes(silent.keys()).items():
            past = silent[uuid].past
            evidence[uuid] = dataclasses.replace(
                silent[uuid], past=dataclasses.replace(
                    past, running_s=max(past.running_s, uptime_s)))

    @staticmethod
    def _may_differ(verdict: status.Verdict, past: history.Past) -> bool:
        """Whether the XML in force may be another than the one that is known.

        Nothing tells a read-only client that a period was changed live.  As
        long as a guest's time stamp moves and its verdict is good, the
        period does not matter; otherwise it is looked up again.
        """
        if verdict.status is status.Status.REPORTING:
            return not past.moved
        return verdict.status not in (
            status.Status.NOT_RUNNING, status.Status.UNREACHABLE,
            status.Status.NO_DEVICE)

    def _fetch(self, uuids: list[str], records: collections.abc.Mapping[
            str, observation.Record]) -> dict[
            str, tuple[domain_xml.Domain | None, str | None]]:
        """New XML for these guests, parsed; or what is wrong with it.

        Where it cannot be had, what is known of the same run holds.
        """
        try:
            documents = self._source.live_xml(uuids)
        except observation.ReadFailed as exc:
            return {uuid: (self._known(records[uuid]), f'its live XML could '
                           f'not be read: {exc}') for uuid in uuids}
        found: dict[str, tuple[domain_xml.Domain | None, str | None]] = {
            uuid: (self._known(records[uuid]), why)
            for uuid, why in documents.failed.items()}
        for uuid, document in documents.found.items():
            try:
                self._domains[uuid] = domain_xml.parse(document)
                self._names[uuid] = self._domains[uuid].display_name
                self._troubled.pop(uuid, None)
                found[uuid] = self._domains[uuid], None
            except domain_xml.InvalidDomainXML as exc:
                self._domains.pop(uuid, None)
                found[uuid] = None, f'its live XML cannot be parsed: {exc}'
                if self._troubled.get(uuid) != str(exc):
                    self._troubled[uuid] = str(exc)
                    LOG.error('Guest %s: its live XML cannot be parsed, so '
                              'it is not metered: %s', uuid, exc)
        return found

    def _guest(self, record: observation.Record, seen: facts.Evidence,
               verdict: status.Verdict,
               wanted: nova_period.Wanted) -> judged.Guest:
        domain, reading = seen.domain, record.reading
        reporting = verdict.status is status.Status.REPORTING
        return judged.Guest(
            uuid=record.uuid, name=record.name,
            display_name=(domain.display_name if domain
                          else self._names.get(record.uuid)),
            reading=reading, domain=domain, verdict=verdict,
            remedy=status.remedy(
                verdict.status,
                guest_os=(domain.guest_os if domain
                          else domain_xml.GuestOS.UNKNOWN),
                uuid=record.uuid, nova_period_s=wanted.period_s),
            age_s=seen.past.age_s if reading.has_numbers else None,
            memory=usage.memory(reading) if reporting else None,
            evidence=seen)

    def _retain(self, uuids: collections.abc.Collection[str]) -> None:
        """Forget all of every guest that is not on the node any more."""
        self._readings.retain(uuids)
        self._journal.retain(uuids)
        for book in (self._domains, self._names, self._troubled):
            for uuid in book.keys() - set(uuids):
                del book[uuid]

    def _tell_nova(self, wanted: nova_period.Wanted) -> None:
        before, self._nova_told = self._nova_told, wanted
        if wanted == before or before is None and not wanted.problems:
            return
        for problem in wanted.problems:
            LOG.warning("Nova's mem_stats_period_seconds is taken to be %d s, "
                        'because %s (option [memstat]nova_config_files)',
                        wanted.period_s, problem)
        if not wanted.problems:
            LOG.info("Nova's mem_stats_period_seconds is %d s",
                     wanted.period_s)

    def _tell_error(self, snapshot: observation.Snapshot) -> None:
        before, self._error = self._error, snapshot.error
        if snapshot.error is not None and before is None:
            LOG.warning('libvirt at %s: %s; all guests of this node are '
                        'unreachable until it answers', self._source.uri,
                        snapshot.error)
        elif snapshot.error is None and before is not None:
            LOG.info('libvirt at %s answers again', self._source.uri)

    def _tell_changes(self, guests: collections.abc.Iterable[judged.Guest],
                      wanted: nova_period.Wanted) -> None:
        news: dict[status.Status, list[judged.Guest]] = {}
        for guest in guests:
            now = guest.verdict.status
            # Whatever of it changes, the last line about the guest is untrue.
            said = status.is_excused(now, wanted.period_s), guest.remedy
            if self._journal.is_news(guest.uuid, now, said):
                news.setdefault(now, []).append(guest)
        for now, changed in sorted(news.items()):
            level = _level(now, wanted)
            if len(changed) >= SUMMARISE_FROM:
                LOG.log(level, 'Memory statistics of %d guests: %s; among '
                        'them %s', len(changed), now.word,
                        ', '.join(map(str, changed[:NAMES_IN_SUMMARY])))
                continue
            for guest in changed:
                LOG.log(level, 'Memory statistics of %s: %s: %s%s', guest,
                        now.word, guest.verdict.detail,
                        f'. Remedy: {guest.remedy}' if guest.remedy else '')


def _level(now: status.Status, wanted: nova_period.Wanted) -> int:
    """A guest that recovers, or that the operator has chosen: INFO."""
    if now is status.Status.REPORTING or status.is_excused(
            now, wanted.period_s):
        return logging.INFO
    return logging.WARNING
