"""A job inside a worker: its namespace, what its steps did, the functions it was sent.

The namespace is a real module, registered under a name of the job's own, so that functions and classes
made by the job's source can be found by pickle and by `inspect`.
"""

from __future__ import annotations

import importlib
import io
import linecache
import os
import pickle
import sys
import types
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from asyncluster.model.messages import Code, CodeKind, Job, Step, StepKind
from asyncluster.node.pickles import brief, clip, trace
from asyncluster.node.readable import shut_folder

Call = Callable[..., Any]


class StepBrokenError(Exception):
    """A step of the job failed in this worker earlier; the text names it."""


class _Filling(pickle.Unpickler):
    """Puts something in the place of each persistent id, which is a number."""

    def __init__(self, file: io.BytesIO, value: Callable[[int], Any]) -> None:
        super().__init__(file)
        self._value = value

    def persistent_load(self, pid: Any) -> Any:
        return self._value(pid)


class Namespace:
    """One job in one worker.  `node` is the node's name, for messages."""

    def __init__(self, job: Job, node: str) -> None:
        self.job = job.job
        self.node = node
        self.folder = job.folder
        self.failure = ""  # not empty: a step failed, no task may run
        self.values: dict[int, bytes] = {}  # pickled, of other tasks, by number
        self._codes: dict[int, Code] = {}
        self._calls: dict[int, Call] = {}
        self.module = types.ModuleType(f"__main__job{job.job}", f"Source of job {job.job} of {job.owner}.")
        sys.modules[self.module.__name__] = self.module
        for folder in reversed(job.path):
            if folder not in sys.path and os.path.isdir(folder):
                sys.path.insert(0, folder)
        importlib.invalidate_caches()

    def add(self, code: Code) -> None:
        """Keep something that tasks will call; it is loaded by the first one."""
        self._codes[code.code] = code
        self._calls.pop(code.code, None)

    def call(self, number: int) -> Call:
        """Give what tasks of that code call.

        Raises StepBrokenError; ModuleNotFoundError that names the node; NameError; what unpickling raises.
        """
        if self.failure:
            raise StepBrokenError(self.failure)
        if number not in self._calls:
            code = self._codes[number]
            if code.kind == CodeKind.NAME:
                return self._named(bytes(code.payload).decode())
            self._calls[number] = self.load(code.payload, "the function")
        return self._calls[number]

    def load(self, payload: bytes, what: str) -> Any:
        """Unpickle; an absent module is named together with the node that lacks it."""
        try:
            return pickle.loads(payload)  # noqa: S301 (workers run what a proven peer sent)
        except ModuleNotFoundError as error:
            raise self._lacking(error, what) from None

    def _lacking(self, error: ModuleNotFoundError, what: str) -> ModuleNotFoundError:
        if shut := shut_folder(sys.path):
            mend = f"its Python looks behind {shut}, which this task's user may not read: open it, or install elsewhere"
        else:
            mend = "install it there"
        text = f"node {self.node} has no module {error.name!r}, which {what} needs; {mend} ({error})"
        return ModuleNotFoundError(text, name=error.name)

    def fill_in(self, payload: bytes, sources: list[int | bytes]) -> Any:
        """Unpickle what comes in `payload` behind the list of sources, with values of other tasks in their places.

        Each task has values of its own, made anew.  Raises LookupError for one that did not come; what unpickling
        raises.
        """
        loaded: dict[int, Any] = {}

        def value(place: int) -> Any:
            if place not in loaded:
                source = sources[place]
                if isinstance(source, int):
                    if source not in self.values:
                        raise LookupError(f"the value of task {source} did not come to node {self.node}")
                    loaded[place] = self.load(self.values[source], f"the value of task {source}")
                else:
                    loaded[place] = self.load(source, "a value among the arguments")
            return loaded[place]

        file = io.BytesIO(payload)
        pickle.load(file)  # noqa: S301 (the sources once more)
        try:
            return _Filling(file, value).load()
        except ModuleNotFoundError as error:
            raise self._lacking(error, "an argument") from None

    def apply(self, step: Step) -> str:
        """Apply a step and give "" or what went wrong; after a failure nothing of the job runs here."""
        if self.failure:
            return self.failure
        try:
            if step.kind == StepKind.SOURCE:
                self._source(*self.load(step.payload, "the source"))
            elif step.kind == StepKind.UPDATE:
                name, args, kwargs = self.load(step.payload, "the update")
                self._named(name)(*args, **kwargs)
            else:
                self._import(bytes(step.payload).decode().split())
        except BaseException as error:  # the user's code; even sys.exit must not end the worker
            text = f"step {step.step} of the job ({self._title(step)}) failed: {brief(error)}"
            self.failure = clip(f"{text}\n{trace(error)}", 16_384)
        return self.failure

    def forget(self) -> None:
        """Take the job's module out of the process."""
        sys.modules.pop(self.module.__name__, None)

    def _title(self, step: Step) -> str:
        try:
            if step.kind == StepKind.IMPORT:
                return "imports"
            name = pickle.loads(step.payload)[0]  # noqa: S301 (as above)
        except Exception:  # what it names is absent here
            name = "?"
        return f"source {name}" if step.kind == StepKind.SOURCE else f"update by {name}"

    def _named(self, name: str) -> Call:
        try:
            call = attrgetter(name)(self.module)
        except AttributeError:
            raise NameError(f"the job's code has no callable {name!r}", name=name) from None
        if not callable(call):
            raise TypeError(f"{name!r} in the job's code is not callable: it is a {type(call).__name__}")
        return call  # type: ignore[no-any-return]  # callable() narrows to a union that mypy does not reduce

    def _source(self, file: str, source: str) -> None:
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        self.module.__file__ = file
        exec(compile(source, file, "exec", dont_inherit=True), self.module.__dict__)  # noqa: S102 (a job's source is its purpose)

    def _import(self, names: list[str]) -> None:
        for name in names:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                # "package.module.Class" names a thing in a module
                parent, _, leaf = name.rpartition(".")
                if error.name != name or not parent or not hasattr(importlib.import_module(parent), leaf):
                    raise ModuleNotFoundError(f"node {self.node} cannot import {name}: {error}", name=name) from None
