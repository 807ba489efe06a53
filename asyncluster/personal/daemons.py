"""The personal master and its nodes as daemons: start, list, stop.  `asyncluster up` and `down` are made of this.

A process is ours only when a pid file of ours names it, it belongs to us and its command line names our
configuration file: only then is it signalled.  Whether nodes have registered is for clients to ask.
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from asyncluster.errors import MasterNotFoundError, RefusedError
from asyncluster.inherited import LISTEN_FD
from asyncluster.personal import files
from asyncluster.personal.options import differences
from asyncluster.personal.paths import Places, answers, private_folder, run_tasks_as
from asyncluster.personal.spawn import failed, launch, listen, twistd, wait_until_ready

START_SECONDS = 30.0
LAST_SECONDS = 5.0
MASTER = "master"


@attrs.frozen
class Daemon:
    """One service of this cluster that runs on this machine; name: "master", or the node's."""

    name: str
    pid: int
    log: Path


def up(
    places: Places,
    nodes: int | None,
    slots: int | None,
    subnets: str = "",
    inherited: Mapping[str, int] | None = None,
    elastic: str | None = None,
) -> list[Daemon]:
    """Start what is missing of a master and so many nodes; returns all daemons that run.

    Nodes of a master that was killed go on and look for it: they have tasks and results, join the new one, and count.
    Of a master that runs those nodes are started again that were killed, or `nodes` where it has none.
    nodes: None for as many as there were, at least one where no pool provides them; slots: tasks at a time of each node
    that is started, None for what it had, else one per core; subnets: who else may connect ("" keeps what was);
    inherited: descriptors for all that are started, by environment variable; elastic: the text of the file with
    the pools ("" none, None as before).
    Raises StartFailedError with the end of a log; RefusedError for folders that cannot be ours.
    """
    with _alone(places):
        if answers(places.socket):
            _start_missing(places, nodes, slots, inherited or {})
            return running(places)
        for name in _killed(places):
            (places.state / f"{name}.pid").unlink()
        _stop(places, [daemon for daemon in running(places) if daemon.name == MASTER], 5.0)  # it does not answer
        with contextlib.ExitStack() as held:
            inherited = inherited or {}
            before = _settings(places)
            _keep_elastic(places, elastic)
            settings, fds = _prepare(places, subnets, held)
            kept = _kept(places, before, settings)
            names = [MASTER, *_free_names(kept, _count(places, nodes) - len(kept))]
            started = [_start(places, MASTER, {**inherited, **fds})]
            started += [_start_node(places, settings, name, slots, inherited) for name in names[1:]]
        try:
            _settle(places, started)
        except BaseException:
            _stop(places, [daemon for daemon in running(places) if daemon.name in names], 5.0)
            raise
        return running(places)


def _keep_elastic(places: Places, text: str | None) -> None:
    """Write or remove the file with the pools; None leaves what is there."""
    private_folder(places.config, os.getuid())
    if text:
        files.write_private(places.elastic, text)
    elif text is not None:
        places.elastic.unlink(missing_ok=True)


def has_pools(places: Places, text: str = "") -> bool:
    """Whether there is a file with pools; text: whether it is this one."""
    try:
        found = places.elastic.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return not text or found == text


def other_pools(places: Places, text: str) -> list[str]:
    """In what the file with pools differs from this one, a sentence for each option; "" stands for no pools."""
    if not text:
        return ["--batch none: the master runs with pools"]
    if not has_pools(places):
        return ["--batch: the master runs without pools"]
    now = places.elastic.read_text(encoding="utf-8")
    return differences(now, text) or ["--batch: the master runs with other pools"]


def _count(places: Places, nodes: int | None) -> int:
    """How many nodes there are to be."""
    if nodes is not None:
        return nodes
    return 0 if has_pools(places) else 1


def _start_missing(places: Places, nodes: int | None, slots: int | None, inherited: Mapping[str, int]) -> None:
    """Nodes for a master that runs, and whose own were killed."""
    settings = _settings(places)
    if settings is None:
        return
    present = {daemon.name for daemon in running(places)} - {MASTER}
    names = _killed(places)[: None if nodes is None else max(0, nodes - len(present))]
    if not present:
        names += _free_names(set(names), _count(places, nodes) - len(names))
    kept = {name: _key(places.node_conf(name), "client", "slots") for name in names}
    started = [
        _start_node(places, settings, name, slots or (int(had) if had.isdecimal() else None), inherited)
        for name, had in kept.items()
    ]
    if started:
        _settle(places, started)


def _killed(places: Places) -> list[str]:
    """Nodes that left their pid file behind, which one that ends, or is stopped, does not."""
    alive = {daemon.name for daemon in running(places)}
    return sorted(path.stem for path in places.state.glob("*.pid") if path.stem not in {*alive, MASTER})


