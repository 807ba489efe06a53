"""Random histories: whatever clients and nodes do, the board loses nothing and answers everything once.

Nodes here are played faithfully (each task is answered once, in any order) and also badly (answers are repeated
and sent by the wrong node).  Odd jobs have tasks of one second, even ones of one millisecond.  Codes need all sorts of
things (`NEEDS`), jobs are paused, attempts are charged to retries, owners get limits and lose them, and the master is
started anew.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asyncluster.jobs.board import Action, Board, NoteLoss, NoteTried, ToClient, ToNode
from asyncluster.jobs.credit import MOST
from asyncluster.jobs.recovery import recover
from asyncluster.jobs.working import _count, _count_one_by_one, at_work
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import (
    EVERYTHING,
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
from asyncluster.model.need import Need
from asyncluster.model.node import NodeFacts

NAMES = st.sampled_from(["a", "b", "c"])
OWNERS = ["ann", "bob", "cat"]
INDEX = st.integers(0, 10**6)

NEEDS = [
    Need(),
    Need(retries=1),
    Need(cores=2),
    Need(memory=60, retries=2),
    Need(gpus=1),
    Need(features=("x",)),
    Need(cores=3, memory=10, wait=True),
    Need(cores=3, gpus=1, features=("x",)),
    Need(cores=99),
]
TOO_MUCH = 8
PATIENCE = 50
"""Tasks that others may be given before who waits for a slot as well is given one."""
FAULTY = 9


def weight(need: Need, facts: NodeFacts) -> int:
    """Slots that a task takes."""
    return max(1, math.ceil(need.cores * facts.slots / facts.cores)) if need.cores > 1 else 1


def is_bulky(need: Need) -> bool:
    return need.cores > 1 or need.memory > 0 or need.gpus > 0


def could_run(need: Need, facts: NodeFacts) -> bool:
    """On the empty node."""
    return (
        need.cores <= facts.cores
        and need.memory <= facts.memory
        and need.gpus <= facts.gpus
        and set(need.features) <= set(facts.features)
    )


class FakeNode:
    """What a node was told, checked as it arrives."""

    def __init__(self, facts: NodeFacts) -> None:
        self.facts = facts
        self.knows: dict[int, tuple[list[int], set[int]]] = {}  # job -> steps, codes
        self.owners: dict[int, str] = {}
        self.tasks: list[Task] = []  # copies: the board goes on with its own
        self.draining = False
        self.away = False
        self.cut: set[tuple[int, int]] = set()  # tasks that it was told to end
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

    @property
    def weight(self) -> int:
        return sum(weight(NEEDS[task.code], self.facts) for task in self.tasks)

    def check_room(self, need: Need) -> None:
        """The newest task has this need: there must have been room for it."""
        assert could_run(need, self.facts)
        if is_bulky(need):
            assert self.weight <= self.facts.slots
        assert sum(NEEDS[task.code].memory for task in self.tasks) <= self.facts.memory
        assert sum(NEEDS[task.code].gpus for task in self.tasks) <= self.facts.gpus

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
            self.check_room(NEEDS[message.code])
        elif isinstance(message, Close):
            del self.knows[message.job]
        elif isinstance(message, Cancel):
            assert len(set(message.seqs)) == len(message.seqs)
            assert set(message.seqs) <= {task.seq for task in self.tasks if task.job == message.job}
            if message.cut and not message.unknown:
                self.cut |= {(message.job, seq) for seq in message.seqs}
        else:
            assert isinstance(message, Recall)
            assert message.count == EVERYTHING or 0 < message.count <= self.weight - self.facts.slots


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
        self.paused: set[int] = set()
        self.tries: dict[tuple[int, int], int] = {}
        self.ghosts: set[tuple[int, int]] = set()
        self.cut_off: set[tuple[int, int]] = set()  # those that were to be ended, since the master was started
        self.given: Counter[tuple[str, int]] = Counter()  # tasks by node and job, in the last dispatch
        self.passed: Counter[str] = Counter()  # owners who wait: tasks that others got since they had one
        self.unfinished: set[tuple[int, int]] = set()  # steps without their last word
        self.old: list[tuple[str, Result]] = []
        self.owner_of: dict[int, str] = {}
        self.limits: dict[str, tuple[int | None, int | None]] = dict.fromkeys(OWNERS, (None, None))
        self.barred: set[str] = set()
        self.next_job = 0
        self.next_seq = 0
        self.answered = 0
        self.charged = 0  # attempts, to retries

    # What comes out of the board

    def obey(self, actions: list[Action]) -> list[Result]:
        results = []
        for action in actions:
            if isinstance(action, NoteLoss | NoteTried):
                assert action.seq in self.alive[action.job]
                self.charged += isinstance(action, NoteTried)
                continue
            assert action.messages
            for message in action.messages:
                if isinstance(action, ToNode):
                    if self.nodes[action.node].away:
                        assert isinstance(message, Cancel | Close)  # which it will never hear
                    else:
                        assert not isinstance(message, Task) or message.job not in self.paused
                        self.nodes[action.node].hear(message, self.steps)
                        if isinstance(message, Task):
                            self.given[action.node, message.job] += 1
                            self.check_allowed(self.owner_of[message.job])
                elif isinstance(message, StepDone):
                    if not message.node:
                        self.unfinished.remove((message.job, message.step))
                else:
                    assert isinstance(message, Result)
                    results.append(message)
        return results

    def cores_of(self, owner: str) -> int:
        """At work for an owner's open jobs, task by task."""
        found = [each for node in self.board._nodes.values() for each in at_work(node).items()]
        mine = [(share, seq) for share, seqs in found for seq in seqs if share.job.owner == owner and not share.closed]
        return sum(share.job.codes[share.tasks[seq].code].need.cores for share, seq in mine)

    def slots_of(self, owner: str) -> int:
        """What its tasks take on nodes that are here."""
        mine = [(node, task) for node in self.nodes.values() for task in node.tasks]
        return sum(weight(NEEDS[t.code], node.facts) for node, t in mine if self.owner_of[t.job] == owner)

    def check_allowed(self, owner: str) -> None:
        """One more task of it was just given out."""
        assert owner not in self.barred
        most = self.limits[owner][0]
        assert most is None or self.slots_of(owner) <= most

    def settle(self, results: list[Result]) -> None:
        """Each of them ends a task that is alive."""
        for result in results:
            assert result.outcome != Outcome.RETURNED
            self.alive[result.job].remove(result.seq)
            self.tries.pop((result.job, result.seq), None)
            self.answered += 1

    # Clients

    @initialize()
    def begin(self) -> None:
        for name, python in (("a", "3.11"), ("b", "3.12")):
            self.join(name, 2, python, "*", 1, 1, ("x",))
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
        self.owner_of[number] = owner
        self.board.open(spec)
        for code, need in enumerate([*NEEDS, Need(cores=0)]):
            self.board.code(Code(number, code, 0, b"", need))

    def pick(self, index: int) -> int:
        return sorted(self.jobs)[index % len(self.jobs)]

    @precondition(lambda self: self.jobs)
    @rule(
        index=INDEX,
        count=st.integers(1, 40),
        codes=st.one_of(
            st.just([0]),
            st.just([0, 1]),
            st.just([3, 1]),
            st.just([4]),
            st.just([2, 0]),
            st.lists(st.integers(0, TOO_MUCH), min_size=1, max_size=4),
        ),
    )
    def submit(self, index: int, count: int, codes: list[int]) -> None:
        job = self.pick(index)
        seqs = range(self.next_seq, self.next_seq + count)
        self.next_seq += count
        tasks = [Task(job, seq, 0, codes[seq % len(codes)], b"") for seq in seqs]
        owner = self.jobs[job].owner
        waiting = sum(record.queued for record in self.board._jobs.values() if record.owner == owner)
        refused = self.obey(self.board.submit(job, tasks))
        hopeless = {task.seq for task in tasks if self.is_hopeless(self.jobs[job], NEEDS[task.code])}
        most = self.limits[owner][1]
        if most is not None:
            hopeless.update([seq for seq in seqs if seq not in hopeless][max(0, most - waiting) :])
        assert {result.seq for result in refused} == hopeless
        self.alive[job] |= set(seqs)
        self.settle(refused)

    def is_hopeless(self, spec: JobSpec, need: Need) -> bool:
        """Nodes are here, and none of them could ever run it."""
        facts = [node.facts for node in self.nodes.values()]
        if need.wait or not facts:
            return False
        if spec.python and spec.python not in {each.python for each in facts}:
            return True
        able = [each for each in facts if each.serves in ("*", spec.owner) and spec.python in ("", each.python)]
        return bool(able) and not any(could_run(need, each) for each in able)

    @precondition(lambda self: self.jobs)
    @rule(index=INDEX, paused=st.booleans())
    def pause(self, index: int, paused: bool) -> None:
        job = self.pick(index)
        (self.paused.add if paused else self.paused.discard)(job)
        assert self.obey(self.board.pause(job, paused)) == []

    @rule(
        owner=st.sampled_from(OWNERS),
        slots=st.sampled_from([None, 0, 1, 1, 2, 3, 5]),
        queued=st.sampled_from([None, None, 0, 10, 60]),
    )
    def limit(self, owner: str, slots: int | None, queued: int | None) -> None:
        self.limits[owner] = (slots, queued)
        assert self.obey(self.board.owners.limit(self.board.owners.of(owner), slots, queued)) == []

    @rule(owner=st.sampled_from(OWNERS), barred=st.booleans())
    def bar(self, owner: str, barred: bool) -> None:
        (self.barred.add if barred else self.barred.discard)(owner)
        assert self.obey(self.board.owners.bar(self.board.owners.of(owner), "not now" if barred else "")) == []

    @precondition(lambda self: self.jobs)
    @rule(index=INDEX, bad=INDEX)
    def submit_badly(self, index: int, bad: int) -> None:
        job = self.pick(index)
        used = sorted(self.alive[job]) + [seq for number, seq in sorted(self.ghosts) if number == job]
        tasks = [Task(job, -5, 0, 0, b""), Task(job, self.next_seq, 7, FAULTY, b""), Task(job, 10**8, 0, 77, b"")]
        if used:
            tasks.append(Task(job, used[bad % len(used)], 0, 0, b""))
        refused = self.obey(self.board.submit(job, tasks))
        assert [result.outcome for result in refused] == [Outcome.REFUSED] * len(tasks)

    @precondition(lambda self: self.jobs)
    @rule(
        index=INDEX,
        seqs=st.one_of(st.lists(INDEX, max_size=30), st.lists(INDEX, max_size=30), st.none()),
        cut=st.booleans(),
    )
    def cancel(self, index: int, seqs: list[int] | None, cut: bool) -> None:
        """Some tasks, named twice, with such as were cancelled before, or all; `cut`: nodes are to end them."""
        job = self.pick(index)
        alive = sorted(self.alive[job])
        known = alive + sorted(seq for number, seq in self.ghosts if number == job)
        named = set(known) if seqs is None else {known[seq % len(known)] for seq in seqs if known}
        held = {(task.job, task.seq) for node in self.nodes.values() for task in node.tasks}
        self.ghosts |= held & {(job, seq) for seq in named.intersection(alive)}
        if cut:
            self.cut_off |= self.ghosts & {(job, seq) for seq in named}
        results = self.obey(self.board.cancel(job, None if seqs is None else [*named, *named, 10**9], cut))
        assert sorted(result.seq for result in results) == sorted(named.intersection(alive))
        assert all(result.outcome == Outcome.CANCELLED for result in results)
        self.settle(results)
        self.what_is_to_end_is_told()

    def what_is_to_end_is_told(self) -> None:
        """To all nodes that are here, of all that they have; of nothing else."""
        for node in self.nodes.values():
            ghosts = self.ghosts & {(task.job, task.seq) for task in node.tasks}
            if not node.away:
                assert ghosts & self.cut_off == ghosts & node.cut

    @precondition(lambda self: self.jobs)
    @rule(index=INDEX)
    def close(self, index: int) -> None:
        job = self.pick(index)
        del self.jobs[job]
        self.alive.pop(job)
        self.paused.discard(job)
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
        factor=st.integers(1, 2),
        gpus=st.integers(0, 2),
        features=st.sampled_from([(), ("x",), ("x", "y")]),
    )
    def join(
        self, name: str, slots: int, python: str, serves: str, factor: int, gpus: int, features: tuple[str, ...]
    ) -> None:
        self.leave(name)
        facts = NodeFacts(name, "host", slots, slots * factor, 100, python, serves, gpus=gpus, features=features)
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
        self.what_is_to_end_is_told()
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
        picks=st.lists(st.tuples(INDEX, st.sampled_from([0, 0, 1, 1, 2, 3, 5, 7, 66])), max_size=20),
    )
    def answer(self, name: str, picks: list[tuple[int, int]]) -> None:
        node = self.nodes.get(name)
        if node is None or node.away:
            return
        batch, expected, charged, before = [], [], 0, self.charged
        for index, outcome in picks:
            if not node.tasks:
                break
            task = node.tasks.pop(index % len(node.tasks))
            wall = 1_000_000 if task.job % 2 else 1_000
            batch.append(Result(task.job, task.seq, task.attempt, outcome, b"", wall))
            key = (task.job, task.seq)
            if key in self.ghosts:
                self.ghosts.remove(key)
            elif task.job in self.jobs and outcome in (1, 7) and self.tries.get(key, 0) < NEEDS[task.code].retries:
                self.tries[key] = self.tries.get(key, 0) + 1
                charged += 1
            elif task.job in self.jobs and outcome in (0, 1, 3, 7, 66):
                expected.append(key)
        results = self.obey(self.board.results(name, batch, self.now))
        lost = [result for result in results if result.outcome == Outcome.LOST]
        assert sorted((r.job, r.seq) for r in results if r.outcome != Outcome.LOST) == sorted(expected)
        assert all(b"lost" in result.payload for result in lost)
        assert self.charged == before + charged
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
        self.nobody_starves()

    @rule(after=st.sampled_from([0.0, 0.01, 0.05, 2.0]))
    def tick(self, after: float) -> None:
        self.now += after
        assert self.obey(self.board.tick(self.now)) == []
        self.nobody_idles()
        self.nobody_starves()

    @rule()
    def restart(self) -> None:
        """The master was killed: a new one reads the journal, and nodes come back to it."""
        known = {job: recover(self.board.as_recovered(job).rows(job))[job] for job in self.jobs}
        self.board = Board()
        for job, spec in self.jobs.items():
            assert self.board.restore(spec, known[job]) == []
        for owner in OWNERS:
            self.limit(owner, *self.limits[owner])
            self.bar(owner, owner in self.barred)
        self.ghosts, self.unfinished, self.old = set(), set(), []
        self.cut_off, self.gone = set(), {}
        self.passed.clear()
        for node in self.nodes.values():
            node.cut.clear()
        for name, node in self.nodes.items():
            if not node.draining:
                self.gone[name] = node
                node.on_the_way = node.on_the_way if node.away else 0
                node.away = True
        self.nodes = {}

    def nobody_idles(self) -> None:
        """No room is left on a node that is not kept for something while something is queued that fits it."""
        for name, node in self.nodes.items():
            record = self.board._nodes[name]
            if node.draining or node.away or record.reserved is not None:
                continue
            facts = node.facts
            slots = facts.slots - node.weight
            memory = facts.memory - sum(NEEDS[task.code].memory for task in node.tasks)
            gpus = facts.gpus - sum(NEEDS[task.code].gpus for task in node.tasks)
            for number, spec in self.jobs.items():
                if number in self.paused or facts.serves not in ("*", spec.owner):
                    continue
                allowance = self.board.owners.of(spec.owner)
                if allowance.aside:
                    assert spec.owner in self.barred or self.limits[spec.owner][0] is not None
                    continue
                if spec.python not in ("", facts.python):
                    continue
                for task in self.board._jobs[number].tasks.values():
                    need = NEEDS[task.code]
                    room = weight(need, facts) <= min(slots, allowance.left) and need.memory <= memory
                    room = room and need.gpus <= gpus
                    assert not (could_run(need, facts) and room)

    def nobody_starves(self) -> None:
        """Whoever waits for a slot that others get, at no higher priority, has one soon."""
        given, self.given = self.given, Counter()
        waiting: dict[str, list[JobSpec]] = {owner: [] for owner in OWNERS}
        for number, spec in self.jobs.items():
            limited = spec.owner in self.barred or self.limits[spec.owner][0] is not None
            if number not in self.paused and not limited and self.board._jobs[number].plain.tasks:
                waiting[spec.owner].append(spec)
        for owner, specs in waiting.items():
            if not specs or any(self.jobs[job].owner == owner for _, job in given):
                self.passed[owner] = 0
                continue
            for (name, job), count in given.items():
                facts, reserved = self.nodes[name].facts, self.board._nodes[name].reserved
                fitting = [s for s in specs if facts.serves in ("*", owner) and s.python in ("", facts.python)]
                if reserved is None and any(spec.priority >= self.jobs[job].priority for spec in fitting):
                    self.passed[owner] += count
            assert self.passed[owner] <= PATIENCE

    # What always holds

    @invariant()
    def nothing_is_lost(self) -> None:
        views = {view.job: view for view in self.board.job_views()}
        assert views.keys() == self.jobs.keys()
        for job, seqs in self.alive.items():
            assert views[job].queued + views[job].running == len(seqs)
        jobs = self.board._jobs.values()
        seen = [job for job in jobs if job.job not in self.paused and not job.allowance.aside]
        assert self.board.queued == sum(job.queued for job in seen)
        assert {view.job for view in views.values() if view.paused} == self.paused
        held = [(t.job, t.seq) for node in self.nodes.values() for t in node.tasks]
        assert len(held) == len(set(held))

    @invariant()
    def every_task_is_explained(self) -> None:
        """Those that wait by one sentence each, and it is true as far as it can be seen from here."""
        running: Counter[int] = Counter()
        for job, seqs in self.alive.items():
            for seq in seqs:
                told = self.board.explain(job, seq)
                share = self.board._jobs[job].running.get(seq)
                assert told.node == ("" if share is None else share.node.name)
                assert told.state == "queued" or (told.state == "running" and share is not None)
                running[job] += told.state == "running"
                assert told.reason
                assert "\n" not in told.reason
                if told.state == "queued" and not told.node:
                    assert ("is paused" in told.reason) == (job in self.paused)
                    barred = job not in self.paused and self.owner_of[job] in self.barred
                    assert (told.reason == "not now") == barred
                    empty = not self.nodes and job not in self.paused and not barred
                    assert ("no node is present" in told.reason) == empty
        assert all(view.running == running[view.job] for view in self.board.job_views())
        assert all(self.board.job_view(job).running == running[job] for job in self.alive)

    @invariant()
    def what_is_reserved_is_waited_for(self) -> None:
        board = self.board
        reserved = {name: node.reserved for name, node in board._nodes.items() if node.reserved is not None}
        assert reserved.keys() == board.dispatcher._reserved.keys()
        for name, line in reserved.items():
            assert line.bulky
            assert line.reserved is board._nodes[name]
        for line in (line for job in board._jobs.values() for line in job.lines.values()):
            assert line.reserved is None or reserved[line.reserved.name] is line

    @invariant()
    def what_owners_have_adds_up(self) -> None:
        board = self.board
        for owner in OWNERS:
            allowance = board.owners.of(owner)
            assert allowance.used == self.slots_of(owner)
            assert board.owners.cores_by_owner()[owner] == board.owners.cores_at_work(allowance) == self.cores_of(owner)
            kept = [(node, node.reserved) for node in board._nodes.values() if node.reserved is not None]
            mine = [node.use(line.room)[0] for node, line in kept if line.allowance is allowance]
            assert allowance.kept == sum(mine)
            assert allowance.aside == bool(allowance.bar or allowance.short or allowance.slots == 0)
            assert bool(allowance.short) == (owner in board.dispatcher._short)
            assert not (allowance.bar and mine)
            assert allowance.jobs.keys() == {job for job, spec in self.jobs.items() if spec.owner == owner}
            if allowance.short:  # and it is not short of what it could have
                assert allowance.left < allowance.short <= (allowance.slots or 0)
                assert allowance.used or mine

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
        passing = board.dispatcher._passing
        assert (idle.keys() | hungry.keys() | over.keys() | passing.keys()) <= board._nodes.keys()
        assert passing.keys().isdisjoint(idle.keys() | hungry.keys())
        for name, node in board._nodes.items():
            one_by_one = {share: count for share, count in _count_one_by_one(node).items() if count}
            assert {share: count for share, count in (_count(node) or one_by_one).items() if count} == one_by_one
            assert node.held == self.nodes[name].weight == sum(node.kinds.values())
            tasks = [task for share in node.shares.values() for task in share.tasks.values()]
            assert len(tasks) == len(self.nodes[name].tasks)
            assert node.memory == sum(NEEDS[task.code].memory for task in tasks)
            assert node.gpus == sum(NEEDS[task.code].gpus for task in tasks)
            assert (name in idle or name in passing) >= (node.held < node.slots and node.open)
            assert name not in idle or (node.held < node.slots and node.open)
            assert (name in over) == (node.held > node.slots and node.open)
        assert sum(board._kinds._counts.values()) == len(board._nodes)
        assert all(board._kinds._counts.values())
        for job in board._jobs.values():
            where = {seq: share for share in job.shares.values() for seq in share.tasks}
            assert where.keys() == job.running.keys() | job.ghosts.keys()
            assert all(where[seq] is share for seq, share in job.running.items())
            assert all(where[seq] is share for seq, share in job.ghosts.items())
            assert job.cut <= job.ghosts.keys()
            assert Counter(job.ghosts.values()) == {
                share: share.ghosts for share in job.shares.values() if share.ghosts
            }
            assert not job.ghosts.keys() & (job.running.keys() | job.tasks.keys())
            assert job.losses.keys() <= job.tasks.keys() | job.running.keys()
            assert job.tries.keys() <= job.tasks.keys() | job.running.keys()
            assert job.tries == {seq: n for (number, seq), n in self.tries.items() if number == job.job}
            for line in job.lines.values():
                assert line.listed == bool(line.tasks and not line.paused)
                assert line.paused == job.paused
                assert not job.held

    def teardown(self) -> None:
        """With willing nodes everything that can be done ends, and then nothing is remembered."""
        for name in "abc":
            self.leave(name)
        for owner in OWNERS:
            self.limit(owner, None if owner == "ann" else 3, None)
            self.bar(owner, False)
        for job in self.jobs:
            self.paused.discard(job)
            self.board.pause(job, False)
        for name, python in (("a", "3.11"), ("b", "3.12")):
            self.join(name, 3, python, "*", 1, 1, ("x",))
        rounds = 0
        while self.feasible():
            self.dispatch()
            for name in "ab":
                self.answer(name, [(0, 0)] * 20)
            rounds += 1
            assert rounds < 20_000
        for number, seqs in self.alive.items():
            assert all("needs 99 cores" in self.board.explain(number, seq).reason for seq in seqs)
            self.settle(self.obey(self.board.cancel(number, sorted(seqs))))
        self.dispatch()
        for job in self.board._jobs.values():
            assert not any((job.tasks, job.running, job.ghosts, job.losses, job.tries))
            assert not any(line.listed or line.reserved for line in job.lines.values())
        for name in "ab":
            self.leave(name)
        assert not self.unfinished
        while self.jobs:
            self.close(0)
        board, queue, dispatcher = self.board, self.board.backlog.queue, self.board.dispatcher
        assert not any((board._jobs, board._nodes, board._kinds, queue._levels, queue._order))
        assert not any((dispatcher._idle, dispatcher._hungry, dispatcher._over))
        assert not any((dispatcher._passing, dispatcher._reserved))
        assert self.answered >= board.counters.done

    def feasible(self) -> bool:
        """Whether something is alive that the nodes which are here could run."""
        return any(
            seq in job.running or job.tasks[seq].code != TOO_MUCH
            for job in self.board._jobs.values()
            for seq in self.alive[job.job]
        )


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
