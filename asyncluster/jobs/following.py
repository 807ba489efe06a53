"""What the end of a task means to those that depend on it: from the answers of one event to the queue and the nodes."""

from __future__ import annotations

from asyncluster.jobs.actions import Outbox
from asyncluster.jobs.backlog import Backlog
from asyncluster.jobs.book import Counters, JobRecord, Share
from asyncluster.jobs.dispatch import Dispatcher
from asyncluster.model.messages import Forget, Result, Task


def follow(job: JobRecord, backlog: Backlog, dispatcher: Dispatcher, counters: Counters, out: Outbox) -> None:
    """Call once an event, when all answers to the client of that job are written; writes those that follow."""
    after = job.after
    if after is None:
        return
    answers = out.client(job.job)
    doomed = after.doomed()
    answers.extend(doomed)
    failed = len(doomed)
    ready: dict[int, Task] = {}
    for answer in answers:  # grows meanwhile: who depends on a task that is not run is not run
        if type(answer) is Result:
            tasks, more = after.ended(answer)
            ready.update((task.seq, task) for task in tasks)
            answers.extend(more)
            failed += len(more)
    job.failed += failed
    counters.failed += failed
    if ready:
        backlog.add(job, ready)
        dispatcher.stir()
    for holder, values in after.over():
        assert isinstance(holder, Share)
        if job.shares.get(holder.node.name) is holder:
            out.node(holder.node.name).append(Forget(job.job, values))
