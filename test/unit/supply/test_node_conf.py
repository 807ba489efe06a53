"""The configuration that nodes of a pool are given: what is said there is what they read."""

from __future__ import annotations

import attrs
import pytest

from asyncluster.config.explain import loads
from asyncluster.supply.node_conf import Account, NodeConf, node_conf

ACCOUNT = Account("node", "pw-node", "pw-server", 9080, "head", "", 12.0)
WHAT = NodeConf("127.0.0.1", "3", "p, big", 60.0, 70.0, 1.0)


@pytest.mark.parametrize(("name", "state", "run_as"), [("", "", ""), ("p-1", "/x/state", "daemon")])
def test_it_loads(name: str, state: str, run_as: str) -> None:
    """For several nodes, or for one with its name and folder."""
    what = attrs.evolve(WHAT, name=name, state=state)
    found = loads(node_conf(attrs.evolve(ACCOUNT, run_as=run_as), what), "node.conf", "node")
    client = found.client
    assert (found.common.tcp_port, found.common.server_password.reveal()) == (9080, "pw-server")
    assert (client.slots, client.features) == (3, ("p", "big"))
    assert (client.lease, client.give_up_after, client.retry_every, client.drain_limit) == (60.0, 70.0, 1.0, 12.0)
    assert (client.user, client.password.reveal(), client.run_tasks_as) == ("node", "pw-node", run_as)
    if name:
        assert (client.name, str(client.state_folder)) == (name, state)
