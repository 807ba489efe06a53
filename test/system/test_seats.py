"""Sessions at a workstation: a real master, a real node daemon, a real user, and the terminal client."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import secrets
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from asyncluster.client.accounts import Accounts
from asyncluster.client.futures import Cluster
from asyncluster.testing.site import TIMEOUT, Daemon, Site

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("useradd"), reason="a session becomes its user, which takes root"
    ),
]

PASSWORD = "jane's own password"
LONG = "echo here; sleep 600"


def noon() -> str:
    """A time zone in which it is about noon, so that no day ends while a test runs."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}"


@pytest.fixture(scope="module")
def jane() -> Iterator[str]:
    """A user of this machine, gone with all that she runs."""
    name = f"ac{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    try:
        yield name
    finally:
        for process in processes_of(name):
            process.kill()
        subprocess.run(["userdel", "--remove", name], check=False, capture_output=True)


def processes_of(user: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["username"]) if each.info["username"] == user]


@attrs.define(eq=False)
class Workplace:
    """A site with workstations, and a user."""

    site: Site
    user: str
    logins: list[subprocess.Popen[str]] = attrs.field(factory=list)

    def path(self, name: str = "desk") -> str:
        return str(self.site.folder / f"seat-{name}" / "socket")

    def node(self, way: str = "pause", name: str = "desk") -> Daemon:
        return self.site.start_node(name, client={"seat socket": self.path(name), "when in use": way})

    def account(self, **changes: Any) -> None:
        """Jane's, enabled; without limits unless told."""
        with Accounts(socket=self.site.socket) as accounts:
            accounts.add(self.user, PASSWORD, **({"enabled": True, "restricted": False} | changes))

    def cli(self, *words: str) -> Any:
        command = [sys.executable, "-m", "asyncluster.cli", "--socket", self.site.socket, *words, "--json"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def session(self) -> Any:
        """As the master knows it."""
        return self.cli("user", "show", self.user)["session"]

    def login(self, *command: str, at: str = "desk", password: str = PASSWORD, user: str = "") -> subprocess.Popen[str]:
        """Root's, as a display manager's."""
        words = ["seat", "login", "--seat", self.path(at), user or self.user, "--", *command]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, "-m", "asyncluster.cli", *words], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        self.logins.append(process)
        assert process.stdin is not None
        process.stdin.write(f"{password}\n")
        process.stdin.flush()
        return process

    def begin(self, code: str = LONG) -> subprocess.Popen[str]:
        """A session whose command has begun."""
        process = self.login("sh", "-c", code)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n", process.communicate(timeout=TIMEOUT)
        return process

    def refused(self, **login: str) -> str:
        """Why that login was."""
        process = self.login("true", **login)
        _, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 1, err
        return err

    def status(self) -> Any:
        return self.cli("seat", "status", "--seat", self.path())


@pytest.fixture
def place(tmp_path: Path, jane: str) -> Iterator[Workplace]:
    with Site(tmp_path, server={"session patience": "2s", "time zone": noon()}) as site:
        site.start_master()
        place = Workplace(site, jane)
        try:
            yield place
        finally:
            for login in place.logins:
                login.terminate()
                login.communicate(timeout=TIMEOUT)
            assert all(PASSWORD not in daemon.text() for daemon in site.daemons)


def wait_until(done: Callable[[], Any]) -> Any:
    """Until it gives something true; gives that."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := done()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def ended(login: subprocess.Popen[str], place: Workplace) -> str:
    """What it said at last; nothing of the session is left."""
    _, err = login.communicate(timeout=TIMEOUT)
    assert login.returncode > 128, err
    wait_until(lambda: not processes_of(place.user))
    return err


def test_a_session_runs_a_command_as_its_user(place: Workplace) -> None:
    """With uid, groups, home and niceness; its exit code comes back, and what was used is in the book."""
    place.node()
    place.account()
    code = "id -u; id -g; id -G; pwd; nice; echo $HOME $USER $PYTHONPATH; cat; exit 7"
    login = place.login("sh", "-c", code)
    out, err = login.communicate("typed on\n", timeout=TIMEOUT)
    assert login.returncode == 7, err
    me = pwd.getpwnam(place.user)
    groups = " ".join(map(str, os.getgrouplist(place.user, me.pw_gid)))
    numbers = [str(me.pw_uid), str(me.pw_gid), groups, me.pw_dir, "10"]
    assert out.splitlines() == [*numbers, f"{me.pw_dir} {place.user}", "typed on"]
    assert "no limit" in err
    (line,) = wait_until(lambda: place.cli("usage", "--by", "user")["lines"])
    assert (line["key"], line["sessions"]) == (place.user, 1)
    assert place.status() == {"node": "desk", "linked": True, "when_in_use": "pause", "session": None}


def test_a_login_at_a_terminal(place: Workplace) -> None:
    """The password is not shown, and the login shell has a terminal of its own, of the size of ours."""
    place.node()
    place.account()
    near, far = os.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    words = [sys.executable, "-m", "asyncluster.cli", "seat", "login", "--seat", place.path(), place.user]
    login = subprocess.Popen(["setsid", "-c", "-w", *words], stdin=far, stdout=far, stderr=far)
    os.close(far)
    shown = Screen(near)
    try:
        shown.wait_for("password of")
        os.write(near, f"{PASSWORD}\n".encode())
        shown.wait_for("no limit")
        os.write(near, b"echo $0; id -un; stty size; test -O $(tty) && echo mine$((6*7)); exit 3\n")
        shown.wait_for("mine42")
        assert login.wait(TIMEOUT) == 3
    finally:
        os.close(near)  # a hangup: whatever is still there ends
        login.wait(TIMEOUT)
    assert PASSWORD not in shown.text
    for word in ("-sh", place.user, "33 77"):
        assert f"{word}\r\n" in shown.text


class Screen:
    """What a terminal shows."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.text = descriptor, ""

    def wait_for(self, words: str) -> None:
        while words not in self.text:
            assert select.select([self.descriptor], [], [], TIMEOUT)[0], self.text
            self.text += os.read(self.descriptor, 4096).decode()


