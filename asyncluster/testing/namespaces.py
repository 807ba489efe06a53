"""A cloud whose machines are network namespaces here, each with an address and the daemon of a batch system.

    cloud: {burst: {type: "asyncluster.testing.namespaces:NamespaceCloud", config: {arguments: {…}}}}

Machines boot and end by scripts of their own, which nobody waits for, so a master that is killed leaves a machine that
goes on booting, as a real cloud does.  A machine whose processes have all been killed is listed as before: the cloud
knows of power, not of what runs.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import deferLater
from zope.interface import implementer

from asyncluster.errors import CapacityError, CloudError
from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Order, Pool
from asyncluster.supply.naming import check_name
from asyncluster.testing.hosts import NETWORK

FORGET = 600.0
"""Seconds for which a machine that is gone is listed as such."""

STILLBORN = 10.0
"""Seconds after which a machine whose script has never begun is taken for one that does not come."""

_ORDER, _STATE = "order.json", "state"

_BOOT = r"""
set -e
folder=$1 space=$2 head=$3 name=$4 address=$5 boot=$6; shift 6
wrong() { ip netns del "$space" 2>/dev/null || :; echo error > "$folder/state"; }
trap wrong EXIT
echo starting > "$folder/state"
mkdir -p "/etc/netns/$space"
{ cat "/etc/netns/$head/hosts"; echo "$address $name"; } > "/etc/netns/$space/hosts"
echo "$name" > "/etc/netns/$space/hostname"
ip netns add "$space"
port=m${address##*.}
ip -n "$space" link set lo up
ip -n "$head" link add "$port" type veth peer name eth0 netns "$space"
ip -n "$head" link set "$port" master br0 up
ip -n "$space" addr add "$address/24" dev eth0
ip -n "$space" link set eth0 up
sleep "$boot"
trap - EXIT
echo active > "$folder/state"
# what the machine's init does: start the daemon until it stays
exec ip netns exec "$space" unshare -u sh -c 'hostname "$0"; until "$@"; do sleep 0.5; done' "$name" "$@"
"""

_END = r"""
folder=$1 space=$2
boot=$(cat "$folder/pid" 2>/dev/null) && kill -s KILL -- "-$boot" 2>/dev/null
for how in TERM KILL KILL; do
    pids=$(ip netns pids "$space" 2>/dev/null)
    [ -n "$pids" ] || break
    kill -s $how $pids 2>/dev/null
    sleep 0.3
done
ip netns del "$space" 2>/dev/null
rm -rf "/etc/netns/$space"
echo gone > "$folder/state"
"""

_STATES = {
    "starting": InstanceState.STARTING,
    "active": InstanceState.ACTIVE,
    "error": InstanceState.ERROR,
    "deleting": InstanceState.DELETING,
    "gone": InstanceState.GONE,
}


@implementer(ICloud)
class NamespaceCloud:
    """One pool of such machines, beside the hosts of a `BatchHosts`."""

    def __init__(
        self,
        reactor: Any,
        pool: Pool,
        realm: str,
        folder: Path,
        prefix: str,
        daemon: str,
        boot: str = "0.5",
        answer: str = "0",
        capacity: str = "100",
    ) -> None:
        """What it is told, as texts.

        prefix: of the namespaces of the hosts beside which they come, whose head has the bridge; daemon: the command
        that a machine starts until it succeeds, {0} its name, {1} its address; boot: seconds until a machine runs;
        answer: seconds until a launch is answered; capacity: machines that there are.
        """
        self.pool = pool.name
        self._reactor = reactor
        self._has = pool.flavor
        self._realm = realm
        self._folder = folder
        self._prefix = prefix
        self._daemon = shlex.split(daemon)
        self._boot = float(boot)
        self._answer = float(answer)
        self._capacity = int(capacity)
        self._scripts: list[subprocess.Popen[bytes]] = []

    def flavor(self) -> Deferred[Flavor]:
        """What the configuration says."""
        return succeed(self._has)

    def list(self) -> Deferred[Listing]:
        """All machines, those that are gone for some minutes more."""
        self._reap()
        found = tuple(map(self._instance, self._machines()))
        return succeed(Listing(self.pool, found, self._reactor.seconds()))

    def launch(self, order: Order) -> Deferred[Instance]:
        """Begin to boot one; CapacityError where there are no more."""
        try:
            instance = self._launch(order)
        except CloudError as error:
            return fail(error)
        return deferLater(self._reactor, self._answer, lambda: instance) if self._answer else succeed(instance)

    def destroy(self, instance: Instance) -> Deferred[None]:
        """Begin to end one."""
        folder = self._folder / instance.name
        if (folder / _ORDER).exists() and _state(folder) not in ("deleting", "gone"):
            _write(folder / _STATE, "deleting\n")
            self._script(_END, str(folder), self.space(instance.name))
        return succeed(None)

    def space(self, name: str) -> str:
        """The namespace of a machine."""
        return f"{self._prefix}-{name}"

    def instance(self, name: str) -> Instance:
        """One machine."""
        return self._instance(self._folder / name)

    def _launch(self, order: Order) -> Instance:
        folder = self._folder / check_name(order.name)
        known = _read(folder)
        if known is not None:
            if known["token"] != order.token:
                raise CloudError(f"there is a machine {order.name} already, by another order")
            return self._instance(folder)
        machines = [_read(folder) or {} for folder in self._machines()]
        living = sum(_state(folder) != "gone" for folder in self._machines())
        if living >= self._capacity:
            raise CapacityError(f"all {self._capacity} machines are in use")
        taken = {machine.get("address") for machine in machines}
        address = next(one for one in (f"{NETWORK}.{100 + nth}" for nth in range(150)) if one not in taken)
        folder.mkdir(parents=True, exist_ok=True)
        words = {"token": order.token, "owner": self._realm, "born": time.time(), "address": address}
        _write(folder / _ORDER, json.dumps(words))
        head = f"{self._prefix}-head"
        daemon = [word.replace("{0}", order.name).replace("{1}", address) for word in self._daemon]
        boot = self._script(
            _BOOT, str(folder), self.space(order.name), head, order.name, address, str(self._boot), *daemon
        )
        _write(folder / "pid", str(boot.pid))  # its session's, so that it can be ended before it has begun
        return self._instance(folder)

    def _script(self, script: str, folder: str, *words: str) -> subprocess.Popen[bytes]:
        with (Path(folder) / "log").open("ab") as log:
            process = subprocess.Popen(
                ["sh", "-c", script, "machine", folder, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._scripts.append(process)
        return process

    def _reap(self) -> None:
        self._scripts = [process for process in self._scripts if process.poll() is None]

    def _machines(self) -> Iterable[Path]:
        for path in sorted(self._folder.glob(f"*/{_ORDER}")):
            if _state(path.parent) != "gone" or time.time() - (path.parent / _STATE).stat().st_mtime < FORGET:
                yield path.parent

    def _instance(self, folder: Path) -> Instance:
        words = _read(folder) or {}
        said = _state(folder)
        born = float(words.get("born", 0.0))
        state = _STATES.get(said, InstanceState.STARTING)
        if not said and time.time() - born > STILLBORN:
            state = InstanceState.ERROR
        return Instance(
            id=str(folder),
            name=folder.name,
            state=state,
            owner=str(words.get("owner", "")),
            token=str(words.get("token", "")),
            address=str(words.get("address", "")),
            born=born,
            said=said,
        )


@attrs.define(eq=False)
class Machines:
    """What became of a pool's machines, for tests.  folder: of the pool; prefix: of all namespaces."""

    folder: Path
    prefix: str

    def states(self) -> dict[str, str]:
        """By name, in the cloud's words."""
        return {path.parent.name: _state(path.parent) for path in self.folder.glob(f"*/{_ORDER}")}

    def living(self) -> list[str]:
        """Those that are not gone."""
        return sorted(name for name, state in self.states().items() if state != "gone")

    def spaces(self) -> list[str]:
        """Namespaces of machines that are there, whatever the cloud says."""
        found = (name.removeprefix(f"{self.prefix}-") for name in os.listdir("/run/netns"))
        return sorted(name for name in found if (self.folder / name).exists())

    def forget(self) -> None:
        """What is gone was never there."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _state(folder: Path) -> str:
    try:
        return (folder / _STATE).read_text().strip()
    except OSError:
        return ""


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        words = json.loads((folder / _ORDER).read_text())
    except (OSError, ValueError):
        return None
    return words if isinstance(words, dict) else None


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
