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

"""memstat-pollster doctor: is the installation as it should be?

What is found is gathered here; what to make of it is in ``checks``.
"""

import argparse
import contextlib
import os
import typing

from cliff import lister

from memstat_pollster.cli import base
from memstat_pollster.cli.doctor import examination
from memstat_pollster.cli.doctor import rights
from memstat_pollster.cli.output import outcome



class Doctor(base.Shown, lister.Lister):
    """Check the installation, and say what to do, one line a check.

    Looks at libvirt (with the read-only socket, as the agent does), at the
    versions of what is installed, at the plugin's entry points, and at the
    configuration: [memstat] of ceilometer.conf, polling.yaml, nova.conf,
    Gnocchi's definitions. Nothing is changed. A check is ok, warning (it
    works, but less well than it could), error (meters are missing or wrong
    until it is mended) or skipped (it cannot be told here; that is no fault).
    Run it as root on a compute node: it then looks with the rights of the
    agent's user. "memstat-pollster status" tells about the guests.
    """

    exits = {
        outcome.ExitStatus.OK: 'all is well',
        outcome.ExitStatus.PROBLEMS: 'there is a warning or an error',
        outcome.ExitStatus.UNREACHABLE: base.UNREACHABLE,
        outcome.ExitStatus.FAILED: base.FAILED,
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--user', metavar='NAME',
            help='look with the rights of this user, whom the agent runs as; '
                 f'root may name any (default: {examination.AGENT_USER}, when '
                 'root runs this and there is such a user)')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[
            tuple[str, ...], list[tuple[typing.Any, ...]]]:
        user = parsed_args.user
        if user is None:
            agent = examination.AGENT_USER
            root = os.geteuid() == 0 and rights.has_user(agent)
            user = agent if root else None
        options = self.app.options
        looks = examination.Examination(options.sources, options.uri,
                                        self.app.make_inspector)
        with rights.rights_of(user) if user else contextlib.nullcontext():
            try:
                self._found = looks.run()
            except ImportError as exc:
                raise outcome.CommandFailed(
                    f'{rights.user_name()} cannot read all of this command '
                    f'and its Python: {exc}') from exc
        return ('outcome', 'check', 'finding', 'remedy'), [
            (check.outcome.value, check.name, check.finding, check.remedy)
            for check in self._found.checks]

    def run(self, parsed_args: argparse.Namespace) -> int:
        super().run(parsed_args)
        return self._found.exit_status
