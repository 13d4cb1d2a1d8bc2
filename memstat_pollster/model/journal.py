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

"""Which verdict on which guest the operator has been told."""

import typing



#: How many changes of one guest are told as they come, and with how many
#: readings of it each of those is made up for.  A guest that changes on and on
#: gets a line in five hours where it is polled every five minutes.
LINES_IN_A_ROW: typing.Final = 20

READINGS_A_LINE: typing.Final = 60

#: A verdict, and what else was said.
_Told = tuple[typing.Hashable, typing.Hashable]


class Journal:
    """Which verdict on which guest the operator has been told.

    A verdict is told when it has held for a second reading; an immediate one
    at once, unless something else is wrong with the guest already.  A quiet
    one is no news: it neither is told nor changes what was.

    A hostile guest must not choose how often it is written about: one that
    has been told LINES_IN_A_ROW times is told again when READINGS_A_LINE
    more readings have gone by, if it still is not what was told last.

    Not for two threads at once: whoever owns it has a lock.

    :param normal: what a guest counts as until something else is told
    :param quiet: verdicts that are never told
    :param immediate: verdicts that are told at the first reading
    """

    def __init__(self, normal: typing.Hashable, *,
                 quiet: typing.Collection[typing.Hashable],
                 immediate: typing.Collection[typing.Hashable]) -> None:
        self._normal = normal
        self._quiet = frozenset(quiet)
        self._immediate = frozenset(immediate)
        self._told: dict[str, _Told] = {}
        self._candidates: dict[str, _Told] = {}
        #: Readings until all lines about a guest have been made up for.
        self._debts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._told.keys() | self._candidates.keys()
                   | self._debts.keys())

    def is_news(self, uuid: str, verdict: typing.Hashable,
                said: typing.Hashable = None) -> bool:
        """Take in one verdict; True when it has to be told now.

        :param said: what else is told with the verdict, and makes it news
            when that changes; nothing in it may change by itself, as an age
            does.  Of the normal verdict it does not count
        """
        debt = self._debts.pop(uuid, 0) - 1
        if debt > 0:
            self._debts[uuid] = debt
        if verdict in self._quiet:
            return False
        normal: _Told = self._normal, None
        now = normal if verdict == self._normal else (verdict, said)
        told = self._told.get(uuid, normal)
        if now == told:
            self._candidates.pop(uuid, None)
            return False
        at_once = verdict in self._immediate and told == normal
        if not at_once and self._candidates.get(uuid) != now:
            self._candidates[uuid] = now
            return False
        debt = max(debt, 0) + READINGS_A_LINE
        if debt > LINES_IN_A_ROW * READINGS_A_LINE:
            return False
        self._debts[uuid] = debt
        self._candidates.pop(uuid, None)
        if now == normal:
            del self._told[uuid]
        else:
            self._told[uuid] = now
        return True

    def retain(self, uuids: typing.Collection[str]) -> None:
        """Forget every guest but these."""
        keep = set(uuids)
        for book in (self._told, self._candidates, self._debts):
            for uuid in book.keys() - keep:
                del book[uuid]
