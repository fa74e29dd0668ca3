"""Brings the open tables of a catalog to what the published warehouse shows."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.files import LocalFiles
from meter_pipeline.store.lake.lake import SCHEMAS, Lake
from meter_pipeline.store.lake.tables import SHOWN
from meter_pipeline.store.ledger import manifest
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.manifest import Pin
from meter_pipeline.store.parts import Part
from meter_pipeline.store.times import iso, moment
from meter_pipeline.store.warehouse import lake_cache, pins, publications
from meter_pipeline.store.warehouse.open_tables import catalogs, commits, retention, schemas
from meter_pipeline.store.warehouse.open_tables.commits import Difference, Member
from meter_pipeline.store.warehouse.open_tables.data_files import Footers
from meter_pipeline.store.warehouse.open_tables.memory import Seen, read_memory, write_memory
from meter_pipeline.store.warehouse.publications import KEEP, Publication

#: Namespaces of the tables of all strategies, and of those of one each.
ALL, EACH = "meter", "results"
_LEDGER = "meter.ledger"
_RETIRED = re.compile(r"(.+)__until_(\d{8}t\d{12})")
_ATTEMPTS = 5

Name = tuple[str, str]


@dataclass(frozen=True)
class Export:
    """What an export did.

    Attributes:
        publication_id: The publication that the tables show.
        tables: Number of tables.
        changed: Number of tables with a new snapshot.
        added: Number of parts that came, of all tables.
        removed: Number of parts that went.
        expired: Number of snapshots that were removed.
        seconds: How long it took.
    """

    publication_id: str
    tables: int
    changed: int
    added: int
    removed: int
    expired: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name, ready for JSON."""
        return asdict(self)


def export(
    ledger: Ledger,
    lake: Lake,
    path: Path,
    *,
    catalog: str,
    lake_url: str,
    credential: str | None = None,
    keep: timedelta = KEEP,
) -> Export:
    """Makes the open tables show what the warehouse at `path` shows; each changed table gets one snapshot.

    Tables without changes are not opened. Each table changes whole or not at all; if one fails, the next export
    completes the rest.

    Args:
        ledger: The ledger that the warehouse was made from.
        lake: The rows.
        path: The warehouse.
        catalog: URL of the catalog: see `catalogs.open_catalog`.
        lake_url: The lake's URL, with its keys and options.
        credential: What a REST service asks for: see `catalogs.open_catalog`.
        keep: How long a snapshot stays after another one took its place.

    Raises:
        WarehouseError: There is no publication of this ledger, or the catalog or its files cannot be used.
    """
    with publications.publishing(path), catalogs.explained(catalog):
        shown = publications.find_current(path)
        if shown is None:
            raise WarehouseError(f"{path} is no publication: run `meter-pipeline publish` first")
        with ledger.reading() as connection:
            if not pins.is_pinned(connection, path, shown.publication):
                raise WarehouseError(f"{path} was published from another ledger: run `meter-pipeline publish --force`")
            parts = manifest.read_parts_at(connection, shown.publication.ledger_revision, SHOWN)
        with catalogs.open_catalog(catalog, lake, lake_url, credential) as opened:
            place = f"open tables of {catalogs.show(catalog)}"
            return _Exporter(ledger, lake, path, opened, place, shown.publication, keep).run(_arrange(lake, parts))


def _arrange(lake: Lake, parts: Iterable[tuple[str, Part]]) -> dict[Name, dict[str, Member]]:
    """The parts of each table, by address; tables of all strategies exist without any part too."""
    found: dict[Name, dict[str, Member]] = {(ALL, table): {} for table in SHOWN if table != EACH}
    for slug, part in parts:
        name = (EACH, slug) if part.table == EACH else (ALL, part.table)
        found.setdefault(name, {})[catalogs.address_of(lake, part.name)] = Member(slug, part)
    return found


def _find_source(lake: Lake, path: Path, part: Part) -> Any:
    """A part, for a reader of its footer: the copy that the publication has made, if it has made one."""
    copy = lake_cache.folder_of(path) / part.name
    if not isinstance(lake.files, LocalFiles) and copy.is_file():
        return copy
    return lake.files.source(part.name, part.bytes)


