"""The shape of a pool's `config:` under `cloud:` in asyncluster.yaml, by its type.

`openstack` and `aws` have all of Dynamic Cluster's keys, and more.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import field_validator

from asyncluster.config import elastic_fields as fields
from asyncluster.config.elastic_section import Part
from asyncluster.config.fields import WebAddress, choice, kind
from asyncluster.config.section import key

System = Annotated[str, kind(choice("slurm", "sge", "torque"))]

CUSTOM = "package.module:Class"
"""What a type looks like that is a class of the site's own."""

_CUSTOM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class PoolConfig(Part):
    """What all types have in common."""

    instance_name_prefix: fields.Prefix = key(
        "",
        "What the names of its nodes begin with; another one for each pool.",
        unit="letters, digits, hyphens",
        example="burst",
        shown="empty, for the pool's name",
    )


class Told(PoolConfig):
    """What the instances of a cloud are told by their user data."""

    userdata_file: fields.File = key(
        "",
        "File with the user data, a jinja2 template; etc/userdata has examples, which make a node of a plain image.",
        unit="path",
        example="/etc/asyncluster/node.sh",
        shown="none: the image is a node already",
    )
    master: fields.Words = key(
        "",
        "Addresses at which the machines may find the master; each is tried. A batch system's compute nodes are told "
        "the first one only, as where its head node is (etc/userdata): name that one first.",
        unit="host or host:port, as a list",
        shown="empty, for all of the master's own addresses and its host name",
    )
    features: fields.Words = key(
        "", "Words that tasks may ask for, and that these nodes have.", unit="words, as a list", shown="none"
    )

    @field_validator("master")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(fields.address, value))


class Machines(Told):
    """Virtual machines, of which their cloud knows what they have."""


class OpenStack(Machines):
    """Servers of an OpenStack cloud.

    Who we are is said here, or in an entry of clouds.yaml (`cloud`), or, with neither `cloud` nor `auth_url`, by the
    environment of the master (OS_AUTH_URL, OS_USERNAME, OS_CLOUD …).
    """

    cloud: fields.Word = key(
        "", "Entry of clouds.yaml that says who we are; what is said here goes before.", example="site", shown="none"
    )
    auth_url: fields.Line = key("", "Keystone's URL.", example="https://keystone.example.org:5000/v3", shown="none")
    username: fields.Line = key("", "User of the OpenStack account.", shown="none")
    password: fields.Masked = key("", "Its password.", shown="none")
    project: fields.Line = key("", "Its project (or tenant).", shown="none")
    user_domain: fields.Line = key("Default", "The user's domain.", unit="name")
    project_domain: fields.Line = key("Default", "The project's domain.", unit="name")
    application_credential_id: fields.Word = key(
        "", "An application credential, in place of user, password and project.", unit="ID", shown="none"
    )
    application_credential_secret: fields.Masked = key("", "Its secret.", shown="none")
    region_name: fields.Word = key("", "The region, where there are several.", shown="the only one")
    ca_file: fields.File = key(
        "", "Certificates of who signed the cloud's.", unit="path", shown="empty, for those that the machine trusts"
    )
    image_uuid: fields.Word = key("", "The image, by its UUID.", shown="none")
    flavor: fields.Word = key("", "The flavor of a node, by name or ID.", example="m1.small", shown="none")
    key_name: fields.Line = key("", "SSH key's name.", shown="none")
    security_groups: fields.Words = key("", "Security groups.", unit="names, as a list", shown="the project's default")
    availability_zone: fields.Word = key("", "Zone; where there are several, each is a pool.", shown="the cloud's own")
    networks: fields.Words = key(
        "",
        "Networks that a node is on; none: on none.",
        unit="names or UUIDs, as a list",
        shown="empty, for the project's only one",
    )
    time_limit: fields.SomeSeconds = key(
        "30s",
        "How long one answer of the cloud may take.  What takes several answers has two minutes, or four times this "
        "where that is more.",
        unit="duration",
    )


