"""Snapshots that a publication is made from: the ledger as of one moment, and the lake's files right after it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from meter_pipeline.store.lake.files import LocalFiles, RemoteFiles
from meter_pipeline.store.lake.lake import SCHEMAS, Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.warehouse import lake_copy
from meter_pipeline.store.warehouse.ledger_tables import READ

_LINK_TRIES = 5
# Tables, and whether the files of a strategy have one schema, which differs from strategy to strategy.
_UNIFORM = {table: table == "results" for table in SCHEMAS}
# States of the jobs whose items are in `raw`.
LANDED = ("landed", "accepted", "held")
LAKE_FILES = pa.schema(
    [("table_name", pa.string()), ("strategy", pa.string()), ("month", pa.string()), ("part", pa.string()),
     ("bytes", pa.int64()), ("fingerprint", pa.string())]
)  # fmt: skip


# -- the ledger --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LedgerSnapshot:
    """The ledger as of one moment.

    Attributes:
        rows: Rows of the ledger's tables, by table name.
    """

    rows: Mapping[str, list[Any]]

    @property
    def revision(self) -> str:
        """The ledger's revision at that moment."""
        return next((row.value for row in self.rows["facts"] if row.name == "revision"), "")

    @cached_property
    def strategies(self) -> list[StrategyRow]:
        """Every strategy, in the order of their slugs."""
        return sorted((StrategyRow(**row._mapping) for row in self.rows["strategies"]), key=lambda row: row.slug)

    @cached_property
    def accepted(self) -> dict[str, tuple[int, int]]:
        """Accepted jobs of each strategy and the items of these jobs, as two numbers by strategy id."""
        found: dict[str, tuple[int, int]] = {}
        for row in self.rows["jobs"]:
            if row.state == "accepted":
                jobs, items = found.get(row.strategy_id, (0, 0))
                found[row.strategy_id] = (jobs + 1, items + (row.items or 0))
        return found

    @cached_property
    def landed(self) -> dict[str, int]:
        """Items of the loaded jobs of each strategy, by strategy id."""
        found: dict[str, int] = {}
        for row in self.rows["jobs"]:
            if row.state in LANDED:
                found[row.strategy_id] = found.get(row.strategy_id, 0) + (row.items or 0)
        return found

    def moving(self, ledger: Ledger) -> frozenset[str]:
        """Slugs of the strategies that are being loaded, or have been loaded since this moment."""
        counts = {count.slug: count.jobs for count in ledger.counts() if count.state == "accepted"}
        now = {row.slug: (row.dirty, counts.get(row.slug, 0)) for row in ledger.strategies()}
        then = {row.slug: (row.dirty, self.accepted.get(row.strategy_id, (0, 0))[0]) for row in self.strategies}
        return frozenset(slug for slug, state in now.items() if state[0] or then.get(slug) != state)


def read_ledger(ledger: Ledger) -> LedgerSnapshot:
    """The ledger as it is now."""
    return LedgerSnapshot(ledger.snapshot(("facts", *READ)))


# -- the lake ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A file of the lake; its fingerprint changes whenever its rows may have, and is None where it cannot be known."""

    table: str
    strategy: str
    month: str
    name: str
    bytes: int | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class LakeSnapshot:
    """The lake's files as the views of a publication read them.

    Attributes:
        source: The folder to read: in the publication, or the lake itself where it is on another disk.
        parts: Every file.
    """

    source: str
    parts: tuple[Part, ...]

    @cached_property
    def folders(self) -> frozenset[tuple[str, str]]:
        """Pairs of a table and a strategy's slug that have files."""
        return frozenset((part.table, part.strategy) for part in self.parts)

    def has_files(self, table: str) -> bool:
        """Whether a table has files of any strategy."""
        return any(name == table for name, _ in self.folders)

    def arrow(self, moving: frozenset[str], publication_id: str) -> pa.Table:
        """The rows of `meter.lake_files`.

        A file is replaced, never written to, and the links of the publication before this one keep its inode number
        from being used again. Where the fingerprint is not known, or the strategy is being written, the publication's
        id takes its place: the next publication finds another one.
        """
        rows = [
            (part.table, part.strategy, part.month, part.name, part.bytes,
             publication_id if part.fingerprint is None or part.strategy in moving else part.fingerprint)
            for part in self.parts
        ]  # fmt: skip
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(LAKE_FILES)
        return pa.table([pa.array(column, field.type) for column, field in zip(columns, LAKE_FILES, strict=True)],
                        schema=LAKE_FILES)  # fmt: skip


