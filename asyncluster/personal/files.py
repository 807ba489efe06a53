"""What personal mode writes into configuration files.

Passwords are made here and stand nowhere but in those files.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import attrs

LOOPBACK = "127.0.0.1"

RETRY_SECONDS = 1.0
"""How often a node on this machine looks for its master, which may have been killed and be back soon."""

DRAIN_SECONDS = 30.0
"""How long running tasks may go on when a personal service is asked to stop."""

_HEAD = """\
# Written by `asyncluster`; holds passwords, keep it to yourself.
# All keys are explained in etc/asyncluster.conf of the distribution.

"""


@attrs.frozen
class Passwords:
    """The two passwords of the mutual proof."""

    node: str = attrs.field(repr=False)
    server: str = attrs.field(repr=False)


def make_passwords() -> Passwords:
    """New ones, 192 bits each."""
    return Passwords(secrets.token_urlsafe(24), secrets.token_urlsafe(24))


@attrs.frozen
class Settings:
    """One personal cluster: where its master listens and what its nodes have to know.

    user: the account of the nodes; subnets, host: from where they come, and to where; drain_limit: seconds
    that running tasks are given when a service stops; run_as: the user of all tasks of nodes that the master launches,
    "" for each one's owner.
    """

    socket: str
    state: Path
    port: int
    passwords: Passwords
    user: str
    subnets: str = LOOPBACK
    host: str = "127.0.0.1"
    drain_limit: float = DRAIN_SECONDS
    database: str = ""
    run_as: str = ""


def master_text(settings: Settings) -> str:
    """The configuration of the master."""
    return (
        f"{_HEAD}"
        f"{_common(settings)}"
        f"socket = {settings.socket}\n\n"
        "[server]\n"
        f"subnets = {settings.subnets}\n"
        f"{'listen = 127.0.0.1' if settings.subnets == LOOPBACK else '# listen: on all interfaces'}\n"
        f"state folder = {settings.state}\n"
        f"drain limit = {settings.drain_limit:g}s\n"
        f"{f'database = {settings.database}' if settings.database else '# database: SQLite in the state folder'}\n\n"
        "[client]\n"
        f"{_account(settings)}" + (f"run tasks as = {settings.run_as}\n" if settings.run_as else "")
    )


def node_text(
    settings: Settings,
    name: str,
    slots: int | None,
    run_as: str = "",
    state: Path | None = None,
    output_limit: str = "",
) -> str:
    """The configuration of one node.

    slots: tasks at a time, None for one per core; run_as: the user of all tasks, "" for each one's owner;
    state: folder of the node's own files, None for the default; output_limit: how much of a task's output is passed
    on, as somebody wrote it, "" for the default.
    """
    return (
        f"{_HEAD}"
        f"{_common(settings)}\n"
        "[client]\n"
        f"host = {settings.host}\n"
        f"{_account(settings)}"
        f"name = {name}\n"
        f"slots = {slots or 'auto'}\n"
        f"drain limit = {settings.drain_limit:g}s\n"
        f"{f'retry every = {RETRY_SECONDS:g}s' if settings.host == LOOPBACK else '# retry every = 10s'}\n"
        f"{f'output limit = {output_limit}' if output_limit else '# output limit = 16 MiB'}\n"
        f"{f'run tasks as = {run_as}' if run_as else '# run tasks as: the person who started this node'}\n"
        f"{f'state folder = {state}' if state else '# state folder: the default'}\n"
    )


def _common(settings: Settings) -> str:
    return f"[common]\ntcp port = {settings.port}\nserver password = {settings.passwords.server}\n"


def _account(settings: Settings) -> str:
    return f"user = {settings.user}\npassword = {settings.passwords.node}\n"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
