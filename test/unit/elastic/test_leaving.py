"""Nodes on their way out: what runs there is never lost, who is to go at once goes, who is called back comes back."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.elastic.actions import Action, Do, Fault, Outcome, Plan
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Commands, Options
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life, NodeRecord, PoolMode, PoolRecord, Steer, Why
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Pool

POOL = Pool("p", "fake", Flavor(4), most=3)
BUSY = BatchNode("p-1", NodeState.BUSY, 4, 2, jobs=("7",))
PART = attrs.evolve(BUSY, state=NodeState.HOLDING)
EMPTY = BatchNode("p-1", NodeState.HELD, 4)
JOB = BatchJob("8", BatchState.QUEUED, (Chunk(1, 1),))


def record(life: Life, **more: object) -> NodeRecord:
    values = {"since": 1.0, "ordered": 1.0, "cause": "test", "instance": "i1", "started": 1.0, **more}
    return NodeRecord("p-1", "p", "t", life, **values)  # type: ignore[arg-type]  # as they are


class Site:
    """A book with one node, and what is shown of it."""

    def __init__(self, node: NodeRecord, shown: BatchNode | None, *jobs: BatchJob) -> None:
        self.now = 100.0
        self.desk = Desk(Options(realm="r"), [POOL], salt="s")
        self.desk.nodes["p-1"] = node
        self.show(shown, *jobs)

    @property
    def node(self) -> NodeRecord:
        return self.desk.nodes["p-1"]

    def show(
        self, shown: BatchNode | None, *jobs: BatchJob, state: InstanceState = InstanceState.ACTIVE, later: float = 10.0
    ) -> None:
        self.now += later
        self.desk.heard(Demand(jobs, () if shown is None else (shown,), self.now))
        self.desk.listed(Listing("p", (Instance("i1", "p-1", state, True, "r", "t"),), self.now - 5.0))

    def tick(self) -> list[Action]:
        """Decides, and begins; gives what is begun."""
        self.made: Plan = plan(situation := self.desk.situation(self.now + 1.0))
        return self.desk.merge(situation, self.made)

    def does(self, outcome: Outcome | None = None) -> list[Do]:
        """The same, and it ends so, with what follows at once."""
        actions = self.tick()
        done = []
        while actions:
            assert len(done) < 20, done
            action = actions.pop(0)
            done.append(action.do)
            actions += self.desk.finished(action, outcome or Outcome(), self.now + 2.0)
        return done


@pytest.mark.parametrize(
    ("shown", "silent", "follow"),
    [(BUSY, False, Do.HOLD), (None, False, Do.REMOVE), (None, True, None), (BUSY, True, None)],
)
def test_a_check_that_fails_for_good_ends_no_work(shown: BatchNode | None, silent: bool, follow: Do | None) -> None:
    """A node that the scheduler lists, or may list, is held first, and waited for."""
    site = Site(record(Life.ADDED, doing="CHECK"), shown)
    site.desk.unheard = silent
    check = Action(Do.CHECK, "p-1", "p", "test")
    actions = site.desk.finished(check, Outcome(Fault.NEVER, "its licence is void"), site.now)
    assert [action.do for action in actions] == ([follow] if follow else [])
    assert site.node.life is (Life.EMPTY if follow is Do.REMOVE else Life.RETIRING)
    assert site.node.why is Why.FAULT


def test_a_pilot_at_work_is_no_surplus_though_its_cloud_has_not_shown_it_yet() -> None:
    """It has registered since the last listing: it is held first."""
    pilot = record(Life.LAUNCHING, started=None, idle_since=-400.0)
    for shown, begun in ((None, [Do.DESTROY]), (BUSY, [Do.HOLD])):
        site = Site(pilot, shown)
        site.show(shown, state=InstanceState.PENDING)
        assert [action.do for action in site.tick()] == begun


@given(
    st.sampled_from([life for life in Life if life not in {Life.EMPTY, Life.REMOVED, Life.DESTROYING, Life.GONE}]),
    st.sampled_from(list(Steer)), st.sampled_from([Why.NOTHING, Why.SURPLUS]), st.sampled_from([None, 1.0]),
    st.sampled_from([None, -4000.0]), st.sampled_from(list(InstanceState)), st.sampled_from([BUSY, PART]),
)  # fmt: skip
def test_what_the_scheduler_shows_at_work_is_neither_removed_nor_destroyed(
    life: Life,
    steer: Steer,
    why: Why,
    started: float | None,
    idle: float | None,
    state: InstanceState,
    shown: BatchNode,
) -> None:
    """Whatever the book has of it, whoever wants it away, and whatever its cloud says."""
    why = why if life in {Life.RETIRING, Life.HOLDING} else Why.NOTHING
    site = Site(record(life, steer=steer, why=why, started=started, idle_since=idle, since=-9000.0), shown)
    for _ in range(3):
        site.show(shown, state=state, later=400.0)
        assert not {Do.REMOVE, Do.DESTROY} & set(site.does())


def test_a_node_that_is_held_already_is_vacated_when_it_is_to_go_at_once() -> None:
    """`cluster delete` waits for its job; `--force` afterwards does not, and asks again while the job stays."""
    site = Site(record(Life.UP), BUSY)
    site.desk.steer("p-1", Steer.DELETE, "ann")
    assert site.does() == [Do.HOLD]
    site.show(PART)
    assert site.does() == []
    site.desk.steer("p-1", Steer.KILL, "ann")
    assert site.does() == [Do.VACATE]
    site.show(PART)
    assert site.does() == []
    site.show(PART, later=3600.0)
    assert site.does(Outcome(Fault.UNSURE, "no answer")) == [Do.VACATE]
    site.show(PART, later=3600.0)
    assert site.does() == [Do.VACATE]
    site.show(EMPTY)
    assert site.does()[0] is Do.REMOVE


@pytest.mark.parametrize("why", [Why.DRAIN, Why.SURPLUS, Why.FAULT])
def test_so_is_one_that_goes_for_another_reason(why: Why) -> None:
    """A drained pool's, say: force is about this node."""
    site = Site(record(Life.HOLDING, why=why), PART)
    site.desk.steer("p-1", Steer.KILL, "ann")
    assert site.does() == [Do.VACATE]
    assert site.node.why is Why.PERSON


