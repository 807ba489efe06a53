"""Names and tags by which we know again what we made: pure.

A cloud with tags gets them as `tags` gives them.  A batch system has none that all of them list, so a pilot's job bears
them in its name:

    night-7.3fa29c01be      the node night-7; 3fa2: of whose realm; 9c01be: by which order

So two masters of one user, or one with a new book, never take each other's pilots for their own, and the same order
given twice is found again, even by a master that was killed before it heard of the first.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping

import attrs

from asyncluster.errors import CloudError
from asyncluster.model.supply import Order

_NODE = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_JOB = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,62})\.([0-9a-f]{4})([0-9a-f]{6})", re.ASCII)

TAG = "asyncluster"
"""What the names of all our tags begin with."""


@attrs.frozen
class JobName:
    """What the name of a pilot's job tells.  realm, token: marks, not the things themselves."""

    node: str
    realm: str
    token: str

    def __str__(self) -> str:
        return f"{self.node}.{self.realm}{self.token}"


def job_name(order: Order, realm: str) -> JobName:
    """The name of the job for an order of the master with that realm; raises CloudError for a node that has none."""
    check_name(order.name)
    return JobName(order.name, mark(realm, 4), mark(order.token, 6))


def read_job_name(text: str) -> JobName | None:
    """The parts of a name that `job_name` made; None for any other."""
    match = _JOB.fullmatch(text)
    return JobName(match[1], match[2], match[3]) if match is not None else None


def mark(text: str, digits: int) -> str:
    """So many hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def tags(order: Order, realm: str, expires: float) -> dict[str, str]:
    """For a cloud that has tags; expires: seconds since the epoch, when the instance may be ended by anybody."""
    values = {"name": order.name, "pool": order.pool, "realm": realm, "token": order.token, "expires": f"{expires:.0f}"}
    return {f"{TAG}-{key}": value for key, value in values.items()}


@attrs.frozen
class Tags:
    """What an instance's tags tell; "" and 0 = they do not say."""

    name: str = ""
    pool: str = ""
    realm: str = ""
    token: str = ""
    expires: float = 0.0


EXPIRES = f"{TAG}-expires"
"""The tag that says when a lease is over, which is written anew when it is renewed."""


def read_tags(found: Mapping[str, str]) -> Tags | None:
    """What `tags` wrote, among whatever else is there; None: it is not of ours, since it names no realm."""
    if not found.get(f"{TAG}-realm"):
        return None
    words = {key: str(found.get(f"{TAG}-{key}") or "") for key in ("name", "pool", "realm", "token")}
    try:
        expires = float(found.get(EXPIRES) or 0)
    except ValueError:
        expires = 0.0
    return Tags(**words, expires=expires if math.isfinite(expires) and expires > 0 else 0.0)


def check_name(name: str) -> str:
    """The name, where it can be a host's and a batch job's; raises CloudError."""
    if not _NODE.fullmatch(name):
        raise CloudError(
            f"{name[:80]!r} cannot be a node's name: a letter first, then letters, digits and hyphens, at most 63; "
            "`instance_name_prefix` of the pool decides what it begins with"
        )
    return name
