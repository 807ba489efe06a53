"""Random histories of one master, its nodes and a client over links that break, with a journal that is behind.

Everything but sockets, workers and the disk is the real thing.  Messages on a link are delivered a few at a time, a
break loses the others; a node or client may come by a second link before the master knows that the first is dead;
the master is killed, and begins again with what was committed.  Each task has the one right result, and one
that the journal had is run once as long as every node comes back in time.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock

from asyncluster.jobs.recovery import Recovered, recover
from asyncluster.master.for_clients import ClientPerspective
from asyncluster.master.for_nodes import NodePerspective
from asyncluster.master.ledger import Ledger
from asyncluster.master.service import Master, MasterOptions
from asyncluster.model.messages import (
    Kept,
    Outcome,
    Result,
    Step,
    StepKind,
    Task,
)
from asyncluster.model.peer import Peer, Role
from asyncluster.node.keeping import pieces
from asyncluster.testing.played import Book, Client, Node, Wire

FOR_EVER = 1e6
SEEDS = 200
STEPS = 250


class History:
    """`book` survives everything; `master` does not."""

    def __init__(self, seed: int, may_be_late: bool) -> None:
        self.chance = random.Random(seed)
        self.may_be_late = may_be_late
        self.book = Book()
        self.clock = Clock()
        self.client = Client()
        self.excused: set[int] = set()  # submitted, and not written down when a master was killed
        self.nodes = {name: Node(name, self.client.due, self.excused) for name in ("a", "b")}
        self.old: list[Wire] = []  # of peers that have another one, and the master does not know
        self.ran: Counter[int] = Counter()
        self.written: set[int] = set()
        self.late = False  # somebody stayed away for too long, or died

    def begin(self) -> None:
        self.new_master()
        wire = self.client_wire()
        opened = wire.perspective.verb("open_job", ({"reconnect": FOR_EVER, "crash_limit": 1000},))
        self.book.commit()
        assert opened.result == 1
        self.client.wire = wire
        wire.up += self.client.counted
        for name in self.nodes:
            self.join(name)

    # -- the master

    def new_master(self) -> None:
        options = MasterOptions(FOR_EVER, FOR_EVER * 3, node_patience=5.0, client_patience=FOR_EVER)
        self.master = Master(self.clock, options)  # type: ignore[arg-type]  # the clock is enough
        jobs = recover(self.book.entries)
        stored = [(job, jobs.get(job.job, Recovered())) for job in self.book.jobs.values()]
        self.master.begin_with(Ledger(self.book), "one", 1 + len(stored), stored)
        self.master.startService()

    def commit(self) -> None:
        self.book.commit()

    def kill_master(self) -> None:
        """With -9: what was not committed never was."""
        self.master._ticking.stop()
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.book.killed()
        known = recover(self.book.entries).get(1, Recovered())
        # What the journal did not have may have been run, and will be again.
        self.written |= known.tasks.keys() | known.results.keys()
        self.excused |= self.client.wanted - self.written
        for peer in (*self.nodes.values(), self.client):
            if peer.wire is not None:
                peer.wire.connected = False
                self.forget_link(peer)
        self.old.clear()
        self.new_master()

    def forget_link(self, peer: Any) -> None:
        peer.wire = None
        if isinstance(peer, Node):
            peer.keeping.lost()

    # -- links

    def client_wire(self) -> Wire:
        wire = Wire(Peer(Role.CLIENT, "ann", "here", True))
        wire.perspective = ClientPerspective(self.master, wire)  # type: ignore[arg-type]  # a link, nearly
        return wire

    def join(self, name: str) -> None:
        """Also while the master takes the old link for alive."""
        node = self.nodes[name]
        if node.wire is not None:
            self.part(node, unheard=True)
        wire = Wire(Peer(Role.NODE, name, "there", False))
        wire.perspective = NodePerspective(self.master, wire)  # type: ignore[arg-type]  # a link, nearly
        wire.perspective.verb("register", (attrs.asdict(node.facts), *pieces(node.held())))
        node.wire = wire
        wire.up += node.keeping.again()

    def resume(self) -> None:
        """The client, likewise."""
        if self.client.wire is not None:
            self.part(self.client, unheard=True)
        wire = self.client_wire()
        answer = wire.perspective.verb("come_back", (1,))
        self.book.commit()
        self.client.wire, self.client.came = wire, 0
        self.client.safe = answer.result["kept"]
        wire.up += self.client.counted[self.client.safe :]

    def cut(self, name: str, unheard: bool) -> None:
        if self.nodes[name].wire is not None:
            self.part(self.nodes[name], unheard)

    def cut_client(self, unheard: bool) -> None:
        if self.client.wire is not None:
            self.part(self.client, unheard)

    def part(self, peer: Any, unheard: bool) -> None:
        wire = peer.wire
        self.forget_link(peer)
        if unheard:  # some of what it said may still arrive
            self.old.append(wire)
        else:
            wire.end()

    def late_words(self, count: int, index: int) -> None:
        """Of a link that its peer has given up."""
        if self.old:
            self.old[index % len(self.old)].deliver_up(count)

    def hear_of_the_end(self, index: int) -> None:
        if self.old:
            self.old.pop(index % len(self.old)).end()

    def up(self, name: str, count: int) -> None:
        wire = self.nodes[name].wire
        if wire is not None:
            wire.deliver_up(count)

    def down(self, name: str, count: int) -> None:
        self.deliver_down(self.nodes[name], count)

    def client_up(self, count: int) -> None:
        if self.client.wire is not None:
            self.client.wire.deliver_up(count)

    def client_down(self, count: int) -> None:
        self.deliver_down(self.client, count)

    def deliver_down(self, peer: Any, count: int) -> None:
        wire = peer.wire
        if wire is not None:
            some, wire.down = wire.down[:count], wire.down[count:]
            for message in some:
                peer.hear(message)

    # -- work

    def submit(self, count: int) -> None:
        for _ in range(count):
            seq = len(self.client.wanted)
            self.client.wanted.add(seq)
            self.client.due[seq] = self.client.steps
            task = Task(1, seq, 0, 0, b"")
            self.client.counted.append(task)
            if self.client.wire is not None:
                self.client.wire.up.append(Task(1, seq, 0, 0, b""))

    def submit_step(self) -> None:
        step = Step(1, self.client.steps, StepKind.UPDATE, b"")
        self.client.steps += 1
        self.client.counted.append(step)
        if self.client.wire is not None:
            self.client.wire.up.append(step)

    def thank(self) -> None:
        if self.client.wire is not None:
            self.client.wire.up.append(Kept(1, self.client.came))

    def finish(self, name: str, index: int) -> None:
        node = self.nodes[name]
        if node.tasks:
            task = node.tasks.pop(index % len(node.tasks[:2]))
            self.ran[task.seq] += 1
            node.tell(Result(1, task.seq, task.attempt, Outcome.VALUE, b"%d" % task.seq, 1000))

    def babble(self, name: str, count: int) -> None:
        """Results that are not safe are said again, in another order, as if the wire had doubled them."""
        lines = [message for line in self.nodes[name].keeping._waiting.values() for message in line]
        again = [message for message in lines if isinstance(message, Result)]
        before = self.master.board.counters.done
        sent = {(m.seq, m.attempt) for m in again}
        if self.nodes[name].wire is None or any(isinstance(m, Result) for m in self.nodes[name].wire.up):  # type: ignore[union-attr]
            return  # the first of them have not come yet
        self.master.results(name, list(reversed(again))[:count])
        assert self.master.board.counters.done == before, f"one of {sent} was taken twice"

    def wait(self, seconds: float) -> None:
        """No longer than anybody is waited for, unless all are there."""
        away = any(node.wire is None for node in self.nodes.values())
        if not away or seconds < 0.1:
            self.clock.advance(seconds)

    def stay_away(self, name: str) -> None:
        """For too long."""
        if self.nodes[name].wire is not None:
            self.part(self.nodes[name], unheard=False)
        self.clock.advance(6.0)
        self.late = True

    # -- what holds

    def results_are_right(self) -> None:
        for seq, result in self.client.results.items():
            assert (result.outcome, result.payload) == (Outcome.VALUE, b"%d" % seq)

    def nothing_runs_twice_in_vain(self) -> None:
        if not self.late:
            again = {seq for seq, count in self.ran.items() if count > 1}
            assert again <= self.excused, "a task that was in the journal was run twice"

    # -- a history

    def step(self) -> None:
        """Something happens; the usual more often than the unusual."""
        chance = self.chance
        name, few, flag = chance.choice("ab"), chance.randint(1, 6), chance.random() < 0.5
        usual: list[Callable[[], object]] = [
            lambda: self.submit(few),
            lambda: self.up(name, few),
            lambda: self.down(name, few * 2),
            lambda: self.client_up(few * 2),
            lambda: self.client_down(few * 2),
            lambda: self.finish(name, few),
            lambda: self.finish(name, few),
            lambda: self.wait(0.05),
            self.thank,
        ]
        unusual: list[Callable[[], object]] = [
            self.commit,
            self.commit,
            lambda: self.cut(name, flag),
            lambda: self.cut_client(flag),
            lambda: self.join(name),
            lambda: self.join(name),
            self.resume,
            self.submit_step,
            lambda: self.late_words(few, few),
            lambda: self.hear_of_the_end(few),
            lambda: self.babble(name, few),
            lambda: self.wait(1.0),
            lambda: self.wait(1.0),
            lambda: self.wait(1.0),
        ]
        dice = chance.random()
        if dice < 0.8:
            chance.choice(usual)()
        elif dice < 0.98:
            chance.choice(unusual)()
        elif flag or not self.may_be_late:
            self.kill_master()
        else:
            self.stay_away(name)
        self.results_are_right()
        self.nothing_runs_twice_in_vain()

    def end_well(self) -> None:
        """Let everything go well from now on: everything is answered."""
        for _ in range(400):
            for peer in (*self.nodes.values(), self.client):
                if peer.wire is None or not peer.wire.connected:
                    if isinstance(peer, Node):
                        self.join(peer.facts.name)
                    else:
                        self.resume()
                peer.wire.deliver_up(100)  # type: ignore[union-attr]  # it has one now
                self.deliver_down(peer, 100)
            self.book.commit()
            for name in self.nodes:
                self.finish(name, 0)
            self.thank()
            self.clock.advance(0.05)
            self.nothing_runs_twice_in_vain()
            if self.done():
                return
        raise AssertionError(f"never: {self.why_not()}")

    def why_not(self) -> str:
        """What is missing."""
        client, status = self.client, self.master.status()
        desk = self.master.reception.desks.get(1)
        keeping = {name: node.keeping._waiting for name, node in self.nodes.items()}
        return (
            f"no results: {client.wanted - client.results.keys()}, steps {client.stepped} of {client.steps}, "
            f"safe {client.safe} of {len(client.counted)}, kept {keeping}, owed {desk and desk.owed}, {status}"
        )

    def done(self) -> bool:
        """Everything is answered and safe, and nobody keeps anything for anybody."""
        desk = self.master.reception.desks.get(1)
        nodes = self.nodes.values()
        return (
            self.client.results.keys() == self.client.wanted
            and len(self.client.stepped) == self.client.steps
            and self.client.safe == len(self.client.counted)
            and not any(node.tasks or node.keeping.count for node in nodes)
            and not (desk is None or desk.owed or self.master.board.queued)
        )


@pytest.mark.parametrize("late", [False, True])
def test_hand_overs(late: bool) -> None:
    """Many histories, in half of which nodes stay away for longer than anybody waits."""
    for seed in range(SEEDS):
        history = History(seed, late)
        try:
            history.begin()
            for _ in range(STEPS):
                history.step()
            history.end_well()
        except BaseException as error:
            raise AssertionError(f"history {seed}, late={late}") from error
