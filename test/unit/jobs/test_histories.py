"""Random histories: whatever clients and nodes do, the board loses nothing and answers everything once.

Nodes here are played faithfully (each task is answered once, in any order) and also badly (answers are repeated
and sent by the wrong node).  Odd jobs have tasks of one second, even ones of one millisecond.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asyncluster.jobs.board import Action, Board, NoteLoss, ToClient, ToNode
from asyncluster.jobs.credit import MOST
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import (
    Cancel,
    Close,
    Code,
    Held,
    Job,
    Outcome,
    Recall,
    Result,
    Started,
    Step,
    StepDone,
    Task,
)
from asyncluster.model.node import NodeFacts

NAMES = st.sampled_from(["a", "b", "c"])
OWNERS = ["ann", "bob", "cat"]
INDEX = st.integers(0, 10**6)


class FakeNode:
    """What a node was told, checked as it arrives."""

    def __init__(self, facts: NodeFacts) -> None:
        self.facts = facts
        self.knows: dict[int, tuple[list[int], set[int]]] = {}  # job -> steps, codes
        self.owners: dict[int, str] = {}
        self.tasks: list[Task] = []  # copies: the board goes on with its own
        self.draining = False
        self.away = False
        self.on_the_way = 0  # the newest tasks, which the board gave and a broken link swallowed

    def held(self) -> list[Held]:
        return [
            Held(job, some_codes, len(steps), some_tasks)
            for job, (steps, codes) in self.knows.items()
            for some_codes, some_tasks in (  # in two pieces, as if it were too much for one
                (sorted(codes), []),
                ([], [(task.seq, task.attempt) for task in self.tasks if task.job == job]),
            )
        ]

    def hear(self, message: Any, steps: dict[int, int]) -> None:
        if isinstance(message, Job):
            assert message.job not in self.knows
            assert self.facts.serves in ("*", message.owner)
            assert message.python in ("", self.facts.python)
            self.knows[message.job] = ([], set())
        elif isinstance(message, Step):
            done = self.knows[message.job][0]
            assert message.step <= len(done)
            if message.step == len(done):  # else it is asked again how that one went
                done.append(message.step)
        elif isinstance(message, Code):
            codes = self.knows[message.job][1]
            assert message.code not in codes
            codes.add(message.code)
        elif isinstance(message, Task):
            assert not self.draining
            done, codes = self.knows[message.job]
            assert len(done) == steps[message.job]
            assert message.code in codes
            assert (message.job, message.seq) not in {(task.job, task.seq) for task in self.tasks}
            self.tasks.append(Task(message.job, message.seq, message.attempt, message.code, b""))
        elif isinstance(message, Close):
            del self.knows[message.job]
        elif isinstance(message, Cancel):
            assert set(message.seqs) <= {task.seq for task in self.tasks if task.job == message.job}
        else:
            assert isinstance(message, Recall)
            assert 0 < message.count <= len(self.tasks) - self.facts.slots


class Histories(RuleBasedStateMachine):
    """The model: which tasks are alive, and what each node holds."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()
        self.now = 0.0
        self.nodes: dict[str, FakeNode] = {}
        self.gone: dict[str, FakeNode] = {}  # away for so long that the board gave them up
        self.jobs: dict[int, JobSpec] = {}
        self.steps: dict[int, int] = {}
        self.alive: dict[int, set[int]] = {}
        self.ghosts: set[tuple[int, int]] = set()
        self.unfinished: set[tuple[int, int]] = set()  # steps without their last word
        self.old: list[tuple[str, Result]] = []
        self.next_job = 0
        self.next_seq = 0
        self.answered = 0

    # What comes out of the board

    def obey(self, actions: list[Action]) -> list[Result]:
        results = []
        for action in actions:
            if isinstance(action, NoteLoss):
                assert action.seq in self.alive[action.job]
                continue
            assert action.messages
            for message in action.messages:
                if isinstance(action, ToNode):
                    if self.nodes[action.node].away:
                        assert isinstance(message, Cancel | Close)  # which it will never hear
                    else:
                        self.nodes[action.node].hear(message, self.steps)
                elif isinstance(message, StepDone):
                    if not message.node:
                        self.unfinished.remove((message.job, message.step))
                else:
                    assert isinstance(message, Result)
                    results.append(message)
        return results

    def settle(self, results: list[Result]) -> None:
        """Each of them ends a task that is alive."""
        for result in results:
            assert result.outcome != Outcome.RETURNED
            self.alive[result.job].remove(result.seq)
            self.answered += 1

    # Clients

    @initialize()
    def begin(self) -> None:
        for name, python in (("a", "3.11"), ("b", "3.12")):
            self.join(name, 2, python, "*")
        self.open(0, "", "ann", 2)
        self.open(0, "", "bob", 2)

    @precondition(lambda self: len(self.jobs) < 5)
    @rule(
        priority=st.integers(0, 1),
        python=st.sampled_from(["", "", "3.11", "3.12"]),
        owner=st.sampled_from(OWNERS),
        crash_limit=st.integers(1, 3),
    )
    def open(self, priority: int, python: str, owner: str, crash_limit: int) -> None:
        self.next_job += 1
        number = self.next_job
        spec = JobSpec(number, owner, priority=priority, python=python, crash_limit=crash_limit)
        self.jobs[number], self.steps[number], self.alive[number] = spec, 0, set()
        self.board.open(spec)
        for code in (0, 1):
            self.board.code(Code(number, code, 0, b""))

    def pick(self, index: int) -> int:
        return sorted(self.jobs)[index % len(self.jobs)]

    @precondition(lambda self: self.jobs)
    @rule(index=INDEX, count=st.integers(1, 40), both=st.booleans())
    def submit(self, index: int, count: int, both: bool) -> None:
        job = self.pick(index)
        seqs = range(self.next_seq, self.next_seq + count)
        self.next_seq += count
        tasks = [Task(job, seq, 0, seq % 2 if both else 0, b"") for seq in seqs]
        refused = self.obey(self.board.submit(job, tasks))
        spec = self.jobs[job]
        pythons = {node.facts.python for node in self.nodes.values()}
        assert len(refused) == (count if spec.python and pythons and spec.python not in pythons else 0)
        self.alive[job] |= set(seqs)
        self.settle(refused)

    @precondition(lambda self: self.jobs)
    @rule(index=INDEX, bad=INDEX)
    def submit_badly(self, index: int, bad: int) -> None:
        job = self.pick(index)
        used = sorted(self.alive[job]) + [seq for number, seq in sorted(self.ghosts) if number == job]
        tasks = [Task(job, -5, 0, 0, b""), Task(job, self.next_seq, 7, 9, b"")]
        if used:
            tasks.append(Task(job, used[bad % len(used)], 0, 0, b""))
        refused = self.obey(self.board.submit(job, tasks))
        assert [result.outcome for result in refused] == [Outcome.REFUSED] * len(tasks)

    @precondition(lambda self: self.jobs)
    @rule(index=INDEX, seqs=st.lists(INDEX, max_size=30))
    def cancel(self, index: int, seqs: list[int]) -> None:
        job = self.pick(index)
        alive = sorted(self.alive[job])
        chosen = {alive[seq % len(alive)] for seq in seqs} if alive else set()
        held = {(task.job, task.seq) for node in self.nodes.values() for task in node.tasks}
        self.ghosts |= held & {(job, seq) for seq in chosen}
        results = self.obey(self.board.cancel(job, [*chosen, 10**9]))
        assert {result.seq for result in results} == chosen
        assert all(result.outcome == Outcome.CANCELLED for result in results)
        self.settle(results)

    @precondition(lambda self: self.jobs)
    @rule(index=INDEX)
    def close(self, index: int) -> None:
        job = self.pick(index)
        del self.jobs[job]
        self.alive.pop(job)
        self.unfinished = {step for step in self.unfinished if step[0] != job}
        assert self.obey(self.board.close(job)) == []

    @precondition(lambda self: self.jobs)
    @rule(index=INDEX)
    def step(self, index: int) -> None:
        job = self.pick(index)
        number = self.steps[job]
        self.steps[job] += 1
        self.unfinished.add((job, number))
        self.obey(self.board.step(Step(job, number, 1, b"")))

    # Nodes

    @rule(
        name=NAMES,
        slots=st.integers(1, 3),
        python=st.sampled_from(["3.11", "3.12"]),
        serves=st.sampled_from(["*", "*", "ann", "bob"]),
    )
    def join(self, name: str, slots: int, python: str, serves: str) -> None:
        self.leave(name)
        facts = NodeFacts(name, "host", slots, slots, 1, python, serves)
        self.nodes[name] = FakeNode(facts)
        assert self.obey(self.board.join(facts, self.now)) == []

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        node = self.nodes.pop(name, None)
        results = self.obey(self.board.leave(name, "it burned", self.now))
        assert all(result.outcome == Outcome.LOST for result in results)
        if node is not None:
            assert not (node.draining and results)
            self.ghosts -= {(task.job, task.seq) for task in node.tasks}
        self.settle(results)

    @rule(name=NAMES, on_the_way=st.integers(0, 5))
    def cut(self, name: str, on_the_way: int) -> None:
        """The link breaks, and with it goes what was on the way to the node."""
        node = self.nodes.get(name)
        if node is not None and not node.away and not node.draining:
            node.away, node.on_the_way = True, on_the_way
            assert self.board.away(name) == []

    @rule(name=NAMES)
    def give_up(self, name: str) -> None:
        """It stays away for too long; the node itself goes on."""
        node = self.nodes.get(name)
        if node is not None and node.away:
            self.leave(name)
            self.gone[name] = node

    @rule(name=NAMES)
    def rejoin(self, name: str) -> None:
        """It is back, in time or long after it was given up, with what it really has."""
        late = name not in self.nodes
        node = self.gone.pop(name, None) if late else self.nodes[name]
        if node is None or not node.away:
            return
        swallowed = node.tasks[max(0, len(node.tasks) - node.on_the_way) :]
        node.tasks = node.tasks[: len(node.tasks) - len(swallowed)]
        if node.on_the_way % 2:  # with the first task of a job its opening was swallowed, too
            having = {task.job for task in node.tasks}
            node.knows = {job: known for job, known in node.knows.items() if job in having}
        if not late:
            self.ghosts -= {(task.job, task.seq) for task in swallowed}
        node.away, self.nodes[name] = False, node
        assert self.obey(self.board.rejoin(node.facts, node.held(), self.now)) == []
        shares = self.board._nodes[name].shares
        for task in list(node.tasks):
            if task.job not in shares or task.seq not in shares[task.job].tasks:
                node.tasks.remove(task)  # over, or another node's meanwhile: whatever it answers is too late
                self.old.append((name, Result(task.job, task.seq, task.attempt, 0, b"")))

    @rule(name=NAMES)
    def drain(self, name: str) -> None:
        if name in self.nodes and self.nodes[name].away:
            return
        if name in self.nodes:
            self.nodes[name].draining = True
        assert self.board.drain(name) == []

    @rule(
        name=NAMES,
        picks=st.lists(st.tuples(INDEX, st.sampled_from([0, 0, 0, 1, 2, 3, 5, 66])), max_size=20),
    )
    def answer(self, name: str, picks: list[tuple[int, int]]) -> None:
        node = self.nodes.get(name)
        if node is None or node.away:
            return
        batch, expected = [], []
        for index, outcome in picks:
            if not node.tasks:
                break
            task = node.tasks.pop(index % len(node.tasks))
            wall = 1_000_000 if task.job % 2 else 1_000
            batch.append(Result(task.job, task.seq, task.attempt, outcome, b"", wall))
            key = (task.job, task.seq)
            if key in self.ghosts:
                self.ghosts.remove(key)
            elif task.job in self.jobs and outcome in (0, 1, 3, 66):
                expected.append(key)
        results = self.obey(self.board.results(name, batch, self.now))
        lost = [result for result in results if result.outcome == Outcome.LOST]
        assert sorted((r.job, r.seq) for r in results if r.outcome != Outcome.LOST) == sorted(expected)
        assert all(b"lost" in result.payload for result in lost)
        self.settle(results)
        self.old = (self.old + [(name, result) for result in batch])[-20:]

    @precondition(lambda self: self.old)
    @rule(index=INDEX)
    def repeat(self, index: int) -> None:
        """An answer that was given already: also after the task went to the same node once more."""
        name, result = self.old[index % len(self.old)]
        before = self.board.counters.refused
        assert self.board.results(name, [result], self.now) == []
        assert self.board.counters.refused == before + 1

    @rule(name=NAMES, behind=st.integers(0, 1))
    def start(self, name: str, behind: int) -> None:
        """A node says that all is at work which it or another has: told while it is alive there."""
        for node in self.nodes.values():
            for task in node.tasks:
                message = Started(task.job, task.seq, task.attempt - behind)
                true = node.facts.name == name and not behind and task.seq in self.alive.get(task.job, ())
                assert self.board.started(name, message) == ([ToClient(task.job, [message])] if true else [])

    @rule(name=NAMES, index=INDEX)
    def lie(self, name: str, index: int) -> None:
        """A node answers what another has."""
        others = [t for n in self.nodes.values() if n.facts.name != name for t in n.tasks]
        if others:
            task = others[index % len(others)]
            result = Result(task.job, task.seq, task.attempt, 0, b"")
            assert self.board.results(name, [result], self.now) == []

    @rule(name=NAMES, index=INDEX)
    def apply_step(self, name: str, index: int) -> None:
        steps = sorted(self.unfinished)
        if steps:
            job, step = steps[index % len(steps)]
            self.obey(self.board.step_done(name, StepDone(job, step, "", "")))

    # Time

    @rule()
    def dispatch(self) -> None:
        assert self.obey(self.board.dispatch(self.now)) == []
        self.nobody_idles()

    @rule(after=st.sampled_from([0.0, 0.01, 0.05, 2.0]))
    def tick(self, after: float) -> None:
        self.now += after
        assert self.obey(self.board.tick(self.now)) == []
        self.nobody_idles()

    def nobody_idles(self) -> None:
        """No free slot is left while something is queued that fits it."""
        for node in self.nodes.values():
            if node.draining or node.away or len(node.tasks) >= node.facts.slots:
                continue
            for view in self.board.job_views():
                spec = self.jobs[view.job]
                fits = node.facts.serves in ("*", spec.owner) and spec.python in ("", node.facts.python)
                assert not (fits and view.queued)

    # What always holds

    @invariant()
    def nothing_is_lost(self) -> None:
        views = {view.job: view for view in self.board.job_views()}
        assert views.keys() == self.jobs.keys()
        for job, seqs in self.alive.items():
            assert views[job].queued + views[job].running == len(seqs)
        assert self.board.queued == sum(view.queued for view in views.values())
        held = [(t.job, t.seq) for node in self.nodes.values() for t in node.tasks]
        assert len(held) == len(set(held))

    @invariant()
    def nobody_is_above_the_window(self) -> None:
        for node in self.nodes.values():
            assert len(node.tasks) <= node.facts.slots * MOST
            long = sum(task.job % 2 for task in node.tasks)
            assert long <= node.facts.slots + 1

    @invariant()
    def the_book_adds_up(self) -> None:
        board = self.board
        assert set(board._nodes) == set(self.nodes)
        idle, hungry, over = board.dispatcher._idle, board.dispatcher._hungry, board.dispatcher._over
        assert (idle.keys() | hungry.keys() | over.keys()) <= board._nodes.keys()
        for name, node in board._nodes.items():
            assert node.held == len(self.nodes[name].tasks)
            assert node.held == sum(len(share.tasks) for share in node.shares.values()) == sum(node.kinds.values())
            assert (name in idle) == (node.held < node.slots and node.open)
            assert (name in over) == (node.held > node.slots and node.open)
        assert +board._pythons == board._pythons
        for job in board._jobs.values():
            where = {seq: share for share in job.shares.values() for seq in share.tasks}
            assert where.keys() == job.running.keys() | job.ghosts
            assert all(where[seq] is share for seq, share in job.running.items())
            assert not job.ghosts & (job.running.keys() | job.tasks.keys())
            assert job.losses.keys() <= job.tasks.keys() | job.running.keys()
            assert job.listed == bool(job.tasks)

    def teardown(self) -> None:
        """With willing nodes everything ends, and then nothing is remembered."""
        for name in "abc":
            self.leave(name)
        for name, python in (("a", "3.11"), ("b", "3.12")):
            self.join(name, 3, python, "*")
        rounds = 0
        while any(self.alive.values()):
            self.dispatch()
            for name in "ab":
                self.answer(name, [(0, 0)] * 20)
            rounds += 1
            assert rounds < 20_000
        for job in self.board._jobs.values():
            assert not any((job.tasks, job.running, job.ghosts, job.losses, job.listed))
        for name in "ab":
            self.leave(name)
        assert not self.unfinished
        while self.jobs:
            self.close(0)
        board, queue, dispatcher = self.board, self.board.queue, self.board.dispatcher
        assert not any((board._jobs, board._nodes, board._pythons, queue._levels, queue._order))
        assert not any((dispatcher._idle, dispatcher._hungry, dispatcher._over))
        assert self.answered >= board.counters.done


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
