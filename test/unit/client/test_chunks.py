"""What runs in the worker for a chunk."""

from __future__ import annotations

import threading

from asyncluster.client.chunks import load_chunk, run_chunk, run_chunk_star
from asyncluster.errors import NotPicklableError, TaskExitError


class TwoArguments(Exception):  # pickles, but cannot be unpickled: a common slip
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def test_values_come_back_in_order() -> None:
    """All of them, and no failure."""
    assert load_chunk(run_chunk(str, [1, 2])) == (["1", "2"], None)
    assert load_chunk(run_chunk_star(pow, [(2, 3), (3, 2)])) == ([8, 9], None)


def test_the_item_that_fails_ends_the_chunk() -> None:
    """What came before it is kept, and the traceback is that of the call."""
    values, failure = load_chunk(run_chunk(lambda x: 1 // x, [1, 1, 0, 1]))
    assert values == [1, 1]
    assert failure is not None
    assert isinstance(failure[0], ZeroDivisionError)
    assert "<lambda>" in failure[1]


def test_a_value_that_cannot_travel_is_its_own_items_failure() -> None:
    """The message names the call and the object."""
    values, failure = load_chunk(run_chunk(lambda x: threading.Lock() if x else x, [0, 1]))
    assert values == [0]
    assert failure is not None
    assert isinstance(failure[0], NotPicklableError)
    assert "lock" in str(failure[0])


def test_an_open_file_is_no_result() -> None:
    """As for a single call; the items before it are delivered."""
    values, failure = load_chunk(run_chunk(lambda number: open(__file__) if number else 0, [0, 1]))  # noqa: SIM115
    assert values == [0]
    assert failure is not None
    assert "holds the open file" in str(failure[0])


def test_exit_and_odd_exceptions_arrive() -> None:
    """SystemExit is told as TaskExitError with its code; an exception that does not come back whole is described."""

    def leave(_: int) -> None:
        raise SystemExit(3)

    def odd(_: int) -> None:
        raise TwoArguments(1, 2)

    _, failure = load_chunk(run_chunk(leave, [1]))
    assert failure is not None
    assert isinstance(failure[0], TaskExitError)
    assert failure[0].code == 3

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    _, failure = load_chunk(run_chunk(interrupted, [1]))
    assert failure is not None
    assert isinstance(failure[0], TaskExitError)
    assert failure[0].code == 130
    _, failure = load_chunk(run_chunk(odd, [1]))
    assert failure is not None
    assert isinstance(failure[0], NotPicklableError)
    assert "TwoArguments: 1 2" in str(failure[0])
    assert "__reduce__" in str(failure[0])
