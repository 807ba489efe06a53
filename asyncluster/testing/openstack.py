"""A real OpenStack on loopback: keystone, placement, glance, neutron and nova on MariaDB, whose servers are namespaces.

Everything is ours alone: a folder, free ports, a virtual environment that `bin/test` makes out of
`test/openstack/requirements.txt`.  A dump of freshly made databases spares their making.  Needs root.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import lzma
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs

from asyncluster.testing import hosts

LIMIT = 300.0
"""Seconds after which a service that does not come is given up."""

SERVICES = ("keystone", "placement", "glance", "neutron", "nova")
DATABASES = ("keystone", "placement", "glance", "neutron", "nova_api", "nova_cell0", "nova_cell1")
SEED = "seed.sql.xz"
NETWORK = "10.78.0"
"""Of the servers; the bridge that they hang on has the address .1 in it, in the namespace of the tests."""

USER, PASSWORD, PROJECT, SMALL = "burst", "secret-of-burst", "site", "small"
"""An account, its project, and another one that may have one server only."""

IMAGE = "6f1d7a10-2c52-4d0b-9f5e-3d1b8f5c0a01"

PORTS = {"keystone": 15000, "placement": 18778, "glance": 19292, "neutron": 19696, "nova": 18774}
"""As the dump has them."""

_APPLICATIONS = {
    "keystone": ("keystone.server.wsgi", "keystone.wsgi.api:application", "--config-file", "{folder}/keystone.conf"),
    "placement": ("placement.deploy", "placement.wsgi.api:application"),
    "glance": ("glance.common.wsgi_app", "glance.wsgi.api:application"),
    "neutron": ("neutron.server", "neutron.wsgi.api:application", "--config-file", "{folder}/neutron.conf"),
}
"""What of each is imported first, and what serves it; see test/openstack/serve.py."""


def missing(scripts: Path) -> str:
    """Why it cannot run here; "" = it can.  scripts: the folder test/openstack."""
    if hosts.missing():
        return hosts.missing()
    for program in ("mariadbd", "mariadb-install-db", "mariadb"):
        if not shutil.which(program):
            return f"OpenStack needs {program} (Debian packages mariadb-server-core and mariadb-client-core)"
    if not (venv_of(scripts) / "bin" / "python").exists():
        return f"there is no {venv_of(scripts).name}; bin/test makes it"
    return ""


def venv_of(scripts: Path) -> Path:
    """The services' own virtual environment."""
    return scripts.parent.parent / ".venv-openstack"


