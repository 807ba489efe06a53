"""The plan, rule by rule of the design, and each rule for whatever queues, nodes and pools there are."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.elastic import explain
from asyncluster.elastic.actions import Do, Plan, action_to_plain
from asyncluster.elastic.match import MIB
from asyncluster.elastic.options import Options
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life, Modes, NodeRecord, PoolMode, PoolRecord, Steer, Why, from_plain, to_plain
from asyncluster.elastic.situation import Situation
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Pool, Reservation

NOW = 10_000.0


def pool(name: str = "p", cores: int = 4, **more: Any) -> Pool:
    return Pool(name, "fake", Flavor(cores, **more.pop("flavor", {})), **{"most": 10, "spawn_rate": 600.0, **more})


def job(id: str = "1", cores: int = 1, nodes: int = 1, **more: Any) -> BatchJob:
    chunk = Chunk(nodes, cores, **more.pop("chunk", {}))
    return BatchJob(id, more.pop("state", BatchState.QUEUED), (chunk,), **more)


def up(name: str, pool: str = "p", idle: float | None = None, **more: Any) -> NodeRecord:
    since = None if idle is None else NOW - idle
    values = {"instance": name, "started": 0.0, "idle_since": since, **more}
    return NodeRecord(name, pool, name, values.pop("life", Life.UP), values.pop("since", 0.0), 0.0, "test", **values)


def seen(name: str, used: int = 0, cores: int = 4, state: NodeState | None = None, **more: Any) -> BatchNode:
    state = state or (NodeState.BUSY if used else NodeState.IDLE)
    return BatchNode(name, state, cores, used, jobs=("x",) if used else (), **more)


def situation(
    pools: list[Pool], jobs: list[BatchJob], nodes: list[BatchNode] | None = None,
    records: list[NodeRecord] | None = None, **more: Any,
) -> Situation:  # fmt: skip
    records = records or []
    instances = [Instance(r.instance, r.name, InstanceState.ACTIVE, token=r.token) for r in records if r.instance]
    by_pool = {r.name: r.pool for r in records}
    listings = {
        p.name: Listing(p.name, tuple(i for i in instances if by_pool[i.name] == p.name), NOW - 1) for p in pools
    }
    demand = Demand(tuple(jobs), tuple(nodes or ()), NOW - more.pop("age", 1.0))
    values = {"listings": listings, "demand": demand, "nodes": {r.name: r for r in records}, **more}
    return Situation(NOW, values.pop("options", Options()), tuple(pools), **values)


def launched(made: Plan, pool: str = "p") -> int:
    return sum(action.do is Do.LAUNCH and action.pool == pool for action in made.actions)


def leaving(made: Plan) -> set[str]:
    return {name for name, record in made.nodes.items() if record is not None and record.why is not Why.NOTHING}


def test_as_many_nodes_as_the_work_needs() -> None:
    """Nine jobs of one core on nodes of four: three nodes; a million alike are one value, and fill the pool."""
    made = plan(situation([pool()], [job(str(i)) for i in range(9)]))
    assert launched(made) == 3
    assert made.reasons.jobs["8"].rule == "launch"
    assert launched(plan(situation([pool()], [job("1", count=1_000_000)]))) == 10


@pytest.mark.parametrize("state", [BatchState.HELD, BatchState.BLOCKED, BatchState.BROKEN, BatchState.RUNNING])
def test_what_is_not_ready_needs_no_node(state: BatchState) -> None:
    """Held, waiting for others, in error or running: no node would help."""
    assert launched(plan(situation([pool()], [job(state=state)]))) == 0


def test_free_and_starting_room_is_used_before_anything_is_launched() -> None:
    """Four cores are free and four are starting: of ten jobs two need a new node."""
    coming = up("p-2", life=Life.LAUNCHING)
    made = plan(situation([pool()], [job(str(i)) for i in range(10)], [seen("p-1")], [up("p-1"), coming]))
    assert launched(made) == 1
    assert [made.reasons.jobs[str(i)].rule for i in (0, 4, 9)] == ["free", "starting", "launch"]


@pytest.mark.parametrize(
    ("node", "wants"),
    [
        (seen("s", cores=2), job(cores=4)),
        (seen("s", memory=10, memory_used=9), job(chunk={"memory": 5})),
        (seen("s", gpus=1, gpus_used=1), job(chunk={"gpus": 1})),
        (seen("s", walltime=60.0), job(walltime=600.0)),
        (seen("s", queues=("other",)), job(queue="q")),
        (seen("s", accounts=("other",)), job(account="a")),
        (seen("s", state=NodeState.HELD), job()),
        (seen("s", state=NodeState.ERROR), job()),
    ],
)
def test_a_free_core_counts_only_if_the_work_fits_there(node: BatchNode, wants: BatchJob) -> None:
    """Cores, memory, gpus, time left, queue, account and state are all looked at."""
    rich = pool(cores=8, flavor={"memory": 100, "gpus": 2})
    assert launched(plan(situation([rich], [wants], [node]))) == 1
    assert launched(plan(situation([rich], [job()], [seen("s", memory=10)]))) == 0


def test_who_wants_a_node_to_himself_gets_an_empty_one() -> None:
    """A free core on a busy node is no room, an empty node is for one such job, and nobody comes beside him."""
    alone = job("1", chunk={"whole": True}, priority=9.0)
    made = plan(situation([pool()], [alone], [seen("s", used=1)]))
    assert launched(made) == 1
    made = plan(situation([pool()], [alone], [seen("s")]))
    assert (launched(made), made.reasons.jobs["1"].rule) == (0, "free")
    made = plan(situation([pool()], [alone, job("2"), job("3", chunk={"whole": True}, count=2)], [seen("s")]))
    assert launched(made) == 3
    pair = job("1", nodes=2, chunk={"whole": True})
    assert launched(plan(situation([pool()], [pair], [seen("a"), seen("b", used=1)]))) == 1


@pytest.mark.parametrize(
    ("kept", "wants", "serves"),
    [
        (Reservation(queue="q"), job(queue="q"), True),
        (Reservation(queue="q"), job(queue="r"), False),
        (Reservation(account="a"), job(account="a"), True),
        (Reservation(account="a"), job(), False),
        (Reservation(property="CLOUD"), job(chunk={"properties": ("CLOUD",)}), True),
        (Reservation(property="CLOUD"), job(), False),
        (Reservation(), job(chunk={"properties": ("CLOUD",)}), False),
        (Reservation(), job(cores=5), False),
        (Reservation(), job(walltime=7200.0), False),
    ],
)
def test_pools_serve_whom_they_are_kept_for(kept: Reservation, wants: BatchJob, serves: bool) -> None:
    """And a job that no pool could ever run is told so, with what each of them says."""
    made = plan(situation([pool(reservation=kept, lifetime=3600.0)], [wants]))
    assert launched(made) == serves
    assert made.reasons.jobs["1"].rule == ("launch" if serves else "infeasible")
    assert serves or "pool p " in made.reasons.jobs["1"].text


@pytest.mark.parametrize(
    ("kept", "mine", "other"),
    [
        (Reservation(account="a"), {"account": "a"}, {"account": "b"}),
        (Reservation(queue="long"), {"queue": "long"}, {"queue": "short"}),
    ],
)
def test_our_idle_node_is_room_only_for_those_it_is_kept_for(
    kept: Reservation, mine: dict[str, str], other: dict[str, str]
) -> None:
    """Although the scheduler does not say for whom it is kept: Torque does not list what Maui keeps."""
    pools = [pool("p", reservation=kept), pool("q", priority=1)]
    nodes, records = [seen("p-1")], [up("p-1")]
    assert launched(plan(situation(pools, [job(**mine)], nodes, records)), "q") == 0
    assert launched(plan(situation(pools, [job(**other)], nodes, records)), "q") == 1


def test_a_node_in_no_queue_is_no_room_where_queues_name_their_nodes() -> None:
    """Slurm lists queues: a node that its partition has lost serves none, whatever it is kept for."""
    pools = [pool("p", reservation=Reservation(queue="long")), pool("q", priority=1)]
    lost, listed = seen("p-1"), seen("p-1", queues=("long",))
    for node, count in ((lost, 1), (listed, 0)):
        made = plan(situation(pools, [job(queue="long")], [node], [up("p-1")], binds_queues=True))
        assert launched(made) + launched(made, "q") == count


def test_priority_decides_then_the_pool_with_fewer_nodes() -> None:
    """The pool of the lowest number is filled first; pools of one number are filled evenly."""
    pools = [pool("late", priority=2), pool("a", priority=1, most=3), pool("b", priority=1, most=3)]
    made = plan(situation(pools, [job(str(i), cores=4) for i in range(7)]))
    assert [launched(made, name) for name in ("a", "b", "late")] == [3, 3, 1]


def test_a_job_of_several_nodes_gets_all_of_them_or_none() -> None:
    """Three nodes of which one is free: two are launched; eleven of at most ten: none, and it says so."""
    made = plan(situation([pool()], [job(nodes=3, cores=4)], [seen("p-1")], [up("p-1")]))
    assert launched(made) == 2
    made = plan(situation([pool()], [job(nodes=11, cores=4)], [seen("p-1")], [up("p-1", idle=900.0)]))
    assert (launched(made), leaving(made)) == (0, {"p-1"})
    assert made.reasons.jobs["1"].rule == "infeasible"


def test_idle_nodes_are_kept_for_a_job_of_several_that_has_to_wait() -> None:
    """Four nodes are asked, two of the pool's four are busy: the idle ones stay."""
    nodes = [seen("p-1", 4), seen("p-2", 4), seen("p-3"), seen("p-4")]
    records = [up("p-1"), up("p-2"), up("p-3", idle=900.0), up("p-4", idle=900.0)]
    made = plan(situation([pool(most=4)], [job(nodes=4, cores=4)], nodes, records))
    assert (launched(made), leaving(made)) == (0, set())
    assert made.reasons.jobs["1"].rule == "most"


