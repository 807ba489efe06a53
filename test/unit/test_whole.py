"""Random histories of the whole product but sockets, processes and disk: each call has its one right value in the end.

The real client (session, comeback), master (perspectives, reception, ledger, board) and node daemons (service, keeping,
crew) on one clock.  Links break at one end first, and what was under way may still come; the journal cannot write for a
while, is behind, and has a part only of what it was told when the master is killed; the master is stopped and started,
nodes and workers die, clients come and go.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from asyncluster.client.connect import connect_session
from asyncluster.client.deferred import DeferredCluster
from asyncluster.client.opening import JobOptions
from asyncluster.errors import DependencyError, JobClosedError, MasterNotFoundError
from asyncluster.jobs.recovery import Recovered, recover
from asyncluster.master.for_clients import ClientPerspective
from asyncluster.master.for_nodes import NodePerspective
from asyncluster.master.ledger import Ledger
from asyncluster.master.service import Master, MasterOptions
from asyncluster.model.messages import Beat
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Peer, Role
from asyncluster.node.service import NodeService
from asyncluster.testing.whole import Bench, Book, End, link
from asyncluster.wire.retry import Retry

SEEDS = 120
STEPS = 150
SLOTS = 2
LARGE = bytes(70_000)
"""Values above 64 KiB that others depend on stay at the master."""


class Daemon:
    """A node daemon; `dead` once it was killed."""

    def __init__(self, history: History, name: str, life: int) -> None:
        facts = NodeFacts(name, "h", SLOTS, SLOTS, 0, "", session=f"{name}-{life}")
        self.end: End | None = None

        async def connect(handler: Callable[[Any], Any]) -> Any:
            self.end = history.dial(Peer(Role.NODE, name, "there", False), handler)
            return self.end

        def supervisor(tell: Any) -> Any:
            self.bench = Bench(history.clock, name, SLOTS, tell)
            return self.bench

        retry = Retry(1.0, 0.0)
        clock: Any = history.clock
        self.service = NodeService(clock, connect, facts, supervisor, retry, 2.0, lambda _reason: None)
        self.service.startService()

    def kill(self) -> None:
        """With -9."""
        self.service.running = 0
        assert self.service._life is not None
        self.service._life.cancel()
        if self.end is not None:
            self.end.end("killed")


class History:
    """`book` survives everything."""

    def __init__(self, seed: int, crash_limit: int = 1000) -> None:
        random.seed(seed)  # jitter
        self.chance = random.Random(seed)
        self.crash_limit = crash_limit
        self.clock = Clock()
        self.book = Book()
        self.stuck = False  # the disk is full
        self.ends: list[tuple[End, End]] = []  # of links: the peer's, the master's
        self.master: Master | None = None
        self.lives = 0
        self.answers: list[list[Any]] = []
        self.calls: list[Deferred[Any]] = []
        self.needs: list[int | None] = []  # which call each depends on
        self.watched: set[int] = set()
        self.cancelled: set[int] = set()
        self.ordered = 0  # whole jobs and some tasks were cancelled by number
        self.guests = 0
        self.guest_sessions: list[list[Any]] = []
        self.killed: set[str] = set()
        self.start_master()
        self.nodes = {name: Daemon(self, name, 0) for name in ("a", "b")}
        self.client = self.join(1e6)
        while not self.client:
            self.everything_arrives()
        self.cluster = DeferredCluster(self.clock, self.client[0])

    def join(self, reconnect: float, name: str = "ann") -> list[Any]:
        """A client; its session comes when it is there."""
        got: list[Any] = []
        history = self

        class Place:
            async def connect(self, _reactor: object, handler: Callable[[Any], Any]) -> Any:
                if name in history.killed:
                    await Deferred()
                return history.dial(Peer(Role.CLIENT, name, "here", True), handler)

        options = JobOptions(crash_limit=self.crash_limit)
        session = Deferred.fromCoroutine(connect_session(self.clock, Place(), options, reconnect=reconnect))  # type: ignore[arg-type]  # a Clock, and a place of our own
        session.addCallbacks(got.append, lambda _failure: None)
        return got

    def dial(self, peer: Peer, handler: Callable[[Any], Any]) -> End:
        if self.master is None:
            raise MasterNotFoundError("there is none")
        near, far = link(self.clock, self.master_clock, peer)
        perspective: Any = NodePerspective if peer.role is Role.NODE else ClientPerspective
        far.handler = perspective(self.master, far)
        near.handler = handler(near)
        self.ends.append((near, far))
        return near

    # -- the master

    def start_master(self, _: int = 0) -> None:
        if self.master is not None:
            return
        self.master_clock = Clock()
        options = MasterOptions(1e6, 3e6, drain_limit=1.0, node_patience=5.0, client_patience=1e6)
        self.master = Master(self.master_clock, options)  # type: ignore[arg-type]  # a Clock
        jobs = recover(self.book.entries)
        stored = [(job, jobs.get(number, Recovered())) for number, job in self.book.jobs.items()]
        self.master.begin_with(Ledger(self.book), "one", self.book.next_job, stored)
        self.master.startService()

    def kill_master(self, few: int) -> None:
        """It may have written a part of what it was to write, and told nobody."""
        if self.master is None:
            return
        if not self.stuck:
            self.book.commit(few, told=False)
        self.master_is_gone()

    def master_is_gone(self) -> None:
        self.master = None
        self.book.killed()
        self.master_clock = Clock()
        for near, far in self.ends:
            far.handler, far.connected = None, False
            if self.chance.random() < 0.5:  # else its peer hears later
                near.end("reset")

    def stop_master(self, few: int) -> None:
        """As systemd would; what its journal cannot write by then is not written."""
        if self.master is None:
            return
        gone: list[Any] = []
        Deferred.fromCoroutine(self.master.drain()).addCallback(gone.append)
        for _ in range(1000):
            if gone:
                break
            self.arrive(few)
            self.work(few)
            self.pass_time(0.05)
        assert gone
        self.master.stopService()
        self.book.commit(0 if self.stuck else self.book.behind)
        self.master_is_gone()

    def commit(self, few: int) -> None:
        if not self.stuck:
            self.book.commit(few * 3)

    def fill_or_clear(self, _: int) -> None:
        self.stuck = not self.stuck

    # -- links

    def arrive(self, few: int) -> None:
        """Something, somewhere."""
        if self.ends:
            self.chance.choice(self.chance.choice(self.ends)).take(few * 2)

    def everything_arrives(self) -> None:
        for near, far in list(self.ends):
            far.take(1000)
            near.take(1000)
        if not self.stuck:
            self.book.commit(self.book.behind)
        self.pass_time(0.05)

    def cut(self, few: int) -> None:
        """One end hears of it, or both do; what was under way to the other may still come there."""
        if self.ends:
            near, far = self.chance.choice(self.ends)
            (near, far)[few % 2].end("cut")
            if few > 3:
                near.end("cut")
                far.end("cut")
            elif few > 1:
                near.out.clear()
                far.out.clear()

    def tidy(self) -> None:
        self.ends = [(near, far) for near, far in self.ends if near.connected or far.connected]

    def silence(self, _: int) -> None:
        """Somebody notices at last that the other end has gone."""
        for near, far in self.ends:
            if near.connected != far.connected:
                near.end("silent")
                far.end("silent")
                return

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.master_clock.advance(seconds)
        self.tidy()

    # -- nodes

    def work(self, few: int) -> None:
        for _ in range(few):
            self.chance.choice(list(self.nodes.values())).bench.work(self.chance.randint(1, SLOTS))

    def kill_worker(self, few: int) -> None:
        self.nodes[self.chance.choice("ab")].bench.die(1 + few % SLOTS)

    def kill_node(self, _: int) -> None:
        name = self.chance.choice("ab")
        self.lives += 1
        self.nodes[name].kill()
        self.nodes[name] = Daemon(self, name, self.lives)

    def stop_node(self, _: int) -> None:
        """As systemd would; it is started again when it has ended."""
        name = self.chance.choice("ab")
        daemon = self.nodes[name]
        if not daemon.service.running:
            return
        self.lives += 1
        life = self.lives

        def started(_gone: object) -> None:
            if self.nodes[name] is daemon:  # else it was killed while it stopped
                self.nodes[name] = Daemon(self, name, life)

        daemon.service.stopService().addCallback(started)

    # -- clients

    def submit(self, few: int) -> None:
        for _ in range(few):
            number = len(self.calls)
            value = (number, LARGE if self.chance.random() < 0.1 else b"")
            before = (
                self.chance.randrange(max(0, number - 6), number) if number and self.chance.random() < 0.2 else None
            )
            if before is None:
                call: Deferred[Any] = self.cluster.submit(tuple, value)  # type: ignore[arg-type]  # nobody calls it
            elif self.chance.random() < 0.5:
                call = self.cluster.submit(tuple, value, depends_on=[self.calls[before]])  # type: ignore[arg-type]
            else:
                call = self.cluster.submit(tuple, value, self.calls[before])  # type: ignore[call-arg]
            self.needs.append(before)
            self.calls.append(call)
            self.answers.append([])
            if self.chance.random() < 0.8:
                self.watch(number)

    def watch(self, number: int) -> None:
        """Somebody wants that value."""
        if number not in self.watched:
            self.watched.add(number)
            self.calls[number].addBoth(self.answers[number].append)

    def cancel(self, few: int) -> None:
        number = len(self.calls) - few
        if number >= 0 and not self.calls[number].called:
            self.cancelled.add(number)
            self.calls[number].cancel()

    def cancel_job(self, few: int) -> None:
        """Somebody says that tasks are to end, all or some, also such as were cancelled before."""
        if self.master is None or self.master.reception.desks.get(1) is None:
            return
        _, far = link(self.clock, self.master_clock, Peer(Role.CLIENT, "ann", "here", True))
        asking = ClientPerspective(self.master, far)  # type: ignore[arg-type]  # a link, as far as one is needed
        highest = self.master.board.highest(1)
        seqs = [self.chance.randint(0, highest) for _ in range(few)] if few > 1 and highest >= 0 else []
        answer = asking.verb("cancel_job", (1, seqs))
        assert isinstance(answer, Deferred)
        self.ordered += 1
        self.cancelled.update(number for number, call in enumerate(self.calls) if not call.called)
        asking.lost("it has gone")

    def guest(self, few: int) -> None:
        """Another client, which is killed with its link later."""
        self.guests += 1
        self.guest_sessions.append(self.join(few % 2 * 1.5, f"guest{self.guests}"))

    def close_guest(self, _: int) -> None:
        """One closes its job, and may be cut off before it has its answer."""
        sessions = [got[0] for got in self.guest_sessions if got]
        if sessions:
            self.chance.choice(sessions).close(JobClosedError("it was closed"))

    def kill_guest(self, few: int) -> None:
        name = f"guest{self.guests - few // 3}"
        self.killed.add(name)
        for near, _far in self.ends:
            if near.peer.name == name:
                near.handler, near.connected = None, False

    # -- a history

    def step(self) -> None:
        """Something happens; the usual more often than the unusual."""
        few, dice = self.chance.randint(1, 6), self.chance.random()
        usual: list[Callable[[int], object]] = [self.arrive] * 8 + [self.work] * 3 + [self.submit, self.commit]
        rare: list[Callable[[int], object]] = [self.cut, self.cut, self.silence, self.cancel, self.fill_or_clear]
        rare += [lambda few: self.pass_time(few / 4), lambda few: self.pass_time(few / 4), self.start_master]
        rare += [self.kill_worker, self.guest, self.kill_guest, self.close_guest]
        rare += [self.cancel_job, self.cancel_job]
        worst: list[Callable[[int], object]] = [self.kill_master, self.kill_master, self.stop_master, self.kill_node]
        worst.append(self.stop_node)
        self.chance.choice(usual if dice < 0.85 else rare if dice < 0.98 else worst)(few)
        self.pass_time(0.01)

    def end_well(self) -> None:
        """Let everything go well from now on."""
        self.stuck = False
        self.start_master()
        for number in range(len(self.calls)):
            self.watch(number)
        self.killed |= {f"guest{number}" for number in range(1, self.guests + 1)}
        for near, _far in self.ends:
            if near.peer.name in self.killed:
                near.handler, near.connected = None, False
        for _ in range(1500):
            for near, far in self.ends:
                far.send(Beat(0))
                if near.connected != far.connected:
                    near.end("silent")
                    far.end("silent")
            self.everything_arrives()
            for daemon in self.nodes.values():
                for number in range(1, SLOTS + 1):
                    daemon.bench.work(number)
            if self.done():
                return
        raise AssertionError(f"never: {self.why_not()}")

    def done(self) -> bool:
        """Everything is answered and safe, and nobody keeps anything for anybody."""
        session = self.client[0]
        assert self.master is not None
        desks = self.master.reception.desks._desks
        return (
            all(self.answers)
            and session.calls.idle
            and not session.away
            and session._unkept.sent == session._unkept.forgotten
            and desks.keys() == {1}
            and not desks[1].owed
            and not desks[1].stays
            and not self.book.behind
            and self.book.jobs.keys() == {1}
            and all(
                node.service.running and node.bench.crew.empty and not node.service.keeping.count
                for node in self.nodes.values()
            )
            and sum(view.running + view.queued + view.waiting for view in self.master.board.job_views()) == 0
        )

    def why_not(self) -> str:
        """What is missing."""
        session, desks = self.client[0], self.master.reception.desks._desks  # type: ignore[union-attr]  # it is there
        nodes = {name: (node.service.keeping.count, node.bench.crew.held()) for name, node in self.nodes.items()}
        told = [(job, desk.received, len(desk.owed), desk.sent, list(desk.stays)) for job, desk in desks.items()]
        return (
            f"no answers: {[n for n, answer in enumerate(self.answers) if not answer]}; client away {session.away}, "
            f"ended {session.ended}, out {list(session.calls.out)}, kept {session._unkept.forgotten} of "
            f"{session._unkept.sent}; desks {told}; "
            f"book {self.book.jobs.keys()}, {self.book.behind} behind; nodes {nodes}; "
            f"jobs {self.master.board.job_views()}"  # type: ignore[union-attr]  # it is there
        )

    def answers_are_right(self) -> None:
        for number, answer in enumerate(self.answers):
            if not answer:
                continue
            (value,) = answer
            if isinstance(value, Failure):
                kind, cause = type(value.value), number
                while kind is DependencyError and self.needs[cause] is not None and cause not in self.cancelled:
                    cause = cast("int", self.needs[cause])
                assert cause in self.cancelled, f"{number}: {value}"
            else:
                assert value[0] == number


@pytest.mark.parametrize("first", range(0, SEEDS, 30))
def test_whole(first: int) -> None:
    """Whatever happens, every call has its end, and nothing is left at anybody's."""
    for seed in range(first, first + 30):
        history = History(seed)
        try:
            for _ in range(STEPS):
                history.step()
                history.answers_are_right()
            history.end_well()
            history.answers_are_right()
        except BaseException as error:
            raise AssertionError(f"history {seed}") from error


def test_a_master_that_stops_charges_nobody() -> None:
    """What runs for longer than a stopping master waits goes on at its node, and is no loss of it."""
    history = History(0, crash_limit=1)
    history.submit(3)
    for _ in range(20):
        history.everything_arrives()
    busy = [daemon.bench for daemon in history.nodes.values() if any(each.tasks for each in daemon.bench.held())]
    for bench in busy:
        bench.work(1)  # it is ready, and begins
    history.submit(3)
    stopped: list[Any] = []
    assert history.master is not None
    Deferred.fromCoroutine(history.master.drain()).addCallback(stopped.append)
    while not stopped:
        history.everything_arrives()
    held = [each.tasks for bench in busy for each in bench.held()]
    assert any(held)
    history.master.stopService()
    history.master_is_gone()
    assert not any(history.answers)
    history.end_well()
    assert [answer[0][0] for answer in history.answers] == list(range(6))
