"""The book of calls: order, windows, cancellation, numbers of codes."""

from __future__ import annotations

import functools
import gc
import pickle
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.client import calls as module
from asyncluster.client import codes as codes_module
from asyncluster.client.calls import DROPPED, WAITING, Calls, Reorder
from asyncluster.client.chunks import load_chunk, run_chunk
from asyncluster.client.codes import CodeTable
from asyncluster.client.outcomes import CANCELLED, ERROR, VALUE, meaning
from asyncluster.errors import (
    LimitExceededError,
    RefusedError,
    RemoteTraceback,
    StepFailedError,
    TaskError,
    WorkerLostError,
)
from asyncluster.model.messages import Cancel, Code, Outcome, Result, Task


class Sink:
    def __init__(self) -> None:
        self.seq = WAITING
        self.code = 0

    def settle(self, kind: int, value: Any, wall: int) -> None:
        raise AssertionError("the book never settles by itself")


def book(count: int, window: int = 100, payload: bytes = b"x") -> tuple[Calls, list[Sink]]:
    calls = Calls(3, {0: "work"}, window)
    sinks = [Sink() for _ in range(count)]
    calls.inbox.extend((sink, 0, payload) for sink in sinks)
    return calls, sinks


def result(seq: int, outcome: Outcome = Outcome.VALUE, payload: bytes | None = None) -> Result:
    return Result(3, seq, 1, outcome, pickle.dumps(seq) if payload is None else payload)


def test_calls_are_numbered_in_order_and_never_exceed_the_window() -> None:
    """What does not fit waits until results make room."""
    calls, _ = book(5, window=3)
    assert [message.seq for message in calls.take(100)] == [0, 1, 2]
    assert calls.take(100) == []
    calls.finish([result(1)])
    assert [message.seq for message in calls.take(100)] == [3]


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)))
def test_each_call_ends_once(order: list[int], dropped: set[int]) -> None:
    """In whatever order results come, each call that is wanted gets its own, once, and the others none."""
    calls, sinks = book(8)
    calls.take(100)
    told = calls.drop([sinks[seq] for seq in dropped])
    assert [sorted(message.seqs) for message in told] == ([sorted(dropped)] if dropped else [])
    settled = calls.finish([result(seq) for seq in order] + [result(seq) for seq in order])
    assert [(sinks.index(sink), value) for sink, _, value, _ in settled] == [
        (seq, seq) for seq in order if seq not in dropped
    ]
    assert calls.idle


def test_a_call_cancelled_before_it_was_sent_is_never_sent() -> None:
    """No task and no Cancel go out for it."""
    calls, sinks = book(2)
    assert calls.drop([sinks[0]]) == []
    assert sinks[0].seq == DROPPED
    assert [message.seq for message in calls.take(100)] == [0]
    assert sinks[1].seq == 0


def test_a_call_cancelled_twice_is_told_once() -> None:
    """The second time there is nothing to say."""
    calls, sinks = book(1)
    calls.take(1)
    assert calls.drop(sinks) == [Cancel(3, [0])]
    assert calls.drop(sinks) == []


def test_other_messages_keep_their_place() -> None:
    """A code goes out before the task that needs it and after the one before."""
    calls, _ = book(1)
    code = Code(3, 1, 0, b"")
    calls.inbox.append((None, 0, code))
    calls.inbox.append((Sink(), 1, b""))
    assert [type(message) for message in calls.take(10)] == [Task, Code, Task]


def test_big_payloads_are_limited_by_bytes_but_not_below_a_minimum() -> None:
    """Many workers with large arguments are all fed; a flood stops."""
    calls = Calls(3, {}, window_bytes=1)
    calls.inbox.extend((Sink(), 0, bytes(module.BIG + 1)) for _ in range(module.MIN_WINDOW + 5))
    taken = 0
    while messages := calls.take(1000):
        taken += len(messages)
    assert taken == module.MIN_WINDOW
    calls.finish([result(seq) for seq in range(10)])
    assert len(calls.take(1000)) == 5


