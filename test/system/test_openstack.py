"""A pool of a real OpenStack: servers come with the work, run it, and go; and what is told when the cloud is ill."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asyncluster
from asyncluster import Cluster
from asyncluster.client.pools import Pools
from asyncluster.testing import openstack
from asyncluster.testing.openstack import IMAGE, NETWORK, PASSWORD, PROJECT, USER, ControlPlane
from asyncluster.testing.site import Site
from asyncluster.testing.waiting import until

SCRIPTS = Path(__file__).parents[1] / "openstack"
MISSING = openstack.missing(SCRIPTS)

pytestmark = [
    pytest.mark.real,
    pytest.mark.namespaces,
    pytest.mark.openstack,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]

YAML = f"""\
dynamic-cluster: {{max_idle_time: 2, cloud_poller_interval: 0.5s, auto_provision_interval: 0.5s}}
cloud:
  burst:
    type: openstack
    price: 0.25
    quantity: {{max: 2}}
    config:
      auth_url: AUTH_URL
      username: {USER}
      password: {PASSWORD}
      project: {PROJECT}
      image_uuid: {IMAGE}
      flavor: small
      key_name: admin-key
      security_groups: [nodes]
      availability_zone: nova
      networks: [nodes]
      userdata_file: USERDATA
      master: ["{NETWORK}.1"]
"""

# all servers see the disk of this machine, so that each has its state at a place of its own
USERDATA = f"""\
#!/bin/sh
umask 077
cat > "$HOME/node.conf" <<'END'
{{{{ conf | replace("/var/lib/asyncluster", "HOME/state") }}}}
END
sed -i "s|HOME/state|$HOME/state|" "$HOME/node.conf"
export PYTHONPATH={Path(asyncluster.__file__).parent.parent}
exec {sys.executable} -m asyncluster.node --config "$HOME/node.conf"
"""


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """The cloud; in the end nothing is left in it."""
    made = openstack.shared(SCRIPTS)
    yield made
    made.clear()


@pytest.fixture
def site(plane: ControlPlane, tmp_path: Path) -> Iterator[Site]:
    """A master that is not yet started."""
    (tmp_path / "userdata").write_text(USERDATA)
    yaml = tmp_path / "master.yaml"
    yaml.touch(mode=0o600)
    yaml.write_text(YAML.replace("AUTH_URL", plane.auth_url).replace("USERDATA", str(tmp_path / "userdata")))
    with Site(tmp_path, host=f"{NETWORK}.1", subnets=f"127.0.0.0/8, {NETWORK}.0/24") as site:
        yield site


def nodes(site: Site) -> dict[str, Any]:
    """What the engine says of its nodes; {} while the master does not answer."""
    with contextlib.suppress(Exception), Pools(socket=site.socket, reconnect=5.0) as pools:
        return dict(pools.status()["nodes"])
    return {}


def test_a_task_that_waits_gets_a_server(plane: ControlPlane, site: Site) -> None:
    """Launched, its user data starts our node, the task runs there, it idles and is destroyed; nothing is left."""
    master = site.start_master()
    compute = plane.admin().compute
    with Cluster(socket=site.socket) as cluster:
        answer = cluster.submit(os.uname)
        try:
            until(answer.done, lambda: (master.text()[-3000:], plane.log("nova")[-2000:]), limit=120.0)
        except AssertionError:
            answer.cancel()  # else the end of the cluster would wait for it
            raise
        ran_on = answer.result(1).nodename
        (server,) = compute.servers(all_projects=True)
        assert (ran_on, server.key_name) == (server.name, "admin-key")
        assert ran_on.startswith("burst-")
        assert server.metadata["asyncluster-pool"] == "burst"
        assert [each["name"] for each in server.security_groups] == ["nodes"]
    until(lambda: not nodes(site), lambda: (nodes(site), master.text()[-3000:]), limit=120.0)
    until(lambda: not list(compute.servers(all_projects=True)), lambda: master.text()[-3000:], limit=120.0)
    assert not list(Path("/run/netns").glob(f"{plane.bridge}-*"))
    assert PASSWORD not in master.text()
