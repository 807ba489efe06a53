"""As whom a node runs an owner's tasks: the rules, without looking anything up itself.

A daemon of root's runs each owner's tasks as that owner, never as root and never for a name the
machine does not know.  A person's daemon runs that person's tasks and nobody else's.  `run tasks as`
in `[client]` names one user for everybody's tasks; only root may name another than himself.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.frozen
class Identity:
    """Whose process a worker is.  `change`: the uid has to be changed for it (the daemon is root)."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    name: str
    shell: str = "/bin/sh"
    change: bool = False


Lookup = Callable[[str], Identity | None]
"""What the machine knows under a user name; None when it knows nothing."""


def decide(daemon_uid: int, daemon_user: str, owner: str, run_tasks_as: str, lookup: Lookup) -> Identity | str:
    """Give the identity of a worker for `owner`'s tasks, or the sentence that refuses them."""
    if daemon_uid != 0:
        if run_tasks_as and run_tasks_as != daemon_user:
            return f"this node's daemon runs as {daemon_user} and cannot `run tasks as` {run_tasks_as}; only root's can"
        if not run_tasks_as and owner != daemon_user:
            return (
                f"this node belongs to {daemon_user} and runs only {daemon_user}'s tasks, not {owner}'s; "
                "`run tasks as` in [client] of its configuration changes that"
            )
        found = lookup(daemon_user)
        return found or Identity(daemon_uid, -1, (), "", daemon_user)
    name = run_tasks_as or owner
    found = lookup(name)
    if found is None:
        what = "`run tasks as` names" if run_tasks_as else "the tasks are for"
        return f"{what} {name!r}, a user that this machine does not know"
    if found.uid == 0 and run_tasks_as != name:
        return f"tasks of {name} are not run as root; `run tasks as` in [client] names the user to run them as"
    return attrs.evolve(found, change=True)


def serves(daemon_uid: int, daemon_user: str, run_tasks_as: str) -> str:
    """Give the only owner whose tasks are run here, or "*"."""
    return "*" if daemon_uid == 0 or run_tasks_as else daemon_user
