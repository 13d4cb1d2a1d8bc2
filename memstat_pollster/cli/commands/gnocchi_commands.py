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

"""memstat-pollster gnocchi-resources and gnocchi-upgrade."""

import argparse
import importlib.util
import pathlib
import typing
import urllib.parse

from cliff import command
from oslo_config import cfg
import yaml

from memstat_pollster.cli.output import files
from memstat_pollster.cli.output import outcome
from memstat_pollster.config import ceilometer_conf
from memstat_pollster.config import errors
from memstat_pollster.config import yamlfile
from memstat_pollster.gnocchi import definitions

_HEADER: typing.Final = """\
# Ceilometer's gnocchi_resources.yaml with the meters of memstat-pollster, by
# "memstat-pollster gnocchi-resources".  Make it anew after each upgrade of
# Ceilometer.
---
"""

#: In Ceilometer's package.
_IN_PACKAGE: typing.Final = pathlib.Path('publisher', 'data',
                                         definitions.DEFAULT_FILE)

#: Ceilometer's own (ceilometer/pipeline/sample.py), for a process in which it
#: is not registered.
_PIPELINE: typing.Final = cfg.StrOpt('pipeline_cfg_file',
                                     default='pipeline.yaml')


class _Dumper(yaml.SafeDumper):
    """Writes lists, and metrics with nothing to say of, as Ceilometer does.

    So diff shows what was added, and little else.
    """

    def increase_indent(self, flow: bool = False, indentless: bool = False,
                        ) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(type(None), lambda dumper, _none: (
    dumper.represent_scalar('tag:yaml.org,2002:null', '')))


def publishers(conf: cfg.ConfigOpts) -> tuple[pathlib.Path | None,
                                              tuple[str, ...]]:
    """The pipeline.yaml that is read, and what its publishers read.

    :returns: None and nothing where there is no pipeline.yaml; the names of
        definitions files are in order, each of them once
    :raises errors.ConfigurationError: naming the file that
        cannot be used
    """
    path = ceilometer_conf.find(conf, ceilometer_conf.option(conf, _PIPELINE))
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
    path, names = publishers(conf)
    if len(names) > 1:
        raise errors.ConfigurationError(
            f'the publishers in {path} read more than one file: say with '
            f'--from which one is meant: {", ".join(sorted(names))}')
    return definitions_file(conf, *names)


def definitions_file(conf: cfg.ConfigOpts,
                     name: str = definitions.DEFAULT_FILE) -> pathlib.Path:
    """A definitions file, as the publisher looks for it.

    :returns: the one in Ceilometer's package where there is none of that name
    :raises errors.ConfigurationError: there is none
    """
    found = ceilometer_conf.find(conf, name)
    if found is not None:
        return found
    spec = importlib.util.find_spec('ceilometer')
    for directory in (spec and spec.submodule_search_locations) or ():
        path = pathlib.Path(directory) / _IN_PACKAGE
        if path.is_file():
            return path
    raise errors.ConfigurationError(
        f'no {definitions.DEFAULT_FILE} was found, neither in the '
        "configuration's directories nor in an installed Ceilometer: name "
        'one with --from')


class GnocchiResources(command.Command):
    """Print Ceilometer's gnocchi_resources.yaml with the plugin's meters.

    Ceilometer's Gnocchi publisher stores only the meters that this file
    names, and reads it in the place of its own.  The file that it reads now
    is the source: the one that the publisher in pipeline.yaml names, or
    gnocchi_resources.yaml beside ceilometer.conf, or the one in the
    installed Ceilometer.  Comments are not kept.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--from', dest='source', metavar='FILE', type=pathlib.Path,
            help='merge with this file instead')
        parser.add_argument(
            '--output', '-o', metavar='FILE', type=pathlib.Path,
            help='write this file, which may be the source, instead of '
                 'printing; redirecting the output to the source would '
                 'empty it before it is read')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        path = parsed_args.source or source(self.app.conf)
        try:
            document = definitions.merged(yamlfile.read(
                path, pipe=parsed_args.source is not None))
        except definitions.DefinitionsError as exc:
            raise outcome.CommandFailed(f'{path}: {exc}') from exc
        text = _HEADER + yaml.dump(
            document, Dumper=_Dumper, sort_keys=False, width=79)
        if parsed_args.output is None:
            self.app.stdout.write(text)
        else:
            files.write(str(parsed_args.output), text)
        return outcome.ExitStatus.OK


class GnocchiUpgrade(command.Command):
    """Add the attribute balloon_status to Gnocchi's instances.

    Run it once for a Gnocchi, after ceilometer-upgrade and before the
    notification agent is given definitions with this attribute: Gnocchi
    refuses an attribute that it does not know.  It logs in as the agent does,
    with [service_credentials] of ceilometer.conf.  The second time it changes
    nothing.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        # Its libraries take 0.2 s to load, which no other command needs.
        from memstat_pollster.gnocchi import client
        try:
            added = client.within(
                client.DEADLINE_S, lambda: client.add_attribute(
                    client.connect(self.app.conf)))
        except client.GnocchiError as exc:
            raise outcome.CommandFailed(str(exc)) from exc
        self.app.stdout.write(
            f'attribute {definitions.ATTRIBUTE} of resource type '
            f'{definitions.RESOURCE_TYPE}: '
            f'{"added" if added else "there already, nothing to do"}\n')
        return outcome.ExitStatus.OK
