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
"""The page of ``memstat-pollster report``, in a real browser."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from tests.functional import base
from tests.functional import browser
from tests.functional import published
from tests import node

COMMAND = os.path.join(os.path.dirname(sys.executable), 'memstat-pollster')

#: Display names of tenants who mean harm, and how they are to be shown.
HOSTILE = {
    'script': ('<script>document.title = "owned"</script>',
               '<script>document.title = "owned"</script>'),
    'attribute': ('"><img src=x onerror=document.title="owned">',
                  '"><img src=x onerror=document.title="owned">'),
    'template': ('{{ 7 * 7 }}{% raw %}</style></td></tr></table>',
                 '{{ 7 * 7 }}{% raw %}</style></td></tr></table>'),
    'override': ('invoice\u202egnp.exe\u2066\x85\u200b\ufeff',
                 'invoice\\u202egnp.exe\\u2066\\x85\\u200b\\ufeff'),
    'long': ('W' * 10000, 'W' * 61 + '...'),
}

#: The lowest contrast of any text with what is behind it.
CONTRAST = """
const parse = (color) => {
  const found = color.match(/[\\d.]+/g).map(Number);
  return {rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1};
};
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92
      : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
let worst = [99, ''];
for (const each of document.querySelectorAll('body *')) {
  const own = Array.from(each.childNodes).some(
    (child) => child.nodeType === 3 && child.data.trim());
  if (!own || !each.checkVisibility() || each.closest('script, style')) {
    continue;
  }
  let behind = each;
  while (behind && parse(getComputedStyle(behind).backgroundColor).alpha
      === 0) {
    behind = behind.parentElement;
  }
  const one = luminance(parse(getComputedStyle(each).color).rgb);
  const other = luminance(parse(
    getComputedStyle(behind || document.body).backgroundColor).rgb);
  const contrast = (Math.max(one, other) + 0.05)
    / (Math.min(one, other) + 0.05);
  if (contrast < worst[0]) {
    worst = [contrast, each.outerHTML.slice(0, 200)];
  }
}
return worst;
"""


class TestReport(published.SharedGuestsTest):
    """One page of guests of every kind, looked at in every way."""

    @classmethod
    def make_guests(cls):
        gone = browser.missing()
        if gone:
            message = f'the browser is missing: {", ".join(gone)}'
            if base.must_run():
                raise AssertionError(message)
            raise unittest.SkipTest(
                f'FUNCTIONAL TESTS DO NOT RUN HERE: {message}')
        usual = published.mib(480, 200, 300, 120)
        cls.guests = {
            'small': cls.new_scripted('small', usual),
            'large': cls.new_scripted(
                'large', published.mib(1900, 100, 300, 250), mib=2048),
            'old-kernel': cls.new_scripted(
                'old-kernel', published.mib(480, 200)),
            'windows': cls.new_scripted(
                'windows', node.windows_without_service(), answers=False,
                properties={'os_type': 'windows'}),
            'no-period': cls.new_scripted('no-period', usual, period=None),
            'no-device': cls.new_scripted('no-device', model='none'),
            'never': cls.new_scripted('never'),
            'liar': cls.new_scripted(
                'liar', node.linux_stats(2**52, 204800, avail_kib=1)),
            'hung': cls.new_scripted('hung', usual, answers=False),
            'paused': cls.new_scripted('paused', usual),
        }
        cls.guests['paused'].domain.suspend()
        for name, (given, _shown) in HOSTILE.items():
            cls.guests[name] = cls.new_scripted(
                name, usual, display_name=given)
        cls.directory = pathlib.Path(tempfile.mkdtemp(
            prefix='memstat-report-', dir='/tmp'))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.page = cls.directory / 'report.html'
        cls.configuration = cls.directory / 'ceilometer.conf'
        cls.configuration.write_text(
            f'[DEFAULT]\nlibvirt_uri = {cls.node.ro_uri}\n'
            f'[memstat]\nboot_grace = 0\n'
            f'stale_after_periods = {published.STALE_AFTER}\n'
            f'nova_config_files = {cls.directory}/nova.conf\n')
        (cls.directory / 'nova.conf').write_text(
            '[libvirt]\nmem_stats_period_seconds = 7\n')
        node.wait_for(cls._written, 120, 'a page with the guest that hangs')
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    @classmethod
    def report(cls, *arguments, output=None):
        return subprocess.run(
            [COMMAND, '--config-file', str(cls.configuration), *arguments,
             'report', '-o', str(output or cls.page)],
            capture_output=True, text=True, timeout=120)

    @classmethod
    def _written(cls):
        done = cls.report()
        if (done.returncode, done.stdout, done.stderr) != (0, '', ''):
            raise AssertionError(done)
        return 'data-status="stale"' in cls.page.read_text()

    def rows(self):
        """{UUID: (name, status, memory in words)} of the guests shown."""
        return {uuid: tuple(rest) for uuid, *rest in self.browser.run("""
            return Array.from(document.querySelectorAll('tbody tr'))
              .filter((row) => !row.hidden).map((row) => [
                row.querySelector('th > small:last-child').innerText,
                row.querySelector('th bdi').innerText,
                row.dataset.status,
                row.querySelector('.memory small').innerText]);""")}

    def shown(self):
        """The guests shown, in order, by their names in this test."""
        known = {guest.uuid: name for name, guest in self.guests.items()}
        return [known[uuid] for uuid in self.rows()]

    def check_page(self, **view):
        """No error, nothing wider than the screen, every guest there."""
        self.browser.show(self.page, **view)
        self.assertEqual([], self.browser.messages())
        self.assertEqual([0, view['width']], self.browser.run(
            'const root = document.documentElement;'
            'return [root.scrollWidth - root.clientWidth, '
            'window.innerWidth]'))
        self.assertEqual([], self.browser.run("""
            const wide = document.documentElement.clientWidth;
            return Array.from(document.querySelectorAll('body *'))
              .filter((each) => each.checkVisibility() &&
                each.getBoundingClientRect().right > wide + 0.5)
              .map((each) => each.outerHTML.slice(0, 200));"""))
        self.assertEqual({guest.uuid for guest in self.guests.values()},
                         set(self.rows()))
        self.assertEqual([], self.browser.run(
            "return performance.getEntriesByType('resource')"
            '.map((each) => each.name)'))
        contrast, where = self.browser.run(CONTRAST)
        self.assertGreaterEqual(contrast, 4.5, where)

    def test_on_a_wide_screen(self):
        self.check_page(width=1280)
        self.assertEqual(
            ['Guest', 'Status', 'Memory', 'Used', 'Size', 'On host', 'Age',
             'Why, and what to do'], self.browser.texts('thead th'))

    def test_on_a_phone(self):
        self.check_page(width=390)
        self.assertEqual([], self.browser.texts('thead th'))
        self.assertEqual(
            ['table', 'row', 'rowheader', 'cell'], self.browser.run("""
                return ['table', 'tbody tr', 'tbody th', 'tbody td'].map(
                  (each) => document.querySelector(each)
                    .getAttribute('role'));"""))

    def test_in_the_dark(self):
        def background():
            return self.browser.run(
                'return getComputedStyle(document.body).backgroundColor')
        for width in (390, 1280):
            self.check_page(width=width, dark=True)
        dark = background()
        self.browser.show(self.page)
        self.assertNotEqual(dark, background())

    def test_what_it_says_of_each_guest(self):
        self.browser.show(self.page)
        names = {name: guest.display_name
                 for name, guest in self.guests.items()}
        names.update((name, shown) for name, (_, shown) in HOSTILE.items())
        usual = ('180 MiB used, 100 MiB reclaimable, 200 MiB free '
                 '(38 % in use)')
        expected = {
            'small': ('reporting', usual),
            'large': ('reporting', '1.6 GiB used, 200 MiB reclaimable, '
                                   '100 MiB free (84 % in use)'),
            'old-kernel': ('reporting', '280 MiB used, 200 MiB free '
                                        '(58 % in use)'),
            'windows': ('service_missing', 'no numbers'),
            'no-period': ('stats_disabled', 'no numbers'),
            'no-device': ('no_device', 'no numbers'),
            'never': ('driver_missing', 'no numbers'),
            'liar': ('invalid', 'no numbers'),
            'hung': ('stale', 'no numbers'),
            'paused': ('not_running', 'no numbers'),
            **dict.fromkeys(HOSTILE, ('reporting', usual))}
        self.assertEqual(
            {self.guests[name].uuid: (names[name], *rest)
             for name, rest in expected.items()}, self.rows())
        self.assertEqual(
            ['15', '2.9 GiB'], self.browser.texts('.total .figure')[:2])
        self.assertIn("Nova's period 7 s", self.browser.texts('.facts')[0])
        self.assertIn(
            'virsh dommemstat --live --period 7 '
            + self.guests['no-period'].uuid, self.browser.texts('code'))

    def test_a_hostile_name_does_nothing(self):
        self.browser.show(self.page)
        self.assertEqual(
            'Memory of the guests on ' + self.node.connection.getHostname(),
            self.browser.driver.title)
        self.assertEqual([1, 0, 1], self.browser.run(
            "return ['script', 'img', 'table'].map((each) => "
            'document.querySelectorAll(each).length)'))
        self.assertEqual([], self.browser.messages())

    def test_even_an_unescaped_name_does_nothing(self):
        """What the content security policy is for."""
        page = self.directory / 'unescaped.html'
        page.write_text(self.page.read_text().replace(
            '</main>', '<script>document.title = "owned"</script>'
            '<img src=x onerror="document.title=1"></main>'))
        self.browser.show(page)
        self.assertNotEqual('owned', self.browser.driver.title)
        self.assertIn('violates the following Content Security Policy',
                      '\n'.join(self.browser.messages()))
        self.assertEqual(15, len(self.rows()))

    def test_find(self):
        self.browser.show(self.page)
        find = self.browser.driver.find_element('id', 'find')
        find.send_keys('SERVER large')
        self.assertEqual(['large'], self.shown())
        self.assertEqual(['1 of 15 guests shown'],
                         self.browser.texts('#shown'))
        find.clear()
        find.send_keys(self.guests['never'].uuid[:13])
        self.assertEqual(['never'], self.shown())

    def test_statuses_can_be_left_out(self):
        self.browser.show(self.page)
        for chip in self.browser.driver.find_elements(
                'css selector', 'button.chip'):
            if chip.get_attribute('data-status') != 'stale':
                chip.click()
        self.assertEqual(['hung'], self.shown())

    def test_sort(self):
        self.browser.show(self.page)
        self.assertEqual(
            ['liar', 'hung', 'never', 'windows', 'no-device', 'no-period',
             'paused', 'large', 'old-kernel'], self.shown()[:9])
        for clicks, expected in ((1, 'large'), (2, 'small')):
            self.browser.driver.find_element(
                'css selector', '[data-key=size] button').click()
            names = self.shown()
            self.assertEqual(15, len(names))
            if expected == 'large':
                self.assertEqual('large', names[0])
            else:
                self.assertEqual('large', names[-1])
            self.assertEqual(
                'descending' if clicks == 1 else 'ascending',
                self.browser.driver.find_element(
                    'css selector', '[data-key=size]').get_attribute(
                        'aria-sort'))
        self.browser.driver.find_element(
            'css selector', '[data-key=used] button').click()
        names = self.shown()
        self.assertEqual(['large', 'old-kernel'], names[:2])
        # Those without a number come last, whichever way round.
        self.assertEqual(
            {'liar', 'hung', 'never', 'windows', 'no-device', 'no-period',
             'paused'}, set(names[8:]))
        self.browser.driver.find_element(
            'css selector', '[data-key=used] button').click()
        self.assertEqual(['old-kernel', 'large'], self.shown()[6:8])

    def test_one_scale_for_all_bars(self):
        def widths():
            return self.browser.run(
                "return ['small', 'large'].map((name, i) => document"
                '.querySelector(`[data-name="Server ${name}"] rect.used`)'
                '.getBoundingClientRect().width)')
        self.browser.show(self.page)
        small, large = widths()
        self.assertAlmostEqual(180 / 512, 1600 / 2048 * small / large, 2)
        self.browser.driver.find_element('id', 'scale').click()
        small, large = widths()
        self.assertAlmostEqual(180 / 1600, small / large, 2)

    def test_without_scripts_every_guest_is_there(self):
        page = self.directory / 'plain.html'
        page.write_text(self.page.read_text().replace(
            '<script>', '<script type="text/plain">'))
        self.browser.show(page)
        self.assertEqual([], self.browser.texts('.tools'))
        self.assertEqual(15, len(self.rows()))

    def test_without_libvirt_the_page_says_so(self):
        page = self.directory / 'unreachable.html'
        uri = f'qemu:///system?socket={self.directory}/none'
        done = self.report('--uri', uri, output=page)
        self.assertEqual((2, ''), (done.returncode, done.stdout))
        self.assertIn(uri, done.stderr)
        self.browser.show(page, width=390)
        self.assertEqual([], self.browser.messages())
        (error,) = self.browser.texts('[role=alert]')
        self.assertIn(f"Failed to connect socket to '{self.directory}/none': "
                      'No such file or directory', error)
        self.assertEqual([], self.browser.texts('table'))

    def test_a_file_that_cannot_be_written(self):
        output = self.directory / 'nowhere' / 'page.html'
        done = self.report(output=output)
        self.assertEqual(
            (3, '', f'memstat-pollster: {output} cannot be written: '
                    'No such file or directory\n'),
            (done.returncode, done.stdout, done.stderr))
