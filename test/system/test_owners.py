"""Whose tasks run as whom, and what one owner can get at of another's: with users made for the run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from asyncluster.testing import users as people
from asyncluster.testing.site import Site
from asyncluster.testing.users import Users
from asyncluster.testing.waiting import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(400),  # many programs are started
    pytest.mark.skipif(bool(people.missing()), reason=people.missing() or "users can be made"),
]

OWNERS = {"run tasks as": "", "payload memory": "1 MiB"}
SECRET = "of-the-daemons-environment"
OWN_PASSWORD = "ann's own password, for tests"


@pytest.fixture(scope="module")
def users() -> Iterator[Users]:
    """Ann, who may have few open files and large core files, and Bob."""
    with Users(2) as made:
        ann, _ = made.names
        limits = Path(f"/etc/security/limits.d/{ann}.conf")
        limits.parent.mkdir(parents=True, exist_ok=True)
        limits.write_text(f"{ann} hard nofile 321\n{ann} soft nofile 123\n{ann} - core unlimited\n")
        try:
            yield made
        finally:
            limits.unlink()


@pytest.fixture(scope="module")
def site(users: Users) -> Iterator[Site]:
    """A master of root's and a node of root's with two slots, which runs each owner's tasks as that owner."""
    folder = users.folder / "site"
    folder.mkdir(mode=0o755)
    old = os.umask(0o022)
    os.environ["ASYNCLUSTER_TEST_SECRET"] = SECRET
    try:
        with Site(folder, prefix=users.reach.prefix) as made:
            made.start_master()
            made.start_node("a", slots=2, prefix=users.reach.prefix, client=OWNERS)
            yield made
    finally:
        os.umask(old)
        del os.environ["ASYNCLUSTER_TEST_SECRET"]


HEAD = """
import ctypes, json, os, resource, signal, socket, sys, time
from asyncluster import Cluster
"""


def program(users: Users, site: Site, name: str, code: str, *arguments: object) -> Any:
    """Run a program of that user's, who has `cluster`; what it printed last."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    text = f"{HEAD}\nwith Cluster(socket=sys.argv[1]) as cluster:\n{body}"
    return users.run(name, text, site.socket, *map(str, arguments))


def command(users: Users, site: Site, name: str, *words: str) -> tuple[int, str]:
    """Run `asyncluster` as that user."""
    return users.call(name, sys.executable, "-m", "asyncluster.cli", "--socket", site.socket, *words)


def daemon(site: Site) -> psutil.Process:
    """Of the node `a`."""
    return psutil.Process(site.daemons[1].pid)


ASK_WHO = """
    def who():
        open(os.path.expanduser("~/made-here"), "w").close()
        mask = os.umask(0)
        os.umask(mask)
        return {
            "uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()), "mask": mask,
            "folder": os.getcwd(), "pid": os.getpid(), "environment": dict(os.environ),
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0], "open": resource.getrlimit(resource.RLIMIT_NOFILE),
        }
    print(json.dumps([cluster.submit(who).result() for _ in range(3)]))
