"""From rows to jobs: what was said is what is recovered, also from a log that was written anew."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.jobs.recovery import Recovered, recover
from asyncluster.model.journal import Entry, Kind
from asyncluster.model.messages import Cancel, Code, Message, Result, Step, Task, encode_batch


def entry(kind: Kind, what: object) -> Entry:
    data = encode_batch(what) if kind in (Kind.MESSAGES, Kind.RESULTS) else msgspec.msgpack.encode(what)  # type: ignore[arg-type]  # lists there
    return Entry(1, kind, data)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["task", "code", "step", "result", "fetched", "loss", "tried", "pause"]), st.integers(0, 9)
        )
    )
)
def test_the_shortest_log_says_the_same(history: list[tuple[str, int]]) -> None:
    """At any moment, whatever went before; and it can be gone on with."""
    log: list[Entry] = []
    tasks: dict[int, Task] = {}
    results: dict[int, Result] = {}
    tries: dict[int, int] = {}
    paused = False
    sent = number = 0
    messages: list[Message]
    for kind, pick in history:
        if kind == "task":
            number += 1
            messages = [tasks.setdefault(number, Task(1, number, 0, 0, b"x" * pick)), Cancel(1, [number])][
                : 1 + pick % 2
            ]
            log.append(entry(Kind.MESSAGES, messages))
            sent += len(messages)
        elif kind in ("code", "step"):
            log.append(entry(Kind.MESSAGES, [(Code if kind == "code" else Step)(1, pick, 0, b"")]))
            sent += 1
        elif kind == "result" and tasks:
            seq = sorted(tasks)[pick % len(tasks)]
            del tasks[seq]
            tries.pop(seq, None)
            results[seq] = Result(1, seq, 1, 0, b"r")
            log.append(entry(Kind.RESULTS, [results[seq]]))
        elif kind == "fetched" and results:
            seq = sorted(results)[pick % len(results)]
            del results[seq]
            log.append(entry(Kind.FETCHED, [seq]))
        elif kind == "loss" and tasks:
            log.append(entry(Kind.LOSS, (sorted(tasks)[pick % len(tasks)], "it burned")))
        elif kind == "tried" and tasks:
            seq = sorted(tasks)[pick % len(tasks)]
            tries[seq] = tries.get(seq, 0) + 1
            log.append(entry(Kind.TRIED, (seq, "it raised")))
        elif kind == "pause":
            paused = bool(pick % 2)
            log.append(entry(Kind.PAUSED, paused))
    found = recover(log).get(1, Recovered())
    assert (found.tasks, found.results, found.received) == (tasks, results, sent)
    assert (found.tries, found.paused) == (tries, paused)
    assert found.losses.keys() <= tasks.keys()
    again = recover(found.rows(1))[1]
    assert again == found


def test_a_row_that_is_none() -> None:
    """It raises; who reads the journal says which file it was."""
    with pytest.raises(msgspec.MsgspecError):
        recover([Entry(1, Kind.RESULTS, b"\xff")])


def test_a_detached_job_is_still_one_when_its_log_was_written_anew() -> None:
    """And one that is not stays what it is."""
    for detached in (True, False):
        found = recover(Recovered(3, detached=detached).rows(7))
        assert found[7].detached is detached