def _kept(places: Places, before: files.Settings | None, now: files.Settings) -> set[str]:
    """The nodes of an earlier master that will find this one; others, which would look in vain, are stopped."""
    left = running(places)
    if before is not None and (before.port, before.user, before.passwords) == (now.port, now.user, now.passwords):
        return {daemon.name for daemon in left}
    _stop(places, left, 5.0)
    return set()


def add_node(places: Places, slots: int | None) -> str:
    """Start one more node on this machine for the master that runs; returns the node's name."""
    with _alone(places):
        if not answers(places.socket):
            raise MasterNotFoundError("no personal master runs here")
        settings = _settings(places)
        if settings is None:
            raise RefusedError(
                f"{places.conf} cannot be read; `asyncluster down`, then `asyncluster up` writes it anew"
            )
        (name,) = _free_names({daemon.name for daemon in running(places)}, 1)
        _settle(places, [_start_node(places, settings, name, slots, {})])
        return name


def down(places: Places, seconds: float) -> tuple[list[Daemon], list[Daemon]]:
    """Stop the nodes, then the master; running tasks may finish within `files.DRAIN_SECONDS`.

    seconds: how long to wait before those that are left are killed; a master whose nodes took all of it gets
    LAST_SECONDS more for its good-byes.  Returns all that ran, and those killed.
    """
    deadline = time.monotonic() + seconds
    with _alone(places):
        found = running(places)
        nodes = [daemon for daemon in found if daemon.name != MASTER]
        master = [daemon for daemon in found if daemon.name == MASTER]
        killed = _stop(places, nodes, seconds)
        rest = max(deadline - time.monotonic(), min(seconds, LAST_SECONDS))
        return found, killed + _stop(places, master, rest)


def running(places: Places) -> list[Daemon]:
    """The daemons of this cluster on this machine, master first."""
    found = []
    for path in sorted(places.state.glob("*.pid"), key=lambda path: (path.stem != MASTER, path.stem)):
        with contextlib.suppress(OSError, ValueError):
            pid = int(path.read_text())
            if _is_ours(pid, _conf(places, path.stem)):
                found.append(Daemon(path.stem, pid, places.log(path.stem)))
    return found


def refuses(places: Places, subnets: str) -> str:
    """The networks from which the master that runs lets others in, where they are not these; "" where they are."""
    settings = _settings(places)
    now = settings.subnets if settings else ""
    return "" if _words(now) == _words(_with_ourselves(subnets)) else now


def elsewhere(places: Places) -> list[str]:
    """The names for which `for_other_machine` wrote a configuration."""
    return sorted(path.stem for path in (places.config / "elsewhere").glob("*.conf"))


def for_other_machine(places: Places, host: str, name: str) -> Path:
    """Write the configuration that a node on another machine needs; returns where.

    host: how that machine reaches this one.  Raises RefusedError while the master listens to this machine only,
    and for names that cannot be a node's and a host's: both become words of a file and of a command line.
    """
    _check_names(host, name)
    settings = _settings(places)
    if settings is None:
        raise MasterNotFoundError("no personal master was ever started here")
    if settings.subnets == files.LOOPBACK:
        raise RefusedError(
            "the personal master listens to this machine only; "
            "`asyncluster down`, then `asyncluster up --subnets NETWORK/BITS` opens it to a network"
        )
    path = places.config / "elsewhere" / f"{name}.conf"
    private_folder(path.parent, os.getuid())
    files.write_private(path, files.node_text(attrs.evolve(settings, host=host), name, None))
    return path


def _check_names(host: str, name: str) -> None:
    from asyncluster.config import fields  # with the models' library, which takes a while

    try:
        if not fields.node_name(name):
            raise ValueError("a node's name cannot be empty")  # noqa: TRY301 (told as what the check itself finds)
        fields.host(host)
    except ValueError as error:
        raise RefusedError(str(error)) from None


def _prepare(places: Places, subnets: str, held: contextlib.ExitStack) -> tuple[files.Settings, dict[str, int]]:
    """Folders, passwords and the port.  Passwords and port of an earlier run stay, so that other machines still fit."""
    uid = os.getuid()
    for folder in (places.config, places.state, places.runtime, places.config / "nodes"):
        private_folder(folder, uid)
    before = _settings(places)
    subnets = _with_ourselves(subnets) if subnets else (before.subnets if before else files.LOOPBACK)
    port = held.enter_context(listen(before.port if before else 0))
    settings = files.Settings(
        socket=places.socket,
        state=places.state,
        port=port.getsockname()[1],
        passwords=before.passwords if before else files.make_passwords(),
        user=before.user if before else "nodes",
        subnets=subnets,
        run_as=run_tasks_as(uid),
    )
    files.write_private(places.conf, files.master_text(settings))
    if subnets == files.LOOPBACK:
        return settings, {LISTEN_FD: port.fileno()}
    port.close()  # the master opens it itself, on all interfaces
    return settings, {}


