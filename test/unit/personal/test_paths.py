"""Where personal mode keeps its files, and whom it refuses."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from asyncluster.errors import RefusedError
from asyncluster.personal.paths import (
    SOCKET_BYTES,
    answers,
    find,
    nobody,
    places,
    private_folder,
    run_tasks_as,
    temporary_base,
)

ME = os.getuid()


def test_xdg_folders_are_used(tmp_path: Path) -> None:
    """Each XDG variable moves its own folder."""
    runtime = tmp_path / "r"
    runtime.mkdir()
    found = places(
        {
            "HOME": "/h",
            "XDG_CONFIG_HOME": "/c",
            "XDG_STATE_HOME": "/s",
            "XDG_RUNTIME_DIR": str(runtime),
        },
        ME,
    )
    assert found.config == Path("/c/asyncluster")
    assert found.state == Path("/s/asyncluster/personal")
    assert found.socket == f"{runtime}/asyncluster/master.sock"


def test_defaults_are_below_home() -> None:
    """Without variables, and with relative ones, which the rules say to ignore, all is below the home folder."""
    found = places({"HOME": "/h", "XDG_CONFIG_HOME": "relative", "XDG_RUNTIME_DIR": "/does/not/exist"}, ME)
    assert found.conf == Path("/h/.config/asyncluster/personal.conf")
    assert found.socket == "/h/.local/state/asyncluster/personal/run/master.sock"


def test_long_home_gives_a_short_socket() -> None:
    """A socket's path that Linux would refuse is replaced by a short one that bears the user's number."""
    found = places({"HOME": "/" + "h" * 100}, 1234)
    assert found.socket == "/tmp/asyncluster-1234/master.sock"
    assert len(found.socket) <= SOCKET_BYTES


def test_private_folder_is_made_and_mended(tmp_path: Path) -> None:
    """It is 0700 when made, and again when somebody has opened it."""
    folder = tmp_path / "a" / "b"
    private_folder(folder, ME)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    private_folder(folder, ME)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_private_folder_of_another_is_refused(tmp_path: Path) -> None:
    """A folder of another user, and a link that somebody put in its place, are refused by name."""
    with pytest.raises(RefusedError, match=str(tmp_path)):
        private_folder(tmp_path, ME + 1)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(RefusedError, match="link"):
        private_folder(link, ME)


def test_find_only_what_answers(tmp_path: Path) -> None:
    """A socket file that a dead master left is not a master; one that listens is; a named one is taken as it is."""
    environ = {"XDG_STATE_HOME": str(tmp_path), "HOME": "/h"}
    path = places(environ, ME).socket
    assert find(environ) is None
    Path(path).parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert not answers(path)
        listener.listen()
        assert find(environ) == path
    assert find(environ) is None
    assert find({**environ, "ASYNCLUSTER_SOCKET": "/x"}) == "/x"


def test_only_root_names_the_user_of_tasks() -> None:
    """A person's node serves that person; root has to be told by name."""
    assert run_tasks_as(0) == "root"
    assert run_tasks_as(12345) == ""


def test_who_finds_no_master_is_told_where_it_was_looked_for(tmp_path: Path) -> None:
    """The socket and the file that names it, where there is one: a master that did not start is looked for there."""
    path = tmp_path / "asyncluster.conf"
    path.write_text("[common]\nsocket = /no/such/control\n")
    path.chmod(0o600)
    environ = {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path), "ASYNCLUSTER_CONF": str(path)}
    assert find(environ) is None
    assert f"none answers at /no/such/control ([common] socket of {path})" in nobody(environ)


def test_temporary_folders_have_room_for_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the usual place is too deep, /tmp is taken."""
    monkeypatch.setattr(tempfile, "tempdir", "/scratch/" + "x" * 80)
    assert temporary_base("a/s") == "/scratch/" + "x" * 80
    assert temporary_base("asyncluster-demo-12345678/master.sock") == "/tmp"
