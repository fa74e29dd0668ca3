"""Delivers the current publication to a target."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb

from meter_pipeline.config.deliveries import Address, DeliveryTarget
from meter_pipeline.host.extras import require_extra
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import publications
from meter_pipeline.store.warehouse.build import reading
from meter_pipeline.store.warehouse.delivery.contents import Content, condition, read_contents
from meter_pipeline.store.warehouse.delivery.difference import Difference, Step, compare
from meter_pipeline.store.warehouse.delivery.relations import read_relations
from meter_pipeline.store.warehouse.delivery.session import Session
from meter_pipeline.store.warehouse.delivery.state import FORMAT, Existing, Held
from meter_pipeline.store.warehouse.publications import Kept

# Rows that are taken out of DuckDB at a time: few enough for large items.
_BATCH_ROWS = 8192
# Deliveries whose ids the ledger keeps for each target: the last one, and the one that may have been interrupted.
_REMEMBERED = 20


@dataclass(frozen=True)
class Delivery:
    """A finished delivery.

    Attributes:
        target: The target's name in `meter.yaml`.
        where: Its address without a password, and the schema.
        publication_id: The publication that the target has now.
        published_at: When that was published, ISO time.
        tables: Rows sent, by table; tables that were not touched are absent.
        dropped: Tables that were dropped.
        rows: Rows sent.
        seconds: How long it took.
        unchanged: Whether the target had this publication already.
        notes: Lines that say why more was sent than has changed.
    """

    target: str
    where: str
    publication_id: str
    published_at: str
    tables: Mapping[str, int]
    dropped: tuple[str, ...]
    rows: int
    seconds: float
    unchanged: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name, ready for JSON."""
        return asdict(self)


def deliver(
    ledger: Ledger,
    path: Path,
    target: DeliveryTarget,
    address: Address,
    *,
    full: bool = False,
    lake_url: str | None = None,
) -> Delivery:
    """Sends the publication at `path` to a target, in one transaction: only what differs from what the target has.

    Args:
        ledger: The ledger that the publication was made from.
        path: The published file.
        target: What to deliver.
        address: Where to.
        full: Send everything again, and take the target over from another ledger.
        lake_url: The lake's URL, with its keys and options, for a publication that reads a lake on S3 in place.

    Raises:
        WarehouseError: There is no publication, another ledger filled the target, or the target refuses. The target
            keeps what it has.
    """
    started = time.monotonic()
    kept = _find_publication(path)
    with open_session(address, target.schema) as session:
        session.begin()
        existing = session.find_tables()
        said = session.read_held()
        held, notes = _judge(ledger, said, existing, target, address, full=full)
        if held is not None and _is_up_to_date(held, kept, target, existing):
            difference, sent = Difference((), (), ()), {}
        else:
            with reading(kept.file, lake_url) as source:
                # Times leave DuckDB in UTC, and a large table leaves it in pieces.
                source.execute("SET TimeZone = 'UTC'; SET memory_limit = '400MB'")
                known = held.tables if held is not None else {}
                contents = read_contents(source, read_relations(source, target.tables, session.fold), known)
                difference = compare(contents, _basis(kept), session.type_of, held, existing)
                sent = _apply(source, session, difference, held, existing)
            _record(ledger, session, target, kept, held, sum(sent.values()), started)
    return Delivery(
        target=target.name,
        where=f"{address.shown} schema {target.schema}" if session.has_schemas else address.shown,
        publication_id=kept.publication.publication_id,
        published_at=kept.publication.published_at,
        tables=sent,
        dropped=tuple(difference.dropped),
        rows=sum(sent.values()),
        seconds=round(time.monotonic() - started, 3),
        unchanged=not difference.steps and not difference.dropped,
        notes=(*notes, *difference.notes),
    )


def open_session(address: Address, schema: str) -> Session:
    """Connects to a target.

    Raises:
        MissingExtraError: The driver is not installed.
        WarehouseError: The target cannot be reached.
    """
    if address.kind == "postgresql":
        require_extra("postgres", "delivery to PostgreSQL")
        from meter_pipeline.store.warehouse.delivery.postgres import PostgresSession

        return PostgresSession(address, schema)
    if address.kind == "clickhouse":
        require_extra("clickhouse", "delivery to ClickHouse")
        from meter_pipeline.store.warehouse.delivery.clickhouse import ClickHouseSession

        return ClickHouseSession(address, schema)
    if address.kind == "bigquery":
        require_extra("bigquery", "delivery to BigQuery")
        from meter_pipeline.store.warehouse.delivery.bigquery import BigQuerySession

        return BigQuerySession(address, schema)
    if address.kind == "snowflake":
        require_extra("snowflake", "delivery to Snowflake")
        from meter_pipeline.store.warehouse.delivery.snowflake import SnowflakeSession

        return SnowflakeSession(address, schema)
    if address.kind == "databricks":
        require_extra("databricks", "delivery to Databricks")
        from meter_pipeline.store.warehouse.delivery.databricks import DatabricksSession

        return DatabricksSession(address, schema)
    if address.kind == "sqlite":
        from meter_pipeline.store.warehouse.delivery.sqlite import SqliteSession

        return SqliteSession(address, schema)
    from meter_pipeline.store.warehouse.delivery.duckdb_file import DuckdbSession

    return DuckdbSession(address, schema)


