"""Durations, sizes and levels: what is read, what is refused, and that printing and reading agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.units import (
    LARGEST,
    clip,
    format_duration,
    format_size,
    parse_duration,
    parse_levels,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("2h", 7200), ("1h 30m", 5400), ("1h30m", 5400), ("90", 90), ("0", 0), ("0.5", 0.5),
        ("500ms", 0.5), (" 1.5 Hours ", 5400), ("2 days", 172800), ("1w", 604800), ("3 min", 180),
    ],
)  # fmt: skip
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    """Each accepted spelling gives its seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1h 30", "1h 1h", "1e3", "inf", "nan", "5 parsecs", "٣s", "1:30", "1h, 2m"]
)
def test_what_is_no_duration_is_refused_with_the_right_forms(text: str) -> None:
    """The message shows what may be written."""
    with pytest.raises(ValueError, match="1h 30m"):
        parse_duration(text)


@given(st.integers(0, 10**12))
def test_printed_durations_read_back(milliseconds: int) -> None:
    """To the millisecond, printing and reading are inverse."""
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16 MiB", 2**24),
        ("16M", 2**24),
        ("1G", 2**30),
        ("16 MB", 16_000_000),
        ("4096", 4096),
        ("1.5k", 1536),
        ("7 bytes", 7),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    """Each accepted spelling gives its bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5", "1 2", "0x10", "1 XB", "16 E", "1M 2K"])
def test_what_is_no_size_is_refused_with_the_right_forms(text: str) -> None:
    """The message shows what may be written."""
    with pytest.raises(ValueError, match="16 MiB"):
        parse_size(text)


@given(st.integers(0, LARGEST))
def test_printed_sizes_read_back(size: int) -> None:
    """Printing loses no byte."""
    assert parse_size(format_size(size)) == size


@given(st.text(max_size=200))
def test_garbage_gives_only_value_errors(text: str) -> None:
    """No text breaks the parsers otherwise."""
    for parse in (parse_duration, parse_size, parse_levels):
        said = ""
        try:
            parse(text)
        except ValueError as error:
            said = str(error)
        assert said.isprintable()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_what_cannot_be_printed(value: float) -> None:
    """Negative and endless durations and sizes are errors, not odd text."""
    with pytest.raises(ValueError):
        format_duration(value)
    with pytest.raises(ValueError):
        format_size(int(value) if value == -1 else 2**64)


def test_levels_by_namespace() -> None:
    """A general level and others for parts; info when none is general."""
    assert parse_levels("WARNING, asyncluster.wire=debug") == {"": "warn", "asyncluster.wire": "debug"}
    assert parse_levels("a.b=error") == {"": "info", "a.b": "error"}
    for wrong in ("", "loud", "info,info", "=info", "a b=info"):
        with pytest.raises(ValueError, match=r"levels are|twice"):
            parse_levels(wrong)


def test_clip_keeps_messages_to_one_line() -> None:
    """Long and unprintable text is shortened and escaped."""
    assert clip("a\x1b[2J") == "'a\\x1b[2J'"
    assert len(clip("x" * 1000)) == 62
