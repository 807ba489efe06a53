"""A cloud for a master of its own process: machines that join a stand-in of Torque, kept in its server's file.

cloud: {sky: {type: "asyncluster.testing.torque_cloud:Machines", config: {arguments: {server: /folder}}}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Order, Pool
from asyncluster.testing.torque_sim.server import Server, State


@implementer(ICloud)
class Machines:
    """One pool's.  server: the folder of the stand-in."""

    def __init__(self, reactor: Any, pool: Pool, realm: str, _folder: Path, server: str) -> None:
        self.pool = pool.name
        self._flavor, self._realm, self._reactor = pool.flavor, realm, reactor
        self._server = Path(server)

    def flavor(self) -> Deferred[Flavor]:
        """As configured."""
        return succeed(self._flavor)

    def list(self) -> Deferred[Listing]:
        """All that were made; those that run, and that Torque knows by now, have told it that they are there."""
        with Server(self._server) as state:
            machines = dict(state.setdefault("machines", {}))
            for name, machine in machines.items():
                if name in state["nodes"] and machine["runs"]:
                    state["nodes"][name].update(up=True, came=True)
        found = tuple(self._instance(name, machine) for name, machine in machines.items())
        return succeed(Listing(self.pool, found, self._reactor.seconds()))

    def launch(self, order: Order) -> Deferred[Instance]:
        """It runs at once, and its name is known."""
        with Server(self._server) as state:
            machine = state.setdefault("machines", {}).setdefault(order.name, {"token": order.token, "runs": True})
            state["hosts"] = sorted({*state["hosts"], order.name})
        return succeed(self._instance(order.name, machine))

    def destroy(self, instance: Instance) -> Deferred[None]:
        """It is gone at once."""
        with Server(self._server) as state:
            state["machines"][instance.name]["runs"] = False
            if instance.name in state["nodes"]:
                state["nodes"][instance.name]["up"] = False
        return succeed(None)

    def _instance(self, name: str, machine: State) -> Instance:
        state = InstanceState.ACTIVE if machine["runs"] else InstanceState.GONE
        return Instance(name, name, state, True, self._realm, machine["token"], "127.0.0.1")
