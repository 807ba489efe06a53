"""What a site's own commands are told of a node to which something happened."""

from __future__ import annotations

from asyncluster.elastic.actions import Action
from asyncluster.elastic.records import NodeRecord
from asyncluster.model.placeholders import fill


def arguments(argv: tuple[str, ...], record: NodeRecord) -> tuple[str, ...]:
    """A command's arguments with {0} host name, {1} address and {2} name in the scheduler put in."""
    values = (record.name, record.address, record.name)
    return tuple(fill(word, values) for word in argv)


def environment(action: Action, record: NodeRecord) -> dict[str, str]:
    """What a command may look at besides its arguments."""
    return {
        "ASYNCLUSTER_EVENT": action.do.name.lower(),
        "ASYNCLUSTER_NODE": record.name,
        "ASYNCLUSTER_ADDRESS": record.address,
        "ASYNCLUSTER_POOL": record.pool,
        "ASYNCLUSTER_INSTANCE": record.instance,
        "ASYNCLUSTER_CAUSE": record.cause,
    }
