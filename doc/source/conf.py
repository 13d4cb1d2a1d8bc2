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

"""Sphinx configuration of the documentation."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The tables are made from this checkout, whatever is installed.
sys.path[:0] = [str(ROOT), str(ROOT / 'doc' / 'ext')]

extensions = [
    'cliff.sphinxext',
    'generated',
    'local',
    'openstackdocstheme',
    'oslo_config.sphinxext',
]
nitpicky = True

project = 'memstat-pollster'
author = 'memstat-pollster developers'
copyright = author

openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = ''
release = ''

html_theme = 'openstackdocs'
pygments_style = 'native'

autoprogram_cliff_app_dist_name = 'memstat-pollster'
man_pages = [('reference', 'memstat-pollster',
              "see, explain and mend the memory statistics of a node's guests",
              [], 1)]
# The page's date would be the build's.
today = 'memstat-pollster'
