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

"""The XML of the node's domains: as Nova writes it, where it matters."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import uuid
from xml.sax import saxutils

NOVA = 'http://openstack.org/xmlns/libvirt/nova/1.1'
IMAGE_ID = '155d900f-4e14-4e4c-a73d-069cbf4541e6'
USER_ID = '1' * 32
PROJECT_ID = '2' * 32
FLAVOR_NAME = 'm1.lab'
FLAVOR_ID = '42'


@dataclasses.dataclass(frozen=True)
class Balloon:
    """The memballoon element.

    :ivar model: None leaves the element out (libvirt then adds a virtio
        balloon without a period), 'none' is Nova's when statistics are off
    :ivar period: seconds between two of QEMU's requests; None leaves the
        stats element out
    """

    model: str | None = 'virtio'
    period: int | None = 1
    autodeflate: bool = True
    free_page_reporting: bool = True

    def xml(self) -> str:
        if self.model is None:
            return ''
        if self.model == 'none':
            return "<memballoon model='none'/>"
        stats = ('' if self.period is None
                 else "<stats period='%d'/>" % self.period)
        return ("<memballoon model='%s' autodeflate='%s' "
                "freePageReporting='%s'>%s</memballoon>"
                % (self.model, _switch(self.autodeflate),
                   _switch(self.free_page_reporting), stats))


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Nova's element in the domain's metadata.

    :ivar display_name: any text XML can carry
    :ivar flavor_id: None leaves the flavor's id and extra specs out, as
        Nova did before 2025.2
    :ivar properties: the image's properties
    :ivar project_id: whose server it is
    """

    display_name: str
    flavor_id: str | None = FLAVOR_ID
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    project_id: str = PROJECT_ID

    def xml(self, mib: int) -> str:
        flavor_id = extra_specs = ''
        if self.flavor_id is not None:
            flavor_id = ' id=' + saxutils.quoteattr(self.flavor_id)
            extra_specs = '<nova:extraSpecs/>'
        properties = ''.join(
            '<nova:property name=%s>%s</nova:property>'
            % (saxutils.quoteattr(key), _text(value))
            for key, value in self.properties.items())
        return f"""
  <metadata><nova:instance xmlns:nova="{NOVA}">
    <nova:package version="32.0.0"/>
    <nova:name>{_text(self.display_name)}</nova:name>
    <nova:creationTime>2026-01-01 00:00:00</nova:creationTime>
    <nova:flavor name="{FLAVOR_NAME}"{flavor_id}>
      <nova:memory>{mib}</nova:memory><nova:disk>1</nova:disk>
      <nova:swap>0</nova:swap><nova:ephemeral>0</nova:ephemeral>
      <nova:vcpus>1</nova:vcpus>{extra_specs}
    </nova:flavor>
    <nova:image uuid="{IMAGE_ID}">
      <nova:containerFormat>bare</nova:containerFormat>
      <nova:diskFormat>qcow2</nova:diskFormat>
      <nova:minDisk>1</nova:minDisk><nova:minRam>0</nova:minRam>
      <nova:properties>{properties}</nova:properties>
    </nova:image>
    <nova:owner>
      <nova:user uuid="{USER_ID}">demo</nova:user>
      <nova:project uuid="{self.project_id}">demo</nova:project>
    </nova:owner>
    <nova:root type="image" uuid="{IMAGE_ID}"/>
    <nova:ports/>
  </nova:instance></metadata>"""


@dataclasses.dataclass(frozen=True)
class Domain:
    """One domain, to be defined.

    :ivar mib: memory at start, MiB
    :ivar boot: the elements below <os>: what the guest boots
    :ivar maximum_mib: if larger than `mib`, the balloon takes the rest
    :ivar metadata: None: a guest that Nova did not make
    :ivar arguments: further ones for QEMU
    :ivar vcpus: the elements that say which CPUs it has
    """

    name: str
    mib: int
    emulator: str
    boot: str
    balloon: Balloon
    maximum_mib: int | None = None
    metadata: Metadata | None = None
    devices: str = ''
    arguments: tuple[str, ...] = ()
    vcpus: str = '<vcpu>1</vcpu>'

    @property
    def uuid(self) -> str:
        """The same name always has the same UUID."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name))

    def xml(self) -> str:
        maximum = self.maximum_mib or self.mib
        metadata = '' if self.metadata is None else self.metadata.xml(maximum)
        arguments = ''.join('<qemu:arg value=%s/>' % saxutils.quoteattr(word)
                            for word in self.arguments)
        # Machine type pc: on q35 the balloon is not on PCI bus 0.
        return f"""\
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{_text(self.name)}</name><uuid>{self.uuid}</uuid>{metadata}
  <memory unit='MiB'>{maximum}</memory>
  <currentMemory unit='MiB'>{self.mib}</currentMemory>
  {self.vcpus}
  <os><type arch='x86_64' machine='pc'>hvm</type>{self.boot}</os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>{_text(self.emulator)}</emulator>
    <controller type='usb' model='none'/>
    <video><model type='none'/></video>
    <audio id='1' type='none'/>
    {self.devices}{self.balloon.xml()}
  </devices>
  <qemu:commandline>{arguments}</qemu:commandline>
</domain>
"""


def kernel_boot(kernel: str, initramfs: str, cmdline: str) -> str:
    """Boot a kernel directly, its console on the first serial line."""
    return ('<kernel>%s</kernel><initrd>%s</initrd>'
            '<cmdline>console=ttyS0 panic=-1 quiet %s</cmdline>'
            % (_text(kernel), _text(initramfs), _text(cmdline)))


def rom_boot(rom: str) -> str:
    """Boot a firmware image and nothing else."""
    return "<loader readonly='yes' type='rom'>%s</loader>" % _text(rom)


def _text(value: str) -> str:
    # A literal carriage return would be read back as a newline.
    return saxutils.escape(value, {'\r': '&#13;'})


def _switch(value: bool) -> str:
    return 'on' if value else 'off'
