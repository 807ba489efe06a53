"""From a connection to a link: hello, proof, and then the peer may talk.

One object sits at each end of each connection.  Until the peer is proven it answers `hello` and
`prove` only (the broker sees to it that nothing else arrives); then it makes the `Link`, and passes on.
On the UNIX socket the kernel has proven the peer before the first word.
"""

from __future__ import annotations

import pickle
import platform
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import LinkLostError, MasterNotFoundError, ProofError, RefusedError, WireError
from asyncluster.interfaces import IReactor
from asyncluster.model.peer import Hello, Peer, Role
from asyncluster.version import VERSION
from asyncluster.wire.broker import LinkBroker
from asyncluster.wire.hello import FEATURES, PROTOCOL, check_match, from_words, role_of, to_words
from asyncluster.wire.link import Link, LinkHandler
from asyncluster.wire.proof import REFUSED, JoinerProof, MasterProof, Message, canonical
from asyncluster.wire.subnets import neighbourhood

_log = Logger()

Admit = Callable[[Peer], "Deferred[str] | None"]
"""Asked of a peer whose password is proven: None lets it in; else why it is kept out will come, "" where it is not."""


class Guesses(Protocol):
    """Counts wrong passwords, as `accounts.attempts.NetworkAttempts`; place: the neighbourhood of an address."""

    def begin(self, role: str, name: str, place: str, now: float) -> float:
        """One more; above 0 it is one too many for so many seconds, and is not to be looked at."""

    def right(self, role: str, name: str, place: str) -> None:
        """It was right."""


def our_hello(role: Role, name: str) -> Hello:
    """What this process says of itself."""
    return Hello(
        protocol=PROTOCOL,
        features=FEATURES,
        software=f"asyncluster {VERSION}",
        python=platform.python_version(),
        pickle=pickle.HIGHEST_PROTOCOL,
        role=role.value,
        name=name,
    )


@attrs.define(eq=False)
class _End:
    """What both ends share: the broker's `Side`, handed on to the link once there is one."""

    reactor: IReactor
    hello: Hello
    broker: LinkBroker = attrs.field(init=False)
    link: Link | None = attrs.field(default=None, init=False)
    ended: str = attrs.field(default="", init=False)

    def opened(self) -> None:
        """PB is ready."""

    def batch(self, data: bytes) -> None:
        """Only from a proven peer; the broker sees to it."""
        if self.link is not None:
            self.link.batch(data)

    def stream(self, stream: int, size: int, head: bytes) -> None:
        """Likewise."""
        if self.link is not None:
            self.link.stream(stream, size, head)

    def chunk(self, stream: int, data: bytes | memoryview) -> None:
        """Likewise."""
        if self.link is not None:
            self.link.chunk(stream, data)

    def lost(self, reason: str) -> None:
        """The connection has ended."""
        self.ended = reason or "closed"
        if self.link is not None:
            self.link.lost(reason)

    def pause(self) -> None:
        """The transport is full."""
        if self.link is not None:
            self.link.pause()

    def resume(self) -> None:
        """It can take more."""
        if self.link is not None:
            self.link.resume()

    def verb(self, name: str, args: tuple[Any, ...], proven: bool) -> object:
        """A proven peer's verbs are the link's; strangers have their own."""
        if proven and name == "verb" and self.link is not None:
            return self.link.verb(args)
        if not proven:
            return self.stranger(name, args)
        raise RefusedError("not after the proof")

    def stranger(self, name: str, args: tuple[Any, ...]) -> object:
        """What an unproven peer asks."""
        raise RefusedError("not before the proof")

    def make_link(self, peer: Peer, hello: Hello, handler: Callable[[Link], LinkHandler]) -> Link:
        """The peer is proven."""
        self.broker.prove()
        self.link = Link(self.reactor, self.broker, peer, hello)
        self.link.handler = handler(self.link)
        return self.link


