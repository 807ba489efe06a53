"""Runs one system once, as a process of its own: `python -m bench.drivers.run OUT SPAWNED MODULE:CLASS LOAD FIGURES`.

Every finished figure is one line of JSON appended to OUT at once, so a run that is cut short keeps what it had.
SPAWNED is CLOCK_MONOTONIC in seconds when the process was started, LOAD is JSON, FIGURES a comma-separated list.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.figures import Adapter, measure
from bench.plan import Load


def write(out: Path, record: dict[str, Any]) -> None:
    """Append one record."""
    with out.open("a") as stream:
        stream.write(json.dumps(record) + "\n")


@contextmanager
def ended(system: Adapter, out: Path) -> Iterator[None]:
    """Stop the system afterwards; where measuring failed, that error counts and not what stopping says then."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            system.stop()
        raise
    begin = time.monotonic()
    system.stop()
    write(out, {"stop_seconds": time.monotonic() - begin})


def load_adapter(name: str) -> Adapter:
    """`ppe:Pool` gives an instance of Pool in bench.drivers.ppe."""
    module, _, kind = name.partition(":")
    adapter: Adapter = getattr(import_module(f"bench.drivers.{module}"), kind)()
    return adapter


def main(arguments: list[str]) -> int:
    """Measure; 0 when all figures were taken, 1 with an `error` record otherwise."""
    out, spawned, name, load, figures = arguments
    try:
        system = load_adapter(name)
        with ended(system, Path(out)):
            for figure, values in measure(system, Load(**json.loads(load)), figures.split(","), float(spawned)):
                write(Path(out), {"figure": figure, "values": values})
            write(Path(out), {"version": system.version(), "python": sys.version.split()[0]})
    except BaseException as error:  # whatever it is, the table must name it
        traceback.print_exc()
        write(Path(out), {"error": f"{type(error).__name__}: {error}".splitlines()[0]})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
