"""The command line with a cluster that is none: what is asked of it, what is printed, which code it ends with."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from click.testing import CliRunner, Result

from asyncluster.cli import cluster as cluster_verbs
from asyncluster.cli import connect, nodes, programs, render
from asyncluster.cli import run as run_verb
from asyncluster.cli.cluster import up
from asyncluster.cli.main import Verbs, main, tell
from asyncluster.errors import (
    AsynClusterError,
    MasterNotFoundError,
    ProgramFailedError,
    ProgramNotStartedError,
    RefusedError,
    RemoteTraceback,
    StepFailedError,
    TaskExitError,
    VersionMismatchError,
)
from asyncluster.model.job import JobView
from asyncluster.model.node import NodeState, NodeView
from asyncluster.model.notices import cut, missed
from asyncluster.personal import daemons
from asyncluster.personal.paths import below

NODE = NodeView("local-1", NodeState.IDLE, "vm", 2, 0, 7, 0, "3.11", "*", "127.0.0.1", 0.0)


class FakeCluster:
    """Answers like a cluster with one node; programs end with the codes that the test gives."""

    def __init__(self, codes: list[object]) -> None:
        self.codes = codes
        self.options: dict[str, Any] = {}
        self.dismissed: list[tuple[str, str]] = []
        self.submitted: list[tuple[Any, ...]] = []
        self.written: list[tuple[str, int, str]] = []

    def __enter__(self) -> FakeCluster:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def status(self) -> dict[str, Any]:
        return {"version": "1", "nodes": 1, "draining": False, "since": 0.0}

    def nodes(self) -> list[NodeView]:
        return [NODE]

    @property
    def job(self) -> int:
        return 7

    def jobs(self) -> list[JobView]:
        return []

    def dismiss(self, node: str, reason: str) -> None:
        self.dismissed.append((node, reason))

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[int]:
        self.submitted.append((function, *args))
        for written in self.written:
            self.options["output"](*written)
        future: Future[int] = Future()
        code = self.codes.pop(0)
        if isinstance(code, BaseException):
            future.set_exception(code)
        else:
            assert isinstance(code, int)
            future.set_result(code)
        return future


class FakeJob:
    """Calls functions of a dictionary, last call first."""

    def __init__(self, functions: dict[str, Callable[..., Any]]) -> None:
        self.functions = functions

    number = 7

    def nodes(self) -> list[NodeView]:
        return [NODE]

    def jobs(self) -> list[JobView]:
        return []

    def start(self, name: str, calls: list[tuple[object, ...]], named: dict[str, object], told: connect.Told) -> None:
        for number, args in reversed(list(enumerate(calls))):
            try:
                told(number, self.functions[name](*args, **named), None)
            except (ValueError, TaskExitError) as error:
                error.__cause__ = RemoteTraceback("Traceback of the worker")
                told(number, None, error)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCluster:
    """All verbs talk to a fake; the user's own folders are empty ones."""
    made = FakeCluster([])

    def opened(_place: object, **options: Any) -> FakeCluster:
        made.options = options
        return made

    for module in (cluster_verbs, nodes, programs):
        monkeypatch.setattr(module, "open_cluster", opened)
    monkeypatch.setattr(cluster_verbs, "own_places", lambda: below(tmp_path))
    for name in ("ASYNCLUSTER_SOCKET", "ASYNCLUSTER_MASTER", "ASYNCLUSTER_USER", "ASYNCLUSTER_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A Python file and a fake job that knows its functions."""

    def half(x: int, to: int = 2) -> float:
        if x == 3:
            raise ValueError("odd one")
        return x / to

    def leave(code: object = None) -> None:
        raise TaskExitError("leave() called sys.exit", code)

    @contextlib.contextmanager
    def opened(_place: object, file: str, _niceness: int, _desk: object) -> Iterator[FakeJob]:
        if "broken" in file:
            raise StepFailedError("node local-1: the source failed")
        yield FakeJob({"half": half, "nothing": lambda: None, "leave": leave})

    monkeypatch.setattr(run_verb, "open_source", opened)
    path = tmp_path / "job.py"
    path.write_text("def half(x, to=2): ...\ndef nothing(): ...\ndef leave(code=None): ...\n")
    return str(path)


def call(*words: str, given: str | None = None) -> Result:
    """Type that."""
    return CliRunner().invoke(main, words, input=given, catch_exceptions=False)


def test_help_lists_all_verbs_and_each_has_examples() -> None:
    """Every verb is in the list, can be imported, and shows at least one example."""
    text = call("--help").output
    for name in Verbs.verbs:
        assert name in text
        command = main.get_command(click.Context(main), name)
        leaves = command.commands.values() if isinstance(command, click.Group) else [command]
        assert all(leaf is not None and "Example" in (leaf.help or "") for leaf in leaves)


def test_status_and_nodes(fake: FakeCluster) -> None:
    """For people lines and a table, for programs JSON with the state as its word."""
    assert "draining  no" in call("status").output
    assert json.loads(call("status", "--json").output)["nodes"] == 1
    assert "everybody" in call("nodes").output
    assert json.loads(call("nodes", "--json").output)[0]["state"] == "idle"
    assert fake.options["output"] is None


def test_node_remove(fake: FakeCluster) -> None:
    """The node is dismissed with the reason that was given."""
    assert call("node", "remove", "local-1", "--reason", "tired").exit_code == 0
    assert fake.dismissed == [("local-1", "tired")]


def test_no_master_is_told_with_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sentence, what to type, and code 1; a traceback only for those who ask."""
    monkeypatch.setattr(connect, "find", lambda: None)
    monkeypatch.setattr(cluster_verbs, "own_places", lambda: below(tmp_path))
    monkeypatch.delenv("ASYNCLUSTER_SOCKET", raising=False)
    found = call("status")
    assert found.exit_code == 1
    assert "asyncluster up" in found.stderr
    assert "Traceback" not in found.stderr
    monkeypatch.setenv("ASYNCLUSTER_DEBUG", "1")
    with pytest.raises(MasterNotFoundError):
        call("status")


def test_up_tells_what_a_master_with_pools_does_not_do(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It runs as it was begun: without nodes here, which have no slots, and with its pools."""
    own = below(tmp_path)
    own.elastic.parent.mkdir(parents=True, exist_ok=True)
    own.elastic.write_text("cloud: {}\n")
    master = daemons.Daemon("master", 7, Path("/log"))
    monkeypatch.setattr(daemons, "running", lambda _: [master])
    monkeypatch.setattr(daemons, "up", lambda *_, **__: [master])
    monkeypatch.setattr(cluster_verbs, "_silent", lambda _: [])
    assert call("up").exit_code == 0
    found = call("up", "--slots", "3")
    assert (found.exit_code, "not in effect: --slots 3: no node runs here" in found.stderr) == (1, True)
    found = call("up", "--batch", "none")
    assert (found.exit_code, "not in effect: --batch none: the master runs with pools" in found.stderr) == (1, True)
    own.elastic.unlink()
    assert call("up", "--batch", "none").exit_code == 0


@pytest.mark.parametrize(("silent", "told"), [([], "asyncluster exec"), (["no answer"], "asyncluster pool check")])
def test_what_comes_next_can_be_done(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, silent: list[str], told: str
) -> None:
    """Where no node will come, nothing is to be run."""
    master = daemons.Daemon("master", 7, Path("/log"))
    monkeypatch.setattr(daemons, "running", lambda _: [])
    monkeypatch.setattr(daemons, "up", lambda *_, **__: [master])
    monkeypatch.setattr(cluster_verbs, "_silent", lambda _: silent)
    monkeypatch.setattr(fake, "nodes", list)
    out = call("up").stdout
    assert (told in out, out.count("Next:"), "exec" in out) == (True, 1, not silent)


def test_nodes_that_are_still_to_come(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pool none is to be added by hand."""

    class Pools:
        pools: object = None

        def __enter__(self) -> Pools:
            return self

        def __exit__(self, *_: object) -> None: ...

        def status(self) -> dict[str, Any]:
            if not self.pools:
                raise RefusedError("this master has no pools")
            return {"pools": self.pools}

    monkeypatch.setattr(fake, "nodes", list)
    monkeypatch.setattr(nodes, "open_pools", lambda _: Pools())
    assert "`asyncluster node add` starts one" in call("nodes").output
    Pools.pools = {"night": {}}
    assert "they come as tasks wait.  `asyncluster pool list`" in call("nodes").output


def test_down_with_nothing_to_stop(fake: FakeCluster) -> None:
    """Nothing runs: that is no failure."""
    found = call("down")
    assert (found.exit_code, found.output) == (0, "You have no personal master or node running on this machine.\n")


def test_down_tells_who_stopped_and_who_was_killed(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """First how long tasks have, then who ended by itself and who did not; nodes elsewhere are not forgotten."""
    node, master = (daemons.Daemon(name, pid, Path("/log")) for name, pid in (("local-1", 8), ("master", 7)))
    monkeypatch.setattr(daemons, "running", lambda _: [master, node])
    monkeypatch.setattr(daemons, "down", lambda _, seconds: ([master, node], [node] if seconds < 9 else []))
    found = call("down")
    assert found.output == ("Stopping master, local-1; running tasks have 30 s to finish.\nStopped master, local-1.\n")
    monkeypatch.setattr(daemons, "elsewhere", lambda _: ["desk-17"])
    found = call("down", "--wait", "5")
    assert found.stdout == (
        "Stopping master, local-1; running tasks have 5 s to finish.\nStopped master.\n"
        "Nodes on other machines (desk-17) go on looking for the master until stopped there.\n"
    )
    assert (
        found.stderr == "Killed local-1: not ended after 5 s.  Tasks that still ran begin again with the next `up`.\n"
    )
    shown = json.loads(call("down", "--wait", "5", "--json").output)
    assert [[one["name"] for one in shown[key]] for key in ("stopped", "killed")] == [["master"], ["local-1"]]


def test_run_prints_the_value(source: str) -> None:
    """repr for people, JSON for programs, nothing for None."""
    assert call("run", source, "half", "5", "to=4").output == "1.25\n"
    assert call("run", "--json", source, "half", "5").output == "2.5\n"
    assert call("run", source, "nothing").output == ""


def test_run_shows_the_traceback_of_the_worker(source: str) -> None:
    """An exception of the function is its own traceback and code 1."""
    found = call("run", source, "half", "3")
    assert (found.exit_code, found.stderr) == (1, "Traceback of the worker\n")


def test_run_tells_failures_as_json(source: str, tmp_path: Path) -> None:
    """Whoever reads JSON finds type, message and the worker's traceback on stdout; a failed source has none."""
    found = call("run", "--json", source, "half", "3")
    error = {"type": "ValueError", "message": "odd one", "traceback": "Traceback of the worker"}
    assert (found.exit_code, json.loads(found.stdout)) == (1, {"error": error})
    broken = tmp_path / "broken.py"
    broken.write_text("def half(x): ...")
    found = call("run", "--json", str(broken), "half", "1")
    error = {"type": "StepFailedError", "message": "node local-1: the source failed", "traceback": None}
    assert (found.exit_code, json.loads(found.stdout)) == (1, {"error": error})


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [("None", 0, ""), ("0", 0, ""), ("3", 3, ""), ("-1", 255, ""), ("256", 1, ""), ("no licence", 1, "no licence\n")],
)
def test_run_ends_as_the_call_did(source: str, given: str, code: int, said: str) -> None:
    """What a call gives to sys.exit is our exit code; a text is shown and means 1, as in Python."""
    found = call("run", source, "leave", given)
    assert (found.exit_code, found.stdout, found.stderr) == (code, "", said)
    found = call("run", "--json", source, "leave", given)
    assert found.exit_code == code
    assert ("error" in (json.loads(found.stdout) or {})) == (code != 0)


def test_map_counts_exits_with_0_as_well_done(source: str) -> None:
    """Only the others failed."""
    found = call("run", "--map", "-", source, "leave", given="0\n3\n")
    assert "1 of 2 calls failed" in found.stderr
    assert (found.exit_code, found.stdout) == (1, "None\n")


def test_run_tells_slips_before_asking(source: str, tmp_path: Path) -> None:
    """A missing function, a syntax error, a keyword given twice."""
    assert call("run", source, "halve").stderr == f"Error: {source} defines no halve; did you mean half?\n"
    assert call("run", source, "zzz").stderr == f"Error: {source} defines no zzz\n"
    bad = tmp_path / "bad.py"
    bad.write_text("def half(:\n")
    assert "line 1" in call("run", str(bad), "half").stderr
    assert call("run", source, "half", "x=1", "x=2").exit_code == 2


def test_every_failure_is_json_where_that_was_asked_for(
    source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On stdout, with code 1, and nothing on stderr: slips in the file and its name, and the lack of a master."""
    bad = tmp_path / "bad.py"
    bad.write_text("def half(:\n")
    missing = str(tmp_path / "missing.py")
    monkeypatch.undo()
    monkeypatch.setattr(connect, "find", lambda: None)
    monkeypatch.setattr(cluster_verbs, "own_places", lambda: below(tmp_path))
    for name in ("ASYNCLUSTER_SOCKET", "ASYNCLUSTER_MASTER", "ASYNCLUSTER_USER", "ASYNCLUSTER_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    for words, kind, said in (
        (("run", "--json", source, "halve"), "AttributeError", "did you mean half?"),
        (("run", "--json", str(bad), "half"), "SyntaxError", "line 1"),
        (("run", "--json", missing, "half"), "FileNotFoundError", "missing.py cannot be read: No such file"),
        (("run", "--json", str(tmp_path), "half"), "IsADirectoryError", "cannot be read"),
        (("run", "--json", source, "half"), "MasterNotFoundError", "no master"),
        (("status", "--json"), "MasterNotFoundError", "no master"),
        (("nodes", "--json"), "MasterNotFoundError", "no master"),
    ):
        found = call(*words)
        error = json.loads(found.stdout)["error"]
        assert (found.exit_code, found.stderr, error["type"], error["traceback"]) == (1, "", kind, None)
        assert said in error["message"]


def test_source_that_fails_on_a_node(source: str, tmp_path: Path) -> None:
    """The node is named and the hint follows."""
    broken = tmp_path / "broken.py"
    broken.write_text("def half(x): ...")
    found = call("run", str(broken), "half", "1")
    assert found.exit_code == 1
    assert "local-1" in found.stderr


def test_map_keeps_order_and_counts_failures(source: str) -> None:
    """Results come in the order of the lines; a failed line is told, the others go on, the code is 1."""
    found = call("run", "--map", "-", source, "half", given="2\n3\n\n4\n")
    assert found.stdout == "1.0\n2.0\n"
    assert "3: ValueError: odd one" in found.stderr
    assert "1 of 3 calls failed" in found.stderr
    assert found.exit_code == 1
    rows = [
        json.loads(line)
        for line in call("run", "--json", "--map", "-", source, "half", given="2\n3\n").stdout.splitlines()
    ]
    error = {"type": "ValueError", "message": "odd one", "traceback": "Traceback of the worker"}
    assert rows == [{"input": "2", "result": 1.0}, {"input": "3", "error": error}]


@pytest.mark.parametrize(
    ("codes", "count", "expected"),
    [
        ([0], 1, 0),
        ([3], 1, 3),
        ([ProgramFailedError("prog was ended by SIGKILL", 137)], 1, 137),
        ([ProgramNotStartedError("no such", 127)], 1, 127),
        ([ProgramNotStartedError("not for you", 126)], 1, 126),
        ([OSError("argument list too long")], 1, 126),
        ([ValueError("embedded null byte")], 1, 126),
        ([0, 4, 1], 3, 4),
    ],
)
def test_exec_gives_the_code_of_the_program(fake: FakeCluster, codes: list[object], count: int, expected: int) -> None:
    """As a shell would; of several the highest."""
    fake.codes = list(codes)
    assert call("exec", "-n", str(count), "--", "prog", "-x").exit_code == expected


@pytest.mark.parametrize(("codes", "expected"), [([0, 0], 1), ([0, 3], 3)])
def test_exec_says_what_was_left_out(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, codes: list[object], expected: int
) -> None:
    """No success when output is missing; the limit and the file that sets it are named, on stderr."""
    own = below(tmp_path)
    own.node_conf("a").parent.mkdir(parents=True)
    own.node_conf("a").touch()
    monkeypatch.setattr(programs, "own_places", lambda: own)
    fake.written = [("a/1", 1, "text"), ("a/1", 2, cut(2000, 3 << 20).decode().strip())]
    fake.codes = list(codes)
    found = call("exec", "-n", "2", "--", "prog")
    assert (found.exit_code, found.stdout) == (expected, "[a/1] text\n" * 2)
    assert "2,000 more bytes" in found.stderr
    assert "3 MiB a task" in found.stderr
    assert f"[client] of {own.node_conf('a')}; " in found.stderr
    fake.written = [("b/1", 2, "more bytes of this task's output were dropped, says the task")]
    fake.codes = [0]
    assert call("exec", "--", "prog").exit_code == 0


def test_exec_says_what_was_dropped_while_somebody_was_away(fake: FakeCluster) -> None:
    """No success either; it is no limit of that node's, so none is named."""
    fake.written = [("a/1", 2, missed(2000, "the master was away, and node a had no room for it").decode().strip())]
    fake.codes = [0]
    found = call("exec", "-n", "1", "--", "prog")
    assert found.exit_code == 1
    assert "the master was away" in found.stderr
    assert "output of a was dropped" in found.stderr
    assert "`output limit`" not in found.stderr


def test_exec_hands_over_arguments_environment_and_input(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options behind -- are the program's; each copy knows its number."""
    monkeypatch.setattr("asyncluster.programs.run_checked", lambda *args: args)
    fake.codes = [0, 0]
    call("exec", "-n", "2", "--env", "A=b=c", "--cwd", "/", "--stdin", "-", "--", "prog", "--json", given="text")
    assert [function(*args) for function, *args in fake.submitted] == [
        (("prog", "--json"), {"A": "b=c", "ASYNCLUSTER_TASK": number, "ASYNCLUSTER_INDEX": number}, "/", b"text")
        for number in ("0", "1")
    ]
    assert call("exec", "--env", "A", "--", "prog").exit_code == 2


def test_exec_says_what_its_program_needs(fake: FakeCluster) -> None:
    """With units; what was not said is left to the cluster, and a slip is told with the right forms."""
    fake.codes = [0, 0]
    call(
        "exec", "--cores", "4", "--memory", "2G", "--feature", "ib", "--time-limit", "90 min", "--patient", "--", "prog"
    )
    asked = {name: fake.options.get(name) for name in ("cores", "memory", "gpus", "features", "time_limit", "wait")}
    assert asked == {
        "cores": 4,
        "memory": 2 * 1024**3,
        "gpus": None,
        "features": ["ib"],
        "time_limit": 5400.0,
        "wait": True,
    }
    call("exec", "--", "prog")
    assert "cores" not in fake.options
    found = call("exec", "--memory", "much", "--", "prog")
    assert found.exit_code == 2
    assert "16 MiB" in found.stderr
    assert call("exec", "--feature", "a b", "--", "prog").exit_code == 2


@pytest.mark.parametrize(
    ("words", "like"),
    [
        (("exec", "--core", "4", "--", "true"), "--cores"),
        (("exec", "--cores", "1", "--memroy", "4G", "true"), "--memory"),
        (("run", "--jsn", "analysis.py", "main"), "--json"),
    ],
)
def test_slips_in_options_are_no_programs(fake: FakeCluster, words: tuple[str, ...], like: str) -> None:
    """What stands before the program or file is ours; what is like it is named."""
    found = call(*words)
    assert found.exit_code == 2
    assert "No such option" in found.stderr
    assert like in found.stderr


def test_slips_are_json_where_that_was_asked_for(fake: FakeCluster) -> None:
    """Also those that are noticed before --json is read, and with the code of slips; a program's --json is not ours."""
    for words in (
        ("exec", "--core", "4", "--json", "--", "true"),
        ("nodes", "--jsn", "--json"),
        ("job", "info", "abc", "--json"),
        ("run", "--json"),
        ("nods", "--json"),
        ("--socket", "/x", "node", "add", "--json"),
    ):
        found = call(*words)
        assert (found.exit_code, found.stderr) == (2, ""), words
        assert json.loads(found.stdout)["error"]["type"] == "UsageError"
    found = call("exec", "--core", "4", "--", "x", "--json")
    assert (found.exit_code, found.stdout) == (2, "")


def test_exec_as_json(fake: FakeCluster) -> None:
    """An object with the codes; what programs write goes to stderr."""
    fake.codes = [0, ProgramFailedError("it ended with exit code 3", 3)]
    fake.written = [("a/1", 1, "out")]
    found = call("exec", "--json", "-n", "2", "--", "x")
    assert json.loads(found.stdout) == {"code": 3, "codes": [0, 3], "output_left_out": []}
    assert (found.exit_code, found.stderr) == (3, "[a/1] out\n" * 2)


def test_a_node_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """Is shown as that, not as idle and not as a mere error."""
    render.print_nodes([attrs.evolve(NODE, state=NodeState.ERROR, away=True)])
    assert "local-1  away" in capsys.readouterr().out


def test_node_remove_as_json(fake: FakeCluster) -> None:
    """As everything."""
    assert json.loads(call("node", "remove", "a", "--json").stdout) == {"removed": "a"}


def test_contradicting_places(fake: FakeCluster) -> None:
    """A socket and a master, or a user without a master, are refused."""
    assert call("--socket", "/x", "--master", "h:1", "status").exit_code == 2
    assert call("--user", "me", "status").exit_code == 2


def test_password_files_have_to_be_private(tmp_path: Path) -> None:
    """A file that others can read is refused with the chmod that mends it."""
    path = tmp_path / "password"
    path.write_text("secret\nmore\n")
    path.chmod(0o644)
    with pytest.raises(connect.AsynClusterError, match="chmod 600"):
        connect.read_password(str(path))
    path.chmod(0o600)
    assert connect.read_password(str(path)) == "secret"


def test_errors_are_told_with_their_hint() -> None:
    """The message first, then what mends all errors of the class; nothing where there is no such thing."""
    text = tell(MasterNotFoundError("nobody at /x"))
    assert text.startswith("asyncluster: nobody at /x\n\n")
    assert "asyncluster up" in text
    for error in (RefusedError, TaskExitError, VersionMismatchError, AsynClusterError):
        assert tell(error("it is so")) == "asyncluster: it is so"


def all_errors(base: type[AsynClusterError]) -> list[type[AsynClusterError]]:
    """Every class of the tree."""
    return [base, *(error for child in base.__subclasses__() for error in all_errors(child))]


def test_hints_name_what_there_is() -> None:
    """A verb or an option that a hint tells to type exists."""
    options = {word for command in (main, up) for parameter in command.params for word in parameter.opts}
    for error in all_errors(AsynClusterError):
        for verb in re.findall(r"`asyncluster ([a-z]+)", error.hint):
            assert verb in Verbs.verbs, error
        for option in re.findall(r"--[a-z-]+", error.hint):
            assert option in options | {"--version"}, error


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0s"), (59, "59s"), (60, "1m"), (3700, "1h1m"), (90000, "1d1h")])
def test_ages(seconds: float, text: str) -> None:
    """Durations as people say them."""
    assert render.age(seconds) == text


@pytest.mark.parametrize("verb", ["submit", "exec"])
def test_a_program_without_a_name(fake: FakeCluster, verb: str) -> None:
    """A variable that is empty: it is no job that fails on the node."""
    found = call(verb, "--", "")
    assert (found.exit_code, "the program has no name" in found.stderr) == (2, True)


def test_what_was_pasted_by_mistake_fills_no_screen() -> None:
    """A value of thirty thousand letters is shown by its begin."""
    for words in (
        ("submit", "-n", "x" * 30_000, "--", "true"),
        ("y" * 30_000,),
        ("exec", "--env", "z" * 9000, "--", "a"),
    ):
        found = call(*words)
        assert found.exit_code == 2
        assert len(found.stderr) < 600
        assert "…" in found.stderr


def test_a_table_keeps_its_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in one of them, on a terminal."""
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "400")
    render.table(("name", "state"), [("x" * 30_000, "idle")], set(), {})
    out = capsys.readouterr().out
    assert ("…" in out, "idle" in out, len(out) < 2000) == (True, True, True)


def test_a_table_in_a_pipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Who reads it is a program: nothing is cut, and a row is a line."""
    render.table(("name", "state"), [("ö" * 1000, "idle"), ("漢" * 900, "x" * 500)], set(), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["name", "state"], ["ö" * 1000, "idle"], ["漢" * 900, "x" * 500]]
    render.table(("name", "state"), [], set(), {})
    assert capsys.readouterr().out.split() == ["name", "state"]


def test_the_socket_of_a_master_is_none_of_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is typed, that is said; where it comes from the environment, it is for other commands."""
    found = call("--socket", "/nonexist/a", "seat", "status")
    assert (found.exit_code, "seat status --seat PATH" in found.stderr) == (2, True)
    monkeypatch.setenv("ASYNCLUSTER_SOCKET", "/nonexist/a")
    assert "names a master" not in call("seat", "status", "--seat", "/nonexist/b").stderr
