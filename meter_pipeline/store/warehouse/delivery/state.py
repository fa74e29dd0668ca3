"""What a target says that it has, in tables of its own: the last delivery, and the state of each table's months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from meter_pipeline.store.warehouse.delivery.contents import Month

DELIVERIES = "_meter_deliveries"
TABLES = "_meter_tables"
PARTITIONS = "_meter_partitions"
#: Raise it when a delivery writes the same rows in another form: targets then get everything again.
FORMAT = 1


@dataclass(frozen=True)
class HeldTable:
    """A delivered table: where it came from, its columns with their types, its key, and the states of its months."""

    source: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    basis: str
    states: Mapping[Month, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Held:
    """What a target has.

    Attributes:
        target_id: A random name that the target was given by its first delivery.
        number: The number of the last delivery, from 1.
        delivery_id: Its id, which the ledger that it came from has noted.
        publication_id: The publication that it has.
        patterns: What was to be delivered, as in `meter.yaml`.
        tables: The tables by name.
    """

    target_id: str
    number: int
    delivery_id: str
    publication_id: str
    patterns: tuple[str, ...]
    tables: Mapping[str, HeldTable]


@dataclass(frozen=True)
class Existing:
    """A table that the target's catalog has: its columns with their types, and whether a delivery made it."""

    columns: Mapping[str, str]
    is_ours: bool


def gather_tables(rows: Iterable[tuple[str, str | None, str, bool]]) -> dict[str, Existing]:
    """Tables by name, from a row for each column: table, column, type, and whether a delivery made the table.

    A table without columns has one row, whose column is None.
    """
    found: dict[str, Existing] = {}
    for table, column, type_, is_ours in rows:
        known = found.setdefault(table, Existing({}, is_ours))
        if column is not None:
            found[table] = Existing({**known.columns, column: type_}, known.is_ours)
    return found
