"""Tasks that wait for others: rule by rule on the board, and in random histories with a master that is killed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asyncluster.jobs import dependencies
from asyncluster.jobs.board import Action, Board, ToClient, ToNode
from asyncluster.jobs.dependencies import BIG, chain
from asyncluster.jobs.recovery import Recovered, recover
from asyncluster.model.chain import LINKS
from asyncluster.model.job import JobSpec
from asyncluster.model.journal import Entry, Kind
from asyncluster.model.messages import (
    After,
    Cancel,
    Code,
    Forget,
    Held,
    Message,
    Outcome,
    Result,
    Task,
    Value,
    encode_batch,
)
from asyncluster.model.node import NodeFacts

Desk = Any  # the fixture's class lives in conftest.py, which is not importable
LARGE = b"x" * (BIG + 1)


def after(desk: Desk, seq: int, values: list[int], order: list[int] | None = None) -> None:
    """The client sends a task that depends on others."""
    desk.take(desk.board.submit_linked(1, [After(1, seq, values, order or []), Task(1, seq, 0, 0, b"")]))


def texts(desk: Desk) -> dict[int, str]:
    """What the client was told of tasks that were not run."""
    return {
        each.seq: each.payload.decode()
        for each in desk.told()
        if isinstance(each, Result) and each.outcome == Outcome.DEPENDENCY
    }


def test_a_task_waits_and_is_given_with_the_value(desk: Desk) -> None:
    """The value comes to the node first, once; it is forgotten there when the last task that needs it has ended."""
    desk.job()
    desk.node(slots=2)
    desk.submit(0)
    after(desk, 1, [0])
    after(desk, 2, [0], [1])
    desk.dispatch()
    assert desk.given() == [0]
    (view,) = desk.board.job_views()
    assert (view.queued, view.running, view.waiting) == (0, 1, 2)
    assert desk.board.dependencies(1).waits_for(2) == (0, 1)
    desk.answer("a", 0, payload=b"v")
    desk.dispatch()
    assert desk.sent() == [Value(1, 0, b"v"), After(1, 1, [0], []), Task(1, 1, 1, 0, b"")]
    desk.answer("a", 1)
    desk.dispatch()
    assert desk.sent() == [After(1, 2, [0], []), Task(1, 2, 1, 0, b"")]
    desk.answer("a", 2)
    assert desk.sent() == [Forget(1, [0])]
    assert desk.ended() == [(0, 0), (1, 0), (2, 0)]
    assert not desk.board.dependencies(1).held()


@pytest.mark.parametrize(
    ("outcome", "how"),
    [(Outcome.EXCEPTION, "failed"), (Outcome.LIMIT, "went over a limit"), (99, "was refused"), (3, "was refused")],
)
def test_a_failure_fails_all_below_at_once(desk: Desk, outcome: int, how: str) -> None:
    """Each is told the whole chain; those beside it go on."""
    desk.job()
    desk.node()
    desk.submit(0)
    after(desk, 1, [], [0])
    after(desk, 2, [1])
    desk.submit(3)
    desk.dispatch()
    desk.answer("a", 0, outcome=outcome)
    assert texts(desk) == {
        1: f"task 1 was not run: it depends on task 0, which {how}",
        2: f"task 2 was not run: it depends on task 1, which depends on task 0, which {how}",
    }
    assert desk.board.job_views()[0].failed == 3
    assert not desk.board.dependencies(1).written()


def test_cancelling_one_that_waits(desk: Desk) -> None:
    """It is answered CANCELLED, and those below fail; what it waited for goes on."""
    desk.job()
    desk.node()
    desk.submit(0)
    after(desk, 1, [0])
    after(desk, 2, [1])
    desk.take(desk.board.cancel(1, [1]))
    assert [each.outcome for each in desk.told()] == [Outcome.CANCELLED, Outcome.DEPENDENCY]
    desk.dispatch()
    assert desk.given() == [0]
    desk.answer("a", 0)
    assert not desk.board.dependencies(1).held()


def test_what_cannot_be_waited_for(desk: Desk) -> None:
    """Itself, a number that never came, one too many: answered at once, and nothing of it stays."""
    desk.job()
    desk.node()
    after(desk, 0, [0])
    after(desk, 1, [7, 8], [9])
    after(desk, 2, list(range(dependencies.MOST + 1)))
    told = texts(desk)
    assert told[0] == "task 0 was not run: it depends on itself"
    assert told[1] == "task 1 was not run: it depends on task 7, which is not known here, or not any more"
    assert "100000 are possible" in told[2]
    assert not desk.board.dependencies(1).written()
    desk.submit(0)
    desk.dispatch()
    assert desk.given() == [0]


def test_a_failure_in_the_same_batch(desk: Desk) -> None:
    """What is answered in a batch is known to those behind it in the same batch."""
    desk.job()
    batch = [After(1, 0, [9], []), Task(1, 0, 0, 0, b""), Task(1, 1, 0, 77, b"")]
    batch += [After(1, 2, [0], []), Task(1, 2, 0, 0, b""), After(1, 3, [1], []), Task(1, 3, 0, 0, b"")]
    desk.take(desk.board.submit_linked(1, batch))
    told = texts(desk)
    assert told[2].startswith("task 2 was not run: it depends on task 0, which depends on task 9, which is not known")
    assert told[3] == "task 3 was not run: it depends on task 1, which was refused"


def test_a_job_that_waits_in_too_many_places(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master's memory is bounded; there is room again when something has ended."""
    monkeypatch.setattr(dependencies, "MOST_IN_ALL", 3)
    desk.job()
    desk.node(slots=4)
    desk.submit(0, 1)
    after(desk, 2, [0], [1])
    after(desk, 3, [0, 1])
    assert texts(desk) == {3: "task 3 was not run: the tasks of its job wait for others in 3 places already"}
    desk.dispatch()
    desk.answer("a", 0)
    after(desk, 4, [1, 2])
    desk.take(desk.board.cancel(1, [4]))
    after(desk, 5, [1, 2])
    assert not texts(desk)


