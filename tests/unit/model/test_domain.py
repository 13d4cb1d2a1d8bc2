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


"""What live XML says, in the shapes that Nova, libvirt and tenants give it."""

import pathlib
import time
from xml.sax import saxutils

import fixtures
import testtools

from memstat_pollster.model import domain

NOVA_1_1 = 'http://openstack.org/xmlns/libvirt/nova/1.1'
NOVA_1_0 = 'http://openstack.org/xmlns/libvirt/nova/1.0'
LIBOSINFO = 'http://libosinfo.org/xmlns/libvirt/domain/1.0'

#: Nova's three: statistics wanted, switched off, and what older Novas left
#: to libvirt, which adds a balloon of its own.
NOVA_WANTED = (
    "<memballoon model='virtio' autodeflate='on' freePageReporting='on'>"
    "<stats period='10'/><alias name='balloon0'/>"
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x04'/>"
    '</memballoon>')
NOVA_OFF = "<memballoon model='none'/>"
LIBVIRTS_OWN = ("<memballoon model='virtio'><alias name='balloon0'/>"
                '</memballoon>')

#: What a guest is of which the XML says nothing more.
BARE = domain.Domain(
    domain_id=23, name='instance-0000002a', display_name=None,
    balloon_model=None, period_s=None, guest_os=domain.GuestOS.UNKNOWN)


def _xml(devices='', *, metadata='', features='<acpi/>', identity="id='23'"):
    return (f"<domain type='kvm' {identity}><name>instance-0000002a</name>"
            '<uuid>6f9c3c1a-6a27-4f29-9b5b-0c7f4a1f9d11</uuid>'
            f'<metadata>{metadata}</metadata>'
            "<memory unit='KiB'>4194304</memory>"
            f'<features>{features}</features>'
            "<devices><disk type='file'/>" + devices + '</devices></domain>')


def _nova(name='web', properties=None, namespace=NOVA_1_1):
    elements = ''.join(
        f'<nova:property name={saxutils.quoteattr(key)}>'
        f'{saxutils.escape(value)}</nova:property>'
        for key, value in (properties or {}).items())
    return (f'<nova:instance xmlns:nova="{namespace}">'
            '<nova:package version="32.0.0"/>'
            f'<nova:name>{name}</nova:name>'
            '<nova:flavor name="m1.lab" id="42"><nova:memory>4096'
            '</nova:memory></nova:flavor>'
            '<nova:image uuid="155d900f-4e14-4e4c-a73d-069cbf4541e6">'
            '<nova:minDisk>1</nova:minDisk>'
            f'<nova:properties>{elements}</nova:properties></nova:image>'
            '</nova:instance>')


def _libosinfo(identity):
    return (f'<libosinfo:libosinfo xmlns:libosinfo="{LIBOSINFO}">'
            f'<libosinfo:os id="{identity}"/></libosinfo:libosinfo>')


def _balloon(devices):
    """(model, period, whether there is a device) of these devices."""
    found = domain.parse(_xml(devices))
    return found.balloon_model, found.period_s, found.has_balloon


def _system(**properties):
    return domain.parse(
        _xml(metadata=_nova(properties=properties))).guest_os.value


class TestDomain(testtools.TestCase):

    def test_a_guest_of_nova_whole(self):
        self.assertEqual(
            domain.Domain(
                domain_id=23, name='instance-0000002a', display_name='web',
                balloon_model='virtio', period_s=10,
                guest_os=domain.GuestOS.LINUX, flavor_id='42',
                os_known_by=domain.KnownBy.OS_DISTRO),
            domain.parse(_xml(NOVA_WANTED, metadata=_nova(
                properties={'os_distro': 'debian'}))))

    def test_a_guest_of_nobody_whole(self):
        self.assertEqual(BARE, domain.parse(_xml()))

    def test_a_guest_that_is_shut_off_has_no_id(self):
        self.assertEqual(-1, domain.parse(_xml(identity='')).domain_id)

    def test_a_domain_of_which_everything_is_missing(self):
        self.assertEqual(
            domain.Domain(
                domain_id=-1, name='', display_name=None, balloon_model=None,
                period_s=None, guest_os=domain.GuestOS.UNKNOWN),
            domain.parse('<domain/>'))


