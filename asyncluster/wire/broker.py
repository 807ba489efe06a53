"""Perspective Broker, closed: the few things that a peer may say, and nothing else.

A stock broker resolves any `proto_*` name and any registered type.  This one has two tables of
commands, one for strangers and one for proven peers, one object (`root`) with two verbs for
strangers and one for proven peers, a closed list of types, and errors that carry a kind and a
sentence, never an exception's own state.  Beside PB's calls it carries `batch`, `stream` and `chunk`, which
have no answer and no jelly: see docs/wire.md.
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread.banana import BananaError
from twisted.spread.jelly import InsecureJelly, SecurityOptions
from twisted.spread.pb import Broker, PBConnectionLost

from asyncluster import errors
from asyncluster.wire.banana import PROVEN, BoundedBanana, number_prefix, numbers_at, string_at
from asyncluster.wire.outbox import Chunk
from asyncluster.wire.pen import Pen

_log = Logger()

_STRANGERS_SAY = frozenset({"version", "message", "answer", "error", "didNotUnderstand"})
_PEERS_SAY = _STRANGERS_SAY | {"batch", "stream", "chunk"}

_BATCH = b"\x02\x80\x05\x82batch"
"""In Banana: a list of two, the first of them these five letters; the batch follows as a string."""

SOCKET_BYTES = 1024 * 1024

_CHUNK = b"\x03\x80\x05\x82chunk"
"""A list of three: these five letters, the number of the stream and a string."""

_INTEGER_AND_STRING = b"\x81\x82"

# Told to the other side by name, and raised there as the same class.
_KINDS: dict[str, type[errors.AsynClusterError]] = {
    kind.__name__: kind
    for kind in (errors.RefusedError, errors.ProofError, errors.VersionMismatchError, errors.WireError)
}


class ClosedTypes(SecurityOptions):
    """Basic values only, whatever other libraries have registered in this process."""

    # On the way in; "reference" marks a list that occurs twice in one expression.
    _names = frozenset(
        {b"None", b"boolean", b"unicode", b"tuple", b"list", b"dictionary", b"reference", b"dereference"}
    )
    # On the way out jelly asks for the class; coming in, such a name leads to a module, and none is allowed.
    _classes = frozenset(
        f"builtins.{kind.__name__}".encode() for kind in (type(None), bool, int, float, str, bytes, tuple, list, dict)
    )

    def isTypeAllowed(self, typeName: bytes) -> bool:
        """Only the closed lists."""
        return typeName in self._names or typeName in self._classes

    def isModuleAllowed(self, moduleName: str) -> bool:
        """No module is."""
        return False

    def isClassAllowed(self, klass: type) -> bool:
        """No class is."""
        return False


class Side(Protocol):
    """Whoever owns this end of the connection."""

    def opened(self) -> None:
        """PB is ready."""

    def verb(self, name: str, args: tuple[Any, ...], proven: bool) -> object:
        """Answer a call of the other side, or raise one of our errors; a Deferred will do."""

    def batch(self, data: bytes) -> None:
        """A batch has come; only from a proven peer."""

    def stream(self, stream: int, size: int, head: bytes) -> None:
        """A large message begins."""

    def chunk(self, stream: int, data: bytes | memoryview) -> None:
        """A piece of it, which is not kept."""

    def lost(self, reason: str) -> None:
        """The connection ended."""

    def pause(self) -> None:
        """The transport has enough to write."""

    def resume(self) -> None:
        """It can take more."""


class LinkBroker(BoundedBanana, Broker):
    """One end of a connection.  `proven` starts out false and is set once, by `prove()`."""

    transport: Any  # of TCP, TLS or UNIX: what they share is in no one interface
    factory: Any
    waitingForAnswers: Any  # request number -> Deferred; Twisted declares None
    connects: Any
    _pen: Pen

    def __init__(self, side: Side, is_client: bool) -> None:
        super().__init__(is_client, ClosedTypes())
        self.side = side
        self.proven = False
        self._given_up = False
        self._stream = self._left = 0  # of the chunk that is arriving: its stream, and bytes that have not come

    # -- life

    def connectionMade(self) -> None:
        """Have small writes leave at once: batches that wait for an acknowledgement cost 40 ms each."""
        self._pen = Pen(getattr(self.transport, "transport", self.transport))  # below TLS, where there is any
        no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)
        _widen(getattr(self.transport, "socket", None))
        super().connectionMade()

    def connectionReady(self) -> None:
        """Banana has agreed on a dialect."""
        self.sendCall(b"version", self.version)
        self.connects = None
        self.side.opened()

    def prove(self) -> None:
        """The peer is who it says: from now on it may send batches and call verbs."""
        self.proven = True
        self.limits, self.apart = PROVEN, (_BATCH, _CHUNK)
        self._pen.much()
        much = getattr(self.transport, "prove", None)  # TLS, where there is any
        if much is not None:
            much()

    def dataReceived(self, chunk: bytes) -> None:
        """As Banana, but what a peer must not send ends the connection with one line in the log."""
        try:
            while chunk and not self._given_up:
                if self.proven:
                    chunk = self._apart(chunk)
                if chunk and not self._given_up:
                    chunk = self.decode(chunk)
        except (BananaError, InsecureJelly, errors.WireError, msgspec.MsgspecError) as error:
            self._break(error)
        except Exception:
            _log.failure("the peer sent something that could not be handled")
            self._break(errors.WireError("see the log"))

    def _apart(self, data: bytes) -> bytes:
        """Handle the batches and pieces of chunks that `data` begins with; gives what is left for Banana.

        That would gather a chunk, and copy it twice, before it went where it is to lie.
        """
        begin, end = 0, len(data)
        while begin < end and not self._given_up:
            if self._left:
                stop = min(begin + self._left, end)
                self._left -= stop - begin
                self.side.chunk(self._stream, memoryview(data)[begin:stop])
            elif not self.between_expressions:
                break
            elif data.startswith(_BATCH, begin):
                batch, stop = string_at(data, begin + len(_BATCH))
                if batch is None:
                    break
                self.side.batch(batch)
            elif data.startswith(_CHUNK, begin):
                numbers, stop = numbers_at(data, begin + len(_CHUNK), _INTEGER_AND_STRING)
                if len(numbers) < 2:
                    break
                self._stream, self._left = numbers
                if self._left > self.limits.expression_bytes:
                    raise BananaError("expression too large")
            else:
                break
            begin = stop
        return data[begin:]

    def _break(self, error: Exception) -> None:
        peer = self.transport.getPeer()
        _log.error("link to {peer} ended, it broke the protocol: {error}", peer=peer, error=_sentence(error))
        self.abort()

    def abort(self) -> None:
        """Disconnect at once, and hear nothing more.  (A TLS transport that has ended does not take that lightly.)"""
        self._given_up = True
        if not self.disconnected:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail every call that waits for an answer, then tell the side."""
        if self.disconnected:
            return
        self.disconnected = 1
        self._pen.end()
        waiting, self.waitingForAnswers = self.waitingForAnswers or {}, {}
        text = "closed" if reason.check(ConnectionDone) else reason.getErrorMessage()
        for deferred in waiting.values():
            deferred.errback(Failure(errors.LinkLostError(f"the connection ended: {text}")))
        super().connectionLost(reason)
        self.side.lost(text)

    # -- what the peer says

    def expressionReceived(self, sexp: Any) -> None:
        """Look the command up in the table for strangers or the one for peers."""
        if not isinstance(sexp, list) or not sexp or not isinstance(sexp[0], bytes):
            raise BananaError("not a command")
        command = sexp[0].decode("ascii", "replace")
        if command not in (_PEERS_SAY if self.proven else _STRANGERS_SAY):
            raise BananaError("a command that is not allowed here")
        try:
            getattr(self, "proto_" + command)(*sexp[1:])
        except TypeError as error:
            raise BananaError("a command with the wrong arguments") from error

    def proto_message(
        self, requestID: int, objectID: bytes, message: bytes, answerRequired: int, netArgs: Any, netKw: Any
    ) -> None:
        """A verb is called; only `root` has any."""
        if objectID != b"root" or not isinstance(message, bytes) or not isinstance(requestID, int):
            raise BananaError("only the root object can be called")
        args = self.unserialize(netArgs)
        if not isinstance(args, tuple):
            raise BananaError("arguments are a tuple")
        answer = maybeDeferred(self.side.verb, message.decode("ascii", "replace"), args, self.proven)
        answer.addCallback(self._answer, requestID)
        answer.addErrback(self._refuse, requestID)

    def _answer(self, value: object, request: int) -> None:
        if not self.disconnected:
            self._sendAnswer(self.serialize(value), request)

    def _refuse(self, failure: Failure, request: int) -> None:
        if self.disconnected:
            return
        kind = type(failure.value).__name__
        if kind in _KINDS:
            text = str(failure.value)
        else:
            kind, text = "RefusedError", "an error inside; the log of that side has it"
            _log.failure("a call of the peer failed", failure=failure)
        self.sendCall(b"error", request, [kind.encode("ascii"), text.encode("utf-8")])

    def proto_answer(self, requestID: int, netResult: Any) -> None:
        """One of our calls is answered."""
        value = self.unserialize(netResult)  # before the call is taken off the list: it may fail
        self._waiting(requestID).callback(value)

    def proto_error(self, requestID: int, fail: Any) -> None:
        """One of our calls was refused."""
        if not isinstance(fail, list) or len(fail) != 2:
            raise BananaError("an error is a kind and a sentence")
        kind, text = (_bytes(part).decode("utf-8", "replace") for part in fail)
        error = _KINDS.get(kind, errors.RefusedError)
        self._waiting(requestID).errback(Failure(error(text)))

    def _waiting(self, request: int) -> Deferred[Any]:
        deferred: Deferred[Any] | None = (self.waitingForAnswers or {}).pop(request, None)
        if deferred is None:
            raise BananaError("an answer to nothing")
        return deferred

    def proto_didNotUnderstand(self, command: object) -> None:
        """A stock broker's way to say that a command is unknown to it."""
        raise BananaError("the peer does not understand us")

    def proto_batch(self, data: bytes) -> None:
        """Messages, one encoded blob."""
        self._for_peers()
        self.side.batch(_bytes(data))

    def proto_stream(self, stream: int, size: int, head: bytes) -> None:
        """A large message begins."""
        self._for_peers()
        self.side.stream(_integer(stream), _integer(size), _bytes(head))

    def proto_chunk(self, stream: int, data: bytes) -> None:
        """A piece of a large message."""
        self._for_peers()
        self.side.chunk(_integer(stream), _bytes(data))

    def _for_peers(self) -> None:
        # The table of commands says so already; a proto_ method that forgot would run a stranger's code.
        if not self.proven:
            raise BananaError("not before the proof")

    # -- what we say

    def call(self, name: str, *args: object) -> Deferred[Any]:
        """Call a verb of the other side's root; fails with one of our errors."""
        if self.disconnected:
            return _failed(errors.LinkLostError("the connection has ended"))
        deferred: Deferred[Any] = self.remoteForName("root").callRemote(name, *args)
        deferred.addErrback(_translate)
        return deferred

    def send_batch(self, data: bytes) -> None:
        """Send one encoded batch (under 640 KiB)."""
        self.transport.write(_BATCH + number_prefix(len(data)) + b"\x82" + data)

    def send_chunk(self, chunk: Chunk) -> None:
        """Send one piece of a stream, with its head when it is the first."""
        if chunk.head:
            self.sendCall(b"stream", chunk.stream, chunk.size, chunk.head)
        data = chunk.data
        self.transport.write(_CHUNK + number_prefix(chunk.stream) + b"\x81" + number_prefix(len(data)) + b"\x82")
        self.transport.write(data)

    def hold(self) -> None:
        """Several batches and chunks follow: gather them, until `push`."""
        self._pen.hold()

    def push(self) -> None:
        """Write what was gathered."""
        self._pen.push()

    # -- IPushProducer, registered by the link

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self.side.pause()

    def resumeProducing(self) -> None:
        """It is empty again."""
        self.side.resume()

    def stopProducing(self) -> None:
        """The connection is going; `connectionLost` follows."""


def _widen(sock: socket.socket | None) -> None:
    """Have the kernel take more at a time on a UNIX socket; TCP sees to that itself."""
    if sock is not None and getattr(sock, "family", None) == socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)


def _failed(error: Exception) -> Deferred[Any]:
    deferred: Deferred[Any] = Deferred()
    deferred.errback(Failure(error))
    return deferred


def _translate(failure: Failure) -> Failure:
    if failure.check(PBConnectionLost):
        return Failure(errors.LinkLostError("the connection ended"))
    return failure


def _sentence(error: Exception) -> str:
    """The error's text, cut: it may quote the peer."""
    return str(error)[:200]


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise BananaError("bytes expected")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise BananaError("a natural number expected")
    return value
