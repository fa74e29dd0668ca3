"""Intents: what is about to be created at Meter, noted first so that a retry after a crash does not create it twice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from meter_pipeline.store.ledger.database import Transaction
from meter_pipeline.store.ledger.tables import intents
from meter_pipeline.store.ledger.upserts import dump_json
from meter_pipeline.store.times import now

if TYPE_CHECKING:  # the client is a tenth of a second to import, and publishing has no use for it
    from meter_pipeline.api import Intent


class LedgerIntents:
    """The `meter_pipeline.api.IntentLog` that is kept in a ledger.

    Args:
        writing: Opens a transaction that changes the ledger.
    """

    def __init__(self, writing: Transaction) -> None:
        self._writing = writing

    def open(self, kind: str, fingerprint: str, before: Sequence[str]) -> Intent:
        """Notes an intent, or returns the unresolved one with the same fingerprint."""
        from meter_pipeline.api import Intent

        where = (intents.c.kind == kind) & (intents.c.fingerprint == fingerprint) & intents.c.resolved_at.is_(None)
        with self._writing() as connection:
            unresolved = connection.execute(select(intents).where(where).order_by(intents.c.opened_at)).first()
            if unresolved is not None:
                listed_before = tuple(json.loads(unresolved.before))
                return Intent(unresolved.intent_id, kind, fingerprint, listed_before, reused=True)
            intent_id = uuid.uuid4().hex
            values = {"intent_id": intent_id, "kind": kind, "fingerprint": fingerprint, "opened_at": now()}
            connection.execute(intents.insert().values(**values, before=dump_json(list(before))))
            return Intent(intent_id, kind, fingerprint, tuple(before), reused=False)

    def resolve(self, intent_id: str, resource_id: str | None) -> None:
        """Closes an intent with the id of the resource that was created, `None` when none was."""
        where = intents.c.intent_id == intent_id
        with self._writing() as connection:
            connection.execute(update(intents).where(where).values(resolved_at=now(), resource_id=resource_id))
