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

"""What the guests boot, built once and kept.

The kernel is Debian's own cloud kernel, taken from its package without
installing it; the initramfs is busybox, the balloon's modules and
guest-init.sh. The directory is MEMSTAT_NODE_CACHE, by default build/node
in the checkout; processes that build at once take turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import fcntl
import gzip
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from tests.node import tools

INIT = pathlib.Path(__file__).with_name('guest-init.sh')
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
KERNEL_PACKAGE = 'linux-image-cloud-amd64'
MODULES = ('virtio_ring', 'virtio', 'virtio_pci_legacy_dev',
           'virtio_pci_modern_dev', 'virtio_pci', 'virtio_balloon')


class ImageError(Exception):
    """What a guest boots could not be built; says which step failed."""


@dataclasses.dataclass(frozen=True)
class LinuxImage:
    """A kernel and the initramfs that goes with it."""

    kernel: pathlib.Path
    initramfs: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Images:
    """The cache of boot images in one directory."""

    directory: pathlib.Path

    @classmethod
    def default(cls) -> Images:
        """The cache at MEMSTAT_NODE_CACHE, or in the checkout."""
        configured = os.environ.get('MEMSTAT_NODE_CACHE')
        directory = (pathlib.Path(configured) if configured
                     else CHECKOUT / 'build' / 'node')
        return cls(directory.resolve())

    def halt_rom(self) -> pathlib.Path:
        """A firmware that halts the CPU: no set-up, no timer, no load."""
        path = self.directory / 'halt.rom'
        if not path.exists():
            with self._locked():
                # cli; hlt; jmp to the hlt: at the reset vector, 16 bytes
                # below the end
                vector = b'\xfa\xf4\xeb\xfd'.ljust(16, b'\0')
                _write(path, b'\xf4' * (65536 - 16) + vector)
        return path

    def linux(self) -> LinuxImage:
        """The Linux guest's kernel and initramfs.

        :raises ImageError: a step of the build failed
        :raises MissingTools: the machine has no apt to fetch a kernel with
        """
        with self._locked():
            kernel = self.directory / 'kernel'
            if not kernel.exists():
                self._unpack_kernel(kernel)
            busybox = _static_busybox()
            digest = hashlib.sha256()
            for path in (INIT, busybox, *sorted(kernel.rglob('*.ko'))):
                digest.update(path.read_bytes())
            initramfs = self.directory / (
                'guest-%s.cpio.gz' % digest.hexdigest()[:12])
            if not initramfs.exists():
                _write(initramfs, _pack(kernel, busybox))
        return LinuxImage(kernel / 'vmlinuz', initramfs)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / 'lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _unpack_kernel(self, target: pathlib.Path) -> None:
        """Fetch the kernel's package; keep vmlinuz and the modules."""
        tools.require(tools.KERNEL_EXECUTABLES)
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            tree = pathlib.Path(scratch, 'tree')
            ready = pathlib.Path(scratch, 'ready')
            ready.mkdir()
            try:
                _download(_kernel_packages(), scratch)
            except ImageError as error:
                print(f'{error}\nrunning apt-get update', flush=True)
                # The mirror may have a newer one by now, and that alone.
                _update()
                _download(_kernel_packages(), scratch)
            for archive in pathlib.Path(scratch).glob('*.deb'):
                _run('dpkg', '-x', str(archive), str(tree))
            kernel, = (*tree.glob('boot/vmlinuz-*'),
                       *tree.glob('usr/lib/modules/*/vmlinuz'))
            shutil.copyfile(kernel, ready / 'vmlinuz')
            modules, = [path for path in (tree / 'lib/modules',
                                          tree / 'usr/lib/modules')
                        if path.exists()]
            for name in MODULES:
                _keep_module(modules, name, ready)
            ready.rename(target)


def _download(packages: Iterable[str], directory: str) -> None:
    _run('apt-get', 'download', '-qq', '-o', 'Acquire::Retries=3',
         '-o', 'APT::Sandbox::User=root', *packages, cwd=directory)


def _update() -> None:
    _run('apt-get', 'update', '-qq', '-o', 'Acquire::Retries=3',
         '-o', 'DPkg::Lock::Timeout=300')


def _kernel_packages() -> list[str]:
    """The packages KERNEL_PACKAGE stands for at present.

    From Debian 14 on an image package is empty: the kernel and its modules
    are in packages of their own, of the same version.  A machine that has
    never fetched apt's lists fetches them now.
    """
    for fetch_lists in (False, True):
        if fetch_lists:
            print('%s is not in apt\'s lists: running apt-get update'
                  % KERNEL_PACKAGE, flush=True)
            _update()
        found = re.search(r'Depends: linux-image-(\S+)',
                          _depends(KERNEL_PACKAGE))
        if found:
            image = 'linux-image-' + found.group(1)
            return [image, *re.findall(
                r'Depends: (linux-(?:base|binary|modules)-%s)\n'
                % re.escape(found.group(1)), _depends(image))]
    raise ImageError('apt knows no %s, not even after apt-get update; '
                     'the Linux guest boots that kernel of Debian\'s'
                     % KERNEL_PACKAGE)


def _depends(package: str) -> str:
    return subprocess.run(
        ['apt-cache', 'depends', package], text=True, capture_output=True,
        env={**os.environ, 'LC_ALL': 'C'}).stdout


def _keep_module(modules: pathlib.Path, name: str,
                 target: pathlib.Path) -> None:
    """Copy a module, unpacked; one that is built in needs no file."""
    for path in modules.rglob(name + '.ko*'):
        data = path.read_bytes()
        if path.suffix == '.xz':
            data = lzma.decompress(data)
        elif path.suffix != '.ko':
            raise ImageError('cannot unpack the module %s' % path.name)
        (target / (name + '.ko')).write_bytes(data)
        return
    for built_in in modules.rglob('modules.builtin'):
        if '/%s.ko' % name in built_in.read_text():
            return
    raise ImageError('the kernel has no module %s' % name)


def _static_busybox() -> pathlib.Path:
    path = tools.which('busybox')
    if path is None or b'/ld-linux' in pathlib.Path(path).read_bytes():
        raise tools.MissingTools(['a statically linked busybox'],
                                 ['busybox-static'])
    return pathlib.Path(path)


def _pack(kernel: pathlib.Path, busybox: pathlib.Path) -> bytes:
    """The initramfs: a gzipped cpio archive."""
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        for name in ('bin', 'proc', 'sys', 'dev', 'tmp', 'mod'):
            (root / name).mkdir()
        shutil.copy(busybox, root / 'bin' / 'busybox')
        shutil.copyfile(INIT, root / 'init')
        (root / 'init').chmod(0o755)
        for module in kernel.glob('*.ko'):
            shutil.copyfile(module, root / 'mod' / module.name)
        names = sorted(str(path.relative_to(root))
                       for path in root.rglob('*'))
        archive = _run('cpio', '--create', '--format=newc', '--quiet',
                       '--owner=0:0', cwd=scratch,
                       data='\n'.join(names).encode())
    return gzip.compress(archive)


def _run(*command: str, cwd: str | None = None,
         data: bytes | None = None) -> bytes:
    """Run a command and return its output; ImageError with its errors."""
    done = subprocess.run(command, cwd=cwd, input=data, capture_output=True)
    if done.returncode:
        raise ImageError('%s: exit status %d: %s' % (
            ' '.join(command), done.returncode,
            done.stderr.decode(errors='replace').strip()))
    return done.stdout


def _write(path: pathlib.Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.chmod(file.name, 0o644)
    os.rename(file.name, path)
