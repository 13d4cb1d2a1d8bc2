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

"""How a command ends: fit for Nagios-style checks."""

import enum


class ExitStatus(enum.IntEnum):
    """The exit statuses of every command, as Nagios reads them."""

    #: All is well.
    OK = 0
    #: Something has to be done about a guest, or about the installation.
    PROBLEMS = 1
    #: libvirt cannot be reached: nothing is known of any guest.
    UNREACHABLE = 2
    #: The command could not do its work: bad arguments or configuration.
    FAILED = 3


class CommandFailed(Exception):
    """A command cannot go on; the message is for an operator."""

    exit_status = ExitStatus.FAILED


class LibvirtUnreachable(CommandFailed):
    """libvirt did not answer, or refused."""

    exit_status = ExitStatus.UNREACHABLE
