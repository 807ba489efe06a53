"""Makes the dump of fresh databases anew, after a change of requirements.txt: `python test/openstack/make_seed.py`.

Needs root, what `bin/test` installs, and mariadb-dump (Debian package mariadb-client).
"""

from __future__ import annotations

import lzma
import subprocess
import sys
import time
from pathlib import Path

from asyncluster.testing.openstack import DATABASES, NETWORK, PORTS, SEED, SERVICES, ControlPlane, venv_of

HERE = Path(__file__).resolve().parent


def tables(plane: ControlPlane) -> None:
    """Databases, their tables, and an administrator for keystone."""
    venv = venv_of(HERE)

    def run(program: str, *words: str) -> None:
        begun = time.monotonic()
        done = subprocess.run([venv / "bin" / program, *words], check=False, env=plane.environment(), cwd=plane.folder)
        if done.returncode:
            raise SystemExit(f"{program} {words}: {plane.log(program.partition('-')[0])[-6000:]}")
        print(f"{time.monotonic() - begun:.1f} s: {program} {words[-1][:60]}", file=sys.stderr)

    plane.sql("".join(f"create database {name} character set utf8mb3;" for name in DATABASES))
    keystone = ("--config-file", str(plane.folder / "keystone.conf"))
    run("keystone-manage", *keystone, "db_sync")
    url = plane.auth_url + "/"
    run(
        "keystone-manage", *keystone, "bootstrap", "--bootstrap-password", "secret", "--bootstrap-region-id",
        "RegionOne", "--bootstrap-public-url", url, "--bootstrap-internal-url", url, "--bootstrap-admin-url", url,
    )  # fmt: skip
    run("placement-manage", "--config-file", str(plane.folder / "placement.conf"), "db", "sync")
    run("glance-manage", "--config-file", str(plane.folder / "glance-api.conf"), "db_sync")
    socket = f"unix_socket={plane.folder}/db.socket"
    run(
        "python", str(HERE / "neutron_tables.py"), str(plane.folder / "neutron.conf"),
        f"mysql+pymysql://root@localhost/neutron?{socket}",
    )  # fmt: skip
    nova = ("--config-file", str(plane.folder / "nova.conf"))
    run("nova-manage", *nova, "api_db", "sync")
    cell0 = f"mysql+pymysql://root@localhost/nova_cell0?{socket}"
    run("nova-manage", *nova, "cell_v2", "map_cell0", "--database_connection", cell0)
    run("nova-manage", *nova, "db", "sync")
    run("nova-manage", *nova, "cell_v2", "create_cell", "--name", "cell1", "--verbose")


def main() -> None:
    """Make it."""
    with ControlPlane(HERE, seeded=False, ports=dict(PORTS)) as plane:
        tables(plane)
        plane.ready.touch()
        for name in SERVICES:
            plane.start(name)
        for name in SERVICES:
            plane.wait_for(name)
        python = venv_of(HERE) / "bin" / "python"
        subprocess.run([python, HERE / "seed.py", plane.auth_url, NETWORK], check=True)
        for name in reversed(SERVICES):
            plane.stop(name)
        dump = subprocess.run(
            ["mariadb-dump", "--no-defaults", "-S", plane.folder / "db.socket", "-uroot", "--skip-dump-date",
             "--skip-comments", "--databases", *DATABASES],
            check=True, capture_output=True,
        ).stdout  # fmt: skip
    (HERE / SEED).write_bytes(lzma.compress(dump, preset=9))
    print(f"{HERE / SEED}: {(HERE / SEED).stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