def test_cores_anywhere_are_gathered() -> None:
    """Ten cores on any nodes, three of them free: two nodes of four more."""
    assert launched(plan(situation([pool()], [job(nodes=0, cores=10)], [seen("p-1", 1)], [up("p-1")]))) == 2


def test_all_surplus_goes_in_one_tick_after_its_time_and_not_below_least() -> None:
    """Of five idle nodes, four for long enough, a pool that keeps two gives up the three that were idle longest."""
    records = [up(f"p-{i}", idle=1000.0 - 100.0 * i) for i in range(5)]
    made = plan(situation([pool(least=2)], [], [seen(f"p-{i}") for i in range(5)], records))
    assert leaving(made) == {"p-0", "p-1", "p-2"}
    assert all("max_idle_time" in action.cause for action in made.actions)
    assert {action.do for action in made.actions} == {Do.HOLD}


def test_a_pool_below_least_is_filled() -> None:
    """Though nothing waits."""
    made = plan(situation([pool(least=3)], [], [seen("p-1")], [up("p-1")]))
    assert launched(made) == 2


def test_a_node_that_was_to_go_is_called_back_rather_than_replaced() -> None:
    """It is held and empty, and work has come."""
    record = up("p-1", life=Life.HOLDING, why=Why.SURPLUS, since=NOW)
    made = plan(situation([pool()], [job()], [seen("p-1", state=NodeState.HELD)], [record]))
    assert [(action.do, action.node) for action in made.actions] == [(Do.UNHOLD, "p-1")]


