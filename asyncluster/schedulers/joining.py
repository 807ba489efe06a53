"""What nodes run, where a scheduler says it only of its jobs: pure.  Of tens of thousands, to be done in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from asyncluster.model.batch import BatchJob, BatchNode


def joined(
    nodes: Iterable[BatchNode], jobs: Iterable[BatchJob], bears: Mapping[str, Iterable[str]] | None = None
) -> tuple[BatchNode, ...]:
    """The nodes with the ids of the jobs on them, and with the properties that each `bears`, None = as they are."""
    on: dict[str, list[str]] = {}
    for job in jobs:
        for name in job.nodes:
            on.setdefault(name, []).append(job.id)
    if bears is None:
        return tuple(attrs.evolve(node, jobs=tuple(on.get(node.name, ()))) for node in nodes)
    return tuple(
        attrs.evolve(node, jobs=tuple(on.get(node.name, ())), properties=tuple(bears.get(node.name, ())))
        for node in nodes
    )
