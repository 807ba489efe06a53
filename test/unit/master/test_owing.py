"""What a peer is owed a word about is said a moment later, once a job."""

from __future__ import annotations

from twisted.internet.task import Clock

from asyncluster.master.arrivals import SAY_SECONDS, Owing


def test_gathered() -> None:
    """Two batches within the moment are one word a job; what comes while it is said waits for the next."""
    clock, said = Clock(), list[int]()

    def say(job: int) -> None:
        said.append(job)
        if len(said) == 1:
            owing.add({9})

    owing = Owing(clock, say)
    owing.add({1})
    owing.add({1})
    owing.add(set())
    assert said == []
    clock.advance(SAY_SECONDS)
    assert said == [1]
    clock.advance(SAY_SECONDS)
    assert said == [1, 9]
    assert clock.getDelayedCalls() == []
