"""Commands as administrators write them, the pipelines of Dynamic Cluster's manual among them."""

from __future__ import annotations

import pytest

from asyncluster.errors import SchedulerError
from asyncluster.schedulers import words
from asyncluster.schedulers.slurm.commands import Commands
from asyncluster.schedulers.template import read_commands, template

SHOWRES = """\
            NodeName   Type    ReservationID JobState Task       Start    Duration  StartTime

               node1   User          projA.3      N/A    1   -00:00:10    INFINITE  Sat Nov 21
              node10   User          projA.4      N/A    1   -00:00:10    INFINITE  Sat Nov 21
               node1    Job               17  Running    1   -00:00:10    00:10:00  Sat Nov 21
"""


@pytest.mark.parametrize(
    ("text", "values", "argv"),
    [
        ("/usr/bin/qstat -x -t", (), ("/usr/bin/qstat", "-x", "-t")),
        ("/usr/bin/pbsnodes {0} {1}", ("-x",), ("/usr/bin/pbsnodes", "-x")),
        ('/usr/bin/qmgr -c "create node {0}"', ("n1",), ("/usr/bin/qmgr", "-c", "create node n1")),
        ("/x/qmod {0} *@{1}", ("-d", "n1"), ("/x/qmod", "-d", "*@n1")),
        ("/x/qhost -q -j -xml {0} {1}", (), ("/x/qhost", "-q", "-j", "-xml")),
    ],
)
def test_commands(text: str, values: tuple[str, ...], argv: tuple[str, ...]) -> None:
    """The manual's commands become argument lists; arguments that are empty are left out."""
    assert template(text).argv(*values) == argv


def test_pipelines() -> None:
    """`grep` takes whole words and `awk` a column, as the manual's pipelines mean them."""
    assert template("/usr/bin/showres -n | grep {0}").pick(SHOWRES, "node1") == [
        line for line in SHOWRES.splitlines() if line.strip().startswith("node1 ")
    ]
    rule = template("qconf -sp {0} | grep allocation_rule | awk '{{print $2}}'")
    assert rule.argv("mpi") == ("qconf", "-sp", "mpi")
    assert rule.pick("pe_name  mpi\nallocation_rule    $round_robin\n", "mpi") == ["$round_robin"]
    release = template(
        "/usr/bin/releaseres `/usr/bin/showres -n | grep User | grep {0} | grep {1} | awk '{{print $3}}' `"
    )
    assert release.inner is not None
    assert release.argv("node1", "projA") == ("/usr/bin/releaseres",)
    assert release.inner.argv("node1", "projA") == ("/usr/bin/showres", "-n")
    assert release.inner.pick(SHOWRES, "node1", "projA") == ["projA.3"]
    assert template("a | awk '{print $1}'").pick("x y") == ["x"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "| grep x",
        "qstat; reboot",
        "qstat > /etc/passwd",
        "qstat $HOME",
        "qstat && reboot",
        "qstat | sort",
        "qstat | grep -v x",
        "qstat | awk '{print $0}'",
        "qstat | awk 'BEGIN{system(1)}'",
        "a `b` c",
        "a `b",
        "a | grep x `b`",
        "a 'b",
        "qstat\nreboot",
    ],
)
def test_refused(text: str) -> None:
    """What only a shell could do is refused when it is read."""
    with pytest.raises(ValueError):
        template(text)


def test_values_never_become_more_words() -> None:
    """A value stays one argument, whatever it holds."""
    assert template("x {0}").argv("a b; c `d` {1}") == ("x", "a b; c `d` {1}")


def test_settings() -> None:
    """A configuration names commands; one that is not known is an error that lists those that are."""
    commands = read_commands(Commands, {"squeue_command": "/opt/slurm/bin/squeue -M a"}, "slurm")
    assert commands.jobs("t")[:4] == ("/opt/slurm/bin/squeue", "-M", "a", "-v")
    assert commands.cancel("7") == ("scancel", "7")
    with pytest.raises(ValueError, match="squeue_command"):
        read_commands(Commands, {"qstat_command": "x"}, "slurm")


@pytest.mark.parametrize("text", ["", "-x", "a b", "a\nb", "a;b", "a,b", "*", "a[1-2]", "é", "a" * 300, "a\0", "$a"])
def test_bad_names(text: str) -> None:
    """Names that are options, several names or none are refused."""
    for check in (words.host, words.queue, words.account, words.property_, words.address):
        with pytest.raises(SchedulerError):
            check(text)


def test_good_names() -> None:
    """Names that batch systems use are taken."""
    assert words.host("node-1.site.org") == "node-1.site.org"
    assert words.queue("all.q") == "all.q"
    assert words.address("fe80::1%eth0") == "fe80::1%eth0"
    for job in ("12", "12.head", "12[3].head", "12_4", "12.3"):
        assert words.job(job) == job
    with pytest.raises(SchedulerError):
        words.job("all")


def test_reasons() -> None:
    """A reason is one line without what a command could take for its own."""
    assert words.reason('a "b"\n=c|d[e]') == "a b c d e"
    assert words.reason("\n") == "no reason given"
