"""From the global options to a socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncluster.cli.connect import Place, socket_of
from asyncluster.errors import MasterNotFoundError


@pytest.mark.parametrize("is_site", [False, True])
def test_where_no_master_is_both_places_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_site: bool
) -> None:
    """So that the administrator of a site whose master is down is not sent to a master of his own alone."""
    conf = tmp_path / "asyncluster.conf"
    conf.write_text(f"[common]\nsocket = {tmp_path}/control\n" if is_site else "")
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("ASYNCLUSTER_SOCKET", raising=False)
    monkeypatch.setenv("ASYNCLUSTER_CONF", str(conf))
    with pytest.raises(MasterNotFoundError, match="no master of yours") as told:
        socket_of(Place())
    assert (f"none answers at {tmp_path}/control" in str(told.value)) is is_site
