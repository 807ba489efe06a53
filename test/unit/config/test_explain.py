"""Text to settings: the original's file, and every fault by its name, all at once."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.config.base_conf import SECTIONS, Here, Need, keys
from asyncluster.config.explain import ConfigFaultsError, loads
from asyncluster.config.ini import Fault
from asyncluster.errors import ConfigError

GUIDE = (Path(__file__).parents[2] / "data" / "user-guide.conf").read_text()
CHOSEN = GUIDE.replace("YOU-MUST-CHANGE-THIS-TOO", "master-secret").replace("YOU-MUST-CHANGE-THIS", "node-secret")
GOOD = "[common]\nserver password = master-secret\n[client]\nuser = node\npassword = node-secret\n"
HERE = Here(host="desk", cores=4, home="/home/anna", state="/home/anna/.local/state/asyncluster")


def faults(text: str, need: Need = "master") -> list[str]:
    """What is said about a text, line by line."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "x.conf", need, HERE)
    assert isinstance(caught.value, ConfigFaultsError)
    assert str(caught.value).split("\n") == [str(fault) for fault in caught.value.faults]
    return str(caught.value).split("\n")


def test_the_originals_file_with_passwords_chosen() -> None:
    """The user guide's file means what the guide says."""
    everything: tuple[Need, ...] = ("master", "node", "client")
    for need in everything:
        found = loads(CHOSEN, "x.conf", need, HERE)
        assert (found.common.tcp_port, found.common.socket) == (9080, "/tmp/.ndm")
        assert (found.client.host, found.client.user) == ((("main", 0),), "test")
        assert found.client.password.reveal() == "node-secret"
        assert found.common.server_password.reveal() == "master-secret"
        assert [str(network) for network in found.server.subnets] == ["127.0.0.1/32", "192.168.135.0/24"]
        assert (found.display.size, found.display.window_manager) == ((300, 200), "/usr/bin/startkde")
        assert found.display.niceness == 10


def test_the_originals_placeholders_are_refused() -> None:
    """Both passwords at once, with what to do."""
    first, second = faults(GUIDE)
    assert first.startswith("x.conf:23: [client] password: ")
    assert second.startswith("x.conf:35: [common] server password: ")
    for line in (first, second):
        assert "secrets.token_urlsafe" in line
        assert "on the master and on all nodes" in line
    assert ("THIS; " in first, "THIS-TOO; " in second) == (True, True)  # what stands there, and can be looked for


def test_an_undecided_database_is_sqlite_with_a_warning() -> None:
    """DEFINE_A_URL works and is not silent."""
    found = loads(CHOSEN, "x.conf", "master", HERE)
    assert found.server.database.reveal() == "sqlite:////home/anna/.local/state/asyncluster/asyncluster.sqlite"
    assert "DEFINE_A_URL" in found.warnings[0]
    assert loads(CHOSEN, "x.conf", "node", HERE).warnings == ()


def test_warnings_for_what_works_but_may_not_be_meant() -> None:
    """Memory database, host bits, the whole world, equal and short passwords."""
    text = (
        "[common]\nserver password = short\n[client]\nuser = u\npassword = short\n[server]\ndatabase = sqlite://:memory:\n"
        "subnets = 192.168.1.7/24, 0.0.0.0/0, 10.0.0.0/8, 10.0.0.1\n"
    )
    said = "\n".join(loads(text, "x.conf", "master", HERE).warnings)
    for part in ("in memory", "taken as 192.168.1.0/24", "every address", "the same as", "is short"):
        assert part in said
    assert "10.0.0" not in said


def test_what_the_machine_gives() -> None:
    """Name, slots, home and state folders are filled in."""
    found = loads(GOOD.replace("[client]", "socket = ~/s\n[client]"), "x.conf", "node", HERE)
    assert (found.client.name, found.client.slots) == ("desk", 4)
    assert found.common.socket == "/home/anna/s"
    assert found.client.state_folder == "/home/anna/.local/state/asyncluster/node"


def test_a_client_needs_nothing() -> None:
    """An empty file does for a client, not for the others."""
    assert loads("", "x.conf", "client", HERE).common.socket == "/tmp/.ndm"
    services: tuple[Need, ...] = ("master", "node")
    for need in services:
        assert len(faults("", need)) == 3
        assert all(f"a {need} needs it" in line for line in faults("", need))


def test_all_faults_at_once() -> None:
    """Grammar, unknown names, bad values and missing keys come in one message, by line."""
    text = (
        "[comon]\n[common]\ntcp prot = 1\nsokcet = /x\nrubbish\ntcp port = http\ntcp port = 1\nniceness = 3\n"
        "[client]\nuser = a b\n[common]\n[servre]\nx = 1\n"
    )
    said = faults(text)
    for number, part in [
        (1, "did you mean [common]?"), (3, "did you mean `tcp port`?"), (4, "did you mean `socket`?"), (5, "neither"),
        (7, "given twice, first on line 6"), (8, "belongs in [display]"), (10, "not a name"), (11, "appears twice"),
        (12, "did you mean [server]?"),
    ]:  # fmt: skip
        assert any(line.startswith(f"x.conf:{number}: ") and part in line for line in said), (number, part, said)


