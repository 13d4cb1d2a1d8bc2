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

"""What a guest's live domain XML says: its balloon, the period, its OS."""

import dataclasses
import enum
import typing

from lxml import etree

from memstat_pollster import text

_T = typing.TypeVar('_T')

#: Nova's metadata namespaces, newest first (nova/virt/libvirt/config.py).
NOVA_NAMESPACES: typing.Final = (
    'http://openstack.org/xmlns/libvirt/nova/1.1',
    'http://openstack.org/xmlns/libvirt/nova/1.0')

#: os_distro values of Glance's "useful image properties" that are Linux.
LINUX_DISTROS: typing.Final = frozenset((
    'almalinux', 'alpine', 'arch', 'centos', 'coreos', 'debian', 'fedora',
    'fedora-coreos', 'flatcar', 'gentoo', 'mandrake', 'mandriva', 'mes',
    'opensuse', 'oraclelinux', 'rhel', 'rocky', 'sled', 'sles', 'ubuntu'))


class GuestOS(enum.Enum):
    """The guest's operating system, as far as its XML tells.

    It is the tenant's word (image properties), so it only ever chooses the
    wording of a remedy, never a status or a number.
    """

    WINDOWS = 'windows'
    LINUX = 'linux'
    CIRROS = 'cirros'
    FREEBSD = 'freebsd'
    UNKNOWN = 'unknown'


class KnownBy(enum.Enum):
    """By what in its XML a guest's operating system is known.

    Nova writes image properties there since 2025.2 only (commit 7ce26377af).
    Before, nothing but the Hyper-V features tells.
    """

    OS_DISTRO = 'os_distro'
    OS_TYPE = 'os_type'
    LIBOSINFO = 'libosinfo'
    HYPERV = 'hyperv'


class InvalidDomainXML(ValueError):
    """A domain's XML that cannot be parsed, or is no domain's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Domain:
    """What a guest's live XML says.

    :ivar domain_id: libvirt's id of this run; -1 for a guest that is shut off
    :ivar name: libvirt's name (instance-0000002a)
    :ivar display_name: Nova's, chosen by the tenant; None without Nova's
        metadata
    :ivar balloon_model: virtio, virtio-transitional, ..., none; None when
        the XML has no memballoon element
    :ivar period_s: seconds between two requests for statistics; None when
        none are requested (no stats element, or a period that is no number)
    :ivar guest_os: for the wording of remedies only
    :ivar flavor_id: of Nova's metadata; None before OpenStack 2025.2
    :ivar os_known_by: what told the guest's operating system; None where
        nothing did
    """

    domain_id: int
    name: str
    display_name: str | None
    balloon_model: str | None
    period_s: int | None
    guest_os: GuestOS
    flavor_id: str | None = None
    os_known_by: KnownBy | None = None

    @property
    def has_balloon(self) -> bool:
        """Whether the guest has a balloon device."""
        return self.balloon_model not in (None, 'none')


def _tree(xml: str) -> etree._Element:
    """The root element.

    :raises InvalidDomainXML: when it is no XML
    """
    # Entities stay unresolved and nothing is fetched: parts of the document
    # (metadata) are the tenant's.
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        return etree.fromstring(xml.encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError) as exc:
        raise InvalidDomainXML(text.one_line(exc)) from exc


def parse(xml: str) -> Domain:
    """Parse ``virDomain.XMLDesc()``.

    :raises InvalidDomainXML: when it is not a domain's XML
    """
    root = _tree(xml)
    if root.tag != 'domain':
        raise InvalidDomainXML(f'the root element is {root.tag!r}, '
                               f'not domain')
    balloon = root.find('devices/memballoon')
    guest_os, known_by = _guest_os(root)
    return Domain(
        domain_id=_integer(root.get('id'), -1),
        name=root.findtext('name') or '',
        display_name=_display_name(root),
        balloon_model=None if balloon is None else balloon.get('model'),
        period_s=_period(balloon),
        guest_os=guest_os,
        flavor_id=_flavor_id(root),
        os_known_by=known_by)


def display_name(metadata: str) -> str | None:
    """Nova's name of a guest, by its element of libvirt's metadata alone.

    ``virDomain.metadata()`` gives it without its namespace.

    :returns: None where it has none, or cannot be parsed
    """
    try:
        return _tree(metadata).findtext('name')
    except InvalidDomainXML:
        return None


def _period(balloon: etree._Element | None) -> int | None:
    stats = None if balloon is None else balloon.find('stats')
    if stats is None:
        return None
    return _integer(stats.get('period'), None)


def _integer(text: str | None, otherwise: _T) -> int | _T:
    try:
        return int(text or '')
    except ValueError:
        return otherwise


def _nova(root: etree._Element, path: str) -> list[etree._Element]:
    """Elements of Nova's metadata; an empty list when it has none."""
    for namespace in NOVA_NAMESPACES:
        instance = root.find(f'metadata/{{{namespace}}}instance')
        if instance is not None:
            steps = (f'{{{namespace}}}{step}' for step in path.split('/'))
            return instance.findall('/'.join(steps))
    return []


def _display_name(root: etree._Element) -> str | None:
    names = _nova(root, 'name')
    return names[0].text if names else None


def _flavor_id(root: etree._Element) -> str | None:
    flavors = _nova(root, 'flavor')
    return flavors[0].get('id') if flavors else None


def _guest_os(root: etree._Element) -> tuple[GuestOS, KnownBy | None]:
    """Nova's image properties first, then libosinfo, then Hyper-V features.

    Nova gives Hyper-V enlightenments to guests whose os_type is windows
    (nova/virt/libvirt/driver.py _set_features), and so do other tools.

    :returns: the operating system, and by what it is known
    """
    properties = {element.get('name', ''): (element.text or '').strip().lower()
                  for element in _nova(root, 'image/properties/property')}
    distro = properties.get('os_distro', '')
    kind = properties.get('os_type', '')
    for word, known_by in ((distro, KnownBy.OS_DISTRO),
                           (kind, KnownBy.OS_TYPE)):
        if word in ('windows', 'cirros', 'freebsd'):
            return GuestOS(word), known_by
    if distro in LINUX_DISTROS:
        return GuestOS.LINUX, KnownBy.OS_DISTRO
    if kind == 'linux':
        return GuestOS.LINUX, KnownBy.OS_TYPE
    for element in root.iterfind(
            'metadata/{http://libosinfo.org/xmlns/libvirt/domain/1.0}libosinfo'
            '/{http://libosinfo.org/xmlns/libvirt/domain/1.0}os'):
        identity = element.get('id', '').lower()
        if 'microsoft.com/' in identity:
            return GuestOS.WINDOWS, KnownBy.LIBOSINFO
        for word in ('cirros', 'freebsd'):
            if word in identity:
                return GuestOS(word), KnownBy.LIBOSINFO
        # http://redhat.com/rhel/9.4, http://centos.org/centos-stream/10
        if 'linux' in identity or any(f'/{distro}' in identity
                                      for distro in LINUX_DISTROS):
            return GuestOS.LINUX, KnownBy.LIBOSINFO
    if root.find('features/hyperv') is not None:
        return GuestOS.WINDOWS, KnownBy.HYPERV
    return GuestOS.UNKNOWN, None
