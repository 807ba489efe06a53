"""Which name was meant by one that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from asyncluster.errors import RefusedError

LOOKED_AT, COMPARED = 5_000, 100
"""Names of which the numbers are read, and that are compared letter by letter.  That takes about a microsecond, and up
to a tenth of a millisecond, and where nodes are looked for it is the reactor's time."""

_ALL_BUT_DIGITS = str.maketrans("", "", "".join(sign for sign in map(chr, range(128)) if not sign.isdigit()))


def near(name: str, known: Iterable[str]) -> str:
    """A clause about the name that was probably meant, as "; did you mean cloud-7?"; "" where none is like it.

    Of names with numbers those with the same: where cloud-8 is gone nobody means cloud-7.  A batch job may be named
    without what its scheduler adds (17 for 17.head, or for 17_[1-9]).
    """
    digits = "".join(filter(str.isdigit, name))
    found: list[str] = []
    for count, each in enumerate(known):
        if name and len(each) > len(name) and each.startswith(name) and not each[len(name)].isalnum():
            return f"; did you mean {each}?"
        if count < LOOKED_AT and len(found) < COMPARED and each.translate(_ALL_BUT_DIGITS) == digits:
            found.append(each)
    small = {each.lower(): each for each in found}
    close = get_close_matches(name.lower(), small, 1, 0.6)
    return f"; did you mean {small[close[0]]}?" if close else ""


def no_pool(name: str, known: Iterable[str]) -> RefusedError:
    """That there is no such pool, and which there are."""
    pools = list(known)
    meant = near(name, pools) or f"; there are: {', '.join(pools) or 'none'}"
    return RefusedError(f"there is no pool {name}{meant}")