class _Exporter:
    """One export: see `export`."""

    def __init__(
        self,
        ledger: Ledger,
        lake: Lake,
        path: Path,
        catalog: Catalog,
        place: str,
        publication: Publication,
        keep: timedelta,
    ) -> None:
        self._started = time.monotonic()
        self._ledger, self._path, self._catalog = ledger, path, catalog
        self._place, self._publication = place, publication
        self._limit = str(iso(datetime.now(timezone.utc) - keep))
        self._footers = Footers(lambda part: _find_source(lake, path, part))
        self._added = self._removed = self._changed = self._expired = 0

    def run(self, members: Mapping[Name, Mapping[str, Member]]) -> Export:
        """Compares and changes all tables."""
        with self._ledger.reading() as connection:
            last = [pin.pin_id for pin in manifest.read_pins_in_order(connection, self._place)][-1:]
        seen = read_memory(self._path, self._place, last[0] if last else None)
        existing = self._find_tables()
        retired = [name for name in existing if name[0] == EACH and _RETIRED.fullmatch(name[1])]
        own = {name for name in existing if name[0] == EACH} - {*retired}
        remembered: dict[str, Seen] = {}
        for name in sorted(members.keys() | own):
            wanted = members.get(name, {})
            digest = hashlib.sha256("\n".join(sorted(wanted)).encode()).hexdigest()
            key = ".".join(name)
            old = seen.get(key)
            if name in existing and old is not None and old.digest == digest and not self._is_over(old.replaced_at):
                remembered[key] = old
            elif (table := self._bring_up_to_date(name, wanted)) is not None:
                remembered[key] = Seen(digest, self._expire(table))
        for name in retired:
            self._tidy_retired(name)
        retention.finish_pins(self._ledger, self._place, self._limit)
        pin_id = self.pin.pin_id if "pin" in self.__dict__ else (last[0] if last else None)
        write_memory(self._path, self._place, pin_id, remembered)
        return Export(
            self._publication.publication_id,
            len(remembered),
            self._changed,
            self._added,
            self._removed,
            self._expired,
            round(time.monotonic() - self._started, 3),
        )

    @cached_property
    def pin(self) -> Pin:
        """Keeps the parts of the publication for the snapshots; set before the first of them."""
        return retention.begin_pin(self._ledger, self._place, self._publication.ledger_revision)

    def _find_tables(self) -> set[Name]:
        found: set[Name] = set()
        for namespace in (ALL, EACH):
            self._catalog.create_namespace_if_not_exists(namespace)
            found.update((namespace, table[-1]) for table in self._catalog.list_tables(namespace))
        return found

    def _is_over(self, replaced_at: str | None) -> bool:
        return replaced_at is not None and replaced_at < self._limit

    def _bring_up_to_date(self, name: Name, members: Mapping[str, Member]) -> Table | None:
        """The table as it should be; None where there is nothing to show, or it is another program's."""
        for attempt in range(_ATTEMPTS):
            try:
                table = self._load(name)
                if table is not None and table.properties.get(_LEDGER) != self._ledger.name:
                    if members:
                        raise WarehouseError(
                            f"the catalog has a table {'.'.join(name)} of another program or ledger: "
                            "rename it, or name another catalog by METER_CATALOG_URL"
                        )
                    return None
                return self._change(name, table, members)
            except (CommitFailedException, TableAlreadyExistsError):
                # Somebody else was quicker: compare again.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _load(self, name: Name) -> Table | None:
        try:
            return self._catalog.load_table(name)
        except NoSuchTableError:
            return None

    def _change(self, name: Name, table: Table | None, members: Mapping[str, Member]) -> Table | None:
        difference = commits.compare(table, members)
        if table is None:
            return self._create(name, difference) if members or name[0] == ALL else None
        if not difference.added and not difference.removed:
            return table
        if difference.added:
            schema, _ = self._make_schema(name, difference)
            if not schemas.can_follow(table, schema):
                return self._create(name, Difference(members, [], 0), replaced=table)
        with table.transaction() as change:
            if difference.added:
                schemas.follow(change, schema, is_whole=not difference.kept)
            self._add_snapshot(change, difference)
        return table

    def _create(self, name: Name, difference: Difference, replaced: Table | None = None) -> Table:
        """Creates a table with its first snapshot; one that it replaces stays under another name for a while."""
        schema, spec = self._make_schema(name, difference)
        properties = {**commits.PROPERTIES, _LEDGER: self._ledger.name}
        change = self._catalog.create_table_transaction(name, schema, partition_spec=spec, properties=properties)
        # The ids are the catalog's.
        mapping = change.table_metadata.schema().name_mapping.model_dump_json()
        change.set_properties({"schema.name-mapping.default": mapping})
        self._add_snapshot(change, difference)
        if replaced is not None:
            at = moment(self.pin.pinned_at)
            self._catalog.rename_table(name, (name[0], f"{name[1]}__until_{at:%Y%m%dt%H%M%S%f}"))
        change.commit_transaction()
        return self._catalog.load_table(name)

    def _make_schema(self, name: Name, difference: Difference) -> tuple[Schema, PartitionSpec]:
        if name[0] == ALL:
            return schemas.make_schema(SCHEMAS[name[1]], has_strategy=True)
        # Parts with the same digest have the same columns.
        parts = {part.schema: part for _, part in difference.added.values()}
        columns = [self._footers.columns(part) for part in parts.values()]
        return schemas.make_schema(pa.unify_schemas(columns), has_strategy=False)

    def _add_snapshot(self, change: Transaction, difference: Difference) -> None:
        if not difference.added and not difference.removed:
            return
        properties = {
            retention.EXPORTED_AT: self.pin.pinned_at,
            "meter.publication-id": self._publication.publication_id,
            "meter.published-at": self._publication.published_at,
        }
        commits.add_snapshot(change, difference, self._footers, properties)
        self._changed += 1
        self._added += len(difference.added)
        self._removed += len(difference.removed)

    def _expire(self, table: Table) -> str | None:
        """Removes old snapshots; returns when the oldest of those that stay was replaced."""
        self._expired += retention.expire(table, self._limit)
        return min(retention.replaced_at(table.metadata).values(), default=None)

    def _tidy_retired(self, name: Name) -> None:
        table = self._load(name)
        if table is None or table.properties.get(_LEDGER) != self._ledger.name:
            return
        found = _RETIRED.fullmatch(name[1])
        assert found is not None
        at = datetime.strptime(found[2], "%Y%m%dt%H%M%S%f").replace(tzinfo=timezone.utc)
        if self._is_over(iso(at)):
            retention.drop(table)
        else:
            self._expire(table)
