"""Keeps a dataset of BigQuery to one delivery at a time.

BigQuery has no locks, but it creates a table once. So the lock is a table that names its holder and expires by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from google.api_core import exceptions
from google.cloud import bigquery

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.holder import LEASE, RENEWAL, describe_refusal, has_ended, name_holder

#: Name of the table.
LOCK = "_meter_lock"


@dataclass
class Lock:
    """A lock that is held."""

    client: bigquery.Client
    table: bigquery.Table

    def renew(self) -> None:
        """Puts the end of the lock off; a request every five minutes, however often it is called."""
        if self.table.expires < _now() + LEASE - RENEWAL:
            self.table.expires = _now() + LEASE
            self.table = self.client.update_table(self.table, ["expires"])

    def release(self) -> None:
        """Deletes the lock."""
        self.client.delete_table(self.table.reference, not_found_ok=True)


def acquire(client: bigquery.Client, name: bigquery.TableReference, shown: str) -> Lock:
    """Creates the lock, or takes over one whose holder has ended.

    Args:
        client: The client of the dataset.
        name: The table.
        shown: What messages call the target.

    Raises:
        WarehouseError: Another delivery holds it.
    """
    wanted = bigquery.Table(name)
    wanted.description, wanted.expires = name_holder(), _now() + LEASE
    try:
        return Lock(client, client.create_table(wanted))
    except exceptions.Conflict:
        pass
    try:
        found = client.get_table(name)
        if not _is_over(found):
            raise WarehouseError(describe_refusal(shown))
        # Refused when somebody else has changed it since it was read: the table has its etag.
        found.description, found.expires = wanted.description, wanted.expires
        return Lock(client, client.update_table(found, ["description", "expires"]))
    except (exceptions.NotFound, exceptions.PreconditionFailed):
        raise WarehouseError(f"{shown}: another delivery has just begun; deliver again when it has ended") from None


def _is_over(lock: bigquery.Table) -> bool:
    """Whether the delivery that holds a lock has ended without deleting it, as far as this machine can know."""
    return (lock.expires is not None and lock.expires <= _now()) or has_ended(lock.description or "")


def _now() -> datetime:
    return datetime.now(timezone.utc)
