"""What the command line does with its own stdout and stderr: readers that go, bytes that stay what they were."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncluster.node.kin import has_ended
from asyncluster.testing.waiting import until

pytestmark = pytest.mark.real

Typed = Callable[..., "subprocess.Popen[bytes]"]
GONE = 141


@pytest.fixture
def typed(cluster_socket: str) -> Iterator[Typed]:
    """Type a command line; its ends are pipes unless the test says otherwise."""
    begun: list[subprocess.Popen[bytes]] = []

    def run(*words: str, **ends: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", cluster_socket, *words]
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **ends}
        begun.append(subprocess.Popen(command, **given))  # type: ignore[call-overload]  # as keywords of its own
        return begun[-1]

    yield run
    for process in begun:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], str], Callable[[], str]]]:
    """A terminal for one end of a process, what gives all that it shows until its end, and a line of that."""
    ours, theirs = pty.openpty()

    def shown() -> str:
        os.close(theirs)
        data = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody has it any more
            while piece := os.read(ours, 65536):
                data += piece
        return data.decode()

    def line() -> str:
        data = b""
        while not data.endswith(b"\n"):
            assert select.select([ours], [], [], 60)[0], "nothing was shown"
            data += os.read(ours, 1)
        return data.decode().strip()

    try:
        yield theirs, shown, line
    finally:
        os.close(ours)


@pytest.mark.parametrize("count", ["1", "2"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_exec_ends_with_its_reader(typed: Typed, tmp_path: Path, count: str, stream: str) -> None:
    """As under `| head -2`: it ends as of SIGPIPE and says nothing; the programs are killed and the slots free."""
    marks = str(tmp_path / "pid.")
    script = f"echo $$ >{marks}$ASYNCLUSTER_INDEX; exec yes" + (" >&2" if stream == "stderr" else "")
    process = typed("exec", "-n", count, "--", "sh", "-c", script)
    pipe = getattr(process, stream)
    assert pipe.readline().endswith(b"y\n")
    until(lambda: len(list(tmp_path.glob("pid.*"))) == int(count))
    pipe.close()
    setattr(process, stream, None)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out or b"", errors or b"") == (GONE, b"", b"")
    until(lambda: all(has_ended(int(path.read_text())) for path in tmp_path.glob("pid.*")))
    assert typed("exec", "-n", "2", "--", "true").wait(60) == 0


def test_run_ends_with_its_reader(typed: Typed, tmp_path: Path) -> None:
    """What a function prints, and what is printed of many results, has no reader any more."""
    source = tmp_path / "job.py"
    source.write_text(
        "import os\n"
        "def talk(path):\n"
        "    open(path, 'w').write(str(os.getpid()))\n"
        "    while True: print('y')\n"
        "def same(x): return x\n"
    )
    mark = tmp_path / "pid"
    process = typed("run", str(source), "talk", str(mark))
    assert process.stdout is not None
    assert process.stdout.readline().endswith(b"y\n")
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == GONE
    until(lambda: has_ended(int(mark.read_text())))
    lines = tmp_path / "lines"
    lines.write_text("".join(f"{number:04}{'x' * 100}\n" for number in range(5000)))
    process = typed("run", "--map", str(lines), str(source), "same")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"'0000x")
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == GONE


def test_a_full_disk_is_told(typed: Typed) -> None:
    """What cannot be written is no success."""
    with open("/dev/full", "wb") as full:
        process = typed("exec", "--", "echo", "hello", stdout=full)
        assert (
            process.communicate(timeout=60)[1] == b"asyncluster: cannot write to our stdout: No space left on device\n"
        )
    assert process.returncode == 1


def test_exec_changes_no_byte(typed: Typed) -> None:
    """Long lines, no line at all, bytes that are no text."""
    given = bytes(byte for byte in range(256) if byte != 10) * 2000 + b"end"
    program = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.stderr.write('no end')"
    process = typed("exec", "--stdin", "-", "--", sys.executable, "-c", program, stdin=subprocess.PIPE)
    assert process.communicate(given, timeout=60) == (given, b"no end")
    assert process.returncode == 0


def test_what_goes_to_a_file(typed: Typed, tmp_path: Path) -> None:
    """The bar on the terminal does not take along what functions print, and the file has results and output."""
    source, lines = tmp_path / "job.py", tmp_path / "lines"
    source.write_text("def same(x):\n    print('printed')\n    return x\n")
    lines.write_text("1\n2\n")
    with terminal() as (theirs, shown, _):
        process = typed("run", "--map", str(lines), str(source), "same", stderr=theirs)
        text = shown()
        out = process.communicate(timeout=60)[0].splitlines()
    assert "same" in text
    assert "printed" not in text
    assert [line for line in out if not line.endswith(b"] printed")] == [b"1", b"2"]
    assert len(out) == 4


def test_output_above_the_limit_is_no_success(typed: Typed) -> None:
    """Not a byte too much on stdout; stderr has the limit and where it is set, and the exit code is 1 unless it was
    the program's."""
    script = "head -c 17000000 /dev/zero; exit "
    for code, expected in (("0", 1), ("7", 7)):
        process = typed("exec", "--", "sh", "-c", script + code)
        out, errors = process.communicate(timeout=60)
        assert (len(out), out.count(0), process.returncode) == (16 << 20, 16 << 20, expected)
        assert b"222,784 more bytes" in errors
        assert b"16 MiB a task" in errors
        assert b"[client] of asyncluster.conf on the node" in errors


@pytest.mark.parametrize("verb", ["exec", "run"])
def test_a_person_is_told_of_a_full_cluster(typed: Typed, tmp_path: Path, verb: str) -> None:
    """Once, on a terminal; then it goes on as ever."""
    gate, begun = tmp_path / "gate", str(tmp_path / "begun.")
    (tmp_path / "job.py").write_text("def three(): return 3\n")
    script = f"touch {begun}$ASYNCLUSTER_INDEX; while [ ! -e {gate} ]; do sleep 0.05; done"
    typed("exec", "-n", "2", "--", "sh", "-c", script)
    until(lambda: len(list(tmp_path.glob("begun.*"))) == 2)
    words = ("exec", "--", "echo", "3") if verb == "exec" else ("run", "--json", str(tmp_path / "job.py"), "three")
    with terminal() as (theirs, shown, first_line):
        process = typed(*words, stderr=theirs)
        assert first_line() == "waiting: all 2 slots are in use; `asyncluster nodes` shows where"
        gate.touch()
        assert process.communicate(timeout=60)[0] == b"3\n"
        assert shown() == ""
