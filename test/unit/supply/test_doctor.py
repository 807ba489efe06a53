"""What `cloud check` says of every cloud."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from asyncluster.model.supply import Finding, Flavor, Listing, Pool
from asyncluster.supply.doctor import OwnTrial, Trial, examine


class Cloud:
    """One that answers, and names no price."""

    def list(self) -> Deferred[Listing]:
        return succeed(Listing("p", (), 0.0))

    def flavor(self) -> Deferred[Flavor]:
        return succeed(Flavor(2))


def render() -> Deferred[str]:
    return succeed("it renders")


def found(price: float = 0.0, trial: Trial = render) -> dict[str, Finding]:
    """The findings of a pool, by name."""
    pool, clock, cloud = Pool("p", "aws", Flavor(2, price=price)), Clock(), Cloud()
    told: list[list[Finding]] = []
    asked: Any = examine(clock, pool, cloud, trial)  # type: ignore[arg-type]  # half a cloud
    Deferred.fromCoroutine(asked).addCallback(told.append)
    return {finding.name: finding for finding in told[0]}


def test_without_a_price() -> None:
    """No failure: what it is for is said."""
    price = found()["price"]
    assert (price.ok, price.mend) == (None, "set [cloud] p.price")
    assert "`asyncluster cloud orphans` cannot tell what one has cost" in price.text
    assert found(0.5)["price"].text == "0.5 for an hour of a node"


def test_where_nodes_look_for_their_master() -> None:
    """A batch system's do not; ours do, and have to be let in."""
    assert "master" not in found()
    good = found(trial=OwnTrial(render, ("10.0.0.1:9080",), {}))["master"]
    assert (good.ok, good.text) == (True, "nodes look for it at 10.0.0.1:9080")
    shut = {"subnets": "add theirs", "listen": "leave it out"}
    bad = found(trial=OwnTrial(render, ("10.0.0.1:9080", "[fd00::1]:9080"), shut))["master"]
    assert (bad.ok, bad.mend) == (False, "[server] subnets: add theirs; [server] listen: leave it out")
    assert "lets nobody in but this machine" in bad.text
    for here in ("127.0.0.1:9080", "[::1]:9080", "localhost:9080"):
        assert found(trial=OwnTrial(render, (here,), shut))["master"].ok is None