"""


def test_each_owners_tasks_run_as_the_owner(users: Users, site: Site) -> None:
    """Wholly: numbers, groups, limits, home, folder, environment; files are his, and a worker serves one owner only."""
    seen: dict[str, set[int]] = {}
    for name in (*users.names, *users.names):
        uid, gid = users.ids(name)
        for told in program(users, site, name, ASK_WHO):
            assert (told["uids"], told["gids"]) == ([uid] * 3, [gid] * 3)
            assert told["groups"] == sorted(os.getgrouplist(name, gid))
            assert len(told["groups"]) == 2
            assert (told["mask"], told["core"]) == (0o022, 0)
            assert (told["open"] == [123, 321]) is (name == users.names[0])
            assert told["folder"] == told["environment"]["HOME"] == str(users.home(name))
            assert told["environment"]["USER"] == told["environment"]["LOGNAME"] == name
            assert SECRET not in told["environment"].values()
            seen.setdefault(name, set()).add(told["pid"])
        made = (users.home(name) / "made-here").stat()
        assert (made.st_uid, made.st_gid) == (uid, gid)
    ann, bob = users.names
    assert not seen[ann] & seen[bob]


def test_what_nobody_runs(users: Users, site: Site) -> None:
    """Root's own tasks are refused, with the setting that would allow them; so are those for unknown names."""
    from asyncluster import Cluster
    from asyncluster.errors import AsynClusterError

    with Cluster(socket=site.socket) as cluster, pytest.raises(AsynClusterError, match="not run as root"):
        cluster.submit(os.getuid).result(timeout=60)
    site.add_user("nobody-here", OWN_PASSWORD)
    where = f"127.0.0.1:{site.port}"
    with (
        Cluster(where, user="nobody-here", password=OWN_PASSWORD) as cluster,
        pytest.raises(AsynClusterError, match="does not know"),
    ):
        cluster.submit(os.getuid).result(timeout=60)


VICTIM = """
    def sit(path):
        open(path, "w").close()
        while True:
            time.sleep(0.1)
    sitting = cluster.submit(sit, sys.argv[2])
    large = cluster.submit(lambda data: len(data), b"the victim's payload" * 500_000).result()
    print(json.dumps(os.getpid()), flush=True)
    sitting.result()
"""

ATTACK = """
    def attack(pids, folders, reversed_secret):
        got = []
        def attempt(what, act):
            try:
                value = act()
            except Exception:
                return
            got.append([what, repr(value)[:200]])
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long] * 4
        libc.process_vm_readv.argtypes = [ctypes.c_int, ctypes.c_void_p, *[ctypes.c_ulong] * 4]
        def trace(pid):
            if libc.ptrace(16, pid, 0, 0):
                raise OSError(ctypes.get_errno(), "ptrace")
        def steal(pid):
            if os.pidfd_open(pid) < 0:
                raise OSError
            for number in range(3, 20):
                if libc.syscall(438, os.pidfd_open(pid), number, 0) >= 0:  # pidfd_getfd
                    return number
            raise OSError
        # what this process was born with: the pipes of its output, nothing, and the socket to the daemon
        own = {number: os.readlink(f"/proc/self/fd/{number}") for number in range(0, 64)
               if os.path.islink(f"/proc/self/fd/{number}")}
        for number, target in own.items():
            if number > 2 and not target.startswith("socket:") and "/proc/" not in target:
                got.append(["own fd", f"{number} {target}"])
        sockets = [number for number, target in own.items() if target.startswith("socket:")]
        if len(sockets) != 1:
            got.append(["sockets", repr(own)])
        for number in sockets:
            peer = socket.socket(fileno=os.dup(number))
            if peer.family != socket.AF_UNIX or peer.type != socket.SOCK_STREAM:
                got.append(["a socket of another kind", repr(peer)])
        for pid in pids:
            attempt(f"signal {pid}", lambda: os.kill(pid, 0))
            attempt(f"signal the group {pid}", lambda: os.killpg(pid, 0))
            attempt(f"trace {pid}", lambda: trace(pid))
            attempt(f"take a descriptor of {pid}", lambda: steal(pid))
            for name in ("environ", "mem", "maps", "fd", "cwd", "root", "io", "syscall"):
                path = f"/proc/{pid}/{name}"
                attempt(path, lambda: os.listdir(path) if name == "fd" else
                        os.readlink(path) if name in ("cwd", "root") else open(path, "rb").read(1))
            for number in range(64):
                attempt(f"fd {number} of {pid}", lambda: os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY))
        # what is left of the daemon in the memory of this process: what its ancestors began with, too
        for line in open("/proc/self/maps"):
            span, rights, *_, where = line.split(None, 5) + [""] * (6 - len(line.split(None, 5)))
            if where.strip() in ("[stack]", "[heap]") and "r" in rights:
                begin, end = (int(part, 16) for part in span.split("-"))
                if reversed_secret.encode() in ctypes.string_at(begin, end - begin)[::-1]:
                    got.append(["memory", where])
        for folder in folders:
            for at, inner, files in os.walk(folder):
                for name in files:
                    if name.endswith(".log"):  # of the test's
                        continue
                    path = os.path.join(at, name)
                    attempt(path, lambda: open(path, "rb").read(1))
                    attempt(f"write {path}", lambda: open(path, "r+b"))
                for each in (at, *(os.path.join(at, name) for name in inner)):
                    attempt(f"make a file in {each}", lambda: os.close(
                        os.open(os.path.join(each, "planted"), os.O_CREAT | os.O_WRONLY)))
        for line in open("/proc/net/unix").readlines()[1:]:
            words = line.split()
            path = words[7] if len(words) > 7 else ""
            if any(path.startswith(folder) for folder in folders):
                knock = socket.socket(socket.AF_UNIX)
                attempt(f"connect {path}", lambda: knock.connect(path))
        attempt("become root", lambda: os.setuid(0))
        attempt("take root's group", lambda: os.setgroups([0]))
        return got
    print(json.dumps(cluster.submit(attack, *json.loads(sys.argv[2])).result()))
"""


