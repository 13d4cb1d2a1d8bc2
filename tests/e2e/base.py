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

"""A cloud's metering in miniature, shared by the tests of a process."""

from __future__ import annotations

import atexit
from collections.abc import Callable
import datetime
import functools
import os
import pathlib
import re
import subprocess
from typing import Any

from oslo_config import cfg
import testtools
from testtools import content
import yaml

from memstat_pollster.gnocchi import client
from tests.e2e import pages
from tests.e2e import services
from tests.e2e import stack
from tests.functional import base
from tests import node
from tests.node import agent as polling
from tests.node import domain_xml

ETC = pathlib.Path(__file__).resolve().parents[2] / 'etc'

#: Seconds between two polls, and of each point in Gnocchi: as etc/ has them,
#: 299 and 300, but for the time that a test may take.
INTERVAL_S = 2
GRANULARITY_S = 4

PROJECT = domain_xml.PROJECT_ID
OTHER_PROJECT = '3' * 32
#: The name that the agent has for its host.
HOST = 'node'

#: Scripted guests that report, by what they use of 400 MiB.
APPS = {f'app-{number}': 400 - 30 * number for number in range(10)}
TOTAL_MIB = 400

Row = dict[str, str]


def table(text: str) -> list[Row]:
    """What a command printed as a table: rows by column."""
    lines = [[cell.strip() for cell in line.strip('|').split('|')]
             for line in text.splitlines() if line.startswith('|')]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def moment(text: str) -> float:
    """Seconds since the epoch of a timestamp with its zone."""
    return datetime.datetime.fromisoformat(text).timestamp()


