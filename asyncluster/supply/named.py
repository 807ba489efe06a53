"""Something by the name of its class: code that the administrator has named, so that it is run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import attrs
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from asyncluster.config.fields import Secret
from asyncluster.errors import ConfigError


@attrs.frozen
class Place:
    """Where the file names it: the keys of its name and of its arguments.  what: it is to be, for people."""

    name: str
    arguments: str
    what: str


def find(name: str, place: Place) -> Any:
    """What is called `module:Class` or `module.Class`; raises ConfigError where there is none."""
    module, _, own = name.rpartition(":" if ":" in name else ".")
    try:
        return getattr(import_module(module), own)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{place.name}: {module or name} cannot be imported by the master's Python: {error}; install it there"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"{place.name}: the module {module} has no {own}") from error


def make(
    kind: Any, name: str, interface: Any, place: Place, given: tuple[Any, ...], arguments: Mapping[str, str | Secret]
) -> Any:
    """An instance of the class of that name, which provides that interface.

    given: what every such class gets; arguments: from the file, with masked ones given in the clear, and never told.
    Raises ConfigError where it cannot be made of these, or is no such thing.
    """
    clear = {key: text.reveal() if isinstance(text, Secret) else text for key, text in arguments.items()}
    problem: str | None = None
    try:
        made = kind(*given, **clear)
    except (TypeError, ValueError) as error:
        problem = str(error)
    if problem is not None:  # outside of the `except`: the error may hold a secret
        for text in arguments.values():
            problem = problem.replace(text.reveal(), str(text)) if isinstance(text, Secret) and text else problem
        raise ConfigError(f"{place.arguments}: {name} does not take them: {problem}")
    try:
        verifyObject(interface, made)
    except Invalid as error:
        raise ConfigError(f"{place.name}: {name} is no {place.what}: {error}") from error
    return made
