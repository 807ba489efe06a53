"""What travels in batches between client, master, node and worker.

Each message is a `msgspec.Struct`, encoded as a MessagePack array that begins with its tag.  Payloads
are opaque bytes: only clients and workers pickle, the master and the node daemon never do.  Fields
are only ever added at the end, with a default, so that a peer one release older still works.

Identity: a *job* number is given by the master and is unique for its life; within a job the client
numbers *codes*, *steps* and tasks (`seq`) from 0 itself, so nothing has to be answered before a task can
be named.  An *attempt* counts from 1 and is set by the master at each assignment.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec

from asyncluster.model.need import PLAIN, Need

Amount = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""Of something that is added up, and kept in a database: a peer that says less or more breaks the protocol."""


class CodeKind(IntEnum):
    """What the payload of a `Code` is."""

    FUNCTION = 0  # cloudpickle of a callable
    NAME = 1  # UTF-8 name of a callable in the job's namespace (made by its steps)


class StepKind(IntEnum):
    """What the payload of a `Step` is."""

    SOURCE = 0  # pickle of (file name, Python source): executed in the job's namespace
    UPDATE = 1  # pickle of (name, args, kwargs): that callable of the namespace is called
    IMPORT = 2  # UTF-8 dotted names, one a line: each must be importable


class Outcome(IntEnum):
    """How an attempt ended, as told by worker, node or master."""

    VALUE = 0  # payload: pickle of the value
    EXCEPTION = 1  # payload: pickle of (exception, traceback text)
    LOST = 2  # payload: UTF-8; worker, node or link died under it (signal or exit code)
    REFUSED = 3  # payload: UTF-8; the node or the master will not run it, and why
    CANCELLED = 4  # payload: empty
    RETURNED = 5  # payload: empty; was not started, charges nothing (node -> master only)
    UNPREPARED = 6  # payload: UTF-8; a step of the job (its source, an update, an import) failed there, and how
    LIMIT = 7  # payload: UTF-8; it used more time or memory than its `Need` allows: limit and use
    DEPENDENCY = 8  # payload: UTF-8; a task that it depends on gave no value, with the chain (master -> client only)
    STAYS = 9  # payload: its size in bytes, as decimal digits; a VALUE that the master keeps until `Want` or `Forget`


