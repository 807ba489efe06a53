"""Fixtures of the tests with real databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asyncluster.testing.postgresql import TemporaryPostgres, postgresql_programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[TemporaryPostgres]:
    """A PostgreSQL server for the whole run."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'asyncluster[postgresql]'")
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed; on Debian: apt-get install postgresql")
    with TemporaryPostgres(programs) as server:
        yield server
