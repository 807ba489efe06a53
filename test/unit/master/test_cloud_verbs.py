"""Orphans and the doctor through the master, with clouds that are played."""

from __future__ import annotations

import time
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from asyncluster.elastic.answering import Answering
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.elastic.tending import Tending
from asyncluster.errors import ConfigError, NoAnswerError, RefusedError
from asyncluster.interfaces import IAccount, ICloud, ICloudDoctor
from asyncluster.master.cloud_verbs import LONGEST
from asyncluster.master.elastic_verbs import elastic_verb
from asyncluster.model.batch import BatchNode, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.pages import from_pages
from asyncluster.model.peer import Peer, Role
from asyncluster.model.supply import Finding, Flavor, Instance, InstanceState, Listing, Pool
from asyncluster.testing.threads import Threads

ROOT, ANN = Peer(Role.CLIENT, "root", "here", admin=True), Peer(Role.CLIENT, "ann", "there")


@implementer(ICloud)
class Plain:
    """A cloud that only lists."""

    def __init__(self, pool: str, *instances: Instance) -> None:
        self.pool, self.instances = pool, {each.id: each for each in instances}
        self.fault: Exception | None = None
        self.destroyed: list[str] = []

    def flavor(self) -> Deferred[Flavor]:
        """With a price."""
        return succeed(Flavor(2, price=0.25))

    def list(self) -> Deferred[Listing]:
        """All, or the fault."""
        return fail(self.fault) if self.fault else succeed(Listing(self.pool, tuple(self.instances.values()), 0.0))

    def destroy(self, instance: Instance) -> Deferred[None]:
        """At once."""
        self.destroyed.append(instance.id)
        return (
            fail(NoAnswerError("503")) if instance.id == "i-stuck" else succeed(self.instances.pop(instance.id, None))
        )


@implementer(IAccount, ICloudDoctor)
class Whole(Plain):
    """With all that a cloud may have."""

    findings: Any = (Finding("credentials", True, "they are good"), Finding("image", False, "gone", "set image_id"))

    def everything(self) -> Deferred[Listing]:
        """The same."""
        return self.list()

    def check(self) -> Deferred[list[Finding]]:
        """What a test has set."""
        return fail(self.findings) if isinstance(self.findings, Exception) else succeed(list(self.findings))


class Engine(Answering):
    """As much of one as is needed."""

    def __init__(self, *clouds: Plain) -> None:
        self.clouds = {cloud.pool: cloud for cloud in clouds}
        self.options = Options(realm="me")
        self._desk = Desk(self.options, [Pool(cloud.pool, "aws", Flavor(2)) for cloud in clouds])
        self._desk.nodes["p-1"] = NodeRecord("p-1", "p", "t1", Life.UP, 0.0, 0.0, instance="i-1")
        self._desk.heard(Demand((), (), 0.0))
        self.reactor = Threads()
        self.tending = Tending(Clock(), {}, self._desk, self.options, lambda: 0.0)

    @property
    def means(self) -> tuple[Threads, Options]:
        return self.reactor, self.options

    def cloud(self, pool: str) -> Plain:
        if pool not in self.clouds:
            raise RefusedError(f"there is no pool {pool}; there are: p, q")
        return self.clouds[pool]


def one(id: str, name: str, **more: Any) -> Instance:
    """Of ours."""
    return attrs.evolve(Instance(id, name, InstanceState.ACTIVE, True, "me", f"token {id}", pool="p", born=1.0), **more)


