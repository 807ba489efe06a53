"""A few options become a pool of nodes from a batch system."""

from __future__ import annotations

import ipaddress
import os
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.cli.batch import pools_text
from asyncluster.client.find import batch_of
from asyncluster.config.elastic_explain import examine
from asyncluster.errors import ConfigError
from asyncluster.model.supply_options import BatchUnit
from asyncluster.personal import daemons, networks
from asyncluster.personal.batch import Batch, check, elastic_text, subnets
from asyncluster.personal.paths import below

WORD = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,12}", fullmatch=True)
LINE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30).map(str.strip).filter(bool)


def unit_of(text: str) -> BatchUnit:
    """The one pool of a file without faults."""
    found = examine(text, "here")
    assert found.elastic is not None, found.faults
    unit = found.elastic.pools[0].unit
    assert isinstance(unit, BatchUnit)
    return unit


@given(WORD, WORD, st.integers(1, 64), st.integers(1, 10**6), st.lists(LINE, max_size=3))
def test_what_is_asked_for_is_what_the_master_reads(
    queue: str, account: str, cores: int, most: int, setup: list[str]
) -> None:
    """Whatever signs are in it."""
    batch = Batch("slurm", queue, account, cores, "2 GiB", "01:00:00", most, setup=tuple(setup))
    text = elastic_text(batch, Path("/home/me/pilots"), "5m")
    unit = unit_of(text)
    assert (unit.queue, unit.account, unit.cores, unit.memory, unit.walltime) == (queue, account, cores, 2 << 30, 3600)
    assert unit.setup[-len(setup) :] == tuple(setup) or not setup
    assert (unit.interpreter, unit.folder, unit.give_up_after) == (sys.executable, "/home/me/pilots", 300)
    elastic = examine(text, "here").elastic
    assert elastic is not None
    assert elastic.pools[0].pool.most == most
    assert (elastic.engine.end_with_master, elastic.engine.lease) == (True, 300)


def test_the_nodes_import_the_same_asyncluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not installed, too, and from a folder with any name."""
    monkeypatch.setenv("PYTHONPATH", "/opt/my lib")
    line = unit_of(elastic_text(Batch("sge"))).setup[0]
    assert line.startswith("export PYTHONPATH=")
    assert shlex.split(line.removeprefix("export "))[0].startswith("PYTHONPATH=/opt/my lib")


def test_options_that_make_no_sense_are_told_before_anything_starts() -> None:
    """All at once, by their names."""
    with pytest.raises(ConfigError) as told:
        check(elastic_text(Batch("sge", cores=4, walltime="soon", memory="much")))
    assert all(word in str(told.value) for word in ("walltime", "memory"))
    with pytest.raises(ConfigError, match="environment"):
        check(elastic_text(Batch("sge", cores=4)))
    with pytest.raises(ValueError, match="no pilots in 'pbs'; there are: slurm, sge, torque"):
        Batch("pbs")


def test_faults_are_told_by_what_somebody_wrote() -> None:
    """Not by the lines of a file that there is none of; each option that has a place of its own in it."""
    wrong = {"walltime": "soon", "max_idle": "never", "max_nodes": 0, "memory": "much"}
    with pytest.raises(ConfigError) as told:
        pools_text({"system": "slurm", **wrong, "max_nodes": 5})
    assert [line.partition(": ")[0] for line in str(told.value).split("\n")] == ["--max-idle", "--memory", "--walltime"]
    with pytest.raises(ConfigError) as told:
        check(elastic_text(Batch("sge", walltime="soon", cores=2)))
    assert sorted(line.partition(": ")[0] for line in str(told.value).split("\n")) == ["walltime="]
    with pytest.raises(ConfigError, match=r"(?m)^environment=: is missing"):
        check(elastic_text(Batch("sge", cores=2)))


def test_what_a_master_runs_with_otherwise_is_named(tmp_path: Path) -> None:
    """By option, with both values; other systems, and files that somebody changed, too."""
    own = below(tmp_path)
    now = elastic_text(Batch("slurm", "short", cores=1, walltime="2h", directives=("--exclusive",)))
    daemons._keep_elastic(own, now)
    wanted = elastic_text(Batch("slurm", cores=3, walltime="2h", max_nodes=4, max_idle="5m"))
    assert daemons.other_pools(own, wanted) == [
        "--cores 3: the master runs with 1",
        "no --directive: the master runs with --exclusive",
        "no --queue: the master runs with short",
        "--max-nodes 4: the master runs with 10",
        "--max-idle 5m: the master runs with 2m",
    ]
    assert daemons.other_pools(own, elastic_text(Batch("sge"))) == ["--batch sge: the master runs with slurm"]
    assert daemons.other_pools(own, "") == ["--batch none: the master runs with pools"]
    for text in ("cloud: {", "cloud: [1]\n", now + "# mine\n"):
        daemons._keep_elastic(own, text)
        assert len(daemons.other_pools(own, now)) == 1
    daemons._keep_elastic(own, "")
    assert daemons.other_pools(own, now) == ["--batch: the master runs without pools"]


def test_arguments_of_a_cluster_are_told_from_those_of_its_nodes() -> None:
    """`from_batch` takes both."""
    words = {"queue": "long", "cores": 4, "name": "sweep", "setup": "module load python"}
    assert batch_of("slurm", words) == Batch("slurm", "long", cores=4, setup=("module load python",))
    assert words == {"name": "sweep"}


def test_options_of_up_need_a_batch_system() -> None:
    """Without --batch nothing is said of pools; none forgets them."""
    import click

    nothing = {"system": None, "queue": None, "directives": ()}
    assert pools_text(nothing) is None
    assert pools_text(nothing | {"system": "none"}) == ""
    with pytest.raises(click.UsageError, match="--queue goes with --batch"):
        pools_text(nothing | {"queue": "long"})
    assert unit_of(pools_text(nothing | {"system": "slurm", "queue": "long"}) or "").queue == "long"


def test_pools_are_kept_until_they_are_forgotten(tmp_path: Path) -> None:
    """By the file that the master looks for beside its configuration."""
    own = below(tmp_path)
    daemons._keep_elastic(own, "cloud: {}\n")
    daemons._keep_elastic(own, None)
    assert own.elastic.with_suffix(".conf") == own.conf
    assert daemons.has_pools(own)
    assert daemons.has_pools(own, "cloud: {}\n")
    assert not daemons.has_pools(own, "cloud: {a: b}\n")
    assert os.stat(own.elastic).st_mode & 0o077 == 0
    daemons._keep_elastic(own, "")
    assert not daemons.has_pools(own)


def test_who_may_come_are_the_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine and the networks that it is in; private addresses are tried first."""
    found = [ipaddress.ip_interface(each) for each in ("8.8.4.4/24", "fd00::7/64", "10.3.0.1/16")]
    monkeypatch.setattr(networks, "_interfaces", lambda: found)
    assert subnets() == "127.0.0.1, 10.3.0.0/16, 8.8.4.0/24, fd00::/64"
    assert list(map(str, networks.reachable())) == ["10.3.0.1", "8.8.4.4", "fd00::7"]
    monkeypatch.setattr(networks, "_interfaces", list)
    with pytest.raises(ConfigError, match="--subnets"):
        subnets()
