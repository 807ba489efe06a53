"""What is typed on the command line, as Python values."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click


def literal(text: str) -> object:
    """A Python literal (number, string, list, …), or the text itself where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def arguments(words: Iterable[str]) -> tuple[tuple[object, ...], dict[str, object]]:
    """Positional and keyword arguments: `name=value` with a proper name is a keyword.

    Raises ValueError when a keyword is given twice.
    """
    positional: list[object] = []
    named: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier() and not value.startswith("="):
            if name in named:
                raise ValueError(f"{name}= is given twice")
            named[name] = literal(value)
        else:
            positional.append(literal(word))
    return tuple(positional), named


def shown(word: str) -> str:
    """The same for tables and messages: what cannot be shown is escaped, also bytes that were no text."""
    return word if word.isprintable() else "".join(each if each.isprintable() else _escape(each) for each in word)


def _escape(character: str) -> str:
    return ascii(character)[1:-1]


def lines(text: Iterable[str]) -> list[str]:
    """The lines of a file without their ends; empty ones are left out."""
    return [line for line in (raw.rstrip("\r\n") for raw in text) if line.strip()]


def defines(source: str, name: str) -> bool:
    """Whether a Python source may define that name at its top; raises SyntaxError."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name.partition(".")[0]) in (name, "*"):
            return True
    return False


def names(source: str) -> set[str]:
    """What a Python source binds at its top, as far as can be seen without running it; raises SyntaxError."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)  # what it binds inside is not at the top
                continue
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.alias):
                found.add(node.asname or node.name.partition(".")[0])
            waiting.append(node)
    return found - {"*"}


@contextmanager
def said() -> Iterator[None]:
    """A ValueError in here is what the person typed: told as such, without a traceback."""
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def count_option(name: str, meaning: str) -> Callable[[Any], Any]:
    """An option that takes a limit: a number, or the word "none"."""

    def convert(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> int | str | None:
        from asyncluster.cli.csvfiles import limit

        if text is None or text == "none":
            return text
        try:
            return limit(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return click.option(name, metavar="N", callback=convert, help=meaning)


def hours_option(name: str, meaning: str) -> Callable[[Any], Any]:
    """An option that takes a limit: seconds, or the word "none"."""

    def convert(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> int | str | None:
        from asyncluster.cli.csvfiles import hours

        if text is None or text == "none":
            return text
        try:
            return hours(text, name.removeprefix("--"))
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return click.option(name, metavar="HOURS", callback=convert, help=meaning)
