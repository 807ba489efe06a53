"""Which of Torque's and Maui's programs are used, where they are not where the manual has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncluster.config.elastic_explain import loads
from asyncluster.errors import ConfigError
from asyncluster.schedulers.torque.site import look

MANUAL = loads("cluster: {type: torque}", "").cluster.commands
TORQUE = ("qstat", "pbsnodes", "qmgr", "qdel", "qsig", "qrerun", "qsub", "qrls")
MAUI = ("checknode", "setres", "showres", "releaseres", "diagnose")


def only(*paths: str, found: str = "") -> Callable[[str], str | None]:
    """A machine with these programs, and those in the folder `found` on its PATH."""
    on_path = {path.rpartition("/")[2]: path for path in paths if found and path.startswith(f"{found}/")}

    def which(program: str) -> str | None:
        return program if program in paths else on_path.get(program)

    return which


def at(folder: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Their paths."""
    return tuple(f"{folder}/{name}" for name in names)


def test_as_the_manual_has_it() -> None:
    """All in one place: nothing is looked for elsewhere, and Maui keeps nodes."""
    here = look(MANUAL, only(*at("/usr/bin", TORQUE + MAUI)))
    assert here.maui
    assert here.note == ""
    assert here.commands.add_node.argv("n1") == ("/usr/bin/qmgr", "-c", "create node n1")
    assert here.commands.rerun("7.head", False) == ("/usr/bin/qrerun", "7.head")
    assert here.commands.submit((), False) == ("/usr/bin/qsub",)


def test_elsewhere_and_without_maui() -> None:
    """The manual's paths hold nothing: those on the PATH are used, it is said, and properties alone have to do."""
    here = look(MANUAL, only(*at("/opt/torque/bin", TORQUE), found="/opt/torque/bin"))
    assert not here.maui
    assert "/opt/torque/bin/qstat for /usr/bin/qstat" in here.note
    assert here.commands.nodes() == ("/opt/torque/bin/pbsnodes", "-x")


def test_what_is_not_named_is_beside_qstat() -> None:
    """A site that names qstat alone has the others there, whatever else the PATH has."""
    which = only(*at("/opt/torque/bin", TORQUE), *at("/bin", TORQUE), found="/bin")
    here = look({"qstat_command": "/opt/torque/bin/qstat -x -t"}, which)
    assert here.commands.rerun("7", True) == ("/opt/torque/bin/qrerun", "7", "-f")
    assert here.commands.cancel.argv("7") == ("/opt/torque/bin/qdel", "7")


def test_maui_in_part() -> None:
    """A reservation that can be made and not released would stay for ever: it is refused, and says what is lost."""
    here = look(MANUAL, only(*at("/usr/bin", (*TORQUE, "checknode", "setres", "showres"))))
    with pytest.raises(ConfigError, match="/usr/bin/releaseres cannot be found"):
        assert here.maui


def test_nothing_here() -> None:
    """Programs that are nowhere keep their names, so that each failure says which is missing."""
    here = look(MANUAL, lambda program: None)
    assert not here.maui
    assert here.commands.nodes() == ("/usr/bin/pbsnodes", "-x")


def test_senseless_commands() -> None:
    """What only a shell could do, and what is no command of Torque."""
    with pytest.raises(ConfigError, match="needs a shell"):
        look({"qstat_command": "/usr/bin/qstat -x > /tmp/x"})
    with pytest.raises(ConfigError, match="no command of torque"):
        look({"frob_command": "/usr/bin/frob"})
