"""What administrators ask about accounts: who may, what is refused, what is written down."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.python.failure import Failure

from asyncluster.accounts.grant import Grant
from asyncluster.accounts.visit import End, Say
from asyncluster.client.accounts import Accounts, kept_of
from asyncluster.errors import RefusedError
from asyncluster.master.account_verbs import MOST_AT_ONCE, account_verb
from asyncluster.model.account import Account, Opening
from asyncluster.model.pages import from_pages
from asyncluster.model.peer import Peer, Role
from asyncluster.testing.people import BERLIN, Stage
from asyncluster.wire.accounts import make_verifier
from asyncluster.wire.verifiers import VerifierFile

ROOT = Peer(Role.CLIENT, "root", "unix", True)
ANN = Peer(Role.CLIENT, "ann", "unix", False)
NOW = datetime(2026, 11, 23, 9, tzinfo=BERLIN).timestamp()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, NOW)


def ask(stage: Stage, *args: Any, peer: Peer = ROOT) -> Any:
    """The answer, or what it fails with."""
    found: list[Any] = []
    account_verb(stage.sessions, peer, args).addBoth(found.append)  # type: ignore[attr-defined]
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return from_pages(found[0]) if args[0] in {"list", "openings", "usage", "audit"} else found[0]


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    return kept_of("jane", "correct horse battery")


def test_only_administrators_are_answered(stage: Stage) -> None:
    """Looking is not for others either."""
    for args in (("list", ""), ("add", [{"name": "ann"}]), ("usage", "user", "2026-01-01", "2026-01-02")):
        with pytest.raises(RefusedError, match="only administrators"):
            account_verb(stage.sessions, ANN, args)
    assert stage.people.accounts == {}


def test_one_name_twice_is_refused(stage: Stage) -> None:
    """Which of the two counts could not be told."""
    for verb in ("add", "import"):
        with pytest.raises(RefusedError, match="jane is there twice"):
            ask(stage, verb, [{"name": "jane", "daily": 3600}, {"name": "ann"}, {"name": "jane"}])
    assert stage.people.accounts == {}


def test_a_new_account_is_disabled_and_restricted(stage: Stage) -> None:
    """Whatever else is said; a second one of the name is refused, and who did it is written down."""
    ask(stage, "add", [{"name": "jane", "daily": 3600}])
    assert stage.people.accounts["jane"] == Account("jane", daily=3600, made=NOW)
    with pytest.raises(RefusedError, match="account jane already"):
        ask(stage, "add", [{"name": "jane"}])
    (act,) = ask(stage, "audit", 10)
    assert (act["who"], act["what"], act["whom"], act["at"]) == ("root", "add", "jane", NOW)
    told = ask(stage, "show", "jane")
    assert told["refused"].startswith("the account jane is disabled")


def test_who_is_enabled_can_prove_a_password(stage: Stage, kept: dict[str, str]) -> None:
    """Across the network; not while disabled, and not when removed; hashes are in no answer."""
    ask(stage, "add", [{"name": "jane", **kept}])
    assert stage.registry.find("jane", "client") is None
    ask(stage, "set", "jane", "enable", {"enabled": True})
    verifier = stage.registry.find("jane", "client")
    assert verifier is not None
    assert verifier.to_line() == kept["scram"]
    assert stage.registry.find("jane", "node") == attrs.evolve(verifier, role="node")  # for nodes of her own
    assert "argon2id" not in repr(ask(stage, "show", "jane"))
    assert "SCRAM" not in repr(ask(stage, "list", ""))
    ask(stage, "set", "jane", "disable", {"enabled": False})
    assert stage.registry.find("jane", "client") is stage.registry.find("jane", "node") is None
    ask(stage, "set", "jane", "enable", {"enabled": True})
    ask(stage, "remove", "jane")
    assert stage.registry.find("jane", "client") is None


def test_a_password_is_changed_in_both_places_at_once(stage: Stage, kept: dict[str, str]) -> None:
    """For seats and for the network."""
    ask(stage, "add", [{"name": "jane", "enabled": True, **kept}])
    new = kept_of("jane", "another password")
    ask(stage, "password", "jane", new["argon2"], new["scram"])
    assert stage.people.accounts["jane"].argon2 == new["argon2"]
    assert stage.registry.find("jane", "client").to_line() == new["scram"]  # type: ignore[union-attr]
    assert ask(stage, "hashes", "jane") == new
    assert ask(stage, "audit", 1)[0]["what"] == "export hashes"
    assert "argon2" not in repr(ask(stage, "audit", 10))


@pytest.mark.parametrize(
    "row",
    [
        {"name": "a b"},
        {"name": "x" * 30_000},
        {"name": 7},
        {},
        {"name": "ok", "daily": -1},
        {"name": "ok", "daily": True},
        {"name": "ok", "daily": "4h"},
        {"name": "ok", "enabled": 1},
        {"name": "ok", "made": 1.0},
        {"name": "ok", "argon2": "plain"},
        {"name": "ok", "scram": make_verifier("root", "client", "correct horse battery", iterations=4096).to_line()},
    ],
)
@pytest.mark.parametrize("verb", ["add", "import"])
def test_what_makes_no_sense_is_refused(stage: Stage, verb: str, row: dict[str, Any]) -> None:
    """In one line, and nothing of the request is done: a verifier of somebody else's above all."""
    with pytest.raises(RefusedError) as told:
        ask(stage, verb, [{"name": "first"}, row])
    assert len(str(told.value)) < 250
    assert stage.people.accounts == {}


