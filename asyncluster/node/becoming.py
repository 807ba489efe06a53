"""A process of root's becomes a user's: what workers and sessions at a seat do before they run anything of his."""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Mapping, Sequence
from typing import Protocol

from asyncluster.node.identity import Identity

CLEAN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT = ("LANG", "LANGUAGE", "TZ", "PATH", "CUDA_VISIBLE_DEVICES")  # of the environment, when the uid changes; and LC_*


class Whose(Protocol):
    """Whom to become; an `Identity`, say."""

    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def groups(self) -> Sequence[int]: ...
    @property
    def name(self) -> str: ...
    @property
    def home(self) -> str: ...
    @property
    def shell(self) -> str: ...


def lookup(name: str) -> Identity | None:
    """What this machine knows under a user name."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return Identity(entry.pw_uid, entry.pw_gid, groups, entry.pw_dir, name, entry.pw_shell or "/bin/sh")


def become(whose: Whose) -> None:
    """Take on groups, uid, mask and environment, for good.  Raises OSError for who is not root."""
    os.setgroups(whose.groups)
    os.setresgid(whose.gid, whose.gid, whose.gid)
    os.setresuid(whose.uid, whose.uid, whose.uid)
    os.umask(0o022)
    environment = owners_environment(os.environ, whose)
    os.environ.clear()
    os.environ.update(environment)


def leave_no_core() -> None:
    """No core files, whatever crashes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def plain_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Give what every user of the machine may know of an environment: language, time zone, where programs are."""
    return {name: value for name, value in environment.items() if name in KEPT or name.startswith("LC_")}


def owners_environment(environment: Mapping[str, str], whose: Whose) -> dict[str, str]:
    """Give an owner's environment: nothing of root's but what is plain."""
    kept = plain_environment(environment)
    kept.setdefault("PATH", CLEAN_PATH)
    return kept | {"HOME": whose.home, "USER": whose.name, "LOGNAME": whose.name, "SHELL": whose.shell}
