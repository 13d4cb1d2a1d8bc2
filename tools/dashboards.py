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

"""Write the Grafana dashboards in etc/grafana; "tox -e dashboards" runs it.

They are built with Grafana's own library, grafana-foundation-sdk.  What is
written is read back into its models, which are made from Grafana's schemas: a
field that they do not know would be lost there, and is an error.
"""

import argparse
import collections.abc
import difflib
import json
import pathlib
import sys
import typing

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.cog import encoder
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog import runtime
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from memstat_pollster.model import status

DIRECTORY: typing.Final = (
    pathlib.Path(__file__).resolve().parents[1] / 'etc' / 'grafana')

COLOURS: typing.Final = {
    status.Status.REPORTING: 'green',
    status.Status.STARTING: 'blue',
    status.Status.NOT_RUNNING: 'gray',
    status.Status.NO_DEVICE: 'light-orange',
    status.Status.STATS_DISABLED: 'orange',
    status.Status.DRIVER_MISSING: 'light-yellow',
    status.Status.SERVICE_MISSING: 'yellow',
    status.Status.STALE: 'purple',
    status.Status.INVALID: 'light-red',
    status.Status.UNREACHABLE: 'red',
}
#: Of a status that has none of its own yet.
OTHER_COLOUR: typing.Final = 'dark-red'
#: A guest with one of these is no fault, as in the alert rules.
FINE: typing.Final = (status.Status.REPORTING, *sorted(status.QUIET))

DATASOURCE: typing.Final = '${datasource}'
MEBIBYTES: typing.Final = 'mbytes'

Target = cog.Builder[typing.Any]
Panel = cog.Builder[models.Panel]


def colour(of: status.Status) -> str:
    """Grafana's name of a status' colour."""
    return COLOURS.get(of, OTHER_COLOUR)


def codes() -> models.ValueMap:
    """A status' code is shown as its word, in its colour."""
    return models.ValueMap(options={
        str(int(each)): models.ValueMappingResult(
            text=each.word, color=colour(each), index=int(each))
        for each in sorted(status.Status)})


class Source:
    """What the two dashboards have in common: how panels look.

    :cvar type: of Grafana's data source
    """

    type: typing.ClassVar[str]

    def build(self) -> models.Dashboard:
        """The dashboard."""
        raise NotImplementedError

    @property
    def ref(self) -> common.DataSourceRef:
        return common.DataSourceRef(self.type, DATASOURCE)

    def lines(self, title: str, description: str, unit: str,
              targets: collections.abc.Sequence[Target],
              ) -> timeseries.Panel:
        """Curves; a gap stays a gap."""
        panel = (
            timeseries.Panel().title(title).description(description)
            .datasource(self.ref).unit(unit).min(0).span(12).height(8)
            .span_nulls(False).show_points(common.VisibilityMode.AUTO)
            .fill_opacity(5)
            .legend(common_builders.VizLegendOptions()
                    .display_mode(common.LegendDisplayMode.LIST)
                    .placement(common.LegendPlacement.BOTTOM)
                    .show_legend(True))
            .tooltip(common_builders.VizTooltipOptions()
                     .mode(common.TooltipDisplayMode.MULTI)
                     .sort(common.SortOrder.DESCENDING)))
        for target in targets:
            panel.with_target(target)
        return panel

    def percent(self, title: str, description: str,
                targets: collections.abc.Sequence[Target],
                ) -> timeseries.Panel:
        """Curves from 0 to 100, with a line where the alert is."""
        return (
            self.lines(title, description, 'percent', targets).max(100)
            .thresholds(builders.ThresholdsConfig()
                        .mode(models.ThresholdsMode.ABSOLUTE).steps([
                            models.Threshold(color='green'),
                            models.Threshold(value=90, color='red')]))
            .thresholds_style(common_builders.GraphThresholdsStyleConfig()
                              .mode(common.GraphThresholdsStyleMode.DASHED)))

    def counts(self, title: str, description: str,
               targets: collections.abc.Mapping[status.Status, Target],
               ) -> timeseries.Panel:
        """Guests by status, one upon the other."""
        panel = (
            self.lines(title, description, 'none', list(targets.values()))
            .decimals(0).fill_opacity(60)
            .stacking(common_builders.StackingConfig()
                      .mode(common.StackingMode.NORMAL)))
        for each in targets:
            panel.override_by_name(each.word, [models.DynamicConfigValue(
                'color', {'mode': 'fixed', 'fixedColor': colour(each)})])
        return panel

    def number(self, title: str, description: str, unit: str,
               target: Target) -> stat.Panel:
        """The newest value, large."""
        return (
            stat.Panel().title(title).description(description)
            .datasource(self.ref).unit(unit).span(4).height(4)
            .graph_mode(common.BigValueGraphMode.NONE)
            .reduce_options(common_builders.ReduceDataOptions()
                            .calcs(['lastNotNull']).values(False))
            .with_target(target))

    def rows(self, title: str, description: str, target: Target,
             transformation: models.DataTransformerConfig, code: str,
             ) -> table.Panel:
        """A table in which one column is a status.

        :param code: the name of that column
        """
        return (
            table.Panel().title(title).description(description)
            .datasource(self.ref).span(12).height(10).filterable(True)
            .with_target(target).with_transformation(transformation)
            .override_by_name(code, [
                models.DynamicConfigValue('displayName', 'cause'),
                models.DynamicConfigValue('mappings', [codes()]),
                models.DynamicConfigValue(
                    'custom.cellOptions', {'type': 'color-text'})]))

    def dashboard(self, title: str, uid: str, description: str,
                  variables: collections.abc.Sequence[
                      cog.Builder[models.VariableModel]],
                  rows: collections.abc.Mapping[
                      str, collections.abc.Sequence[Panel]],
                  ) -> models.Dashboard:
        """The whole, with a variable for the data source first."""
        made = (builders.Dashboard(title).uid(uid).description(description)
                .tags(['memstat-pollster', 'openstack']).editable()
                .time('now-24h', 'now').refresh('5m').timezone('browser')
                .with_variable(builders.DatasourceVariable('datasource')
                               .label('Data source').type(self.type)))
        for variable in variables:
            made.with_variable(variable)
        for name, panels in rows.items():
            made.with_row(builders.Row(name))
            for panel in panels:
                made.with_panel(panel)
        return made.build()

    def variable(self, name: str, label: str, query: object,
                 ) -> builders.QueryVariable:
        """One that takes several values, at first all of them."""
        return (builders.QueryVariable(name).label(label).query(query)
                .datasource(self.ref).multi(True).include_all(True)
                .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
                .sort(models.VariableSort.ALPHABETICAL_ASC)
                .current(models.VariableOption(
                    selected=True, text='All', value='$__all')))


