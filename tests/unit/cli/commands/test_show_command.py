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

"""The show command, on a libvirt written by hand."""

import dataclasses
import re
import time

import fixtures
import libvirt
import testtools

from memstat_pollster.cli.output import terminal
from memstat_pollster.model import domain
from memstat_pollster.model import facts
from memstat_pollster.model import fields
from memstat_pollster.model import history
from memstat_pollster.model import judged
from memstat_pollster.model import nova_period
from memstat_pollster.model import reasoning
from memstat_pollster.model import stats
from memstat_pollster.model import status
from memstat_pollster.model import steps
from tests.unit.cli.commands import test_status_command
from tests.unit import commands
from tests.unit import fakes

LINUX = "<nova:property name='os_distro'>ubuntu</nova:property>"


def plain(text):
    """A text without what differs from run to run.

    Nor statuses for which the command has no words of its own.
    """
    text = re.sub(r' +no +\w+ +what it asks for is not so\n', '', text)
    text = re.sub(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+\d\d:\d\d', 'TIME', text)
    return re.sub(r'\b\d+ s (old|ago|or more)', r'N s \1', text)


class TestText(commands.CommandTest):
    def test_a_healthy_guest(self):
        self.make(test_status_command.web())
        self.assertEqual(0, self.run_command('show', 'web'))
        self.assertEqual(f'''\
web / instance-00000001
  uuid      {fakes.uuid_of(1)}
  status    reporting: fresh and possible
  used      234.0 of 490.0 MiB, 47.8 %: available - usable

How it was judged: the first rule that holds decides
  no   unreachable      libvirt answered, and its QEMU if it runs
  no   not_running      the guest is running
  no   no_device        its live XML has <memballoon model='virtio'>
  no   stats_disabled   its live XML has <stats period='10'/>
  no   starting         its numbers have come, and are its own
  no   driver_missing   its driver has spoken: last-update is not 0
  no   service_missing  its record has memory numbers
  no   stale            its numbers are N s old; up to 30 s they are fresh
  no   invalid          its numbers can be true
  YES  reporting        fresh and possible

What is in force, and what is wanted
  live XML  a balloon (model virtio), period 10 s
  Nova      mem_stats_period_seconds is 10 ({self.nova_conf})

What libvirt says
  field                KiB  /proc/meminfo     meaning
  available         501760  MemTotal          all that its kernel manages
  usable            262144  MemAvailable      what it can give to new work
  unused            131072  MemFree           what it uses for nothing
  disk_caches        65536  Cached            its page cache
  swap_in             3072  pswpin (vmstat)   swapped in since its boot
  swap_out            5120  pswpout (vmstat)  swapped out since its boot
  current           524288  -                 given to it, by libvirt's record
  maximum          1048576  -                 the most it can have
  rss               204800  -                 what its QEMU holds of the host
  last-update TIME: when the guest last answered, by the clock of this host
''', re.sub(r'TIME(.*)\n +(.*)\n', r'TIME\1 \2\n', plain(self.stdout)))

    def test_a_narrow_terminal(self):
        self.stream = commands.Terminal
        self.make(test_status_command.hung(properties=LINUX))
        for columns in (54, 60, 79, 80, 160):
            with fixtures.EnvironmentVariable('COLUMNS', str(columns)):
                self.run_command('show', 'web')
            lines = [line for line in self.stdout.splitlines()
                     if str(self.etc) not in line]
            self.assertEqual([], [line for line in lines if terminal.columns(
                line) > columns], columns)
            self.assertEqual(
                ['  field', 'KiB', '/proc/meminfo', 'meaning'],
                re.split(r'(?<=\w)\s+', self.stdout.partition(
                    'libvirt says\n')[2])[:4])
            self.assertRegex(
                self.stdout, r'available +501760 +MemTotal\s+all that its '
                r'kernel\s+manages\n  usable ')

    def test_what_to_do_is_told_in_steps(self):
        self.make(test_status_command.hung(properties=LINUX))
        self.assertEqual(1, self.run_command('show', 'web'))
        text = plain(self.stdout)
        self.assertIn('  guest OS  linux, by the image property os_distro\n',
                      text)
        self.assertIn('  YES  stale            the guest last answered N s '
                      'ago, more than 30 s\n  -    invalid          not '
                      'asked\n', text)
        self.assertEqual(f'''\
What to do
  1. see that the guest is alive: its console, "virsh screenshot
     {fakes.uuid_of(2)}", or a ping
  2. in the guest: "modprobe -r virtio_balloon && modprobe virtio_balloon"

How to see that it helped
  1. memstat-pollster status {fakes.uuid_of(2)}   says
     "reporting"
  2. virsh dommemstat {fakes.uuid_of(2)}   twice, 10 s apart:
     last_update moves
''', text.partition('\n\nWhat to do')[2].join(['What to do', '']))

    def test_it_says_by_what_the_operating_system_is_known(self):
        """An older Nova gives nothing but the Hyper-V features."""
        osinfo = ('<l:libosinfo xmlns:l="http://libosinfo.org/xmlns/libvirt/'
                  'domain/1.0"><l:os id="http://microsoft.com/win/2k22"/>'
                  '</l:libosinfo>')
        osinfo = f'<metadata>{osinfo}</metadata>'
        hyperv = '<features><hyperv/></features>'
        image = "<nova:property name='os_{}'>windows</nova:property>"
        for properties, more, key, words in (
                (image.format('distro'), osinfo, 'os_distro',
                 'by the image property os_distro'),
                (image.format('type'), osinfo, 'os_type',
                 'by the image property os_type'),
                (None, osinfo + hyperv, 'libosinfo',
                 "by libosinfo's part of its metadata"),
                (None, hyperv, 'hyperv', 'by the Hyper-V features in its '
                 'XML')):
            web = test_status_command.web(
                properties=properties or '',
                display_name='web' if properties else None)
            web.document = web.XMLDesc(0).replace('<devices>',
                                                  f'{more}<devices>')
            self.make(web)
            self.run_command('show', web.uuid)
            self.assertIn(f'  guest OS  windows, {words}\n', self.stdout)
            _status, record = self.json('show', web.uuid)
            self.assertEqual(
                ('windows', key),
                (record['guest_os'], record['guest_os_known_by']))

    def test_a_guest_that_never_answered(self):
        self.make(test_status_command.silent(3))
        self.run_command('show', 'silent3', '--wait', '0')
        self.assertIn('  last-update never: ', self.stdout)
        self.assertIn('  available              -  MemTotal ',
                      self.stdout)

    def test_libvirt_without_an_answer(self):
        domain = test_status_command.web()
        domain.document = '<broken'
        self.make(domain)
        self.assertEqual(1, self.run_command('show', domain.uuid))
        self.assertIn('  live XML  not known\n', self.stdout)
        self.assertIn('  YES  unreachable      its live XML cannot be parsed',
                      self.stdout)

    def test_a_hostile_guest_is_shown_harmless(self):
        domain = test_status_command.web(display_name='x&#x85;\u202e&#10;y')
        domain.model = 'v\u202e&#x85;'
        domain.record['balloon.last-update'] = 2**62
        self.make(domain)
        self.run_command('show', domain.uuid, '--wait', '0')
        self.assertEqual([], [
            character for character in self.stdout
            if not character.isprintable() and character != '\n'])
        self.assertIn('x\\x85\\u202e\\ny', self.stdout)

    def test_colours_on_a_terminal(self):
        self.stream = commands.Terminal
        self.make(test_status_command.web())
        self.run_command('show', 'web')
        self.assertEqual(['\033[32mreporting\033[0m', '\033[32mYES\033[0m'],
                         re.findall('\033\\[32m.*?\033\\[0m', self.stdout))
        with fixtures.EnvironmentVariable('NO_COLOR', '1'):
            self.run_command('show', 'web')
        self.assertNotIn('\033', self.stdout)


class TestJson(commands.CommandTest):
    def test_all_there_is(self):
        self.make(test_status_command.web())
        found, record = self.json('show', 'web')
        self.assertEqual(0, found)
        stamp = record['reading'].pop('last_update_s')
        self.assertTrue(0 <= time.time() - stamp < 60, stamp)
        record['rules'] = [[rule['status'], rule['holds']]
                           for rule in record['rules']]
        self.assertEqual({
            **test_status_command.WEB, 'age_s': record['age_s'],
            'guest_os': 'unknown', 'guest_os_known_by': None,
            'balloon_model': 'virtio',
            'nova_period_s': 10, 'nova_period_file': str(self.nova_conf),
            'used_from': 'usable',
            'reading': {
                'state': 1, 'reason': 1, 'current_kib': 524288,
                'maximum_kib': 1048576, 'rss_kib': 204800,
                'available_kib': 501760, 'unused_kib': 131072,
                'usable_kib': 262144, 'disk_caches_kib': 65536,
                'swap_in_kib': 3072, 'swap_out_kib': 5120},
            'rules': [[each.word, each is status.Status.REPORTING]
                      for each in status.Status],
            'steps': [], 'check': []}, record)

    def test_rules_after_the_one_that_decides_are_not_asked(self):
        self.make(test_status_command.web(model='none'))
        found, record = self.json('show', 'web')
        self.assertEqual(1, found)
        answers = [rule['holds'] for rule in record['rules']]
        self.assertEqual(len(status.Status), len(answers))
        self.assertEqual([False, False, True], answers[:3])
        self.assertEqual({None}, set(answers[3:]))
        self.assertEqual(
            [f'openstack server reboot --hard {fakes.uuid_of(1)}   (the '
             'guest is restarted: agree on it with its owner)'],
            record['steps'])

    def test_a_period_of_novas_that_could_not_be_read(self):
        self.nova_conf.unlink()
        self.make(test_status_command.web())
        self.run_command('show', 'web')
        text = re.sub(r'\n {12}', ' ', self.stdout)
        self.assertIn('  Nova      mem_stats_period_seconds is taken to be '
                      f'10: there is no {self.nova_conf}\n', text)

    def test_nova_that_wants_none_needs_another_step(self):
        self.set_nova_period(0)
        self.make(test_status_command.web(model='none'))
        found, record = self.json('show', 'web')
        self.assertEqual((0, 0), (found, record['nova_period_s']))
        self.assertIn('mem_stats_period_seconds', record['steps'][0])


class TestHelp(commands.CommandTest):
    def test_it_says_what_is_shown_without_a_format(self):
        self.assertEqual(0, self.run_command('show', '--help'))
        words = ' '.join(self.stdout.split())
        self.assertIn('The format table, the default, is a text to read, '
                      'unless -c chooses columns.', words)


class TestNaming(commands.CommandTest):
    def test_a_name_that_two_have(self):
        self.make(test_status_command.web(1), test_status_command.web(2))
        self.assertEqual(3, self.run_command('show', 'web'))
        self.assertEqual(
            'memstat-pollster: 2 guests have the name web; name one by its '
            f'UUID: {fakes.uuid_of(1)}, {fakes.uuid_of(2)}\n', self.stderr)

    def test_an_unknown_name(self):
        self.make(test_status_command.web(1))
        self.assertEqual(3, self.run_command('show', 'wbe'))
        self.assertIn('did you mean web?', self.stderr)


    def test_a_name_that_libvirt_does_not_give(self):
        """Where Nova's metadata cannot be had, nobody knows the names."""
        held = test_status_command.web(2, display_name='db')
        held.xml_error = held.metadata_error = fakes.libvirt_error(
            libvirt.VIR_ERR_OPERATION_TIMEOUT, 'cannot acquire state change '
            'lock')
        self.make(held)
        self.assertEqual(3, self.run_command('show', 'db', '--wait', '0'))
        self.assertEqual(
            'memstat-pollster: no guest of this node is named db, as far as '
            "is known, but of 1 guest libvirt did not tell Nova's name; "
            "name one by libvirt's name or its UUID: "
            f'instance-00000002 ({held.uuid})\n', self.stderr)
        for name in (held.uuid, 'instance-00000002'):
            self.assertEqual(1, self.run_command('show', name, '--wait', '0'))
            self.assertIn('  status    unreachable: ', self.stdout)
        absent = 'f' * 8 + '-ffff-4fff-8fff-' + 'f' * 12
        self.assertEqual(3, self.run_command('show', absent))
        self.assertEqual(
            f'memstat-pollster: no guest of this node is named {absent}; '
            '"memstat-pollster status" lists its guests\n', self.stderr)


class TestFields(testtools.TestCase):
    def test_every_number_that_is_read_is_explained(self):
        read = {field.name for field in dataclasses.fields(stats.Reading)}
        self.assertEqual(
            read - {'state', 'reason', 'last_update_s'},
            {field.attribute for field in fields.FIELDS},
            'each field of stats.Reading needs its row in FIELDS of '
            'cmd/show.py')


class TestEveryStatus(testtools.TestCase):
    """Nothing that can be seen of a guest is left without words."""

    def guest(self, now, guest_os=domain.GuestOS.UNKNOWN):
        seen = domain.Domain(1, 'x', None, 'virtio', 10, guest_os)
        return judged.Guest(fakes.uuid_of(1), 'x', None, None, seen,
                             status.Verdict(now, ''), None, None, None)

    def test_what_has_a_remedy_has_steps_and_nothing_else_does(self):
        wanted = nova_period.Wanted(10)
        for each in status.Status:
            for guest_os in domain.GuestOS:
                guest = self.guest(each, guest_os)
                remedy = status.remedy(each, guest_os=guest_os,
                                       uuid=guest.uuid, nova_period_s=10)
                told = [steps.steps(guest, wanted),
                        steps.check(guest, wanted)]
                self.assertEqual([bool(remedy)] * 2, list(map(bool, told)),
                                 (each, guest_os))
                self.assertNotIn('{', str(told))

    def test_no_rule_lacks_a_reason(self):
        """Whatever the evidence: the rules' own tests have it all."""
        readings = [stats.Reading(state=1, reason=1, rss_kib=1,
                                  last_update_s=stamp, **numbers)
                    for stamp in (None, 0, 5) for numbers in (
                        {}, {'available_kib': 9, 'unused_kib': 4,
                             'maximum_kib': 9, 'current_kib': 9})]
        for reading in [*readings, stats.Reading(state=5), None]:
            for past in (history.Past(), history.Past(99.0, 99.0, 999.0),
                         history.Past(None, 99.0, 0.0, proven=False)):
                for balloon, period_s in (('none', None), ('virtio', None),
                                          ('virtio', 10)):
                    seen = domain.Domain(1, 'x', None, balloon, period_s,
                                         domain.GuestOS.UNKNOWN)
                    guest = judged.Guest(
                        fakes.uuid_of(1), 'x', None, reading, seen,
                        status.Verdict(status.Status.STALE, ''), None, None,
                        None, facts.Evidence(reading, seen, past))
                    answers = reasoning.reasoning(guest)
                    decided = [answer.holds for answer in answers].index(True)
                    self.assertEqual(
                        status.judge(guest.evidence).status,
                        answers[decided].status)
                    for answer in answers[:decided + 1]:
                        self.assertTrue(answer.why, answer)
