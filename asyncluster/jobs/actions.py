"""What the board tells the master to do, and the list in which one event gathers it.

An action carries ready messages; the master only looks up the link and sends.  There is one action a
receiver and event, never one a task.
"""

from __future__ import annotations

import attrs

from asyncluster.model.messages import Message, Result


@attrs.frozen
class ToNode:
    """Send these messages, in this order, to the node of that name."""

    node: str
    messages: list[Message]


@attrs.frozen
class ToClient:
    """Send these messages to the client that opened the job (or, where it never existed, that named it)."""

    job: int
    messages: list[Message]


@attrs.frozen
class NoteLoss:
    """Remember that an attempt was lost, and how, for a master that takes over."""

    job: int
    seq: int
    text: str


@attrs.frozen
class NoteTried:
    """Remember that an attempt was charged to the retries of its task, and how it ended."""

    job: int
    seq: int
    text: str


Action = ToNode | ToClient | NoteLoss | NoteTried


class Outbox:
    """Messages that one event caused, by receiver; order holds for each receiver."""

    __slots__ = ("_clients", "_nodes", "notes")

    def __init__(self) -> None:
        self._nodes: dict[str, list[Message]] = {}
        self._clients: dict[int, list[Message]] = {}
        self.notes: list[Action] = []

    def node(self, name: str) -> list[Message]:
        """The list to which messages for this node are appended."""
        return self._nodes.setdefault(name, [])

    def client(self, job: int) -> list[Message]:
        """The list to which messages for the client of this job are appended."""
        return self._clients.setdefault(job, [])

    def jobs(self) -> list[int]:
        """Those whose clients are told something, or may be."""
        return list(self._clients)

    def actions(self) -> list[Action]:
        """All that was gathered: answers first, a client may be waiting for them."""
        answers: list[Action] = [ToClient(job, messages) for job, messages in self._clients.items() if messages]
        answers.extend(ToNode(name, messages) for name, messages in self._nodes.items() if messages)
        return self.notes + answers if self.notes else answers


def noted(actions: list[Action], answered: dict[int, Result]) -> list[Action]:
    """The actions; the Results among them are entered by number."""
    for action in actions:
        if isinstance(action, ToClient):
            answered.update((each.seq, each) for each in action.messages if isinstance(each, Result))
    return actions
