"""The contract of schedulers on the one that is in memory: so what it is used for rests on what the real ones do."""

from __future__ import annotations

from asyncluster.testing.contracts import scheduler_contract
from asyncluster.testing.fakes import FakeGround


class TestFakeScheduler(scheduler_contract(FakeGround)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks."""
