"""What the daemon tells its workers beside the messages of the wire: pure.

Master and clients never see it; numbers from 64 are the node's own.
"""

from __future__ import annotations

import msgspec

from asyncluster.model.bulk import viewer
from asyncluster.model.messages import Message


class Devices(msgspec.Struct, frozen=True, array_like=True, tag=64):
    """From here on tasks have these gpus; with none named, as it was when the worker was forked."""

    ids: tuple[str, ...]


Told = Message | Devices
"""What a worker is told."""

decode_told = msgspec.msgpack.Decoder(list[Told]).decode
"""Decode one batch from the daemon; raises `msgspec.ValidationError` or `msgspec.DecodeError` on anything else."""

view_told = viewer(Devices)
"""The same, of a large frame: large payloads are views of it."""
