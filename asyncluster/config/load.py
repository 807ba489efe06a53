"""Finds asyncluster.conf, reads it, and refuses one whose secrets others can get at.

The only part of the configuration that touches files and asks the machine; what the text means is
decided in `explain.py`.
"""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import stat
from collections.abc import Mapping

from asyncluster.config.base_conf import Here, Need, Settings
from asyncluster.config.explain import ConfigFaultsError, ExposedFaultsError, examine
from asyncluster.config.ini import Fault
from asyncluster.errors import ConfigError
from asyncluster.people import user_name

SYSTEM_FILE = "/etc/asyncluster.conf"
_LARGEST = 1 << 20  # bytes; nobody writes more by hand


def find(
    path: str | None = None, *, environment: Mapping[str, str] | None = None, skip_unreadable: bool = False
) -> str | None:
    """The configuration file to use: the named one, $ASYNCLUSTER_CONF, the person's, the system's, or None.

    The named one and that of the environment are returned whether or not they exist, so that `load` can
    complain.  skip_unreadable: pass over files that we may not read, as a client does with a
    system file that is only for the service.
    """
    environment = os.environ if environment is None else environment
    named = path or environment.get("ASYNCLUSTER_CONF")
    if named:
        return os.path.expanduser(named)
    own = os.path.join(_xdg(environment, "XDG_CONFIG_HOME", ".config"), "asyncluster", "asyncluster.conf")
    for candidate in (own, SYSTEM_FILE):
        if os.path.lexists(candidate) and not (skip_unreadable and not os.access(candidate, os.R_OK)):
            return candidate
    return None


def load(path: str, *, need: Need, here: Here | None = None) -> Settings:
    """Settings from a configuration file.

    need: what is being started ("master", "node" or "client"), which decides what the file must give;
    here: the machine, looked up when not given.  Raises ConfigError with all faults (attribute
    `faults`); SecretExposedError when one of them is that others can read or change the secrets in it.
    """
    text, status = read_text(path)
    findings = examine(text, path, need, here or look_around())
    exposed = exposure(path, status, os.geteuid()) if findings.secrets else ""
    if exposed:
        raise ExposedFaultsError((Fault(path, exposed), *findings.faults))
    if findings.settings is None:
        raise ConfigFaultsError(findings.faults)
    return findings.settings


def look_around(environment: Mapping[str, str] | None = None) -> Here:
    """What this machine and this person give to the configuration."""
    environment = os.environ if environment is None else environment
    if environment.get("STATE_DIRECTORY"):  # systemd's StateDirectory=; several are parted by colons
        state = environment["STATE_DIRECTORY"].split(":")[0]
    elif os.geteuid() == 0:
        state = "/var/lib/asyncluster"
    else:
        state = os.path.join(_xdg(environment, "XDG_STATE_HOME", ".local/state"), "asyncluster")
    return Here(host=socket.gethostname(), cores=len(os.sched_getaffinity(0)), home=_home(environment), state=state)


def exposure(path: str, status: os.stat_result, me: int) -> str:
    """Why a file with secrets is not safe where it lies, with the command that mends it; "" when it is safe.

    It has to belong to us (the user id `me`) or to root, and only they may write to it.  Its group may
    read it, since /etc/asyncluster.conf of a service with a user of its own is root:asyncluster 0640.
    """
    file = shlex.quote(path)
    mode = stat.S_IMODE(status.st_mode)
    wrong = []
    mend = []
    if status.st_uid not in (0, me):
        wrong.append(f"belongs to {user_name(status.st_uid)}, who could change it")
        mend.append(f"chown {user_name(me)} {file}")
    if mode & 0o037:  # all but reading by the group
        who = "everybody" if mode & 0o007 else "its group"
        wrong.append(f"can be {'changed' if mode & 0o022 else 'read'} by {who}")
        mend.append(f"chmod {'640' if status.st_uid == 0 and status.st_gid != 0 else '600'} {file}")
    return (
        f"holds secrets but {' and '.join(wrong)} (mode {mode:04o}); mend it with: {' && '.join(mend)}" if wrong else ""
    )


def read_text(path: str, sample: str = "asyncluster.conf") -> tuple[str, os.stat_result]:
    """The text of a file, and who may read it: of the very file that was read, whatever the name means later.

    sample: the file in etc/ to begin with where there is none.  Raises ConfigError.
    """
    try:
        # Not to wait for a writer when somebody names a FIFO.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _fault(
            path, f"cannot be read: {getattr(error, 'strerror', None) or error}{_advice(error, sample)}"
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
            raise _fault(path, f"is {kind}; name the configuration file itself")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(_LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST:
        raise _fault(path, "is larger than 1 MiB; this is no configuration file")
    try:
        return data.decode("utf-8-sig"), status
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _fault(path, "is not UTF-8 here; save the file as UTF-8", line) from None


def template_text(path: str, place: str) -> str:
    """The text of a template that a configuration names: an ordinary file of at most 1 MiB; place: the key, for people.

    Raises ConfigError.
    """
    why = ""
    try:
        # Not to wait for a writer when somebody names a FIFO.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                data = file.read(_LARGEST + 1)
                why = "it is larger than 1 MiB" if len(data) > _LARGEST else ""
            else:
                data, why = b"", "it is no ordinary file"
        text = "" if why else data.decode("utf-8")
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    if why:
        raise ConfigError(f"{place}: {path} cannot be read: {why}")
    return text


def _fault(path: str, problem: str, line: int = 0) -> ConfigFaultsError:
    return ConfigFaultsError((Fault(path, problem, line=line),))


def _advice(error: Exception, sample: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"; begin with a copy of the etc/{sample} that comes with AsynCluster"
    if isinstance(error, PermissionError):
        return (
            "; a service's file belongs to its user or its group (chgrp asyncluster, chmod 640), "
            "a client may name another file in $ASYNCLUSTER_CONF"
        )
    return ""


def _xdg(environment: Mapping[str, str], variable: str, otherwise: str) -> str:
    """A folder of the XDG rules, which say that a relative one counts as not given."""
    folder = environment.get(variable, "")
    return folder if folder.startswith("/") else os.path.join(_home(environment), otherwise)


def _home(environment: Mapping[str, str]) -> str:
    home = environment.get("HOME", "")
    if home.startswith("/"):
        return home
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/"
