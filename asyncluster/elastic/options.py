"""What an administrator may set about the engine as a whole; what is set for one pool is in `model.supply.Pool`."""

from __future__ import annotations

import attrs


@attrs.frozen
class Commands:
    """Programs run when something happened to a node: argument lists, never a shell's line.

    {0}, {1}, {2} in an argument are replaced by the host name, the address and the name in the scheduler; () = none.
    The environment says the same and more (`hooks.environment`).  limit: seconds for one try; tries: 1 or more.
    """

    post_vm_provision: tuple[str, ...] = ()
    post_vm_destroy: tuple[str, ...] = ()
    post_add_node: tuple[str, ...] = ()
    post_remove_node: tuple[str, ...] = ()
    limit: float = 60.0
    tries: int = 3


@attrs.frozen
class Options:
    """Times in seconds; the first seven as in Dynamic Cluster, with its defaults.

    queues: nodes are launched for jobs in these only, () = all; realm: whose tag our instances bear; auto_mode,
    passive_mode: what a book that is new begins with; lease: a node ends itself when its master has not renewed it for
    so long; max_snapshot_age, max_listing_age: nothing is launched or released on what a scheduler, or a cloud,
    said longer ago; misses, missing_time: an instance counts as gone after so many listings without it, over so long;
    stray_grace: an instance that bears our tag and is in no record is ended after so long; cancel_after: a node that
    its cloud has not begun, and that nobody has needed for so long, is not waited for; capacity_wait,
    breaker_wait: the first pause of a pool that has none to give, or whose launches fail, doubled each time up to
    longest_wait; breaker: failures in a row that stop a pool; destroy_retry: a cloud is asked again after so long;
    check_pause: a node that is not ready is looked at again after so long; action_limit: for one call of a cloud or a
    scheduler; at_once: launches of one pool at a time, and as many ends, and calls of its scheduler; end_with_master:
    all nodes are ended when the engine stops; shown: waiting jobs that are told of when somebody looks at all, of which
    there may be very many.
    """

    max_idle_time: float = 600.0
    max_down_time: float = 480.0
    max_launch_time: float = 1200.0
    cluster_poller_interval: float = 10.0
    cloud_poller_interval: float = 20.0
    auto_provision_interval: float = 60.0
    auto_mode: bool = True
    passive_mode: bool = False
    queues: tuple[str, ...] = ()
    realm: str = "asyncluster"
    lease: float = 1800.0
    max_snapshot_age: float = 60.0
    max_listing_age: float = 60.0
    misses: int = 3
    missing_time: float = 60.0
    stray_grace: float = 300.0
    cancel_after: float = 120.0
    capacity_wait: float = 60.0
    breaker_wait: float = 600.0
    longest_wait: float = 7200.0
    breaker: int = 10
    destroy_retry: float = 60.0
    check_pause: float = 10.0
    action_limit: float = 120.0
    at_once: int = 8
    end_with_master: bool = False
    shown: int = 30
    commands: Commands = Commands()
