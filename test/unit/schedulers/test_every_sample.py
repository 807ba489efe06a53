"""Every reader over everything that was recorded of its batch system: the right listing is read, all others refused.

And over what garbage and truncation make of it: an error that names the program, never fewer jobs or nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.errors import NoAnswerError
from asyncluster.schedulers.sge import parse as sge
from asyncluster.schedulers.slurm import parse as slurm
from asyncluster.schedulers.torque import parse as torque

DATA = Path(__file__).parents[2] / "data"
RULES = {"mpi": "$round_robin", "smp": "$pe_slots", "four": "4"}
TOKEN = "a-word-that-no-user-knows"


def _sge_jobs(text: str) -> object:
    return sge.jobs(text, RULES)


def _slurm_jobs(text: str) -> object:
    return slurm.jobs(text, TOKEN)


Read = Callable[[str], Any]
READERS: dict[str, dict[str, tuple[Read, Callable[[str], bool]]]] = {
    "torque": {
        # a program and another that answer alike when there is nothing: both are right then
        "jobs": (torque.jobs, lambda text: "<Job>" in text or text.endswith("<Data></Data>\n")),
        "nodes": (torque.nodes, lambda text: "<Node>" in text or text.endswith("<Data></Data>\n")),
        "reservations": (torque.reservations, lambda text: False),  # Maui's were never recorded
        "submitted": (torque.submitted, lambda text: text.strip().endswith(".head") and "\n" not in text.strip()),
    },
    "sge": {
        "jobs": (_sge_jobs, lambda text: "<job_info" in text[:200] and "</job_info>" in text),
        "nodes": (sge.nodes, lambda text: "<qhost" in text[:200] and "</qhost>" in text),
        "accounts": (sge.accounts, lambda text: "<detailed_job_info" in text[:200] or "<unknown_jobs" in text[:200]),
        "submitted": (sge.submitted, lambda text: text.split(".")[0].strip().isdigit()),
    },
    "slurm": {
        "jobs": (_slurm_jobs, lambda text: False),  # ours has a word of its own in every line
        "machines": (slurm.machines, lambda text: "scontrol: version" in text),  # ours asks for the version last
        "reservations": (slurm.reservations, lambda text: text.startswith(("No reservations", "ReservationName="))),
        "submitted": (slurm.submitted, lambda text: text.strip().split(";")[0].isdigit()),
    },
}


@pytest.mark.parametrize("system", READERS)
def test_recorded(system: str) -> None:
    """Read where it is what the reader is for, else NoAnswerError, and no other error ever."""
    wrong = []
    for path in sorted(DATA.joinpath(system).glob("*.std*")):
        text = path.read_text(errors="replace")
        if path.suffix == ".stderr" or not text:
            expected = dict.fromkeys(READERS[system], False)
        else:
            expected = {name: good(text) for name, (_, good) in READERS[system].items()}
        for name, (read, _) in READERS[system].items():
            try:
                read(text)
                done = True
            except NoAnswerError:
                done = False
            if done is not expected[name]:
                wrong.append((path.name, name, done))
    assert wrong == []


def _listings(system: str, name: str) -> list[str]:
    """All that this reader reads, and that are not empty."""
    _, good = READERS[system][name]
    texts = [path.read_text() for path in sorted(DATA.joinpath(system).glob("*.stdout"))]
    return [text for text in texts if len(text) > 200 and good(text)]


MARKUP = [
    (system, name, text)
    for system, name in (
        ("torque", "jobs"), ("torque", "nodes"), ("sge", "jobs"), ("sge", "nodes"), ("sge", "accounts"),
    )
    for text in _listings(system, name)
]  # fmt: skip


@given(st.sampled_from(MARKUP), st.floats(0, 1, exclude_max=True))
def test_cut_short(one: tuple[str, str, str], part: float) -> None:
    """Anywhere in any listing that was recorded."""
    system, name, text = one
    with pytest.raises(NoAnswerError):
        READERS[system][name][0](text[: int(len(text.rstrip()) * part)])


@given(st.sampled_from(MARKUP), st.data())
def test_spoilt(one: tuple[str, str, str], data: st.DataObject) -> None:
    """A piece of it is replaced: what is read has as many parts as the text still names, or nothing is read."""
    system, name, text = one
    place = data.draw(st.integers(0, len(text) - 1))
    spoilt = text[:place] + data.draw(st.text(max_size=6)) + text[place + data.draw(st.integers(0, 40)) :]
    read = READERS[system][name][0]
    whole = len(read(text))
    try:
        found = len(read(spoilt))
    except NoAnswerError:
        return
    # a state that was written over may end one job; a number, make it another's
    assert found >= whole - 1


@given(st.sampled_from([(s, n) for s, readers in READERS.items() for n in readers]), st.text(min_size=1))
def test_garbage(one: tuple[str, str], text: str) -> None:
    """Something else altogether is no answer, but for a number where a number is what is printed."""
    system, name = one
    if text.strip().isdecimal() or not text.strip():
        return
    with pytest.raises(NoAnswerError):
        READERS[system][name][0](text)
