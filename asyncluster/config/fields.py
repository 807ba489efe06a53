"""The kinds of value in a configuration file: text in, checked value out.

Each kind is an annotated type for the models in `base_conf.py`.  Its converter takes the text of one
value and raises ValueError with a sentence for the person who wrote it.  Knows neither files nor keys;
`~` stays as it is, since where home is, is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import PlainSerializer, PlainValidator

from asyncluster.model.need import LONGEST_FEATURE, MOST_FEATURES, is_feature
from asyncluster.units import clip, parse_duration, parse_levels, parse_size

Network = IPv4Network | IPv6Network
T = TypeVar("T")

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?", re.ASCII)
_NODE = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?", re.ASCII)
_URL = re.compile(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://\S*", re.ASCII)
_NO_FILE = re.compile(r"sqlite(\+[a-z0-9_]+)?:///?(:memory:)?(\?\S*)?", re.ASCII)
IN_MEMORY = "sqlite://"
"""A database that ends with its master; every way to write one becomes this."""

LONGEST_PROOF = 15.0
"""Seconds: less than a newcomer waits at the gate (its PATIENCE), or those who prove nothing could lock it out."""

_SOCKET_BYTES = 107  # sun_path of Linux, without the closing zero


class Secret:
    """A password or the like; prints as ***, so that no log, traceback or answer shows it by accident.

    False when empty.  Refuses to be pickled: a secret travels only where somebody called `reveal`.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self.__text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        # Plain comparison: for settings and tests.  Proofs compare in constant time, in wire/proof.py.
        return isinstance(other, Secret) and self.__text == other.__text

    def __hash__(self) -> int:
        return hash(self.__text)

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled; call reveal() where it is meant to travel")


def kind(convert: Callable[[str], T]) -> Any:
    """The annotation that makes pydantic call `convert` on a value's text."""

    def checked(value: object) -> T:
        return convert(value.strip() if isinstance(value, str) else str(value))

    return PlainValidator(checked)


def whole(low: int, high: int) -> Callable[[str], int]:
    """A converter for a whole number between two bounds, both included."""

    def convert(text: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]{1,12}", text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"{clip(text)} is not a whole number from {low} to {high}{aside(text)}")

    return convert


def span(least: float, most: float = float("inf"), why: str = "") -> Callable[[str], float]:
    """A converter for a duration of at least, and at most, so many seconds; why: no more than that, for messages."""

    def convert(text: str) -> float:
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            raise ValueError(f"{error}{aside(text)}") from None
        if seconds < least:
            raise ValueError(f"{clip(text)} is too short; at least {least:g} seconds")
        if seconds > most:
            raise ValueError(f"{clip(text)} is too long; at most {most:g} seconds{why}")
        return seconds

    return convert


def span_or_never(text: str) -> float:
    """A duration; "never" is 0."""
    return 0.0 if text.lower() == "never" else span(0)(text)


def size(text: str) -> int:
    """A size in bytes, at least 1 KiB."""
    count = parse_size(text)
    if count < 1024:
        raise ValueError(f"{clip(text)} is too small; at least 1 KiB")
    return count


def path(text: str) -> str:
    """A file or folder: absolute, or below ~/; "" when not given."""
    if not text:
        return ""
    if not text.isprintable() or not text.startswith(("/", "~/")):
        raise ValueError(f"{clip(text)} is not a path that begins with / or ~/")
    return text


def socket_path(text: str) -> str:
    """A path that fits in the address of a UNIX socket."""
    if not path(text):
        raise ValueError("is empty; name a file such as /tmp/.ndm or /run/asyncluster/control")
    if len(text.encode()) > _SOCKET_BYTES:
        raise ValueError(f"{clip(text)} is longer than the {_SOCKET_BYTES} bytes that a UNIX socket may have")
    return text


def seat_socket(text: str) -> str:
    """The same, or "" for none."""
    return socket_path(text) if text else ""


def log_file(text: str) -> str:
    """A path, or "" (also "-") for standard error."""
    return "" if text == "-" else path(text)


def levels(text: str) -> str:
    """Log levels; kept as text, `asyncluster.log` parses it again."""
    parse_levels(text)
    return text


def choice(*words: str) -> Callable[[str], str]:
    """A converter for one of a few words."""

    def convert(text: str) -> str:
        if text.lower() in words:
            return text.lower()
        raise ValueError(f"{clip(text)} is not one of {', '.join(words)}{aside(text)}")

    return convert


