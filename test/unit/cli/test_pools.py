"""Verbs about pools, with pools that are none: what they ask for, and what they tell programs."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from asyncluster.cli import pools as verbs
from asyncluster.cli import pooltables
from asyncluster.cli.connect import Place
from asyncluster.units import silence

PROMISE: dict[str, object] = {"taken": 1, "text": "1 node more"}


class FakePools:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.promise = PROMISE

    def __enter__(self) -> FakePools:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def launch(self, pool: str, count: int) -> dict[str, object]:
        self.asked.append(("launch", pool, count))
        return self.promise

    def steer(self, what: str, name: str) -> None:
        self.asked.append((what, name))

    def delete(self, node: str, force: bool = False) -> None:
        self.asked.append(("delete", node, force))

    def set(self, mode: str, on: bool) -> None:
        self.asked.append((mode, on))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePools:
    """What the commands find."""
    pools = FakePools()
    monkeypatch.setattr(verbs, "open_pools", lambda place: pools)
    return pools


@pytest.mark.parametrize(
    ("group", "words", "asked", "told"),
    [
        (
            verbs.pool,
            "launch p 3",
            ("launch", "p", 3),
            {"asked": "launch", "pool": "p", "count": 3, "taken": 1, "told": "1 node more"},
        ),
        (
            verbs.pool,
            "request p",
            ("launch", "p", 1),
            {"asked": "launch", "pool": "p", "count": 1, "taken": 1, "told": "1 node more"},
        ),
        (verbs.pool, "freeze p", ("freeze", "p"), {"asked": "freeze", "pool": "p"}),
        (verbs.pool, "drain p", ("drain", "p"), {"asked": "drain", "pool": "p"}),
        (verbs.pool, "restore p", ("restore", "p"), {"asked": "restore", "pool": "p"}),
        (verbs.cluster_nodes, "hold n", ("hold", "n"), {"asked": "hold", "node": "n"}),
        (verbs.cluster_nodes, "unhold n", ("unhold", "n"), {"asked": "unhold", "node": "n"}),
        (verbs.cluster_nodes, "vacate n", ("vacate", "n"), {"asked": "vacate", "node": "n"}),
        (
            verbs.cluster_nodes,
            "delete n --force",
            ("delete", "n", True),
            {"asked": "delete", "node": "n", "force": True},
        ),
        (verbs.elastic, "auto off", ("auto", False), {"auto": False}),
        (verbs.elastic, "sleep on", ("sleep", True), {"sleep": True}),
        (verbs.elastic, "passive on", ("passive", True), {"passive": True}),
    ],
)
def test_steering_as_json(
    fake: FakePools, group: click.Group, words: str, asked: tuple[object, ...], told: dict[str, object]
) -> None:
    """One document that says what was asked for; without --json a sentence, or nothing."""
    result = CliRunner().invoke(group, [*words.split(), "--json"], obj=Place())
    assert (result.exit_code, fake.asked) == (0, [asked]), result.output
    assert json.loads(result.output) == told
    plain = CliRunner().invoke(group, words.split(), obj=Place())
    assert (plain.exit_code, plain.output.count("\n")) == (0, 0 if "request" in words else 1)


@pytest.mark.parametrize(("verb", "code"), [("launch", 1), ("request", 0)])
def test_what_begins_nothing_fails_and_says_why(fake: FakePools, verb: str, code: int) -> None:
    """To a person; a prologue or submit filter that asks is not to refuse a job for it.  How many is not needed."""
    assert "POOL [N]" in CliRunner().invoke(verbs.pool, [verb, "--help"], obj=Place()).output
    fake.promise = {"taken": 0, "text": "pool p can have no more nodes; it is full"}
    plain = CliRunner().invoke(verbs.pool, [verb, "p"], obj=Place())
    assert (plain.exit_code, "it is full. Raise its `max`" in plain.output) == (code, verb == "launch")
    told = CliRunner().invoke(verbs.pool, [verb, "p", "5", "--json"], obj=Place())
    assert (told.exit_code, json.loads(told.output)["taken"]) == (code, 0)
    assert fake.asked == [("launch", "p", 1), ("launch", "p", 5)]


@pytest.mark.parametrize("group", [verbs.pool, verbs.cluster_nodes, verbs.elastic])
def test_every_verb_takes_json(group: click.Group) -> None:
    """As docs/growing.md says of all of them."""
    for name, command in group.commands.items():
        assert any("--json" in option.opts for option in command.params), name


def test_a_long_fault_is_told_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What a scheduler's program printed may fill the screen; --json has all of it."""
    engine = {"auto": True, "sleep": False, "passive": False, "fault": "", "reason": "begins 0", "reports": []}
    source = {"age": 1.0, "fault": "squeue printed\n" + "x" * 700 + "\ngave no answer: no route to host"}
    pooltables.print_status({"engine": engine, "scheduler": source, "clouds": {}, "pools": {}})
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "squeue" in line]
    assert ("squeue printed xxx" in line, "--json tells all" in line, len(line) < 320) == (True, True, True)
    assert "gave no answer: no route to host (--json" in line, "what is wrong stands at the end"


