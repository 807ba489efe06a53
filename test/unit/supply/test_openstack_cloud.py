"""What a pool of OpenStack concludes from lists that nova gives, and from those that are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs
import pytest
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from asyncluster.errors import NoAnswerError
from asyncluster.model.supply import Flavor, Order, Pool, Sought
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply.naming import tags
from asyncluster.supply.openstack.asking import Asking, MissingError
from asyncluster.supply.openstack.cloud import AT_ONCE, KEPT, OpenStackCloud


@attrs.define
class Nova:
    """Stands where `Asking` does.  listed, there: servers in lists, and by their ids; away: it gives no answer."""

    listed: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    there: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    away: bool = False
    time: float = 0.0

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
    assert cloud.blocking.calls == ["_page"] * 4 + ["_with_ends"]  # type: ignore[attr-defined]  # as above


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
