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

"""Text of others, made fit for a line."""

import typing



#: The most characters of a tenant's name that a log line carries.
NAME_LENGTH: typing.Final = 64


def printable(text: str, length: int = NAME_LENGTH) -> str:
    """A tenant's text as one short line without control characters.

    A display name may hold newlines, terminal escapes or 10,000 characters.

    :param length: the most characters of what is returned
    """
    safe = ''.join(character if character.isprintable()
                   else character.encode('unicode_escape').decode('ascii')
                   for character in text[:length])
    if len(text) > length or len(safe) > length:
        return safe[:length - 3] + '...'
    return safe


def one_line(error: BaseException) -> str:
    """What an error says, on one line; its class where it says nothing."""
    return ' '.join(str(error).split()) or type(error).__name__
