"""The published file is read-only and its own: what other programs do to it reaches nothing that comes later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from meter_pipeline.store.warehouse import publications
from meter_pipeline.store.warehouse.build import roll_back
from meter_pipeline.store.warehouse.published_file import log_of
from meter_pipeline_tests.behaviour.thorough import every
from meter_pipeline_tests.store.warehouse.desk import ALL, MARCH, Desk, FilledDesk, Marts

# A client that runs each line it is given, and answers with "ok" or the error.
_CLIENT = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
for line in sys.stdin:
    try:
        connection.execute(line)
        print("ok", flush=True)
    except Exception as error:
        print(str(error).splitlines()[0], flush=True)
"""
_SPOIL = "INSERT INTO marts.changes SELECT * REPLACE ('spoilt' AS item_key) FROM marts.changes LIMIT 1"


class Client:
    """Another program with the file open for reading and writing, as most clients open it."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CLIENT, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, sql: str) -> str:
        """Runs a statement; returns "ok" or the error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self, *, killed: bool) -> None:
        """Ends the program."""
        if killed:
            self.process.kill()
        self.process.communicate()


@contextmanager
def opened(path: Path) -> Iterator[Client]:
    """A client of a file whose permissions do not hold it back, as those of root do not."""
    path.chmod(0o644)
    client = Client(path)
    try:
        yield client
    finally:
        client.end(killed=True)


@pytest.fixture(scope="module")
def filled_desk(tmp_path_factory: pytest.TempPathFactory) -> FilledDesk:
    def fill(desk: Desk) -> None:
        desk.load("books", "j1", MARCH, "a")
        desk.publish(Marts())

    return FilledDesk(tmp_path_factory.mktemp("filled"), fill)


@pytest.fixture
def desk(filled_desk: FilledDesk) -> Iterator[Desk]:
    """A published warehouse."""
    with filled_desk.open() as desk:
        yield desk


def test_the_file_is_read_only_and_no_other_name_of_the_kept_one(desk: Desk) -> None:
    current = publications.find_current(desk.path)
    assert current is not None
    for file in (desk.path, current.file):
        state = file.stat()
        assert (state.st_mode & 0o777, state.st_nlink) == (0o444, 1)
    assert desk.path.read_bytes() == current.file.read_bytes()


def test_a_client_cannot_write_to_the_published_file(desk: Desk) -> None:
    with opened(desk.path) as client:
        assert "Cannot open file" in client.run(_SPOIL)
        client.end(killed=False)
    assert desk.ask(ALL) == [("books", "j1", "a")]


@pytest.mark.parametrize(
    ("moment", "guarded", "killed"), every(3, product(("before", "while"), (False, True), (False, True)))
)
def test_what_a_client_writes_is_not_in_the_next_publication(
    desk: Desk, *, guarded: bool, killed: bool, moment: str
) -> None:
    if not guarded:
        log_of(desk.path).unlink()
    desk.load("books", "j2", MARCH, "b")
    with opened(desk.path) as client:
        assert client.run("SELECT 1") == "ok"
        if moment == "before":
            client.run(_SPOIL)
            client.end(killed=killed)
            desk.publish(Marts())
        else:
            client.run(_SPOIL)
            desk.publish(Marts())
            for _ in range(2):
                client.run(_SPOIL)
                client.run("CHECKPOINT")
            client.end(killed=killed)
    good = [("books", "j1", "a"), ("books", "j2", "b")]
    assert desk.ask(ALL) == good
    desk.load("books", "j3", MARCH, "c")
    desk.publish(Marts())
    assert desk.ask(ALL) == [*good, ("books", "j3", "c")]


def test_tables_of_a_kept_file_that_somebody_has_changed_are_not_carried_on(desk: Desk) -> None:
    current = publications.find_current(desk.path)
    assert current is not None
    with opened(current.file) as client:
        assert client.run(_SPOIL) == "ok"
        client.end(killed=True)
    assert log_of(current.file).exists()
    desk.load("books", "j2", MARCH, "b")
    models = Marts()
    desk.publish(models)
    assert desk.ask(ALL) == [("books", "j1", "a"), ("books", "j2", "b")]


def test_a_published_file_that_somebody_has_changed_is_published_again(desk: Desk) -> None:
    desk.path.chmod(0o644)
    with desk.path.open("ab") as file:
        file.write(b"more")
    assert publications.current(desk.path) is None
    assert not desk.publish(Marts()).unchanged
    assert publications.current(desk.path) is not None
    desk.path.unlink()
    assert not desk.publish(Marts()).unchanged
    assert desk.ask(ALL) == [("books", "j1", "a")]


def test_a_damaged_publication_is_not_put_back(desk: Desk) -> None:
    first = publications.find_current(desk.path)
    assert first is not None
    desk.load("books", "j2", MARCH, "b")
    desk.publish(Marts())
    first.file.chmod(0o644)
    os.truncate(first.file, 100)
    with pytest.raises(Exception, match="damaged, or was moved: put another one back"):
        roll_back(desk.ledger, desk.path)
    assert len(desk.ask(ALL)) == 2
