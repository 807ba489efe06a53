"""Accounts by the command line, at a real master."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncluster.client.accounts import Accounts
from asyncluster.client.attach import Jobs
from asyncluster.client.futures import Cluster
from asyncluster.errors import ProofError
from asyncluster.model.account import Opening
from asyncluster.testing.site import Site, noon_zone

pytestmark = pytest.mark.real

PASSWORD = "jane's own password"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, server={"time zone": "Europe/Berlin"}) as site:
        site.start_master()
        yield site


def run(site: Site, *words: str, code: int = 0, typed: str = "") -> str:
    """What a command printed."""
    done = subprocess.run(
        [sys.executable, "-m", "asyncluster.cli", "--socket", site.socket, *words],
        check=False,
        capture_output=True,
        text=True,
        input=typed,
        env={**os.environ, "ASYNCLUSTER_PASSWORD": PASSWORD},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def told(site: Site, *words: str, code: int = 0) -> Any:
    return json.loads(run(site, *words, "--json", code=code))


def test_the_life_of_an_account(site: Site) -> None:
    """Made, enabled, used across the network, disabled, and all of it after a restart of the master."""
    assert told(site, "user", "add", "jane", "--daily", "4")["refused"].startswith("the account jane is disabled")
    place = {"user": "jane", "password": PASSWORD}
    with pytest.raises(ProofError):
        Cluster(f"127.0.0.1:{site.port}", **place)  # type: ignore[arg-type]
    run(site, "user", "enable", "jane")
    with Cluster(f"127.0.0.1:{site.port}", **place) as cluster:  # type: ignore[arg-type]
        assert cluster.nodes() == []
    run(site, "opening", "add", "daily", "00:00", "24:00")
    assert told(site, "user", "show", "jane")["granted"] >= 4 * 3600
    site.daemons[0].stop()
    site.start_master()
    assert [each["name"] for each in told(site, "user", "list")] == ["jane"]
    with Cluster(f"127.0.0.1:{site.port}", **place) as cluster:  # type: ignore[arg-type]
        assert cluster.nodes() == []
    run(site, "user", "disable", "jane")
    with pytest.raises(ProofError):
        Cluster(f"127.0.0.1:{site.port}", **place)  # type: ignore[arg-type]
    assert told(site, "user", "show", "nobody", code=1)["error"]["type"] == "RefusedError"
    acts = [(act["who"], act["what"]) for act in told(site, "audit")]
    assert [what for _who, what in acts] == ["disable", "opening add", "enable", "add"]
    assert PASSWORD not in site.daemons[-1].log.read_text()
    assert PASSWORD.encode() not in (site.folder / "state" / "asyncluster.sqlite").read_bytes()


def test_slips_of_the_finger_are_told(site: Site) -> None:
    """By the master, and in the site's time; `opening list` shows what holds for somebody."""
    assert "nodes is the account of the nodes" in run(site, "user", "add", "nodes", code=1)
    with Accounts(socket=site.socket) as accounts:
        accounts.add("jane")
        accounts.add_openings([Opening(weekday=0, start=480, end=1080), Opening("jane", 5, 600, 720)])
    assert [each["user"] for each in told(site, "opening", "list", "--for", "jane")] == ["jane"]
    assert told(site, "audit", "--last", "1")[0]["when"].endswith(("+01:00", "+02:00"))  # of Berlin


def test_thousands_by_csv(site: Site) -> None:
    """Imported, listed and exported again, the same; a line that makes no sense keeps all others out."""
    rows = "".join(f"user{number:04},yes,no,{number % 9}h,none,{number % 5},none\n" for number in range(2500))
    text = "name,enabled,restricted,daily,weekly,slots,queued\n" + rows.replace(",0h,", ",0s,")
    assert "2500" in run(site, "user", "import", "-", typed=text)
    assert run(site, "user", "export") == text
    assert len(told(site, "user", "list")) == 2500
    assert "line 2" in run(site, "user", "import", "-", typed="name,daily\nnew,x\n", code=1)
    assert told(site, "usage", "--by", "day", "--since", "2026-01-01", "--until", "2026-01-31")["lines"] == []
    assert "no session" in run(site, "user", "kick", "user0001", "go home", code=1)


