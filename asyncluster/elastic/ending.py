"""The end of all nodes, for an engine whose nodes are to end with it: nothing that bears our tag is left behind."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from asyncluster.elastic.reconcile import is_ours
from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Instance, InstanceState

_log = Logger()

LIMIT = 20.0
"""Seconds that a stopping engine gives its clouds."""

PAUSE = 0.5
"""Seconds between two looks at what is left."""

_ENDING = frozenset({InstanceState.DELETING, InstanceState.GONE})


async def end_all(reactor: IReactorTime, clouds: Mapping[str, ICloud], realm: str) -> None:
    """Destroy all that is ours in all clouds, and look again until nothing is left or the time is up; never fails."""
    ends = [Deferred.fromCoroutine(_end(reactor, pool, cloud, realm)) for pool, cloud in clouds.items()]
    await gatherResults(ends, consumeErrors=True)


async def _end(reactor: IReactorTime, pool: str, cloud: ICloud, realm: str) -> None:
    deadline = reactor.seconds() + LIMIT
    problem = ""
    while (left := deadline - reactor.seconds()) > 0:
        try:
            found = await _ours(cloud, realm).addTimeout(left, reactor)
            if not found:
                return
            problem = f"{len(found)} of its nodes are still there"
            left = max(0.1, deadline - reactor.seconds())
            told = [Deferred.fromCoroutine(_destroy(reactor, cloud, instance, left)) for instance in found]
            refusals = [refusal for refusal in await gatherResults(told) if refusal]
            if refusals:
                problem += f", {len(refusals)} of them could not be told to end ({refusals[0]})"
        except Exception as error:  # whatever a cloud's adapter does, the master has to come to its end
            problem = str(error) or type(error).__name__
        await deferLater(reactor, PAUSE)
    _log.error(
        "pool {pool}: its nodes could not all be ended: {problem}; they end themselves when their lease is over",
        pool=pool,
        problem=problem,
    )


async def _destroy(reactor: IReactorTime, cloud: ICloud, instance: Instance, left: float) -> str:
    """Tell one to end, within so many seconds; what went wrong, '' = nothing.  Never fails: the others are told too."""
    try:
        await maybeDeferred(cloud.destroy, instance).addTimeout(left, reactor)
    except Exception as error:  # see above
        return f"{instance.name}: {str(error) or type(error).__name__}"
    return ""


def _ours(cloud: ICloud, realm: str) -> Deferred[list[Instance]]:
    """What is to be ended, and does not end yet."""
    return cloud.list().addCallback(
        lambda listing: [each for each in listing.instances if is_ours(each, realm) and each.state not in _ENDING]
    )
