"""Builds a master from its configuration: the only place that names what it is made of."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.accounts.attempts import NetworkAttempts
from asyncluster.accounts.calendar import week_start
from asyncluster.config.base_conf import Settings
from asyncluster.config.fields import IN_MEMORY
from asyncluster.errors import AsynClusterError, ConfigError, StoreAwayError, StoreError
from asyncluster.interfaces import INodeBook, IReactor
from asyncluster.jobs.recovery import Recovered, recover
from asyncluster.master.admission import ANSWER_SHARE, Admission
from asyncluster.master.for_clients import ClientPerspective
from asyncluster.master.for_nodes import NodePerspective
from asyncluster.master.leases import Leases
from asyncluster.master.ledger import Ledger
from asyncluster.master.own_queue import ENGINE
from asyncluster.master.parting import Parting
from asyncluster.master.probing import Probing
from asyncluster.master.quota import Quota
from asyncluster.master.registry import Registry
from asyncluster.master.roll import FILE as ROLL_FILE
from asyncluster.master.roll import Roll
from asyncluster.master.seating import Seating
from asyncluster.master.service import Master, MasterOptions
from asyncluster.master.sessions import Sessions
from asyncluster.master.spool import Spool
from asyncluster.master.usage import UsageBook
from asyncluster.master.zone import site_zone
from asyncluster.model.elastic_options import EngineOptions
from asyncluster.model.peer import OWN_ACCOUNT, Role
from asyncluster.store.journal import Journal
from asyncluster.store.people import People
from asyncluster.store.records import Found
from asyncluster.store.threads import pauses
from asyncluster.wire.accounts import Verifier, make_verifier
from asyncluster.wire.doors import Door, listening_socket, remove_socket, unix_socket
from asyncluster.wire.gate import Limits
from asyncluster.wire.link import Link, LinkHandler
from asyncluster.wire.listen import UnixFactory, tcp_factory
from asyncluster.wire.proof import Doorkeeper
from asyncluster.wire.spill import Spill
from asyncluster.wire.tls import load_or_make
from asyncluster.wire.verifiers import ACCOUNTS_FILE, VerifierFile

if TYPE_CHECKING:
    from asyncluster.elastic.engine import Engine

_log = Logger()

SPOOL_FOLDER = "output"
"""In the state folder: what tasks of detached jobs wrote."""


@attrs.frozen
class Accounts:
    """The nodes' account from the configuration, and those of people."""

    nodes: Verifier
    people: Registry
    single: Callable[[str, str], Verifier | None] = lambda name, role: None  # of nodes with an account of their own

    def find(self, name: str, role: str) -> Verifier | None:
        """The verifier of that name in that role."""
        if (name, role) == (self.nodes.name, self.nodes.role):
            return self.nodes
        if name.startswith(OWN_ACCOUNT) and role == Role.NODE.value:
            return self.single(name, role)
        return self.people.find(name, role)

    def is_person(self, name: str) -> bool:
        """Whether a node that has proven this account is a person's own."""
        return name != self.nodes.name and not name.startswith(OWN_ACCOUNT) and self.people.is_person(name)


Grow = Callable[[INodeBook], "Engine"]
"""Makes the elastic engine out of its book."""


