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

"""Change the source in small ways, and show which changes no test noticed.

mutmut makes the changes; a copy of the source with all of them is in mutants/,
with their results, so that a run that was interrupted goes on where it was.
Patterns choose among them: "memstat_pollster.model.rules*".
"""

import collections
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: mutmut's words for a change that was noticed.
NOTICED = {'killed', 'timeout', 'segfault'}


def results(patterns):
    """{name of a change: mutmut's word for what came of it}"""
    told = subprocess.run(['mutmut', 'results', '--all', 'true'], cwd=ROOT,
                          check=True, capture_output=True, text=True).stdout
    found = {}
    for line in told.splitlines():
        name, _, word = line.strip().rpartition(': ')
        if name and (not patterns or any(
                pathlib.PurePath(name).match(each) for each in patterns)):
            found[name] = word
    return found


def main(patterns):
    status = subprocess.run(['mutmut', 'run', *patterns],
                            cwd=ROOT).returncode
    found = results(patterns)
    counts = collections.Counter(found.values())
    for name, word in found.items():
        if word not in NOTICED | {'not checked'}:
            print(f'{word}: {name}')
    tried = sum(counts.values()) - counts['not checked']
    noticed = sum(counts[word] for word in NOTICED)
    print(f'{noticed} of {tried} changes were noticed'
          + (f', {100 * noticed / tried:.1f} %' if tried else ''))
    print('"mutmut show NAME" shows a change')
    return status


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
