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

import os
import tempfile

from memstat_pollster.cmd import outcome


def write(path: str, text: str) -> None:
    """Replace a file at once: who reads it never sees half of it.

    :param path: a pipe or a device is written to
    :raises memstat_pollster.cmd.outcome.CommandFailed: naming the file
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
    descriptor, draft = tempfile.mkstemp(
        dir=os.path.dirname(path), prefix=f'.{os.path.basename(path)}.')
    try:
        with open(descriptor, 'w', encoding='utf-8') as file:
            file.write(text)
            os.fchmod(descriptor, _mode(path))
        os.replace(draft, path)
    except OSError:
        os.unlink(draft)
        raise


def _mode(path: str) -> int:
    """That of the file that is replaced, or that a new one would have."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask
