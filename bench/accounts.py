"""`python -m bench.accounts`: 10,000 users with a year of sessions: logins, two hundred at once, reports of the year.

Fills a database (SQLite in a temporary folder, and PostgreSQL where its server is installed), then measures what a
master does: the decision about one login (`Sessions.login` without the hash of the password, which is made to take
time, and with it), 200 logins at once with it, and reports of a year by user, node and day.  Beside the seconds that
passed stands the processor time of this process, by which a loaded machine can be told.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import sqlalchemy as sa
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.threads import deferToThread

from asyncluster.accounts.calendar import instant
from asyncluster.accounts.passwords import hash_password
from asyncluster.accounts.report import AXES, span, summed, totals_of_session, totals_of_used
from asyncluster.accounts.visit import Visit
from asyncluster.master.registry import Registry
from asyncluster.master.sessions import Sessions
from asyncluster.model.account import Account, Opening, Session, Total, Used
from asyncluster.model.pages import to_pages
from asyncluster.store import people_rows, sums_rows
from asyncluster.store.address import parse_address
from asyncluster.store.journal import Journal
from asyncluster.store.keeper import backend_for
from asyncluster.store.people import People
from asyncluster.store.tables import sessions as table
from asyncluster.testing.postgresql import TemporaryPostgres, postgresql_programs
from asyncluster.wire.verifiers import VerifierFile

ZONE = ZoneInfo("Europe/Berlin")
TODAY = date(2026, 11, 20)
NOW = instant(ZONE, TODAY, 600)
PASSWORD = "a password of the bench"
NODES = 500
JOBS = 100
"""A working day."""


def days_of_year(names: list[str], random: Random) -> Iterator[list[Session]]:
    """A session of each on every working day; numbered as they begin, as a master does."""
    day, number = TODAY - timedelta(days=365), 0
    while day < TODAY:
        if day.weekday() < 5:
            some = []
            for name in names:
                begun = instant(ZONE, day) + random.randint(7 * 3600, 20 * 3600)
                node = f"desk-{random.randrange(NODES)}"
                some.append(Session(0, name, node, begun, begun + random.randint(600, 6 * 3600), "left"))
            some.sort(key=lambda each: each.begun)
            yield [attrs.evolve(each, number=number + place) for place, each in enumerate(some, 1)]
            number += len(some)
        day += timedelta(days=1)


def jobs_of_day(some: list[Session], random: Random) -> list[Used]:
    """Some of those who are there have a job as well, on one node; numbered from 1."""
    first = (some[0].number - 1) // len(some) * JOBS + 1
    return [
        Used(each.begun // 3600 * 3600, each.user, f"node-{random.randrange(NODES)}", "", first + place, 100, 4e4, 1e4)
        for place, each in enumerate(random.choices(some, k=JOBS))
    ]


def fill(url: str, users: int) -> int:
    """Write it; how many sessions."""
    random, kept = Random(1), hash_password(PASSWORD)
    backend = backend_for(parse_address(url))
    names = [f"user{number:05}" for number in range(users)]
    count, sums = 0, list[Total]()
    with backend.connect_beside() as connection:
        with connection.begin():
            people_rows.put_users(
                connection, [Account(name, True, daily=8 * 3600, weekly=30 * 3600, argon2=kept) for name in names]
            )
            people_rows.put_openings(connection, [Opening(weekday=day, start=420, end=1320) for day in range(7)])
            for index in table.indexes:
                index.drop(connection)
        for some in days_of_year(names, random):
            count += len(some)
            sums += (total for each in some for total in totals_of_session(ZONE, each))
            sums = summed(sums) if len(sums) > 500_000 else sums
            jobs = jobs_of_day(some, random)
            with connection.begin():
                sums_rows.add_used(connection, jobs[-1].job // JOBS, jobs, totals_of_used(ZONE, jobs))
                insert(connection, [attrs.astuple(each) for each in some])
        with connection.begin():
            sums_rows.add_totals(connection, summed(sums))
            for index in table.indexes:
                index.create(connection)
    if url.startswith("postgresql"):
        engine = sa.create_engine(parse_address(url).url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    return count


def insert(connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
    """As quickly as the driver can."""
    if connection.dialect.name == "postgresql":
        cursor = connection.connection.cursor()
        with cursor.copy('COPY sessions (number, "user", node, begun, ended, reason) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)
    else:
        connection.exec_driver_sql("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", rows)


async def measure(url: str, users: int, label: str) -> None:
    """Print the figures of one database."""
    journal = Journal(reactor, url)  # type: ignore[arg-type]
    await journal.open()
    begun = time.perf_counter()
    count = await deferToThread(fill, url, users)
    say(label, f"{users} users, {count} sessions", f"filled in {time.perf_counter() - begun:.0f} s")
    people = People(reactor, url)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(people, VerifierFile(Path(folder) / "accounts"), ZONE, now=lambda: NOW)
        begun = time.perf_counter()
        found = await registry.open()
        say(label, "open", f"{time.perf_counter() - begun:.2f} s")
        await logins(registry, users, label, found.last_session)
        for axis in AXES:
            begun, spent = time.perf_counter(), time.process_time()
            lines = await people.report(axis, span(ZONE, TODAY - timedelta(days=365), TODAY, TODAY))
            pages = await deferToThread(to_pages, lines)
            took, spent = time.perf_counter() - begun, time.process_time() - spent
            size = sum(map(len, pages)) / 1024
            what = f"year by {axis} ({len(lines)} lines, {size:.0f} KiB), {spent:.2f} s of processor"
            say(label, what, f"{took:.2f} s", "<= 1 s")
    await people.close()
    await journal.close()


async def logins(registry: Registry, users: int, label: str, last: int) -> None:
    """One by one, and at once."""
    random = Random(2)
    quick = Sessions(reactor, registry, lambda work: succeed(True))  # type: ignore[arg-type]
    whole = Sessions(reactor, registry, deferToThread)  # type: ignore[arg-type]
    quick.next_number = last + 1
    for sessions, times, name in ((quick, 1000, "decision of a login"), (whole, 50, "login with its password")):
        sessions.next_number = max(quick.next_number, whole.next_number)
        took: list[float] = []
        spent = time.process_time()
        for number in range(times):
            await sessions.save()  # what the one before has left is no part of it
            begun = time.perf_counter()
            answer = await sessions.login(f"user{random.randrange(users):05}", PASSWORD, f"one-{number}")
            took.append((time.perf_counter() - begun) * 1000)
            if isinstance(answer, Visit):
                sessions.leave(answer.node)
        spent = (time.process_time() - spent) * 1000 / times
        p99 = statistics.quantiles(took, n=100)[98]
        bound = "<= 20 ms" if sessions is quick else ""
        say(
            label,
            f"{name}: {spent:.1f} ms of processor, p50 {statistics.median(took):.1f} ms, p99",
            f"{p99:.1f} ms",
            bound,
        )
    whole.next_number += 1000
    begun, spent = time.perf_counter(), time.process_time()
    answers = await gatherResults(
        [
            Deferred.fromCoroutine(whole.login(f"user{number * 7:05}", PASSWORD, f"desk-{number}"))
            for number in range(200)
        ]
    )
    granted = sum(isinstance(answer, Visit) for answer in answers)
    took_all, spent = time.perf_counter() - begun, time.process_time() - spent
    say(label, f"200 logins at once ({granted} granted), {spent:.2f} s of processor", f"{took_all:.2f} s", "<= 3 s")
    for visit in whole.seats:
        whole.leave(visit.node)
    await whole.save()


def say(label: str, what: str, figure: str, bound: str = "") -> None:
    """One line of the table."""
    print(f"{label:<11} {what:<55} {figure:>12}  {bound}", flush=True)


async def run(users: int, only: str) -> None:
    """Both databases."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if only != "postgresql":
            await measure(f"sqlite:///{folder}/bench.sqlite", users, "SQLite")
        programs = postgresql_programs()
        if programs is None:
            print("PostgreSQL is not installed", file=sys.stderr)
        elif only != "sqlite":
            server = stack.enter_context(TemporaryPostgres(programs))
            await measure(server.url(), users, "PostgreSQL")


def main() -> None:
    """Run it under a reactor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql", ""), default="")
    options = parser.parse_args()
    failed: list[Any] = []
    done = Deferred.fromCoroutine(run(options.users, options.only))
    done.addErrback(failed.append).addBoth(lambda _: reactor.stop())  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    if failed:
        failed[0].printTraceback()
        sys.exit(1)


if __name__ == "__main__":
    main()
