"""The assets: what Meter manages, every job's items, and one table of typed results for each strategy.

One step runs the engine for all of them: a step for each would pay the start of a step and a look at the API each time.
What a run did not change is skipped.
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
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import parse_since
from meter_pipeline.defs import checks, quality
from meter_pipeline.defs.declared import DeclaredStrategy, check_specs
from meter_pipeline.defs.events import Events
from meter_pipeline.defs.failures import make_failure, told_in_one_line
from meter_pipeline.defs.freshness import freshness
from meter_pipeline.defs.keys import (
    ITEM_CHANGES,
    ITEM_VERSIONS,
    ITEMS,
    JOBS,
    LAKE_IO_MANAGER,
    METER_RESOURCE,
    POOL,
    SCHEDULE_CHANGES,
    SCHEDULES,
    STORE_RESOURCE,
    STRATEGIES,
    SYNC_STEP,
    results_key,
    slug_of,
)
from meter_pipeline.defs.metadata import link, present
from meter_pipeline.defs.naming import Keys, Names
from meter_pipeline.defs.provenance import note
from meter_pipeline.defs.resources import MeterResource, StoreResource

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import ScheduleRow, StrategyRow
    from meter_pipeline.sync import SyncReport
    from meter_pipeline.sync.ending import Attempt

OWNERS = ["team:data"]
_LOG_EVERY_SECONDS = 10.0
# Beyond these, a run's log would be about nothing else.
_PROBLEMS_LOGGED = 20
# Apart from what it follows from: groups of assets that lead to each other in a circle cannot be drawn as a graph.
_GROUPS = {ITEM_CHANGES: "changes", ITEM_VERSIONS: "changes"}
_KINDS = {ITEMS: "parquet", ITEM_CHANGES: "parquet", ITEM_VERSIONS: "duckdb"}


class SyncConfig(dg.Config):
    """What to sync; everything by default."""

    strategies: list[str] = Field(default=[], description="Ids, slugs or names; all when empty.")
    schedules: list[str] = Field(default=[], description="Ids of schedules; all when empty.")
    since: str | None = Field(default=None, description="Only jobs made after: an ISO time, or 24h, 7d.")
    inbox: bool = Field(
        default=False, description="Beside the schedules named, if any, only what the webhook inbox holds."
    )
    reconcile: bool = Field(default=False, description="Walk all jobs and prove that none is missing.")
    acknowledge: bool | None = Field(
        default=None, description="Mark changes as seen at Meter once they are loaded; as meter.yaml has it by default."
    )


def meter_assets(
    strategies: "Sequence[StrategyRow]",
    schedules: "Sequence[ScheduleRow]" = (),
    said: Config | None = None,
    *,
    declared: Mapping[str, DeclaredStrategy] = MappingProxyType({}),
    keys: Keys = Keys(),
    names: Names = Names(),
) -> dg.AssetsDefinition:
    """What a sync fills: assets about Meter itself and the change feed, and `results/<slug>` for each strategy.

    Args:
        strategies: Those of the ledger; each gets an asset.
        schedules: Say how fresh each strategy's results should be.
        said: What `meter.yaml` says, of owners.
        declared: Strategies that the project declares, by slug; each gets an asset, whether the ledger has it or not.
        keys: What the project calls the assets when the step runs.
        names: The instance's names of the step, its pool and its resources.
    """
    meter_key, store_key = names.shown(METER_RESOURCE), names.shown(STORE_RESOURCE)
    lake_key = names.shown(LAKE_IO_MANAGER)
    rows = {strategy.slug: strategy for strategy in strategies}
    known = frozenset({*rows, *declared})
    policies = freshness(schedules)

    specs = [
        *_meter_specs(sorted(known)),
        *(_results_spec(strategy, policies.get(strategy.strategy_id), said or Config()) for strategy in strategies),
        *(_expected_spec(declared[slug], said or Config()) for slug in sorted(declared.keys() - rows.keys())),
    ]

    @dg.multi_asset(
        name=names.shown(SYNC_STEP),
        description="Lands, audits and types what is new at Meter.",
        specs=[spec.with_io_manager_key(lake_key) for spec in specs],
        check_specs=[
            *checks.specs([JOBS, *map(results_key, sorted(known))]),
            *quality.specs(map(results_key, sorted(known))),
            *check_specs(declared.values()),
        ],
        can_subset=True,
        pool=names.shown(POOL),
        required_resource_keys={meter_key, store_key},
    )
    def meter_sync(context: dg.AssetExecutionContext, config: SyncConfig) -> Iterator[Any]:
        meter: MeterResource = getattr(context.resources, meter_key)
        meter_store: StoreResource = getattr(context.resources, store_key)
        context.log.addFilter(_tells_something)
        with told_in_one_line(context.log):
            selected = keys.selected(context)
            report = None
            with _recorded(meter_store) as attempt:
                if not selected:
                    attempt.begin()
                settings = meter_store.with_api(meter)
                meter_store.refuse_mixing(meter)
                with meter_store.open() as store:
                    if selected:
                        with meter.client(store.ledger, spool_folder=settings.spool) as client:
                            report = _run(context, selected, config, known, client, store, settings, attempt)
                    whose = note(settings.data_dir)
                    yield from keys.told(Events(context, store, report, known, keys, declared, whose))
            if report is not None:
                _fail_if_cut_short(report)

    return meter_sync


def _run(
    context: dg.AssetExecutionContext,
    selected: set[dg.AssetKey],
    config: SyncConfig,
    known: frozenset[str],
    client: Any,
    store: Any,
    settings: Settings,
    attempt: "Attempt",
) -> "SyncReport":
    """Runs the engine over what the run's configuration and selection ask for."""
    from meter_pipeline.sync import sync
    from meter_pipeline.webhooks.inbox import Inbox
    from meter_pipeline.workers import OwnProcesses

    strategies = config.strategies or _selected(selected, known)
    since, said = parse_since(config.since, origin.clock(settings.data_dir)), load_config(settings.config)
    if config.acknowledge is not None:
        said = replace(said, acknowledge=config.acknowledge)
    attempt.begin()
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
        progress=Told(context.log),
        config=said,
        processes=OwnProcesses.of(settings),
    )
    for line in said.misnamed(label for row in store.ledger.strategies() for label in row.labels):
        context.log.warning(line)
    for slug in report.skipped:
        context.log.warning(f"{slug}: left to another sync that is working on it")
    for problem in report.problems[:_PROBLEMS_LOGGED]:
        context.log.warning(f"{problem.slug}: {problem.subject}{problem.reason}")
    for line in report.notes:
        context.log.warning(line)
    if (more := len(report.problems) - _PROBLEMS_LOGGED) > 0:
        context.log.warning(f"and {more:,} more: the checks of the assets name them, and meter-pipeline status all")
    return report


