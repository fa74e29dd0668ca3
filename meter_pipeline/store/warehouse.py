"""The warehouse: one DuckDB file that people open, built beside the old one and put in its place atomically.

A publication is a folder with that file and hard links to the lake's files as they were: its views read these, so a
query sees one state of the lake whatever is loaded meanwhile, and nothing is copied. Old publications stay for a while,
for readers that still hold them open and for `rollback`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from meter_pipeline.store import schemas, views
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.files import LocalFiles
from meter_pipeline.store.lake import SCHEMAS, Lake
from meter_pipeline.store.ledger import Ledger
from meter_pipeline.store.rows import StrategyRow

KEEP = timedelta(hours=24)
_LINK_TRIES = 5
_SQL_TYPES = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ"}


@dataclass(frozen=True)
class Publication:
    """A published state: of which ledger revision, when, and what it holds."""

    publication_id: str
    published_at: str
    ledger_revision: str
    strategies: int
    jobs: int
    files: int
    seconds: float
    unchanged: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def publish(ledger: Ledger, lake: Lake, path: Path, *, force: bool = False, keep: timedelta = KEEP) -> Publication:
    """Builds the warehouse from ledger and lake and puts it in the place of the file at `path`.

    Args:
        ledger: What there is.
        lake: The rows.
        path: The file that people open.
        force: Build it even when nothing has changed since the last one.
        keep: How long older publications stay.

    Raises:
        WarehouseError: It cannot be built or written; the old file stays as it is.
    """
    start = time.monotonic()
    with ledger.claims.waiting("publish"), _one_line(path):
        revision = ledger.revision()
        last = current(path)
        if last is not None and last.ledger_revision == revision and not force:
            return Publication(**{**last.as_dict(), "unchanged": True})
        folder = _folder(path) / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        folder.mkdir(parents=True)
        try:
            publication = _build(ledger, lake, folder, revision, start)
            _point(path, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _expire(path, keep)
        return publication


def current(path: Path) -> Publication | None:
    """What the file at `path` was published from, `None` when there is no such file."""
    note = _folder(path) / "current.json"
    try:
        return Publication(**json.loads(note.read_text())) if path.exists() else None
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the published warehouse.

    Raises:
        WarehouseError: There is none, or it is damaged.
    """
    if not path.exists():
        raise WarehouseError(f"there is no warehouse at {path}: run `meter-pipeline sync` and `meter-pipeline publish`")
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise WarehouseError(f"{path} cannot be opened: {_line(error)}; publish it again") from None
    with connection:
        yield connection


# -- building ----------------------------------------------------------------------------------------------------------


def _build(ledger: Ledger, lake: Lake, folder: Path, revision: str, start: float) -> Publication:
    tables = schemas.ledger_tables(ledger)
    strategies = ledger.strategies()
    before = _progress(ledger)
    source, files = _snapshot(lake, folder)
    moving = _moving(before, _progress(ledger))
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.execute("CREATE SCHEMA meter; CREATE SCHEMA results")
        for name, table in tables.items():
            _store(connection, f"meter.{name}", table)
        _view_items(connection, lake, source)
        for strategy in strategies:
            _view_results(connection, lake, source, strategy, moving=strategy.strategy_id in moving)
        publication = Publication(
            publication_id=folder.name,
            published_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            ledger_revision=revision,
            strategies=len(strategies),
            jobs=tables["jobs"].num_rows,
            files=files,
            seconds=round(time.monotonic() - start, 3),
        )
        _store(connection, "meter.publications", pa.Table.from_pylist([publication.as_dict()]))
        connection.execute("CHECKPOINT")
    (folder / "publication.json").write_text(json.dumps(publication.as_dict()))
    return publication


