"""States and the like, as words of which there are few."""

from __future__ import annotations

from enum import Enum


class Word(Enum):
    """One of a few words: members are the only ones of their kind, so that which one it is makes a hash.

    Enum's own is a call of Python's for each look into a set or a table, of which a plan for thousands of nodes has
    tens of thousands.
    """

    __hash__ = object.__hash__
