"""The grammar of asyncluster.yaml: from text to plain values, with every fault of the text and the line of each key.

Every scalar stays the text that was written (what is empty or `null` is None), so that an account named 0123, a
walltime of 12:00:00 and a password of digits are not turned into numbers on the way; what a value means is the
business of its field.  Never shows a line of the text, which may hold a secret.
"""

from __future__ import annotations

import re

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from asyncluster.config.ini import Fault, shown
from asyncluster.units import clip

Path = tuple[str, ...]
"""Keys from the top of the file downwards; elements of lists by their number."""

MOST_VALUES = 20_000  # aliases of aliases could make billions
DEEPEST = 20
_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp", "value")}


class YamlText:
    """The text as dictionaries, lists and texts, with the faults of its grammar.

    values: the top of the file, {} where it has faults that leave nothing; lines: by path, counted from 1.
    """

    def __init__(self, origin: str, text: str) -> None:
        self.origin = origin
        self.faults: list[Fault] = []
        self.lines: dict[Path, int] = {}
        self.values: dict[str, object] = {}
        self._count = 0
        try:
            top = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            self.faults.append(Fault(origin, _grammar(error), line=mark.line + 1 if mark is not None else 0))
            return
        except RecursionError:
            self.faults.append(Fault(origin, "is nested too deeply for a configuration"))
            return
        if top is None or _is_null(top):
            return
        if not isinstance(top, MappingNode):
            self._fault((), top, "does not begin with a section such as `cluster:`")
            return
        try:
            values = self._mapping(top, ())
        except _TooMuchError:
            self.faults.append(Fault(origin, "has far too many values, or an alias that contains itself"))
            return
        self.values = values

    def line(self, path: Path) -> int:
        """Where that key stands, or the nearest one above it that stands in the file; 0 where none does."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def fault(self, path: Path, problem: str) -> Fault:
        """A fault at that place."""
        return Fault(self.origin, problem, _shown(path[:1]), _shown(path[1:]), self.line(path))

    def _fault(self, path: Path, node: Node, problem: str) -> None:
        line = node.start_mark.line + 1
        self.faults.append(Fault(self.origin, problem, _shown(path[:1]), _shown(path[1:]), line))

    def _value(self, node: Node, path: Path) -> object:
        self._count += 1
        if self._count > MOST_VALUES or len(path) > DEEPEST:
            raise _TooMuchError
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._value(each, (*path, str(number))) for number, each in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        if node.tag not in _PLAIN:
            self._fault(path, node, "has a tag that begins with !; quote the value where the ! belongs to it")
        return None if _is_null(node) else str(node.value)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, object]:
        given: dict[str, int] = {}
        for name_node, _ in node.value:
            if name_node.tag == _MERGE:
                continue
            name = name_node.value if isinstance(name_node, ScalarNode) else ""
            line = name_node.start_mark.line + 1
            if name in given:
                problem = f"is given twice, first on line {given[name]}; keep one"
                self._fault((*path, name), name_node, problem)
            given.setdefault(name, line)
        if any(name_node.tag == _MERGE for name_node, _ in node.value):
            try:
                SafeConstructor().flatten_mapping(node)
            except ConstructorError:
                self._fault(path, node, "has a << whose value is no mapping")
                return {}
        found: dict[str, object] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, ScalarNode) or not name_node.value:
                self._fault(path, name_node, "has a key that is no word")
                continue
            place = (*path, name_node.value)
            self.lines[place] = name_node.start_mark.line + 1
            found[name_node.value] = self._value(value_node, place)
        return found


class _TooMuchError(Exception):
    """More values than any configuration has."""


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == _NULL


def _grammar(error: yaml.YAMLError) -> str:
    """What the parser has against the text, in one line that shows nothing of it."""
    problem = str(getattr(error, "problem", "") or "")
    if "alias" in problem or "anchor" in problem:
        return "has a value that begins with * or &; put it in quotes"
    if "expected a single document" in str(getattr(error, "context", "")):
        return "holds a second document after ---; one file is one configuration"
    if "found character" in problem and "\\t" in problem:
        return "has a tab where blanks belong; indent with blanks"
    if "mapping values are not allowed here" in problem:
        return "has a second `: ` in one line; put a value that holds one in quotes, and look at the indentation"
    if problem:
        return "is no YAML here: " + re.sub(r"'(?!<[a-z ]+>')[^']{2,}'", "…", problem)
    return "is no YAML: it has characters that no text has"


def _shown(path: Path) -> str:
    """A place for a message; `shown` keeps what somebody wrote behind a word such as password out of it."""
    return clip(".".join(map(shown, path)), 120)[1:-1] if path else ""
