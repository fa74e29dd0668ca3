"""The assets that a sync fills: Meter's catalog and jobs, every item, the change feed, and results per strategy.

One step runs the engine for all of them. A step per asset would start a process and poll the API for each of them.
Assets that a run did not change are skipped.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from meter_pipeline.config import origin
from meter_pipeline.config.meter_yaml import Config, load_config
from meter_pipeline.config.mismatches import find_mismatches
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import parse_since
from meter_pipeline.defs.assets.events import Events
from meter_pipeline.defs.assets.other_results import PartitionEvents
from meter_pipeline.defs.checks import claims as claim_checks
from meter_pipeline.defs.checks import jobs as job_checks
from meter_pipeline.defs.checks import keys as key_checks
from meter_pipeline.defs.checks import rows as row_checks
from meter_pipeline.defs.checks import schedules as schedule_checks
from meter_pipeline.defs.declared import DeclaredStrategy, make_check_specs
from meter_pipeline.defs.failures import fail_in_one_line, make_failure
from meter_pipeline.defs.freshness import freshness
from meter_pipeline.defs.keys import (
    ITEM_CHANGES,
    ITEM_VERSIONS,
    ITEMS,
    JOBS,
    LAKE_IO_MANAGER,
    METER_RESOURCE,
    OTHER_RESULTS,
    POOL,
    SCHEDULE_CHANGES,
    SCHEDULES,
    STORE_RESOURCE,
    STRATEGIES,
    SYNC_STEP,
    find_slug,
    make_results_key,
)
from meter_pipeline.defs.metadata.entries import drop_empty, make_link
from meter_pipeline.defs.metadata.origin import describe_origin
from meter_pipeline.defs.naming import Keys, Names
from meter_pipeline.defs.resources import MeterResource, StoreResource

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import ScheduleRow, StrategyRow
    from meter_pipeline.sync import SyncReport
    from meter_pipeline.sync.ending import Attempt

OWNERS = ["team:data"]
_LOG_EVERY_SECONDS = 10.0
# More of them would bury everything else in the run's log.
_PROBLEMS_LOGGED = 20
# In a group apart from `meter`: the UI cannot draw groups that depend on each other in a circle.
_GROUPS = {ITEM_CHANGES: "changes", ITEM_VERSIONS: "changes"}
_KINDS = {ITEMS: "parquet", ITEM_CHANGES: "parquet", ITEM_VERSIONS: "duckdb"}


class SyncConfig(dg.Config):
    """What a sync covers; everything by default."""

    strategies: list[str] = Field(
        default=[], description="Strategies to sync: ids, slugs or names. Empty: all of them."
    )
    schedules: list[str] = Field(default=[], description="Ids of the schedules to sync. Empty: all of them.")
    since: str | None = Field(
        default=None, description="Only jobs created after this: an ISO time, or a span such as 24h or 7d."
    )
    inbox: bool = Field(
        default=False, description="Sync only the jobs in the webhook inbox, and the schedules that are named."
    )
    reconcile: bool = Field(
        default=False, description="Read every listing to its end, to prove that no job is missing."
    )
    acknowledge: bool | None = Field(
        default=None, description="Mark changes as seen at Meter once they are loaded. By default as in meter.yaml."
    )


def build_sync_assets(
    strategies: "Sequence[StrategyRow]",
    schedules: "Sequence[ScheduleRow]" = (),
    config: Config | None = None,
    *,
    declared: Mapping[str, DeclaredStrategy] = MappingProxyType({}),
    keys: Keys = Keys(),
    names: Names = Names(),
    has_others: bool = False,
) -> dg.AssetsDefinition:
    """Builds the assets that a sync fills: those about Meter, the change feed, and `results/<slug>` per strategy.

    Args:
        strategies: The strategies in the ledger that get an asset each.
        schedules: Their intervals set the freshness policies.
        config: `meter.yaml`, for the owners.
        declared: Strategies that the project declares, by slug; each gets an asset, in the ledger or not.
        keys: Translates between the project's asset keys and this package's.
        names: Names of the step, its pool and its resources in this code location.
        has_others: Whether there are strategies without an asset, which are partitions of `meter/results`.
    """
    meter_key, store_key = names.qualify(METER_RESOURCE), names.qualify(STORE_RESOURCE)
    lake_key = names.qualify(LAKE_IO_MANAGER)
    rows = {strategy.slug: strategy for strategy in strategies}
    known = frozenset({*rows, *declared})
    policies = freshness(schedules)

    # Checks of strategies without an asset are checks of all items.
    with_rows = [*map(make_results_key, sorted(known)), *([ITEMS] if has_others else [])]
    specs = [
        *_meter_specs([*map(make_results_key, sorted(known)), *([OTHER_RESULTS] if has_others else [])]),
        *(_results_spec(strategy, policies.get(strategy.strategy_id), config or Config()) for strategy in strategies),
        *(_declared_spec(declared[slug], config or Config()) for slug in sorted(declared.keys() - rows.keys())),
    ]

    @dg.multi_asset(
        name=names.qualify(SYNC_STEP),
        description="Loads what is new at Meter: fetches, audits, types and compares new jobs.",
        specs=[spec.with_io_manager_key(lake_key) for spec in specs],
        check_specs=[
            *job_checks.make_specs([JOBS, *map(make_results_key, sorted(known))]),
            *claim_checks.make_specs(),
            *schedule_checks.make_specs(),
            *row_checks.make_specs(with_rows),
            *key_checks.make_specs(with_rows),
            *make_check_specs(declared.values()),
        ],
        can_subset=True,
        pool=names.qualify(POOL),
        required_resource_keys={meter_key, store_key},
    )
    def meter_sync(context: dg.AssetExecutionContext, config: SyncConfig) -> Iterator[Any]:
        meter: MeterResource = getattr(context.resources, meter_key)
        meter_store: StoreResource = getattr(context.resources, store_key)
        context.log.addFilter(_is_worth_a_line)
        with fail_in_one_line(context.log):
            selected = keys.list_selected(context)
            report = None
            with _recorded(meter_store) as attempt:
                if not selected:
                    attempt.begin()
                settings = meter_store.with_api(meter)
                meter_store.refuse_mixing(meter)
                with meter_store.open() as store:
                    if selected:
                        with meter.client(store.ledger, spool_folder=settings.spool) as client:
                            # The sensor names schedules: its selection limits the events, not what is loaded.
                            strategies = config.strategies or ([] if config.inbox else _selected(selected, known))
                            report = _run(context, strategies, config, client, store, settings, attempt)
                    origin_note = describe_origin(settings.data_dir)
                    partitions = PartitionEvents(context, keys, names) if has_others else None
                    events = Events(context, store, report, known, keys, declared, origin_note, partitions)
                    yield from keys.rename(events)
            if report is not None:
                _fail_if_stopped(report)

    return meter_sync


def _run(
    context: dg.AssetExecutionContext,
    strategies: "Sequence[str]",
    config: SyncConfig,
    client: Any,
    store: Any,
    settings: Settings,
    attempt: "Attempt",
) -> "SyncReport":
    """Runs the engine for these strategies, or all if there are none, and the configuration's schedules."""
    from meter_pipeline.sync import sync
    from meter_pipeline.webhooks.inbox import Inbox
    from meter_pipeline.workers import OwnProcesses

    since = parse_since(config.since, origin.clock(settings.data_dir))
    meter_config = load_config(settings.config)
    if config.acknowledge is not None:
        meter_config = replace(meter_config, acknowledge=config.acknowledge)
    attempt.begin()
    store.ledger.claims.work = f"Dagster run {context.run.run_id}"
    report = sync(
        client,
        store.ledger,
        store.lake,
        strategies=strategies or None,
        # A name in the configuration is a person's request; an asset can be selected before its strategy is at Meter.
        missing_ok=not config.strategies,
        schedules=config.schedules or ([] if config.inbox else None),
        inbox=None if strategies else Inbox(settings.inbox),
        since=since,
        reconcile=config.reconcile,
        progress=ProgressLog(context.log),
        config=meter_config,
        processes=OwnProcesses.of(settings, store.ledger.claims.work),
    )
    for line in find_mismatches(meter_config, store.ledger.strategies()):
        context.log.warning(line)
    for slug in report.skipped:
        context.log.warning(f"{slug}: skipped, it is being loaded by {report.holders[slug]}")
    for problem in report.problems[:_PROBLEMS_LOGGED]:
        context.log.warning(f"{problem.slug}: {problem.subject}{problem.reason}")
    for note in report.notes:
        context.log.warning(note)
    if (more := len(report.problems) - _PROBLEMS_LOGGED) > 0:
        context.log.warning(f"and {more:,} more problems: see the assets' checks, or `meter-pipeline status`")
    return report