class Job(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Opens a job at a node or worker.  Sent before anything else that bears its number."""

    job: int
    owner: str
    niceness: int = 0
    path: tuple[str, ...] = ()  # folders that workers put on sys.path where they exist
    python: str = ""  # "3.11": what pickled functions of this job demand; "" = anything
    folder: str = ""  # where tasks are run, if it exists there; "" = wherever workers are


class Code(msgspec.Struct, array_like=True, tag=2):
    """Something that tasks of this job call, sent once a job to each place that needs it."""

    job: int
    code: int
    kind: int
    payload: bytes
    need: Need = PLAIN


class Step(msgspec.Struct, array_like=True, tag=3):
    """A preparation that every worker applies, in order, before its next task of that job."""

    job: int
    step: int
    kind: int
    payload: bytes


class Task(msgspec.Struct, array_like=True, tag=4):
    """One call: payload is the pickle of (args, kwargs).

    Where values of other tasks are among them it is the pickle of a list, followed by that of (args, kwargs) in which
    the persistent id n stands for the list's item n: the number of a task whose `Value` came, or a pickled value.
    """

    job: int
    seq: int
    attempt: int
    code: int
    payload: bytes


class Result(msgspec.Struct, array_like=True, tag=5):
    """The end of one attempt."""

    job: int
    seq: int
    attempt: int
    outcome: int
    payload: bytes
    wall: Amount = 0  # microseconds in the worker
    memory: Amount = 0  # bytes, the most that its worker was seen to use, with what it started; 0: nobody looked


STEPS = -1
"""In the place of numbers of tasks, or of a step: all steps of the job, whichever run."""


class StepDone(msgspec.Struct, array_like=True, tag=6):
    """A place has applied a step, or could not; `error` is UTF-8, empty when it went well.

    Worker -> node -> master: once per node and step.  Master -> client: `node` says which; the last
    one, with `node` empty, says that every node present when the step came has answered.
    Node -> master with `STEPS` for `step`: no answer, only how long a worker was at steps of the job.
    """

    job: int
    step: int
    node: str
    error: str
    wall: Amount = 0  # microseconds in the worker


class Output(msgspec.Struct, array_like=True, tag=7):
    """What a task wrote; `stream` is 1 or 2 as the file descriptor, `place` is "node/worker"; `at`: see `positions`."""

    job: int
    seq: int
    stream: int
    place: str
    payload: bytes
    at: int = -1


class Cancel(msgspec.Struct, array_like=True, tag=8):
    """Client -> master -> node: these tasks are not wanted; running ones may finish, unseen, unless `cut`.

    cut: those that run are ended, programs by SIGTERM first; a client's own Cancel never asks for it.
    `STEPS` among the numbers, with `cut`, master -> node: what runs of the job's steps is ended; workers apply them
    before their next task of it.
    unknown: master -> node: whether they were cancelled is not known any more.  What that node was told before holds;
    what it was not told of is over, and ended.
    """

    job: int
    seqs: list[int]
    cut: bool = False
    unknown: bool = False


class Close(msgspec.Struct, array_like=True, tag=9):
    """The job is over everywhere: forget its code, cancel what is left.

    Master -> client: it has been closed, nothing more comes of it; the answer to the client's own `Close`, too.
    """

    job: int


EVERYTHING = 2**31
"""More tasks than a node can have: what to recall when it is to begin nothing more."""


class Recall(msgspec.Struct, array_like=True, tag=10):
    """Master -> node: give back up to `count` tasks that no worker has started."""

    count: int


class Beat(msgspec.Struct, array_like=True, tag=11):
    """Heartbeat, both ways; any other message counts as one too."""

    count: int


class Leaving(msgspec.Struct, array_like=True, tag=12):
    """Node -> master: it is stopping, give it nothing more.  Master -> node: it is dismissed."""

    reason: str


class Kept(msgspec.Struct, array_like=True, tag=13):
    """What was sent is safe where it came to: it need not be sent again.

    Master -> client: the first `count` of the job's Code, Step, After, Task and Cancel messages, counted since it was
    opened.  Client -> master: the first `count` of the job's Results on this link.  Master -> node:
    the first `count` of the job's Results and StepDones on this link.
    """

    job: int
    count: int


class Held(msgspec.Struct, array_like=True, tag=14):
    """Node -> master, when it registers: what it still has of a job from before the link broke.

    A job may be named several times: `codes`, `tasks` and `values` add up, `steps` is the same in each.
    """

    job: int
    codes: list[int]  # those it was sent
    steps: int  # how many it was sent
    tasks: list[tuple[int, int]]  # (seq, attempt): queued, running, or done with a Result that was not `Kept`
    values: list[int] = msgspec.field(default_factory=list)  # which it was sent and was not told to forget


class Started(msgspec.Struct, array_like=True, tag=15):
    """Node -> master -> client: this attempt is at work.  Said of long tasks only, once an attempt and link."""

    job: int
    seq: int
    attempt: int
    ran: Amount = 0  # microseconds for which it has been, where it began on an earlier link


class After(msgspec.Struct, array_like=True, tag=16):
    """Client -> master, before the `Task` of that number: it waits for these tasks of its job.

    `values`: their values are among its arguments; `order`: they have only to be done.  A dependency that does not
    end in a value fails the task.  Master -> node, before the Task: which `Value`s it needs.
    """

    job: int
    seq: int
    values: list[int]
    order: list[int]


class Value(msgspec.Struct, array_like=True, tag=17):
    """Master -> node -> worker: the pickled value of a task, before tasks that have it among their arguments."""

    job: int
    seq: int
    payload: bytes


class Forget(msgspec.Struct, array_like=True, tag=18):
    """Values of these tasks are not needed any more.

    Master -> node -> worker: those that came as `Value`.  Client -> master: those that `STAYS` told of.
    """

    job: int
    seqs: list[int]


class Want(msgspec.Struct, array_like=True, tag=19):
    """Client -> master: send the values of these tasks, of which `STAYS` told; each comes as a `Value`."""

    job: int
    seqs: list[int]


Message = (
    Job
    | Code
    | Step
    | Task
    | Result
    | StepDone
    | Output
    | Cancel
    | Close
    | Recall
    | Beat
    | Leaving
    | Kept
    | Held
    | Started
    | After
    | Value
    | Forget
    | Want
)

MAX_PAYLOAD = 2 * 1024**3
"""Largest payload that is carried, in bytes."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Message])

encode_batch = _encoder.encode
"""Encode a list of messages as one batch of bytes."""

decode_batch = _decoder.decode
"""Decode one batch; raises `msgspec.ValidationError` or `msgspec.DecodeError` on anything else."""
