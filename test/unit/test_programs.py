"""What is said of a program that cannot be started, with this machine for the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncluster.programs import run_program


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
