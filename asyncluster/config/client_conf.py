"""The sections of asyncluster.conf that nodes read: `[client]` and, where people sit, `[display]`."""

from __future__ import annotations

from asyncluster.config import fields
from asyncluster.config.section import Section, key


class Client(Section):
    """How a node finds its master, proves itself and runs tasks.  The master takes its nodes' account from here."""

    host: fields.Masters = key(
        "localhost",
        "The master's machine. Where it has several addresses, all of them: each is tried until one answers.",
        unit="host names or IP addresses parted by commas, with :port where it is another one than [common] tcp port",
        example="main, main.ib.example.org:9081, 10.0.0.1",
    )
    user: fields.Account = key(
        "",
        "Account with which nodes prove themselves; it has nothing to do with the users of this machine. "
        "One called ~NAME is a single node's: user data makes it, and its password serves once.",
        unit="name without blanks, at most 64 characters",
        example="test",
    )
    password: fields.Masked = key(
        "",
        "Password of that account. The same on the master and on all nodes, and another one than "
        "[common] server password.",
        example="the output of: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
    )
    name: fields.NodeName = key(
        "",
        "Name of this node, unique in the cluster.",
        unit="letters, digits, dots, hyphens, underscores; at most 64",
        example="desk-17",
        shown="empty, for the machine's host name",
    )
    slots: fields.Slots = key(
        "auto",
        "How many tasks this node runs at a time.",
        unit="number, or auto",
        example="4",
        shown="auto, for one for each core that the node may use",
    )
    gpus: fields.Gpus = key(
        "auto",
        "The gpus of this node, which are given to tasks that ask for some, whole ones, as CUDA_VISIBLE_DEVICES: how "
        "many there are, or their ids. Where they are named here, other tasks see none.",
        unit="number, or ids parted by commas; a single id has a comma behind it",
        example="0, 1, GPU-8932f937",
        shown="auto, for those in CUDA_VISIBLE_DEVICES where the node was started, else one for each "
        "/dev/nvidia0, /dev/nvidia1 …; other tasks see what they saw",
    )
    features: fields.Features = key(
        "",
        "What this node has that others may lack, in words of your own; tasks can ask for nodes that have them.",
        unit="words parted by commas",
        example="avx512, scratch, licence-host",
        shown="empty, for none",
    )
    memory_limit: fields.BytesOrNone = key(
        "0",
        "How much memory a worker may use, with the processes it started; one above it is killed, and its task is "
        "given to another. 0 or none: no limit but those that tasks bring along.",
        unit="size",
        example="8 GiB",
    )
    retry_every: fields.SomeSeconds = key(
        "10s",
        "How long a node waits between attempts to reach its master, at most; the first ones come sooner, "
        "all a little scattered.",
        unit="duration",
    )
    give_up_after: fields.SecondsOrNever = key(
        "0",
        "A node that has not reached its master for so long ends itself; 0 or never: it goes on trying.",
        unit="duration",
        example="30m",
    )
    lease: fields.SecondsOrNever = key(
        "0",
        "A node that had a master and has not heard from it for so long ends itself, so that no machine is left behind "
        "with a bill to pay; nodes that AsynCluster launches have one. 0 or never: it goes by `give up after`.",
        unit="duration",
        example="30m",
        shown="0, for what `give up after` says",
    )
    run_tasks_as: fields.Account = key(
        "",
        "Run everybody's tasks as this one user of the node's machine, the original's way. A node started by "
        "root otherwise runs each owner's tasks as that owner, and a node started by a person runs only that person's.",
        unit="user name",
        example="cluster",
        shown="empty, for each owner's tasks as the owner",
    )
    drain_limit: fields.Seconds = key(
        "30s",
        "How long a stopping node lets running tasks finish before it gives them back. "
        "Keep systemd's TimeoutStopSec above it.",
        unit="duration",
        example="2m",
    )
    spot_metadata: fields.WebAddress = key(
        "",
        "Where a node on a spot instance of AWS looks, every five seconds, whether it is about to be reclaimed; it "
        "then leaves, and its tasks are run elsewhere without charge. Nodes that AsynCluster launches there are told.",
        unit="URL",
        example="http://169.254.169.254",
        shown="empty: it does not look",
    )
    output_limit: fields.Bytes = key(
        "16 MiB",
        "How much output of one task is passed on; the rest is dropped, and the task's stderr says so.",
        unit="size",
    )
    payload_memory: fields.Bytes = key(
        "256 MiB",
        "How much of large arguments and results (above 64 KiB each) the node keeps in memory; what goes beyond is put "
        "into its payload folder.",
        unit="size",
        example="1 GiB",
    )
    payload_folder: fields.Path = key(
        "",
        "Folder for large arguments and results that do not fit into payload memory. Its files have no names and are "
        "gone with the process.",
        unit="path",
        example="/scratch/asyncluster-node",
        shown="empty, for payloads in the state folder",
    )
    state_folder: fields.Path = key(
        "",
        "Folder of the node's own files; made with mode 0700.",
        unit="path",
        example="/var/lib/asyncluster/node",
        shown="node in the master's default state folder",
    )
    seat_socket: fields.SeatSocket = key(
        "",
        "UNIX socket on which the node answers programs with which people log in at this machine: `asyncluster seat`, "
        "or a display manager. For a workstation; in a folder that only the node's user can change. Where nothing else "
        "is said, `asyncluster seat` looks at the example's.",
        unit="path, at most 107 bytes",
        example="/run/asyncluster-node/seat",
        shown="empty, for a machine at which nobody sits",
    )
    when_in_use: fields.WhenInUse = key(
        "pause",
        "What becomes of tasks while somebody has a session at this machine: `pause` stops them where they are, "
        "`return` gives them back, uncharged, `nice` lets them run as modestly as can be, `go on` lets them be. With "
        "the first two the node gets nothing new meanwhile.",
        unit="pause, return, nice or go on",
        example="return",
    )


class Display(Section):
    """The login window of workstations, the Node Display Manager."""

    size: fields.WindowSize = key("300, 200", "Width and height of the window, which are fixed.", unit="pixels")
    window_manager: fields.Command = key(
        "/usr/bin/startkde",
        "The program that is started for a new session.",
        unit="full path, perhaps with arguments",
        example="/usr/bin/icewm-session",
    )
    niceness: fields.Niceness = key(
        "10", "Niceness of the window manager and thus of all that its user starts.", unit="-20, greedy, to 19, modest"
    )
