"""Single values: what is accepted, what is said, and that secrets stay secret."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from asyncluster.config import fields
from asyncluster.config.fields import Secret
from asyncluster.store.address import parse_address


def test_a_secret_shows_itself_only_when_asked() -> None:
    """repr, str, format, vars and containers print a mask; reveal gives the text."""
    secret = Secret("hunter2")
    for text in (repr(secret), str(secret), f"{secret}", "%s" % secret, repr([secret]), repr({"a": secret})):  # noqa: UP031
        assert "hunter2" not in text
    assert secret.reveal() == "hunter2"
    assert not hasattr(secret, "__dict__")


def test_secrets_compare_and_do_not_travel() -> None:
    """Equal by text, false when empty, refused by pickle and deep copies."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            way(Secret("a"))


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (fields.whole(0, 65535), "0", 0),
        (fields.span_or_never, "never", 0.0),
        (fields.size, "1M", 2**20),
        (fields.path, "~/x", "~/x"),
        (fields.log_file, "-", ""),
        (fields.host, "::1", "::1"),
        (fields.masters, "main", (("main", 0),)),
        (fields.masters, "main:9081, ::1,[fd00::1]:9080, main:9081", (("main", 9081), ("::1", 0), ("fd00::1", 9080))),
        (fields.host, "main.example.org", "main.example.org"),
        (fields.interface, "", ""),
        (fields.time_zone, "", ""),
        (fields.time_zone, "Europe/Berlin", "Europe/Berlin"),
        (fields.quota, "sessions", ("sessions",)),
        (fields.quota, "Tasks, sessions, tasks", ("sessions", "tasks")),
        (fields.slots, "auto", 0),
        (fields.slots, "4", 4),
        (fields.gpus, "auto", None),
        (fields.gpus, "0", ()),
        (fields.gpus, "3", ("0", "1", "2")),
        (fields.gpus, "3,", ("3",)),
        (fields.gpus, "0, 1, GPU-8932f937", ("0", "1", "GPU-8932f937")),
        (fields.features, "", ()),
        (fields.features, "avx512, scratch, avx512", ("avx512", "scratch")),
        (fields.size_or_none, "none", 0),
        (fields.size_or_none, "8 GiB", 8 << 30),
        (fields.window_size, "300, 200", (300, 200)),
        (fields.window_size, "300x200", (300, 200)),
        (fields.account, "anna@example.org", "anna@example.org"),
        (fields.node_name, "desk-17", "desk-17"),
        (fields.choice("text", "json"), "JSON", "json"),
    ],
)
def test_accepted(convert: Callable[[str], object], text: str, value: object) -> None:
    """Each kind reads its usual forms."""
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text", "said"),
    [
        (fields.whole(0, 65535), "65536", "from 0 to 65535"),
        (fields.whole(0, 65535), "9080  # the port", "a line of its own"),
        (fields.whole(0, 65535), "٣", "whole number"),
        (fields.span(0.05), "0", "too short"),
        (fields.span(0.05, 15), "16s", "too long; at most 15 seconds"),
        (fields.size, "10", "too small"),
        (fields.path, "relative/x", "begins with /"),
        (fields.socket_path, "", "empty"),
        (fields.socket_path, "/" + "x" * 107, "107 bytes"),
        (fields.host, "a, b", "not a host"),
        (fields.masters, "", "is empty"),
        (fields.masters, "a, b c", "not a host"),
        (fields.masters, "a, b:0", "from 1 to 65535"),
        (fields.masters, "a, b:x", "not a host"),
        (fields.host, "main:9080", "tcp port"),
        (fields.host, "", "not a host"),
        (fields.host, "a b", "not a host"),
        (fields.host, "-x", "not a host"),
        (fields.interface, "eth0", "IP address"),
        (fields.time_zone, "Mars/Base", "not a time zone such as"),
        (fields.time_zone, "../etc/passwd", "not a time zone such as"),
        (fields.quota, "tasks", "leaves out sessions"),
        (fields.quota, "", "leaves out sessions"),
        (fields.quota, "sessions, jobs", "not one of sessions, tasks"),
        (fields.slots, "0", "or auto"),
        (fields.gpus, "", "neither a number of gpus nor a list"),
        (fields.gpus, "-1", "neither a number"),
        (fields.gpus, "0, 1, 0", "names a gpu twice"),
        (fields.features, "big memory", "'big memory' is not a feature|\"big memory\" is not a feature"),
        (fields.features, ",".join(f"f{n}" for n in range(33)), "at most 32"),
        (fields.size_or_none, "10", "too small"),
        (fields.window_size, "300", "300, 200"),
        (fields.command, "startkde", "full path"),
        (fields.account, "a b", "no blanks"),
        (fields.account, "a\x07", "control"),
        (fields.account, "x" * 65, "64"),
        (fields.node_name, "a/b", "node's name"),
        (fields.networks, "", "nobody could connect"),
        (fields.networks, "127.0.0.1, 300.1.1.1", "300.1.1.1"),
        (fields.choice("text", "json"), "xml", "text, json"),
        (fields.database, "somewhere", "not a URL"),
    ],
)
def test_refused(convert: Callable[[str], object], text: str, said: str) -> None:
    """Each kind says what is wrong."""
    with pytest.raises(ValueError, match=said):
        convert(text)


def test_networks_of_both_families() -> None:
    """Addresses, prefixes, new lines; bits beyond the prefix are dropped."""
    found = fields.networks("127.0.0.1, 192.168.1.7/24\n::1, fd00::/64,")
    assert [str(network) for network in found] == ["127.0.0.1/32", "192.168.1.0/24", "::1/128", "fd00::/64"]


def test_databases_of_the_original() -> None:
    """Its in-memory URL is put as SQLAlchemy wants it now; its placeholder means not decided."""
    assert fields.database("sqlite://:memory:").reveal() == "sqlite://"
    assert fields.database("DEFINE_A_URL").reveal() == ""


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite://", "sqlite:///?timeout=3"])
def test_a_database_without_a_file_is_in_memory_however_it_is_written(url: str) -> None:
    """Otherwise accounts would be moved into what is forgotten, and jobs be called durable."""
    assert parse_address(url).path == ""
    assert fields.database(url).reveal() == fields.IN_MEMORY


@pytest.mark.parametrize("url", ["sqlite:///file", "sqlite:////var/file", "postgresql://", "sqlite:////"])
def test_a_database_with_a_file_is_left_as_it_is_written(url: str) -> None:
    """A server needs none."""
    assert parse_address(url).path != ""
    assert fields.database(url).reveal() == url


def test_a_bad_password_is_not_shown() -> None:
    """Its fault is said without its text."""
    for bad in ("hunter2\x01", "hunter2" * 200):
        with pytest.raises(ValueError) as caught:
            fields.secret(bad)
        assert "hunter2" not in str(caught.value)
