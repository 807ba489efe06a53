"""Values of other tasks on a node: kept a job, given to each worker once, before the task that needs them."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import pytest

from asyncluster.model.messages import (
    After,
    Close,
    Code,
    Forget,
    Held,
    Job,
    Message,
    Outcome,
    Recall,
    Result,
    Task,
    Value,
    decode_batch,
)
from asyncluster.node.crew import Crew
from asyncluster.node.keeping import PIECE_ITEMS, pieces
from asyncluster.node.namespace import Namespace
from asyncluster.node.roster import Action, ToWorker

V5, V6 = Value(1, 5, b"five"), Value(1, 6, b"six")


def heard(actions: list[Action], worker: int = 1) -> list[Message]:
    """What that worker is sent, without job and code."""
    messages = [m for a in actions if isinstance(a, ToWorker) and a.worker == worker for m in a.messages]
    return [m for m in messages if not isinstance(m, Job | Code)]


def task(seq: int, attempt: int = 1) -> Task:
    """Of code 0."""
    return Task(1, seq, attempt, 0, b"")


def done(seq: int) -> Result:
    """A value of it."""
    return Result(1, seq, 1, Outcome.VALUE, b"", 10)


@pytest.fixture
def crew() -> Crew:
    """One worker, which is ready."""
    crew = Crew("a", 1)
    crew.receive([Job(1, "ann"), Code(1, 0, 0, b"f"), task(0)], 0.0)
    crew.ready(1, 0.0)
    crew.results(1, [done(0)], 0.0)
    return crew


def test_before_the_task_and_once(crew: Crew) -> None:
    """Tasks that need nothing bring no values; a value that a worker has is not sent again."""
    assert heard(crew.receive([V5, V6, task(1)], 0.0)) == [task(1)]
    assert heard(crew.receive([After(1, 2, [5], []), task(2)], 0.0)) == [V5, task(2)]
    assert heard(crew.receive([After(1, 3, [5, 6], []), task(3)], 0.0)) == [V6, task(3)]
    crew.results(1, [done(1), done(2), done(3)], 0.0)
    assert not crew.jobs[1].needs


def test_a_new_worker_gets_them_again(crew: Crew) -> None:
    """The one before died with them."""
    crew.receive([V5, After(1, 1, [5], []), task(1), After(1, 2, [5], []), task(2)], 0.0)
    crew.died(1, "gone", 1.0, started=2, finished=1)
    assert heard(crew.ready(1, 1.0)) == [V5, task(2)]


def test_forgetting(crew: Crew) -> None:
    """The node and those workers that have it; what comes again is given again."""
    crew.receive([V5, V6, After(1, 1, [5], []), task(1)], 0.0)
    crew.results(1, [done(1)], 0.0)
    assert heard(crew.receive([Forget(1, [5, 6, 7])], 0.0)) == [Forget(1, [5])]
    assert crew.held() == [Held(1, [0], 0, [], [])]
    assert heard(crew.receive([V5, After(1, 2, [5], []), task(2)], 0.0)) == [V5, task(2)]
    crew.receive([Close(1)], 0.0)
    assert not crew.jobs
    crew.receive([V5, After(1, 2, [5], []), Forget(1, [5])], 0.0)  # late: of a job that is over
    assert not crew.jobs


def test_what_is_returned_is_told_anew(crew: Crew) -> None:
    """A task that is given back needs nothing here."""
    crew.receive([V5, *(each for seq in (1, 2, 3, 4) for each in (After(1, seq, [5], []), task(seq)))], 0.0)
    crew.receive([Recall(1)], 0.0)
    crew.recalled(1, 2, 0.0)
    assert len(crew.jobs[1].needs) == 3
    assert crew.held()[0].values == [5]


def test_what_is_held_comes_in_pieces() -> None:
    """Values, too; each is told once."""
    held = Held(1, [0], 0, [], list(range(PIECE_ITEMS + 5)))
    told = [each for piece in pieces([held, Held(2, [], 0, [])]) for each in decode_batch(piece)]
    assert [seq for each in told if isinstance(each, Held) for seq in each.values] == held.values
    assert any(isinstance(each, Held) and each.job == 2 for each in told)


class Marked:
    """An object that is pickled by a persistent id."""


def arguments(sources: list[Any], thing: object) -> bytes:
    """As a client makes them."""
    import io

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def persistent_id(self, obj: object) -> int | None:
            return obj.place if isinstance(obj, Marked) else None  # type: ignore[attr-defined]  # set below

    file = io.BytesIO()
    Pickler(file, 5).dump(thing)
    return pickle.dumps(sources, 5) + file.getvalue()


def test_a_worker_fills_values_in() -> None:
    """From what came and from the arguments themselves, the same object in each place; a missing one is named."""
    marks = [Marked(), Marked()]
    for place, mark in enumerate(marks):
        mark.place = place  # type: ignore[attr-defined]  # for the pickler above
    space = Namespace(Job(1, "ann"), "a")
    space.values[5] = pickle.dumps([1])
    sources = [5, pickle.dumps("two")]
    payload = arguments(sources, ((marks[0], {"k": marks}), {}))
    assert pickle.loads(payload) == sources
    (first, box), words = space.fill_in(payload, sources)
    assert (first, box, words) == ([1], {"k": [[1], "two"]}, {})
    assert first is box["k"][0]
    assert space.fill_in(payload, sources)[0][0] is not first
    with pytest.raises(LookupError, match="the value of task 7 did not come to node a"):
        space.fill_in(payload, [7, b""])
    space.forget()
