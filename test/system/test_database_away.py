"""A real master whose database is not there: at its start, and later."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster import Cluster
from asyncluster.errors import AsynClusterError
from asyncluster.testing.postgresql import TemporaryPostgres, postgresql_programs
from asyncluster.testing.site import Site

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

PASSWORD = "a password of the test"


@pytest.fixture(scope="module")
def postgres() -> Iterator[TemporaryPostgres]:
    """A server of ours."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'asyncluster[postgresql]'")
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed; on Debian: apt-get install postgresql")
    with TemporaryPostgres(programs) as server:
        yield server


def count(site: Site, words: str) -> int:
    return site.daemons[0].text().count(words)


def connect(site: Site, name: str, durable: bool = True) -> Cluster:
    return Cluster(f"127.0.0.1:{site.port}", user=name, password=PASSWORD, durable=durable)


def test_a_server_that_comes_late_and_goes(postgres: TemporaryPostgres, tmp_path: Path) -> None:
    """The master waits for it and says so once.  While it is away nobody new is let in; who is in goes on working."""
    import psycopg

    name = f"test_{random.getrandbits(48):x}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    postgres.stop()
    with Site(tmp_path, server={"database": postgres.url(name)}) as site:
        try:
            master = site.start_master(wait=False)
            master.wait_for("the database is away")
            site.start_node("a", wait=False)
        finally:
            postgres.start()
        master.wait_for("ready at socket")
        site.daemons[1].wait_for("registered with the master")
        assert count(site, "database is away") == 1
        for user in ("jane", "bob"):
            site.add_user(user, PASSWORD)
        with connect(site, "jane") as jane:
            assert jane.submit(sum, [1, 2]).result(timeout=60) == 3
            postgres.stop()
            try:
                for _ in range(2):
                    with pytest.raises(AsynClusterError, match="database is away"):
                        connect(site, "bob")
                with connect(site, "jane", durable=False) as again:  # a job that is to be kept would wait
                    assert [node.name for node in again.nodes()] == ["a"]
                waiting = jane.submit(sum, [3, 4])
                assert count(site, "database of accounts is away") == 1
            finally:
                postgres.start()
            assert waiting.result(timeout=60) == 7
        with connect(site, "bob") as bob:
            assert bob.nodes()
        assert postgres.password not in master.text()


def test_a_master_that_waits_can_be_stopped(postgres: TemporaryPostgres, tmp_path: Path) -> None:
    """At once, and that is no failure."""
    postgres.stop()
    try:
        with Site(tmp_path, server={"database": postgres.url()}) as site:
            master = site.start_master(wait=False)
            master.wait_for("the database is away")
            assert master.stop() == 0
    finally:
        postgres.start()


def test_the_file_was_moved(tmp_path: Path) -> None:
    """It is told once; nobody new is let in until it is back; tasks of those who are in lose nothing."""
    with Site(tmp_path) as site:
        site.start_master()
        site.start_node("a")
        for user in ("jane", "bob"):
            site.add_user(user, PASSWORD)
        path = tmp_path / "state" / "asyncluster.sqlite"
        with connect(site, "jane") as jane:
            assert jane.submit(sum, [1, 2]).result(timeout=60) == 3
            path.rename(tmp_path / "moved")
            for _ in range(2):
                with pytest.raises(AsynClusterError, match="database is away"):
                    connect(site, "bob")
            waiting = jane.submit(sum, [3, 4])
            assert count(site, "was removed, or another file put in its place") >= 1
            (tmp_path / "moved").rename(path)
            assert waiting.result(timeout=60) == 7
        with connect(site, "bob") as bob:
            assert bob.nodes()
        assert count(site, "database of accounts is away") == 1


def test_in_memory_it_says_so(tmp_path: Path) -> None:
    """The original's words are understood; that all is forgotten is told when somebody first asks for accounts."""
    with Site(tmp_path, server={"database": "sqlite://:memory:"}) as site:
        master = site.start_master()
        site.add_user("jane", PASSWORD)
        master.wait_for("forgotten when the master stops")
        with connect(site, "jane") as jane:
            assert jane.nodes() == []
        assert not (tmp_path / "state" / "asyncluster.sqlite").exists()
