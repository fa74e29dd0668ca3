"""Which jobs a sync loads: of some strategies or schedules, some jobs by id, jobs since some time, or all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meter_pipeline.api import MeterBadRequest, MeterClient, MeterNotFound
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, ScheduleRow, StrategyRow, called, find_meant
from meter_pipeline.store.times import now
from meter_pipeline.sync.containment import Trouble, contained
from meter_pipeline.sync.discovery.listing import record_jobs
from meter_pipeline.sync.report import Problem, SyncReport

# For more strategies than this, the common listing of jobs is walked instead of a listing for each.
_MAX_LISTINGS = 20


class SelectionError(MeterPipelineError):
    """A selected strategy, schedule or job does not exist; the message is one line with the way out."""


@dataclass(frozen=True)
class Selection:
    """Which jobs to load. None means no restriction.

    Attributes:
        schedules: Ids of schedules.
        strategies: Ids, slugs or names of strategies, as the user gave them.
        jobs: Ids of jobs.
        since: Only jobs created from this time on, ISO 8601.
        at_once: Whether to load jobs whose next attempt is not due yet.
        again: Whether to load jobs that are loaded already, and dropped ones that are named.
        strategy_ids: Ids of the selected strategies, once `resolve` has found them.
        hinted: Ids of jobs to load whatever the rest of the selection says.
        carried: Ids of jobs whose items came with a change set.
        shard: Ids of the strategies that this process loads.
    """

    schedules: Collection[str] | None = None
    strategies: Collection[str] | None = None
    jobs: Collection[str] | None = None
    since: str | None = None
    at_once: bool = True
    again: bool = False
    strategy_ids: tuple[str, ...] | None = None
    hinted: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()
    shard: tuple[str, ...] | None = None

    def part(self, strategy_ids: Iterable[str]) -> Selection:
        """The same selection, restricted to some strategies."""
        return replace(self, shard=tuple(strategy_ids))

    def within_shard(self, strategy_ids: Iterable[str]) -> set[str]:
        """Those of `strategy_ids` that this process loads."""
        return set(strategy_ids) if self.shard is None else set(strategy_ids) & set(self.shard)

    def as_dict(self) -> dict[str, Any]:
        """The resolved selection as JSON values."""
        return {
            "schedules": None if self.schedules is None else sorted(self.schedules),
            "jobs": None if self.jobs is None else sorted(self.jobs),
            "since": self.since,
            "at_once": self.at_once,
            "again": self.again,
            "strategy_ids": None if self.strategy_ids is None else list(self.strategy_ids),
            "hinted": sorted(self.hinted),
            "carried": sorted(self.carried),
            "shard": None if self.shard is None else list(self.shard),
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Selection:
        """The inverse of `as_dict`."""
        lists = ("schedules", "jobs", "strategy_ids", "shard")
        tuples = {name: None if form[name] is None else tuple(form[name]) for name in lists}
        sets = {name: frozenset(form[name]) for name in ("hinted", "carried")}
        return cls(**{**form, **tuples, **sets})

    def resolve(
        self, client: MeterClient, ledger: Ledger, report: SyncReport, *, missing_ok: bool = False
    ) -> Selection:
        """Finds the ids of the selected strategies.

        Args:
            client: The API, which is asked for jobs that were never listed.
            ledger: Has all listed strategies and schedules.
            report: Gets a problem for each job that cannot be read.
            missing_ok: Whether strategies that do not exist are left out instead of raising.

        Returns:
            The selection with its `strategy_ids`.

        Raises:
            SelectionError: A strategy, schedule or job does not exist.
        """
        if self.strategies is None and self.schedules is None and self.jobs is None:
            return self
        ids: set[str] = set()
        if self.strategies is not None:
            for row in _find_strategies(ledger, self.strategies, missing_ok):
                ids.add(row.strategy_id)
                # Dagster names all strategies that have an asset, those that were deleted among them.
                if row.deleted_at is not None and not missing_ok:
                    report.note(f"{row.slug}: deleted at Meter: nothing new can be loaded, what was loaded stays")
        if self.schedules is not None:
            ids |= _find_owners(ledger, self.schedules)
        if self.jobs is not None:
            _record_missing_jobs(client, ledger, self.jobs, report)
            ids |= {row.strategy_id for row in ledger.jobs(ids=list(self.jobs))}
        return replace(self, strategy_ids=tuple(sorted(ids)))

    @property
    def partial(self) -> bool:
        """Whether discovery may be incomplete for the selected strategies."""
        return self.since is not None

    def find_listings(self, reconcile: bool) -> list[str] | None:
        """Ids of the strategies whose listings of jobs are walked; None for the common listing."""
        if self.strategy_ids is None:
            return None
        return list(self.strategy_ids) if reconcile or len(self.strategy_ids) <= _MAX_LISTINGS else None

    def read_schedules(self, ledger: Ledger) -> list[ScheduleRow]:
        """The selected schedules."""
        return [
            row
            for row in ledger.schedules()
            if (self.schedules is None or row.schedule_id in self.schedules)
            and (self.strategy_ids is None or (row.strategy_id or "") in self.strategy_ids)
        ]

    def read_pending(self, ledger: Ledger, strategies: Sequence[str] | None = None) -> Iterator[JobRow]:
        """Jobs to load now; `strategies`: only of these strategies, by id."""
        states = () if self.again else ("known", "unreadable")
        moment = now()
        strategies = self.shard if strategies is None else strategies
        for row in ledger.jobs(strategies, states, None if self.jobs is None else list(self.jobs)):
            if row.state == "dropped" and self.jobs is None:
                continue
            if row.job_id in self.hinted or (self._includes(row) and self._is_due(row, moment)):
                yield row

    def _includes(self, row: JobRow) -> bool:
        """Whether a job is one of those that the user asked for."""
        if self.strategy_ids is not None and row.strategy_id not in self.strategy_ids:
            return False
        if self.schedules is not None and row.schedule_id is not None and row.schedule_id not in self.schedules:
            return False
        return self.since is None or (row.created_at or self.since) >= self.since

    def _is_due(self, row: JobRow, moment: str) -> bool:
        """Whether a job's next attempt is due, or needs no request since its items are here."""
        return self.at_once or row.retry_at is None or row.retry_at <= moment or row.job_id in self.carried


