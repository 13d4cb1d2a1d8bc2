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

"""Print how many tests of a subunit stream passed, failed, were skipped."""

import sys

import subunit
import testtools


def count(path):
    """How many tests of a stream passed, failed and were skipped."""
    summary = testtools.StreamSummary()
    summary.startTestRun()
    with open(path, 'rb') as stream:
        subunit.ByteStreamToStreamResult(
            stream, non_subunit_name='stdout').run(summary)
    # A test that began and never ended, because its process died, is counted
    # as an error from here on.
    summary.stopTestRun()
    failed = (len(summary.errors) + len(summary.failures)
              + len(summary.unexpectedSuccesses))
    skipped = len(summary.skipped)
    return summary.testsRun - failed - skipped, failed, skipped


if __name__ == '__main__':
    print(*count(sys.argv[1]))
