"""A published history that engines are to read, and what DuckDB reads in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meter_pipeline.store.warehouse.build import reading
from meter_pipeline_tests.store.warehouse.delivery.targets import Target
from meter_pipeline_tests.store.warehouse.open_tables.shelf import Shelf

#: Rows, the sum of prices, the first and the last time (microseconds since 1970), the number of tags, the sum of
#: `seller.since`, and the rows of sellers without one.
Facts = tuple[int, float, int, int, int, int, int]


@dataclass
class History:
    """A published history with its open tables.

    Attributes:
        folder: The data folder.
        shelf: The open tables.
        files: The parts of the strategy's results.
        postgres: Where the publication was delivered.
    """

    folder: Path
    shelf: Shelf
    files: list[str]
    postgres: Target

    def location(self, name: str) -> Path:
        """The folder of an open table."""
        return Path(self.shelf.table(name).location().removeprefix("file://"))


def make_item(number: int, place: int) -> dict[str, Any]:
    """An item of a job; columns come later, and the price changes its type."""
    item: dict[str, Any] = {
        "id": place,
        "price": place if number < 3 else place + 0.25,
        "title": f"Tom’s no. {place} ✓",
    }
    if number >= 2:
        item["tags"] = ["new", "näh", ""][: place % 4]
        item["seller"] = {"name": "A", "since": 2000 + place} if place % 3 else {"name": "B", "since": None}
    return item


#: The columns of `Facts` as SQL; `time` and `tags` differ between engines.
SUMS = (
    "count(*), sum(price), min({time}), max({time}), sum({tags}), sum(seller.since), "
    "count(*) FILTER (WHERE seller.name = 'B' AND seller.since IS NULL)"
)


def read_with_duckdb(history: History) -> tuple[Facts, dict[str, int]]:
    """What the warehouse shows: the facts of `results.books`, and the rows of each strategy."""
    sums = SUMS.format(time="epoch_us(_meter_completed_at)", tags="len(tags)")
    with reading(history.shelf.path) as connection:
        (facts,) = connection.execute(f"SELECT {sums} FROM results.books").fetchall()
        rows = connection.execute("SELECT strategy, count(*) FROM meter.items GROUP BY ALL").fetchall()
    return facts, dict(rows)
