"""The command line on a real personal cluster, in folders of its own."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncluster.personal import daemons
from asyncluster.personal.paths import Places, places

pytestmark = pytest.mark.real

Type = Callable[..., "subprocess.CompletedProcess[str]"]

JOB = """
import os, sys, time
def power(x, exponent=2): return x ** exponent
def say(text): print("hello", text)
def boom(): raise ValueError("no such luck")
def nap(seconds): time.sleep(seconds)
def leave(code): sys.exit(code)
"""


def command(*words: str) -> list[str]:
    """How the tests start the command line."""
    return [sys.executable, "-P", "-m", "asyncluster.cli", *words]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Personal folders that are not the user's."""
    folder = tmp_path_factory.mktemp("xdg")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
    (folder / "run").mkdir(mode=0o700)
    return kept | {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
    }


@pytest.fixture(scope="module")
def own(environ: dict[str, str]) -> Places:
    """Where its files are."""
    return places(environ, os.getuid())


@pytest.fixture(scope="module")
def typed(environ: dict[str, str]) -> Type:
    """Type a command line, wait for its end."""

    def run(*words: str, given: str | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words), env=environ, input=given, capture_output=True, text=True, timeout=seconds, check=False
        )

    return run


@pytest.fixture(scope="module")
def up(typed: Type, own: Places) -> Iterator[subprocess.CompletedProcess[str]]:
    """A personal cluster of two nodes; stopped at the end, however it goes."""
    try:
        yield typed("up", "--nodes", "2", "--slots", "1")
    finally:
        daemons.down(own, 5.0)


@pytest.fixture
def job(tmp_path: Path) -> str:
    """A file with functions."""
    path = tmp_path / "job.py"
    path.write_text(JOB)
    return str(path)