class TestBalloon(testtools.TestCase):

    def test_novas_three_shapes(self):
        self.assertEqual(
            [('virtio', 10, True), ('none', None, False),
             ('virtio', None, True)],
            [_balloon(shape)
             for shape in (NOVA_WANTED, NOVA_OFF, LIBVIRTS_OWN)])

    def test_no_element_is_no_device(self):
        self.assertEqual((None, None, False), _balloon(''))

    def test_any_model_of_virtio_is_a_device(self):
        self.assertEqual(
            [('virtio-transitional', 7, True),
             ('virtio-non-transitional', 7, True), ('xen', 7, True)],
            [_balloon(f"<memballoon model='{model}'><stats period='7'/>"
                      '</memballoon>')
             for model in ('virtio-transitional', 'virtio-non-transitional',
                           'xen')])

    def test_a_period_is_what_the_stats_element_says(self):
        self.assertEqual(
            [0, -5, 2147483647, 10, None, None, None, None, None, None],
            [_balloon(f"<memballoon model='virtio'><stats period='{text}'/>"
                      '</memballoon>')[1]
             for text in ('0', '-5', '2147483647', ' 10 ', '', 'ten', '1.5',
                          '0x10', '10s', '9' * 5000)])

    def test_a_stats_element_without_a_period_has_none(self):
        self.assertEqual(('virtio', None, True),
                         _balloon("<memballoon model='virtio'><stats/>"
                                  '</memballoon>'))

    def test_a_balloon_in_the_tenants_metadata_is_no_balloon(self):
        """Only the one below <devices> is the guest's."""
        self.assertEqual(
            BARE, domain.parse(_xml(
                metadata='<devices>' + NOVA_WANTED + '</devices>')))


class TestDisplayName(testtools.TestCase):

    def _name(self, metadata):
        return domain.parse(_xml(metadata=metadata)).display_name

    def test_is_found_in_both_of_novas_namespaces(self):
        self.assertEqual(
            ['new', 'old'],
            [self._name(_nova('new', namespace=NOVA_1_1)),
             self._name(_nova('old', namespace=NOVA_1_0))])

    def test_the_newer_namespace_wins(self):
        self.assertEqual(
            'new', self._name(_nova('old', namespace=NOVA_1_0)
                              + _nova('new', namespace=NOVA_1_1)))

    def test_is_none_without_novas_metadata(self):
        self.assertEqual(
            [None, None, None],
            [self._name(''),
             self._name(_nova('other', namespace='http://example.org/1.1')),
             self._name(f'<n:instance xmlns:n="{NOVA_1_1}"/>')])

    def test_is_kept_as_the_tenant_wrote_it(self):
        """It is made printable where it is printed, and only there."""
        names = ('two\nlines', 'n' * 10000, '<b onclick="x">&amp;</b>',
                 '\u202egnp.exe', '雲の上', ' web ', '{uuid} %s')
        self.assertEqual(list(names), [
            self._name(_nova(saxutils.escape(name))) for name in names])

    def test_markup_within_it_cannot_pass_for_more_metadata(self):
        self.assertEqual(
            ('a</nova:name><nova:name>b', 'unknown'),
            (self._name(_nova(saxutils.escape('a</nova:name><nova:name>b'))),
             _system(note='<property name="os_type">windows</property>')))


