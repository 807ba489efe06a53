"""What a configuration comes to: filled in from the machine, and warned of where it may not be what was meant.

Pure, as `base_conf`, which has the sections and their keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

from asyncluster.config import fields
from asyncluster.config.base_conf import Here, Need, Raw, Sections


def complete(sections: Sections, here: Here) -> Sections:
    """Fill in what the file leaves to the machine: home and state folders, database, name, slots."""

    def at_home(path: str) -> str:
        return here.home.rstrip("/") + path[1:] if path.startswith("~/") else path

    common, server, client = sections.common, sections.server, sections.client
    state = at_home(server.state_folder) or here.state
    own = at_home(client.state_folder) or here.state.rstrip("/") + "/node"
    database = server.database or fields.Secret(f"sqlite:///{state}/asyncluster.sqlite")
    return sections.model_copy(
        update={
            "common": common.model_copy(
                update={"socket": at_home(common.socket), "log_file": at_home(common.log_file)}
            ),
            "server": server.model_copy(
                update={
                    "state_folder": state,
                    "database": database,
                    "payload_folder": at_home(server.payload_folder) or f"{state}/payloads",
                }
            ),
            "client": client.model_copy(
                update={
                    "name": client.name or here.host,
                    "slots": client.slots or here.cores,
                    "state_folder": own,
                    "payload_folder": at_home(client.payload_folder) or f"{own}/payloads",
                }
            ),
        }
    )


def warnings(raw: Raw, sections: Sections, need: Need) -> list[str]:
    """Sentences about what was accepted but may not be what was meant; only what matters to `need`."""
    found = []
    if need == "master":
        found += _server_warnings(raw.get("server", {}), sections)
    if need != "client":
        first, second = sections.common.server_password, sections.client.password
        if first and first == second:
            found.append("[common] server password is the same as [client] password; use two different ones")
        for section, name, value in (("common", "server password", first), ("client", "password", second)):
            if 0 < len(value.reveal()) < 8:
                found.append(f"[{section}] {name} is short and could be guessed; use a long random one")
    return found


def _server_warnings(raw: Mapping[str, str], sections: Sections) -> list[str]:
    found = []
    if raw.get("database") == "DEFINE_A_URL":
        found.append("[server] database is DEFINE_A_URL: using SQLite in the state folder")
    elif sections.server.database.reveal() == fields.IN_MEMORY:
        found.append("[server] database is in memory: all jobs and accounts are forgotten when the master stops")
    for item in fields.split(raw.get("subnets", "")):
        network = ip_network(item, strict=False)
        if network.prefixlen == 0:
            found.append(f"[server] subnets: {item} lets every address in the world try a password")
        elif "/" in item and item.split("/")[0] != str(network.network_address) and not _same(item, str(network)):
            found.append(f"[server] subnets: {item} has bits beyond its prefix; taken as {network}")
    return found


def _same(item: str, network: str) -> bool:
    """Whether both spell one network without bits beyond the prefix."""
    try:
        return str(ip_network(item)) == network
    except ValueError:
        return False
