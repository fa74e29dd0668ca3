"""Opens the API client, the ledger and the store that settings name; imports their modules only then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from meter_pipeline.config.settings import Settings
from meter_pipeline.host.extras import require_extra

if TYPE_CHECKING:
    from meter_pipeline.api import MeterClient
    from meter_pipeline.store.lake.lake import Lake
    from meter_pipeline.store.lake.part_set import PartSet
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.warehouse.open_tables.tables import Export

# Of the files that the ledger lists, this many of the oldest and of the newest are looked for until one is found.
_SAMPLE = 3


class Store(NamedTuple):
    """An open ledger and an open lake."""

    ledger: Ledger
    lake: Lake

    def stored_rows(self, slug: str) -> PartSet:
        """The rows of a strategy in the lake; none of an unknown strategy."""
        return self.lake.part_set(slug, self.ledger.parts_of(slug))


@contextmanager
def open_client(settings: Settings, ledger: Ledger | None = None, **limits: Any) -> Iterator[MeterClient]:
    """Opens a client of the API; with a `ledger`, a retried creation does not create twice.

    `limits` are passed to the client: `timeout` and `deadline` in seconds, `spool_folder`.

    Raises:
        SettingsError: No key is configured.
    """
    from meter_pipeline.api import Bounds, MeterClient

    given: dict[str, Any] = {
        "spool_folder": settings.spool,
        "keep_free": settings.keep_free,
        "bounds": Bounds(settings.max_body, settings.max_record, settings.max_page),
        **limits,
    }
    with MeterClient(
        settings.require_key(),
        base_url=settings.base_url,
        prefix=settings.api_prefix,
        max_requests_per_second=settings.max_requests_per_second,
        intents=None if ledger is None else ledger.intents,
        **given,
    ) as client:
        yield client


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """Opens the ledger of `settings`; creates it if it does not exist.

    Raises:
        StoreError: The ledger cannot be opened.
    """
    from meter_pipeline.store.ledger.ledger import Ledger

    ledger = Ledger.open(settings.ledger)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def open_known_ledger(settings: Settings) -> Iterator[Ledger | None]:
    """Opens the ledger of `settings` for reading; yields `None` if it does not exist, and creates nothing.

    Raises:
        StoreError: The ledger cannot be opened.
    """
    if not settings.ledger_url and not Path(settings.ledger).exists():
        yield None
        return
    with open_ledger(settings) as ledger:
        yield ledger


@contextmanager
def open_lake(settings: Settings) -> Iterator[Lake]:
    """Opens the lake of `settings`; creates it if it does not exist.

    Raises:
        LakeError: The lake cannot be opened.
    """
    from meter_pipeline.host.scratch import Scratch
    from meter_pipeline.store.lake.lake import Lake

    with Scratch(settings.spool, settings.keep_free) as scratch:
        yield Lake.open(settings.lake, scratch)


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Opens the ledger and the lake of `settings`; creates them if they do not exist.

    Raises:
        StoreError: The ledger or the lake cannot be opened.
    """
    from meter_pipeline.store.lake.lake import VERSION

    with open_ledger(settings) as ledger, open_lake(settings) as lake:
        if lake.version < VERSION:
            from meter_pipeline.sync.loading.takeover import take_over

            take_over(ledger, lake)
        require_own_lake(ledger, lake)
        yield Store(ledger, lake)


def require_own_lake(ledger: Ledger, lake: Lake) -> None:
    """Makes sure that the lake is the one whose files the ledger lists, unless it lists none.

    Raises:
        StoreError: The lake has none of the oldest and newest files, or one of the two cannot be read.
    """
    lake.require_any(ledger.sample_parts(_SAMPLE))


def require_tables(settings: Settings) -> None:
    """Makes sure that the open tables of `settings` can be written, before anything is published.

    Raises:
        MissingExtraError: They are wanted, and their packages are not installed.
    """
    if settings.tables is not None:
        require_extra(settings.tables, "METER_TABLES=iceberg", "METER_TABLES=none")


def export_tables(settings: Settings, store: Store, keep: timedelta | None = None) -> Export | None:
    """Brings the open tables of `settings` to what the warehouse shows; returns None if there are to be none.

    Args:
        settings: The settings.
        store: The open store.
        keep: How long a snapshot stays after another one took its place; as long as publications when None.

    Raises:
        StoreError: There is no publication, or the catalog cannot be used.
    """
    if settings.tables is None:
        return None
    from meter_pipeline.store.warehouse.open_tables.tables import export
    from meter_pipeline.store.warehouse.publications import KEEP

    return export(
        store.ledger,
        store.lake,
        settings.warehouse,
        catalog=settings.catalog,
        lake_url=settings.lake,
        credential=settings.catalog_credential,
        keep=KEEP if keep is None else keep,
    )
