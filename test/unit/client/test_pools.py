"""What is asked about pools, where one request is not enough."""

from __future__ import annotations

from typing import Any

from asyncluster.client.pools import Pools
from asyncluster.model.pages import to_pages
from asyncluster.model.supply import MOST_DESTROYED


class Asked(Pools):
    """A master that takes as many as any does, and cannot end the last of each."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def ask(self, *args: Any) -> Any:
        """Notes it."""
        self.asked.append(args)
        ids = args[3]
        assert len(ids) <= MOST_DESTROYED
        return to_pages({"destroyed": ids[:-1], "faults": {ids[-1]: "503"}, "silent": {}})


def test_as_many_orphans_as_there_are_can_be_ended() -> None:
    """A master takes a thousand at a time; what it says of each is told together."""
    pools, ids = Asked(), [f"i-{number}" for number in range(2 * MOST_DESTROYED + 5)]
    done = pools.destroy_orphans("p", ids, "because")
    assert [(args[:3], args[4], len(args[3])) for args in pools.asked] == [
        (("elastic", "destroy", "p"), "because", count) for count in (MOST_DESTROYED, MOST_DESTROYED, 5)
    ]
    assert sorted(done["destroyed"] + list(done["faults"])) == sorted(ids)
    assert list(done["faults"]) == ["i-999", "i-1999", "i-2004"]