def test_a_session_ends_when_its_time_is_up(place: Workplace) -> None:
    """With all that it started, whatever that ignores; the next login hears that the hours are used up."""
    place.node()
    place.account(restricted=True, daily=4)
    assert "outside opening hours" in place.refused()
    place.cli("opening", "add", "daily", "00:00", "24:00")
    stubborn = "trap '' TERM HUP; echo here; setsid sleep 600 & sleep 600"
    login = place.begin(stubborn)
    err = ended(login, place)
    assert "ends in 1 minute" in err
    assert "your time is up" in err
    assert "4s a day are used up" in place.refused()
    assert "restrict" in place.refused()


def test_who_is_refused_hears_why(place: Workplace) -> None:
    """A wrong password and an unknown user, two logins at once on two nodes, names that are none, a database away."""
    place.node()
    place.node(name="other")
    wrong = place.refused(password="not hers at all")
    assert "the user or the password is wrong" in wrong
    place.account()
    assert place.refused(password="not hers at all") == wrong
    login = place.begin()
    assert f"{place.user} has a session at desk already" in place.refused(at="other")
    assert f"{place.user} has a session at desk already" in place.refused()
    for name in ("jane'; DROP TABLE users --", 'a"b\nc', "x" * 30_000, "root"):
        assert "name a user of this machine" in place.refused(user=name)
    assert login.poll() is None


def test_what_administrators_do_reaches_the_seat(place: Workplace) -> None:
    """A message is shown, a kick ends the session, and so does disabling the account."""
    place.node()
    place.account()
    login = place.begin()
    assert wait_until(place.session)["node"] == "desk"
    place.cli("user", "message", place.user, "the lab\x1b[2J closes")
    place.cli("user", "kick", place.user, "go home")
    err = ended(login, place)
    assert "message from root: the lab\ufffd[2J closes" in err
    assert "go home" in err
    login = place.begin()
    place.cli("user", "disable", place.user)
    assert "is disabled" in ended(login, place)
    assert place.session() is None


def test_a_session_outlives_its_master(place: Workplace) -> None:
    """Killed with -9 and back: the session is the same, nothing of it is free, and its end is written down."""
    place.node()
    place.account()
    login = place.begin()
    before = place.status()["session"]
    place.site.daemons[0].stop(signal.SIGKILL)
    assert wait_until(lambda: not place.status()["linked"])
    assert login.poll() is None
    place.site.start_master()
    wait_until(lambda: place.status()["linked"])
    now = wait_until(place.session)
    assert now["used"] >= before["used"]
    assert place.status()["session"]["number"] == before["number"]
    login.terminate()
    err = ended(login, place)
    assert "the master is away for now" in err
    assert "the master is there again" in err
    (line,) = wait_until(lambda: place.cli("usage", "--by", "user")["lines"])
    assert line["seat_seconds"] > before["used"]


def test_a_session_ends_with_its_node(place: Workplace) -> None:
    """Killed with -9: the programs end, and the master, which waits a while, charges until it was heard last."""
    node = place.node()
    place.account()
    login = place.begin()
    wait_until(place.session)
    node.stop(signal.SIGKILL)
    assert "the node daemon of this machine has ended" in ended(login, place)
    wait_until(lambda: place.session() is None)
    (line,) = wait_until(lambda: place.cli("usage", "--by", "user")["lines"])
    assert line["sessions"] == 1


@pytest.mark.parametrize("way", ["pause", "return", "nice"])
def test_tasks_make_way_for_who_sits_there(place: Workplace, way: str, tmp_path: Path) -> None:
    """They are paused, given back, or modest while a session is on; then everything is as before."""
    place.node(way)
    place.account()
    ticks = tmp_path / "ticks"

    def tick(path: str) -> str:
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(f"{path}.stop") and time.monotonic() < deadline:
            with open(path, "a") as file:
                file.write(f"{os.nice(0)}\n")
            time.sleep(0.05)
        return "done"

    with Cluster(socket=place.site.socket) as cluster:
        task = cluster.submit(tick, str(ticks))
        wait_until(ticks.exists)
        login = place.begin()
        (node,) = wait_until(lambda: [each for each in cluster.nodes() if each.user])
        assert (node.user, node.in_use) == (place.user, way)
        if way == "nice":
            wait_until(lambda: ticks.read_text().endswith("\n19\n"))
        else:
            wait_until(lambda: is_still(ticks))
            other = cluster.submit(os.getpid)
            why = wait_until(lambda: place.cli("explain", "task", str(cluster.jobs()[0].job), "1")["reason"])
            assert f"node desk is in use by {place.user}" in why
            assert place.cli("explain", "node", "desk")["text"].startswith(f"{place.user} uses it")
            assert not other.done()
        before = len(ticks.read_text())
        login.terminate()
        ended(login, place)
        wait_until(lambda: len(ticks.read_text()) > before)
        if way == "nice":
            wait_until(lambda: ticks.read_text().endswith("\n0\n"))
        Path(f"{ticks}.stop").touch()
        assert task.result(TIMEOUT) == "done"
        assert [(each.user, each.in_use) for each in cluster.nodes()] == [("", "")]
        assert cluster.nodes()[0].lost == 0


def is_still(file: Path) -> bool:
    """Nobody writes it any more; told by a while without growth, much longer than between two ticks."""
    before = file.read_text()
    time.sleep(1.0)
    return file.read_text() == before
