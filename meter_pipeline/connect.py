"""Settings to an open client and an open store; heavy parts are imported when they are opened, not before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from meter_pipeline.config.settings import Settings

if TYPE_CHECKING:
    from meter_pipeline.api import MeterClient
    from meter_pipeline.store.lake.lake import Lake
    from meter_pipeline.store.ledger.ledger import Ledger


class Store(NamedTuple):
    """An open ledger and an open lake."""

    ledger: Ledger
    lake: Lake


@contextmanager
def open_client(settings: Settings, ledger: Ledger | None = None, **limits: Any) -> Iterator[MeterClient]:
    """A client of the API of `settings`; a `ledger` keeps what is created from being made twice.

    `limits` are the client's own arguments: `timeout`, `deadline`, `spool_folder`.

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
    """The ledger of `settings`, made if there is none yet.

    Raises:
        StoreError: It cannot be opened.
    """
    from meter_pipeline.store.ledger.ledger import Ledger

    ledger = Ledger.open(settings.ledger)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def open_known_ledger(settings: Settings) -> Iterator[Ledger | None]:
    """The ledger of `settings`, or `None` where there is none yet: for reading, which should make nothing.

    Raises:
        StoreError: It cannot be opened.
    """
    if not settings.ledger_url and not Path(settings.ledger).exists():
        yield None
        return
    with open_ledger(settings) as ledger:
        yield ledger


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """The ledger and the lake of `settings`, made if there are none yet.

    Raises:
        StoreError: One of the two cannot be opened.
    """
    from meter_pipeline.host.scratch import Scratch
    from meter_pipeline.store.lake.lake import Lake

    with open_ledger(settings) as ledger, Scratch(settings.spool, settings.keep_free) as scratch:
        yield Store(ledger, Lake.open(settings.lake, scratch))
