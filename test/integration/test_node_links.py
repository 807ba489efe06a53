"""A node daemon with real workers, and a stand-in for its master over real links that break."""

from __future__ import annotations

import functools
import getpass
import os
import pickle
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from asyncluster.errors import RefusedError
from asyncluster.model.messages import (
    STEPS,
    Beat,
    Cancel,
    Close,
    Code,
    CodeKind,
    Held,
    Job,
    Kept,
    Leaving,
    Message,
    Outcome,
    Output,
    Result,
    Started,
    Step,
    StepDone,
    StepKind,
    Task,
    decode_batch,
)
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Role
from asyncluster.node import service
from asyncluster.node.service import NodeService
from asyncluster.node.supervisor import Manner, Supervisor
from asyncluster.wire.connect import connect_unix
from asyncluster.wire.gate import Limits
from asyncluster.wire.link import Link
from asyncluster.wire.listen import UnixFactory
from asyncluster.wire.retry import Retry

pytestmark = pytest.mark.real
cloudpickle.register_pickle_by_value(sys.modules[__name__])
ME = getpass.getuser()
FOR_EVER = 1000
TERMS = {"heartbeat": 60.0, "silence": 600.0}


def log_and_wait(path: str, word: str) -> str:
    """Leave a word in a file, and end when there is another one beside it."""
    with open(path, "a") as log:
        log.write(word + "\n")
    while not os.path.exists(path + ".go"):
        time.sleep(0.005)
    return word


def write_in_turns(path: str, *sizes: int) -> None:
    """Write so many bytes, wait for a file, write the next."""
    for turn, size in enumerate(sizes):
        while not os.path.exists(f"{path}.{turn}"):
            time.sleep(0.005)
        sys.stdout.write("x" * size)
        sys.stdout.flush()


def say(text: str) -> None:
    print(text)


class Soon(Retry):
    """As the real one, but without long waits."""

    def failed(self, now: float, chance: float) -> float | None:
        return None if super().failed(now, chance) is None else 0.01


class MasterEnd:
    """The stand-in's end of one link."""

    def __init__(self, test: NodeLinksTest, link: Link) -> None:
        self.test, self.link = test, link
        self.got: list[Message] = []
        self.started: list[Started] = []
        self.held: list[Held] | None = None  # None: it has not registered
        self.lost_because = ""
        self.left = 0.0

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        if name == "realm" and self.test.realm:
            return self.test.realm
        if name == "heard" and self.test.hears is not None:
            return self.test.hears(args)
        if name != "register":
            raise RefusedError(f"no {name} here")
        facts, *held = args
        self.left = NodeFacts(**facts).left
        self.held = [each for piece in held for each in decode_batch(piece)]
        self.link.send_all(self.test.greeting)
        return self.test.hesitation or TERMS

    def messages(self, messages: list[Message]) -> None:
        assert self.held is not None, "nothing is said before it is registered"
        self.got += [message for message in messages if not isinstance(message, Beat | Started)]
        self.started += [message for message in messages if isinstance(message, Started)]

    def lost(self, reason: str) -> None:
        self.lost_because = reason

    @property
    def ends(self) -> list[tuple[int, int]]:
        """Job and seq of the results, in order."""
        return [(message.job, message.seq) for message in self.got if isinstance(message, Result)]

    def result(self, seq: int) -> Result:
        (found,) = [m for m in self.got if isinstance(m, Result) and m.seq == seq]
        return found

    @property
    def tasks(self) -> dict[int, list[int]]:
        """What it said that it held: job -> seqs."""
        return {each.job: sorted(seq for seq, _ in each.tasks) for each in self.held or []}


def answers(messages: Iterable[Message]) -> list[Message]:
    """Of tasks and steps; how long the steps took may have been told as well."""
    return [m for m in messages if isinstance(m, Result) or (isinstance(m, StepDone) and m.step != STEPS)]


