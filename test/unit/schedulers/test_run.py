"""Commands are run to their end, in time and in bounds, and whoever asked learns how it went."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from asyncluster import collecting
from asyncluster.errors import CommandFailedError, NoAnswerError
from asyncluster.node.kin import has_ended
from asyncluster.schedulers.run import Answer, Runner
from asyncluster.schedulers.template import template

pytestmark = pytest.mark.real


def python(code: str) -> tuple[str, ...]:
    """A command that runs it."""
    return (sys.executable, "-c", code)


class RunTests(TestCase):
    """With the real reactor."""

    async def test_answer(self) -> None:
        """Both outputs, the exit code, what was given on standard input, the environment and the folder."""
        code = "import sys, os; print(sys.stdin.read(), os.environ['AC'], os.getcwd()); sys.exit(sys.stderr.write('e'))"
        runner = Runner(reactor, environment={"AC": "word"}, folder="/")
        answer = await runner.run(python(code), stdin="given")
        assert (answer.code, answer.stdout, answer.stderr) == (1, "given word /\n", "e")

    async def test_pipeline(self) -> None:
        """Filters are done here."""
        answer, lines = await Runner(reactor).pick(
            template("printf 'a 1\\nb 2\\n' | grep {0} | awk '{{print $2}}'"), "b"
        )
        assert (answer.code, lines) == (0, ["2"])

    async def test_no_shell(self) -> None:
        """An argument is an argument."""
        answer = await Runner(reactor).run(("echo", "$HOME; `id` *"))
        assert answer.stdout == "$HOME; `id` *\n"

    async def test_too_late(self) -> None:
        """A command that does not end is killed, with what it started, and is no answer."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        script = f"sleep 1000 & echo $! > {folder}/pid; echo said >&2; wait"
        with pytest.raises(NoAnswerError, match="did not end within"):
            await Runner(reactor, limit=1.0).run(("sh", "-c", script))
        for _ in range(600):
            if not _lives(folder / "pid"):
                return
            await task.deferLater(reactor, 0.1)
        self.fail("what it started lives on")

    async def test_given_up(self) -> None:
        """A command that nobody waits for any more is ended, with what it started."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        running = Deferred.fromCoroutine(
            Runner(reactor).run(
                ("sh", "-c", f"sleep 1000 & echo $! > {folder}/new; mv {folder}/new {folder}/pid; wait")
            )
        )
        for _ in range(600):
            if (folder / "pid").exists():
                break
            await task.deferLater(reactor, 0.1)
        running.cancel()
        with pytest.raises(CancelledError):
            await running
        for _ in range(600):
            if not _lives(folder / "pid"):
                return
            await task.deferLater(reactor, 0.1)
        self.fail("what it started lives on")

    async def test_too_much(self) -> None:
        """A command that prints without end is ended, and is no answer."""
        with pytest.raises(NoAnswerError, match="printed more than"):
            await Runner(reactor, most=100_000).run(("yes",))

    async def test_killed(self) -> None:
        """A command that is killed gave no answer, though what it printed looks whole."""
        with pytest.raises(NoAnswerError, match="signal 9"):
            await Runner(reactor).run(python("import os; print('all', flush=True); os.kill(os.getpid(), 9)"))

    async def test_no_such_program(self) -> None:
        """A program that is not there is named, with what to do."""
        with pytest.raises(NoAnswerError, match="no program /no/such"):
            await Runner(reactor).run(("/no/such", "x"))

    async def test_many(self) -> None:
        """Many at a time all end."""
        runner = Runner(reactor)
        answers = [await waiting for waiting in [runner.run(("echo", str(number))) for number in range(30)]]
        assert [int(answer.stdout) for answer in answers] == list(range(30))

    async def test_variables_that_change_listings(self) -> None:
        """What a user has set for nicer listings does not reach the commands."""
        self.patch(os, "environ", {**os.environ, "SQUEUE_FORMAT": "%i", "SLURM_CONF": "/x"})
        answer = await Runner(reactor).run(("env",))
        assert "SQUEUE_FORMAT" not in answer.stdout
        assert "SLURM_CONF=/x" in answer.stdout
        assert "LC_ALL=C" in answer.stdout

    async def test_aside(self) -> None:
        """Much is read off the reactor's thread, and errors come back from there."""
        self.patch(collecting, "_pauses", 0)  # what other tests of this process never ended is none of its business
        gc.enable()
        assert await Runner(reactor).aside(len, "x" * 1_000_000) == 1_000_000
        with pytest.raises(ValueError):
            await Runner(reactor).aside(int, "x" * 100_000)
        assert gc.isenabled()


def _lives(file: Path) -> bool:
    pid = file.read_text().strip() if file.exists() else ""
    return pid.isdigit() and not has_ended(int(pid))


def test_refusal() -> None:
    """A refusal keeps what was run, the code and the end of what was said."""
    error = Answer(("qsub", "-q", "x y"), 172, "", "a" * 5000 + "no such queue\n").refused("see `queue`")
    assert isinstance(error, CommandFailedError)
    assert (error.argv, error.code) == (("qsub", "-q", "x y"), 172)
    assert error.stderr.endswith("no such queue")
    assert len(error.stderr) == 2000
    assert "qsub -q 'x y' ended with 172" in str(error)
    assert "see `queue`" in str(error)
