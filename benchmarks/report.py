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

"""The result as tables, as JSON and as a plot."""

import collections.abc
import csv
import dataclasses
import io
import json
import pathlib
import re
import sys
import typing

import prettytable

from benchmarks import startup
from benchmarks import targets

LABELS = {'stock': 'stock, 2 meters', 'plugin': 'plugin, 11 meters',
          'plugin-two': 'plugin, the same 2', 'bare': 'bare bulk call'}
#: Told apart by the colour-blind, too.
COLOURS = {'stock': '#d55e00', 'plugin': '#0072b2', 'bare': '#555555'}
MARKERS = {'stock': 's', 'plugin': 'o', 'bare': '^'}


@dataclasses.dataclass(frozen=True)
class Table:
    """A table for the terminal and for the documentation."""

    title: str
    head: collections.abc.Sequence[str]
    rows: collections.abc.Sequence[collections.abc.Sequence[object]]

    def text(self) -> str:
        table = prettytable.PrettyTable(list(self.head), align='r')
        table.align[self.head[0]] = 'l'
        table.add_rows([list(map(str, row)) for row in self.rows])
        return f'{self.title}\n{table.get_string()}\n'

    def rst(self) -> str:
        lines = io.StringIO()
        writer = csv.writer(lines, quoting=csv.QUOTE_ALL, lineterminator='\n')
        writer.writerows(self.rows)
        header = io.StringIO()
        csv.writer(header, quoting=csv.QUOTE_ALL, lineterminator='').writerow(
            self.head)
        body = ''.join(f'   {line}\n' for line in
                       lines.getvalue().splitlines())
        return (f'.. csv-table:: {self.title}\n'
                f'   :header: {header.getvalue()}\n\n{body}\n')


def _surroundings(found: dict[str, typing.Any]) -> Table:
    names = {'date': 'date (UTC)', 'libvirt_python': 'libvirt-python',
             'cpus': 'CPUs', 'load_before': 'load before'}
    return Table('Measured with', ('what', 'version'), [
        (names.get(key, key), value) for key, value in found.items()])


def _ms(seconds: float) -> str:
    return f'{seconds * 1000:.1f}'


def _scale(found: list[dict[str, typing.Any]]) -> Table:
    rows = []
    for each in found:
        for name, label in LABELS.items():
            measured = each['contestants'][name]
            ratios = each['ratios'][name]
            rows.append((
                f'{each["guests"]}: {label}', *(
                    _ms(measured[measure]['median']) for measure in
                    ('wall_s', 'daemon_cpu_s', 'agent_cpu_s')),
                measured['rpcs'], *(
                    f'{ratios["stock"][measure]:.3f}' for measure in
                    ('wall_s', 'daemon_cpu_s', 'agent_cpu_s')),
                f'{ratios["bare"]["wall_s"]:.3f}'))
    return Table(
        'One cycle: medians in ms, and medians of the ratios within a round',
        ('guests', 'wall', 'libvirtd CPU', 'agent CPU', 'RPCs',
         'wall to stock', 'libvirtd to stock', 'agent to stock',
         'wall to bare'), rows)


def _again(found: list[dict[str, typing.Any]]) -> Table:
    return Table(
        'RPCs of the plugin by cycle',
        ('guests', 'first', 'later', 'again within a period'),
        [(each['guests'], *(
            sum(each['contestants']['plugin']['rpcs_by_cycle'][cycle]
                .values()) for cycle in ('first', 'later', 'again')))
         for each in found])


def _parts(found: dict[str, typing.Any]) -> Table:
    return Table(
        f'The bulk read of {found["guests"]} guests in parts on as many '
        f'connections',
        ('read', 'wall ms', 'libvirtd CPU ms', 'agent CPU ms',
         'times faster than stock'),
        [(name, *(_ms(measured[measure]['median']) for measure in
                  ('wall_s', 'daemon_cpu_s', 'agent_cpu_s')),
          f'{measured["stock_to_this"]:.2f}')
         for name, measured in found['contestants'].items()])


def _pure(found: dict[str, typing.Any]) -> Table:
    return Table(
        'Without libvirt: CPU time in us',
        ('guests', 'parse and judge, a guest', 'a whole cycle, a guest',
         'an in-tree sample', "the plugin's", 'ratio'),
        [(size, *(f'{measured[kind]["median"]:.1f}' for kind in (
            'judging_us', 'monitoring_us', 'making-stock_us',
            'making-plugin_us')),
          f'{measured["sample_plugin_to_stock"]:.2f}')
         for size, measured in found['guests'].items()])


def _memory(found: dict[str, typing.Any]) -> Table:
    warm = next(size for cycle, size in found['resident_bytes']
                if cycle >= found['warm_up'])
    return Table(
        'Resident memory of the agent', ('cycles', 'guests at a time',
                                         'guests in all', 'MiB when warm',
                                         'highest growth, KiB'),
        [(found['cycles'], found['guests'], found['guests_seen'],
          f'{warm / targets.MIB:.1f}',
          f'{found["highest_growth_bytes"] / 1024:.0f}')])


