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

"""The page as HTML."""

import base64
import datetime
import hashlib

import jinja2

from memstat_pollster.cli.report import figures
from memstat_pollster.cli.report import page
from memstat_pollster.model import judged


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest())
    return f"'sha256-{digest.decode()}'"


def render(cycle: judged.Cycle, host: page.Host, made: datetime.datetime,
           version: str, history: page.History | None = None) -> str:
    """The page.

    :param made: when the guests were read, in UTC
    :param version: of this package
    :param history: for a curve in each guest's row; None: without curves
    :returns: HTML that loads nothing from anywhere
    """
    loader = jinja2.PackageLoader('memstat_pollster.cli.report')
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True,
        undefined=jinja2.StrictUndefined)
    environment.filters.update(
        amount=figures.amount, seconds=figures.seconds, number=figures.number)
    style, script = (
        '\n' + loader.get_source(environment, name)[0]
        for name in ('report.css', 'report.js'))
    policy = (f"default-src 'none'; script-src {_hash(script)}; "
              f"style-src {_hash(style)}; img-src data:; base-uri 'none'; "
              f"form-action 'none'")
    return environment.get_template('report.html').render(
        page=page.view(cycle, host, made, version, history), style=style,
        script=script, policy=policy)
