"""What nobody looks after, told from what somebody does."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.elastic.orphans import GRACE, YOUNG, Leased, Orphan, Seen, leased, orphans
from asyncluster.model.supply import Flavor, Instance, InstanceState, Pool

NOW = 1_700_000_000.0
HOUR = 3600.0
POOLS = {"p": Pool("p", "aws", Flavor(2, price=0.5)), "q": Pool("q", "aws", Flavor(2, price=2.0))}
ONE = Instance("i-1", "p-1", InstanceState.ACTIVE, True, "me", "t", "", NOW - 4 * HOUR, "", NOW + 600, "p")


def judge(*known: str, **changes: object) -> list[Orphan]:
    """What is said of one, where these are in the book."""
    instance = attrs.evolve(ONE, **changes)
    return orphans(Seen(POOLS, lambda pool, each: each.id in known, "me", NOW), "p", [instance])


def test_in_no_record() -> None:
    """With age, price and what it has cost; one that is in the book is looked after, even past its lease."""
    (found,) = judge()
    assert (found.may, found.age, found.price, found.cost) == (True, 4 * HOUR, 0.5, 2.0)
    assert found.why == "no record of pool p knows it"
    assert judge("i-1", expires=NOW - HOUR) == []
    assert judge(state=InstanceState.GONE) == []
    assert judge(born=NOW - YOUNG / 2) == []  # whoever ordered it may be about to hear of it


def test_pools_that_are_no_more() -> None:
    """An account knows instances of pools that nobody asks for any more; another pool's own price counts."""
    (found,) = judge(pool="old")
    assert (found.may, found.of) == (True, "old")
    assert found.why == "its pool old is not in asyncluster.yaml any more"
    (found,) = judge("i-1", pool="old")  # the book has it, but nobody asks its cloud what becomes of it
    assert not found.may
    assert "put the pool back and drain it" in found.why
    (found,) = judge(pool="q")
    assert (found.price, found.cost) == (2.0, 8.0)


@pytest.mark.parametrize(
    ("expires", "may", "why"),
    [
        (NOW + 600, None, ""),
        (NOW - GRACE + 1, None, ""),  # clocks differ
        (
            NOW - GRACE - 60,
            True,
            "another master (they), which has not renewed its lease for 360 s; whether it runs jobs",
        ),
        (0.0, False, "left alone"),
    ],
)
def test_of_another_master(expires: float, may: bool | None, why: str) -> None:
    """While it renews its leases, its instances are its own business."""
    found = judge(owner="they", expires=expires)
    assert [each.may for each in found] == ([] if may is None else [may])
    assert all(why in each.why for each in found)


def test_only_named_like_ours() -> None:
    """Told of, and never touched."""
    (found,) = judge(ours=False, owner="", expires=0.0)
    assert not found.may
    assert "never touched" in found.why


@given(
    st.booleans(), st.sampled_from(["", "me", "they"]), st.sampled_from(["", "p", "q", "old"]), st.booleans(),
    st.sampled_from([0.0, NOW - 1e6, NOW - 1, NOW + 1e6]), st.sampled_from(list(InstanceState)),
    st.sampled_from([0.0, NOW - 1e6, NOW, NOW + 1e6]),
)  # fmt: skip
def test_what_may_be_ended_is_ours_and_nobodys(
    ours: bool, owner: str, pool: str, known: bool, expires: float, state: InstanceState, born: float
) -> None:
    """Whatever a cloud lists."""
    found = judge(
        *(["i-1"] if known else []), ours=ours, owner=owner, pool=pool, expires=expires, state=state, born=born
    )
    for each in found:
        if each.may:
            assert ours
            assert not (known and owner in {"", "me"})
            assert owner != "they" or 0.0 < expires < NOW - GRACE
        assert each.cost >= 0.0


def test_an_account_that_two_pools_share() -> None:
    """Each instance is told of once."""
    seen = Seen(POOLS, lambda pool, each: False, "me", NOW)
    assert orphans(seen, "q", [ONE], {"i-1"}) == []


def test_what_others_have_while_their_leases_last() -> None:
    """Counted for each master, with the last end of a lease; not what is ours, has ended, or was left behind."""
    theirs = attrs.evolve(ONE, owner="they", expires=NOW + 40)
    some = [
        ONE, theirs, theirs, attrs.evolve(theirs, id="i-2", expires=NOW - 9),
        attrs.evolve(theirs, id="i-3", state=InstanceState.GONE),
        attrs.evolve(theirs, id="i-4", expires=NOW - GRACE - 1),
        attrs.evolve(theirs, id="i-5", expires=0.0), attrs.evolve(theirs, id="i-6", ours=False),
        attrs.evolve(theirs, id="i-7", owner="she", expires=NOW - 60),
    ]  # fmt: skip
    seen = Seen(POOLS, lambda pool, each: False, "me", NOW)
    assert leased(seen, some) == [Leased("she", 1, -60.0), Leased("they", 2, 40.0)]
