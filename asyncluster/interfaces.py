"""What parts expect of each other across packages."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)


class IReactor(IReactorTime, IReactorThreads, IReactorTCP, IReactorUNIX, IReactorPluggableNameResolver):
    """The reactor where sockets are made; take a narrower interface wherever one will do."""
