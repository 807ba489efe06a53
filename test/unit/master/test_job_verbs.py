"""Jobs by number: who may, what is answered, and what stays when nobody is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from asyncluster.errors import RefusedError
from asyncluster.jobs.board import Board
from asyncluster.jobs.recovery import Recovered, recover
from asyncluster.master import for_clients, job_verbs
from asyncluster.master.for_clients import ClientPerspective
from asyncluster.master.job_verbs import MOST_RANGES, Ranges
from asyncluster.master.ledger import Ledger
from asyncluster.master.service import Master, MasterOptions
from asyncluster.master.spool import Spool
from asyncluster.master.turns import in_turns
from asyncluster.model.job import JobSpec
from asyncluster.model.journal import Entry, StoredJob
from asyncluster.model.messages import Cancel, Close, Code, Held, Kept, Outcome, Output, Result, Task
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Peer, Role

KEEP = 1000.0


class FakeLink:
    """A link that notes what it carries."""

    def __init__(self, name: str = "ann", admin: bool = False, role: Role = Role.CLIENT) -> None:
        self.peer = Peer(role, name, "here", admin=admin)
        self.carried: list[Any] = []
        self.received = 0
        self.connected = True
        self.handler: Any = None

    reading_held = False

    def keep_payloads(self, room: object, spoiled: object) -> None: ...

    def send_all(self, messages: list[Any]) -> None:
        self.carried += messages

    send_now = send_all

    def send(self, *messages: Any) -> None:
        self.carried += messages

    def close(self, reason: str = "") -> None:
        self.connected = False

    abort = close

    @property
    def results(self) -> list[int]:
        """Numbers of tasks whose results came."""
        return [message.seq for message in self.carried if isinstance(message, Result)]


class Journal:
    """Keeps rows in memory; all is durable at once."""

    waiting_bytes = 0

    def __init__(self) -> None:
        self.jobs: dict[int, StoredJob] = {}
        self.rows: list[Entry] = []

    def open_job(self, job: StoredJob) -> None:
        self.jobs[job.job] = job

    def append(self, entry: Entry) -> None:
        self.rows.append(entry)

    def rewrite(self, job: int, entries: Any) -> None:
        self.rows = [row for row in self.rows if row.job != job] + list(entries)

    def drop_job(self, job: int) -> None:
        del self.jobs[job]
        self.rows = [row for row in self.rows if row.job != job]

    def when_durable(self, callback: Any) -> None:
        callback()


def basic(value: object) -> bool:
    """Whether the wire carries it."""
    if isinstance(value, dict):
        return all(map(basic, [*value.keys(), *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(basic, value))
    return value is None or type(value) in (bool, int, float, str, bytes)


class House:
    """A master in memory with one node, and what its journal says."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.journal = Journal()
        self.folder = folder
        self.begin()

    def begin(self) -> None:
        """A master, the first or one after a kill."""
        self.master = Master(self.clock, MasterOptions(client_patience=60.0, keep_results=KEEP), Board())  # type: ignore[arg-type]  # a Clock is an IReactorTime, which zope cannot tell
        self.master.reception.spool = Spool(self.folder, 100_000, maybeDeferred)
        found = recover(self.journal.rows)
        jobs = [(job, found.get(number, Recovered())) for number, job in self.journal.jobs.items()]
        self.master.begin_with(Ledger(self.journal), "realm", len(jobs) + 1, jobs)
        self.clock.advance(5.0)
        facts = NodeFacts("n", "h", slots=100, cores=100, memory=0, python="3.11")
        self.node = FakeLink("n", role=Role.NODE)
        self.master.attach_node(facts, list[Held](), self.node)  # type: ignore[arg-type]  # a link, as far as one is needed

    def client(self, name: str = "ann", admin: bool = False) -> tuple[ClientPerspective, FakeLink]:
        """Somebody is proven."""
        link = FakeLink(name, admin)
        return ClientPerspective(self.master, link), link  # type: ignore[arg-type]  # as above

    def ask(self, client: ClientPerspective, verb: str, *args: Any) -> Any:
        """The answer to a verb, which comes at once."""
        answers: list[Any] = []
        maybeDeferred(client.verb, verb, args).addCallback(answers.append)
        assert all(map(basic, answers)), answers
        return answers[0] if answers else None

    def hand_in(self, client: ClientPerspective, count: int, **options: Any) -> int:
        """A job with so many tasks, which the node has."""
        job: int = self.ask(client, "open_job", {"reconnect": 10.0, **options})
        client.messages([Code(job, 0, 0, b""), *(Task(job, seq, 0, 0, b"") for seq in range(count))])
        self.clock.advance(0.1)
        return job

    def end(self, job: int, seq: int, outcome: int = Outcome.VALUE, payload: bytes = b"") -> None:
        """The node has done a task."""
        self.master.results("n", [Result(job, seq, 1, outcome, payload)])


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A master in memory."""
    return House(tmp_path)


def detached(house: House, count: int) -> int:
    """A job that was detached and whose client has gone."""
    client, link = house.client()
    job = house.hand_in(client, count, detached=True)
    house.ask(client, "detach", job, count + 1)
    link.connected = False
    client.lost("gone")
    return job


def test_a_detached_job_needs_no_client(house: House) -> None:
    """Its results wait, and each that attaches gets all of them from the first, and those that come."""
    job = detached(house, 3)
    house.clock.advance(500.0)
    house.end(job, 1)
    found = []
    for _ in range(2):
        client, link = house.client()
        answer = house.ask(client, "attach", job)
        assert (answer["tasks"], answer["more"], answer["yours"]) == ([[0, 2]], False, True)
        client.messages([Kept(job, 1)])  # changes nothing
        found.append(link)
    house.end(job, 0)
    assert [link.results for link in found] == [[1, 0], [1, 0]]
    found[0].carried.clear()
    house.end(job, 2)
    assert found[0].results == [2]


def test_it_is_detached_only_when_all_is_there(house: House) -> None:
    """A word that overtakes a large argument must not leave half a job; a client that goes before is waited for."""
    client, _ = house.client()
    job = house.hand_in(client, 2, detached=True)
    assert house.ask(client, "detach", job, 4) is None
    assert not house.ask(client, "job_info", job)["detached"]
    client.messages([Task(job, 2, 0, 0, b"")])
    house.clock.advance(0.1)
    assert house.ask(client, "job_info", job)["detached"]


def test_a_client_that_dies_before_leaves_no_job(house: House) -> None:
    """What was not detached ends with its client."""
    client, _ = house.client()
    job = house.hand_in(client, 2, detached=True)
    client.lost("killed")
    house.clock.advance(10.0)
    with pytest.raises(RefusedError, match="job list"):
        house.client()[0].verb("job_info", (job,))


@pytest.mark.parametrize(
    ("verb", "rest"),
    [
        ("attach", ()),
        ("detach", (0,)),
        ("job_info", ()),
        ("job_tasks", (-1,)),
        ("job_failed", (0,)),
        ("cancel_job", ([],)),
        ("drop_tasks", ([],)),
        ("forget_job", ()),
        ("job_output", (-1, 0, 0, 0)),
    ],
)
def test_others_are_refused(house: House, verb: str, rest: tuple[Any, ...]) -> None:
    """To another user there is no such job; an administrator may."""
    job = detached(house, 1)
    stranger, _ = house.client("bob")
    with pytest.raises(RefusedError, match=f"no job {job} here"):
        stranger.verb(verb, (job, *rest))
    with pytest.raises(RefusedError, match="no job 99 here"):
        stranger.verb(verb, (99, *rest))
    administrator, _ = house.client("root", admin=True)
    administrator.verb(verb, (job, *rest))


def test_an_administrator_is_told_whose_results_they_are(house: House) -> None:
    """They are pickles: the client reads only its own."""
    job = detached(house, 1)
    administrator, _ = house.client("root", admin=True)
    answer = house.ask(administrator, "attach", job)
    assert (answer["yours"], answer["owner"]) == (False, "ann")


def test_a_job_with_a_client_is_not_attached_to(house: House) -> None:
    """It cannot be forgotten either; both say what there is to do."""
    client, _ = house.client()
    job = house.hand_in(client, 1)
    for verb in ("attach", "forget_job"):
        with pytest.raises(RefusedError, match="not detached"):
            house.client()[0].verb(verb, (job,))


def test_after_a_kill_it_is_as_before(house: House) -> None:
    """Tasks, results, failures, output, and that it needs no client."""
    job = detached(house, 3)
    house.master.output("n", Output(job, 1, 1, "n/1", b"hello"))
    house.end(job, 1, Outcome.EXCEPTION, b"why")
    house.begin()
    house.clock.advance(500.0)
    client, link = house.client()
    assert house.ask(client, "attach", job)["tasks"] == [[0, 2]]
    assert link.results == [1]
    info = house.ask(client, "job_info", job)
    assert (info["detached"], info["done"], info["failed"], info["queued"] + info["running"]) == (True, 0, 1, 2)
    assert house.ask(client, "job_failed", job, 0) == {"ends": [(1, Outcome.EXCEPTION, b"why")], "count": 1}
    assert house.ask(client, "job_output", job, 1, 0, 0, 0)["pieces"] == [(1, 1, b"hello")]


def test_one_that_was_never_detached_does_not_stay_after_a_kill(house: House) -> None:
    """Its client had not handed everything in."""
    client, _ = house.client()
    job = house.hand_in(client, 3, detached=True)
    house.begin()
    house.clock.advance(60.0)
    assert house.ask(house.client()[0], "jobs") == []
    assert job not in house.journal.jobs


def test_results_are_kept_for_so_long(house: House) -> None:
    """Counted from the end of the last task; then journal and disk know nothing of it."""
    job = detached(house, 2)
    house.master.output("n", Output(job, 0, 1, "n/1", b"hello"))
    house.end(job, 0)
    house.clock.advance(10 * KEEP)
    house.end(job, 1)
    client, link = house.client()
    house.ask(client, "attach", job)
    house.clock.advance(KEEP - 1)
    assert job in house.journal.jobs
    house.clock.advance(1)
    assert job not in house.journal.jobs
    assert link.carried[-1] == Close(job)
    assert not any(house.folder.iterdir())


def test_forget(house: House) -> None:
    """Everything of it is gone; others who watch it are told."""
    job = detached(house, 2)
    house.master.output("n", Output(job, 0, 1, "n/1", b"hello"))
    (first, ours), (second, theirs) = house.client(), house.client()
    for client in (first, second):
        house.ask(client, "attach", job)
    house.ask(first, "forget_job", job)
    assert Close(job) not in ours.carried
    assert Close(job) in theirs.carried
    assert house.ask(first, "jobs") == []
    assert not any(house.folder.iterdir())
    assert house.journal.jobs == {}


def test_cancel(house: House) -> None:
    """Some tasks, then all that are left; what has ended stays as it is."""
    job = detached(house, 4)
    house.end(job, 0)
    client, link = house.client()
    house.ask(client, "attach", job)
    with pytest.raises(RefusedError, match=f"job {job} has no task 99: its tasks are 0 to 3"):
        client.verb("cancel_job", (job, [1, 99]))
    assert house.ask(client, "cancel_job", job, [0, 1]) == 1
    assert house.ask(client, "cancel_job", job, []) == 2
    assert sorted(link.results) == [0, 1, 2, 3]
    info = house.ask(client, "job_info", job)
    assert (info["done"], info["failed"], info["cancelled"], info["queued"] + info["running"]) == (1, 0, 3, 0)
    ends = house.ask(client, "job_failed", job, 0)["ends"]
    assert sorted(ends) == [(seq, Outcome.CANCELLED, b"") for seq in (1, 2, 3)]
    with pytest.raises(RefusedError):
        client.verb("cancel_job", (job, ["1"]))
    house.begin()
    info = house.ask(house.client()[0], "job_info", job)
    assert (info["done"], info["failed"], info["cancelled"]) == (1, 0, 3)


def test_only_who_says_so_ends_what_runs(house: House) -> None:
    """A future that is not wanted any more lets its task run to its end, an order about the job does not."""
    job = detached(house, 3)
    client, _ = house.client()
    node = house.node
    assert house.ask(client, "drop_tasks", job, [0, 99]) == 1
    assert [each for each in node.carried if isinstance(each, Cancel)] == [Cancel(job, [0])]
    assert house.ask(client, "cancel_job", job, [1]) == 1
    assert node.carried[-1] == Cancel(job, [1], cut=True)
    assert house.ask(client, "drop_tasks", job, []) == 0


def test_output_of_a_task_that_never_was(house: House) -> None:
    """It is refused, as nothing would be shown."""
    client, _ = house.client()
    for count, told in ((0, "it has none"), (1, "its only task is 0"), (2, "its tasks are 0 to 1")):
        job = detached(house, count)
        with pytest.raises(RefusedError, match=f"job {job} has no task 6: {told}"):
            client.verb("job_output", (job, 6, 0, 0, 0))


def test_output_of_jobs_with_a_client_is_not_kept(house: House) -> None:
    """It goes to that one; the refusal says so."""
    client, link = house.client()
    job = house.hand_in(client, 1)
    house.master.output("n", Output(job, 0, 1, "n/1", b"hello"))
    assert any(isinstance(message, Output) for message in link.carried)
    with pytest.raises(RefusedError, match="is not kept"):
        client.verb("job_output", (job, -1, 0, 0, 0))


@pytest.mark.parametrize("args", [(-2, 0, 0, 0), (0, 3, 0, 0), (0, 0, -1, 0), (0, 0, 0, 2**70)])
def test_senseless_positions_are_refused(house: House, args: tuple[int, ...]) -> None:
    """Before the disk is asked."""
    job = detached(house, 1)
    with pytest.raises(RefusedError, match="job_output takes"):
        house.client()[0].verb("job_output", (job, *args))


def test_failures_come_in_pages(house: House) -> None:
    """What is long is left out of them, and no answer is larger than the wire carries."""
    job = detached(house, 60)
    for seq in range(60):
        house.end(job, seq, Outcome.EXCEPTION, b"x" * (20_000 if seq == 0 else 10_000))
    client, _ = house.client()
    found: list[tuple[int, int, bytes]] = []
    while len(found) < 60:
        page = house.ask(client, "job_failed", job, len(found))["ends"]
        assert 0 < sum(len(payload) for _, _, payload in page) <= 256 * 1024
        found += page
    assert [seq for seq, _, _ in found] == list(range(60))
    assert (found[0][2], len(found[1][2])) == (b"", 10_000)


def gathered(numbers: list[int]) -> Ranges:
    """All pieces at once."""
    clock = Clock()
    found: list[Ranges] = []
    in_turns(clock, Ranges.gather(numbers)).addCallback(found.append)  # type: ignore[arg-type]  # a Clock
    clock.pump([0.0] * 10)
    return found[0]


def test_ranges() -> None:
    """Neighbours are one range, and there is a limit to an answer; the next one goes on behind it."""
    assert gathered([]).page(-1) == ([], False)
    some = gathered([8, 0, 2, 1, 5, 7, 5])
    assert some.page(-1) == ([[0, 2], [5, 5], [7, 8]], False)
    assert some.page(0) == ([[1, 2], [5, 5], [7, 8]], False)
    assert some.page(2) == ([[5, 5], [7, 8]], False)
    assert some.page(8) == ([], False)
    many = gathered(list(range(0, 2 * MOST_RANGES + 2, 2)))
    found, more = many.page(-1)
    assert (len(found), more) == (MOST_RANGES, True)
    last = 2 * MOST_RANGES
    assert many.page(found[-1][1]) == ([[last, last]], False)


def test_pages_go_on_where_the_first_began(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of many ranges are gathered once; tasks that end meanwhile are still among them."""
    monkeypatch.setattr(job_verbs, "MOST_RANGES", 2)
    client, _ = house.client()
    job = house.ask(client, "open_job", {"detached": True})
    client.messages([Code(job, 0, 0, b""), *(Task(job, seq, 0, 0, b"") for seq in range(0, 10, 2))])
    house.clock.advance(0.1)
    board, gathered = house.master.board, list[int]()
    gather = board.alive_numbers

    def noted(number: int) -> list[int]:
        gathered.append(number)
        return gather(number)

    monkeypatch.setattr(board, "alive_numbers", noted)
    found, after, more = list[list[int]](), -1, True
    while more:
        answer = house.ask(client, "job_tasks", job, after)
        found += answer["tasks"]
        after, more = found[-1][1], answer["more"]
        house.end(job, 4)
    assert found == [[seq, seq] for seq in range(0, 10, 2)]
    assert gathered == [job]
    assert house.ask(client, "job_tasks", job, 4)["tasks"] == [[6, 6], [8, 8]]
    assert gathered == [job, job]


