"""Secrets that serve once: who gets one, what takes its place, and who is refused."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import attrs
import pytest
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.errors import CloudError, RefusedError, StoreError
from asyncluster.master.enlisting import Enlisting
from asyncluster.master.for_nodes import NodePerspective
from asyncluster.model.peer import Peer, Role
from asyncluster.model.supply import Flavor, Order, Pool
from asyncluster.node.facts import gather
from asyncluster.wire.accounts import Verifier, make_verifier

ORDER = Order("p-1", "t1", "p", 600.0)


class Book:
    """As much of an engine as is needed."""

    def __init__(self) -> None:
        self.desk = Desk(Options(), [Pool("p", "aws", Flavor(1))])
        self.desk.nodes["p-1"] = NodeRecord("p-1", "p", "t1", Life.INTENDED, 0.0, 0.0)
        self.saved: list[dict[str, Any]] = []
        self.broken = False

    @property
    def nodes(self) -> dict[str, NodeRecord]:
        return self.desk.nodes

    def keep_verifier(self, name: str, verifier: str, *, enlisted: bool) -> Deferred[None]:
        self.desk.keep_verifier(name, verifier, enlisted)
        if self.broken:
            return maybeDeferred(self._fail)
        self.saved.append(self.desk.unsaved(0.0))
        return succeed(None)

    def _fail(self) -> None:
        raise StoreError("the disk is full")

    def become(self, life: Life) -> None:
        self.nodes["p-1"] = attrs.evolve(self.nodes["p-1"], life=life)


def own(name: str = "~p-1") -> str:
    """The verifier that a node hands over."""
    return make_verifier(name, "node", "drawn by the node", iterations=4096).to_line()


def facts(name: str) -> dict[str, object]:
    """What a node tells of itself."""
    return attrs.asdict(gather(name, 1, "*", "1.0"))


def good(verifier: Verifier | None, secret: str) -> bool:
    """Whether that secret passes."""
    return (
        verifier is not None
        and attrs.evolve(make_verifier(verifier.name, "node", secret, verifier.salt, verifier.iterations)) == verifier
    )


class EnlistingTests(SynchronousTestCase):
    """Without a reactor."""

    def setUp(self) -> None:
        self.book, self.here = Book(), []
        self.enlisting = Enlisting(self.book, in_thread=maybeDeferred)  # type: ignore[arg-type]  # as much as is needed

    def issue(self, order: Order = ORDER) -> tuple[str, str]:
        issued: tuple[str, str] = self.successResultOf(self.enlisting.issue(order))
        return issued

    def test_one_secret_an_order(self) -> None:
        """The same for the same order, durable as a verifier only, and good for its node."""
        account, secret = self.issue()
        assert self.issue() == (account, secret)
        assert account == "~p-1"
        assert len(secret) >= 43
        assert secret not in repr(self.book.saved) + repr(self.book.nodes) + repr(self.enlisting)
        assert self.book.saved[0]["node/p-1"]["verifier"]
        assert good(self.enlisting.find(account, "node"), secret)
        assert self.enlisting.find(account, "client") is None
        assert self.enlisting.find("p-1", "node") is None
        assert not self.enlisting.is_enlisted(account)

    def test_no_secret_that_is_not_kept(self) -> None:
        """Else a node would be made that can never come in."""
        self.book.broken = True
        self.failureResultOf(self.enlisting.issue(ORDER), StoreError)

    def test_none_for_what_is_not_wanted(self) -> None:
        """Of another order, or given up, or enlisted already."""
        self.failureResultOf(self.enlisting.issue(attrs.evolve(ORDER, token="t2")), CloudError)
        self.failureResultOf(self.enlisting.issue(attrs.evolve(ORDER, name="p-2")), CloudError)

    def test_it_is_good_while_the_engine_waits_for_the_node(self) -> None:
        """Which is for max_launch_time."""
        account, secret = self.issue()
        for life in Life:
            self.book.become(life)
            waits = life in {
                Life.INTENDED, Life.LAUNCHING, Life.ACTIVE, Life.PROVISIONED, Life.ADDED, Life.READY, Life.RESERVED,
                Life.ENABLED,
            }  # fmt: skip
            assert good(self.enlisting.find(account, "node"), secret) == waits
        del self.book.nodes["p-1"]
        assert self.enlisting.find(account, "node") is None

    def test_its_own_takes_its_place(self) -> None:
        """The first is worth nothing then; the other is good until the node is no more, and for another master."""
        account, secret = self.issue()
        self.successResultOf(self.enlisting.enlist(account, own(), "10.0.0.1"))
        assert self.enlisting.is_enlisted(account)
        self.book.become(Life.UP)
        for enlisting in (self.enlisting, Enlisting(self.book, in_thread=maybeDeferred)):  # type: ignore[arg-type]
            assert good(enlisting.find(account, "node"), "drawn by the node")
            assert not good(enlisting.find(account, "node"), secret)
        assert self.book.saved[-1]["node/p-1"]["enlisted"] is True
        self.failureResultOf(self.enlisting.issue(ORDER), CloudError)

    def test_a_second_use_is_refused_and_told(self) -> None:
        """Whoever is quicker is in; the other shows that somebody has read the user data."""
        account, _ = self.issue()
        self.successResultOf(self.enlisting.enlist(account, own(), "10.0.0.1"))
        with pytest.raises(RefusedError, match="has served already"):
            self.enlisting.enlist(account, own(), "10.0.0.66")

    def test_what_is_no_verifier_of_its_own(self) -> None:
        """Garbage, another account's, a client's, a node that is no more."""
        account, secret = self.issue()
        client = make_verifier(account, "client", "x", iterations=4096).to_line()
        for line in ("", "x:y", own("~p-2"), client):
            with pytest.raises(RefusedError):
                self.enlisting.enlist(account, line, "10.0.0.1")
        with pytest.raises(RefusedError, match="not wanted any more"):
            self.enlisting.enlist("~p-9", own("~p-9"), "10.0.0.1")
        assert good(self.enlisting.find(account, "node"), secret)

    def link(self, account: str) -> NodePerspective:
        """A node that has proven that account."""
        master = Mock(enlisting=self.enlisting, is_person=lambda name: False)
        master.attach_node.side_effect = lambda facts, has, link: self.here.append(facts.name)
        return NodePerspective(master, Mock(peer=Peer(Role.NODE, account, "10.0.0.1")))

    def test_a_link_with_a_secret_that_serves_once_can_do_one_thing(self) -> None:
        """It registers after it has handed over another one, under its own name, and never twice."""
        account, _ = self.issue()
        link = self.link(account)
        with pytest.raises(RefusedError, match="hand over a secret of its own first"):
            link.verb("register", (facts("p-1"),))
        self.successResultOf(link.verb("enlist", (own(),)))  # type: ignore[arg-type]
        with pytest.raises(RefusedError):
            link.verb("enlist", (own(),))
        with pytest.raises(RefusedError, match="cannot be called p-2"):
            link.verb("register", (facts("p-2"),))
        link.verb("register", (facts("p-1"),))
        assert self.here == ["p-1"]

    def test_a_link_with_a_secret_of_its_own(self) -> None:
        """Registers under its name, and has nothing more to hand over."""
        account, _ = self.issue()
        late = self.link(account)  # proven with the secret that serves once, before the other handed over its own
        self.successResultOf(self.enlisting.enlist(account, own(), "10.0.0.1"))
        with pytest.raises(RefusedError, match="has served already"):
            late.verb("enlist", (own(),))
        with pytest.raises(RefusedError):
            late.verb("register", (facts("p-1"),))
        link = self.link(account)
        with pytest.raises(RefusedError):
            link.verb("enlist", (own(),))
        with pytest.raises(RefusedError, match="cannot be called"):
            link.verb("register", (facts("nodes"),))
        link.verb("register", (facts("p-1"),))
        assert self.here == ["p-1"]

    def test_links_of_the_common_account_are_as_ever(self) -> None:
        """Any name, and nothing to hand over."""
        link = self.link("nodes")
        with pytest.raises(RefusedError):
            link.verb("enlist", (own(),))
        link.verb("register", (facts("desk-7"),))
        assert self.here == ["desk-7"]

    def test_a_book_that_makes_no_sense(self) -> None:
        """The node cannot come back, and nothing breaks."""
        account, _ = self.issue()
        self.book.nodes["p-1"] = attrs.evolve(self.book.nodes["p-1"], verifier="scrambled")
        assert self.enlisting.find(account, "node") is None
