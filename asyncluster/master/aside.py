"""Work for the elastic engine's answers in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from asyncluster.elastic.engine import Engine

T = TypeVar("T")


def aside(engine: Engine, work: Callable[[], T]) -> Deferred[T]:
    """Do in a thread what takes longer of thousands of nodes than the reactor may stand still."""
    reactor = engine.means[0]
    return deferToThreadPool(reactor, reactor.getThreadPool(), work)
