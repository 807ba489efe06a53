"""`DeferredCluster`: the Twisted face, on the caller's own reactor; every method gives a Deferred."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThreadPool

from asyncluster.client.calls import WAITING, Entry, Reorder, Sink
from asyncluster.client.connect import connect_session, python_version
from asyncluster.client.core import node_view
from asyncluster.client.detach import check_stays, detach
from asyncluster.client.find import batch_of, find_place, import_path
from asyncluster.client.linked import Handle, link
from asyncluster.client.mapping import PATIENCE, MapRun, Piece, open_piece
from asyncluster.client.needs import NAMES, NeedOptions, make_need
from asyncluster.client.opening import JobOptions
from asyncluster.client.outcomes import CANCELLED, ERROR, STAYS, VALUE
from asyncluster.client.output import Printer, choose
from asyncluster.client.pickling import FutureInsideError, dump_call
from asyncluster.client.place import RECONNECT, OwnPlace, Place, check_reconnect
from asyncluster.client.session import Session
from asyncluster.client.stays import Stay
from asyncluster.client.timers import steadily
from asyncluster.client.views import job_view
from asyncluster.errors import JobClosedError
from asyncluster.model.job import JobView
from asyncluster.model.need import PLAIN, Need
from asyncluster.model.node import NodeView
from asyncluster.personal.batch import Batch

if TYPE_CHECKING:
    from asyncluster.client.attach_deferred import DeferredAttached

T = TypeVar("T")


class TaskDeferred(Handle, Deferred[Any]):
    """What `submit` gives; among the arguments of another call it is the task's value, whatever its callbacks do.

    A value that other tasks needed comes once somebody adds a callback.
    """

    call: DeferredCall

    @property
    def sink(self) -> Any:
        """See `linked.Handle`."""
        return self.call

    @property
    def home(self) -> object:
        """See `linked.Handle`."""
        return self.call.session.calls

    def outcome(self) -> tuple[int, Any] | None:
        """See `linked.Handle`."""
        return self.call.outcome

    def addCallbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As any Deferred; asks for a value that stayed at the master."""
        super().addCallbacks(*args, **kwargs)
        self.call.watched = True
        self.call.ask()
        return self

    def addCallback(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """As any Deferred; asks for a value that stayed at the master."""
        super().addCallback(callback, *args, **kwargs)
        self.call.watched = True
        self.call.ask()
        return self

    def addErrback(self, errback: Any, *args: Any, **kwargs: Any) -> Any:
        """As any Deferred; asks for a value that stayed at the master."""
        super().addErrback(errback, *args, **kwargs)
        self.call.watched = True
        self.call.ask()
        return self

    def addBoth(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """As any Deferred; asks for a value that stayed at the master."""
        super().addBoth(callback, *args, **kwargs)
        self.call.watched = True
        self.call.ask()
        return self


class DeferredCall:
    """Where the end of one call goes: a Deferred; cancelling it cancels the call."""

    def __init__(self, session: Session, code: int) -> None:
        self.seq = WAITING
        self.code = code
        self.session = session
        self.outcome: tuple[int, Any] | None = None
        self.watched = False  # somebody wants the value
        self.deferred = TaskDeferred(self._cancelled)
        self.deferred.call = self
        self._stay: Stay | None = None

    def ask(self) -> None:
        """Fetch the value if it stayed at the master."""
        if self._stay is not None:
            stay, self._stay = self._stay, None
            self.session.calls.stays.fetch(stay, lambda kind, value: self.settle(kind, value, 0))

    def settle(self, kind: int, value: Any, wall: int) -> None:
        """See `calls.Sink`."""
        del wall
        if self.deferred.called:
            return
        self.outcome = kind, value
        if kind == STAYS:
            self._stay = value
            if self.watched:
                self.ask()
        elif kind == VALUE:
            self.deferred.callback(value)
        elif kind == ERROR:
            self.deferred.errback(value)
        else:
            self.deferred.errback(CancelledError())

    def _cancelled(self, _deferred: Deferred[Any]) -> None:
        self.outcome = CANCELLED, None
        self.session.drop([self])


def put_call(session: Session, code: int, payload: bytes) -> Deferred[Any]:
    """Hand one call over."""
    call = DeferredCall(session, code)
    session.calls.inbox.append((call, code, payload))
    session.wake()
    return call.deferred


class DeferredCluster:
    """As `Cluster`, for Twisted.  Made by `connect`; used in the reactor's thread only."""

    def __init__(
        self,
        reactor: Any,
        session: Session,
        need: Need = PLAIN,
        whole: DeferredCluster | None = None,
        place: Place | None = None,
    ) -> None:
        self._reactor = reactor
        self.session = session
        self._need = need
        self._codes = session.codes.for_need(need)
        self._whole = whole or self
        self._place = place
        self._closed = False

    @classmethod
    def connect(
        cls,
        address: str | OwnPlace | Batch | None = None,
        *,
        name: str = "",
        niceness: int = 0,
        priority: int = 0,
        crash_limit: int | None = None,
        output: str | Printer | None = "print",
        reconnect: float = RECONNECT,
        durable: bool = True,
        detached: bool = False,
        reactor: Any = None,
        **where: Any,
    ) -> Deferred[DeferredCluster]:
        """Connect and open a job; arguments as for `Cluster`.  Fails as `Cluster` does."""
        options = JobOptions(
            *(name, niceness, priority, crash_limit, import_path(), python_version()),
            durable=durable,
            detached=detached,
        )
        check_reconnect(reconnect)
        need = make_need({word: where.pop(word) for word in NAMES if word in where})
        return Deferred.fromCoroutine(
            cls._connect(address, reactor or global_reactor(), options, output, reconnect, need, where)
        )

    @classmethod
    async def _connect(
        cls,
        address: str | OwnPlace | Batch | None,
        reactor: Any,
        options: JobOptions,
        output: str | Printer | None,
        reconnect: float,
        need: Need,
        where: dict[str, Any],
    ) -> DeferredCluster:
        printer = choose(output)
        # finding may start a master, which takes a moment
        place = await deferToThreadPool(reactor, reactor.getThreadPool(), lambda: find_place(address, **where))
        reactor = steadily(reactor)  # once it runs: a daemon may have forked before
        session = await connect_session(reactor, place, options, printer, reconnect=reconnect)
        return cls(reactor, session, need, place=place)

    @classmethod
    def from_batch(cls, system: str, **more: Any) -> Deferred[DeferredCluster]:
        """As `Cluster.from_batch`."""
        return cls.connect(batch_of(system, more), **more)

    def options(self, **need: Unpack[NeedOptions]) -> DeferredCluster:
        """As `Cluster.options`."""
        return DeferredCluster(self._reactor, self.session, make_need(need, self._need), self._whole)

    def detach(self) -> Deferred[int]:
        """As `Cluster.detach`."""
        self._check()
        check_stays(self._whole._place)
        self._whole._closed = True
        return Deferred.fromCoroutine(detach(self._reactor, self.session))

    @staticmethod
    def attach(
        job: int,
        address: str | OwnPlace | None = None,
        *,
        reconnect: float = RECONNECT,
        trust: bool = False,
        reactor: Any = None,
        **where: Any,
    ) -> Deferred[DeferredAttached]:
        """Find a detached job again; arguments as for `asyncluster.attach`, and it fails as that raises."""
        from asyncluster.client.attach_deferred import attach_deferred

        where["address"] = address
        return Deferred.fromCoroutine(attach_deferred(reactor or global_reactor(), job, reconnect, trust, where))

    def submit(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        depends_on: Iterable[Deferred[Any]] | Deferred[Any] = (),
        **kwargs: Any,
    ) -> Deferred[T]:
        """Call `fn(*args, **kwargs)` on a worker; fires with its value, fails with its exception.

        What `submit` gave, among the arguments and in `depends_on`: as futures for `Cluster.submit`.
        Raises NotPicklableError, JobClosedError at once.
        """
        self._check()
        if not callable(fn):
            raise TypeError(f"{fn!r} is not callable")
        if depends_on:
            return self._linked(fn, args, kwargs, depends_on)
        codes = self._codes
        code = codes.number(fn)
        try:
            if code < 0:
                return put_call(self.session, codes.inline(), dump_call(fn, (fn, *args), kwargs))
            return put_call(self.session, code, dump_call(fn, args, kwargs))
        except FutureInsideError:
            return self._linked(fn, args, kwargs, ())

    def _linked(
        self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], depends_on: object
    ) -> Deferred[T]:
        session = self.session
        linked, error = link(
            session.calls, self._codes, (fn, args, kwargs), depends_on, lambda code: DeferredCall(session, code)
        )
        call: DeferredCall = linked.sink
        if error is None:
            self.put([(None, 0, linked)])
        else:
            call.settle(ERROR, error, 0)
        return call.deferred

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], chunksize: int | str | None = "auto"
    ) -> Deferred[list[T]]:
        """Call `fn` on each item; fires with all values in order, or fails as the first item that did.

        The inputs are read to their end first.  Cancelling cancels what has not ended.
        """
        self._check()
        return _Gather(self, fn, [list(iterable) for iterable in iterables], chunksize).deferred

    def nodes(self) -> Deferred[list[NodeView]]:
        """The nodes that the master knows."""
        return self.session.ask("nodes").addCallback(lambda nodes: [node_view(fields) for fields in nodes])

    def jobs(self) -> Deferred[list[JobView]]:
        """As `Cluster.jobs`."""
        return self.session.ask("jobs").addCallback(lambda jobs: [job_view(fields) for fields in jobs])

    def status(self) -> Deferred[dict[str, Any]]:
        """What the master says of itself."""
        return self.session.ask("status")

    def shutdown(self, *, cancel: bool = False) -> Deferred[None]:
        """Take no more; let what was submitted finish, or cancel it; close.  Fires when the link is down."""
        self._whole._closed = True
        if cancel:
            self.session.cancel_all()
        why = JobClosedError("the DeferredCluster was shut down")
        return self.session.when_idle().addCallback(lambda _: self.session.close(why))

    def _check(self) -> None:
        if self._whole._closed:
            raise JobClosedError("cannot submit after shutdown: connect anew")
        if self.session.ended is not None:
            raise type(self.session.ended)(*self.session.ended.args)

    # -- mapping.Core; everything is in the reactor's thread already

    @property
    def slots(self) -> int:
        """Tasks the cluster runs at a time, as far as known."""
        return self.session.slots

    def code_of_chunks(self, wrapper: Callable[..., Any], function: Callable[..., Any]) -> int:
        """See `mapping.Core`."""
        return self._codes.wrapped(wrapper, function)

    def code_inline(self, wrapper: Callable[..., Any]) -> int:
        """See `mapping.Core`."""
        return self._codes.inline(wrapper)

    def put(self, entries: list[Entry]) -> None:
        """See `mapping.Core`."""
        self.session.calls.inbox.extend(entries)
        self.session.wake()

    def drop(self, sinks: list[Sink]) -> None:
        """See `mapping.Core`."""
        self.session.drop(sinks)

    def begin_map(self, run: MapRun) -> None:
        """See `mapping.Core`."""
        self.session.hold(1)
        self._reactor.callLater(PATIENCE, run.waited)

    def end_map(self, run: MapRun) -> None:
        """See `mapping.Core`."""
        del run
        self.session.hold(-1)

    def retry_map(self, run: MapRun) -> None:
        """See `mapping.Core`."""
        self.session.hold(1)
        self._reactor.callLater(PATIENCE, self._retry_map, run)

    def _retry_map(self, run: MapRun) -> None:
        run.retry()
        self.session.hold(-1)


class _Gather:
    """All values of a map in one list."""

    def __init__(
        self, cluster: DeferredCluster, function: Callable[..., Any], columns: list[list[Any]], chunksize: Any
    ) -> None:
        self.deferred: Deferred[list[Any]] = Deferred(lambda _: self._run.cancel())
        self._values: list[Any] = []
        self._reorder = Reorder(ordered=True)
        self._early: list[Piece] = []
        self._run: Any = None
        self._run = MapRun(cluster, function, columns, chunksize, None, self._piece)
        for piece in self._early:
            self._piece(piece)
        self._look()

    def _piece(self, piece: Piece) -> None:
        if self._run is None:  # still being made
            self._early.append(piece)
            return
        for ready in self._reorder.add(piece.number, piece):
            values, error = open_piece(ready, self._run.name)
            self._values += values
            if error is not None and not self.deferred.called:
                self._run.cancel()
                self.deferred.errback(error)
        self._look()

    def _look(self) -> None:
        if not self.deferred.called and self._run.finished(self._reorder.delivered):
            self.deferred.callback(self._values)


def global_reactor() -> Any:
    """The reactor of a Twisted program."""
    from twisted.internet import reactor

    return reactor
