"""The loop as a service: discover, plan, run (skeleton: the signatures stand, the bodies follow)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from asyncluster.elastic.actions import Plan, Reason
from asyncluster.elastic.options import Options
from asyncluster.interfaces import ICloud, IHooks, INodeBook, IReactor, IReadinessCheck, IScheduler
from asyncluster.model.supply import Pool


class Engine(Service):
    """Starts and stops nodes as work needs them.

    reactor: counts time (steadily) and has the threads that plans are made in.  pools, clouds: each pool's
    configuration, and by its name the cloud that provides its nodes.  check: None = ready as soon as active.
    hooks: runs `options.commands`.  wall: the time of day.  think: runs a function elsewhere and gives a Deferred;
    None = in a thread of the reactor's pool.
    """

    def __init__(
        self,
        reactor: IReactor,
        scheduler: IScheduler,
        pools: Sequence[Pool],
        clouds: Mapping[str, ICloud],
        book: INodeBook,
        options: Options = Options(),
        *,
        check: IReadinessCheck | None = None,
        hooks: IHooks | None = None,
        wall: Callable[[], float] | None = None,
        think: Callable[..., Deferred[Plan]] | None = None,
    ) -> None:
        raise NotImplementedError

    # startService loads the book and begins to discover; `ready` fires when the book is read (or fails with StoreError).
    # stopService gives a Deferred: nothing new is begun, what runs is cancelled, the book is written.
    # Nodes stay as they are: who wants none left drains the pools before (`drain`, then `settled()`).

    ready: Deferred[None]

    def wake(self) -> None:
        """New demand: ask the scheduler now and decide at once, not at the next interval.  Cheap; call it often."""

    def status(self) -> dict[str, Any]:
        """Basic types: engine, sources with their ages, pools with their counts and reason, nodes with theirs."""
        raise NotImplementedError

    def preview(self) -> Deferred[Plan]:
        """What the next tick would do with what is known now, and why; does nothing."""
        raise NotImplementedError

    def explain_job(self, job: str) -> Reason | None:
        """Why a batch job waits; None = it does not wait, or is not known."""

    def explain_node(self, name: str) -> Reason | None:
        """Why a node is as it is."""

    def explain_pool(self, name: str) -> Reason | None:
        """Why a pool launches or releases what it does."""

    def renews(self, name: str) -> bool:
        """Whether the node of that name may have its lease renewed: it is ours and not on its way out."""
        raise NotImplementedError

    # Steering: each is in the book before its Deferred fires; RefusedError names what is not there.
    # set_auto(on), set_sleep(on), set_passive(on), launch(pool, count, by), freeze(pool, by), drain(pool, by),
    # restore(pool), hold(node, by), unhold(node), vacate(node, by), delete(node, by, force=False)
    # settled() -> Deferred[None]: no record is on its way to anything (tests, and the end of a program).
