"""Schedulers in which one command says whether a node may be used: enable, hold and unhold are all made of it."""

from __future__ import annotations

from asyncluster.schedulers.run import deferred


class Able:
    """Three methods of IScheduler, for a subclass that has `_able`."""

    async def _able(self, enable: bool, name: str) -> None:
        """Let new jobs use a node, or not; SchedulerError where it did not come to that."""
        raise NotImplementedError  # each batch system has its own command

    @deferred
    async def enable(self, name: str) -> None:
        """New jobs may use it."""
        await self._able(True, name)

    @deferred
    async def hold(self, name: str, reason: str) -> None:
        """No new job may use it."""
        await self._able(False, name)

    @deferred
    async def unhold(self, name: str) -> None:
        """New jobs may use it again."""
        await self._able(True, name)
