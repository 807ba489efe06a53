"""Perspective Broker's byte format, decoded by walking an offset, with limits.

Twisted's decoder slices the rest of its buffer at every token, which is quadratic in the size of what
arrives, and lets a stranger send a single expression without end.  This one reads the same format
(see `twisted.spread.banana`) in linear time and counts bytes and depth of the expression it is
in.  The limits are narrow until the peer is proven.
"""

from __future__ import annotations

import struct
from typing import Any

import attrs
from twisted.spread.banana import Banana, BananaError

_LIST, _INT, _STRING, _NEG, _FLOAT, _LONGINT, _LONGNEG, _VOCAB = range(0x80, 0x88)
_PREFIX_BYTES = 10
"""No length, and no number of ours, needs more than 64 bits: ten groups of seven."""


@attrs.frozen
class Limits:
    """How large one expression may be: bytes in all, and lists within lists."""

    expression_bytes: int
    depth: int


UNPROVEN = Limits(expression_bytes=64 * 1024, depth=8)
PROVEN = Limits(expression_bytes=4 * 1024 * 1024, depth=64)


class BoundedBanana(Banana):
    """Banana in linear time and bounded memory; give it as a base before `pb.Broker`."""

    limits = UNPROVEN
    apart: tuple[bytes, ...] = ()
    """What begins so, at the beginning of an expression, `decode` gives back."""

    _rest: bytes = b""  # begins at a token that is not whole yet
    _parts: list[bytes] | None = None  # pieces of a long string, joined when all have come
    _missing = 0  # bytes until the token at the start of `_rest` is whole
    _spent = 0  # bytes of the expression that were consumed already

    def dataReceived(self, chunk: bytes) -> None:
        """Take bytes; hand each whole expression to `callExpressionReceived`.

        Raises BananaError when the peer breaks the format or a limit: the caller ends the connection.
        """
        while chunk:
            chunk = self.decode(chunk)

    def decode(self, chunk: bytes) -> bytes:
        """As `dataReceived`, but stops behind an expression where something of `apart` follows, and gives that back."""
        if self._missing > len(chunk):
            self._missing -= len(chunk)
            assert self._parts is not None
            self._parts.append(chunk)
            return b""
        if self._parts is not None:
            self._parts.append(chunk)
            chunk = b"".join(self._parts)
            self._parts = None
            self._missing = 0
        elif self._rest:
            chunk = self._rest + chunk
        self._rest = b""
        return chunk[self._walk(chunk) :]

    @property
    def between_expressions(self) -> bool:
        """Whether what comes next begins a new one."""
        return not (self._parts or self._rest or self.listStack)

    def _walk(self, data: bytes) -> int:
        position, end = 0, len(data)
        begin = position  # where the bytes of the present expression begin in `data`
        stack: list[tuple[int, list[Any]]] = self.listStack
        while position < end:
            token = position
            number = shift = 0
            byte = data[position]
            while byte < 0x80:
                number |= byte << shift
                shift += 7
                position += 1
                if position - token > _PREFIX_BYTES:
                    raise BananaError("number too long")
                if position == end:
                    self._keep(data[token:], token - begin, 0)
                    return end
                byte = data[position]
            position += 1
            if byte in (_STRING, _FLOAT):
                stop = position + (number if byte == _STRING else 8)
                if self._spent + stop - begin > self.limits.expression_bytes:
                    raise BananaError("expression too large")
                if stop > end:
                    self._keep(data[token:], token - begin, stop - end)
                    return end
                item = data[position:stop] if byte == _STRING else struct.unpack("!d", data[position:stop])[0]
                position = stop
            elif byte == _LIST:
                if len(stack) >= self.limits.depth or number > self.limits.expression_bytes:
                    raise BananaError("expression too deep or too long")
                if number:
                    stack.append((number, []))
                    continue
                item = []
            else:
                item = self._scalar(byte, number)
            while stack:
                wanted, items = stack[-1]
                items.append(item)
                if len(items) < wanted:
                    break
                stack.pop()
                item = items
            else:
                self._spent = 0
                begin = position
                self.callExpressionReceived(item)
                if data.startswith(self.apart, position):
                    return position
                continue
            if self._spent + position - begin > self.limits.expression_bytes:
                raise BananaError("expression too large")
        self._spent += end - begin
        return end

    def _scalar(self, byte: int, number: int) -> object:
        if byte in (_INT, _LONGINT):
            return number
        if byte in (_NEG, _LONGNEG):
            return -number
        if byte == _VOCAB and number in self.incomingVocabulary:
            return self.incomingVocabulary[number]
        raise BananaError("unknown token")

    def _keep(self, rest: bytes, spent: int, missing: int) -> None:
        """Remember a token that is not whole, and how much of its expression went before it."""
        self._spent += spent
        if missing:
            self._parts, self._missing = [rest], missing
        else:
            self._rest = rest


def string_at(data: bytes, begin: int) -> tuple[bytes | None, int]:
    """A whole string at that place and where it ends; None when there is no such thing, or it goes on beyond `data`."""
    number = shift = 0
    for place in range(begin, min(begin + _PREFIX_BYTES, len(data))):
        byte = data[place]
        if byte >= 0x80:
            stop = place + 1 + number
            if byte != _STRING or stop > len(data):
                break
            return data[place + 1 : stop], stop
        number |= byte << shift
        shift += 7
    return None, begin


def numbers_at(data: bytes, begin: int, kinds: bytes) -> tuple[list[int], int]:
    """The natural numbers before tokens of these kinds, one after the other, and where the last one ends.

    Fewer numbers than kinds: something else is there, or it goes on beyond `data`.
    """
    found: list[int] = []
    place = begin
    for kind in kinds:
        number = shift = 0
        for place in range(begin, min(begin + _PREFIX_BYTES, len(data))):
            byte = data[place]
            if byte >= 0x80:
                break
            number |= byte << shift
            shift += 7
        else:
            return found, begin
        if byte != kind:
            return found, begin
        found.append(number)
        begin = place + 1
    return found, begin


def number_prefix(number: int) -> bytes:
    """A non-negative number in Banana's base 128, lowest digit first, without its type byte."""
    digits = bytearray()
    while True:
        digits.append(number & 0x7F)
        number >>= 7
        if not number:
            return bytes(digits)
