"""What is said of a program that cannot be started, or that failed, with this machine for the node."""

from __future__ import annotations

import pickle
from pathlib import Path

import cloudpickle
import pytest

from asyncluster.errors import ProgramFailedError, ProgramNotStartedError
from asyncluster.programs import program_call, run_program


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this node, which is called a."""
    monkeypatch.setenv("ASYNCLUSTER_NODE", "a")
    return tmp_path


def put(path: Path, text: str, mode: int) -> str:
    """Write a program."""
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_unknown_program_is_told_with_the_path(folder: Path) -> None:
    """By its name: where it was looked for.  By its path: the folder in which that path begins."""
    with pytest.raises(FileNotFoundError) as caught:
        run_program(["foo"], {"PATH": "/nowhere:/usr/nowhere"})
    assert str(caught.value) == "there is no program 'foo' on node a; searched PATH, /nowhere:/usr/nowhere"
    with pytest.raises(FileNotFoundError) as caught:
        run_program(["./foo"], cwd=str(folder))
    assert str(caught.value) == f"there is no program './foo' on node a; looked in {folder}"
    with pytest.raises(FileNotFoundError) as caught:
        run_program(["/nowhere/foo"])
    assert str(caught.value) == "there is no program '/nowhere/foo' on node a"


def test_program_without_the_right_to_execute_it(folder: Path) -> None:
    """The sentence names the file, also one found by PATH, and what mends it; a folder is no program."""
    path = put(folder / "foo", "#!/bin/sh\n", 0o644)
    said = f"the program {path} on node a may not be executed; `chmod +x` makes it executable"
    for name, env in ((path, {}), ("foo", {"PATH": f"/nowhere:{folder}"})):
        with pytest.raises(PermissionError) as caught:
            run_program([name], env)
        assert str(caught.value) == said
    with pytest.raises(PermissionError, match="is a folder, not a program"):
        run_program([str(folder)])


def test_files_that_the_kernel_cannot_execute(folder: Path) -> None:
    """An interpreter that is missing, and a file that names none."""
    with pytest.raises(FileNotFoundError, match=r"interpreter that is not there: #!/no/such/sh$"):
        run_program([put(folder / "script", "#!/no/such/sh\n", 0o755)])
    with pytest.raises(PermissionError, match="no script whose first line names its interpreter"):
        run_program([put(folder / "text", "hello\n", 0o755)])


def test_program_that_can_be_started(folder: Path) -> None:
    """Its code comes back."""
    assert run_program(["sh", "-c", "exit $X"], {"X": "7"}, str(folder)) == 7


def test_from_a_folder_that_was_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is amiss is still said, also of a path object."""
    away = folder / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    away.rmdir()
    with pytest.raises(FileNotFoundError, match="there is no program 'nosuch'"):
        run_program([Path("nosuch")])


def test_a_code_is_a_failure_of_the_task(folder: Path) -> None:
    """So that it can be tried again; the exception has the code that a shell would show, also where nothing ran."""
    call = program_call(["sh", "-c", "exit $ASYNCLUSTER_INDEX"], {}, str(folder), None)
    assert call(0, 0, None) == 0
    for index, code in ((3, 3), (255, 255)):
        with pytest.raises(ProgramFailedError, match=f"sh ended with exit code {code}") as caught:
            call(7, index, None)
        assert pickle.loads(pickle.dumps(caught.value)).code == code
    with pytest.raises(ProgramFailedError, match="ended by SIGKILL") as caught:
        program_call(["sh", "-c", "kill -9 $$"], {}, str(folder), None)(0, 0, None)
    assert caught.value.code == 137
    for words, code in ((["no-such-program"], 127), ([str(folder)], 126), (["a\0b"], 126)):
        with pytest.raises(ProgramNotStartedError) as caught:
            program_call(words, {}, None, None)(0, 0, None)
        assert caught.value.code == code


def test_each_task_knows_its_numbers_and_its_line(folder: Path) -> None:
    """A script travels as it was, with its interpreter, and its first line need not name one."""
    told = 'echo "$ASYNCLUSTER_TASK $ASYNCLUSTER_INDEX $ASYNCLUSTER_LINE $A $1" > told'
    for first in ("#!/bin/sh\n", "# nothing\n"):
        call = program_call(["work.sh", "word"], {"A": "a"}, str(folder), None, f"{first}{told}\n".encode())
        call = pickle.loads(cloudpickle.dumps(call))
        assert call(4, 40, "a line") == 0
        assert (folder / "told").read_text() == "4 40 a line a word\n"
        (folder / "told").unlink()
    assert call.__name__ == "work.sh"
