"""Large answers as pieces of text."""

from __future__ import annotations

import pytest

from asyncluster.model.pages import PIECE, from_pages, to_pages


@pytest.mark.parametrize("value", [{}, {"a": [1, 2.5, None, True, "ö"]}, {str(i): "x" * 100 for i in range(10_000)}])
def test_there_and_back(value: object) -> None:
    """In pieces that PB lets through."""
    pages = to_pages(value)
    assert from_pages(pages) == value
    assert all(len(page) <= PIECE for page in pages)
