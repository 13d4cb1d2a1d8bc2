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

"""What the dashboards in etc/grafana ask, asked as Grafana asks it."""

from __future__ import annotations

from collections.abc import Mapping
import json
import pathlib
import re
from typing import Any

ETC = pathlib.Path(__file__).resolve().parents[2] / 'etc' / 'grafana'

Target = Mapping[str, Any]
Points = list[tuple[str, float]]


def dashboard(name: str) -> dict[str, Any]:
    """One of the dashboards."""
    return json.loads((ETC / f'{name}.json').read_text())


def targets(name: str) -> dict[str, list[Target]]:
    """The queries of each panel that has any, by its title."""
    return {panel['title']: panel['targets']
            for panel in dashboard(name)['panels'] if panel.get('targets')}


def variables(name: str) -> dict[str, str]:
    """The query of each variable, but for the data source's."""
    return {variable['name']: variable['query']
            for variable in dashboard(name)['templating']['list']
            if variable['type'] == 'query'}


class GnocchiPlugin:
    """The requests that gnocchixyz-gnocchi-datasource 1.7.1 makes.

    Of its query modes those that the dashboards use: see query() and
    metricFindQuery() in its src/datasource.ts.

    :param api: gnocchiclient's, which has logged in
    """

    def __init__(self, api: Any) -> None:
        self._api = api

    def _request(self, path: str, parameters: Mapping[str, Any],
                 body: object = None) -> Any:
        answer = self._api.post(
            path, params={key: value for key, value in parameters.items()
                          if value is not None},
            headers={'Content-Type': 'application/json'},
            data=None if body is None else json.dumps(body))
        return answer.json()

    def values(self, query: str) -> set[str]:
        """The choices of a variable: resources(type, label, value, filter)."""
        match = re.fullmatch(
            r'resources\(([^,]*), \$([^,]*), ([^,]*), ([^)]*)\)', query)
        resource_type, label, attribute, search = match.groups()
        assert label == attribute, query
        return {found[attribute] for found in self._request(
            f'v1/search/resource/{resource_type}',
            {'filter': search, 'attrs': [attribute]})}

    def query(self, target: Target, chosen: Mapping[str, list[str]],
              start: str) -> dict[str, Points]:
        """Curves: {label: [(time, value)]}.

        :param chosen: values of the dashboard's variables
        """
        search = target['resource_search']
        for name, values in chosen.items():
            search = search.replace(f'${name}', json.dumps(values))
        parameters = {'start': start}
        if target['queryMode'] == 'resource_search':
            parameters['aggregation'] = target['aggregator']
            return self._of_resources(target, search, parameters)
        assert target['queryMode'] == 'dynamic_aggregates', target
        parameters |= {'fill': target['fill'], 'details': 'true',
                       'needed_overlap': target['needed_overlap'],
                       'groupby': target.get('groupby')}
        found = self._request('v1/aggregates', parameters, {
            'operations': target['operations'], 'search': search,
            'resource_type': target['resource_type']})
        if not target.get('groupby'):
            return {target['label']: _points(
                found['measures']['aggregated'])}
        return {_label(target['label'], group['group']): _points(
            group['measures']['measures']['aggregated']) for group in found}

    def _of_resources(self, target: Target, search: str,
                      parameters: Mapping[str, Any]) -> dict[str, Points]:
        resources = self._request(
            f'v1/search/resource/{target["resource_type"]}',
            {'filter': search})
        return {_label(target['label'], resource): _points(self._api.get(
            f'v1/metric/{metric}/measures', params=parameters).json())
            for resource in resources
            for name, metric in resource['metrics'].items()
            if re.search(target['metric_name'], name)}


def _points(measures: list[Any]) -> Points:
    return [(when, value) for when, _granularity, value in measures]


def _label(template: str, attributes: Mapping[str, str]) -> str:
    return re.sub(r'\$\{(\w+)\}', lambda match: attributes[match[1]],
                  template)