class MasterService(MultiService):
    """The master with its doors; drains before it closes them."""

    failure = ""  # why it could not start

    def __init__(
        self,
        reactor: IReactor,
        master: Master,
        socket_path: str,
        journal: Journal | None,
        sessions: Sessions,
        grow: Grow | None = None,
        quota_of_tasks: bool = False,
    ) -> None:
        super().__init__()
        self._grow = grow
        self._sessions = master.sessions = sessions
        self.master = master
        self._reactor = reactor
        self._socket_path = socket_path
        self._journal = journal
        self._over = False  # it was stopped, perhaps before the journal had been read
        self._is_told = False  # that the database is away
        self._waiting: Deferred[None] | None = None
        master.setServiceParent(self)
        sessions.setServiceParent(self)
        self._quota = Quota(reactor, sessions, master.board.owners, master.act, quota_of_tasks)
        self._quota.setServiceParent(self)
        UsageBook(reactor, sessions.registry, master.board.counters).setServiceParent(self)
        Probing(reactor, sessions.registry.people).setServiceParent(self)

    def startService(self) -> None:
        """Read the journal, then start; a journal that cannot be had ends the process."""
        if self._journal is None:
            self._begin_spool([])
            self._begin_growth(None, {})
            super().startService()
        else:
            Deferred.fromCoroutine(self._open(self._journal)).addErrback(self._failed)

    async def _open(self, journal: Journal) -> None:
        found = await self._found(journal)
        if found is None or self._over:
            return
        ledger = Ledger(journal)
        jobs = recover(found.entries)
        self.master.begin_with(
            ledger, found.realm, found.next_job, [(job, jobs.get(job.job, Recovered())) for job in found.jobs]
        )
        self._begin_spool([job.job for job in found.jobs])
        people = await self._sessions.registry.open()
        self._sessions.begin_with(people.running, people.last_session)
        if self._quota.applies:
            registry = self._sessions.registry
            since = week_start(registry.zone, registry.now())
            self._quota.begin_with(await registry.people.tasks_since(since))
        if self._over:
            return
        self._begin_growth(journal, found.notes)
        super().startService()

    async def _found(self, journal: Journal) -> Found | None:
        """What the journal holds; a database that is away is waited for, which is told once.  None: we were stopped."""
        for pause in pauses():
            try:
                found = await journal.open()
            except StoreAwayError as error:
                if not self._is_told:
                    _log.error("the database is away: {error}. Nobody is let in until it is there", error=str(error))
                self._is_told = True
            else:
                if self._is_told:
                    _log.info("the database is there")
                return found
            self._waiting = deferLater(self._reactor, pause)
            with suppress(CancelledError):
                await self._waiting
            if self._over:
                break
        return None

    def _begin_growth(self, journal: Journal | None, notes: Mapping[str, bytes]) -> None:
        """The elastic engine, where there are pools; and an end to nodes of pools that there are not."""
        lease, engine = EngineOptions().lease, None
        if self._grow is not None:
            from asyncluster.store.book import NoBook, NodeBook

            engine = self.master.engine = self._grow(NoBook() if journal is None else NodeBook(journal, notes))
            engine.ready.addErrback(lambda _: None)  # it has been told in the log, and nothing else follows from it
            engine.setServiceParent(self)
            lease = engine.means[1].lease

        def renews(name: str) -> bool:
            return engine is not None and engine.renews(name)

        def dismiss(name: str, why: str) -> None:
            self.master.attendance.dismiss(name, why, ENGINE)

        def launched() -> list[tuple[str, str]]:
            return self.master.attendance.launched()

        Leases(self._reactor, launched, renews, dismiss, lease).setServiceParent(self)

    def _begin_spool(self, jobs: list[int]) -> None:
        spool = self.master.reception.spool
        if spool is not None:
            try:
                spool.begin_with(jobs)
            except OSError as error:
                _log.error("what tasks of detached jobs wrote cannot be looked at: {error}", error=error)

    def _failed(self, failure: Failure) -> None:
        self.failure = str(failure.value)
        if failure.check(AsynClusterError):
            _log.error("the master cannot start: {error}", error=self.failure)
        else:
            _log.failure("the master cannot start", failure=failure)
        cast(IReactorCore, self._reactor).stop()

    def stopService(self) -> Deferred[None]:
        """Let what runs finish, within its limit; then stop."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._over = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self.running:
            await self.master.drain()
            await super().stopService()
        if self.master.reception.spool is not None:
            await self.master.reception.spool.stop()
        await self._sessions.registry.people.close()
        if self._journal is not None:
            await self._close(self._journal)
        remove_socket(self._socket_path)
        _log.info("the master has stopped")

    async def _close(self, journal: Journal) -> None:
        try:
            await journal.close()
        except StoreError as error:
            self.failure = str(error)
            _log.error(
                "the journal: {error}; what clients were told is kept is in it, they will hand over the rest again",
                error=self.failure,
            )


def assemble(settings: Settings, reactor: IReactor) -> MasterService:
    """The master's service tree.  Raises ConfigError when a socket or file cannot be had."""
    common, server, client = settings.common, settings.server, settings.client
    for warning in settings.warnings:
        _log.warn("{warning}", warning=warning)
    folder = _state_folder(server.state_folder)
    identity = load_or_make(folder)
    url = server.database.reveal()
    registry = Registry(
        People(reactor, url),
        VerifierFile(folder / ACCOUNTS_FILE),
        site_zone(server.time_zone),
        url != IN_MEMORY,
        nodes_account=client.user,
    )
    accounts = Accounts(
        make_verifier(client.user, "node", client.password.reveal()),
        registry,
        lambda name, role: master.enlisting.find(name, role) if master.enlisting else None,
    )
    doorkeeper = Doorkeeper(accounts, common.server_password.reveal(), decoy_key=identity.decoy_key)
    spill = Spill(server.payload_memory, server.payload_folder, "[server] payload folder")
    master = Master(
        reactor,
        MasterOptions(
            common.heartbeat,
            common.silence_limit,
            server.drain_limit,
            server.crash_limit,
            keep_results=server.keep_results,
        ),
        spill=spill,
    )
    master.is_person = accounts.is_person
    master.reception.spool = Spool(
        folder / SPOOL_FOLDER, server.job_output_limit, partial(deferToThreadPool, reactor, reactor.getThreadPool())
    )
    master.reception.keep, master.reception.withheld_limit = spill.keep, server.job_output_limit
    limits = Limits(
        server.unproven_limit, server.unproven_per_address, server.proof_time_limit, server.unproven_waiting
    )
    greet = partial(_perspective, master)
    if url != IN_MEMORY:
        master.roll = Roll(reactor, folder / ROLL_FILE)
    journal = None if url == IN_MEMORY else Journal(reactor, url, spill.room)
    in_thread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    sessions = Sessions(reactor, registry, in_thread, patience=server.session_patience)
    master.seating = Seating(reactor, sessions, master.attendance.link, master.occupy)
    sessions.tell = master.seating.tell
    grow = _growth(settings, reactor, master, folder)
    service = MasterService(reactor, master, common.socket, journal, sessions, grow, "tasks" in server.quota_applies_to)
    tcp = listening_socket(server.listen, common.tcp_port)
    master.port = tcp.getsockname()[1]
    unix = unix_socket(common.socket)
    admission = Admission(registry, master, reactor, server.proof_time_limit * ANSWER_SHARE)
    Parting(reactor, registry, master).setServiceParent(service)
    guesses = NetworkAttempts(lambda name: name == client.user or name.startswith(OWN_ACCOUNT))
    tcp_side = tcp_factory(reactor, identity, doorkeeper, server.subnets, limits, greet, admission.admit, guesses)
    doors = (
        Door(reactor, tcp, tcp_side, f"tcp port {master.port}"),
        Door(reactor, unix, UnixFactory(reactor, server.administrators, greet, limits), f"socket {common.socket}"),
    )
    for door in doors:
        door.setServiceParent(service)
    return service


