"""What Torque's and Maui's programs are told: argument lists, and nothing else."""

from __future__ import annotations

import attrs

from asyncluster.schedulers import words
from asyncluster.schedulers.template import Template, as_template, template

_RELEASE = "releaseres `showres -n | grep User | grep {0} | grep {1} | awk '{{print $3}}'`"


@attrs.frozen
class Commands:
    """The programs, as the administrator names them: those of Dynamic Cluster's manual, and what it did not need."""

    qstat: Template = attrs.field(default=template("qstat -x -t"), converter=as_template)
    pbsnodes: Template = attrs.field(default=template("pbsnodes {0} {1}"), converter=as_template)
    add_node: Template = attrs.field(default=template('qmgr -c "create node {0}"'), converter=as_template)
    check_node: Template = attrs.field(default=template("checknode {0}"), converter=as_template)
    remove_node: Template = attrs.field(default=template('qmgr -c "delete node {0}"'), converter=as_template)
    set_node: Template = attrs.field(default=template('qmgr -c "set node {0} {1} {2} {3}"'), converter=as_template)
    diagnose_p: Template = attrs.field(default=template("diagnose -p"), converter=as_template)
    showres: Template = attrs.field(default=template("showres -n | grep {0}"), converter=as_template)
    setres: Template = attrs.field(default=template("setres {0} {1} {2}"), converter=as_template)
    releaseres: Template = attrs.field(default=template(_RELEASE), converter=as_template)
    delete_job: Template = attrs.field(default=template("qdel -p {0}"), converter=as_template)
    signal_job: Template = attrs.field(default=template("qsig -s {0} {1}"), converter=as_template)
    rerun_job: Template = attrs.field(default=template("qrerun {0}"), converter=as_template)
    qsub: Template = attrs.field(default=template("qsub"), converter=as_template)
    qrls: Template = attrs.field(default=template("qrls {0}"), converter=as_template)
    cancel: Template = attrs.field(default=template("qdel {0}"), converter=as_template)

    def nodes(self) -> tuple[str, ...]:
        """All nodes."""
        return self.pbsnodes.argv("-x")

    def offline(self, name: str) -> tuple[str, ...]:
        """No new job there."""
        return self.pbsnodes.argv("-o", words.host(name))

    def online(self, name: str) -> tuple[str, ...]:
        """Jobs again."""
        return self.pbsnodes.argv("-c", words.host(name))

    def cores(self, name: str, cores: int) -> tuple[str, ...]:
        """How many cores jobs may have there."""
        return self.set_node.argv(words.host(name), "np", "=", str(cores))

    def properties(self, name: str, properties: tuple[str, ...]) -> tuple[str, ...]:
        """The node bears these words and no others (`+=` would add those twice that it bears)."""
        return self.set_node.argv(
            words.host(name), "properties", "=", '"' + ",".join(map(words.property_, properties)) + '"'
        )

    def keep_for_queue(self, name: str, queue: str) -> tuple[str, ...]:
        """Maui gives the node to jobs of that queue only."""
        return self.setres.argv("-q", words.queue(queue), words.host(name))

    def keep_for_account(self, name: str, account: str) -> tuple[str, ...]:
        """Maui gives the node to jobs of that account only."""
        return self.setres.argv("-a", words.account(account), words.host(name))

    def reservations(self) -> tuple[str, ...]:
        """All of Maui's reservations, by nodes."""
        return self.showres.argv()

    def release(self, reservation: str) -> tuple[str, ...]:
        """The end of one of Maui's reservations."""
        return self.releaseres.argv(more=(words.account(reservation),))

    def rerun(self, job: str, force: bool) -> tuple[str, ...]:
        """Have a job begin anew.  force: although its node does not answer."""
        return self.rerun_job.argv(words.job(job), more=("-f",) if force else ())

    def submit(self, extra: tuple[str, ...], held: bool) -> tuple[str, ...]:
        """What reads a script on its standard input."""
        return self.qsub.argv(more=(*(("-h",) if held else ()), *extra))
