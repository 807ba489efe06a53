"""How the reasons for waiting and launching are said."""

from __future__ import annotations

from asyncluster.elastic.actions import Reason
from asyncluster.elastic.bins import Bin, Source
from asyncluster.elastic.demand import Kind, Shape
from asyncluster.elastic.match import size


def room_reason(bin: Bin) -> Reason:
    """For a job that fits a bin."""
    if bin.shelf.source is Source.FREE:
        return Reason("free", f"{bin.name} has room for it: its scheduler is to start it")
    if bin.shelf.source is Source.RECALL:
        return Reason("recalled", f"{bin.name} was to go, and is kept for it")
    pool = bin.shelf.pool.name if bin.shelf.pool else ""
    if bin.shelf.source is Source.STARTING:
        return Reason("starting", f"{bin.name} of pool {pool} is starting for it")
    return Reason("launch", f"{bin.name} of pool {pool} is launched for it")


def gang_reason(bins: list[Bin]) -> Reason:
    """For a job that has these bins at once."""
    last = max(bins, key=lambda bin: bin.shelf.source)
    rule = room_reason(last).rule
    names = ", ".join(bin.name for bin in bins[:5]) + (f" and {len(bins) - 5} more" if len(bins) > 5 else "")
    coming = sum(bin.shelf.source > Source.RECALL for bin in bins)
    return Reason(rule, f"{names} are for it" + (f"; {coming} of them are not there yet" if coming else ""))


def launch_reason(kind: Kind) -> Reason:
    """For a node that is begun for a kind."""
    where = f" in queue {kind.shape.queue}" if kind.shape.queue else ""
    count = kind.count
    alike = f" and {count - 1} like it" if count > 1 else ""
    return Reason("demand", f"job {kind.first}{alike} wait{'' if alike else 's'}{where} for {needs(kind.shape)}")


def needs(shape: Shape) -> str:
    """What a job asks for."""
    parts = []
    for chunk in shape.chunks:
        text = f"{chunk.cores} core{'s' if chunk.cores != 1 else ''}"
        if chunk.memory:
            text += f", {size(chunk.memory)}"
        if chunk.gpus:
            text += f", {chunk.gpus} gpu{'s' if chunk.gpus != 1 else ''}"
        if chunk.whole:
            text += " and nobody beside it"
        if chunk.nodes == 0:
            text += " on any nodes"
        elif chunk.nodes > 1:
            text = f"{chunk.nodes} nodes with {text} each"
        parts.append(text)
    return " and ".join(parts)