def link_lake(lake: Lake, folder: Path, with_results: frozenset[str]) -> LakeSnapshot:
    """Brings the lake's files into a publication's folder: links to those of a folder, copies of those of a store.

    Args:
        lake: The lake.
        folder: The publication's folder.
        with_results: Slugs of strategies that have results: a rewrite may hide one's files for a moment, and they are
            waited for.
    """
    target = folder / "lake"
    if isinstance(lake.files, RemoteFiles):
        target.mkdir()
        lake_copy.copy(lake.files, _UNIFORM, target, _before(folder))
        return LakeSnapshot(str(target), tuple(_list_parts(target)))
    assert isinstance(lake.files, LocalFiles)
    root = lake.files.root
    try:
        return LakeSnapshot(
            str(target), tuple(part for table in SCHEMAS for part in _link(root, target, table, with_results))
        )
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        # Another disk, or a file system without hard links: the views read the lake itself.
        shutil.rmtree(target, ignore_errors=True)
        return LakeSnapshot(str(root), tuple(_list_parts(root)))


def _before(folder: Path) -> Path | None:
    """The copies of the publication before this one, `None` if it is the first."""
    earlier = sorted(other for other in folder.parent.iterdir() if (other / "publication.json").exists())
    return earlier[-1] / "lake" if earlier else None


def _link(root: Path, target: Path, table: str, with_results: frozenset[str]) -> Iterator[Part]:
    """Links a table's files, strategy by strategy; a strategy that is swapped meanwhile is linked from the start."""
    source, found = root / table, _folders(root / table, "strategy=")
    missing = with_results - set(found) if table == "results" else frozenset()
    if not found and not missing:
        return
    (target / table).mkdir(parents=True)
    for strategy in sorted({*found, *missing}):
        name = f"strategy={strategy}"
        for attempt in range(_LINK_TRIES):
            last = attempt == _LINK_TRIES - 1
            try:
                yield from _link_strategy(table, strategy, source / name, target / table / name)
                break
            except FileNotFoundError:
                shutil.rmtree(target / table / name, ignore_errors=True)
                # The audit reports files that are gone for good.
                if last and strategy not in missing:
                    raise
                if not last:
                    time.sleep(0.05)


def _link_strategy(table: str, strategy: str, source: Path, target: Path) -> list[Part]:
    parts = []
    target.mkdir()
    for month in _folders(source, "month="):
        files, links = source / f"month={month}", target / f"month={month}"
        links.mkdir()
        with os.scandir(files) as entries:
            for name in sorted(entry.name for entry in entries if _is_part(entry.name)):
                os.link(files / name, links / name)
                parts.append(_describe(table, strategy, month, links / name))
    return parts


def _folders(path: Path, prefix: str) -> list[str]:
    """The values of a folder's partitions, such as months; none if the table has no folder yet."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name.removeprefix(prefix) for entry in entries if entry.name.startswith(prefix))
    except FileNotFoundError:
        if prefix == "strategy=":
            return []
        raise


def _is_part(name: str) -> bool:
    return name.startswith("part-") and name.endswith(".parquet")


def _describe(table: str, strategy: str, month: str, path: Path) -> Part:
    state = path.stat()
    fingerprint = f"{state.st_ino}-{state.st_size}-{state.st_mtime_ns}"
    return Part(table, strategy, month, path.name, state.st_size, fingerprint)


def _list_parts(root: Path) -> Iterator[Part]:
    for table in SCHEMAS:
        for path in sorted((root / table).glob("strategy=*/month=*/part-*.parquet")):
            strategy, month = path.parts[-3].removeprefix("strategy="), path.parts[-2].removeprefix("month=")
            try:
                yield _describe(table, strategy, month, path)
            except OSError:
                yield Part(table, strategy, month, path.name)
