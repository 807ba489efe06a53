"""AsynCluster: run Python on whatever machines you have.

`from asyncluster import Cluster` is all that most programs need.  Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from asyncluster.errors import (
    AsynClusterError,
    DependencyError,
    JobClosedError,
    JobGoneError,
    LimitExceededError,
    LinkLostError,
    MasterNotFoundError,
    NotPicklableError,
    ProgramFailedError,
    ProgramNotStartedError,
    ProofError,
    RefusedError,
    RemoteTraceback,
    StepFailedError,
    TaskError,
    TaskExitError,
    WorkerLostError,
)

if TYPE_CHECKING:
    from asyncluster.client.aio import AsyncCluster
    from asyncluster.client.attach import Attached, attach
    from asyncluster.client.deferred import DeferredCluster
    from asyncluster.client.futures import Cluster
    from asyncluster.client.jobclient import JobClient

__all__ = [
    "AsynClusterError",
    "AsyncCluster",
    "Attached",
    "Cluster",
    "DeferredCluster",
    "DependencyError",
    "JobClient",
    "JobClosedError",
    "JobGoneError",
    "LimitExceededError",
    "LinkLostError",
    "MasterNotFoundError",
    "NotPicklableError",
    "ProgramFailedError",
    "ProgramNotStartedError",
    "ProofError",
    "RefusedError",
    "RemoteTraceback",
    "StepFailedError",
    "TaskError",
    "TaskExitError",
    "WorkerLostError",
    "attach",
]

_LATE = {
    "AsyncCluster": "asyncluster.client.aio",
    "Attached": "asyncluster.client.attach",
    "Cluster": "asyncluster.client.futures",
    "DeferredCluster": "asyncluster.client.deferred",
    "JobClient": "asyncluster.client.jobclient",
    "attach": "asyncluster.client.attach",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LATE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATE])
