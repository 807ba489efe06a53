"""User data that make a compute node of a plain image: run as a machine runs them, beside a real Slurm."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster.model.supply import Reservation
from asyncluster.supply.userdata import UserData, render
from asyncluster.testing import slurm
from asyncluster.testing.batch_hosts import until
from asyncluster.testing.slurm import RealSlurm
from asyncluster.testing.userdata_cloud import MACHINE

pytestmark = [
    pytest.mark.real,
    pytest.mark.namespaces,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing() or "-"),
    pytest.mark.skipif(not shutil.which("munged"), reason="there is no munged; on Debian: apt-get install munge"),
]

TEMPLATE = Path(__file__).parents[2] / "etc" / "userdata" / "slurm-node.sh"

IMAGE = r"""
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
cp "$folder/../hosts" /etc/hosts
"""


@pytest.fixture
def site() -> Iterator[RealSlurm]:
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


def test_a_plain_image_becomes_a_node_of_slurm(site: RealSlurm) -> None:
    """It has its configuration from the controller, comes as the node that the master has created, and runs a job."""
    folder = site.folder / "machine"
    folder.mkdir()
    hosts = ("head", "host1", "host2")
    (site.folder / "hosts").write_text("".join(f"{site.address(name)} {name}\n" for name in hosts))
    told = UserData("host2", "burst", "r", "t", 1800.0, masters=("head:9080",))
    (folder / "user-data").write_text(render(TEMPLATE.read_text(), told, TEMPLATE.name))
    (folder / "before").write_text(IMAGE)
    (folder / "machine").write_text(MACHINE)
    (folder / "python").touch()
    facts = (f"NodeAddr={site.address('host2')}", "CPUs=2", "RealMemory=400", "Feature=CLOUD")
    site.call("scontrol", "create", "NodeName=host2", *facts, "State=CLOUD")
    machine = subprocess.Popen(
        [site.hosts.there("host2"), "unshare", "-m", "sh", str(folder / "machine"), str(folder)],
        stdin=subprocess.DEVNULL,
    )
    try:
        until(lambda: site.hosts.processes("host2", "slurmd"), "slurmd stays")
        until(lambda: "SlurmdStartTime=2" in site.call("scontrol", "show", "node", "host2"), "the controller hears it")
        site.call("scontrol", "update", "NodeName=host2", "State=RESUME", check=False)
        job = site.submit(seconds=0, reservation=Reservation(queue="cloud", property="CLOUD"))
        until(lambda: site.over(job), "the job has run there")
    except BaseException:
        print(_inside(site, "host2", "/var/log/asyncluster-userdata.log"))
        print(site.call("scontrol", "show", "node", "host2", check=False), site.call("squeue", check=False))
        raise
    finally:
        site.hosts.kill("host2")
        machine.wait()


def _inside(site: RealSlurm, host: str, path: str) -> str:
    """A file as the machine itself sees it; "" = it is not there."""
    for pid in site.hosts.processes(host):
        found = Path(f"/proc/{pid}/root{path}")
        if found.is_file():
            return found.read_text(errors="replace")
    return ""
