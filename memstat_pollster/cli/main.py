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

"""The console script.  It loads in no time, and then all the others."""

import signal


def main() -> int:
    """Run the command, whose Ctrl-C is no traceback while it loads either.

    :returns: the exit status; see ``outcome.ExitStatus``
    """
    try:
        from memstat_pollster.cli import application
        return application.main()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
