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

"""The alert rules of etc/prometheus that are made from the statuses.

Run as a program it writes them into the file; "tox -e genconfig" does.
"""

import pathlib
import re
import textwrap

from memstat_pollster.model import domain
from memstat_pollster.model import status

FILE = (pathlib.Path(__file__).resolve().parents[1] / 'etc' / 'prometheus'
        / 'memstat_rules.yml')

#: status -> (for, severity) where they are not those of the others
URGENT = {status.Status.UNREACHABLE: ('15m', 'critical')}
SPELT = {'15m': '15 minutes', '1h': 'an hour'}

#: The first and the last of the rules that are made here, and what follows.
BLOCK = re.compile(r'(?<=\n    rules:\n)      - alert: MemstatGuestNoDevice\n'
                   r'.*?(?=      # Each of the rules above)', re.DOTALL)


def rule(of):
    """The rule that tells of a status, as Prometheus reads it."""
    period, severity = URGENT.get(of, ('1h', 'warning'))
    wanted = ('{memory_statistics!="off"}'
              if of.advice.by_configuration else '')
    return {
        'alert': 'MemstatGuest' + of.word.title().replace('_', ''),
        'expr': f'guest:ceilometer_memory_balloon_status:last5m{wanted}'
                f' == {int(of)}',
        'for': period,
        'labels': {'severity': severity, 'status': of.word},
        'annotations': {
            'summary': '{{ $labels.resource_name }} on {{ $labels.instance '
                       f'}}}} has had no memory numbers for {SPELT[period]}: '
                       f'{of.word}',
            'description': of.advice.meaning,
            'remedy': status.remedy(
                of, guest_os=domain.GuestOS.UNKNOWN,
                uuid='{{ $labels.resource }}', nova_period_s=10)
                or 'see the documentation of this status',
        },
    }


def rules():
    """One for each status that needs something done, by code."""
    return [rule(each) for each in sorted(
        set(status.Status) - status.QUIET - {status.Status.REPORTING})]


def _folded(indent, key, text):
    lines = textwrap.wrap(text, 78 - indent - 2, break_long_words=False,
                          break_on_hyphens=False)
    pad = '\n' + ' ' * (indent + 2)
    return f'{" " * indent}{key}: >-{pad}{pad.join(lines)}\n'


def written():
    """The same rules as the text of the file."""
    text = ''
    for each in rules():
        text += (f'      - alert: {each["alert"]}\n'
                 + _folded(8, 'expr', each['expr'])
                 + f'        for: {each["for"]}\n'
                 + '        labels:\n'
                 + ''.join(f'          {key}: {value}\n'
                           for key, value in each['labels'].items())
                 + '        annotations:\n'
                 + ''.join(_folded(10, key, value)
                           for key, value in each['annotations'].items()))
    return text


def main():
    FILE.write_text(BLOCK.sub(lambda _: written(), FILE.read_text(), 1))


if __name__ == '__main__':
    main()
