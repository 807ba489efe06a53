"""Nodes as processes on this machine: what an own queue grows into without a cloud, and the bed of many tests.

One folder a node, `POOL/NAME/`, made before the process is: `order.json` (the intent, with its token), `node.conf`,
`pid` and `node.log`.  A process is ours only when its command line names our configuration file, so a master that
was killed at any moment finds every node again, and no number that went to another process is ever signalled.

What has ended is known for sure here, so it is listed as gone at once and for a while, rather than left out.

Starting a process and removing what a node has left take their time: all that touches the folder is done in a thread
of the pool's own, one thing after the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from asyncluster import inherited
from asyncluster.errors import CloudError
from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Order
from asyncluster.personal.files import write_private
from asyncluster.personal.spawn import launch, service, tail
from asyncluster.supply.naming import check_name

_log = Logger()

PATIENCE = 10.0
"""Seconds beyond the drain limit after which a node that was asked to end is killed."""

KEPT = 3600.0
"""Seconds for which what has ended is listed as gone, and for which the folder of a node that died is kept."""

YOUNG = 10.0
"""Seconds after an order in which a process that is not ours may be there without its command line as yet."""

SIGHT = 0.1
"""Seconds between two looks for the process of such an order, where it is to be ended."""

_ORDER, _CONF, _PID, _LOG, _ENDING = "order.json", "node.conf", "pid", "node.log", "ending"


@implementer(ICloud)
@attrs.define(eq=False)
class LocalCloud:
    """One pool of node daemons on this machine.

    pool: its name; folder: for all its nodes, private to who runs the master; realm: of the master, whose tag they
    bear; call: runs something in the pool's only thread; conf_text: makes a node's configuration out of an order and
    its folder, there; drain_limit: seconds that a node may take to end.
    """

    pool: str
    folder: Path
    realm: str
    reactor: IReactorTime
    call: Callable[..., Deferred[Any]]
    conf_text: Callable[[Order, Path], str]
    has: Flavor
    drain_limit: float = 30.0
    _children: dict[str, subprocess.Popen[bytes]] = attrs.field(factory=dict, repr=False)
    _gone: dict[str, tuple[Instance, float]] = attrs.field(factory=dict, repr=False)  # and since when it is so

    def flavor(self) -> Deferred[Flavor]:
        """What the configuration says."""
        return succeed(self.has)

    def list(self) -> Deferred[Listing]:
        """Every node whose folder is there: ACTIVE, DELETING, or GONE with its last words; and what has ended."""
        return self.call(self._list)

    def launch(self, order: Order) -> Deferred[Instance]:
        """Start one, unless this order has been carried out already."""
        return self.call(self._launch, order)

    def destroy(self, instance: Instance) -> Deferred[None]:
        """Ask it to end; kill it where it has been asked for longer than it may take."""
        return Deferred.fromCoroutine(self._destroy(self.folder / instance.name))

    async def _destroy(self, folder: Path) -> None:
        while not await self.call(self._asked, folder):
            await deferLater(self.reactor, SIGHT)

    # In the thread

    def _list(self) -> Listing:
        now = self.reactor.seconds()
        for name, (_, since) in list(self._gone.items()):
            if now - since > KEPT:
                self._bury(self.folder / name)
                del self._gone[name]
        found = {folder.name: self._instance(folder) for folder in sorted(self._folders())}
        ended = (instance for name, (instance, _) in self._gone.items() if found.get(name) is None)
        return Listing(self.pool, (*filter(None, found.values()), *ended), now)

    def _asked(self, folder: Path) -> bool:
        """Whether it was asked to end, or has ended; its process may be there and not be seen as yet."""
        pid = self._pid(folder)
        if pid is not None:
            self._end(folder, pid)
            return True
        found = self._instance(folder)  # which remembers it as gone
        if found is None or found.state is InstanceState.GONE:
            self._bury(folder)
            return True
        return False  # another master began it just now: it would never be asked

    def _folders(self) -> Iterable[Path]:
        return (path.parent for path in self.folder.glob(f"*/{_ORDER}"))

    def _launch(self, order: Order) -> Instance:
        try:
            return self._started(order)
        except OSError as error:
            raise CloudError(f"no node started here: {error}") from error

    def _started(self, order: Order) -> Instance:
        folder = self.folder / check_name(order.name)
        known = _read(folder)
        if known is not None and known["token"] != order.token:
            raise CloudError(f"node {order.name} exists already, by another order")
        if known is None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            words = {"token": order.token, "owner": self.realm, "born": time.time()}
            write_private(folder / _ORDER, json.dumps(words))
        if self._pid(folder) is None:
            conf = folder / _CONF
            write_private(conf, self.conf_text(order, folder))
            child = launch(service("asyncluster.node", conf), folder / _LOG, {}, self._born(order))
            self._children[order.name] = child
            self._gone.pop(order.name, None)
            write_private(folder / _PID, str(child.pid))
        instance = self._instance(folder)
        assert instance is not None
        return instance

    def _born(self, order: Order) -> dict[str, str]:
        words = {
            inherited.NODE_NAME: order.name,
            inherited.NODE_POOL: self.pool,
            inherited.NODE_BIRTHPLACE: "instance",
        }
        if order.lifetime:
            words |= {inherited.NODE_LIFETIME: f"{order.lifetime:.0f}", inherited.NODE_BEGAN: f"{time.time():.0f}"}
        return words

    def _instance(self, folder: Path) -> Instance | None:
        words = _read(folder)
        if words is None:
            return None
        pid = self._pid(folder)
        ending = (folder / _ENDING).exists()
        if pid is not None:
            state, said = (InstanceState.DELETING if ending else InstanceState.ACTIVE), f"process {pid}"
        elif ending:
            state, said = InstanceState.GONE, "it has ended as it was asked to"
        elif folder.name not in self._children and abs(time.time() - float(words["born"])) < YOUNG:
            state, said = InstanceState.STARTING, "its process cannot be seen as yet"
        else:
            lines = ["its process has ended; it wrote last:", *tail(folder / _LOG)[-3:]]
            state, said = InstanceState.GONE, "\n".join(lines)
        found = Instance(
            id=str(folder),
            name=folder.name,
            state=state,
            owner=str(words["owner"]),
            token=str(words["token"]),
            address="127.0.0.1",
            born=float(words["born"]),
            said=said,
        )
        if state is InstanceState.GONE:
            self._gone.setdefault(folder.name, (found, self.reactor.seconds()))
            if ending:
                self._bury(folder)
        return found

    def _bury(self, folder: Path) -> None:
        """Its files go; none where a process runs."""
        if self._pid(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
            self._children.pop(folder.name, None)

    def _pid(self, folder: Path) -> int | None:
        """Its process; also of one whose number was not written down, because the master was killed just then."""
        child = self._children.get(folder.name)
        if child is not None and child.poll() is None:
            return child.pid  # one that has just begun has no command line as yet
        conf = os.fsencode(folder / _CONF)
        try:
            pid = int((folder / _PID).read_text())
        except (OSError, ValueError):
            if not (folder / _CONF).exists():
                return None
            return next((pid for pid in _processes() if _runs(pid, conf)), None)
        return pid if _runs(pid, conf) else None

    def _end(self, folder: Path, pid: int) -> None:
        asked = folder / _ENDING
        with contextlib.suppress(ProcessLookupError):
            try:
                since = float(asked.read_text())
            except (OSError, ValueError):
                os.kill(pid, signal.SIGTERM)
                write_private(asked, str(time.time()))
                return
            # either way: a clock that was set back must not keep it alive for ever
            if abs(time.time() - since) > self.drain_limit + PATIENCE:
                _log.warn("node {node} has not ended when asked to: killed", node=folder.name)
                os.killpg(pid, signal.SIGKILL)  # it was made the leader of a session


def _read(folder: Path) -> dict[str, str | float] | None:
    try:
        words = json.loads((folder / _ORDER).read_text())
        return {"token": str(words["token"]), "owner": str(words["owner"]), "born": float(words["born"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _runs(pid: int, conf: bytes) -> bool:
    """Whether that process is alive, this user's, and was given that file."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return False
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")  # empty of a zombie
    except OSError:
        return False
    return conf in words
