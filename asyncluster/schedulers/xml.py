"""Listings in XML: read whole or not at all, record by record, so that a long one takes little memory.

Documents with entities of their own are refused: they can be small and mean gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from asyncluster.errors import NoAnswerError
from asyncluster.units import clip

Element = ElementTree.Element

_PIECE = 64 * 1024  # characters given to the parser at a time: it holds up all other threads meanwhile
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def records(text: str, root: str, tag: str, program: str, alone: bool = False) -> Iterator[Element]:
    """All elements `tag` below `root`; NoAnswerError, with the program's name, where it is another document or cut.

    alone: the root has no others, so that a document of others is no empty one.
    """
    if "<!" in text:
        raise NoAnswerError(f"{program} printed a document with entities of its own")
    parser: Any = ElementTree.XMLPullParser(("end",))
    top: Element | None = None  # what ended last: the root, of a whole document
    try:
        for start in range(0, len(text), _PIECE):
            # users may name jobs with characters that XML does not know
            parser.feed(_NOT_XML.sub("?", text[start : start + _PIECE]))
            for _, element in parser.read_events():
                if element.tag == tag:
                    yield element
                    element.clear()
                top = element
        parser.close()
    except ElementTree.ParseError as error:
        raise NoAnswerError(f"{program}'s listing is cut short or none: {error}") from error
    if top is None or top.tag != root:
        raise NoAnswerError(f"{program} printed <{clip(top.tag) if top is not None else ''}> where <{root}> belongs")
    other = next((child.tag for child in top if child.tag != tag), "") if alone else ""
    if other:
        raise NoAnswerError(f"{program} printed <{clip(other)}> where <{tag}> belongs")


def facts(element: Element | None) -> dict[str, str]:
    """Texts of the elements just below it, by their names; the first of those that are called the same."""
    found: dict[str, str] = {}
    for child in () if element is None else element:
        found.setdefault(child.tag, (child.text or "").strip())
    return found


def word(element: Element, path: str) -> str:
    """The text of the first such element below it, "" where there is none."""
    return (element.findtext(path) or "").strip()
