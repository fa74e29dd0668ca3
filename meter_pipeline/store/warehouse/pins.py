"""Pins of publications: the ledger keeps the lake's parts that a publication of this place shows.

A pin has the id of its publication. Other machines publish from the same ledger, so a place is a machine and a path.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from sqlalchemy import Connection

from meter_pipeline.host.machine import machine_id
from meter_pipeline.store.ledger import facts, manifest
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.times import iso
from meter_pipeline.store.warehouse import publications

# How often a place says that it needs its pins.
_RENEWED_AFTER = timedelta(days=1)


def place_of(path: Path) -> str:
    """The place of the warehouse at `path`."""
    return f"{machine_id()}:{path.absolute()}"


def open_pin(ledger: Ledger, path: Path, publication_id: str) -> None:
    """Keeps every part that counts now or later, until `close_pin`."""
    with ledger.writing() as connection:
        revision = facts.read_revision(connection)
        manifest.set_pin(connection, publication_id, place_of(path), revision, is_open=True)


def close_pin(ledger: Ledger, path: Path, publication_id: str, revision: int) -> None:
    """Keeps the parts of one revision alone."""
    with ledger.writing() as connection:
        manifest.set_pin(connection, publication_id, place_of(path), revision, is_open=False)


def is_pinned(connection: Connection, path: Path, publication: publications.Publication) -> bool:
    """Whether this ledger made the publication and keeps its parts.

    A ledger that was put back from a copy, or begun again, counts its revisions again as well: it lacks the pin.
    """
    found = manifest.read_pins(connection, place_of(path))
    return found.get(publication.publication_id) == publication.ledger_revision


def tidy_pins(ledger: Ledger, path: Path) -> None:
    """Renews the pins of publications that are kept, and removes those of publications that are gone."""
    there = publications.existing(path)
    with ledger.reading() as connection:
        pinned = manifest.read_renewals(connection, place_of(path))
    gone = [pin_id for pin_id in pinned if pin_id not in there]
    before = str(iso(datetime.now(timezone.utc) - _RENEWED_AFTER))
    stale = [pin_id for pin_id, renewed_at in pinned.items() if pin_id in there and renewed_at < before]
    if gone or stale:
        with ledger.writing() as connection:
            manifest.remove_pins(connection, gone)
            manifest.renew_pins(connection, stale)
