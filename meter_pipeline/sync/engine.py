"""The one way in: `sync` brings what is new at Meter into the ledger and the lake, for every caller alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from meter_pipeline.api import JobBody, MeterClient
from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store.errors import StoreError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
from meter_pipeline.store.times import iso, now
from meter_pipeline.sync.discovery import webhooks as hints
from meter_pipeline.sync.discovery.change_sets import ChangeSets
from meter_pipeline.sync.discovery.listing import catalog, discover, note_statuses
from meter_pipeline.sync.ending import CONNECTION, Ending
from meter_pipeline.sync.loading.fetch import NoAnswer, fetch
from meter_pipeline.sync.loading.loader import BATCH_BYTES, Load
from meter_pipeline.sync.loading.rebuild import of, refresh
from meter_pipeline.sync.loading.writers import Writers
from meter_pipeline.sync.report import Progress, Silent, SyncReport
from meter_pipeline.sync.selection import Selection
from meter_pipeline.sync.sharding import Processes, Weight, joined, share_out
from meter_pipeline.webhooks.inbox import Inbox

WORKERS = 8
# Strategies are claimed by so many at a time: one wait for the disk for all of them, and the rest is left to others.
_CLAIMS = 8


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
    workers: int = WORKERS,
    progress: Progress | None = None,
    config: Config | None = None,
    processes: Processes | None = None,
    missing_ok: bool = False,
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
        inbox: Load what Meter has reported here, too, whatever the selection; only jobs by id leave it alone.
        workers: Threads that fetch.
        progress: Told how far it is.
        config: What `meter.yaml` says: of items' identity (rows that were made otherwise are made anew), of a filter
            for unseen changes, and whether Meter is told which of them are stored.
        processes: Starts others that load shares of what is much: see `meter_pipeline.workers`. All of it is loaded
            here without.
        missing_ok: Leave out names in `strategies` that the API does not know, instead of raising.

    Returns:
        What was done, with every job that could not be loaded by name.

    Raises:
        SelectionError: A strategy, schedule or job is not known to the API.
        MeterError: The API cannot be reached or refuses the key.
        StoreError: The ledger or the lake cannot be used at all.
    """
    requests = client.requests_made
    report = SyncReport(sync_id=ledger.begin_sync(), started_at=now())
    at_once = reconcile or again or jobs is not None
    selection = Selection(schedules, strategies, jobs, iso(since), at_once, again)
    try:
        catalog(client, ledger, report)
        selection.resolve(client, ledger, report, missing_ok=missing_ok)
        work = _Work(client, ledger, lake, report, workers, progress or Silent(), config or Config(), processes)
        if jobs is None:
            discover(client, ledger, report, strategy_ids=selection.walked(reconcile), since=since, reconcile=reconcile)
        refresh(ledger, lake, work.config, report, selection.strategy_ids, large=BATCH_BYTES)
        if jobs is not None:
            work.load(selection)
        else:
            _follow(work, selection, inbox)
        note_statuses(ledger, report)
    except BaseException as error:
        ending = Ending.of(error)
        report.end(ending.cause, ending.problem, ending.exit_code)
        # What ended the sync may be the ledger itself.
        with suppress(StoreError):
            _keep(ledger, report, client.requests_made - requests)
        raise
    if report.stopped is not None:
        report.end(CONNECTION, report.stopped, 1)
    _keep(ledger, report, client.requests_made - requests)
    return report


def _keep(ledger: Ledger, report: SyncReport, requests: int) -> None:
    """Keeps what a sync did in the ledger."""
    report.requests += requests
    report.finished_at = now()
    ledger.end_sync(report.sync_id, report.as_dict())


def _follow(work: _Work, selection: Selection, inbox: Inbox | None) -> None:
    """Loads what was discovered, what is unseen at Meter and what it has reported, in an order that loses nothing."""
    ledger, config = work.ledger, work.config
    changes = ChangeSets(
        work.client,
        ledger,
        work.report,
        acknowledge=config.acknowledge,
        filter=config.filter,
        workers=work.workers,
        partial=selection.partial,
    )
    reported = [] if inbox is None else hints.take(work.client, ledger, inbox, work.report)
    selection.hinted = frozenset(reported)
    with changes:
        changes.peek(selection.schedules(ledger), selection.pending(ledger))
        selection.carried = frozenset(changes.carried)
        if work.report.stopped:
            return
        if line := changes.first_marking:
            work.progress.note(line)
        work.load(selection, changes.carried)
        if inbox is not None:
            hints.clear(ledger, inbox, reported)
        if late := changes.acknowledge():
            work.load(Selection(jobs=late), changes.carried)
        changes.settle()


