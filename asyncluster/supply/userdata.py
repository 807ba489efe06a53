"""The user data of an instance: a template of the site's, and what one node is told.  Pure.

A template is a file of any kind that cloud-init takes, mostly a shell script, with jinja2's `{{ name }}`, `{% if %}`.
Comments of jinja2's are `{#! … !#}`, because `{#` is a shell's `${#list[@]}`.  `{{ conf | quote }}` quotes for a shell.
"""

from __future__ import annotations

import shlex
import traceback
from functools import lru_cache

import attrs
from jinja2 import Environment, StrictUndefined, Template, TemplateError

from asyncluster.errors import ConfigError

MOST = {"aws": 16384, "openstack": 49149}
"""Bytes of user data that a cloud takes, by its kind, before they are encoded: nova has 65,535 signs for base64."""

PACKED = frozenset({"aws"})
"""Kinds of pools whose user data are packed where they are longer; cloud-init unpacks them."""


@attrs.frozen
class UserData:
    """What one instance is told; all of it can be named in a template.

    name: of the node, its host name; pool; realm: of the master, by which the instance is tagged; token: of its order;
    lease: seconds that it lives on unrenewed; lifetime: seconds in all, 0 = for ever; masters: where the master is,
    each host:port; conf: the text of the node's asyncluster.conf; secret: what it registers with, once; features: words
    that it bears; slots: a number, or "auto".  conf and secret are empty for the nodes of a batch system.
    """

    name: str
    pool: str
    realm: str
    token: str
    lease: float
    lifetime: float = 0.0
    masters: tuple[str, ...] = ()
    conf: str = attrs.field(default="", repr=False)
    secret: str = attrs.field(default="", repr=False)
    features: tuple[str, ...] = ()
    slots: str = "auto"


def render(template: str, what: UserData, origin: str = "the template") -> str:
    """The text for one instance.  origin: the file that the template is from, for people.

    Raises ConfigError, with file and line, for a template that is none or that names what there is not; the message
    holds nothing of what the node is told.
    """
    words = {field.name: getattr(what, field.name) for field in attrs.fields(UserData)}
    fault: ConfigError
    try:
        return _compiled(template).render(words)
    except TemplateError as error:
        said = str(error.message)
        if what.secret and what.secret in said:  # an expression has looked something up by it
            said = "an expression there names what there is not"
        fault = ConfigError(f"{_where(error, origin)}: {said}")
    except Exception as error:  # whatever an expression in it does; its text may hold what it was given
        fault = ConfigError(f"{_where(error, origin)}: an expression there fails with {type(error).__name__}")
    raise fault  # outside of the `except`, so that it brings nothing of the secrets along


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    """Some milliseconds of work, which fifty instances of one pool do not need fifty times."""
    environment = Environment(
        undefined=StrictUndefined,
        comment_start_string="{#!",
        comment_end_string="!#}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (it is no HTML; a template says where it wants a shell's quotes)
    )
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    return environment.from_string(template)


def _where(error: Exception, origin: str) -> str:
    line = getattr(error, "lineno", None)
    if line is None:  # it went wrong while it was filled in
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == "<template>"), None)
    return f"{origin}, line {line}" if line else origin
