"""The grammar of asyncluster.conf: from text to sections of keys, with every fault of the text and its line.

Knows which sections and keys there are only to word its messages; what their values mean is decided
elsewhere.  Never shows a line of the text, which may hold a secret.
"""

from __future__ import annotations

import re
from configparser import (
    DuplicateOptionError,
    DuplicateSectionError,
    MissingSectionHeaderError,
    ParsingError,
    RawConfigParser,
)

import attrs

from asyncluster.config.base_conf import SECTIONS, keys
from asyncluster.units import clip

_MULTILINE = {("server", "subnets")}
_MOST_ROUNDS = 20  # duplicates found in one go; each costs one more reading of the text
_DUMMY = "\0"  # begins names we put in place of duplicates; a NUL cannot be in the text


@attrs.frozen
class Fault:
    """One thing that is wrong.  line: counted from 1, 0 when the fault has no line; section, key: "" when none."""

    origin: str
    problem: str
    section: str = ""
    key: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.origin}:{self.line}" if self.line else self.origin
        place = " ".join(part for part in (f"[{self.section}]" if self.section else "", self.key) if part)
        return f"{where}: {place}: {self.problem}" if place else f"{where}: {self.problem}"


class _Parser(RawConfigParser):
    """INI as the original has it: `key = value`, comments on lines of their own, nothing interpolated."""

    # The standard one takes "[server] rubbish" for a header.
    SECTCRE = re.compile(r"\[\s*(?P<header>[^\[\]]*[^\[\]\s])\s*\]$")

    def __init__(self) -> None:
        super().__init__(
            delimiters=("=",),
            comment_prefixes=("#", ";"),
            inline_comment_prefixes=None,
            strict=True,
            empty_lines_in_values=False,
            default_section="",  # a header cannot be empty, so there is no such section
            interpolation=None,
        )

    def optionxform(self, optionstr: str) -> str:
        return " ".join(optionstr.lower().split())


class Reading:
    """The text as sections of keys, with the faults of its grammar and the line of each key."""

    def __init__(self, origin: str, text: str) -> None:
        self.origin = origin
        self.text = text
        self.faults: list[Fault] = []
        self.raw: dict[str, dict[str, str]] = {}
        lines = text.replace("\r\n", "\n").split("\n")
        self.lines = _line_numbers(lines)
        for _ in range(_MOST_ROUNDS):
            parser = _Parser()
            try:
                parser.read_file(lines, origin)
            except DuplicateSectionError as error:
                self._fault(error.lineno, "appears twice; put all its keys under one heading", error.section)
                lines[(error.lineno or 1) - 1] = f"[{_DUMMY}{error.lineno}]"
            except DuplicateOptionError as error:
                first = self.lines.get((error.section, error.option), 0)
                also = f", first on line {first}" if first and first != error.lineno else ""
                self._fault(error.lineno, f"is given twice{also}; keep one", error.section, error.option)
                line = lines[(error.lineno or 1) - 1]
                lines[(error.lineno or 1) - 1] = f"{line[: len(line) - len(line.lstrip())]}{_DUMMY}{error.lineno} ="
            except MissingSectionHeaderError as error:
                self._fault(error.lineno, f"stands before the first section; begin with {headings()}")
                lines[error.lineno - 1] = ""
            except ParsingError as error:
                for number, _ in error.errors:  # the line itself may hold a secret
                    self._fault(number, self._no_assignment(lines[number - 1]))
                    lines[number - 1] = ""
            else:
                self._keep(parser)
                return
        self._fault(0, "has more such faults; mend these first")

    def _fault(self, line: int | None, problem: str, section: str = "", key: str = "") -> None:
        if not section.startswith(_DUMMY) and not key.startswith(_DUMMY):
            self.faults.append(Fault(self.origin, problem, shown(section), shown(key), line or 0))

    def _keep(self, parser: _Parser) -> None:
        for section in parser.sections():
            if section.startswith(_DUMMY):
                continue
            self.raw[section] = values = {}
            for key, value in parser.items(section):
                if key.startswith(_DUMMY):
                    continue
                values[key] = value
                if "\n" in value and key in known_keys(section) and (section, key) not in _MULTILINE:
                    line = self.lines.get((section, key), 0)
                    self._fault(line, "goes on in the next line, which is indented; is that a key?", section, key)

    @staticmethod
    def _no_assignment(line: str) -> str:
        written = " ".join(line.lower().split())
        if written.startswith("["):
            return f"is no section heading; these are {headings()}"
        for section in SECTIONS:
            for key in keys(section):
                if re.match(rf"{key}\b", written):
                    return f"has no = after `{key}`; write `{key} = value`"
        return "is neither a [section] nor `key = value` nor a comment, which begins with #"


def _line_numbers(lines: list[str]) -> dict[tuple[str, str], int]:
    """Where each key first stands: only for messages, so it need not be as exact as the parser."""
    found: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(lines, start=1):
        header = _Parser.SECTCRE.match(line.strip())
        if header:
            section = header["header"]
            found.setdefault((section, ""), number)
        elif "=" in line and not line.lstrip().startswith(("#", ";")):
            name = " ".join(line.partition("=")[0].lower().split())
            found.setdefault((section, name), number)
    return found


def known_keys(section: str) -> list[str]:
    return keys(section) if section in SECTIONS else []


def headings() -> str:
    return ", ".join(f"[{section}]" for section in SECTIONS)


def shown(name: str) -> str:
    """A section's or key's name for a message.  What follows "pass…" may be a password with a = in it."""
    known = name in SECTIONS or any(name in keys(section) for section in SECTIONS)
    guarded = name if known else re.sub(r"(\S*pass\S*)\s.*", r"\1 …", name, flags=re.DOTALL)
    return clip(guarded, 40)[1:-1] if guarded else guarded