def secret(value: object) -> Secret:
    """A password in printable characters; what is wrong with it is said without showing it."""
    if isinstance(value, Secret):
        return value
    text = str(value).strip()
    if not text.isprintable():
        raise ValueError("has control or other unprintable characters; use letters, digits and punctuation")
    if len(text) > 1024:
        raise ValueError("is longer than 1024 characters")
    return Secret(text)


def account(text: str) -> str:
    """The name of an account, user or group: printable, without blanks, not above 64 characters; may be empty."""
    if len(text) > 64 or not text.isprintable() or any(letter.isspace() for letter in text):
        raise ValueError(f"{clip(text)} is not a name: no blanks or control characters, at most 64 characters")
    return text


def node_name(text: str) -> str:
    """A node's name, which appears as node/worker in logs and tables; "" when not given."""
    if text and not _NODE.fullmatch(text):
        raise ValueError(
            f"{clip(text)} is not a node's name: letters, digits, dots, hyphens and underscores, at most 64"
        )
    return text


def host(text: str) -> str:
    """One host name or IP address."""
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    if re.search(r":[0-9]+$", text):
        raise ValueError(f"{clip(text)} has a port in it; that is [common] tcp port")
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise ValueError(f"{clip(text)} is not a host name or an IP address")
    return text


def masters(text: str) -> tuple[tuple[str, int], ...]:
    """Addresses of one master, parted by commas: host, or host:port; port 0 is the one of [common] tcp port."""
    found = []
    for item in split(text):
        place = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:([0-9]{1,5})", item) or re.fullmatch(r"([^:]+):([0-9]{1,5})", item)
        bare = item[1:-1] if item.startswith("[") and item.endswith("]") else item
        if place is None:
            found.append((host(bare), 0))
        else:
            found.append((host(place[1]), whole(1, 65535)(place[2])))
    if not found:
        raise ValueError("is empty; name the master's machine")
    return tuple(dict.fromkeys(found))


def interface(text: str) -> str:
    """The IP address of one interface, or "" for all of them."""
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise ValueError(
            f"{clip(text)} is not an IP address of this machine; leave it empty to listen on all interfaces"
        ) from None


def networks(text: str) -> tuple[Network, ...]:
    """Networks parted by commas; bits beyond the prefix are dropped (a warning tells)."""
    found: list[Network] = []
    for item in split(text):
        try:
            found.append(ip_network(item, strict=False))
        except ValueError:
            raise ValueError(
                f"{clip(item)} is not an address or a network such as 192.168.1.0/24 or fd00::/64{aside(item)}"
            ) from None
    if not found:
        raise ValueError("is empty, so nobody could connect; for this machine alone write 127.0.0.1, ::1")
    return tuple(found)


def database(text: object) -> Secret:
    """A URL for SQLAlchemy, masked since it may hold a password; empty when not decided.

    The original's `sqlite://:memory:`, and whatever else names SQLite and no file, becomes `sqlite://`.
    """
    if isinstance(text, Secret):
        return text
    url = str(text).strip()
    if url == "DEFINE_A_URL":
        url = ""
    if _NO_FILE.fullmatch(url):
        url = IN_MEMORY
    if url and not _URL.fullmatch(url):
        raise ValueError(
            "is not a URL such as sqlite:////var/lib/asyncluster/usage.sqlite or postgresql://user@host/base"
        )
    return Secret(url)


def quota(text: str) -> tuple[str, ...]:
    """Which of "sessions" and "tasks" hours are for; sessions always."""
    words = tuple(dict.fromkeys(word.lower() for word in split(text)))
    for word in words:
        if word not in ("sessions", "tasks"):
            raise ValueError(f"{clip(word)} is not one of sessions, tasks{aside(text)}")
    if "sessions" not in words:
        raise ValueError("leaves out sessions, which always have hours; write sessions, or sessions, tasks")
    return tuple(sorted(words))


def time_zone(text: str) -> str:
    """A name of the time zone database; may be empty."""
    try:
        if text:
            ZoneInfo(text)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{clip(text)} is not a time zone such as Europe/Berlin or UTC{aside(text)}") from None
    return text


def slots(text: str) -> int:
    """How many tasks at a time; "auto" is 0."""
    if text.lower() in ("auto", "all"):
        return 0
    try:
        return whole(1, 4096)(text)
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


