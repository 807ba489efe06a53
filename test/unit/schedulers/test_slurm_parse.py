"""What Slurm prints, recorded from a real one: read rightly when whole, refused when cut short or spoilt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.errors import NoAnswerError
from asyncluster.model.batch import BatchState, Chunk
from asyncluster.model.node import NodeState
from asyncluster.schedulers.slurm import parse
from asyncluster.schedulers.slurm.commands import FIELDS
from asyncluster.schedulers.slurm.hostlist import expand

DATA = Path(__file__).parents[2] / "data" / "slurm"
TOKEN = "0123456789ab"
JOBS = (DATA / "squeue-jobs.stdout").read_text()
NODES = (DATA / "scontrol-nodes.stdout").read_text()


def jobs() -> dict[str, parse.BatchJob]:
    """Of the recorded queue, by identifier; elements of the array that may not run yet are "…+"."""
    found: dict[str, parse.BatchJob] = {}
    for job in parse.jobs(JOBS, TOKEN, {"main": 2}):
        found[job.id + "+" * (job.id in found)] = job
    return found


def test_states() -> None:
    """Running, waiting, held, dependent and later jobs are told apart."""
    assert {name: job.state.value for name, job in jobs().items()} == {
        "1": "running",
        "2": "queued",
        "3": "held",
        "4_1": "running",
        "4_[4-19:3%2]": "queued",
        "4_[4-19:3%2]+": "blocked",
        "5": "queued",
        "6": "queued",
        "7": "blocked",
        "8": "blocked",
        "9": "running",
        "10": "queued",
    }


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions", "queued"),
        ("Nodes required for job are DOWN, DRAINED, REBOOTING or reserved for jobs in higher priority", "queued"),
        ("Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_partitions", "queued"),
        ("ReqNodeNotAvail, UnavailableNodes:host1", "queued"),
        ("Resources", "queued"),
        ("Dependency", "blocked"),
        ("Licenses", "blocked"),
        ("QOSMaxCpuPerUserLimit", "blocked"),
        ("JobHeldAdmin", "held"),
    ],
)
def test_why_jobs_wait(reason: str, state: str) -> None:
    """Those that one node more would help are demand; so are those whose nodes are all down or drained."""
    text = JOBS.replace("|PENDING~0123456789ab|Resources~", f"|PENDING~0123456789ab|{reason}~")
    assert text != JOBS or reason == "Resources"
    first = next(job for job in parse.jobs(text, TOKEN, {"main": 2}) if job.id == "2")
    assert (first.state.value, first.reason) == (state, reason)


def test_recorded_jobs_whose_nodes_are_down() -> None:
    """One whose partition has a drained node, one with the placeholder alone, and with both; one asks for a feature."""
    down = parse.jobs((DATA / "squeue-down.stdout").read_text(), TOKEN)
    assert {job.id: (job.state.value, job.queue, job.reason[:20]) for job in down} == {
        "1": ("queued", "listed", "Nodes required for j"),
        "2": ("queued", "mixed", "Nodes required for j"),
        "3": ("queued", "mixed", "ReqNodeNotAvail, Una"),
        "4": ("queued", "cloud", "Nodes required for j"),
    }


def test_running_job() -> None:
    """Where it runs, with how much, for how long, for whom."""
    job = jobs()["1"]
    assert (job.nodes, job.cores_on, job.cores) == (("host1",), (2,), 2)
    assert (job.account, job.queue, job.owner, job.walltime) == ("proja", "main", "root", 86400.0)
    assert job.submitted == 1795275547.0


def test_what_jobs_ask_for() -> None:
    """Nodes of their own, cores anywhere, cores together, memory and features."""
    assert jobs()["2"].chunks == (Chunk(2, 2, 100 * 1024**2),)
    assert jobs()["5"].chunks == (Chunk(0, 3, -(-100 * 1024**2 // 3)),)
    assert jobs()["6"].chunks == (Chunk(4, 2),)
    assert jobs()["4_1"].chunks == (Chunk(1, 2),)
    assert jobs()["9"].chunks == (Chunk(1, 1, 0, 0, ("CLOUD",)),)
    assert jobs()["10"].chunks == (Chunk(1, 1, 0, 0, ("hostname=host2",)),)
    assert jobs()["7"].reason == "Dependency"


def test_arrays() -> None:
    """Elements that wait are counted, and no more than the array's own limit counts as demand."""
    assert (jobs()["4_[4-19:3%2]"].count, jobs()["4_[4-19:3%2]+"].count) == (1, 5)
    assert jobs()["4_[4-19:3%2]+"].reason == "JobArrayTaskLimit"
    assert parse.array("1-6") == (6, 0)
    assert parse.array("1,3,5-9:2%4") == (5, 4)
    assert parse.array("N/A") == (1, 0)


