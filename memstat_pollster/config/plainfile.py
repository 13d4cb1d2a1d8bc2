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


"""Files of others, read without being held up by what they are.

The polling thread reads some of them: a pipe that nobody writes to, a device
or a file without end would stop the whole agent.
"""

import errno
import os
import pathlib
import stat
import typing

from memstat_pollster.config import errors

#: Nova's and Ceilometer's sample files, with every option, have 0.5 MB.
MOST_BYTES: typing.Final = 4 * 2**20


def read(path: str | pathlib.Path, most_bytes: int = MOST_BYTES,
         any_kind: bool = False) -> bytes:
    """What is in a file, which must be a regular one.

    :param any_kind: whether a pipe or a device is read, too, however long
        that takes: for what was named on a command line
    :raises errors.FileError: saying why it cannot be read
    """
    try:
        if any_kind:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        else:
            # Before it is opened: that alone makes some devices do something.
            _check(os.stat(path))
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC
                                 | os.O_NOCTTY | os.O_NONBLOCK)
        with open(descriptor, 'rb') as file:
            if not any_kind:
                _check(os.fstat(descriptor))
            content = file.read(most_bytes + 1)
    except OSError as exc:
        raise errors.FileError(exc.strerror) from exc
    if content is None or len(content) > most_bytes:
        raise errors.FileError(f'it has more than {most_bytes} bytes')
    return content


def _check(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise errors.FileError('it is no regular file')
