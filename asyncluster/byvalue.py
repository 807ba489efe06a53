"""Pickles by value what plain pickle refuses or would name by a module that the other side does not have.

It is cloudpickle, save that an open file is refused: cloudpickle turns it into a copy of its text, which
looks like the file, and neither follows it nor writes to it.  Used in workers, for results.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import ChainMap
from typing import Any, ClassVar

import cloudpickle
import cloudpickle.cloudpickle  # in the warm process: importing it later would cost each worker

PROTOCOL = 5


def dumps(value: object) -> bytes:
    """Pickle a value; raises PicklingError that names an open file, and whatever the value's own methods raise."""
    buffer = io.BytesIO()
    _Pickler(buffer, PROTOCOL).dump(value)
    return buffer.getvalue()


def _file(file: io.TextIOWrapper) -> Any:
    if file is sys.stdout or file is sys.stderr:  # the other side's own, which is what anybody means
        return getattr, (sys, "stdout" if file is sys.stdout else "stderr")
    raise pickle.PicklingError(f"it holds the open file {getattr(file, 'name', None)!r}")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is not annotated
    dispatch_table: ClassVar[Any] = ChainMap({io.TextIOWrapper: _file}, cloudpickle.Pickler.dispatch_table)
