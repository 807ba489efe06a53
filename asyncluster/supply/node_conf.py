"""The asyncluster.conf of a pool's nodes: pure."""

from __future__ import annotations

import attrs


@attrs.frozen
class Account:
    """With what pilots prove themselves, hidden from representations; and where the master is if nobody says.

    port: of the master; host: its addresses, for a pool that names none; run_as: the user of all tasks, "" = each
    one's owner; drain_limit: seconds that running tasks have when a pilot is to end.
    """

    user: str
    password: str = attrs.field(repr=False)
    server_password: str = attrs.field(repr=False)
    port: int
    host: str = "localhost"
    run_as: str = ""
    drain_limit: float = 30.0


@attrs.frozen
class NodeConf:
    """What is said to nodes.

    host: addresses of the master; slots: a number or "auto"; features: words that they bear; lease, give_up_after,
    retry_every: seconds; name, state: of the one node that it is for and of its folder, "" = for several;
    spot_metadata: where it looks for the notice that it is reclaimed, "" = nowhere.
    """

    host: str
    slots: str
    features: str
    lease: float
    give_up_after: float
    retry_every: float
    name: str = ""
    state: str = ""
    spot_metadata: str = ""


def node_conf(account: Account, what: NodeConf) -> str:
    """The text of the file."""
    lines = [
        "# Written by AsynCluster for the nodes of a pool; holds passwords, keep it to yourself.",
        "",
        "[common]",
        f"tcp port = {account.port}",
        *([f"server password = {account.server_password}"] if account.server_password else []),
        "",
        "[client]",
        f"host = {what.host}",
        f"user = {account.user}",
        f"password = {account.password}",
        f"slots = {what.slots}",
        f"features = {what.features}",
        f"retry every = {what.retry_every:g}s",
        f"give up after = {what.give_up_after:g}s",
        f"lease = {what.lease:g}s",
        f"drain limit = {account.drain_limit:g}s",
        *([f"name = {what.name}"] if what.name else []),
        *([f"state folder = {what.state}"] if what.state else []),
        *([f"spot metadata = {what.spot_metadata}"] if what.spot_metadata else []),
        *([f"run tasks as = {account.run_as}"] if account.run_as else []),
    ]
    return "\n".join(lines) + "\n"
