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

"""A Prometheus server of a test's own, and what an exporter serves."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
import pathlib
import re
from typing import Any

from prometheus_client import parser
import requests
import yaml

from tests.e2e import services
from tests.node import tools

ETC = pathlib.Path(__file__).resolve().parents[2] / 'etc' / 'prometheus'
CONFIGURATION = ETC / 'prometheus.yml'
RULES = ETC / 'memstat_rules.yml'
#: promtool's unit tests of the rules.
RULES_TEST = pathlib.Path(__file__).with_name('memstat_rules_test.yml')
USER = 'nobody'
#: executable -> the Debian package it comes from
EXECUTABLES = {'prometheus': 'prometheus', 'promtool': 'prometheus'}


def check() -> None:
    """Raise MissingTools where there is no Prometheus."""
    tools.require(EXECUTABLES)


def metric(meter: str) -> str:
    """What the exporter makes of a meter's name."""
    return 'ceilometer_' + meter.replace('.', '_')


@dataclasses.dataclass(frozen=True)
class Series:
    """One series of an exporter or of an answer, as it is now."""

    name: str
    labels: Mapping[str, str] = dataclasses.field(hash=False)
    value: float


def parse(text: str) -> list[Series]:
    """What an exporter serves, Ceilometer's part of it."""
    return [Series(sample.name, sample.labels, sample.value)
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith('ceilometer_')]


def scrape(address: str) -> list[Series]:
    """Ask an exporter, as Prometheus would."""
    answer = requests.get(f'http://{address}/metrics', timeout=60)
    answer.raise_for_status()
    return parse(answer.text)


def configuration(targets: Sequence[Mapping[str, Any]], *, rules: str,
                  **job: Any) -> str:
    """etc/prometheus/prometheus.yml with other targets, every second.

    :param targets: of the job's static_configs
    :param rules: path of the rules
    :param job: more of the job
    """
    document = yaml.safe_load(CONFIGURATION.read_text())
    document['global'] = {'scrape_interval': '1s',
                          'evaluation_interval': '1s'}
    document['rule_files'] = [rules]
    (only,) = document['scrape_configs']
    only.update(job, static_configs=list(targets))
    return yaml.safe_dump(document)


def hurried(rules: str) -> str:
    """Rules that wait for 2 s, and look back over 5 s, not for minutes."""
    return re.sub(r'\[5m\]', '[5s]', re.sub(r'(?m)^( +for: )\d+[mh]$',
                                            r'\g<1>2s', rules))


class Prometheus:
    """A server with a database of its own, run by nobody.

    :ivar url: of the server
    """

    def __init__(self, directory: services.Directory,
                 targets: Sequence[Mapping[str, Any]], *,
                 rules: str | None = None, **job: Any) -> None:
        self._path = directory.sub('prometheus', USER)
        self._path.joinpath('rules.yml').write_text(
            rules or RULES.read_text())
        self._configuration = self._path / 'prometheus.yml'
        self._configuration.write_text(
            configuration(targets, rules='rules.yml', **job))
        address = f'{services.LOOPBACK}:{tools.free_port()}'
        self.url = f'http://{address}'
        self._service = services.Service('prometheus', [
            tools.which('prometheus'),
            f'--config.file={self._configuration}',
            f'--storage.tsdb.path={self._path / "data"}',
            f'--web.listen-address={address}',
        ], self._path, user=USER)

    def start(self) -> None:
        """Start it; returns when it answers queries."""
        self._service.start()
        self._service.wait(self._ready)

    def stop(self) -> None:
        self._service.stop()

    def _ready(self) -> bool:
        try:
            return requests.get(f'{self.url}/-/ready', timeout=10).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def _get(self, what: str, **parameters: Any) -> Any:
        answer = requests.get(f'{self.url}/api/v1/{what}', parameters,
                              timeout=60).json()
        if answer['status'] != 'success':
            raise services.ServiceError(f'{parameters}: {answer["error"]}')
        return answer['data']

    def query(self, expression: str, time: float | None = None,
              ) -> list[Series]:
        """An instant query's vector; of a scalar, one series.

        :raises ServiceError: Prometheus refuses the expression
        """
        parameters = {} if time is None else {'time': time}
        data = self._get('query', query=expression, **parameters)
        if data['resultType'] == 'scalar':
            return [Series('', {}, float(data['result'][1]))]
        return [Series(each['metric'].pop('__name__', ''), each['metric'],
                       float(each['value'][1])) for each in data['result']]

    def raw(self, selector: str, window: str) -> list[
            tuple[Mapping[str, str], list[tuple[float, float]]]]:
        """What was scraped: (labels, [(time, value)]) of each series."""
        data = self._get('query', query=f'{selector}[{window}]')
        return [(each['metric'],
                 [(time, float(value)) for time, value in each['values']])
                for each in data['result']]

    def query_range(self, expression: str, start: float, end: float,
                    step: float) -> list[
            tuple[Mapping[str, str], list[tuple[float, float]]]]:
        """As a graph asks: (labels, [(time, value)]) of each series."""
        data = self._get('query_range', query=expression, start=start,
                         end=end, step=step)
        return [(each['metric'],
                 [(time, float(value)) for time, value in each['values']])
                for each in data['result']]

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values that a label has among some series, sorted."""
        return self._get(f'label/{label}/values', **{'match[]': selector})

    def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing, with labels and annotations."""
        return self._get('alerts')['alerts']

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, and how that goes."""
        return self._get('targets')['activeTargets']

    def wait_scrapes(self, count: int) -> None:
        """Wait until every target has been scraped so many times more.

        :raises ServiceError: as in :meth:`wait_for`
        """
        for _ in range(count):
            last = self._scraped()
            self.wait_for(lambda last=last: all(
                when != last.get(url)
                for url, when in self._scraped().items()), 'a scrape')

    def _scraped(self) -> dict[str, str]:
        return {each['scrapeUrl']: each['lastScrape']
                for each in self.targets()}

    def wait_for(self, condition: Any, what: str, timeout: float = 120.0,
                 ) -> Any:
        """Wait until a condition is true; its value.

        :raises ServiceError: with the end of the log
        """
        return self._service.wait(condition, what, timeout)


def promtool(*arguments: object) -> str:
    """What promtool says of something that is right.

    :raises ServiceError: with what it says of something that is wrong
    """
    return services.run('promtool', [tools.which('promtool'), *arguments],
                        pathlib.Path(os.sep))
