"""Opens the API client, the ledger and the store that settings name; imports their modules only then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from meter_pipeline.config.settings import Settings

if TYPE_CHECKING:
    from meter_pipeline.api import MeterClient
    from meter_pipeline.store.lake.lake import Lake
    from meter_pipeline.store.lake.part_set import PartSet
    from meter_pipeline.store.ledger.ledger import Ledger


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
def open_store(settings: Settings) -> Iterator[Store]:
    """Opens the ledger and the lake of `settings`; creates them if they do not exist.

    Raises:
        StoreError: The ledger or the lake cannot be opened.
    """
    from meter_pipeline.host.scratch import Scratch
    from meter_pipeline.store.lake.lake import VERSION, Lake

    with open_ledger(settings) as ledger, Scratch(settings.spool, settings.keep_free) as scratch:
        lake = Lake.open(settings.lake, scratch)
        if lake.version < VERSION:
            from meter_pipeline.sync.loading.takeover import take_over

            take_over(ledger, lake)
        yield Store(ledger, lake)
