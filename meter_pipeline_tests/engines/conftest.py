"""The history that engines read; it is made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.behaviour.station import Station, flagging
from meter_pipeline_tests.engines.history import History, make_item
from meter_pipeline_tests.store.warehouse.delivery.targets import Target
from meter_pipeline_tests.store.warehouse.open_tables.shelf import Shelf


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[History]:
    """Two strategies over forty days, in several loads, with columns that come later and a type that changes."""
    folder = tmp_path_factory.mktemp("engines")
    with Sandbox(worlds=()) as sandbox, Station(folder, sandbox) as station:
        for name in ("Books", "Toys"):
            sandbox.add_strategy(name, items=[])
        shelf = Shelf(
            station.ledger,
            station.lake,
            folder / "warehouse.duckdb",
            f"sqlite:///{folder}/catalog.sqlite",
            str(folder / "lake"),
        )
        for number in range(8):
            sandbox.advance(hours=120)
            for name in ("Books", "Toys")[: 1 + number % 2]:
                sandbox.insert_job(name, items=[make_item(number, place) for place in range(20 + number)])
            station.sync(config=flagging("Books", "Toys"))
            shelf.publish()
        files = [station.lake.files.uri(part.name) for part in station.parts("books", "results")]
        target = Target("postgresql", postgres, "engines", ("results.*", "meter.items"))
        target.deliver(station.ledger, shelf.path)
        yield History(folder, shelf, files, target)
        target.ask("DROP SCHEMA engines CASCADE")
