"""How calls become bytes."""

from __future__ import annotations

import functools
import pickle
import threading

import pytest

from asyncluster.client import pickling
from asyncluster.client.pickling import call_name, dump_call, dump_function
from asyncluster.errors import NotPicklableError


def test_plain_arguments_take_plain_pickle() -> None:
    """What plain pickle can carry comes back equal."""
    assert pickle.loads(dump_call(len, (1, "a"), {"k": [2]})) == ((1, "a"), {"k": [2]})


def test_lambda_arguments_go_by_value() -> None:
    """An argument that plain pickle refuses travels all the same."""
    (function,), _ = pickle.loads(dump_call(len, (lambda x: x + 1,), {}))
    assert function(1) == 2


@pytest.mark.parametrize(("args", "kwargs", "label"), [((1, 0), {}, "argument 1"), ((), {"key": 0}, "argument 'key'")])
def test_the_argument_that_cannot_travel_is_named(args: tuple, kwargs: dict, label: str) -> None:
    """Position or keyword, type, call, reason and what mends it are in the message."""
    lock = threading.Lock()
    args = tuple(lock if value == 0 else value for value in args)
    kwargs = dict.fromkeys(kwargs, lock)
    with pytest.raises(NotPicklableError) as caught:
        dump_call(sorted, args, kwargs)
    text = str(caught.value)
    assert label in text
    assert "sorted()" in text
    assert "lock" in text
    assert text.endswith("Pass plain data, or open files and connections inside the task.")
    assert "TypeError" in text


def test_the_captured_variable_that_cannot_travel_is_named() -> None:
    """A closure over a lock says which variable it is."""
    guard = threading.Lock()

    def work() -> bool:
        return guard.locked()

    with pytest.raises(NotPicklableError, match="captured variable 'guard'"):
        dump_function(work)


def test_importable_functions_go_by_reference() -> None:
    """A function of a module is sent as its name."""
    assert len(dump_function(functools.reduce)) < 100


def test_partials_are_named_after_what_they_call() -> None:
    """Messages name the function the user wrote."""
    assert call_name(functools.partial(functools.partial(sorted, 1), 2)) == "sorted"


def test_what_is_above_the_wires_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and functions; the message names the call, the size, the limit, and a way out."""
    data = bytes(2000)
    monkeypatch.setattr(pickling, "MAX_PAYLOAD", 1500)
    assert pickle.loads(dump_call(len, (data[:1000],), {}))
    with pytest.raises(
        NotPicklableError, match=r"arguments of len\(\): 2,\d\d\d bytes.* limit is 1,500.* pass its path"
    ):
        dump_call(len, (data,), {})
    with pytest.raises(NotPicklableError, match=r"function .*<lambda>, .*: 2,\d\d\d bytes.* limit is 1,500"):
        dump_function(lambda: data)
