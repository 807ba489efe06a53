"""`asyncluster job …` and `explain task`: what becomes of jobs that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncluster.cli import jobtables, render
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, attach_to, open_jobs
from asyncluster.cli.following import SHOWN, failures, follow, left_alone, settle, with_failure
from asyncluster.cli.needs import parsed
from asyncluster.cli.pools import explain_by
from asyncluster.errors import RefusedError
from asyncluster.units import count, parse_duration

if TYPE_CHECKING:
    from asyncluster.client.attach import Jobs

F = TypeVar("F", bound=Callable[..., Any])


class _Number(click.IntRange):
    """A number that the master gave."""

    def __init__(self, least: int, what: str) -> None:
        super().__init__(least, 2**62)
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; fails with what it is a number of."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no number of a {self._what}; they begin with {self.min}", param, ctx)


NUMBER = _Number(1, "job")
TASK = _Number(0, "task")
TIME_UP = 124
"""As of the `timeout` of coreutils."""


@click.group()
def job() -> None:
    """Look after jobs by number: those of `submit` and `detach`, and those of programs that still run.

    The master numbers jobs, for everybody from 1 on; `submit` prints the number, `cluster.job` has it.  Tasks are
    numbered within their job, from 0, in the order in which they were handed in.

    \b
    Examples:
      asyncluster job list
      asyncluster job wait 7
      asyncluster job output 7 --follow
      asyncluster job forget 7
    """


def one_job(function: F) -> F:
    """A command about one job."""
    return click.argument("number", metavar="ID", type=NUMBER)(function)


def some_jobs(function: F) -> F:
    """A command about several."""
    return click.argument("numbers", metavar="ID...", type=NUMBER, nargs=-1, required=True)(function)


@job.command("list")
@json_option
@click.pass_obj
def list_jobs(place: Place, as_json: bool) -> None:
    """List your jobs; everybody's when you administer the master.

    A job ends with the program that opened it, and a detached one when it is forgotten, or its results
    were kept for long enough.

    \b
    Examples:
      asyncluster job list
      asyncluster job list --json | jq '.[] | select(.failed > 0) | .job'
    """
    with open_jobs(place) as jobs:
        found = jobs.all()
    if as_json:
        render.print_json([jobtables.job_json(view) for view in found])
    else:
        jobtables.print_jobs(found)


@job.command()
@one_job
@json_option
@click.pass_obj
def info(place: Place, number: int, as_json: bool) -> None:
    """Tell about a job: how many tasks it has in each state, what they ask for, its options, why tasks failed.

    \b
    Example:
      asyncluster job info 7
    """
    with open_jobs(place) as jobs:
        told = jobs.info(number)
        found = list(failures(jobs, number, bool(told["yours"]), SHOWN))
    if as_json:
        render.print_json({**told, "failures": [failure.as_json() for failure in found]})
    else:
        jobtables.print_info(told, found)


@job.command()
@some_jobs
@click.option(
    "--timeout",
    callback=parsed(parse_duration),
    metavar="TIME",
    help=f"Give up after so long, with exit code {TIME_UP}.",
)
@json_option
@click.pass_obj
def wait(place: Place, numbers: tuple[int, ...], timeout: float | None, as_json: bool) -> None:
    """Wait until all tasks of these jobs have ended.

    The exit code is the highest of their programs', as for `exec`; 1 where a function raised or a task was
    cancelled.

    \b
    Examples:
      asyncluster job wait 7
      asyncluster job wait 7 8 9 --timeout 1h && asyncluster job forget 7 8 9
    """
    with left_alone(numbers), open_jobs(place) as jobs:
        try:
            code = settle(jobs, list(dict.fromkeys(numbers)), as_json, timeout)
        except TimeoutError:
            click.echo("time is up; the jobs go on", err=True)
            code = TIME_UP
    click.get_current_context().exit(code)


@job.command()
@some_jobs
@click.option(
    "--task", "tasks", type=TASK, multiple=True, metavar="N", help="Only this task of the one job; repeatable."
)
@json_option
@click.pass_obj
def cancel(place: Place, numbers: tuple[int, ...], tasks: tuple[int, ...], as_json: bool) -> None:
    """Cancel jobs: all of their tasks that have not ended.  What they have given so far stays.

    What runs is ended: a program is sent SIGTERM with all that it started, and SIGKILL two seconds later; a
    worker that runs a Python function is ended and replaced.

    The exit code is 1 where there is no such job or task.

    \b
    Examples:
      asyncluster job cancel 7
      asyncluster job cancel 7 8 9
      asyncluster job cancel 7 --task 12 --task 13
    """
    numbers, tasks = tuple(dict.fromkeys(numbers)), tuple(dict.fromkeys(tasks))
    if tasks and len(numbers) > 1:
        raise click.UsageError(
            f"--task is of one job, and {len(numbers)} are named; `asyncluster job cancel 7 --task 12`"
        )
    told: list[dict[str, Any]] = []
    refused = False
    with open_jobs(place) as jobs:
        for number in numbers:
            try:
                count = jobs.cancel(number, tasks)
            except RefusedError as error:
                if len(numbers) == 1:
                    raise
                refused = True  # the others are cancelled all the same
                told.append({"job": number, "error": render.error_json(error)})
                if not as_json:
                    click.echo(f"asyncluster: {error}", err=True)
                continue
            told.append({"job": number, "cancelled": count})
            if not as_json:
                click.echo(_cancelled(number, tasks, count))
    if as_json:
        render.print_json(told)
    click.get_current_context().exit(1 if refused else 0)


def _cancelled(job: int, tasks: tuple[int, ...], count: int | None) -> str:
    if count is None:  # it was said twice, and the first answer was lost
        what = f"these tasks of job {job} are" if tasks else f"job {job} is"
        return (
            f"{what} cancelled; how many tasks that were is not known, as the connection was lost meanwhile: "
            f"`asyncluster job info {job}` counts them"
        )
    if count:
        return f"{count} task{'' if count == 1 else 's'} of job {job} cancelled"
    if tasks:
        these = f"task {tasks[0]} has" if len(tasks) == 1 else "these tasks have"
        return f"nothing to cancel: {these} ended"
    return f"nothing to cancel: all tasks of job {job} have ended"


@job.command()
@one_job
@click.argument("task", type=TASK, required=False)
@click.option("--stdout", "streams", flag_value=1, type=int, help="Only what went to stdout.")
@click.option("--stderr", "streams", flag_value=2, type=int, help="Only what went to stderr, on our stdout.")
@click.option("-f", "--follow", "on", is_flag=True, help="Go on until the job has ended.")
@json_option
@click.pass_obj
def output(place: Place, number: int, task: int | None, streams: int | None, on: bool, as_json: bool) -> None:
    """Show what the tasks of a detached job wrote, or one of them.

    Their stdout comes on our stdout, their stderr on our stderr; of several tasks each line begins with
    the task's number.  With --json it is an object {"task", "stream", "text"} for each piece.

    \b
    Examples:
      asyncluster job output 7
      asyncluster job output 7 12 --stderr
      asyncluster job output 7 --follow
    """
    with left_alone([number]), open_jobs(place) as jobs:
        follow(jobs, number, -1 if task is None else task, streams or 0, on, as_json)


@job.command()
@one_job
@json_option
@click.pass_obj
def results(place: Place, number: int, as_json: bool) -> None:
    """Print the results of a detached job with the numbers of its tasks, in their order, as they come.

    Those of programs are 0.  With --json it is an object {"task", "result"} or {"task", "error"} a line.
    The exit code is 1 when a task failed.

    \b
    Example:
      asyncluster job results 7 --json | jq .result
    """
    failed = 0
    with left_alone([number]), attach_to(place, number) as found:
        for task, future in sorted(found.futures.items()):
            try:
                error = future.exception()
            except CancelledError:
                error = CancelledError("cancelled")
            if error is not None and found.is_end_of_link(error):
                raise error
            failed += error is not None
            _tell_result(task, future.result() if error is None else None, error, as_json)
    click.get_current_context().exit(1 if failed else 0)


def _tell_result(task: int, value: object, error: BaseException | None, as_json: bool) -> None:
    if as_json:
        told = {"result": value} if error is None else {"error": render.error_json(error)}
        click.echo(render.json_line({"task": task, **told}))
    elif error is None:
        click.echo(f"task {task}: {value!r}")
    elif isinstance(error, CancelledError):
        click.echo(f"task {task}: cancelled", err=True)
    else:
        click.echo(f"task {task}: {type(error).__name__}: {error}", err=True)


def _each(place: Place, numbers: Sequence[int], order: Callable[[Jobs, int], object], done: str, as_json: bool) -> None:
    """Give an order about each of these jobs; the exit code is 1 where one was refused.

    done: what has become of those it was given for.
    """
    distinct = list(dict.fromkeys(numbers))
    well: list[int] = []
    refused: list[dict[str, Any]] = []
    with open_jobs(place) as jobs:
        for number in distinct:
            try:
                order(jobs, number)
            except RefusedError as error:
                if len(distinct) == 1:
                    raise
                refused.append({"job": number, "error": render.error_json(error)})  # it is given for the others
                if not as_json:
                    click.echo(f"asyncluster: {error}", err=True)
            else:
                well.append(number)
    if as_json:
        render.print_json({done: well, "refused": refused})
    elif refused:
        named = " ".join(map(str, well))
        click.echo(f"{done}: {named or 'none'}")
    click.get_current_context().exit(1 if refused else 0)


@job.command()
@some_jobs
@json_option
@click.pass_obj
def forget(place: Place, numbers: tuple[int, ...], as_json: bool) -> None:
    """Drop detached jobs: what runs is cancelled, results and output are gone.

    \b
    Example:
      asyncluster job forget 7
    """
    _each(place, numbers, lambda jobs, number: jobs.forget(number), "forgotten", as_json)


@job.command()
@some_jobs
@json_option
@click.pass_obj
def pause(place: Place, numbers: tuple[int, ...], as_json: bool) -> None:
    """Give out no more tasks of these jobs, until `resume`; what runs goes on.

    \b
    Example:
      asyncluster job pause 7
    """
    _each(place, numbers, lambda jobs, number: jobs.pause(number), "paused", as_json)


@job.command()
@some_jobs
@json_option
@click.pass_obj
def resume(place: Place, numbers: tuple[int, ...], as_json: bool) -> None:
    """Take `pause` back.

    \b
    Example:
      asyncluster job resume 7
    """
    _each(place, numbers, lambda jobs, number: jobs.resume(number), "resumed", as_json)


@click.group()
def explain() -> None:
    """Say why something is as it is."""


explain.add_command(
    explain_by("job", "JOB", "Say why a job waits for nodes, as `asyncluster cluster jobs` names it.", "17")
)
explain.add_command(
    explain_by("node", "NODE", "Say why a node of a pool is as it is and which machine, or who uses a node.", "cloud-3")
)
explain.add_command(explain_by("pool", "POOL", "Say why a pool launches or gives up nodes, or does not.", "cloud"))


@explain.command()
@click.argument("number", metavar="JOB[.TASK]")
@click.argument("task", type=TASK, required=False)
@json_option
@click.pass_obj
def task(place: Place, number: str, task: int | None, as_json: bool) -> None:
    """Say how a task is, and why: each that waits has exactly one reason.

    The only task of a job need not be named.

    \b
    Examples:
      asyncluster explain task 7 12
      asyncluster explain task 7.12
      asyncluster explain task 8
    """
    found, named = named_task(number, task)
    with open_jobs(place) as jobs:
        seq = only_task(found, jobs.info(found)) if named is None else named
        told = with_failure(jobs, found, seq, jobs.explain(found, seq))
    if as_json:
        render.print_json({"job": found, "task": seq, **told})
    else:
        click.echo(jobtables.explained(found, seq, told))


def named_task(number: str, task: int | None) -> tuple[int, int | None]:
    """Job and task of "7" and 12, or of "7.12"; None = the only task of "7"; raises click.UsageError."""
    first, dot, second = number.partition(".")
    words = [first, *([second] if dot else [] if task is None else [str(task)])]
    if (dot and task is not None) or not all(word.isascii() and word.isdigit() and len(word) < 18 for word in words):
        raise click.UsageError("name a task by job and number: `asyncluster explain task 7 12`, or 7.12")
    return int(words[0]), int(words[1]) if words[1:] else None


def only_task(job: int, told: Mapping[str, Any]) -> int:
    """The number of a job's only task; raises click.UsageError where it has none, or several."""
    tasks = sum(told[state] for state in jobtables.COUNTS)
    if tasks != 1:
        one = f": name one, such as `asyncluster explain task {job}.0`" if tasks else ""
        raise click.UsageError(f"job {job} has {count(tasks, 'task') if tasks else 'no tasks'}{one}")
    return 0
