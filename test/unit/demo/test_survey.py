"""The demonstration's computation."""

from __future__ import annotations

from pathlib import Path

from asyncluster.demo.survey import Facts, differences, modules, survey, survey_file, survey_file_here, total

SOURCE = b"""
def short(): return 1
async def long(x):
    if x:
        for y in x:
            pass
    return [z for z in x if z and x]
"""


def test_facts_of_a_source() -> None:
    """Functions, branches and the longest function are counted."""
    facts = survey(SOURCE, "a.py")
    assert facts == Facts("a.py", len(SOURCE), functions=2, branches=4, longest="long", longest_lines=5)


def test_faulty_sources_are_facts_too() -> None:
    """What cannot be parsed says why, and ends nothing."""
    assert survey(b"def (").fault == "SyntaxError"
    assert survey(b"\0").fault in ("SyntaxError", "ValueError")
    assert survey(b"").longest_lines == 0


def test_task_says_where_it_ran(tmp_path: Path) -> None:
    """As a task the name of the node comes first."""
    path = tmp_path / "a.py"
    path.write_bytes(SOURCE)
    assert survey_file_here(str(path))[1] == survey_file(str(path))


def test_modules_are_the_library_only(tmp_path: Path) -> None:
    """Installed packages are no part of the library; the order is fixed."""
    for name in ("b.py", "a.py", "site-packages/x.py", "c/d.py", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in modules(tmp_path)] == ["a.py", "b.py", "d.py"]
    assert len(modules()) > 100


def test_totals_and_differences() -> None:
    """Sums, the longest first, and each file that differs by name."""
    one, two = Facts("a", 10, 1, 2, "f", 5), Facts("b", 20, 3, 4, "g", 9, "SyntaxError")
    totals = total([one, two], top=1)
    assert (totals.files, totals.size, totals.functions, totals.branches, totals.faulty) == (2, 30, 4, 6, 1)
    assert totals.longest == (two,)
    assert list(differences([one, two], [two, one])) == []
    assert [line.split(":")[0] for line in differences([one, two], [one])] == ["b"]
