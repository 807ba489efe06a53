"""Which name was meant."""

from __future__ import annotations

import pytest

from asyncluster.elastic.misspelt import LOOKED_AT, near, no_pool

NODES = [f"{pool}-{number}" for pool in ("cloud", "spot") for number in range(1, 3000)]


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("clod-7", NODES, "; did you mean cloud-7?"),
        ("Cloud-7", NODES, "; did you mean cloud-7?"),
        ("cloud-3000", NODES, ""),  # that node is gone: nobody means another
        ("17", ["16.head", "17.head", "171.head"], "; did you mean 17.head?"),
        ("17", ["171.head", "17_[1-9]"], "; did you mean 17_[1-9]?"),
        ("xyz", ["cloud", "spot"], ""),
        ("sopt", ["cloud", "spot"], "; did you mean spot?"),
        ("", ["cloud"], ""),
        ("cloud", [], ""),
    ],
)
def test_a_name_that_is_nearly_one_is_told(name: str, known: list[str], meant: str) -> None:
    """With the same number, where it has one."""
    assert near(name, known) == meant


def test_of_too_many_names_the_first_are_compared() -> None:
    """One that only lacks what a scheduler adds is found among all."""
    known = [f"{number}.head" for number in range(LOOKED_AT)] + ["cloud", "spot_[1-9]"]
    assert near("clod", known) == ""
    assert near("clod", known[1:]) == "; did you mean cloud?"
    assert near("spot", known) == "; did you mean spot_[1-9]?"


def test_a_pool_that_there_is_not() -> None:
    """The one that was meant, else all that there are."""
    assert str(no_pool("clod", ["cloud", "spot"])) == "there is no pool clod; did you mean cloud?"
    assert str(no_pool("x", ["cloud", "spot"])) == "there is no pool x; there are: cloud, spot"
    assert str(no_pool("x", [])) == "there is no pool x; there are: none"
