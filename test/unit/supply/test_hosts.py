"""Machines by ssh without any: what is run, what a silence means, and where an order may go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from asyncluster.errors import CapacityError, CloudError, NoAnswerError
from asyncluster.model.supply import Flavor, InstanceState, Order
from asyncluster.model.supply_options import HostsUnit
from asyncluster.schedulers.run import Answer
from asyncluster.supply import there
from asyncluster.supply.hosts import HostsCloud
from asyncluster.supply.ssh import command

ORDER = Order("pool-1", "token-1", "pool", 600.0)
REFUSED = "ssh: connect to host {} port 22: Connection refused"


@attrs.define
class Machines:
    """What stands for ssh: machines by name, each with its nodes; `says` = (exit code, stderr) instead of an answer."""

    nodes: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    says: dict[str, tuple[int, str]] = attrs.field(factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    argv: list[str] = attrs.field(factory=list)
    deaf: bool = False  # what is ordered is done, and the answer lost

    async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        self.argv += argv
        host, order = argv[-2], _order(stdin)
        self.asked.append((host, order))
        if host in self.says:
            code, said = self.says[host]
            return Answer(argv, code, "", said)
        here = self.nodes.setdefault(host, {})
        if order["do"] == "launch":
            if any(node["token"] != order["words"]["token"] for node in here.values()):
                return self._answer(argv, {"busy": "other-1"})
            node = here.setdefault(
                order["name"], {**order["words"], "name": order["name"], "state": "active", "said": "process 1"}
            )
            if self.deaf:
                return Answer(argv, 255, "", "client_loop: send disconnect: Broken pipe")
            return self._answer(argv, {"node": node})
        if order["do"] == "destroy":
            here.pop(order["name"], None)
        return self._answer(argv, {"nodes": list(here.values())})

    def _answer(self, argv: tuple[str, ...], words: dict[str, Any]) -> Answer:
        return Answer(argv, 0, f"Welcome!\n{there.MARK}{json.dumps(words)}\n", "")

    def launches(self) -> list[str]:
        return [host for host, order in self.asked if order["do"] == "launch"]


def _order(stdin: str) -> dict[str, Any]:
    last = stdin.rstrip().splitlines()[-1]
    found: list[str] = []
    eval(last, {"main": found.append, "json": json})
    return dict(found[0])  # type: ignore[call-overload]  # what json gave


def now(deferred: Deferred[Any]) -> Any:
    seen: list[Any] = []
    deferred.addBoth(seen.append)
    if isinstance(seen[0], Failure):
        seen[0].raiseException()
    return seen[0]


@pytest.fixture
def machines() -> Machines:
    return Machines()


def cloud(machines: Machines, folder: Path, **more: Any) -> HostsCloud:
    unit = HostsUnit(hosts=("desk1", "root@desk2"), **more)
    return HostsCloud("pool", unit, folder, "realm", Clock(), lambda order: "password = sesame", Flavor(1), machines)


def test_the_argument_list_is_safe_and_has_what_is_configured() -> None:
    """No question is ever asked, no unknown machine spoken to, nothing forwarded."""
    unit = HostsUnit(
        hosts=("ann@desk1",), user="bob", key="/k 1", known_hosts="/h%", port=2222, interpreter="~/my venv/python"
    )
    argv = command(unit, "ann@desk1")
    assert argv[0] == "/usr/bin/ssh"
    for word in ("BatchMode=yes", "StrictHostKeyChecking=yes", "ForwardAgent=no", "ConnectTimeout=10"):
        assert argv[argv.index(word) - 1] == "-o"
    assert 'IdentityFile="/k 1"' in argv
    assert 'UserKnownHostsFile="/h%%"' in argv
    assert argv[argv.index("-p") + 1] == "2222"
    assert argv[argv.index("-l") + 1] == "ann"
    assert argv[-3:] == ("--", "desk1", "\"$HOME\"/'my venv/python' -I -")
    assert "-l" not in command(HostsUnit(), "desk1")
    assert command(attrs.evolve(unit), "desk1")[command(unit, "desk1").index("-l") + 1] == "bob"


def test_secrets_go_by_standard_input_only(machines: Machines, tmp_path: Path) -> None:
    """Nothing of the configuration is on a command line, nor in the notes."""
    now(cloud(machines, tmp_path).launch(ORDER))
    assert not any("sesame" in word for word in machines.argv)
    assert any("sesame" in order.get("conf", "") for _, order in machines.asked)
    assert "sesame" not in (tmp_path / "machines.json").read_text()
    assert (tmp_path / "machines.json").stat().st_mode & 0o077 == 0


def test_a_machine_without_an_answer_is_unknown_and_never_left_out(machines: Machines, tmp_path: Path) -> None:
    """Also for a master that was started meanwhile; where none answers, the cloud does not."""
    here = cloud(machines, tmp_path)
    now(here.launch(ORDER))
    machines.says["desk1"] = 255, REFUSED.format("desk1")
    for each in (here, cloud(machines, tmp_path)):
        (instance,) = now(each.list()).instances
        assert (instance.name, instance.state) == ("pool-1", InstanceState.UNKNOWN)
        assert "Connection refused (see hosts and port in [cloud] pool.config)" in instance.said
    machines.says["desk2"] = 255, "Host key verification failed."
    with pytest.raises(NoAnswerError, match="none of 2 machines answers"):
        now(here.list())
    machines.says.clear()
    machines.nodes["desk1"].clear()
    assert now(here.list()).instances == ()  # it says itself that it has none


@pytest.mark.parametrize(
    ("code", "said", "part"),
    [
        (255, "Host key verification failed.", "see known_hosts in"),
        (255, "root@desk1: Permission denied (publickey).", "see user and key in"),
        (255, "ssh: Could not resolve hostname desk1: Name or service not known", "see hosts in"),
        (127, "sh: 1: python3: not found", r"\[cloud\] pool.config.interpreter says where it is"),
        (1, "SyntaxError: invalid syntax", "ended with 1: SyntaxError"),
        (0, "", "ended with 0"),
    ],
)
def test_each_fault_names_the_setting_that_mends_it(
    machines: Machines, tmp_path: Path, code: int, said: str, part: str
) -> None:
    """By what ssh said."""
    machines.says = dict.fromkeys(("desk1", "desk2"), (code, said))
    with pytest.raises(NoAnswerError, match=part):
        now(cloud(machines, tmp_path).list())


def test_an_order_goes_on_only_where_it_was_surely_not_carried_out(machines: Machines, tmp_path: Path) -> None:
    """No connection: the next machine. An answer that was lost: nowhere else, and the same order finds its node."""
    machines.says["desk1"] = 255, REFUSED.format("desk1")
    here = cloud(machines, tmp_path)
    assert now(here.launch(ORDER)).address == "desk2"
    machines.says.clear()
    machines.deaf = True
    second = Order("pool-2", "token-2", "pool", 600.0)
    now(here.list())
    with pytest.raises(NoAnswerError, match="Broken pipe"):
        now(here.launch(second))
    machines.says["desk1"] = 255, REFUSED.format("desk1")
    machines.deaf = False
    for each in (here, cloud(machines, tmp_path)):
        with pytest.raises(NoAnswerError):
            now(each.launch(second))
    machines.says.clear()
    assert now(cloud(machines, tmp_path).launch(second)).address == "desk1"
    assert "desk2" not in machines.launches()[1:]


def test_a_machine_with_somebody_elses_node_is_passed_over(machines: Machines, tmp_path: Path) -> None:
    """Two masters may know the same machines; where all are taken there is no capacity."""
    other = {
        "token": "t",
        "owner": "realm-2",
        "pool": "theirs",
        "born": 1,
        "name": "x-1",
        "state": "active",
        "said": "",
    }
    here = cloud(machines, tmp_path)
    now(here.list())
    machines.nodes["desk1"] = {"x-1": other}
    assert now(here.launch(ORDER)).address == "desk2"
    assert [one.name for one in now(here.list()).instances] == ["pool-1"]
    with pytest.raises(CapacityError, match="none of the 2 machines of pool pool is free"):
        now(here.launch(Order("pool-2", "token-2", "pool", 600.0)))


def test_what_a_machine_tells_is_looked_at(machines: Machines, tmp_path: Path) -> None:
    """Nonsense is no node; a refusal over there is told with its words."""
    machines.nodes["desk1"] = {"a": {"name": 5}, "b": "c"}
    assert now(cloud(machines, tmp_path).list()).instances == ()
    (tmp_path / "machines.json").write_text("[1]")
    assert now(cloud(machines, tmp_path).list()).instances == ()

    class Refusing(Machines):
        async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
            fault = {"fault": "/tmp/x belongs to somebody else"} if _order(stdin)["do"] == "launch" else {"nodes": []}
            return self._answer(argv, fault)

    with pytest.raises(CloudError, match="belongs to somebody else"):
        now(cloud(Refusing(), tmp_path / "2").launch(ORDER))