@attrs.define(eq=False)
class MasterEnd(_End):
    """The master's end.  `known` is the peer where the kernel told (UNIX); else `begin_proof` makes the proof."""

    address: str = ""
    welcome: Callable[[Link], LinkHandler] = attrs.field(kw_only=True)
    known: Peer | None = None
    begin_proof: Callable[[LinkBroker, Role, bytes, bytes], MasterProof] | None = None
    proven: Callable[[], None] = attrs.field(default=lambda: None)
    admit: Admit | None = None
    guesses: Guesses | None = None
    _theirs: Hello | None = attrs.field(default=None, init=False)
    _proof: MasterProof | None = attrs.field(default=None, init=False)

    def stranger(self, name: str, args: tuple[Any, ...]) -> object:
        """`hello(words)` once, then `prove(message)` in turn."""
        match name, args:
            case "hello", (dict() as words,) if self._theirs is None:
                return self._greet(words)
            case "prove", (dict() as message,) if self._proof is not None:
                return self._prove(message)
        _log.warn("a stranger at {address} asked for {verb}", address=self.address, verb=name[:40])
        self.broker.abort()
        raise RefusedError("not before the proof")

    def _greet(self, words: dict[str, object]) -> dict[str, object]:
        theirs = self._theirs = from_words(words)
        try:
            check_match(self.hello, theirs)
            role = role_of(theirs)
        except WireError as error:
            _log.warn("a peer at {address} was refused: {error}", address=self.address, error=str(error))
            raise
        ours = to_words(self.hello)
        if self.known is not None:
            if role is not Role.CLIENT:
                raise RefusedError("nodes join over TCP, with a password")
            self.make_link(self.known, theirs, self.welcome)
        else:
            assert self.begin_proof is not None
            self._proof = self.begin_proof(self.broker, role, canonical(words), canonical(ours))
        return ours

    def _prove(self, message: dict[str, object]) -> Message | Deferred[Message]:
        assert self._proof is not None
        assert self._theirs is not None
        try:
            answer = self._judged(self._proof, message)
        except ProofError as error:
            _log.warn(
                "{address} failed its proof as {name}: {error}",
                address=self.address,
                name=self._proof.claimed[:100],
                error=str(error),
            )
            self._proof = None
            # One answer for every cause, then nothing more.
            self.reactor.callLater(0, self._end)
            return REFUSED
        if self._proof.proven:
            peer = Peer(role_of(self._theirs), self._proof.name, self.address)
            _log.info(
                "{role} {name} at {address} is proven", role=peer.role.value, name=peer.name, address=self.address
            )
            self._proof = None
            asked = None if self.admit is None else self.admit(peer)
            if asked is not None:
                return asked.addCallback(self._let_in, peer, answer)
            self._let_in("", peer, answer)
        return answer

    def _judged(self, proof: MasterProof, message: dict[str, object]) -> Message:
        """The proof's answer.  Raises ProofError; also, without a look, where too many were wrong lately.

        An attempt begins and ends here at once, so no number of connections gets more of them.
        """
        if self.guesses is None or not proof.judges:
            return proof.answer(message)
        assert self._theirs is not None
        role, name, place = self._theirs.role, proof.claimed, neighbourhood(self.address)
        wait = self.guesses.begin(role, name, place, self.reactor.seconds())
        if wait:
            raise ProofError(f"too many wrong passwords from {place}; none is looked at for another {wait:.0f} s")
        answer = proof.answer(message)
        self.guesses.right(role, name, place)
        return answer

    def _let_in(self, refusal: str, peer: Peer, answer: Message) -> Message:
        """It is a link from now on, unless something else than its password keeps it out, or it has gone."""
        assert self._theirs is not None
        if refusal:
            _log.warn("{name} at {address} is not let in: {why}", name=peer.name, address=self.address, why=refusal)
            self.reactor.callLater(0, self._end)
            raise RefusedError(refusal)
        if not self.ended:
            self.proven()
            self.make_link(peer, self._theirs, self.welcome)
        return answer

    def _end(self) -> None:
        if not self.broker.disconnected:
            self.broker.transport.loseConnection()


@attrs.define(eq=False)
class JoinerEnd(_End):
    """The end of a node or client.  `link_made` fires with the proven link, or with one of our errors."""

    address: str = ""
    handler: Callable[[Link], LinkHandler] = attrs.field(kw_only=True)
    begin_proof: Callable[[LinkBroker, bytes, bytes], JoinerProof] | None = None
    link_made: Deferred[Link] = attrs.field(factory=Deferred, init=False)
    _greeted: bool = attrs.field(default=False, init=False)

    def opened(self) -> None:
        """Say hello."""
        self._greeted = True
        Deferred.fromCoroutine(self._join()).addBoth(self._joined)

    async def _join(self) -> Link:
        words = to_words(self.hello)
        answer = await self.broker.call("hello", words)
        theirs = from_words(answer)
        check_match(self.hello, theirs)
        if self.begin_proof is not None:
            await self._prove(self.begin_proof(self.broker, canonical(words), canonical(answer)))
        return self.make_link(Peer(Role.MASTER, theirs.name, self.address), theirs, self.handler)

    async def _prove(self, proof: JoinerProof) -> None:
        pool = self.reactor.getThreadPool()
        message: Message | None = proof.start()
        while message is not None:
            answer = await self.broker.call("prove", message)
            # Stretching a password takes 0.1 s: in the first answer, and where run 2 opens with its salt.  The rest
            # must not wait for a thread: once the master holds us for proven it may talk, and so must we hold it.
            if message["step"] == 1 or (isinstance(answer, dict) and "salt" in answer):
                message = await deferToThreadPool(self.reactor, pool, proof.answer, answer)
            else:
                message = proof.answer(answer)

    def _joined(self, result: Link | Failure) -> None:
        if not isinstance(result, Failure):
            self.link_made.callback(result)
            return
        self.broker.abort()
        self.link_made.errback(self._turned_away(str(result.value)) if result.check(LinkLostError) else result)

    def _turned_away(self, how: str) -> Failure:
        return Failure(
            MasterNotFoundError(
                f"{self.address} let us go before the proof ({how}): our address may be outside its "
                "`subnets`, it may have too many unproven connections, or it is no master; its log says which"
            )
        )

    def give_up(self) -> None:
        """Whoever waits for the link waits no longer."""
        if hasattr(self, "broker"):  # else the connection was never made
            self.broker.abort()

    def lost(self, reason: str) -> None:
        """The connection has ended, perhaps before it was a link."""
        super().lost(reason)
        if not self._greeted:
            self.link_made.errback(self._turned_away(self.ended))
