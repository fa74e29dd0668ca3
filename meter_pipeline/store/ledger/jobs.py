"""Jobs: recording what Meter lists, and committing what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update

from meter_pipeline.store import columns
from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.ledger.catalog import adopt_strategies
from meter_pipeline.store.ledger.facts import revise
from meter_pipeline.store.ledger.rows import JobRow, Recorded
from meter_pipeline.store.ledger.tables import jobs, plain, strategies, target_id
from meter_pipeline.store.ledger.upserts import dump_json, upsert
from meter_pipeline.store.times import iso, now

if TYPE_CHECKING:  # the client is a tenth of a second to import, and publishing has no use for it
    from meter_pipeline.api import Job


def job_values(job: Job) -> dict[str, Any]:
    """The ledger's columns of a job as the API describes it, by name."""
    values = plain(
        {
            "job_id": job.job_id,
            "schedule_id": job.schedule_id,
            "batch_id": job.batch_id,
            "url": job.url,
            "parameters": dump_json(job.parameters) if job.parameters else None,
            "status": job.status,
            "item_count": job.item_count,
            "content_hash": job.content_hash,
            "structural_signature": (None if job.structural_signature is None else dump_json(job.structural_signature)),
            "error": job.error,
            "created_at": iso(job.created_at),
            "started_at": iso(job.started_at),
            "completed_at": iso(job.completed_at),
        }
    )
    return {**values, "target_id": target_id(values["url"], values["parameters"])}


def record_jobs(connection: Connection, listed: Sequence[Job]) -> Recorded:
    """Gives every listed job a row and follows the status of those that have one; see `Ledger.record_jobs`."""
    seen_at = now()
    known = _read_known(connection, [job.job_id for job in listed])
    rows, moved, loaded = [], [], []
    for job in listed:
        old = known.get(job.job_id)
        is_moved = old is not None and job.status is not None and job.status != old.status
        if old is None or (old.state == "known" and not is_moved):
            new = {"strategy_id": job.strategy_id or "", "state": _listed_state(job), "known_at": seen_at}
            rows.append({**job_values(job), **new})
        elif is_moved and old.state in ("known", "failed", "unreadable"):
            moved.append(_moved_row(old, job))
        elif is_moved:
            loaded.append(plain({"job_id": job.job_id, "status": job.status, **_required_values(old)}))
    kept = {"job_id", "strategy_id", "known_at"}
    for some in (rows, moved, loaded):
        upsert(connection, jobs, some, keys=["job_id"], set_=[name for name in _names(some) if name not in kept])
    adopt_strategies(connection, {row["strategy_id"] for row in rows}, seen_at)
    if rows or moved or loaded:
        revise(connection)
    failed = Counter(
        row["strategy_id"]
        for row in (*rows, *moved)
        if row["state"] == "failed" and (row["job_id"] not in known or known[row["job_id"]].state != "failed")
    )
    fresh = [job.job_id for job in listed if job.job_id not in known]
    return Recorded(fresh, [row["job_id"] for row in moved], [row["job_id"] for row in loaded], dict(failed))


def _read_known(connection: Connection, ids: Sequence[str]) -> dict[str, JobRow]:
    """The rows of those jobs that have one, by id."""
    known: dict[str, JobRow] = {}
    for some in chunks(ids):
        rows = connection.execute(select(jobs).where(jobs.c.job_id.in_(some)))
        known.update((row.job_id, JobRow(*row)) for row in rows)
    return known


def _listed_state(job: Job) -> str:
    """The state of a listed job: `failed` if the listing gives the error; any other job is still to be fetched."""
    return "failed" if job.status == "failed" and job.error else "known"


def _moved_row(old: JobRow, job: Job) -> dict[str, Any]:
    """The row of a job whose status has changed; values that the new record lacks stay as they were."""
    values = {
        name: getattr(old, name) if value is None and name != "error" else value
        for name, value in job_values(job).items()
    }
    return {
        **values,
        **_required_values(old),
        "target_id": target_id(values["url"], values["parameters"]),
        "state": _listed_state(job),
        "reason": None,
        "loaded_at": None,
        "attempts": 0,
        "retry_at": None,
    }


def _required_values(old: JobRow) -> dict[str, Any]:
    """Values that an insert requires, also where the row exists and an update leaves them alone."""
    return {"strategy_id": old.strategy_id, "state": old.state, "known_at": old.known_at}


def commit_jobs(
    connection: Connection,
    strategy_id: str,
    rows: Sequence[dict[str, Any]],
    *,
    fields: Sequence[columns.Field] | None,
    dirty: bool | None,
    identity: str | None,
) -> None:
    """Commits the outcome of jobs and what changed of their strategy; see `Ledger.commit`."""
    changes: dict[str, Any] = {}
    if fields is not None:
        changes["fields"] = columns.dump(fields)
    if dirty is not None:
        changes["dirty"] = dirty
    if identity is not None:
        changes["identity"] = identity
    if rows:
        defaults = {"strategy_id": strategy_id, "known_at": now()}
        names = [name for name in _names(rows) if name not in ("job_id", "strategy_id")]
        complete = [plain({**defaults, **row}) for row in rows]
        upsert(connection, jobs, complete, keys=["job_id"], set_=names)
    if changes:
        connection.execute(update(strategies).where(strategies.c.strategy_id == strategy_id).values(**changes))
    revise(connection)


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(rows[0]) if rows else []
