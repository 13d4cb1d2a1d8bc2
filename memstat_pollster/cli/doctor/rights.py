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
import shlex
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


def barred(path: str) -> str | None:
    """What keeps this process from running a program.

    :returns: the first directory on the way that it may not enter, or the
        program that it may not run; None where nothing does, or where there
        is no such program
    """
    for whole in (pathlib.Path(path), pathlib.Path(os.path.realpath(path))):
        for part in (*reversed(whole.parents), whole):
            if os.access(part, os.X_OK, effective_ids=True):
                continue
            return str(part) if os.path.lexists(part) else None
    return None


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
    """What lets this process read a file, or list a directory, that it cannot.

    It gives no right but that one: membership in the group that a file has
    may open much else, and some groups (root, disk, shadow) the machine.

    :returns: None where it can be read, or nothing is known
    """
    whole = pathlib.Path(path)
    for part in (*reversed(whole.parents), whole):
        try:
            directory = stat.S_ISDIR(part.stat().st_mode)
        except OSError:
            return None
        if part != whole:
            needed, letters, what = os.X_OK, 'x', 'through that directory'
        elif directory:
            needed, letters, what = (os.R_OK | os.X_OK, 'rx',
                                     'list that directory')
        else:
            needed, letters, what = os.R_OK, 'r', 'read that file'
        if os.access(part, needed, effective_ids=True):
            continue
        name = user_name()
        return (f'"setfacl -m u:{name}:{letters} {shlex.quote(str(part))}" '
                f'(package acl) lets {name} {what} and gives no other right; '
                'then restart the agent and run this again')
    return None
