"""What may be asked and done about pools and the nodes that they provide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncluster.client.attach import Visitor
from asyncluster.client.place import RECONNECT
from asyncluster.model.pages import from_pages
from asyncluster.model.supply import MOST_DESTROYED


class Pools(Visitor):
    """The elastic engine of a master; a context manager.

    Every method raises RefusedError where the master has no pools, where there is no such pool or node, and, for all
    that changes something, to whoever is no administrator.
    """

    def __init__(self, *, reconnect: float = RECONNECT, **where: Any) -> None:
        super().__init__(0, reconnect, where)

    def status(self) -> dict[str, Any]:
        """Engine, scheduler, clouds, pools and nodes with their states, ages in seconds, and reasons."""
        return dict(from_pages(self.ask("elastic", "status")))

    def plan(self) -> dict[str, Any]:
        """What would be done now, and one reason for each node, each pool and the first waiting jobs; does nothing.

        How many of these jobs are told of is `queued_job_number_to_display`; "waiting" is how many there are.
        """
        return dict(from_pages(self.ask("elastic", "plan")))

    def jobs(self) -> dict[str, Any]:
        """The first "jobs" that wait, each with its reason as last decided, and how many are "waiting" in all."""
        return dict(from_pages(self.ask("elastic", "jobs")))

    def explain(self, kind: str, name: str) -> dict[str, str]:
        """Why a "job" waits, or a "node" or "pool" is as it is: {"rule": …, "text": …}.

        Of a node also its machine's "instance", the id, and "address", "" = not known.
        """
        return dict(self.ask("elastic", "explain", kind, name))

    def check(self, pool: str, wait: float) -> list[dict[str, Any]]:
        """Walk the road to a compute node and back: a step each, with "name", "ok", "text" and "mend".

        wait: seconds that the batch job may wait for its turn.
        """
        return list(self.ask("elastic", "check", pool, wait))

    def orphans(self, pool: str = "") -> dict[str, Any]:
        """What clouds have that nobody looks after: "orphans", one mapping each; "faults", by pool.  "" = all pools.

        "unasked": a sentence for each place that no pool is in any more, and where the book has nodes.
        "leased": how many are another master's whose leases are not over: "owner", "count", "left" in seconds.
        """
        return dict(from_pages(self.ask("elastic", "orphans", pool)))

    def destroy_orphans(self, pool: str, ids: Sequence[str], why: str = "") -> dict[str, Any]:
        """End those of these ids that nobody looks after still: "destroyed", "faults" by id, "silent" by pool.

        why: a sentence for the log, with which also what runs jobs is ended, or may run some, as another master's may.
        """
        done: dict[str, Any] = {"destroyed": [], "faults": {}, "silent": {}}
        for first in range(0, max(1, len(ids)), MOST_DESTROYED):
            some = list(ids[first : first + MOST_DESTROYED])
            answer = from_pages(self.ask("elastic", "destroy", pool, some, why))
            done["destroyed"] += answer["destroyed"]
            done["faults"] |= answer["faults"]
            done["silent"] |= answer.get("silent", {})
        return done

    def examine(self, pool: str = "") -> dict[str, list[dict[str, Any]]]:
        """Whether pools' clouds could launch: by pool, findings with "name", "ok", "text" and "mend".  "" = all."""
        return dict(from_pages(self.ask("elastic", "doctor", pool)))

    def set(self, mode: str, on: bool) -> None:
        """Switch "auto", "sleep" or "passive"."""
        self.ask("elastic", mode, on)

    def launch(self, pool: str, count: int) -> dict[str, Any]:
        """Ask for so many nodes, whatever waits: {"taken": how many come, now or later, "text": a sentence}."""
        return dict(self.ask("elastic", "launch", pool, count))

    def steer(self, what: str, pool_or_node: str) -> None:
        """ "freeze", "drain" or "restore" a pool; "hold", "unhold" or "vacate" a node."""
        self.ask("elastic", what, pool_or_node)

    def delete(self, node: str, force: bool = False) -> None:
        """Give a node up when it is empty; force: its jobs go elsewhere first."""
        self.ask("elastic", "delete", node, force)
