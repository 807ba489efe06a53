"""Why a task is not run that depends on others: one sentence, with the chain of failures that led there.

A master and a client both tell it, each of what it decides, and each goes on where the other began: so the sentence is
made and read here alone.

    task 7 was not run: it depends on task 5, which depends on task 3, which was lost
"""

from __future__ import annotations

from collections.abc import Sequence

MOST = 100_000
"""Tasks that one task may depend on."""
LINKS = 8
"""Of a longer chain the middle is left out."""

_NOT_RUN = " was not run: "
_BEGIN, _NEXT, _CUT = "it ", ", which ", "…"


def not_run(subject: str, why: str) -> str:
    """The sentence for a task that is not run."""
    return f"{subject}{_NOT_RUN}{why}"


def depends(subject: str, other: str, links: Sequence[str]) -> str:
    """The sentence for `subject`, which is not run since it depends on `other`.

    links: how that one ended, "failed" for example; where it was not run either, `links` of its sentence.
    """
    if len(links) > LINKS:
        half = LINKS // 2
        links = [*links[:half], _CUT, *(link for link in links[-half:] if link != _CUT)]
    return not_run(subject, _BEGIN + _NEXT.join([f"depends on {other}", *(links or ["failed"])]))


def links(sentence: str) -> list[str]:
    """The chain in such a sentence, to go on from; none in any other."""
    _, _, how = sentence.partition(_NOT_RUN + _BEGIN)
    return how.split(_NEXT) if how else []
