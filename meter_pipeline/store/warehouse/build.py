"""The warehouse: one DuckDB file that people open, built beside the old one and replaced atomically.

A candidate (`candidate`) is a folder with that file and hard links to the lake's files as they were, or copies where
the lake is on an object store: its views read these, so a query sees one state of the lake whatever is loaded
meanwhile. Models are built in the candidate's own file, and it is published only when they and the audit pass: readers
stay on the last good one until then. Old publications are kept for a while, for readers that still hold them open, and
to be put back.

Incremental models find the tables of the last publication in the candidate, with the list of the lake's files that
these were made of (`meter.lake_files_before`): they rebuild the partitions whose files differ from those of this
candidate (`meter.lake_files`). The tables are carried only between equal versions of the models, so that a changed
model is built in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb

from meter_pipeline.store.errors import RejectedError, WarehouseError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import publications
from meter_pipeline.store.warehouse.candidate import Candidate, stage
from meter_pipeline.store.warehouse.failures import damaged_file_named, explain_unreadable, explained
from meter_pipeline.store.warehouse.models import Built, Models
from meter_pipeline.store.warehouse.publications import KEEP, Publication, current

__all__ = [
    "KEEP",
    "Built",
    "Candidate",
    "Models",
    "Publication",
    "RejectedError",
    "current",
    "publish",
    "reading",
    "roll_back",
    "stage",
]


def publish(
    ledger: Ledger, lake: Lake, path: Path, *, models: Models | None = None, force: bool = False, keep: timedelta = KEEP
) -> Publication:
    """Builds the warehouse from ledger and lake and replaces the file at `path` with it.

    Args:
        ledger: What exists and what counts.
        lake: The rows.
        path: The file that people open.
        models: Models to build before it is published.
        force: Build it even when nothing has changed since the last one, and every model in full.
        keep: How long older publications stay.

    Raises:
        RejectedError: A test of the models or the audit failed; the old file stays as it is.
        WarehouseError: It cannot be built or written; the old file stays as it is.
    """
    with ledger.claims.waiting("publish"), damaged_file_named(ledger, lake), explained(path):
        in_full = force or not _can_be_opened(path)
        if not in_full and (last := _find_up_to_date(ledger, path, models)) is not None:
            return last
        candidate = stage(ledger, lake, path, models=models, carry=not in_full)
        try:
            built = models.build(candidate.file) if models is not None else None
            publication = candidate.publish(built)
        except RejectedError as error:
            candidate.reject(str(error))
            raise
        except BaseException:
            candidate.discard()
            raise
        publications.expire(path, keep)
        return publication


def _find_up_to_date(ledger: Ledger, path: Path, models: Models | None) -> Publication | None:
    """The last publication, if the ledger and the models have not changed since."""
    last = publications.latest(path)
    if last is None or last.ledger_revision != ledger.revision():
        return None
    if last.models_version != (models.version if models is not None else None):
        return None
    return Publication(**{**last.as_dict(), "unchanged": True})


def _can_be_opened(path: Path) -> bool:
    """Whether there is a warehouse that people can read."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error:
        return False
    return True


def roll_back(ledger: Ledger, path: Path, publication_id: str | None = None) -> Publication:
    """Puts an older publication back, until something new is published.

    Raises:
        WarehouseError: There is none, or none with that id.
    """
    with ledger.claims.waiting("publish"), explained(path):
        return publications.put_back(path, publication_id)


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
        raise explain_unreadable(path, error) from None
    with connection:
        yield connection
