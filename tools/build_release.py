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
"""Build the sdist and the wheel of the commit that is checked out.

The same commit makes the same bytes, wherever and whenever it is built with
the versions that the tox environment "release" pins.  What would differ is
taken from the commit or fixed: the sdist's owners, modes, times and order,
which setuptools takes from the checkout and the clock; the wheel is built
from that sdist, with SOURCE_DATE_EPOCH.

Both are checked as PyPI and pip would look at them.
"""

import argparse
import gzip
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


def run(*words: str | os.PathLike[str], **options: object) -> str:
    """What a command prints; with what it said where it fails."""
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    if done.returncode:
        sys.exit(f'{" ".join(map(str, words))}:\n{done.stdout}')
    return done.stdout


def normalise(sdist: pathlib.Path, moment: int) -> None:
    """Write an sdist anew with nothing in it but names and contents.

    :param moment: every file's time, seconds since the epoch
    """
    packed = sdist.with_suffix('.new')
    with (tarfile.open(sdist) as old, open(packed, 'wb') as raw,
          gzip.GzipFile('', 'wb', 9, raw, moment) as compressed,
          tarfile.open(fileobj=compressed, mode='w',
                       format=tarfile.PAX_FORMAT) as new):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.uid = member.gid = 0
            member.uname = member.gname = ''
            member.mtime = moment
            member.pax_headers = {}
            executable = member.isdir() or member.mode & 0o100
            member.mode = 0o755 if executable else 0o644
            new.addfile(member,
                        old.extractfile(member) if member.isfile() else None)
    packed.replace(sdist)


def build(scratch: pathlib.Path) -> list[pathlib.Path]:
    """The sdist and the wheel, in a scratch directory."""
    clone = scratch / 'clone'
    run('git', 'clone', '--quiet', CHECKOUT, clone)
    moment = int(run('git', 'log', '-1', '--format=%ct', cwd=clone))
    # The version is git's: a tag's, or else a development version.
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith('PBR_')}
    environment['SOURCE_DATE_EPOCH'] = str(moment)
    command = (sys.executable, '-m', 'build', '--no-isolation',
               '--outdir', scratch)
    run(*command, '--sdist', clone, env=environment)
    sdist, = scratch.glob('*.tar.gz')
    normalise(sdist, moment)
    run('tar', '-xf', sdist, '-C', scratch)
    run(*command, '--wheel', scratch / sdist.name.removesuffix('.tar.gz'),
        env=environment)
    wheel, = scratch.glob('*.whl')
    return [sdist, wheel]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--outdir', type=pathlib.Path, metavar='DIRECTORY',
                        default=CHECKOUT / 'dist', help='default: dist')
    outdir = parser.parse_args().outdir
    os.umask(0o022)
    outdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        built = build(pathlib.Path(scratch))
        run(sys.executable, '-m', 'twine', 'check', '--strict', *built)
        run(sys.executable, '-m', 'check_wheel_contents', built[1])
        for each in built:
            shutil.copy(each, outdir)
            digest = hashlib.sha256(each.read_bytes()).hexdigest()
            print(f'{digest}  {each.name}')


if __name__ == '__main__':
    main()
