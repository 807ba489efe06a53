"""Frames between daemon and worker: eight bytes of length, big-endian, and one encoded batch."""

from __future__ import annotations

from collections.abc import Iterator

HEAD = 8


def frame(batch: bytes) -> bytes:
    """Put the length before a batch."""
    return len(batch).to_bytes(HEAD, "big") + batch


class Unframer:
    """Bytes in, whole batches out."""

    def __init__(self) -> None:
        self._parts = bytearray()

    @property
    def lacking(self) -> int:
        """Bytes that the frame now arriving still wants, 0 when that is not known."""
        if len(self._parts) < HEAD:
            return 0
        return max(0, HEAD + int.from_bytes(self._parts[:HEAD], "big") - len(self._parts))

    def feed(self, data: bytes) -> Iterator[bytes | memoryview]:
        """Give each batch that `data` completes."""
        parts = self._parts
        if not parts and int.from_bytes(data[:HEAD], "big") == len(data) - HEAD:
            yield memoryview(data)[HEAD:]  # the common case, without a copy
            return
        parts += data
        start = 0
        while len(parts) - start >= HEAD:
            end = start + HEAD + int.from_bytes(parts[start : start + HEAD], "big")
            if len(parts) < end:
                break
            batch = bytes(memoryview(parts)[start + HEAD : end])
            start = end
            yield batch
        if start:
            del parts[:start]
