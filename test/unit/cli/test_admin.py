"""`asyncluster-admin` with pools that are none: Dynamic Torque's flags, what they ask for and what they print."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner, Result

from asyncluster.cli import admin
from asyncluster.cli.connect import Place
from asyncluster.errors import MasterNotFoundError, RefusedError


def node(life: str, *jobs: str) -> dict[str, Any]:
    """One in a status."""
    state = {"up": "busy" if jobs else "idle", "held": "held", "holding": "holding", "destroying": "deleting"}
    return {
        "state": state.get(life, "starting"), "life": life, "pool": "cloud", "since": 5.0, "jobs": list(jobs),
        "fault": "", "reason": f"because {life}",
    }  # fmt: skip


class FakePools:
    """Notes what is asked of it.  rounds: how often it is looked at before the user has enough."""

    def __init__(self, **nodes: dict[str, Any]) -> None:
        self.nodes = {name.replace("_", "-"): each for name, each in nodes.items()}
        self.asked: list[tuple[object, ...]] = []
        self.sleeps = False
        self.rounds = 1
        self.refuses = False
        self.waiting = 1
        self.gone: set[str] = set()  # since it was last looked at

    def __enter__(self) -> FakePools:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def status(self) -> dict[str, Any]:
        if any(asked[0] == "delete" for asked in self.asked):
            for name in self.gone:
                self.nodes.pop(name, None)
        engine = {
            "auto": True,
            "sleep": self.sleeps,
            "passive": False,
            "fault": "",
            "reason": "begins 0",
            "reports": [],
        }
        pool = {
            "kind": "openstack", "mode": "open", "nodes": 1, "starting": 0, "least": 0, "most": 4, "stopped": "",
            "fault": "", "reason": "nothing waits for it",
        }  # fmt: skip
        source = {"age": 1.0, "fault": ""}
        return {
            "engine": engine, "scheduler": source, "clouds": {"cloud": source}, "pools": {"cloud": pool},
            "nodes": self.nodes,
        }  # fmt: skip

    def jobs(self) -> dict[str, Any]:
        return {"jobs": {"17.head": {"rule": "most", "text": "pool cloud has all its nodes"}}, "waiting": self.waiting}

    def set(self, mode: str, on: bool) -> None:
        if self.refuses:
            raise RefusedError("only administrators steer pools and their nodes")
        self.asked.append((mode, on))
        self.sleeps = on

    def delete(self, name: str, force: bool = False) -> None:
        self.asked.append(("delete", name, force))
        if self.refuses or name in self.gone:
            raise RefusedError(f"there is no node {name} that was launched")


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> FakePools:
    """What the command finds; a user who has enough after some rounds."""
    pools = FakePools(
        cloud_1=node("up", "7.head"), cloud_2=node("up"), cloud_3=node("launching"), cloud_4=node("holding", "8.head"),
        cloud_5=node("destroying"),
    )  # fmt: skip
    monkeypatch.setattr(admin, "open_pools", lambda place: pools)

    def sleep(seconds: float) -> None:
        assert seconds == 5.0
        pools.rounds -= 1
        if pools.rounds == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(admin.time, "sleep", sleep)
    return pools


def run(*words: str) -> Result:
    """Call it."""
    return CliRunner().invoke(admin.main, list(words), prog_name="asyncluster-admin")


def test_info(pools: FakePools) -> None:
    """Worker nodes, those in start and delete progress, jobs, each where it belongs."""
    result = run("-i")
    assert result.exit_code == 0, result.output
    text = result.output
    parts = [
        text.index(word) for word in ("Worker nodes: 2", "Nodes being started: 1", "Nodes being deleted: 2", "17.head")
    ]
    assert parts == sorted(parts)
    workers, starting, deleted = (text[start:end] for start, end in pairwise(parts))
    assert "cloud-1" in workers
    assert "cloud-2" in workers
    assert "cloud-3" in starting
    assert "cloud-4" in deleted
    assert "cloud-5" in deleted
    assert "Jobs on these nodes: 2; waiting jobs: 1" in text
    assert pools.asked == []


def test_info_of_very_many_jobs(pools: FakePools) -> None:
    """The first are listed, and all are counted."""
    pools.waiting = 50_000
    text = run("-i").output
    assert "waiting jobs: 50000" in text
    assert "and 49,999 jobs more" in text
    assert json.loads(run("-i", "--json").output)["waiting"] == 50_000


def test_info_again_and_again(pools: FakePools) -> None:
    """Until the user has enough."""
    pools.rounds = 3
    result = run("-i", "-c", "5")
    assert result.exit_code == 130
    assert result.output.count("Worker nodes: 2") == 3


def test_info_as_json(pools: FakePools) -> None:
    """One document with the same."""
    found = json.loads(run("-i", "--json").output)
    assert set(found["nodes"]) == set(pools.nodes)
    assert "17.head" in found["jobs"]


def test_sleep_and_wake(pools: FakePools) -> None:
    """No node is started; then again."""
    assert "Asleep" in run("-s").output
    assert "Awake" in run("--wake").output
    assert pools.asked == [("sleep", True), ("sleep", False)]


def test_kill_an_idle_node(pools: FakePools) -> None:
    """It goes, without force: a job that has just begun there is waited for."""
    result = run("-k", "cloud-2")
    assert result.exit_code == 0, result.output
    assert pools.asked == [("delete", "cloud-2", False)]


@pytest.mark.parametrize(("host", "part"), [("cloud-1", "runs 7.head"), ("static1", "left alone")])
def test_kill_spares_busy_and_foreign_nodes(pools: FakePools, host: str, part: str) -> None:
    """It says why, and nothing is asked for."""
    result = run("-k", host)
    assert result.exit_code == 1
    assert part in result.output
    assert pools.asked == []


def test_flush(pools: FakePools) -> None:
    """All but those that are being destroyed; it says that new ones may come, but not when it sleeps."""
    result = run("-f")
    assert [asked[1] for asked in pools.asked] == ["cloud-1", "cloud-2", "cloud-3", "cloud-4"]
    assert "`asyncluster-admin -s` keeps them away" in result.output
    pools.asked.clear()
    result = run("-s", "-f")
    assert pools.asked[0] == ("sleep", True)
    assert len(pools.asked) == 5
    assert "keeps them away" not in result.output
    pools.nodes = {}
    assert "no node to be deleted" in run("-f").output


def test_flush_goes_on_when_a_node_has_gone_meanwhile(pools: FakePools) -> None:
    """It keeps no other from going, and is told of; one that is still there and cannot be deleted is a fault."""
    pools.gone = {"cloud-1"}
    result = run("-f")
    assert (result.exit_code, result.output.splitlines()[1]) == (0, "Gone meanwhile: cloud-1.")
    assert [asked[1] for asked in pools.asked] == ["cloud-1", "cloud-2", "cloud-3", "cloud-4"]
    pools.refuses = True
    result = run("-f")
    assert (result.exit_code, "could not be deleted" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("-s",), {"sleep": True}),
        (("--wake",), {"sleep": False}),
        (("-k", "cloud-2"), {"deleted": ["cloud-2"]}),
        (("-f",), {"deleted": ["cloud-2", "cloud-3", "cloud-4"], "gone_meanwhile": ["cloud-1"]}),
        (("-s", "-f"), {"sleep": True, "deleted": ["cloud-2", "cloud-3", "cloud-4"], "gone_meanwhile": ["cloud-1"]}),
    ],
)
def test_what_was_done_as_json(pools: FakePools, words: tuple[str, ...], found: dict[str, Any]) -> None:
    """One document, whatever was asked for."""
    pools.gone = {"cloud-1"}
    result = run(*words, "--json")
    assert (result.exit_code, json.loads(result.output)) == (0, found)


@pytest.mark.parametrize(
    "words",
    [(), ("-i", "-s"), ("-k", "a", "-f"), ("-c", "5"), ("-s", "-c", "5"), ("-i", "-c", "0"), ("-s", "--wake"),
     ("-i", "--socket", "/a", "--master", "b:1")],
)  # fmt: skip
def test_what_does_not_go_together(pools: FakePools, words: tuple[str, ...]) -> None:
    """Is told as such, and nothing is done."""
    assert run(*words).exit_code == 2
    assert pools.asked == []


def test_faults_are_told_in_words(pools: FakePools, monkeypatch: pytest.MonkeyPatch) -> None:
    """No right, no master."""
    pools.refuses = True
    result = run("-s")
    assert (result.exit_code, "only administrators" in result.output) == (1, True)

    def none(place: Place) -> FakePools:
        raise MasterNotFoundError("no master of yours runs on this machine")

    monkeypatch.setattr(admin, "open_pools", none)
    result = run("-i")
    assert (result.exit_code, "no master of yours" in result.output) == (1, True)
    assert "Traceback" not in result.output


def test_help_has_examples() -> None:
    """All flags of the original, each with a sentence."""
    text = run("--help").output
    for flag in ("-i,", "-c,", "-s,", "-k,", "-f,", "asyncluster-admin -i -c 5"):
        assert flag in text
