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

"""Files of Ceilometer's package, which it reads where there are no others."""

import importlib.util
import pathlib
import typing

#: Of polling.yaml and pipeline.yaml: ceilometer/agent.py load_config().
_CONFIGURATION: typing.Final = pathlib.Path('pipeline', 'data')


def directory() -> pathlib.Path | None:
    """Where the installed Ceilometer is; None where there is none.

    A user who may not read this Python's directories finds none, either.
    """
    spec = importlib.util.find_spec('ceilometer')
    for found in (spec and spec.submodule_search_locations) or ():
        return pathlib.Path(found)
    return None


def configuration(package: pathlib.Path | None,
                  name: str) -> pathlib.Path | None:
    """Ceilometer's own polling.yaml or pipeline.yaml.

    :param package: see :func:`directory`
    :param name: the configured one; none but a bare one can be there
    :returns: None where the package has no such file
    """
    if package is None or pathlib.PurePath(name).is_absolute():
        return None
    try:
        path = package / _CONFIGURATION / name
        return path if path.is_file() else None
    except ValueError:
        # No file has a name with a null character.
        return None