def _find_owners(ledger: Ledger, schedules: Collection[str]) -> set[str]:
    """Ids of the strategies of schedules."""
    owners = {row.schedule_id: row.strategy_id for row in ledger.schedules()}
    for schedule_id in sorted(schedules):
        if schedule_id not in owners:
            raise SelectionError(f"no schedule {schedule_id}: see `meter-pipeline schedules list`")
    return {owners[schedule_id] or "" for schedule_id in schedules}


def _record_missing_jobs(client: MeterClient, ledger: Ledger, job_ids: Collection[str], report: SyncReport) -> None:
    """Records jobs that were never listed, and asks again for those that had failed at Meter.

    A job that the API cannot show does not stop the others.
    """
    settled = {row.job_id for row in ledger.jobs(ids=list(job_ids)) if row.state != "failed"}
    for job_id in sorted(set(job_ids) - settled):
        if not _record_job(client, ledger, job_id, report):
            raise SelectionError(f"Meter knows no job {job_id}: see `meter-pipeline jobs list`")


def _record_job(client: MeterClient, ledger: Ledger, job_id: str, report: SyncReport) -> bool:
    """Records a job; returns whether Meter knows it, which is also so for a job that cannot be read."""

    def give_up(trouble: Trouble) -> None:
        report.problems.append(Problem(job_id, "", "unknown", trouble.reason, is_ours=trouble.is_ours))

    try:
        with contained(give_up, passing=(MeterNotFound, MeterBadRequest)):
            record_jobs(ledger, report, [client.job(job_id)])
    except (MeterNotFound, MeterBadRequest):
        return False
    return True


def _find_strategies(ledger: Ledger, names: Collection[str], missing_ok: bool) -> Iterator[StrategyRow]:
    """The strategies of these ids, slugs or names."""
    rows = ledger.strategies()
    for name in names:
        found = called(rows, name)
        if not found and missing_ok:
            continue
        if not found:
            way_out = find_meant(rows, name, "see `meter-pipeline strategies list`")
            raise SelectionError(f"no strategy {name!r}: {way_out}")
        if len(found) > 1:
            slugs = ", ".join(row.slug for row in found)
            raise SelectionError(f"several strategies are called {name!r}: name one of {slugs}")
        yield found[0]
