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


def records(text: str, root: str, tag: str, program: str) -> Iterator[Element]:
    """All elements `tag` below `root`; NoAnswerError, with the program's name, where it is another document or cut."""
    if "<!" in text:
        raise NoAnswerError(f"{program} printed a document with entities of its own")
    # users may name jobs with characters that XML does not know
    text = _NOT_XML.sub("?", text)
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    top: Element | None = None
    try:
        for start in range(0, len(text), _PIECE):
            parser.feed(text[start : start + _PIECE])
            for event, element in parser.read_events():
                if top is None:
                    top = element
                    if element.tag != root:
                        raise NoAnswerError(f"{program} printed <{clip(element.tag)}> where <{root}> belongs")
                elif event == "end" and element.tag == tag:
                    yield element
                    element.clear()
        parser.close()
    except ElementTree.ParseError as error:
        raise NoAnswerError(f"{program}'s listing is cut short or none: {error}") from error
    if top is None:
        raise NoAnswerError(f"{program} printed nothing")


def word(element: Element, path: str) -> str:
    """The text of the first such element below it, "" where there is none."""
    return (element.findtext(path) or "").strip()
