"""The contract of schedulers on a stand-in for Torque, with Maui and without, and the stand-in against recordings."""

from __future__ import annotations

import io
import shlex
import subprocess
import time
from functools import partial
from pathlib import Path

import attrs
import pytest
from twisted.internet import reactor

from asyncluster.errors import NoAnswerError, SubmissionError
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, InstanceState, Order, Reservation
from asyncluster.model.supply_options import BatchUnit
from asyncluster.schedulers.torque import parse
from asyncluster.supply.batch import BatchCloud
from asyncluster.testing.contracts import scheduler_contract
from asyncluster.testing.torque import SimulatedTorque
from asyncluster.testing.torque_sim import run, server

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

DATA = Path(__file__).parents[1] / "data" / "torque"


class _More(scheduler_contract(SimulatedTorque)):  # type: ignore[misc]  # made at run time
    """What only Torque does, beside the contract."""

    async def test_dead_node_with_a_job(self) -> None:
        """Torque thinks for ever that the job runs: the node goes all the same, and the job begins anew."""
        await self.give()
        job = self.ground.submit(1, host="host3")
        await self.running(job, "host3")
        with self.ground.server as state:
            state["jobs"][job.partition(".")[0]]["nodes"] = "1"
        for host in ("host1", "host2"):
            self.ground.submit(self.ground.flavor.cores, host=host)
        self.ground.die("host3")
        await self.until(
            lambda demand: any(n.name == "host3" and n.state is NodeState.ERROR for n in demand.nodes), "it is in error"
        )
        await self.scheduler.remove_node("host3", Reservation())
        demand = await self.scheduler.snapshot()
        assert sorted(node.name for node in demand.nodes) == ["host1", "host2"]
        assert next(one.nodes for one in demand.jobs if one.id == job) == ()

    async def test_recorded_scenes(self) -> None:
        """The adapter over what a real server said, command by command."""
        scenes = {
            ("multi-qstat-x-t", "multi-pbsnodes-x"): ({"node1": "busy", "node2": "busy", "node3": "busy"}, 10),
            ("dead-qstat-x", "dead-pbsnodes-x"): ({"node1": "idle", "node2": "idle", "node3": "error"}, 1),
            ("qstat-x-empty", "pbsnodes-x-empty"): ({}, 0),
        }
        for names, (states, jobs) in scenes.items():
            self.ground.replay(DATA, *names)
            with self.ground.server as state:
                said = [one for words, one in state["replay"].items() if words.startswith("qstat")]
                state["replay"]["qstat -x -t"] = said[-1]
            demand = await self.scheduler.snapshot()
            assert {node.name: node.state.value for node in demand.nodes} == states
            assert len(demand.jobs) == jobs
            with self.ground.server as state:
                state["replay"].clear()

    async def test_pool_of_pilots(self) -> None:
        """A pool hands pilots in with the script's own directives, knows them by their names, and ends them."""
        folder = Path(self._folder)
        unit = BatchUnit("torque", queue="late", account="projA", cores=2, walltime=600.0)
        cloud = BatchCloud(
            "night",
            "night-",
            unit,
            self.ground.pilots(reactor),
            "realm",
            Flavor(2),
            folder,
            lambda lease: "",
            time.time,
        )
        order = Order("night-1", "token", "night", 600.0)
        instance = await cloud.launch(order)
        again = await cloud.launch(order)
        assert again.id == instance.id
        with self.ground.server as state:
            (job,) = state["jobs"].values()
        assert (job["queue"], job["account"], job["walltime"]) == ("late", "projA", "00:10:00")
        assert job["nodes"] == "1:ppn=2"
        (seen,) = (await cloud.list()).instances
        assert (seen.name, seen.ours, seen.state) == ("night-1", True, InstanceState.ACTIVE)
        await cloud.destroy(seen)
        assert {one.state for one in (await cloud.list()).instances} <= {InstanceState.GONE}
        error = await self.refused(
            attrs.evolve(cloud, unit=attrs.evolve(unit, queue="nosuch")).launch(order), SubmissionError
        )
        assert "Unknown queue" in str(error)
        assert "queue" in str(error)

    async def test_no_trqauthd(self) -> None:
        """What lets users speak to the server is away: no answer, and nothing is done."""
        with self.ground.server as state:
            state["up"] = "trqauthd"
        try:
            await self.refused(self.scheduler.snapshot(), NoAnswerError)
            await self.refused(self.scheduler.hold("host1", "why not"), NoAnswerError)
        finally:
            self.ground.start()


class TestTorqueWithMaui(_More):
    """Everything the contract asks, with Maui's reservations."""


class TestTorqueAlone(_More):
    """Everything the contract asks, by properties alone."""

    ground_of = staticmethod(partial(SimulatedTorque, maui=False))


del _More