def _recorded(store: StoreResource) -> "AbstractContextManager[Attempt]":
    # Imported here: definitions must not pay for the engine.
    from meter_pipeline.sync.ending import recorded

    return recorded(store.of_ledger)


def _tells_something(record: logging.LogRecord) -> bool:
    """Keeps a list of all checks without news out of the run's log: Dagster would tell it after each sync."""
    return "did not yield or return expected outputs" not in record.getMessage()


def _fail_if_cut_short(report: "SyncReport") -> None:
    """Fails a run that could not do its work, after what it could do is told; single jobs are a matter of the checks.

    Raises:
        dg.Failure: The API went away, a strategy's files cannot be used, or this program itself has a fault.
    """
    if report.stopped:
        raise make_failure(f"the sync ended early: {report.stopped}", retry=True)
    broken = [
        f"{problem.slug}: {problem.subject}{problem.reason}"
        for problem in report.problems
        if problem.is_ours or not problem.subject
    ]
    if broken:
        raise make_failure("; ".join(broken), retry=False)


def _selected(selected: set[dg.AssetKey], known: frozenset[str]) -> list[str]:
    """The strategies that the selection narrows the sync to; empty when it takes all of them, or none."""
    slugs = {slug for key in selected if (slug := slug_of(key))}
    return [] if slugs == known and STRATEGIES in selected else sorted(slugs)


class Told:
    """The engine's progress as log lines of the run, one every few seconds."""

    def __init__(self, log: Any) -> None:
        self._log, self._total, self._done, self._at = log, 0, 0, time.monotonic()

    def total(self, jobs: int) -> None:
        """`jobs` more jobs are to be loaded."""
        self._total += jobs

    def advance(self, jobs: int) -> None:
        """`jobs` jobs are done."""
        self._done += jobs
        if time.monotonic() - self._at >= _LOG_EVERY_SECONDS:
            self._at = time.monotonic()
            self.note(f"{self._done:,} of {self._total:,} jobs loaded")

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._log.info(text)


def _meter_specs(slugs: "Sequence[str]") -> Iterator[dg.AssetSpec]:
    about = {
        STRATEGIES: ([], "Extraction plans at Meter, with every version that was seen."),
        SCHEDULES: ([STRATEGIES], "What runs again and again at Meter, with every version that was seen."),
        JOBS: ([STRATEGIES, SCHEDULES], "Every job that Meter ever listed, with the state of its loading."),
        ITEMS: ([JOBS], "Every item of every job, exactly as received (JSON text)."),
        SCHEDULE_CHANGES: (
            [SCHEDULES, JOBS],
            "Every job that Meter called a change of its schedule: first seen when, acknowledged when.",
        ),
        ITEM_CHANGES: (
            [ITEMS, *map(results_key, slugs)],
            "What changed, where, when, from what to what: a row for each item added or removed and for each field "
            "changed, between consecutive accepted jobs of one page.",
        ),
        ITEM_VERSIONS: ([ITEM_CHANGES], "Every state of every item, and from when to when it was seen."),
    }
    for key, (deps, description) in about.items():
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


def _expected_spec(declared: DeclaredStrategy, said: Config) -> dg.AssetSpec:
    """The asset of a declared strategy that no sync has seen yet."""
    own = said.strategies.get(declared.label)
    return dg.AssetSpec(
        results_key(declared.slug),
        deps=[ITEMS],
        description=f"**{declared.label}**: declared ({declared.source}); no sync has seen this strategy at Meter yet.",
        group_name="results",
        kinds={"meter", "parquet"},
        owners=list(own.owners) if own is not None and own.owners else OWNERS,
        skippable=True,
        metadata={"dagster/table_name": f"results.{declared.slug}"},
    )


def _results_spec(strategy: "StrategyRow", policy: dg.FreshnessPolicy | None, said: Config) -> dg.AssetSpec:
    own = said.strategy(strategy.slug, strategy.strategy_id, strategy.name)
    described = (strategy.description or "").strip()
    page = f"[{strategy.url}]({strategy.url})" if strategy.url else "a page given with each job"
    return dg.AssetSpec(
        results_key(strategy.slug),
        deps=[ITEMS],
        description=f"**{strategy.name or strategy.slug}**: {described or 'typed items'}\n\nScraped from {page}.",
        group_name="results",
        freshness_policy=policy,
        kinds={"meter", "parquet"},
        owners=list(own.owners) if own is not None and own.owners else OWNERS,
        skippable=True,
        metadata=present(
            {
                "dagster/table_name": f"results.{strategy.slug}",
                "meter/strategy_id": strategy.strategy_id,
                "page": link(strategy.url),
            }
        ),
    )
