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

"""The enable command, on a libvirt written by hand."""

import os
import re
import signal
import time
import types

import fixtures
import libvirt

from memstat_pollster.cli import enabling
from tests.unit.cli.commands import test_status_command
from tests.unit import commands
from tests.unit import fakes

#: libvirt's names: without a question, a tenant's do not count.
FIRST, SECOND = 'instance-00000001', 'instance-00000002'
NO_DEVICE = ('it has no balloon device: hard reboot it, so that Nova writes '
             'its XML anew')


def without(number, **changes):
    """A guest that has a balloon and no period; it answers once it has."""
    domain = test_status_command.hung(number, period=None, **changes)

    def answer():
        domain.record['balloon.last-update'] = commands.ago(0)
    domain.period_set = answer
    return domain


def row(domain, action, status, detail):
    return {'name': domain.display_name, 'libvirt_name': domain.name_,
            'uuid': domain.uuid, 'action': action, 'status': status,
            'detail': detail}


class EnableTest(commands.CommandTest):
    def setUp(self):
        super().setUp()
        self.setUpGuests()

    def setUpGuests(self):
        self.first = without(1, display_name='first')
        self.second = without(2, display_name='second')
        self.has = test_status_command.web(3, display_name='third', period=60)
        self.none = test_status_command.web(4, display_name='none',
                                            model='none')
        self.make(self.first, self.second, self.has, self.none)

    def periods(self):
        return [domain.period for domain in (self.first, self.second,
                                             self.has)]

    def changed_nothing(self):
        self.assertEqual([None, None, 60], self.periods())
        self.assertEqual(0, self.libvirt.count('lookup'))


