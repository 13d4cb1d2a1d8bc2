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


"""oslo.config, without the sources of options that a file may name.

``[DEFAULT]config_source`` makes oslo.config ask other drivers, such as one
that reads a URL, and wait for them without a deadline.
"""

import collections.abc
import typing

from oslo_config import cfg

_NAME: typing.Final = 'config_source'


def parse(conf: cfg.ConfigOpts, words: collections.abc.Sequence[str],
          **settings: typing.Any) -> None:
    """Call ``conf`` with these, and read nothing but files.

    :param settings: as of ``cfg.ConfigOpts.__call__``
    :raises oslo_config.cfg.Error: as that call does
    """
    conf.set_override(_NAME, [])
    try:
        conf(words, **settings)
    finally:
        conf.clear_override(_NAME)


def not_read(conf: cfg.ConfigOpts) -> str | None:
    """What to say of sources that the files name; None: there are none."""
    sources = conf[_NAME]
    if not sources:
        return None
    return (f"options of other sources ([DEFAULT]{_NAME} = "
            f"{', '.join(sources)}) are not read")