def test_strange_orders(desk: Desk) -> None:
    """Of no job, twice for one task, after its task, before a task that cannot be: the board lives on."""
    desk.job()
    desk.node()
    desk.take(desk.board.after(After(7, 0, [], [])))
    desk.submit(0)
    desk.take(desk.board.after(After(1, 0, [0], [0])))
    after(desk, 1, [0])
    after(desk, 1, [])  # it waits already
    assert desk.ended() == [(1, Outcome.REFUSED)]
    desk.take(desk.board.submit_linked(1, [After(1, 2, [0], []), Task(1, 2, 0, 99, b"")]))
    assert desk.ended() == [(2, Outcome.REFUSED)]
    desk.dispatch()
    desk.answer("a", 0)
    desk.dispatch()
    desk.answer("a", 1)
    assert desk.ended() == [(0, 0), (1, 0)]
    assert not desk.board.dependencies(1).written()
    assert not desk.board.dependencies(1).held()
    desk.take(desk.board.close(1))


def test_tasks_that_never_come(desk: Desk) -> None:
    """What was said of them, and the values they would need, is held for a hundred of them only; others go on."""
    desk.job()
    desk.node(slots=4)
    desk.submit(0)
    desk.dispatch()
    after(desk, 1, [0])
    desk.answer("a", 0)
    desk.dispatch()
    desk.answer("a", 1)  # both have ended
    desk.board.owed = lambda job, seq: Result(job, seq, 1, 0, b"v") if seq < 2 else None
    held = desk.board.dependencies(1)
    for seq in (0, 1, *range(1000, 1000 + dependencies.MOST_AHEAD)):
        desk.take(desk.board.after(After(1, seq, [1 if seq == 0 else 0], [77] if seq % 2 else [])))
    assert len(held.written()) == dependencies.MOST_AHEAD
    assert set(held.held()) == {0}
    last = 1000 + dependencies.MOST_AHEAD
    desk.submit(5)
    for seq in range(last, last + 3 * dependencies.MOST_AHEAD):  # those that come do not count
        after(desk, seq, [5])
    assert len(held.waiting) == 3 * dependencies.MOST_AHEAD
    assert len(held.written()) == 4 * dependencies.MOST_AHEAD - 1  # room for the next to come
    desk.take(desk.board.submit_linked(1, [Task(1, 1002, 0, 0, b"")]))
    desk.dispatch()
    assert After(1, 1002, [0], []) in desk.sent()


