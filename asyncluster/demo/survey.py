"""What the demonstration computes: facts about Python sources, found with `ast`.

Knows nothing of clusters: the same functions run in a plain loop and as tasks.
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

FOREIGN = {"site-packages", "dist-packages", "__pycache__"}

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler),
    *(ast.BoolOp, ast.comprehension, ast.match_case),
)


@attrs.frozen
class Facts:
    """What is known of one file; longest_lines is 0 and longest "" where there is no function.

    size: bytes; fault: why it cannot be parsed, "" when it can.
    """

    path: str
    size: int
    functions: int = 0
    branches: int = 0
    longest: str = ""
    longest_lines: int = 0
    fault: str = ""


@attrs.frozen
class Totals:
    """A whole library in a few figures; `longest` are the files with the longest functions, longest first."""

    files: int
    size: int
    functions: int
    branches: int
    faulty: int
    longest: tuple[Facts, ...]


def modules(root: Path | None = None) -> list[Path]:
    """All Python sources of the running Python's standard library, in a fixed order."""
    root = root or Path(sysconfig.get_path("stdlib"))
    return sorted(path for path in root.rglob("*.py") if not FOREIGN.intersection(path.relative_to(root).parts))


def survey(source: bytes, path: str = "") -> Facts:
    """The facts of one source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes in strings; not our business here
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Facts(path, len(source), fault=type(error).__name__)
    functions = branches = lines = 0
    longest = ""
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            functions += 1
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > lines:
                longest, lines = node.name, length
        elif isinstance(node, _BRANCHES):
            branches += 1
    return Facts(path, len(source), functions, branches, longest, lines)


def survey_file(path: str) -> Facts:
    """The facts of one file."""
    return survey(Path(path).read_bytes(), path)


def survey_file_here(path: str) -> tuple[str, Facts]:
    """The same as a task: the name of the node that did it comes first."""
    return os.environ.get("ASYNCLUSTER_NODE", ""), survey_file(path)


def total(facts: Iterable[Facts], top: int = 8) -> Totals:
    """The sum of all facts."""
    known = list(facts)
    ranked = sorted(known, key=lambda one: (-one.longest_lines, one.path))
    return Totals(
        files=len(known),
        size=sum(one.size for one in known),
        functions=sum(one.functions for one in known),
        branches=sum(one.branches for one in known),
        faulty=sum(bool(one.fault) for one in known),
        longest=tuple(ranked[:top]),
    )


def differences(first: Iterable[Facts], second: Iterable[Facts]) -> Iterator[str]:
    """Where two surveys disagree, file by file; nothing when they are equal."""
    left, right = ({one.path: one for one in facts} for facts in (first, second))
    for path in sorted(left.keys() | right.keys()):
        if left.get(path) != right.get(path):
            yield f"{path}: {left.get(path)} and {right.get(path)}"
