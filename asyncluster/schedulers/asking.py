"""Asking a batch system's commands: which answers are none, which are a no, and which node is meant."""

from __future__ import annotations

from asyncluster.errors import SchedulerError
from asyncluster.model.batch import BatchNode
from asyncluster.schedulers import words
from asyncluster.schedulers.run import Answer, Runner


class Asking:
    """For a subclass that has `runner`; `_find` and `_there` for one that has `_nodes` as well."""

    runner: Runner

    def _unreached(self, answer: Answer, listing: bool) -> bool:
        """Whether it means that the batch system was not reached.  listing: what it prints is other people's words."""
        raise NotImplementedError  # each batch system has its own words

    def _denied(self, answer: Answer) -> bool:
        """Whether it means that what was asked for was not done."""
        return bool(answer.code)

    def _unknown(self, name: str) -> SchedulerError:
        """The error for a node that the batch system does not list."""
        raise NotImplementedError

    async def _nodes(self) -> tuple[BatchNode, ...]:
        raise NotImplementedError

    async def _do(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        """Run what changes something, or may be refused; NoAnswerError where the batch system was not reached."""
        answer = await self.runner.run(argv, stdin)
        if self._unreached(answer, listing=False):
            raise answer.silent()
        return answer

    async def _answer(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        """Run what lists; NoAnswerError for everything but a listing."""
        answer = await self.runner.run(argv, stdin)
        if answer.code or self._unreached(answer, listing=True):
            raise answer.silent()
        return answer

    async def _must(self, argv: tuple[str, ...], mend: str = "", stdin: str = "") -> Answer:
        """Run what is to be done; CommandFailedError where it is refused.  mend: what somebody may do about it."""
        answer = await self._do(argv, stdin)
        if self._denied(answer):
            raise answer.refused(mend)
        return answer

    async def _find(self, name: str) -> BatchNode | None:
        """A node as it is now, None = the batch system does not know it."""
        words.host(name)
        return next((node for node in await self._nodes() if node.name == name), None)

    async def _there(self, name: str) -> BatchNode:
        """A node that has to be known."""
        node = await self._find(name)
        if node is None:
            raise self._unknown(name)
        return node