def test_a_task_that_means_harm(users: Users, site: Site) -> None:
    """It gets at nothing of another's worker, nor of the daemon, the warm process and the master.

    No descriptor, no environment, no memory, no file of theirs; it cannot signal or trace them, nor knock where not
    everybody may.
    """
    ann, bob = users.names
    sitting = users.home(ann) / "sitting"
    head = f"{HEAD}\nwith Cluster(socket=sys.argv[1]) as cluster:\n{textwrap.indent(textwrap.dedent(VICTIM), '    ')}"
    victim = users.start(ann, [sys.executable, "-c", head, site.socket, str(sitting)], stdin=-3)
    try:
        until(sitting.exists, "the victim's task runs")
        node, uid = daemon(site), users.ids(ann)[0]
        theirs = [child for child in node.children(recursive=True) if child.uids().real == uid]
        assert theirs
        others = [child.pid for child in node.children(recursive=True) if child.uids().real != users.ids(bob)[0]]
        pids = [node.pid, site.daemons[0].pid, *others, victim.pid]
        assert len(pids) >= 5  # the warm process too
        folders = [str(site.folder), str(users.home(ann))]
        got = program(users, site, bob, ATTACK, json.dumps([pids, folders, SECRET[::-1]]))
        knocked = {what.removeprefix("connect ") for what, _ in got if what.startswith("connect ")}
        assert [each for each in got if not each[0].startswith("connect ")] == []
        assert site.socket in knocked  # which the kernel tells who is there, as any other that is for everybody
        assert {stat.S_IMODE(os.stat(path).st_mode) for path in knocked} == {0o666}
        assert all(child.is_running() for child in theirs)
    finally:
        victim.kill()
        victim.wait()


def test_what_lies_in_the_folders(users: Users, site: Site) -> None:
    """Nothing that the daemons wrote can be read or changed by others, though all may look into what it lies in."""
    open_to_others = []
    for folder, inner, files in os.walk(site.folder):
        for path in [Path(folder, name) for name in (*files, *inner)]:
            mode = path.lstat().st_mode
            if path.suffix != ".log" and stat.S_IMODE(mode) & 0o077 and not stat.S_ISSOCK(mode):
                open_to_others.append(f"{path} {stat.S_IMODE(mode):o}")
    assert open_to_others == []


def submit(users: Users, site: Site, name: str, *words: str) -> int:
    """A detached job of that user's; its number."""
    code, text = command(users, site, name, "submit", *words)
    assert code == 0, text
    return int(text)


def info(users: Users, site: Site, name: str, job: int) -> dict[str, Any]:
    code, text = command(users, site, name, "job", "info", str(job), "--json")
    assert code == 0, text
    told: dict[str, Any] = json.loads(text)
    return told


