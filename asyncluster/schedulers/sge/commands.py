"""What Grid Engine's programs are told: argument lists, and nothing else."""

from __future__ import annotations

from itertools import takewhile

import attrs

from asyncluster.schedulers import words
from asyncluster.schedulers.template import Template, as_template, template


@attrs.frozen
class Commands:
    """The programs, as the administrator names them: those of Dynamic Cluster's manual, and what it did not need."""

    qstat: Template = attrs.field(default=template("qstat -xml -r"), converter=as_template)
    qhost: Template = attrs.field(default=template("qhost -q -xml {0} {1}"), converter=as_template)
    hostgroup: Template = attrs.field(default=template("qconf {0} hostgroup hostlist {1} {2}"), converter=as_template)
    qmod: Template = attrs.field(default=template("qmod {0} *@{1}"), converter=as_template)
    remove_node: Template = attrs.field(default=template("qconf -de {0}"), converter=as_template)
    set_slots: Template = attrs.field(default=template("qconf -rattr queue slots {0} {1}@{2}"), converter=as_template)
    unset_slots: Template = attrs.field(default=template("qconf -purge queue slots {0}@{1}"), converter=as_template)
    qconf_spl: Template = attrs.field(default=template("qconf -spl"), converter=as_template)
    qconf_sp: Template = attrs.field(
        default=template("qconf -sp {0} | grep allocation_rule | awk '{{print $2}}'"), converter=as_template
    )
    qdel: Template = attrs.field(default=template("qdel -f {0}"), converter=as_template)
    add_host: Template = attrs.field(default=template("qconf -ah {0}"), converter=as_template)
    stop_host: Template = attrs.field(default=template("qconf -ke {0}"), converter=as_template)
    forget_host: Template = attrs.field(default=template("qconf -dh {0}"), converter=as_template)
    queue_hosts: Template = attrs.field(default=template("qconf {0} queue hostlist {1} {2}"), converter=as_template)
    add_slots: Template = attrs.field(default=template("qconf -aattr queue slots [{2}={0}] {1}"), converter=as_template)
    reschedule: Template = attrs.field(default=template("qmod -f -rj {0}"), converter=as_template)
    group_hosts: Template = attrs.field(default=template("qconf -shgrp_resolved {0}"), converter=as_template)
    qsub: Template = attrs.field(default=template("qsub -terse"), converter=as_template)
    qrls: Template = attrs.field(default=template("qrls {0}"), converter=as_template)
    cancel: Template = attrs.field(default=template("qdel {0}"), converter=as_template)

    def jobs(self) -> tuple[str, ...]:
        """All jobs of everybody; those that run with each of their slots."""
        return self.qstat.argv(more=("-g", "t", "-u", "*"))

    def details(self) -> tuple[str, ...]:
        """Everything of all jobs: only there stand their accounts."""
        program = takewhile(lambda word: not word.startswith("-"), self.qstat.words)  # it may be a script's argument
        return (*program, "-xml", "-j", "*")

    def hosts(self) -> tuple[str, ...]:
        """All hosts, with what each queue has there."""
        return self.qhost.argv()

    def group(self, add: bool, host: str, group: str) -> tuple[str, ...]:
        """Put a host into a group (its name without '@'), or take it out."""
        return self.hostgroup.argv("-aattr" if add else "-dattr", words.host(host), f"@{words.account(group)}")

    def members(self, group: str) -> tuple[str, ...]:
        """The hosts of a group."""
        return self.group_hosts.argv(f"@{words.account(group)}")

    def queue(self, add: bool, host: str, queue: str) -> tuple[str, ...]:
        """Have a queue list a host itself, or no more."""
        return self.queue_hosts.argv("-aattr" if add else "-dattr", words.host(host), words.queue(queue))

    def first_slots(self, slots: int, queue: str, host: str) -> tuple[str, ...]:
        """Slots of a host that the queue does not have yet."""
        return self.add_slots.argv(str(slots), words.queue(queue), words.host(host))

    def slots(self, slots: int, queue: str, host: str) -> tuple[str, ...]:
        """Slots that a queue has on a host."""
        return self.set_slots.argv(str(slots), words.queue(queue), words.host(host))

    def no_slots(self, queue: str, host: str) -> tuple[str, ...]:
        """The queue knows nothing special of the host."""
        return self.unset_slots.argv(words.queue(queue), words.host(host))

    def able(self, enable: bool, host: str) -> tuple[str, ...]:
        """All queues may use a host, or none."""
        return self.qmod.argv("-e" if enable else "-d", words.host(host))

    def submit(self, extra: tuple[str, ...], held: bool) -> tuple[str, ...]:
        """What reads a script on its standard input."""
        return self.qsub.argv(more=(*(("-h",) if held else ()), *extra))
