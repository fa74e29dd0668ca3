"""Deletes files of the lake that nobody needs: parts that count no longer, and files that never counted."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from meter_pipeline.store.lake.lake import SCHEMAS, Lake
from meter_pipeline.store.lake.part_files import owner_of
from meter_pipeline.store.ledger import facts, manifest
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.times import iso, now

# How long a part stays after it has left the manifest, for those who read the lake itself.
GRACE = timedelta(hours=1)
# A file without an entry belongs to a killed writer if it is older than this.
LEFTOVER = timedelta(hours=24)
# Clocks of machines and of object stores differ by less.
_CLOCKS_DIFFER = timedelta(hours=1)
# A place that has not renewed its pins for so long is gone.
_LAPSED = timedelta(days=30)
# Parts that are deleted in one go.
_AT_ONCE = 1_000
#: The fact that lists the strategies, by slug, whose files of version 1 were taken over.
TAKEN_OVER = "taken_over"


def clean(ledger: Ledger, lake: Lake, *, grace: timedelta = GRACE) -> int:
    """Deletes parts that count no longer and that no publication shows; once a day also leftovers of killed writers.

    Returns:
        Number of deleted files.

    Raises:
        StoreError: The lake or the ledger cannot be used.
    """
    left_before, swept_at = _ago(grace), ledger.swept_at
    deleted = 0
    with ledger.reading() as connection:
        has_lapsed = manifest.has_lapsed_pins(connection, _ago(_LAPSED))
    if has_lapsed:
        with ledger.writing() as connection:
            manifest.remove_lapsed_pins(connection, _ago(_LAPSED))
    while names := _find_unneeded(ledger, left_before):
        lake.files.delete(names)
        with ledger.writing() as connection:
            manifest.forget_parts(connection, names)
        deleted += len(names)
    if swept_at is None:
        ledger.note(manifest.SWEPT_AT, now())
    # A time to come is that of a machine whose clock was ahead; a sweep that was killed has left none.
    elif not _ago(LEFTOVER) <= swept_at <= _ago(-_CLOCKS_DIFFER):
        deleted += sweep(ledger, lake)
    return deleted


def _find_unneeded(ledger: Ledger, left_before: str) -> list[str]:
    with ledger.reading() as connection:
        return manifest.find_unneeded(connection, left_before, _AT_ONCE)


def sweep(ledger: Ledger, lake: Lake, *, older_than: timedelta = LEFTOVER) -> int:
    """Deletes files that the ledger's own writers left without ever committing them; returns their number.

    A writer that was stopped for so long, and goes on, finds its commit refused.
    """
    before = datetime.now(timezone.utc) - older_than
    with ledger.writing() as connection:
        # Never back: what a sweep whose clock was ahead has deleted must not be committed after another sweep.
        swept_before = max(
            str(iso(before + min(older_than, _CLOCKS_DIFFER))),
            facts.read_fact(connection, manifest.SWEPT_BEFORE) or "",
        )
        facts.write_fact(connection, manifest.SWEPT_BEFORE, swept_before)
        # Until its end no change is one that was begun after it: whatever its clock says, it may still meet the files.
        facts.write_fact(connection, manifest.SWEPT_AT, "")
    taken_over = set(json.loads(ledger.fact(TAKEN_OVER) or "[]"))
    deleted = 0
    for table in SCHEMAS:
        old = [name for name in lake.files.find_old(table, before.timestamp()) if _is_own(name, ledger, taken_over)]
        with ledger.reading() as connection:
            listed = manifest.find_listed(connection, old)
        unlisted = [name for name in old if name not in listed]
        lake.files.delete(unlisted)
        deleted += len(unlisted)
    ledger.note(manifest.SWEPT_AT, now())
    return deleted


def _is_own(name: str, ledger: Ledger, taken_over: set[str]) -> bool:
    """Whether the file was written for this ledger, or taken over by it."""
    file = name.rsplit("/", 1)[-1]
    if "/month=" in name:
        return name.split("/")[1].removeprefix("strategy=") in taken_over
    return owner_of(file.lstrip(".")) == ledger.name


def _ago(span: timedelta) -> str:
    return str(iso(datetime.now(timezone.utc) - span))
