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

"""The first process of the node's PID and mount namespace.

Arguments: a pidfd of the process to live for, and the node's directory.
Puts the node's own directories where libvirtd looks for its state, hides
the machine's cgroups and D-Bus, says "ready" on standard output, reaps
orphans, and ends with the process it lives for. When it ends, the kernel
kills everything in the namespace.

Run by path (python -I), so it imports the standard library only.
"""

import grp
import os
import pathlib
import pwd
import select
import signal
import subprocess
import sys

STATE = {
    'etc': '/etc/libvirt',
    'lib': '/var/lib/libvirt',
    'cache': '/var/cache/libvirt',
    'log': '/var/log/libvirt',
    'run': '/run/libvirt',
}
# Debian's libvirt is built for this user and group: both must resolve,
# whatever qemu.conf says. 64055 is what Debian reserves for them.
USER = 'libvirt-qemu'
PASSWD_LINE = USER + ':x:64055:64055::/nonexistent:/usr/sbin/nologin\n'
GROUP_LINE = USER + ':x:64055:\n'
# Through these libvirtd would tell the machine's systemd about guests,
# with PIDs that mean nothing out there.
HIDDEN = ('/run/dbus', '/run/systemd')


def bind(source: pathlib.Path, target: str) -> None:
    subprocess.run(['mount', '--bind', str(source), target], check=True)


def detach_cgroups() -> None:
    """Without a mounted hierarchy libvirt makes no cgroups."""
    mounts = [line.split() for line in
              pathlib.Path('/proc/self/mounts').read_text().splitlines()]
    for _, target, kind, *_ in reversed(mounts):
        if kind in ('cgroup', 'cgroup2'):
            subprocess.run(['umount', '--lazy', target], check=True)


def provide_account(directory: pathlib.Path) -> None:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        append('/etc/passwd', PASSWD_LINE, directory / 'passwd')
    try:
        grp.getgrnam(USER)
    except KeyError:
        append('/etc/group', GROUP_LINE, directory / 'group')


def append(path: str, line: str, copy: pathlib.Path) -> None:
    """Show a copy of a file with one line more in its place."""
    copy.write_text(pathlib.Path(path).read_text() + line)
    copy.chmod(0o644)
    bind(copy, path)


def main(pidfd: int, directory: pathlib.Path) -> None:
    provide_account(directory)
    detach_cgroups()
    empty = directory / 'empty'
    empty.mkdir()
    for path in HIDDEN:
        if os.path.isdir(path):
            bind(empty, path)
    for name, target in STATE.items():
        os.makedirs(target, exist_ok=True)
        bind(directory / name, target)
    # Ignored, the kernel reaps children itself, adopted ones included.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print('ready', flush=True)
    select.select([pidfd], [], [])  # readable once that process has ended


if __name__ == '__main__':
    main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
