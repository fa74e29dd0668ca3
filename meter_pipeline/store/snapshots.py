"""The lake as it was when a publication was made: links to its files or copies, and what tells them from later ones."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from meter_pipeline.store import mirror
from meter_pipeline.store.files import LocalFiles, RemoteFiles
from meter_pipeline.store.lake import SCHEMAS, Lake
from meter_pipeline.store.ledger import Ledger

_LINK_TRIES = 5
# Tables, and whether the files of a strategy have one schema, which differs from strategy to strategy.
_UNIFORM = {table: table == "results" for table in SCHEMAS}
LAKE_FILES = pa.schema(
    [("table_name", pa.string()), ("strategy", pa.string()), ("month", pa.string()), ("part", pa.string()),
     ("bytes", pa.int64()), ("fingerprint", pa.string())]
)  # fmt: skip


def take(lake: Lake, folder: Path) -> tuple[str, int]:
    """Where the views read, and how many files there are.

    That is hard links where the lake is a folder of this disk, and copies where it is an object store.
    """
    target = folder / "lake"
    if isinstance(lake.files, RemoteFiles):
        target.mkdir()
        return str(target), mirror.copy(lake.files, _UNIFORM, target, _before(folder))
    assert isinstance(lake.files, LocalFiles)
    root = lake.files.root
    try:
        return str(target), sum(_link(root, target, table) for table in SCHEMAS)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        # Another disk, or a file system without hard links: the views read the lake itself.
        shutil.rmtree(target, ignore_errors=True)
        return str(root), sum(len(lake.parts(table)) for table in SCHEMAS)


def has(source: str, table: str, slug: str | None = None) -> bool:
    """Whether there is a file of a table, or of one strategy of it, where the views read."""
    return next(Path(source, table).glob(f"strategy={slug or '*'}/month=*/part-*.parquet"), None) is not None


def _before(folder: Path) -> Path | None:
    """What the publication before this one copied."""
    others = sorted(other for other in folder.parent.iterdir() if (other / "publication.json").exists())
    return others[-1] / "lake" if others else None


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


def lake_files(source: str, moving: frozenset[str], publication_id: str) -> pa.Table:
    """Every file that the views read, with a fingerprint that differs whenever its rows may.

    A file is replaced, never written to, and the links of the publication before this one keep its number from being
    used again. Where it has no number, or its strategy is being written, the fingerprint is one of this publication.
    """
    rows = []
    for name in _names(source):
        table, strategy, month, part = name.split("/")
        slug = strategy.removeprefix("strategy=")
        try:
            seen = Path(source, name).stat()
            fingerprint, size = f"{seen.st_ino}-{seen.st_size}-{seen.st_mtime_ns}", seen.st_size
        except OSError:
            fingerprint, size = publication_id, None
        if slug in moving:
            fingerprint = publication_id
        rows.append((table, slug, month.removeprefix("month="), part, size, fingerprint))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(LAKE_FILES)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, LAKE_FILES, strict=True)],
                    schema=LAKE_FILES)  # fmt: skip


def _names(source: str) -> Iterator[str]:
    for table in SCHEMAS:
        for file in sorted(Path(source, table).glob("strategy=*/month=*/part-*.parquet")):
            yield file.relative_to(source).as_posix()


def progress(ledger: Ledger) -> dict[str, tuple[bool, int]]:
    """How far the loading of each strategy is: whether it is being written, and how many jobs are accepted."""
    accepted = {count.slug: count.jobs for count in ledger.counts() if count.state == "accepted"}
    return {row.strategy_id: (row.dirty, accepted.get(row.slug, 0)) for row in ledger.strategies()}


def moving(before: dict[str, tuple[bool, int]], after: dict[str, tuple[bool, int]]) -> set[str]:
    """Strategies that were being loaded while their files were linked."""
    return {id_ for id_, state in after.items() if state[0] or before.get(id_) != state}
