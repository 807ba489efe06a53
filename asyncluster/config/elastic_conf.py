"""The shape of asyncluster.yaml, but for what depends on a type (`cluster_conf.py`, `cloud_conf.py`).

A dynamiccluster.yaml is read unchanged: the sections, keys and defaults are Dynamic Cluster's; what is ours comes
beside them.  The reference page, `etc/asyncluster.yaml` and every message about a key are made from here.
"""

from __future__ import annotations

from asyncluster.config import elastic_fields as fields
from asyncluster.config.elastic_section import Part
from asyncluster.config.section import key


class AdminServer(Part):
    """The built-in HTTP server: REST interface and dashboard."""

    port: fields.PortNumber = key("8001", "Its port, on this machine only.", unit="port number")


class PortChecker(Part):
    """A node is set up when a port of it answers."""

    number: fields.PortNumber = key("0", "The port.", unit="port number", example="15002", shown="0, for no such check")


class PluginChecker(Part):
    """A node is set up when a class says so: Salt's high state by `dynamiccluster.salt.SaltChecker`, or your own.

    What stands under `arguments:` is given to the class. The one for Salt takes `command` (Salt's, perhaps with
    options, such as `/usr/bin/salt -c /etc/salt`), `time_limit` (of one such command) and `asks`: `highstate`, the
    default, or `ping`, for minions that only have to answer. A class of your own is called with Twisted's reactor and
    the arguments, and gives `asyncluster.interfaces.IReadinessCheck`.
    """

    name: fields.Dotted = key(
        "",
        "The class.",
        unit="dotted name",
        example="dynamiccluster.salt.SaltChecker",
        shown="empty, for no such check",
    )


class DynamicCluster(Part):
    """How often to look, when to launch and when to give up; all durations may be plain seconds or `10m`."""

    max_idle_time: fields.Seconds = key("600", "How long a node may be idle before it is deleted.", unit="duration")
    max_down_time: fields.Seconds = key(
        "480", "How long a node may be down (in an error state) before it is deleted.", unit="duration"
    )
    max_launch_time: fields.SomeSeconds = key(
        "1200",
        "How long a node may take until it is of use, from when its cloud began it (a batch job: from when it runs, "
        "however long it was queued); then it is destroyed.",
        unit="duration",
    )
    cluster_poller_interval: fields.SomeSeconds = key("10", "How often the cluster is asked.", unit="duration")
    cloud_poller_interval: fields.SomeSeconds = key("20", "How often the clouds are asked.", unit="duration")
    auto_provision_interval: fields.SomeSeconds = key(
        "60", "How often it is decided whether waiting jobs need more nodes.", unit="duration"
    )
    worker_number: fields.Workers = key(
        "8",
        "How many launches of one pool are made at a time, and as many ends beside them; more than 8 wait for the "
        "threads of their pool.",
        unit="number",
    )
    auto_mode: fields.YesNo = key(
        "True",
        "Launch and delete nodes as the work asks for it; False leaves both to the administrator.",
        unit="True, False",
    )
    post_vm_provision_command: fields.Command3 = key(
        "",
        "Command to run when a cloud has an instance up; {0} is its host name, {1} its address, {2} its name.",
        unit="full path with arguments",
        example="/usr/local/sbin/machine-up {0} {1} {2}",
        shown="empty, for none",
    )
    post_vm_destroy_command: fields.Command3 = key(
        "",
        "Command to run when an instance is gone from its cloud; {0} is its host name, {1} its address, {2} its name.",
        unit="full path with arguments",
        example="/usr/local/sbin/machine-gone {0} {1} {2}",
        shown="empty, for none",
    )
    hook_time_limit: fields.SomeSeconds = key(
        "60s",
        "How long one run of such a command may take, before it is ended with what it started.  What it leaves in the "
        "background when it ends by itself goes on, and keeps nobody waiting.",
        unit="duration",
    )
    hook_retries: fields.Count = key("2", "How often such a command that failed is run again.", unit="number")
    passive_mode: fields.YesNo = key(
        "False",
        "Launch nodes only when asked from outside (`asyncluster pool request`, from a prologue or a submit filter).",
        unit="True, False",
    )
    end_with_master: fields.YesNo = key(
        "False",
        "End all nodes when the master is stopped; False: they go on for as long as the lease, for the next master.",
        unit="True, False",
    )
    lease: fields.SomeSeconds = key(
        "30m",
        "A node that has not heard from its master for so long ends itself, so that none is left behind.",
        unit="duration",
    )


class Reservation(Part):
    """Whom the nodes of a pool serve; what is empty limits nothing."""

    queue: fields.Word = key("", "Only jobs of this queue.", unit="name", shown="empty, for all")
    account: fields.Word = key("", "Only jobs that name this account.", unit="name", shown="empty, for all")
    property: fields.Word = key("", "Jobs that ask for this property of a node.", unit="name", shown="empty, for none")


class Quantity(Part):
    """How many nodes a pool has, counting those that are queued or start."""

    min: fields.Count = key("0", "At least so many, with work or without.", unit="nodes")
    max: fields.Count = key("0", "Never more than so many.", unit="nodes", example="10", shown="none: has to be given")


class PoolPart(Part):
    """One pool of nodes, which Dynamic Cluster calls a resource."""

    priority: fields.Rank = key("0", "Pools with lower numbers are used first.", unit="number")
    price: fields.Money = key("0", "What an hour of one node costs, in your money.", unit="amount", example="0.25")
    spawn_rate: fields.Amount = key("60", "How many nodes may be begun in a minute.", unit="nodes", example="5")
    backlog: fields.Count = key(
        "0",
        "How many nodes may be queued or starting at a time.",
        unit="nodes",
        shown="0, for as many as there is room",
    )


class Logging(Part):
    """Dynamic Cluster's log.  Read and checked; the master logs as `[common]` of its asyncluster.conf says."""

    log_level: fields.Level = key("2", "0 errors, 1 warnings, 2 information, 3 everything.", unit="0 to 3")
    log_location: fields.File = key(
        "",
        "The log file.",
        unit="path",
        example="/var/log/asyncluster/elastic.log",
        shown="empty, for the master's own log",
    )
    log_format: fields.Line = key(
        "%(asctime)s - %(levelname)s - %(processName)s - %(threadName)s - %(message)s",
        "What a line looks like.",
        unit="Python's logging format",
    )
    log_max_size: fields.FileSize = key(
        "2097152", "Above so many bytes the log file is begun anew; three old ones are kept.", unit="bytes"
    )


class Plugin(Part):
    """A plugin, under a name of your own."""

    class_name: fields.Dotted = key(
        "", "Its class.", unit="dotted name", example="dynamiccluster.graphite.GraphiteReporter", shown="none"
    )


class Graphite(Part):
    """Arguments of the graphite plugin, which sends the numbers of nodes and cores every minute."""

    hostname: fields.Word = key("localhost", "The machine with Graphite's carbon.", unit="host name")
    port: fields.PortNumber = key("2003", "Its port for plain text.", unit="port number")
    prefix: fields.Word = key("asyncluster", "What the names of the numbers begin with.", unit="dotted name")
