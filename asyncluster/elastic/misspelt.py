"""Which name was meant by one that there is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from asyncluster.errors import RefusedError

MOST = 500
"""Names that are compared letter by letter: each takes tens of microseconds, and that on the reactor."""


def near(name: str, known: Iterable[str]) -> str:
    """A clause about the name that was probably meant, as "; did you mean cloud-7?"; "" where none is like it.

    Of names with numbers those with the same: where cloud-8 is gone nobody means cloud-7.  A batch job may be named
    without what its scheduler adds (17 for 17.head, or for 17_[1-9]).
    """
    digits = re.sub(r"\D", "", name)
    found: list[str] = []
    for each in known:
        if name and len(each) > len(name) and each.startswith(name) and not each[len(name)].isalnum():
            return f"; did you mean {each}?"
        if len(found) < MOST and re.sub(r"\D", "", each) == digits:
            found.append(each)
    small = {each.lower(): each for each in found}
    close = get_close_matches(name.lower(), small, 1, 0.6)
    return f"; did you mean {small[close[0]]}?" if close else ""


def no_pool(name: str, known: Iterable[str]) -> RefusedError:
    """That there is no such pool, and which there are."""
    pools = list(known)
    meant = near(name, pools) or f"; there are: {', '.join(pools) or 'none'}"
    return RefusedError(f"there is no pool {name}{meant}")
