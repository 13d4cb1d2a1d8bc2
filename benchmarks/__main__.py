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

"""The command: ``python -m benchmarks``, or ``tox -e benchmark``."""

import argparse
import collections.abc
import contextlib
import datetime
import importlib.metadata
import os
import pathlib
import platform
import sys
import time
import typing

from benchmarks import contestants
from benchmarks import fleet
from benchmarks import frozen
from benchmarks import pure
from benchmarks import report
from benchmarks import scale
from benchmarks import startup
from benchmarks import targets
from tests import node

PARTS = ('scale', 'parts', 'pure', 'memory', 'frozen', 'startup')
#: So many times the rounds with the number of guests that the targets are
#: about: a ratio near its bound needs them on a machine that does other work.
MORE_ROUNDS = 4
#: At a time, while they come and go.
MEMORY_GUESTS = 100


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='tox -e benchmark --', description=(
            'Measure the plugin beside stock Ceilometer, on real QEMUs '
            'without an operating system. Needs root.'))
    parser.add_argument('--guests', type=int, nargs='+', metavar='N',
                        default=[10, 50, 100, 200],
                        help='sizes of the fleet (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=15, metavar='N',
                        help='cycles of each contestant (default: '
                             '%(default)s; four times as many with 100 '
                             'guests)')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=PARTS,
                        help='parts to run (default: all)')
    parser.add_argument('--quick', action='store_true',
                        help='see in two minutes that it works; the numbers '
                             'are worth little')
    parser.add_argument('--output', type=pathlib.Path, metavar='DIR',
                        default=pathlib.Path('build/benchmark'),
                        help='where result.json, tables.txt and cost.svg are '
                             'written (default: %(default)s)')
    chosen = parser.parse_args(words)
    chosen.cycles, chosen.frozen_of, chosen.frozen = 2000, 50, (0, 1, 2, 4)
    if chosen.quick:
        chosen.guests, chosen.rounds, chosen.cycles = [5, 10], 3, 300
        chosen.frozen_of, chosen.frozen = 8, (0, 1, 2)
    return chosen


def say(text: str) -> None:
    print(f'== {text}', flush=True)


def _version(number: int) -> str:
    """libvirt's way to write 9.1.2 as 9001002."""
    return f'{number // 1000000}.{number // 1000 % 1000}.{number % 1000}'


def surroundings(compute: node.Node) -> dict[str, typing.Any]:
    """What the numbers depend on."""
    connection = compute.connection
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec='minutes'),
        'libvirt': _version(connection.getLibVersion()),
        'qemu': _version(connection.getVersion()),
        'accelerator': 'tcg',
        'ceilometer': importlib.metadata.version('ceilometer'),
        'libvirt_python': importlib.metadata.version('libvirt-python'),
        'python': platform.python_version(),
        'linux': platform.release(),
        'cpus': os.cpu_count(),
        'load_before': os.getloadavg()[0],
    }


@contextlib.contextmanager
def a_fleet(result: dict[str, typing.Any]
            ) -> collections.abc.Iterator[fleet.Fleet]:
    """A fleet without guests yet, on a node of its own."""
    with node.Node() as compute:
        result.setdefault('surroundings', surroundings(compute))
        yield fleet.Fleet(compute)


def of_fleets(chosen: argparse.Namespace, logs: pathlib.Path,
              result: dict[str, typing.Any]) -> None:
    """The parts that want a fleet of growing size."""
    if not {'scale', 'parts'} & set(chosen.only):
        return
    with a_fleet(result) as guests:
        counts = sorted(chosen.guests)
        decisive = targets.GUESTS if targets.GUESTS in counts else counts[-1]
        for count in counts:
            say(f'starting guests, up to {count}')
            guests.grow(count)
            if 'scale' in chosen.only:
                rounds = chosen.rounds * (
                    MORE_ROUNDS if count == decisive else 1)
                say(f'{rounds} rounds with {count} guests')
                result.setdefault('scale', []).append(
                    scale.measure(guests, rounds, logs))
            if 'parts' in chosen.only and count == decisive:
                say(f'{count} guests in parts')
                result['parts'] = scale.measure_parts(
                    guests, chosen.rounds, logs)


def of_frozen(chosen: argparse.Namespace, logs: pathlib.Path,
              result: dict[str, typing.Any]) -> None:
    if 'frozen' not in chosen.only:
        return
    with a_fleet(result) as guests:
        say(f'starting {chosen.frozen_of} guests to freeze some of them')
        guests.grow(chosen.frozen_of)
        result['frozen'] = frozen.measure(
            guests, chosen.frozen, chosen.rounds, logs)


def of_pure(chosen: argparse.Namespace, logs: pathlib.Path,
            result: dict[str, typing.Any]) -> None:
    if 'pure' in chosen.only:
        say('judging guests and making samples')
        result['pure'] = pure.measure(chosen.rounds, logs)


def of_memory(chosen: argparse.Namespace, logs: pathlib.Path,
              result: dict[str, typing.Any]) -> None:
    if 'memory' in chosen.only:
        say(f'{chosen.cycles} cycles of an agent while guests come and go')
        result['memory'] = contestants.once(
            'benchmarks.memory', chosen.cycles, MEMORY_GUESTS,
            log=logs / 'memory.log')


def of_startup(chosen: argparse.Namespace, _logs: pathlib.Path,
               result: dict[str, typing.Any]) -> None:
    if 'startup' not in chosen.only:
        return
    with a_fleet(result) as guests:
        guests.grow(startup.GUESTS)
        say('starting the command')
        result['startup'] = startup.measure(guests, chosen.rounds)


def main(words: list[str]) -> int:
    chosen = arguments(words)
    began = time.monotonic()
    logs = chosen.output / 'log'
    logs.mkdir(parents=True, exist_ok=True)
    result: dict[str, typing.Any] = {}
    try:
        for part in (of_fleets, of_frozen, of_pure, of_memory, of_startup):
            part(chosen, logs, result)
            # After each: what was measured is not lost by what is to come.
            result['took_s'] = time.monotonic() - began
            report.write(result, chosen.output)
    except node.MissingTools as error:
        print(error, file=sys.stderr)
        return 1
    print()
    for table in report.tables(result):
        print(table.text())
    say(f'result.json, tables.txt and cost.svg are in {chosen.output}; '
        f'{result["took_s"]:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
