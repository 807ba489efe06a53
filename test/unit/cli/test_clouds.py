"""`asyncluster cloud`, with clouds that are none: what is shown, asked first, and told by the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from click.testing import CliRunner, Result

from asyncluster.cli import clouds as verbs
from asyncluster.cli import waiting
from asyncluster.cli.connect import Place

LEFT = {
    "pool": "p", "id": "i-2", "name": "p-2", "state": "active", "owner": "me", "of": "p", "age": 7200.0, "price": 0.5,
    "cost": 1.0, "may": True, "why": "no record of pool p knows it", "force": "",
}  # fmt: skip
THEIRS = {**LEFT, "id": "i-7", "owner": "they", "force": "its jobs are another master's (they)"}
NAMED = {**LEFT, "id": "i-3", "name": "p-3", "of": "", "may": False, "why": "not ours, never touched"}


class FakePools:
    """Notes what is to be ended."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"orphans": [LEFT, NAMED], "faults": {}}
        self.ended: list[tuple[str, list[str]]] = []
        self.faults: dict[str, str] = {}
        self.findings: list[dict[str, Any]] = []

    def __enter__(self) -> FakePools:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def orphans(self, pool: str) -> dict[str, Any]:
        return self.found

    def destroy_orphans(self, pool: str, ids: Sequence[str], why: str) -> dict[str, Any]:
        self.ended.append((pool, list(ids)))
        self.why = why
        return {"destroyed": [id for id in ids if id not in self.faults], "faults": self.faults}

    def examine(self, pool: str) -> dict[str, Any]:
        return {pool or "p": self.findings}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePools:
    """What the commands find."""
    pools = FakePools()
    monkeypatch.setattr(verbs, "open_pools", lambda place: pools)
    return pools


def typed(*words: str, answer: str = "") -> Result:
    """A command line."""
    return CliRunner().invoke(verbs.cloud, list(words), obj=Place(), input=answer)


def test_orphans_are_listed_and_nothing_is_touched(fake: FakePools) -> None:
    """With cost, and the command that ends them."""
    done = typed("orphans")
    assert done.exit_code == 0
    assert "no record of pool p knows it" in done.output
    assert "1 instance may be ended; they have cost 1.00 and cost 0.50 an hour" in done.output
    assert fake.ended == []
    assert json.loads(typed("orphans", "--json").output) == fake.found


@pytest.mark.parametrize(
    ("words", "answer", "ended"),
    [
        (["--destroy"], "n\n", False),
        (["--destroy"], "y\n", True),
        (["--destroy", "--yes"], "", True),
        (["--destroy", "--yes", "--json"], "", True),
    ],
)
def test_it_asks_first(fake: FakePools, words: list[str], answer: str, ended: bool) -> None:
    """And names only those that bear our tag."""
    done = typed("orphans", "p", *words, answer=answer)
    assert done.exit_code == 0, done.output
    assert fake.ended == ([("p", ["i-2"])] if ended else [])


def test_a_program_is_not_asked(fake: FakePools) -> None:
    """It says --yes, or is told to."""
    assert typed("orphans", "--destroy", "--json").exit_code == 2
    assert fake.ended == []


def test_force_has_a_reason(fake: FakePools) -> None:
    """It goes to the master, whose log keeps it; by itself it means nothing."""
    assert typed("orphans", "p", "--destroy", "--yes", "--force", "the head is lost").exit_code == 0
    assert (fake.ended, fake.why) == ([("p", ["i-2"])], "the head is lost")
    assert typed("orphans", "--force", "because").exit_code == 2
    assert typed("orphans", "--destroy", "--yes", "--force").exit_code == 2
    assert typed("orphans", "--destroy", "--yes").exit_code == 0
    assert fake.why == ""


@pytest.mark.parametrize("sentence", ["", " "])
def test_an_empty_sentence_is_none(fake: FakePools, sentence: str) -> None:
    """It was given, so it is not taken for not given."""
    done = typed("orphans", "p", "--destroy", "--yes", "--force", sentence)
    assert (done.exit_code, "--force wants a sentence" in done.output, fake.ended) == (2, True, [])


def test_the_command_that_is_proposed_is_the_one_that_works(fake: FakePools) -> None:
    """With the pool that was named, and --force for what wants it; not while it is done already."""
    fake.found["orphans"] = [LEFT, THEIRS]
    done = typed("orphans", "p")
    assert "cost 0.50 an hour: asyncluster cloud orphans p --destroy\n" in done.output
    assert 'an hour: asyncluster cloud orphans p --destroy --force "why"\n  i-7: its jobs are another' in done.output
    assert "an hour: asyncluster cloud orphans --destroy\n" in typed("orphans").output
    assert "asyncluster cloud orphans" not in typed("orphans", "p", "--destroy", "--yes").output


