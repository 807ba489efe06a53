"""The shape of `cluster: config:` in asyncluster.yaml, by the type of the cluster.

The keys and defaults for Torque and SGE are Dynamic Cluster's, and its pipelines may stay as they are: no shell runs
them, the adapters do in Python what a `grep` or an `awk` behind a command asks for.
"""

from __future__ import annotations

from asyncluster.config import elastic_fields as fields
from asyncluster.config.elastic_section import Part
from asyncluster.config.section import key

_SGE = "/opt/sge/bin/lx-amd64"


class Cluster(Part):
    """What all types of cluster have in common."""

    queue_to_monitor: fields.Words = key(
        "", "Queues whose jobs count.", unit="names, as a list", example="[short, long]", shown="empty, for all"
    )
    queued_job_number_to_display: fields.Count = key(
        "30", "How many queued jobs are shown at most; all of them are counted.", unit="jobs"
    )
    post_add_node_command: fields.Command2 = key(
        "",
        "Command to run after a node was added to the cluster, with {0} its host name and {1} its address.",
        unit="full path with arguments",
        example="/usr/local/sbin/node-added {0} {1}",
        shown="empty, for none",
    )
    post_remove_node_command: fields.Command2 = key(
        "",
        "Command to run after a node was removed from the cluster, with {0} its host name and {1} its address.",
        unit="full path with arguments",
        example="/usr/local/sbin/node-removed {0} {1}",
        shown="empty, for none",
    )
    command_time_limit: fields.SomeSeconds = key(
        "30s", "How long one command of the batch system may take before it counts as no answer.", unit="duration"
    )


class OwnQueue(Cluster):
    """AsynCluster's own queue: its waiting tasks are the demand."""


class Torque(Cluster):
    """Torque, with Maui's reservations where Maui's commands are there, by node properties alone where not."""

    qstat_command: fields.Piped0 = key("/usr/bin/qstat -x -t", "Lists jobs; has to answer in XML (-x).")
    pbsnodes_command: fields.Piped2 = key(
        "/usr/bin/pbsnodes {0} {1}", "Asks for nodes (-x), holds (-o) and releases (-c) one: {0} option, {1} host name."
    )
    add_node_command: fields.Piped1 = key('/usr/bin/qmgr -c "create node {0}"', "Adds the node {0}.")
    check_node_command: fields.Piped1 = key("/usr/bin/checknode {0}", "Asks Maui for the state of the node {0}.")
    remove_node_command: fields.Piped1 = key('/usr/bin/qmgr -c "delete node {0}"', "Deletes the node {0}.")
    set_node_command: fields.Piped4 = key(
        '/usr/bin/qmgr -c "set node {0} {1} {2} {3}"', "Sets {1} of the node {0} by the operator {2} to {3}."
    )
    diagnose_p_command: fields.Piped0 = key("/usr/bin/diagnose -p", "Asks Maui for the priorities of jobs.")
    showres_command: fields.Piped1 = key("/usr/bin/showres -n | grep {0}", "Shows Maui's reservations of node {0}.")
    setres_command: fields.Piped3 = key(
        "/usr/bin/setres {0} {1} {2}", "Reserves by Maui: {0} option (-a or -q), {1} account or queue, {2} host name."
    )
    releaseres_command: fields.Piped2 = key(
        "/usr/bin/releaseres `/usr/bin/showres -n | grep User | grep {0} | grep {1} | awk '{{print $3}}' `",
        "Releases Maui's reservation of the node {0} for {1}.",
    )
    delete_job_command: fields.Piped1 = key("/usr/bin/qdel -p {0}", "Deletes the job {0}.")
    signal_job_command: fields.Piped2 = key(
        "/usr/bin/qsig -s {0} {1}", "Sends the signal {0} to the job {1}; read, so that old files work, and never run."
    )


