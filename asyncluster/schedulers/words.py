"""What may become an argument of a batch system's command.

Names of hosts, queues and jobs come from users and from other programs.  No shell ever sees them, but a word that
begins with '-' is an option, and one with a blank or a bracket is another node, another job or all of them.
"""

from __future__ import annotations

import re

from asyncluster.errors import SchedulerError
from asyncluster.units import clip

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_%-]{0,252}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:/+-]{0,254}", re.ASCII)
_JOB = re.compile(r"[0-9][A-Za-z0-9._+\[\]-]{0,254}", re.ASCII)


def _checked(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise SchedulerError(f"{clip(text)} is no name of {what} that a batch system's command may be given")
    return text


def host(text: str) -> str:
    """The name of a node, as it was given; SchedulerError where it cannot be one."""
    return _checked(_HOST, text, "a host")


def address(text: str) -> str:
    """An IP address or a host's name."""
    return _checked(_ADDRESS, text, "an address")


def queue(text: str) -> str:
    """The name of a queue or a partition."""
    return _checked(_NAME, text, "a queue")


def account(text: str) -> str:
    """The name of an account or a group of hosts without its '@'."""
    return _checked(_NAME, text, "an account")


def property_(text: str) -> str:
    """A property or feature of a node."""
    return _checked(_NAME, text, "a property")


def job(text: str) -> str:
    """The identifier of a batch job, of an array or of one element of it."""
    return _checked(_JOB, text, "a batch job")


def reason(text: str) -> str:
    """Free text for people: one line, shortened, without quotes and what else a command might take for its own."""
    line = "".join(letter if letter.isprintable() and letter not in "\"'`\\=|[]" else " " for letter in text)
    return " ".join(line.split())[:120].rstrip() or "no reason given"
