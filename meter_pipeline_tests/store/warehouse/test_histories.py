"""What is carried on equals what is built in full, after any history."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse.build import reading, roll_back
from meter_pipeline_tests.behaviour.thorough import TIMES
from meter_pipeline_tests.store.records import job, strategy
from meter_pipeline_tests.store.warehouse.desk import MARCH, Desk, Marts

# Tables that differ between two publications of the same state.
_OWN = {"meter.publications", "meter.changed_partitions"}


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows and comments of everything that a warehouse shows, by name."""
    with reading(path) as connection:
        names = connection.execute(
            "SELECT schema_name || '.' || table_name, string_agg(column_name || ' ' || data_type || ' ' || "
            "coalesce(comment, ''), ',' ORDER BY column_index) FROM duckdb_columns() WHERE NOT internal GROUP BY ALL"
        ).fetchall()
        return {
            name: [(columns,), *sorted(connection.execute(f"FROM {name}").fetchall(), key=repr)]
            for name, columns in names
            if name not in _OWN
        }


@pytest.mark.parametrize("seed", range(TIMES))
def test_a_publication_that_carries_tables_on_equals_one_built_in_full(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    lake = Lake.open(str(tmp_path / "lake"))
    (tmp_path / "full").mkdir()
    desk, full = (Desk(ledger, lake, tmp_path / name) for name in ("warehouse.duckdb", "full/warehouse.duckdb"))
    version = "one"
    for _ in range(5 if TIMES == 1 else 8):
        for _ in range(chance.randrange(4)):
            slug, number = chance.choice(["books", "lamps", "shoes"]), chance.randrange(6)
            day = MARCH + timedelta(days=17 * number)
            match chance.randrange(4):
                case 0 | 1:
                    desk.load(slug, f"{slug}{number}", day, *map(str, range(chance.randrange(4))))
                case 2:
                    ledger.record_strategies([strategy(slug, slug, description=str(chance.random()))], whole=False)
                case 3:
                    ledger.record_jobs([job(f"{slug}{chance.random()}", slug, status="pending")])
        if chance.random() < 0.2:
            version = "two"
        desk.publish(Marts(version=version))
        full.publish(Marts(version=version), force=True)
        assert content(desk.path) == content(full.path)
        if chance.random() < 0.3:
            # The first one has none before it.
            with suppress(WarehouseError):
                roll_back(ledger, desk.path)
            desk.touch()
    ledger.close()
