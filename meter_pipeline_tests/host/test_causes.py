"""One true cause for each way in which a machine refuses, whichever library meets it."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import event

from meter_pipeline.host import causes
from meter_pipeline.host.causes import Cause, explain, find_cause
from meter_pipeline.store.errors import LedgerError, WarehouseError
from meter_pipeline.store.ledger import database
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse.build import reading

_NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may look into, as pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def _without_rights() -> Iterator[None]:
    """Root may write everywhere: its rights are laid down for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def _database(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t (a)")
        for statement in statements:
            connection.execute(statement)
    return path


def _cause_of_writing(connection: sqlite3.Connection, path: Path) -> Cause | None:
    with pytest.raises(sqlite3.Error) as raised:
        connection.executescript("begin; insert into t select zeroblob(100000); commit")
    return find_cause(raised.value, path)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "x/y: the disk is full; free some space on it"),
        (errno.EDQUOT, "x/y: the disk quota is used up; free some space, or have the quota raised"),
        (errno.EROFS, "x/y: the file system is read-only; mount it writable, or name another folder by METER_DATA_DIR"),
        (errno.EACCES, "x/y: permission denied; give this user the right, or name another folder by METER_DATA_DIR"),
        (errno.EMFILE, "x/y: too many files are open; raise the limit, as by ulimit -n 4096"),
        (errno.ENOTDIR, "x/y: Not a directory"),
    ],
)
def test_an_error_of_the_system_names_the_file_the_cause_and_the_way_out(number: int, said: str) -> None:
    assert explain(OSError(number, os.strerror(number), "x/y")) == said


def test_a_librarys_words_around_those_of_the_system_have_the_same_cause() -> None:
    arrow = OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device")
    assert find_cause(arrow) == causes.FULL
    assert find_cause(duckdb.IOException('IO Error: Cannot open file "x": Permission denied')) == causes.FORBIDDEN
    assert find_cause(ValueError("something else")) is None


def test_a_full_disk_of_sqlite_is_no_other_program(tmp_path: Path) -> None:
    path = _database(tmp_path / "l.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma max_page_count = 3")
        assert _cause_of_writing(connection, path) == causes.FULL


def test_a_file_of_sqlite_that_another_holds_is_no_full_disk(tmp_path: Path) -> None:
    path = _database(tmp_path / "l.sqlite")
    with closing(sqlite3.connect(path)) as other, closing(sqlite3.connect(path, timeout=0)) as connection:
        other.execute("begin exclusive")
        assert _cause_of_writing(connection, path) == causes.LOCKED


def test_missing_rights_are_reported_from_a_damaged_file(folder: Path) -> None:
    path = _database(folder / "l.sqlite")
    path.chmod(0o444)
    folder.chmod(0o555)
    with _without_rights(), closing(sqlite3.connect(path)) as connection:
        assert _cause_of_writing(connection, path) == causes.FORBIDDEN
    folder.chmod(0o755)
    path.chmod(0o644)
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    with closing(sqlite3.connect(path)) as connection:
        assert _cause_of_writing(connection, path) == causes.DAMAGED


def test_what_cannot_be_opened_is_looked_at(tmp_path: Path) -> None:
    for path, cause in ((tmp_path, causes.NO_FILE), (tmp_path / "none" / "l.sqlite", causes.NO_FOLDER)):
        with pytest.raises(sqlite3.OperationalError) as raised:
            sqlite3.connect(path)
        assert find_cause(raised.value, path) == cause


def test_a_file_that_is_moved_away_while_it_is_open_is_gone(tmp_path: Path) -> None:
    path = _database(tmp_path / "l.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("select * from t").fetchall()
        path.rename(tmp_path / "elsewhere")
        assert _cause_of_writing(connection, path) == causes.GONE


def test_a_read_only_file_system_is_no_matter_of_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _database(tmp_path / "l.sqlite")
    real = os.statvfs(tmp_path)

    class ReadOnly:
        f_flag, f_bavail, f_frsize = real.f_flag | os.ST_RDONLY, real.f_bavail, real.f_frsize

    monkeypatch.setattr(os, "statvfs", lambda _: ReadOnly)
    said = sqlite3.OperationalError("attempt to write a readonly database")
    assert find_cause(said, path) == causes.READ_ONLY


def _refusal(ledger: Ledger, text: str = "x") -> str:
    with pytest.raises(LedgerError) as raised:
        ledger.note("note", text)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_ledger_names_its_file_one_cause_and_one_way_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    path = folder / "ledger.sqlite"
    with closing(Ledger.open(str(path))) as ledger:
        with closing(sqlite3.connect(path)) as other:
            other.execute("begin immediate")
            assert _refusal(ledger) == f"ledger {path}: {causes.LOCKED}"
        ledger.note("note", "x")
        ledger.close()
        event.listen(ledger._engine, "connect", lambda connection, _: connection.execute("pragma max_page_count = 1"))
        assert _refusal(ledger, "x" * 1_000_000) == f"ledger {path}: {causes.FULL}"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    with pytest.raises(LedgerError, match=r"the file is damaged .*; move the file away and sync again"):
        Ledger.open(str(path))


def test_a_ledger_without_rights_says_so(folder: Path) -> None:
    path = folder / "ledger.sqlite"
    Ledger.open(str(path)).close()
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    with _without_rights(), pytest.raises(LedgerError) as raised:
        with closing(Ledger.open(str(path))) as ledger:
            ledger.note("note", "x")
    assert str(raised.value) == f"ledger {path}: {causes.FORBIDDEN}"
    folder.chmod(0o755)


def test_a_warehouse_that_another_program_holds_need_not_be_published_again(folder: Path) -> None:
    path = folder / "warehouse.duckdb"
    duckdb.connect(str(path)).close()
    hold = f"import duckdb, sys; held = duckdb.connect({str(path)!r}); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        locked = _opening(path)
        holder.communicate()
    assert "publish it again" not in locked
    assert "end that and open the file read-only" in locked
    path.chmod(0o000)
    with _without_rights():
        assert _opening(path).endswith(causes.FORBIDDEN.way_out)
    path.chmod(0o644)
    path.write_bytes(b"junk")
    assert _opening(path).endswith("publish it again")


def _opening(path: Path) -> str:
    with pytest.raises(WarehouseError) as raised, reading(path):
        pass
    return str(raised.value)
