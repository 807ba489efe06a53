"""A few random histories of the engine's core; the ten thousand are in test/integration."""

from __future__ import annotations

from asyncluster.testing.elastic_history import play_all


def test_histories() -> None:
    """Never above max, no orphan, no busy node ended, no thrash, each decision explained, all at least in the end."""
    play_all(range(300))
