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
import contextlib
import datetime
import importlib.metadata
import os
import socket
import sys
import tempfile

from cliff import command

from memstat_pollster.cmd import outcome
from memstat_pollster.cmd import page
from memstat_pollster.cmd import survey
from memstat_pollster import inspector
from memstat_pollster import monitor
from memstat_pollster import node
from memstat_pollster import nova
from memstat_pollster import opts


def version_of(distribution: str) -> str | None:
    """The version of an installed package; None where it is not."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def write(path: str, text: str) -> None:
    """Replace a file at once: who looks at it never sees half of it.

    :param path: ``-`` is standard output
    :raises OSError: when it cannot be written
    """
    if path == '-':
        sys.stdout.write(text)
        return
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        # A pipe or a device is written to, not replaced.
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return
    descriptor, draft = tempfile.mkstemp(
        dir=os.path.dirname(path), prefix='.memstat-report-')
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, draft)
        with open(descriptor, 'w', encoding='utf-8') as file:
            file.write(text)
            os.fchmod(descriptor, _mode(path))
        os.replace(draft, path)


def _mode(path: str) -> int:
    """The mode of a file that is replaced, or that a new one would have."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


class Report(command.Command):
    """Write a page of HTML that shows the memory of every guest of this node.

    For people who would rather look than read: a bar for each guest (used,
    reclaimable, free, and what its QEMU holds of the host's memory), its
    status and what to do about it, and the totals. The page is one file that
    loads nothing from anywhere; it can be sorted and filtered, printed, read
    on a phone and in the dark, and sent to somebody else. When libvirt cannot
    be reached, the page says so and the exit status is 2.

    Example: memstat-pollster report -o /var/www/html/memory.html
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '-o', '--output', metavar='FILE', required=True,
            help='the file to write, replaced at once if it is there; - for '
                 'standard output')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        conf = self.app.conf
        failure = None
        made = datetime.datetime.now(datetime.timezone.utc)
        try:
            cycle = survey.survey(conf)
        except outcome.LibvirtUnreachable as exc:
            failure, cycle = exc, monitor.Cycle(0.0, {}, str(exc))
        text = page.render(cycle, self._host(failure is None), made,
                           version_of('memstat-pollster') or '?')
        try:
            write(parsed_args.output, text)
        except OSError as exc:
            raise outcome.CommandFailed(
                f'{parsed_args.output} cannot be written: '
                f'{exc.strerror}') from exc
        if failure is not None:
            raise failure
        return outcome.ExitStatus.OK

    def _host(self, answers: bool) -> page.Host:
        """The host's facts, without libvirt's where it does not answer."""
        settings, _problems = opts.load(self.app.conf)
        versions = [(name, found) for name, found in (
            ('Ceilometer', version_of('ceilometer')),) if found]
        nova_period_s = nova.read(settings.nova_config_files).period_s
        host = None
        if answers:
            source = node.make_inspector(self.app.conf)
            with (contextlib.closing(source),
                  contextlib.suppress(inspector.ReadFailed)):
                host = source.host()
        if host is None:
            return page.Host(socket.gethostname(), versions=tuple(versions),
                             nova_period_s=nova_period_s)
        versions.insert(0, ('libvirt', dotted(host.libvirt)))
        if host.hypervisor_version:
            versions.insert(1, (host.hypervisor,
                                dotted(host.hypervisor_version)))
        return page.Host(host.name, host.memory_kib, tuple(versions),
                         nova_period_s)


def dotted(version: tuple[int, ...]) -> str:
    """A version as people write it."""
    return '.'.join(map(str, version))
