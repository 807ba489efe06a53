"""Obeys the crew: forks, feeds, recalls from and buries worker processes.

Decides nothing: every event goes to `Crew` and every action it answers is done here.
"""

from __future__ import annotations

import errno
import os
import platform
import random
import signal
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from msgspec import DecodeError
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from asyncluster.model.bulk import Room, decode_views, in_memory
from asyncluster.model.messages import Held, Message, Outcome, Result, Started, decode_batch
from asyncluster.model.positions import RUNS
from asyncluster.node.becoming import lookup
from asyncluster.node.crew import Crew
from asyncluster.node.frames import Batch, Lost, frames
from asyncluster.node.hands import Hand, Mark
from asyncluster.node.identity import Identity, decide, serves
from asyncluster.node.known import KnownOwners
from asyncluster.node.limits import limits_of_worker
from asyncluster.node.metering import STEP_SEQ, Meter
from asyncluster.node.quieting import Quieting
from asyncluster.node.roster import Action, Fork, Kill, Look, Nudge, Skip, Terminate, ToMaster, ToWorker, Weigh
from asyncluster.node.warm import WarmProcess
from asyncluster.node.weighing import weigh
from asyncluster.node.words import FINISHED, SKIP, STARTED, STEPPING, step_of
from asyncluster.node.yielding import Step
from asyncluster.node.zygote import Answer, Ended, Failed, Forked, ForkOrder, KillOrder, NudgeOrder, TerminateOrder
from asyncluster.people import user_name

_log = Logger()
RECALL_WAIT = 0.001  # seconds between writing `skip` and reading `started`; `crew` says why
STOP_LIMIT = 10.0  # seconds to wait for the warm process to go


@attrs.frozen
class Manner:
    """How tasks are run here.

    output_limit: bytes a task may write; memory_limit: bytes a worker may use, 0 = no limit;
    run_tasks_as: one user for everybody's tasks, "" = each owner's; folder: where workers start, "" = the
    owner's home, or the daemon's own folder when they are one; cores, memory (bytes), gpus (ids): what tasks
    that ask for them share, cores 0 = as many as slots, memory 0 = it is not shared out; hide_gpus: tasks that
    did not ask see none.
    """

    output_limit: int = 10_000_000
    memory_limit: int = 0
    run_tasks_as: str = ""
    folder: str = ""
    cores: int = 0
    memory: int = 0
    gpus: tuple[str, ...] = ()
    hide_gpus: bool = False