class TestGuestOS(testtools.TestCase):

    def test_novas_image_properties(self):
        self.assertEqual(
            {'windows': 'windows', 'Windows ': 'windows',
             'cirros': 'cirros', 'freebsd': 'freebsd', 'ubuntu': 'linux',
             'RHEL': 'linux', 'fedora-coreos': 'linux',
             'openbsd': 'unknown', 'ubuntu24.04': 'unknown', '': 'unknown'},
            {distro: _system(os_distro=distro)
             for distro in ('windows', 'Windows ', 'cirros', 'freebsd',
                            'ubuntu', 'RHEL', 'fedora-coreos', 'openbsd',
                            'ubuntu24.04', '')})

    def test_os_type_where_os_distro_says_nothing(self):
        self.assertEqual(
            ['windows', 'linux', 'linux', 'unknown'],
            [_system(os_type='windows'), _system(os_type='linux'),
             _system(os_type='linux', os_distro='nixos'),
             _system(os_type='dos')])

    def test_os_distro_is_closer_than_os_type(self):
        """A cirros image says os_type=linux too."""
        self.assertEqual(
            ['cirros', 'freebsd'],
            [_system(os_type='linux', os_distro='cirros'),
             _system(os_type='windows', os_distro='freebsd')])

    def test_both_of_novas_namespaces(self):
        self.assertEqual('freebsd', domain.parse(_xml(metadata=_nova(
            properties={'os_distro': 'freebsd'},
            namespace=NOVA_1_0))).guest_os.value)

    def test_libosinfo(self):
        identities = {
            'http://microsoft.com/win/2k22': 'windows',
            'http://cirros-cloud.net/cirros/0.6': 'cirros',
            'http://freebsd.org/freebsd/14.0': 'freebsd',
            'http://ubuntu.com/ubuntu/24.04': 'linux',
            'http://redhat.com/rhel/9.4': 'linux',
            'http://suse.com/sles/15.6': 'linux',
            'http://fedoraproject.org/fedora/41': 'linux',
            'http://centos.org/centos-stream/10': 'linux',
            'http://debian.org/debian/12': 'linux',
            'http://libosinfo.org/linux/2022': 'linux',
            'http://openbsd.org/openbsd/7.5': 'unknown',
            '': 'unknown',
        }
        self.assertEqual(identities, {
            identity: domain.parse(
                _xml(metadata=_libosinfo(identity))).guest_os.value
            for identity in identities})

    def test_hyperv_features_are_windows(self):
        """Nova gives them to guests whose os_type is windows."""
        self.assertEqual('windows', domain.parse(_xml(
            features="<acpi/><hyperv mode='custom'><relaxed state='on'/>"
                     '</hyperv>')).guest_os.value)

    def test_what_the_image_says_goes_before_libosinfo_and_hyperv(self):
        hyperv = '<hyperv/>'
        windows = _libosinfo('http://microsoft.com/win/10')
        self.assertEqual(
            ['freebsd', 'linux', 'windows'],
            [domain.parse(_xml(
                metadata=_nova(properties={'os_distro': 'freebsd'})
                + windows, features=hyperv)).guest_os.value,
             domain.parse(_xml(
                 metadata=_nova()
                 + _libosinfo('http://debian.org/debian/12'),
                 features=hyperv)).guest_os.value,
             domain.parse(_xml(
                 metadata=_nova(properties={'os_distro': 'plan9'})
                 + windows)).guest_os.value])


    def test_by_what_it_is_known(self):
        """Before Nova 2025.2 there are no image properties in the XML."""
        hyperv = '<hyperv/>'
        self.assertEqual(
            ['os_distro', 'os_distro', 'os_type', 'os_type', 'libosinfo',
             'hyperv', None],
            [found.os_known_by and found.os_known_by.value
             for found in map(domain.parse, (
                 _xml(metadata=_nova(properties={
                     'os_type': 'linux', 'os_distro': 'cirros'})),
                 _xml(metadata=_nova(properties={
                     'os_type': 'linux', 'os_distro': 'debian'})),
                 _xml(metadata=_nova(properties={'os_type': 'windows'}),
                      features=hyperv),
                 _xml(metadata=_nova(properties={
                     'os_type': 'linux', 'os_distro': 'nixos'})),
                 _xml(metadata=_libosinfo('http://freebsd.org/freebsd/14.0'),
                      features=hyperv),
                 _xml(metadata=_nova(), features=hyperv),
                 _xml(metadata=_nova(properties={'os_distro': 'plan9'}))))])