def _find_publication(path: Path) -> Kept:
    kept = publications.find_current(path)
    if kept is not None and kept.is_intact:
        return kept
    if not path.exists():
        raise WarehouseError(f"there is no warehouse at {path}: run `meter-pipeline sync` and `meter-pipeline publish`")
    raise WarehouseError(f"{path} is not as it was published: run `meter-pipeline publish --force`")


def _judge(
    ledger: Ledger,
    said: Held | None,
    existing: Mapping[str, Existing],
    target: DeliveryTarget,
    address: Address,
    *,
    full: bool,
) -> tuple[Held | None, list[str]]:
    """What a target has as far as it can be relied on, and why everything is sent if it cannot.

    Raises:
        WarehouseError: Another ledger filled the target, such as another account's.
    """
    if full:
        return None, ["everything is sent again"]
    if said is None:
        has_ours = any(table.is_ours for table in existing.values())
        return None, ["the target does not say any more what it has: everything is sent again"] if has_ours else []
    # A ledger has noted every target that it filled; one that was put back from a copy has, too.
    delivered = ledger.fact(_fact(said.target_id))
    if delivered is None:
        raise WarehouseError(
            f"{address.shown}: what is there was delivered from another ledger (publication {said.publication_id}): "
            f"give the target {target.name} a schema or address of its own in meter.yaml, or replace what is there by "
            f"`meter-pipeline deliver {target.name} --full`"
        )
    if said.delivery_id in delivered.split():
        return said, []
    return None, ["the target was last filled from another state of this ledger: everything is sent again"]


def _is_up_to_date(held: Held, kept: Kept, target: DeliveryTarget, existing: Mapping[str, Existing]) -> bool:
    is_same = (held.publication_id, held.patterns) == (kept.publication.publication_id, target.tables)
    return is_same and all(
        name in existing and dict(existing[name].columns) == dict(table.columns) for name, table in held.tables.items()
    )


def _basis(kept: Kept) -> Any:
    """States mean equal rows within one layout of the warehouse, and within one division into months."""

    def basis(content: Content) -> str:
        relation = content.relation
        return f"{FORMAT}.{kept.layout}" if relation.lake is not None else f"{FORMAT}.{relation.time or ''}"

    return basis


def _apply(
    source: duckdb.DuckDBPyConnection,
    session: Session,
    difference: Difference,
    held: Held | None,
    existing: Mapping[str, Existing],
) -> dict[str, int]:
    """Takes all steps; returns the rows sent, by table."""
    known = held.tables if held is not None else {}
    if held is None:
        session.reset_state()
    sent = {}
    for step in difference.steps:
        name = step.content.relation.target
        if step.is_needed:
            sent[name] = _take(source, session, step, existing.get(name))
        session.write_table_state(name, known.get(name), step.table)
    for name in difference.dropped:
        session.drop(name)
    for name in known.keys() - {step.content.relation.target for step in difference.steps}:
        session.write_table_state(name, known[name], None)
    return sent


def _take(source: duckdb.DuckDBPyConnection, session: Session, step: Step, existing: Existing | None) -> int:
    relation = step.content.relation
    if step.rebuild:
        table = session.create(relation)
        rows = _send(source, session, step.content, table, "true")
        session.put_in_place(table, relation, existing)
        session.comment(relation.target, relation)
        return rows
    session.add_columns(relation.target, step.added)
    if step.clear or step.outdated:
        session.delete(relation, None if step.clear else step.outdated)
    if step.clear or step.added:
        session.comment(relation.target, relation)
    if step.sent is None:
        return _send(source, session, step.content, relation.target, "true")
    if not step.sent:
        return 0
    return _send(source, session, step.content, relation.target, condition(relation, step.sent, in_target=False))


def _send(source: duckdb.DuckDBPyConnection, session: Session, content: Content, table: str, where: str) -> int:
    relation = content.relation
    marks = session.mark(relation)
    columns = ", ".join([*map(session.select, relation.columns), *marks.values()])
    reader = source.execute(f"SELECT {columns} FROM {content.rows} WHERE {where}").to_arrow_reader(_BATCH_ROWS)  # noqa: S608
    rows = 0

    def counted() -> Any:
        nonlocal rows
        for batch in reader:
            rows += batch.num_rows
            yield batch

    try:
        session.load(table, [*(column.target for column in relation.columns), *marks], counted())
    finally:
        # DuckDB waits for ever for the end of a reader that is left half read, when the file is opened again.
        reader.close()
    return rows


def _record(
    ledger: Ledger,
    session: Session,
    target: DeliveryTarget,
    kept: Kept,
    held: Held | None,
    rows: int,
    started: float,
) -> None:
    """Notes the delivery in the ledger before it counts in the target: the ledger knows every id that a target has."""
    target_id = held.target_id if held is not None else uuid.uuid4().hex
    delivery_id = uuid.uuid4().hex
    remembered = (ledger.fact(_fact(target_id)) or "").split()[-_REMEMBERED + 1 :]
    ledger.note(_fact(target_id), " ".join([*remembered, delivery_id]))
    session.write_delivery(
        {
            "number": 1 if held is None else held.number + 1,
            "delivery_id": delivery_id,
            "target_id": target_id,
            "format": FORMAT,
            "publication_id": kept.publication.publication_id,
            "published_at": kept.publication.published_at,
            "delivered_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "rows": rows,
            "seconds": round(time.monotonic() - started, 3),
            "patterns": json.dumps(target.tables),
        }
    )
    session.commit()


def _fact(target_id: str) -> str:
    return f"delivery.{target_id}"
