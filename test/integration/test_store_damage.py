"""A journal in a file that is broken, strange or has no room: said by name, never made anew in silence."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from twisted.logger import LogEvent, LogLevel, eventAsText, globalLogPublisher

from asyncluster.errors import StoreDamagedError, StoreError
from asyncluster.model.journal import Entry, StoredJob
from asyncluster.store.journal import Journal
from asyncluster.store.keeper import keeper_for
from asyncluster.store.records import Found
from asyncluster.store.tables import REVISION
from asyncluster.testing.loop import CallLoop
from asyncluster.testing.postgresql import TemporaryPostgres

pytestmark = pytest.mark.real

ENTRIES = [Entry(1, 1, b"<%d>" % number + b"x" * 3000) for number in range(200)]
JOB = StoredJob(1, "somebody", {"a": 1}, 12345.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a journal that was closed well; nothing is left in a -wal."""
    path = tmp_path / "state" / "journal.sqlite"
    fill(f"sqlite:///{path}")
    return path


def fill(url: str, entries: Sequence[Entry] = ENTRIES) -> None:
    loop = CallLoop()
    journal = Journal(loop, url)
    loop.result(journal.open())
    journal.open_job(JOB)
    for entry in entries:
        journal.append(entry)
    loop.result(journal.close())


def look(path: Path, set_aside: bool = False) -> Found:
    keeper = keeper_for(f"sqlite:///{path}")
    try:
        return keeper.open(set_aside)
    finally:
        keeper.close()


@contextlib.contextmanager
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_the_file_and_its_folder_are_private(path: Path) -> None:
    """Also what SQLite makes beside it, while it is in use."""
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    keeper = keeper_for(f"sqlite:///{path}")
    keeper.open()
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    keeper.close()
    assert files == {f"journal.sqlite{tail}": 0o600 for tail in ("", "-wal", "-shm", ".lock")}
    assert look(path) == Found([JOB], ENTRIES, next_job=2)


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_to_its_head(path: Path) -> None:
    os.truncate(path, 100)


def zeros_in_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(bytes(8192))


def flipped_in_an_entry(path: Path) -> None:
    flip(path, b"<77>")


def flipped_in_the_last_entry(path: Path) -> None:
    flip(path, b"<199>")


def flipped_in_a_job(path: Path) -> None:
    flip(path, b"somebody")


def flip(path: Path, words: bytes) -> None:
    data = bytearray(path.read_bytes())
    where = data.index(words)
    assert data.count(words) == 1
    data[where + 1] ^= 4
    path.write_bytes(data)