class Sge(Cluster):
    """Sun, Son of or Univa Grid Engine."""

    qstat_command: fields.Piped0 = key(f"{_SGE}/qstat -xml -r", "Lists jobs; has to answer in XML (-xml).")
    qhost_command: fields.Piped2 = key(
        f"{_SGE}/qhost -q -j -xml {{0}} {{1}}", "Lists nodes with queues and jobs; -h and a name stand for {0} and {1}."
    )
    hostgroup_command: fields.Piped3 = key(
        f"{_SGE}/qconf {{0}} hostgroup hostlist {{1}} {{2}}",
        "Changes a host group: {0} is -aattr or -dattr, {1} the host name, {2} the group.",
    )
    qmod_command: fields.Piped2 = key(
        f"{_SGE}/qmod {{0}} *@{{1}}", "Enables (-e) and disables (-d) all queues, by {0}, on the node {1}."
    )
    remove_node_command: fields.Piped1 = key(f"{_SGE}/qconf -de {{0}}", "Deletes the node {0}.")
    set_slots_command: fields.Piped3 = key(
        f"{_SGE}/qconf -rattr queue slots {{0}} {{1}}@{{2}}", "Gives queue {1} so many slots {0} on the node {2}."
    )
    unset_slots_command: fields.Piped2 = key(
        f"{_SGE}/qconf -purge queue slots {{0}}@{{1}}", "Forgets the slots of queue {0} on the node {1}."
    )
    qconf_spl_command: fields.Piped0 = key(f"{_SGE}/qconf -spl", "Lists the parallel environments.")
    qconf_sp_command: fields.Piped1 = key(
        f"{_SGE}/qconf -sp {{0}} | grep allocation_rule | awk '{{{{print $2}}}}'",
        "Tells the allocation rule of the parallel environment {0}.",
    )
    qdel_command: fields.Piped1 = key(f"{_SGE}/qdel -f {{0}}", "Deletes the job {0} of a node that is dead.")
    add_host_command: fields.Piped1 = key(f"{_SGE}/qconf -ah {{0}}", "Lets the host {0} take part.")
    stop_host_command: fields.Piped1 = key(f"{_SGE}/qconf -ke {{0}}", "Ends the execution daemon of the host {0}.")
    forget_host_command: fields.Piped1 = key(f"{_SGE}/qconf -dh {{0}}", "The host {0} takes part no more.")
    queue_hosts_command: fields.Piped3 = key(
        f"{_SGE}/qconf {{0}} queue hostlist {{1}} {{2}}",
        "Changes the hosts of a queue: {0} is -aattr or -dattr, {1} the host name, {2} the queue.",
    )
    add_slots_command: fields.Piped3 = key(
        f"{_SGE}/qconf -aattr queue slots [{{2}}={{0}}] {{1}}",
        "Gives queue {1} its first slots {0} on the node {2}.",
    )
    group_hosts_command: fields.Piped1 = key(f"{_SGE}/qconf -shgrp_resolved {{0}}", "Lists the hosts of a group.")
    reschedule_command: fields.Piped1 = key(f"{_SGE}/qmod -f -rj {{0}}", "Has the job {0} begin anew elsewhere.")
    cancel_command: fields.Piped1 = key(f"{_SGE}/qdel {{0}}", "Deletes the job {0}.")


class Slurm(Cluster):
    """Slurm; its nodes join by themselves (dynamic nodes, or those that slurm.conf names)."""

    squeue_command: fields.Command0 = key("/usr/bin/squeue", "Lists jobs.", unit="full path, perhaps with arguments")
    scontrol_command: fields.Command0 = key(
        "/usr/bin/scontrol", "Lists, holds, resumes and deletes nodes.", unit="full path, perhaps with arguments"
    )
    sbatch_command: fields.Command0 = key(
        "/usr/bin/sbatch", "Submits jobs, those of `asyncluster pool check`.", unit="full path, perhaps with arguments"
    )
    scancel_command: fields.Command0 = key(
        "/usr/bin/scancel", "Cancels and signals jobs.", unit="full path, perhaps with arguments"
    )


CLUSTERS: dict[str, type[Cluster]] = {"asyncluster": OwnQueue, "torque": Torque, "sge": Sge, "slurm": Slurm}
