"""What a proven client may do at the master.

Everything that comes in is checked here: type, size and right; the rest of the master works with values.
"""

from __future__ import annotations

from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.master.arrivals import Owing, by_kind
from asyncluster.master.job_verbs import UNKNOWN, JobVerbs
from asyncluster.master.service import Master
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import After, Beat, Cancel, Close, Code, Forget, Kept, Message, Step, Task, Want
from asyncluster.wire.beating import Beating
from asyncluster.wire.link import Link

_log = Logger()

MAX_JOBS = 1000
"""Open jobs of one person, detached ones among them; each is a namespace, not a task."""


@attrs.define(eq=False)
class ClientPerspective:
    """A person's program."""

    master: Master
    link: Link
    jobs: set[int] = attrs.field(factory=set)
    _opening: set[int] = attrs.field(factory=set)  # jobs of whose numbers the client has not heard
    _owing: Owing = attrs.field(init=False)
    _beating: Beating = attrs.field(init=False)
    _by_number: JobVerbs = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._owing = Owing(self.master.reactor, self.master.reception.acted)
        self._beating = self.master.attach(self.link)
        self._by_number = JobVerbs(self.master, self.link)
        self.link.keep_payloads(self.master.spill.room, self._spoiled)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """What a client may ask; each line says with what."""
        match name, args:
            case "realm", ():
                return self.master.realm
            case "come_back", (int() as job,):
                return self._come_back(job)
            case "open_job", (dict() as options,):
                return self._open(options)
            case "stuck", (int() as job,) if job in self.jobs:
                return self.master.why_stuck(job)
            case "terms", ():
                return self.master.terms()
            case "status", ():
                return self.master.status(self.jobs)
            case "nodes", ():
                views = self.master.attendance.views()
                return [attrs.asdict(view) | {"state": view.state.value} for view in views]
            case "jobs", ():
                return [attrs.asdict(view) for view in self.master.reception.jobs(self.link.peer)]
            case "dismiss", (str() as node, str() as reason):
                self.master.attendance.dismiss(node, reason, self.link.peer)
                return None
            case "elastic", ("explain", "node", str() as node) if text := self.master.board.why_taken(node):
                return {"rule": "in use", "text": text}
            case "elastic", (
                ("explain", "node", str() as node)
                | (("hold" | "unhold" | "vacate"), str() as node)
                | ("delete", str() as node, bool())
            ) if self._came_by_itself(node):
                raise RefusedError(
                    f"node {node} came by itself, and pools steer only what they launched; `asyncluster nodes` tells "
                    f"of it, `asyncluster node remove {node}` sends it away"
                )
            case "elastic", _:
                from asyncluster.master.elastic_verbs import elastic_verb  # with what most masters need not

                return elastic_verb(self.master.engine, self.link.peer, args)
            case "accounts", _:
                from asyncluster.master.account_verbs import account_verb  # likewise

                return account_verb(self.master.sessions, self.link.peer, args)
        answer = self._by_number.verb(name, args)
        if answer is not UNKNOWN:
            return answer
        raise RefusedError(f"there is no verb {name[:40]} with {len(args)} arguments")

    def _came_by_itself(self, node: str) -> bool:
        # One that is in the book was launched, whatever its own configuration says or does not say.
        engine = self.master.engine
        return self.master.attendance.came_by_itself(node) and (engine is None or node not in engine.nodes)

    def _come_back(self, job: int) -> Deferred[dict[str, float]]:
        kept = self.master.reception.come_back(job, self.link.peer, self.link)
        self.jobs.add(job)
        kept.addCallback(lambda count: {"kept": count, **self.master.terms()})
        return self._beating.while_it_waits(cast("Deferred[dict[str, float]]", kept))

    def _open(self, options: dict[str, Any]) -> Deferred[int]:
        if self.master.draining:
            raise RefusedError("the master is stopping and takes no new jobs")
        if self.master.reception.desks.count(self.link.peer.name) >= MAX_JOBS:
            raise RefusedError(
                f"{MAX_JOBS} jobs of yours are open already; close some, or `asyncluster job forget` them"
            )
        try:
            # The defaults of the site come first, who asks is what the wire has proven.
            wanted = (
                {"crash_limit": self.master.options.crash_limit} | options | {"job": 0, "owner": self.link.peer.name}
            )
            wanted["path"] = tuple(wanted.get("path", ()))
            spec = self._allowed(JobSpec(**wanted))
        except (TypeError, ValueError, OverflowError) as error:
            raise RefusedError(f"the options of this job are not understood: {error}") from error
        number, opened = self.master.reception.open_job(spec, self.link)
        self._opening.add(number)

        def noted(job: int) -> int:
            self._opening.discard(job)
            self.jobs.add(job)
            return job

        # A full disk may hold it up; before there is a job, clients do not beat.
        return self._beating.while_it_waits(opened.addCallback(noted))

    def _allowed(self, spec: JobSpec) -> JobSpec:
        # Anybody may stand back; only administrators may push ahead of others, or wear out more nodes.
        if self.link.peer.admin:
            return spec
        limit = self.master.options.crash_limit
        return attrs.evolve(spec, priority=min(spec.priority, 0), crash_limit=min(spec.crash_limit, limit))

    def messages(self, messages: list[Message]) -> None:
        """Work, and second thoughts."""
        touched: set[int] = set()
        for (kind, job), group in by_kind(messages):
            if kind is Beat or job not in self.jobs:
                continue  # a job closed by us a moment ago, or not ours at all: nobody is to hear of it
            run = list(group)
            if kind in (Task, After, Code, Step, Cancel):
                touched.add(job)
                self.master.reception.received(job, run)
            if kind is Task:
                self.master.act(self.master.board.submit(job, cast("list[Task]", run)))
            elif kind is After:
                self.master.act(self.master.board.submit_linked(job, cast("list[After | Task]", run)))
            elif not all(self._one(job, message) for message in run):
                _log.warn("{name} sent a {kind}, which clients do not", name=self.link.peer.name, kind=kind.__name__)
                self.link.abort()
                return
        self._owing.add(touched)

        self.master.reception.ledger.ease(self.link)

    def _spoiled(self, message: Message, why: str) -> None:
        """A task came, and the disk had no room for its arguments: it fails, everything else goes on."""
        if isinstance(message, Task) and message.job in self.jobs:
            _log.error("task {seq} of job {job}: {why}", seq=message.seq, job=message.job, why=why)
            self.master.reception.received(message.job, [message])
            self.master.act(self.master.board.refuse(message, f"its arguments were lost at the master: {why}"))
            self._owing.add({message.job})

    def _one(self, job: int, message: Message) -> bool:
        """Anything but a task; False for what clients do not send."""
        board = self.master.board
        if isinstance(message, Code):
            board.code(message)
        elif isinstance(message, Step):
            self.master.act(board.step(message))
        elif isinstance(message, Cancel):
            self.master.act(board.cancel(job, message.seqs))
        elif isinstance(message, Want):
            self.master.reception.want(job, message.seqs)
        elif isinstance(message, Forget):
            self.master.reception.forget(job, message.seqs)
        elif isinstance(message, Kept):
            self.master.reception.taken(job, message.count)
        elif isinstance(message, Close):
            self._close(job)
        else:
            return False
        return True

    def _close(self, job: int) -> None:
        self.jobs.discard(job)
        self.master.reception.close_job(job)

    def lost(self, reason: str) -> None:
        """The link has ended: its jobs wait for another one, if they were opened so."""
        del reason
        self._beating.stop()
        self.master.detach(self.link)
        self._by_number.lost()
        for job in sorted(self._opening):  # nobody can ask for them by another link
            self.master.reception.close_job(job)
        for job in sorted(self.jobs):
            self.master.reception.desks.left(job, self.link)