def row_of_another_job(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE journal SET job = 2 WHERE id = 50")


def lost_counter(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE counters SET value = 1")


def lost_table(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE counters")


def lost_with_its_wal_left(path: Path) -> None:
    path.rename(path.with_name("journal.sqlite-wal"))


DAMAGES = [
    garbage,
    emptied,
    truncated,
    cut_to_its_head,
    zeros_in_the_middle,
    flipped_in_an_entry,
    flipped_in_the_last_entry,
    flipped_in_a_job,
    row_of_another_job,
    lost_counter,
    lost_table,
    lost_with_its_wal_left,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_and_set_aside_only_when_asked(path: Path, damage: Callable[[Path], None]) -> None:
    """The error names the file and stays; with set_aside it is renamed, the log says so, and a new one begins."""
    damage(path)
    damaged = {file.name for file in path.parent.iterdir() if file.suffix != ".lock"}
    for _ in range(2):
        with pytest.raises(StoreDamagedError, match=str(path)) as caught:
            look(path)
        assert caught.value.place == str(path)
        assert caught.value.hint
    with logged() as events:
        found = look(path, set_aside=True)
    assert without_place(found) == Found([], [], next_job=1)
    assert found.set_aside.startswith(f"{path}.damaged-2")
    aside = {file.name.removeprefix(Path(found.set_aside).name) for file in path.parent.glob("*.damaged-*")}
    assert {f"journal.sqlite{tail}" for tail in aside} >= damaged - {"journal.sqlite-shm", "journal.sqlite-wal"}
    (event,) = [event for event in events if event["log_level"] is LogLevel.error]
    assert str(path) in eventAsText(event)
    assert found.set_aside in eventAsText(event)
    assert look(path) == Found([], [], next_job=1)


def without_place(found: Found) -> Found:
    return Found(found.jobs, found.entries, found.next_job)


def test_rows_that_vanish_are_missed(tmp_path: Path) -> None:
    """A page of the table counts one row less than it has: all that can be read is sound, and still it is damage."""
    path = tmp_path / "journal.sqlite"
    fill(f"sqlite:///{path}", [Entry(1, 1, b"<%d>" % number) for number in range(500)])
    data = bytearray(path.read_bytes())
    page = data.index(b"<77>") // 4096 * 4096
    assert data[page] == 13  # a leaf of a table; its rows are counted in the bytes 3 and 4
    count = int.from_bytes(data[page + 3 : page + 5], "big")
    data[page + 3 : page + 5] = (count - 1).to_bytes(2, "big")
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match=str(path)):
        look(path)


def test_set_aside_leaves_a_sound_file_alone(path: Path) -> None:
    """And what was set aside is never overwritten by the next one."""
    assert look(path, set_aside=True) == Found([JOB], ENTRIES, next_job=2)
    names = set()
    for _ in range(3):
        garbage(path)
        names.add(look(path, set_aside=True).set_aside)
    assert len(names) == 3
    assert all(Path(name).stat().st_size == 5000 for name in names)


def test_a_newer_schema_is_no_damage(path: Path) -> None:
    """Its data are good: the error names both revisions, and not even set_aside moves it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '7777'")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"schema 7777.* up to {REVISION}") as caught:
        look(path, set_aside=True)
    assert not isinstance(caught.value, StoreDamagedError)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_crash_while_the_file_was_made_leaves_no_trace(tmp_path: Path) -> None:
    """It has its name only once it is whole; what was begun is begun again."""
    for tail in ("", "-wal", "-shm"):
        (tmp_path / f"journal.sqlite.new{tail}").write_bytes(b"half")
    assert look(tmp_path / "journal.sqlite") == Found([], [], next_job=1)
    assert not list(tmp_path.glob("*.new*"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match=str(tmp_path / "state" / "journal.sqlite")):
        look(tmp_path / "state" / "journal.sqlite")


def test_odd_names_are_only_names(tmp_path: Path) -> None:
    """What means something in a URL or in a configuration means nothing in a path."""
    path = tmp_path / "50% of #1" / "a&b=c.sqlite"
    fill(f"sqlite:///{path}")
    assert path.exists()
    assert look(path).entries == ENTRIES


def test_damage_in_postgresql_is_told_and_left(postgres: TemporaryPostgres) -> None:
    """Only files are set aside; the error names the database without its password."""
    import psycopg

    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE damaged")
    url = postgres.url("damaged")
    fill(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE journal SET data = 'x' WHERE id = 20")
    for set_aside in (False, True):
        keeper = keeper_for(url)
        with pytest.raises(StoreError, match=r"postgresql://asyncluster:\*\*\*@/damaged.* is damaged"):
            keeper.open(set_aside)
        keeper.close()


FULL = """
import os, resource, sys
from twisted.internet import reactor
from asyncluster.store.journal import Journal
from asyncluster.store.tables import REVISION
from asyncluster.model.journal import Entry

journal = Journal(reactor, sys.argv[1])
sent = 0

def more():
    global sent
    for _ in range(20):
        journal.append(Entry(1, 1, b"%d " % sent + b"x" * 10000))
        sent += 1
    journal.when_durable(lambda number=sent: durable(number))

def durable(number):
    print("durable", number, flush=True)
    if not ended:
        more()
        more()

def failed(error):
    print("failed", error, flush=True)
    reactor.callInThread(make_room)

def make_room():
    input()
    if sys.argv[2]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

ended = []

def healed():
    print("healed", flush=True)
    ended.append(True)
    journal.when_durable(end)

def end():
    print("sent", sent, flush=True)
    journal.close().addCallback(lambda _: reactor.stop())

journal.failed, journal.healed = failed, healed

def begin(found):
    if sys.argv[2]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    more()

journal.open().addCallbacks(begin, lambda failure: (failure.printTraceback(), reactor.stop()))
reactor.run()
"""


def runs_out_of_room(tmp_path: Path, path: Path, limit: str, make_room: Callable[[], object]) -> str:
    """Writes until there is no room; makes some; gives what was said of the failure.  All is in the file then."""
    (tmp_path / "full.py").write_text(FULL)
    command = [sys.executable, str(tmp_path / "full.py"), f"sqlite:///{path}", limit]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("failed"):
                break
        make_room()
        process.stdin.write("\n")
        process.stdin.close()
        after = process.stdout.readlines()
    failed = lines.pop()
    assert all(line.startswith("durable") for line in lines)
    assert after[0] == "healed\n"
    assert after[-1].startswith("sent")
    sent = int(after[-1].split()[1])
    assert [int(entry.data.split()[0]) for entry in look(path).entries] == list(range(sent))
    return failed


def test_no_room_for_the_file_is_waited_out(tmp_path: Path) -> None:
    """A limit on the size of files is met and lifted: nothing is lost, nothing is there twice."""
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.skip("the size of files is limited here")
    path = tmp_path / "journal.sqlite"
    assert str(path) in runs_out_of_room(tmp_path, path, str(2**20), lambda: None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_waited_out(tmp_path: Path, small_disk: Path) -> None:
    """The disk is full, somebody makes room: nothing is lost, nothing is there twice."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 * 2**20))
    path = small_disk / "journal.sqlite"

    def make_room() -> None:
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)

    failed = runs_out_of_room(tmp_path, path, "", make_room)
    assert f"{path}: database or disk is full" in failed
