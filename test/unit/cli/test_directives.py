"""What stands in scripts, and numbers of arrays."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.cli.directives import Directive, array, directives, is_script, says_its_shell


def test_lines_before_the_first_command() -> None:
    """In order, with their numbers; quotes and comments as in a shell."""
    text = (
        "#!/bin/sh\n#ASYNCLUSTER --cores 4 --name 'a b'\n\n# remark\n#ASYNCLUSTER\t-n 2 # two\n#ASYNCLUSTERED\necho\n"
    )
    assert directives(text) == [Directive(2, ["--cores", "4", "--name", "a b"]), Directive(5, ["-n", "2"])]
    assert directives("") == []


@pytest.mark.parametrize(
    "text",
    [
        "#ASYNCLUSER --cores 4",
        "#ASYNCCLUSTER\t-n 3",
        "# ASYNCLUSTER --cores 4",
        "#asyncluster --cores 4",
        "#ASYNCLUSTER: --cores 4",
        "#ASYNC-CLUSTER --cores 4",
    ],
)
def test_words_that_are_almost_right(text: str) -> None:
    """Lines of options after a word that is nearly ours are slips, not comments."""
    with pytest.raises(ValueError, match=r"line 2: .* is no directive; did you mean #ASYNCLUSTER\?"):
        directives(f"#!/bin/sh\n{text}\necho\n")


@pytest.mark.parametrize(
    "text",
    [
        "##ASYNCLUSTER --cores 4",
        "# AsynCluster runs this with --cores 4",
        "#SBATCH --cores 4",
        "#PBS -l nodes=1",
        "#$ -pe smp 4",
        "# CLUSTER --cores 4",
        "# ASYNCLUSTER",
    ],
)
def test_comments(text: str) -> None:
    """Of other systems, and of people."""
    assert directives(f"#!/bin/sh\n{text}\necho\n") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#!/bin/sh\necho\n#ASYNCLUSTER --cores 4\n", "line 3: #ASYNCLUSTER comes after the first command, in line 2"),
        ("#ASYNCLUSTER --name 'a\n", "line 1: No closing quotation"),
    ],
)
def test_what_nobody_would_read(text: str, told: str) -> None:
    """Is told with its line."""
    with pytest.raises(ValueError, match=told):
        directives(text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("7", [7]), ("1-3", [1, 2, 3]), ("0-10:5", [0, 5, 10]), ("1,3,5-7", [1, 3, 5, 6, 7]), ("4-4", [4])],
)
def test_arrays(text: str, numbers: list[int]) -> None:
    """As people write them."""
    assert list(array(text)) == numbers


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no array"),
        ("1-", "is no array"),
        ("a", "is no array"),
        ("-5", "is no array"),
        ("3-1", "has no numbers"),
        ("1-3:0", "has no numbers"),
        ("1-3,2", "twice"),
        ("0-1000000", "at most 1,000,000"),
    ],
)
def test_what_is_no_array(text: str, told: str) -> None:
    """Each says what is wrong."""
    with pytest.raises(ValueError, match=told):
        array(text)


@given(st.text())
def test_any_text_is_an_array_or_a_value_error(text: str) -> None:
    """Nothing else is raised, and nothing large is made."""
    with contextlib.suppress(ValueError):
        assert len(array(text)) <= 1_000_000


def test_programs_are_no_scripts() -> None:
    """A file with a zero byte is run in place."""
    assert is_script(b"#!/bin/sh\necho\n")
    assert not is_script(b"\x7fELF\x02\x01\x00")


@pytest.mark.parametrize(
    ("file", "content", "known"),
    [
        ("a", b"#!/bin/sh\n", True),
        ("a.py", b"\xef\xbb\xbf#!/usr/bin/python\n", True),
        ("dir/a.sh", b"echo\n", True),
        ("a.py", b"import os\n", False),
        ("README.md", b"# Title\n#ASYNCLUSTER -n 2\n", False),
        ("a", b"", False),
    ],
)
def test_what_runs_a_script(file: str, content: bytes, known: bool) -> None:
    """Its first line says it, or its name; a shell is not guessed."""
    assert says_its_shell(file, content) is known
