"""Makes `bench` importable by itself: it is no part of the installed package that the tests run against."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "bench"

if "bench" not in sys.modules:
    # not by sys.path: the tree's `asyncluster` would then hide the installed one
    spec = spec_from_file_location("bench", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules["bench"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["bench"])
