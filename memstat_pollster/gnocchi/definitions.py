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

"""What Ceilometer's Gnocchi publisher has to know of the plugin's meters.

The publisher stores only the meters that its definitions file names, and it
reads one such file, never two: ceilometer/publisher/gnocchi.py.
"""

import collections.abc
import typing

from memstat_pollster.model import meters

#: Gnocchi's resource type of a server, by Ceilometer's name.
RESOURCE_TYPE: typing.Final = 'instance'

#: The attribute of it that has the word of a guest's status.
ATTRIBUTE: typing.Final = 'balloon_status'
ATTRIBUTE_SOURCE: typing.Final = 'resource_metadata.balloon_status'
#: As Gnocchi's API takes it.
ATTRIBUTE_TYPE: typing.Final[collections.abc.Mapping[str, typing.Any]] = {
    'type': 'string', 'required': False, 'min_length': 0, 'max_length': 255}

#: The mean of two codes is no code.
STATUS_POLICY: typing.Final[collections.abc.Mapping[str, typing.Any]] = {
    'name': 'memstat-status',
    'aggregation_methods': ['last', 'max'],
    'back_window': 0,
    'definition': [{'granularity': '5 minutes', 'timespan': '30 days'}],
}

#: Meter -> what the file says of it; None: the file's default policy.
METRICS: typing.Final[collections.abc.Mapping[
    str, collections.abc.Mapping[str, str] | None]] = {
        name: ({'archive_policy_name': STATUS_POLICY['name']}
               if name == 'memory.balloon.status' else None)
        for name in meters.METERS}

#: What a publisher reads that names no file.
DEFAULT_FILE: typing.Final = 'gnocchi_resources.yaml'

Document = dict[str, typing.Any]


class DefinitionsError(ValueError):
    """The document is not one that Ceilometer's publisher could use."""


def merged(document: typing.Any) -> Document:
    """A definitions file's document with the plugin's meters in it.

    What it says of a meter, of the attribute or of the archive policy
    already, stays.  Merging what was merged changes nothing.

    :param document: as YAML has it; left as it is
    :raises DefinitionsError: saying what is wrong with it
    """
    named = set(METRICS) - set(missing(document))
    resources = _mappings(document, 'resources')
    changed = []
    for resource in resources:
        if resource.get('resource_type') == RESOURCE_TYPE:
            resource = {
                **resource,
                'metrics': {**_metrics(resource),
                            **{name: None if value is None else dict(value)
                               for name, value in METRICS.items()
                               if name not in named}},
                'attributes': {ATTRIBUTE: ATTRIBUTE_SOURCE,
                               **_attributes(resource)}}
            named |= set(METRICS)
        changed.append(resource)
    if not named >= set(METRICS):
        raise DefinitionsError(f'it has no resource_type {RESOURCE_TYPE}')
    policies = _mappings(document, 'archive_policies')
    if STATUS_POLICY['name'] not in [each.get('name') for each in policies]:
        policies = [*policies, dict(STATUS_POLICY)]
    return {**document, 'archive_policies': policies, 'resources': changed}


def missing(document: typing.Any) -> tuple[str, ...]:
    """The plugin's meters that a definitions file's document does not name.

    :raises DefinitionsError: saying what is wrong with it
    """
    if not isinstance(document, dict):
        raise DefinitionsError('it is not a mapping')
    named = {name for resource in _mappings(document, 'resources')
             for name in _metrics(resource)}
    return tuple(name for name in METRICS if name not in named)


def _mappings(document: Document, key: str) -> list[Document]:
    value = document.get(key) or []
    if not isinstance(value, list) or not all(
            isinstance(each, dict) for each in value):
        raise DefinitionsError(f'{key} is not a list of mappings')
    return value


def _metrics(resource: Document) -> Document:
    """A resource type's metrics; they may be a list of names, too."""
    value = resource.get('metrics') or {}
    if isinstance(value, list) and all(
            isinstance(each, str) for each in value):
        return dict.fromkeys(value)
    if not isinstance(value, dict):
        name = resource.get('resource_type')
        raise DefinitionsError(
            f'the metrics of resource_type '
            f'{name if isinstance(name, str) else "?"} are neither a mapping '
            'nor a list of names')
    return value


def _attributes(resource: Document) -> Document:
    value = resource.get('attributes') or {}
    if not isinstance(value, dict):
        raise DefinitionsError('the attributes of resource_type '
                               f'{RESOURCE_TYPE} are not a mapping')
    return value


def publishers(pipeline: typing.Any) -> list[str]:
    """The URLs of a pipeline.yaml's Gnocchi publishers, in order.

    :param pipeline: the document, as YAML has it
    :raises DefinitionsError: when it is no pipeline
    """
    if not isinstance(pipeline, dict):
        raise DefinitionsError('it is not a mapping')
    found = []
    for sink in _mappings(pipeline, 'sinks'):
        urls = sink.get('publishers') or []
        if not isinstance(urls, list):
            raise DefinitionsError('the publishers of a sink are not a list')
        found += [url for url in urls if isinstance(url, str)
                  and url.partition(':')[0] == 'gnocchi']
    return found