@pytest.mark.parametrize("age", [61.0, None])
def test_a_silent_scheduler_is_not_an_empty_queue(age: float | None) -> None:
    """Nothing is launched, released or destroyed, and it says for how long there has been no answer."""
    records = [up("p-1", idle=9000.0), up("p-2", down_since=0.0), up("p-3", life=Life.LAUNCHING)]
    base = situation([pool(least=5)], [job()], [], records, age=age or 1.0)
    made = plan(base if age else attrs.evolve(base, demand=None))
    assert not [action for action in made.actions if action.do in {Do.LAUNCH, Do.HOLD, Do.REMOVE, Do.DESTROY}]
    assert made.reasons.engine.rule == "silent"
    assert age is None or "has not answered for 61 s" in made.reasons.jobs["1"].text


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (PoolRecord("p", mode=PoolMode.FROZEN, mode_cause="by ann"), "frozen"),
        (PoolRecord("p", mode=PoolMode.DRAINING, mode_cause="by ann"), "drained"),
        (PoolRecord("p", stopped="cores: 20 of 20"), "quota"),
        (PoolRecord("p", failures=10, retry_at=NOW + 60, fault="boom"), "breaker"),
        (PoolRecord("p", short=1, retry_at=NOW + 60, fault="none left"), "capacity"),
    ],
)
def test_a_pool_that_may_not_launch_says_why_and_the_next_is_tried(record: PoolRecord, rule: str) -> None:
    """The job is told of both."""
    record = attrs.evolve(record, print=repr(pool()))
    made = plan(situation([pool()], [job()], pool_records={"p": record}))
    assert (launched(made), made.reasons.jobs["1"].rule) == (0, rule)
    made = plan(situation([pool(), pool("q", priority=9)], [job()], pool_records={"p": record}))
    assert launched(made, "q") == 1


