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


import dataclasses
import pathlib

import fixtures
from oslo_config import cfg
import testtools

from memstat_pollster.config import options

DEFAULTS = {
    'replace_builtin': True,
    'serve_compute': True,
    'nova_config_files': ('/etc/nova/nova.conf',
                          '/etc/nova/nova-compute.conf'),
    'nova_config_dirs': 'auto',
    'stale_after_periods': 3,
    'boot_grace': 120,
    'read_timeout': 5,
    'max_stuck_reads': 5,
}

#: option -> the smallest and the largest value that is taken
BOUNDS = {
    'stale_after_periods': (1, 1000),
    'boot_grace': (0, 86400),
    'read_timeout': (1, 300),
    'max_stuck_reads': (2, 20),
}


class TestLoad(testtools.TestCase):

    def _conf(self, *lines):
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path,
                            'ceilometer.conf')
        path.write_text('\n'.join(('[memstat]', *lines, '')))
        conf = cfg.ConfigOpts()
        conf([], project='ceilometer', default_config_files=[str(path)],
             default_config_dirs=[])
        return conf

    def _load(self, *lines):
        settings, problems = options.load(self._conf(*lines))
        return dataclasses.asdict(settings), problems

    def _assert_one_bad(self, name, lines, others):
        """One option has its default, and the one message names it."""
        values, problems = self._load(*lines)
        self.assertEqual({**DEFAULTS, **others}, values)
        self.assertEqual(1, len(problems), problems)
        self.assertTrue(problems[0].startswith(
            f'option [memstat]{name} cannot be used, its default '
            f'{DEFAULTS[name]} is: '), problems[0])
        self.assertEqual([problems[0]], problems[0].splitlines())

    def test_nothing_set_gives_the_defaults(self):
        self.assertEqual((DEFAULTS, ()), self._load())

    def test_every_option_can_be_set(self):
        self.assertEqual(
            ({'replace_builtin': False,
              'serve_compute': False,
              'nova_config_files': ('/srv/nova.conf', '/srv/cell 2.conf'),
              'nova_config_dirs': 'first',
              'stale_after_periods': 7,
              'boot_grace': 611,
              'read_timeout': 13,
              'max_stuck_reads': 17}, ()),
            self._load('replace_builtin = no',
                       'serve_compute = no',
                       'nova_config_files = /srv/nova.conf, /srv/cell 2.conf',
                       'nova_config_dirs = first',
                       'stale_after_periods = 7',
                       'boot_grace = 611',
                       'read_timeout = 13',
                       'max_stuck_reads = 17'))

    def test_an_empty_list_of_files_is_none_at_all(self):
        self.assertEqual(({**DEFAULTS, 'nova_config_files': ()}, ()),
                         self._load('nova_config_files ='))

    def test_a_bound_itself_is_taken(self):
        for name, bounds in BOUNDS.items():
            for value in bounds:
                with self.subTest(name=name, value=value):
                    self.assertEqual(({**DEFAULTS, name: value}, ()),
                                     self._load(f'{name} = {value}'))

    def test_one_beyond_a_bound_costs_that_option_alone(self):
        for name, (least, most) in BOUNDS.items():
            for value in (least - 1, most + 1):
                with self.subTest(name=name, value=value):
                    self._assert_one_bad(
                        name, [f'{name} = {value}',
                               'nova_config_files = /srv/kept.conf'],
                        {'nova_config_files': ('/srv/kept.conf',)})

    def test_every_option_that_counts_has_bounds(self):
        self.assertEqual(
            BOUNDS, {opt.dest: (opt.type.min, opt.type.max)
                     for opt in options.OPTS if isinstance(opt, cfg.IntOpt)})

    def test_a_value_of_the_wrong_kind_costs_that_option_alone(self):
        for name, value in (('replace_builtin', 'maybe'),
                            ('stale_after_periods', 'three'),
                            ('boot_grace', '1.5'),
                            ('read_timeout', '5s'),
                            ('max_stuck_reads', '$no_such_option')):
            with self.subTest(name=name, value=value):
                self._assert_one_bad(
                    name, [f'{name} = {value}',
                           'nova_config_files = /srv/kept.conf'],
                    {'nova_config_files': ('/srv/kept.conf',)})

    def test_several_bad_values_are_told_one_by_one(self):
        values, problems = self._load('read_timeout = 0',
                                      'boot_grace = soon',
                                      'max_stuck_reads = 19')
        self.assertEqual({**DEFAULTS, 'max_stuck_reads': 19}, values)
        self.assertEqual(
            ['option [memstat]boot_grace', 'option [memstat]read_timeout'],
            sorted(problem.partition(' cannot be used')[0]
                   for problem in problems))

    def test_every_pollster_may_load_them_again_from_the_same_conf(self):
        conf = self._conf('boot_grace = 611')
        first = options.load(conf)
        self.assertEqual(611, first[0].boot_grace)
        self.assertEqual(first, options.load(conf))


class TestListOpts(testtools.TestCase):

    def test_lists_every_option_for_the_generator(self):
        listed = [(group, [opt.name for opt in options])
                  for group, options in options.list_opts()]
        self.assertEqual([('memstat', list(DEFAULTS))], listed)

    def test_every_option_has_a_help_text(self):
        self.assertEqual([], [opt.name for _, options in options.list_opts()
                              for opt in options if not opt.help])

    def test_a_caller_that_changes_the_list_changes_nothing_here(self):
        options.list_opts()[0][1].clear()
        self.assertEqual(len(DEFAULTS), len(options.list_opts()[0][1]))
