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

"""Pages that load nothing and tell nobody who reads them.

The theme is made for docs.openstack.org.  Left to itself it puts a counter of
Google's, a search of openstack.org and the licence of OpenStack's documents
into each page.
"""

import pathlib
import typing

import addresses
from sphinx import application
from sphinx import errors

THEME: typing.Final = pathlib.Path(__file__).resolve().parents[1] / 'theme'


def configure(app: application.Sphinx, config: typing.Any) -> None:
    """Take out of the theme what belongs to openstack.org."""
    config.html_theme_options = {
        'analytics_tracking_code': '', 'display_badge': False,
        'sidebar_search': True, **config.html_theme_options}
    config.templates_path = [*config.templates_path, str(THEME / 'templates')]
    config.html_static_path = [*config.html_static_path,
                               str(THEME / 'static')]


def check(app: application.Sphinx, failure: Exception | None) -> None:
    """Fail when a page that was built loads something from elsewhere."""
    if failure is not None or app.builder.format != 'html':
        return
    out = pathlib.Path(app.outdir)
    found = {f'{path.relative_to(out)}: {address}'
             for path in out.rglob('*') if path.suffix in ('.html', '.css')
             for address in addresses.loaded(path.read_text(errors='replace'))}
    if found:
        raise errors.SphinxError(
            'these are loaded from other machines: '
            + ', '.join(sorted(found)))


def setup(app: application.Sphinx) -> dict[str, bool]:
    # Before openstackdocstheme and the builder read them.
    app.connect('config-inited', configure, priority=100)
    app.connect('build-finished', check)
    # After the theme's own style sheets, which css.html names by itself.
    app.add_css_file('local.css', priority=900)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
