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

"""A copy of this machine that can be changed and is thrown away."""

from __future__ import annotations

from collections.abc import Mapping
import os
import pathlib
import signal
import subprocess
import tempfile

from tests.node import tools

#: /tmp is this machine's own, so that what is there can be shared; nothing in
#: /run is, so that no maintainer script finds this machine's systemd.
_HOLD = """
set -e
mount -t tmpfs -o mode=755 memstat-root "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" \
    memstat-root "$1/root"
for each in proc sys dev tmp; do
    mount --rbind "/$each" "$1/root/$each"
done
mount -t tmpfs -o mode=755 memstat-run "$1/root/run"
echo ready
exec cat
"""

_ENVIRONMENT = {
    'PATH': '/usr/sbin:/usr/bin:/sbin:/bin',
    'HOME': '/root',
    'LC_ALL': 'C.UTF-8',
    'DEBIAN_FRONTEND': 'noninteractive',
}


class CommandFailed(Exception):
    """A command in the copy failed; with the end of what it said."""


class Root:
    """The root file system under an overlay in memory.

    What is written there never reaches this machine, and is gone with the
    mount namespace as soon as this process ends.  /tmp is shared with it.

    :raises MissingTools: by :meth:`start`, where that is not allowed
    """

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp(prefix='memstat-root-',
                                           dir='/tmp')
        self._holder: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._holder = subprocess.Popen(
            ['unshare', '--mount', '--propagation', 'private', 'sh', '-c',
             _HOLD, 'sh', self._directory],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True)
        if self._holder.stdout.readline() != b'ready\n':
            said = self._holder.stderr.read().decode(errors='replace')
            self.stop()
            raise tools.MissingTools(
                [f'the right to mount an overlay over / ({said.strip()})'])
        # Where resolv.conf points into /run, it would point to nothing.
        resolver = pathlib.Path('/etc/resolv.conf')
        if resolver.exists():
            self.write('/etc/resolv.conf', resolver.read_text())
        self.write('/usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', 0o755)

    def stop(self) -> None:
        """End the namespace, and the file system with it."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.kill()
            holder.communicate()
        os.rmdir(self._directory)

    def command(self, *words: str) -> list[str]:
        """The command that runs another in the copy.

        It execs to the other in the end, so a signal reaches that.
        """
        return ['nsenter', f'--mount=/proc/{self._holder.pid}/ns/mnt',
                'chroot', f'{self._directory}/root', *words]

    def run(self, *words: str, timeout: float,
            cwd: str | os.PathLike[str] = '/',
            environment: Mapping[str, str] | None = None,
            text: str | None = None) -> str:
        """What a command prints, errors included.

        :param timeout: seconds; then the command and its children are killed
        :param environment: besides PATH, HOME, and a locale
        :param text: for its standard input
        :raises CommandFailed: it failed, or took longer
        """
        process = subprocess.Popen(
            self.command('env', f'--chdir={cwd}', *words),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**_ENVIRONMENT, **(environment or {})})
        try:
            said, _ = process.communicate(text or '', timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            raise CommandFailed(
                f'{words}: not within {timeout} s: {said[-4000:]}') from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if process.returncode:
            raise CommandFailed(f'{words}: exit status {process.returncode}: '
                                f'{said[-4000:]}')
        return said

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in the copy, in place of what is at its path."""
        self.run('sh', '-c', 'rm -f "$1" && cat >"$1" && chmod "$2" "$1"',
                 'sh', path, f'{mode:o}', timeout=30, text=text)

    def apt(self, *words: str, timeout: float = 540) -> str:
        """apt-get without a question; what it said."""
        return self.run('apt-get', '--yes', '--no-install-recommends',
                        '-o', 'Acquire::Retries=3', *words, timeout=timeout)
