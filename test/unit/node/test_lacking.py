"""What a task is told that needs a module which cannot be found."""

from __future__ import annotations

import pytest

from asyncluster.model.messages import Job
from asyncluster.node import namespace


@pytest.mark.parametrize(
    ("shut", "mend"), [("", "install it there"), ("/root", "behind /root, which this task's user")]
)
def test_an_absent_module(monkeypatch: pytest.MonkeyPatch, shut: str, mend: str) -> None:
    """To install what is there already helps nobody: the folder is named which hides it."""
    monkeypatch.setattr(namespace, "shut_folder", lambda _folders: shut)
    with pytest.raises(ModuleNotFoundError, match=mend) as told:
        namespace.Namespace(Job(1, "jane"), "desk").load(b"cno_such_module\nf\n.", "the function")
    assert "node desk has no module 'no_such_module'" in str(told.value)
    assert told.value.name == "no_such_module"