def test_a_node_that_is_being_called_back_is_room_for_the_work_it_is_called_for() -> None:
    """While that is under way, and after it has failed; it is tried again, and is up in the end."""
    site = Site(record(Life.HOLDING, why=Why.SURPLUS), PART, JOB)
    (unhold,) = site.tick()
    assert unhold.do is Do.UNHOLD
    assert site.tick() == []
    site.desk.finished(unhold, Outcome(Fault.UNSURE, "no answer"), site.now + 2.0)
    site.show(PART, JOB, later=1.0)
    assert site.does() == []
    assert site.node.life is Life.HOLDING
    site.show(EMPTY, JOB, later=30.0)
    assert site.does() == [Do.UNHOLD]
    assert site.node.life is Life.UP


def test_an_order_to_call_it_back_that_was_obeyed_and_not_answered_counts() -> None:
    """The scheduler shows it at work: it is not held anew."""
    site = Site(record(Life.HOLDING, attempts=1, retry_at=500.0), BUSY, JOB)
    assert site.does() == []
    assert site.node.life is Life.UP


def test_restoring_a_drained_pool_calls_its_node_back_and_begins_no_other() -> None:
    """One plan does both."""
    site = Site(record(Life.HOLDING, why=Why.DRAIN), PART, JOB)
    site.desk.pools["p"] = PoolRecord("p", mode=PoolMode.DRAINING)
    site.desk.restore("p")
    assert [(action.do, action.node) for action in site.tick()] == [(Do.UNHOLD, "p-1")]


