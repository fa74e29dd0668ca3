"""How long snapshots stay, and the pins that keep their parts.

A snapshot stays while somebody may still be reading it, or a publication as old as it is kept: until `keep` has passed
since another one took its place. Each export sets a pin of its revision in the ledger, open until all tables are done.
A table that an export did not change shows what it showed after the one before, so any pin from its snapshot's to the
one before its successor's keeps its parts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from itertools import pairwise

from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from meter_pipeline.store.ledger import manifest
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.manifest import Pin
from meter_pipeline.store.times import iso

EXPORTED_AT = "meter.exported-at"


def begin_pin(ledger: Ledger, place: str, revision: int) -> Pin:
    """Keeps the parts of a revision; the pin is open until `finish_pin`."""
    pin_id = f"open-tables-{uuid.uuid4().hex}"
    with ledger.writing() as connection:
        manifest.set_pin(connection, pin_id, place, revision, is_open=True)
        return next(pin for pin in manifest.read_pins_in_order(connection, place) if pin.pin_id == pin_id)


def finish_pins(ledger: Ledger, place: str, limit: str) -> None:
    """Closes the latest pin of a place, as all tables show its revision, and removes pins that are no longer needed.

    Args:
        ledger: The ledger.
        place: Whose pins.
        limit: Snapshots are gone whose successor is older than this, ISO 8601.
    """
    with ledger.writing() as connection:
        pins = manifest.read_pins_in_order(connection, place)
        if pins and pins[-1].is_open:
            manifest.set_pin(connection, pins[-1].pin_id, place, pins[-1].revision, is_open=False)
        # Those that stay open are of exports that failed: tables may still show what an earlier one made of them.
        finished = [pin.pinned_at for pin in pins if not pin.is_open or pin is pins[-1]]
        gone = []
        for pin in pins:
            later = [at for at in finished if at > pin.pinned_at]
            if later and later[0] < limit:
                gone.append(pin.pin_id)
        manifest.remove_pins(connection, gone)
        manifest.renew_pins(connection, [pin.pin_id for pin in pins if pin.pin_id not in gone])


def exported_at(snapshot: Snapshot) -> str:
    """When the export began that made a snapshot, ISO 8601; of another program's, when it was made."""
    own = snapshot.summary.additional_properties.get(EXPORTED_AT) if snapshot.summary else None
    return own or str(iso(datetime.fromtimestamp(snapshot.timestamp_ms / 1000, timezone.utc)))


def replaced_at(table: TableMetadata) -> dict[int, str]:
    """When each snapshot but the current one was replaced, ISO 8601, by its id."""
    ordered = sorted(table.snapshots, key=lambda snapshot: (snapshot.sequence_number or 0, snapshot.timestamp_ms))
    followed = pairwise(ordered)
    return {before.snapshot_id: exported_at(after) for before, after in followed}


def expire(table: Table, limit: str) -> int:
    """Removes the snapshots that were replaced before `limit`, and their own files; returns how many."""
    kept_by_name = {ref.snapshot_id for ref in table.metadata.refs.values()}
    gone = {id_ for id_, at in replaced_at(table.metadata).items() if at < limit} - kept_by_name
    if gone:
        before = table.metadata
        table.maintenance.expire_snapshots().by_ids(sorted(gone)).commit()
        table.refresh()
        delete_all(table.io, _list_own_files(table.io, before) - _list_own_files(table.io, table.metadata))
    return len(gone)


def drop(table: Table) -> None:
    """Drops a table and deletes its own files; its parts stay."""
    files = _list_own_files(table.io, table.metadata) | {log.metadata_file for log in table.metadata.metadata_log}
    table.catalog.drop_table(table.name())
    delete_all(table.io, [*files, table.metadata_location])


def delete_all(io: FileIO, files: Iterable[str]) -> None:
    """Deletes files of tables' metadata; one that is left by a fault of the store only takes up space."""
    for file in files:
        with suppress(OSError):
            io.delete(file)


def _list_own_files(io: FileIO, table: TableMetadata) -> set[str]:
    """The lists of manifests and the manifests of all snapshots."""
    lists = {snapshot.manifest_list for snapshot in table.snapshots}
    return lists | {found.manifest_path for snapshot in table.snapshots for found in snapshot.manifests(io)}
