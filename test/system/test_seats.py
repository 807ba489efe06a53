"""Sessions at a workstation: a real master, a real node daemon, a real user, and the terminal client."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from asyncluster.cli.seat_talk import Talk
from asyncluster.client.accounts import Accounts
from asyncluster.client.futures import Cluster
from asyncluster.errors import AsynClusterError
from asyncluster.model.account import Opening
from asyncluster.model.node import mark_of
from asyncluster.model.seat import AskStatus, Begin, Finish, Granted, Notice, Refused, Request, SeatStatus
from asyncluster.testing import users as people
from asyncluster.testing.site import TIMEOUT, Daemon, Site, noon_zone
from asyncluster.testing.users import Users
from asyncluster.testing.waiting import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(people.missing()), reason=people.missing() or "users can be made"),
]

PASSWORD = "jane's own password"
LONG = "echo here; sleep 600"


@pytest.fixture(scope="module")
def users() -> Iterator[Users]:
    """Jane and Bob."""
    with Users(2) as made:
        yield made


def processes_of(user: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["username"]) if each.info["username"] == user]


@attrs.define(eq=False)
class Workplace:
    """A site with workstations, and a user who has an account there."""

    site: Site
    users: Users
    user: str
    logins: list[subprocess.Popen[str]] = attrs.field(factory=list)

    def path(self, name: str = "desk") -> str:
        return str(self.site.folder / f"seat-{name}" / "socket")

    def node(self, way: str = "pause", name: str = "desk") -> Daemon:
        return self.site.start_node(name, client={"seat socket": self.path(name), "when in use": way})

    @contextlib.contextmanager
    def accounts(self) -> Iterator[Accounts]:
        with Accounts(socket=self.site.socket) as accounts:
            yield accounts

    def account(self, **changes: Any) -> None:
        """The user's, enabled; without limits unless told."""
        with self.accounts() as accounts:
            accounts.add(self.user, PASSWORD, **({"enabled": True, "restricted": False} | changes))

    def session(self) -> Any:
        """As the master knows it."""
        with self.accounts() as accounts:
            return accounts.show(self.user)["session"]

    def used(self) -> float:
        """Seconds, of sessions that are over."""
        today = datetime.now(UTC).date()
        days = [(today + timedelta(days=shift)).isoformat() for shift in (-1, 1)]
        with self.accounts() as accounts:
            found = [line for line in accounts.usage("user", *days) if line["key"] == self.user]
        return float(found[0]["seat_seconds"]) if found else 0.0

    def status(self) -> SeatStatus:
        """As the seat shows it."""
        told = self.ask(AskStatus())
        assert isinstance(told, SeatStatus)
        return told

    def ask(self, request: Request, at: str = "desk") -> Notice:
        with contextlib.closing(Talk(self.path(at))) as talk:
            return talk.ask(request)

    def refused(self, user: str = "", password: str = PASSWORD, at: str = "desk") -> str:
        """Why a login was."""
        told = self.ask(Begin(user or self.user, password), at)
        assert isinstance(told, Refused), told
        return told.reason

    def cli(self, *words: str) -> Any:
        command = [sys.executable, "-m", "asyncluster.cli", "--socket", self.site.socket, *words, "--json"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def login(self, *command: str, password: str = PASSWORD, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Root's, as a display manager's."""
        words = ["seat", "login", "--seat", self.path(), self.user, "--", *command]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, "-m", "asyncluster.cli", *words], stdin=pipe, stdout=pipe, stderr=stderr, text=True
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

    def leave(self) -> None:
        """Nobody sits there any more, and no password was said to anybody else."""
        for login in self.logins:
            login.terminate()
            login.communicate(timeout=TIMEOUT)
        assert all(PASSWORD not in daemon.text() for daemon in self.site.daemons)


@contextlib.contextmanager
def site_of(users: Users) -> Iterator[Site]:
    """A master, in a folder that everybody may look into."""
    folder = Path(tempfile.mkdtemp(dir=users.folder))
    folder.chmod(0o755)
    with Site(folder, server={"session patience": "2m", "time zone": noon_zone()}) as site:
        site.start_master()
        yield site


@pytest.fixture
def place(users: Users) -> Iterator[Workplace]:
    """One whose daemons may be killed."""
    with site_of(users) as site:
        place = Workplace(site, users, users.names[0])
        place.account()
        yield place
        place.leave()


@pytest.fixture(scope="module")
def site(users: Users) -> Iterator[Site]:
    """With two workstations, for all tests that leave it as it was."""
    with site_of(users) as site:
        for name in ("desk", "other"):
            Workplace(site, users, "").node(name=name)
        yield site


@pytest.fixture
def office(site: Site, users: Users) -> Iterator[Workplace]:
    """For all tests that leave it as it was."""
    office = Workplace(site, users, users.names[0])
    office.account()
    yield office
    office.leave()
    with office.accounts() as accounts:
        until(lambda: not accounts.show(office.user)["session"])
        accounts.remove(office.user)


def ended(login: subprocess.Popen[str], place: Workplace) -> str:
    """What it said at last; nothing of the session is left."""
    _, err = login.communicate(timeout=TIMEOUT)
    assert login.returncode > 128, err
    until(lambda: not processes_of(place.user))
    return err


def test_a_session_runs_a_command_as_its_user(office: Workplace) -> None:
    """With uid, groups, home and niceness; its exit code comes back, and what was used is in the book."""
    code = "id -u; id -g; id -G; pwd; nice; echo $HOME $USER $PYTHONPATH; cat; exit 7"
    login = office.login("sh", "-c", code)
    out, err = login.communicate("typed on\n", timeout=TIMEOUT)
    assert login.returncode == 7, err
    me = pwd.getpwnam(office.user)
    groups = " ".join(map(str, os.getgrouplist(office.user, me.pw_gid)))
    numbers = [str(me.pw_uid), str(me.pw_gid), groups, me.pw_dir, "10"]
    assert out.splitlines() == [*numbers, f"{me.pw_dir} {office.user}", "typed on"]
    assert "no limit" in err
    until(lambda: office.used() > 0)
    told = office.cli("seat", "status", "--seat", office.path())
    assert told == {"node": "desk", "linked": True, "when_in_use": "pause", "session": None}


def test_people_log_in_themselves(office: Workplace) -> None:
    """From a shell of their own, without root's help, and nobody but themselves, by whatever program."""
    jane, bob = office.users.names
    words = [sys.executable, "-m", "asyncluster.cli", "seat", "login", "--seat", office.path()]
    pipe = subprocess.PIPE
    options = {"stdin": pipe, "stdout": pipe, "stderr": subprocess.STDOUT, "text": True}
    with office.users.start(jane, [*words, "--", "sh", "-c", "id -un; nice; pwd"], **options) as login:
        out, _ = login.communicate(f"{PASSWORD}\n", timeout=TIMEOUT)
    assert login.returncode == 0, out
    assert out.splitlines()[1:] == [jane, "10", str(office.users.home(jane))]
    with office.users.start(bob, [*words, jane], **options) as login:
        out, _ = login.communicate(f"{PASSWORD}\n", timeout=TIMEOUT)
    assert login.returncode == 1
    assert "only root can run anything as" in out
    told = office.users.run(bob, ASK, office.path(), jane, PASSWORD)
    assert (told["say"], told["rule"]) == ("refused", "user")
    assert office.users.run(bob, ASK, office.path(), "root", PASSWORD)["rule"] == "user"
    assert office.users.run(jane, ASK, office.path(), jane, PASSWORD)["say"] == "granted"


ASK = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as seat:
    seat.connect(sys.argv[1])
    seat.sendall(json.dumps({"do": "begin", "user": sys.argv[2], "password": sys.argv[3]}).encode() + b"\\n")
    print(seat.recv(65536).decode().splitlines()[0])
"""


def test_a_login_at_a_terminal(office: Workplace) -> None:
    """The password is not shown, and the login shell has a terminal of its own, of the size of ours."""
    near, far = os.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    words = [sys.executable, "-m", "asyncluster.cli", "seat", "login", "--seat", office.path(), office.user]
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
    for word in ("-sh", office.user, "33 77"):
        assert f"{word}\r\n" in shown.text


class Screen:
    """What a terminal shows."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.text = descriptor, ""

    def wait_for(self, words: str) -> None:
        while words not in self.text:
            assert select.select([self.descriptor], [], [], TIMEOUT)[0], self.text
            self.text += os.read(self.descriptor, 4096).decode()


def test_a_session_ends_when_its_time_is_up(site: Site, users: Users) -> None:
    """With all that it started, whatever that ignores; the next login hears that the hours are used up."""
    office = Workplace(site, users, users.names[1])
    office.account(restricted=True, daily=3)
    assert "outside opening hours" in office.refused()
    with office.accounts() as accounts:
        accounts.add_openings([Opening(office.user, day) for day in range(7)])
    err = ended(office.begin("trap '' TERM HUP; echo here; setsid sleep 600 & sleep 600"), office)
    assert "ends in 1 minute" in err
    assert "your time is up" in err
    last = office.login("true")
    _, err = last.communicate(timeout=TIMEOUT)
    assert last.returncode == 1
    assert "3s a day are used up" in err
    assert "user restrict" in err
    assert office.used() >= 3


STUBBORN = "trap '' TERM HUP INT; (sleep 600; true) & setsid sleep 600 & echo here; sleep 600"


def test_a_login_that_is_killed_leaves_nothing(office: Workplace) -> None:
    """By kill -9: also what has a session of its own, and what does not listen; the seat is free again."""
    login = office.begin(STUBBORN)
    login.kill()
    login.wait(TIMEOUT)
    until(lambda: not processes_of(office.user))
    until(lambda: not office.status().user)
    assert login.communicate(timeout=TIMEOUT)[0] == ""  # nobody has its output open any more


def test_a_warden_that_is_killed_leaves_nothing(office: Workplace) -> None:
    """The process between the login and its command: the login ends the rest, and says that it was killed."""
    login = office.begin(STUBBORN)
    (warden,) = psutil.Process(login.pid).children()
    assert warden.uids().real == os.geteuid()
    warden.kill()
    ended(login, office)
    assert login.returncode == 128 + signal.SIGKILL


def test_who_is_refused_hears_why(office: Workplace) -> None:
    """A wrong password and an unknown user, two logins at once on two nodes, names that are none."""
    jane, bob = office.users.names
    wrong = office.refused(password="not hers at all")
    assert wrong == "the user or the password is wrong"
    with office.accounts() as accounts:
        accounts.set(jane, "disable", enabled=False)
        assert "disabled" in office.refused()
        accounts.set(jane, "enable", enabled=True)
    login = office.begin()
    assert f"{jane} has a session at desk already" in office.refused(at="other")
    assert f"{jane} has a session at desk already" in office.refused(bob)
    for name in ("jane'; DROP TABLE users --", 'a"b\nc', "x" * 30_000):
        assert "knows no user" in office.refused(name)
    assert "root has no sessions" in office.refused("root")
    assert login.poll() is None


def test_nobody_logs_in_at_a_node_of_a_persons_own(office: Workplace) -> None:
    """Not even that person, with the right password, which is not looked at; whoever sits there is told why."""
    name = f"{mark_of(office.user)}own"
    account = {"user": office.user, "password": PASSWORD, "seat socket": office.path(name)}
    node = office.site.start_node(name, client=account)
    try:
        node.wait_for(f"nobody can log in at {name}")  # of the use of its seat that it told
        for password in (PASSWORD, *["not hers at all"] * 6):
            told = office.ask(Begin(office.user, password), name)
            assert isinstance(told, Refused)
            assert told.rule == "node"
            assert f"it is a node of {office.user}'s own" in told.reason
        login = office.begin()  # nobody counted those
        assert login.poll() is None
    finally:
        node.stop()


def test_who_asks_and_does_not_read(office: Workplace) -> None:
    """Is not heard any more, with a session or without, and others are; who reads at last is answered."""
    with contextlib.closing(Talk(office.path())) as talk:
        assert isinstance(talk.ask(Begin(office.user, PASSWORD)), Granted)
        talk.socket.setblocking(False)
        sent, line = 0, b'{"do":"status"}\n'
        while select.select([], [talk], [], 1.0)[1]:
            sent += talk.socket.send(line * 4096)
            assert sent < 1 << 26, "everything is taken"
        assert office.status().user == office.user
        talk.socket.settimeout(TIMEOUT)
        answers = 0
        while answers < sent // len(line):  # what was cut off at last is no line
            answers += sum(isinstance(each, SeatStatus) for each in talk.read() or [])


def test_what_administrators_do_reaches_the_seat(office: Workplace) -> None:
    """A message is shown, a kick ends the session, and so does disabling the account."""
    login = office.begin()
    assert office.session()["node"] == "desk"
    office.cli("user", "message", office.user, "the lab\x1b[2J closes")
    office.cli("user", "kick", office.user, "go home")
    err = ended(login, office)
    assert "message from root: the lab\ufffd[2J closes" in err
    assert "go home" in err
    login = office.begin()
    with office.accounts() as accounts:
        accounts.set(office.user, "disable", enabled=False)
    assert "is disabled" in ended(login, office)
    assert office.session() is None


def test_a_session_ends_though_nobody_reads_what_is_said(office: Workplace) -> None:
    """Who shows nothing holds up nothing: the programs end, and the client."""
    read, write = os.pipe()
    login = office.login("sh", "-c", LONG, stderr=write)
    assert login.stdout is not None
    assert login.stdout.readline() == "here\n"
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 100)
    os.set_blocking(write, True)
    with office.accounts() as accounts:
        for _ in range(3):
            accounts.message(office.user, "much to say " * 100)
        accounts.kick(office.user, "go home")
    assert login.wait(TIMEOUT) > 128
    assert not processes_of(office.user)
    os.close(read)
    os.close(write)


def test_a_session_outlives_its_master(place: Workplace) -> None:
    """Killed with -9 and back: the session is the same, nothing of it is free, and its end is written down."""
    place.node()
    login = place.begin()
    before = place.status()
    place.site.daemons[0].stop(signal.SIGKILL)
    until(lambda: not place.status().linked)
    assert login.poll() is None
    place.site.start_master()
    until(lambda: place.status().linked)
    after = place.status()
    assert (after.user, after.session) == (place.user, before.session)
    assert until(place.session)["used"] >= before.used
    login.terminate()
    err = ended(login, place)
    assert "the master is away for now" in err
    assert "the master is there again" in err
    assert until(place.used) > after.used


def test_a_session_ends_with_its_node(place: Workplace) -> None:
    """Killed with -9: the programs end, and the master knows of none when the node is started anew."""
    node = place.node()
    login = place.begin()
    assert place.session()
    node.stop(signal.SIGKILL)
    assert "the node daemon of this machine has ended" in ended(login, place)
    assert place.session()  # it might be the link only
    place.node()
    until(lambda: place.session() is None)
    assert isinstance(place.ask(Begin(place.user, PASSWORD)), Granted)


@pytest.mark.parametrize("way", ["pause", "return", "nice"])
def test_tasks_make_way_for_who_sits_there(place: Workplace, way: str, tmp_path: Path) -> None:
    """They are paused, given back, or modest while a session is on; then everything is as before."""
    place.node(way)
    ticks = tmp_path / "ticks"

    def tick(path: str) -> str:
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(f"{path}.stop") and time.monotonic() < deadline:
            with open(path, "a") as file:
                file.write(f"{os.nice(0)}\n")
            time.sleep(0.05)
        return "done"

    with Cluster(socket=place.site.socket) as cluster, contextlib.closing(Talk(place.path())) as talk:
        task = cluster.submit(tick, str(ticks))
        until(ticks.exists)
        assert isinstance(talk.ask(Begin(place.user, PASSWORD)), Granted)
        (node,) = until(lambda: [each for each in cluster.nodes() if each.user])
        assert (node.user, node.in_use) == (place.user, way)
        if way == "nice":
            until(lambda: ticks.read_text().endswith("\n19\n"))
        else:
            until(lambda: is_still(ticks))
            other = cluster.submit(os.getpid)
            why = until(lambda: place.cli("explain", "task", str(cluster.jobs()[0].job), "1")["reason"])
            assert f"node desk is in use by {place.user}" in why
            assert place.cli("explain", "node", "desk")["text"].startswith(f"{place.user} uses it")
            assert not other.done()
        before = len(ticks.read_text())
        talk.say(Finish())
        until(lambda: len(ticks.read_text()) > before)
        if way == "nice":
            until(lambda: ticks.read_text().endswith("\n0\n"))
        Path(f"{ticks}.stop").touch()
        assert task.result(TIMEOUT) == "done"
        assert [(each.user, each.in_use) for each in cluster.nodes()] == [("", "")]
        assert cluster.nodes()[0].lost == 0


def is_still(file: Path) -> bool:
    """Nobody writes it any more; told by a while without growth, much longer than between two ticks."""
    before = file.read_text()
    time.sleep(1.0)
    return file.read_text() == before


NICENESS = """
import json, os, socket, sys, time
from asyncluster import Cluster

with Cluster(socket=sys.argv[1]) as cluster, socket.socket(socket.AF_UNIX) as seat:
    def niceness():
        return cluster.submit(os.nice, 0).result(60)

    plain = niceness()
    seat.connect(sys.argv[2])
    seat.sendall(json.dumps({"do": "begin", "user": sys.argv[3], "password": sys.argv[4]}).encode() + b"\\n")
    said = json.loads(seat.makefile().readline())["say"]
    modest = niceness()
    seat.sendall(b'{"do": "end"}\\n')
    deadline = time.monotonic() + 60
    while (last := niceness()) != plain and time.monotonic() < deadline:
        time.sleep(0.05)
    print(json.dumps([said, modest, last - plain]))
"""


def test_a_node_that_a_person_started(place: Workplace) -> None:
    """It has sessions of that person's only; workers that cannot be less modest again are replaced."""
    jane, bob = place.users.names
    home = place.users.home(jane)
    sections = place.site.sections("hers")
    del sections["client"]["run tasks as"]
    path = f"{home}/run/seat"
    sections["client"] |= {"seat socket": path, "when in use": "nice", "slots": "1", "state folder": f"{home}/state"}
    config = place.site.config("hers", sections)
    shutil.chown(config, *place.users.ids(jane))
    log = place.site.folder / "hers.log"
    with log.open("wb") as stream:
        node = place.users.start(
            jane, [sys.executable, "-m", "asyncluster.node", "--config", str(config)], stdout=stream, stderr=stream
        )
    try:
        Daemon(node, log).wait_for("registered with the master")
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.stat(home / "run").st_mode & 0o777 == 0o700
        told = place.users.run(jane, NICENESS, place.site.socket, path, jane, PASSWORD)
        assert told == ["granted", 19, 0]
        refused = place.users.run(jane, ASK, path, bob, PASSWORD)
        assert f"belongs to {jane}, who alone can have a session" in refused["reason"]
        with pytest.raises(AsynClusterError, match=f"belongs to {jane}, to whom no password is said"):
            Talk(path)
    finally:
        node.terminate()
        node.wait(TIMEOUT)
