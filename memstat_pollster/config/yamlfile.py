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

"""YAML files of Ceilometer's, which may be anything at all."""

import pathlib
import typing

import yaml

from memstat_pollster.config import errors
from memstat_pollster.config import plainfile

#: Ceilometer's own files have up to 30 kB; a MiB takes seconds to parse.
MOST_BYTES: typing.Final = 2**20

#: What PyYAML raises: its own errors; what its constructors of numbers and
#: times stumble over; and what nests too deep.
_ERRORS: typing.Final = (
    yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError,
    TypeError, RecursionError)


def read(path: pathlib.Path, pipe: bool = False) -> typing.Any:
    """A file's document.

    :param pipe: whether a pipe is read, too, which nobody may write to
    :raises errors.ConfigurationError: naming the file, when
        it cannot be read or is no YAML
    """
    try:
        content = plainfile.read(path, MOST_BYTES, any_kind=pipe)
    except errors.FileError as exc:
        raise errors.ConfigurationError(f'{path}: {exc}') from exc
    try:
        return yaml.safe_load(content.decode('utf-8'))
    except _ERRORS as exc:
        raise errors.ConfigurationError(
            f'{path}: {str(exc) or type(exc).__name__}') from exc