def test_names_cannot_pretend() -> None:
    """A user's job name with line breaks and separators stays a name."""
    assert jobs()["3"].name == "new\nline"
    assert jobs()["3"].account == "acc\nou|nt"
    assert jobs()["2"].name == "two nodes | a=b"


@given(st.integers(0, len(JOBS) - 1))
def test_a_short_queue_is_no_queue(size: int) -> None:
    """A listing that was cut anywhere is never a queue."""
    with pytest.raises(NoAnswerError):
        parse.jobs(JOBS[:size], TOKEN)


@given(st.integers(0, len(JOBS) - 1), st.text(max_size=5), st.integers(0, 5))
def test_a_spoilt_queue_has_all_its_jobs_or_is_none(place: int, text: str, gone: int) -> None:
    """Whatever is written over it, no job is missing from what is read."""
    spoilt = JOBS[:place] + text + JOBS[place + gone :]
    try:
        read = parse.jobs(spoilt, TOKEN)
    except NoAnswerError:
        return
    assert len(read) >= 10


@given(st.text())
def test_garbage(text: str) -> None:
    """Something else altogether is no answer."""
    with pytest.raises(NoAnswerError):
        parse.jobs(text, TOKEN)
    with pytest.raises(NoAnswerError):
        parse.machines(text)


def test_nodes() -> None:
    """Busy, draining and dynamic nodes, with their partitions."""
    machines = parse.machines(NODES)
    seen = {node.name: node for node in machines.nodes}
    assert [node.state for node in machines.nodes] == [NodeState.BUSY, NodeState.HOLDING, NodeState.BUSY]
    assert "asyncluster: surplus" in seen["host2"].said
    assert (seen["host1"].cores, seen["host1"].used, seen["host1"].memory) == (2, 2, 500 * 1024**2)
    assert (seen["host3"].properties, seen["host3"].queues) == (("CLOUD",), ("cloud",))
    assert [(one.name, one.nodes, one.sets) for one in machines.partitions] == [
        ("main", ("host1", "host2"), ()),
        ("cloud", ("host3",), ("burst",)),
        ("listed", ("host1",), ()),
    ]


@given(st.integers(0, len(NODES.rstrip().removesuffix("scontrol:").rstrip()) - 5))
def test_a_short_list_of_nodes_is_none(size: int) -> None:
    """Cut anywhere before its last word it is no answer."""
    with pytest.raises(NoAnswerError):
        parse.machines(NODES[:size])


@pytest.mark.parametrize(
    ("sample", "states"),
    [
        ("scontrol-o-show-node", ["busy", "busy", "starting"]),
        ("dead-node", ["error"]),
        ("drain-busy-node", ["holding"]),
        ("cloud-node3-up", ["starting"]),
        ("cloud2-node3-up", ["idle"]),
        ("cloud-visible-node3", ["error"]),
        ("dynZ-node", ["idle"]),
        ("cloud-resumefail-1-nodes", ["idle", "idle"]),
        ("cloud-resumefail-2-nodes", ["idle", "idle"]),
    ],
)
def test_recorded_nodes(sample: str, states: list[str]) -> None:
    """Nodes of every kind that were recorded."""
    lines = (DATA / f"{sample}.stdout").read_text().splitlines()
    assert [parse.node(line).state.value for line in lines if line] == states


@pytest.mark.parametrize(
    ("words", "used", "never_came", "state"),
    [
        ("IDLE", 0, False, NodeState.IDLE),
        ("MIXED", 1, False, NodeState.BUSY),
        ("IDLE+COMPLETING", 0, False, NodeState.BUSY),
        ("DOWN*", 0, False, NodeState.ERROR),
        ("IDLE*", 0, False, NodeState.ERROR),
        ("IDLE+CLOUD+DRAIN", 0, True, NodeState.STARTING),
        ("IDLE+CLOUD+DRAIN", 0, False, NodeState.HELD),
        ("ALLOCATED+DRAIN", 2, False, NodeState.HOLDING),
        ("IDLE+CLOUD+POWERING_DOWN", 0, False, NodeState.DELETING),
        ("DOWN+DRAIN+INVALID_REG", 0, False, NodeState.ERROR),
    ],
)
def test_states_of_nodes(words: str, used: int, never_came: bool, state: NodeState) -> None:
    """Slurm's flags as our states."""
    assert parse.node_state(words, used, never_came) is state


