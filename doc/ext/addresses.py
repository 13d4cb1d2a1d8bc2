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

"""Which other machines a built page makes its reader's browser ask.

Knows nothing of Sphinx.
"""

import re
import typing

#: What a browser loads by itself, from somewhere else.
LOADED: typing.Final = re.compile(
    r'<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)\s*=\s*'
    r'["\']?((?:https?:)?//[^"\'\s>]+)'
    r'|\.src\s*=\s*["\']((?:https?:)?//[^"\']+)'
    r'|@import[^;]*?((?:https?:)?//[^"\');\s]+)'
    r'|url\(\s*["\']?((?:https?:)?//[^"\')\s]+)')


def loaded(text: str) -> list[str]:
    """The addresses of other machines that a page or style sheet loads."""
    return [next(filter(None, found)) for found in LOADED.findall(text)]