def _growth(settings: Settings, reactor: IReactor, master: Master, folder: Path) -> Grow | None:
    """The elastic part, where an asyncluster.yaml lies beside the configuration and has pools."""
    from asyncluster.config.elastic_here import shut_out
    from asyncluster.config.elastic_load import find_elastic, load_elastic  # with a library that most masters need not

    path = find_elastic(beside=settings.origin or None)
    if path is None:
        return None
    elastic = load_elastic(path)
    for warning in (*elastic.warnings, *shut_out(elastic, settings.server)):
        _log.warn("{warning}", warning=warning)
    if not elastic.pools:
        return None
    if settings.server.database.reveal() == IN_MEMORY and not elastic.engine.end_with_master:
        raise ConfigError(
            f"{path} has pools, and [server] database keeps nothing: nodes that were launched could not be found again "
            "after a restart. Name a database, or leave the key out; or have all nodes end with the master "
            "(dynamic-cluster.end_with_master)"
        )
    from asyncluster.master.clouds import unfit
    from asyncluster.master.growth import OWN, Ground, make_engine

    if faults := list(unfit(elastic.pools, elastic.cluster.kind == OWN)):
        raise ConfigError(f"{path} has pools that cannot be had here:\n" + "\n".join(faults))
    return lambda book: make_engine(Ground(reactor, master, settings, elastic, folder, book))


def _perspective(master: Master, link: Link) -> LinkHandler:
    """What a newly proven peer meets."""
    return NodePerspective(master, link) if link.peer.role is Role.NODE else ClientPerspective(master, link)


def _state_folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"[server] state folder = {folder}: {error.strerror}; name a folder that this user may write to"
        ) from error
    if folder.stat().st_mode & 0o002:
        raise ConfigError(
            f"[server] state folder = {folder}: everybody may write there, and put other files in the place of the "
            f"master's; mend it with: chmod 700 {shlex.quote(str(folder))}"
        )
    return folder