class TestSet(EnableTest):
    def test_all_that_need_it_and_no_other(self):
        status, rows = self.json('enable', '--all', '--yes')
        details = [each.pop('detail') for each in rows]
        self.assertEqual([10, 10, 60], self.periods())
        self.assertEqual(
            (1, [('first', 'set', 'reporting'), ('none', 'skipped',
                                                 'no_device'),
                 ('second', 'set', 'reporting')]),
            (status, [(each['name'], each['action'], each['status'])
                      for each in rows]))
        for detail in (details[0], details[2]):
            self.assertRegex(detail, r'^it reports after \d+\.\d s$')
        self.assertEqual(NO_DEVICE, details[1])

    def test_those_that_are_named(self):
        status, rows = self.json('enable', SECOND, '--yes')
        self.assertEqual((0, ['second']),
                         (status, [each['name'] for each in rows]))
        self.assertEqual([None, 10, 60], self.periods())

    def test_another_period(self):
        self.assertEqual(0, self.run_command('enable', FIRST, '--yes',
                                             '--period', '7'))
        self.assertEqual([7, None, 60], self.periods())

    def test_a_guest_that_does_not_report(self):
        self.first.period_set = lambda: None
        status, rows = self.json('enable', FIRST, '--yes', '--wait', '0')
        self.assertEqual(10, self.first.period)
        self.assertRegex(rows[0].pop('detail'), r'^it has not reported yet: '
                         r'the guest last answered 10\d\d s ago, more than')
        self.assertEqual(
            (1, 'set', 'stale'),
            (status, rows[0]['action'], rows[0]['status']))

    def test_a_guest_whose_driver_needs_a_while(self):
        polls = []

        class Slow(fakes.Monitor):
            def ask(monitor):
                polls.append(None)
                if len(polls) > 4:
                    self.first.record['balloon.last-update'] = commands.ago(0)
                return super().ask()
        self.first.monitor = Slow()
        self.first.period_set = lambda: None
        self.stream = commands.Terminal
        self.assertEqual(0, self.run_command('enable', FIRST, '--yes'))
        self.assertIn('[....................] 0 of 1 guests report',
                      self.stderr)
        self.assertTrue(self.stderr.endswith('\r\033[K'))

    def test_a_period_that_was_set_meanwhile_stays(self):
        """The live XML is looked at again right before."""
        look_up = self.libvirt.called

        def called(name):
            look_up(name)
            if name == 'lookup':
                self.first.period = 33
        self.libvirt.called = called
        status, rows = self.json('enable', FIRST, '--yes', '--wait', '0')
        self.assertEqual(33, self.first.period)
        self.assertEqual((1, [row(self.first, 'failed', 'stats_disabled',
                                  'its period is 33 s already')]),
                         (status, rows))

    def test_a_frozen_guest_holds_nobody_up(self):
        self.first.monitor = _FreezesWhenSet()
        status, rows = self.json('enable', FIRST, SECOND, '--yes',
                                 '--wait', '0')
        self.assertEqual(1, status)
        self.assertEqual(
            [('first', 'failed', 'QEMU did not answer within 2 s; once it '
              'does, its period may still be set'), ('second', 'set')],
            [(rows[0]['name'], rows[0]['action'], rows[0]['detail']),
             (rows[1]['name'], rows[1]['action'])])


    def test_a_guest_that_is_held_is_not_tried(self):
        """Nothing of ours is left behind on it."""
        self.first.record = {'state.state': 1, 'state.reason': 1}
        status, rows = self.json('enable', FIRST, SECOND, '--yes')
        self.assertEqual(
            (1, [('first', 'skipped'), ('second', 'set')]),
            (status, [(each['name'], each['action']) for each in rows]))
        self.assertEqual((1, None), (self.libvirt.count('lookup'),
                                     self.first.period))

    def test_one_that_another_job_holds_by_then_is_not_asked(self):
        look_up = self.libvirt.called

        def called(name):
            look_up(name)
            if name == 'lookup':
                self.first.controlInfo = lambda flags=0: [
                    libvirt.VIR_DOMAIN_CONTROL_JOB, 0, 0]
        self.libvirt.called = called
        status, rows = self.json('enable', FIRST, '--yes', '--wait', '0')
        self.assertEqual(
            (1, [('failed', 'another job (a migration, a snapshot, a call '
                  'that is stuck) holds it')], None),
            (status, [(each['action'], each['detail']) for each in rows],
             self.first.period))

    def test_one_that_is_shut_off_meanwhile(self):
        look_up = self.libvirt.called

        def called(name):
            look_up(name)
            if name == 'lookup':
                self.first.domain_id = -1
        self.libvirt.called = called
        status, rows = self.json('enable', FIRST, '--yes', '--wait', '0')
        self.assertEqual(
            (1, [('failed', 'it has been shut off')], None),
            (status, [(each['action'], each['detail']) for each in rows],
             self.first.period))

    def test_a_refusal_after_something_was_set_is_told_of_its_guest(self):
        """What was changed has to be said, too."""
        self.second.period_error = fakes.libvirt_error(
            libvirt.VIR_ERR_OPERATION_DENIED, 'read only access')
        status, rows = self.json('enable', FIRST, SECOND, '--yes',
                                 '--wait', '0')
        self.assertEqual(
            (1, [('first', 'set'), ('second', 'failed')], [10, None, 60]),
            (status, [(each['name'], each['action']) for each in rows],
             self.periods()))

    def test_ctrl_c_while_it_waits_shows_what_was_changed(self):
        self.first.period_set = lambda: None  # it never reports

        def interrupt(seconds):
            raise KeyboardInterrupt
        self.useFixture(fixtures.MonkeyPatch(
            'memstat_pollster.cli.enabling.time', types.SimpleNamespace(
                monotonic=time.monotonic, sleep=interrupt)))
        status = self.run_command('enable', FIRST, '--yes', '-f', 'value',
                                  '-c', 'name', '-c', 'action')
        self.assertEqual((130, 'first set\n', 10),
                         (status, self.stdout, self.first.period))


class TestEnded(EnableTest):
    """What was changed is said, whatever ends the command."""

    def ended_by(self, end, number=2):
        """(status, rows) where that happens as the n-th guest is set."""
        third = without(5, display_name='zzz')
        self.libvirt.domains[third.uuid] = third
        inner = super().make_inspector
        done = []

        def make_inspector(conf):
            made = inner(conf)
            set_period = made.set_period

            def ended(*argv):
                done.append(argv)
                if len(done) == number:
                    end()
                return set_period(*argv)
            made.set_period = ended
            return made
        self.make_inspector = make_inspector
        status = self.run_command(
            'enable', '--all', '--yes', '-f', 'value', '-c', 'name', '-c',
            'action', '-c', 'detail')
        self.assertIsNone(third.period)
        return status, self.stdout

    SAID = ('first set its period is 10 s now; it has not reported yet\n'
            f'none skipped {NO_DEVICE}\n'
            f'second failed {enabling.IN_DOUBT}\n'
            f'zzz skipped {enabling.NOT_REACHED}\n')

    def test_ctrl_c_while_it_sets(self):
        def end():
            raise KeyboardInterrupt
        self.assertEqual((130, self.SAID), self.ended_by(end))
        self.assertEqual([10, None, 60], self.periods())

    def test_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            self.setUpGuests()
            before = signal.getsignal(number)
            self.assertEqual(
                (128 + number, self.SAID),
                self.ended_by(lambda n=number: os.kill(os.getpid(), n)))
            self.assertEqual(before, signal.getsignal(number))

    def test_an_error_that_nobody_foresaw(self):
        def end():
            raise ZeroDivisionError('by nought')
        self.assertEqual((3, self.SAID), self.ended_by(end))
        self.assertEqual('memstat-pollster: by nought\n', self.stderr)


