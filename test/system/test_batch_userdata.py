"""User data that make a compute node of a plain image: run as a machine runs them, beside a real batch system."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest

from asyncluster.model.supply import Reservation
from asyncluster.supply.userdata import UserData, render
from asyncluster.testing import hosts as plain_hosts
from asyncluster.testing import sge, slurm
from asyncluster.testing.batch_hosts import BatchHosts
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

NO_TORQUE = plain_hosts.missing() or ("" if shutil.which("curl") else "there is no curl (Debian package curl)")

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


TORQUE = (
    NAMES
    + rf"""
# what is played: pbs_mom, of which there is no package, with a spool of the site's own; and a minute, which is short
cat >/opt/fake/pbs_mom <<'MOM'
#!/bin/sh
[ "$(cat /opt/torque/server_name)" = head ] && grep -qx '$pbsserver head' /opt/torque/mom_priv/config || exit 1
mkdir -p /opt/torque/mom_priv/jobs
setsid /opt/fake/job </dev/null >/dev/null 2>&1 &
touch "$MACHINE/mom"
MOM
cat >/opt/fake/job <<'JOB'
#!/bin/sh
until [ -e "$MACHINE/job" ]; do /bin/sleep 0.1; done
touch /opt/torque/mom_priv/jobs/7.head.JB
sh "$MACHINE/job"
rm /opt/torque/mom_priv/jobs/7.head.JB
JOB
printf '#!/bin/sh\necho >>"%s/minutes"\nexec /bin/sleep 0.1\n' "$folder" >/opt/fake/sleep
chmod 755 /opt/fake/pbs_mom /opt/fake/job /opt/fake/sleep
export MACHINE="$folder" METADATA=http://127.0.0.1:8169
{os.path.abspath(sys.executable)} -m http.server --bind 127.0.0.1 --directory "$folder/metadata" 8169 >/dev/null 2>&1 &
"""
)
EXPIRES = "metadata/openstack/latest/meta_data.json"


@attrs.frozen
class Beside:
    """Plain hosts, for a batch system that is played."""

    folder: Path
    hosts: BatchHosts

    def address(self, host: str) -> str:
        """Of a host."""
        return self.hosts.address(host)


class Machine:
    """host2, which boots with the rendered script.

    image: what it has besides, made by a shell script; change: what an administrator has changed in a copy of ours.
    """

    def __init__(
        self,
        site: RealSlurm | RealGridEngine | Beside,
        script: str,
        image: str,
        change: Callable[[str], str] = lambda text: text,
    ) -> None:
        self.site, self.folder = site, site.folder / "machine"
        self.folder.mkdir()
        table = [f"{site.address(name)} {name}" for name in ("head", "host1", "host2")]
        (site.folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *table, ""]))
        told = UserData("host2", "burst", "r", "t", 1800.0, masters=("head:9080",))
        (self.folder / "user-data").write_text(render(change((EXAMPLES / script).read_text()), told, script))
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


@pytest.mark.skipif(bool(NO_TORQUE), reason=NO_TORQUE or "-")
def test_a_plain_image_becomes_a_host_of_torque(tmp_path: Path) -> None:
    """Its daemon is told where the server is, in the spool that the site has set, and jobs that are there keep it.

    The daemon is played, as there is no package of it; the script, its watch and what that asks are as on a machine.
    """

    def moved(text: str) -> str:
        assert "\nSPOOL=/var/spool/torque" in text
        return text.replace("SPOOL=/var/spool/torque", "SPOOL=/opt/torque")

    with (
        BatchHosts(2, folder=tmp_path) as hosts,
        Machine(Beside(tmp_path, hosts), "torque-node.sh", TORQUE, moved) as machine,
    ):
        folder = machine.folder
        until((folder / "mom").exists, "its daemon has found what it needs")

        def told(when: float) -> None:
            (folder / EXPIRES).parent.mkdir(parents=True, exist_ok=True)
            fresh = folder / "fresh"
            fresh.write_text(f'{{"meta": {{"asyncluster-expires": "{when:.0f}"}}}}')
            fresh.replace(folder / EXPIRES)

        def minutes() -> int:
            return (folder / "minutes").read_text().count("\n")

        told(time.time() + 3600.0)
        (folder / "job.new").write_text(f"touch {folder}/begun; until [ -e {folder}/over ]; do /bin/sleep 0.2; done")
        (folder / "job.new").rename(folder / "job")
        until((folder / "begun").exists, "the job runs")
        told(1.0)
        then = minutes()
        until(lambda: minutes() > then + 5, "the watch has looked some times more")
        assert not (folder / "halted").exists()
        (folder / "over").touch()
        until(lambda: machine.process.poll() is not None, "the machine has ended itself")
        assert (folder / "halted").exists()
