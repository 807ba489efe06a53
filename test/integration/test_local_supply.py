"""Nodes as processes of this machine: real daemons, found again by whoever comes after."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from asyncluster.errors import CloudError
from asyncluster.model.supply import Flavor, Instance, InstanceState, Order
from asyncluster.supply import local
from asyncluster.supply.local import KEPT, LocalCloud
from asyncluster.testing.site import Site

pytestmark = pytest.mark.real

ORDER = Order("grow-1", "token-1", "grow", 60.0)


def now(deferred: Deferred):
    """What a Deferred has; raises what it failed with."""
    seen: list[object] = []
    deferred.addBoth(seen.append)
    if isinstance(seen[0], Failure):
        seen[0].raiseException()
    return seen[0]


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A master that runs."""
    with Site(tmp_path) as site:
        site.start_master()
        yield site


@pytest.fixture
def cloud(site: Site) -> Iterator[Callable[[], LocalCloud]]:
    """Makes clouds as masters would that follow each other; what they leave is killed."""

    def conf_text(order: Order, folder: Path) -> str:
        sections = site.sections(order.name)
        sections["client"] |= {"slots": "1", "state folder": str(folder / "state")}
        return "\n".join(
            line for name, keys in sections.items() for line in (f"[{name}]", *(f"{k} = {v}" for k, v in keys.items()))
        )

    def make() -> LocalCloud:
        folder = site.folder / "pool"
        return LocalCloud("grow", folder, "realm", Clock(), maybeDeferred, conf_text, Flavor(1), drain_limit=0.0)

    yield make
    for pid in running(site):
        os.killpg(pid, signal.SIGKILL)


def running(site: Site) -> list[int]:
    """The daemons of this test's only order."""
    conf = os.fsencode(site.folder / "pool" / "grow-1" / "node.conf")
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if conf in _read(path).split(b"\0")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def only(cloud: LocalCloud) -> Instance | None:
    """The one instance that is listed and not gone."""
    found = now(cloud.list()).instances
    assert len(found) <= 1
    return found[0] if found and found[0].state is not InstanceState.GONE else None


def said(cloud: LocalCloud) -> str:
    """What is told of the one that is gone; "" while it is not."""
    found = now(cloud.list()).instances
    return found[0].said if found and found[0].state is InstanceState.GONE else ""


def registered(site: Site) -> bool:
    return "node grow-1" in site.daemons[0].text()


def test_a_node_comes_and_goes(site: Site, cloud: Callable[[], LocalCloud]) -> None:
    """It registers with the master; asked to end it is being deleted, and then gone with all its files."""
    here = cloud()
    made = now(here.launch(ORDER))
    assert (made.name, made.token, made.owner, made.state) == ("grow-1", "token-1", "realm", InstanceState.ACTIVE)
    until(lambda: registered(site))
    assert os.stat(site.folder / "pool" / "grow-1" / "node.conf").st_mode & 0o077 == 0
    now(here.destroy(made))
    assert only(here) is None or only(here).state is InstanceState.DELETING
    until(lambda: only(here) is None)
    assert "as it was asked to" in said(here)  # not merely left out
    assert not (site.folder / "pool" / "grow-1").exists()
    now(here.destroy(made))  # gone already: success


def test_an_order_twice_is_one_node(site: Site, cloud: Callable[[], LocalCloud]) -> None:
    """By its token, for a master that was killed as well, even before it had written down the process."""
    first = now(cloud().launch(ORDER))
    until(lambda: only(cloud()).state is InstanceState.ACTIVE)  # its command line is there
    follower = cloud()
    assert now(follower.launch(ORDER)) == first
    (site.folder / "pool" / "grow-1" / "pid").unlink()
    assert now(cloud().launch(ORDER)) == first
    with pytest.raises(CloudError, match="by another order"):
        now(follower.launch(Order("grow-1", "token-2", "grow", 60.0)))
    assert len(running(site)) == 1


def test_an_intent_without_a_process_is_carried_out(site: Site, cloud: Callable[[], LocalCloud]) -> None:
    """A master killed between the order and the process has left a folder: the same order starts the node."""
    here = cloud()
    first = now(here.launch(ORDER))
    os.killpg(int(first.said.split()[-1]), signal.SIGKILL)
    until(lambda: said(here))
    (site.folder / "pool" / "grow-1" / "pid").unlink()
    again = now(cloud().launch(ORDER))
    assert again.state is InstanceState.ACTIVE
    assert again.said != first.said


def test_a_node_that_dies_shows_what_it_wrote(site: Site, cloud: Callable[[], LocalCloud]) -> None:
    """A process that has ended is gone at once, with the end of its log; destroying it removes what is left."""
    here = cloud()
    made = now(here.launch(ORDER))
    log = site.folder / "pool" / "grow-1" / "node.log"
    until(lambda: "registered with the master" in log.read_text())
    os.killpg(int(made.said.split()[-1]), signal.SIGKILL)
    until(lambda: said(here))
    assert len(said(here).splitlines()) > 1
    now(here.destroy(made))
    assert said(here)
    assert not (site.folder / "pool" / "grow-1").exists()
    here.reactor.advance(KEPT + 1.0)
    assert not said(here)


def test_one_that_cannot_be_seen_yet_is_asked_to_end_when_it_can(
    site: Site, cloud: Callable[[], LocalCloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another master has begun it just now, and its process has no command line as yet."""
    made, shown, runs = now(cloud().launch(ORDER)), [], local._runs
    monkeypatch.setattr(local, "_runs", lambda pid, conf: bool(shown) and runs(pid, conf))
    follower = cloud()
    asked = follower.destroy(made)
    follower.reactor.advance(local.SIGHT)
    assert not asked.called
    shown.append(True)
    until(lambda: follower.reactor.advance(local.SIGHT) or asked.called)
    until(lambda: only(follower) is None)
    assert "as it was asked to" in said(follower)


def test_a_number_that_is_another_process_is_not_signalled(site: Site, cloud: Callable[[], LocalCloud]) -> None:
    """The process of a pid file is ours only when its command line names our file."""
    here = cloud()
    made = now(here.launch(ORDER))
    os.killpg(int(made.said.split()[-1]), signal.SIGKILL)
    (site.folder / "pool" / "grow-1" / "pid").write_text(str(os.getpid()))
    until(lambda: said(here))
    now(here.destroy(made))  # or this test would be over
    assert only(here) is None