def test_a_tripped_breaker_is_reopened_by_a_single_trial() -> None:
    """Its pause is over: one node, however much waits; none more while that one starts."""
    record = PoolRecord("p", failures=10, retry_at=NOW - 1, fault="boom", print=repr(pool()))
    jobs = [job(str(i), cores=4) for i in range(5)]
    assert launched(plan(situation([pool()], jobs, pool_records={"p": record}))) == 1
    coming = [up("p-1", life=Life.LAUNCHING)]
    assert launched(plan(situation([pool()], jobs, [], coming, pool_records={"p": record}))) == 0


def test_a_job_may_be_for_several_queues() -> None:
    """Slurm's `-p short,long`: a pool kept for any of them serves it, a node in any of them has room for it."""
    kept = pool(reservation=Reservation(queue="long"))
    for queue, count in (("short,long", 1), ("long", 1), ("short,longer", 0)):
        made = plan(situation([kept], [job(queue=queue)], binds_queues=True))
        assert (launched(made), queue) == (count, queue)
        made = plan(situation([kept], [job(queue=queue)], binds_queues=True, options=Options(queues=("long",))))
        assert (made.reasons.jobs["1"].rule == "unmonitored") is (count == 0)
    made = plan(situation([kept], [job(queue="short,long")], [seen("s", queues=("short",))], binds_queues=True))
    assert (launched(made), made.reasons.jobs["1"].rule) == (0, "free")


def test_who_waits_for_a_pool_keeps_nobody_from_another() -> None:
    """The cheap pool may begin no node this minute, so small work waits for it; what needs a gpu is not for it."""
    record = PoolRecord("p", tokens=0.0, tokens_at=NOW, print=repr(pool(spawn_rate=1.0)))
    pools = [pool(spawn_rate=1.0), pool("q", priority=9, flavor={"gpus": 1})]
    made = plan(situation(pools, [job(), job("2", chunk={"gpus": 1})], pool_records={"p": record}))
    assert (made.reasons.jobs["1"].rule, made.reasons.jobs["2"].rule) == ("rate", "launch")
    assert launched(made, "q") == 1


def test_the_modes_of_the_whole() -> None:
    """Sleep launches nothing and still retires; off does neither; passive launches on request only."""
    base = situation([pool()], [job(cores=4)], [seen("p-1", walltime=1.0)], [up("p-1", idle=900.0)])
    base = attrs.evolve(base, demand=attrs.evolve(base.demand, jobs=(job(cores=4, walltime=60.0),)))
    for modes, asked, launches, going in [
        (Modes(), 0, 1, {"p-1"}),
        (Modes(sleep=True), 0, 0, {"p-1"}),
        (Modes(auto=False), 0, 0, set()),
        (Modes(passive=True), 0, 0, {"p-1"}),
        (Modes(passive=True), 2, 2, set()),
        (Modes(auto=False), 1, 1, set()),
    ]:
        record = PoolRecord("p", asked=asked, asked_by="ann", print=repr(pool()))
        made = plan(attrs.evolve(base, modes=modes, pool_records={"p": record}))
        assert (launched(made), leaving(made)) == (launches, going), modes


def test_only_jobs_of_monitored_queues_count() -> None:
    """`queue_to_monitor`; the others are told so, and what names no queue counts."""
    options = Options(queues=("long",))
    jobs = [job("1", queue="short"), job("2", queue="long"), job("3")]
    made = plan(situation([pool(cores=1, most=5)], jobs, options=options))
    assert launched(made) == 2
    assert made.reasons.jobs["1"].rule == "unmonitored"
    assert "short" in made.reasons.jobs["1"].text


def test_people_hold_delete_and_drain() -> None:
    """A held node is held, a deleted one goes when it is empty, those of a drained pool too."""
    held = plan(situation([pool()], [], [seen("p-1")], [up("p-1", steer=Steer.HOLD)]))
    assert [action.do for action in held.actions] == [Do.HOLD]
    deleted = plan(situation([pool()], [], [seen("p-1", 2)], [up("p-1", steer=Steer.DELETE, steered="ann")]))
    assert deleted.nodes["p-1"].life is Life.RETIRING  # type: ignore[union-attr] # shown to be there
    record = PoolRecord("p", mode=PoolMode.DRAINING, mode_cause="by ann")
    drained = plan(situation([pool(least=1)], [job()], [seen("p-1")], [up("p-1")], pool_records={"p": record}))
    assert (leaving(drained), launched(drained)) == ({"p-1"}, 0)


