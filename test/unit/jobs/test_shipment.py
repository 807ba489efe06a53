"""What a job may ship, and what is said when it is too much."""

from __future__ import annotations

import pytest

from asyncluster.jobs import shipment
from asyncluster.jobs.board import Board, ToClient
from asyncluster.jobs.recovery import Recovered
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import Code, CodeKind, Outcome, Result, Step, StepDone, Task

SPEC = JobSpec(1, "me")


def refusal(board: Board, code: int) -> str:
    """What the one task that calls this code is told."""
    (action,) = board.submit(1, [Task(1, 7, 0, code, b"")])
    assert isinstance(action, ToClient)
    (result,) = action.messages
    assert isinstance(result, Result)
    assert result.outcome == Outcome.REFUSED
    return result.payload.decode()


@pytest.mark.parametrize("restored", [False, True])
def test_one_function_too_many(restored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before it work; its tasks are refused with the limit, also by a master that was started anew."""
    monkeypatch.setattr(shipment, "MOST_CODES", 2)
    codes = [Code(1, number, CodeKind.FUNCTION, b"x") for number in range(3)]
    board = Board()
    if restored:
        board.restore(SPEC, Recovered(codes=codes))
    else:
        board.open(SPEC)
        for code in codes:
            assert board.code(code) == []
    assert board.submit(1, [Task(1, 1, 0, 1, b"")]) == []
    assert "a job may ship 2 functions" in refusal(board, 2)


@pytest.mark.parametrize(("size", "limit"), [(600, "MOST_SMALL_BYTES"), (100_000, "MOST_LARGE_BYTES")])
def test_too_much_code(size: int, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the limit, what was shipped, and the size."""
    monkeypatch.setattr(shipment, limit, size + 1)
    board = Board()
    board.open(SPEC)
    for number in range(2):
        board.code(Code(1, number, CodeKind.FUNCTION, b"x" * size))
    assert board.submit(1, [Task(1, 1, 0, 0, b"")]) == []
    assert f"may ship {size + 1:,} bytes" in refusal(board, 1)
    assert f"{size:,} more as functions" in refusal(board, 1)


def test_a_name_that_is_none() -> None:
    """It is kept for as long as the job: it cannot be of any length."""
    board = Board()
    board.open(SPEC)
    board.code(Code(1, 0, CodeKind.NAME, b"x" * 1001))
    assert "1,001" in refusal(board, 0)


def test_one_step_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails, and so does what is too large."""
    monkeypatch.setattr(shipment, "MOST_STEPS", 1)
    board = Board()
    board.open(SPEC)
    board.step(Step(1, 0, 0, b""))
    (action,) = board.step(Step(1, 1, 0, b""))
    assert isinstance(action, ToClient)
    (done,) = action.messages
    assert isinstance(done, StepDone)
    assert "may have 1 steps" in done.error
