"""The one way in: `sync` brings what is new at Meter into the ledger and the lake, for every caller alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from meter_pipeline.api import MeterBadResponse, MeterClient, MeterConnectionError, MeterNotFound, MeterServerError
from meter_pipeline.config import Config
from meter_pipeline.store.claims import Claim
from meter_pipeline.store.lake import Lake
from meter_pipeline.store.ledger import Ledger
from meter_pipeline.store.rows import JobRow, StrategyRow
from meter_pipeline.store.tables import iso, now
from meter_pipeline.sync.discover import catalog, discover
from meter_pipeline.sync.land import Fetched, fetch
from meter_pipeline.sync.load import BATCH_BYTES, Load
from meter_pipeline.sync.rekey import of, refresh
from meter_pipeline.sync.report import Problem, Progress, Silent, SyncReport
from meter_pipeline.sync.write import Writers

WORKERS = 8
# Strategies are claimed by so many at a time: one wait for the disk for all of them, and the rest is left to others.
_CLAIMS = 8
# So many jobs in a row without an answer: the API is gone, not these jobs.
_SILENCE = 3


class SelectionError(Exception):
    """A strategy, schedule or job was asked for that is not there; the message is one line with the way out."""


def sync(
    client: MeterClient,
    ledger: Ledger,
    lake: Lake,
    *,
    schedules: Sequence[str] | None = None,
    strategies: Sequence[str] | None = None,
    jobs: Sequence[str] | None = None,
    since: datetime | None = None,
    reconcile: bool = False,
    again: bool = False,
    workers: int = WORKERS,
    progress: Progress | None = None,
    config: Config | None = None,
) -> SyncReport:
    """Loads every job that is not loaded yet. A job, or a strategy, that fails does not stop the others.

    Args:
        client: The API.
        ledger: Says what is there; opened with `Ledger.open`.
        lake: Takes the rows; opened with `Lake.open`.
        schedules: Only jobs of these schedules, by id.
        strategies: Only jobs of these strategies, by id, slug or name.
        jobs: Only these jobs, by id.
        since: Only jobs created from then on.
        reconcile: Walk the whole listing of jobs instead of stopping where everything is known, and try again at once
            what could not be read.
        again: Load the chosen jobs even if they are loaded.
        workers: Threads that fetch.
        progress: Told how far it is.
        config: What `meter.yaml` says: rows that were made otherwise are made anew.

    Returns:
        What was done, with every job that could not be loaded by name.

    Raises:
        SelectionError: A strategy, schedule or job is not known to the API.
        MeterError: The API cannot be reached or refuses the key.
        StoreError: The ledger or the lake cannot be used at all.
    """
    requests = client.requests_made
    report = SyncReport(sync_id=ledger.begin_sync(), started_at=now())
    selection = _Selection(schedules, strategies, jobs, iso(since), reconcile or again or jobs is not None, again)
    try:
        catalog(client, ledger, report)
        selection.resolve(client, ledger, report)
        if jobs is None:
            discover(client, ledger, report, strategy_ids=selection.strategy_ids, since=since, reconcile=reconcile)
        refresh(ledger, lake, config or Config(), report, selection.strategy_ids, large=BATCH_BYTES)
        _load(client, ledger, lake, selection, report, workers, progress or Silent(), config or Config())
    finally:
        report.requests = client.requests_made - requests
        report.finished_at = now()
        ledger.end_sync(report.sync_id, report.as_dict())
    return report


class _Selection:
    """Which jobs are to be loaded."""

    def __init__(
        self,
        schedules: Sequence[str] | None,
        strategies: Sequence[str] | None,
        jobs: Sequence[str] | None,
        since: str | None,
        at_once: bool,
        again: bool,
    ) -> None:
        self._schedules = None if schedules is None else set(schedules)
        self._strategies = strategies
        self._jobs = None if jobs is None else list(jobs)
        self._since = since
        self._at_once = at_once
        self.again = again
        self.strategy_ids: list[str] | None = None

    def resolve(self, client: MeterClient, ledger: Ledger, report: SyncReport) -> None:
        """Finds the strategies that are meant.

        Raises:
            SelectionError: One is not there.
        """
        ids: set[str] = set()
        if self._strategies is not None:
            ids |= set(_strategy_ids(ledger, self._strategies))
        if self._schedules is not None:
            known = {row.schedule_id: row.strategy_id for row in ledger.schedules()}
            for schedule in sorted(self._schedules):
                if schedule not in known:
                    raise SelectionError(f"no schedule {schedule}: see `meter-pipeline schedules list`")
                ids.add(known[schedule] or "")
        if self._jobs is not None:
            _look_up(client, ledger, self._jobs, report)
            ids |= {row.strategy_id for row in ledger.jobs(ids=self._jobs)}
        if self._strategies is not None or self._schedules is not None or self._jobs is not None:
            self.strategy_ids = sorted(ids)

    def pending(self, ledger: Ledger, strategy_id: str | None = None) -> Iterator[JobRow]:
        """Jobs that are to be loaded now."""
        states = () if self.again else ("known", "landed", "unreadable")
        moment = now()
        for row in ledger.jobs(strategy_id, states, self._jobs):
            if self.strategy_ids is not None and row.strategy_id not in self.strategy_ids:
                continue
            if self._schedules is not None and row.schedule_id is not None and row.schedule_id not in self._schedules:
                continue
            if self._since is not None and (row.created_at or self._since) < self._since:
                continue
            if not self._at_once and row.retry_at is not None and row.retry_at > moment:
                continue
            yield row


def _look_up(client: MeterClient, ledger: Ledger, job_ids: Sequence[str], report: SyncReport) -> None:
    """Gives jobs that were never listed a row; one that the API cannot show does not stop the others."""
    for job_id in sorted(set(job_ids) - {row.job_id for row in ledger.jobs(ids=job_ids)}):
        try:
            ledger.record_jobs([client.job(job_id)])
        except MeterNotFound:
            raise SelectionError(f"no job {job_id}: see `meter-pipeline status` for the strategies there are") from None
        except (MeterServerError, MeterBadResponse) as error:
            report.problems.append(Problem(job_id, "", "unknown", str(error)))


def _strategy_ids(ledger: Ledger, wanted: Sequence[str]) -> Iterator[str]:
    rows = ledger.strategies()
    for name in wanted:
        found = [row for row in rows if name in (row.strategy_id, row.slug)] or [
            row for row in rows if name == row.name
        ]
        if not found:
            raise SelectionError(f"no strategy {name!r}: see `meter-pipeline strategies list`")
        if len(found) > 1:
            slugs = ", ".join(row.slug for row in found)
            raise SelectionError(f"several strategies are called {name!r}: name one of {slugs}")
        yield found[0].strategy_id


def _load(
    client: MeterClient,
    ledger: Ledger,
    lake: Lake,
    selection: _Selection,
    report: SyncReport,
    workers: int,
    progress: Progress,
    config: Config,
) -> None:
    counts: dict[str, int] = {}
    for row in selection.pending(ledger):
        counts[row.strategy_id] = counts.get(row.strategy_id, 0) + 1
    progress.total(sum(counts.values()))
    loads: dict[str, Load] = {}

    def claimed() -> Iterator[tuple[StrategyRow, JobRow]]:
        """Rows of one strategy after the other, each read under its claim: another sync may have been here before."""
        known = [row for row in ledger.strategies() if row.strategy_id in counts]
        for start in range(0, len(known), _CLAIMS):
            taken = _claim(ledger, selection, known[start : start + _CLAIMS], report)
            for strategy, claim, rows in taken:
                seen_before = any(row.state != "known" for row in rows)
                said = of(config, strategy)
                loads[strategy.slug] = Load(lake, ledger, strategy, claim, again=seen_before, config=said)
            for strategy, _, rows in taken:
                yield from ((strategy, row) for row in rows)

    fetched_jobs = fetch(client, claimed(), workers)
    try:
        with Writers(report, progress) as writers:
            for slug, group in groupby(fetched_jobs, key=lambda fetched: fetched.strategy.slug):
                writing = writers.begin(loads[slug])
                for fetched in _answered(group):
                    writing.add(fetched)
                writing.finish()
    except _Silence as silence:
        report.stopped = f"the API does not answer: {silence}"
    finally:
        fetched_jobs.close()
        for load in loads.values():
            load.release()


class _Silence(Exception):
    """The API has stopped to answer."""


def _answered(fetched_jobs: Iterator[Fetched]) -> Iterator[Fetched]:
    """The same jobs, until several in a row got no answer: then the API is gone, not these jobs."""
    silent = 0
    for fetched in fetched_jobs:
        yield fetched
        silent = silent + 1 if isinstance(fetched.error, MeterConnectionError) else 0
        if silent >= _SILENCE:
            raise _Silence(fetched.error)


def _claim(
    ledger: Ledger, selection: _Selection, known: Sequence[StrategyRow], report: SyncReport
) -> list[tuple[StrategyRow, Claim, list[JobRow]]]:
    """Claims strategies, those that are free and have something to load, and marks them as being written."""
    taken = []
    for row in known:
        claim = ledger.claims.try_claim(row.slug)
        if claim is None:
            report.skipped.append(row.slug)
            continue
        strategy, rows = ledger.strategy(row.strategy_id), list(selection.pending(ledger, row.strategy_id))
        if strategy is None or not rows:
            claim.release()
            continue
        taken.append((strategy, claim, rows))
    clean = [strategy.strategy_id for strategy, _, _ in taken if not strategy.dirty]
    if clean:
        ledger.mark_dirty(clean)
    return taken
