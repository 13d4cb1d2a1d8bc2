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

"""How often a guest may be written about."""

import testtools

from memstat_pollster.model import journal


class TestDebt(testtools.TestCase):
    """A guest that changes on and on, at every other reading."""

    def lines(self, readings):
        """How many of so many readings are told."""
        told = journal.Journal('well', quiet=(), immediate=())
        changes = ('sick', 'sick', 'well', 'well')
        return [told.is_news('web', changes[n % 4])
                for n in range(readings)]

    def test_so_many_lines_come_as_they_do_and_not_one_more(self):
        """Each costs 60 readings, so that the next 60 bring one."""
        lines = self.lines(400)
        self.assertEqual([True] * 20, lines[1:40:2])
        self.assertEqual(1, lines[41:100].count(True))

    def test_the_bound_of_the_debt(self):
        """At 20 lines of 60 readings a line is told, above it none is."""
        told = journal.Journal('well', quiet=(), immediate=('sick',))
        told._debts['web'] = (journal.LINES_IN_A_ROW - 1
                              ) * journal.READINGS_A_LINE + 1
        self.assertTrue(told.is_news('web', 'sick'))
        told = journal.Journal('well', quiet=(), immediate=('sick',))
        told._debts['web'] = (journal.LINES_IN_A_ROW - 1
                              ) * journal.READINGS_A_LINE + 2
        self.assertFalse(told.is_news('web', 'sick'))
        # The next reading pays for one.
        self.assertTrue(told.is_news('web', 'sick'))

    def test_a_debt_that_is_paid_is_forgotten(self):
        told = journal.Journal('well', quiet=(), immediate=('sick',))
        self.assertTrue(told.is_news('web', 'sick'))
        self.assertTrue(told.is_news('web', 'well')
                        or told.is_news('web', 'well'))
        for _ in range(2 * journal.READINGS_A_LINE):
            told.is_news('web', 'well')
        self.assertEqual(0, len(told))


class TestSaid(testtools.TestCase):
    """What else was said with a verdict."""

    def setUp(self):
        super().setUp()
        self.journal = journal.Journal('well', quiet=('away',),
                                       immediate=('dead',))

    def news(self, *said):
        return [self.journal.is_news('web', *each) for each in said]

    def test_another_thing_that_is_said_is_news_when_it_has_held(self):
        self.assertEqual([False, True, False, False, True, False], self.news(
            ('sick', 'a'), ('sick', 'a'), ('sick', 'a'),
            ('sick', 'b'), ('sick', 'b'), ('sick', 'b')))

    def test_what_flickers_is_no_news(self):
        self.assertEqual([False, True] + [False] * 4, self.news(
            *[('sick', 'a')] * 2, *[('sick', 'b'), ('sick', 'a')] * 2))

    def test_of_the_normal_and_of_a_quiet_verdict_it_does_not_count(self):
        self.assertEqual([False] * 4, self.news(
            ('well', 'a'), ('well', 'b'), ('away', 'a'), ('away', 'b')))
        self.assertEqual(0, len(self.journal))

    def test_what_is_told_at_once_is_so_only_the_first_time(self):
        self.assertEqual([True, False, True], self.news(
            ('dead', 'a'), ('dead', 'b'), ('dead', 'b')))
