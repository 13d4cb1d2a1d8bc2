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

"""What stands between a compute agent and a query: RabbitMQ to Gnocchi.

One :class:`Stack` has it all, without Keystone: Gnocchi's own "basic"
authentication takes any user's name for it.
"""

from __future__ import annotations

from collections.abc import Mapping
import glob
import os
import pathlib
import secrets
import subprocess
import sys


from tests.e2e import services
from tests.node import tools

#: Debian keeps the servers of PostgreSQL here, RHEL on PATH.
POSTGRESQL = '/usr/lib/postgresql/*/bin'
#: The server itself, not the wrapper that Debian puts before it.
RABBITMQ = '/usr/lib/rabbitmq/bin'
#: Gnocchi's user; "basic" authentication makes this one an administrator.
USER = 'admin'
BIN = pathlib.Path(sys.executable).parent


def _find(name: str, where: str) -> str | None:
    found = sorted(glob.glob(os.path.join(where, name)))
    return found[-1] if found else tools.which(name)


def check() -> None:
    """Raise one MissingTools naming every server that is not here."""
    wanted = {'initdb': (POSTGRESQL, 'postgresql'),
              'rabbitmq-server': (RABBITMQ, 'rabbitmq-server')}
    missing = {name: package for name, (where, package) in wanted.items()
               if _find(name, where) is None}
    if missing:
        raise tools.MissingTools(missing, missing.values())


def configuration(groups: Mapping[str, Mapping[str, object]]) -> str:
    """The text of an oslo.config file."""
    return '\n'.join(
        f'[{group}]\n' + ''.join(f'{name} = {value}\n'
                                 for name, value in options.items())
        for group, options in groups.items())


