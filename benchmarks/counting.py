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

"""A socket in front of libvirtd's that counts the calls which pass it."""

import collections
import pathlib
import socket
import struct
import threading

#: src/remote/remote_protocol.x, src/rpc/virnetprotocol.x
REMOTE_PROGRAM = 0x20008086
TYPE_CALL = 0
#: REMOTE_PROC_*: names for the calls that clients here make.
NAMES = {
    1: 'CONNECT_OPEN', 14: 'DOMAIN_GET_XML_DESC', 16: 'DOMAIN_GET_INFO',
    24: 'DOMAIN_LOOKUP_BY_UUID', 159: 'DOMAIN_MEMORY_STATS',
    60: 'CONNECT_SUPPORTS_FEATURE', 66: 'AUTH_LIST',
    212: 'DOMAIN_GET_STATE', 273: 'CONNECT_LIST_ALL_DOMAINS',
    344: 'CONNECT_GET_ALL_DOMAIN_STATS',
}


class CountingSocket:
    """Passes everything on, and counts calls by their procedure.

    What is counted is what libvirtd gets to see, whatever the client's
    functions are called.  It costs time: never measured and counted at once.
    """

    def __init__(self, path: pathlib.Path, target: pathlib.Path) -> None:
        self._target = str(target)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._counted: collections.Counter[str] = collections.Counter()
        self.uri = f'qemu:///system?socket={path}'
        self._start(self._accept)

    @staticmethod
    def _start(work, *arguments) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._start(self._calls, client, server)
            self._start(self._answers, server, client)

    @staticmethod
    def _answers(server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(1 << 16):
                client.sendall(data)
        except OSError:
            pass  # the client has gone
        client.close()

    def _calls(self, client: socket.socket, server: socket.socket) -> None:
        frames = client.makefile('rb')
        try:
            while len(head := frames.read(4)) == 4:
                body = frames.read(struct.unpack('>I', head)[0] - 4)
                program, _version, procedure, kind = struct.unpack(
                    '>IIII', body[:16])
                if program == REMOTE_PROGRAM and kind == TYPE_CALL:
                    self._counted[NAMES.get(procedure, str(procedure))] += 1
                server.sendall(head + body)
        except OSError:
            pass  # one of them has gone
        server.shutdown(socket.SHUT_RDWR)

    def take(self) -> dict[str, int]:
        """Calls by name since the last time."""
        counted, self._counted = self._counted, collections.Counter()
        return dict(counted)

    def close(self) -> None:
        self._listener.close()
