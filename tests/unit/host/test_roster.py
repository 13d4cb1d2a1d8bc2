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

"""The guests as Ceilometer's discovery looks through them."""

import libvirt
import testtools

from memstat_pollster.host import roster
from memstat_pollster.model import domain
from memstat_pollster.model import observation
from tests.unit import fakes

NEWEST, OLDER = domain.NOVA_NAMESPACES


def guest(number, **changes):
    return fakes.Domain(number, fakes.healthy(1000), **changes)


class TestRoster(testtools.TestCase):

    def serve(self, *domains):
        self.node = fakes.Libvirt(*domains)
        self.addCleanup(self.node.thaw)
        self.inspector = self.node.inspector(timeout_s=2.0)
        self.addCleanup(self.inspector.close)
        return roster.Roster(self.inspector)

    @staticmethod
    def look(looked):
        return {each.UUIDString(): each
                for each in looked.connection().listAllDomains()}

    def test_what_libvirt_says_of_a_guest(self):
        off = guest(2, domain_id=-1, display_name='db')
        off.record.update({'state.state': 5, 'state.reason': 1})
        first = guest(1)
        found = self.look(self.serve(first, off))
        self.assertEqual([
            (fakes.uuid_of(1), 1, 'instance-00000001', [1, 1],
             first.XMLDesc(0), first.metadata(0, NEWEST, 0)),
            (fakes.uuid_of(2), -1, 'instance-00000002', [5, 1],
             off.XMLDesc(0), off.metadata(0, NEWEST, 0)),
        ], [(each.UUIDString(), each.ID(), each.name(), each.state(),
             each.XMLDesc(), each.metadata(
                 libvirt.VIR_DOMAIN_METADATA_ELEMENT, NEWEST))
            for each in found.values()])

    def test_a_guest_that_is_not_novas_raises_what_libvirt_raised(self):
        [found] = self.look(self.serve(guest(1, display_name=None))).values()
        for namespace in (NEWEST, OLDER):
            error = self.assertRaises(
                libvirt.libvirtError, found.metadata,
                libvirt.VIR_DOMAIN_METADATA_ELEMENT, namespace)
            self.assertEqual(libvirt.VIR_ERR_NO_DOMAIN_METADATA,
                             error.get_error_code())
        self.assertRaises(libvirt.libvirtError, found.metadata,
                          libvirt.VIR_DOMAIN_METADATA_ELEMENT, 'urn:other')

    def test_xml_is_read_once_a_run(self):
        first, off = guest(1), guest(2, domain_id=-1)
        looked = self.serve(first, off)
        self.look(looked)
        first.document, off.document = '<domain id="1"/>', '<domain/>'
        found = self.look(looked)
        self.assertIn('instance-00000001', found[first.uuid].XMLDesc())
        self.assertEqual('<domain/>', found[off.uuid].XMLDesc())
        first.domain_id = 7
        self.assertEqual('<domain id="1"/>',
                         self.look(looked)[first.uuid].XMLDesc())

    def test_a_guest_that_is_held_keeps_what_was_known(self):
        first, second = guest(1), guest(2)
        looked = self.serve(first, second)
        known = self.look(looked)[second.uuid].XMLDesc()
        fakes.hold(self, second)
        second.record['state.state'] = 3
        found = self.look(looked)
        self.assertEqual((known, [3, 1]), (found[second.uuid].XMLDesc(),
                                           found[second.uuid].state()))
        self.assertEqual(0, self.inspector.stuck)

    def test_one_that_was_never_seen_free_is_there_without_its_xml(self):
        first, second = guest(1), guest(2)
        looked = self.serve(first, second)
        fakes.hold(self, second)
        found = self.look(looked)
        self.assertEqual(
            [first.XMLDesc(0), roster.UNKNOWN_XML],
            [found[each.uuid].XMLDesc() for each in (first, second)])
        self.assertEqual(0, self.inspector.stuck)
        self.node.thaw()
        fakes.wait_until(lambda: second.monitor.occupied_ms() is None,
                         'the guest to be free')
        self.assertEqual(second.XMLDesc(0),
                         self.look(looked)[second.uuid].XMLDesc())

    def test_xml_that_never_comes_is_waited_for_no_longer_than_a_cycle(self):
        first, second, third = guest(1), guest(2), guest(3)
        looked = self.serve(first, second, third)
        # Held by nobody as far as controlInfo knows.
        second.xml_monitor.freeze()
        found = self.look(looked)
        self.assertEqual(
            [first.XMLDesc(0), roster.UNKNOWN_XML, third.XMLDesc(0)],
            [found[each.uuid].XMLDesc() for each in (first, second, third)])
        self.assertEqual(1, self.inspector.stuck)

    def test_while_libvirt_does_not_answer_it_is_as_it_was(self):
        looked = self.serve(guest(1), guest(2))
        before = self.look(looked)
        self.node.freeze()
        self.assertEqual(before, self.look(looked))
        self.node.thaw()
        self.node.domains.pop(fakes.uuid_of(2))
        self.inspector.close()
        fakes.wait_until(lambda: list(self.look(looked))
                         == [fakes.uuid_of(1)], 'libvirt to answer again')

    def test_libvirt_that_never_answered(self):
        looked = self.serve(guest(1))
        self.node.freeze()
        error = self.assertRaises(observation.ReadFailed, looked.connection)
        self.assertEqual('libvirt did not answer within 2 s', str(error))

    def test_guests_that_go_meanwhile_are_left_out(self):
        first, second, third = guest(1), guest(2), guest(3)
        gone = fakes.libvirt_error(libvirt.VIR_ERR_NO_DOMAIN, 'no domain')

        def raise_gone(*_):
            raise gone
        second.metadata = raise_gone
        third.xml_error = gone
        self.assertEqual([first.uuid],
                         list(self.look(self.serve(first, second, third))))
