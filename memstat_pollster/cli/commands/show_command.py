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

"""memstat-pollster show: all that is known of one guest, and the reasoning."""

import argparse
import collections.abc
import typing

from cliff import show

from memstat_pollster.cli import base
from memstat_pollster.cli.output import guest_text
from memstat_pollster.cli.output import listing
from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import terminal
from memstat_pollster.cli import select


class Show(base.Shown, show.ShowOne):
    """Show all that is known of one guest, and why its status is what it is.

    What libvirt says of it, each number with its meaning and its name in the
    guest's own /proc/meminfo; what is in force in its live XML and what Nova
    wants; each rule with its answer, in the order in which they are asked,
    up to the one that decided; what to do, step by step, for that guest's
    operating system, and how to see that it helped.
    """

    notes = ('The format table, the default, is a text to read, unless -c '
             'chooses columns.')
    exits = {
        outcome.ExitStatus.OK: 'the guest is fine',
        outcome.ExitStatus.PROBLEMS: 'somebody has to see to it',
        outcome.ExitStatus.UNREACHABLE: base.UNREACHABLE,
        outcome.ExitStatus.FAILED: 'there is no such guest, or ' + base.FAILED,
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_guest(parser, 'guest')
        base.add_wait(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        cycle = self.survey(parsed_args.wait, [parsed_args.guest])
        self._wanted = cycle.wanted
        self._guest = select.find_one(cycle, parsed_args.guest)
        super().run(parsed_args)
        if listing.is_problem(self._guest, self._wanted):
            return outcome.ExitStatus.PROBLEMS
        return outcome.ExitStatus.OK

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[
            tuple[str, ...], tuple[typing.Any, ...]]:
        more = tuple(value(self._guest, self._wanted)
                     for value in listing.MORE.values())
        return ((*listing.COLUMNS, *listing.MORE),
                listing.row(self._guest) + more)

    def produce_output(
            self, parsed_args: argparse.Namespace,
            column_names: collections.abc.Sequence[str],
            data: typing.Any) -> int:
        if parsed_args.formatter != 'table' or parsed_args.columns:
            return super().produce_output(parsed_args, column_names, data)
        width = (parsed_args.max_width if parsed_args.max_width > 0
                 else terminal.width(self.app.stdout))
        self.app.stdout.write(guest_text.GuestText(
            self._guest, self._wanted, width,
            terminal.has_colours(self.app.stdout)).text())
        return 0
