"""`asyncluster pool`, `asyncluster cluster` and `asyncluster elastic`: what provides nodes, and how it is steered."""

from __future__ import annotations

import sys

import click

from asyncluster.cli import pooltables, render
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, open_pools


def _tell(as_json: bool, text: str, **done: object) -> None:
    """What was asked for: a sentence, or the same for programs."""
    if as_json:
        render.print_json(done)
    elif text:
        click.echo(text)


@click.group()
def pool() -> None:
    """Look at pools of nodes, and steer them."""


@pool.command(name="list")
@json_option
@click.pass_obj
def list_pools(place: Place, as_json: bool) -> None:
    """List the pools, how many nodes each has, and why it does what it does.

    \b
    Examples:
      asyncluster pool list
      asyncluster pool list --json | jq 'map_values(.nodes)'
    """
    with open_pools(place) as pools:
        found = pools.status()
    if as_json:
        render.print_json(found["pools"])
    else:
        pooltables.print_pools(found["pools"], found["clouds"])


@pool.command()
@click.argument("name", metavar="POOL")
@json_option
@click.pass_obj
def show(place: Place, name: str, as_json: bool) -> None:
    """Show one pool, and its nodes: each with its machine's id, and its address as the cloud or batch system tells it.

    \b
    Example:
      asyncluster pool show night
    """
    with open_pools(place) as pools:
        status = pools.status()
    if name not in status["pools"]:
        known = ", ".join(status["pools"]) or "none"
        raise click.UsageError(f"there is no pool {name}; there are: {known}")
    nodes = {node: each for node, each in status["nodes"].items() if each["pool"] == name}
    found = {**status["pools"][name], "cloud": status["clouds"].get(name), "nodes": nodes}
    if as_json:
        render.print_json(found)
    else:
        pooltables.print_pool(name, found)


@pool.command()
@click.argument("name", metavar="POOL")
@click.argument("count", metavar="[N]", type=click.IntRange(1, 10_000), default=1)
@json_option
@click.pass_obj
def launch(place: Place, name: str, count: int, as_json: bool) -> None:
    """Launch N nodes, 1 if you say nothing, whatever waits, up to the pool's maximum.

    They are given up again once they have been idle for max_idle_time. What is not begun at once is told, with what
    it waits for; what is beyond the maximum is not kept, and the exit code is 1 when that is all of them.

    \b
    Example:
      asyncluster pool launch night 3
    """
    with open_pools(place) as pools:
        promise = pools.launch(name, count)
    if not promise["taken"] and not as_json:
        raise click.ClickException(f"{promise['text']}. Raise its `max` in asyncluster.yaml, or wait until some go.")
    text = f"Asked for {promise['text']}; `asyncluster pool show {name}` tells what becomes of it."
    _tell(as_json, text, asked="launch", pool=name, count=count, taken=promise["taken"], told=promise["text"])
    if not promise["taken"]:
        sys.exit(1)


@pool.command()
@click.argument("name", metavar="POOL")
@click.argument("count", metavar="[N]", type=click.IntRange(1, 10_000), default=1)
@json_option
@click.pass_obj
def request(place: Place, name: str, count: int, as_json: bool) -> None:
    """Ask for nodes as launch does, from a prologue or submit filter in passive mode.

    Nothing is printed, unless --json is given, and it does not fail when the pool is full: a batch system would refuse
    the job, or hold its node, for that.

    \b
    Example:
      asyncluster pool request cloud
    """
    with open_pools(place) as pools:
        promise = pools.launch(name, count)
    _tell(as_json, "", asked="launch", pool=name, count=count, taken=promise["taken"], told=promise["text"])


@pool.command()
@click.argument("name", metavar="[POOL]", required=False)
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(1, 86400),
    default=120.0,
    show_default=True,
    help="Seconds that the batch job may wait for its turn.",
)
@json_option
@click.pass_obj
def check(place: Place, name: str | None, seconds: float, as_json: bool) -> None:
    """Walk the road to a compute node and back, and say what to mend.

    Hands a batch job in that is held, lets it go, and has it look around in the place of a node: command, queue,
    account, interpreter, versions, the route back to the master, scratch folder, walltime.  No node is made of it.
    The exit code is 1 when some step failed.  Without POOL all pools of batch jobs are checked.

    \b
    Examples:
      asyncluster pool check
      asyncluster pool check night --wait 600
    """
    with open_pools(place) as pools:
        kinds = {pool: each["kind"] for pool, each in pools.status()["pools"].items()}
        names = [name] if name else [pool for pool, kind in kinds.items() if kind == "batch"]
        if not names:
            raise click.UsageError("there is no pool of batch jobs; `asyncluster pool list` shows all")
        found = {each: pools.check(each, seconds) for each in names}
    if as_json:
        render.print_json(found)
    else:
        for each, steps in found.items():
            pooltables.print_road(each, steps)
    click.get_current_context().exit(any(step["ok"] is False for steps in found.values() for step in steps))


def _with_example(text: str, example: str) -> str:
    """Help as click prints it, with one example that it does not wrap."""
    return f"{text}\n\n\b\nExample:\n  asyncluster {example}"


def _steering(name: str, metavar: str, help_text: str, told: str) -> click.Command:
    """A command that asks for one thing and says what follows; the help ends with the example."""

    @click.command(name=name, help=help_text)
    @click.argument("what", metavar=metavar)
    @json_option
    @click.pass_obj
    def command(place: Place, what: str, as_json: bool) -> None:
        with open_pools(place) as pools:
            pools.steer(name, what)
        _tell(as_json, told.format(what), asked=name, **{metavar.lower(): what})

    return command


