"""The sentence of what is not run because of another task."""

from __future__ import annotations

import pytest

from asyncluster.model.chain import LINKS, depends, links, not_run


def test_one_goes_on_where_the_other_began() -> None:
    """Whoever makes the next sentence from the last one: master, client, or the client from the master's words."""
    first = depends("task 1", "task 0, load()", ["was lost"])
    assert first == "task 1 was not run: it depends on task 0, load(), which was lost"
    assert links(f"fit(): {first}") == links(first) == ["depends on task 0, load()", "was lost"]
    second = depends("plot()", "task 1", links(first))
    assert second == "plot() was not run: it depends on task 1, which depends on task 0, load(), which was lost"


@pytest.mark.parametrize("said", ["", "it broke", "plot: it was lost", not_run("task 1", "there is no room")])
def test_what_is_no_chain(said: str) -> None:
    """Nothing is read out of other sentences, whatever words they have: then it failed."""
    assert links(said) == []
    assert depends("task 2", "task 1", links(said)) == "task 2 was not run: it depends on task 1, which failed"


def test_the_middle_of_a_long_one_is_left_out() -> None:
    """So that a long chain does not take the square of its length; both ends stay."""
    said = depends("task 1", "task 0", ["failed"])
    for task in range(2, 1000):
        said = depends(f"task {task}", f"task {task - 1}", links(said))
    assert said.startswith("task 999 was not run: it depends on task 998, which depends on task 997,")
    assert said.endswith("which depends on task 0, which failed")
    assert said.count("…") == 1
    assert said.count("which") < LINKS + 4
