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

"""The modules of doc/ext, which is no package."""

import importlib.util
import pathlib
import sys

DIRECTORY = pathlib.Path(__file__).resolve().parents[2] / 'doc' / 'ext'


def _load(name):
    spec = importlib.util.spec_from_file_location(
        name, DIRECTORY / f'{name}.py')
    # They import each other by this name.
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


addresses = _load('addresses')
calls = _load('calls')
layout = _load('layout')
tables = _load('tables')
