"""asyncluster.yaml makes the scheduler and the queue for pilots of a Torque, with Maui and without."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from asyncluster.config.elastic_explain import loads
from asyncluster.errors import ConfigError
from asyncluster.master.batch_systems import make_scheduler, pilot_commands, pilot_queue
from asyncluster.model.supply_options import BatchUnit
from asyncluster.schedulers.torque.adapter import Torque, TorqueQueue

TORQUE = ("qstat", "pbsnodes", "qmgr", "qdel", "qsig", "qrerun", "qsub", "qrls")
MAUI = ("checknode", "setres", "showres", "releaseres", "diagnose")


def site(folder: Path, *programs: str) -> str:
    """An asyncluster.yaml as Dynamic Cluster's manual has it, for programs in that folder."""
    for name in programs:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return f"""
cluster:
  type: torque
  config:
    queue_to_monitor: [cloud]
    command_time_limit: 7s
    qstat_command: {folder}/qstat -x -t
    check_node_command: {folder}/checknode {{0}}
    showres_command: {folder}/showres -n | grep {{0}}
    setres_command: {folder}/setres {{0}} {{1}} {{2}}
    releaseres_command: >-
      {folder}/releaseres `{folder}/showres -n | grep User | grep {{0}} | grep {{1}} | awk '{{{{print $3}}}}' `
"""


@pytest.mark.parametrize("maui", [True, False])
def test_scheduler(tmp_path: Path, maui: bool) -> None:
    """The commands of the file, pipelines and all; Maui where its programs are."""
    made = make_scheduler(Clock(), loads(site(tmp_path, *TORQUE, *(MAUI if maui else ())), ""))
    assert isinstance(made, Torque)
    assert made.maui is maui
    assert made.runner.limit == 7.0
    assert made.commands.nodes() == (f"{tmp_path}/pbsnodes", "-x")  # not named: beside qstat
    assert made.commands.release("projA.3")[-1] == "projA.3"
    if maui:
        assert made.commands.reservations() == (f"{tmp_path}/showres", "-n")


def test_maui_in_part_is_told_at_the_start(tmp_path: Path) -> None:
    """Not when the first node is to be kept."""
    elastic = loads(site(tmp_path, *TORQUE, "setres"), "")
    with pytest.raises(ConfigError, match="showres"):
        make_scheduler(Clock(), elastic)


def test_pilots_use_the_clusters_commands_or_their_own(tmp_path: Path) -> None:
    """A pool's names go before those of the cluster, and need no placeholders."""
    options = loads(site(tmp_path, *TORQUE), "").cluster
    made = pilot_queue(Clock(), "p", BatchUnit("torque"), options)
    assert isinstance(made, TorqueQueue)
    assert made.commands.submit((), True) == (f"{tmp_path}/qsub", "-h")
    unit = BatchUnit("torque", submit_command="/a/qsub -W x=y", list_command="/a/qstat", cancel_command="/a/qdel")
    named = pilot_commands(unit)
    assert named == {
        "qsub_command": "/a/qsub -W x=y",
        "qstat_command": "/a/qstat -x -t",
        "cancel_command": "/a/qdel {0}",
    }