class NodeLinksTest(TestCase):
    """Each test has a node of two slots, registered with a master whose realm is "one"."""

    timeout = 60

    async def setUp(self) -> None:
        self.children = {child.pid for child in psutil.Process().children(recursive=True)}
        self.folder = Path(tempfile.mkdtemp())
        self.log = str(self.folder / "log")
        self.realm = "one"
        self.door_open = True
        self.greeting: list[Message] = []  # what comes with the answer to `register`
        self.hears: Callable[[tuple[int, ...]], object] | None = self.all_that_came
        self.hesitation: Deferred[dict[str, float]] | None = None  # comes before it
        self.links: list[MasterEnd] = []
        self.turned_away = 0
        self.said: list[str] = []  # what the node called its end
        self.codes: dict[tuple[int, Any], int] = {}
        self.port = reactor.listenUNIX(
            str(self.folder / "socket"), UnixFactory(reactor, "", self.welcome, Limits(64, 16, 10.0, 1024))
        )
        await self.begin()

    async def begin(
        self, give_up_after: float = 0, output_limit: int = 100_000, lease: float = 0, lifetime: float = 0
    ) -> None:
        self.node = NodeService(
            reactor=reactor,
            connect=functools.partial(connect_unix, reactor, str(self.folder / "socket"), Role.CLIENT, "a"),
            facts=NodeFacts("a", "here", 2, 2, 0, "3"),
            make_supervisor=lambda tell: Supervisor(
                reactor, "a", 2, Manner(run_tasks_as=ME, output_limit=output_limit), tell
            ),
            retry=Soon(10, give_up_after, lease=lease),
            drain_limit=FOR_EVER,
            finished=self.said.append,
            lifetime=lifetime,
        )
        self.node.startService()
        self.master = await self.joined()

    async def tearDown(self) -> None:
        self.door_open = False
        if self.node.running:
            for end in self.links:
                end.link.abort()
            await self.until(lambda: self.node._link is None)
            await self.node.stopService()
        await self.port.stopListening()
        left = [child for child in psutil.Process().children(recursive=True) if child.pid not in self.children]
        assert left == [], "processes were left behind"

    def welcome(self, link: Link) -> MasterEnd:
        if not self.door_open:
            self.turned_away += 1
            raise RefusedError("the door is closed")
        self.links.append(MasterEnd(self, link))
        return self.links[-1]

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await deferLater(reactor, 0.005)

    async def joined(self) -> MasterEnd:
        """The next end that the node registers with."""
        seen = len(self.links)
        await self.until(lambda: len(self.links) > seen and self.links[-1].held is not None)
        await self.until(lambda: self.node._link is not None)
        return self.links[-1]

    async def part(self) -> None:
        """End the link; the node finds no other until `meet`."""
        self.door_open = False
        self.master.link.abort()
        before = self.turned_away
        await self.until(lambda: self.turned_away > before)

    async def meet(self) -> MasterEnd:
        """Let the node in again."""
        self.door_open = True
        self.master = await self.joined()
        return self.master

    async def kept_are(self, count: int) -> None:
        """So many messages are not safe."""
        await self.until(lambda: self.node.keeping.count == count)

    async def come(self, count: int) -> None:
        """So many messages have come to the present master."""
        await self.until(lambda: len(self.master.got) >= count)

    def give(self, seq: int, function: Any, *args: Any, job: int = 1) -> None:
        messages: list[Message] = []
        if not any(known == job for known, _ in self.codes):
            messages.append(Job(job, ME))
        code = self.codes.setdefault((job, function), len(self.codes))
        messages.append(Code(job, code, CodeKind.FUNCTION, cloudpickle.dumps(function)))
        messages.append(Task(job, seq, 1, code, pickle.dumps((args, {}))))
        self.master.link.send_all(messages)

    def go(self, what: str = "go") -> None:
        Path(f"{self.log}.{what}").touch()

    def runs(self) -> list[str]:
        return Path(self.log).read_text().split() if os.path.exists(self.log) else []

    # What is kept

    async def test_work_goes_on_without_a_master(self) -> None:
        """What runs and what waits is done while the master is away; it hears of it first as held, then as results."""
        for seq in range(5):
            self.give(seq, log_and_wait, self.log, str(seq))
        await self.until(lambda: len(self.runs()) == 2)
        await self.part()
        self.go()
        await self.until(lambda: self.node.supervisor.done == 5)
        master = await self.meet()
        assert master.tasks == {1: [0, 1, 2, 3, 4]}
        assert [(each.codes, each.steps) for each in master.held or []] == [([0], 0)]
        await self.come(5)
        assert sorted(pickle.loads(master.result(seq).payload) for seq in range(5)) == list("01234")
        assert sorted(self.runs()) == list("01234"), "each ran once"

    async def test_started_is_said_again(self) -> None:
        """A master whose link was away hears again of what is at work, and only of that."""

        def started() -> list[int]:
            return [message.seq for message in self.master.started]

        self.give(0, log_and_wait, self.log, "0")
        await self.until(lambda: started() == [0])
        await self.part()
        await self.meet()
        await self.until(lambda: started() == [0])
        self.go()
        await self.until(lambda: any(isinstance(message, Result) for message in self.master.got))
        await self.part()
        await self.meet()
        self.give(1, abs, -1)
        await self.until(lambda: any(isinstance(message, Result) and message.seq == 1 for message in self.master.got))
        assert started() == []

    async def test_what_is_safe_is_not_sent_again(self) -> None:
        """Results and step answers come on every link until the master has them safe, and then no more."""
        self.give(0, abs, -1)
        self.master.link.send(Step(1, 0, StepKind.IMPORT, b"math"))
        await self.come(2)
        self.give(1, abs, -1)
        self.give(2, abs, -2)
        await self.come(4)
        left = self.master.got
        for kept in (2, 0, 2):
            self.master.link.send(Kept(1, kept))
            left = left[kept:]
            await self.kept_are(len(left))
            await self.part()
            master = await self.meet()
            assert master.tasks == {1: sorted(m.seq for m in left if isinstance(m, Result))}
            assert (master.held or [])[0].steps == 1
            await self.come(len(left))
            assert master.got == left

    async def test_a_large_result_is_overtaken(self) -> None:
        """A small result of another job may arrive, and be safe, before a large one that was sent first."""
        self.give(0, functools.partial(bytes, 20_000_000), job=1)
        self.give(0, abs, -1, job=2)
        await self.until(lambda: (2, 0) in self.master.ends and self.node.supervisor.done == 2)
        self.master.link.send(Kept(2, 1))
        await self.kept_are(1)
        await self.part()
        master = await self.meet()
        assert master.tasks == {1: [0], 2: []}
        await self.come(1)
        assert len(pickle.loads(master.result(0).payload)) == 20_000_000
        assert master.ends == [(1, 0)]

    async def test_results_wait_for_the_answer(self) -> None:
        """Tasks may come before the answer to `register`: what they wrote and gave goes after what is sent again."""
        self.give(0, say, "zero")
        await self.until(lambda: self.master.ends and not self.node.keeping.said)
        await self.part()
        self.greeting = [Task(1, 1, 1, 0, pickle.dumps((("one",), {})))]
        self.hesitation, self.door_open = Deferred(), True
        await self.kept_are(2)
        assert self.links[-1].got == []
        self.hesitation.callback(TERMS)
        await self.until(lambda: self.links[-1].got)
        self.master = self.links[-1]
        await self.until(lambda: len(self.master.ends) == 2)
        assert self.master.ends == [(1, 0), (1, 1)]
        assert [m.payload for m in self.master.got if isinstance(m, Output)] == [b"one\n"]
        self.master.link.send(Kept(1, 1))
        await self.kept_are(1)

    # Which master it is

    async def test_another_realm(self) -> None:
        """A master with another book is told of nothing: what ran is killed, and numbers may come again."""
        self.give(0, abs, -1)
        await self.come(1)
        self.give(1, log_and_wait, self.log, "old")
        await self.until(self.runs)
        await self.part()
        self.realm = "two"
        master = await self.meet()
        assert master.held == []
        self.codes.clear()
        self.give(1, abs, -7)
        await self.come(1)
        assert [pickle.loads(master.result(1).payload)] == [7]
        assert self.node.keeping.count == 1

    async def test_a_master_without_a_book(self) -> None:
        """One that refuses to name its realm is another one each time."""
        await self.part()
        self.realm = ""
        await self.meet()
        self.give(0, abs, -1)
        await self.come(1)
        await self.part()
        assert self.node.keeping.count == 1
        assert (await self.meet()).held == []
        assert self.node.keeping.count == 0

    async def test_nonsense_ends_the_link(self) -> None:
        """A count of more than was sent costs that master the link, and nobody a result."""
        self.give(0, abs, -1)
        await self.come(1)
        self.master.link.send(Kept(1, 2))
        self.master = await self.joined()
        assert self.links[0].lost_because
        await self.come(1)
        assert self.master.ends == [(1, 0)]
        assert self.flushLoggedErrors() == []

    # What the master says when it is back

    async def test_cancelled_and_closed_meanwhile(self) -> None:
        """What nobody wants any more is cancelled as ever; those of a closed job are told as such."""
        for seq in range(4):
            self.give(seq, log_and_wait, self.log, "one", job=1)
        await self.until(lambda: len(self.runs()) == 2)
        self.give(0, log_and_wait, self.log, "two", job=2)
        await self.until(lambda: 2 in self.node.supervisor.crew.jobs)
        await self.part()
        master = await self.meet()
        assert master.tasks == {1: [0, 1, 2, 3], 2: [0]}
        master.link.send(Cancel(1, [3]), Close(2))
        await self.come(2)
        self.go()
        await self.come(5)
        assert {(m.job, m.seq): m.outcome for m in master.got if isinstance(m, Result)} == {
            (1, 0): Outcome.VALUE,
            (1, 1): Outcome.VALUE,
            (1, 2): Outcome.VALUE,
            (1, 3): Outcome.CANCELLED,
            (2, 0): Outcome.CANCELLED,
        }

    # What happens meanwhile

    async def test_a_worker_dies_meanwhile(self) -> None:
        """Its task is lost, which the master hears when it is back; the others run on a new worker."""
        self.give(0, os.getpid)
        await self.come(1)
        self.give(1, log_and_wait, self.log, "held")
        await self.until(self.runs)
        await self.part()
        for worker in self.workers():
            os.kill(worker, signal.SIGKILL)
        await self.kept_are(2)
        master = await self.meet()
        assert master.tasks == {1: [0, 1]}
        await self.come(2)
        assert master.result(1).outcome == Outcome.LOST
        self.give(2, abs, -1)
        await self.come(3)

    def workers(self) -> list[int]:
        return [hand.pid for hand in self.node.supervisor._slots.values() if hand.pid]

    async def test_output_meanwhile(self) -> None:
        """It comes to the next master, whole and before the task's end, and counts for the limit."""
        await self.node.stopService()
        await self.begin(output_limit=1000)
        self.give(0, write_in_turns, self.log, 400, 500, 400)
        await self.turn(0, 400)
        await self.until(lambda: self.written() == b"x" * 400 and not self.node.keeping.said)
        await self.part()
        await self.turn(1, 900)
        self.go("2")
        await self.until(lambda: self.node.keeping.count == 1)
        master = await self.meet()
        await self.until(lambda: master.ends)
        assert self.written().startswith(b"x" * 600 + b"\n")
        assert b"300 more bytes" in self.written()
        assert [type(message) for message in master.got][-1] is Result

    async def test_output_of_which_the_master_has_not_said_that_it_has_it(self) -> None:
        """It was on its way: it comes again, to each next master until one says that it has it; then no more."""
        self.hears = lambda jobs: Deferred()
        await self.link_again()
        self.give(0, write_in_turns, self.log, 3, 4)
        await self.turn(0, 3)
        await self.until(lambda: self.written() == b"xxx")
        await self.link_again()
        await self.until(lambda: self.written() == b"xxx")
        self.hears = self.all_that_came
        await self.link_again()
        await self.until(lambda: self.written() == b"xxx" and not self.node.keeping.said)
        await self.link_again()
        self.go("1")
        await self.until(lambda: self.master.ends)
        assert self.written() == b"xxxx"

    async def test_output_and_a_master_of_before(self) -> None:
        """It refuses the question: it is not asked again, and nothing is kept for it."""
        self.hears = None
        await self.link_again()
        self.give(0, write_in_turns, self.log, 3, 4)
        await self.turn(0, 3)
        await self.until(lambda: self.written() == b"xxx" and not self.node.keeping.said)
        self.go("1")
        await self.until(lambda: self.master.ends)
        assert not self.node.keeping.said
        assert self.written() == b"xxxxxxx"

    async def link_again(self) -> None:
        await self.part()
        await self.meet()

    def all_that_came(self, jobs: tuple[int, ...]) -> object:
        return [sum(isinstance(m, Output) and m.job == job for m in self.master.got) for job in jobs]

    async def turn(self, number: int, taken: int) -> None:
        """Let the task write once more, until the node has taken so many bytes of it in all."""
        self.go(str(number))
        await self.until(lambda: any(m._taken == taken for m in self.node.supervisor._meters.values()))

    def written(self) -> bytes:
        return b"".join(m.payload for m in self.master.got if isinstance(m, Output))

    # The end

    async def test_stop_without_a_master(self) -> None:
        """Nothing is waited for: what runs is killed, though the time to drain is long."""
        self.give(0, log_and_wait, self.log, "0")
        await self.until(self.runs)
        await self.part()
        await self.node.stopService()
        assert self.said == []

    async def test_the_link_breaks_in_a_drain(self) -> None:
        """A node that stops and loses its master waits no longer, and looks for no other."""
        self.give(0, log_and_wait, self.log, "0")
        await self.until(self.runs)
        stopped = self.node.stopService()
        await self.come(1)
        assert isinstance(self.master.got[0], Leaving)
        self.master.link.abort()
        await stopped
        assert len(self.links) == 1

    async def test_stop_while_it_is_asked(self) -> None:
        """A master that does not answer whether it takes the node holds up no stop."""
        self.hesitation = Deferred()
        self.master.link.abort()
        await self.until(lambda: len(self.links) == 2 and self.links[-1].held is not None)
        await self.node.stopService()
        assert self.flushLoggedErrors() == []

    async def test_no_answer(self) -> None:
        """A master that does not answer for long is as good as none: the node tries again."""
        self.patch(service, "ANSWER", 0.1)
        self.hesitation = Deferred()
        self.master.link.abort()
        await self.until(lambda: len(self.links) > 2)
        self.hesitation = None
        await self.until(lambda: self.node._link is not None)

    async def test_dismissed_and_cut_off(self) -> None:
        """A node that was sent away does not come back, whether or not the link holds."""
        self.give(0, log_and_wait, self.log, "0")
        await self.until(self.runs)
        self.master.link.send(Leaving("not needed"))
        await self.until(lambda: self.said)
        self.master.link.abort()
        await self.until(lambda: self.node._link is None)
        await self.node.stopService()
        assert (self.said, len(self.links)) == (["not needed"], 1)

    async def test_it_gives_up(self) -> None:
        """Without a master for `give up after` seconds the node ends, whatever it still has."""
        await self.node.stopService()
        await self.begin(give_up_after=0.3)
        self.give(0, log_and_wait, self.log, "0")
        await self.until(self.runs)
        await self.part()
        await self.until(lambda: self.said)
        assert self.said == ["no master found"]
        assert self.node.supervisor.running == 1
        await self.node.stopService()

    async def test_its_lease_ends(self) -> None:
        """Without word from the master that it had the node ends, however long it would have sought a first one."""
        await self.node.stopService()
        await self.begin(lease=0.3)
        await self.part()
        await self.until(lambda: self.said)
        assert self.said == ["no master found"]
        await self.node.stopService()

    async def test_its_lifetime_ends(self) -> None:
        """It says at each registration how much is left, announces its end, and lets what runs finish."""
        await self.node.stopService()
        await self.begin(lifetime=1000.0)
        first = self.master.left
        assert 0 < first <= 1000
        self.give(0, log_and_wait, self.log, "0")
        await self.until(self.runs)
        await self.part()
        master = await self.meet()
        assert 0 < master.left < first
        assert self.node._ending is not None
        self.node._ending.reset(0)
        await self.until(lambda: self.said)
        assert self.said == ["its lifetime is over"]
        stopped = self.node.stopService()
        await self.until(lambda: any(isinstance(message, Leaving) for message in master.got))
        (leaving,) = [message for message in master.got if isinstance(message, Leaving)]
        assert leaving.reason == "its lifetime is over"
        self.go()
        await self.until(lambda: master.ends)
        assert master.ends == [(1, 0)]
        await stopped

    async def test_step_answers(self) -> None:
        """A step that is tried while the master is away is answered when it is back, and not given twice."""
        self.give(0, log_and_wait, self.log, "0")
        self.give(1, log_and_wait, self.log, "1")
        await self.until(lambda: len(self.runs()) == 2)
        self.master.link.send(Step(1, 0, StepKind.IMPORT, b"nothing_of_that_name"))
        await self.until(lambda: self.node.supervisor.held()[0].steps)
        await self.part()
        self.go()
        await self.until(lambda: len(answers(m for line in self.node.keeping._waiting.values() for m in line)) == 3)
        master = await self.meet()
        assert [each.steps for each in master.held or []] == [1]
        await self.until(lambda: len(answers(master.got)) >= 3)
        (done,) = [m for m in answers(master.got) if isinstance(m, StepDone)]
        assert "nothing_of_that_name" in done.error
