"""What the clouds of each kind are told: one node of a pool, as the section `cloud` of asyncluster.yaml has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class BatchUnit:
    """One pilot: a node daemon inside a batch job of its own.

    system: "slurm", "sge" or "torque"; queue, account: "" = the batch system's default; cores: per node; memory:
    bytes per node, 0 = not asked for; gpus: per node; walltime: seconds, 0 = not asked for; environment: SGE's
    parallel environment; memory_resource, gpu_resource: what SGE calls memory (of a slot) and gpus, "none" = they
    are not asked for; directives: more lines of the batch system, without their #SBATCH, #$ or #PBS; setup: shell
    lines before the node starts; template: file with the job script, "" = ours; interpreter: the Python there;
    masters: addresses to try, host or host:port; config_file: asyncluster.conf as the compute nodes see it, "" =
    one is written to `folder`; folder: one that the compute nodes see too; retry_every, give_up_after: of a pilot
    without a master, seconds; stagger: by what part of its walltime a pilot may end early; submit_command …: "" =
    the batch system's own.
    """

    system: str
    queue: str = ""
    account: str = ""
    cores: int = 1
    memory: int = 0
    gpus: int = 0
    walltime: float = 0.0
    environment: str = ""
    memory_resource: str = "h_vmem"
    gpu_resource: str = "gpu"
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    template: str = ""
    interpreter: str = "python3"
    masters: tuple[str, ...] = ()
    config_file: str = ""
    folder: str = ""
    retry_every: float = 10.0
    give_up_after: float = 1800.0
    stagger: float = 0.05
    submit_command: str = ""
    list_command: str = ""
    cancel_command: str = ""
    release_command: str = ""


@attrs.frozen
class LocalUnit:
    """One node daemon as a process here.  memory: bytes, 0 = the machine's; walltime: seconds, 0 = for ever."""

    cores: int = 1
    memory: int = 0
    walltime: float = 0.0
    interpreter: str = ""


@attrs.frozen
class HostsUnit:
    """Machines that are always there, reached by ssh, with at most one node each.

    hosts: as ssh takes them, perhaps with user@; user, key, known_hosts, port: "" and 0 = as ssh's own configuration
    says; time_limit: seconds for one ssh; cores, memory: 0 = what they have; interpreter, config_file, folder: paths
    there, ~ is the home there; masters: () = the address that ssh came from; config_file: "" = one is written to
    `folder`.
    """

    hosts: tuple[str, ...] = ()
    user: str = ""
    key: str = ""
    known_hosts: str = ""
    port: int = 0
    ssh_command: str = "/usr/bin/ssh"
    time_limit: float = 20.0
    cores: int = 0
    memory: int = 0
    interpreter: str = "python3"
    masters: tuple[str, ...] = ()
    config_file: str = ""
    folder: str = "~/.asyncluster-nodes"


@attrs.frozen
class OpenStackUnit:
    """One server of an OpenStack cloud.

    cloud: the entry of clouds.yaml; "" = what is given here, or the environment's OS_*; auth_url, username, password,
    project, user_domain, project_domain, application_credential_id and its secret: who we are, secrets masked;
    region_name: "" = the only one; ca_file: who signed the cloud's certificate, "" = somebody whom the system knows;
    image_uuid, flavor, key_name, security_groups, availability_zone: of a server, "" = the cloud's own; networks:
    names or UUIDs, () = the project's only one, ("none",) = none; userdata_file: a template, "" = none; masters:
    addresses at which nodes find us; features: words that they bear; time_limit: seconds for one answer.
    """

    cloud: str = ""
    auth_url: str = ""
    username: str = ""
    password: Any = attrs.field(default="", repr=False)
    project: str = ""
    user_domain: str = "Default"
    project_domain: str = "Default"
    application_credential_id: str = ""
    application_credential_secret: Any = attrs.field(default="", repr=False)
    region_name: str = ""
    ca_file: str = ""
    image_uuid: str = ""
    flavor: str = ""
    key_name: str = ""
    security_groups: tuple[str, ...] = ()
    availability_zone: str = ""
    networks: tuple[str, ...] = ()
    userdata_file: str = ""
    masters: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    time_limit: float = 30.0


@attrs.frozen
class CustomUnit:
    """Nodes from a class of the site's own.

    arguments: given to it by name; masked by what is at hand, or texts; userdata_file: template of what its instances
    are told, "" = nothing; masters: addresses told to them, host or host:port; features: words that they bear.
    """

    class_name: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    userdata_file: str = ""
    masters: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@attrs.frozen
class AwsUnit:
    """One instance of EC2.

    access_key_id, secret_access_key (masked): "" = as the SDK finds them; profile: of the SDK's own files; region_name,
    endpoint: "" = as the SDK's own configuration says; security_groups: names, or ids; disk_map: "DEVICE=WHAT" each;
    use_public_ip_address: a node has one, and is reached by it; validate_certs: False = any certificate will do;
    spot_bid: price for an hour, 0 = no spot instances; spot_timeout: seconds of refusals, 0 = for ever; spot_on_demand:
    the full price is paid then; spot_metadata: where a spot instance looks for its notice; proxy_port: 0 = the usual
    one; masters: addresses to try; features: words that the nodes bear; userdata_file: a template, "" = none.
    """

    image_id: str
    instance_type: str
    region_name: str = ""
    access_key_id: str = ""
    secret_access_key: Any = attrs.field(default="", repr=False)
    profile: str = ""
    endpoint: str = ""
    key_name: str = ""
    security_groups: tuple[str, ...] = ()
    availability_zone: str = ""
    subnet_id: str = ""
    use_public_ip_address: bool = False
    disk_map: tuple[str, ...] = ()
    validate_certs: bool = True
    spot_bid: float = 0.0
    spot_timeout: float = 0.0
    spot_on_demand: bool = False
    spot_metadata: str = ""
    proxy: str = ""
    proxy_port: int = 0
    masters: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    userdata_file: str = ""
