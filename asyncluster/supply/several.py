"""Many calls of one kind, a few at a time: they share their threads with calls that somebody waits for more.

What is asked all at once stands in one queue, whose end comes after the time that each call has: then everything behind
it is unanswered, a launch and a listing too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults

A = TypeVar("A")
T = TypeVar("T")


@attrs.define
class Answers(Generic[T]):
    """What has come of them so far.  given: by the number of what was asked; failed: in the order in which it did."""

    given: dict[int, T] = attrs.field(factory=dict)
    failed: list[Exception] = attrs.field(factory=list)

    def all(self) -> list[T]:
        """In the order in which they were asked for; raises the first failure."""
        if self.failed:
            raise self.failed[0]
        return [self.given[number] for number in sorted(self.given)]


def until_one_fails(answers: Answers[T]) -> bool:
    """Nothing more is asked where one could not be answered."""
    return not answers.failed


async def asked(
    call: Callable[[A], Deferred[T]],
    things: Iterable[A],
    at_once: int,
    on: Callable[[Answers[T]], bool] = until_one_fails,
) -> Answers[T]:
    """What became of each.  at_once: how many are under way at a time; on: whether another one is begun."""
    answers: Answers[T] = Answers()
    left = enumerate(things)

    async def some() -> None:
        for number, thing in left:
            try:
                answers.given[number] = await call(thing)
            except CancelledError:
                raise
            except Exception as error:  # whatever it is: who asked decides what it means for the others
                answers.failed.append(error)
            if not on(answers):
                return

    try:
        await gatherResults([Deferred.fromCoroutine(some()) for _ in range(at_once)], consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    return answers
