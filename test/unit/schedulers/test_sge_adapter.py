"""What the adapter of Grid Engine makes of what goes wrong there; the real one cannot be stopped half-way."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from asyncluster.errors import CommandFailedError, NoAnswerError, SchedulerError
from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers.run import Answer, Runner
from asyncluster.schedulers.sge import parse
from asyncluster.schedulers.sge.adapter import GridEngine

HOST = """<qhost><host name='node3'>
  <hostvalue name='arch_string'>lx-amd64</hostvalue><hostvalue name='num_proc'>2</hostvalue>
  <hostvalue name='mem_total'>23.5G</hostvalue><hostvalue name='mem_used'>-</hostvalue>
  <queue name='all.q'><queuevalue qname='all.q' name='slots_used'>{used}</queuevalue>
    <queuevalue qname='all.q' name='slots'>2</queuevalue>
    <queuevalue qname='all.q' name='state_string'>{state}</queuevalue></queue>
</host></qhost>"""
JOBS = """<job_info><queue_info><job_list state="running">
  <JB_job_number>16</JB_job_number><JB_name>victim</JB_name><JB_owner>burst</JB_owner><state>{state}</state>
  <queue_name>all.q@node3</queue_name><slots>1</slots></job_list></queue_info></job_info>"""


class Cell(Runner):
    """One host with at most one job.

    state: of its queue; job: the state of the job, "" = none; reschedule, delete: what Grid Engine says to these by
    force, "" = nothing, and the job stays, as it does where that is a denial.
    """

    def __init__(self, state: str, job: str, reschedule: str = "", delete: str = "") -> None:
        super().__init__(Clock())
        self.state, self.job = state, job
        self.says = {"qmod -f -rj 16": reschedule, "qdel -f 16": delete}
        self.known = True
        self.told: list[str] = []

    async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        """As Grid Engine answers."""
        line = " ".join(word.rpartition("/")[2] for word in argv)
        if line.startswith("qhost"):
            said = HOST.format(used=int(bool(self.job)), state=self.state) if self.known else "<qhost></qhost>"
        elif line.startswith("qstat"):
            said = JOBS.format(state=self.job) if self.job else "<job_info></job_info>"
        else:
            self.told.append(line)
            self.known = self.known and line != "qconf -de node3"
            said = self.says.get(line, "")
            self.job = "" if said and not said.startswith("denied") else self.job
        return Answer(argv, 0, said, "")


def remove(cell: Cell) -> None:
    """What the engine asks for in the end."""
    finish(GridEngine(cell).remove_node("node3", Reservation()))


def finish(done: Deferred[Any]) -> None:
    """It is over; raises what it fails with."""
    found: list[Any] = []
    done.addBoth(found.append)
    if found[0] is not None:
        found[0].raiseException()


def test_a_dead_host_is_removed_with_its_job() -> None:
    """The job is rescheduled by force first, and begins anew elsewhere."""
    cell = Cell("du", "r", reschedule="Pushed rescheduling of job 16 on host node3")
    remove(cell)
    assert "qmod -f -rj 16" in cell.told
    assert not cell.known
    assert cell.told.index("qmod -f -rj 16") < cell.told.index("qconf -de node3")


@pytest.mark.parametrize("state", ["r", "dr"])
def test_a_job_that_cannot_begin_anew_ends(state: str) -> None:
    """One that must not, and one that was ending when its host died: no execd is there to tell of its end."""
    cell = Cell("du", state, reschedule="denied: job 16 is not rerunnable", delete="root forced the deletion of job 16")
    remove(cell)
    assert "qdel -f 16" in cell.told
    assert not cell.known


def test_a_dead_host_whose_job_stays_is_not_forgotten() -> None:
    """An orphan would be left; it is tried again later."""
    cell = Cell("du", "r")
    with pytest.raises(SchedulerError, match="not let go"):
        remove(cell)
    assert cell.known


def test_a_living_host_keeps_its_job() -> None:
    """Nothing is done to it."""
    cell = Cell("d", "r", reschedule="Pushed rescheduling of job 16 on host node3")
    with pytest.raises(SchedulerError, match="still runs jobs"):
        remove(cell)
    assert cell.told == []
    assert cell.known


def test_a_host_whose_name_the_qmaster_does_not_know_is_not_added() -> None:
    """It says so and ends with 0; what went on would wait for an execd that never registers."""
    cell = Cell("", "")
    cell.known = False
    cell.says = {"qconf -ah node3": 'can\'t resolve hostname "node3"\n'}
    with pytest.raises(CommandFailedError, match="resolve the host's name"):
        finish(GridEngine(cell).add_node("node3", "10.0.0.3", Flavor(2)))
    cell.says = {"qconf -ah node3": 'adminhost "node3" already exists\n'}
    finish(GridEngine(cell).add_node("node3", "10.0.0.3", Flavor(2)))


@pytest.mark.parametrize(
    ("said", "silent"),
    [
        ('Host group "@gpus" does not exist', False),
        ("Host group name is not valid", False),
        ("denied: host head is no submit host", True),
        ("", True),
    ],
)
def test_a_group_that_is_not_listed_is_not_empty(monkeypatch: pytest.MonkeyPatch, said: str, silent: bool) -> None:
    """Unless there is none of that name: its nodes would count as lacking it, and none be launched for it."""

    class Refusing(Runner):
        async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
            return Answer(argv, 1, "", said)

    monkeypatch.setattr(parse, "groups", lambda jobs: {"gpus"})
    grid = GridEngine(Refusing(Clock()))
    done: list[Any] = []
    Deferred.fromCoroutine(grid._groups(())).addBoth(done.append)
    if silent:
        assert done[0].check(NoAnswerError)
    else:
        assert done == [{}]