def stamp(seconds: float) -> str:
    """The reverse, in UTC, as a command takes it."""
    return datetime.datetime.fromtimestamp(
        seconds, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S')


class Lab:
    """From guests to Gnocchi.

    :ivar outputs: what the commands of the page's set-up printed, by name
    :ivar client: of gnocchiclient, with the notification agent's credentials
    """

    def __init__(self) -> None:
        self.directory = services.Directory('memstat-e2e-')
        self.postgres = stack.Postgres(self.directory)
        self.rabbit = stack.Rabbit(self.directory)
        self.node = base.shared_node()
        self.agent: polling.Agent | None = None
        self.outputs: dict[str, list[str]] = {}
        self.guests: dict[str, node.Guest] = {}

    def start(self) -> None:
        self.rabbit.start()
        self.postgres.start()
        self.gnocchi = stack.Gnocchi(
            self.directory, self.postgres.create('gnocchi'))
        self.gnocchi.start()
        self.notification = stack.Notification(
            self.directory, self.rabbit.url, self.gnocchi.endpoint)
        conf = cfg.ConfigOpts()
        conf(['--config-file', str(self.notification.conf)])
        self.client = client.connect(conf)
        self.make_guests()
        self.set_up()
        self.rabbit.wait()
        self.notification.start()
        self.agent = polling.Agent(
            self.node.ro_uri, interval=INTERVAL_S, options={
                'DEFAULT': {'transport_url': self.rabbit.url, 'host': HOST},
                'publisher_notifier': {'telemetry_driver': 'messagingv2'},
                # A scripted guest's answer may be late on a busy machine.
                'memstat': {'boot_grace': 3, 'stale_after_periods': 8}})
        self.agent.start()
        for guest in self.guests.values():
            if isinstance(guest, node.LinuxGuest):
                guest.wait_ready()

    @functools.cached_property
    def aodh(self) -> stack.Aodh:
        """Started when first asked for."""
        aodh = stack.Aodh(
            self.directory, self.postgres.create('aodh'), self.rabbit.url,
            self.gnocchi.endpoint, INTERVAL_S)
        try:
            aodh.start()
        except BaseException:
            aodh.stop()
            raise
        return aodh

    def stop(self) -> None:
        if self.agent is not None:
            self.agent.close()
        for name in 'aodh', 'notification', 'gnocchi', 'rabbit', 'postgres':
            # A part that was never started is not there.
            if name in vars(self):
                vars(self)[name].stop()
        self.directory.close()

    def make_guests(self) -> None:
        """Those of every kind; the Linux ones may still boot."""
        self.node.answer()

        def scripted(name: str, record: Any = None, **options: Any,
                     ) -> node.ScriptedGuest:
            guest = self.guests[name] = self.node.scripted(
                name, attach=record is not None, **options)
            if record is not None:
                guest.driver.push(record)
            return guest

        def linux(name: str, mib: int) -> None:
            self.guests[name] = self.node.linux(name, mib=mib, wait=False)

        linux('web', 128)
        linux('db', 192)
        linux('gap', 128)
        for name, used in APPS.items():
            scripted(name, _using(used))
        scripted('foreign', _using(390), project_id=OTHER_PROJECT)
        # As an idle Linux guest: its kernel keeps 12 MiB of what is free.
        scripted('idle', node.linux_stats(
            TOTAL_MIB * 1024, 352 * 1024, 340 * 1024))
        scripted('no-device', model='none')
        scripted('no-driver')
        scripted('windows', node.windows_without_service())
        # Less than the ten fullest: it may be seen once before it is stale.
        scripted('hung', _using(40)).driver.answers = False

    def words(self) -> dict[str, str | None]:
        """{guest's name: the attribute balloon_status}"""
        return {found['display_name']: found['balloon_status']
                for found in self.client.resource.list('instance')}

    def set_up(self) -> None:
        """What doc/source/gnocchi.rst says, with shorter times."""
        self.notification.upgrade()
        self.make_policies()
        self.outputs['first upgrade'] = self.page('gnocchi-upgrade')
        self.outputs['second upgrade'] = self.page('gnocchi-upgrade')
        self.page('gnocchi-beside')
        self.without_keystone()

    def make_policies(self) -> None:
        """Those that Gnocchi has already, the publisher leaves alone."""
        shipped = yaml.safe_load(
            (ETC / 'memstat_gnocchi_resources.yaml').read_text())
        for policy in shipped['archive_policies']:
            self.client.archive_policy.create({**policy, 'definition': [
                {'granularity': GRANULARITY_S, 'timespan': '1 hour'}]})

    def without_keystone(self) -> None:
        """There is no project of Gnocchi's own to be left out."""
        path = self.notification.path / 'pipeline.yaml'
        text = re.sub(
            r'(gnocchi://)(\??)', lambda found: (
                f'{found[1]}?enable_filter_project=false'
                + ('&' if found[2] else '')), path.read_text())
        path.write_text(text)

    def page(self, name: str, page: str = 'gnocchi', **variables: object,
             ) -> list[str]:
        """Run a command block of a page; what each command printed."""
        environment = {
            'CONF': self.notification.path, 'SHARE': ETC, 'TZ': 'UTC',
            'PROJECT': PROJECT, 'HOST': HOST,
            'GNOCCHI_USER': stack.USER,
            'GNOCCHI_ENDPOINT': self.gnocchi.endpoint,
            'PYTHONWARNINGS': 'ignore',
            'PATH': f'{stack.BIN}:{os.environ["PATH"]}', **variables}
        found = pages.commands(pages.blocks(page)[name])
        return [services.run(
            name, ['bash', '-euo', 'pipefail', '-c', command],
            self.directory.sub('work'), environment=environment)
            for command in found]

    def measures(self, guest: node.Guest, meter: str,
                 aggregation: str = 'mean') -> dict[float, float]:
        """{seconds since the epoch: value}; empty where there is no metric."""
        self.gnocchi.check()
        self.notification.service.check()
        return self.points(guest.uuid, meter, aggregation)

    def points(self, resource_id: str, meter: str,
               aggregation: str = 'mean') -> dict[float, float]:
        """The same of any resource."""
        try:
            found = self.client.metric.get_measures(
                meter, resource_id=resource_id, aggregation=aggregation)
        except client.gnocchi_exceptions.NotFound:
            return {}
        return {each[0].timestamp(): each[2] for each in found}

    def wait_measure(self, guest: node.Guest, meter: str, after: float,
                     aggregation: str = 'mean') -> float:
        """The value of the first whole point after a time.

        :raises ServiceError: none came, with the ends of the agents' logs
        """
        return self.wait_points(guest, meter, after, aggregation)[0][1]

    def wait_points(self, guest: node.Guest, meter: str, after: float,
                    aggregation: str = 'mean', timeout: float = 120,
                    ) -> list[tuple[float, float]]:
        """(seconds since the epoch, value) of whole points after a time.

        :raises ServiceError: none came, with the ends of the agents' logs
        """
        def found() -> list[tuple[float, float]]:
            points = self.measures(guest, meter, aggregation)
            # The last may get more measures.
            return sorted((when, points[when]) for when in points
                          if when >= after)[:-1]
        try:
            return node.wait_for(found, timeout, '%s of %s in Gnocchi' % (
                meter, guest.name), 0.5)
        except TimeoutError as error:
            raise self.notification.service.error(
                '%s; ceilometer-polling said:\n%s' % (
                    error, '\n'.join(self.agent.log()[-20:]))) from error


def _using(used_mib: int) -> list[tuple[int, int]]:
    """A driver's record: so much is used, an eighth of the rest is free."""
    usable = (TOTAL_MIB - used_mib) * 1024
    return node.linux_stats(TOTAL_MIB * 1024, usable // 8, usable)


class _Shared:
    lab: Lab | None = None
    missing: node.MissingTools | None = None
    failure: Exception | None = None


def shared_lab() -> Lab:
    """The lab of this process; started when first asked for.

    :raises MissingTools: each time, found out once
    :raises ServiceError: likewise
    """
    for known in _Shared.missing, _Shared.failure:
        if known is not None:
            raise known
    if _Shared.lab is None:
        try:
            stack.check()
            lab = Lab()
            atexit.register(lab.stop)
            lab.start()
        except node.MissingTools as error:
            _Shared.missing = error
            raise
        except (services.ServiceError, subprocess.SubprocessError,
                OSError) as error:
            _Shared.failure = error
            raise
        _Shared.lab = lab
    return _Shared.lab


class EndToEndTest(testtools.TestCase):
    """A test with the shared lab; it skips where there cannot be one.

    Where CI is set it fails instead, as the functional tests do.
    """

    lab: Lab
    maxDiff = None

    def setUp(self) -> None:
        super().setUp()
        try:
            self.lab = shared_lab()
        except node.MissingTools as error:
            if base.must_run():
                raise
            self.skipTest('END-TO-END TESTS DO NOT RUN HERE: %s' % error)
        for name, log in (
                ('ceilometer-polling.log', self.lab.agent.log),
                ('notification.log', self.lab.notification.service.log)):
            self.addCleanup(self._attach, name, log)

    def eventually(self, expected: Any, found: Callable[[], Any],
                   timeout: float = 120) -> None:
        """Assert that something comes to be as expected.

        What is asked last is shown, when it does not.
        """
        last = [found()]

        def check() -> bool:
            last[0] = found()
            return last[0] == expected
        try:
            node.wait_for(check, timeout, 'what is expected', 0.5)
        except TimeoutError:
            self.assertEqual(expected, last[0])

    def _attach(self, name: str, log: Any) -> None:
        self.addDetail(name, content.text_content('\n'.join(log()[-100:])))
