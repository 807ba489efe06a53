"""What a pool of OpenStack concludes from lists that nova gives, and from those that are wrong."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred, execute, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from asyncluster.elastic.actions import Action, Do, Fault, Outcome
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord, PoolRecord
from asyncluster.elastic.runner import Runner
from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.model.supply import Flavor, Instance, InstanceState, Order, Pool, Sought
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply.naming import tags
from asyncluster.supply.openstack.asking import LONGEST_WAIT, Asking, MissingError
from asyncluster.supply.openstack.cloud import AT_ONCE, KEPT, LOOKING, RENEWING, WRITING, OpenStackCloud


@attrs.define
class Nova:
    """Stands where `Asking` does.  listed, there: servers in lists, and by their ids; away: it gives no answer."""

    listed: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    there: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    away: bool = False
    time: float = 0.0
    asked: list[tuple[str, str, Any]] = attrs.field(factory=list)

    def now(self) -> float:
        return self.time

    def pages(self, path: str, key: str, doing: str, **query: str) -> Iterator[Mapping[str, Any]]:
        yield from self.listed.values()

    def page(self, path: str, key: str, doing: str, query: Mapping[str, Any]) -> tuple[list[Any], Any]:
        """Two at a time."""
        found = sorted(self.listed)
        begin = found.index(query["marker"]) + 1 if "marker" in query else 0
        some = found[begin : begin + 2]
        return [self.listed[each] for each in some], {"marker": some[-1]} if found[begin + 2 :] else None

    def nova(self, method: str, path: str, doing: str, body: Any = None, **query: str) -> Mapping[str, Any]:
        if self.away:
            raise NoAnswerError("no answer")
        self.asked.append((method, path, body))
        path = path.removesuffix("/action").removesuffix("/metadata")
        found = self.there.get(path.rpartition("/")[2])
        if found is None:
            raise MissingError("not there")
        return {"server": found}


@attrs.define
class Here:
    """Stands where `Blocking` does."""

    calls: list[str] = attrs.field(factory=list)

    def call(self, function: Any, *args: Any) -> Any:
        self.calls.append(function.__name__)
        return execute(function, *args)


class Silent:
    """Stands where `Blocking` does, and nobody answers."""

    def call(self, function: Any, *args: Any) -> Deferred[Any]:
        return Deferred()


def server(key: str, realm: str = "realm") -> dict[str, Any]:
    order = Order(f"pool-{key}", f"token-{key}", "pool", 60.0)
    return {"id": key, "name": order.name, "status": "ACTIVE", "metadata": tags(order, realm, 1.0)}


def made() -> tuple[OpenStackCloud, Nova]:
    """A pool with three servers, one of another realm, that has listed them."""
    cloud = OpenStackCloud(
        "pool", "pool-", OpenStackUnit(), "realm", 0.0, Clock(), Here(), lambda order: succeed(""), lambda: 0.0
    )  # type: ignore[arg-type]  # as much as is needed
    nova = Nova()
    cloud.asking = nova  # type: ignore[assignment]  # likewise
    nova.listed = {"a": server("a"), "b": server("b"), "c": server("c", "theirs")}
    nova.there = dict(nova.listed)
    assert told(cloud) == {"a": "active", "b": "active", "c": "active"}
    return cloud, nova


def told(cloud: OpenStackCloud) -> dict[str, str]:
    """States by id."""
    return {each.id: each.state.value for each in answer(cloud.list()).instances}


def answer(asked: Deferred[Any]) -> Any:
    """What it gives at once, or raises."""
    got: list[Any] = []
    asked.addBoth(got.append)
    if isinstance(got[0], Failure):
        got[0].raiseException()
    return got[0]


def test_each_page_is_a_call_of_its_own() -> None:
    """With a time limit of its own: three servers on two pages, in each of two lists."""
    cloud, _ = made()
    assert cloud.blocking.calls == ["_page"] * 4  # type: ignore[attr-defined]  # as above


def test_one_is_asked_for_by_its_id_or_by_its_order() -> None:
    """Of what is not there nothing is told; without an answer nothing at all."""
    cloud, nova = made()
    sought = [Sought("pool-a", "token-a", "a"), Sought("pool-b", "token-b"), Sought("pool-b", "another")]
    sought += [Sought("pool-x", "token-x", "x"), Sought("pool-y", "token-y")]
    assert [each.id for each in answer(cloud.look(sought))] == ["a", "b"]
    nova.away = True
    with pytest.raises(NoAnswerError):
        answer(cloud.look(sought))


def test_very_many_that_are_not_listed_are_asked_for_by_and_by() -> None:
    """So that a list that lacks a thousand does not take for ever; those that were not asked for are not forgotten."""
    cloud, nova = made()
    nova.listed = nova.there = {str(each): server(str(each)) for each in range(AT_ONCE + 10)}
    told(cloud)
    nova.time += KEPT  # the first three are forgotten
    nova.listed = {}
    first, second = told(cloud), told(cloud)
    assert len(first) == len(second) == AT_ONCE
    assert len(first.keys() | second.keys()) == AT_ONCE + 10
    nova.there = {}
    assert list(told(cloud).values()) == ["gone"] * AT_ONCE
    assert list(told(cloud).values()) == ["gone"] * (AT_ONCE + 10)


@attrs.define
class Slow(Here):
    """Its calls wait for each other, and it says when: those under way, in the order in which they were made."""

    waiting: list[tuple[Deferred[Any], Any, Any]] = attrs.field(factory=list)
    slow: str = ""

    def call(self, function: Any, *args: Any) -> Any:
        """At once, but for those of that name."""
        self.calls.append(function.__name__)
        if function.__name__ != self.slow:
            return execute(function, *args)
        waits: Deferred[Any] = Deferred()
        self.waiting.append((waits, function, args))
        return waits

    def goes_on(self) -> None:
        """The eldest of those under way comes to its end."""
        waits, function, args = self.waiting.pop(0)
        execute(function, *args).chainDeferred(waits)


def test_what_a_list_lacks_is_asked_for_by_calls_of_their_own() -> None:
    """A few at a time, each with its own time: fifty slow answers are no reason for a list that never comes.

    What was learned stays learned where one of them is not answered.
    """
    cloud, nova = made()
    nova.listed = nova.there = {str(each): server(str(each)) for each in range(20)}
    told(cloud)
    slow = cloud.blocking = Slow(slow="_look_for")  # type: ignore[assignment]  # see `made`
    nova.listed, nova.there = {}, {}
    lists: list[Any] = []
    cloud.list().addErrback(lists.append)
    for _ in range(5):
        assert len(slow.waiting) == LOOKING
        slow.goes_on()
    nova.away = True
    while slow.waiting:
        slow.goes_on()
    assert lists[0].check(NoAnswerError)
    assert slow.calls.count("_look_for") == 5 + LOOKING
    nova.away, slow.slow = False, ""
    slow.calls.clear()
    gone = [each for each, state in told(cloud).items() if state == "gone"]
    assert slow.calls.count("_look_for") == 20 - 5
    assert {str(each) for each in range(20)} <= {*gone}


def test_leases_are_renewed_a_few_at_a_time() -> None:
    """Those that end first; so that other calls get their turn.  One that fails keeps no other from it."""
    cloud, nova = made()
    nova.there = {str(each): server(str(each)) for each in range(9)}
    slow = cloud.blocking = Slow(slow="_renew")  # type: ignore[assignment]  # see `made`
    these = [Instance(str(each), f"pool-{each}", InstanceState.ACTIVE, expires=100.0 - each) for each in range(9)]
    told: list[Any] = []
    cloud.renew(these, 1000.0).addBoth(told.append)
    assert [args[0].id for _, _, args in slow.waiting] == ["8", "7"]
    nova.away = True
    slow.goes_on()
    nova.away = False
    while slow.waiting:
        assert len(slow.waiting) <= WRITING
        slow.goes_on()
    assert told[0].check(NoAnswerError)
    renewed = [path.split("/")[2] for method, path, _ in nova.asked if method == "POST"]
    assert renewed == ["7", "6", "5", "4", "3", "2", "1", "0"]


def test_leases_for_which_there_is_no_time_are_due_again() -> None:
    """With the next listing, which shows which: one that takes long is no fault."""
    cloud, nova = made()
    nova.there = {str(each): server(str(each)) for each in range(9)}
    slow = cloud.blocking = Slow(slow="_renew")  # type: ignore[assignment]  # see `made`
    these = [Instance(str(each), f"pool-{each}", InstanceState.ACTIVE) for each in range(9)]
    told: list[Any] = []
    cloud.renew(these, 1000.0).addBoth(told.append)
    slow.goes_on()
    cloud.reactor.advance(RENEWING)  # type: ignore[attr-defined]  # a Clock, see `made`
    while slow.waiting:
        slow.goes_on()
    assert told == [None]
    assert slow.calls.count("_renew") == 1 + WRITING


def test_renewals_that_are_given_up_are_not_gone_on_with() -> None:
    """As when the engine has waited for long enough: none of them stays in the queue."""
    cloud, _ = made()
    slow = cloud.blocking = Slow(slow="_renew")  # type: ignore[assignment]  # see `made`
    these = [Instance(str(each), f"pool-{each}", InstanceState.ACTIVE) for each in range(9)]
    asked = cloud.renew(these, 1000.0)
    told: list[Any] = []
    asked.addErrback(told.append)
    asked.cancel()
    assert told[0].check(CancelledError)
    assert slow.calls.count("_renew") == WRITING


def test_what_is_gone_is_told_as_gone_for_a_while() -> None:
    """Not in the list, and not to be had by its id: nobody has to wait for a second list."""
    cloud, nova = made()
    del nova.listed["a"], nova.there["a"]
    for _ in range(2):
        assert told(cloud) == {"a": "gone", "b": "active", "c": "active"}
    nova.time += KEPT
    assert told(cloud) == {"b": "active", "c": "active"}


def test_a_list_that_leaves_one_out_is_put_right() -> None:
    """It is told as it is, and again once it is listed."""
    cloud, nova = made()
    del nova.listed["a"]
    nova.there["a"]["status"] = "ERROR"
    for _ in range(2):
        assert told(cloud) == {"a": "error", "b": "active", "c": "active"}
    nova.listed["a"] = nova.there["a"]
    assert told(cloud) == {"a": "error", "b": "active", "c": "active"}


def test_where_nobody_answers_nothing_is_concluded() -> None:
    """The whole list is no answer, and the next one finds all again."""
    cloud, nova = made()
    del nova.listed["a"]
    nova.away = True
    try:
        told(cloud)
    except NoAnswerError:
        nova.away = False
    assert told(cloud) == {"a": "active", "b": "active", "c": "active"}


def test_other_masters_servers_are_their_business() -> None:
    """One that is not listed any more is left out."""
    cloud, nova = made()
    del nova.listed["c"]
    assert told(cloud) == {"a": "active", "b": "active"}


ORDERED = OpenStackUnit(image_uuid="image", flavor="small", networks=("none",))


@attrs.define
class Losing(Nova):
    """It makes a server, and its answer is lost; who looks for it afterwards is told `then`."""

    then: Exception | None = None
    lost: bool = False

    def pages(self, path: str, key: str, doing: str, **query: str) -> Iterator[Mapping[str, Any]]:
        """Its flavors and servers."""
        if path.startswith("/flavors"):
            yield {"id": "1", "name": "small", "vcpus": 1, "ram": 1024}
            return
        if self.lost and self.then is not None:
            raise self.then
        yield from self.listed.values()

    def nova(self, method: str, path: str, doing: str, body: Any = None, **query: str) -> Mapping[str, Any]:
        """Nothing, after it took effect."""
        assert (method, path) == ("POST", "/servers")
        self.lost = True
        raise NoAnswerError("its answer was lost")


def test_a_refusal_after_a_lost_answer_is_no_refusal() -> None:
    """What is refused is the look for the server, which may be there: neither wrong keys nor a taken name says no."""
    cloud, _ = made()
    cloud.unit = ORDERED
    nova = Losing(then=CloudError("the cloud does not accept us"))
    cloud.asking = nova  # type: ignore[assignment]  # see `made`
    with pytest.raises(NoAnswerError, match=r"answer was lost; .* could not be seen: the cloud does not accept us"):
        answer(cloud.launch(Order("pool-x", "token-x", "pool", 60.0)))
    nova.lost, nova.then = False, CloudError("server pool-y exists already")
    with pytest.raises(NoAnswerError, match="exists already"):
        answer(cloud.launch(Order("pool-y", "token-y", "pool", 60.0)))
    nova.lost, nova.then = False, None
    with pytest.raises(NoAnswerError, match=r"^its answer was lost$"):
        answer(cloud.launch(Order("pool-z", "token-z", "pool", 60.0)))


class Paged(Asking):
    """Nova that gives these answers, one after the other."""

    answers: ClassVar[list[dict[str, Any]]] = []

    def nova(self, method: str, path: str, doing: str, body: Any = None, **query: str | int) -> Mapping[str, Any]:
        """The next."""
        return self.answers.pop(0)


def test_an_answer_without_a_list_is_none() -> None:
    """An empty body, or another thing's: not that there is nothing, nor that this was the last page."""
    more = {"servers": [{"id": "a"}], "servers_links": [{"rel": "next", "href": "http://nova/servers?marker=a"}]}
    paged = Paged("pool", OpenStackUnit())
    paged.answers[:] = [more, {"servers": [{"id": "b"}]}]
    assert [each["id"] for each in paged.pages("/servers", "servers", "list servers")] == ["a", "b"]
    for answers in ([{}], [{"error": "busy"}], [more, {}]):
        paged.answers[:] = answers
        with pytest.raises(NoAnswerError, match="gave no servers when asked to list servers"):
            list(paged.pages("/servers", "servers", "list servers"))