pool.add_command(
    _steering(
        "freeze",
        "POOL",
        _with_example("Launch nothing and give nothing up in this pool until `restore`.", "pool freeze cloud"),
        "Pool {0} stays as it is; `asyncluster pool restore {0}` lets it go on.",
    )
)
pool.add_command(
    _steering(
        "drain",
        "POOL",
        _with_example(
            "Hold all nodes of this pool and give them up as they become empty; launch nothing until `restore`.",
            "pool drain cloud",
        ),
        "The nodes of pool {0} go as they become empty; `asyncluster pool restore {0}` lets it launch again.",
    )
)
pool.add_command(
    _steering(
        "restore",
        "POOL",
        _with_example(
            "End `freeze` and `drain`, and try again what failures or the cloud's limits have stopped.",
            "pool restore cloud",
        ),
        "Pool {0} goes on.",
    )
)


@click.group(name="cluster")
def cluster_nodes() -> None:
    """Look at the nodes that pools have launched, and steer them."""


@cluster_nodes.command(name="nodes")
@json_option
@click.pass_obj
def launched(place: Place, as_json: bool) -> None:
    """List the nodes that were launched, and why each is as it is.

    \b
    Example:
      asyncluster cluster nodes
    """
    with open_pools(place) as pools:
        found = pools.status()["nodes"]
    if as_json:
        render.print_json(found)
    else:
        pooltables.print_nodes(found)


@cluster_nodes.command(name="jobs")
@json_option
@click.pass_obj
def waiting(place: Place, as_json: bool) -> None:
    """List the first jobs that wait for nodes, each with its one reason, and tell how many wait.

    How many are listed is `queued_job_number_to_display`; `asyncluster explain job` tells of any.

    \b
    Example:
      asyncluster cluster jobs
    """
    with open_pools(place) as pools:
        found = pools.jobs()
    if as_json:
        render.print_json(found)
    else:
        pooltables.print_jobs(found, "No job waits.")


cluster_nodes.add_command(
    _steering(
        "hold",
        "NODE",
        _with_example("Give a node no new job; those that run go on.", "cluster hold cloud-3"),
        "Node {0} gets no new job.",
    )
)
cluster_nodes.add_command(
    _steering(
        "unhold",
        "NODE",
        _with_example("Let a held node have jobs again.", "cluster unhold cloud-3"),
        "Node {0} gets jobs again.",
    )
)
cluster_nodes.add_command(
    _steering(
        "vacate",
        "NODE",
        _with_example("Hold a node and have its jobs begin anew elsewhere.", "cluster vacate cloud-3"),
        "Node {0} gets no new job, and those that it has go elsewhere.",
    )
)


@cluster_nodes.command()
@click.argument("node", metavar="NODE")
@click.option("--force", is_flag=True, help="Do not wait for its jobs: they begin anew elsewhere.")
@json_option
@click.pass_obj
def delete(place: Place, node: str, force: bool, as_json: bool) -> None:
    """Give a node up as soon as it is empty.

    \b
    Example:
      asyncluster cluster delete night-7
    """
    with open_pools(place) as pools:
        pools.delete(node, force)
    text = f"Node {node} goes " + ("now." if force else "when it is empty.")
    _tell(as_json, text, asked="delete", node=node, force=force)


@click.group()
def elastic() -> None:
    """Ask the engine that launches and gives up nodes."""


@elastic.command(name="status")
@json_option
@click.pass_obj
def elastic_status(place: Place, as_json: bool) -> None:
    """Tell what it does, and whether scheduler and clouds answer.

    \b
    Example:
      asyncluster elastic status
    """
    with open_pools(place) as pools:
        found = pools.status()
    if as_json:
        render.print_json(found)
    else:
        pooltables.print_status(found)


@elastic.command(name="plan")
@json_option
@click.pass_obj
def elastic_plan(place: Place, as_json: bool) -> None:
    """Tell what the next tick would do, and why; does nothing.

    \b
    Example:
      asyncluster elastic plan
    """
    with open_pools(place) as pools:
        found = pools.plan()
    if as_json:
        render.print_json(found)
    else:
        pooltables.print_plan(found)


def _mode(name: str, help_text: str) -> None:
    @elastic.command(name=name, help=_with_example(help_text, f"elastic {name} off"))
    @click.argument("switch", type=click.Choice(["on", "off"]))
    @json_option
    @click.pass_obj
    def command(place: Place, switch: str, as_json: bool) -> None:
        on = switch == "on"
        with open_pools(place) as pools:
            pools.set(name, on)
        _tell(as_json, f"{name} is {switch}", **{name: on})


_mode("auto", "on: launch and give up nodes as work needs them; off: leave both to people.")
_mode("sleep", "on: launch nothing, and still give up what is idle.")
_mode("passive", "on: launch only what is asked for, by `asyncluster pool request`.")


def explain_by(kind: str, metavar: str, help_text: str, example: str) -> click.Command:
    """`explain job | node | pool`."""

    @click.command(name=kind, help=_with_example(help_text, f"explain {kind} {example}"))
    @click.argument("name", metavar=metavar)
    @json_option
    @click.pass_obj
    def command(place: Place, name: str, as_json: bool) -> None:
        with open_pools(place) as pools:
            told = pools.explain(kind, name)
        if as_json:
            render.print_json({kind: name, **told})
        else:
            click.echo(f"{kind} {name}: {told['text']}")
            pooltables.print_machine(told)

    return command
