"""What the blocking and the asyncio face share: a session on the private reactor, used from other threads.

Connecting, handing calls over, cancelling, closing, and saying why when that is no longer possible.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

from asyncluster.client.find import find_place, import_path
from asyncluster.client.linked import link
from asyncluster.client.mapping import PATIENCE, MapRun
from asyncluster.client.output import Printer, choose
from asyncluster.client.place import RECONNECT, Place, check_job_name, check_reconnect
from asyncluster.errors import AsynClusterError, DependencyError, JobClosedError
from asyncluster.model.need import PLAIN, Need
from asyncluster.model.node import NodeState, NodeView

if TYPE_CHECKING:
    from asyncluster.client.calls import Calls, Entry, Settled, Sink
    from asyncluster.client.codes import CodeTable
    from asyncluster.client.opening import JobOptions, Visit
    from asyncluster.client.session import Session
    from asyncluster.client.stays import Answer, Stay
    from asyncluster.client.thread import ReactorThread

CLOSE_SECONDS = 5.0
MENTION_SECONDS = 2.0


class Coding:
    """What gives the functions of calls their numbers, by a table of those that need the same."""

    codes: CodeTable

    def code_of(self, function: Callable[..., Any]) -> int:
        """The number of a function, shipped now when it is new; -1: send it inside its task."""
        if not callable(function):
            raise TypeError(f"{function!r} is not callable")
        return self.codes.number(function)

    def code_of_chunks(self, wrapper: Callable[..., Any], function: Callable[..., Any]) -> int:
        """See `mapping.Core`."""
        return self.codes.wrapped(wrapper, function)

    def code_inline(self, wrapper: Callable[..., Any]) -> int:
        """See `mapping.Core`."""
        return self.codes.inline(wrapper)


class ThreadCore(Coding):
    """A job at a master, for threads that are not the reactor's."""

    session: Session
    calls: Calls
    thread: ReactorThread
    waited_for = False
    """See `thread.Resident`."""

    def __init__(
        self,
        settle: Callable[[list[Settled]], None],
        output: str | Printer | None,
        options: dict[str, Any],
        reconnect: float = RECONNECT,
        need: Need = PLAIN,
        **where: Any,
    ) -> None:
        self.need = need
        self.refusal: AsynClusterError | None = JobClosedError("not connected yet")
        self._settle = settle
        self._printer = choose(output)
        self._options = options
        self.reconnect = check_reconnect(reconnect)
        check_job_name(options.get("name", ""))
        self._where = where
        self.place: Place | None = None
        self._drops: list[Sink] = []

    # -- opening

    def connect(self) -> None:
        """Find the master, connect, open the job; blocks."""
        self.place = find_place(**self._where)
        from asyncluster.client.thread import reactor_thread

        self.thread = reactor_thread()
        self.thread.run(self.open)

    def connect_in_background(self) -> Future[None]:
        """The same without blocking: finding may start a master, which takes a moment."""
        outcome: Future[None] = Future()

        def work() -> None:
            try:
                self.connect()
            except BaseException as error:
                outcome.set_exception(error)
            else:
                outcome.set_result(None)

        threading.Thread(target=work, name="asyncluster-connect", daemon=True).start()
        return outcome

    async def open(self) -> None:
        """In the reactor's thread: connect."""
        from asyncluster.client.connect import connect_session

        assert self.place is not None
        self.session = session = await connect_session(
            self.thread.reactor,
            self.place,
            self.opening(),
            self._printer,
            self.thread.reactor.callFromThread,
            self._settle,
            self.reconnect,
        )
        self.attach(session)
        self.thread.residents.add(self)

    def opening(self) -> JobOptions | Visit:
        """What the master is asked for."""
        from asyncluster.client.connect import python_version
        from asyncluster.client.opening import JobOptions

        return JobOptions(**self._options, path=import_path(), python=python_version())

    def attach(self, session: Session) -> None:
        """Use this session; from here on calls are taken."""
        self.session = session
        self.calls = session.calls
        self.codes = session.codes.for_need(self.need)
        session.on_end(self._ended)
        self.refusal = None

    # -- calls

    def put(self, entries: list[Entry]) -> None:
        """See `mapping.Core`."""
        self.calls.inbox.extend(entries)
        self.session.wake()

    def fetch(self, stay: Stay, timeout: float | None) -> tuple[int, Any]:
        """See `future.Dropper`."""
        if isinstance(self.refusal, ForkedError):
            self.refuse()
        outcome: Future[tuple[int, Any]] = Future()
        self.thread.reactor.callFromThread(
            self.calls.stays.fetch, stay, lambda kind, value: outcome.set_result((kind, value))
        )
        return self.thread.wait(outcome, timeout)

    def fetch_soon(self, stay: Stay, answer: Answer) -> None:
        """See `future.Dropper`."""
        self.calls.stays.fetch(stay, answer)

    def link(
        self,
        call: tuple[Any, tuple[Any, ...], dict[str, Any]],
        depends_on: object,
        make: Callable[[int], Any],
        codes: CodeTable | None = None,
    ) -> tuple[Any, DependencyError | None]:
        """Hand over a call of (function, args, kwargs) that depends on others: its sink, and why it is not made, if so.

        make(code): gives the sink; codes: the table of what it needs.  Raises as `linked.link`.
        """
        linked, error = link(self.calls, self.codes if codes is None else codes, call, depends_on, make)
        if error is None:
            self.put([(None, 0, linked)])
        return linked.sink, error

    def drop(self, sinks: list[Sink]) -> None:
        """Calls that are no longer wanted; many cancellations in a row are one message."""
        begin = not self._drops
        self._drops += sinks
        if begin:
            self.thread.reactor.callFromThread(self._drop_now)

    def _drop_now(self) -> None:
        sinks, self._drops = self._drops, []
        self.session.drop(sinks)

    def begin_map(self, run: MapRun) -> None:
        """See `mapping.Core`."""
        self.thread.reactor.callFromThread(self._begin_map, weakref.ref(run), run.feeds_itself)

    def _begin_map(self, run: weakref.ref[MapRun], hold: bool) -> None:
        if hold:
            self.session.hold(1)

        def waited() -> None:
            known = run()
            if known is not None:
                known.waited()

        def resize(slots: int) -> None:
            known = run()
            if known is not None:
                known.resize(slots)

        self.thread.reactor.callLater(PATIENCE, waited)
        refreshed = self.session.refreshed_slots().addCallback(resize)
        refreshed.addErrback(lambda failure: None)  # the link is going: the calls themselves will say so

    def end_map(self, run: MapRun) -> None:
        """See `mapping.Core`."""
        if run.feeds_itself:
            self.thread.reactor.callFromThread(self.session.hold, -1)

    def retry_map(self, run: MapRun) -> None:
        """See `mapping.Core`."""
        self.session.hold(1)
        self.thread.reactor.callLater(PATIENCE, self._retry_map, weakref.ref(run))

    def _retry_map(self, run: weakref.ref[MapRun]) -> None:
        known = run()
        if known is not None:
            known.retry()
        self.session.hold(-1)

    # -- questions

    @property
    def slots(self) -> int:
        """Tasks the cluster runs at a time, as far as known."""
        return self.session.slots

    def asking(self, verb: str, *args: object) -> Future[Any]:
        """Ask the master something."""
        self.check()

        async def call() -> Any:
            return await self.session.ask(verb, *args)

        return self.thread.start(call)

    def describe(self) -> str:
        """For `repr`."""
        if self.refusal is not None:
            return f"closed: {self.refusal}"
        return f"job {self.session.job} at {self.place}"

    # -- ends

    def detaching(self) -> Future[int]:
        """Leave the job to the master; its number, once everything is safe there.  Fails as `Cluster.detach` raises."""
        from asyncluster.client.detach import check_stays, detach

        self.check()
        check_stays(self.place)

        async def leave() -> int:
            return await detach(self.thread.reactor, self.session)

        return self.thread.start(leave)

    def check(self) -> None:
        """Raise when no more calls are taken."""
        if self.refusal is not None:
            self.refuse()

    def refuse(self) -> NoReturn:
        """Raise why no more calls are taken."""
        refusal = self.refusal or JobClosedError("not connected yet")
        raise type(refusal)(*refusal.args)

    def shutdown(self, wait: bool, cancel: bool) -> None:
        """Take no more; finish or cancel what there is; close."""
        closing = self.closing(cancel)
        if wait and closing is not None:
            self.thread.wait(closing)

    def mention(self, error: object) -> threading.Timer | None:
        """Say before long what ended the block of a `with` that goes on waiting for its calls; None = nobody reads."""
        printer = self._printer
        if printer is None:
            return None

        def say() -> None:
            text = f"{type(error).__name__}: {error}".rstrip(": ")
            printer("master", 2, f"{text} ended the block; first its calls are waited for, Ctrl-C cancels them")

        notice = threading.Timer(MENTION_SECONDS, say)
        notice.daemon = True
        notice.start()
        return notice

    def closing(self, cancel: bool) -> Future[None] | None:
        """The same without waiting; None when there is nothing to close."""
        if isinstance(self.refusal, ForkedError) or not hasattr(self, "session"):
            return None
        if self.refusal is None:
            self.refusal = JobClosedError("cannot submit after shutdown: make a new Cluster")
        return self.thread.start(lambda: self._close(cancel))

    def close_later(self) -> None:
        """Finish what there is, then close; never blocks."""
        self.closing(cancel=False)

    async def _close(self, cancel: bool) -> None:
        session = self.session
        if cancel:
            session.cancel_all()
        await session.when_idle()
        ended = session.close(JobClosedError("the Cluster was shut down"))
        await ended.addTimeout(CLOSE_SECONDS, self.thread.reactor, lambda *_: None)

    def _ended(self, why: AsynClusterError) -> None:
        if self.refusal is None:
            self.refusal = why

    # -- thread.Resident

    def forked(self) -> None:
        """See `thread.Resident`."""
        self.refusal = ForkedError(
            "this Cluster belongs to the process that made it, and this is a forked child: make a new Cluster here"
        )

    async def when_idle(self) -> None:
        """See `thread.Resident`."""
        await self.session.when_idle()

    async def exiting(self) -> None:
        """See `thread.Resident`."""
        self._ended(JobClosedError("the program is ending"))
        await self.session.close(JobClosedError("the program is ending"))


class NeedCore(Coding):
    """A core for calls that need something else; all but the codes is the other's."""

    def __init__(self, core: Any, need: Need) -> None:
        self._core = core
        self.need = need
        self.codes = core.codes.for_need(need)

    def link(self, call: Any, depends_on: object, make: Callable[[int], Any]) -> tuple[Any, Any]:
        """See `ThreadCore`."""
        linked: tuple[Any, Any] = self._core.link(call, depends_on, make, self.codes)
        return linked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)


class ForkedError(JobClosedError):
    """Used in a forked child of the process that made it."""


def node_view(fields: dict[str, Any]) -> NodeView:
    """From the wire; fields that this release does not know are left out."""
    import attrs

    known = {field.name for field in attrs.fields(NodeView)}
    kept = {key: value for key, value in fields.items() if key in known}
    return NodeView(**{**kept, "state": NodeState(kept["state"])})