def test_an_import_that_is_refused_says_for_whom(stage: Stage) -> None:
    """Of thousands of lines it is that one which has to be mended."""
    with pytest.raises(RefusedError, match=r"^the line of bob: not a line of the form"):
        ask(stage, "import", [{"name": "jane"}, {"name": "bob", "scram": "garbage"}])


class Here(Accounts):
    """The client's end, without a link."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def ask(self, verb: str, *args: Any) -> Any:
        assert verb == "accounts"
        return ask(self.stage, *args)


def test_an_import_that_ends_early_says_how_far_it_came(stage: Stage) -> None:
    """By the hundred; nothing at all where the first hundred are refused; once it is mended, all are there."""
    rows: list[dict[str, Any]] = [{"name": f"s{number:03}"} for number in range(150)]
    bad = [*rows[:120], {"name": "~desk"}, *rows[120:]]
    with pytest.raises(RefusedError, match=r"^100 accounts are imported, the others are not: the line of ~desk: "):
        Here(stage).import_all(bad)
    assert len(stage.people.accounts) == 100
    with pytest.raises(RefusedError, match=r"^nothing is imported: the line of ~desk: "):
        Here(stage).import_all(bad[:0:-1])
    assert Here(stage).import_all(rows) == len(stage.people.accounts) == 150


def test_an_import_changes_only_what_it_says(stage: Stage) -> None:
    """New names become new accounts, with all caution."""
    ask(stage, "add", [{"name": "jane", "enabled": True, "daily": 3600}])
    assert ask(stage, "import", [{"name": "jane", "weekly": 7200}, {"name": "bob"}]) == 2
    assert stage.people.accounts["jane"] == Account("jane", True, True, 3600, 7200, made=NOW)
    assert stage.people.accounts["bob"] == Account("bob", made=NOW)
    (act, _) = ask(stage, "audit", 10)
    assert (act["what"], act["whom"], act["detail"]) == ("import", "2 accounts", "new: bob; changed: jane")
    ask(stage, "import", [{"name": "jane", "weekly": None}])
    act = ask(stage, "audit", 1)[0]
    assert (act["what"], act["whom"], act["detail"]) == ("import", "jane", "changed: jane")


def test_the_audit_is_in_the_time_of_the_site(stage: Stage) -> None:
    """Whatever zone the machine has, of which the administrator looks; so is the day that it is."""
    ask(stage, "add", [{"name": "jane"}])
    assert ask(stage, "audit", 1)[0]["when"] == "2026-11-23 09:00:00+01:00"
    stage.clock.advance(15 * 3600 - 1.0)
    assert ask(stage, "today") == "2026-11-23"
    stage.clock.advance(1.0)
    assert ask(stage, "today") == "2026-11-24"


@pytest.mark.parametrize("verb", ["add", "import"])
@pytest.mark.parametrize(
    ("name", "why"),
    [("nodes", r"nodes is the account of the nodes, \[client\] user"), ("~desk", "as accounts of single nodes do")],
)
def test_a_name_of_nodes_is_no_persons(stage: Stage, verb: str, name: str, why: str) -> None:
    """A machine of that person's own would be asked for the nodes' password; who has the name already keeps it."""
    stage.registry.nodes_account = "nodes"
    with pytest.raises(RefusedError, match=why):
        ask(stage, verb, [{"name": name}])
    assert stage.people.accounts == {}
    stage.people.accounts[name] = Account(name)
    assert ask(stage, "import", [{"name": name, "enabled": True}]) == 1


@pytest.mark.parametrize(("limit", "hours"), [("daily", 25), ("weekly", 169)])
def test_a_limit_above_all_hours_is_none(stage: Stage, limit: str, hours: int) -> None:
    """Also for who asks by a program; what an earlier release took does not hinder other changes."""
    ask(stage, "add", [{"name": "jane"}])
    for args in (("set", "jane", "limit", {limit: hours * 3600}), ("add", [{"name": "joe", limit: hours * 3600}])):
        with pytest.raises(RefusedError, match=f"{hours} hours are more than a"):
            ask(stage, *args)
    stage.people.accounts["jane"] = Account("jane", **{limit: hours * 3600})  # type: ignore[arg-type]
    assert ask(stage, "set", "jane", "limit", {"slots": 3})[limit] == hours * 3600


def test_an_import_takes_what_an_earlier_release_took(stage: Stage) -> None:
    """`export` writes it; more than that is no account's."""
    assert ask(stage, "import", [{"name": "jane", "daily": 30 * 3600, "weekly": 175 * 3600}]) == 1
    assert stage.people.accounts["jane"].daily == 30 * 3600
    with pytest.raises(RefusedError, match="the line of jane: the weekly hours must lie between 0 and 175"):
        ask(stage, "import", [{"name": "jane", "weekly": 176 * 3600}])


