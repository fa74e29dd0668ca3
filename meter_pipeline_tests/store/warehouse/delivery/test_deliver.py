"""A delivery sends what has changed, whole or not at all, and explains in one line why it could not."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse.build import Built
from meter_pipeline.store.warehouse.delivery.deliver import open_session
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.store.warehouse.delivery.targets import Target, expected, quickly_on
from meter_pipeline_tests.store.warehouse.desk import APRIL, MARCH, Desk, Marts, open_desk


def test_delivering_twice_sends_nothing_and_changes_nothing(target: Target, desk: Desk) -> None:
    assert target.deliver(desk.ledger, desk.path).rows > 0
    before = _fingerprint(target)
    again = target.deliver(desk.ledger, desk.path)
    assert (again.unchanged, again.rows, dict(again.tables)) == (True, 0, {})
    assert _fingerprint(target) == before


@quickly_on("sqlite")
def test_only_months_and_tables_that_have_changed_are_sent(target: Target, desk: Desk) -> None:
    target.tables = ("results.*", "meter.items", "meter.item_changes", "meter.strategies", "marts.*")
    desk.publish(Marts())
    target.deliver(desk.ledger, desk.path)
    desk.load("books", "b2", APRIL, "a", "b", "c")
    desk.publish(Marts())
    sent = target.deliver(desk.ledger, desk.path)
    assert dict(sent.tables) == {"results_books": 3, "items": 3, "item_changes": 3, "changes": 3}
    assert target.content() == expected(desk.path, left_out=_others(desk, target))


@quickly_on("postgresql")
def test_a_publication_that_brings_nothing_new_for_the_tables_is_noted(target: Target, desk: Desk) -> None:
    target.tables = ("results.books",)
    target.deliver(desk.ledger, desk.path)
    desk.load("lamps", "l2", APRIL, "y")
    desk.publish()
    sent = target.deliver(desk.ledger, desk.path)
    assert (sent.unchanged, sent.rows) == (False, 0)
    assert target.ask("SELECT number, publication_id FROM SCHEMA._meter_deliveries ORDER BY number")[1:] == [
        (2, sent.publication_id)
    ]


@quickly_on("duckdb")
def test_a_time_beyond_the_calendars_of_targets_loses_and_doubles_no_row(target: Target, desk: Desk) -> None:
    target.tables = ("marts.plans",)
    for until in ("infinity", "2026-04-01 00:00:00+00", "9999-12-31 00:00:00+00"):
        desk.touch()
        desk.publish(Plans(until))
        target.deliver(desk.ledger, desk.path)
        assert target.ask("SELECT id FROM SCHEMA.plans ORDER BY id") == [(1,), (2,)]


def test_tables_that_are_no_longer_chosen_are_dropped(target: Target, desk: Desk) -> None:
    target.tables = ("results.books", "results.lamps")
    target.deliver(desk.ledger, desk.path)
    target.tables = ("results.lamps",)
    assert target.deliver(desk.ledger, desk.path).dropped == ("results_books",)
    assert target.names() == ["results_lamps"]


@quickly_on("sqlite")
def test_a_target_that_does_not_say_what_it_has_gets_everything(target: Target, desk: Desk) -> None:
    first = target.deliver(desk.ledger, desk.path)
    for lost in ("_meter_deliveries", "_meter_tables", "_meter_partitions"):
        target.ask(f"DROP TABLE SCHEMA.{lost}")
        again = target.deliver(desk.ledger, desk.path)
        assert again.rows == first.rows, lost
        assert again.notes == ("the target does not say any more what it has: everything is sent again",)
        assert target.content() == expected(desk.path)


@quickly_on("postgresql")
def test_what_another_ledger_has_delivered_is_not_replaced_without_being_asked(
    target: Target, desk: Desk, tmp_path: Path
) -> None:
    target.deliver(desk.ledger, desk.path)
    before = _fingerprint(target)
    (tmp_path / "other").mkdir()
    with open_desk(tmp_path / "other") as other:
        other.load("chairs", "c1", MARCH, "z")
        other.publish()
        with pytest.raises(WarehouseError, match=r"from another ledger .* deliver analytics --full"):
            target.deliver(other.ledger, other.path)
        assert _fingerprint(target) == before
        # Nor is the other one when it comes back.
        target.deliver(other.ledger, other.path, full=True)
        assert target.content() == expected(other.path)
        assert target.deliver(other.ledger, other.path).unchanged
        with pytest.raises(WarehouseError, match="from another ledger"):
            target.deliver(desk.ledger, desk.path)
        assert target.content() == expected(other.path)


@quickly_on("postgresql")
def test_what_another_state_of_the_ledger_has_delivered_is_not_relied_on(
    target: Target, desk: Desk, tmp_path: Path
) -> None:
    """A ledger that was put back from a copy counts its revisions again: equal ones mean other rows."""
    copy = tmp_path / "before.sqlite"
    target.deliver(desk.ledger, desk.path)
    desk.ledger.close()
    file = desk.path.parent / "ledger.sqlite"
    copy.write_bytes(file.read_bytes())
    desk.ledger = Ledger.open(str(file))
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    target.deliver(desk.ledger, desk.path)
    desk.ledger.close()
    desk.ledger = Ledger.open(str(copy))
    desk.load("books", "b3", APRIL, "d", "e")
    desk.publish(force=True)
    sent = target.deliver(desk.ledger, desk.path)
    assert sent.notes == ("the target was last filled from another state of this ledger: everything is sent again",)
    assert target.content() == expected(desk.path)


@quickly_on("postgresql")
def test_tables_that_were_changed_by_hand_are_sent_in_full(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    if target.kind == "databricks":
        # What readers see there are views.
        target.ask("DROP VIEW SCHEMA.results_lamps")
        target.ask("CREATE OR REPLACE VIEW SCHEMA.results_books AS SELECT 1 AS mine")
        target.ask("ALTER VIEW SCHEMA.jobs AS SELECT 'x' AS why")
    else:
        target.ask("DROP TABLE SCHEMA.results_lamps")
        target.ask("ALTER TABLE SCHEMA.results_books ADD COLUMN mine INTEGER")
        target.ask("ALTER TABLE SCHEMA.jobs RENAME COLUMN reason TO why")
    desk.touch()
    desk.publish()
    notes = target.deliver(desk.ledger, desk.path).notes
    assert sorted(notes) == [
        "jobs has other columns in the target than were delivered: it is sent in full",
        "results_books has other columns in the target than were delivered: it is sent in full",
        "results_lamps was gone from the target: it is sent in full",
    ]
    assert target.content() == expected(desk.path)


@quickly_on("postgresql")
def test_a_table_that_is_made_again_is_named_with_the_reason(target: Target, desk: Desk) -> None:
    target.tables = ("marts.plans",)
    desk.publish(Plans("2026-04-01"))
    target.deliver(desk.ledger, desk.path)
    desk.touch()
    desk.publish(Plans("2026-04-01", extra="'x' AS why, ", id_="'a'"))
    (note,) = target.deliver(desk.ledger, desk.path).notes
    assert re.fullmatch(r"plans is made again: id is [\w ()]+ now", note, re.IGNORECASE)
    assert target.ask("SELECT id, why FROM SCHEMA.plans ORDER BY id") == [("2", None), ("a", "x")]
    desk.touch()
    desk.publish(Plans("2026-04-01", id_="'a'"))
    (note,) = target.deliver(desk.ledger, desk.path).notes
    assert note.lower() == "plans is made again: why is gone"


@quickly_on("sqlite")
def test_a_table_of_somebody_else_is_never_touched(target: Target, desk: Desk) -> None:
    target.tables = ("results.*",)
    target.deliver(desk.ledger, desk.path)
    target.ask("CREATE TABLE SCHEMA.jobs AS SELECT 1 AS mine")
    target.tables = ("results.*", "meter.jobs")
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    before = target.content()
    with pytest.raises(WarehouseError, match="a table jobs that no delivery has made: drop or rename it"):
        target.deliver(desk.ledger, desk.path)
    assert target.content() == before
    target.tables = ("results.*",)
    target.deliver(desk.ledger, desk.path)
    assert target.ask("SELECT mine FROM SCHEMA.jobs") == [(1,)]


@pytest.mark.parametrize("target", ["postgresql", "sqlite", slow("duckdb")], indirect=True)
def test_of_two_deliveries_at_once_one_leaves(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    # A process of its own: within one, DuckDB shares a file.
    code = (
        "import sys\n"
        "from meter_pipeline.config.deliveries import parse_address\n"
        "from meter_pipeline.store.warehouse.delivery.deliver import open_session\n"
        "with open_session(parse_address(sys.argv[1], 'to'), sys.argv[2]) as session:\n"
        "    session.begin()\n"
        "    print('begun', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, target.url, target.schema],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(WarehouseError, match=r"another delivery.*; deliver again when it") as refusal:
            target.deliver(desk.ledger, desk.path)
        assert "\n" not in str(refusal.value)
        other.communicate()
    assert target.deliver(desk.ledger, desk.path).unchanged


@quickly_on("postgresql")
def test_a_delivery_that_fails_half_way_leaves_the_last_one(
    target: Target, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.deliver(desk.ledger, desk.path)
    before = target.content()
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    with open_session(target.address, target.schema) as opened:
        session = type(opened)
    load, calls = session.load, []

    def fail_later(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) > 2:
            raise WarehouseError("the disk is full")
        load(*arguments)

    monkeypatch.setattr(session, "load", fail_later)
    with pytest.raises(WarehouseError, match="the disk is full"):
        target.deliver(desk.ledger, desk.path)
    monkeypatch.undo()
    assert target.content() == before
    target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path)


def test_a_table_that_is_not_there_is_named(target: Target, desk: Desk) -> None:
    target.tables = ("marts.nothing",)
    with pytest.raises(WarehouseError, match=r"the warehouse has no table marts\.nothing"):
        target.deliver(desk.ledger, desk.path)


def test_a_warehouse_that_is_not_there_or_was_changed_is_not_delivered(target: Target, desk: Desk) -> None:
    desk.path.unlink()
    with pytest.raises(WarehouseError, match="there is no warehouse at"):
        target.deliver(desk.ledger, desk.path)
    desk.path.write_bytes(b"edited")
    with pytest.raises(WarehouseError, match="is not as it was published: run `meter-pipeline publish --force`"):
        target.deliver(desk.ledger, desk.path)


class Plans(Marts):
    """A model of two rows, whose dividing times are a given one and one in March."""

    def __init__(self, until: str, *, id_: str = "1", extra: str = "") -> None:
        super().__init__(version=f"{until}{id_}{extra}", carried=())
        self._until, self._id, self._extra = until, id_, extra

    def build(self, file: Path) -> Built:
        """Builds it."""
        with duckdb.connect(str(file)) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
            connection.execute(
                f"CREATE OR REPLACE TABLE marts.plans AS "
                f"SELECT {self._id} AS id, {self._extra}TIMESTAMPTZ '{self._until}' AS valid_to "
                "UNION ALL BY NAME SELECT 2 AS id, TIMESTAMPTZ '2026-03-05 00:00:00+00' AS valid_to"
            )
        return Built("invocation", 1)


def _others(desk: Desk, target: Target) -> tuple[str, ...]:
    """Tables of `meter` that are not delivered."""
    rows = desk.ask("SELECT DISTINCT 'meter.' || table_name FROM duckdb_columns() WHERE schema_name = 'meter'")
    return tuple(name for (name,) in rows if name not in target.tables)


def _fingerprint(target: Target) -> object:
    if target.kind == "postgresql":
        return [
            (name, target.ask(f'SELECT xmin::text, ctid::text FROM SCHEMA."{name}" ORDER BY 2'))
            for name in [*target.names(), "_meter_deliveries", "_meter_tables", "_meter_partitions"]
        ]
    if target.kind == "clickhouse":
        return target.ask("SELECT name, uuid, metadata_modification_time, total_rows FROM system.tables "
                          "WHERE database = currentDatabase() ORDER BY name")  # fmt: skip
    if target.kind in ("bigquery", "snowflake", "databricks"):
        about = ("_meter_deliveries", "_meter_tables", "_meter_partitions")
        return target.content(), [target.ask(f"SELECT * FROM SCHEMA.{name} ORDER BY 1, 2, 3") for name in about]
    return hashlib.sha256(Path(target.address.url).read_bytes()).hexdigest()


@pytest.mark.parametrize("url", ["sqlite:////dev/null/x", "duckdb:////dev/null/x", "sqlite:////dev/full"])
def test_a_file_that_cannot_be_written_is_one_line_about_that_file(desk: Desk, url: str) -> None:
    with pytest.raises(WarehouseError, match=r"^/dev/(null/x|full): .+") as failure:
        Target("file", url, "meter").deliver(desk.ledger, desk.path)
    assert "\n" not in str(failure.value)
    assert "METER_DATA_DIR" not in str(failure.value)


def test_motherduck_without_its_extension_is_one_line_without_the_token(desk: Desk, tmp_path: Path) -> None:
    # An extension for this release of DuckDB may be in the home folder.
    code = (
        "import sys\n"
        "from meter_pipeline.config.deliveries import parse_address\n"
        "from meter_pipeline.store.warehouse.delivery.deliver import open_session\n"
        "try:\n"
        "    open_session(parse_address('md:x?motherduck_token=canary', 'to'), 'meter')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "HTTP_PROXY": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("WarehouseError md:x: DuckDB's extension motherduck is missing, and could not be")
    assert shown.stdout.count("\n") == 1
    assert "canary" not in shown.stdout + shown.stderr
