"""Whether a node is set up: Salt's words as they were recorded, classes by their names, and several checks at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from asyncluster.config.fields import Secret
from asyncluster.errors import CloudError, ConfigError, NoAnswerError
from asyncluster.interfaces import IReadinessCheck
from asyncluster.model.elastic_options import CheckOptions
from asyncluster.schedulers.run import Answer
from asyncluster.supply.checks import AllOf, PortCheck, SaltCheck, make_checks

RECORDED = Path(__file__).parents[2] / "data" / "salt"


def now(deferred: Deferred[Any]) -> Any:
    seen: list[Any] = []
    deferred.addBoth(seen.append)
    if isinstance(seen[0], Failure):
        seen[0].raiseException()
    return seen[0]


@attrs.define
class Salt:
    """Says what a Salt 3008 master said; `high`: the recording of a trial run."""

    high: str = "after"
    ping: str = "ping"
    ran: list[tuple[str, ...]] = attrs.field(factory=list)

    async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        self.ran.append(argv)
        name = self.ping if "test.ping" in argv else self.high
        out, err = ((RECORDED / f"{name}.{kind}").read_text() for kind in ("out", "err"))
        return Answer(argv, 0, out, err)


def salt(played: Salt, **more: str) -> SaltCheck:
    return SaltCheck(None, runner=played, **more)  # type: ignore[arg-type] # it runs nothing


def test_a_minion_in_its_high_state_is_ready() -> None:
    """It is asked by name, by an argument list, and nothing is changed there."""
    played = Salt()
    assert now(salt(played, command="/opt/salt -c /etc/salt").check("grow-1", "")) == ""
    ping, high = played.ran
    assert ping == (
        "/opt/salt",
        "-c",
        "/etc/salt",
        "--out=json",
        "--static",
        "--timeout",
        "30",
        "-L",
        "grow-1",
        "test.ping",
    )
    assert high[-2:] == ("state.highstate", "test=True")


@pytest.mark.parametrize(
    ("high", "part"),
    [
        ("before", "1 of 1 states of its high state are not there yet: The file /srv/site/ready is set to be changed"),
        ("running", 'The function "state.highstate" is running as PID'),
        ("broken", "Rendering SLS 'base:ready' failed"),
        ("notop", "No Top file"),
        ("away", "says nothing of its high state"),
    ],
)
def test_what_is_missing_is_told_in_salts_words(high: str, part: str) -> None:
    """As long as anything is."""
    assert part in now(salt(Salt(high)).check("grow-1", ""))


@pytest.mark.parametrize("ping", ["away", "unknown"])
def test_a_minion_that_does_not_answer_is_not_ready(ping: str) -> None:
    """Whatever its high state was; where that is all that is asked, an answer is enough."""
    assert "does not answer" in now(salt(Salt(ping=ping)).check("grow-1", ""))
    assert now(salt(Salt("broken"), asks="ping").check("grow-1", "")) == ""


def test_a_salt_master_that_is_away_is_no_answer() -> None:
    """With the sentence in its traceback that says so; and names that are none are never asked for."""
    with pytest.raises(NoAnswerError, match="SaltClientError: Salt request timed out"):
        now(salt(Salt(ping="nomaster")).check("grow-1", ""))
    played = Salt()
    with pytest.raises(CloudError):
        now(salt(played).check("-E .*", ""))
    assert not played.ran


@implementer(IReadinessCheck)
class Mine:
    """A site's own."""

    def __init__(self, reactor: Any, word: str = "") -> None:
        if word == "let me in":
            raise ValueError(f"{word} is no word")
        self.word = word

    def check(self, name: str, address: str) -> Deferred[str]:
        return succeed(self.word and f"{name} at {address} has no {self.word}")


class NoCheck:
    """Something else."""

    def __init__(self, reactor: Any) -> None: ...


def test_a_class_by_its_name_with_its_arguments() -> None:
    """Beside the port, in that order."""
    (port, mine) = make_checks(CheckOptions(15002, f"{__name__}.Mine", {"word": "coffee"}), None)
    assert isinstance(port, PortCheck)
    assert port.port == 15002
    assert now(mine.check("p-1", "10.0.0.1")) == "p-1 at 10.0.0.1 has no coffee"
    (found,) = make_checks(CheckOptions(plugin="dynamiccluster.salt.SaltChecker"), None)
    assert isinstance(found, SaltCheck)
    assert make_checks(CheckOptions(), None) == []


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("no.such.module.Check", {}, "cannot be imported"),
        (f"{__name__}.Nothing", {}, "has no Nothing"),
        (f"{__name__}.Mine", {"wrod": "x"}, "does not take them"),
        (f"{__name__}.NoCheck", {}, "is no check"),
        ("dynamiccluster.salt.SaltChecker", {"asks": "nicely"}, "asks is highstate or ping"),
        ("dynamiccluster.salt.SaltChecker", {"time_limit": "soon"}, "is not a duration"),
        ("dynamiccluster.salt.SaltChecker", {"command": ""}, "command is empty"),
    ],
)
def test_a_class_that_cannot_be_had_is_a_fault_of_the_file(name: str, arguments: dict[str, str], part: str) -> None:
    """With the key that names it."""
    with pytest.raises(ConfigError, match=part) as told:
        make_checks(CheckOptions(plugin=name, arguments=arguments), None)
    assert "config-checker.plugin" in str(told.value)


def test_a_password_for_a_check_is_given_and_never_shown() -> None:
    """Neither as the file's, nor in the complaint of a class that does not take it."""
    options = CheckOptions(plugin=f"{__name__}.Mine", arguments={"word": Secret("let me in")})
    assert "let me" not in repr(options)
    with pytest.raises(ConfigError) as told:
        make_checks(options, None)
    assert "*** is no word" in str(told.value)
    assert told.value.__context__ is None
    (mine,) = make_checks(attrs.evolve(options, arguments={"word": Secret("tea")}), None)
    assert now(mine.check("p-1", "h")) == "p-1 at h has no tea"


def test_of_several_the_first_that_misses_something_is_told() -> None:
    """Those behind it are not asked."""
    played = Salt()
    both = AllOf([Mine(None, "tea"), salt(played)])
    assert now(both.check("p-1", "")) == "p-1 at  has no tea"
    assert not played.ran
    assert now(AllOf([Mine(None), salt(played, asks="ping")]).check("grow-1", "")) == ""
