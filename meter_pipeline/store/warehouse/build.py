"""The warehouse: one DuckDB file that people open, built beside the old one and replaced atomically.

A candidate (`candidate`) is a folder with that file. Its views list the parts of the lake that counted at one revision
of the ledger; a pin in the ledger keeps them, so a query sees one state of the lake whatever is loaded meanwhile.
Models are built in the candidate's own file, and it is published only when they and the audit pass: readers stay on the
last good one until then. Old publications are kept for a while, to be put back.

Incremental models find the tables of the current publication in the candidate, and rebuild the partitions that have
changed since its revision (`meter.changed_partitions`). The tables are carried only between equal versions of the
models, so that a changed model is built in full, and only from a file that is as it was published.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

import duckdb

from meter_pipeline.store import cleaning
from meter_pipeline.store.errors import RejectedError, StoreError, WarehouseError
from meter_pipeline.store.lake.files import RemoteFiles
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger import manifest
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import in_place, lake_cache, pins, publications
from meter_pipeline.store.warehouse.candidate import Candidate, stage
from meter_pipeline.store.warehouse.failures import (
    damaged_file_named,
    explain_missing_file,
    explain_unreadable,
    explained,
)
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
    ledger: Ledger,
    lake: Lake,
    path: Path,
    *,
    models: Models | None = None,
    force: bool = False,
    keep: timedelta = KEEP,
    cache: bool = True,
) -> Publication:
    """Builds the warehouse from ledger and lake and replaces the file at `path` with it.

    Args:
        ledger: What exists and what counts.
        lake: The rows.
        path: The file that people open.
        models: Models to build before it is published.
        force: Build it even when nothing has changed since the last one, and all of it in full.
        keep: How long older publications stay.
        cache: Whether the parts of a lake on an object store are copied to this machine; if not, the views read them
            where they are, which needs S3 and DuckDB's extension httpfs.

    Raises:
        RejectedError: A test of the models or the audit failed; the old file stays as it is.
        WarehouseError: It cannot be built or written; the old file stays as it is.
    """
    remote = lake.files if isinstance(lake.files, RemoteFiles) and not cache else None
    root = None if remote is None else in_place.require(remote)
    with damaged_file_named(ledger, lake), explained(path), publications.publishing(path):
        publications.record(path)
        last = None if force else _find_up_to_date(ledger, path, models)
        if last is not None and (not isinstance(lake.files, RemoteFiles) or _can_read(path, root)):
            with suppress(StoreError, OSError):
                publications.expire(path, keep)
                pins.tidy_pins(ledger, path)
            return last
        publications.sweep(path)
        publication = _build(ledger, lake, path, models, carry=not force, remote=remote)
        # It is published: what cannot be done now, the next one does.
        with suppress(StoreError, OSError):
            publications.record(path)
            _tidy(ledger, lake, path, keep)
        return publication


def _build(
    ledger: Ledger, lake: Lake, path: Path, models: Models | None, *, carry: bool, remote: RemoteFiles | None
) -> Publication:
    """Builds a candidate and shows it; one that fails is deleted, one that is rejected is kept."""
    folder = publications.begin(path)
    try:
        candidate = stage(ledger, lake, path, folder, models=models, carry=carry, remote=remote)
        built = None
        if models is not None:
            with nullcontext() if remote is None else in_place.connected(candidate.file, remote):
                built = models.build(candidate.file)
        return candidate.publish(built)
    except RejectedError as error:
        with suppress(OSError):
            publications.reject(folder, str(error))
        raise
    except BaseException:
        publications.discard(path, folder)
        raise


def _tidy(ledger: Ledger, lake: Lake, path: Path, keep: timedelta) -> None:
    """Deletes what nobody needs any more: old publications, their pins, and parts of the lake."""
    publications.expire(path, keep)
    pins.tidy_pins(ledger, path)
    if isinstance(lake.files, RemoteFiles):
        with ledger.reading() as connection:
            needed = manifest.find_pinned(connection, pins.place_of(path))
        lake_cache.evict(lake_cache.folder_of(path), needed)
    cleaning.clean(ledger, lake)


def _find_up_to_date(ledger: Ledger, path: Path, models: Models | None) -> Publication | None:
    """The last publication, if the ledger and the models have not changed since."""
    last = publications.latest(path)
    if last is None or publications.find_current(path) is None or last.ledger_revision != ledger.revision():
        return None
    if last.models_version != (models.version if models is not None else None):
        return None
    with ledger.reading() as connection:
        if not pins.is_pinned(connection, path, last):
            return None
    return Publication(**{**last.as_dict(), "unchanged": True})


def _can_read(path: Path, root: str | None) -> bool:
    """Whether the views of the published file read the lake at this address; None: copies, which are all there."""
    with duckdb.connect(str(path), read_only=True) as connection:
        if not connection.execute("FROM meter.lake_files LIMIT 1").fetchall():
            return True
        found = in_place.find_root(connection)
        if found is not None or root is not None:
            return found == root
        copies = connection.execute("SELECT file FROM meter.lake_files").fetchall()
        return all(Path(file).exists() for (file,) in copies)


def roll_back(ledger: Ledger, path: Path, publication_id: str | None = None) -> Publication:
    """Puts an older publication back, until something new is published.

    Raises:
        WarehouseError: There is none, or none with that id.
    """
    with explained(path), publications.publishing(path):
        published = publications.put_back(path, publication_id)
        with suppress(StoreError):
            pins.tidy_pins(ledger, path)
        return published


@contextmanager
def reading(path: Path, lake_url: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the published warehouse.

    Args:
        path: The published file.
        lake_url: The lake's URL, with its keys and options, for a warehouse that reads a lake on S3 in place.

    Raises:
        WarehouseError: There is none, it is damaged, it reads a lake on S3 in place and cannot, or a query within the
            block met a file of the lake that is not there.
        LakeError: There are no keys for that lake.
    """
    if not path.exists():
        raise WarehouseError(f"there is no warehouse at {path}: run `meter-pipeline sync` and `meter-pipeline publish`")
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise explain_unreadable(path, error) from None
    with connection:
        in_place.connect_if_read_in_place(connection, lake_url)
        try:
            yield connection
        except duckdb.IOException as error:
            raise explain_missing_file(path, error) or error from None
