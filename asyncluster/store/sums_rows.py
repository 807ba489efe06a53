"""Usage and its sums as statements, on a connection inside a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from asyncluster.model.account import Span, Total, Used
from asyncluster.store.rows import read_counter, write_counter
from asyncluster.store.tables import LONG, USAGE, sessions, totals, usage

SHORT = 2 * 86400.0
"""Seconds: a session that is no longer and reaches beyond an interval began this much before its end, see `LONG`."""

Line = dict[str, Any]
"""A line of a report: `key`, and the numbers of `model.account.Total`."""


def add_used(connection: sa.Connection, batch: int, used: Sequence[Used], sums: Sequence[Total]) -> None:
    """Add a batch of usage; batches are numbered from 1, and one that was added is not added again."""
    if read_counter(connection, USAGE) < batch:
        _add(connection, usage, [attrs.asdict(each) for each in used])
        add_totals(connection, sums)
        write_counter(connection, USAGE, batch)


def add_totals(connection: sa.Connection, sums: Sequence[Total]) -> None:
    """Add to the sums."""
    _add(connection, totals, [attrs.asdict(each) for each in sums])


def _add(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    statement = _insert(connection, table)
    news = statement.excluded
    grown = {
        column.name: sa.case((news.memory > column, news.memory), else_=column)
        if column.name == "memory"
        else column + news[column.name]
        for column in table.columns
        if not column.primary_key
    }
    connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=grown), rows)


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    """As this database has it: two classes that are alike and are no kin."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # takes a while, and most masters need it not

        return postgresql.insert(table)
    return sqlite.insert(table)


def tasks_since(connection: sa.Connection, since: float) -> list[tuple[str, float, float]]:
    """What tasks used from that instant on: (owner, hour, core-seconds)."""
    found = sa.select(usage.c.owner, usage.c.hour, sa.func.sum(usage.c.core_seconds)).where(usage.c.hour >= since)
    rows = connection.execute(found.group_by(usage.c.owner, usage.c.hour))
    return [(row[0], float(row[1]), float(row[2])) for row in rows]


def report(connection: sa.Connection, axis: str, span: Span) -> list[Line]:
    """Sums by user, day, node or job; the largest first, days in their order."""
    # by position: to look columns up by name takes as long as the sums themselves
    lines: dict[str, Line] = {
        key: {
            "key": key,
            "sessions": int(begun),
            "seat_seconds": float(seat),
            "tasks": int(tasks),
            "core_seconds": float(core),
            "wall": float(wall),
            "memory": int(memory),
        }
        for key, tasks, core, wall, begun, seat, memory in connection.execute(_of_totals(axis, span))
    }
    if axis != "day":  # days are whole in the sums
        for begin, end in span.edges:
            for row in connection.execute(_of_usage(axis, begin, end)).mappings():
                _put(lines, row)
            if axis != "job":
                for key, begun, seat in connection.execute(_of_sessions(axis, begin, end)):
                    line = lines.get(key)
                    if line is None:
                        line = lines[key] = _line(key)
                    line["sessions"] += int(begun)
                    line["seat_seconds"] += float(seat)
    if axis == "day":
        return sorted(lines.values(), key=lambda line: str(line["key"]))
    return sorted(lines.values(), key=lambda line: (-line["seat_seconds"] - line["core_seconds"], line["key"]))


def _line(key: str) -> Line:
    return {
        "key": key,
        "sessions": 0,
        "seat_seconds": 0.0,
        "tasks": 0,
        "core_seconds": 0.0,
        "wall": 0.0,
        "memory": 0,
    }


def _put(lines: dict[str, Line], row: Any) -> None:
    line = lines.setdefault(row["key"], _line(row["key"]))
    for name, value in row.items():
        if name == "memory":
            line[name] = max(line[name], int(value))
        elif name != "key":
            line[name] += float(value) if name in ("seat_seconds", "core_seconds", "wall") else int(value)


def _of_totals(axis: str, span: Span) -> sa.Select[Any]:
    sums = sa.select(totals.c.key, *_sums(totals, "sessions", "seat_seconds")).where(totals.c.axis == axis)
    if axis == "day":
        sums = sums.where(totals.c.key.between(span.first_day, span.last_day))
    else:
        sums = sums.where(totals.c.month.between(span.first_month, span.last_month))
    return sums.group_by(totals.c.key)


def _sums(table: sa.Table, *more: str) -> list[sa.Label[Any]]:
    added = ("tasks", "core_seconds", "wall", *more)
    found = [sa.func.sum(table.c[name]).label(name) for name in added]
    return [*found, sa.func.max(table.c.memory).label("memory")]


def _of_usage(axis: str, begin: float, end: float) -> sa.Select[Any]:
    column = {"user": usage.c.owner, "node": usage.c.node, "job": sa.cast(usage.c.job, sa.Text)}[axis]
    within = sa.and_(usage.c.hour >= begin, usage.c.hour < end)
    return sa.select(column.label("key"), *_sums(usage)).where(within).group_by(column)


def _of_sessions(axis: str, begin: float, end: float) -> sa.Select[Any]:
    """Sessions that have ended and lie in the interval, cut to it; each by the one index that finds it."""
    names = (sessions.c[axis], sessions.c.begun, sessions.c.ended)
    here = sa.select(*names).where(sessions.c.ended > begin, sessions.c.ended <= end, sessions.c.reason != "")
    over = sessions.c.reason != ""
    short = sa.select(*names).where(
        sessions.c.begun < end,
        sessions.c.begun >= end - SHORT,
        sessions.c.ended + 0.0 > end,  # as a sum, so that nobody goes by the index of `ended`
        sa.text(f"NOT ({LONG})"),
        over,
    )
    long = sa.select(*names).where(sa.text(LONG), sessions.c.begun < end, sessions.c.ended > end, over)
    found = sa.union_all(here, short, long).subquery()
    first = sa.case((found.c.begun > begin, found.c.begun), else_=begin)
    last = sa.case((found.c.ended < end, found.c.ended), else_=end)
    began = sa.case((found.c.begun >= begin, 1), else_=0)
    key = found.c[axis]
    return sa.select(
        key.label("key"), sa.func.sum(began).label("sessions"), sa.func.sum(last - first).label("seat_seconds")
    ).group_by(key)
