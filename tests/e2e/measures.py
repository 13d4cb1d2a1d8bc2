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

"""The table of measures that tox shows: python -m tests.e2e.measures."""

import pathlib
import sys

import prettytable

PATH = pathlib.Path(__file__).resolve().parents[2] / 'build/e2e/measures.txt'
COLUMNS = ('guest', 'when', 'meter', '/proc/meminfo', 'Gnocchi')


def write(rows):
    """Keep the table of a test."""
    table = prettytable.PrettyTable(COLUMNS)
    table.align.update({'guest': 'l', 'when': 'l', 'meter': 'l',
                        '/proc/meminfo': 'r', 'Gnocchi': 'r'})
    table.add_rows(rows)
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(f'{table}\n')


def main(verb):
    if verb == 'clear':
        PATH.unlink(missing_ok=True)
    elif PATH.exists():
        print("What guests said of themselves, and what was read back from "
              'Gnocchi; MiB, memory.util %:')
        print(PATH.read_text(), end='')


if __name__ == '__main__':
    main(*sys.argv[1:])