@pytest.mark.parametrize(
    "args",
    [
        ("set", "nobody", "enable", {"enabled": True}),
        ("set", "jane", "x", {"name": "bob"}),
        ("set", "jane", "x", {"daily": -5}),
        ("set", "jane", "x", {}),
        ("password", "jane", "x", "y"),
        ("remove", "nobody"),
        ("kick", "jane", ""),
        ("message", "jane", "hi"),
        ("opening add", [["", 0, 600, 540]]),
        ("opening add", [["", 7, 0, 60]]),
        ("opening add", [["", True, 0, 60]]),
        ("opening add", []),
        ("usage", "user", "2026-02-30", "2026-03-01"),
        ("usage", "user", "2026-03-02", "2026-03-01"),
        ("usage", "user", "2026-03-02", "9999-12-31"),
        ("opening add", [["", 0, 480]]),
        ("opening add", [["", 0, 480, 1080, 7], ["", 1, 480, 1080]]),
        ("opening add", [5]),
        ("opening remove", [["", 0, 480]]),
        ("opening add", [["nobody", 0, 480, 1080]]),
        ("add", ["x"]),
        ("import", [5]),
        ("import", [{"name": "new"}, ["name", "jane"]]),
        ("usage", "planet", "2026-03-02", "2026-03-03"),
        ("list", 7),
        ("add", [{"name": f"u{number}"} for number in range(MOST_AT_ONCE + 1)]),
        ("fly",),
    ],
)
def test_what_cannot_be_done_is_told(stage: Stage, args: tuple[Any, ...]) -> None:
    """And changes nothing."""
    ask(stage, "add", [{"name": "jane"}])
    before = dict(stage.people.accounts)
    with pytest.raises(RefusedError):
        ask(stage, *args)
    assert stage.people.accounts == before
    assert stage.people.openings == []


