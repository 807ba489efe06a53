"""The contract of schedulers on a real Slurm: nodes join, are reserved, held, vacated, die and are forgotten."""

from __future__ import annotations

import pytest

from asyncluster.testing.contracts import scheduler_contract
from asyncluster.testing.slurm import RealSlurm, missing

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.timeout(600)]


class TestSlurm(scheduler_contract(RealSlurm, missing())):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, on Slurm."""

    async def test_a_job_that_shares_no_node(self) -> None:
        """`--exclusive` asks for a whole node, however few cores it names; others do not."""
        self.ground.submit(held=True)
        self.ground.call("sbatch", "--exclusive", "--hold", "--wrap", "sleep 600")
        demand = await self.until(lambda demand: len(demand.jobs) == 2, "both wait")
        assert sorted(job.chunks[0].whole for job in demand.jobs) == [False, True]
