"""Commands as an administrator writes them: with placeholders, and with the pipelines of Dynamic Cluster's manual.

A command is one program with arguments.  `| grep WORD`, `| awk '{print $N}'` and backticks around such a pipeline are
understood as they stand in its configuration files and done here; everything else that only a shell could do is
refused.  Nothing is ever given to a shell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TypeVar

import attrs

from asyncluster.config.elastic_fields import ONLY_A_SHELL
from asyncluster.model.placeholders import fill
from asyncluster.units import clip

_AWK = re.compile(r"\{\s*print\s+\$(\d{1,3})\s*;?\s*\}")


@attrs.frozen
class Filter:
    """One `| grep WORD` (lines with that word) or `| awk '{print $N}'` (column of each line, counted from 1)."""

    word: str = ""
    column: int = 0

    def apply(self, lines: list[str]) -> list[str]:
        """What is left of those lines.

        A word is a whole one, or one up to a dot: node1 is not in a line that says node10, but in one of node1.site.
        """
        if not self.column:
            begin = f"{self.word}."
            return [line for line in lines if any(f"{word}.".startswith(begin) for word in line.split())]
        columns = [line.split() for line in lines]
        return [words[self.column - 1] for words in columns if len(words) >= self.column]


@attrs.frozen
class Template:
    """A command with holes: {0}, {1} …  inner: the command whose output's words are its last arguments."""

    text: str
    words: tuple[str, ...]
    filters: tuple[Filter, ...] = ()
    inner: Template | None = None

    def argv(self, *values: str, more: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Its program and arguments with the holes filled; an argument that becomes empty is left out."""
        filled = (fill(word, values) for word in self.words)
        return (*(word for word in filled if word), *more)

    def at(self, program: str) -> Template:
        """The same with its program at another place; a pipeline in backticks stays as it is."""
        return attrs.evolve(self, words=(program, *self.words[1:]))

    def pick(self, output: str, *values: str) -> list[str]:
        """The lines of its output that its filters let through."""
        lines = output.splitlines()
        for one in self.filters:
            lines = attrs.evolve(one, word=fill(one.word, values)).apply(lines)
        return lines


def template(text: str) -> Template:
    """Read a command; ValueError says what of it cannot be done."""
    if not text.strip().isprintable():
        raise ValueError(f"{clip(text, 200)}: a command is one line")
    before, tick, rest = text.strip().partition("`")
    if not tick:
        return _pipeline(text)
    inside, tick, after = rest.partition("`")
    if not tick or after.strip() or "`" in after:
        raise ValueError(f"{clip(text, 200)}: backticks must enclose the end of the command, once")
    outer = _pipeline(before)
    if outer.filters:
        raise ValueError(f"{clip(text, 200)}: a pipeline cannot go before backticks")
    return attrs.evolve(outer, text=text, inner=_pipeline(inside))


def as_template(command: str | Template) -> Template:
    """Read a command, unless it has been read."""
    return command if isinstance(command, Template) else template(command)


def _pipeline(text: str) -> Template:
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars="|")
        lexer.whitespace_split, lexer.commenters = True, ""
        words = list(lexer)
    except ValueError as error:
        raise ValueError(f"{clip(text, 200)}: {error}") from error
    stages: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            stages.append([])
        else:
            stages[-1].append(word)
    first = stages[0]
    if not first or not all(stages):
        raise ValueError(f"{clip(text, 200)} names no program")
    for word in first:
        if bad := ONLY_A_SHELL & set(word) | ({"|"} & set(word)):
            raise ValueError(
                f"{clip(text, 200)}: {clip(''.join(sorted(bad)))} needs a shell, and commands run without one; "
                "put it into a script and name that"
            )
    return Template(text, tuple(first), tuple(_filter(stage, text) for stage in stages[1:]))


def _filter(stage: list[str], text: str) -> Filter:
    match stage:
        case ["grep", word] if not word.startswith("-"):
            return Filter(word=word)
        case ["awk", program] if (found := _AWK.fullmatch(fill(program, ()).strip())) and int(found[1]):
            return Filter(column=int(found[1]))
    raise ValueError(
        f"{clip(text, 200)}: of pipelines only `grep WORD` and `awk '{{print $N}}'` are understood, not "
        f"{clip(' '.join(stage))}; put it into a script and name that"
    )


_C = TypeVar("_C", bound="attrs.AttrsInstance")


def read_commands(kind: type[_C], settings: Mapping[str, str], scheduler: str) -> _C:
    """The commands of a scheduler (its `Commands`), with those that a configuration file names (`qstat_command`).

    ValueError for one that cannot be understood or is not known.
    """
    known = {f"{field.name}_command": field.name for field in attrs.fields(kind)}
    if unknown := sorted(set(settings) - set(known)):
        raise ValueError(f"{unknown[0]} is no command of {scheduler}; there are {', '.join(known)}")
    return kind(**{known[key]: text for key, text in settings.items()})
