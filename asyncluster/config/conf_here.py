"""What asyncluster.conf names and this machine does not have: warnings, as the file may be another machine's."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterator

from asyncluster.config.base_conf import Need, Settings


def absent(settings: Settings, need: Need) -> Iterator[str]:
    """A sentence for each; paths below ~/ are whole already."""
    common = settings.common
    if need != "client":
        folder = os.path.dirname(common.log_file)
        if folder and not os.path.isdir(folder):  # which nobody makes
            yield f"[common] log file: there is no folder {folder} here"
    if need == "master":
        yield from _socket(common.socket)
        group = settings.server.administrators
        if group and not _known(grp.getgrnam, group):
            yield f"[server] administrators: this machine knows no group {group}, so only root administers"
    account = settings.client.run_tasks_as
    if need == "node" and account and not _known(pwd.getpwnam, account):
        yield f"[client] run tasks as: this machine knows no user {account}; its node would not start"


def _socket(path: str) -> Iterator[str]:
    """The master makes the folders of its socket, where it may."""
    folder = os.path.dirname(path)
    there = folder
    while there and not os.path.lexists(there) and os.path.dirname(there) != there:
        there = os.path.dirname(there)
    if there != folder and not (os.path.isdir(there) and os.access(there, os.W_OK)):
        yield f"[common] socket: there is no folder {folder} here, and we may not make it in {there}"
    elif there == folder and not os.path.isdir(there):
        yield f"[common] socket: {folder} is no folder here"


def _known(find: Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True
