"""What limits.conf gives to an owner's processes."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from asyncluster.node import limits
from asyncluster.node.limits import Who, chosen, limits_of

ANN = Who("ann", 1000, {1000: "ann", 27: "sudo", 600: ""})
ROOT = Who("root", 0, {0: "root"})
FILES, PROCESSES, STACK = resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_STACK


def test_the_nearest_line_counts() -> None:
    """The user's own, then his number's, his group's, its number's, everybody's; wherever they stand."""
    lines = ["ann - nproc 1", "1000:1000 - nproc 2", "@sudo - nproc 3", "@600:700 - nproc 4", "* - nproc 5"]
    for first in range(5):
        rest = lines[first:]
        assert chosen(rest, ANN) == chosen(rest[::-1], ANN) == ((PROCESSES, first + 1, first + 1),)


def test_the_last_of_equals_counts() -> None:
    """As far as it says something: soft and hard are apart."""
    lines = ["* soft nofile 10", "* hard nofile 30", "* soft nofile 20 # more"]
    assert chosen(lines, ANN) == ((FILES, 20, 30),)
    assert chosen(lines[:1], ANN) == ((FILES, 10, None),)


def test_units_and_no_limit() -> None:
    """Sizes are in KiB."""
    boundless = resource.RLIM_INFINITY
    assert chosen(["ann soft stack 8192", "ann hard stack unlimited"], ANN) == ((STACK, 8192 * 1024, boundless),)


def test_root_is_meant_by_name_only() -> None:
    """Whoever limits everybody does not lock himself out."""
    assert chosen(["* - nproc 5", "@root - nproc 6"], ROOT) == ()
    assert chosen(["root - nproc 5"], ROOT) == ((PROCESSES, 5, 5),)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# ann - nproc 1",
        "ann - nproc",
        "ann - nproc many",
        "ann - maxlogins 2",
        "ann both nproc 2",
        "@bob - nproc 1",
        "@ - nproc 1",
        "bob - nproc 1",
        "999:999 - nproc 1",
        ": - nproc 1",
        ":999 - nproc 1",
        "ann - nproc 99999999999999999999",
    ],
)
def test_what_is_not_meant_or_makes_no_sense_is_passed_over(line: str) -> None:
    """And the lines behind it count."""
    assert chosen([line, "* - nofile 7"], ANN) == ((FILES, 7, 7),)


def test_files_in_their_order(tmp_path: Path) -> None:
    """Those of the folder come after the first, by name; others are not looked at; none is needed."""
    assert limits_of("ann", 1000, [1000], tmp_path) == ()
    (tmp_path / "limits.d").mkdir()
    (tmp_path / "limits.conf").write_text("ann - nproc 1\nann - nofile 9\n")
    for name, value in (("20.conf", 3), ("10.conf", 2), ("30.conf~", 4)):
        (tmp_path / "limits.d" / name).write_text(f"ann - nproc {value}\n")
    assert limits_of("ann", 1000, [1000], tmp_path) == ((PROCESSES, 3, 3), (FILES, 9, 9))


def test_a_soft_limit_stays_below_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the system would refuse both; what the system refuses stays as it is."""
    given: list[tuple[int, tuple[int, int]]] = []

    def refuse(number: int, pair: tuple[int, int]) -> None:
        given.append((number, pair))
        raise OSError

    monkeypatch.setattr(resource, "getrlimit", lambda number: (100, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    limits.apply([(FILES, None, 50), (STACK, resource.RLIM_INFINITY, None), (PROCESSES, resource.RLIM_INFINITY, 7)])
    assert given == [(FILES, (50, 50)), (STACK, (-1, -1)), (PROCESSES, (7, 7))]