class CloudVerbTests(SynchronousTestCase):
    """Without a reactor."""

    def setUp(self) -> None:
        self.whole = Whole("p", one("i-1", "p-1"), one("i-2", "p-2"), one("i-3", "p-3", ours=False, owner=""))
        self.plain = Plain("q", one("i-2", "p-2"), one("i-stuck", "old-1", pool="old"))
        self.engine = Engine(self.whole, self.plain)

    def ask(self, *args: object, peer: Peer = ROOT) -> Any:
        answer: Any = elastic_verb(self.engine, peer, args)  # type: ignore[arg-type]  # as much as is needed
        return from_pages(self.successResultOf(answer))

    def test_orphans_of_all_pools(self) -> None:
        """Each once; those in the book are none."""
        found = self.ask("orphans", "")
        assert [(each["id"], each["may"]) for each in found["orphans"]] == [
            ("i-2", True), ("i-3", False), ("i-stuck", True),
        ]  # fmt: skip
        assert found["faults"] == {}
        assert self.engine.reactor.begun == 3, "judged, made and written"
        assert [each["id"] for each in self.ask("orphans", "q")["orphans"]] == ["i-2", "i-stuck"]

    def test_what_another_master_has_yet(self) -> None:
        """Counted once, of an account that two pools share, and neither listed nor ended."""
        theirs = one("i-7", "p-1", owner="they", expires=time.time() + 600)
        self.whole.instances["i-7"] = self.plain.instances["i-7"] = theirs
        found = self.ask("orphans", "")
        (told,) = found["leased"]
        assert (told["owner"], told["count"], 0.0 < told["left"] <= 600.0) == ("they", 1, True)
        assert "i-7" not in [each["id"] for each in found["orphans"]]
        assert "i-7" not in self.ask("destroy", "", ["i-7"], "all of it")["destroyed"]

    def test_a_stray_is_one(self) -> None:
        """The engine has found it, and nobody has ordered it."""
        self.engine._desk.nodes["p-2"] = NodeRecord("p-2", "p", "", Life.STRAY, 0.0, 0.0, instance="i-2")
        assert "i-2" in [each["id"] for each in self.ask("orphans", "")["orphans"]]

    def test_what_a_pool_has_left_where_it_was(self) -> None:
        """Another pool of the same account shows it: nobody looks after it, and it may run anything."""
        desk = Desk(self.engine.options, [Pool("p", "aws", Flavor(2), place="aws, region_name us-east-2")])
        desk.nodes["p-1"] = attrs.evolve(self.engine._desk.nodes["p-1"], place="aws, region_name eu-west-1")
        self.engine._desk = desk
        found = {each["id"]: each for each in self.ask("orphans", "p")["orphans"]}
        assert found["i-1"]["why"] == (
            "its pool p has another place now, and it may be at work: "
            "move the pool back and drain it before you move it"
        )
        assert self.ask("destroy", "p", ["i-1"], "all of it")["destroyed"] == []

    def test_nodes_where_nobody_can_ask(self) -> None:
        """A pool that is out of the file, or elsewhere now: its nodes are named, unless some account shows them."""
        here = self.engine._desk.nodes["p-1"]
        pool = Pool("p", "aws", Flavor(2), place="aws, region_name us-east-2")
        desk = Desk(self.engine.options, [pool, Pool("q", "aws", Flavor(2))])
        desk.nodes["p-1"] = attrs.evolve(here, place="aws, region_name eu-west-1")
        desk.nodes["p-8"] = attrs.evolve(desk.nodes["p-1"], name="p-8", instance="i-8", token="t8")
        desk.nodes["old-1"] = attrs.evolve(here, name="old-1", pool="old", instance="i-6", token="t6")
        self.engine._desk = desk
        gone, moved = self.ask("orphans", "")["unasked"]
        assert gone.startswith("old-1 of pool old, which is not in asyncluster.yaml any more: nobody looks after")
        assert moved.startswith("p-8 of pool p were launched in aws, region_name eu-west-1, and the pool is in aws, ")
        assert "move the pool back" in moved
        assert self.ask("orphans", "p")["unasked"] == [moved]
        self.plain.instances["i-6"] = one("i-6", "old-1", pool="old")
        assert self.ask("orphans", "")["unasked"] == [moved], "told of already, as the other account shows it"
        self.engine._desk.nodes.clear()
        assert self.ask("orphans", "")["unasked"] == []

    def test_a_cloud_that_does_not_answer(self) -> None:
        """Is told of, and hides nothing of the others."""
        self.whole.fault = NoAnswerError("connection refused")
        found = self.ask("orphans", "")
        assert found["faults"] == {"p": "connection refused"}
        assert [each["id"] for each in found["orphans"]] == ["i-2", "i-stuck"]

    def test_ended_are_those_that_may_be(self) -> None:
        """Looked at once more: what is in the book by now, or not ours, or not there, stays."""
        found = self.ask("destroy", "", ["i-1", "i-2", "i-3", "i-9", "i-stuck"], "")
        assert found["destroyed"] == ["i-2"]
        assert found["faults"].keys() == {"i-1", "i-3", "i-9", "i-stuck"}
        assert found["faults"]["i-stuck"] == "503"
        assert (self.whole.destroyed, self.plain.destroyed) == (["i-2"], ["i-stuck"])

    def test_what_is_at_work_is_not_ended(self) -> None:
        """A master that has lost its book does not know a busy node of the batch system, and that one does."""
        self.engine._desk.heard(Demand((), (BatchNode("p-2", NodeState.BUSY, 2, 1, jobs=("812",)),), 0.0))
        found = self.ask("destroy", "p", ["i-2"], "")
        assert found["destroyed"] == []
        assert found["faults"]["i-2"] == (
            'it is at work: the scheduler has jobs "812" on p-2 (--force WHY ends it all the same)'
        )
        assert self.engine.reactor.begun == 3, "judged, looked up and written"
        assert self.ask("destroy", "p", ["i-2"], "the jobs are lost anyway")["destroyed"] == ["i-2"]

    def test_nothing_is_ended_while_the_scheduler_is_silent(self) -> None:
        """It may run anything; unless a sentence says that it is to be so."""
        self.engine._desk.unheard = True
        found = self.ask("destroy", "p", ["i-2"], "")
        assert (found["destroyed"], self.whole.destroyed) == ([], [])
        assert "nobody knows whether it is at work: the scheduler has not answered for 0 s" in found["faults"]["i-2"]
        self.engine._desk.demand = None
        assert "the scheduler has not answered yet" in self.ask("destroy", "p", ["i-2"], "")["faults"]["i-2"]
        assert self.ask("destroy", "p", ["i-2"], "the head is gone for good")["destroyed"] == ["i-2"]

    def test_another_masters_may_be_busy_for_all_that_is_seen_here(self) -> None:
        """Its jobs are in a queue that nobody here asks: that takes a sentence, whatever our own scheduler says."""
        theirs = one("i-7", "p-1", owner="they", expires=1.0)
        self.whole.instances["i-7"] = theirs
        for nodes in ((), (BatchNode("p-1", NodeState.IDLE, 2),)):
            self.engine._desk.heard(Demand((), nodes, 0.0))
            forced = {each["id"]: each["force"] for each in self.ask("orphans", "p")["orphans"]}
            assert forced.pop("i-7") == (
                "its jobs are another master's (they), whose scheduler cannot be seen from here"
            ), "said before it is refused"
            assert set(forced.values()) == {""}
            found = self.ask("destroy", "p", ["i-2", "i-7"], "")
            assert "i-7" not in found["destroyed"]
            assert found["faults"]["i-7"] == (
                "its jobs are another master's (they), whose scheduler cannot be seen from here "
                "(--force WHY ends it all the same)"
            )
        self.engine._desk.unheard = True
        assert "another master" in self.ask("destroy", "p", ["i-7"], "")["faults"]["i-7"]
        assert self.whole.destroyed == ["i-2"], "ours, of which it is known"
        assert self.ask("destroy", "p", ["i-7"], "their head node burnt")["destroyed"] == ["i-7"]

    def test_the_doctor(self) -> None:
        """What the cloud finds, and what holds for all."""
        self.engine.tending.trials["p"] = lambda: succeed("node.sh renders to 99 bytes")
        found = self.ask("doctor", "")
        assert [(each["name"], each["ok"]) for each in found["p"]] == [
            ("credentials", True), ("image", False), ("listing", True), ("userdata", True), ("price", True),
        ]  # fmt: skip
        assert found["p"][2]["text"] == "it has 2 instances of this pool, and 1 that are only named like ours"
        assert [each["name"] for each in found["q"]] == ["listing"]

    def test_the_doctor_says_what_to_mend(self) -> None:
        """Of a template, an endpoint, and of itself."""
        self.whole.fault = NoAnswerError("connection refused")
        self.engine.tending.trials["p"] = lambda: fail(ConfigError("node.sh, line 3: 'x' is undefined"))
        self.whole.findings = ValueError("hush")
        found = {each["name"]: each for each in self.ask("doctor", "p")["p"]}
        self.flushLoggedErrors(ValueError)
        assert found["cloud"]["text"] == "the check itself went wrong: ValueError"
        assert (found["listing"]["ok"], found["listing"]["text"]) == (False, "connection refused")
        assert "look at [cloud] p.config" in found["listing"]["mend"]
        assert "line 3" in found["userdata"]["text"]
        assert "[cloud] p.config.userdata_file" in found["userdata"]["mend"]

    def test_a_cloud_that_hangs_keeps_nobody_for_ever(self) -> None:
        """The doctor gives it up, tells of the others, and asked all of them at the same time."""
        hanging: Deferred[Any] = Deferred()
        self.whole.check = lambda: hanging  # type: ignore[method-assign]  # as a cloud that takes the call and no more
        self.whole.list = self.whole.flavor = Deferred  # type: ignore[method-assign]  # likewise
        told: list[Any] = []
        answer: Any = elastic_verb(self.engine, ROOT, ("doctor", ""))  # type: ignore[arg-type]  # as much as is needed
        answer.addCallback(lambda pages: told.append(from_pages(pages)))
        self.engine.reactor.advance(LONGEST / 2)
        assert told == []
        self.engine.reactor.advance(LONGEST / 2)
        (found,) = told
        (only,) = found["p"]
        assert (only["ok"], only["text"]) == (False, "no answer within 180 s")
        assert [(each["name"], each["ok"]) for each in found["q"]] == [("listing", True)]
        self.engine.reactor.advance(10 * LONGEST)  # what was asked ends by its own limits
        assert self.engine.reactor.getDelayedCalls() == []

    def test_who_may(self) -> None:
        """Administrators; and there is no such pool."""
        for args in (("orphans", ""), ("doctor", ""), ("destroy", "", ["i-2"], "")):
            with pytest.raises(RefusedError, match="administrators"):
                elastic_verb(self.engine, ANN, args)  # type: ignore[arg-type]
        answer: Any = elastic_verb(self.engine, ROOT, ("orphans", "x"))  # type: ignore[arg-type]
        assert "there is no pool x" in str(self.failureResultOf(answer, RefusedError).value)
        with pytest.raises(RefusedError):
            elastic_verb(self.engine, ROOT, ("destroy", "", [1], ""))  # type: ignore[arg-type]
