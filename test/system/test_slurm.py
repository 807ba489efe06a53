"""The contract of schedulers on a real Slurm: nodes join, are reserved, held, vacated, die and are forgotten."""

from __future__ import annotations

import pytest

from asyncluster.testing.contracts import scheduler_contract
from asyncluster.testing.slurm import RealSlurm, missing

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.timeout(600)]


class TestSlurm(scheduler_contract(RealSlurm, missing())):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, on Slurm."""
