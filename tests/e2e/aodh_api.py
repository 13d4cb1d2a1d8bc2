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

"""Aodh's API in one process: PORT, and then Aodh's own arguments."""

import sys

from aodh.api import app
import waitress


def main():
    port, *arguments = sys.argv[1:]
    waitress.serve(app.build_wsgi_app(arguments), host='127.0.0.1',
                   port=int(port), threads=4)


if __name__ == '__main__':
    main()
