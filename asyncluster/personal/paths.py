"""Where the files of personal mode are: folders by the XDG rules, private to one user.

Decides names only, save for `private_folder`, which makes a folder and refuses one of somebody else, and
`answers`, which knocks at a socket.  Knows nothing of configuration or processes.
"""

from __future__ import annotations

import os
import pwd
import socket
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import attrs

from asyncluster.errors import RefusedError
from asyncluster.people import user_name

SOCKET_NAME = "master.sock"
SOCKET_BYTES = 107
"""The longest path of a UNIX socket in Linux; the 108th byte closes it."""


@attrs.frozen
class Places:
    """The folders of one personal master.

    config: passwords and settings; state: logs, certificate, the book of processes; runtime: the socket.
    """

    config: Path
    state: Path
    runtime: Path

    @property
    def conf(self) -> Path:
        """The master's configuration."""
        return self.config / "personal.conf"  # asyncluster.conf beside it is the person's own, as /etc's

    @property
    def elastic(self) -> Path:
        """Its pools of nodes, where it has any: beside its configuration, where a master looks for them."""
        return self.conf.with_suffix(".yaml")

    @property
    def socket(self) -> str:
        """Where clients on this machine connect."""
        return str(self.runtime / SOCKET_NAME)

    def node_conf(self, name: str) -> Path:
        """The configuration of one node of this machine."""
        return self.config / "nodes" / f"{name}.conf"

    def log(self, name: str) -> Path:
        """The log of one service."""
        return self.state / f"{name}.log"


def places(environ: Mapping[str, str], uid: int) -> Places:
    """The folders of the user's own personal master; makes none of them."""
    home = environ.get("HOME") or _home(uid)
    config = _base(environ, "XDG_CONFIG_HOME", home, ".config") / "asyncluster"
    state = _base(environ, "XDG_STATE_HOME", home, ".local/state") / "asyncluster" / "personal"
    base = environ.get("XDG_RUNTIME_DIR", "")
    runtime = Path(base) / "asyncluster" if os.path.isabs(base) and os.path.isdir(base) else state / "run"
    if len(os.fsencode(runtime / SOCKET_NAME)) > SOCKET_BYTES:
        runtime = Path(f"/tmp/asyncluster-{uid}")  # noqa: S108 (made 0700 and ours, or refused)
    return Places(config, state, runtime)


def below(folder: Path) -> Places:
    """Folders of a personal master that has nothing to do with the user's own; for programs and demonstrations."""
    return Places(folder / "config", folder / "state", folder)


def _base(environ: Mapping[str, str], name: str, home: str, default: str) -> Path:
    # The XDG rules: a relative path is to be ignored.
    given = environ.get(name, "")
    return Path(given) if os.path.isabs(given) else Path(home, default)


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return f"/tmp/asyncluster-{uid}"  # noqa: S108 (made 0700 and ours, or refused)


def run_tasks_as(uid: int) -> str:
    """Whom a personal node of this user names as the user of all tasks.

    A node of a person serves that person anyway; one of root would have to become each owner, and never
    runs tasks as root unless told so by name: in a container, where there is nobody else, we tell it.
    """
    return user_name(uid) if uid == 0 else ""


def private_folder(path: Path, uid: int) -> None:
    """Make a folder that only its owner can enter, or prove that it is one.

    Raises RefusedError when it belongs to somebody else, is a link, or cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        seen = path.lstat()
    except OSError as error:
        raise RefusedError(
            f"cannot make the folder {path}: {error.strerror}; "
            "set XDG_CONFIG_HOME, XDG_STATE_HOME and XDG_RUNTIME_DIR to folders of yours"
        ) from error
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != uid:
        raise RefusedError(f"{path} is not a folder of user {uid}; remove it, or set XDG_RUNTIME_DIR to one of yours")
    if stat.S_IMODE(seen.st_mode) & 0o077:
        path.chmod(0o700)


def temporary_base(below: str) -> str:
    """The folder for temporary folders, or /tmp where that has no room for a socket.

    below: what follows it in the socket's path, as long as it may become.
    """
    base = tempfile.gettempdir()
    room = SOCKET_BYTES - len(os.fsencode(f"/{below}"))
    return base if len(os.fsencode(base)) <= room else "/tmp"  # noqa: S108 (what is made there is made by mkdtemp: 0700)


def answers(path: str) -> bool:
    """Whether something listens at that UNIX socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(1.0)
        try:
            knock.connect(path)
        except OSError:
            return False
    return True


def find(environ: Mapping[str, str] | None = None) -> str | None:
    """The socket of a master that runs for this user, or None when none does.

    `$ASYNCLUSTER_SOCKET`, else the personal one, else that of the configuration (`[common] socket`).  Raises
    ConfigError for a configuration with faults.
    """
    environ = os.environ if environ is None else environ
    named = environ.get("ASYNCLUSTER_SOCKET")
    if named:
        return named
    path = places(environ, os.getuid()).socket
    if _ours(path, os.getuid()) and answers(path):
        return path
    configured = configured_socket(environ)
    return configured if configured and answers(configured) else None


def nobody(environ: Mapping[str, str] | None = None) -> str:
    """A sentence for when `find` finds none: where it was looked for."""
    from asyncluster.config.load import find as find_file

    environ = os.environ if environ is None else environ
    text = "no master of yours runs on this machine"
    configured = configured_socket(environ)
    if not configured:
        return text
    path = find_file(environment=environ, skip_unreadable=True)
    return (
        f"{text}, and none answers at {configured} ([common] socket of {path}); should it run here, its log says why "
        "it does not"
    )


def _ours(path: str, uid: int) -> bool:
    """Whether nobody but us could have put that socket there: a client believes what its master says."""
    try:
        folder, there = os.lstat(os.path.dirname(path)), os.lstat(path)
    except OSError:
        return False
    return folder.st_uid == uid and not folder.st_mode & 0o022 and there.st_uid == uid


def configured_socket(environ: Mapping[str, str]) -> str:
    """`[common] socket` of the configuration file that holds here; "" where there is none.  Raises ConfigError."""
    from asyncluster.config.load import find as find_file

    path = find_file(environment=environ, skip_unreadable=True)
    if path is None:
        return ""
    from asyncluster.config.load import load  # the models take a while, and few people have a file

    return load(path, need="client").common.socket
