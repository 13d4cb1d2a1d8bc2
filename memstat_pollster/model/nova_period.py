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

"""What the operator wants of guests' statistics, by Nova's configuration."""

import dataclasses
import typing



#: Nova's own default (nova/conf/libvirt.py): an integer without bounds.  At
#: 0 or below Nova gives its guests no balloon device since March 2025 (commit
#: 2180c205b4); before, libvirt added one without a period.
DEFAULT_PERIOD_S: typing.Final = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Nova's option as its files say it.

    :ivar period_s: seconds; <= 0 means statistics are switched off
    :ivar problems: what kept a file from being used, one message each,
        naming the file
    :ivar source: the file that sets it; None where none does, and Nova's
        default holds.  The same wish from another file is the same wish.
    :ivar other_s: what it may be as well, in seconds, where nobody knows in
        which order nova-compute reads its files; None: nothing else
    """

    period_s: int
    problems: tuple[str, ...] = ()
    source: str | None = dataclasses.field(default=None, compare=False)
    other_s: int | None = None
