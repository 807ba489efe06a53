"""A site's commands: how one ends, and what becomes of what it started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from asyncluster.errors import CommandFailedError
from asyncluster.master.hooks import LINGER, Hooks
from asyncluster.node.kin import has_ended

LONG = 60.0
"""Seconds: a limit that no test reaches."""


class Quick(Clock):
    """A reactor whose processes have ended before they have quite been started, and left their outputs open."""

    def spawnProcess(self, process: Any, *args: Any, **more: Any) -> None:
        self.process = process
        process.makeConnection(self)
        process.processExited(Failure(ProcessDone(0)))

    def closeStdin(self) -> None:
        """See IProcessTransport."""

    def loseConnection(self) -> None:
        self.process.processEnded(Failure(ProcessDone(0)))

    pid = None


def test_one_that_ends_while_it_is_started() -> None:
    """Is waited for no longer than another."""
    clock = Quick()
    done = Hooks(clock).run(("true",), {}, LONG)
    assert not done.called
    clock.advance(LINGER)
    assert done.called
    assert not clock.getDelayedCalls()


@pytest.mark.real
class HooksTests(TestCase):
    """With real processes."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(self._end)

    def _end(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)

    async def begun(self, script: str, limit: float = LONG, environment: Mapping[str, str] = {}) -> None:
        """As `run_one`, once the reactor runs, as it does wherever hooks are."""
        await task.deferLater(reactor, 0)
        await self.run_one(script, limit, environment)

    def run_one(self, script: str, limit: float = LONG, environment: Mapping[str, str] = {}) -> Deferred[None]:
        """A hook that writes `$$` or `$!` of what it starts into "pid" of the folder."""
        return Hooks(reactor).run(
            ("sh", "-c", script, "word of its own"), {"F": str(self.folder), **environment}, limit
        )

    async def _until_there(self) -> int:
        for _ in range(600):
            with contextlib.suppress(OSError, ValueError):
                return int((self.folder / "pid").read_text())
            await task.deferLater(reactor, 0.1)
        raise AssertionError("it has not begun")

    async def _until_gone(self) -> None:
        pid = await self._until_there()
        for _ in range(600):
            if has_ended(pid):
                return
            await task.deferLater(reactor, 0.1)
        self.fail("what it started lives on")

    async def test_what_it_leaves_behind_keeps_nobody_waiting(self) -> None:
        """A command that starts a daemon, which has its outputs, has ended well; the daemon stays."""
        await self.begun("sleep 1000 & echo $! > $F/pid; exit 0")
        assert not has_ended(await self._until_there())

    async def test_one_that_fails_and_leaves_something_behind(self) -> None:
        """Has failed, with what it said."""
        with pytest.raises(CommandFailedError, match=r"^sh ended with 3: no room$") as raised:
            await self.begun("echo no room >&2; sleep 1000 & echo $! > $F/pid; exit 3")
        assert raised.value.code == 3

    async def test_one_that_is_late_is_ended(self) -> None:
        """With what it started; what it was given is not told."""
        with pytest.raises(CommandFailedError, match=r"^sh did not end within 1s; it had said: hm$"):
            await self.begun("echo hm >&2; sleep 1000 & echo $! > $F/new; mv $F/new $F/pid; wait", 1.0)
        await self._until_gone()

    async def test_one_that_is_given_up_is_ended(self) -> None:
        """With what it started."""
        running = self.run_one("sleep 1000 & echo $! > $F/new; mv $F/new $F/pid; wait")
        await self._until_there()
        running.cancel()
        with pytest.raises(CancelledError):
            await running
        await self._until_gone()

    async def test_what_it_gets_of_the_environment(self) -> None:
        """What it is told of, the PATH, and no secret that the master was given."""
        self.patch(os, "environ", {**os.environ, "OS_PASSWORD": "hidden"})
        await self.begun('test "$ASYNCLUSTER_NODE" = n -a -n "$PATH" -a -z "$OS_PASSWORD"', environment=NODE)

    async def test_one_that_is_not_there(self) -> None:
        """It is named."""
        with pytest.raises(CommandFailedError, match="there is no program /no/such here"):
            await Hooks(reactor).run(("/no/such",), {}, LONG)

    async def test_one_that_is_killed(self) -> None:
        """By what is told."""
        with pytest.raises(CommandFailedError, match=r"^sh was killed by signal 9$"):
            await self.begun("kill -9 $$")


NODE = {"ASYNCLUSTER_NODE": "n"}
