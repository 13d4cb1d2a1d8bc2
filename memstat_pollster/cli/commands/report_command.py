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

"""memstat-pollster report: the node as a page to look at."""

import argparse
import datetime
import socket
import typing

from oslo_config import cfg

from memstat_pollster.cli import base
from memstat_pollster.cli.output import files
from memstat_pollster.cli.output import outcome
from memstat_pollster.cli.output import terminal
from memstat_pollster.cli.report import page
from memstat_pollster.cli.report import render
from memstat_pollster.cli import survey
from memstat_pollster.cli import versions
from memstat_pollster.host import inspector
from memstat_pollster.model import judged
from memstat_pollster.model import observation

#: Of a curve's points, where Gnocchi keeps such: 288 of them in a day.
GRANULARITY_S: typing.Final = 300.0


class Report(base.Command):
    """Write a page of HTML that shows the memory of every guest of this node.

    For people who would rather look than read: a bar for each guest (used,
    reclaimable, free, and what its QEMU holds of the host's memory), its
    status and what to do about it, and the totals. The page is one file that
    loads nothing from anywhere; it can be sorted and filtered, printed, read
    on a phone and in the dark, and sent to somebody else. When libvirt cannot
    be reached, the page says so.

    Example: memstat-pollster report -o /var/www/html/memory.html
    """

    exits = {
        outcome.ExitStatus.OK: 'the page was written',
        outcome.ExitStatus.PROBLEMS:
            'it was, without curves that --gnocchi asked for',
        outcome.ExitStatus.UNREACHABLE:
            'it was, and says that libvirt cannot be reached',
        outcome.ExitStatus.FAILED: base.FAILED,
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '-o', '--output', metavar='FILE', required=True,
            help='the file to write, replaced at once if it is there; - for '
                 'standard output')
        parser.add_argument(
            '--gnocchi', action='store_true',
            help="add each guest's used memory of the last day, as a curve, "
                 'from Gnocchi; it logs in with [service_credentials] of '
                 'ceilometer.conf, as the notification agent does. Without an '
                 'answer within a minute the page says what is missing, and '
                 'the exit status is 1')
        base.add_wait(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        failure = None
        with survey.opened(self.app.conf,
                           self.app.make_inspector) as found:
            try:
                cycle = found.settle(parsed_args.wait, terminal.Progress())
                host = _host(found.inspector, cycle)
            except outcome.LibvirtUnreachable as exc:
                failure, cycle = exc, judged.Cycle(0.0, {}, str(exc))
                host = page.Host(socket.gethostname(), versions=_ceilometer())
        made = datetime.datetime.now(datetime.timezone.utc)
        history = None
        if parsed_args.gnocchi and failure is None:
            history = _history(self.app.conf, cycle, made.timestamp())
        text = render.render(cycle, host, made,
                           versions.of('memstat-pollster') or '?', history)
        if parsed_args.output == '-':
            files.to_stream(self.app.stdout, text)
        else:
            files.write(parsed_args.output, text)
        if failure is not None:
            raise failure
        problem = history and history.problem(len(cycle.guests))
        if problem:
            self.app.LOG.error('the page has no %s', problem)
            return outcome.ExitStatus.PROBLEMS
        return outcome.ExitStatus.OK


def _history(conf: cfg.ConfigOpts, cycle: judged.Cycle,
             now_s: float) -> page.History:
    """The last day's used memory of each guest that Gnocchi knows."""
    # Its libraries take 0.2 s to load, which no other command needs.
    from memstat_pollster.gnocchi import client
    found = client.all_series(conf, 'memory.usage', cycle.guests,
                               now_s - page.DAY_S, GRANULARITY_S)
    return page.History(found.series, error=found.error,
                        answered=found.answered)


def _ceilometer() -> tuple[tuple[str, str], ...]:
    found = versions.of('ceilometer')
    return (('Ceilometer', found),) if found else ()


def _host(source: inspector.Inspector, cycle: judged.Cycle) -> page.Host:
    """The host's facts; libvirt's are missing if it has fallen silent."""
    period_s = cycle.wanted.period_s
    try:
        host = source.host()
    except observation.ReadFailed:
        return page.Host(socket.gethostname(), versions=_ceilometer(),
                         nova_period_s=period_s)
    software = [('libvirt', versions.dotted(host.libvirt))]
    if host.hypervisor_version:
        software.append((host.hypervisor,
                         versions.dotted(host.hypervisor_version)))
    return page.Host(host.name, host.memory_kib,
                     (*software, *_ceilometer()), period_s)