def test_required_keys_are_named_even_beside_other_faults() -> None:
    """A file that lacks keys and has a bad value gives both."""
    said = "\n".join(faults("[common]\ntcp port = x\n"))
    assert "[common] tcp port" in said
    assert "[client] user: is missing" in said
    assert "[common] server password: is missing" in said


def test_silence_must_outlast_heartbeats() -> None:
    """Also when only one of the two is given."""
    assert (
        "[common] silence limit: 20s must be more than twice the heartbeat of 30s"
        in faults(GOOD.replace("[common]", "[common]\nheartbeat = 30s"))[0]
    )


def test_the_longest_time_for_a_proof() -> None:
    """Is below what newcomers wait at the gate; who wants more is told by section and key."""
    (fault,) = faults(GOOD.replace("[client]", "[server]\nproof time limit = 30s\n[client]"))
    assert "[server] proof time limit" in fault
    assert "at most 15 seconds" in fault


def test_a_node_cannot_guess_a_port() -> None:
    """Port 0 is for masters."""
    text = GOOD.replace("[common]", "[common]\ntcp port = 0")
    assert loads(text, "x.conf", "master", HERE).common.tcp_port == 0
    assert "only a master" in faults(text, "node")[0]


def test_an_indented_key_is_not_swallowed() -> None:
    """It would be part of the value above."""
    assert "goes on in the next line" in faults(GOOD + "host = main\n  slots = 3\n")[0]


@pytest.mark.parametrize(
    "text",
    [
        "[common]\nserver password hunter2\n",
        "[common]\nserver password: hunter=2\n",
        "[common]\nserver password hunter=2\n",
        "[common]\npasswd hunter=2\n",
        "[common]\nserver password = hunter\x01\n",
        "server password = hunter2\n",
        "[common]\nserver password = hunter2\nserver password = hunter3\n",
        "[common]\nserver password = hunter2\n  hunter3\n",
        "[common]\nserver password = hunter2\nheartbeat = x\n",
        "[server]\ndatabase = hunter2\n",
    ],
)
def test_no_secret_gets_into_a_message(text: str) -> None:
    """Nor into the traceback that a program would print."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "x.conf", "master", HERE)
    assert "hunter" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_windows_line_ends_and_blanks() -> None:
    """Trailing blanks and CR LF do no harm; keys may be in any case."""
    text = GOOD.replace("\n", "  \r\n").replace("server password", "Server   Password")
    assert loads(text, "x.conf", "master", HERE).common.server_password.reveal() == "master-secret"


def test_nul_is_told_by_line() -> None:
    """A binary file is named as such."""
    assert faults("[common]\n\0") == ["x.conf:2: has a NUL character; this is no text file"]


def test_many_duplicates_end() -> None:
    """A text that repeats itself for ever gives a bounded list."""
    said = faults("[common]\n" + "socket = /x\n" * 500)
    assert len(said) < 40
    assert "more such faults" in "\n".join(said)


MARKS = ["\n", "\n\n", "  ", "=", "[", "]", "#", ";", ":", "%", "\r", "\x0b", "\u2028", "\0", ",", "é", "\U0001d7d9"]
HEADS = [f"[{section}]" for section in SECTIONS]
VALUES = ["1", "auto", "5s", "127.0.0.1", "/tmp/x", "~/", "YOU-MUST-CHANGE-THIS", "DEFINE_A_URL"]
WORDS = st.sampled_from([*MARKS, *HEADS, *VALUES, *(key for section in SECTIONS for key in keys(section))])


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(WORDS | st.text(max_size=4), max_size=60).map("".join)))
def test_garbage_gives_only_config_errors(text: str) -> None:
    """Whatever the text, settings or a ConfigError come out, with one printable line a fault."""
    said: tuple[Fault, ...] = ()
    try:
        loads(text, "x.conf", "client", HERE)
    except ConfigFaultsError as error:
        said = error.faults or (Fault("x.conf", "\0 an error without a fault"),)
    for fault in said:
        assert str(fault).isprintable()


def test_an_account_of_a_single_node() -> None:
    """Such a node is not told the server password; a master's common account cannot be called so."""
    text = "[client]\nhost = main:9080\nuser = ~burst-1\npassword = a-secret-that-serves-once\nname = burst-1\n"
    found = loads(text, "x.conf", "node", HERE)
    assert (found.client.user, found.common.server_password.reveal()) == ("~burst-1", "")
    assert any("[common] server password" in line for line in faults(text.replace("~", ""), "node"))
    (line,) = faults(text + "[common]\nserver password = another-one-of-ours\n", "master")
    assert "[client] user: begins with ~" in line
