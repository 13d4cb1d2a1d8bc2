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

"""Which libvirt the agent is configured to ask."""

import collections.abc
import typing

from oslo_config import cfg

#: [DEFAULT]libvirt_type -> URI where [DEFAULT]libvirt_uri is empty, as in
#: ceilometer/compute/virt/libvirt/utils.py.
URIS: typing.Final[collections.abc.Mapping[str, str]] = {
    'lxc': 'lxc:///', 'parallels': 'parallels:///system'}
DEFAULT_URI: typing.Final = 'qemu:///system'

#: Ceilometer's own, for a process in which Ceilometer has not registered
#: them.
_CEILOMETER_OPTS: typing.Final[tuple[cfg.Opt, ...]] = (
    cfg.StrOpt('libvirt_type', default='kvm'),
    cfg.StrOpt('libvirt_uri', default=''),
)


def of(conf: cfg.ConfigOpts) -> str:
    """The agent's own libvirt_uri, or what its libvirt_type stands for."""
    for opt in _CEILOMETER_OPTS:
        if opt.dest not in conf:
            conf.register_opt(opt)
    return conf.libvirt_uri or URIS.get(conf.libvirt_type, DEFAULT_URI)