LAST_POINT: typing.Final = (
    ' The last point lacks the guests whose measures have yet to come.')
GUESTS_DESCRIPTION: typing.Final = (
    'A guest has no curve while it does not report: see the table below.')
AGE_DESCRIPTION: typing.Final = (
    "How long ago each guest's numbers were sent, when they were polled. A "
    'line that climbs is a guest that has gone silent.')
RESIDENT_DESCRIPTION: typing.Final = (
    'What the QEMU processes of the node hold of its memory, against what '
    'the guests say they use. What lies between them are caches and memory '
    'that guests have freed and the host has not got back.')
ABOVE_USED_DESCRIPTION: typing.Final = (
    f'{RESIDENT_DESCRIPTION} A guest is not here whose QEMU holds less than '
    'the guest uses: the host has swapped it out, or it has huge pages, which '
    'are not part of resident memory.')
FAULTS: typing.Final = (
    'Guests that run and have no memory numbers. The compute agent\'s log '
    'and the metadata of the sample memory.balloon.status have the remedy.')


class Prometheus(Source):
    """etc/grafana/memstat-prometheus.json"""

    type = 'prometheus'
    #: In every selector.
    CHOSEN: typing.Final = '{instance=~"$instance", project=~"$project"}'

    def _query(self, expression: str, legend: str = '__auto',
               ) -> prometheus.Dataquery:
        return (prometheus.Dataquery().expr(
            expression.replace('{}', self.CHOSEN))
            .legend_format(legend).datasource(self.ref).range())

    def _of_guests(self, metric: str) -> prometheus.Dataquery:
        """One curve a guest, whatever its flavor is."""
        return self._query(
            f'max by (instance, resource, resource_name) ({metric}{{}})',
            '{{resource_name}}')

    def build(self) -> models.Dashboard:
        labels = 'label_values(ceilometer_memory_balloon_status{}, {})'
        variables = [
            self.variable('instance', 'Node', labels.format('', 'instance')),
            self.variable('project', 'Project', labels.format(
                '{instance=~"$instance"}', 'project'))]
        count = 'count(ceilometer_memory_balloon_status{}'
        faults = f'ceilometer_memory_balloon_status{{}} > {max(FINE)}'
        nodes = [
            self.number('Guests', 'That run.', 'none',
                        self._query(f'{count})')),
            self.number('Reporting', '', 'percentunit', self._query(
                'avg(ceilometer_memory_balloon_status{} == bool 0)')),
            self.number('Used', 'By guests that report.', MEBIBYTES,
                        self._query('sum(ceilometer_memory_usage{})')),
            self.number('Given', '', MEBIBYTES,
                        self._query('sum(ceilometer_memory{})')),
            self.number('Resident', '', MEBIBYTES,
                        self._query('sum(ceilometer_memory_resident{})')),
            self.number('Not reporting', FAULTS, 'none', self._query(
                f'count({faults}) or vector(0)')),
            self.lines('Used memory of each node', GUESTS_DESCRIPTION,
                       MEBIBYTES, [self._query(
                           'sum by (instance) (ceilometer_memory_usage{})',
                           '{{instance}}')]),
            self.lines('Resident against used', RESIDENT_DESCRIPTION,
                       MEBIBYTES, [
                           self._query(f'sum(ceilometer_memory{what}{{}})',
                                       name).ref_id(ref)
                           for ref, name, what in (
                               ('A', 'given', ''),
                               ('B', 'resident', '_resident'),
                               ('C', 'used', '_usage'))]),
        ]
        guests = [
            self.lines('Used memory of each guest', GUESTS_DESCRIPTION,
                       MEBIBYTES, [self._of_guests(
                           'ceilometer_memory_usage')]),
            self.percent('Utilisation of each guest', GUESTS_DESCRIPTION,
                         [self._of_guests('ceilometer_memory_util')]),
            self.lines('Age of the statistics', AGE_DESCRIPTION, 's',
                       [self._of_guests('ceilometer_memory_stats_age')]),
            self.lines('Resident above used, ten guests',
                       ABOVE_USED_DESCRIPTION, MEBIBYTES, [self._query(
                           'topk(10, ceilometer_memory_resident{} - on '
                           '(instance, resource, resource_name) '
                           'ceilometer_memory_usage{} > 0)',
                           '{{resource_name}}')]),
        ]
        reasons = [
            self.counts('Guests by status', FAULTS, {
                each: self._query(f'{count} == {int(each)})', each.word)
                .ref_id(chr(ord('A') + int(each)))
                for each in sorted(status.Status)}),
            self.rows('Guests that do not report', FAULTS, self._query(faults)
                      .instant().format(
                          prometheus_models.PromQueryFormat.TABLE),
                      models.DataTransformerConfig('organize', options={
                          'excludeByName': dict.fromkeys((
                              'Time', '__name__', 'counter', 'flavor_id',
                              'job', 'memory', 'publisher', 'server_group',
                              'type', 'user', 'vm_instance'), True),
                          'indexByName': {
                              name: number for number, name in enumerate((
                                  'resource_name', 'Value', 'instance',
                                  'resource', 'project', 'flavor_name'))},
                          'renameByName': {'resource_name': 'guest',
                                           'resource': 'id',
                                           'instance': 'node'}}),
                      'Value')]
        return self.dashboard(
            'Guest memory (Prometheus)', 'memstat-prometheus',
            'Memory of KVM guests by memstat-pollster, from the exporter of '
            "Ceilometer's compute agents.", variables,
            {'Nodes': nodes, 'Guests': guests, 'Reasons': reasons})


