"""Errors of DuckDB and of the file system, turned into one line that names the warehouse and the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from meter_pipeline.host.causes import DAMAGED, LOCKED, explain, find_cause
from meter_pipeline.store.errors import LakeError, RejectedError, WarehouseError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.lake.tables import SHOWN
from meter_pipeline.store.ledger.ledger import Ledger

_LAKE_FILE = re.compile(rf"No files found .*/({'|'.join(SHOWN)})/strategy=[^/]+/[^/]+\.parquet")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what keeps the warehouse at `path` from being built into one line.

    Raises:
        WarehouseError: DuckDB or the file system failed within the block.
    """
    try:
        yield
    except duckdb.Error as error:
        cause = find_cause(error)
        reason = f"{cause} ({_first_line(error)})" if cause else _first_line(error)
        raise WarehouseError(f"the warehouse {path} could not be built: {reason}") from error
    except OSError as error:
        raise WarehouseError(f"the warehouse {path} could not be written: {explain(error)}") from error


def explain_unreadable(path: Path, error: duckdb.Error) -> WarehouseError:
    """The error to raise when the published file cannot be opened, with the way out."""
    cause = find_cause(error)
    if cause == LOCKED:
        return WarehouseError(
            f"{path} is open for writing in another program ({_first_line(error)}): end that and open the file "
            "read-only, as by `duckdb -readonly`, or make another one with `meter-pipeline publish --force`"
        )
    way_out = "publish it again" if cause is None or cause == DAMAGED else cause.way_out
    return WarehouseError(f"{path} cannot be opened: {_first_line(error)}; {way_out}")


def explain_missing_file(path: Path, error: duckdb.IOException) -> WarehouseError | None:
    """The error to raise when a file of the lake that the warehouse shows is not there; None for any other reason."""
    if not _LAKE_FILE.search(_first_line(error)):
        return None
    return WarehouseError(
        f"{path} shows files that are not where they were ({_first_line(error)}): if the data folder was moved, run "
        "`meter-pipeline publish`"
    )


@contextmanager
def damaged_file_named(ledger: Ledger, lake: Lake) -> Iterator[None]:
    """Names the damaged file of the lake, if one is the reason why the warehouse could not be built.

    Raises:
        LakeError: A file of the lake is damaged.
    """
    try:
        yield
    except RejectedError:
        raise
    except WarehouseError:
        for strategy in ledger.strategies():
            damaged = lake.part_set(strategy.slug, ledger.parts_of(strategy.slug)).find_damaged()
            if damaged:
                raise LakeError(
                    f"{lake.files.uri(damaged[0].name)} is missing or damaged: run `meter-pipeline sync "
                    f"--strategy {strategy.slug} --again` to load its jobs again"
                ) from None
        raise


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