def _frozen(found: dict[str, typing.Any]) -> Table:
    rows = []
    for number, measured in found['frozen'].items():
        other = measured['other_client_s']['meanwhile']
        rows.append((
            number, measured['healthy_missed'],
            _ms(measured['undisturbed_s']['median']),
            _ms(measured['first_s']), _ms(measured['later_s']['median']),
            f'{measured["later_to_undisturbed"]:.2f}',
            measured['stuck_workers'], _ms(other['median']),
            _ms(other['longest'])))
    return Table(
        f'Frozen guests of {found["guests"]}: times in ms',
        ('frozen', 'healthy missed', 'undisturbed', 'first cycle',
         'later cycles', 'later to undisturbed', 'libvirtd workers held',
         'other client, median', 'other client, longest'), rows)


def _startup(found: dict[str, typing.Any]) -> Table:
    rows = []
    for name, measured in found['contestants'].items():
        low, high = measured['to_libraries_95']
        wall = measured['wall_s']
        rows.append((
            startup.LABELS[name], _ms(wall['shortest']), _ms(wall['median']),
            _ms(measured['cpu_s']['median']),
            f'{measured["to_libraries"]:.2f} ({low:.2f} to {high:.2f})'))
    return Table(
        f'Until a process ends: ms, {found["rounds"]} rounds, load '
        f'{found["load"]["median"]:.1f}',
        ('process', 'wall, shortest', 'wall, median', 'CPU, median',
         'wall to the libraries, 95 %'), rows)


def _imports(found: dict[str, typing.Any]) -> Table:
    return Table('The dearest imports of status, by themselves',
                 ('module', 'ms'),
                 [(name, f'{took:.1f}') for name, took
                  in found['imports_ms']])


def tables(result: dict[str, typing.Any]) -> list[Table]:
    """All that was measured, and the promises at the end."""
    makers = {'surroundings': (_surroundings,), 'scale': (_scale, _again),
              'parts': (_parts,), 'pure': (_pure,), 'memory': (_memory,),
              'frozen': (_frozen,), 'startup': (_startup, _imports)}
    found = [maker(result[part]) for part, all_of_it in makers.items()
             if part in result for maker in all_of_it]
    promises = [target.row for target in targets.evaluate(result)]
    if promises:
        found.append(Table(
            'Targets', ('target', 'bound', 'measured', ''), promises))
    return found


def to_json(result: dict[str, typing.Any]) -> str:
    """With each list of numbers on one line."""
    def rounded(value: typing.Any) -> typing.Any:
        if isinstance(value, float):
            return float(f'{value:.6g}')
        if isinstance(value, dict):
            return {str(key): rounded(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [rounded(each) for each in value]
        return value
    text = json.dumps(rounded(result), indent=1)
    return re.sub(r'\[[^\[\]{}]*\]',
                  lambda found: ' '.join(found.group().split()), text) + '\n'


def plot(scale: list[dict[str, typing.Any]], path: pathlib.Path) -> None:
    """Cost against guests: wall, libvirtd's CPU and the agent's."""
    # The tables can be made, and are compared by a test, without it.
    import matplotlib
    from matplotlib import pyplot
    matplotlib.use('svg')
    # The same text and ids in each run, so that a diff shows what changed.
    matplotlib.rcParams.update({
        'svg.fonttype': 'none', 'svg.hashsalt': 'memstat',
        'font.family': 'sans-serif', 'axes.spines.top': False,
        'axes.spines.right': False})
    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3.6))
    counts = [each['guests'] for each in scale]
    for axis, (measure, title) in zip(axes, (
            ('wall_s', 'wall time'), ('daemon_cpu_s', 'CPU of libvirtd'),
            ('agent_cpu_s', 'CPU of the agent')), strict=True):
        for name, colour in COLOURS.items():
            found = [each['contestants'][name][measure] for each in scale]
            axis.plot(counts, [each['median'] * 1000 for each in found],
                      color=colour, marker=MARKERS[name], markersize=5,
                      label=LABELS[name])
            axis.fill_between(
                counts, *([each[end] * 1000 for each in found]
                          for end in ('q1', 'q3')),
                color=colour, alpha=0.15, linewidth=0)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel('guests')
        axis.set_ylim(bottom=0)
        axis.set_xlim(left=0)
        axis.grid(axis='y', color='#dddddd', linewidth=0.6)
    axes[0].set_ylabel('ms a cycle, median and quartiles')
    axes[0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={'Date': None})
    pyplot.close(figure)


def write(result: dict[str, typing.Any], output: pathlib.Path) -> None:
    """result.json, tables.txt (for the documentation) and cost.svg."""
    result['targets'] = [
        {**dataclasses.asdict(target), 'reached': target.reached}
        for target in targets.evaluate(result)]
    text = to_json(result)
    (output / 'result.json').write_text(text)
    # Of the numbers as they were written, which are rounded.
    (output / 'tables.txt').write_text(
        ''.join(table.rst() for table in tables(json.loads(text))))
    if 'scale' in result:
        plot(result['scale'], output / 'cost.svg')


if __name__ == '__main__':
    # Tables and plot anew, from a result.json in a directory.
    directory = pathlib.Path(sys.argv[1])
    write(json.loads((directory / 'result.json').read_text()), directory)
