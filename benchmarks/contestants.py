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

"""The parent's end of those who read the guests; see :mod:`worker`."""

import collections.abc
import contextlib
import json
import pathlib
import subprocess
import sys
import typing


class Contestant:
    """The parent's end of such a process; a context manager.

    :param log: takes what the process writes to stderr: Ceilometer's log
    """

    def __init__(self, name: str, uri: str, log: pathlib.Path) -> None:
        self.name = name
        with open(log, 'ab') as errors:
            self._process = subprocess.Popen(
                [sys.executable, '-m', 'benchmarks.worker', name, uri],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True)
        self._answer()

    def __enter__(self) -> 'Contestant':
        return self

    def __exit__(self, *exception: object) -> None:
        # Not wait(): a call that is stuck on a frozen guest may hold it.
        self._process.kill()
        self._process.communicate()

    def cycle(self) -> dict[str, typing.Any]:
        """One cycle and its measures."""
        self._process.stdin.write('\n')
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, typing.Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'{self.name} ended: see its log')
        return json.loads(line)


@contextlib.contextmanager
def running(names: collections.abc.Iterable[str], uri: str,
            logs: pathlib.Path) -> collections.abc.Iterator[
                dict[str, Contestant]]:
    """Contestants by name, all ready to begin."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(
            Contestant(name, uri, logs / f'{name}.log')) for name in names}


def once(module: str, *arguments: object, log: pathlib.Path) -> typing.Any:
    """What a module of this package finds out in a process of its own.

    :raises RuntimeError: it ended well, but said something else than JSON
    """
    with open(log, 'ab') as errors:
        said = subprocess.run(
            [sys.executable, '-m', module, *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=errors, text=True,
            check=True).stdout
    try:
        return json.loads(said)
    except json.JSONDecodeError as exc:
        raise RuntimeError(f'{module} said {len(said)} characters that are '
                           f'no JSON: {said[:200]!r}') from exc
