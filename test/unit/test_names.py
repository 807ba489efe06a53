"""Where a pickle is searched for names of `__main__`."""

from __future__ import annotations

import pickle
import pickletools
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asyncluster.names import names_main

LARGE = 100_000
large = st.sampled_from([b"b" * LARGE, bytearray(LARGE), "x" * LARGE, "ü" * LARGE])
values = st.recursive(
    st.one_of(large, st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.text(), st.dates()),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.text(max_size=3), inner), st.sets(st.integers())
    ),
    max_leaves=12,
)


class Named:
    """Pickled by its name, which says that it is of `__main__`."""

    def __init__(self, inner: object = None) -> None:
        self.inner = inner


Named.__module__ = "__main__"


def dumps(value: object, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The pickle of something with a `Named` in it."""
    import __main__

    with monkeypatch.context() as patch:
        patch.setattr(__main__, "Named", Named, raising=False)
        return pickle.dumps(value, 5)


@pytest.mark.parametrize(
    "around",
    [
        lambda named: named,
        lambda named: (b"b" * LARGE, named),
        lambda named: (named, b"b" * LARGE),
        lambda named: [b"b" * LARGE, None, named, bytearray(LARGE)],
        lambda named: {"x" * LARGE: {1: b"b" * LARGE}, 2: named},
        lambda named: [*range(100_000), named],
        lambda named: Named([b"b" * LARGE]),
        lambda named: [str(number) for number in range(50_000)] + [b"b" * LARGE, named],
    ],
)
def test_a_name_is_found_wherever_it_stands(around: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, between and behind large data, and in pickles of many frames."""
    assert names_main(dumps(around(Named()), monkeypatch))


@given(values)
def test_nothing_else_is_taken_for_one(value: object) -> None:
    """The same as a search through the opcodes says, for pickles without such names."""
    pickled = pickle.dumps(value, 5)
    assume(b"__main__" not in pickled)  # short data may be taken for one, and hypothesis reads this file
    assert not names_main(pickled)


@pytest.mark.parametrize("data", [b"__main__" * LARGE, bytearray(b"__main__" * LARGE), "__main__" * LARGE])
def test_large_data_may_say_what_it_likes(data: object) -> None:
    """It is not searched, so such arguments take the fast road; in small data the word counts, harmlessly."""
    pickled = pickle.dumps(((data, None), {}), 5)
    assert b"__main__" in pickled
    assert not names_main(pickled)
    assert names_main(pickle.dumps((b"__main__", data), 5))


def test_a_pickle_of_another_make() -> None:
    """Without frames, or with opcodes that are not expected between them, all of it is searched."""
    pickled = pickle.dumps([b"b" * LARGE, "__main__"], 3)
    assert "FRAME" not in {code.name for code, _, _ in pickletools.genops(pickled)}
    assert names_main(pickled)
    assert names_main(b"\x80\x05J\0\0\0\0" + b"0" * LARGE + b"__main__.")
