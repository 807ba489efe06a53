"""What most adapters share: handles that are futures, no known master, nothing of their own to tell."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any


class FutureHandles:
    """For systems whose handles have `result()`; `distribution` is the name pip knows."""

    distribution = ""

    def result(self, handle: Any) -> Any:
        return handle.result()

    def gather(self, handles: list[Any]) -> list[Any]:
        return [handle.result() for handle in handles]

    def version(self) -> str:
        return version(self.distribution)

    def master(self) -> int | None:
        return None

    def extras(self) -> dict[str, float]:
        return {}