class _FreezesWhenSet(fakes.Monitor):
    """Answers the first reading and nothing after it."""

    def ask(self):
        if self.calls:
            self.freeze()
        return super().ask()


class TestNames(EnableTest):
    """A tenant's word changes no guest that the operator did not mean."""

    def test_a_uuid_means_no_guest_that_is_called_so(self):
        self.second.display_name = self.first.uuid
        status, rows = self.json('enable', self.first.uuid, '--yes')
        self.assertEqual((0, [self.first.uuid], [10, None, 60]),
                         (status, [each['uuid'] for each in rows],
                          self.periods()))

    def test_libvirts_name_means_no_guest_that_is_called_so(self):
        self.second.display_name = self.first.name_
        status, rows = self.json('enable', self.first.name_, '--yes')
        self.assertEqual((0, [self.first.uuid], [10, None, 60]),
                         (status, [each['uuid'] for each in rows],
                          self.periods()))

    def test_a_display_name_that_nobody_is_shown(self):
        self.assertEqual(3, self.run_command('enable', 'second', '--yes'))
        self.assertEqual(
            'memstat-pollster: second is a name that a tenant chose; with '
            "--yes, name the guest by its UUID or libvirt's name: "
            f'{self.second.uuid}\n', self.stderr)
        self.changed_nothing()

    def test_a_display_name_that_two_have(self):
        self.second.display_name = 'first'
        self.assertEqual(3, self.run_command('enable', 'first', '--dry-run'))
        self.assertEqual(
            'memstat-pollster: 2 guests have the name first; name one by its '
            f'UUID: {self.first.uuid}, {self.second.uuid}\n', self.stderr)
        self.changed_nothing()


class TestPlan(EnableTest):
    def test_dry_run(self):
        status, rows = self.json('enable', '--all', '--dry-run')
        self.assertEqual(
            (1, [row(self.first, 'would_set', 'stats_disabled',
                     'its period is to be 10 s'),
                 row(self.none, 'skipped', 'no_device', NO_DEVICE),
                 row(self.second, 'would_set', 'stats_disabled',
                     'its period is to be 10 s')]), (status, rows))
        self.changed_nothing()

    def test_why_others_are_left_alone(self):
        paused = test_status_command.web(5, display_name='paused', period=None)
        paused.record.update({'state.state': 3, 'state.reason': 1})
        broken = test_status_command.web(6)
        broken.document = '<broken'
        self.make(self.has, paused, broken)
        status, rows = self.json('enable', 'third', 'paused',
                                 broken.name_, '--dry-run')
        self.assertEqual(1, status)
        self.assertEqual(
            [('skipped', 'its period is 60 s already'),
             ('skipped', 'the guest is paused; Nova gives it a period when '
              'it starts it')],
            [(each['action'], each['detail']) for each in rows[:2]])
        self.assertIn('its live XML cannot be parsed', rows[2]['detail'])

    def test_nothing_to_be_done(self):
        self.make(self.has)
        self.assertEqual(0, self.run_command('enable', '--all', '--yes'))
        self.assertEqual('every running guest has a period\n', self.stdout)

    def test_a_hostile_name_is_shown_harmless(self):
        self.first.display_name = 'x&#x85;\u202ey'
        self.run_command('enable', '--all', '--dry-run')
        self.assertIn('x\\x85\\u202ey', self.stdout)


