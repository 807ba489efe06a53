"""What Torque prints, recorded from a real one: read rightly when whole, refused when cut short or spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.errors import NoAnswerError
from asyncluster.model.batch import BatchState, Chunk
from asyncluster.model.node import NodeState
from asyncluster.schedulers.torque import parse
from asyncluster.schedulers.torque.commands import Commands

DATA = Path(__file__).parents[2] / "data" / "torque"


def sample(name: str) -> str:
    """A recorded output."""
    return (DATA / f"{name}.stdout").read_text()


QUEUE, NODES = sample("multi-qstat-x-t"), sample("multi-pbsnodes-x")
QUEUES = [path.stem for path in DATA.glob("*.stdout") if "<Job>" in path.read_text()]
NODE_LISTS = [path.stem for path in DATA.glob("*.stdout") if "<Node>" in path.read_text()]


@pytest.mark.parametrize("name", QUEUES)
def test_recorded_queues(name: str) -> None:
    """Each has all the jobs that its text names and that are not over."""
    text = sample(name)
    parts = [part for part in text.split("<Job>")[1:] if "<job_state>C<" not in part]
    assert [job.id for job in parse.jobs(text)] == [part.split("<Job_Id>")[1].split("<")[0] for part in parts]


@pytest.mark.parametrize("name", NODE_LISTS)
def test_recorded_nodes(name: str) -> None:
    """Each has all the nodes that its text names."""
    text = sample(name)
    assert [node.name for node in parse.nodes(text)] == [part.split("<")[0] for part in text.split("<name>")[1:]]


def test_jobs() -> None:
    """States, requests of every form, arrays, where jobs run."""
    jobs = {job.id: job for job in parse.jobs(QUEUE, ["node1", "node2", "node3"], {"23": 77.0})}
    two = jobs["22.head"]
    assert (two.state, two.nodes, two.cores_on) == (BatchState.RUNNING, ("node2", "node1"), (2, 2))
    assert (two.chunks, two.account, two.walltime, two.owner) == ((Chunk(2, 2),), "projA", 3600.0, "burst")
    assert jobs["23.head"].chunks == (Chunk(0, 3),)
    assert jobs["23.head"].priority == 77.0
    assert jobs["24.head"].chunks == (Chunk(1, 2, 0, 0, ("CLOUD",)),)
    assert jobs["27.head"].chunks == (Chunk(1, 2, 0, 0, ("CLOUD",)), Chunk(1, 1, 0, 0, ("hostname=node1",)))
    states = {name: job.state for name, job in jobs.items()}
    assert states["25[0].head"] is BatchState.RUNNING
    assert states["25[2].head"] is BatchState.BLOCKED  # by the limit of its array
    assert states["26.head"] is BatchState.HELD
    assert states["28.head"] is BatchState.BLOCKED  # until a date


def test_dependencies() -> None:
    """A job that waits for another is blocked, the other is not."""
    jobs = {job.id: job for job in parse.jobs(sample("qstat-x-t"))}
    assert jobs["11.head"].state is BatchState.BLOCKED
    assert jobs["2.head"].state is BatchState.RUNNING
    assert jobs["10.head"].state is BatchState.HELD
    assert jobs["3.head"].reason.startswith("Not Running: Not enough")


@pytest.mark.parametrize(
    ("asked", "properties"),
    [
        ("<neednodes>CLOUD</neednodes><nodes>1:ppn=2</nodes>", ("CLOUD",)),
        ("<nodes>1:ppn=2:CLOUD</nodes><neednodes>CLOUD</neednodes>", ("CLOUD",)),
        ("<nodes>2:ppn=2:big</nodes><neednodes>1:CLOUD:x</neednodes>", ("big", "CLOUD", "x")),
        ("<nodes>1:ppn=2:gpus=1:exclusive_process</nodes>", ()),
        ("<nodes>1:ppn=2:gpus=1:shared:big</nodes>", ("big",)),
        ("<nodes>1:ppn=2:shared</nodes>", ("shared",)),
        ("<procs>3</procs><nodes>1</nodes><neednodes>CLOUD</neednodes>", ("CLOUD",)),
        ("<nodes>1:ppn=2</nodes><neednodes>1:ppn=2</neednodes>", ()),
        ("<nodes>1</nodes><neednodes>node7</neednodes>", ()),
        ("<nodes>1</nodes><neednodes>node9:ppn=1</neednodes>", ()),
    ],
)
def test_what_a_queue_asks_for(asked: str, properties: tuple[str, ...]) -> None:
    """Its `resources_default.neednodes`, as Dynamic Torque's manual has it; not where a job has run before."""
    text = (
        f"<Data><Job><Job_Id>1.head</Job_Id><job_state>Q</job_state><Resource_List>{asked}</Resource_List></Job></Data>"
    )
    (job,) = parse.jobs(text, ["node7"])
    assert [chunk.properties for chunk in job.chunks] == [properties]


def test_empty_queue() -> None:
    """An empty queue says so; nothing at all does not."""
    assert parse.jobs(sample("qstat-x-empty")) == ()
    for text in ("", "\n", '<?xml version="1.0"?>\n'):
        with pytest.raises(NoAnswerError):
            parse.jobs(text)


