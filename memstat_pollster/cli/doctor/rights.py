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

"""Whose rights something is looked at with, and what they lack."""

import collections.abc
import contextlib
import grp
import os
import pathlib
import pwd
import stat

from memstat_pollster.cli.output import outcome


@contextlib.contextmanager
def rights_of(name: str) -> collections.abc.Iterator[None]:
    """For the block, be another user, with the groups of that one.

    Only the effective ids change, so that what is found can be shown with
    the rights of before: that one may be unable to read this very program.

    :raises outcome.CommandFailed: there is none, or
        only root could
    """
    try:
        user = pwd.getpwnam(name)
    except KeyError as exc:
        raise outcome.CommandFailed(f'there is no user {name}') from exc
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    if user.pw_uid == uid:
        yield
        return
    try:
        os.setgroups(os.getgrouplist(name, user.pw_gid))
        os.setegid(user.pw_gid)
        os.seteuid(user.pw_uid)
    except PermissionError as exc:
        raise outcome.CommandFailed(
            f'only root can look as the user {name}') from exc
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def has_user(name: str) -> bool:
    """Whether the machine has such a user."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def user_name() -> str:
    """Who this process is; the number where that has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def group_name(number: int) -> str:
    """A group's name; the number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def who_may_read(path: str) -> str | None:
    """What lets this process read a file that it cannot.

    :returns: None where the file can be read, or nothing is known
    """
    whole = pathlib.Path(path)
    for part in (*reversed(whole.parents), whole):
        try:
            found = part.stat()
        except OSError:
            return None
        right = os.X_OK if stat.S_ISDIR(found.st_mode) else os.R_OK
        if os.access(part, right, effective_ids=True):
            continue
        group, name = group_name(found.st_gid), user_name()
        if found.st_mode & (right << 3):
            return (f'"usermod -aG {group} {name}" lets {name} in (group '
                    f'{group} may use {part}), then restart the agent')
        return (f'{part} has mode {stat.S_IMODE(found.st_mode):04o}, which '
                f'lets its group {group} in no more than {name}: '
                f'"chmod g+{"x" if right == os.X_OK else "r"} {part}", '
                f'"usermod -aG {group} {name}", then restart the agent')
    return None