@attrs.define(eq=False)
class ControlPlane:
    """All services; use as a context manager.

    scripts: the folder test/openstack; seeded: restore its dump, and start; ports: by service.
    """

    scripts: Path
    seeded: bool = True
    ports: dict[str, int] = attrs.field(factory=lambda: _free_ports(SERVICES))
    folder: Path = attrs.field(init=False)
    bridge: str = attrs.field(init=False, factory=lambda: f"os{os.getpid()}")
    _connections: dict[str, Any] = attrs.field(init=False, factory=dict)
    daemons: dict[str, subprocess.Popen[bytes]] = attrs.field(init=False, factory=dict)

    def __enter__(self) -> ControlPlane:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix="openstack-"))  # short: a socket lies in it
        try:
            self._configure()
            if self.seeded:
                for name in SERVICES:  # each imports for seconds before it needs a database
                    self.start(name)
            self._start_database()
            if self.seeded:
                self._restore()
                self.ready.touch()
                for name in SERVICES:
                    self.wait_for(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for name in reversed(list(self.daemons)):
            self.stop(name)
        _end_network(self.bridge)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def ready(self) -> Path:
        """There once the databases are filled; the services wait for it."""
        return self.folder / "ready"

    @property
    def auth_url(self) -> str:
        """Of keystone."""
        return self.url("keystone") + "/v3"

    def url(self, name: str) -> str:
        """Of a service, without what its catalog adds."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def log(self, name: str) -> str:
        """What a service has printed and logged."""
        paths = (self.folder / f"{name}.out", self.folder / f"{name}.log")
        return "\n".join(path.read_text(errors="replace") for path in paths if path.exists())

    # Services

    def start(self, name: str) -> None:
        """Begin one that does not run."""
        python, port = str(venv_of(self.scripts) / "bin" / "python"), str(self.ports[name])
        if name == "nova":
            paste = venv_of(self.scripts) / "etc" / "nova" / "api-paste.ini"
            command = [python, str(self.scripts / "nova_all.py"), port, str(self.folder / "nova.conf"), str(paste)]
        else:
            words = (word.format(folder=self.folder) for word in _APPLICATIONS[name])
            command = [python, str(self.scripts / "serve.py"), port, *words]
        self._spawn(name, command)

    def wait_for(self, name: str) -> None:
        """Until it answers."""
        end = time.monotonic() + LIMIT
        while True:
            with contextlib.suppress(OSError), contextlib.closing(socket.socket()) as probe:
                probe.connect(("127.0.0.1", self.ports[name]))
                return
            if self.daemons[name].poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{name} does not come:\n{self.log(name)[-4000:]}")
            time.sleep(0.05)

    def stop(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End one, with its children; servers go on."""
        process = self.daemons.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, how)
        process.wait()

    def freeze(self, name: str) -> None:
        """It takes connections and answers none."""
        os.kill(self.daemons[name].pid, signal.SIGSTOP)

    def sql(self, text: str | bytes) -> str:
        """Run statements in the database."""
        command = ["mariadb", "--no-defaults", "-N", "-S", str(self.folder / "db.socket"), "-uroot"]
        data = text.encode() if isinstance(text, str) else text
        return subprocess.run(command, input=data, check=True, capture_output=True).stdout.decode()

    def environment(self) -> dict[str, str]:
        """Of the services."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONWARNINGS": "ignore",
            "PYTHONPATH": f"{self.scripts}:{self.folder / 'plugins'}",
            "DATABASES_READY": str(self.ready),
            "OS_PLACEMENT_CONFIG_DIR": str(self.folder),
            "OS_GLANCE_CONFIG_DIR": str(self.folder),
            "OS_GLANCE_CONFIG_FILES": "glance-api.conf",
            "NETNS_FOLDER": str(self.folder / "servers"),
            "NETNS_PREFIX": self.bridge,
            "NETNS_BRIDGE": self.bridge,
            "NETNS_GATEWAY": f"{NETWORK}.1/24",
        }

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],  # none outlives its tests
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                cwd=self.folder,
            )

    def admin(self) -> Any:
        """A connection (openstacksdk's) of who may do everything."""
        return self._connected("admin", "secret", "admin")

    def user(self) -> Any:
        """A connection of `USER`."""
        return self._connected(USER, PASSWORD, PROJECT)

    def _connected(self, username: str, password: str, project: str) -> Any:
        import openstack

        if username not in self._connections:
            auth = {"auth_url": self.auth_url, "username": username, "password": password, "project_name": project}
            domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
            self._connections[username] = openstack.connect(
                auth=auth | domains, region_name="RegionOne", load_envvars=False
            )
        return self._connections[username]

    def clear(self) -> None:
        """End all servers."""
        self.mend()
        compute, end = self.admin().compute, time.monotonic() + LIMIT
        asked: set[str] = set()
        while found := list(compute.servers(all_projects=True, details=False)):
            assert time.monotonic() < end, f"servers stay: {found}; {self.log('nova')[-2000:]}"
            for each in found:
                if each.id not in asked:
                    compute.delete_server(each.id, ignore_missing=True)
                    asked.add(each.id)
            time.sleep(0.1)

    def hurt(self, how: str) -> None:
        """From now on each build is given up ("on-fire"), or does not get on ("stuck")."""
        (self.folder / "servers" / how).touch()

    def mend(self) -> None:
        """Servers are built again, those that were stuck too."""
        for how in ("on-fire", "stuck"):
            (self.folder / "servers" / how).unlink(missing_ok=True)

    # Making

    def _configure(self) -> None:
        for name in ("fernet", "credential", "images", "staging", "tasks", "nova/lock", "neutron/lock", "servers"):
            (self.folder / name).mkdir(mode=0o700, parents=True)
        for folder in ("fernet", "credential"):
            for number in (0, 1):
                key = self.folder / folder / str(number)
                key.touch(mode=0o600)
                key.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
        (self.folder / "nova" / "compute_id").write_text("6d2ff4a5-3f0c-4f5b-9a3a-0a6a8b0f1c11\n")
        plugin = self.folder / "plugins" / "any_bind-1.0.dist-info"
        plugin.mkdir(parents=True)
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: any_bind\nVersion: 1.0\n")
        (plugin / "entry_points.txt").write_text("[neutron.ml2.mechanism_drivers]\nany_bind = any_bind:AnyBind\n")
        venv = venv_of(self.scripts)
        ports = ",".join(f"{name}={port}" for name, port in self.ports.items())
        subprocess.run(
            [venv / "bin" / "python", self.scripts / "conf.py", self.folder, venv, ports],
            check=True,
            env=self.environment(),
        )

    def _start_database(self) -> None:
        data, place = self.folder / "db", self.folder / "db.socket"
        words = ["--no-defaults", f"--datadir={data}", "--user=root", "--innodb-flush-log-at-trx-commit=0"]
        made = subprocess.run(
            ["mariadb-install-db", *words, "--skip-test-db", "--auth-root-authentication-method=normal"],
            check=False,
            capture_output=True,
        )
        if made.returncode:
            raise AssertionError(f"no database:\n{(made.stdout + made.stderr).decode()}")
        options = [
            f"--socket={place}", "--skip-networking", f"--pid-file={self.folder / 'db.pid'}", "--skip-log-bin",
            "--innodb-buffer-pool-size=64M", "--innodb-doublewrite=0", "--performance-schema=off",
            "--max-connections=400", "--innodb-flush-method=nosync",
        ]  # fmt: skip
        self._spawn("db", ["mariadbd", *words, *options])
        end = time.monotonic() + LIMIT
        while True:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.sql("select 1")
                return
            if self.daemons["db"].poll() is not None or time.monotonic() > end:
                raise AssertionError(f"no database:\n{self.log('db')[-4000:]}")
            time.sleep(0.05)

    def _restore(self) -> None:
        dump = lzma.decompress((self.scripts / SEED).read_bytes())
        self.sql(b"set foreign_key_checks=0; set unique_checks=0; set autocommit=0;\n" + dump + b"\ncommit;")
        self.place()

    def place(self) -> None:
        """Tell the databases where services and cells are."""
        moves = [
            f"update keystone.endpoint set url = replace(url, ':{port}', ':{self.ports[name]}');"  # noqa: S608 - numbers
            for name, port in PORTS.items()
        ]
        url = f"mysql+pymysql://root@localhost/nova_CELL?unix_socket={self.folder}/db.socket"
        cells = [
            f"update nova_api.cell_mappings set database_connection = '{url.replace('CELL', cell)}' where name = '{cell}';"  # noqa: S608, E501 - ours
            for cell in ("cell0", "cell1")
        ]
        self.sql("\n".join((*moves, *cells)))


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """One for each, all at a time, so that none is given twice."""
    with contextlib.ExitStack() as stack:
        probes = {name: stack.enter_context(contextlib.closing(socket.socket())) for name in names}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        return {name: int(probe.getsockname()[1]) for name, probe in probes.items()}


def _sweep() -> None:
    """End what was left by one whose process was killed: its network would stand in ours' way."""
    for path in Path("/sys/class/net").glob("os*"):
        pid = path.name.removeprefix("os")
        if pid.isdecimal() and not Path("/proc", pid).exists():
            _end_network(path.name)


def _end_network(bridge: str) -> None:
    for path in Path("/run/netns").glob(f"{bridge}-*"):
        _end_namespace(path.name)
    subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)


def _end_namespace(name: str) -> None:
    """Kill what runs in it, and take it away."""
    pids = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True).stdout
    for pid in pids.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


_shared: ControlPlane | None = None


def shared(scripts: Path) -> ControlPlane:
    """One for all tests of this process, ended with it."""
    global _shared
    if _shared is None:
        _shared = ControlPlane(scripts).__enter__()  # where it fails, the next test tries another
        atexit.register(_shared.__exit__)
    return _shared