@pytest.fixture
def torque(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedTorque:
    """A server that knows two names and has nothing yet."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    torque = SimulatedTorque(tmp_path)
    torque.write(server.fresh(["node1", "node2", "node3"]))
    return torque


@pytest.fixture
def nodes(torque: SimulatedTorque) -> SimulatedTorque:
    """With the nodes that most recordings know."""
    for words in ("create node node1", 'create node node2 np=2,properties="local"'):
        assert run.main([str(torque.folder), "qmgr", "-c", words]) == 0
    return torque


def check(torque: SimulatedTorque, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the recorded command as its user; what it prints and its code are what was recorded."""
    command, who = (DATA / f"{name}.cmd").read_text().splitlines()[:2]
    words = shlex.split(command)
    words = words[2:] if words[0] == "timeout" else words
    with torque.server as state:
        state["user"], state["managers"] = who.partition(" ")[0].removeprefix("user="), ["root"]
    code = run.main([str(torque.folder), *words])
    said = capsys.readouterr()
    assert said.out == (DATA / f"{name}.stdout").read_text()
    assert said.err == (DATA / f"{name}.stderr").read_text()
    assert code == int((DATA / f"{name}.rc").read_text())


@pytest.mark.parametrize(
    "name", ["qstat-x-empty", "pbsnodes-x-empty", "pbsnodes-empty", "qmgr-create-unresolvable", "qsub-bigreq"]
)
def test_empty_server(torque: SimulatedTorque, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte what a server without nodes and jobs said."""
    check(torque, name, capsys)


@pytest.mark.parametrize(
    "name",
    [
        *("pbsnodes-x-unknown", "pbsnodes-o-unknown", "pbsnodes-o", "pbsnodes-o-note", "pbsnodes-c", "pbsnodes-r"),
        *("qmgr-create-existing", "qmgr-delete-unknown", "qmgr-set-unknown-node", "qmgr-set-bad-attr", "qmgr-syntax"),
        *("qmgr-denied", "qmgr-set-denied", "qmgr-del-prop-missing", "pbsnodes-x-down-new"),
        *("qdel-unknown", "qstat-x-unknown", "qstat-x-badid"),
        *("qsub-badqueue", "qsub-badres", "qsub-badnodes", "qsub-badwalltime", "qsub-noscript", "qsub-as-root"),
        *("feas-3-ppn-gt-np", "feas-4-procs-gt-total", "feas-6-cloud-node-deleted", "qsub-ppn2-prop"),
    ],
)
def test_server_with_nodes(nodes: SimulatedTorque, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte what a server with two new nodes said, the misleading too."""
    check(nodes, name, capsys)


@pytest.mark.parametrize("name", [path.stem for path in DATA.glob("down-*.cmd") if path.stem != "down-qterm"])
def test_server_is_away(torque: SimulatedTorque, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte what each program said then."""
    torque.stop()
    check(torque, name, capsys)


@pytest.mark.parametrize("name", [path.stem for path in DATA.glob("notrqauthd-*.cmd")])
def test_no_authority(torque: SimulatedTorque, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte what each program said when trqauthd was away."""
    with torque.server as state:
        state["up"] = "trqauthd"
    check(torque, name, capsys)


def test_what_lets_a_job_wait_for_a_burst(nodes: SimulatedTorque, capsys: pytest.CaptureFixture[str]) -> None:
    """A placeholder node, down or offline, or a queue in transit: numbers as recorded, and one too many is refused."""
    folder = str(nodes.folder)

    def at(number: int) -> None:
        with nodes.server as state:
            state["next"] = number

    assert run.main([folder, "qmgr", "-c", 'create node node3 np=2,properties="CLOUD"']) == 0
    at(31)
    check(nodes, "feas-1-cloud-node-down", capsys)
    check(nodes, "feas-2-two-cloud-one-exists", capsys)
    at(35)
    check(nodes, "feas-5-cloud-node-offline", capsys)
    with nodes.server as state:
        del state["nodes"]["node3"]
        state["user"] = "root"
    assert run.main([folder, "qmgr", "-c", "set queue batch is_transit = True"]) == 0
    at(41)
    check(nodes, "feas-11-is_transit-prop", capsys)
    check(nodes, "feas-12-is_transit-20", capsys)


def test_dead_node_as_recorded(nodes: SimulatedTorque, capsys: pytest.CaptureFixture[str]) -> None:
    """Its job cannot be deleted, but purged; the node goes at once."""
    with nodes.server as state:
        state["next"] = 30
        state["nodes"]["node3"] = {**state["nodes"]["node1"], "up": True, "came": True}
    nodes.call("qsub", stdin="sleep 600")
    nodes.die("node3")
    for name in ("dead-qdel", "dead-qdel-p", "dead-delete-node"):
        check(nodes, name, capsys)


def test_busy_node_blocks(torque: SimulatedTorque, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting a busy node waits for its jobs' sake and has them wait anew; an offline one goes at once."""
    slept: list[float] = []
    monkeypatch.setattr(server.time, "sleep", slept.append)
    for offline in (False, True):
        monkeypatch.setattr("sys.stdin", io.StringIO("sleep 600"))
        run.main([str(torque.folder), "qmgr", "-c", "create node node1"])
        torque.join("node1")
        with torque.server as state:
            state["nodes"]["node1"]["offline"] = False
        run.main([str(torque.folder), "qsub"])
        if offline:
            run.main([str(torque.folder), "pbsnodes", "-o", "node1"])
        slept.clear()
        run.main([str(torque.folder), "qmgr", "-c", "delete node node1"])
        assert slept == ([] if offline else [server.BLOCKS])
        with torque.server as state:
            assert state["nodes"] == {}
            assert {job["state"] for job in state["jobs"].values()} == {"Q"}
            state["jobs"] = {}


def test_programs_are_executables_of_a_path(nodes: SimulatedTorque) -> None:
    """As a user calls them, without Maui's where there is none."""
    done = subprocess.run([f"{nodes.path}/pbsnodes", "-x"], check=True, capture_output=True, text=True)
    assert [node.name for node in parse.nodes(done.stdout)] == ["node1", "node2"]
    assert {path.name for path in Path(nodes.path).iterdir()} == {*run.TORQUE, *run.MAUI}
