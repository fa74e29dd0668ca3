"""Syncs: when each began and ended, and its report."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from meter_pipeline.store.ledger.tables import syncs
from meter_pipeline.store.ledger.upserts import dump_json
from meter_pipeline.store.times import now


def begin_sync(connection: Connection) -> str:
    """Notes the start of a sync; returns its id."""
    sync_id = uuid.uuid4().hex
    connection.execute(syncs.insert().values(sync_id=sync_id, started_at=now()))
    return sync_id


def end_sync(connection: Connection, sync_id: str, report: dict[str, Any]) -> None:
    """Notes the end of a sync with its report."""
    _end(connection, syncs.c.sync_id == sync_id, report)


def end_open_syncs(connection: Connection, sync_ids: Collection[str], report: dict[str, Any]) -> None:
    """Notes the end of those syncs that have not ended."""
    _end(connection, syncs.c.sync_id.in_(sync_ids) & syncs.c.finished_at.is_(None), report)


def _end(connection: Connection, where: ColumnElement[bool], report: dict[str, Any]) -> None:
    connection.execute(update(syncs).where(where).values(finished_at=now(), report=dump_json(report)))


def read_last_sync(connection: Connection) -> dict[str, Any] | None:
    """The report of the latest sync that ended, with its id and times; `None` before the first one."""
    query = select(syncs).where(syncs.c.finished_at.is_not(None)).order_by(syncs.c.started_at.desc()).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return None
    ending = {"sync_id": row.sync_id, "started_at": row.started_at, "finished_at": row.finished_at}
    return {**json.loads(row.report or "{}"), **ending}


def read_unended_sync(connection: Connection) -> str | None:
    """When the latest sync began, if it still runs or was killed; `None` if it has ended."""
    query = select(syncs.c.started_at, syncs.c.finished_at).order_by(syncs.c.started_at.desc()).limit(1)
    row = connection.execute(query).first()
    return row.started_at if row is not None and row.finished_at is None else None