def test_a_held_node_is_removed_only_when_it_is_empty() -> None:
    """While a job runs there it waits, and says for what."""
    record = up("p-1", life=Life.HOLDING, why=Why.SURPLUS)
    made = plan(situation([pool()], [], [seen("p-1", 1, state=NodeState.HOLDING)], [record]))
    assert made.actions == ()
    assert "waits for x" in made.reasons.nodes["p-1"].text
    made = plan(situation([pool()], [], [seen("p-1", state=NodeState.HELD)], [record]))
    assert [action.do for action in made.actions] == [Do.REMOVE]


def test_an_instance_is_not_gone_on_one_missing_observation_nor_while_it_runs_a_job() -> None:
    """Three listings over a minute without it; and the scheduler's word counts for more."""
    record = up("p-1")
    base = situation([pool()], [], [seen("p-1")], [record])
    for turn, since, used, going in [(0, NOW, 0, False), (2, NOW - 90, 0, True), (2, NOW - 90, 1, False)]:
        missing = attrs.evolve(record, missed=turn, missed_since=since)
        demand = attrs.evolve(base.demand, nodes=(seen("p-1", used),))
        empty = {"p": Listing("p", (), NOW - 1)}
        made = plan(attrs.evolve(base, nodes={"p-1": missing}, demand=demand, listings=empty))
        assert bool(leaving(made)) is going


def test_strangers_are_reported_and_static_nodes_are_nobodys_business() -> None:
    """A name like ours without our tag, another realm's, a static node that is idle for ever: not one action."""
    base = situation([pool(prefix="n-")], [], [seen("static")])
    strangers = (
        Instance("1", "n-1", InstanceState.ACTIVE, ours=False),
        Instance("2", "n-2", InstanceState.ACTIVE, owner="elsewhere"),
    )
    made = plan(attrs.evolve(base, listings={"p": Listing("p", strangers, NOW - 1)}))
    assert made.actions == ()
    assert len(made.reports) == 2


def test_what_is_ours_and_in_no_record_is_adopted_or_ended_after_grace() -> None:
    """The scheduler knows it: it stays; nobody does: it goes when the grace is over, and counts until then."""
    lost = Instance("1", "p-1", InstanceState.ACTIVE, token="t")
    base = situation([pool(most=1)], [job(cores=4)], [seen("p-1", 4)])
    base = attrs.evolve(base, listings={"p": Listing("p", (lost,), NOW - 1)})
    first = plan(base)
    stray = first.nodes["p-1"]
    assert stray is not None
    assert (stray.life, launched(first)) == (Life.STRAY, 0)
    adopted = plan(attrs.evolve(base, nodes={"p-1": stray})).nodes["p-1"]
    assert adopted is not None
    assert adopted.life is Life.UP
    old = attrs.evolve(stray, since=NOW - 301)
    alone = attrs.evolve(base, nodes={"p-1": old}, demand=attrs.evolve(base.demand, nodes=()))
    assert [action.do for action in plan(alone).actions] == [Do.DESTROY]


def test_a_pool_learns_what_its_nodes_really_have() -> None:
    """Eight cores promised, four seen: what asks for eight is not launched for again and again."""
    made = plan(situation([pool(cores=8)], [job(cores=8)], [seen("p-1")], [up("p-1")]))
    assert launched(made) == 0
    assert made.pools["p"].cores == 4


def test_a_pool_learns_nothing_from_a_node_that_was_being_set_up() -> None:
    """Seen before it was up, with one core as yet, it says nothing of what its pool's nodes have."""
    made = plan(situation([pool()], [job()], [seen("p-1", cores=1)], [up("p-1", since=NOW - 0.5)]))
    assert made.pools["p"].cores == 0
    assert plan(situation([pool()], [job()], [seen("p-1", cores=1)], [up("p-1")])).pools["p"].cores == 1


