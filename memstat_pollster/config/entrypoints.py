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

"""Which pollsters are registered: the plugin's, and others of their names.

Nothing is loaded here; it works where there is no ceilometer.
"""

import importlib.metadata
import typing

NAMESPACE: typing.Final = 'ceilometer.poll.compute'
OWN_PACKAGE: typing.Final = 'memstat_pollster'


def _is_own(entry_point: importlib.metadata.EntryPoint) -> bool:
    return entry_point.value.partition('.')[0].partition(':')[0] == (
        OWN_PACKAGE)


def own() -> list[importlib.metadata.EntryPoint]:
    """The plugin's own."""
    return [entry_point for entry_point
            in importlib.metadata.entry_points(group=NAMESPACE)
            if _is_own(entry_point)]


def rivals(name: str) -> list[importlib.metadata.EntryPoint]:
    """Those of other packages that are registered under this name."""
    return [entry_point for entry_point
            in importlib.metadata.entry_points(group=NAMESPACE, name=name)
            if not _is_own(entry_point)]