class Aws(Machines):
    """Instances of Amazon's EC2, or of a cloud that speaks as it does.

    Needs boto3: `pip install 'asyncluster[aws]'`.  Where neither keys nor a profile are given, boto3 looks in the
    master's environment, in ~/.aws of its user, and for the role of the instance that it runs on.
    """

    access_key_id: fields.Word = key(
        "", "Access key ID of the account.", shown="none: as boto3 finds it in environment, profile or instance role"
    )
    secret_access_key: fields.Masked = key("", "Its secret access key.", shown="none")
    profile: fields.Line = key(
        "", "Profile in ~/.aws of the master's user that has keys and region.", example="burst", shown="none"
    )
    image_id: fields.Word = key("", "The image, by its ID. It has to be given.", example="ami-0abcdef1234567890")
    instance_type: fields.Word = key("", "The type of a node. It has to be given.", example="m5.large")
    region_name: fields.Word = key(
        "", "The region.", example="ap-southeast-2", shown="empty, as environment or profile say"
    )
    endpoint: WebAddress = key(
        "",
        "URL of the service, where it is not Amazon's own for that region.",
        example="https://ec2.cloud.example.org",
        shown="empty, for Amazon's",
    )
    key_name: fields.Line = key("", "SSH key's name.", shown="none")
    security_groups: fields.Words = key(
        "",
        "Security groups. With a subnet, or a public address, AWS wants IDs; names are looked up.",
        unit="names or IDs, as a list",
        example="[sg-0abcdef1234567890]",
        shown="none, for the network's default group",
    )
    availability_zone: fields.Word = key("", "Zone; where there are several, each is a pool.", shown="the cloud's own")
    subnet_id: fields.Word = key("", "Subnet, by its ID.", shown="none, for the zone's default subnet")
    use_public_ip_address: fields.YesNo = key(
        "False",
        "Give each node a public address, at which it is reached; else it has one only where its default subnet gives "
        "them, and is reached by its private one.",
        unit="True, False",
    )
    disk_map: fields.Disks = key(
        "",
        "Disks of a node: size in GiB, with a type or a snapshot; ephemeralN is one of the instance's own. "
        "They go with the instance.",
        unit="DEVICE=SIZE, DEVICE=SIZE:TYPE, DEVICE=SNAPSHOT:SIZE, DEVICE=ephemeral0 or DEVICE=none, as a list",
        example='["/dev/sda1=40:gp3", "/dev/sdb=ephemeral0"]',
        shown="none, for the image's",
    )
    validate_certs: fields.YesNo = key("True", "Check the cloud's certificate.", unit="True, False")
    spot_bid: fields.Money = key(
        "0", "Highest price of an hour of a spot instance.", unit="amount", shown="0, for no spot instances"
    )
    spot_timeout: fields.Seconds = key(
        "0",
        "For how long spot instances may be refused before the full price is paid, with `spot_on_demand`.",
        unit="duration",
        example="10m",
        shown="0, for ever",
    )
    spot_on_demand: fields.YesNo = key(
        "False", "Pay the full price when there has been no spot instance for `spot_timeout`.", unit="True, False"
    )
    spot_metadata: WebAddress = key(
        "http://169.254.169.254",
        "Where a spot instance looks for the notice that it is reclaimed; empty: it does not look.",
        unit="URL",
    )
    proxy: fields.Word = key("", "Host name of an HTTP proxy.", shown="none, or as the environment says")
    proxy_port: fields.PortNumber = key("0", "Its port.", unit="port number", shown="none")


class Node(PoolConfig):
    """What a node of ours has."""

    cores: fields.Some = key("1", "Cores of a node, as many slots for tasks.", unit="number", example="8")
    memory: fields.MaybeBytes = key("0", "Memory of a node.", unit="size", example="16 GiB", shown="0, for not said")
    walltime: fields.Walltime = key(
        "0",
        "How long a node lives; no task is placed on it that declares more time than is left.",
        unit='duration, or as batch systems have it, "12:00:00"',
        example="12:00:00",
        shown="0, for no limit",
    )