def test_a_pool_of_unsaid_memory_learns_it_and_keeps_it_when_its_nodes_have_gone() -> None:
    """One look at a node is enough, after a restart with an idle node too; what is known is told and not forgotten."""
    big = job(chunk={"memory": 64 * MIB})
    assert launched(plan(situation([pool()], [big]))) == 1  # nobody knows better as yet
    small = seen("p-1", memory=8 * MIB)
    made = plan(situation([pool()], [big], [small], [up("p-1", idle=9e3)]))
    assert (launched(made), leaving(made), made.pools["p"].memory) == (0, {"p-1"}, 8 * MIB)
    again = plan(situation([pool()], [big], pool_records=made.pools))
    assert (launched(again), again.reasons.jobs["1"].rule) == (0, "infeasible")
    assert "8 MiB on a node, and 64 MiB are asked for (as its nodes turned out" in again.reasons.jobs["1"].text
    assert launched(plan(situation([pool()], [job(chunk={"memory": 8 * MIB})], pool_records=made.pools))) == 1


def test_a_pool_learns_that_its_nodes_do_not_bear_what_they_are_promised_to_bear() -> None:
    """Nodes would be launched for ever for a job that none of them may run; which it is, and the mend, is told."""
    fast = job(chunk={"properties": ("fast",)})
    bearing = pool(bears=("fast",))
    assert launched(plan(situation([bearing], [fast]))) == 1  # nobody knows better as yet
    made = plan(situation([bearing], [fast, job("2", cores=4)], [seen("p-1")], [up("p-1")]))
    assert (launched(made), made.pools["p"].lacks) == (0, ("fast",))
    assert "promises fast, which its nodes turned out not to bear" in made.reasons.jobs["1"].text
    assert made.reasons.jobs["2"].rule == "free"
    assert "pool restore p" in made.reasons.pools["p"].text
    known = {"p": from_plain(PoolRecord, json.loads(json.dumps(to_plain(made.pools["p"], 5.0))), 5.0, NOW)}
    assert known["p"].lacks == ("fast",)
    again = plan(situation([bearing], [fast], pool_records=known))  # its nodes have gone
    assert (launched(again), again.reasons.jobs["1"].rule) == (0, "infeasible")
    mended = plan(situation([bearing], [], [seen("p-1", properties=("fast",))], [up("p-1")], pool_records=known))
    assert mended.pools["p"].lacks == ()


@pytest.mark.parametrize("word", ["slow", "fast"])
def test_what_nobody_asks_for_is_not_looked_for(word: str) -> None:
    """SGE tells which hosts are in a group only where a job that waits asks for it."""
    asks = [job(chunk={"properties": (word,)})]
    made = plan(situation([pool(bears=("fast",))], asks, [seen("p-1")], [up("p-1")]))
    assert made.pools["p"].lacks == (("fast",) if word == "fast" else ())


def test_a_changed_pool_learns_only_from_nodes_that_were_ordered_since() -> None:
    """Those that are there are as the file had it before."""
    fast = job(chunk={"properties": ("fast",)})
    old = PoolRecord("p", print=repr(pool(cores=2)), lacks=("fast",), cores=2)
    here = situation([pool(bears=("fast",))], [fast], [seen("p-1", cores=2)], [up("p-1")], pool_records={"p": old})
    made = plan(here)
    assert (launched(made), made.pools["p"].lacks, made.pools["p"].cores) == (1, (), 0)
    assert made.pools["p"].changed == NOW
    newer = attrs.evolve(up("p-1"), ordered=NOW, since=NOW)
    later = attrs.evolve(here.demand, seen=NOW + 5.0)
    made = plan(attrs.evolve(here, now=NOW + 5.0, nodes={"p-1": newer}, pool_records=made.pools, demand=later))
    assert (launched(made), made.pools["p"].lacks, made.pools["p"].cores) == (0, ("fast",), 2)


def test_records_and_actions_survive_as_basic_types() -> None:
    """Times are stored as the time of day; what was being done is not stored."""
    record = up("p-1", idle=5.0, steer=Steer.HOLD, doing="HOLD", missed=2)
    again = from_plain(NodeRecord, to_plain(record, 100.0), 40.0, NOW)
    assert again == attrs.evolve(record, doing="", since=0.0, idle_since=NOW)
    made = plan(situation([pool()], [job()]))
    assert [action_to_plain(action)["do"] for action in made.actions] == ["LAUNCH"]


# For whatever there is