def _recorded(store: StoreResource) -> "AbstractContextManager[Attempt]":
    # Imported here: definitions must not pay for the engine.
    from meter_pipeline.sync.ending import recorded

    return recorded(store.ledger_settings)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Drops Dagster's message that lists every check without a result: it would be in the log of each sync."""
    return "did not yield or return expected outputs" not in record.getMessage()


def _fail_if_stopped(report: "SyncReport") -> None:
    """Fails the run if the sync stopped early, after reporting what was loaded. Checks report single jobs.

    Raises:
        dg.Failure: The API stopped answering, a strategy's files cannot be used, or meter-pipeline has a fault.
    """
    if report.stopped:
        raise make_failure(f"the sync stopped early: {report.stopped}", retry=True)
    broken = [
        f"{problem.slug}: {problem.subject}{problem.reason}"
        for problem in report.problems
        if problem.is_ours or not problem.subject
    ]
    if broken:
        raise make_failure("; ".join(broken), retry=False)


def _selected(selected: set[dg.AssetKey], known: frozenset[str]) -> list[str]:
    """Returns the slugs that the selection narrows the sync to; empty if it selects all strategies, or none."""
    slugs = {slug for key in selected if (slug := find_slug(key))}
    return [] if slugs == known and STRATEGIES in selected else sorted(slugs)


