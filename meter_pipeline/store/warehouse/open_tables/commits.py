"""A snapshot of a table: the parts that came and those that went since the last one, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pyiceberg.manifest import DataFile, DataFileContent, ManifestFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _ManifestMergeManager, _OverwriteFiles

from meter_pipeline.store.parts import Part
from meter_pipeline.store.warehouse.open_tables.data_files import Footers

# Each manifest is a file that every reader opens. When a snapshot would have more, small ones are merged.
_MOST_MANIFESTS = 16
_MANIFEST_BYTES = 8 * 2**20
#: Set for every table.
PROPERTIES = {
    "format-version": "2",
    # Parts belong to the lake: no other program may delete what it finds unreferenced here.
    "gc.enabled": "false",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    # A commit that was overtaken is made again from what the table has by then: see `tables`.
    "commit.retry.num-retries": "0",
}


class Member(NamedTuple):
    """A part that a table shows, and the slug of its strategy."""

    slug: str
    part: Part


class Difference(NamedTuple):
    """The parts that a table lacks, by address, and the entries of those that it should not have."""

    added: Mapping[str, Member]
    removed: Sequence[DataFile]
    kept: int


def compare(table: Table | None, members: Mapping[str, Member]) -> Difference:
    """Compares what a table shows now with what it should show."""
    snapshot = table.current_snapshot() if table is not None else None
    if table is None or snapshot is None:
        return Difference(members, [], 0)
    entries = {
        entry.data_file.file_path: entry.data_file
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    }
    removed = [entry for path, entry in entries.items() if path not in members or entry.content != DataFileContent.DATA]
    added = {address: member for address, member in members.items() if address not in entries}
    return Difference(added, removed, len(entries) - len(removed))


def add_snapshot(change: Transaction, difference: Difference, footers: Footers, properties: Mapping[str, str]) -> None:
    """Adds a snapshot to a transaction; the table's schema must have the columns of the parts already."""
    has_parts = change.table_metadata.current_snapshot() is not None
    with _Swap(
        operation=Operation.OVERWRITE if has_parts else Operation.APPEND,
        transaction=change,
        io=change._table.io,
        snapshot_properties=dict(properties),
    ) as swap:
        for entry in difference.removed:
            swap.delete_data_file(entry)
        for address, (slug, part) in difference.added.items():
            swap.append_data_file(footers.describe(part, slug, address, change.table_metadata))


class _Swap(_OverwriteFiles):
    """Files that come and go in one snapshot, whose number of manifests stays small.

    The library's own would carry the lists of what earlier snapshots have deleted for ever.
    """

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:
        # The library's filter keeps the manifest that it examines in itself, and threads share it: now and then it
        # passes over one with files that go. Manifests are few, and all of them were read to find these files.
        return lambda manifest: True

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        alive = [
            manifest
            for manifest in manifests
            if manifest.has_added_files()
            or manifest.has_existing_files()
            or manifest.added_snapshot_id == self._snapshot_id
        ]
        merge: _ManifestMergeManager[_OverwriteFiles] = _ManifestMergeManager(
            _MANIFEST_BYTES, _MOST_MANIFESTS, True, self
        )
        return merge.merge_manifests(alive)