CHUNKS = st.builds(
    Chunk, st.integers(0, 4), st.integers(1, 9), st.sampled_from([0, 0, 5]), st.sampled_from([0, 0, 1]),
    st.sampled_from([(), (), ("x",)]),
)  # fmt: skip
JOBS = st.builds(
    lambda chunks, state, count, queue, account, walltime, priority: BatchJob(
        "", state, tuple(chunks), count, queue=queue, account=account, walltime=walltime, priority=priority
    ),
    st.lists(CHUNKS, min_size=1, max_size=2), st.sampled_from([BatchState.QUEUED] * 5 + list(BatchState)),
    st.sampled_from([1, 1, 1, 7, 100_000]), st.sampled_from(["", "q"]), st.sampled_from(["", "a"]),
    st.sampled_from([0.0, 60.0, 9e5]), st.floats(0, 3),
)  # fmt: skip
POOLS = st.builds(
    lambda cores, memory, gpus, queue, account, word, least, more, priority, lifetime, rate, backlog: Pool(
        "", "fake", Flavor(cores, memory, gpus), Reservation(queue, account, word), least, least + more, priority,
        lifetime=lifetime, spawn_rate=rate, backlog=backlog,
    ),
    st.integers(1, 8), st.sampled_from([0, 10]), st.integers(0, 1), st.sampled_from(["", "", "q"]),
    st.sampled_from(["", "", "a"]), st.sampled_from(["", "", "x"]), st.integers(0, 2), st.integers(0, 6),
    st.integers(0, 2), st.sampled_from([0.0, 600.0]), st.sampled_from([0.5, 3.0, 600.0]), st.sampled_from([0, 0, 2]),
)  # fmt: skip
NODES = st.tuples(
    st.integers(0, 1), st.sampled_from([Life.UP] * 4 + [life for life in Life if life is not Life.STRAY]),
    st.integers(0, 8), st.sampled_from([None, 10.0, 900.0]), st.sampled_from([NodeState.IDLE] * 3 + list(NodeState)),
    st.sampled_from([0.0, 0.0, 300.0]), st.sampled_from([0, 0, 3]),
)  # fmt: skip


@st.composite
def situations(draw: Any) -> Situation:
    pools = [attrs.evolve(p, name=f"p{i}") for i, p in enumerate(draw(st.lists(POOLS, min_size=2, max_size=3)))]
    jobs = [attrs.evolve(j, id=f"j{i}") for i, j in enumerate(draw(st.lists(JOBS, max_size=8)))]
    records, nodes = [], []
    for i, (at, life, cores, idle, state, walltime, memory) in enumerate(draw(st.lists(NODES, max_size=8))):
        owner = pools[at]
        name, used = f"{owner.name}-{i}", min(cores, owner.flavor.cores) if state is NodeState.BUSY else 0
        why = Why.SURPLUS if life in {Life.HOLDING, Life.RETIRING} else Why.NOTHING
        records.append(up(name, owner.name, idle, life=life, why=why, since=NOW - 500))
        nodes.append(seen(name, used, owner.flavor.cores, state, walltime=walltime, memory=memory))
    nodes += [seen(f"static{i}", i % 2, 2) for i in range(draw(st.integers(0, 2)))]
    return situation(pools, jobs, nodes, records)


@given(situations())
def test_never_above_most_and_never_more_than_its_rate(given: Situation) -> None:
    """Counting all that may exist, whatever it is doing."""
    made = plan(given)
    for one in given.pools:
        count = launched(made, one.name)
        have = sum(r.pool == one.name for r in given.nodes.values())
        gone = sum(made.nodes.get(n, r) is None and r.pool == one.name for n, r in given.nodes.items())
        assert count == 0 or have - gone + count <= one.most
        assert count <= max(1, one.spawn_rate)


@given(situations())
def test_a_plan_never_retires_what_it_would_launch_again(given: Situation) -> None:
    """No node goes as surplus whose place, were it new, a job of this plan's launches could have taken."""
    made = plan(given)
    for name in leaving(made):
        record, old = made.nodes[name], given.nodes[name]
        if record is None or record.why is not Why.SURPLUS or old.life is not Life.UP:
            continue
        left = next(node for node in given.demand.nodes if node.name == name)  # type: ignore[union-attr] # is there
        same = [a for a in made.actions if a.do is Do.LAUNCH and a.pool == old.pool]
        assert not same or left.walltime > 0.0  # only a node whose time is nearly over may be replaced


