"""Long work of the master, a piece a turn of the reactor: links are served and hearts beat in between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial
from itertools import chain, pairwise
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from asyncluster.jobs.board import Action, Board

T = TypeVar("T")

SLICE = 5_000
"""Tasks that are looked at, or cancelled, in one turn: some 20 ms."""


def in_turns(clock: IReactorTime, work: Generator[None, None, T]) -> Deferred[T]:
    """Do that up to its next `yield` in each turn, the first now; fires with what it returns, or fails as it does."""
    done: Deferred[T] = Deferred()
    _go_on(clock, work, done)
    return done


def _go_on(clock: IReactorTime, work: Generator[None, None, T], done: Deferred[T]) -> None:
    try:
        next(work)
    except StopIteration as end:
        done.callback(end.value)
    except Exception:
        done.errback()
    else:
        clock.callLater(0, partial(_go_on, clock, work, done))


def sweep(
    board: Board, act: Callable[[Iterable[Action]], object], job: int, seqs: Iterable[int] | None, cut: bool
) -> Generator[None, None, int]:
    """Cancel these tasks, or all that there are now (None), in slices; how many were cancelled.

    Where that takes more than one nothing of the job is given out meanwhile: it might be what comes next.
    """
    numbers = board.to_cancel(job, seqs)
    long = len(numbers) > SLICE
    if long:
        act(board.hold_job(job, True))
    count = 0
    for first in range(0, len(numbers), SLICE):
        if first:
            yield
        before = board.counters.cancelled
        actions = board.cancel(job, numbers[first : first + SLICE], cut)
        count += board.counters.cancelled - before
        act(actions)
    if long:
        act(board.hold_job(job, False))
    return count


def ranges_of(numbers: list[int]) -> Generator[None, None, tuple[list[int], list[int]]]:
    """The first and the last of each unbroken run of these numbers, which may be in any order, and be there twice."""
    sorted_slices = []
    for first in range(0, len(numbers), SLICE):
        if first:
            yield
        sorted_slices.append(sorted(numbers[first : first + SLICE]))
    line = list(chain.from_iterable(sorted_slices))
    line.sort()  # finds the runs that are there, and merges them
    gaps: list[tuple[int, int]] = []
    for first in range(0, len(line), SLICE):
        if first:
            yield
        gaps += [(low, high) for low, high in pairwise(line[first : first + SLICE + 1]) if high - low > 1]
    return line[:1] + [high for _, high in gaps], [low for low, _ in gaps] + line[-1:]