class GnocchiQuery(cog.Builder[typing.Any]):
    """A query of the plugin gnocchixyz-gnocchi-datasource.

    The library does not know it; the names are those of the plugin's source.
    """

    def __init__(self, ref: common.DataSourceRef, mode: str,
                 **fields: object) -> None:
        self._data = {
            'datasource': ref.to_json(), 'refId': 'A', 'queryMode': mode,
            'resource_type': 'instance',
            # A gap stays a gap.
            'draw_missing_datapoint_as_zero': False, **fields}

    def ref_id(self, ref_id: str) -> 'GnocchiQuery':
        self._data['refId'] = ref_id
        return self

    def build(self) -> runtime.UnknownDataquery:
        return runtime.UnknownDataquery(self._data)


class Gnocchi(Source):
    """etc/grafana/memstat-gnocchi.json"""

    type = 'gnocchixyz-gnocchi-datasource'
    CHOSEN: typing.Final = (
        'ended_at = null and host in $node and project_id in $project')

    def _of_guests(self, meter: str, more: str = '', aggregator: str = 'mean',
                   ) -> GnocchiQuery:
        """One curve a guest."""
        pattern = meter.replace('.', r'\.')
        return GnocchiQuery(
            self.ref, 'resource_search', metric_name=f'^{pattern}$',
            aggregator=aggregator, label='${display_name}',
            resource_search=self.CHOSEN + more)

    def _all(self, operations: str, label: str, **fields: object,
             ) -> GnocchiQuery:
        """One curve for all guests, or for each group of them."""
        return GnocchiQuery(
            self.ref, 'dynamic_aggregates', operations=operations,
            resource_search=self.CHOSEN, label=label, fill='null',
            needed_overlap=0, **fields)

    def _sum(self, meter: str, label: str, **fields: object) -> GnocchiQuery:
        return self._all(f'(aggregate sum (metric {meter} mean))', label,
                         **fields)

    def build(self) -> models.Dashboard:
        variables = [
            self.variable('node', 'Node', 'resources(instance, $host, host, '
                          'ended_at = null)'),
            self.variable('project', 'Project', 'resources(instance, '
                          '$project_id, project_id, ended_at = null)')]
        code = 'metric memory.balloon.status last'
        nodes = [
            self.lines('Used memory of each node',
                       GUESTS_DESCRIPTION + LAST_POINT,
                       MEBIBYTES, [self._sum('memory.usage', '${host}',
                                             groupby='host')]),
            self.lines('Resident against used',
                       RESIDENT_DESCRIPTION + LAST_POINT, MEBIBYTES, [
                           self._sum(meter, label).ref_id(ref)
                           for ref, label, meter in (
                               ('A', 'given', 'memory'),
                               ('B', 'resident', 'memory.resident'),
                               ('C', 'used', 'memory.usage'))]),
        ]
        guests = [
            self.lines('Used memory of each guest', GUESTS_DESCRIPTION,
                       MEBIBYTES, [self._of_guests('memory.usage')]),
            self.percent('Utilisation of each guest', GUESTS_DESCRIPTION,
                         [self._of_guests('memory.util')]),
            self.lines('Age of the statistics', AGE_DESCRIPTION, 's',
                       [self._of_guests('memory.stats.age')]),
            self.lines('Resident memory of each guest', RESIDENT_DESCRIPTION,
                       MEBIBYTES, [self._of_guests('memory.resident')]),
        ]
        faults = ''.join(f' and balloon_status != "{each.word}"'
                         for each in FINE)
        reasons = [
            self.counts('Guests by status', FAULTS + LAST_POINT, {
                # Times 1: Gnocchi 4.7 fails to write a sum of truth values.
                each: self._all(
                    f'(* (aggregate sum (eq ({code}) {int(each)})) 1)',
                    each.word)
                .ref_id(chr(ord('A') + int(each)))
                for each in sorted(status.Status)}),
            self.rows('Guests that do not report', FAULTS, self._of_guests(
                'memory.balloon.status', faults, 'last'),
                models.DataTransformerConfig('reduce', options={
                    'mode': 'seriesToRows', 'reducers': ['lastNotNull']}),
                'Last *')]
        return self.dashboard(
            'Guest memory (Gnocchi)', 'memstat-gnocchi',
            'Memory of KVM guests by memstat-pollster, from Gnocchi.',
            variables, {'Nodes': nodes, 'Guests': guests, 'Reasons': reasons})