def test_nodes() -> None:
    """Busy, offline, dead, new."""

    def states(name: str) -> dict[str, str]:
        return {node.name: node.state.value for node in parse.nodes(sample(name))}

    assert states("multi-pbsnodes-x") == {"node1": "busy", "node2": "busy", "node3": "busy"}
    assert states("pbsnodes-x-down-new") == {"node1": "starting", "node2": "starting"}
    assert states("pbsnodes-x-offline-note") == {"node1": "held"}
    assert states("dead-pbsnodes-x") == {"node1": "idle", "node2": "idle", "node3": "error"}
    assert states("drain-pbsnodes-x") == {"node3": "holding"}
    three = parse.nodes(NODES)[2]
    assert (three.cores, three.used, three.jobs) == (2, 2, ("25[1].head", "25[0].head"))
    assert (three.properties, three.memory) == (("CLOUD",), 24684096 * 1024)
    assert "draining for burst" in parse.nodes(NODES)[0].said


@pytest.mark.parametrize(
    ("words", "used", "state"),
    [
        ("free", 0, NodeState.IDLE),
        ("free", 1, NodeState.BUSY),
        ("job-exclusive", 2, NodeState.BUSY),
        ("down,job-exclusive", 2, NodeState.ERROR),
        ("down,offline", 0, NodeState.ERROR),
        ("offline,job-exclusive", 2, NodeState.HOLDING),
        ("state-unknown", 0, NodeState.ERROR),
    ],
)
def test_states_of_nodes(words: str, used: int, state: NodeState) -> None:
    """Torque's words as our states."""
    assert parse.node_state(words, used) is state


@given(st.sampled_from([QUEUE, NODES]), st.floats(0, 1, exclude_max=True))
def test_a_short_listing_is_none(text: str, part: float) -> None:
    """Cut anywhere, it is never a queue or a cluster."""
    cut = text[: int(len(text.rstrip()) * part)]
    for read in (parse.jobs, parse.nodes):
        with pytest.raises(NoAnswerError):
            read(cut)


@given(st.text())
def test_garbage(text: str) -> None:
    """Something else altogether is no answer."""
    for read in (parse.jobs, parse.nodes, parse.reservations):
        with pytest.raises(NoAnswerError):
            read(text)


@given(st.integers(0, len(QUEUE) - 1), st.text(max_size=4), st.integers(0, 4))
def test_a_spoilt_queue_has_all_its_jobs_or_is_none(place: int, text: str, gone: int) -> None:
    """Whatever is written over it, a queue with fewer jobs is not read."""
    spoilt = QUEUE[:place] + text + QUEUE[place + gone :]
    try:
        jobs = parse.jobs(spoilt)
    except NoAnswerError:
        return
    assert len(jobs) >= 10 - spoilt.count("<job_state>C<")


def test_maui() -> None:
    """Reservations that people made, with their nodes; priorities."""
    text = """\
reservations on Sat Nov 21 02:00:00

            NodeName   Type    ReservationID JobState Task       Start    Duration  StartTime

               node1   User          projA.3      N/A    1   -00:00:10    INFINITE  Sat Nov 21
               node2   User         SYSTEM.0      N/A    1   -00:00:10    INFINITE  Sat Nov 21
               node3   User         SYSTEM.0      N/A    1   -00:00:10    INFINITE  Sat Nov 21
               node1    Job               17  Running    1   -00:00:10    00:10:00  Sat Nov 21
"""
    assert parse.reservations(text) == {"projA.3": {"node1"}, "SYSTEM.0": {"node2", "node3"}}
    text = """\
diagnosing job priority information (partition: ALL)

Job                    PRIORITY*   Cred(Class)
             Weights   --------       1(    1)

12                          1001   100.0( 10.0)
13[2]                        -20*  100.0( 10.0)
"""
    assert parse.priorities(text) == {"12": 1001.0, "13[2]": -20.0}


def test_commands() -> None:
    """The manual's commands, as they become argument lists."""
    commands = Commands()
    assert commands.nodes() == ("pbsnodes", "-x")
    assert commands.offline("n1") == ("pbsnodes", "-o", "n1")
    assert commands.add_node.argv("n1") == ("qmgr", "-c", "create node n1")
    assert commands.properties("n1", ("a", "b")) == ("qmgr", "-c", 'set node n1 properties = "a,b"')
    assert commands.cores("n1", 4) == ("qmgr", "-c", "set node n1 np = 4")
    assert commands.keep_for_account("n1", "projA") == ("setres", "-a", "projA", "n1")
    assert commands.reservations() == ("showres", "-n")
    assert commands.release("projA.3") == ("releaseres", "projA.3")


def test_what_is_said() -> None:
    """No answer and a refusal are told apart."""
    for path in [*DATA.glob("down-*.stderr"), *DATA.glob("notrqauthd-*.stderr")]:
        if path.stem != "down-qterm":
            assert parse.refuses_to_talk(path.read_text()), path
    for name in ("dead-qdel", "qdel-unknown", "qmgr-denied", "qsub-badqueue", "qsub-bigreq", "qmgr-create-existing"):
        assert not parse.refuses_to_talk((DATA / f"{name}.stderr").read_text()), name


def test_submitted() -> None:
    """The job's identifier, of an array too."""
    assert parse.submitted(sample("qsub-basic")) == "1.head"
    assert parse.submitted(sample("qsub-array")) == "8[].head"
