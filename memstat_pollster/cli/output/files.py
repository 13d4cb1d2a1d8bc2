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

"""Files that commands write."""

import contextlib
import io
import os
import stat
import tempfile
import typing

from memstat_pollster.cli.output import outcome


def write(path: str, text: str) -> None:
    """Replace a file at once: who reads it never sees half of it.

    :param path: a pipe or a device is written to
    :raises outcome.CommandFailed: naming the file
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
        else:
            _replace(os.path.realpath(path), text)
    except OSError as exc:
        raise outcome.CommandFailed(
            f'{path} cannot be written: {exc.strerror}') from exc


def _replace(path: str, text: str) -> None:
    directory = os.path.dirname(path)
    try:
        # Not named like the file, whose name may be as long as names can be.
        descriptor, draft = tempfile.mkstemp(dir=directory,
                                             prefix='.memstat-pollster.')
    except PermissionError as exc:
        raise PermissionError(
            exc.errno, f'no file can be made in {directory}: {exc.strerror}',
            ) from exc
    try:
        with open(descriptor, 'w', encoding='utf-8') as file:
            file.write(text)
            _like(descriptor, path)
        os.replace(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)


def _like(descriptor: int, path: str) -> None:
    """Owner and mode of the file that is replaced, or those of a new one."""
    try:
        before = os.stat(path)
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        return
    for owner in (before.st_uid, -1):
        try:
            os.fchown(descriptor, owner, before.st_gid)
            break
        except PermissionError:
            # Only root gives a file away, and only a member to a group.
            continue
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode) & 0o777)


def to_stream(stream: typing.TextIO, text: str) -> None:
    """Write to a stream what says of itself that it is UTF-8."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding='utf-8')
    stream.write(text)