def test_one_that_is_called_back_goes_all_the_same_when_its_pool_is_drained() -> None:
    """Or it would be held for ever."""
    site = Site(record(Life.HOLDING), EMPTY)
    site.desk.drain("p", "ann")
    assert Do.UNHOLD not in site.does()
    assert site.node.why is Why.DRAIN


def test_a_stray_that_is_held_and_empty_is_set_up_as_any_other() -> None:
    """It may never have been enabled, and nobody else would."""
    site = Site(record(Life.STRAY), EMPTY)
    site.tick()
    assert site.node.life is Life.ADDED
    site = Site(record(Life.STRAY), PART)
    site.tick()
    assert site.node.life is Life.UP


def test_a_launch_that_waited_is_not_begun_while_the_scheduler_is_silent() -> None:
    """What waits there may have been served since."""
    site = Site(record(Life.UP), BUSY)
    intended = NodeRecord("p-2", "p", "t2", Life.INTENDED, site.now, site.now, doing="LAUNCH")
    site.desk.nodes["p-2"] = intended
    launch = Action(Do.LAUNCH, "p-2", "p", "test")
    assert site.desk.bars(launch, site.now) == ""
    assert "has not answered for" in site.desk.bars(launch, site.now + 1000.0)
    site.desk.unheard = True
    assert "has not answered for" in site.desk.bars(launch, site.now)


def test_a_node_whose_daemon_never_came_is_over_once_it_is_held() -> None:
    """Its batch system calls it starting for as long as it is known; one that somebody uses there is waited for."""
    site = Site(record(Life.HOLDING, why=Why.FAULT), attrs.evolve(EMPTY, state=NodeState.STARTING, used=1))
    assert site.does() == []
    site.show(attrs.evolve(EMPTY, state=NodeState.STARTING))
    assert site.does()[0] is Do.REMOVE


@pytest.mark.parametrize(
    ("life", "more", "follow"),
    [
        (Life.LAUNCHING, {}, [Do.ADD]),
        (Life.LAUNCHING, {"instance": ""}, []),
        (Life.LAUNCHING, {"doing": "LAUNCH"}, []),
        (Life.INTENDED, {}, []),
        (Life.ADDED, {"retry_at": 1e9}, [Do.CHECK]),
        (Life.UP, {}, []),
    ],
)
def test_a_node_that_registers_runs_whatever_its_cloud_lists(
    life: Life, more: dict[str, object], follow: list[Do]
) -> None:
    """Its cloud may be silent for hours: it is taken on; where an order is under way, that is waited for."""
    site = Site(record(life, started=None, **more), None)
    assert [action.do for action in site.desk.arrived("p-1", site.now)] == follow
    if follow == [Do.ADD]:
        assert (site.node.life, site.node.started) == (Life.PROVISIONED, site.now)


def test_a_command_of_the_site_is_told_the_address_of_a_node_that_registers_early() -> None:
    """Only a listing gives it, so that is waited for."""
    site = Site(record(Life.LAUNCHING), None)
    site.desk.options = Options(commands=Commands(post_vm_provision=("up", "{1}")))
    assert site.desk.arrived("p-1", site.now) == []
    site.desk.nodes["p-1"] = record(Life.LAUNCHING, address="10.0.0.1")
    assert [action.do for action in site.desk.arrived("p-1", site.now)] == [Do.POST_PROVISION]


def test_a_launch_that_was_not_begun_costs_nothing_of_the_rate() -> None:
    """Its pool may begin as many as before; at most what a minute gives."""
    site = Site(record(Life.UP), BUSY)
    for had, has in ((2.0, 3.0), (-1.0, -1.0)):
        site.desk.nodes["p-2"] = NodeRecord("p-2", "p", "t2", Life.INTENDED, 1.0, 1.0, doing="LAUNCH")
        site.desk.pools["p"] = PoolRecord("p", tokens=had, tokens_at=site.now)
        site.desk.finished(Action(Do.LAUNCH, "p-2", "p", "test"), Outcome(Fault.NOT_BEGUN), site.now)
        assert (site.desk.pools["p"].tokens, "p-2" in site.desk.nodes) == (has, False)