def gpus(text: str) -> tuple[str, ...] | None:
    """The ids of a node's gpus: a count makes 0, 1, 2 …; a comma makes a list; None: to be counted there."""
    if text.lower() == "auto":
        return None
    if re.fullmatch(r"[0-9]{1,4}", text):
        return tuple(str(number) for number in range(int(text)))
    ids = tuple(split(text))
    if not ids or not all(re.fullmatch(r"[0-9]{1,4}|[A-Za-z][A-Za-z0-9/-]{1,99}", item) for item in ids):
        raise ValueError(
            f"{clip(text)} is neither a number of gpus nor a list of their ids such as 0, 1 or GPU-8932f937, "
            f"nor auto; a single one is written with a comma, as in 3,{aside(text)}"
        )
    if len(set(ids)) < len(ids):
        raise ValueError(f"{clip(text)} names a gpu twice")
    return ids


def features(text: str) -> tuple[str, ...]:
    """Words parted by commas, each once."""
    words = tuple(dict.fromkeys(split(text)))
    for word in words:
        if not is_feature(word):
            raise ValueError(
                f"{clip(word)} is not a feature: printable, without blanks, at most {LONGEST_FEATURE} characters; "
                f"features are parted by commas{aside(text)}"
            )
    if len(words) > MOST_FEATURES:
        raise ValueError(f"names {len(words)} features; at most {MOST_FEATURES}")
    return words


def size_or_none(text: str) -> int:
    """A size in bytes; "0" or "none" is 0."""
    return 0 if text.lower() in ("0", "none") else size(text)


def window_size(text: str) -> tuple[int, int]:
    """Width and height in pixels, "300, 200"."""
    match = re.fullmatch(r"([0-9]{2,5})\s*[,x]\s*([0-9]{2,5})", text)
    if match is None:
        raise ValueError(f"{clip(text)} is not a width and a height in pixels such as 300, 200")
    return int(match[1]), int(match[2])


def command(text: str) -> str:
    """A program by its absolute path, perhaps with arguments."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(f"{clip(text)} is not a program's full path such as /usr/bin/startkde")
    return text


def split(text: str) -> list[str]:
    """Items parted by commas or new lines, without the empty ones."""
    return [item.strip() for item in re.split(r"[,\n]", text) if item.strip()]


def aside(text: str) -> str:
    """A hint for one who wrote a comment behind a value."""
    return "; a comment needs a line of its own" if re.search(r"\s[#;]", text) else ""


def web_address(text: str) -> str:
    """A URL of HTTP; "" = none."""
    if text and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]{1,255}(/[!-~]*)?", text):
        raise ValueError(f"{clip(text)} is no URL that begins with http:// or https://")
    return text


Port = Annotated[int, kind(whole(0, 65535))]
Seconds = Annotated[float, kind(span(0))]
SomeSeconds = Annotated[float, kind(span(0.05))]
ProofSeconds = Annotated[float, kind(span(0.05, LONGEST_PROOF, ": who waits meanwhile is let go after 20 seconds"))]
SecondsOrNever = Annotated[float, kind(span_or_never)]
Bytes = Annotated[int, kind(size)]
BytesOrNone = Annotated[int, kind(size_or_none)]
Path = Annotated[str, kind(path)]
SocketPath = Annotated[str, kind(socket_path)]
SeatSocket = Annotated[str, kind(seat_socket)]
WhenInUse = Annotated[str, kind(choice("pause", "return", "nice", "go on"))]
LogFile = Annotated[str, kind(log_file)]
Levels = Annotated[str, kind(levels)]
LogFormat = Annotated[str, kind(choice("text", "json"))]
Masked = Annotated[Secret, PlainValidator(secret), PlainSerializer(str)]
DatabaseURL = Annotated[Secret, PlainValidator(database), PlainSerializer(str)]
WebAddress = Annotated[str, kind(web_address)]
Account = Annotated[str, kind(account)]
NodeName = Annotated[str, kind(node_name)]
Masters = Annotated[tuple[tuple[str, int], ...], kind(masters)]
Interface = Annotated[str, kind(interface)]
TimeZone = Annotated[str, kind(time_zone)]
Quota = Annotated[tuple[str, ...], kind(quota)]
Networks = Annotated[tuple[Network, ...], kind(networks)]
Slots = Annotated[int, kind(slots)]
Gpus = Annotated[tuple[str, ...] | None, kind(gpus)]
Features = Annotated[tuple[str, ...], kind(features)]
WindowSize = Annotated[tuple[int, int], kind(window_size)]
Command = Annotated[str, kind(command)]
Niceness = Annotated[int, kind(whole(-20, 19))]
Limit = Annotated[int, kind(whole(1, 1_000_000))]
CrashLimit = Annotated[int, kind(whole(1, 1000))]