def test_what_wants_a_sentence_is_skipped_without_one(fake: FakePools) -> None:
    """It is not counted among what ends, is named with the reason, and is no fault."""
    fake.found["orphans"] = [LEFT, THEIRS]
    done = typed("orphans", "p", "--destroy", answer="y\n")
    assert (done.exit_code, "End 1 instance?" in done.output) == (0, True), done.output
    assert "skipped: i-7: its jobs are another master's (they); --force" in done.output
    assert fake.ended == [("p", ["i-2"])]
    done = typed("orphans", "p", "--destroy", "--force", "their head burnt", answer="y\n")
    assert (done.exit_code, "End 2 instances?" in done.output, "skipped" in done.output) == (0, True, False)
    assert fake.ended[1:] == [("p", ["i-2", "i-7"])]
    fake.found["orphans"] = [THEIRS]
    done = typed("orphans", "p", "--destroy")
    assert (done.exit_code, "End" in done.output, "nothing that could" in done.output) == (0, False, False)
    assert fake.ended[2:] == []


def test_what_went_wrong_is_told(fake: FakePools) -> None:
    """By the exit code, too: a cloud that did not answer may have anything."""
    fake.faults = {"i-2": "503"}
    done = typed("orphans", "--destroy", "--yes")
    assert (done.exit_code, "i-2 was not ended: 503" in done.output) == (1, True)
    fake.found = {"orphans": [], "faults": {"q": "connection refused"}}
    done = typed("orphans")
    assert (done.exit_code, "connection refused" in done.output) == (1, True)
    assert "Nothing was left" not in done.output
    fake.found = {"orphans": [], "faults": {}}
    assert "Nothing was left behind" in typed("orphans").output
    assert "nothing that could be ended" in typed("orphans", "--destroy").output


def test_what_belongs_to_another_master_yet_is_counted(fake: FakePools) -> None:
    """With the time at which its lease is over; nobody ends it, and it is no fault."""
    fake.found["leased"] = [{"owner": "308f", "count": 2, "left": 40.0}, {"owner": "9a", "count": 1, "left": -60.0}]
    done = typed("orphans")
    assert done.exit_code == 0
    assert "2 more belong to master 308f, whose lease is over in 40 s at the latest" in done.output
    assert "1 more belongs to master 9a, whose lease is over since 60 s" in done.output
    fake.found["orphans"] = []
    assert "2 instances belong to master 308f" in typed("orphans").output
    assert "nothing that could be ended" in typed("orphans", "--destroy", "--yes").output
    assert fake.ended == []


def test_nodes_where_nobody_can_ask_are_named(fake: FakePools) -> None:
    """Nobody knows whether something was left behind there, so that is not said, and the exit code is 1."""
    fake.found = {"orphans": [], "faults": {}, "unasked": ["old-1 of pool old: put the pool back"]}
    done = typed("orphans")
    assert (done.exit_code, "old-1 of pool old: put the pool back" in done.output) == (1, True)
    assert "Nothing was left" not in done.output
    told = typed("orphans", "--json")
    assert (told.exit_code, json.loads(told.output)) == (1, fake.found)


class Impatient:
    """A timer whose time is over at once."""

    def __init__(self, seconds: float, tell: Callable[[], None]) -> None:
        self.start, self.seconds = tell, seconds
        self.daemon = False

    def cancel(self) -> None:
        """It is too late."""


@pytest.mark.parametrize("words", [["orphans"], ["check"]])
def test_who_looks_is_told_that_it_waits(monkeypatch: pytest.MonkeyPatch, fake: FakePools, words: list[str]) -> None:
    """After a moment, with the pool that was named; no program, and nobody who does not look."""
    monkeypatch.setattr(waiting.threading, "Timer", Impatient)
    assert "waiting" not in typed(*words, "p").output
    monkeypatch.setattr(waiting, "somebody_looks", lambda: True)
    assert "waiting for the cloud of p …" in typed(*words, "p").output
    assert "waiting for the clouds of all pools …" in typed(*words).output
    assert "waiting" not in typed(*words, "p", "--json").output


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (None, 0), (False, 1)])
def test_the_doctor(fake: FakePools, ok: bool | None, code: int) -> None:
    """A line each, with what to mend; the exit code tells whether something fails."""
    fake.findings = [{"name": "image", "ok": ok, "text": "it is there", "mend": "set [cloud] p.config.image_id"}]
    done = typed("check", "p")
    assert done.exit_code == code
    assert "image" in done.output
    assert "mend: set [cloud] p.config.image_id" in done.output
    assert json.loads(typed("check", "p", "--json").output) == {"p": fake.findings}