def test_what_outcomes_mean() -> None:
    """Each outcome becomes its kind of value or exception, with the call's name."""
    calls, _ = book(8)
    calls.take(100)
    error = pickle.dumps((KeyError("k"), "the trace"))
    settled = calls.finish(
        [
            result(0),
            result(1, Outcome.EXCEPTION, error),
            result(2, Outcome.LOST, b"node a: signal 11"),
            result(3, Outcome.REFUSED, b"no"),
            result(4, Outcome.UNPREPARED, b"step 0 of the job failed"),
            result(5, Outcome.CANCELLED, b""),
            result(6, Outcome.VALUE, b"\x80garbage"),
            result(7, Outcome.LIMIT, b"work() ran 12.3 s, above its time limit of 10 s on node a"),
        ]
    )
    kinds = [kind for _, kind, _, _ in settled]
    values = [value for _, _, value, _ in settled]
    assert kinds == [VALUE, ERROR, ERROR, ERROR, ERROR, CANCELLED, ERROR, ERROR]
    assert isinstance(values[7], LimitExceededError)
    assert str(values[7]) == "work() ran 12.3 s, above its time limit of 10 s on node a"
    assert isinstance(values[1], KeyError)
    assert isinstance(values[1].__cause__, RemoteTraceback)
    assert "the trace" in str(values[1].__cause__)
    assert isinstance(values[2], WorkerLostError)
    assert isinstance(values[3], RefusedError)
    assert isinstance(values[4], StepFailedError)
    assert isinstance(values[6], TaskError)
    assert "work()" in str(values[6])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kill", "lost once; it is not tried again:\n  worker 1 was killed by signal 9 (SIGKILL)"),
        ("string_at", 'lost once; it is not tried again:\n  signal 11 (SIGSEGV); stderr:\n  File "x", in string_at'),
        ("a", "a sentence that happens to have the letter"),
    ],
)
def test_a_loss_names_the_function(name: str, text: str) -> None:
    """Whatever words of the text are like it; a crash of its own is told how to be looked at."""
    for outcome in (Outcome.LOST, Outcome.REFUSED, Outcome.UNPREPARED):
        said = str(meaning(result(0, outcome, text.encode()), name)[1])
        assert said.startswith(f"{name}(): {text}")
        assert ("`asyncluster exec -- python" in said) == ("SIGSEGV" in text and outcome == Outcome.LOST)
    named = f"{name}() was refused"
    assert str(meaning(result(0, Outcome.REFUSED, named.encode()), name)[1]) == named


class Leaver(Exception):
    def __reduce__(self) -> Any:
        return sys.exit, (3,)


class Interrupter:
    def __reduce__(self) -> Any:
        return interrupt, ()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_results_that_exit_when_unpickled_harm_nobody() -> None:
    """They are TaskErrors of their own calls; the rest of the batch arrives."""
    calls, _ = book(4)
    calls.take(100)
    settled = calls.finish(
        [
            result(0, payload=pickle.dumps(Leaver())),
            result(1, payload=pickle.dumps(Interrupter())),
            result(2, Outcome.EXCEPTION, pickle.dumps((Leaver(), ""))),
            result(3),
        ]
    )
    assert [kind for _, kind, _, _ in settled] == [ERROR, ERROR, ERROR, VALUE]
    assert all(isinstance(value, TaskError) for _, _, value, _ in settled[:3])
    assert "SystemExit" in str(settled[0][2])


def table() -> tuple[CodeTable, list[Code]]:
    shipped: list[Code] = []
    return CodeTable(3, lambda entry: shipped.append(entry[2]), threading.Lock()), shipped


def test_a_function_is_shipped_once() -> None:
    """The same function, or the same bytes, has one number."""
    codes, shipped = table()

    def work() -> None:
        pass

    assert codes.number(work) == codes.number(work) == 0
    assert codes.number(functools.partial(max, 1)) == codes.number(functools.partial(max, 1)) == 1
    assert len(shipped) == 2


def test_a_changed_object_is_shipped_anew() -> None:
    """A bound method carries its object's state as it is at each call."""
    codes, shipped = table()
    items = [3, 1]
    first = codes.number(items.count)
    items.append(3)
    assert codes.number(items.count) != first
    assert pickle.loads(shipped[-1].payload)(3) == 2


def test_a_function_that_is_gone_leaves_no_number_behind() -> None:
    """Identity is not kept past the function's life, when another may get its id."""
    codes, _ = table()
    codes.number(eval("lambda: 1"))
    gc.collect()
    assert not codes.known


def test_a_multitude_of_functions_travels_with_its_tasks() -> None:
    """The master and the workers need not keep a code for each of a hundred thousand closures."""
    codes, shipped = table()

    def make(number: int) -> Any:
        return lambda: number

    numbers = [codes.number(make(number)) for number in range(codes_module.MAX_CODES + 3)]
    assert numbers[-3:] == [-1, -1, -1]
    assert pickle.loads(shipped[codes.inline()].payload)(make(5)) == 5


def test_a_multitude_of_mapped_functions_travels_with_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit one plain wrapper is shipped, and never another code."""
    monkeypatch.setattr(codes_module, "MAX_CODES", 2)
    codes, shipped = table()

    def make(number: int) -> Any:
        return lambda item: number + item

    functions = [make(number) for number in range(5)]
    assert [codes.wrapped(run_chunk, function) for function in functions] == [0, 1, -1, -1, -1]
    assert codes.inline(run_chunk) == codes.inline(run_chunk) == 2
    assert codes.wrapped(run_chunk, functions[0]) == 0
    assert len(shipped) == 3
    assert load_chunk(pickle.loads(shipped[2].payload)(functions[3], [1])) == ([4], None)


@given(st.permutations(range(20)))
def test_results_leave_in_order(order: list[int]) -> None:
    """Whatever comes first, numbers leave in theirs, as early as they can."""
    reorder = Reorder(ordered=True)
    out = [thing for number in order for thing in reorder.add(number, number)]
    assert out == list(range(20))


@given(st.permutations(range(20)))
def test_results_leave_as_they_come(order: list[int]) -> None:
    """Without order nothing waits."""
    reorder = Reorder(ordered=False)
    assert [reorder.add(number, number) for number in order] == [[number] for number in order]
