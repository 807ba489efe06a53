"""Large answers as pieces of text."""

from __future__ import annotations

import pytest

from asyncluster.model.pages import PIECE, from_pages, to_pages
from asyncluster.wire.banana import PROVEN


@pytest.mark.parametrize("value", [{}, {"a": [1, 2.5, None, True, "ö"]}, {str(i): "x" * 100 for i in range(10_000)}])
def test_there_and_back(value: object) -> None:
    """In pieces that PB lets through."""
    pages = to_pages(value)
    assert from_pages(pages) == value
    assert all(len(page) <= PIECE for page in pages)


def test_a_year_of_jobs_is_one_answer() -> None:
    """A hundred thousand lines of one shape are well below the bound of an answer."""
    lines = [{"key": str(n), "sessions": 0, "tasks": n % 700, "core_seconds": n * 1.37} for n in range(100_000)]
    assert sum(map(len, to_pages(lines))) < PROVEN.expression_bytes / 2


def test_what_is_no_answer_is_told_as_such() -> None:
    """Also where it was cut."""
    for pages in ([], [b""], [b"{}"], [{"name": "jane"}], {"a": 1}, None, [to_pages({"a": 1})[0][:-5]]):
        with pytest.raises(ValueError, match="an answer cannot be read"):
            from_pages(pages)