def test_a_cloud_is_made_of_its_means() -> None:
    """Price and prefix are the pool's."""
    pool = Pool("night", "openstack", Flavor(1, price=0.5), prefix="n-")
    means = attrs.make_class("Means", ["pool", "unit", "realm", "reactor", "blocking", "userdata", "wall"])
    cloud = OpenStackCloud.of(means(pool, OpenStackUnit(), "realm", Clock(), Here(), None, None))
    assert (cloud.pool, cloud.prefix, cloud.price) == ("night", "n-", 0.5)
    assert "gone" not in told(made()[0]).values()


def ended(cloud: OpenStackCloud, key: str) -> None:
    """As the engine ends a server: it gives what stands in its book, which is no more than who it is."""
    clock = Clock()
    runner = Runner(clock, None, {"pool": cloud}, Options(realm="realm"))  # type: ignore[arg-type]  # not asked here
    record = NodeRecord(f"pool-{key}", "pool", f"token-{key}", Life.DESTROYING, 0.0, 0.0, instance=key)
    outcomes: list[Outcome] = []
    pool = Pool("pool", "openstack", Flavor(1))
    done = runner.perform(Action(Do.DESTROY, record.name, "pool", ""), record, pool, PoolRecord("pool"))
    answer(Deferred.fromCoroutine(done).addCallback(outcomes.append))
    assert [each.fault for each in outcomes] == [Fault.NONE]