class ProgressLog:
    """Writes the engine's progress to the run's log, at most one line every ten seconds."""

    def __init__(self, log: Any) -> None:
        self._log, self._total, self._done, self._at = log, 0, 0, time.monotonic()

    def total(self, jobs: int) -> None:
        """Adds `jobs` to the number of jobs to load."""
        self._total += jobs

    def advance(self, jobs: int) -> None:
        """Adds `jobs` to the number of loaded jobs."""
        self._done += jobs
        if time.monotonic() - self._at >= _LOG_EVERY_SECONDS:
            self._at = time.monotonic()
            self.note(f"{self._done:,} of {self._total:,} jobs loaded")

    def note(self, text: str) -> None:
        """Logs a line."""
        self._log.info(text)


def _meter_specs(results: "Sequence[dg.AssetKey]") -> Iterator[dg.AssetSpec]:
    described = {
        STRATEGIES: ([], "The strategies (saved extraction plans) at Meter, with every version that a sync saw."),
        SCHEDULES: (
            [STRATEGIES],
            "The schedules at Meter, which run jobs again and again, with every version that a sync saw.",
        ),
        JOBS: (
            [STRATEGIES, SCHEDULES],
            "Every job that Meter ever listed, with its state: known, accepted, held, failed, unreadable or dropped.",
        ),
        ITEMS: ([JOBS], "Every item of every job, exactly as received (JSON text)."),
        SCHEDULE_CHANGES: (
            [SCHEDULES, JOBS],
            "Every job that Meter reported as a change, when a sync first saw it and when it was acknowledged.",
        ),
        ITEM_CHANGES: (
            [ITEMS, *results],
            "The change feed: a row for each item that was added or removed, and for each field that changed, between "
            "consecutive accepted jobs of the same page, with old and new values.",
        ),
        ITEM_VERSIONS: (
            [ITEM_CHANGES],
            "Every version of every item, with the time from which and until which it was seen.",
        ),
    }
    for key, (deps, description) in described.items():
        yield dg.AssetSpec(
            key,
            deps=deps,
            description=description,
            group_name=_GROUPS.get(key, "meter"),
            kinds={"meter", _KINDS.get(key, "sqlite")},
            owners=OWNERS,
            skippable=True,
            metadata={"dagster/table_name": f"meter.{key.path[-1]}"},
        )


def _declared_spec(declared: DeclaredStrategy, config: Config) -> dg.AssetSpec:
    """Returns the asset of a declared strategy that no sync has seen yet."""
    own = config.strategies.get(declared.label)
    return dg.AssetSpec(
        make_results_key(declared.slug),
        deps=[ITEMS],
        description=f"{declared.label}: declared ({declared.source}); no sync has seen this strategy at Meter yet.",
        group_name="results",
        kinds={"meter", "parquet"},
        owners=list(own.owners) if own is not None and own.owners else OWNERS,
        skippable=True,
        metadata={"dagster/table_name": f"results.{declared.slug}"},
    )


def _results_spec(strategy: "StrategyRow", policy: dg.FreshnessPolicy | None, config: Config) -> dg.AssetSpec:
    own = config.strategy(strategy.slug, strategy.strategy_id, strategy.name)
    described = (strategy.description or "").strip()
    page = f"[{strategy.url}]({strategy.url})" if strategy.url else "a page given with each job"
    return dg.AssetSpec(
        make_results_key(strategy.slug),
        deps=[ITEMS],
        description=f"{strategy.name or strategy.slug}: {described or 'typed items'}\n\nScraped from {page}.",
        group_name="results",
        freshness_policy=policy,
        kinds={"meter", "parquet"},
        owners=list(own.owners) if own is not None and own.owners else OWNERS,
        skippable=True,
        metadata=drop_empty(
            {
                "dagster/table_name": f"results.{strategy.slug}",
                "meter/strategy_id": strategy.strategy_id,
                "page": make_link(strategy.url),
            }
        ),
    )
