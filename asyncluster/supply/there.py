"""What is done on a machine of a pool of type `hosts`: this very text is sent over ssh and run there, with one order.

So it needs nothing but a Python, and the machine's AsynCluster may be another release.  The order, which holds
passwords, comes behind the text on the same standard input: on no command line and in no environment.

One folder a node, `FOLDER/HOST NAME/NODE/` (homes may be shared by machines), made before its process is: `order.json`
(what was ordered, with its token), `node.conf`, `pid`, `node.log`.  A process is ours only when its command line names
our node.conf.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

MARK = "asyncluster-there: "
"""What the one line of our answer begins with; login scripts may say what they like before it."""

KEPT = 3600.0
"""Seconds for which a node that has ended is told of, and its log kept."""

PATIENCE = 10.0
"""Seconds beyond its drain limit after which a node that was asked to end is killed."""

MASTER, FOLDER = "@MASTER@", "@FOLDER@"
"""In a node's configuration: the address that this ssh came from; the node's own folder."""


class RefusedThereError(Exception):
    """The order cannot be carried out here, and why."""


def main(order: dict[str, Any]) -> None:
    """Carry one order out and print the answer, which has one key: nodes, node, busy (a name) or fault (a text)."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it is another machine's
        answer = {"fault": f"Python {platform.python_version()} is too old for AsynCluster, which needs 3.11"}
    else:
        try:
            answer = _answer(order)
        except (OSError, RefusedThereError) as error:
            answer = {"fault": str(error)}
    print(MARK + json.dumps(answer), flush=True)


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    folder = _home(order["folder"])
    with open(os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        nodes = _nodes(folder)
        if order["do"] == "launch":
            return _launch(folder, nodes, order)
        if order["do"] == "destroy":
            _destroy(os.path.join(folder, order["name"]), order)
            nodes = _nodes(folder)
        return {"nodes": nodes}


def _home(path: str) -> str:
    """This machine's folder, ours alone."""
    base = os.path.expanduser(path)
    folder = os.path.join(base, os.uname().nodename)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for each in (base, folder):
        found = os.stat(each)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise RefusedThereError(
                f"{each} belongs to somebody else, or others may write to it; give the pool another `folder`"
            )
    return folder


def _nodes(folder: str) -> list[dict[str, Any]]:
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    return [node for node in (_node(os.path.join(folder, name)) for name in names) if node is not None]


def _node(folder: str) -> dict[str, Any] | None:
    """What is known of one; None = nothing is left of it."""
    try:
        with open(os.path.join(folder, "order.json"), encoding="utf-8") as file:
            words = json.load(file)
    except (OSError, ValueError):
        return None
    pid, ending = _pid(folder), os.path.exists(os.path.join(folder, "ending"))
    if pid is None and _is_over_for_long(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    state = "gone" if pid is None else "deleting" if ending else "active"
    ended = "it has ended as it was asked to" if ending else _last_words(folder)
    said = f"process {pid}" if pid is not None else ended
    return dict(words, name=os.path.basename(folder), state=state, said=said)


def _is_over_for_long(folder: str) -> bool:
    """Of one without a process; its passwords go at once."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder, "node.conf"))
    over = os.path.join(folder, "over")
    if not os.path.exists(over):
        _write(over, "")
    return abs(time.time() - os.stat(over).st_mtime) > KEPT


def _last_words(folder: str) -> str:
    try:
        with open(os.path.join(folder, "node.log"), "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4000))
            lines = file.read().decode(errors="replace").splitlines()[-3:]
    except OSError:
        lines = []
    return "\n".join(["its process has ended; it wrote last:", *lines]) if lines else "its process has ended"


def _launch(folder: str, nodes: list[dict[str, Any]], order: dict[str, Any]) -> dict[str, Any]:
    here = os.path.join(folder, order["name"])
    for node in nodes:
        begun = node["state"] != "gone" or os.path.exists(os.path.join(folder, node["name"], "pid"))
        if node["token"] == order["words"]["token"] and begun:
            return {"node": node}
        if node["state"] != "gone":
            return {"busy": node["name"]}
    shutil.rmtree(here, ignore_errors=True)
    os.mkdir(here, 0o700)
    _write(os.path.join(here, "order.json"), json.dumps(order["words"]))
    conf = os.path.join(here, "node.conf")
    if order["config_file"]:
        os.symlink(os.path.expanduser(order["config_file"]), conf)
    else:
        came_from = os.environ.get("SSH_CONNECTION", "127.0.0.1").split()[0]
        _write(conf, order["conf"].replace(MASTER, came_from).replace(FOLDER, here))
    _start(here, conf, order["environment"])
    return {"node": _node(here)}


def _start(here: str, conf: str, environment: dict[str, Any]) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASYNCLUSTER_", "SSH_"))}
    log = os.open(os.path.join(here, "node.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "asyncluster.node", "--config", conf],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=here,
            env=dict(kept, **environment),
            start_new_session=True,  # it outlives this connection
        )
    finally:
        os.close(log)
    _write(os.path.join(here, "pid"), str(process.pid))
    end = time.monotonic() + PATIENCE
    while process.poll() is None and not _runs(process.pid, conf) and time.monotonic() < end:
        time.sleep(0.01)  # it has no command line as yet


def _destroy(folder: str, order: dict[str, Any]) -> None:
    pid = _pid(folder)
    if pid is None:
        return
    asked = os.path.join(folder, "ending")
    try:
        since = os.stat(asked).st_mtime
    except OSError:
        _write(asked, "")
        os.kill(pid, signal.SIGTERM)
        return
    # either way: a clock that was set back must not keep it alive for ever
    if abs(time.time() - since) > order["drain_limit"] + PATIENCE:
        os.killpg(pid, signal.SIGKILL)  # it was made the leader of a session


def _pid(folder: str) -> int | None:
    """The node's process; also of one whose number was not written down, because we were killed just then."""
    conf = os.path.join(folder, "node.conf")
    try:
        with open(os.path.join(folder, "pid"), encoding="ascii") as file:
            pid = int(file.read())
    except (OSError, ValueError):
        numbers = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return next((pid for pid in numbers if _runs(pid, conf)), None)
    return pid if _runs(pid, conf) else None


def _runs(pid: int, conf: str) -> bool:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return False
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsencode(conf) in file.read().split(b"\0")  # which is empty of a zombie
    except OSError:
        return False


def _write(path: str, text: str) -> None:
    """A file that only we can read, whole or not at all."""
    fresh = path + ".new"
    with contextlib.suppress(OSError):
        os.unlink(fresh)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(fresh, path)
