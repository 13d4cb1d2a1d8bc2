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

"""Gnocchi, reached and logged in to as Ceilometer's publisher does it.

The only file with gnocchiclient and keystoneauth1.
"""

import collections.abc
import contextlib
import dataclasses
import datetime
import typing

from gnocchiclient import client as gnocchi_client
from gnocchiclient import exceptions as gnocchi_exceptions
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import loading
from oslo_config import cfg

from memstat_pollster import background
from memstat_pollster.gnocchi import definitions
from memstat_pollster.model import meters

#: Where ceilometer.conf has the credentials, unless [gnocchi]auth_section
#: names another group; as in ceilometer/keystone_client.py.
CREDENTIALS: typing.Final = 'service_credentials'
GROUP: typing.Final = 'gnocchi'

#: Seconds for a request; the publisher's own default is 6.05.
TIMEOUT_S: typing.Final = 30

#: Seconds for all that a command asks, logging in included.
DEADLINE_S: typing.Final = 60.0

_T = typing.TypeVar('_T')

_OPTS: typing.Final[tuple[cfg.Opt, ...]] = (
    cfg.StrOpt('region-name'),
    cfg.StrOpt('interface', default='public',
               choices=('public', 'internal', 'admin',
                        'publicURL', 'internalURL', 'adminURL')),
)


class GnocchiError(Exception):
    """Gnocchi or Keystone did not do it; the message is for an operator."""


@contextlib.contextmanager
def errors(what: str) -> collections.abc.Iterator[None]:
    """Turn what gnocchiclient, keystoneauth1 and oslo.config raise.

    :param what: was to be done, as the message is to name it
    :raises GnocchiError: in their place
    """
    try:
        yield
    except (gnocchi_exceptions.ClientException,
            keystone_exceptions.ClientException, cfg.Error) as exc:
        # The client's own messages may be empty, or a mapping.
        reason = str(exc).strip() or type(exc).__name__
        raise GnocchiError(f'{what}: {reason}') from exc
    except (KeyError, TypeError, ValueError) as exc:
        # The client takes any JSON, or none, for Gnocchi's.
        raise GnocchiError(
            f'{what}: the answer cannot be used, as if something else, such '
            f'as a proxy, answered ({type(exc).__name__}: {exc})') from exc


def within(seconds: float, work: collections.abc.Callable[[], _T]) -> _T:
    """What some work with Gnocchi returns, if it does so in time.

    A request's own timeout is for each piece that arrives, and a host's name
    may be looked up for any time: neither bounds the whole.

    :raises GnocchiError: the work's own; or it took longer, and is left
        behind in a thread that keeps no process from ending
    """
    future = background.start(work, GnocchiError(
        'asking Gnocchi ended without an answer'), 'memstat-gnocchi')
    if not background.is_done(future, seconds):
        raise GnocchiError(f'Gnocchi: no end of it within {seconds:g} s')
    return future.result()


def connect(conf: cfg.ConfigOpts) -> gnocchi_client.Client:
    """A client of Gnocchi with the credentials that ceilometer.conf has.

    Keystone, if there is one, is asked for a token and for Gnocchi's
    endpoint.

    :param conf: that has parsed ceilometer.conf; the options are registered
        here where they are not
    :raises GnocchiError: the credentials are not there, or not taken
    """
    with errors('logging in for Gnocchi'):
        section = _credentials(conf)
        auth = loading.load_auth_from_conf_options(conf, section)
        if auth is None:
            raise GnocchiError(
                f'the configuration has no [{section}]auth_type: name the '
                'ceilometer.conf that the notification agent reads with '
                '--config-file')
        session = loading.load_session_from_conf_options(
            conf, section, timeout=TIMEOUT_S, auth=auth)
        endpoint = {'interface': conf[section].interface,
                    'region_name': conf[section].region_name}
        endpoint['endpoint_override'] = session.get_endpoint(
            service_type='metric', service_name='gnocchi', **endpoint)
        return gnocchi_client.Client('1', session, adapter_options=endpoint)


def _credentials(conf: cfg.ConfigOpts) -> str:
    """The group with the credentials, its options registered."""
    _register(conf, GROUP)
    conf.set_default('auth_section', CREDENTIALS, group=GROUP)
    section = str(conf[GROUP].auth_section)
    _register(conf, section)
    return section