def test_up_tells_what_runs(up: subprocess.CompletedProcess[str], own: Places) -> None:
    """It says what runs and what to type next; nothing that holds a secret can be read by others."""
    assert up.returncode == 0, up.stderr
    assert "asyncluster status" in up.stdout
    assert [daemon.name for daemon in daemons.running(own)] == ["master", "local-1", "local-2"]
    for path in (own.conf, *own.conf.parent.rglob("*.conf")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (own.config, own.state, own.runtime):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_no_secret_in_a_process_list(up: subprocess.CompletedProcess[str], own: Places) -> None:
    """Neither command lines nor environments of the services hold a password."""
    secrets = [line.split(" = ")[1] for line in own.conf.read_text().splitlines() if "password = " in line]
    assert len(secrets) == 2
    for daemon in daemons.running(own):
        for name in ("cmdline", "environ"):
            shown = Path(f"/proc/{daemon.pid}/{name}").read_bytes().decode(errors="replace")
            assert not [secret for secret in secrets if secret in shown]


def test_up_again_changes_nothing(up: subprocess.CompletedProcess[str], typed: Type, own: Places) -> None:
    """The second time it says that it runs."""
    before = daemons.running(own)
    found = typed("up", "--nodes", "2")
    assert (found.returncode, daemons.running(own)) == (0, before)
    assert "runs already" in found.stdout
    assert "Next:" not in found.stdout
    assert found.stderr == ""
    assert typed("up", "--slots", "1").returncode == 0


def test_up_with_other_options(up: subprocess.CompletedProcess[str], typed: Type) -> None:
    """Each that is not in effect is told, with what is; that is a failure."""
    found = typed("up", "--nodes", "3", "--slots", "2", "--subnets", "10.0.0.0/8")
    assert found.returncode == 1
    assert found.stderr.splitlines()[:3] == [
        "not in effect: --nodes 3: 2 run here",
        "not in effect: --slots 2: local-1 has 1, local-2 has 1",
        "not in effect: --subnets 10.0.0.0/8: the master lets in 127.0.0.1",
    ]
    found = typed("up", "--nodes", "2", "--slots", "2", "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout)["not_in_effect"] == ["--slots 2: local-1 has 1, local-2 has 1"]


def test_status_and_nodes_as_json(up: subprocess.CompletedProcess[str], typed: Type) -> None:
    """What programs read."""
    status = json.loads(typed("status", "--json").stdout)
    assert (status["nodes"], status["jobs"]) == (2, 0)
    nodes = json.loads(typed("nodes", "--json").stdout)
    assert [node["name"] for node in nodes] == ["local-1", "local-2"]


def test_run(up: subprocess.CompletedProcess[str], typed: Type, job: str) -> None:
    """Value, output, exception."""
    assert typed("run", job, "power", "3", "exponent=4").stdout == "81\n"
    assert "hello you" in typed("run", job, "say", "you").stdout
    found = typed("run", job, "boom")
    assert found.returncode == 1
    assert "no such luck" in found.stderr
    assert "job.py" in found.stderr


def test_run_failures_for_programs(up: subprocess.CompletedProcess[str], typed: Type, job: str) -> None:
    """Nothing but JSON on stdout, with the worker's traceback; what the function gives to sys.exit is the exit code."""
    found = typed("run", "--json", job, "boom")
    error = json.loads(found.stdout)["error"]
    assert (found.returncode, error["type"], error["message"]) == (1, "ValueError", "no such luck")
    assert "in boom" in error["traceback"]
    found = typed("run", "--json", job, "say", "you")
    assert (json.loads(found.stdout), "hello you" in found.stderr) == (None, True)
    assert [typed("run", job, "leave", code).returncode for code in ("0", "7")] == [0, 7]


def test_exec_of_what_is_no_program(up: subprocess.CompletedProcess[str], typed: Type, job: str) -> None:
    """A sentence that names the node, and the shell's codes."""
    found = typed("exec", "--", "no-such-program")
    assert found.returncode == 127
    assert "there is no program 'no-such-program' on node local-" in found.stderr
    found = typed("exec", "--", job)
    assert found.returncode == 126
    assert "may not be executed" in found.stderr


def test_run_map(up: subprocess.CompletedProcess[str], typed: Type, job: str) -> None:
    """A call for each line, in order; no progress bar where stderr is no terminal."""
    found = typed("run", "--map", "-", job, "power", given="".join(f"{number}\n" for number in range(200)))
    assert found.stdout.split() == [str(number**2) for number in range(200)]
    assert found.stderr == ""


def test_exec(up: subprocess.CompletedProcess[str], typed: Type, tmp_path: Path) -> None:
    """Output and code of the program are ours; so are input, folder and environment."""
    found = typed("exec", "--cwd", str(tmp_path), "--env", "A=7", "--", "sh", "-c", "pwd; echo $A >&2; exit 3")
    assert (found.returncode, found.stdout, found.stderr) == (3, f"{tmp_path}\n", "7\n")
    assert typed("exec", "--stdin", "-", "--", "tr", "a-z", "A-Z", given="abc\n").stdout == "ABC\n"
    assert typed("exec", "--", "sh", "-c", "kill -9 $$").returncode == 137
    assert typed("exec", "--", "/no/such/program").returncode == 127
    several = typed("exec", "-n", "5", "--", "sh", "-c", "echo $ASYNCLUSTER_INDEX").stdout.splitlines()
    assert sorted(line.split()[-1] for line in several) == ["0", "1", "2", "3", "4"]


def test_exec_streams(up: subprocess.CompletedProcess[str], environ: dict[str, str], tmp_path: Path) -> None:
    """A line is here before the program has ended: it ends only when we, having read it, allow it to."""
    gate = tmp_path / "gate"
    script = f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; echo last"
    with subprocess.Popen(
        command("exec", "--", "sh", "-c", script), env=environ, stdout=subprocess.PIPE, text=True
    ) as shown:
        assert shown.stdout is not None
        assert shown.stdout.readline() == "first\n"
        gate.touch()
        assert shown.stdout.readline() == "last\n"
    assert shown.returncode == 0


def test_interrupt_cancels(
    up: subprocess.CompletedProcess[str], environ: dict[str, str], job: str, tmp_path: Path
) -> None:
    """Ctrl-C ends the command at once, with 130 and without a traceback."""
    mark = tmp_path / "begun"
    script = f"touch {mark}; sleep 3"
    shown = subprocess.Popen(command("exec", "--", "sh", "-c", script), env=environ, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    shown.send_signal(signal.SIGINT)
    _out, errors = shown.communicate(timeout=60)
    assert (shown.returncode, errors) == (130, "cancelled\n")


def test_node_add_and_remove(up: subprocess.CompletedProcess[str], typed: Type, own: Places) -> None:
    """A third node joins and, dismissed, ends its daemon."""
    assert "local-3" in typed("node", "add", "--slots", "1").stdout
    assert "local-3" in {daemon.name for daemon in daemons.running(own)}
    assert typed("node", "remove", "local-3").returncode == 0
    deadline = time.monotonic() + 20
    while "local-3" in {daemon.name for daemon in daemons.running(own)} and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "local-3" not in {daemon.name for daemon in daemons.running(own)}
    unknown = typed("node", "remove", "nobody")
    assert unknown.returncode == 1
    assert "local-1" in unknown.stderr


def test_node_elsewhere_needs_an_open_port(up: subprocess.CompletedProcess[str], typed: Type) -> None:
    """The message says how to open it."""
    found = typed("node", "add", "--elsewhere", "desk-17")
    assert found.returncode == 1
    assert "--subnets" in found.stderr


def test_up_after_a_killed_master(
    up: subprocess.CompletedProcess[str], typed: Type, own: Places, tmp_path: Path
) -> None:
    """Its nodes go on and join the next one: a program that ran meanwhile is run once, and its result comes."""
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    script = f"echo run >> {runs}; until [ -e {gate} ]; do sleep 0.05; done; echo through"
    job = typed("submit", "--", "sh", "-c", script).stdout.strip()
    deadline = time.monotonic() + 60
    while not runs.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    before = {daemon.name: daemon.pid for daemon in daemons.running(own)}
    os.kill(before["master"], signal.SIGKILL)
    while daemons.answers(own.socket):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found = typed("up", "--nodes", "3")
    assert found.returncode == 0, found.stderr
    for name in ("local-1", "local-2"):
        assert f"node {name} of the earlier master joined again\n" in found.stdout
    after = {daemon.name: daemon.pid for daemon in daemons.running(own)}
    assert after.keys() == {"master", "local-1", "local-2", "local-3"}
    assert [name for name in before if after[name] == before[name]] == ["local-1", "local-2"]
    gate.touch()
    assert typed("job", "wait", job).returncode == 0
    assert typed("job", "output", job).stdout == "through\n"
    assert runs.read_text() == "run\n"
    assert typed("node", "remove", "local-3").returncode == 0


def test_up_starts_killed_nodes_again(up: subprocess.CompletedProcess[str], typed: Type, own: Places) -> None:
    """Those that were killed, by their names and with the slots they had; one that was removed stays away."""
    assert typed("node", "add").returncode == 0
    assert typed("node", "remove", "local-3").returncode == 0
    before = {daemon.name: daemon.pid for daemon in daemons.running(own)}
    assert before.keys() >= {"master", "local-1", "local-2"}
    for name in ("local-1", "local-2"):
        os.kill(before[name], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(daemons.running(own)) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found = typed("up", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["started_again"] == ["local-1", "local-2"]
    after = {daemon.name: daemon.pid for daemon in daemons.running(own)}
    assert after["master"] == before["master"]
    assert after.keys() == {"master", "local-1", "local-2"}
    assert typed("exec", "--", "true").returncode == 0
    assert typed("up", "--slots", "1").returncode == 0
    for name in ("local-1", "local-2"):
        os.kill(after[name], signal.SIGKILL)
    found = typed("up", "--nodes", "2")
    assert "local-1, local-2 started again" in found.stdout


def test_down_and_up_again(up: subprocess.CompletedProcess[str], typed: Type, own: Places) -> None:
    """All processes end, the next verb says that nothing runs, and a new start keeps passwords and port."""
    before = own.conf.read_text()
    found = typed("down")
    assert found.returncode == 0, found.stderr
    assert daemons.running(own) == []
    assert not Path(own.socket).exists()
    missing = typed("status")
    assert missing.returncode == 1
    assert "asyncluster up" in missing.stderr
    assert typed("up", "--slots", "1").returncode == 0
    assert own.conf.read_text() == before
    assert typed("exec", "--", "true").returncode == 0


def test_failed_start_shows_the_log(environ: dict[str, str], tmp_path: Path) -> None:
    """A master that cannot start is told with the end of its log, and leaves nothing behind."""
    folders = environ | {"XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_STATE_HOME": str(tmp_path / "s")}
    folders["XDG_RUNTIME_DIR"] = str(tmp_path)
    broken = places(folders, os.getuid())
    Path(broken.socket).mkdir(parents=True)  # a folder where the socket should be
    found = subprocess.run(command("up"), env=folders, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "master.log" in found.stderr
    assert "socket" in found.stderr
    assert daemons.running(broken) == []
