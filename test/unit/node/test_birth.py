"""How a node came to be, and until when it lives; and the addresses at which it seeks its master."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from asyncluster.errors import AsynClusterError, MasterNotFoundError, ProofError
from asyncluster.node.birth import LAST_WORDS, LEAST, Birth, take_birth
from asyncluster.node.seeking import PATIENCE, Seeking

NOW = 1_000_000.0


def born(environ: dict[str, str], drain: float = 30.0, chance: float = 0.0) -> Birth:
    return take_birth(environ, NOW, drain, chance)


def test_a_daemon_that_somebody_started_stays() -> None:
    """Even inside a batch job, where somebody began it by hand."""
    assert born({"SLURM_JOB_END_TIME": str(NOW + 100), "PATH": "/bin"}) == Birth()


def test_a_pilot_says_who_it_is_and_until_when() -> None:
    """Its walltime counts from where the job began; time is kept for the drain; tasks do not see any of it."""
    environ = {
        "ASYNCLUSTER_NODE_NAME": "night-1",
        "ASYNCLUSTER_NODE_POOL": "night",
        "ASYNCLUSTER_NODE_BIRTHPLACE": "pilot",
        "ASYNCLUSTER_NODE_LIFETIME": "3600",
        "ASYNCLUSTER_NODE_BEGAN": str(NOW - 100),
        "ASYNCLUSTER_NODE_STAGGER": "0.05",
        "HOME": "/",
    }
    found = born(dict(environ))
    assert found == Birth("night-1", "night", "pilot", 3500 - 30 - LAST_WORDS)
    taken = dict(environ)
    late = take_birth(taken, NOW, 30.0, 0.5)
    assert late.lifetime == found.lifetime - 0.025 * 3600
    assert taken == {"HOME": "/"}


def test_the_batch_systems_own_end_is_believed_where_it_is_earlier() -> None:
    """The queue may cut what was asked for."""
    environ = {"ASYNCLUSTER_NODE_BIRTHPLACE": "pilot", "SLURM_JOB_END_TIME": str(NOW + 1000)}
    assert born(dict(environ)).lifetime == 1000 - 30 - LAST_WORDS
    assert born({**environ, "ASYNCLUSTER_NODE_LIFETIME": "500"}).lifetime == 500 - 30 - LAST_WORDS
    assert born({**environ, "ASYNCLUSTER_NODE_LIFETIME": "5000"}).lifetime == 1000 - 30 - LAST_WORDS


@pytest.mark.parametrize("text", ["", "soon", "-5", "nan", "inf", "0", "1e300"])
def test_what_is_no_time_is_none(text: str) -> None:
    """A node stays rather than end by a misunderstanding."""
    assert born({"ASYNCLUSTER_NODE_BIRTHPLACE": "pilot", "ASYNCLUSTER_NODE_LIFETIME": text}).lifetime == 0


def test_very_short_lives() -> None:
    """Most of the time is left for work; one that comes too late says so and goes."""
    assert born({"ASYNCLUSTER_NODE_LIFETIME": "40"}).lifetime == 30
    began = {"ASYNCLUSTER_NODE_LIFETIME": "40", "ASYNCLUSTER_NODE_BEGAN": str(NOW - 100)}
    assert born(began).lifetime == LEAST


class Masters:
    """Addresses that answer as told: a text is a link, an error is raised, None is silence."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.tried: list[str] = []

    async def connect(self, host: str, port: int, handler: Callable[..., object]) -> object:
        self.tried.append(host)
        answer = self.answers[host]
        if answer is None:
            await Deferred()
        if isinstance(answer, Exception):
            raise answer
        return answer


def seek(masters: Masters, clock: Clock) -> Seeking:
    addresses = [(host, 9080) for host in masters.answers]
    return Seeking(clock, addresses, masters.connect)  # type: ignore[arg-type]  # links here are texts


def run(seeking: Seeking) -> Deferred[object]:
    return Deferred.fromCoroutine(seeking(lambda _link: None))  # type: ignore[arg-type,return-value]  # likewise


def test_each_address_is_tried_and_the_good_one_remembered() -> None:
    """Those that refuse and those that are silent alike."""
    clock = Clock()
    masters = Masters(a=MasterNotFoundError("no a"), b=None, c="link")
    seeking = seek(masters, clock)
    found: list[object] = []
    run(seeking).addCallback(found.append)
    assert found == []
    clock.advance(PATIENCE)
    assert found == ["link"]
    assert masters.tried == ["a", "b", "c"]
    run(seeking).addCallback(found.append)
    assert masters.tried == ["a", "b", "c", "c"]


def test_when_none_works_all_are_told() -> None:
    """In one sentence."""
    clock = Clock()
    errors: list[BaseException] = []
    seeking = seek(Masters(a=MasterNotFoundError("no a"), b=ProofError("not him")), clock)
    run(seeking).addErrback(lambda failure: errors.append(failure.value))
    assert str(errors[0]) == "no address of the master works: no a; not him"


def test_a_single_address_says_itself_what_is_wrong() -> None:
    """As before there were several, and with no shorter patience."""
    clock = Clock()
    errors: list[BaseException] = []
    error = ProofError("not him")
    run(seek(Masters(a=error), clock)).addErrback(lambda failure: errors.append(failure.value))
    assert errors == [error]
    assert isinstance(error, AsynClusterError)
    silent = run(seek(Masters(a=None), clock))
    clock.advance(PATIENCE + 1)
    assert not silent.called
