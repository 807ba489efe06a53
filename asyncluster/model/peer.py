"""Who is on the other end of a link, as far as it was proven."""

from __future__ import annotations

from enum import Enum

import attrs

OWN_ACCOUNT = "~"
"""What the account of a single node begins with; the node's name follows."""


LOCAL = "unix:"
"""What the address of a peer on the UNIX socket begins with; its process follows."""


class Role(Enum):
    """What a peer may do."""

    NODE = "node"
    CLIENT = "client"
    MASTER = "master"


@attrs.frozen
class Peer:
    """A proven peer: `name` is the account (TCP) or the user name (UNIX socket)."""

    role: Role
    name: str
    address: str
    admin: bool = False

    @property
    def is_local(self) -> bool:
        """It came by the UNIX socket, where the kernel says who it is."""
        return self.address.startswith(LOCAL)


@attrs.frozen
class Hello:
    """The frozen first words of a conversation (docs/wire.md)."""

    protocol: int
    features: tuple[str, ...]
    software: str
    python: str
    pickle: int
    role: str
    name: str
