"""Everything that AsynCluster raises, one tree.

The message says what happened, and what mends it where that depends on the case.  What mends every case
of a class is its `hint`, which the command line prints under the message; most need none.  Values that a
program may want are attributes.
"""

from __future__ import annotations

from typing import ClassVar


class AsynClusterError(Exception):
    """Something that AsynCluster itself noticed; catch this to catch them all.

    hint: what to type or to set, for whoever sits at a terminal; "" where the message has said it all.
    """

    hint: ClassVar[str] = ""


class ConfigError(AsynClusterError):
    """The configuration has faults; each line names file, section and key.  Mend them all and try again."""


class SecretExposedError(ConfigError):
    """A file that holds secrets can be read by others.  The message shows the chmod that mends it."""


class WireError(AsynClusterError):
    """The peer sent something that the protocol does not allow, or the link cannot carry."""

    hint = "Check that the address is a master's and that both sides have one release: `asyncluster --version`."


class VersionMismatchError(WireError):
    """The two sides speak different protocols, Pythons or pickles.  Install matching releases."""

    hint = ""


class ProofError(AsynClusterError):
    """A password was refused, by us or by the other side.  Compare `password` and `server password` on both."""

    hint = (
        "The account is --user, otherwise your login name; its password comes from --password-file, "
        "$ASYNCLUSTER_PASSWORD or the keyboard.\n"
        "On the master's machine `asyncluster user list` shows the accounts, `asyncluster user add NAME` makes one, "
        "and `asyncluster user enable NAME` lets it in."
    )


class LinkLostError(AsynClusterError):
    """The connection ended.  The master's log says why; work handed in over it may not have been done."""

    hint = "`asyncluster status` tells whether the master still runs; its log tells why the connection ended."


class JobGoneError(LinkLostError):
    """The connection ended, there is a master again, and it does not know the job: it was forgotten, or given up."""

    hint = "`asyncluster job list` shows the jobs that the master knows."


class MasterNotFoundError(AsynClusterError):
    """No master answers at that place."""

    hint = (
        "`asyncluster up` starts a master and a node of your own on this machine; "
        "--socket PATH or --master HOST:PORT names one that runs already."
    )


class RefusedError(AsynClusterError):
    """The master or a node said no; the message says why and what would change its mind.

    needs: where a task asked for what no node has, the options that it is about: cores, memory, gpus, features.
    """

    def __init__(self, message: str = "", needs: tuple[str, ...] = ()) -> None:
        super().__init__(message, needs) if needs else super().__init__(message)
        self.needs = needs

    def __str__(self) -> str:
        return str(self.args[0])


class JobClosedError(AsynClusterError, RuntimeError):
    """The job or the cluster object was shut down already.  Make a new one."""


class TaskError(AsynClusterError):
    """A task did not give a result."""


class WorkerLostError(TaskError):
    """The worker, node or link under a task died each time it was tried.

    The message lists every place and how it ended.  A task that crashes its worker by itself does this, by a
    segmentation fault or for want of memory.
    """

    hint = (
        "Where memory ran out, fewer tasks at a time leave more for each: "
        "`asyncluster up --slots N`, or `slots` in [client] of the node's configuration."
    )


class DependencyError(TaskError):
    """The task was not run, because one that it depends on failed or was cancelled.

    The message names the chain; `__cause__` is the exception of the first one where it is known here.
    """


class LimitExceededError(TaskError):
    """The task ran for longer, or used more memory, than it was given; the message has limit and use.

    It was ended on its node.  Give it more by `time_limit` or `memory`, of `cluster.options(...)` or of `Cluster(...)`.
    """

    hint = "`asyncluster submit` and `asyncluster exec` give a task more by options, Python by `cluster.options(...)`."


class ProgramFailedError(TaskError):
    """A program that ran as a task ended with a code other than 0.

    code: its exit code; 128 + N where signal N ended it.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class ProgramNotStartedError(ProgramFailedError):
    """A program that was to run as a task could not be started; the message says why.

    code: as a shell's: 127 where it is not there, 126 where it cannot be executed.
    """


class TaskExitError(TaskError):
    """The task called `sys.exit`, or raised KeyboardInterrupt.

    code: what it gave to `sys.exit`; 130 for KeyboardInterrupt.  The worker goes on; raise an ordinary exception
    to report a failure.
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

    hint = "The top of the file runs on every node; the modules and files that it needs have to be there."


class SpillError(AsynClusterError):
    """A large payload found no room on the disk; the message names the folder and the setting that says where."""


class StoreError(AsynClusterError):
    """The master's database cannot be used or written; the message names it and what is wrong.

    place: the database's file, or its URL without the password.
    """

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class StoreAwayError(StoreError):
    """The database cannot be reached now, or somebody else has it locked: the same may go well in a moment."""


class StoreDamagedError(StoreError):
    """What the database holds is not what was written to it."""

    hint = (
        "Look at the disk and its log first. A copy of the database from before can be put in its place; "
        "without one the damaged file has to be moved away, and the jobs in it are lost."
    )


class RemoteTraceback(Exception):  # noqa: N818 (the name users know from concurrent.futures and Dask)
    """Carries the traceback of the worker as the `__cause__` of a remote exception."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class NoAnswerError(AsynClusterError):
    """A scheduler or a cloud could not be asked, or gave no sense.  It never means that there is nothing."""


class ThrottledError(NoAnswerError):
    """A cloud is asked too often and has done nothing of it; asking again after a growing pause helps."""


class SchedulerError(AsynClusterError):
    """A batch system did not do what it was asked."""


class NotYetError(SchedulerError):
    """A node has not made itself known to its batch system yet.  Wait, or look at the batch system's daemon there."""


class CommandFailedError(SchedulerError):
    """A batch system's command said no.

    argv: what was run; code: its exit code; stderr: the end of what it said.
    """

    def __init__(self, message: str, argv: tuple[str, ...] = (), code: int = 1, stderr: str = "") -> None:
        super().__init__(message)
        self.argv = argv
        self.code = code
        self.stderr = stderr


class CloudError(AsynClusterError):
    """A cloud did not do what it was asked; trying again later may help."""


class SubmissionError(CloudError):
    """A batch system did not take a pilot; the message has command, answer, script and the setting to look at.

    pool: whose pilot; argv: the command; code: its exit code; stderr: what it said; script: what was handed in;
    setting: the key of the pool's `config:` that has to do with it; path: where the script is, "" = nowhere.
    """

    def __init__(self, pool: str, error: CommandFailedError, script: str, setting: str, path: str = "") -> None:
        said = error.stderr.strip() or str(error)
        command = " ".join(error.argv) or "the command"
        super().__init__(
            f"pool {pool}: the batch system did not take a pilot: {command} ended with {error.code} and said: {said}. "
            f"Look at [cloud] {pool}.config.{setting} in asyncluster.yaml. "
            + (f"The script is {path}" if path else f"The script was:\n{script}")
        )
        self.pool = pool
        self.argv = error.argv
        self.code = error.code
        self.stderr = error.stderr
        self.script = script
        self.setting = setting
        self.path = path


class CapacityError(CloudError):
    """The cloud has no such machine just now.  Another pool may."""


class QuotaError(CloudError):
    """A limit that the cloud sets for the project was reached; the message names it.  Waiting does not help."""
