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

"""A series of measures as a curve to draw."""

import dataclasses
import typing

from memstat_pollster.cli.report import figures
from memstat_pollster.model import meters

#: How long a measure may take to Gnocchi before its absence is told.
PUBLISHED_AFTER_S: typing.Final = 900.0


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """A curve to draw; SVG's units are seconds across, percent down.

    :ivar path: of steps, each as long as its point stands for; where there
        is no point, there is no line
    :ivar words: the same for those who do not see it
    """

    width: int
    path: str
    words: str


def curve(series: meters.Series, start_s: float, end_s: float,
          size_kib: int) -> Curve | None:
    """A guest's used memory between two times.

    :param size_kib: what the full height stands for
    :returns: None where nothing of it lies between them
    """
    points = [(begin_s, mib) for begin_s, mib in series.points
              if start_s <= begin_s < end_s]
    if not points:
        return None
    full = max(size_kib / 1024, *(mib for _, mib in points))
    steps, until, gaps = [], None, 0
    for begin_s, mib in points:
        left, right = (round(each - start_s) for each in (
            begin_s, min(begin_s + series.granularity_s, end_s)))
        down = f'{100 - 100 * mib / full:.2f}'
        if until is not None and begin_s - until < series.granularity_s / 2:
            steps.append(f'V{down}H{right}')
        else:
            gaps += until is not None
            steps.append(f'M{left} {down}H{right}')
        until = begin_s + series.granularity_s
    values = [mib * 1024 for _, mib in points]
    words = (f'{figures.amount(min(values))} to '
             f'{figures.amount(max(values))} used in the last '
             f'{figures.seconds(end_s - start_s)}')
    if gaps:
        words += f', {gaps} gap{"s" * (gaps > 1)}'
    if until is not None and end_s - until > max(
            2 * series.granularity_s, PUBLISHED_AFTER_S):
        words += f', none for the last {figures.seconds(end_s - until)}'
    return Curve(round(end_s - start_s), ''.join(steps), words)