def test_what_tasks_took_is_reported(site: Site) -> None:
    """By user, node and job, after the master has written it down; a restart keeps it."""
    site.start_node("a")
    with Cluster(socket=site.socket) as cluster:
        job = cluster.jobs()[0].job
        assert list(cluster.map(time.sleep, [0.2] * 5)) == [None] * 5
    site.daemons[0].stop()
    site.start_master()
    for axis, key in (("node", "a"), ("job", str(job)), ("user", getpass.getuser())):
        (line,) = told(site, "usage", "--by", axis)["lines"]
        assert line["key"] == key
        assert line["tasks"] == 5
        assert line["core_seconds"] == line["wall"] >= 1.0
    assert "#" * 40 in run(site, "usage", "--by", "day")


QUOTA = {"quota applies to": "sessions, tasks"}
ME = getpass.getuser()


def test_hours_of_accounts_hold_in_the_queue(tmp_path: Path) -> None:
    """By the command line: tasks wait outside openings, run within, stop when their owner is disabled, are charged."""
    with Site(tmp_path, server=QUOTA | {"time zone": noon_zone()}) as site:
        site.start_master()
        site.start_node("a", slots=2)
        told(site, "user", "add", ME, "--enable")
        job = run(site, "submit", "-n", "1", "--", "sleep", "600").strip()
        outside = f"outside opening hours of {ME}; `asyncluster opening add` makes some, --for {ME}"
        assert told(site, "explain", "task", job, "0")["reason"] == outside
        assert "wait: outside opening hours" in run(site, "user", "show", ME)
        with Jobs(socket=site.socket) as jobs:
            run(site, "opening", "add", "daily", "00:00", "24:00")
            until(jobs, job, 0, "running")
            run(site, "user", "disable", ME)
            until(jobs, job, 0, f"the account {ME} is disabled")
            run(site, "user", "enable", ME)
            until(jobs, job, 0, "running")
            run(site, "job", "cancel", job)
            run(site, "user", "limit", ME, "--daily", "0")
            last = run(site, "submit", "--", "true").strip()
            until(jobs, last, 0, f"{ME} has no hours a day")
            run(site, "user", "unrestrict", ME)
            run(site, "job", "wait", last)


def test_limits_of_slots_and_queued_tasks_hold(tmp_path: Path) -> None:
    """By the command line, whatever hours are for: those beyond wait or are refused, until the limit is raised."""
    with Site(tmp_path) as site:
        site.start_master()
        site.start_node("a", slots=3)
        assert told(site, "user", "add", ME, "--slots", "1", "--queued", "4")["slots"] == 1
        refused = run(site, "submit", "--array", "1-9", "--", "sleep", "600", code=1)
        assert "may have 4" in refused
        assert f"`asyncluster user limit {ME} --queued N`" in refused
        assert "is no limit" in run(site, "user", "limit", ME, "--slots", "-1", code=2)
        with Jobs(socket=site.socket) as jobs:
            assert jobs.all() == []
            job = run(site, "submit", "--array", "1-3", "--", "sleep", "600").strip()
            until(jobs, job, 0, "running")
            until(jobs, job, 1, f"1 of the 1 slot that {ME} may have at once are in use")
            run(site, "user", "limit", ME, "--slots", "2")
            until(jobs, job, 1, "running")
            until(jobs, job, 2, f"2 of the 2 slots that {ME} may have at once are in use")
            assert f"{ME},no,yes,none,none,2,4" in run(site, "user", "export")
            run(site, "user", "import", "-", typed=f"name,slots,queued\n{ME},none,none\n")
            until(jobs, job, 2, "running")


def until(jobs: Jobs, job: str, task: int, words: str) -> None:
    """That task's state or reason has these words."""
    deadline = time.monotonic() + 60
    while True:
        answer = jobs.explain(int(job), task)
        if answer["state"] == words or answer["reason"].startswith(words):
            return
        assert time.monotonic() < deadline, f"task {task} of job {job} is not {words!r}, but {answer}"
        time.sleep(0.05)
