"""Meter's own comparisons in the ledger: of which consecutive jobs they were requested, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.tables import job_comparisons, jobs, plain


@dataclass(frozen=True)
class Pair:
    """An accepted job and the one before it on the same target."""

    strategy_id: str
    job_id: str
    previous_job_id: str


class Verdicts:
    """Comparisons in a ledger: at most one for each job, with its current predecessor."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def due(self, limit: int) -> tuple[list[Pair], int]:
        """The newest pairs without a comparison, at most `limit`, and the number of all such pairs."""
        time = func.coalesce(jobs.c.completed_at, jobs.c.started_at, jobs.c.created_at, "")
        target = [jobs.c.strategy_id, func.coalesce(jobs.c.url, ""), func.coalesce(jobs.c.parameters, "")]
        before = func.lag(jobs.c.job_id).over(partition_by=target, order_by=[time, jobs.c.job_id])
        pairs = (
            select(jobs.c.strategy_id, jobs.c.job_id, before.label("previous"), time.label("time"))
            .where(jobs.c.state == "accepted")
            .subquery()
        )
        compared = job_comparisons.c
        same = (compared.job_id == pairs.c.job_id) & (compared.previous_job_id == pairs.c.previous)
        query = (
            select(pairs.c.strategy_id, pairs.c.job_id, pairs.c.previous)
            .select_from(pairs.outerjoin(job_comparisons, same))
            .where(pairs.c.previous.is_not(None), compared.job_id.is_(None))
        )
        newest = query.order_by(pairs.c.time.desc(), pairs.c.job_id.desc()).limit(limit)
        with self._ledger.reading() as connection:
            found = [Pair(*row) for row in connection.execute(newest)]
            if len(found) < limit:
                return found, len(found)
            return found, connection.execute(select(func.count()).select_from(query.subquery())).scalar() or 0

    def record(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Records comparisons, each as values by column name, every column in each row."""
        if not rows:
            return
        names = [name for name in rows[0] if name != "job_id"]
        with self._ledger.writing() as connection:
            complete = [plain(dict(row)) for row in rows]
            self._ledger.upsert(connection, job_comparisons, complete, keys=["job_id"], set_=names)
            self._ledger.revise(connection)

    def disagreements(self, limit: int) -> list[Any]:
        """The latest comparisons in which Meter's verdict differs from the changes found here."""
        compared = job_comparisons.c
        query = (
            select(job_comparisons)
            .where(compared.agrees.is_(False))
            .order_by(compared.compared_at.desc(), compared.job_id)
        )
        with self._ledger.reading() as connection:
            return list(connection.execute(query.limit(limit)))
