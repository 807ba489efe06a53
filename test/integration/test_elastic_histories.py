"""Ten thousand random histories of the engine's core, with faults of every kind and masters killed at every step."""

from __future__ import annotations

import pytest

from asyncluster.testing.elastic_history import play_all


@pytest.mark.parametrize("thousand", range(10))
def test_ten_thousand_histories(thousand: int) -> None:
    """Never above max, no orphan, no busy node ended, no thrash, each decision explained, all at least in the end."""
    play_all(range(thousand * 1000, thousand * 1000 + 1000))