@dataclass(frozen=True)
class _Work:
    """What a load works with."""

    client: MeterClient
    ledger: Ledger
    lake: Lake
    report: SyncReport
    workers: int
    progress: Progress
    config: Config
    processes: Processes | None = None

    def load(self, selection: Selection, carried: MutableMapping[str, JobBody] | None = None) -> None:
        """Loads the jobs of a selection, those whose items are carried without asking for them."""
        weights: dict[str, Weight] = {}
        own: set[str] = set()
        for row in selection.pending(self.ledger):
            weight = weights.setdefault(row.strategy_id, Weight())
            weight.jobs += 1
            weight.items += row.item_count or 0
            if carried and row.job_id in carried:
                own.add(row.strategy_id)
        self.progress.total(sum(weight.jobs for weight in weights.values()))
        parts = share_out(weights, 1 if self.processes is None else self.processes.most, own)
        if self.processes is None or len(parts) == 1:
            _load(self, selection, weights, carried)
            return
        threads = max(1, self.workers // len(parts))
        others = [selection.part(ids) for ids in parts[1:]]
        work = replace(self, workers=max(1, self.workers - threads * len(others)))
        with ExitStack() as started:
            running = []
            for other in others:
                process = self.processes.start(other, threads, self.progress)
                started.callback(process.stop)
                running.append((other, process))
            _load(work, selection.part(parts[0]), weights, carried)
            left = joined(running, self.report)
        for part in left:
            _load(self, part, weights, None)


def load_share(
    client: MeterClient,
    ledger: Ledger,
    lake: Lake,
    selection: Selection,
    *,
    workers: int,
    progress: Progress,
    config: Config,
) -> SyncReport:
    """Loads a share of what another process has discovered: see `meter_pipeline.sync.sharding`."""
    requests, report = client.requests_made, SyncReport()
    _Work(client, ledger, lake, report, workers, progress, config).load(selection)
    report.requests = client.requests_made - requests
    return report


def _load(
    work: _Work, selection: Selection, weights: Mapping[str, Weight], carried: MutableMapping[str, JobBody] | None
) -> None:
    ledger, lake, report, progress = work.ledger, work.lake, work.report, work.progress
    wanted = selection.within(weights)
    loads: dict[str, Load] = {}

    def claimed() -> Iterator[tuple[StrategyRow, JobRow]]:
        """Rows of one strategy after the other, each read under its claim: another sync may have been here before."""
        known = [row for row in ledger.strategies() if row.strategy_id in wanted]
        for start in range(0, len(known), _CLAIMS):
            taken = _claim(ledger, selection, known[start : start + _CLAIMS], report)
            accepted = ledger.with_accepted([strategy.strategy_id for strategy, _, _ in taken])
            for strategy, claim, rows in taken:
                first, again = strategy.strategy_id not in accepted, any(row.state != "known" for row in rows)
                said = of(work.config, strategy)
                load = Load(lake, ledger, strategy, claim, first=first, again=again, config=said)
                loads[strategy.slug] = load
                # A second load of a sync adds to what the first one tells.
                load.report = report.strategies.get(strategy.slug, load.report)
            for strategy, _, rows in taken:
                yield from ((strategy, row) for row in rows)

    jobs = sum(weights[id_].jobs for id_ in wanted)
    fetched_jobs = fetch(work.client, claimed(), work.workers, carried, expected=jobs)
    try:
        with Writers(report, progress) as writers:
            for slug, group in groupby(fetched_jobs, key=lambda fetched: fetched.strategy.slug):
                writing = writers.begin(loads[slug])
                try:
                    for fetched in group:
                        writing.add(fetched)
                finally:
                    # Also when no more come: what has arrived is not fetched a second time.
                    writing.finish()
    except NoAnswer as silence:
        report.stopped = f"the API does not answer: {silence}"
    finally:
        fetched_jobs.close()
        for load in loads.values():
            load.release()


def _claim(
    ledger: Ledger, selection: Selection, known: Sequence[StrategyRow], report: SyncReport
) -> list[tuple[StrategyRow, Claim, list[JobRow]]]:
    """Claims strategies, those that are free and have something to load, and marks them as being written."""
    claims = {}
    for row in known:
        claim = ledger.claims.try_claim(row.slug)
        if claim is not None:
            claims[row.strategy_id] = claim
        elif row.slug not in report.skipped:
            report.skipped.append(row.slug)
    pending: dict[str, list[JobRow]] = {}
    for job in selection.pending(ledger, list(claims)):
        pending.setdefault(job.strategy_id, []).append(job)
    taken = []
    for strategy in ledger.strategies(list(claims)):
        claim = claims.pop(strategy.strategy_id)
        if rows := pending.get(strategy.strategy_id):
            taken.append((strategy, claim, rows))
        else:
            claim.release()
    for claim in claims.values():
        claim.release()
    clean = [strategy.strategy_id for strategy, _, _ in taken if not strategy.dirty]
    if clean:
        ledger.mark_dirty(clean)
    return taken
