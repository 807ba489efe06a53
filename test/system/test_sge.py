"""The contract of schedulers on a real Grid Engine: hosts join, are reserved, held, vacated, die and are forgotten."""

from __future__ import annotations

import pytest

from asyncluster.testing.contracts import scheduler_contract
from asyncluster.testing.sge import RealGridEngine, missing

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.timeout(600)]


class TestGridEngine(scheduler_contract(RealGridEngine, missing())):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, on Grid Engine."""