def test_openings_come_and_go(stage: Stage) -> None:
    """And are known at once; for whom there is no account, there is none."""
    with pytest.raises(RefusedError, match="no account jane"):
        ask(stage, "opening add", [["jane", 6, 0, 1440]])
    ask(stage, "add", [{"name": "jane"}])
    ask(stage, "opening add", [["", 0, 480, 1080], ["jane", 6, 0, 1440]])
    assert [each["user"] for each in ask(stage, "openings")] == ["", "jane"]
    assert ask(stage, "opening remove", [["", 0, 480, 1080], ["", 1, 480, 1080]]) == 1
    assert len(stage.registry.openings) == 1


def test_who_is_removed_takes_openings_along(stage: Stage) -> None:
    """Those at hand, too: a new account of that name has everybody's."""
    ask(stage, "add", [{"name": "jane"}])
    ask(stage, "opening add", [["", 0, 480, 1080], ["jane", 6, 0, 1440]])
    ask(stage, "remove", "jane")
    assert stage.registry.openings == stage.people.openings == [Opening("", 0, 480, 1080)]
    assert stage.registry.openings_of("jane") == [Opening("", 0, 480, 1080)]


def test_a_database_that_is_away_is_told(stage: Stage) -> None:
    """Not as an error inside."""
    stage.people.away = True
    with pytest.raises(RefusedError, match="nothing was done: it is away"):
        ask(stage, "add", [{"name": "jane"}])


def test_somebody_is_kicked_while_the_database_is_away(stage: Stage) -> None:
    """It works all the same."""
    assert stage.sessions.seats.reserve("jane", "desk-1") is None
    stage.sessions.seats.begin(1, "jane", "desk-1", NOW, Grant(), stage.clock.seconds())
    stage.people.away = True
    assert ask(stage, "message", "jane", "lunch") is None
    assert ask(stage, "kick", "jane", "") is None
    assert [type(action) for action in stage.told] == [Say, End]
    assert stage.told[1].text == "root has ended your session"


def test_the_file_of_an_earlier_release_is_taken_over(tmp_path: Path) -> None:
    """Who could connect still can; the file is put aside, so that a password has one place; nodes stay in it."""
    file = VerifierFile(tmp_path / "accounts")
    jane = make_verifier("jane", "client", "correct horse battery", iterations=4096)
    node = make_verifier("jane", "node", "correct horse battery", iterations=4096)
    for verifier in (jane, node, make_verifier("od d", "client", "correct horse battery", iterations=4096)):
        file.put(verifier)
    stage = Stage(tmp_path, NOW)
    assert stage.people.accounts == {"jane": Account("jane", True, False, scram=jane.to_line(), made=NOW)}
    assert stage.registry.find("jane", "client") == jane
    assert stage.registry.find("jane", "node") == node
    assert (tmp_path / "accounts.imported").exists()
    assert VerifierFile(tmp_path / "accounts").names() == [("jane", "node")]
    ask(stage, "remove", "jane")
    again = Stage(tmp_path, NOW, stage.people)
    assert again.registry.find("jane", "client") is None


def test_without_a_database_the_file_goes_on_to_be_used(tmp_path: Path) -> None:
    """Next to accounts in memory."""
    file = VerifierFile(tmp_path / "accounts")
    jane = make_verifier("jane", "client", "correct horse battery", iterations=4096)
    file.put(jane)
    registry = attrs.evolve(Stage(tmp_path / "other", NOW).registry, file=file, lasts=False)
    assert registry.find("jane", "client") == jane
    assert registry.find("bob", "client") is None
