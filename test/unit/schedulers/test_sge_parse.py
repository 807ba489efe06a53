"""What Grid Engine prints, recorded from a real one: read rightly when whole, refused when cut short or spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.errors import NoAnswerError
from asyncluster.model.batch import BatchState, Chunk
from asyncluster.model.node import NodeState
from asyncluster.schedulers.sge import parse

DATA = Path(__file__).parents[2] / "data" / "sge"
RULES = {"mpi": "$round_robin", "smp": "$pe_slots", "four": "4"}


def sample(name: str) -> str:
    """A recorded output."""
    return (DATA / f"{name}.stdout").read_text()


QUEUE, HOSTS = sample("qstat-xml-r-g-dt"), sample("qhost-q-j-xml")
LISTS = [path.stem for path in DATA.glob("*.stdout") if "<job_info" in path.read_text()[:200]]
FLAT = [
    name for name in LISTS if not {"qstat-f", "qstat-F"} & {name[:7]} and "-f-" not in name and "qstat-f" not in name
]
HOST_LISTS = [path.stem for path in DATA.glob("*.stdout") if "<qhost" in path.read_text()[:200]]


@pytest.mark.parametrize("name", FLAT)
def test_recorded_queues(name: str) -> None:
    """Each has all the jobs that its text names."""
    text = sample(name)
    jobs = parse.jobs(text, RULES)
    numbers = {part.split("<")[0] for part in text.split("<JB_job_number>")[1:]}
    assert {job.id.partition(".")[0] for job in jobs} == numbers
    assert all(job.cores >= 1 or job.chunks[0].nodes == 0 for job in jobs)


@pytest.mark.parametrize("name", HOST_LISTS)
def test_recorded_hosts(name: str) -> None:
    """Each has all the hosts that its text names, but not the one that is none."""
    text = sample(name)
    names = {part.split("'")[0] for part in text.split("<host name='")[1:]} - {"global"}
    assert {node.name for node in parse.nodes(text)} == names


def test_jobs() -> None:
    """States, elements of arrays, environments, requests."""
    jobs = {job.id: job for job in parse.jobs(QUEUE, RULES)}
    assert (jobs["3"].state, jobs["3"].nodes, jobs["3"].cores_on) == (BatchState.RUNNING, ("node1",), (1,))
    assert (jobs["6.2"].nodes, jobs["6.1"].nodes) == (("node1",), ("node2",))
    assert (jobs["4"].state, jobs["4"].chunks) == (BatchState.QUEUED, (Chunk(0, 4),))
    assert (jobs["5"].chunks, jobs["5"].walltime) == ((Chunk(1, 2),), 600.0)
    assert jobs["3"].queue == "all.q"


def test_slots_of_a_running_job() -> None:
    """A job over several nodes has its slots there, and the extra row of its first task does not count."""
    (job,) = parse.jobs(sample("run-pe6-qstat-xml-gt"), RULES)
    assert dict(zip(job.nodes, job.cores_on, strict=True)) == {"node1": 2, "node2": 2, "node3": 2}
    assert job.cores == 6


def test_states() -> None:
    """Held by a person, waiting for a job, in error, being deleted."""
    jobs = {job.id: job for job in parse.jobs(sample("qstat-after-qhold"), RULES)}
    assert (jobs["8"].state, jobs["8"].queue) == (BatchState.HELD, "all.q")
    assert jobs["9"].state is BatchState.BLOCKED
    assert (jobs["7.3,5"].state, jobs["7.3,5"].count) == (BatchState.QUEUED, 2)
    jobs = {job.id: job for job in parse.jobs(sample("au2-qstat-dr-xml"), RULES)}
    assert (jobs["16"].state, jobs["17"].state) == (BatchState.ENDING, BatchState.BROKEN)
    assert jobs["17"].chunks[0].properties == ("hostname=node1",)
    assert parse.jobs(sample("au-qdel-dr"), RULES) == ()


def test_accounts() -> None:
    """They stand in the long listing only."""
    found = parse.accounts(sample("qstat-j-4-xml"))
    assert found == {"4": "projA"}
    assert {job.account for job in parse.jobs(QUEUE, RULES, found) if job.id == "4"} == {"projA"}
    assert parse.accounts(sample("qstat-j-unknown-xml")) == {}
    found = parse.accounts(sample("qstat-j-all-xml"))
    assert set(found.values()) == {"projA"}  # the account "sge" is that of jobs that name none


def test_a_group_of_hosts_decides_where_a_job_may_run() -> None:
    """It is asked of nodes as a property is, whatever account the job names."""
    text = QUEUE.replace("<hard_req_queue>", "<ignored>").replace("</hard_req_queue>", "</ignored>")
    text = text.replace("</job_list>", "<hard_req_queue>*@@projB</hard_req_queue></job_list>", 1)
    first = next(job for job in parse.jobs(text, RULES, {"4": "projA"}) if job.account == "projB")
    assert {chunk.properties[-1] for chunk in first.chunks} == {"@projB"}


@pytest.mark.parametrize(
    ("asked", "queue", "properties"),
    [
        (("long.q", "burst.q"), "long.q,burst.q", ()),
        (("long.q", "*@@projB"), "", ()),
        (("long.q@node1", "burst.q@node1"), "long.q,burst.q", ("hostname=node1",)),
        (("a.q@@projB", "b.q@@projB"), "a.q,b.q", ("@projB",)),
        (("a.q@node1", "a.q@node2"), "a.q", ()),
    ],
)
def test_any_of_several_queues_will_do(asked: tuple[str, ...], queue: str, properties: tuple[str, ...]) -> None:
    """`-q a,b` is an element for each; where they differ in the host, none of the hosts is needed."""
    facts = "<JB_job_number>77</JB_job_number><state>qw</state><slots>1</slots>"
    elements = "".join(f"<hard_req_queue>{one}</hard_req_queue>" for one in asked)
    text = f"<job_list>{facts}{elements}</job_list></job_info>".join(QUEUE.split("</job_info>", 1))
    found = parse.jobs(text, RULES)
    (job,) = [one for one in found if one.id == "77"]
    assert (job.queue, job.chunks[0].properties) == (queue, properties)


def test_nodes() -> None:
    """Busy, disabled, dead, never come, orphaned."""

    def states(name: str) -> dict[str, str]:
        return {node.name: node.state.value for node in parse.nodes(sample(name))}

    assert states("qhost-q-j-xml") == {"node1": "busy", "node2": "busy"}
    assert states("qhost-q-j-xml-disabled") == {"node1": "held", "node2": "idle"}
    assert states("au-qhost-q-j-xml")["node3"] == states("au3-qhost-q-xml")["node3"] == "error"
    assert states("dyn-03-qhost-noexecd")["node3"] == "starting"
    assert states("run-pe6-qhost-orphan")["node3"] == "holding"
    node = parse.nodes(HOSTS)[0]
    assert (node.cores, node.used, node.queues, node.memory) == (2, 2, ("all.q",), int(23.5 * 1024**3))


@pytest.mark.parametrize(
    ("states", "used", "state"),
    [
        (["", "d"], 0, NodeState.IDLE),
        (["d", "D"], 1, NodeState.HOLDING),
        (["a"], 0, NodeState.IDLE),
        (["E", "E"], 0, NodeState.ERROR),
        (["E", ""], 1, NodeState.BUSY),
        ([], 0, NodeState.HELD),
    ],
)
def test_states_of_nodes(states: list[str], used: int, state: NodeState) -> None:
    """Letters of all queues on a host together."""
    assert parse.node_state(states, used) is state


@given(st.sampled_from([QUEUE, HOSTS]), st.floats(0, 1, exclude_max=True))
def test_a_short_listing_is_none(text: str, part: float) -> None:
    """Cut anywhere, it is never a queue or a cluster."""
    cut = text[: int(len(text.rstrip()) * part)]
    with pytest.raises(NoAnswerError):
        parse.jobs(cut, RULES)
    with pytest.raises(NoAnswerError):
        parse.nodes(cut)


@given(st.text())
def test_garbage(text: str) -> None:
    """Something else altogether is no answer."""
    for read in (lambda: parse.jobs(text, RULES), lambda: parse.nodes(text), lambda: parse.accounts(text)):
        with pytest.raises(NoAnswerError):
            read()


@given(st.integers(0, len(QUEUE) - 1), st.text(max_size=4), st.integers(0, 4))
def test_a_spoilt_queue_has_all_its_jobs_or_is_none(place: int, text: str, gone: int) -> None:
    """Whatever is written over it, a queue with fewer rows is not read."""
    try:
        jobs = parse.jobs(QUEUE[:place] + text + QUEUE[place + gone :], RULES)
    except NoAnswerError:
        return
    assert len(jobs) >= len(parse.jobs(QUEUE, RULES)) - 1  # an element's number may have become another's


def test_the_other_listing_is_no_answer() -> None:
    """Hosts are no jobs, nor the other way round; entities are refused."""
    with pytest.raises(NoAnswerError):
        parse.jobs(HOSTS, RULES)
    with pytest.raises(NoAnswerError):
        parse.nodes(QUEUE)
    with pytest.raises(NoAnswerError):
        parse.jobs('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><job_info>&a;</job_info>', RULES)


def test_users_cannot_stop_it() -> None:
    """Requests and names that make no sense here are the user's business, and the others' jobs are read."""
    strange = QUEUE.replace(">600<", ">INFINITY<").replace("<full_job_name>pilot2<", "<full_job_name>\x01\x0b<")
    jobs = {job.id: job for job in parse.jobs(strange, RULES)}
    assert (jobs["5"].walltime, jobs["3"].name) == (0.0, "??")


def test_environments() -> None:
    """Whether parallel environments need to be known, and what their rules make of a job."""
    assert parse.environments(QUEUE)
    assert not parse.environments(sample("au-qdel-dr"))
    four = QUEUE.replace('name="mpi">4', 'name="four">4')
    assert {job.id: job.chunks for job in parse.jobs(four, RULES)}["4"] == (Chunk(1, 4),)


def test_what_is_said() -> None:
    """No answer, a refusal, and a no that does not matter are told apart."""
    for path in DATA.glob("down-*.stderr"):
        if path.stem != "down-qconf-km":
            assert parse.refuses_to_talk(path.read_text()), path
    assert parse.refuses_to_talk(sample("down-qdel"))
    assert parse.denied((DATA / "qconf-as-user-denied.stderr").read_text())
    assert parse.denied(sample("qmod-d-user-denied"))
    for name in ("dyn-01b-qconf-ah-again", "dyn-11b-purge-again", "dyn-13b-de-again"):
        assert parse.harmless((DATA / f"{name}.stderr").read_text())
    for name in ("dyn-02b-aattr-again", "qmod-e-again"):
        assert parse.harmless(sample(name))
    for name in ("dyn-07-de-while-in-group", "qsub-badqueue", "dyn-01c-qconf-ah-unresolvable"):
        text = (DATA / f"{name}.stderr").read_text()
        assert not parse.harmless(text)
        assert not parse.refuses_to_talk(text)


def test_submitted() -> None:
    """The job's number, of an array too."""
    assert parse.submitted(sample("qsub-terse")) == "3"
    assert parse.submitted(sample("qsub-array-terse")) == "7"
    for text in ("", "Your job 1 has been submitted", "-1"):
        with pytest.raises(NoAnswerError):
            parse.submitted(text)
