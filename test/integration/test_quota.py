"""Limits of accounts in the queue, at a real master with SQLite and a real node."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from asyncluster import Cluster, LimitExceededError, RefusedError
from asyncluster.client.accounts import Accounts
from asyncluster.client.attach import Jobs
from asyncluster.errors import ProofError
from asyncluster.model.account import Opening
from asyncluster.testing.site import Site, noon_zone
from asyncluster.testing.waiting import until

pytestmark = pytest.mark.real
ME = getpass.getuser()
LIMIT = 60


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, server={"time zone": noon_zone(), "quota applies to": "sessions, tasks"}) as site:
        site.start_master()
        site.start_node("a", slots=2)
        yield site


@pytest.fixture
def accounts(site: Site) -> Iterator[Accounts]:
    with Accounts(socket=site.socket) as accounts:
        accounts.add_openings([Opening(weekday=day) for day in range(7)])
        yield accounts


def test_a_map_rides_through_a_limit_of_queued_tasks(site: Site, accounts: Accounts) -> None:
    """All values come, each once; a single call beyond the limit is refused, and says so."""
    accounts.add(ME, None, enabled=True, restricted=False, queued=3)
    with Cluster(socket=site.socket) as cluster:
        assert list(cluster.map(abs, range(-60, 0), chunksize=1)) == list(range(60, 0, -1))
        assert list(cluster.map(abs, iter(range(-40, 0)))) == list(range(40, 0, -1))
        futures = [cluster.submit(time.sleep, 0.3) for _ in range(20)]  # most come before any has ended
        errors = [error for future in futures if (error := future.exception(LIMIT)) is not None]
        assert errors
        for error in errors:
            assert isinstance(error, RefusedError)
            assert error.needs == ("queued",)
            assert f"{ME} has 3 tasks queued, and may have 3" in str(error)
        accounts.set(ME, "limit", queued=None)
        assert len([cluster.submit(abs, 1).result(LIMIT) for _ in range(20)]) == 20


def test_the_same_limits_hold_across_the_network(site: Site, accounts: Accounts) -> None:
    """By the account that was proven; on the UNIX socket somebody without an account runs meanwhile."""
    password = "jane's own password"
    accounts.add("jane", password, enabled=True, daily=0, slots=1)
    with Cluster(f"127.0.0.1:{site.port}", user="jane", password=password) as cluster, Jobs(socket=site.socket) as jobs:
        waiting = cluster.submit(abs, -3)
        until(lambda: jobs.explain(cluster.job, 0)["reason"].startswith("jane has no hours a day; `asyncluster user"))
        with Cluster(socket=site.socket) as other:
            assert other.submit(abs, -4).result(LIMIT) == 4
        accounts.set("jane", "limit", daily=None)
        assert waiting.result(LIMIT) == 3
        sleeping = [cluster.submit(time.sleep, 600) for _ in range(2)]
        until(lambda: jobs.explain(cluster.job, 2)["reason"].startswith("1 of the 1 slot that jane may have at once"))
        for change in ({"slots": -1}, {"queued": -5}, {"slots": True}, {"slots": "many"}, {"places": 3}):
            with pytest.raises(RefusedError, match=r"limit of|cannot be|has no places"):
                accounts.set("jane", "limit", **change)
        assert not any(future.done() for future in sleeping)
        jobs.cancel(cluster.job)


def test_who_is_disabled_is_cut_off(site: Site, accounts: Accounts) -> None:
    """In the midst of what he does across the network; he is told why, and is let in again when he may."""
    password = "jane's own password"
    accounts.add("jane", password, enabled=True, restricted=False)
    where = {"user": "jane", "password": password}
    with Cluster(f"127.0.0.1:{site.port}", **where) as cluster, Cluster(socket=site.socket) as mine:
        assert cluster.submit(abs, -3).result(LIMIT) == 3
        future = cluster.submit(time.sleep, 600)
        accounts.set("jane", "disable", enabled=False)
        with pytest.raises(RefusedError, match="the account jane is disabled; an administrator can"):
            future.result(LIMIT)
        with pytest.raises(ProofError), Cluster(f"127.0.0.1:{site.port}", **where):
            pass
        accounts.set("jane", "enable", enabled=True)
        with Cluster(f"127.0.0.1:{site.port}", **where) as again:
            assert again.submit(abs, -4).result(LIMIT) == 4
        assert mine.submit(abs, -5).result(LIMIT) == 5


def test_hours_charged_are_hours_used_also_after_a_restart(site: Site, accounts: Accounts) -> None:
    """At the limit tasks wait; a new master knows what was used, and says the same in the usage."""
    accounts.add(ME, None, enabled=True, daily=2)
    cluster = Cluster(socket=site.socket, name="hours", reconnect=LIMIT)
    assert cluster.submit(time.sleep, 3.0).result(LIMIT) is None
    waiting = cluster.submit(abs, -7)
    with Jobs(socket=site.socket, reconnect=LIMIT) as jobs:
        reason = f"{ME}'s hours for today are used up; again on "
        until(lambda: reason in jobs.explain(cluster.job, 1)["reason"])
        site.daemons[0].stop()
        site.start_master()
        until(lambda: reason in jobs.explain(cluster.job, 1)["reason"])
    assert not waiting.done()
    with Accounts(socket=site.socket) as again:
        days = [(date.today() + timedelta(days=number)).isoformat() for number in (-1, 1)]
        (line,) = again.usage("user", *days)
        assert line["key"] == ME
        assert line["tasks"] == 1
        assert line["core_seconds"] == line["wall"] >= 3.0
        assert again.show(ME)["tasks_wait"].startswith("2s a day are used up")
        again.set(ME, "limit", daily=3600)
        assert waiting.result(LIMIT) == 7
    cluster.shutdown()


def test_memory_and_time_of_what_was_ended_are_in_the_usage(site: Site) -> None:
    """Of a task that went over its limit of time, and the most memory of one that asked for some."""

    def grow() -> int:
        held = bytearray(60 << 20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(1.5)
        return len(held)

    with Cluster(socket=site.socket, memory=300 << 20, time_limit=4.0) as cluster:
        assert cluster.submit(grow).result(LIMIT) == 60 << 20
        with pytest.raises(LimitExceededError):
            cluster.submit(time.sleep, 600).result(LIMIT)
        job = str(cluster.job)
    site.daemons[0].stop()
    site.start_master()
    with Accounts(socket=site.socket) as accounts:
        days = [(date.today() + timedelta(days=number)).isoformat() for number in (-1, 1)]
        (line,) = [line for line in accounts.usage("job", *days) if line["key"] == job]
    assert line["tasks"] == 2
    assert line["wall"] >= 5.0
    assert 60 << 20 <= line["memory"] <= 300 << 20