RAW = """
import json, sys
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater, react
from asyncluster.model.messages import Cancel, Close, Forget, Kept, Task, Want
from asyncluster.model.peer import Role
from asyncluster.wire.connect import connect_unix

class Handler:
    def __init__(self):
        self.got = []
    def messages(self, messages):
        self.got += [type(each).__name__ for each in messages if type(each).__name__ != "Beat"]
    def verb(self, name, args):
        raise RuntimeError("no verbs here")
    def lost(self, reason):
        pass

async def run(reactor, path, job):
    handler, answered = Handler(), {}
    link = await connect_unix(reactor, path, Role.CLIENT, "raw", lambda link: handler)
    asks = {
        "detach": (0,), "attach": (), "job_tasks": (-1,), "job_info": (), "job_failed": (0,), "cancel_job": ([],),
        "drop_tasks": ([0],), "forget_job": (), "job_output": (0, 0, 0, 0), "pause_job": (), "resume_job": (),
        "explain": (0,), "come_back": (), "stuck": (),
    }
    for verb, rest in asks.items():
        try:
            answered[verb] = repr(await link.call(verb, job, *rest))
        except Exception:
            pass
    for verb, args in {"dismiss": ("a", "")}.items():
        try:
            answered[verb] = repr(await link.call(verb, *args))
        except Exception:
            pass
    answered["jobs"] = await link.call("jobs")
    link.send(Cancel(job, [0]), Want(job, [0]), Forget(job, [0]), Kept(job, 1), Task(job, 5, 1, 0, b"x"), Close(job))
    await link.call("terms")  # what comes before it has been dealt with
    await deferLater(reactor, 0.2)
    for verb in ("accounts", "elastic"):
        for args in (("list",), ("export", "", 10), ("show", "root"), ("hold", "a"), ("audit", 5)):
            try:
                answered[f"{verb} {args}"] = repr(await link.call(verb, *args))
            except Exception:
                pass
    print(json.dumps({"answered": answered, "heard": handler.got}))

react(lambda reactor: ensureDeferred(run(reactor, sys.argv[1], int(sys.argv[2]))))
"""


def test_a_job_is_its_owners_affair(users: Users, site: Site) -> None:
    """Others do not see it, its results, its output, or why it waits, and cannot steer it, attach to it, write into it.

    Not by the command line, and not with a client of their own make.  Nobody but root sees all.
    """
    ann, bob = users.names
    job = submit(users, site, ann, "--", "sh", "-c", "echo the secret of ann; until [ -e ~/go-on ]; do sleep 0.1; done")
    until(lambda: "the secret" in command(users, site, ann, "job", "output", str(job))[1], "its output is there")
    number = str(job)
    for words in (
        ("job", "cancel", number),
        ("job", "forget", number),
        ("job", "results", number),
        ("job", "output", number),
        ("explain", "task", number, "0"),
        ("user", "enable", bob),
    ):
        code, text = command(users, site, bob, *words)
        assert code != 0, (words, text)
        assert "secret" not in text
    code, text = command(users, site, bob, "job", "list", "--json")
    assert (code, [each for each in json.loads(text) if each["job"] == job]) == (0, [])
    raw = users.run(bob, RAW, site.socket, number)
    assert raw == {"answered": {"jobs": raw["answered"]["jobs"]}, "heard": []}
    assert [each for each in raw["answered"]["jobs"] if each["owner"] != bob] == []

    told = info(users, site, ann, job)
    assert (told["running"], told["done"], told["cancelled"], told["failed"]) == (1, 0, 0, 0)
    (users.home(ann) / "go-on").touch()
    until(lambda: info(users, site, ann, job)["done"] == 1, "it went on as if nothing had been")
    code, text = command(users, site, bob, "job", "results", number)
    assert code != 0, text
    from asyncluster import Cluster

    with Cluster(socket=site.socket) as cluster:
        assert [each.owner for each in cluster.jobs() if each.job == job] == [ann]


