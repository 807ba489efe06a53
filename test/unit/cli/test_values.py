"""Words of the command line as Python values."""

from __future__ import annotations

import pytest

from asyncluster.cli.values import arguments, defines, lines, literal, names


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1.5", 1.5),
        ("[1, 'a']", [1, "a"]),
        ("None", None),
        ("abc", "abc"),
        ("007", "007"),
        ("(" * 500, "(" * 500),
    ],
)
def test_literals_else_text(text: str, value: object) -> None:
    """What looks like a literal is one; everything else is the text itself, however odd."""
    assert literal(text) == value


def test_keywords() -> None:
    """name=value is a keyword; what only resembles one stays a positional text."""
    assert arguments(["1", "x=2", "a==b", "not a name=3"]) == ((1, "a==b", "not a name=3"), {"x": 2})
    with pytest.raises(ValueError, match="twice"):
        arguments(["x=1", "x=2"])


def test_lines_lose_their_ends_only() -> None:
    """Blanks inside stay, empty lines go."""
    assert lines([" a b \n", "\n", "c\r\n", "d"]) == [" a b ", "c", "d"]


@pytest.mark.parametrize(
    "source",
    [
        "def f(): pass",
        "async def f(): pass",
        "class f: pass",
        "f = abs",
        "from m import f",
        "from m import *",
        "import m as f",
    ],
)
def test_definitions_of_all_kinds_are_seen(source: str) -> None:
    """Whatever binds the name may be called."""
    assert defines(source, "f")


def test_missing_definition() -> None:
    """A name that nothing binds is told before the cluster is asked."""
    assert not defines("def g(): return f()", "f")


def test_names_are_those_at_the_top() -> None:
    """Whatever is bound there, also under an if; not what functions and classes bind inside."""
    source = (
        "import a.b, c as d\nfrom e import *\nif x:\n    def f(p):\n        q = 1\nclass G:\n    r = 1\nh = i.j = 2\n"
    )
    assert names(source) == {"a", "d", "f", "G", "h"}