def test_a_killed_master_holds_no_more_of_tasks_that_never_come(desk: Desk) -> None:
    """Its journal has all that was said; tasks that wait are not taken for such."""
    waiting = {seq: Task(1, seq, 0, 0, b"") for seq in range(1, 3 * dependencies.MOST_AHEAD)}
    never = range(10_000, 10_000 + 2 * dependencies.MOST_AHEAD)
    recovered = Recovered(
        codes=[Code(1, 0, 0, b"")],
        tasks={0: Task(1, 0, 0, 0, b"")} | waiting,
        after={seq: After(1, seq, [0], []) for seq in (*never, *waiting)},
    )
    desk.take(desk.board.restore(JobSpec(1, "ann"), recovered))
    held = desk.board.dependencies(1)
    assert held.waiting.keys() == waiting.keys()
    assert len(held.written()) == len(waiting) + dependencies.MOST_AHEAD


def test_a_dependency_that_has_ended(desk: Desk) -> None:
    """It is looked up among what the client is owed."""
    desk.job()
    desk.node()
    desk.board.owed = lambda job, seq: {0: Result(job, 0, 1, 0, b"v"), 1: Result(job, 1, 1, 1, b"")}.get(seq)
    after(desk, 2, [0])
    after(desk, 3, [0, 1])
    assert texts(desk) == {3: "task 3 was not run: it depends on task 1, which failed"}
    desk.dispatch()
    assert desk.sent()[-3:] == [Value(1, 0, b"v"), After(1, 2, [0], []), Task(1, 2, 1, 0, b"")]


def test_a_node_comes_back_with_values(desk: Desk) -> None:
    """What it has is not sent again; what nobody needs any more it is told to forget."""
    desk.job()
    desk.node("a", slots=2)
    desk.submit(0, 1)
    after(desk, 2, [0, 1])
    desk.dispatch()
    desk.answer("a", 0, 1)
    desk.board.away("a")
    desk.sent()
    facts = NodeFacts("a", "host", 2, 2, 1 << 30, "3.11")
    desk.take(desk.board.rejoin(facts, [Held(1, [0], 0, [], [1, 9])], desk.now))
    assert desk.sent() == [Forget(1, [9])]
    desk.dispatch()
    assert [type(each) for each in desk.sent()] == [Value, After, Task]


def test_a_task_that_a_node_has_before_its_time(desk: Desk) -> None:
    """A killed master's node had it: it runs on; given back, it waits, and fails with what it waits for."""
    desk.job()
    desk.submit(0)
    after(desk, 1, [0])
    facts = NodeFacts("a", "host", 2, 2, 1 << 30, "3.11")
    desk.take(desk.board.rejoin(facts, [Held(1, [0], 0, [(1, 4)], [0])], desk.now))
    desk.dispatch()
    assert desk.given() == [0]
    desk.answer("a", 1, attempt=4, outcome=Outcome.RETURNED)
    assert desk.board.dependencies(1).waits_for(1) == (0,)
    desk.take(desk.board.rejoin(facts, [Held(1, [0], 0, [(0, 1), (1, 4)], [0])], desk.now))
    desk.answer("a", 0, outcome=Outcome.EXCEPTION)
    desk.answer("a", 1, attempt=4, outcome=Outcome.RETURNED)
    assert desk.ended() == [(0, Outcome.EXCEPTION), (1, Outcome.DEPENDENCY)]


def test_long_chains_are_shortened() -> None:
    """The middle is left out, so that a long chain does not take the square of its length."""
    result = Result(1, 0, 1, Outcome.EXCEPTION, b"")
    for seq in range(1, 1000):
        result = Result(1, seq, 1, Outcome.DEPENDENCY, chain(seq, seq - 1, result).encode())
    text = result.payload.decode()
    assert text.startswith("task 999 was not run: it depends on task 998, which depends on task 997,")
    assert text.endswith("which depends on task 0, which failed")
    assert text.count("which") < LINKS + 4


