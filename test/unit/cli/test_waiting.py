"""When a person is told that all slots are in use."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace

import attrs
import pytest

from asyncluster.cli import desk, waiting
from asyncluster.cli.waiting import watch
from asyncluster.model.job import JobView
from asyncluster.model.node import NodeState, NodeView

FULL = NodeView("a", NodeState.BUSY, "vm", 2, 2, 7, 0, "3.11", "*")
FREE = attrs.evolve(FULL, running=1)
LATER = attrs.evolve(FULL, done=8)
OURS = JobView(3, "me", "", queued=1, running=0, done=0, failed=0)
GIVEN = attrs.evolve(OURS, queued=0, running=1)
SAID = "waiting: all 2 slots are in use; `asyncluster nodes` shows where"


class Terminal(io.StringIO):
    """Somebody looks."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Ours."""
    shown = Terminal()
    for module in (desk, waiting):  # pytest takes sys.stderr itself for its own
        monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=shown))
    return shown


def why(before: list[NodeView], now: list[NodeView], jobs: list[JobView]) -> str | None:
    """What is said, None: nothing was to be looked at."""
    seen = [before, now]
    told = watch(lambda: seen.pop(0), lambda: jobs, 3)
    return told and told()


@pytest.mark.parametrize(
    ("before", "now", "job", "said"),
    [
        (FULL, FULL, OURS, SAID),
        (FULL, FULL, GIVEN, SAID),  # ahead of the slots: nothing ended since, so it cannot run
        (FULL, LATER, OURS, SAID),
        (FULL, LATER, GIVEN, ""),  # it may be the one that runs
        (FULL, FREE, OURS, ""),
        (FREE, FULL, GIVEN, ""),
        (FREE, FULL, OURS, SAID),  # somebody else's came first
    ],
)
def test_told_only_when_it_is_so(stderr: Terminal, before: NodeView, now: NodeView, job: JobView, said: str) -> None:
    """Not of a task that may run and has nothing to say."""
    assert why([before], [now], [attrs.evolve(GIVEN, job=2), job]) == said


def test_one_slot_and_no_node(stderr: Terminal) -> None:
    """As people say it; that no node is there is told elsewhere."""
    one = attrs.evolve(FULL, slots=1, running=1)
    assert "the only slot is in use" in (why([one], [one], [OURS]) or "")
    assert why([], [], [OURS]) == ""


def test_not_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads it later cannot do anything about it."""
    monkeypatch.setattr(waiting, "sys", SimpleNamespace(stderr=io.StringIO()))
    assert why([FULL], [FULL], [OURS]) is None


@pytest.mark.parametrize("answer", [SAID, ""])
def test_asked_once(stderr: Terminal, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """After a while in which nothing came."""
    monkeypatch.setattr(desk, "SECONDS", 0.0)
    made = desk.Desk()
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        made.put("end")
        return answer

    assert list(made.ends(1, ask)) == ["end"]
    assert (stderr.getvalue(), asked) == (f"{answer}\n" if answer else "", [1])


def test_not_asked_when_something_came(stderr: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is a sign of life; only the lines of several programs bear names."""
    kinds: list[Callable[[], desk.Desk]] = [desk.Desk, desk.PlainDesk]
    for kind in kinds:
        made = kind()
        made("a/1", 2, "begun")
        made.put("end")
        assert list(made.ends(1, lambda: "never")) == ["end"]
    assert stderr.getvalue() == "[a/1] begun\nasyncluster: begun\n"


def test_clouds_that_do_not_answer_are_named_when_all_were_asked() -> None:
    """One that has answered before counts as one that does; nobody is waited for without end."""
    new, well = {"age": None, "fault": ""}, {"age": 0.1, "fault": ""}
    away = {"age": None, "fault": "squeue gave no answer: no such host"}
    answers = iter([{"a": new, "b": well}, {"a": new, "b": away}, {"a": well, "b": away}])
    (told,) = waiting.silent_clouds(lambda: {"clouds": next(answers)}, 60.0)
    assert all(word in told for word in ("pool b", "no such host", "asyncluster pool check b"))
    assert next(answers, None) is None
    assert waiting.silent_clouds(lambda: {"clouds": {"a": new}}, -1.0) == []
    assert waiting.silent_clouds(lambda: {"clouds": {}}, 60.0) == []