def test_a_state_folder_for_everybody(tmp_path: Path) -> None:
    """The master does not begin: others could put their files in the place of its own.  It says what mends that."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o1777)
    with Site(tmp_path) as other:
        master = other.start_master(wait=False)
        assert master.process.wait(60) == 1
        assert f"chmod 700 {tmp_path}/state" in master.text()
        (tmp_path / "state").chmod(0o700)
        other.start_master()


@contextlib.contextmanager
def node_of(users: Users, site: Site, person: str, **client: str) -> Iterator[Path]:
    """A node that a person started, with the feature `hers`; its log."""
    sections = site.sections(client.get("name", "hers"))
    del sections["client"]["run tasks as"]
    home = users.home(person)
    sections["client"] |= {"features": "hers", "state folder": str(home / "node"), "slots": "1", **client}
    config = site.config("hers", sections)
    shutil.chown(config, *users.ids(person))
    with (home / "node.log").open("wb") as log:
        process = users.start(
            person, [sys.executable, "-m", "asyncluster.node", "--config", str(config)], stdout=log, stderr=log
        )
    try:
        yield home / "node.log"
    finally:
        process.terminate()
        process.wait(60)


def test_a_node_that_a_person_started(users: Users, site: Site) -> None:
    """It runs that person's tasks as that person; another's wait."""
    ann, bob = users.names
    with node_of(users, site, ann) as log:
        until(lambda: "registered with the master" in log.read_text(), "it joined")
        waiting = submit(users, site, bob, "--patient", "--feature", "hers", "--", "id", "-u")
        job = submit(users, site, ann, "--feature", "hers", "--", "id", "-u")
        until(lambda: info(users, site, ann, job)["done"] == 1, "it runs Ann's")
        assert command(users, site, ann, "job", "output", str(job)) == (0, f"{users.ids(ann)[0]}\n")
        told = info(users, site, bob, waiting)
        assert (told["queued"], told["running"], told["done"], told["failed"]) == (1, 0, 0, 0)
        command(users, site, bob, "job", "forget", str(waiting))


def test_a_node_that_pretends(users: Users, site: Site) -> None:
    """With a person's own password it gets that person's tasks, whatever it claims, and not just any name."""
    ann, bob = users.names
    site.add_user(ann, OWN_PASSWORD)
    own = {"user": ann, "password": OWN_PASSWORD}
    for name in ("pretends", f"{bob}_here"):
        with node_of(users, site, ann, **own, name=name, **{"run tasks as": ann}) as log:
            until(lambda: f"begins with {ann}_" in log.read_text(), f"{name} is refused")
    # `run tasks as` has it say that it serves everybody
    with node_of(users, site, ann, **own, name=f"{ann}_here", **{"run tasks as": ann}) as log:
        until(lambda: "registered with the master" in log.read_text(), "it joined")
        waiting = submit(users, site, bob, "--patient", "--feature", "hers", "--", "id", "-u")
        job = submit(users, site, ann, "--feature", "hers", "--", "id", "-u")
        until(lambda: info(users, site, ann, job)["done"] == 1, "it runs Ann's")
        told = info(users, site, bob, waiting)
        assert (told["queued"], told["running"], told["done"], told["failed"]) == (1, 0, 0, 0)
        command(users, site, bob, "job", "forget", str(waiting))


def test_a_node_whose_python_is_shut_says_so_at_its_start(
    users: Users, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any task of an owner fails for it: the folder, and what opens it."""
    shut = users.folder / "shut"
    (shut / "lib").mkdir(parents=True)
    shut.chmod(0o700)
    path = [str(shut / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    node = site.start_node("shut", prefix=users.reach.prefix, client=OWNERS)
    assert f"not everybody may go through {shut}," in node.text()
    assert f"chmod o+x {shut})" in node.text()
    node.stop()