@given(situations())
def test_nothing_that_runs_a_job_is_removed_and_static_nodes_are_not_touched(given: Situation) -> None:
    """Hold first; what is held is removed when the scheduler shows it empty."""
    made = plan(given)
    busy = {node.name for node in given.demand.nodes if node.jobs}  # type: ignore[union-attr] # is there
    for action in made.actions:
        assert not action.node.startswith("static")
        if action.do is Do.REMOVE:
            assert action.node not in busy


@given(situations())
def test_everything_has_one_reason_and_the_same_situation_the_same_plan(given: Situation) -> None:
    """Every waiting job, every node, every pool, every action; none of them empty."""
    made = plan(given)
    assert plan(given) == made
    ready = {BatchState.QUEUED, BatchState.HELD, BatchState.BLOCKED, BatchState.BROKEN}
    assert set(made.reasons.jobs) == {j.id for j in given.demand.jobs if j.state in ready}  # type: ignore[union-attr] # is there
    assert set(made.reasons.pools) == {one.name for one in given.pools}
    reasons = [*made.reasons.jobs.values(), *made.reasons.nodes.values(), *made.reasons.pools.values()]
    assert all(reason.rule and reason.text for reason in reasons)
    assert all(action.cause for action in made.actions)


@given(situations())
def test_what_was_launched_is_enough_and_is_not_launched_again(given: Situation) -> None:
    """The next plan counts what is starting: it launches only what this one was kept from by a rate."""
    made = plan(given)
    nodes = {**given.nodes, **{n: r for n, r in made.nodes.items() if r is not None}}
    nodes = {n: r for n, r in nodes.items() if made.nodes.get(n, r) is not None}
    again = plan(attrs.evolve(given, nodes=nodes, pool_records={**given.pool_records, **made.pools}))
    slow = any(one.spawn_rate < 600.0 or one.backlog for one in given.pools)
    assert slow or not [action for action in again.actions if action.do is Do.LAUNCH]


def test_jobs_that_are_alike_are_told_in_turn_what_there_was_for_each() -> None:
    """What stands for several is told of the first and of the last; an array, of what is ready of it."""
    jobs = [
        job("1", state=BatchState.QUEUED), job("2", count=3), job("3"),
        job("4"), job("4", state=BatchState.BLOCKED, reason="limit"), job("5", state=BatchState.BLOCKED),
        job("6", state=BatchState.RUNNING),
    ]  # fmt: skip
    told = plan(situation([pool(cores=2, most=1)], jobs, [seen("s", 3)])).reasons.jobs
    assert {name: reason.rule for name, reason in told.items()} == {
        "5": "blocked", "1": "free", "2": "most", "3": "most", "4": "most",
    }  # fmt: skip
    assert told["2"].text.startswith("2 of 3: p-1 of pool p is launched for it; the last of them: no more nodes")


def test_nodes_of_a_pool_that_is_no_more_are_reported() -> None:
    """Nobody asks their cloud, so the person who took the pool out has to be told, and not only when asked."""
    here = situation([pool(), pool("old")], [], records=[up("old-1", "old"), up("old-2", "old"), up("p-1")])
    made = plan(attrs.evolve(here, pools=here.pools[:1]))
    (report,) = made.reports
    assert report.startswith("old-1, old-2 of pool old, which is not in asyncluster.yaml any more")


def test_a_pool_whose_last_launch_failed_does_not_say_that_no_work_needs_more() -> None:
    """What failed is the reason until a node has come up."""
    record = PoolRecord("p", failures=1, fault="p-1: not of use")
    reason = plan(situation([pool()], [], pool_records={"p": record})).reasons.pools["p"]
    assert (reason.rule, "p-1: not of use" in reason.text) == ("failed", True)


def test_how_long_a_node_is_still_waited_for() -> None:
    """Beside what it waits for; not of one that is up."""
    pool = Pool("p", "aws", Flavor(2))
    situation = Situation(100.0, Options(max_launch_time=60.0), (pool,), Demand((), (), 100.0))
    record = NodeRecord("p-1", "p", "t", Life.ADDED, 50.0, 50.0, started=70.0, fault="not ready: its key")
    text = explain.node(record, None, None, situation).text
    assert text.endswith("not ready: its key; it is waited for 30 s more (max_launch_time)")
    up = attrs.evolve(record, life=Life.UP)
    assert "max_launch_time" not in explain.node(up, None, None, situation).text
