"""What `asyncluster cloud check` tells of one pool: what its cloud says of itself, and what holds for all clouds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.errors import AsynClusterError
from asyncluster.interfaces import ICloud, ICloudDoctor
from asyncluster.model.supply import Finding, InstanceState, Pool
from asyncluster.units import count

_log = Logger()

LIMIT = 120.0
"""Seconds for each question."""

Trial = Callable[[], Deferred[str]]
"""Renders the user data for nobody: a sentence about it, "" = there is none.  Fails with ConfigError."""


@attrs.frozen
class OwnTrial:
    """The trial of a pool whose nodes are to register with this master.

    render: of the user data; masters: where they will look for it, host:port; shut: keys of [server] by which it lets
    in none but its own machine, each with what mends it.
    """

    render: Trial
    masters: tuple[str, ...]
    shut: Mapping[str, str]

    def __call__(self) -> Deferred[str]:
        """Render."""
        return self.render()

    def door(self) -> Finding:
        """Whether nodes can find the master, and get in."""
        text = f"nodes look for it at {', '.join(self.masters)}"
        if all(_is_loopback(master) for master in self.masters):
            return Finding("master", None, f"{text}: each on its own machine", "name another one as the pool's master")
        if not self.shut:
            return Finding("master", True, text)
        mend = "; ".join(f"[server] {key}: {what}" for key, what in self.shut.items())
        return Finding("master", False, f"{text}, and it lets nobody in but this machine", mend)


def _is_loopback(master: str) -> bool:
    host = master.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def examine(reactor: IReactorTime, pool: Pool, cloud: ICloud, trial: Trial | None = None) -> list[Finding]:
    """All findings, those of the cloud itself first.  trial: None = nodes of this pool are told nothing."""
    found: list[Finding] = []
    if ICloudDoctor.providedBy(cloud):
        answer = await _asked(reactor, "cloud", lambda: ICloudDoctor(cloud).check(), _look_at(pool))
        found += [answer] if isinstance(answer, Finding) else answer
    found.append(await _listing(reactor, pool, cloud))
    if trial is not None:
        found.append(await _userdata(reactor, pool, trial))
        if isinstance(trial, OwnTrial):
            found.append(trial.door())
        found.append(await _price(reactor, pool, cloud))
    return found


def _look_at(pool: Pool) -> str:
    return f"look at [cloud] {pool.name}.config, and at the lines above"


async def _asked(reactor: IReactorTime, name: str, ask: Callable[[], Deferred[Any]], mend: str = "") -> Any:
    """What is answered, or a finding of that name that says what went wrong, and what mends what is refused."""
    try:
        return await ask().addTimeout(LIMIT, reactor)
    except DeferredTimeoutError:
        return Finding(name, False, f"no answer within {LIMIT:.0f} s", "look at the cloud, and at the way to it")
    except AsynClusterError as error:
        return Finding(name, False, str(error), mend)
    except Exception as error:  # whatever a cloud's adapter does, the others are told
        _log.failure("a check of a cloud went wrong inside")
        return Finding(name, False, f"the check itself went wrong: {type(error).__name__}", "the master's log has more")


async def _listing(reactor: IReactorTime, pool: Pool, cloud: ICloud) -> Finding:
    answer = await _asked(reactor, "listing", cloud.list, _look_at(pool))
    if isinstance(answer, Finding):
        return answer
    living = [each for each in answer.instances if each.state is not InstanceState.GONE]
    ours = sum(each.ours for each in living)
    others = f", and {len(living) - ours} that are only named like ours" if len(living) > ours else ""
    return Finding("listing", True, f"it has {count(ours, 'instance')} of this pool{others}")


async def _userdata(reactor: IReactorTime, pool: Pool, trial: Trial) -> Finding:
    answer = await _asked(reactor, "userdata", trial)
    key = f"[cloud] {pool.name}.config.userdata_file"
    if isinstance(answer, Finding):
        return Finding("userdata", False, answer.text, answer.mend or f"mend that file, or name another one in {key}")
    if answer:
        return Finding("userdata", True, answer)
    return Finding("userdata", None, "there is none: the image has to be a node by itself", f"or set {key}")


async def _price(reactor: IReactorTime, pool: Pool, cloud: ICloud) -> Finding:
    price = pool.flavor.price
    if not price:
        answer = await _asked(reactor, "price", cloud.flavor)
        price = 0.0 if isinstance(answer, Finding) else answer.price
    if price:
        return Finding("price", True, f"{price:g} for an hour of a node")
    text = "it is not known what an hour of a node costs, so `asyncluster cloud orphans` cannot tell what one has cost"
    return Finding("price", None, text, f"set [cloud] {pool.name}.price")
