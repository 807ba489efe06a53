"""What the answers of batch systems' commands mean: none, a no, or done; each system has its own words for it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from asyncluster.errors import CommandFailedError, NoAnswerError, NotYetError, SchedulerError
from asyncluster.schedulers.run import Answer, Runner
from asyncluster.schedulers.sge.adapter import GridEngine
from asyncluster.schedulers.slurm.adapter import Slurm
from asyncluster.schedulers.torque.adapter import Torque

TORQUE = "Cannot connect to specified server host 'head'"
SGE = "error: commlib error: got select error (Connection refused)"
SLURM = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
NONE, NO, DONE = NoAnswerError, CommandFailedError, type(None)
ARGV = ("command",)


class Saying(Runner):
    """A runner whose commands all end in one way."""

    def __init__(self, code: int, out: str, err: str) -> None:
        super().__init__(Clock())
        self.answer = Answer(ARGV, code, out, err)

    async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        """As it ends."""
        return self.answer


def adapter(kind: Any, code: int = 0, out: str = "", err: str = "") -> Any:
    """One over such a runner."""
    made = kind(Runner(Clock()))
    made.runner = Saying(code, out, err)
    return made


def becomes(doing: Any) -> type:
    """The error that it ends with, NoneType = none."""
    got: list[Any] = []
    Deferred.fromCoroutine(doing).addBoth(got.append)
    return type(got[0].value) if isinstance(got[0], Failure) else type(None)


@pytest.mark.parametrize(
    ("kind", "code", "out", "err", "listed", "done"),
    [
        (Torque, 0, "", "", DONE, DONE),
        (Torque, 1, "", "qmgr: no", NONE, NO),
        (Torque, 1, "", TORQUE, NONE, NONE),
        (Torque, 0, "", TORQUE, NONE, NONE),  # pbsnodes ends with 0 whatever happens
        (Torque, 0, TORQUE, "", DONE, DONE),  # somebody's job may be called so
        (GridEngine, 0, "", "", DONE, DONE),
        (GridEngine, 1, "", "qconf: no", NONE, NO),
        (GridEngine, 0, "denied: you are no manager", "", DONE, NO),
        (GridEngine, 1, "", SGE, NONE, NONE),
        (GridEngine, 0, SGE, "", DONE, NONE),  # only a listing has other people's words on it
        (Slurm, 0, "", "", DONE, DONE),
        (Slurm, 1, "", "scontrol: no", NONE, NO),
        (Slurm, 1, "", SLURM, NONE, NONE),
        (Slurm, 0, "", SLURM, NONE, DONE),  # an scontrol that lists ends with 0 all the same
    ],
)
def test_what_an_answer_means(kind: Any, code: int, out: str, err: str, listed: type, done: type) -> None:
    """For what lists, and for what is to be done."""
    assert becomes(adapter(kind, code, out, err)._answer(ARGV)) is listed
    assert becomes(adapter(kind, code, out, err)._must(ARGV)) is done


@pytest.mark.parametrize(("kind", "error"), [(Torque, SchedulerError), (GridEngine, NotYetError), (Slurm, NotYetError)])
def test_a_node_that_is_not_listed(kind: Any, error: type) -> None:
    """Is waited for where it comes by itself."""

    async def nobody() -> tuple[()]:
        return ()

    class Empty(kind):  # type: ignore[misc]  # each of them
        def _nodes(self) -> Any:
            return nobody()

    assert becomes(adapter(Empty)._there("node1")) is error
    assert becomes(adapter(Empty)._find("node1")) is type(None)