class Local(Node):
    """Node daemons as processes of the master's own machine."""

    interpreter: fields.Line = key("", "The Python that runs it.", unit="path", shown="empty, for the master's own")


class Batch(Node):
    """Pilots: node daemons inside jobs of a batch system, one node a job."""

    system: System = key(
        "slurm", "The batch system that is asked for them.", unit="slurm, sge or torque", example="sge"
    )
    queue: fields.Word = key("", "Queue (Slurm's partition).", unit="name", shown="empty, for the batch system's own")
    account: fields.Word = key("", "Account (SGE's project).", unit="name", shown="empty, for the batch system's own")
    gpus: fields.Count = key("0", "Gpus of a node.", unit="number")
    environment: fields.Word = key(
        "", "SGE's parallel environment, for more cores than one.", unit="name", example="smp", shown="empty, for none"
    )
    memory_resource: fields.Word = key(
        "h_vmem", "What SGE calls the memory of a slot (`qconf -sc` lists all); none: it is not asked for.", unit="name"
    )
    gpu_resource: fields.Word = key("gpu", "What SGE calls gpus; none: they are not asked for.", unit="name")
    max_nodes: fields.Count = key(
        "0", "How many nodes the site lets you have at a time.", unit="number", shown="0, for `quantity: max`"
    )
    max_processors_per_node: fields.Count = key(
        "0", "How many cores of one node the site lets you have.", unit="number", shown="0, for no limit"
    )
    directives: fields.Lines = key(
        "",
        "More directives of the batch system, without the #SBATCH, #$ or #PBS in front.",
        unit="lines, as a list",
        example='["--exclusive", "--constraint=haswell"]',
        shown="none",
    )
    setup: fields.Lines = key(
        "",
        "Shell lines to run before the node starts.",
        unit="lines, as a list",
        example='["module load python"]',
        shown="none",
    )
    features: fields.Words = key(
        "", "Words that tasks may ask for, and that these nodes have.", unit="words, as a list", shown="none"
    )
    template: fields.File = key(
        "",
        "File with the job script, a jinja2 template; begin with what `asyncluster config template` prints.",
        unit="path",
        example="/etc/asyncluster/pilot.sh",
        shown="empty, for ours",
    )
    interpreter: fields.Line = key(
        "python3", "The Python of the compute nodes that has AsynCluster.", unit="path", example="/opt/venv/bin/python"
    )
    master: fields.Words = key(
        "",
        "Addresses at which compute nodes may find the master; each is tried.",
        unit="host or host:port, as a list",
        example="[head.ib.example.org, 10.0.0.1]",
        shown="empty, for all of the master's own addresses and its host name",
    )
    config_file: fields.File = key(
        "",
        "An asyncluster.conf that the compute nodes have already.",
        unit="path",
        example="/etc/asyncluster.conf",
        shown="empty: one is written to `folder`, mode 0600",
    )
    folder: fields.File = key(
        "",
        "Folder that the compute nodes see too, for that file, job scripts and logs.",
        unit="path",
        example="~/asyncluster-pilots",
        shown="empty, for pilots in the master's state folder",
    )
    retry_every: fields.SomeSeconds = key("10s", "How often a pilot without a master tries again.", unit="duration")
    give_up_after: fields.SomeSeconds = key(
        "30m", "A pilot that never reached its master ends itself after so long.", unit="duration"
    )
    stagger: fields.Fraction = key(
        "5%", "By how much of its walltime a pilot may end early, so that not all end at once.", unit="percentage"
    )
    submit_command: fields.Command0 = key(
        "", "Submits a job.", example="/opt/slurm/bin/sbatch", shown="empty, for sbatch or qsub"
    )
    list_command: fields.Command0 = key("", "Lists jobs.", shown="empty, for squeue or qstat")
    cancel_command: fields.Command0 = key("", "Cancels a job.", shown="empty, for scancel or qdel")
    release_command: fields.Command0 = key("", "Releases a held job.", shown="empty, for scontrol or qrls")

    @field_validator("master")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(fields.address, value))