def test_what_nova_keeps_for_a_while_is_deleted_for_good() -> None:
    """A site that can have servers back lists such a one no more, and answers a plain deletion with nothing."""
    cloud, nova = made()
    ended(cloud, "a")
    assert nova.asked == [("DELETE", "/servers/a", None)]
    del nova.listed["a"]
    nova.there["a"]["status"] = "SOFT_DELETED"
    assert told(cloud)["a"] == "deleting"
    forced = ("POST", "/servers/a/action", {"forceDelete": None})
    nova.asked.clear()
    ended(cloud, "a")
    assert nova.asked == [forced]


def test_a_master_that_has_just_begun_deletes_such_a_one_for_good() -> None:
    """It has never seen it in a list, so it looks."""
    _, nova = made()
    cloud, _ = made()
    cloud._living.clear()
    cloud.asking = nova  # type: ignore[assignment]  # see `made`
    nova.there["a"]["status"] = "SOFT_DELETED"
    ended(cloud, "a")
    assert nova.asked[-1] == ("POST", "/servers/a/action", {"forceDelete": None})
    nova.there.clear()
    ended(cloud, "a")


def test_the_collector_works_while_nova_is_waited_for() -> None:
    """A cloud that answers slowly, or not at all, lets no garbage pile up."""
    cloud, _ = made()
    cloud.blocking = Silent()  # type: ignore[assignment]  # as much as is needed
    asked = cloud.list()
    assert gc.isenabled()
    asked.addErrback(lambda failure: failure.trap(CancelledError))
    asked.cancel()


class Reached(Asking):
    """It says so where it would ask."""

    def _client(self, service: str) -> Any:
        raise ConnectionError(service)


def test_patience_has_an_end() -> None:
    """A cloud that asks for a week is asked again after minutes; the message says both."""
    time = [0.0]
    asking = Reached("pool", OpenStackUnit(), lambda: time[0])
    with pytest.raises(NoAnswerError, match=f"wait 604800 s, and is asked again after {LONGEST_WAIT:.0f} s"):
        asking._no(503, "", {"Retry-After": "604800"}, "list servers")
    with pytest.raises(NoAnswerError, match=f"{LONGEST_WAIT:.0f} s more"):
        asking.nova("GET", "/servers", "list servers")
    time[0] = LONGEST_WAIT
    with pytest.raises(ConnectionError):
        asking.nova("GET", "/servers", "list servers")
