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

from memstat_pollster.cli.output import outcome
from memstat_pollster.model import judged
from memstat_pollster import text


def find(cycle: judged.Cycle,
         words: collections.abc.Iterable[str]) -> list[judged.Guest]:
    """The guests that these words name, each once, in their order.

    A word is a UUID, libvirt's name or Nova's, which several may have.

    :raises outcome.CommandFailed: when nothing has such
        a name; says which names are near
    """
    found: dict[str, judged.Guest] = {}
    for word in words:
        named = [guest for guest in cycle.guests.values()
                 if is_named(guest, word)]
        if not named:
            raise outcome.CommandFailed(_unknown(cycle, word))
        found.update((guest.uuid, guest) for guest in named)
    return list(found.values())


def find_one(cycle: judged.Cycle, word: str) -> judged.Guest:
    """The one guest that a word names.

    :raises outcome.CommandFailed: when there is none,
        or more than one
    """
    found = find(cycle, [word])
    if len(found) > 1:
        raise outcome.CommandFailed(
            f'{len(found)} guests have the name {text.printable(word)}; '
            f'name one by its UUID: '
            + ', '.join(guest.uuid for guest in found))
    return found[0]


def is_named(guest: judged.Guest, word: str) -> bool:
    """Whether a word is one of a guest's names."""
    return (word in (*guest.names, guest.uuid)
            or word.lower() == guest.uuid)


def _unknown(cycle: judged.Cycle, word: str) -> str:
    message = ('no guest of this node is named '
               + (text.printable(word) or "''"))
    names = sorted({name for guest in cycle.guests.values()
                    for name in (*guest.names, guest.uuid)})
    near = difflib.get_close_matches(word, names)
    if near:
        return (f'{message}; did you mean '
                + ' or '.join(map(text.printable, near)) + '?')
    if not names:
        return f'{message}: it has no guests'
    return f'{message}; "memstat-pollster status" lists its guests'
