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
import pathlib
import typing

import yaml

from memstat_pollster.cli import base
from memstat_pollster.cli.output import files
from memstat_pollster.cli.output import outcome
from memstat_pollster.config import yamlfile
from memstat_pollster.gnocchi import definitions
from memstat_pollster.gnocchi import publisher

_HEADER: typing.Final = """\
# Ceilometer's gnocchi_resources.yaml with the meters of memstat-pollster, by
# "memstat-pollster gnocchi-resources".  Make it anew after each upgrade of
# Ceilometer.
---
"""


class _Dumper(yaml.SafeDumper):
    """Writes lists, and metrics with nothing to say of, as Ceilometer does.

    So diff shows what was added, and little else.
    """

    def increase_indent(self, flow: bool = False, indentless: bool = False,
                        ) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(type(None), lambda dumper, _none: (
    dumper.represent_scalar('tag:yaml.org,2002:null', '')))


class GnocchiResources(base.Command):
    """Print Ceilometer's gnocchi_resources.yaml with the plugin's meters.

    Ceilometer's Gnocchi publisher stores only the meters that this file
    names, and reads it in the place of its own.  The file that it reads now
    is the source: the one that the publisher in pipeline.yaml names, or
    gnocchi_resources.yaml beside ceilometer.conf, or the one in the
    installed Ceilometer.  Comments are not kept.
    """

    exits = {
        outcome.ExitStatus.OK: 'the definitions were written',
        outcome.ExitStatus.FAILED: base.FAILED,
    }

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
        path = parsed_args.source or publisher.source(self.app.conf)
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


class GnocchiUpgrade(base.Command):
    """Add the attribute balloon_status to Gnocchi's instances.

    Run it once for a Gnocchi, after ceilometer-upgrade and before the
    notification agent is given definitions with this attribute: Gnocchi
    refuses an attribute that it does not know.  It logs in as the agent does,
    with [service_credentials] of ceilometer.conf.  The second time it changes
    nothing.
    """

    exits = {
        outcome.ExitStatus.OK: 'the attribute is there',
        outcome.ExitStatus.FAILED: base.FAILED,
    }

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
