"""`sync` loads what is new at Meter into the ledger and the lake. Every caller uses it: commands, assets and tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from meter_pipeline.api import JobBody, MeterClient
from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.cleaning import clean
from meter_pipeline.store.errors import StoreError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.findings import read_known
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
from meter_pipeline.store.parts import Part
from meter_pipeline.store.times import iso, now
from meter_pipeline.sync.discovery import webhooks
from meter_pipeline.sync.discovery.change_sets import ChangeSets
from meter_pipeline.sync.discovery.listing import catalog, discover, note_statuses
from meter_pipeline.sync.ending import CONNECTION, Ending
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.fetch import NoAnswer, fetch
from meter_pipeline.sync.loading.loader import StrategyLoader
from meter_pipeline.sync.loading.rebuild import rebuild_outdated
from meter_pipeline.sync.loading.state import make_context
from meter_pipeline.sync.loading.writers import Writers
from meter_pipeline.sync.report import Progress, Silent, SyncReport
from meter_pipeline.sync.selection import Selection
from meter_pipeline.sync.sharding import Processes, Weight, join_processes, share_out
from meter_pipeline.webhooks.inbox import Inbox


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
    inbox: Inbox | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    config: Config | None = None,
    processes: Processes | None = None,
    missing_ok: bool = False,
    limits: Limits = Limits(),
) -> SyncReport:
    """Loads every job that is not loaded yet. A job, or a strategy, that fails does not stop the others.

    Args:
        client: The API.
        ledger: Says which jobs are loaded; opened with `Ledger.open`.
        lake: Takes the rows; opened with `Lake.open`.
        schedules: Only jobs of these schedules, by id.
        strategies: Only jobs of these strategies, by id, slug or name.
        jobs: Only these jobs, by id.
        since: Only jobs created from this time on.
        reconcile: Walk the whole listing of jobs instead of stopping at known ones, and try unreadable jobs again at
            once.
        again: Load the selected jobs even if they are loaded.
        inbox: Also load the jobs that webhooks reported here, whatever the selection; ignored with `jobs`.
        workers: Threads that fetch; wins over `limits.workers`.
        progress: Called with the number of jobs, and as they are done.
        config: The contents of `meter.yaml`: item rules (rows made by other rules are rebuilt), the filter for unseen
            changes, and whether changes are acknowledged.
        processes: Starts processes that load shares of a large sync: see `meter_pipeline.workers`. Without, this
            process loads everything.
        missing_ok: Leave out names in `strategies` that the API does not know, instead of raising.
        limits: Bounds on memory, threads and processes.

    Returns:
        What was done, with every job that could not be loaded by name.

    Raises:
        SelectionError: A strategy, schedule or job is not known to the API.
        MeterError: The API cannot be reached or refuses the key.
        StoreError: The ledger or the lake cannot be used at all.
    """
    requests = client.requests_made
    report = SyncReport(sync_id=ledger.begin_sync(), started_at=now())
    limits = limits if workers is None else replace(limits, workers=workers)
    limits = limits if processes is None else replace(limits, helpers=processes.helpers)
    run = _Run(client, ledger, lake, report, limits, progress or Silent(), config or Config(), processes)
    at_once = reconcile or again or jobs is not None
    selection = Selection(schedules, strategies, jobs, iso(since), at_once, again)
    try:
        selection = _discover(run, selection, reconcile=reconcile, since=since, missing_ok=missing_ok)
        rebuild_outdated(ledger, lake, run.config, report, selection.strategy_ids, limits=limits)
        if jobs is not None:
            run.load(selection)
        else:
            _load_discovered(run, selection, inbox)
        note_statuses(ledger, report)
    except BaseException as error:
        ending = Ending.of(error)
        report.end(ending.cause, ending.problem, ending.exit_code)
        # What ended the sync may be the ledger itself.
        with suppress(StoreError):
            _record_end(ledger, report, client.requests_made - requests)
        raise
    if report.stopped is not None:
        report.end(CONNECTION, report.stopped, 1)
    _record_end(ledger, report, client.requests_made - requests)
    # What cannot be deleted now, the next sync or publication deletes.
    with suppress(StoreError, OSError):
        clean(ledger, lake)
    return report


def _record_end(ledger: Ledger, report: SyncReport, requests: int) -> None:
    """Records in the ledger what a sync did."""
    report.requests += requests
    report.finished_at = now()
    ledger.claims.count_skips(report.skipped)
    ledger.end_sync(report.sync_id, report.as_dict())


def _discover(
    run: _Run, selection: Selection, *, reconcile: bool, since: datetime | None, missing_ok: bool
) -> Selection:
    """Records what the API lists; returns the selection with the ids of its strategies."""
    catalog(run.client, run.ledger, run.report)
    selection = selection.resolve(run.client, run.ledger, run.report, missing_ok=missing_ok)
    if selection.jobs is None:
        listings = selection.find_listings(reconcile)
        discover(run.client, run.ledger, run.report, strategy_ids=listings, since=since, reconcile=reconcile)
    return selection


def _load_discovered(run: _Run, selection: Selection, inbox: Inbox | None) -> None:
    """Loads jobs that are listed, unseen or reported; changes are acknowledged only after their jobs are committed."""
    ledger, config = run.ledger, run.config
    changes = ChangeSets(
        run.client,
        ledger,
        run.report,
        acknowledge=config.acknowledge,
        filter=config.filter,
        workers=run.limits.workers,
        partial=selection.partial,
    )
    reported = [] if inbox is None else webhooks.record_reported_jobs(run.client, ledger, inbox, run.report)
    selection = replace(selection, hinted=frozenset(reported))
    with changes:
        changes.peek(selection.read_schedules(ledger), selection.read_pending(ledger))
        selection = replace(selection, carried=frozenset(changes.carried))
        if run.report.stopped:
            return
        if line := changes.first_marking:
            run.progress.note(line)
        run.load(selection, changes.carried)
        if inbox is not None:
            webhooks.remove_loaded_reports(ledger, inbox, reported)
        if late := changes.acknowledge():
            run.load(Selection(jobs=late), changes.carried)
        changes.settle()


@dataclass(frozen=True)
class _Run:
    """One sync, or one share of it: what it works with.

    Attributes:
        client: The API.
        ledger: The ledger.
        lake: The lake.
        report: Gets what is done.
        limits: Bounds on memory, threads and processes.
        progress: Gets the number of jobs done.
        config: The contents of `meter.yaml`.
        processes: Starts other processes, or None.
    """

    client: MeterClient
    ledger: Ledger
    lake: Lake
    report: SyncReport
    limits: Limits
    progress: Progress
    config: Config
    processes: Processes | None = None

    def load(self, selection: Selection, carried: MutableMapping[str, JobBody] | None = None) -> None:
        """Loads the jobs of a selection; the bodies in `carried`, by job id, are not fetched."""
        weights: dict[str, Weight] = {}
        carried = {} if carried is None else carried
        owners: dict[str, str] = {}
        for row in selection.read_pending(self.ledger):
            weight = weights.setdefault(row.strategy_id, Weight())
            weight.jobs += 1
            weight.items += row.item_count or 0
            if row.job_id in carried:
                owners[row.job_id] = row.strategy_id
        self.progress.total(sum(weight.jobs for weight in weights.values()))
        most = 1 if self.processes is None else self.processes.most
        shares = share_out(weights, most, self.limits.process_seconds)
        if self.processes is None or len(shares) == 1:
            _ShareLoader(self, selection, weights).load(carried)
        else:
            self._load_shares(self.processes, selection, shares, weights, carried, owners)

    def _load_shares(
        self,
        processes: Processes,
        selection: Selection,
        shares: Sequence[Sequence[str]],
        weights: Mapping[str, Weight],
        carried: MutableMapping[str, JobBody],
        owners: Mapping[str, str],
    ) -> None:
        """Loads the first share here and the others in other processes; then what processes that died have left.

        Each process is handed the carried bodies of its share; `owners` has the strategy of each, by job id.
        """
        threads = max(1, self.limits.workers // len(shares))
        # All shares together keep to the number of processes: each has its own, and its part of those that are left.
        helpers = (processes.helpers + 1) // len(shares) - 1
        limits = replace(self.limits, workers=threads, helpers=helpers)
        own_limits = replace(limits, workers=max(1, self.limits.workers - threads * (len(shares) - 1)))
        with ExitStack() as started:
            running = []
            for strategy_ids in shares[1:]:
                share = selection.part(strategy_ids)
                own = set(strategy_ids)
                bodies = [carried.pop(job_id) for job_id, strategy_id in owners.items() if strategy_id in own]
                process = processes.start(share, limits, self.progress, bodies)
                started.callback(process.stop)
                running.append((share, process))
            _ShareLoader(replace(self, limits=own_limits), selection.part(shares[0]), weights).load(carried)
            unfinished = join_processes(running, self.report)
        for share in unfinished:
            _ShareLoader(self, share, weights).load(None)


def load_share(
    client: MeterClient,
    ledger: Ledger,
    lake: Lake,
    selection: Selection,
    *,
    limits: Limits,
    progress: Progress,
    config: Config,
    carried: MutableMapping[str, JobBody] | None = None,
) -> SyncReport:
    """Loads a share of the jobs that another process has discovered: see `meter_pipeline.sync.sharding`."""
    requests, report = client.requests_made, SyncReport()
    _Run(client, ledger, lake, report, limits, progress, config).load(selection, carried)
    report.requests = client.requests_made - requests
    return report


class _ShareLoader:
    """Loads the jobs of a selection in this process, strategy by strategy.

    Args:
        run: The sync.
        selection: Which jobs to load.
        weights: What waits to be loaded, by strategy id.
    """

    def __init__(self, run: _Run, selection: Selection, weights: Mapping[str, Weight]) -> None:
        self._run = run
        self._selection = selection
        self._strategy_ids = selection.within_shard(weights)
        self._expected_jobs = sum(weights[strategy_id].jobs for strategy_id in self._strategy_ids)
        self._loaders: dict[str, StrategyLoader] = {}

    def load(self, carried: MutableMapping[str, JobBody] | None) -> None:
        """Fetches and writes all jobs; the bodies in `carried`, by job id, are not fetched."""
        run = self._run
        fetched_jobs = fetch(
            run.client, self._claimed_jobs(), run.limits.workers, carried, expected=self._expected_jobs
        )
        try:
            with Writers(run.report, run.progress, run.limits) as writers:
                for slug, group in groupby(fetched_jobs, key=lambda fetched: fetched.strategy.slug):
                    writer = writers.begin(self._loaders[slug])
                    try:
                        for fetched in group:
                            writer.add(fetched)
                    finally:
                        # Also when no more come: what has arrived is not fetched a second time.
                        writer.finish()
        except NoAnswer as silence:
            run.report.stopped = str(silence)
        finally:
            fetched_jobs.close()
            for loader in self._loaders.values():
                loader.release()

    def _claimed_jobs(self) -> Iterator[tuple[StrategyRow, JobRow]]:
        """Jobs strategy by strategy, each read under the strategy's claim: another sync may have loaded some."""
        run, size = self._run, self._run.limits.claims_per_group
        strategies = [row for row in run.ledger.strategies() if row.strategy_id in self._strategy_ids]
        for group in chunks(strategies, size):
            claimed = _claim(run.ledger, self._selection, group, run.report)
            ids = [found.strategy.strategy_id for found in claimed]
            with_accepted, swept_at = run.ledger.with_accepted(ids), run.ledger.swept_at
            known = read_known(run.ledger, ids)
            for found in claimed:
                strategy = found.strategy
                self._loaders[strategy.slug] = StrategyLoader(
                    make_context(
                        run.lake, run.ledger, strategy, found.parts, run.config, run.limits, swept_at=swept_at
                    ),
                    found.claim,
                    is_first=strategy.strategy_id not in with_accepted,
                    known=known[strategy.strategy_id],
                    # A second load in the same sync adds to the report of the first.
                    report=run.report.strategies.get(strategy.slug),
                )
            for found in claimed:
                yield from ((found.strategy, row) for row in found.jobs)


class _Claimed(NamedTuple):
    """A claimed strategy: its state, and the jobs to load."""

    strategy: StrategyRow
    parts: list[Part]
    claim: Claim
    jobs: list[JobRow]


def _claim(
    ledger: Ledger, selection: Selection, strategies: Sequence[StrategyRow], report: SyncReport
) -> list[_Claimed]:
    """Claims strategies that no other sync holds and that have jobs to load."""
    taken, held = ledger.claims.try_claims([row.slug for row in strategies])
    for slug, row in held.items():
        report.skip(slug, row.describe())
    claims = {row.strategy_id: taken[row.slug] for row in strategies if row.slug in taken}
    # Before the jobs: whatever is committed after this state was read makes a commit that is built on it fail.
    states = ledger.state_of(list(claims))
    pending: dict[str, list[JobRow]] = {}
    for job in selection.read_pending(ledger, list(claims)):
        pending.setdefault(job.strategy_id, []).append(job)
    claimed = []
    for strategy_id, claim in claims.items():
        if jobs := pending.get(strategy_id):
            claimed.append(_Claimed(*states[strategy_id], claim, jobs))
        else:
            claim.release()
    return claimed
