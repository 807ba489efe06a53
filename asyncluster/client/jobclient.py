"""`JobClient`: the original's road.  A file or string of Python becomes the job's namespace on every node.

Every method gives a Deferred on the caller's reactor.
"""

from __future__ import annotations

import os
import pickle
import tokenize
from typing import Any, Unpack

from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool

from asyncluster.client.connect import connect_session, python_version
from asyncluster.client.core import node_view
from asyncluster.client.deferred import global_reactor, put_call
from asyncluster.client.detach import check_stays, detach
from asyncluster.client.find import find_place, import_path
from asyncluster.client.needs import NeedOptions, make_need
from asyncluster.client.opening import JobOptions
from asyncluster.client.output import Printer, choose
from asyncluster.client.pickling import by_value, check_size, dump_call
from asyncluster.client.place import RECONNECT, Place, check_reconnect, name_of_file
from asyncluster.client.session import Session
from asyncluster.client.timers import steadily
from asyncluster.client.views import job_view
from asyncluster.errors import AsynClusterError, JobClosedError, NotPicklableError
from asyncluster.model.job import JobView
from asyncluster.model.messages import StepKind
from asyncluster.model.need import Need
from asyncluster.model.node import NodeView


class JobClient:
    """Runs functions of a source on the nodes of a master.

    socket: path of the master's UNIX socket, "host:port", or None for the personal master; codePath: a Python file;
    codeString: Python source instead; niceness: 0..19 for the workers.  The remaining options are those of `Cluster`.
    """

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        codePath: str | os.PathLike[str] | None = None,
        codeString: str | None = None,
        niceness: int = 0,
        *,
        name: str = "",
        priority: int = 0,
        crash_limit: int | None = None,
        output: str | Printer | None = "print",
        user: str | None = None,
        password: Any = None,
        server_password: Any = None,
        reconnect: float = RECONNECT,
        durable: bool = True,
        detached: bool = False,
        reactor: Any = None,
        **need: Unpack[NeedOptions],
    ) -> None:
        if codePath is not None and codeString is not None:
            raise ValueError("give codePath or codeString, not both")
        self._code_path = None if codePath is None else os.path.abspath(codePath)
        self._code_string = codeString
        self._need = make_need(need)
        self._reactor = reactor
        self._printer = choose(output)
        self._reconnect = check_reconnect(reconnect)
        title = name or name_of_file(self._code_path or "")
        path = (os.path.dirname(self._code_path),) if self._code_path else ()
        folders = tuple(dict.fromkeys(path + import_path()))
        self._options = JobOptions(
            *(title, niceness, priority, crash_limit, folders, python_version()), durable=durable, detached=detached
        )
        self._place: Place | None = None
        text = None if socket is None else os.fspath(socket)
        tcp = text is not None and "/" not in text and ":" in text and not os.path.exists(text)
        self._where: dict[str, Any] = {"address" if tcp else "socket": text, "user": user, "password": password}
        self._where["server_password"] = server_password
        self._session: Session | None = None
        self._closed = False

    def startup(self) -> Deferred[None]:
        """Connect, open the job, run the source on every present node; later nodes run it when they come.

        Fails with SyntaxError, OSError, StepFailedError naming node and line, JobClosedError when shut down meanwhile,
        or as `Cluster` does.
        """
        return Deferred.fromCoroutine(self._startup())

    async def _startup(self) -> None:
        if self._session is not None or self._closed:
            raise AsynClusterError("this JobClient was started already: make a new one")
        source = self._read()
        if source is not None:
            compile(source[1], source[0], "exec", dont_inherit=True)  # a slip is told before anything is asked for
        reactor = self._reactor = self._reactor or global_reactor()
        place = await deferToThreadPool(reactor, reactor.getThreadPool(), lambda: find_place(**self._where))
        self._place = place
        reactor = self._reactor = steadily(reactor)  # once it runs: a daemon may have forked before
        session = await connect_session(reactor, place, self._options, self._printer, reconnect=self._reconnect)
        if self._closed:  # shut down while it was connecting
            why = JobClosedError("the JobClient was shut down while it started")
            await session.close(why)
            raise why
        self._session = session
        if source is None:
            return
        try:
            await session.step(StepKind.SOURCE, pickle.dumps(source))
        except BaseException:
            await self.shutdown()
            raise

    def run(self, name: str, /, *args: Any, **kw: Any) -> Deferred[Any]:
        """Call a function of the source on the next free node; fires with its value, fails with its exception."""
        return self._run(self._need, name, args, kw)

    def options(self, **need: Unpack[NeedOptions]) -> _Options:
        """What has a `run` for calls that need something else: `client.options(cores=4).run("simulate", 42)`.

        The options are those of `Cluster.options`.  Raises ValueError that names a wrong one.
        """
        return _Options(self, make_need(need, self._need))

    def _run(self, need: Need, name: str, args: tuple[Any, ...], kw: dict[str, Any]) -> Deferred[Any]:
        try:
            session = self._ready()
            code = session.codes.for_need(need).named(name)
            return put_call(session, code, dump_call(_Named(name), args, kw))
        except AsynClusterError as error:
            return fail(error)

    def update(self, name: str, /, *args: Any, **kw: Any) -> Deferred[None]:
        """Call a function of the source on all present and future nodes, in each before its next task of this job.

        Fires when all present nodes have; fails with StepFailedError that names the nodes.
        """
        try:
            payload = _dump_update(name, args, kw)
            return self._ready().step(StepKind.UPDATE, payload)
        except AsynClusterError as error:
            return fail(error)

    def registerClasses(self, *names: str) -> Deferred[None]:
        """See that every node can import these dotted names; fails with StepFailedError naming one which cannot."""
        for name in names:
            if not all(part.isidentifier() for part in name.split(".")):
                return fail(ValueError(f"{name!r} is no dotted name, like package.module.Class"))
        try:
            return self._ready().step(StepKind.IMPORT, "\n".join(names).encode())
        except AsynClusterError as error:
            return fail(error)

    @property
    def job(self) -> int:
        """The job's number at the master; raises JobClosedError before `startup` and after the end."""
        return self._ready().job

    def nodes(self) -> Deferred[list[NodeView]]:
        """The nodes that the master knows."""
        return self._asking("nodes").addCallback(lambda nodes: [node_view(fields) for fields in nodes])

    def jobs(self) -> Deferred[list[JobView]]:
        """As `Cluster.jobs`."""
        return self._asking("jobs").addCallback(lambda jobs: [job_view(fields) for fields in jobs])

    def detach(self) -> Deferred[int]:
        """As `Cluster.detach`: leave the job, its source and its updates to the master; fires with its number.

        Of what was asked to `run` the results are at the master (`DeferredCluster.attach`); the Deferreds of calls that
        have not ended fail with JobClosedError.
        """
        try:
            session = self._ready()
            check_stays(self._place)
        except AsynClusterError as error:
            return fail(error)
        self._closed = True
        return Deferred.fromCoroutine(detach(self._reactor, session))

    def shutdown(self) -> Deferred[None]:
        """Cancel what is queued, close the job and the link; fires when that is done."""
        self._closed = True
        if self._session is None:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        return self._session.close(JobClosedError("the JobClient was shut down"))

    def _asking(self, verb: str) -> Deferred[Any]:
        try:
            return self._ready().ask(verb)
        except AsynClusterError as error:
            return fail(error)

    def _ready(self) -> Session:
        if self._session is None:
            raise JobClosedError("call startup() and wait for it first")
        if self._closed:
            raise JobClosedError("this JobClient was shut down: make a new one")
        if self._session.ended is not None:
            raise type(self._session.ended)(*self._session.ended.args)
        return self._session

    def _read(self) -> tuple[str, str] | None:
        if self._code_path is not None:
            with tokenize.open(self._code_path) as stream:
                return self._code_path, stream.read()
        return None if self._code_string is None else ("<codeString>", self._code_string)


class _Options:
    """See `JobClient.options`."""

    def __init__(self, client: JobClient, need: Need) -> None:
        self._client, self._need = client, need

    def run(self, name: str, /, *args: Any, **kw: Any) -> Deferred[Any]:
        """As `JobClient.run`."""
        return self._client._run(self._need, name, args, kw)


class _Named:
    """Stands for a function that only the nodes have, in messages."""

    def __init__(self, name: str) -> None:
        self.__qualname__ = name


def _dump_update(name: str, args: tuple[Any, ...], kw: dict[str, Any]) -> bytes:
    try:
        payload = by_value((name, args, kw))
    except Exception as error:
        dump_call(_Named(name), args, kw)  # raises the one that names the argument
        raise NotPicklableError(f"the arguments of {name}() cannot be pickled: {error}") from error
    check_size(payload, f"the arguments of {name}()")
    return payload
