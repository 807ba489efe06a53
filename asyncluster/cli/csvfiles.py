"""Accounts as CSV: what `user export` writes and `user import` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyncluster.model.account import MOST_COUNT, MOST_SECONDS, check_hours, check_name
from asyncluster.units import clip, format_duration, parse_duration

COLUMNS = ("name", "enabled", "restricted", "daily", "weekly", "slots", "queued", "argon2", "scram")
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_NONE = "none"


def write_accounts(rows: Iterable[Mapping[str, Any]]) -> str:
    """The whole file, with a heading; hashes only where the rows have them."""
    found = list(rows)
    columns = [name for name in COLUMNS if name not in ("argon2", "scram") or any(row.get(name) for row in found)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in found:
        writer.writerow([_cell(name, row.get(name)) for name in columns])
    return out.getvalue()


def _cell(name: str, value: Any) -> str:
    if name in ("daily", "weekly"):
        return _NONE if value is None else format_duration(value)
    if name in ("slots", "queued"):
        return _NONE if value is None else str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value or "")


def read_accounts(lines: Iterable[str]) -> list[dict[str, Any]]:
    """What each line says of an account; empty cells say nothing.  Raises ValueError, which names the line."""
    try:
        reader = csv.DictReader(lines, strict=True)
        columns = reader.fieldnames or []
        _check_columns(columns)
        found: list[dict[str, Any]] = []
        lines_of: dict[str, int] = {}
        for row in reader:
            try:
                given = _row(row)
                _check_new(given["name"], reader.line_num, lines_of)
            except ValueError as error:
                raise ValueError(f"line {reader.line_num}: {error}") from None
            found.append(given)
    except UnicodeDecodeError:
        raise ValueError("this is no CSV file in UTF-8; save it as that") from None
    except csv.Error as error:
        raise ValueError(f"this is no CSV file: {error}") from None
    return found


def _check_columns(columns: Sequence[str]) -> None:
    unknown = [name for name in columns if name not in COLUMNS]
    wanted = f"the first line has to name columns, parted by commas: name, and any of {', '.join(COLUMNS[1:])}"
    if unknown:
        raise ValueError(f"{wanted}; {clip(unknown[0])} is none of them")
    if "name" not in columns:
        raise ValueError(wanted)
    if twice := [name for name in COLUMNS if columns.count(name) > 1]:
        raise ValueError(f"the first line names the column {twice[0]} twice")


def _check_new(name: str, line: int, lines_of: dict[str, int]) -> None:
    first = lines_of.setdefault(name, line)
    if first != line:
        raise ValueError(f"{clip(name)} is in line {first} already; leave one of them out")


def _row(row: Mapping[str | Any, Any]) -> dict[str, Any]:
    if None in row:
        raise ValueError("it has more cells than the first line has columns")
    given = {name: text.strip() for name, text in row.items() if text and text.strip()}
    check_name(given.get("name"))
    if "scram" in given:
        from asyncluster.wire.accounts import verifier_of  # most files have no hashes

        verifier_of(given["name"], given["scram"])
    return {name: _value(name, text) for name, text in given.items()}


def _value(name: str, text: str) -> Any:
    if name in ("enabled", "restricted"):
        if text.lower() not in _FLAGS:
            raise ValueError(f"{name} is {clip(text)}; write yes or no")
        return _FLAGS[text.lower()]
    if name in ("daily", "weekly"):
        return None if text.lower() == _NONE else _kept_hours(text)
    if name in ("slots", "queued"):
        return None if text.lower() == _NONE else limit(text)
    if name == "argon2":
        from asyncluster.accounts.passwords import check_hash

        check_hash(text)
    return text


def limit(text: str) -> int:
    """A limit of slots or of queued tasks.  Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MOST_COUNT):
        raise ValueError(f"{clip(text)} is no limit; write a number from 0 to {MOST_COUNT}, or none")
    return int(text)


def hours(text: str, what: str) -> int:
    """Seconds of a limit such as "4h", "1h 30m", or "4", which is hours; what: "daily" or "weekly".

    Raises ValueError.
    """
    seconds = _seconds(text)
    check_hours(what, seconds)
    return seconds


def _kept_hours(text: str) -> int:
    """The same of a file: also what an earlier release took, which `export` writes."""
    seconds = _seconds(text)
    if seconds > MOST_SECONDS:
        most = MOST_SECONDS // 3600
        raise ValueError(
            f"{seconds / 3600:g} hours are more than the {most} that an account takes; for no limit say none"
        )
    return seconds


def _seconds(text: str) -> int:
    try:
        return round(parse_duration(f"{text}h" if text.replace(".", "", 1).isdigit() else text))
    except ValueError:
        raise ValueError(f"{clip(text)} is no number of hours; write 4, 4h, 90m, 1h 30m or none") from None
