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

"""Tests against real guests on the node of :mod:`tests.node`."""

from __future__ import annotations

import atexit
import hashlib
import os
from typing import Any

import testtools

from tests import node


class _Shared:
    """This process's node, or why it cannot have one."""

    node: node.Node | None = None
    missing: node.MissingTools | None = None


def shared_node() -> node.Node:
    """The node of this process; started when first asked for.

    It is stopped when the process exits, however that comes about.

    :raises MissingTools: each time, found out once
    """
    if _Shared.missing is not None:
        raise _Shared.missing
    if _Shared.node is None:
        compute = node.Node()
        atexit.register(compute.stop)
        try:
            compute.start()
        except node.MissingTools as error:
            _Shared.missing = error
            raise
        _Shared.node = compute
    return _Shared.node


def must_run() -> bool:
    """Whether a machine that cannot run these tests is to fail them."""
    return bool(os.environ.get('CI')
                or os.environ.get('MEMSTAT_REQUIRE_FUNCTIONAL') == '1')


class FunctionalTest(testtools.TestCase):
    """A test with the shared node; it skips where there cannot be one.

    Where CI is set, or MEMSTAT_REQUIRE_FUNCTIONAL=1, it fails instead: a
    green run there means that the guests were real.

    :ivar node: shared with every other test of the process
    """

    node: node.Node

    def setUp(self) -> None:
        super().setUp()
        try:
            self.node = shared_node()
        except node.MissingTools as error:
            if must_run():
                raise
            self.skipTest('FUNCTIONAL TESTS DO NOT RUN HERE: %s' % error)

    def linux(self, name: str, **options: Any) -> node.LinuxGuest:
        """As Node.linux, for this test only and under a name of its own."""
        name = self._unique(name)
        self.addCleanup(self._destroy, name)
        return self.node.linux(name, **options)

    def scripted(self, name: str, **options: Any) -> node.ScriptedGuest:
        """As Node.scripted, for this test only, under a name of its own."""
        name = self._unique(name)
        self.addCleanup(self._destroy, name)
        return self.node.scripted(name, **options)

    def _unique(self, name: str) -> str:
        digest = hashlib.blake2s(self.id().encode()).hexdigest()
        return '%s-%s' % (name, digest[:6])

    def _destroy(self, name: str) -> None:
        if name in self.node.guests:
            self.node.destroy(name)