def test_that_nobody_looks_after_a_node_outweighs_what_is_wrong_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """One that is not ready, of a pool that is not in the file any more."""
    node = {"state": "starting", "pool": "old", "life": "added", "since": 60.0, "fault": "not ready"}
    pooltables.print_nodes({"old-1": {**node, "rule": "orphan", "reason": "its pool is gone"}})
    assert "its pool is gone" in capsys.readouterr().out
    pooltables.print_nodes({"old-1": {**node, "rule": "added", "reason": "job 1 waits"}})
    assert "not ready" in capsys.readouterr().out
    pooltables.print_nodes(
        {"old-1": {**node, "rule": "added", "reason": "job 1 waits; not ready; it is waited for 9 s"}}
    )
    assert "  not ready; it is waited for 9 s" in capsys.readouterr().out


def test_which_machine_a_node_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Its id and address, by which its console log is found; a node that has none as yet shows so."""
    node = {"state": "up", "pool": "p", "life": "up", "since": 60.0, "fault": "", "reason": "idle"}
    nodes = {
        "p-1": {**node, "instance": "i-0abc", "address": "10.0.0.7"},
        "p-2": {**node, "instance": "", "address": ""},
    }
    pooltables.print_pool("p", {"cloud": None, "nodes": nodes})
    heading, first, second = capsys.readouterr().out.splitlines()[-3:]
    assert heading.split() == ["node", "state", "instance", "address", "step", "for", "why"]
    assert first.split()[:4] == ["p-1", "up", "i-0abc", "10.0.0.7"]
    assert second.split()[:4] == ["p-2", "up", "-", "-"]


def test_explain_node_tells_which_machine_it_is(monkeypatch: pytest.MonkeyPatch, fake: FakePools) -> None:
    """On a line of its own; a pool, and a master that does not tell it, have none."""
    told = {"rule": "idle", "text": "idle for 9 s"}
    monkeypatch.setattr(fake, "explain", lambda kind, name: told, raising=False)
    command = verbs.explain_by("node", "NODE", "Say why.", "p-1")
    assert CliRunner().invoke(command, ["p-1"], obj=Place()).output == "node p-1: idle for 9 s\n"
    told |= {"instance": "i-0abc", "address": "10.0.0.7"}
    found = CliRunner().invoke(command, ["p-1"], obj=Place()).output
    assert found == "node p-1: idle for 9 s\ninstance i-0abc, address 10.0.0.7\n"
    assert json.loads(CliRunner().invoke(command, ["p-1", "--json"], obj=Place()).output) == {"node": "p-1", **told}


def test_a_pool_whose_cloud_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Its last word stands in the table, short, and what tells more; a person who stopped the pool comes first."""
    pool = {"mode": "open", "nodes": 0, "starting": 0, "least": 0, "most": 1, "stopped": "", "fault": ""}
    pool["reason"] = "begins none before its cloud has said what it has"
    clouds = {
        "desks": {"age": None, "fault": "Connection refused"},
        "night": {"age": 9.0, "fault": "squeue -o %i gave no answer: no configuration"},
        "well": {"age": 1.0, "fault": ""},
    }
    kinds = {"desks": "hosts", "night": "batch", "well": "local"}
    pooltables.print_pools({name: {**pool, "kind": kind} for name, kind in kinds.items()}, clouds)
    desks, night, well = capsys.readouterr().out.splitlines()[1:]
    assert "does not answer: Connection refused; `asyncluster cloud check desks`" in desks
    assert "does not answer: no configuration; `asyncluster pool check night`" in night
    assert "begins none before" in well
    pooltables.print_pools({"desks": {**pool, "kind": "hosts", "stopped": "frozen by ann"}}, clouds)
    assert "frozen by ann" in capsys.readouterr().out


@pytest.mark.parametrize("age", [None, 70.0])
def test_who_refuses_or_is_waited_for_is_not_said_to_be_silent(
    capsys: pytest.CaptureFixture[str], age: float | None
) -> None:
    """In the table and in the lines of the sources."""
    pool = {"mode": "open", "nodes": 0, "starting": 0, "least": 0, "most": 1, "stopped": "", "fault": "", "reason": ""}
    engine = {"auto": True, "sleep": False, "passive": False, "fault": "", "reason": "begins 0", "reports": []}
    clouds = {
        "a": {"age": age, "fault": "cannot be asked: EC2 does not take the credentials"},
        "b": {"age": age, "fault": "has not answered for 62 s"},
    }
    pools = {name: {**pool, "kind": "aws"} for name in clouds}
    scheduler = {"age": 1.0, "fault": ""}
    pooltables.print_status({"engine": engine, "scheduler": scheduler, "clouds": clouds, "pools": pools})
    told = capsys.readouterr().out
    assert told.count(" cannot be asked: EC2 does not take the credentials") == 2
    assert "the cloud of pool b has not answered for 62 s\n" in told
    assert "has not answered for 62 s; `asyncluster cloud check b`" in told
    assert "does not answer" not in told
    assert "not answered yet" not in told
    assert silence("b", clouds["b"]["fault"]).startswith("the cloud of pool b has not answered for 62 s; see")
    assert silence("a", clouds["a"]["fault"]).startswith('the cloud of pool a cannot be asked: "EC2 does not')