@pytest.mark.parametrize("rewritten", [False, True])
def test_what_is_needed_survives_being_fetched(rewritten: bool) -> None:
    """Until the last task that needs it has ended; of what is only waited for, the value is not kept."""

    def log(kind: Kind, what: Any) -> Entry:
        data = encode_batch(what) if kind in (Kind.MESSAGES, Kind.RESULTS) else msgspec.msgpack.encode(what)
        return Entry(1, kind, data)

    def result(seq: int, payload: bytes = b"v") -> Result:
        return Result(1, seq, 1, Outcome.VALUE, payload)

    tasks = [Task(1, seq, 0, 0, b"") for seq in range(6)]
    entries = [
        log(Kind.MESSAGES, tasks[:3]),
        log(Kind.MESSAGES, [After(1, 3, [0, 2], []), tasks[3], After(1, 4, [], [1]), tasks[4], tasks[5]]),
        log(Kind.RESULTS, [result(0), result(1), result(2, LARGE), result(5, LARGE)]),
        log(Kind.FETCHED, [0, 1]),
    ]
    found = recover(entries)[1]
    if rewritten:
        found = recover(found.rows(1))[1]
    assert found.values == {0: result(0), 1: result(1, b"")}
    assert found.stays == {2}
    assert found.after.keys() == {3, 4}
    found.replay(log(Kind.FETCHED, [2]))
    assert found.values[2] == result(2, LARGE)
    found.replay(log(Kind.RESULTS, [result(3), result(4)]))
    assert not found.values
    assert not found.after