setting = key
"""For the part that has a `key` of its own."""


class Hosts(PoolConfig):
    """A fixed list of machines, reached by ssh: on each at most one node, started when it is needed."""

    hosts: fields.Hosts = setting(
        "", "The machines.", unit="host or user@host, as a list", example="[desk1, root@desk2]", shown="none"
    )
    user: fields.User = setting(
        "", "User there, for machines without user@.", unit="name", shown="empty, as ssh's own configuration says"
    )
    key: fields.File = setting(
        "",
        "File with the private key, without a passphrase or known to the agent.",
        unit="path",
        example="/etc/asyncluster/id_ed25519",
        shown="empty, as ssh's own configuration says",
    )
    known_hosts: fields.File = setting(
        "",
        "File with the machines' host keys; one that is not in it is not spoken to.",
        unit="path",
        example="/etc/asyncluster/known_hosts",
        shown="empty, as ssh's own configuration says",
    )
    port: fields.PortNumber = setting(
        "0", "Port of their sshd.", unit="port number", shown="0, as ssh's own configuration says"
    )
    ssh_command: fields.Command0 = setting(
        "/usr/bin/ssh", "The ssh that is run; it never asks for a password.", unit="full path"
    )
    time_limit: fields.SomeSeconds = setting(
        "20s",
        "How long one ssh may take; a machine that does not answer keeps its node in our books.",
        unit="duration",
    )
    cores: fields.Count = setting(
        "0", "Cores of a node, as many slots for tasks.", unit="number", example="8", shown="0, for as many as it has"
    )
    memory: fields.MaybeBytes = setting("0", "Memory of a node.", unit="size", shown="0, for as much as it has")
    interpreter: fields.Line = setting(
        "python3", "The Python there that has AsynCluster.", unit="path", example="~/venv/bin/python"
    )
    master: fields.Words = setting(
        "",
        "Addresses at which they may find the master; each is tried.",
        unit="host or host:port, as a list",
        shown="empty, for the address from which ssh came to them",
    )
    config_file: fields.File = setting(
        "",
        "An asyncluster.conf that they have already.",
        unit="path",
        example="/etc/asyncluster.conf",
        shown="empty: one is written to `folder`, mode 0600",
    )
    folder: fields.File = setting(
        "~/.asyncluster-nodes",
        "Folder there for the node's files; it may lie in a home that the machines share.",
        unit="path",
    )

    @field_validator("master")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(fields.address, value))


class Custom(Node, Told):
    """Nodes from a cloud of your own: a class that gives `asyncluster.interfaces.ICloud`.

    The master makes it as `Class(reactor, pool, realm, folder, **arguments)`: the pool's settings, whose tag its
    instances are to bear, a private folder for what has to outlive the master, and what stands under `arguments:`
    here, by name, as texts; where `userdata_file` is given, also `userdata`, a function that gives a Deferred with the
    user data of the instance for an order.  `asyncluster.testing.cloud_contract` proves it.
    """

    gpus: fields.Count = key("0", "Gpus of a node.", unit="number")


POOLS: dict[str, type[PoolConfig]] = {
    "openstack": OpenStack,
    "aws": Aws,
    "local": Local,
    "batch": Batch,
    "hosts": Hosts,
}


def shape_of(kind: str) -> type[PoolConfig] | None:
    """The `config:` of a pool of that type; None: there is no such type."""
    return POOLS.get(kind) or (Custom if _CUSTOM.fullmatch(kind) else None)
