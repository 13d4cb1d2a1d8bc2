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

"""Which guests an operator means."""

import collections.abc
import difflib
import re
import typing

from memstat_pollster.cli.output import outcome
from memstat_pollster.model import judged
from memstat_pollster import text


#: How many guests without a known name a message names.
NAMED: typing.Final = 3

#: What a UUID looks like; a word of this form never means another name.
_UUID: typing.Final = re.compile('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def find(cycle: judged.Cycle,
         words: collections.abc.Iterable[str]) -> list[judged.Guest]:
    """The guests that these words name, each once, in their order.

    :raises outcome.CommandFailed: when nothing has such
        a name; says which names are near
    """
    found: dict[str, judged.Guest] = {}
    for word in words:
        guests = named(cycle, word)
        if not guests:
            raise outcome.CommandFailed(_unknown(cycle, word))
        found.update((guest.uuid, guest) for guest in guests)
    return list(found.values())


def find_one(cycle: judged.Cycle, word: str) -> judged.Guest:
    """The one guest that a word names.

    :raises outcome.CommandFailed: when there is none,
        or more than one
    """
    found = find(cycle, [word])
    if len(found) > 1:
        raise _ambiguous(word, found)
    return found[0]


def find_to_change(cycle: judged.Cycle, words: collections.abc.Iterable[str],
                   shown: bool) -> list[judged.Guest]:
    """As :func:`find`, for a command that changes its guests.

    A display name is the tenant's to choose, so it counts only where one
    guest has it and the operator sees which one before anything is changed.

    :param shown: whether the plan is shown before it is carried out
    :raises outcome.CommandFailed: as :func:`find`, and for a display name
        that does not count
    """
    words = list(words)
    for word in words:
        found = named(cycle, word)
        if any(word.lower() == guest.uuid or word == guest.name
               for guest in found):
            continue
        if len(found) > 1:
            raise _ambiguous(word, found)
        if found and not shown:
            raise outcome.CommandFailed(
                f'{text.printable(word)} is a name that a tenant chose; with '
                f"--yes, name the guest by its UUID or libvirt's name: "
                f'{found[0].uuid}')
    return find(cycle, words)


def named(cycle: judged.Cycle, word: str) -> list[judged.Guest]:
    """The guests that a word names, by the first kind of name that fits.

    A UUID comes before libvirt's name, which Nova makes, and that before a
    display name, which a tenant chooses and several guests may have.
    """
    guests = cycle.guests.values()
    if _UUID.fullmatch(word.lower()):
        return [guest for guest in guests if guest.uuid == word.lower()]
    return ([guest for guest in guests if guest.name == word]
            or [guest for guest in guests if guest.display_name == word])


def _ambiguous(word: str, found: collections.abc.Sequence[judged.Guest],
               ) -> outcome.CommandFailed:
    return outcome.CommandFailed(
        f'{len(found)} guests have the name {text.printable(word)}; '
        f'name one by its UUID: '
        + ', '.join(guest.uuid for guest in found))


def _unknown(cycle: judged.Cycle, word: str) -> str:
    message = ('no guest of this node is named '
               + (text.printable(word) or "''"))
    # Nova's names are in metadata that libvirt gives, or does not.
    nameless = [guest for guest in cycle.guests.values()
                if guest.domain is None and guest.display_name is None]
    if nameless and not _UUID.fullmatch(word.lower()):
        more = len(nameless) - NAMED
        return (f'{message}, as far as is known, but of '
                f'{len(nameless)} guest{"s" * (len(nameless) != 1)} libvirt '
                "did not tell Nova's name; name one by libvirt's name or its "
                'UUID: ' + ', '.join(map(str, nameless[:NAMED]))
                + (f' and {more} more' if more > 0 else ''))
    names = sorted({name for guest in cycle.guests.values()
                    for name in (*guest.names, guest.uuid)})
    near = difflib.get_close_matches(word, names)
    if near:
        return (f'{message}; did you mean '
                + ' or '.join(map(text.printable, near)) + '?')
    if not names:
        return f'{message}: it has no guests'
    return f'{message}; "memstat-pollster status" lists its guests'
