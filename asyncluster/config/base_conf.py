"""The shape of asyncluster.conf: its sections, keys, defaults and what they mean.

One model per section.  A key is its attribute's name with blanks for underscores.  Defaults are
written as in the file and go through the same checks.  The reference page, `etc/asyncluster.conf`'s
test and every message about a key are made from here.  Knows neither files nor this machine: what
depends on the machine comes in as `Here`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from asyncluster.config import fields
from asyncluster.config.client_conf import Client, Display
from asyncluster.config.section import Section, key
from asyncluster.units import format_duration

Need = Literal["master", "node", "client"]
Raw = Mapping[str, Mapping[str, str]]  # section -> key -> text


@attrs.frozen
class Here:
    """What the configuration takes from the machine and the person it is loaded for.

    host: name of the machine; cores: how many this process may use; home: home folder; state: folder
    for what must survive a restart.
    """

    host: str = "localhost"
    cores: int = 1
    home: str = "/"
    state: str = "/var/lib/asyncluster"


class Common(Section):
    """What the master, its nodes and the programs that talk to them all need to know."""

    tcp_port: fields.Port = key(
        "9080",
        "Port of the master for nodes, and for clients on other machines. "
        "0 lets the system choose a free one (for tests; a node cannot guess it).",
        unit="port number, 0 to 65535",
        example="9080",
    )
    socket: fields.SocketPath = key(
        "/tmp/.ndm",  # noqa: S108 (the original's place; docs say where to put it on a shared machine)
        "UNIX socket on which the master answers programs on its own machine; the kernel tells it who is asking. "
        "On a machine with many users put it in a folder that only the service may write to.",
        unit="path, at most 107 bytes",
        example="/run/asyncluster/control",
    )
    server_password: fields.Masked = key(
        "",
        "Password with which the master proves itself to a node that has proven itself, so that no false master "
        "can hand it code. The same on the master and on all nodes, and another one than [client] password.",
        example="the output of: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
    )
    heartbeat: fields.SomeSeconds = key(
        "8s", "How often master and nodes send a sign of life when they have nothing else to say.", unit="duration"
    )
    silence_limit: fields.SomeSeconds = key(
        "20s",
        "A peer that has been silent for so long is gone, and its tasks are given to others. "
        "More than twice the heartbeat.",
        unit="duration",
        example="1m",
    )
    log_file: fields.LogFile = key(
        "",
        "File to log to, made with mode 0600. Name one for a daemon without systemd, whose standard error goes "
        "nowhere. After SIGUSR1 it is opened anew, for logrotate. A master and a node on one machine need "
        "one each, and so two configuration files.",
        unit="path",
        example="/var/log/asyncluster/master.log",
        shown="empty, for standard error",
    )
    log_level: fields.Levels = key(
        "info",
        "The least serious messages to log (debug, info, warn, error, critical), perhaps other ones for parts.",
        example="info, asyncluster.wire=debug",
    )
    log_format: fields.LogFormat = key("text", "`text` for people, `json` for one JSON object a line.", example="json")

    @field_validator("silence_limit")
    @classmethod
    def _outlasts_heartbeats(cls, value: float, info: ValidationInfo) -> float:
        heartbeat = info.data.get("heartbeat")
        if heartbeat is not None and value <= 2 * heartbeat:
            raise ValueError(
                f"{format_duration(value)} must be more than twice the heartbeat of {format_duration(heartbeat)}, "
                "or a single lost message ends a healthy peer"
            )
        return value


class Server(Section):
    """Only the master reads this section."""

    database: fields.DatabaseURL = key(
        "",
        "Where jobs with their tasks and results are kept, so that they survive a master that is killed, and accounts, "
        "openings, sessions and usage: a URL for SQLAlchemy. DEFINE_A_URL, as the template has it, also means the "
        "default; `sqlite://:memory:` keeps everything in memory and forgets it when the master stops.",
        unit="URL",
        example="postgresql://asyncluster@db/asyncluster",
        shown="empty, for asyncluster.sqlite in the state folder",
    )
    subnets: fields.Networks = key(
        "127.0.0.1, ::1",
        "From where nodes and clients may connect by TCP, parted by commas. Anybody else is dropped "
        "before a byte is read.",
        unit="addresses or networks, IPv4 and IPv6",
        example="127.0.0.1, 192.168.135.0/24, fd00:1::/64",
    )
    listen: fields.Interface = key(
        "",
        "Address of the one network interface on which to listen.",
        unit="IP address",
        example="192.168.135.1",
        shown="empty, for all interfaces",
    )
    state_folder: fields.Path = key(
        "",
        "Folder for the master's key, certificate and database; made with mode 0700.",
        unit="path",
        example="/var/lib/asyncluster",
        shown="/var/lib/asyncluster for root; $STATE_DIRECTORY under systemd; ~/.local/state/asyncluster for others",
    )
    payload_memory: fields.Bytes = key(
        "256 MiB",
        "How much of large arguments and results (above 64 KiB each) the master keeps in memory, however many are in "
        "flight; what goes beyond is put into the payload folder.",
        unit="size",
        example="1 GiB",
    )
    payload_folder: fields.Path = key(
        "",
        "Folder for large arguments and results that do not fit into payload memory; a local disk is best. Its files "
        "have no names and are gone with the process.",
        unit="path",
        example="/scratch/asyncluster-master",
        shown="empty, for payloads in the state folder",
    )
    administrators: fields.Account = key(
        "",
        "Group whose members may steer everybody's jobs and all nodes, as root and the service's own user always may.",
        unit="group name",
        example="cluster-admins",
        shown="empty, for nobody else",
    )
    time_zone: fields.TimeZone = key(
        "",
        "Time zone of the site, in which days and weeks of accounts begin and openings are meant, summer time and all.",
        unit="name of the time zone database",
        example="Europe/Berlin",
        shown="empty, for the machine's",
    )
    quota_applies_to: fields.Quota = key(
        "sessions",
        "What the openings and hours of restricted accounts are for: sessions at workstations; with `tasks` also the "
        "tasks in the queue, which then wait outside openings, and use the same hours, one for each hour of a core. "
        "Limits of slots and of queued tasks hold in any case.",
        unit="sessions, or both words parted by a comma",
        example="sessions, tasks",
    )
    unproven_limit: fields.Limit = key(
        "64", "How many connections may be open at once that have not proven a password yet.", unit="connections"
    )
    unproven_per_address: fields.Limit = key("16", "The same, for a single address.", unit="connections")
    unproven_waiting: fields.Limit = key(
        "1024",
        "How many more connections may wait until one of these is proven or gone. Nothing of them is read, addresses "
        "take turns, and who waits for more than 20 seconds is let go and tries again.",
        unit="connections",
    )
    proof_time_limit: fields.ProofSeconds = key(
        "10s",
        "How long a connection may take to prove its password before it is dropped. Others may wait for its place, "
        "and who waits for more than 20 seconds is let go: so it is below that.",
        unit="duration, 15 seconds at most",
        example="15s",
    )
    drain_limit: fields.Seconds = key(
        "30s",
        "How long a stopping master waits for running tasks. Keep systemd's TimeoutStopSec above it.",
        unit="duration",
        example="2m",
    )
    crash_limit: fields.CrashLimit = key(
        "3",
        "A task is failed when so many attempts of it were lost with their worker, node or link; "
        "jobs may say otherwise.",
        unit="attempts",
        example="5",
    )
    keep_results: fields.SomeSeconds = key(
        "7d",
        "How long results and output of a detached job are kept after its last task has ended, unless it is "
        "forgotten before. Counted anew after a restart of the master.",
        unit="duration",
        example="30d",
    )
    session_patience: fields.SomeSeconds = key(
        "2m",
        "A session at a workstation whose node has not been heard for so long has ended, when the node was heard last. "
        "The same after a restart of the master.",
        unit="duration",
        example="10m",
    )
    job_output_limit: fields.Bytes = key(
        "256 MiB",
        "How much of what the tasks of a detached job write is kept, in the state folder, until the job is forgotten; "
        "the rest is dropped, and the last that is kept says so.",
        unit="size",
        example="2 GiB",
    )


class Sections(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    common: Common
    server: Server
    client: Client
    display: Display


@attrs.frozen
class Settings:
    """A configuration without faults.

    origin: the file; warnings: sentences about what works but may not be what was meant.
    """

    common: Common
    server: Server
    client: Client
    display: Display
    origin: str = ""
    warnings: tuple[str, ...] = ()


SECTIONS: dict[str, type[Section]] = {"common": Common, "server": Server, "client": Client, "display": Display}

_DAEMON = (("common", "server password"), ("client", "user"), ("client", "password"))
REQUIRED: dict[str, tuple[tuple[str, str], ...]] = {"master": _DAEMON, "node": _DAEMON, "client": ()}
"""(section, key) pairs that have to be given, by what is being started."""

SECRETS = (("common", "server password"), ("client", "password"))


def keys(section: str) -> list[str]:
    """The keys of a section, as written in the file."""
    return [name.replace("_", " ") for name in SECTIONS[section].model_fields]
