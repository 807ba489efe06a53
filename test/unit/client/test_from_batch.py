"""A cluster of a program's own batch jobs, as far as it goes without a batch system."""

from __future__ import annotations

import os

import pytest

from asyncluster import AsyncCluster, Cluster
from asyncluster.errors import ConfigError


def test_options_that_make_no_sense_start_nothing() -> None:
    """They are told by name; no descriptor is left open."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ConfigError, match="walltime"):
            Cluster.from_batch("slurm", walltime="soon")
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    with pytest.raises(ValueError, match="there are: slurm, sge"):
        Cluster.from_batch("lsf")
    with pytest.raises(TypeError, match="quue"):
        Cluster.from_batch("slurm", quue="long")
    with pytest.raises(ValueError, match="there are: slurm, sge"):
        AsyncCluster.from_batch("lsf")