class TestHostileXML(testtools.TestCase):

    def _refused(self, xml):
        exc = self.assertRaises(domain.InvalidDomainXML, domain.parse, xml)
        return str(exc)

    def test_what_is_not_xml_is_refused(self):
        for xml in ('', ' ', 'error: no domain', '<domain>', '<domain/>x',
                    '<domain id=23/>', '\x00', '<domain>\x00</domain>',
                    '<domain>\x1b[31m</domain>', '\ud800',
                    '<?xml version="1.0" encoding="utf-16"?><domain/>',
                    '<?xml version="1.0" encoding="none"?><domain/>',
                    '<domain>' + '<a>' * 100000):
            self.assertNotEqual('', self._refused(xml), repr(xml[:40]))

    def test_what_is_no_domain_is_refused_by_its_name(self):
        self.assertEqual(
            ["the root element is 'network', not domain",
             "the root element is '{http://example.org/}domain', not domain"],
            [self._refused('<network/>'),
             self._refused('<domain xmlns="http://example.org/"/>')])

    def test_the_message_is_one_line(self):
        """It becomes a line of the log and of the sample's metadata."""
        messages = [self._refused(xml) for xml in (
            '', '<domain>', '<domain>\x00</domain>', '<a>\n</b>\n',
            '<domain>\x1b</domain>', '<network/>', '\ud800')]
        self.assertEqual([[message] for message in messages],
                         [message.splitlines() for message in messages])

    def test_a_billion_laughs_end_at_once(self):
        entities = '<!ENTITY a "ha">' + ''.join(
            f'<!ENTITY {name} "{f"&{inner};" * 10}">'
            for inner, name in zip('abcdefghi', 'bcdefghij', strict=True))
        before = time.monotonic()
        for place in ('<domain><name>&j;</name></domain>',
                      '<domain id="&j;"/>',
                      _xml(metadata=_nova('&j;'))):
            # Whether libxml2 refuses it or leaves the entity alone depends
            # on its version; either is harmless.
            try:
                found = domain.parse(f'<!DOCTYPE domain [{entities}]>{place}')
            except domain.InvalidDomainXML:
                continue
            self.assertNotIn('haha', f'{found.name}{found.display_name}')
        self.assertLess(time.monotonic() - before, 60)

    def test_no_file_is_read_for_an_entity(self):
        secret = pathlib.Path(self.useFixture(fixtures.TempDir()).path,
                              'secret')
        secret.write_text('rosebud')
        dtd = (f'<!DOCTYPE domain [<!ENTITY x SYSTEM "{secret.as_uri()}">]>')
        found = domain.parse(
            dtd + '<domain><name>&x;</name><metadata>'
            + _nova('&x;') + '</metadata></domain>')
        self.assertNotIn('rosebud', repr(found))

    def test_no_outer_document_type_is_read(self):
        """Its entities would be defaults of the guest's XML."""
        dtd = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'dtd')
        dtd.write_text('<!ATTLIST domain id CDATA "77">')
        self.assertEqual(-1, domain.parse(
            f'<!DOCTYPE domain SYSTEM "{dtd.as_uri()}"><domain/>').domain_id)

    def test_a_huge_id_is_none(self):
        self.assertEqual(-1, domain.parse(
            _xml(identity=f"id='{'9' * 5000}'")).domain_id)


class TestMessage(testtools.TestCase):
    def test_it_says_what_is_wrong_on_one_line(self):
        error = self.assertRaises(domain.InvalidDomainXML, domain.parse,
                                  '<domain>\n<name>')
        self.assertIn('EndTag', str(error).replace('Premature end', 'EndTag'))
        self.assertNotIn('\n', str(error))


class TestNovasElement(testtools.TestCase):
    """Of Nova's element alone, as virDomain.metadata() gives it."""

    def test_of_novas_element(self):
        self.assertEqual('web <1>', domain.display_name(
            '<instance>\n  <package version="32.0.0"/>\n'
            '  <name>web &lt;1&gt;</name>\n</instance>'))

    def test_without_one(self):
        for metadata in ('', '<instance/>', '<instance', 'x'):
            self.assertIsNone(domain.display_name(metadata))