def _store(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    connection.register("incoming", table)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608
    connection.unregister("incoming")


def _view_items(connection: duckdb.DuckDBPyConnection, lake: Lake, source: str) -> None:
    """`meter.items`, and what is told of the change feed: `meter.item_changes`, `meter.item_versions`."""
    rows = {table: _table_rows(lake, source, table) for table in SCHEMAS}
    for macro in views.MACROS:
        connection.execute(macro)
    _view(connection, "meter.items", rows["raw"])
    _view(connection, "meter.item_changes", views.item_changes(rows["changes"]))
    _view(connection, "meter.item_versions", views.item_versions(rows["changes"], rows["results"], rows["raw"]))


def _table_rows(lake: Lake, source: str, table: str) -> str:
    """A query of our own columns of a table of the lake, of all strategies, also while there is no file of it."""
    names = ", ".join(SCHEMAS[table].names)
    if lake.parts(table):
        glob = _glob(f"{source}/{table}/*/*/*.parquet")
        return f"SELECT strategy, {names} FROM {glob}"  # noqa: S608
    # DuckDB has no Parquet file to learn the columns from yet.
    none = ", ".join(f"CAST(NULL AS {_SQL_TYPES[column.type]}) AS {column.name}" for column in SCHEMAS[table])
    return f"SELECT CAST(NULL AS VARCHAR) AS strategy, {none} WHERE false"


def _view_results(
    connection: duckdb.DuckDBPyConnection, lake: Lake, source: str, strategy: StrategyRow, *, moving: bool
) -> None:
    name = f'results."{strategy.slug}"'
    if not lake.parts("results", strategy.slug):
        fields = [pa.field(column.name, column.type) for column in strategy.columns]
        _store(connection, name, pa.schema([*SCHEMAS["results"], *fields]).empty_table())
        return
    select = _rows(f"{source}/results/strategy={strategy.slug}/*/*.parquet")
    if moving:
        # It was being loaded meanwhile: what the ledger of this publication does not know stays out of sight.
        select += " SEMI JOIN meter.jobs ON _meter_job_id = job_id AND state = 'accepted'"
    _view(connection, name, select)
    for column in strategy.columns:
        comment = f"field {column.field!r}, {column.kind}".replace("'", "''")
        connection.execute(f"COMMENT ON COLUMN {name}.\"{column.name}\" IS '{comment}'")


def _view(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    connection.execute(f"CREATE VIEW {name} AS {select}")


def _rows(glob: str) -> str:
    """A query of Parquet files without the columns that their folders' names give."""
    return f"SELECT * EXCLUDE (strategy, month) FROM {_glob(glob)}"  # noqa: S608


def _glob(pattern: str) -> str:
    quoted = pattern.replace("'", "''")
    return f"read_parquet('{quoted}', hive_partitioning = true, hive_types_autocast = false)"


# -- the lake as it was ------------------------------------------------------------------------------------------------


def _snapshot(lake: Lake, folder: Path) -> tuple[str, int]:
    """Where the views read, and how many files there are: hard links where the lake is a folder of this disk."""
    if not isinstance(lake.files, LocalFiles):
        return lake.files.url, len(lake.parts("raw")) + len(lake.parts("results")) + len(lake.parts("changes"))
    root, target = lake.files.root, folder / "lake"
    try:
        return str(target), sum(_link(root, target, table) for table in SCHEMAS)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        # Another disk, or a file system without hard links: the views read the lake itself.
        shutil.rmtree(target, ignore_errors=True)
        return str(root), sum(len(lake.parts(table)) for table in SCHEMAS)


def _link(root: Path, target: Path, table: str) -> int:
    """Links a table's files, strategy by strategy; one that is swapped meanwhile is linked from the start."""
    count = 0
    for strategy in sorted((root / table).glob("strategy=*")):
        for attempt in range(_LINK_TRIES):
            try:
                count += _link_folder(strategy, target / table / strategy.name)
                break
            except FileNotFoundError:
                shutil.rmtree(target / table / strategy.name, ignore_errors=True)
                if attempt == _LINK_TRIES - 1:
                    raise
                time.sleep(0.05)
    return count


def _link_folder(source: Path, target: Path) -> int:
    count = 0
    for month in sorted(source.glob("month=*")):
        links = target / month.name
        links.mkdir(parents=True, exist_ok=True)
        for part in month.glob("part-*.parquet"):
            os.link(part, links / part.name)
            count += 1
    return count


def _progress(ledger: Ledger) -> dict[str, tuple[bool, int]]:
    accepted = {count.slug: count.jobs for count in ledger.counts() if count.state == "accepted"}
    return {row.strategy_id: (row.dirty, accepted.get(row.slug, 0)) for row in ledger.strategies()}


def _moving(before: dict[str, tuple[bool, int]], after: dict[str, tuple[bool, int]]) -> set[str]:
    """Strategies that were being loaded while their files were linked."""
    return {id_ for id_, state in after.items() if state[0] or before.get(id_) != state}


# -- publications ------------------------------------------------------------------------------------------------------


def _folder(path: Path) -> Path:
    return path.absolute().parent / "publications"


def _point(path: Path, folder: Path) -> None:
    """Makes `path` the warehouse of a publication."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        os.link(folder / "warehouse.duckdb", temporary)
    except OSError:
        shutil.copyfile(folder / "warehouse.duckdb", temporary)
    temporary.replace(path)
    note = _folder(path) / f".current-{uuid.uuid4().hex[:8]}"
    shutil.copyfile(folder / "publication.json", note)
    note.replace(_folder(path) / "current.json")


def _expire(path: Path, keep: timedelta) -> None:
    """Removes publications older than `keep`, but for the two latest."""
    folders = sorted(entry for entry in _folder(path).iterdir() if entry.is_dir())
    limit = (datetime.now(timezone.utc) - keep).timestamp()
    for folder in folders[:-2]:
        if folder.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise WarehouseError(f"the warehouse {path} could not be built: {_line(error)}") from error
    except OSError as error:
        raise WarehouseError(
            f"the warehouse {path} could not be written: {error.strerror}: {error.filename}"
        ) from error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
