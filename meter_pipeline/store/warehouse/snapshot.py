"""What a publication is made of: the ledger as of one moment, and the lake's files as they were right after it."""

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
from meter_pipeline.store.warehouse import lake_copy as mirror
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
class Ledgered:
    """The ledger as of one moment.

    Attributes:
        rows: Rows of its tables by name.
    """

    rows: Mapping[str, list[Any]]

    @property
    def revision(self) -> str:
        """The ledger's revision then."""
        return next((row.value for row in self.rows["facts"] if row.name == "revision"), "")

    @cached_property
    def strategies(self) -> list[StrategyRow]:
        """Every strategy, in the order of their slugs."""
        return sorted((StrategyRow(**row._mapping) for row in self.rows["strategies"]), key=lambda row: row.slug)

    @cached_property
    def accepted(self) -> dict[str, tuple[int, int]]:
        """How many jobs of a strategy are accepted, and how many items these have, by its id."""
        found: dict[str, tuple[int, int]] = {}
        for row in self.rows["jobs"]:
            if row.state == "accepted":
                jobs, items = found.get(row.strategy_id, (0, 0))
                found[row.strategy_id] = (jobs + 1, items + (row.items or 0))
        return found

    @cached_property
    def landed(self) -> dict[str, int]:
        """How many items the loaded jobs of a strategy have, by its id."""
        found: dict[str, int] = {}
        for row in self.rows["jobs"]:
            if row.state in LANDED:
                found[row.strategy_id] = found.get(row.strategy_id, 0) + (row.items or 0)
        return found

    def moving(self, ledger: Ledger) -> frozenset[str]:
        """Slugs of the strategies that are being loaded, or were since this moment."""
        counts = {count.slug: count.jobs for count in ledger.counts() if count.state == "accepted"}
        now = {row.slug: (row.dirty, counts.get(row.slug, 0)) for row in ledger.strategies()}
        then = {row.slug: (row.dirty, self.accepted.get(row.strategy_id, (0, 0))[0]) for row in self.strategies}
        return frozenset(slug for slug, state in now.items() if state[0] or then.get(slug) != state)


def look(ledger: Ledger) -> Ledgered:
    """The ledger as it is now."""
    return Ledgered(ledger.snapshot(("facts", *READ)))


# -- the lake ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A file of the lake, with a fingerprint that differs whenever its rows may; none where nothing tells."""

    table: str
    strategy: str
    month: str
    name: str
    bytes: int | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class Linked:
    """The lake's files as the views read them.

    Attributes:
        source: Where they read: the publication's own folder, or the lake where it is a folder of another disk.
        parts: Every file.
    """

    source: str
    parts: tuple[Part, ...]

    @cached_property
    def folders(self) -> frozenset[tuple[str, str]]:
        """Tables and strategies with files."""
        return frozenset((part.table, part.strategy) for part in self.parts)

    def arrow(self, moving: frozenset[str], publication_id: str) -> pa.Table:
        """The files as a table.

        A file is replaced, never written to, and the links of the publication before this one keep its number from
        being used again. Where it has no number, or its strategy is being written, the fingerprint is one of this
        publication.
        """
        rows = [
            (part.table, part.strategy, part.month, part.name, part.bytes,
             publication_id if part.fingerprint is None or part.strategy in moving else part.fingerprint)
            for part in self.parts
        ]  # fmt: skip
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(LAKE_FILES)
        return pa.table([pa.array(column, field.type) for column, field in zip(columns, LAKE_FILES, strict=True)],
                        schema=LAKE_FILES)  # fmt: skip


def take(lake: Lake, folder: Path, expected: frozenset[str]) -> Linked:
    """Brings the lake's files into a publication's folder: links where the lake is a folder, copies of a remote one's.

    Args:
        lake: The lake.
        folder: The publication's.
        expected: Strategies that have results: one whose files are put in the place of others just now is looked for
            again.
    """
    target = folder / "lake"
    if isinstance(lake.files, RemoteFiles):
        target.mkdir()
        mirror.copy(lake.files, _UNIFORM, target, _before(folder))
        return Linked(str(target), tuple(_listed(target)))
    assert isinstance(lake.files, LocalFiles)
    root = lake.files.root
    try:
        return Linked(str(target), tuple(part for table in SCHEMAS for part in _link(root, target, table, expected)))
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        # Another disk, or a file system without hard links: the views read the lake itself.
        shutil.rmtree(target, ignore_errors=True)
        return Linked(str(root), tuple(_listed(root)))


def _before(folder: Path) -> Path | None:
    """What the publication before this one copied."""
    others = sorted(other for other in folder.parent.iterdir() if (other / "publication.json").exists())
    return others[-1] / "lake" if others else None


def _link(root: Path, target: Path, table: str, expected: frozenset[str]) -> Iterator[Part]:
    """Links a table's files, strategy by strategy; one that is swapped meanwhile is linked from the start."""
    source, there = root / table, _folders(root / table, "strategy=")
    missing = expected - set(there) if table == "results" else frozenset()
    if not there and not missing:
        return
    (target / table).mkdir(parents=True)
    for strategy in sorted({*there, *missing}):
        name = f"strategy={strategy}"
        for attempt in range(_LINK_TRIES):
            last = attempt == _LINK_TRIES - 1
            try:
                yield from _link_strategy(table, strategy, source / name, target / table / name)
                break
            except FileNotFoundError:
                shutil.rmtree(target / table / name, ignore_errors=True)
                # What is gone for good is for the audit to say.
                if last and strategy not in missing:
                    raise
                if not last:
                    time.sleep(0.05)


def _link_strategy(table: str, strategy: str, source: Path, target: Path) -> list[Part]:
    parts = []
    target.mkdir()
    for month in _folders(source, "month="):
        there, links = source / f"month={month}", target / f"month={month}"
        links.mkdir()
        with os.scandir(there) as entries:
            for name in sorted(entry.name for entry in entries if _is_part(entry.name)):
                os.link(there / name, links / name)
                parts.append(_seen(table, strategy, month, links / name))
    return parts


def _folders(path: Path, prefix: str) -> list[str]:
    """The values of a folder's partitions; none where there is no such folder of a table yet."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name.removeprefix(prefix) for entry in entries if entry.name.startswith(prefix))
    except FileNotFoundError:
        if prefix == "strategy=":
            return []
        raise


def _is_part(name: str) -> bool:
    return name.startswith("part-") and name.endswith(".parquet")


def _seen(table: str, strategy: str, month: str, path: Path) -> Part:
    seen = path.stat()
    fingerprint = f"{seen.st_ino}-{seen.st_size}-{seen.st_mtime_ns}"
    return Part(table, strategy, month, path.name, seen.st_size, fingerprint)


def _listed(root: Path) -> Iterator[Part]:
    for table in SCHEMAS:
        for path in sorted((root / table).glob("strategy=*/month=*/part-*.parquet")):
            strategy, month = path.parts[-3].removeprefix("strategy="), path.parts[-2].removeprefix("month=")
            try:
                yield _seen(table, strategy, month, path)
            except OSError:
                yield Part(table, strategy, month, path.name)