class Postgres:
    """A PostgreSQL server with one database, on a Unix socket only."""

    user = 'postgres'

    def __init__(self, directory: services.Directory) -> None:
        self._path = directory.sub('postgresql', self.user)
        self._data = self._path / 'data'
        self._service = services.Service('postgresql', [
            _find('postgres', POSTGRESQL), '-D', self._data,
            '-c', 'listen_addresses=', '-k', self._path,
            '-c', 'fsync=off', '-c', 'full_page_writes=off',
            '-c', 'synchronous_commit=off', '-c', 'max_connections=200',
        ], self._path, user=self.user)

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database."""
        return (f'postgresql://{self.user}@/{database}'
                f'?host={self._path}')

    def start(self) -> None:
        services.run('initdb', [
            _find('initdb', POSTGRESQL), '-D', self._data, '-A', 'trust',
            '-E', 'UTF8', '--locale=C', '--no-sync', '--username', self.user,
        ], self._path, user=self.user)
        self._service.start()
        self._service.wait(lambda: self._answers('SELECT 1'))

    def create(self, database: str) -> str:
        """Make a database; its URL."""
        if not self._answers(f'CREATE DATABASE {database}'):
            raise self._service.error(f'no database {database}')
        return self.url(database)

    def _answers(self, statement: str) -> bool:
        return subprocess.run(
            [_find('psql', POSTGRESQL), '-X', '-q', '-h', self._path,
             '-U', self.user, '-d', 'postgres', '-c', statement],
            cwd=self._path, capture_output=True).returncode == 0

    def stop(self) -> None:
        self._service.stop()


class Rabbit:
    """A RabbitMQ broker.

    :ivar url: oslo.messaging's transport URL
    """

    user = 'rabbitmq'

    def __init__(self, directory: services.Directory) -> None:
        path = directory.sub('rabbitmq', self.user)
        self._port = tools.free_port()
        password = secrets.token_hex(8)
        self.url = f'rabbit://memstat:{password}@127.0.0.1:{self._port}/'
        (path / 'rabbitmq.conf').write_text(
            f'listeners.tcp.1 = 127.0.0.1:{self._port}\n'
            f'default_user = memstat\n'
            f'default_pass = {password}\n'
            f'disk_free_limit.absolute = 1MB\n'
            f'log.console = true\n'
            f'log.file = false\n')
        (path / 'enabled_plugins').write_text('[].\n')
        distribution = tools.free_port()
        self._service = services.Service(
            'rabbitmq', [_find('rabbitmq-server', RABBITMQ)], path,
            user=self.user, environment={
                'HOME': path,
                'ERL_EPMD_ADDRESS': services.LOOPBACK,
                'ERL_EPMD_PORT': tools.free_port(),
                'RABBITMQ_NODENAME': 'memstat@localhost',
                'RABBITMQ_DIST_PORT': distribution,
                'RABBITMQ_CONFIG_FILE': path / 'rabbitmq.conf',
                'RABBITMQ_ENABLED_PLUGINS_FILE': path / 'enabled_plugins',
                'RABBITMQ_MNESIA_BASE': path / 'mnesia',
                'RABBITMQ_LOG_BASE': path / 'log',
                'RABBITMQ_PID_FILE': path / 'pid',
                'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS':
                    '-kernel inet_dist_use_interface {127,0,0,1}',
            })

    def start(self) -> None:
        """Start it; :meth:`wait` waits until it is up."""
        self._service.start()

    def wait(self) -> None:
        self._service.wait(lambda: services.accepts(self._port))

    def stop(self) -> None:
        self._service.stop()


class Gnocchi:
    """Gnocchi's API and metricd; measures are processed within a second.

    :ivar endpoint: the API's URL
    """

    def __init__(self, directory: services.Directory, database: str) -> None:
        self._path = directory.sub('gnocchi')
        self._port = tools.free_port()
        self.endpoint = f'http://127.0.0.1:{self._port}'
        self._conf = self._path / 'gnocchi.conf'
        self._conf.write_text(configuration({
            'DEFAULT': {'coordination_url': f'file://{self._path}/locks'},
            'indexer': {'url': database},
            'storage': {'driver': 'file',
                        'file_basepath': self._path / 'storage'},
            'api': {'auth_mode': 'basic', 'host': '127.0.0.1',
                    'port': self._port},
            'metricd': {'workers': 1, 'metric_processing_delay': 1,
                        'metric_cleanup_delay': 5},
        }))
        arguments = ['--config-file', self._conf]
        self._upgrade = [BIN / 'gnocchi-upgrade', *arguments]
        self._api = services.Service('gnocchi-api', [
            sys.executable,
            pathlib.Path(__file__).with_name('gnocchi_api.py'), *arguments,
        ], self._path)
        self._metricd = services.Service(
            'gnocchi-metricd', [BIN / 'gnocchi-metricd', *arguments],
            self._path)

    def start(self) -> None:
        (self._path / 'storage').mkdir()
        (self._path / 'locks').mkdir()
        services.run('gnocchi-upgrade', self._upgrade, self._path)
        self._api.start()
        self._metricd.start()
        self._api.wait(lambda: services.accepts(self._port))

    def check(self) -> None:
        """:raises ServiceError: a part of it has ended"""
        self._api.check()
        self._metricd.check()

    def stop(self) -> None:
        self._api.stop()
        self._metricd.stop()


class Notification:
    """A ceilometer-agent-notification that publishes to Gnocchi.

    :ivar path: its directory of configuration, with nothing but
        ceilometer.conf at first
    """

    def __init__(self, directory: services.Directory, transport_url: str,
                 endpoint: str) -> None:
        path = directory.sub('notification')
        self.conf = path / 'ceilometer.conf'
        self.conf.write_text(configuration({
            'DEFAULT': {'transport_url': transport_url,
                        'pipeline_cfg_file': path / 'pipeline.yaml'},
            # One request for a cycle's samples, not one for each meter.
            'notification': {'batch_size': 50, 'batch_timeout': 1},
            # Resources are asked for only when what is said of them changes.
            'cache': {'enabled': 'true', 'backend': 'oslo_cache.dict'},
            'service_credentials': {
                'auth_type': 'gnocchi-basic', 'user': USER,
                'endpoint': endpoint},
        }))
        self.path = path
        self.service = services.Service('notification', [
            BIN / 'ceilometer-agent-notification', '--config-file',
            self.conf], path)

    def upgrade(self) -> None:
        """What ceilometer-upgrade does: Gnocchi's resource types."""
        services.run('ceilometer-upgrade', [
            BIN / 'ceilometer-upgrade', '--config-file', self.conf],
            self.path)

    def start(self) -> None:
        self.service.start()

    def stop(self) -> None:
        self.service.stop()


class Aodh:
    """Aodh's API, which trusts its headers, and its evaluator.

    :param interval: seconds between two evaluations
    :ivar endpoint: the API's URL
    """

    def __init__(self, directory: services.Directory, database: str,
                 transport_url: str, gnocchi: str, interval: int) -> None:
        self._path = directory.sub('aodh')
        self._port = tools.free_port()
        self.endpoint = f'http://127.0.0.1:{self._port}'
        conf = self._path / 'aodh.conf'
        conf.write_text(configuration({
            'DEFAULT': {
                'transport_url': transport_url,
                # Measures of a busy machine take their time.
                'additional_ingestion_lag': 5 * interval},
            'api': {'auth_mode': 'noauth'},
            'database': {'connection': database},
            'evaluator': {'evaluation_interval': interval},
            'service_credentials': {
                'auth_type': 'gnocchi-basic', 'user': USER,
                'endpoint': gnocchi},
        }))
        arguments = ['--config-file', conf]
        self._upgrade = [BIN / 'aodh-dbsync', *arguments]
        self._api = services.Service('aodh-api', [
            sys.executable, pathlib.Path(__file__).with_name('aodh_api.py'),
            self._port, *arguments], self._path)
        self.evaluator = services.Service(
            'aodh-evaluator', [BIN / 'aodh-evaluator', *arguments],
            self._path)

    def start(self) -> None:
        services.run('aodh-dbsync', self._upgrade, self._path)
        self._api.start()
        self.evaluator.start()
        self._api.wait(lambda: services.accepts(self._port))

    def stop(self) -> None:
        self._api.stop()
        self.evaluator.stop()