def test_of_one_job_a_link_the_pages_are_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jobs it asks for the first page of; and of none that it has forgotten."""
    monkeypatch.setattr(job_verbs, "MOST_RANGES", 2)
    client, _ = house.client()
    jobs = []
    for _ in range(3):
        job = house.ask(client, "open_job", {"detached": True})
        client.messages([Code(job, 0, 0, b""), *(Task(job, seq, 0, 0, b"") for seq in range(0, 10, 2))])
        house.ask(client, "detach", job, 6)
        jobs.append(job)
    house.clock.advance(0.1)
    for job in jobs:
        assert house.ask(client, "job_tasks", job, -1)["more"]
    verbs = client._by_number
    assert verbs._ranges is not None
    assert verbs._ranges[0] == jobs[-1]
    assert house.ask(client, "job_tasks", jobs[0], 2)["tasks"] == [[4, 4], [6, 6]]
    assert verbs._ranges[0] == jobs[0]
    house.ask(client, "forget_job", jobs[0])
    assert verbs._ranges is None


def test_each_owner_has_so_many_jobs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One person's jobs are counted over all links, detached ones too; another's do not count; closing gives room."""
    monkeypatch.setattr(for_clients, "MAX_JOBS", 2)
    first, _ = house.client("ann")
    second, _ = house.client("ann")
    other, _ = house.client("bob")
    job = house.hand_in(first, 1, detached=True)
    assert house.ask(second, "open_job", {}) is not None
    for each in (first, second):
        with pytest.raises(RefusedError, match="2 jobs of yours are open already"):
            each.verb("open_job", ({},))
    assert house.ask(other, "open_job", {}) is not None
    first.messages([Close(job)])
    assert house.ask(first, "open_job", {}) is not None


@pytest.mark.parametrize(
    "options", [{"niceness": "x"}, {"reconnect": 10**400}, {"niceness": float("inf")}, {"what": 1}]
)
def test_options_that_cannot_be(house: House, options: dict[str, Any]) -> None:
    """Wrong types, numbers without measure and unknown names are refused with a sentence, and the link lives on."""
    client, _ = house.client()
    with pytest.raises(RefusedError, match="the options of this job are not understood"):
        client.verb("open_job", (options,))
    assert house.hand_in(client, 1) > 0


def test_the_spec_says_that_it_is_kept() -> None:
    """As the wire brings it."""
    assert JobSpec(1, "ann", detached=True).detached
    assert attrs.asdict(JobSpec(1, "ann"))["detached"] is False


def test_what_its_client_took_stays(house: House) -> None:
    """A job that is to be detached keeps what its client has; so does the journal."""
    client, link = house.client()
    job = house.hand_in(client, 2, detached=True)
    house.end(job, 0)
    client.messages([Kept(job, 1)])
    house.ask(client, "detach", job, 3)
    assert link.results == [0]
    house.begin()
    again, found = house.client()
    assert house.ask(again, "attach", job)["tasks"] == [[0, 1]]
    assert found.results == [0]
