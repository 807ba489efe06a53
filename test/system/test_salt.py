"""The check by Salt with a real Salt master and minion, which `bin/test` installs in an environment of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from asyncluster.errors import NoAnswerError
from asyncluster.schedulers.run import Runner
from asyncluster.supply.checks import SaltCheck

LONG = 240.0
NEEDED = ("salt", "salt-master", "salt-minion")
PROGRAMS = f"{Path(__file__).parents[2] / '.venv-salt' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def program(name: str) -> str | None:
    """Where that one of Salt's is; None = nowhere."""
    return shutil.which(name, path=PROGRAMS)


def missing() -> str:
    """Why it cannot be run here; "" when it can."""
    lacking = [name for name in NEEDED if program(name) is None]
    return f"there is no {lacking[0]}: bin/test makes .venv-salt, or says why it could not" if lacking else ""


pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


MASTER = "worker_threads: 2\nauto_accept: True\ngather_job_timeout: 5\n"
MINION = """\
id: grow-1
multiprocessing: False
mine_enabled: False
enable_fqdns_grains: False
enable_gpu_grains: False
acceptance_wait_time: 1
random_reauth_delay: 1
recon_default: 100
recon_max: 500
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Salt:
    """A master and a minion named grow-1, whose high state is one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = folder / "made"
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            publish, answer = one.getsockname()[1], two.getsockname()[1]
        for side, own in (
            ("master", f"interface: 127.0.0.1\nret_port: {answer}\n{MASTER}"),
            ("minion", f"master: 127.0.0.1\nmaster_port: {answer}\n{MINION}"),
        ):
            home = folder / side
            roots = f"file_roots: {{base: [{folder}/states]}}\n" if side == "master" else ""
            common = f"publish_port: {publish}\nroot_dir: {home}\npki_dir: {home}/pki\nsock_dir: {home}/run\n"
            write(home / side, own + common + roots)
        write(folder / "states" / "top.sls", "base:\n  '*': [ready]\n")
        write(folder / "states" / "ready.sls", f"{self.made}:\n  file.managed:\n    - contents: ready\n")
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def command(self) -> str:
        """Asks this master."""
        return f"{program('salt')} -c {self.folder / 'master'}"

    def start(self, side: str) -> None:
        with (self.folder / f"{side}.log").open("ab") as log:
            self.running[side] = subprocess.Popen(
                [str(program(f"salt-{side}")), "-c", str(self.folder / side), "-l", "warning"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def stop(self, side: str) -> None:
        process = self.running.pop(side, None)
        if process is not None:
            for how in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                    break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it leaves behind


@pytest.fixture
def salt(request: pytest.FixtureRequest) -> Iterator[None]:
    """One for the test, which has it as `self.salt`."""
    with tempfile.TemporaryDirectory(prefix="ac-salt-") as folder:  # a short name: sockets lie below it
        made = request.instance.salt = Salt(Path(folder))
        made.start("master")
        yield
        for side in list(made.running):
            made.stop(side)


@pytest.mark.usefixtures("salt")
class TestSalt(TestCase):
    """One story."""

    timeout = 600
    salt: Salt

    async def until(self, check: SaltCheck, part: str) -> None:
        """Until that is missing; "" = nothing."""
        end, said = time.monotonic() + LONG, ""
        while True:
            try:
                said = await check.check("grow-1", "")
                if (part in said) if part else not said:
                    return
            except NoAnswerError as error:  # the master is not there as yet
                said = str(error)
            assert time.monotonic() < end, said
            await task.deferLater(reactor, 0.2)

    async def test_a_minion_that_comes_and_is_set_up(self) -> None:
        """Without an answer, then without its high state, then ready; a master that is away is no answer."""
        # the minion has five seconds to say that it is at work, and Salt's own program a minute to ask it
        ask = partial(SaltCheck, reactor, self.salt.command, "10s", runner=Runner(reactor, 60.0))
        check = ask()
        await self.until(check, "does not answer")
        self.salt.start("minion")
        await self.until(check, "1 of 1 states of its high state are not there yet")
        await self.until(ask("ping"), "")
        self.salt.made.write_text("ready\n")
        await self.until(check, "")
        self.salt.stop("minion")
        self.salt.stop("master")
        gone: Deferred[str] = check.check("grow-1", "")
        with pytest.raises(NoAnswerError):
            await gone
