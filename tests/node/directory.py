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

"""A temporary directory that no end of the tests leaves behind."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile

#: Removes a directory when it is told a line, or when its standard input
#: ends: when the process that holds the other end has ended. What still
#: writes there is ending, too.
_SWEEPER = '''\
read -r line
for round in 1 2 3 4 5; do
    rm -rf -- "$1" && exit
    sleep 1
done
'''


class Directory:
    """A directory in /tmp that is removed in the end, however that comes.

    In /tmp whatever TMPDIR says: a Unix socket's path has 108 bytes.

    :ivar path: others may pass through, as services are other users
    """

    def __init__(self, prefix: str) -> None:
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir='/tmp'))
        self.path.chmod(0o755)
        self._sweeper = subprocess.Popen(
            ['sh', '-c', _SWEEPER, 'sh', str(self.path)], cwd='/',
            stdin=subprocess.PIPE, start_new_session=True)

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it now."""
        # A child that this process has forked may hold the pipe as well.
        self._sweeper.communicate(b'\n', 60)
