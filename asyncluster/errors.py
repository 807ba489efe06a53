"""Everything that AsynCluster raises, one tree.

The docstring of each class says what happened and what to do; the command line prints it under the
message.  Values that a program may want are attributes.
"""

from __future__ import annotations


class AsynClusterError(Exception):
    """Something that AsynCluster itself noticed; catch this to catch them all."""


class ConfigError(AsynClusterError):
    """The configuration has faults; each line names file, section and key.  Mend them all and try again."""


class SecretExposedError(ConfigError):
    """A file that holds secrets can be read by others.  The message shows the chmod that mends it."""


class WireError(AsynClusterError):
    """The peer sent something that the protocol does not allow, or the link cannot carry."""


class VersionMismatchError(WireError):
    """The two sides speak different protocols, Pythons or pickles.  Install matching releases."""


class ProofError(AsynClusterError):
    """A password was refused, by us or by the other side.  Compare `password` and `server password` on both."""


class LinkLostError(AsynClusterError):
    """The connection ended.  The master's log says why; work handed in over it may not have been done."""


class MasterNotFoundError(AsynClusterError):
    """No master answers at that place.  `asyncluster up` starts a personal one, `asyncluster status` looks for it."""


class RefusedError(AsynClusterError):
    """The master or a node said no; the message says why and what would change its mind."""


class JobClosedError(AsynClusterError, RuntimeError):
    """The job or the cluster object was shut down already.  Make a new one."""


class TaskError(AsynClusterError):
    """A task did not give a result."""


class WorkerLostError(TaskError):
    """The worker, node or link under a task died each time it was tried.

    The message lists every place and how it ended.  A task that crashes its worker by itself (a
    segmentation fault, memory) does this; run it alone with `asyncluster exec` to see its output.
    """


class TaskExitError(TaskError):
    """The task called `sys.exit`, or raised KeyboardInterrupt.  `code` is what it gave.

    The worker goes on; raise an ordinary exception to report a failure.
    """

    def __init__(self, message: str, code: object = None) -> None:
        super().__init__(message)
        self.code = code


class NotPicklableError(TaskError):
    """An argument, result or exception cannot travel.

    The message names the object and the call.  Pass plain data, or open files and connections inside
    the task.
    """


class StepFailedError(TaskError):
    """The job's source, an `update` or an import failed on a node; the message names the node."""


class RemoteTraceback(Exception):  # noqa: N818 (the name users know from concurrent.futures and Dask)
    """Carries the traceback of the worker as the `__cause__` of a remote exception."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
