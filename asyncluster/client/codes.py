"""What calls call: each function is shipped once a job and need, and known by a number from then on."""

from __future__ import annotations

import functools
import hashlib
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from asyncluster.client.chunks import call_inline
from asyncluster.client.pickling import call_name, dump_function
from asyncluster.model.messages import Code, CodeKind
from asyncluster.model.need import PLAIN, Need

MAX_CODES = 1000
"""Functions that a job ships as code; further ones that are not importable travel with their tasks."""


class CodeTable:
    """Gives each callable a number and ships it once.

    Functions, builtins and classes are known by identity, without keeping them alive.  Anything that
    may change between two calls (a bound method, a partial, an object) is pickled at each call
    and known by its bytes, so that a changed one is shipped anew.
    """

    def __init__(
        self,
        job: int,
        put: Callable[[tuple[None, int, Code]], object],
        lock: AbstractContextManager[Any],
        need: Need = PLAIN,
        first: CodeTable | None = None,
    ) -> None:
        self.names: dict[int, str] = {} if first is None else first.names
        self.job = job
        self.need = need
        self._tables: dict[Need, CodeTable] = {need: self} if first is None else first._tables
        self.known: dict[int, int] = {}  # id of a function -> number: the fast path looks here without the lock
        self._refs: dict[int, weakref.ref[Any]] = {}
        self._by_bytes: dict[bytes, int] = {}
        self._by_name: dict[str, int] = {}
        self._wrapped: weakref.WeakKeyDictionary[Any, dict[str, int]] = weakref.WeakKeyDictionary()
        self._put = put
        self._lock = lock
        self._inline: dict[str, int] = {}

    def for_need(self, need: Need) -> CodeTable:
        """The table of the same job for calls that need that: one function with two needs is two codes."""
        with self._lock:
            table = self._tables.get(need)
            if table is None:
                table = self._tables[need] = CodeTable(self.job, self._put, self._lock, need, self)
        return table

    def number(self, function: Callable[..., Any]) -> int:
        """The number to call `function` by, or -1: it must travel inside its task (`inline`).

        Raises NotPicklableError.
        """
        known = self.known.get(id(function))
        if known is not None:
            return known
        payload = dump_function(function)
        with self._lock:
            number = self._ship(payload, call_name(function), limited=True)
            if number >= 0 and _unchanging(function):
                self._remember(function, number)
        return number

    def wrapped(self, wrapper: Callable[..., Any], function: Callable[..., Any]) -> int:
        """The number of `partial(wrapper, function)`, wrapper being a function of ours, or -1 as for `number`.

        Raises NotPicklableError.
        """
        if not callable(function):
            raise TypeError(f"{function!r} is not callable")
        fixed = _unchanging(function)
        if fixed:
            known = self._wrapped.get(function, {}).get(wrapper.__name__)
            if known is not None:
                return known
        payload = dump_function(functools.partial(wrapper, function), call_name(function))
        with self._lock:
            number = self._ship(payload, call_name(function), limited=True)
            if fixed and number >= 0:
                self._wrapped.setdefault(function, {})[wrapper.__name__] = number
        return number

    def named(self, name: str) -> int:
        """The number of a callable of the job's namespace."""
        with self._lock:
            number = self._by_name.get(name)
            if number is None:
                number = self._by_name[name] = self._enter(CodeKind.NAME, name.encode(), name)
        return number

    def inline(self, wrapper: Callable[..., Any] = call_inline) -> int:
        """The number of a function of ours that takes the user's function as its first argument."""
        name = wrapper.__name__
        if name not in self._inline:
            payload = dump_function(wrapper)
            with self._lock:
                self._inline[name] = self._ship(payload, "call", limited=False)
        return self._inline[name]

    def _ship(self, payload: bytes, name: str, limited: bool) -> int:
        digest = hashlib.blake2b(payload, digest_size=20).digest()
        number = self._by_bytes.get(digest)
        if number is None:
            if limited and len(self.names) >= MAX_CODES:
                return -1
            number = self._by_bytes[digest] = self._enter(CodeKind.FUNCTION, payload, name)
        return number

    def _enter(self, kind: CodeKind, payload: bytes, name: str) -> int:
        number = len(self.names)
        self.names[number] = name
        self._put(
            (None, 0, Code(self.job, number, int(kind), payload, self.need))
        )  # before anybody can know the number
        return number

    def _remember(self, function: Callable[..., Any], number: int) -> None:
        key = id(function)
        refs, known = self._refs, self.known

        def forget(_ref: object) -> None:  # before the memory, and with it the id, is used again
            known.pop(key, None)
            refs.pop(key, None)

        try:
            refs[key] = weakref.ref(function, forget)
        except TypeError:
            return
        known[key] = number


def _unchanging(function: object) -> bool:
    if isinstance(function, BuiltinFunctionType):
        return isinstance(function.__self__, (ModuleType, type(None)))
    return isinstance(function, (FunctionType, type))