class Histories(RuleBasedStateMachine):
    """One job, two nodes, a client that names what it may, and a master that is killed at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()
        self.spec = JobSpec(1, "ann", crash_limit=1000)
        self.log: list[Entry] = []
        self.owed: dict[int, Result] = {}  # as a desk has it
        self.stays: dict[int, Result] = {}
        self.needs: dict[int, tuple[list[int], list[int]]] = {}
        self.ends: dict[int, int] = {}
        self.nodes: dict[str, dict[int, int]] = {}  # name -> task -> attempt
        self.values: dict[str, set[int]] = {}
        self.next = 0

    # The master around the board

    def begin(self, board: Board) -> None:
        self.board = board
        board.owed = lambda _job, seq: self.stays.get(seq) or self.owed.get(seq)

    def write(self, kind: Kind, what: Any) -> None:
        data = encode_batch(what) if kind in (Kind.MESSAGES, Kind.RESULTS) else msgspec.msgpack.encode(what)
        self.log.append(Entry(1, kind, data))

    def obey(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, ToClient):
                self.told([each for each in action.messages if isinstance(each, Result)])
            elif isinstance(action, ToNode) and action.node in self.nodes:
                for message in action.messages:
                    self.heard(action.node, message)

    def told(self, results: list[Result]) -> None:
        if results:
            self.write(Kind.RESULTS, results)
        after = self.board.dependencies(1)
        for result in results:
            assert result.seq not in self.ends  # once
            self.ends[result.seq] = result.outcome
            values, order = self.needs[result.seq]
            broken = [seq for seq in {*values, *order} if self.ends.get(seq, 0) != Outcome.VALUE]
            if result.outcome == Outcome.DEPENDENCY:
                assert broken
            elif result.outcome != Outcome.CANCELLED:
                assert not broken
            stays = after is not None and after.stays(result.seq)
            (self.stays if stays else self.owed)[result.seq] = result

    def heard(self, name: str, message: Message) -> None:
        has = self.values[name]
        if isinstance(message, Value):
            assert message.seq not in has  # once
            has.add(message.seq)
        elif isinstance(message, Forget):
            has.difference_update(message.seqs)
        elif isinstance(message, Task):
            values, order = self.needs[message.seq]
            assert has.issuperset(values)
            assert all(self.ends.get(seq) == Outcome.VALUE for seq in {*values, *order})
            self.nodes[name][message.seq] = message.attempt
        elif isinstance(message, Cancel):
            pass  # played as a worker that is at it: it answers all the same

    def join(self, name: str, held: list[Held]) -> None:
        facts = NodeFacts(name, "h", 2, 2, 0, "3.11", session=name)
        if held:
            self.obey(self.board.rejoin(facts, held, 0.0))
        else:
            self.nodes[name], self.values[name] = {}, set()
            self.obey(self.board.join(facts, 0.0))

    @initialize()
    def start(self) -> None:
        self.begin(self.board)
        self.board.open(self.spec)
        code = Code(1, 0, 0, b"f")
        self.write(Kind.MESSAGES, [code])
        self.board.code(code)
        for name in ("a", "b"):
            self.join(name, [])

    # What happens

    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        seq, self.next = self.next, self.next + 1
        mine = [each for each in range(seq) if each not in self.ends] + list(self.owed) + list(self.stays)
        some = st.lists(st.sampled_from(mine), max_size=3, unique=True) if mine else st.just([])
        values, order = data.draw(some, "values"), data.draw(some, "order")
        self.needs[seq] = values, order
        task = Task(1, seq, 0, 0, b"")
        messages: list[Any] = [After(1, seq, values, order), task] if values or order else [task]
        self.write(Kind.MESSAGES, messages)
        self.obey(self.board.submit_linked(1, messages))

    @rule()
    def dispatch(self) -> None:
        self.obey(self.board.dispatch(0.0))

    @precondition(lambda self: any(self.nodes.values()))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        name, seq = data.draw(st.sampled_from([(n, s) for n, tasks in self.nodes.items() for s in tasks]))
        outcome = data.draw(st.sampled_from([0, 0, 0, 0, Outcome.EXCEPTION, Outcome.LOST, Outcome.RETURNED]))
        payload = data.draw(st.sampled_from([b"v", LARGE])) if outcome == 0 else b""
        attempt = self.nodes[name].pop(seq)
        self.obey(self.board.results(name, [Result(1, seq, attempt, outcome, payload)], 0.0))

    @precondition(lambda self: len(self.ends) < self.next)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from([each for each in range(self.next) if each not in self.ends]))
        self.obey(self.board.cancel(1, [seq]))

    @precondition(lambda self: self.owed)
    @rule()
    def fetched(self) -> None:
        seq = next(iter(self.owed))
        del self.owed[seq]
        self.write(Kind.FETCHED, [seq])

    @precondition(lambda self: self.stays)
    @rule(data=st.data())
    def forgotten(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.stays)))
        del self.stays[seq]
        self.write(Kind.FETCHED, [seq])

    @rule(name=st.sampled_from(["a", "b"]), returns=st.booleans())
    def link_breaks(self, name: str, returns: bool) -> None:
        self.board.away(name)
        if returns:
            held = Held(1, [0], 0, list(self.nodes[name].items()), sorted(self.values[name]))
            self.join(name, [held])
        else:
            self.nodes[name], self.values[name] = {}, set()
            self.obey(self.board.leave(name, "gone", 0.0))
            self.join(name, [])

    @rule(rewritten=st.booleans())
    def master_is_killed(self, rewritten: bool) -> None:
        if rewritten:
            now = self.board.as_recovered(1)
            now.results = self.stays | self.owed
            self.log = now.rows(1)
        recovered = recover(self.log).get(1, Recovered())
        assert recovered.results.keys() == self.owed.keys() | self.stays.keys()
        assert rewritten or recovered.stays == self.stays.keys()  # else by what is needed now
        assert recovered.tasks.keys() == set(range(self.next)) - self.ends.keys()
        self.owed = {seq: each for seq, each in recovered.results.items() if seq not in recovered.stays}
        self.stays = {seq: each for seq, each in recovered.results.items() if seq in recovered.stays}
        self.begin(Board())
        self.obey(self.board.restore(self.spec, recovered))
        for name in ("a", "b"):
            held = Held(1, [0], 0, list(self.nodes[name].items()), sorted(self.values[name]))
            self.join(name, [held])

    # What must hold

    @invariant()
    def nothing_is_lost_or_kept_too_long(self) -> None:
        after = self.board.dependencies(1)
        if after is None:
            return
        alive = [seq for seq in range(self.next) if seq not in self.ends]
        needed = {value for seq in alive for value in self.needs[seq][0]}
        assert after.held().keys() == {seq for seq in needed if seq in self.ends}
        assert after.written().keys() <= set(alive)
        for seq in after.waiting:
            missing = {each for each in (*self.needs[seq][0], *self.needs[seq][1]) if each not in self.ends}
            assert set(after.waits_for(seq)) == missing != set()

    def teardown(self) -> None:
        if not self.nodes:
            return
        for _ in range(4 * self.next + 4):
            self.obey(self.board.dispatch(0.0))
            for name, tasks in self.nodes.items():
                for seq, attempt in list(tasks.items()):
                    del tasks[seq]
                    self.obey(self.board.results(name, [Result(1, seq, attempt, 0, b"v")], 0.0))
        assert self.ends.keys() == set(range(self.next))
        assert not any(self.values.values())


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=250, stateful_step_count=40)