class TestTable(EnableTest):
    """For people; it fits their terminal."""

    def shown(self, *argv):
        self.assertEqual(1, self.run_command('enable', 'first', 'none',
                                             '--dry-run', *argv))
        return self.stdout

    def test_a_frame_where_there_is_room(self):
        self.assertEqual([
            ['guest', 'action', 'status', 'detail'],
            ['first', 'would_set', 'stats_disabled',
             'its period is to be 10 s'],
            ['instance-00000001', '', '', ''],
            [self.first.uuid, '', '', ''],
            ['none', 'skipped', 'no_device',
             'it has no balloon device: hard reboot it, so'],
            ['instance-00000004', '', '', 'that Nova writes its XML anew'],
            [self.none.uuid, '', '', '']],
            [[cell.strip() for cell in line[1:-1].split('|')]
             for line in self.shown().splitlines() if line[0] == '|'])

    def test_80_columns(self):
        self.stream = commands.Terminal
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '80'))
        self.assertEqual(f'''\
guest  action     status
{'-' * 80}
first  would_set  \033[33mstats_disabled\033[0m
  instance-00000001  {self.first.uuid}
  its period is to be 10 s
none   skipped    \033[33mno_device\033[0m
  instance-00000004  {self.none.uuid}
  it has no balloon device: hard reboot it, so that Nova writes its XML anew
''', self.shown())

    def test_columns_that_are_chosen(self):
        self.assertEqual(
            ['action', 'would_set', 'skipped'],
            re.findall(r'^\| (\S+)', self.shown('-c', 'action'),
                       re.MULTILINE))


class TestQuestion(EnableTest):
    stream = commands.Terminal

    def test_yes(self):
        for word in ('y\n', 'YES\n', ' y \n'):
            self.first.period = None
            self.assertEqual(0, self.run_command('enable', 'first',
                                                 stdin=word), word)
            self.assertEqual(10, self.first.period)

    def test_no(self):
        for word in ('', '\n', 'n\n', 'what\n'):
            self.assertEqual(3, self.run_command('enable', '--all',
                                                 stdin=word), word)
        self.changed_nothing()
        self.assertEqual(f'''\
+ first / instance-00000001 ({self.first.uuid}): its period is to be 10 s
  none / instance-00000004 ({self.none.uuid}): {NO_DEVICE}
+ second / instance-00000002 ({self.second.uuid}): its period is to be 10 s
Set the period of 2 guests to 10 s, live? [y/N] \
memstat-pollster: nothing has been changed
''', self.stderr)


    def test_no_answer_leaves_no_half_a_line(self):
        self.assertEqual(3, self.run_command('enable', 'first', stdin=''))
        self.assertTrue(self.stderr.endswith(
            '[y/N] \nmemstat-pollster: nothing has been changed\n'))

    def test_ctrl_c_does_not_either(self):
        class Interrupted(commands.Terminal):
            def readline(self, size=-1):
                raise KeyboardInterrupt
        self.stream = Interrupted
        self.assertEqual(130, self.run_command('enable', 'first'))
        self.assertTrue(self.stderr.endswith('[y/N] \n'), self.stderr)
        self.changed_nothing()


class TestRefusal(EnableTest):
    def refused(self, *argv):
        self.assertEqual(3, self.run_command('enable', *argv))
        self.changed_nothing()
        self.assertEqual('', self.stdout)
        return self.stderr.removeprefix('memstat-pollster: ')

    def test_nova_wants_none(self):
        for period in (0, -1):
            self.set_nova_period(period)
            for more in ((), ('--period', '10')):
                self.assertEqual(
                    f"Nova's [libvirt]mem_stats_period_seconds is {period} "
                    f'({self.nova_conf}): statistics are switched off on '
                    'purpose; nothing has been changed\n',
                    self.refused('--all', '--yes', *more))

    def test_it_is_not_known_what_nova_wants(self):
        self.nova_conf.unlink()
        self.assertEqual(
            "what Nova's [libvirt]mem_stats_period_seconds is cannot be "
            f'known: there is no {self.nova_conf}; say which period is '
            'meant with --period\n', self.refused('--all', '--yes'))

    def test_no_terminal_to_ask_at(self):
        self.assertIn('say --yes to go on', self.refused('--all'))

    def test_neither_guests_nor_all(self):
        self.assertIn('say --all', self.refused())

    def test_both_guests_and_all(self):
        self.assertIn('say --all', self.refused('first', '--all'))

    def test_a_period_that_is_none(self):
        self.useFixture(commands.CapturedStderr())
        for word in ('0', '-1', '1.5', 'x', str(2**31)):
            self.assertEqual(3, self.run_command(
                'enable', '--all', '--yes', f'--period={word}'), word)
        self.changed_nothing()

    def test_an_unknown_guest(self):
        self.assertIn('did you mean first?', self.refused('frist', '--yes'))

    def test_a_user_who_may_only_read(self):
        self.libvirt.write_errors = [fakes.libvirt_error(
            libvirt.VIR_ERR_AUTH_UNAVAILABLE, 'no polkit agent')]
        self.assertEqual(
            'libvirt at test:///configured: no polkit agent; polkit does not '
            'let this user in: go on as root or as a member of the group '
            'libvirt, or with a rule for the action that is named\n',
            self.refused('--all', '--yes'))