def _with_ourselves(subnets: str) -> str:
    """The networks asked for, and this machine, where our own nodes are.  Raises ConfigError before all is written."""
    from asyncluster.wire.subnets import parse

    parse(subnets)
    given = [word.strip() for word in subnets.split(",")]
    return ", ".join([*(word.strip() for word in files.LOOPBACK.split(",") if word.strip() not in given), *given])


def _words(subnets: str) -> set[str]:
    return {word.strip() for word in subnets.split(",")}


def _settings(places: Places) -> files.Settings | None:
    """What an earlier `up` has written; None when there is nothing of use."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(places.conf.read_text(encoding="utf-8"))
        common, client = parser["common"], parser["client"]
        return files.Settings(
            socket=places.socket,
            state=places.state,
            port=int(common["tcp port"]),
            passwords=files.Passwords(client["password"], common["server password"]),
            user=client["user"],
            subnets=parser["server"]["subnets"],
        )
    except (OSError, ValueError, KeyError, configparser.Error):
        return None


def _key(conf: Path, section: str, key: str) -> str:
    """What a file of ours says now; "" when nothing."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(conf.read_text(encoding="utf-8"))
        return parser.get(section, key, fallback="")
    except (OSError, ValueError, configparser.Error):
        return ""


def _conf(places: Places, name: str) -> Path:
    return places.conf if name == MASTER else places.node_conf(name)


def _start_node(
    places: Places, settings: files.Settings, name: str, slots: int | None, fds: Mapping[str, int]
) -> tuple[subprocess.Popen[bytes], Path]:
    kept = _key(places.node_conf(name), "client", "output limit")  # whoever changed it wants it changed for good
    text = files.node_text(settings, name, slots, run_tasks_as(os.getuid()), places.state / name, kept)
    files.write_private(places.node_conf(name), text)
    return _start(places, name, fds)


def _start(places: Places, name: str, fds: Mapping[str, int]) -> tuple[subprocess.Popen[bytes], Path]:
    pid_file = places.state / f"{name}.pid"
    # twistd would take whatever has that number now for itself.
    pid_file.unlink(missing_ok=True)
    kind = "asyncluster-master" if name == MASTER else "asyncluster-node"
    log = places.log(name)
    return launch(twistd(kind, _conf(places, name), pid_file, log, places.state), log, fds), log


def _settle(places: Places, started: list[tuple[subprocess.Popen[bytes], Path]]) -> None:
    """Each twistd goes into the background and then ends with 0; the master answers."""
    try:
        wait_until_ready(places.socket, started, START_SECONDS)
        for process, log in started:
            _wait_for_background(process, log)
    except BaseException:
        for process, _log in started:
            if process.poll() is None:
                process.kill()
                process.wait()
        raise


def _wait_for_background(process: subprocess.Popen[bytes], log: Path) -> None:
    try:
        code = process.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        raise failed(f"a service is not ready after {START_SECONDS:.0f} s", log) from None
    if code:
        raise failed(f"a service ended with code {code} instead of starting", log)


def _free_names(taken: set[str], count: int) -> list[str]:
    """The first so many names that no node has."""
    free = (name for name in map("local-{}".format, itertools.count(1)) if name not in taken)
    return list(itertools.islice(free, max(0, count)))


def _is_ours(pid: int, conf: Path) -> bool:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            return False
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = re.search(r"\) (\S)", Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except OSError:
        return False
    return os.fsencode(conf) in words and state is not None and state[1] != "Z"


def _stop(places: Places, daemons: list[Daemon], seconds: float) -> list[Daemon]:
    """Ask them all to end, wait, kill the rest; returns those that were killed."""
    for daemon in daemons:
        _signal(places, daemon, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    left = daemons
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [daemon for daemon in left if _is_ours(daemon.pid, _conf(places, daemon.name))]
    for daemon in left:
        _signal(places, daemon, signal.SIGKILL)
    for daemon in daemons:
        (places.state / f"{daemon.name}.pid").unlink(missing_ok=True)
    return left


def _signal(places: Places, daemon: Daemon, number: int) -> None:
    if _is_ours(daemon.pid, _conf(places, daemon.name)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon.pid, number)


@contextlib.contextmanager
def _alone(places: Places) -> Iterator[None]:
    """One `up` or `down` at a time."""
    private_folder(places.state, os.getuid())
    with open(os.open(places.state / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