def test_reservations() -> None:
    """Whom a node is kept for."""
    text = (DATA / "scontrol-reservations.stdout").read_text()
    assert parse.reservations(text) == {"asyncluster_host3": (("host3",), ("proja",))}
    assert parse.reservations("No reservations in the system\n") == {}
    with pytest.raises(NoAnswerError):
        parse.reservations(text[:60])
    for strange in ("who are you?", "", "\n"):
        with pytest.raises(NoAnswerError):
            parse.reservations(strange)


def test_submitted() -> None:
    """The job's number, and nothing that is not one."""
    assert parse.submitted((DATA / "sbatch-parsable.stdout").read_text()) == "3"
    assert parse.submitted("17;cluster2\n") == "17"
    for text in ("", "Submitted batch job 2\n", "12 13"):
        with pytest.raises(NoAnswerError):
            parse.submitted(text)


@pytest.mark.parametrize(
    "sample",
    [
        *("down-squeue", "down-sinfo", "down-scontrol", "down-scancel", "down-sbatch"),
        *("noconf-squeue", "noconf-sbatch"),
    ],
)
def test_no_answer(sample: str) -> None:
    """What the programs say when the controller is away, or nothing says where it is."""
    assert parse.refuses_to_talk((DATA / f"{sample}.stderr").read_text())


@pytest.mark.parametrize(
    "sample",
    [
        *("dynZ-delete-busy", "resume-again", "sbatch-badpart", "update-unknown-node", "scontrol-drain-denied"),
        *("squeue-j-unknown", "too-many-cpus-per-node"),
    ],
)
def test_refusals(sample: str) -> None:
    """A no is an answer."""
    assert not parse.refuses_to_talk((DATA / f"{sample}.stderr").read_text())


def test_hostlists() -> None:
    """Slurm's short form of names."""
    assert expand("node[1-3,7],x[01-02]y") == ("node1", "node2", "node3", "node7", "x01y", "x02y")
    assert expand("r[1-2]n[1-2]") == ("r1n1", "r1n2", "r2n1", "r2n2")
    assert expand("") == ()
    for text in ("node[1", "node]", "a,,b", "n[3-1]", "n[a]", "n[1-999999999]", "n[]", "a[1]]"):
        with pytest.raises(ValueError):
            expand(text)


def test_states_that_are_over_are_left_out() -> None:
    """A job that has ended is none, and counts for the number that Slurm gave."""
    over = JOBS.replace("~0123456789ab|RUNNING~", "~0123456789ab|COMPLETED~")
    assert BatchState.RUNNING not in {job.state for job in parse.jobs(over, TOKEN)}
    assert len(parse.jobs(over, TOKEN)) == 9


def columns(**changed: str) -> str:
    """The recorded job of two nodes, with other words in some columns; the names are those that squeue is asked."""
    _, _, records = JOBS.partition("\n2~")
    cells = dict(zip(FIELDS, ("2~" + records).partition(f"~{TOKEN}!\n")[0].split(f"~{TOKEN}|"), strict=True))
    record = f"~{TOKEN}|".join((cells | {name.replace("_", "-"): value for name, value in changed.items()}).values())
    return f"last_update_time=1795275553 records=1\n{record}~{TOKEN}!\n"


def test_a_job_that_shares_no_node_needs_whole_ones() -> None:
    """`--exclusive`: a free core on a busy node is no room for it."""
    (shared,) = parse.jobs(columns(), TOKEN)
    (alone,) = parse.jobs(columns(OverSubscribe="NO"), TOKEN)
    assert (shared.chunks[0].whole, alone.chunks[0].whole) == (False, True)
    assert (alone.chunks[0].nodes, alone.chunks[0].cores) == (2, 2)


@pytest.mark.parametrize(
    ("text", "gpus"),
    [("gres:gpu:2", 2), ("gres/gpu:a100:4", 4), ("gres:gpu", 1), ("gres:shard:3,gres:gpu:1", 1), ("N/A", 0)],
)
def test_gpus_count_where_the_site_does_not_track_them(text: str, gpus: int) -> None:
    """They are no part of the trackable resources unless `AccountingStorageTRES` names them."""
    (job,) = parse.jobs(columns(tres_per_node=text), TOKEN)
    assert job.chunks[0].gpus == gpus
    line = next(line for line in NODES.splitlines() if line.startswith("NodeName="))
    (told,) = re.findall(r"Gres=\S+", line)
    spelt = re.sub("^gres[:/]", "", text) if gpus else "(null)"
    has = parse.node(line.replace(told, f"Gres={spelt}(S:0-1) GresUsed={spelt}(IDX:0)" if gpus else told))
    assert (has.gpus, has.gpus_used) == (gpus, gpus)
