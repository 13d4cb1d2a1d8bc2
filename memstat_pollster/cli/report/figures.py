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

"""Numbers for people."""





def amount(kib: float | None) -> str:
    """KiB for people: in MiB, GiB or TiB; a dash when missing."""
    if kib is None:
        return '–'
    mib = kib / 1024
    if mib < 9.95:
        return f'{mib:.1f} MiB'
    for unit, size in (('MiB', 1), ('GiB', 1024)):
        if mib < size * 999.5:
            value = mib / size
            return f'{value:.{0 if unit == "MiB" or value >= 99.95 else 1}f}' \
                   f' {unit}'
    return f'{mib / 1024**2:.1f} TiB'


def seconds(value: float | None) -> str:
    """Seconds for people; a dash when missing."""
    if value is None:
        return '–'
    if value < 9.95:
        return f'{value:.1f} s' if value % 1 else f'{value:.0f} s'
    for unit, size, below in (('s', 1, 120), ('min', 60, 7200),
                              ('h', 3600, 172800)):
        if value < below:
            return f'{value / size:.0f} {unit}'
    return f'{value / 86400:.0f} d'


def number(value: float | None) -> str:
    """For a data attribute; empty when missing."""
    return '' if value is None else f'{value:.12g}'
