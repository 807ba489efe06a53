"""As whom tasks run."""

from __future__ import annotations

from asyncluster.node.identity import Identity, decide, serves

KNOWN = {
    "root": Identity(0, 0, (0,), "/root", "root"),
    "ann": Identity(1000, 1000, (1000, 27), "/home/ann", "ann"),
    "grid": Identity(900, 900, (900,), "/srv", "grid"),
    "toor": Identity(0, 0, (0,), "/root", "toor"),
}


def ask(uid: int, user: str, owner: str, run_as: str = "") -> object:
    found = decide(uid, user, owner, run_as, KNOWN.get)
    return found if isinstance(found, str) else (found.name, found.uid, found.change)


def test_roots_daemon() -> None:
    """Each owner's tasks run as the owner; never as root under whatever name; never for an unknown name."""
    assert ask(0, "root", "ann") == ("ann", 1000, True)
    assert "not run as root" in str(ask(0, "root", "root"))
    assert "not run as root" in str(ask(0, "root", "toor"))
    assert "does not know" in str(ask(0, "root", "mallory"))


def test_run_tasks_as() -> None:
    """A site that wants everybody's tasks under one user says so by name, even if that is root."""
    assert ask(0, "root", "mallory", "grid") == ("grid", 900, True)
    assert ask(0, "root", "ann", "root") == ("root", 0, True)
    assert "does not know" in str(ask(0, "root", "ann", "nemo"))


def test_a_persons_daemon() -> None:
    """It serves that person only, unless it says that all run as himself."""
    assert ask(1000, "ann", "ann") == ("ann", 1000, False)
    assert "not bob's" in str(ask(1000, "ann", "bob"))
    assert ask(1000, "ann", "bob", "ann") == ("ann", 1000, False)
    assert "cannot" in str(ask(1000, "ann", "ann", "grid"))


def test_serves() -> None:
    """The master is told whose tasks make sense here."""
    assert [serves(0, "root", ""), serves(1000, "ann", ""), serves(1000, "ann", "ann")] == ["*", "ann", "*"]
