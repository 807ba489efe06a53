"""What is added up to hours and kept in a database cannot be made less, or too large for it, by whoever measures."""

from __future__ import annotations

import msgspec
import pytest

from asyncluster.model.bulk import decode_views
from asyncluster.model.messages import Outcome, Result, decode_batch, encode_batch


@pytest.mark.parametrize("bad", [{"wall": -1}, {"wall": 1 << 62}, {"memory": -1}, {"memory": (1 << 64) - 1}])
@pytest.mark.parametrize("size", [0, 1 << 20])
def test_an_amount_that_is_none_breaks_the_protocol(bad: dict[str, int], size: int) -> None:
    """Of a worker, whose task may write what it likes, and of a node that somebody has started himself."""
    batch = encode_batch([Result(1, 0, 1, Outcome.VALUE, b"x" * size, **bad)])
    for decode in (decode_batch, decode_views):
        with pytest.raises(msgspec.ValidationError, match=r"Expected `int` [<>]= "):
            decode(batch)
    good = Result(1, 0, 1, Outcome.VALUE, b"x" * size, 1 << 53, 1 << 53)
    assert decode_batch(encode_batch([good])) == [good]
