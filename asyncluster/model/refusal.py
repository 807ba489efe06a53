"""What is told of a task that is refused: the sentence, and the words of a `Need` which no node meets.

They stand behind the sentence of a Result REFUSED, parted from it by a NUL, which no sentence has: so nobody guesses
from the sentence, which names programs, nodes and features too, what has to be asked for differently.
"""

from __future__ import annotations

from collections.abc import Iterable

QUEUED = "queued"
"""The word of a task that was refused since its owner has too many queued: it can be submitted again later."""

_MARK = "\0"


def unmet(text: str, needs: Iterable[str]) -> str:
    """The sentence for a Result, with the fields of `Need` that it is about."""
    return text + _MARK + ",".join(needs)


def read(payload: bytes | memoryview) -> tuple[str, tuple[str, ...]]:
    """The sentence for people, and those fields; none where it is about no need."""
    text, _, needs = bytes(payload).decode("utf-8", "replace").partition(_MARK)
    return text, tuple(needs.split(",")) if needs else ()
