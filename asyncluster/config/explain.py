"""From the text of asyncluster.conf to settings, or to all of its faults at once.

Decides what each fault is called: file, line, section, key, what is wrong and what would be right.
Values of secrets, and of keys it does not know, never get into a message.  Knows no files: the text
comes in, its name (`origin`) is only repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import attrs
from pydantic import ValidationError

from asyncluster.config.base_conf import (
    REQUIRED,
    SECRETS,
    SECTIONS,
    Here,
    Need,
    Sections,
    Settings,
    keys,
)
from asyncluster.config.fields import node_name, socket_path
from asyncluster.config.ini import Fault, Reading, headings, known_keys, shown
from asyncluster.config.outcome import complete, warnings
from asyncluster.errors import ConfigError, SecretExposedError
from asyncluster.model.peer import OWN_ACCOUNT

PLACEHOLDER = "YOU-MUST-CHANGE-THIS"
MAKE_PASSWORD = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"  # noqa: S105 (a command that makes one)


class ConfigFaultsError(ConfigError):
    """The configuration has faults; each line names file, section and key.  Mend them all and try again."""

    def __init__(self, faults: tuple[Fault, ...], warnings: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults
        self.warnings = warnings  # of what is right in it


class ExposedFaultsError(ConfigFaultsError, SecretExposedError):
    """A file that holds secrets can be read by others.  The message shows the chmod that mends it."""


@attrs.frozen
class Findings:
    """What a text gave: settings where there are no faults; whether there are secrets in it in any case."""

    settings: Settings | None
    faults: tuple[Fault, ...]
    secrets: bool


def loads(text: str, origin: str, need: Need, here: Here | None = None) -> Settings:
    """Settings from the text of a configuration file.

    origin: the file's name, for messages; need: what is being started, which decides what must be
    given; here: the machine.  Raises ConfigError (`ConfigFaultsError`, with `faults`) naming all faults.
    """
    findings = examine(text, origin, need, here or Here())
    if findings.settings is None:
        raise ConfigFaultsError(findings.faults)
    return findings.settings


def examine(text: str, origin: str, need: Need, here: Here) -> Findings:
    """As `loads`, but tells of faults instead of raising."""
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        return Findings(None, (Fault(origin, "has a NUL character; this is no text file", line=line),), True)
    reading = Reading(origin, text)
    raw = reading.raw
    faults = reading.faults + list(_unknown(reading)) + list(_placeholders(reading, need))
    faulty = {(fault.section, fault.key) for fault in faults}
    known = {
        section: {
            name: value
            for name, value in raw.get(section, {}).items()
            if name in keys(section) and (section, name) not in faulty
        }
        for section in SECTIONS
    }
    sections, more = _validated(reading, known)
    faults += more
    faults += _missing(reading, known, need, faulty)
    if sections is not None:
        sections = complete(sections, here)
        faults += _beyond_fields(reading, sections, need)
    if faults or sections is None:
        ordered = sorted(set(faults), key=lambda fault: (fault.line or 10**9, fault.section, fault.key, fault.problem))
        return Findings(None, tuple(ordered), _has_secrets(reading))
    settings = Settings(
        common=sections.common,
        server=sections.server,
        client=sections.client,
        display=sections.display,
        origin=origin,
        warnings=tuple(warnings(known, sections, need)),
    )
    return Findings(settings, (), _has_secrets(reading))


def _unknown(reading: Reading) -> Iterator[Fault]:
    """Sections and keys that do not exist, each with the nearest one that does."""
    for section, values in reading.raw.items():
        if section not in SECTIONS:
            near = get_close_matches(section.lower(), SECTIONS, 1, 0.5)
            hint = f"; did you mean [{near[0]}]?" if near else f"; there are {headings()}"
            line = reading.lines.get((section, ""), 0)
            yield Fault(reading.origin, f"there is no such section{hint}", shown(section), "", line)
            continue
        for key in values:
            if key not in keys(section):
                line = reading.lines.get((section, key), 0)
                yield Fault(reading.origin, _unknown_key(section, key), section, shown(key), line)


def _unknown_key(section: str, key: str) -> str:
    if not key:
        return "there is no key before the ="
    for known in keys(section):
        if re.match(rf"{known}\s*[ :]", key):
            return f"has no = after `{known}`; write `{known} = value`"
    for other in SECTIONS:
        if key in keys(other):
            return f"belongs in [{other}]"
    plain = re.sub(r"[\W_]+", " ", key)
    near = get_close_matches(plain, keys(section), 1, 0.6)
    if near:
        return f"there is no such key; did you mean `{near[0]}`?"
    for other in SECTIONS:
        near = get_close_matches(plain, keys(other), 1, 0.75)
        if near:
            return f"there is no such key; did you mean `{near[0]}` in [{other}]?"
    return f"there is no such key; [{section}] has: {', '.join(keys(section))}"


def _placeholders(reading: Reading, need: Need) -> Iterator[Fault]:
    for section, values in reading.raw.items():
        for key, value in values.items():
            if not value.startswith(PLACEHOLDER) or key not in known_keys(section):
                continue
            # of a password that somebody made of it nothing is told
            still = value if value == f"{PLACEHOLDER}-TOO" else PLACEHOLDER
            if (section, key) in SECRETS:
                problem = (
                    f"is still {still}; choose a long random password, for instance with  {MAKE_PASSWORD}  "
                    "and write the same one on the master and on all nodes"
                )
            else:
                problem = f"is still {still}; put your own value in its place"
            yield Fault(reading.origin, problem, section, key, reading.lines.get((section, key), 0))


def _validated(reading: Reading, known: Mapping[str, Mapping[str, str]]) -> tuple[Sections | None, list[Fault]]:
    """The sections as models, or what their fields say against them."""
    error: ValidationError | None = None
    try:
        return Sections.model_validate(known), []
    except ValidationError as refused:
        error = refused
    # Outside of the `except`, so that no traceback of ours drags pydantic's, which knows the values.
    faults = []
    for entry in error.errors(include_url=False, include_input=False):
        # pydantic names a default by its attribute, a given value by its alias
        section, key = (*(str(name).replace("_", " ") for name in entry["loc"]), "", "")[:2]
        cause = entry.get("ctx", {}).get("error")
        problem = str(cause) if cause is not None else entry["msg"]
        faults.append(Fault(reading.origin, problem, section, key, reading.lines.get((section, key), 0)))
    return None, faults


def _missing(
    reading: Reading, known: Mapping[str, Mapping[str, str]], need: Need, faulty: set[tuple[str, str]]
) -> Iterator[Fault]:
    """Keys that have to be given for what is being started, and are not.

    Not those of a section that appears twice: they may be in the half that was not read.
    """
    alone = need == "node" and known["client"].get("user", "").startswith(OWN_ACCOUNT)
    for section, key in REQUIRED[need]:
        if alone and section == "common":
            continue  # an account of one node's own proves the master as well
        if not known[section].get(key) and not {(section, key), (section, "")} & faulty:
            same = "the same on the master and on all nodes"
            how = f"a long random one, {same}; make one with  {MAKE_PASSWORD}" if (section, key) in SECRETS else same
            line = reading.lines.get((section, key), 0)
            yield Fault(reading.origin, f"is missing, and a {need} needs it: {how}", section, key, line)


def _beyond_fields(reading: Reading, sections: Sections, need: Need) -> Iterator[Fault]:
    """What only shows once the machine's own values are filled in, or what is being started is known."""

    def fault(section: str, key: str, problem: str) -> Fault:
        return Fault(reading.origin, problem, section, key, reading.lines.get((section, key), 0))

    try:
        socket_path(sections.common.socket)
    except ValueError as error:
        yield fault("common", "socket", str(error))
    if need == "master" and sections.client.user.startswith(OWN_ACCOUNT):
        yield fault(
            "client", "user", f"begins with {OWN_ACCOUNT}, as accounts of single nodes do; give it another name"
        )
    if need == "node":
        if sections.common.tcp_port == 0:
            yield fault("common", "tcp port", "is 0, which only a master can use; name the master's port")
        try:
            node_name(sections.client.name)
        except ValueError as error:
            yield fault("client", "name", f"the machine's own name does not do: {error}; give the node another one")


def _has_secrets(reading: Reading) -> bool:
    """Whether others may not see the text.  In doubt, as in a text that could not be parsed, they may not."""
    if any(reading.raw.get(section, {}).get(key) for section, key in SECRETS):
        return True
    if re.search(r"://[^/@\s]*:[^/@\s]+@", reading.raw.get("server", {}).get("database", "")):
        return True
    return bool(reading.faults) and "password" in reading.text.lower()