def _register(conf: cfg.ConfigOpts, group: str) -> None:
    loading.register_auth_conf_options(conf, group)
    loading.register_session_conf_options(conf, group)
    conf.register_opts(_OPTS, group=group)


def series(client: gnocchi_client.Client, meter: str, uuid: str,
           start_s: float, granularity_s: float) -> meters.Series | None:
    """A meter's measures since a time, as fine as is asked or nearly so.

    :param uuid: the guest's
    :param start_s: seconds since the epoch
    :param granularity_s: of those that the archive policy keeps, the nearest
        one is taken
    :returns: None where Gnocchi has no such guest, meter or measure
    :raises GnocchiError: it did not answer
    """
    start = datetime.datetime.fromtimestamp(start_s, datetime.timezone.utc)
    with errors('Gnocchi'):
        try:
            found = client.metric.get_measures(
                meter, resource_id=uuid, start=start, aggregation='mean')
        except gnocchi_exceptions.NotFound:
            return None
        kept = {float(each[1]) for each in found}
        if not kept:
            return None
        chosen = min(kept, key=lambda each: abs(each - granularity_s))
        return meters.Series(chosen, tuple(
            (begin.timestamp(), float(value))
            for begin, kept_s, value in found if kept_s == chosen))


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A meter of many guests, as far as Gnocchi answered.

    :ivar series: by the guest's UUID; without those that Gnocchi does not
        know
    :ivar answered: of how many guests it said something
    :ivar error: why of no more; None when of all
    """

    series: collections.abc.Mapping[str, meters.Series]
    answered: int
    error: str | None = None


def all_series(conf: cfg.ConfigOpts, meter: str,
               uuids: collections.abc.Iterable[str], start_s: float,
               granularity_s: float, seconds: float | None = None) -> Found:
    """A meter's measures of many guests; see :func:`series`.

    Ends at the first guest for which there is no answer: a Gnocchi that
    hangs does so for the next one, too.

    :param seconds: for all of it, logging in included; None: ``DEADLINE_S``
    """
    found: dict[str, meters.Series | None] = {}

    def ask() -> None:
        client = connect(conf)
        for uuid in uuids:
            found[uuid] = series(client, meter, uuid, start_s, granularity_s)
    error = None
    try:
        within(DEADLINE_S if seconds is None else seconds, ask)
    except GnocchiError as exc:
        error = str(exc)
    # Of now: what is left behind may go on.
    answers = found.copy()
    return Found({uuid: each for uuid, each in answers.items()
                  if each is not None}, len(answers), error)


def add_attribute(client: gnocchi_client.Client) -> bool:
    """See that Gnocchi's instances have the attribute balloon_status.

    :returns: whether it had to be added
    :raises GnocchiError: it could not be, or another kind of attribute has
        its name
    """
    with errors('Gnocchi'):
        if _has_attribute(client):
            return False
        try:
            client.resource_type.update(definitions.RESOURCE_TYPE, [
                {'op': 'add', 'path': f'/attributes/{definitions.ATTRIBUTE}',
                 'value': dict(definitions.ATTRIBUTE_TYPE)}])
        except gnocchi_exceptions.ClientException:
            # Another controller may have been a moment faster.
            if _has_attribute(client):
                return False
            raise
        return True


def _has_attribute(client: gnocchi_client.Client) -> bool:
    try:
        found = client.resource_type.get(definitions.RESOURCE_TYPE)
    except gnocchi_exceptions.NotFound as exc:
        # Its attributes differ from release to release: Ceilometer's part.
        raise GnocchiError(
            f'Gnocchi has no resource type {definitions.RESOURCE_TYPE} yet: '
            'run ceilometer-upgrade first') from exc
    attribute = found['attributes'].get(definitions.ATTRIBUTE)
    if attribute is not None and attribute['type'] != 'string':
        raise GnocchiError(
            f'the attribute {definitions.ATTRIBUTE} of resource type '
            f'{definitions.RESOURCE_TYPE} is a {attribute["type"]}, no '
            'string: remove it if nothing needs it')
    return attribute is not None
