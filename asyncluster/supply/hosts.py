"""A fixed list of machines, reached by ssh: on each at most one node, started there and left to itself.

A node's identity stands in a file on its machine, so a master that was killed at any moment finds every node again.
What was last known of each machine stands in a file of ours as well: one that does not answer is told of as it was,
with the reason, and never left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from asyncluster import inherited
from asyncluster.errors import CapacityError, CloudError, NoAnswerError
from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Order
from asyncluster.model.supply_options import HostsUnit
from asyncluster.personal.files import write_private
from asyncluster.supply.naming import check_name
from asyncluster.supply.once import Once
from asyncluster.supply.ssh import NeverReachedError, Runs, Ssh

_log = Logger()

_STATES = {"active": InstanceState.ACTIVE, "deleting": InstanceState.DELETING, "gone": InstanceState.GONE}
_NOTES = "machines.json"

Node = dict[str, Any]
"""What a machine says of one node: name, token, owner, pool, born, state, said."""

Nodes = list[Node]


@implementer(ICloud)
@attrs.define(eq=False)
class HostsCloud:
    """One pool of machines.

    pool: its name; unit: the machines and how they are reached; folder: for our notes; realm: of the master, whose
    tag the nodes bear; conf_text: a node's configuration, with `there.MASTER` and `there.FOLDER` to be put in; has:
    what a node has, as far as one knows; runs: runs ssh; drain_limit: seconds that a node may take to end.
    """

    pool: str
    unit: HostsUnit
    folder: Path
    realm: str
    reactor: IReactorTime
    conf_text: Callable[[Order], str]
    has: Flavor
    runs: Runs
    drain_limit: float = 30.0
    _ssh: Ssh = attrs.field(init=False, repr=False)
    _known: dict[str, Nodes] = attrs.field(init=False, repr=False)  # by machine, of the last answer of each
    _orders: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)  # token -> machine, under way
    _faults: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)  # of machines that did not answer
    _once: Once = attrs.field(factory=Once, init=False, repr=False)
    _turns: dict[str, int] = attrs.field(factory=dict, init=False, repr=False)  # orders that each machine was given
    _looked: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._ssh = Ssh(self.pool, self.unit, self.runs)
        self._known = {host: nodes for host, nodes in self._read_notes().items() if host in self.unit.hosts}

    def flavor(self) -> Deferred[Flavor]:
        """What the configuration says."""
        return succeed(self.has)

    def list(self) -> Deferred[Listing]:
        """All nodes on these machines; what a machine that gives no answer had is told as UNKNOWN.

        Fails with NoAnswerError only where no machine answers.
        """
        return Deferred.fromCoroutine(self._list())

    def launch(self, order: Order) -> Deferred[Instance]:
        """Start a node on the first machine that is free; CapacityError where none is."""
        return self._once.launch(order, self._launch)

    def destroy(self, instance: Instance) -> Deferred[None]:
        """Ask it to end; kill it where it has been asked for longer than it may take."""
        return Deferred.fromCoroutine(self._destroy(instance))

    # Looking

    async def _list(self) -> Listing:
        seen = self.reactor.seconds()
        await gatherResults([Deferred.fromCoroutine(self._look(host)) for host in self.unit.hosts])
        self._looked = True
        if self.unit.hosts and len(self._faults) == len(self.unit.hosts):
            raise NoAnswerError(f"none of {len(self._faults)} machines answers; {next(iter(self._faults.values()))}")
        nodes = ((host, node) for host in self.unit.hosts for node in self._known.get(host, ()))
        # a machine may have another pool's
        found = tuple(self._told(host, node) for host, node in nodes if node["pool"] == self.pool)
        return Listing(self.pool, found, seen)

    async def _look(self, host: str) -> None:
        """Bring up to date what is known of one machine; never fails."""
        turn = self._turns.get(host, 0)
        try:
            answer = await self._ssh.ask(host, self._order("list"))
        except (NoAnswerError, CloudError) as error:
            if self._faults.get(host) != str(error):
                _log.warn("pool {pool}: {error}", pool=self.pool, error=error)
            self._faults[host] = str(error)
            return
        self._faults.pop(host, None)
        if turn == self._turns.get(host, 0):  # else it may have answered before it had what was ordered meanwhile
            self._take(host, answer)

    def _take(self, host: str, answer: dict[str, Any]) -> None:
        self._note(host, [node for node in answer.get("nodes", ()) if _is_node(node)])

    def _note(self, host: str, nodes: Nodes) -> None:
        if self._known.get(host, []) == nodes:
            return
        self._known[host] = nodes
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.folder / _NOTES, json.dumps(self._known))
        except OSError as error:
            _log.error("pool {pool}: {error}; what its machines had is not noted", pool=self.pool, error=error)

    def _read_notes(self) -> dict[str, Nodes]:
        try:
            found = json.loads((self.folder / _NOTES).read_text(encoding="utf-8"))
            return {str(host): [node for node in nodes if _is_node(node)] for host, nodes in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _told(self, host: str, node: Node) -> Instance:
        fault = self._faults.get(host, "") if node["state"] != "gone" else ""
        state = InstanceState.UNKNOWN if fault else _STATES.get(node["state"], InstanceState.UNKNOWN)
        return Instance(
            id=f"{host}/{node['name']}",
            name=node["name"],
            state=state,
            owner=node["owner"],
            token=node["token"],
            address=host.rpartition("@")[2],
            born=float(node["born"]),
            said=f"no answer: {fault}" if fault else f"{node['said']} on {host}",
        )

    # Doing

    async def _launch(self, order: Order) -> Instance:
        check_name(order.name)
        if not self._looked:
            await self._list()  # it may have been carried out by a master before us
        for host, nodes in self._known.items():
            if any(node["token"] == order.token for node in nodes):
                return await self._begin(host, order)  # there or nowhere: it may have been carried out
            if any(node["name"] == order.name and node["state"] != "gone" for node in nodes):
                raise CloudError(f"node {order.name} exists already on {host}, by another order")
        tried: set[str] = set()
        refusal: CloudError | None = None
        while True:
            try:
                host = self._free(tried)
            except CapacityError as error:
                raise refusal or error from None
            tried.add(host)
            try:
                return await self._begin(host, order)
            except NeverReachedError as error:
                self._faults[host] = str(error)
            except CloudError as error:
                refusal = error

    def _free(self, tried: set[str]) -> str:
        """The first machine that has nothing and answers."""
        taken = set(self._orders.values())
        taken |= {host for host, nodes in self._known.items() if any(node["state"] != "gone" for node in nodes)}
        free = [host for host in self.unit.hosts if host not in taken and host not in tried]
        for host in free:
            if host not in self._faults:
                return host
        silent = [f"{host}: {fault}" for host, fault in self._faults.items() if host not in taken]
        more = f"; {len(silent)} cannot be used ({silent[0]})" if silent else ""
        raise CapacityError(f"none of the {len(self.unit.hosts)} machines of pool {self.pool} is free{more}")

    async def _begin(self, host: str, order: Order) -> Instance:
        """Start it there.  NeverReachedError, CloudError: it was not; the machine may have another node."""
        words = {
            "token": order.token, "owner": self.realm, "pool": self.pool, "born": time.time(),
        }  # fmt: skip
        intent = {**words, "name": order.name, "state": "active", "said": "it was ordered"}
        before = self._known.get(host, [])
        others = [node for node in before if node["name"] != order.name]
        self._orders[order.token] = host
        self._turns[host] = self._turns.get(host, 0) + 1
        try:
            self._note(host, [*others, intent])  # before it is asked
            answer = await self._ssh.ask(host, self._order("launch", order.name) | self._birth(order, words))
        except (NeverReachedError, CloudError):
            self._note(host, before)
            raise
        finally:
            del self._orders[order.token]
        node = answer.get("node")
        if node is None or not _is_node(node):
            self._note(host, before)
            await self._look(host)
            raise CloudError(f"{host} has another node already, {str(answer.get('busy'))[:60]}")
        self._note(host, [*others, node])
        _log.info("node {node} of pool {pool} is on {host}", node=order.name, pool=self.pool, host=host)
        return self._told(host, node)

    async def _destroy(self, instance: Instance) -> None:
        host, _, name = instance.id.rpartition("/")
        if host not in self.unit.hosts:
            return  # no machine of this pool any more, and not listed either
        self._take(host, await self._ssh.ask(host, self._order("destroy", check_name(name))))

    def _order(self, do: str, name: str = "") -> dict[str, Any]:
        return {"do": do, "name": name, "folder": self.unit.folder, "drain_limit": self.drain_limit}

    def _birth(self, order: Order, words: dict[str, Any]) -> dict[str, Any]:
        environment = {
            inherited.NODE_NAME: order.name,
            inherited.NODE_POOL: self.pool,
            inherited.NODE_BIRTHPLACE: "instance",
        }
        conf = "" if self.unit.config_file else self.conf_text(order)
        return {"words": words, "conf": conf, "config_file": self.unit.config_file, "environment": environment}


def _is_node(node: Any) -> bool:
    """Whether that is what a machine says of a node; anybody might answer there."""
    texts = ("name", "token", "owner", "pool", "state", "said")
    return (
        isinstance(node, dict)
        and all(isinstance(node.get(key), str) for key in texts)
        and isinstance(node.get("born"), int | float)
    )
