"""What is published, what is not, what is carried on, and what can be put back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import contents, publications
from meter_pipeline.store.warehouse.build import Built, RejectedError, reading, roll_back
from meter_pipeline_tests.store.warehouse.desk import ALL, APRIL, MARCH, Desk, Marts

# How often readers are published over; more with `make slow`.
ROUNDS = int(os.environ.get("PUBLICATIONS", "4"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    yield Desk(ledger, Lake.open(str(tmp_path / "lake")), tmp_path / "warehouse.duckdb")
    ledger.close()


_BOTH = "SELECT (SELECT min(item_key) FROM marts.changes), (SELECT min(item_key) FROM meter.item_changes)"


def test_a_rejected_candidate_leaves_readers_on_the_last_good_one(desk: Desk) -> None:
    good = desk.publish(Marts())
    with pytest.raises(RejectedError, match="test unique_books failed"):
        desk.publish(Marts(version="two", broken="test unique_books failed"))
    assert desk.ask("SELECT publication_id FROM meter.publications") == [(good.publication_id,)]
    kept, rejected = publications.listing(desk.path)
    assert (kept.state, rejected.state) == ("current", "rejected")
    assert rejected.reason == "test unique_books failed"
    with duckdb.connect(str(publications.folder_of(desk.path) / rejected.publication_id / "warehouse.duckdb")) as seen:
        assert seen.execute("SELECT count(*) FROM marts.changes").fetchall() == [(0,)]
    desk.publish(Marts(version="three"))
    assert [listed.state for listed in publications.listing(desk.path)] == ["kept", "current"]


def test_only_partitions_that_changed_are_built_anew_and_the_rest_is_carried_on(desk: Desk) -> None:
    desk.load("books", "j1", MARCH, "a", "b")
    desk.load("lamps", "l1", MARCH, "x")
    models = Marts()
    desk.publish(models)
    assert models.rebuilt == [("books", "2026-03"), ("lamps", "2026-03")]
    desk.load("books", "j2", APRIL, "c")
    desk.publish(models)
    assert models.rebuilt == [("books", "2026-04")]
    # A job that comes late, and one whose rows are all gone.
    desk.load("books", "j0", MARCH, "z")
    desk.load("books", "j2", APRIL)
    desk.publish(models)
    assert models.rebuilt == [("books", "2026-03"), ("books", "2026-04")]
    carried = desk.ask(ALL)
    assert carried == [("books", "j0", "z"), ("books", "j1", "a"), ("books", "j1", "b"), ("lamps", "l1", "x")]
    desk.publish(models, force=True)
    assert len(models.rebuilt) >= 2
    assert desk.ask(ALL) == carried


def test_other_models_start_from_nothing(desk: Desk) -> None:
    desk.load("books", "j1", MARCH, "a")
    desk.publish(Marts())
    models = Marts(version="two")
    done = desk.publish(models)
    assert not done.unchanged
    assert models.rebuilt == [("books", "2026-03")]
    assert desk.publish(models).unchanged


def test_nothing_that_former_models_made_is_in_the_next_publication(desk: Desk) -> None:
    class Former(Marts):
        def build(self, file: Path) -> Built:
            with duckdb.connect(str(file)) as connection:
                connection.execute(
                    "CREATE SCHEMA former; CREATE TYPE former.size AS ENUM ('s', 'l'); CREATE SEQUENCE former.numbers;"
                    "CREATE TABLE former.sizes (size former.size, number BIGINT DEFAULT nextval('former.numbers'));"
                    "CREATE VIEW former.shown AS FROM former.sizes; CREATE MACRO former.twice(a) AS 2 * a;"
                    'CREATE MACRO many() AS TABLE FROM former.sizes; CREATE TABLE "odd "" name" AS SELECT 1 AS a;'
                    "CREATE TABLE meter.own AS SELECT 1 AS a; CREATE VIEW results.no_strategy AS SELECT 1 AS a"
                )
            return super().build(file)

    desk.publish(Marts(), force=True)
    with reading(desk.path) as connection:
        before = contents.list_contents(connection)
    desk.touch()
    desk.publish(Former(version="former"))
    with reading(desk.path) as connection:
        assert len(contents.list_contents(connection)) == len(before) + 10
    desk.touch()
    desk.publish(Marts())
    with reading(desk.path) as connection:
        assert contents.list_contents(connection) == before


def test_a_file_does_not_grow_with_the_number_of_publications(desk: Desk) -> None:
    kept = [f"{number:05}" for number in range(8_000)]
    sizes = []
    for number in range(5):
        desk.load("lamps", "many", MARCH, *kept[number:])
        desk.publish(Marts())
        sizes.append(desk.path.stat().st_size)
    assert max(sizes[4:]) < 3 * sizes[0]


def test_an_older_publication_can_be_put_back_until_something_new_is_published(desk: Desk) -> None:
    desk.load("books", "j1", MARCH, "a")
    first = desk.publish(Marts())
    desk.load("books", "j1", MARCH, "a", "b")
    second = desk.publish(Marts())
    assert roll_back(desk.ledger, desk.path).publication_id == first.publication_id
    assert desk.ask("SELECT count(*) FROM marts.changes") == [(1,)]
    assert [listed.state for listed in publications.listing(desk.path)] == ["current", "kept"]
    # Nothing is new: the next run does not undo it.
    assert desk.publish(Marts()).unchanged
    desk.load("books", "j2", MARCH, "c")
    models = Marts()
    third = desk.publish(models)
    assert models.rebuilt == [("books", "2026-03")]
    assert desk.ask(ALL) == [("books", "j1", "a"), ("books", "j1", "b"), ("books", "j2", "c")]
    rows = desk.ask("SELECT publication_id, put_back_at IS NOT NULL, dbt_invocation_id FROM meter.publications")
    ids = [first.publication_id, second.publication_id, first.publication_id, third.publication_id]
    assert rows == [(id_, place == 2, "invocation") for place, id_ in enumerate(ids)]
    named = roll_back(desk.ledger, desk.path, second.publication_id)
    assert named.publication_id == second.publication_id
    with pytest.raises(WarehouseError, match="no publication nothing"):
        roll_back(desk.ledger, desk.path, "nothing")


def test_old_publications_expire_but_for_the_latest_two_and_the_current_one(desk: Desk) -> None:
    made = []
    for number in range(4):
        desk.load("books", "j1", MARCH, str(number))
        made.append(desk.publish(keep_hours=1).publication_id)
    roll_back(desk.ledger, desk.path, made[1])
    for publication_id in made:
        os.utime(publications.folder_of(desk.path) / publication_id, (1, 1))
    publications.expire(desk.path, timedelta(hours=1))
    assert [listed.publication_id for listed in publications.listing(desk.path)] == made[1:]
    made.append(desk.publish(force=True, keep_hours=1).publication_id)
    assert [listed.publication_id for listed in publications.listing(desk.path)] == made[3:]


def test_readers_never_see_an_error_nor_half_a_publication(desk: Desk) -> None:
    desk.load("books", "j1", MARCH, "0")
    desk.publish(Marts())
    stop, errors, answers = threading.Event(), [], set()

    def read() -> None:
        while not stop.is_set():
            try:
                answers.update(desk.ask(_BOTH))
            except duckdb.Error as error:
                errors.append(str(error))
            stop.wait(0.05)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(ROUNDS):
        desk.load("books", "j1", MARCH, str(number + 1))
        desk.publish(Marts(), keep_hours=1)
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert all(mart == raw for mart, raw in answers)
    assert len(answers) > 1
