"""The first words of a conversation, frozen for ever, and what follows from them: pure.

Both sides say protocol version, features, software, Python and pickle protocol before anything else, in
a dictionary whose keys never change their meaning; unknown keys are left alone.
"""

from __future__ import annotations

import attrs

from asyncluster.errors import VersionMismatchError, WireError
from asyncluster.model.peer import Hello, Role

PROTOCOL = 1
OLDEST_PROTOCOL = 1
"""The release before this one still works; this is the first."""

FEATURES = ("batch", "stream")
_LONGEST = 200


def to_words(hello: Hello) -> dict[str, object]:
    """As it goes over the wire."""
    return attrs.asdict(hello)


def from_words(words: object) -> Hello:
    """What the peer said; raises WireError for anything that no release of ours ever says."""
    if not isinstance(words, dict):
        raise WireError("a conversation begins with a hello")
    values: dict[str, object] = {}
    for field in attrs.fields(Hello):
        value = words.get(field.name)
        if field.name == "features":
            if not isinstance(value, tuple | list) or len(value) > 50 or not all(map(_is_word, value)):
                raise WireError("a hello lists its features")
            value = tuple(value)
        elif field.name in ("protocol", "pickle"):
            if type(value) is not int:
                raise WireError(f"a hello says its {field.name} as a number")
        elif not _is_word(value):
            raise WireError(f"a hello says its {field.name} as a short text")
        values[field.name] = value
    return Hello(**values)  # type: ignore[arg-type]  # each was checked above


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()


def check_match(ours: Hello, theirs: Hello) -> None:
    """Raises VersionMismatchError, which names both sides, when we cannot talk."""
    if theirs.protocol < OLDEST_PROTOCOL or ours.protocol < theirs.protocol - 1:
        raise VersionMismatchError(
            f"this {ours.role} ({ours.software}) speaks protocol {ours.protocol}, the {theirs.role} "
            f"({theirs.software}) protocol {theirs.protocol}: install the same release on both"
        )
    missing = set(FEATURES) - set(theirs.features)
    if missing:
        raise VersionMismatchError(
            f"the {theirs.role} ({theirs.software}) lacks {', '.join(sorted(missing))}, which this {ours.role} "
            f"({ours.software}) needs: install the same release on both"
        )


def role_of(hello: Hello) -> Role:
    """What the peer wants to be; raises WireError."""
    try:
        return Role(hello.role)
    except ValueError:
        raise WireError(f"there is no role {hello.role[:20]!r}") from None
