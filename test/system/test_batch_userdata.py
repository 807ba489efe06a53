"""User data that make a compute node of a plain image: run as a machine runs them, beside a real batch system."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from asyncluster.model.supply import Reservation
from asyncluster.supply.userdata import UserData, render
from asyncluster.testing import sge, slurm
from asyncluster.testing.sge import RealGridEngine
from asyncluster.testing.slurm import RealSlurm
from asyncluster.testing.userdata_cloud import MACHINE
from asyncluster.testing.waiting import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.namespaces,
    pytest.mark.timeout(300),
]

EXAMPLES = Path(__file__).parents[2] / "etc" / "userdata"
NO_SLURM = slurm.missing() or ("" if shutil.which("munged") else "there is no munged (Debian package munge)")

NAMES = """
cp "$folder/../hosts" /etc/hosts
"""

IMAGE = (
    NAMES
    + r"""
# what the site's image has: its munge key, names, an init that starts munge; and no slurm.conf
mkdir -p /etc/munge /run/munge /var/lib/munge /var/log/munge
mount -t tmpfs none /run/munge
cp "$folder/../munge.key" /etc/munge/munge.key
chown -R munge: /etc/munge /run/munge /var/lib/munge /var/log/munge
chmod 755 /run/munge
cat >/opt/fake/systemctl <<'INIT'
#!/bin/sh
[ "$*" = "restart munge" ] && exec setpriv --reuid munge --regid munge --clear-groups munged --force
INIT
chmod 755 /opt/fake/systemctl
rm -f /etc/slurm/slurm.conf
"""
)


class Machine:
    """host2, which boots with the rendered script.  image: what it has besides, made by a shell script."""

    def __init__(self, site: RealSlurm | RealGridEngine, script: str, image: str) -> None:
        self.site, self.folder = site, site.folder / "machine"
        self.folder.mkdir()
        table = [f"{site.address(name)} {name}" for name in ("head", "host1", "host2")]
        (site.folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *table, ""]))
        told = UserData("host2", "burst", "r", "t", 1800.0, masters=("head:9080",))
        (self.folder / "user-data").write_text(render((EXAMPLES / script).read_text(), told, script))
        (self.folder / "before").write_text(image)
        (self.folder / "machine").write_text(MACHINE)
        (self.folder / "python").touch()

    def __enter__(self) -> Machine:
        words = ["unshare", "-m", "sh", str(self.folder / "machine"), str(self.folder)]
        self.process = subprocess.Popen([self.site.hosts.there("host2"), *words], stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            print(self.has("/var/log/asyncluster-userdata.log"))
        self.site.hosts.kill("host2")
        self.process.wait()

    def has(self, path: str) -> str:
        """A file as the machine itself sees it; "" = it is not there."""
        for pid in self.site.hosts.processes("host2"):
            found = Path(f"/proc/{pid}/root{path}")
            if found.is_file():
                return found.read_text(errors="replace")
        return ""

    def runs(self, program: str) -> bool:
        """Whether that is one of its processes."""
        return bool(self.site.hosts.processes("host2", program))


@pytest.fixture
def configless() -> Iterator[RealSlurm]:
    """A Slurm that hands out its configuration, to who has its munge key."""
    folder = Path(tempfile.mkdtemp(prefix="asyncluster-userdata-"))
    folder.chmod(0o755)
    key, socket, pid = folder / "munge.key", folder / "munge.socket", folder / "munged.pid"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    words = ["munged", "--force", f"--key-file={key}", f"--socket={socket}", f"--pid-file={pid}"]
    subprocess.run(
        [*words, f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"], check=True, timeout=60
    )
    auth, more = f"AuthType=auth/munge\nAuthInfo=socket={socket}", "SlurmctldParameters=enable_configless\n"
    try:
        with RealSlurm(folder, static=1, spare=1, more=more, auth=auth) as made:
            yield made
    finally:
        os.kill(int(pid.read_text()), signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(bool(NO_SLURM), reason=NO_SLURM or "-")
def test_a_plain_image_becomes_a_node_of_slurm(configless: RealSlurm) -> None:
    """It has its configuration from the controller, comes as the node that the master has created, and runs a job."""
    site = configless
    controller = partial(site.call, "scontrol", check=False)  # while the node comes it is not known for a moment
    facts = (f"NodeAddr={site.address('host2')}", "CPUs=2", "RealMemory=400", "Feature=CLOUD")
    site.call("scontrol", "create", "NodeName=host2", *facts, "State=CLOUD")
    with Machine(site, "slurm-node.sh", IMAGE) as machine:
        until(lambda: machine.runs("slurmd"), "slurmd stays")
        until(lambda: "SlurmdStartTime=2" in controller("show", "node", "host2"), "the controller hears it")
        site.call("scontrol", "update", "NodeName=host2", "State=RESUME", check=False)
        job = site.submit(seconds=0, reservation=Reservation(queue="cloud", property="CLOUD"))
        until(lambda: site.over(job), "the job has run there")
        assert "asyncluster-expires" in machine.has("/var/lib/asyncluster/watch")


@pytest.mark.skipif(bool(sge.missing()), reason=sge.missing() or "-")
def test_a_plain_image_becomes_a_host_of_grid_engine() -> None:
    """Once the master has made it an administrative one, its daemon comes and tells what the host has."""
    folder = Path(tempfile.mkdtemp(prefix="asyncluster-userdata-"))
    folder.chmod(0o755)  # its daemons are other users
    try:
        with RealGridEngine(folder, static=1, spare=1) as site:
            site.call("qconf", "-ah", "host2")
            with Machine(site, "sge-node.sh", NAMES) as machine:
                until(lambda: machine.runs("sge_execd"), "its daemon stays")
                until(lambda: "host2                   lx-" in site.call("qhost"), "the qmaster hears it")
                assert machine.has("/var/lib/gridengine/default/common/act_qmaster") == "head\n"
                assert "asyncluster-expires" in machine.has("/var/lib/asyncluster/watch")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
