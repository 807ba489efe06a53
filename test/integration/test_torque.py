"""The contract of schedulers on a stand-in for Torque, with Maui and without, and the stand-in against recordings."""

from __future__ import annotations

import io
import shlex
from functools import partial
from pathlib import Path

import pytest

from asyncluster.testing import torque_sim
from asyncluster.testing.contracts import scheduler_contract
from asyncluster.testing.torque import SimulatedTorque

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

DATA = Path(__file__).parents[1] / "data" / "torque"


class TestTorqueWithMaui(scheduler_contract(SimulatedTorque)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, with Maui's reservations."""


class TestTorqueAlone(scheduler_contract(partial(SimulatedTorque, maui=False))):  # type: ignore[misc]  # as above
    """Everything the contract asks, by properties alone."""


@pytest.fixture
def server(tmp_path: Path) -> SimulatedTorque:
    """With the nodes and jobs that most recordings know."""
    (tmp_path / "server.json").write_text(torque_sim.json.dumps(torque_sim.fresh(["node1", "node2"])))
    return SimulatedTorque(tmp_path)


def replay(server: SimulatedTorque, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the recorded command; what it prints and its code are what was recorded."""
    words = shlex.split((DATA / f"{name}.cmd").read_text().splitlines()[0])
    code = torque_sim.main([str(server.folder), *words])
    said = capsys.readouterr()
    assert said.out == (DATA / f"{name}.stdout").read_text()
    assert said.err == (DATA / f"{name}.stderr").read_text()
    assert code == int((DATA / f"{name}.rc").read_text())


@pytest.mark.parametrize("name", ["qstat-x-empty", "pbsnodes-x-empty", "qmgr-create-unresolvable", "qsub-bigreq"])
def test_empty_server(
    server: SimulatedTorque, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte what a server without nodes and jobs said."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    replay(server, name, capsys)


@pytest.mark.parametrize(
    "name",
    [
        *("pbsnodes-x-unknown", "pbsnodes-o-unknown", "pbsnodes-o", "qmgr-create-existing", "qmgr-delete-unknown"),
        *("qmgr-set-unknown-node", "qmgr-syntax", "qdel-unknown", "qstat-x-unknown", "qsub-badqueue", "qsub-badres"),
        *("feas-3-ppn-gt-np", "qsub-ppn2-prop", "pbsnodes-x-down-new"),
    ],
)
def test_server_with_nodes(
    server: SimulatedTorque, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte what a server with two new nodes said, the misleading too."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    folder = str(server.folder)
    assert torque_sim.main([folder, "qmgr", "-c", "create node node1"]) == 0
    assert torque_sim.main([folder, "qmgr", "-c", 'create node node2 np=2,properties="local"']) == 0
    replay(server, name, capsys)


def test_busy_node_blocks(server: SimulatedTorque, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting a busy node waits for its jobs' sake and has them wait anew; an offline one goes at once."""
    slept: list[float] = []
    monkeypatch.setattr(torque_sim.time, "sleep", slept.append)
    for offline in (False, True):
        monkeypatch.setattr("sys.stdin", io.StringIO("sleep 600"))
        torque_sim.main([str(server.folder), "qmgr", "-c", "create node node1"])
        server.join("node1")
        torque_sim.main([str(server.folder), "qsub"])
        if offline:
            torque_sim.main([str(server.folder), "pbsnodes", "-o", "node1"])
        slept.clear()
        torque_sim.main([str(server.folder), "qmgr", "-c", "delete node node1"])
        assert slept == ([] if offline else [torque_sim.BLOCKS])
        with torque_sim.Server(server.folder) as state:
            assert state["nodes"] == {}
            assert {job["state"] for job in state["jobs"].values()} == {"Q"}
            state["jobs"] = {}
