"""Jobs: recording what Meter lists, and committing what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, select, update

from meter_pipeline.store import columns
from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.errors import StaleError
from meter_pipeline.store.ledger.catalog import adopt_strategies
from meter_pipeline.store.ledger.facts import revise
from meter_pipeline.store.ledger.manifest import change_parts
from meter_pipeline.store.ledger.rows import FindingRow, JobRow, Recorded
from meter_pipeline.store.ledger.tables import findings, jobs, plain, strategies, target_id
from meter_pipeline.store.ledger.upserts import dump_json, upsert
from meter_pipeline.store.parts import NO_CHANGE, PartsChange
from meter_pipeline.store.times import iso, now

if TYPE_CHECKING:  # the client is a tenth of a second to import, and publishing has no use for it
    from meter_pipeline.api import Job
    from meter_pipeline.store.ledger.claims import Claim


def target_of(job: Job) -> str:
    """The id of a job's target, as `job_values` has it."""
    values = plain({"url": job.url, "parameters": dump_json(job.parameters) if job.parameters else None})
    return target_id(values["url"], values["parameters"])


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
    rows: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    loaded: list[dict[str, Any]] = []
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
    if rows or moved or loaded:
        revision = revise(connection)
        kept = {"job_id", "strategy_id", "known_at"}
        for some in (rows, moved, loaded):
            revised = [{**row, "revision": revision} for row in some]
            changed = [name for name in _names(revised) if name not in kept]
            upsert(connection, jobs, revised, keys=["job_id"], set_=changed)
        adopt_strategies(connection, {row["strategy_id"] for row in rows}, seen_at)
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


@dataclass(frozen=True)
class Commit:
    """All that one step changes of a strategy: its rows in the lake, its jobs, its fields and its item rules.

    Attributes:
        strategy_id: The strategy.
        version: The strategy's version that the commit was built on.
        jobs: New values of jobs' rows by column name, `job_id` among them.
        parts: How the manifest changes.
        fields: The strategy's fields from then on; None leaves them.
        identity: The strategy's item rules from then on, as JSON; None leaves them.
        findings: What the audit found about jobs, by job id; replaces what was found about these before.
        readings: How the texts of its fields are read from then on, as JSON; None leaves that.
        claim: A claim that is given up with the commit, by the same transaction.
    """

    strategy_id: str
    version: int
    jobs: Sequence[dict[str, Any]] = ()
    parts: PartsChange = NO_CHANGE
    fields: Sequence[columns.Field] | None = None
    identity: str | None = None
    findings: Mapping[str, Sequence[FindingRow]] = field(default_factory=dict)
    readings: str | None = None
    claim: Claim | None = None


def apply_commit(connection: Connection, commit: Commit) -> int:
    """Makes a commit, all of it or nothing; returns the strategy's next version.

    Raises:
        StaleError: The strategy has another version by now, since somebody else has committed.
    """
    revision = revise(connection)
    changes: dict[str, Any] = {"version": commit.version + 1}
    if commit.fields is not None:
        changes["fields"] = columns.dump(commit.fields)
    if commit.identity is not None:
        changes["identity"] = commit.identity
    if commit.readings is not None:
        changes["readings"] = commit.readings
    is_own = (strategies.c.strategy_id == commit.strategy_id) & (strategies.c.version == commit.version)
    if connection.execute(update(strategies).where(is_own).values(**changes)).rowcount != 1:
        raise StaleError("another process has loaded this strategy meanwhile")
    change_parts(connection, commit.strategy_id, commit.parts, revision)
    defaults = {"strategy_id": commit.strategy_id, "known_at": now(), "revision": revision}
    for rows in _group_by_columns(commit.jobs):
        names = [name for name in (*rows[0], "revision") if name not in ("job_id", "strategy_id", "known_at")]
        complete = [plain({**defaults, **row}) for row in rows]
        upsert(connection, jobs, complete, keys=["job_id"], set_=names)
    _replace_findings(connection, commit.findings)
    return commit.version + 1


def _group_by_columns(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows grouped by the columns they name: one statement takes rows of the same columns only."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return list(groups.values())


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(rows[0]) if rows else []


def _replace_findings(connection: Connection, found: Mapping[str, Sequence[FindingRow]]) -> None:
    for some in chunks(list(found)):
        connection.execute(delete(findings).where(findings.c.job_id.in_(some)))
    rows = [plain(asdict(row)) for about in found.values() for row in about]
    if rows:
        connection.execute(findings.insert(), rows)
