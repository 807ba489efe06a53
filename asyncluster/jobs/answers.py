"""Results of one node: which are believed, what they free, who is told.

This is the busiest road of the master besides dispatch, so a batch is walked once, with the sums kept in
locals while job and code stay the same.
"""

from __future__ import annotations

from asyncluster.jobs.actions import Action, Outbox
from asyncluster.jobs.backlog import Backlog
from asyncluster.jobs.book import Counters, NodeRecord, Share, Spent
from asyncluster.jobs.dispatch import Dispatcher
from asyncluster.jobs.settle import lose, put_back, try_again
from asyncluster.model.messages import Message, Outcome, Result, Task

_CHARGED = frozenset((Outcome.VALUE, Outcome.EXCEPTION, Outcome.CANCELLED, Outcome.LIMIT, Outcome.LOST))
_KNOWN = frozenset(int(outcome) for outcome in Outcome if outcome <= Outcome.LIMIT)  # the others are the master's


def take_results(
    node: NodeRecord,
    results: list[Result],
    backlog: Backlog,
    dispatcher: Dispatcher,
    counters: Counters,
    out: Outbox,
) -> None:
    """Settle a batch; afterwards the node has room again."""
    start = 0
    while start < len(results):
        share = node.shares.get(results[start].job)
        if share is None:
            counters.refused += 1
            start += 1
            continue
        tally = _Tally(node, share, out.client(share.job.job))
        end = tally.walk(results, start)
        if share.job.special:  # only of those that ask for something it is measured
            tally.memory = max(result.memory for result in results[start:end])
        start = end
        tally.close(counters, out)
        put_back(backlog, dispatcher, share.job, tally.again)
        node.tidy(share)
    if node.held <= node.slots:
        node.recalled_at = None
    if node.vacating and not node.held:
        node.vacating.clear()
    dispatcher.settle(node)


class _Tally:
    """What a run of results of one job on one node comes to."""

    def __init__(self, node: NodeRecord, share: Share, answers: list[Message]) -> None:
        self.node = node
        self.share = share
        self.answers = answers
        self.again: list[Task] = []  # to be queued once more
        self.lost: list[tuple[Task, str]] = []
        self.tried: tuple[Action, ...] = ()
        self.timed = self.wall = self.core_wall = 0
        self.ended = self.ended_wall = self.ended_core_wall = self.memory = 0
        self.returned = self.done = self.failed = self.cancelled = self.refused = 0

    def walk(self, results: list[Result], start: int) -> int:
        """Settle results from `start` on while they are of this job; where the next job begins."""
        job = self.share.job
        number, tasks, running = job.job, self.share.tasks, job.running
        losses, tries = job.losses, job.tries
        answer = self.answers.append
        code = -1
        freed = timed = wall = index = 0
        for index in range(start, len(results)):
            result = results[index]
            if result.job != number:
                break
            seq = result.seq
            task = tasks.get(seq)
            if task is None or task.attempt != result.attempt:
                self.refused += 1
                continue
            del tasks[seq]
            if task.code != code:
                self._free(code, freed, timed, wall)
                code = task.code
                freed = timed = wall = 0
            freed += 1
            if running.pop(seq, None) is None:
                job.lay(seq)
                self.refused += 1
                self._charge(task, result)
                continue
            outcome = result.outcome
            if outcome <= 1:
                timed += 1
                wall += result.wall
                if outcome == 0:
                    self.done += 1
                elif self.node.vacating and self._vacated(result):  # a program that was told to end says so
                    timed, wall = timed - 1, wall - result.wall
                    self._return(task)
                    continue
                elif self._tried(task, "it raised an exception"):
                    continue
                else:
                    self.failed += 1
                if losses:
                    losses.pop(seq, None)
                if tries:
                    tries.pop(seq, None)
                answer(result)
            else:
                self._unusual(task, result)
        else:
            index = len(results)
        self._free(code, freed, timed, wall)
        return index

    def _free(self, code: int, freed: int, timed: int, wall: int) -> None:
        if freed:
            pace = self.share.job.paces[code]
            self.node.let_go(pace, freed)
            if timed:
                pace.learn(timed, wall)
                self.timed += timed
                self.wall += wall
                self.core_wall += wall * self.share.job.codes[code].need.cores

    def _tried(self, task: Task, how: str) -> bool:
        """Whether the attempt is charged to the task's retries, and its client hears nothing of it."""
        note = try_again(self.share.job, task, f"node {self.node.name}: {how}")
        if note is None:
            return False
        self.tried += (note,)
        self.again.append(task)
        return True

    def _return(self, task: Task) -> None:
        self.returned += 1
        self.again.append(task)

    def _charge(self, task: Task, result: Result) -> None:
        """What ran, ran: also where nobody waits for it any more, it was ended for its own sake, or its worker died.

        Not what was lost with its node, which tells nothing any more, or was given back.
        """
        if result.wall > 0 and result.outcome in _CHARGED:
            self.ended += 1
            self.ended_wall += result.wall
            self.ended_core_wall += result.wall * self.share.job.codes[task.code].need.cores

    def _unusual(self, task: Task, result: Result) -> None:
        """Anything but a value or an exception."""
        outcome = result.outcome
        if outcome == Outcome.RETURNED or (outcome == Outcome.CANCELLED and self._vacated(result)):
            self._return(task)
            return
        self._charge(task, result)
        if outcome == Outcome.LOST:
            self.lost.append((task, result.payload.decode(errors="replace")))
            return
        if outcome == Outcome.LIMIT and self._tried(task, result.payload.decode(errors="replace")):
            return
        self.share.job.losses.pop(task.seq, None)
        self.share.job.tries.pop(task.seq, None)
        if outcome == Outcome.CANCELLED:
            self.cancelled += 1
        else:
            self.failed += 1
        if outcome not in _KNOWN:
            text = f"node {self.node.name} answered with outcome {outcome}, which this master does not know"
            result = Result(result.job, result.seq, result.attempt, Outcome.REFUSED, text.encode())
        self.answers.append(result)

    def _vacated(self, result: Result) -> bool:
        """Whether it was cut there so that it begins anew elsewhere: nobody has cancelled it."""
        return (result.job, result.seq, result.attempt) in self.node.vacating

    def close(self, counters: Counters, out: Outbox) -> None:
        """Enter the sums, and see which lost tasks are tried again."""
        job, node = self.share.job, self.node
        if self.tried:
            out.notes += self.tried
        for task, text in self.lost:
            self.again += lose(job, [task], f"node {node.name}: {text}", counters, out)
        if self.returned:
            node.recalled_at = None
        job.done += self.done
        job.failed += self.failed
        job.cancelled += self.cancelled
        node.done += self.done + self.failed
        node.lost += len(self.lost)
        counters.done += self.done
        counters.failed += self.failed
        counters.cancelled += self.cancelled
        counters.returned += self.returned
        counters.lost += len(self.lost)
        counters.refused += self.refused
        if self.timed or self.ended:
            self._spend(counters)

    def _spend(self, counters: Counters) -> None:
        job, node = self.share.job, self.node
        spent = counters.spent.get((node.name, job.job))
        if spent is None:
            spent = counters.spent[node.name, job.job] = Spent(job.owner, node.facts.pool)
        spent.tasks += self.timed + self.ended
        spent.wall += self.wall + self.ended_wall
        spent.core_wall += self.core_wall + self.ended_core_wall
        spent.memory = max(spent.memory, self.memory)
        job.allowance.spent += self.core_wall + self.ended_core_wall