DASHBOARDS: typing.Final = {
    'memstat-prometheus.json': Prometheus(),
    'memstat-gnocchi.json': Gnocchi(),
}


def lost(document: object, known: object, path: str = '') -> list[str]:
    """Where a document says something that is not in what was kept of it."""
    if isinstance(document, dict) and isinstance(known, dict):
        return [each for key, value in document.items()
                for each in lost(value, known.get(key), f'{path}.{key}')]
    if isinstance(document, list) and isinstance(known, list) and (
            len(document) == len(known)):
        return [each for number, pair in enumerate(
            zip(document, known, strict=True))
            for each in lost(*pair, f'{path}[{number}]')]
    return [] if document == known else [path]


def text_of(source: Source) -> str:
    """The dashboard as JSON.

    :raises ValueError: naming the fields that Grafana's schemas do not know
    """
    text = encoder.JSONEncoder(sort_keys=True, indent=2).encode(
        source.build())
    document = json.loads(text)
    again = json.loads(encoder.JSONEncoder().encode(
        models.Dashboard.from_json(document)))
    unknown = lost(document, again)
    if unknown:
        raise ValueError(f'not in the schema: {", ".join(unknown)}')
    return text + '\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true',
                        help='write nothing; say what would change')
    arguments = parser.parse_args()
    plugins.register_default_plugins()
    different = False
    for name, source in DASHBOARDS.items():
        path, text = DIRECTORY / name, text_of(source)
        before = path.read_text() if path.exists() else ''
        if arguments.check:
            delta = list(difflib.unified_diff(
                before.splitlines(), text.splitlines(), str(path),
                'what the generator writes', lineterm=''))
            print('\n'.join(delta) or f'{path} is up to date')
            different = different or bool(delta)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return int(different)


if __name__ == '__main__':
    sys.exit(main())
