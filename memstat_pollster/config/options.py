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

"""The plugin's options, group [memstat] of ceilometer.conf."""

import collections.abc
import dataclasses
import typing

from oslo_config import cfg

GROUP: typing.Final = 'memstat'

OPTS: typing.Final[tuple[cfg.Opt, ...]] = (
    cfg.BoolOpt(
        'replace_builtin',
        default=True,
        help="Serve Ceilometer's own pollsters of the same names (memory, "
             'memory.usage, memory.available, memory.resident, '
             'memory.swap.in, memory.swap.out) with the samples of this '
             'plugin. When false, those names stay with Ceilometer, and the '
             'plugin only adds the meters that Ceilometer does not have.'),
    cfg.BoolOpt(
        'serve_compute',
        default=True,
        help="Answer Ceilometer's own pollsters of CPUs, disks and network "
             "interfaces (cpu, vcpus, power.state, perf.*, disk.device.*, "
             "network.*) from the plugin's reading. Their samples stay the "
             'same. When false, or for a guest whose numbers that reading '
             'does not have, Ceilometer asks libvirt itself, and a QEMU that '
             'does not answer can stop the agent.'),
    cfg.ListOpt(
        'nova_config_files',
        default=['/etc/nova/nova.conf', '/etc/nova/nova-compute.conf'],
        help="Nova's configuration files on this compute node, in the order "
             'in which nova-compute reads them; of each FILE, the files in '
             'the directory FILE.d whose names end in .conf are read too '
             '(nova_config_dirs). '
             'Only [libvirt]mem_stats_period_seconds is looked at. The agent '
             'has to be able to read them ("setfacl -m u:ceilometer:r FILE"); '
             "where it is not, 10, Nova's default, is assumed."),
    cfg.StrOpt(
        'nova_config_dirs',
        default='auto', choices=[
            ('auto', 'as nova-compute is started: by the arguments of the '
                     'running process, or of its systemd unit or init '
                     'script. Where none of them can be seen and the order '
                     'matters, both values are said.'),
            ('first', 'the directories first, so that the files override '
                      'them: nova-compute is started with --config-file, as '
                      'on Debian'),
            ('last', 'the directories last, so that they override the files: '
                     'nova-compute is started without --config-file')],
        help="When the directories FILE.d of nova_config_files are read. What "
             'is read later overrides what was read before.'),
    cfg.IntOpt(
        'stale_after_periods',
        default=3, min=1, max=1000,
        help='Withhold the numbers of a guest when they are older than this '
             'many statistics periods of that guest.'),
    cfg.IntOpt(
        'boot_grace',
        default=120, min=0, max=86400,
        help='Seconds that a guest may run without having sent any numbers '
             'before its balloon driver or service counts as missing.'),
    cfg.IntOpt(
        'read_timeout',
        default=5, min=1, max=300,
        help='Seconds that reading all guests may take in one polling cycle. '
             'Guests that libvirt did not answer for by then are '
             'unreachable in that cycle.'),
    cfg.IntOpt(
        'max_stuck_reads',
        default=5, min=2, max=20,
        help='How many calls to libvirt may be stuck at a time, each on a '
             'QEMU that does not answer. Each occupies one of the workers '
             'of libvirtd (20 by default), which Nova needs too.'),
)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """For oslo-config-generator (entry point oslo.config.opts)."""
    return [(GROUP, list(OPTS))]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The values in force; times in seconds."""

    replace_builtin: bool
    serve_compute: bool
    nova_config_files: tuple[str, ...]
    nova_config_dirs: str
    stale_after_periods: int
    boot_grace: int
    read_timeout: int
    max_stuck_reads: int


def load(conf: cfg.ConfigOpts) -> tuple[Settings, tuple[str, ...]]:
    """Register the options on ``conf`` and read them.

    :returns: the settings, and one message for each option whose value
        cannot be used; such an option has its default
    """
    conf.register_opts(OPTS, group=GROUP)
    values: dict[str, typing.Any] = {}
    problems = []
    for opt in OPTS:
        try:
            value = getattr(conf[GROUP], opt.dest)
        except (cfg.Error, ValueError) as exc:
            problems.append(f'option [{GROUP}]{opt.name} cannot be used, '
                            f'its default {opt.default} is: {exc}')
            value = opt.default
        values[opt.dest] = tuple(value) if _is_list(value) else value
    return Settings(**values), tuple(problems)


def _is_list(value: object) -> bool:
    return (isinstance(value, collections.abc.Sequence)
            and not isinstance(value, str))