class Supervisor:
    """The workers of one node.  `on_messages(list)` gets what the master is to be told."""

    def __init__(
        self,
        reactor: Any,
        name: str,
        slots: int,
        manner: Manner,
        on_messages: Callable[[list[Message]], None],
        room: Callable[[int], Room] = in_memory,
    ) -> None:
        self.name = name
        self.user = user_name(os.geteuid())
        self.serves = serves(os.geteuid(), self.user, manner.run_tasks_as)
        self._reactor, self._manner, self._tell, self._room = reactor, manner, on_messages, room
        self._owners = KnownOwners(self._identify, limits_of_worker)
        python = ".".join(platform.python_version_tuple()[:2])
        self.crew = Crew(
            name, slots, self._refusal, python, manner.memory_limit, manner.cores, manner.memory, manner.gpus
        )
        self._warm = WarmProcess(reactor, self._answered, self._warm_lost)
        self._hands: dict[int, Hand] = {}  # by life
        self._slots: dict[int, Hand] = {}  # by worker number
        self._meters = {
            number: Meter(f"{name}/{number}", manner.output_limit, random.randrange(RUNS))  # noqa: S311 (no secret)
            for number in self.crew.workers
        }
        self._lives = 0
        self._alarm: Any = None
        self._drained: list[Deferred[None]] = []
        self._handing_back: Any = None
        self._stopped = False
        self._quiet = Quieting(self.crew, self._hands, self._warm.order)

    # What the node service uses

    @property
    def running(self) -> int:
        """Tasks that run now."""
        return self.crew.running

    @property
    def done(self) -> int:
        """Tasks done since the start."""
        return self.crew.done

    def start(self) -> Deferred[None]:
        """Start the warm process, and workers where it is known whose they will be; fires when it can fork."""
        ready = self._warm.start()
        if self.serves not in ("*", ""):
            self._obey(self.crew.begin(self.serves, self._reactor.seconds()))
        return ready

    def receive(self, messages: Sequence[Message]) -> None:
        """From the master: Job, Code, Step, Task, Cancel, Close, Recall."""
        if not self._stopped:
            self._obey(self.crew.receive(messages, self._reactor.seconds()))

    def held(self) -> list[Held]:
        """The jobs and tasks that are here."""
        return self.crew.held()

    def started_again(self) -> list[Started]:
        """The tasks at work of which the master was told."""
        return self.crew.started_again(self._reactor.seconds())

    def drain(self, limit: float) -> Deferred[None]:
        """Give back what was not started; fires when the rest is done, or the least of all limits asked for is over."""
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        if self._handing_back is None:
            self._handing_back = self._reactor.callLater(limit, self._hand_back)
        elif self._handing_back.getTime() > self._reactor.seconds() + limit:
            self._handing_back.reset(limit)
        self._obey(self.crew.drain(self._reactor.seconds()))
        return drained

    def do(self, step: Step) -> None:
        """Somebody sits down at this machine, or has gone."""
        if not self._stopped:
            self._obey(self._quiet.do(step, self._reactor.seconds()))

    def abandon(self) -> None:
        """Another master, or none any more: kill what runs, forget all jobs."""
        if not self._stopped:
            self._obey(self.crew.abandon(self._reactor.seconds()))
            for meter in self._meters.values():
                meter.end()

    def stop(self) -> Deferred[None]:
        """Kill everything; fires when no process of ours is left, or all were killed after STOP_LIMIT seconds."""
        if self._stopped:
            return succeed(None)
        self._stopped = True
        for call in (self._alarm, self._handing_back):
            if call is not None and call.active():
                call.cancel()
        self._alarm = self._handing_back = None
        for hand in self._hands.values():
            hand.close()
        self._release()
        return self._warm.stop(STOP_LIMIT)

    # Obeying

    def _obey(self, actions: list[Action]) -> None:
        weighings: list[Weigh] = []
        for action in actions:
            if isinstance(action, ToMaster):
                self._tell(action.messages)
            elif isinstance(action, ToWorker):
                self._slots[action.worker].send(*frames(action.messages))
            elif isinstance(action, Fork):
                self._fork(action)
            elif isinstance(action, Kill):
                hand = self._slots.get(action.worker)
                if hand is not None:  # else its fork failed, and `_not_started` says so in a moment
                    self._kill(hand)
            elif isinstance(action, Terminate):
                hand = self._slots[action.worker]
                hand.doomed = True
                self._warm.order(TerminateOrder(hand.life))
            elif isinstance(action, Skip):
                hand = self._slots[action.worker]
                hand.words[SKIP] = action.upto
                self._reactor.callLater(RECALL_WAIT, self._recalled, hand)
            elif isinstance(action, Nudge):
                hand = self._slots[action.worker]
                if hand.words[STARTED] > action.first:
                    self._warm.order(NudgeOrder(hand.life))
            elif isinstance(action, Look):
                words = self._slots[action.worker].words
                self._obey(self.crew.looked(action.worker, words[STARTED], words[FINISHED]))
            elif isinstance(action, Weigh):
                weighings.append(action)
        for weighing in weighings:  # what follows from them comes after all of the above
            self._weigh(weighing)
        if self._drained and self.crew.empty:
            self._release()
        self._set_alarm()

    def _set_alarm(self) -> None:
        delay = None if self._stopped else self.crew.wake(self._reactor.seconds())
        if delay is None:  # an alarm for nothing now and then costs less than one made and cancelled for each task
            return
        if self._alarm is not None and self._alarm.active():
            self._alarm.reset(delay)
        else:
            self._alarm = self._reactor.callLater(delay, self._tick)

    def _tick(self) -> None:
        self._alarm = None
        self._obey(self.crew.tick(self._reactor.seconds()))

    def _fork(self, action: Fork) -> None:
        self._lives += 1
        found = self._owners.of(action.owner, self._reactor.seconds())
        if isinstance(found, str):
            self._reactor.callLater(0, self._not_started, action.worker, found)
            return
        identity, limits = found
        try:
            hand = Hand(self._reactor, self._lives, action.worker, self._wrote, self._batch, self._room)
        except OSError as error:
            self._reactor.callLater(0, self._not_started, action.worker, f"cannot make its socket: {error.strerror}")
            return
        self._hands[hand.life] = self._slots[action.worker] = hand
        order = ForkOrder(
            life=hand.life,
            slot=action.worker,
            node=self.name,
            niceness=action.niceness,
            change=identity.change,
            uid=identity.uid,
            gid=identity.gid,
            groups=identity.groups,
            name=identity.name,
            home=identity.home,
            shell=identity.shell,
            folder=self._manner.folder,
            hide_gpus=self._manner.hide_gpus,
            limits=limits,
        )
        self._warm.order(order, hand.far, hand.sent_off)

    def _kill(self, hand: Hand) -> None:
        hand.doomed = True
        if self._warm.is_warm:
            self._warm.order(KillOrder(hand.life))
        else:  # it was not forked yet; or it died with the warm process
            self._warm.forget(hand.life)
            self._reactor.callLater(0, self._buried, hand.life, "was not wanted any more")

    def _not_started(self, number: int, reason: str) -> None:
        self._obey(self.crew.died(number, f"worker {number} on node {self.name}: {reason}", self._reactor.seconds()))

    def _recalled(self, hand: Hand) -> None:
        if self._hands.get(hand.life) is hand:
            self._obey(self.crew.recalled(hand.number, hand.words[STARTED], self._reactor.seconds()))

    def _hand_back(self) -> None:
        self._handing_back = None
        self._obey(self.crew.hand_back(self._reactor.seconds()))

    def _release(self) -> None:
        drained, self._drained = self._drained, []
        if self._handing_back is not None and self._handing_back.active():
            self._handing_back.cancel()
        self._handing_back = None
        for deferred in drained:
            deferred.callback(None)

    # What workers say

    def _batch(self, hand: Hand, batch: Batch) -> None:
        if self._stopped:
            return
        if isinstance(batch, Lost):
            self._result_lost(hand, batch.why)
            return
        try:
            messages = decode_batch(batch) if isinstance(batch, bytes) else decode_views(batch)
        except DecodeError:  # its memory is broken, or a child of the task wrote into its socket
            _log.error("worker {number} answered nonsense", number=hand.number)
            self._kill(hand)
            return
        number = hand.number
        if self.crew.workers[number].starting:
            self._quiet.ready(hand)
            self._obey(self.crew.ready(number, self._reactor.seconds()))
            messages = messages[1:]
        if not messages:
            return
        if told := self._meters[number].end():
            self._tell(told)
        self._obey(self.crew.results(number, messages, self._reactor.seconds()))

    def _result_lost(self, hand: Hand, why: str) -> None:
        """The result of the task that is due was too large for what room there is."""
        _log.error("worker {number}: {why}", number=hand.number, why=why)
        task = self.crew.due(hand.number)
        if task is None:
            self._kill(hand)
            return
        text = f"it was run, and its result was lost at node {self.name}: {why}"
        result = Result(task.job, task.seq, task.attempt, Outcome.REFUSED, text.encode())
        self._obey(self.crew.results(hand.number, [result], self._reactor.seconds()))

    def _wrote(self, hand: Hand, stream: int, data: bytes, mark: Mark) -> None:
        if self._stopped:
            return
        meter = self._meters[hand.number]
        step = step_of(mark[1])
        if step is not None and step[0] not in self.crew.workers[hand.number].jobs:
            step = None  # the words are the task's to write, too
        task = self.crew.task_at(hand.number, mark[0])
        if step is not None:
            told = meter.take(step[0], STEP_SEQ, stream, data)
        elif task is not None:
            told = meter.take(task.job, task.seq, stream, data)
        else:  # before its first task: why it cannot start
            told = meter.take(-1, -1, stream, data)[:0]
        if told:
            self._tell(told)

    # Deaths

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, Forked):
            hand = self._hands.get(answer.life)
            if hand is not None:
                hand.pid = answer.pid
                self._quiet.forked(hand)
        elif isinstance(answer, Failed):
            self._buried(answer.life, f"could not be started: {answer.reason}")
        elif isinstance(answer, Ended):
            self._buried(answer.life, how_it_ended(answer.status))

    def _buried(self, life: int, how: str) -> None:
        hand = self._hands.pop(life, None)
        if hand is None or self._stopped:
            return
        hand.finish()
        number, meter, words = hand.number, self._meters[hand.number], hand.words
        text = f"worker {number} on node {self.name} {how}"
        if meter.tail and not hand.doomed:
            text += f"; the last it wrote to stderr:\n{meter.tail}"
        if told := meter.end():
            self._tell([message for message in told if message.job >= 0])  # type: ignore[union-attr]  # all are Output
        if self._slots.get(number) is hand:
            del self._slots[number]
        if not hand.doomed:
            _log.warn("{text}", text=text)
        now = self._reactor.seconds()
        self._obey(self.crew.died(number, text, now, words[STARTED], words[FINISHED], step_of(words[STEPPING])))

    def _warm_lost(self) -> None:
        """The warm process is gone, or is about to be; the kernel kills its workers, we what they started."""
        for hand in list(self._hands.values()):
            if hand.pid:
                try:
                    os.killpg(hand.pid, signal.SIGKILL)
                except OSError as error:
                    if error.errno not in (errno.ESRCH, errno.EPERM):
                        raise
            if not hand.far:  # else it was never ordered, and still can be
                self._buried(hand.life, "was lost: the process that forks workers ended")

    # Looking

    def _identify(self, owner: str) -> Identity | str:
        return decide(os.geteuid(), self.user, owner, self._manner.run_tasks_as, lookup)

    def _refusal(self, owner: str) -> str:
        found = self._owners.of(owner, self._reactor.seconds())
        return f"node {self.name}: {found}" if isinstance(found, str) else ""

    def _weigh(self, action: Weigh) -> None:
        hand = self._slots.get(action.worker)
        size = weigh(hand.pid, action.limit) if hand is not None and hand.pid else 0
        self._obey(self.crew.memory(action.worker, size, self._reactor.seconds()))


def how_it_ended(status: int) -> str:
    """Put a status of waitpid into words."""
    if not os.WIFSIGNALED(status):
        return f"exited with code {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unnamed"
    return f"was killed by signal {number} ({name})"
