"""What is told of a task that is refused."""

from __future__ import annotations

import copy
import pickle

import pytest

from asyncluster.client.outcomes import ERROR, meaning
from asyncluster.errors import RefusedError
from asyncluster.model.messages import Outcome, Result
from asyncluster.model.refusal import read, unmet


@pytest.mark.parametrize("needs", [(), ("gpus",), ("cores", "features")])
def test_the_needs_travel_beside_the_sentence(needs: tuple[str, ...]) -> None:
    """A program reads them from the error, people read the sentence; both survive being copied and raised anew."""
    text = "needs the feature memory, on one node"
    payload = unmet(text, needs).encode() if needs else text.encode()
    assert read(payload) == (text, needs)
    assert read(memoryview(payload)) == (text, needs)
    kind, error = meaning(Result(1, 0, 1, Outcome.REFUSED, payload), "gpus.sh")
    assert kind == ERROR
    for each in (error, copy.copy(error), pickle.loads(pickle.dumps(error)), type(error)(*error.args)):
        assert isinstance(each, RefusedError)
        assert (str(each), each.needs) == (f"gpus.sh(): {text}", needs)
