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

"""Which definitions Ceilometer's Gnocchi publisher reads."""

import pathlib
import typing
import urllib.parse

from oslo_config import cfg

from memstat_pollster.config import ceilometer_conf
from memstat_pollster.config import errors
from memstat_pollster.config import packaged
from memstat_pollster.config import yamlfile
from memstat_pollster.gnocchi import definitions


#: In Ceilometer's package.
_IN_PACKAGE: typing.Final = pathlib.Path('publisher', 'data',
                                         definitions.DEFAULT_FILE)

#: Ceilometer's own (ceilometer/pipeline/sample.py), for a process in which it
#: is not registered.
_PIPELINE: typing.Final = cfg.StrOpt('pipeline_cfg_file',
                                     default='pipeline.yaml')


def pipeline(conf: cfg.ConfigOpts, package: pathlib.Path | None,
             ) -> tuple[str, pathlib.Path | None, bool]:
    """The pipeline.yaml that the notification agent reads.

    :param package: Ceilometer's, see ``packaged.directory``
    :returns: its name in the configuration; where it is, None where there is
        none; whether it is the one in Ceilometer's package
    :raises errors.ConfigurationError: the option cannot be used
    """
    name = ceilometer_conf.option(conf, _PIPELINE)
    path = ceilometer_conf.find(conf, name)
    if path is not None:
        return name, path, False
    return name, packaged.configuration(package, name), True


def publishers(conf: cfg.ConfigOpts, package: pathlib.Path | None,
               ) -> tuple[pathlib.Path | None, tuple[str, ...]]:
    """The pipeline.yaml that is read, and what its publishers read.

    :param package: Ceilometer's, see ``packaged.directory``
    :returns: None and nothing where there is no pipeline.yaml; the names of
        definitions files are in order, each of them once
    :raises errors.ConfigurationError: naming the file that
        cannot be used
    """
    _name, path, _packaged = pipeline(conf, package)
    if path is None:
        return None, ()
    try:
        urls = definitions.publishers(yamlfile.read(path))
        return path, tuple(dict.fromkeys(
            urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get(
                'resources_definition_file', [definitions.DEFAULT_FILE])[-1]
            for url in urls))
    except ValueError as exc:
        # A pipeline that is none, or a publisher whose URL is none.
        raise errors.ConfigurationError(f'{path}: {exc}') from exc


def source(conf: cfg.ConfigOpts) -> pathlib.Path:
    """The definitions file that Ceilometer's publisher reads now.

    :raises errors.ConfigurationError: there is none
    """
    package = packaged.directory()
    path, names = publishers(conf, package)
    if len(names) > 1:
        raise errors.ConfigurationError(
            f'the publishers in {path} read more than one file: say with '
            f'--from which one is meant: {", ".join(sorted(names))}')
    return definitions_file(conf, package, *names)


def definitions_file(conf: cfg.ConfigOpts, package: pathlib.Path | None,
                     name: str = definitions.DEFAULT_FILE) -> pathlib.Path:
    """A definitions file, as the publisher looks for it.

    :param package: Ceilometer's, see ``packaged.directory``
    :returns: the one in Ceilometer's package where there is none of that name
    :raises errors.ConfigurationError: there is none
    """
    found = ceilometer_conf.find(conf, name)
    if found is not None:
        return found
    if package is not None and (package / _IN_PACKAGE).is_file():
        return package / _IN_PACKAGE
    raise errors.ConfigurationError(
        f'no {definitions.DEFAULT_FILE} was found, neither in the '
        "configuration's directories nor in an installed Ceilometer: name "
        'one with --from')
