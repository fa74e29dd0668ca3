"""Dagster events of a sync: materialisations of the assets that changed, with metadata, and check results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.assets import data_versions
from meter_pipeline.defs.assets.other_results import PartitionEvents
from meter_pipeline.defs.checks import claims as claim_checks
from meter_pipeline.defs.checks import jobs as job_checks
from meter_pipeline.defs.checks import keys as key_checks
from meter_pipeline.defs.checks import rows as row_checks
from meter_pipeline.defs.checks import schedules as schedule_checks
from meter_pipeline.defs.checks.folding import fold, unfold
from meter_pipeline.defs.declared import DeclaredStrategy, evaluate_checks
from meter_pipeline.defs.keys import (
    ITEM_CHANGES,
    ITEM_VERSIONS,
    ITEMS,
    JOBS,
    SCHEDULE_CHANGES,
    SCHEDULES,
    STRATEGIES,
    find_slug,
    make_results_key,
)
from meter_pipeline.defs.metadata import changes
from meter_pipeline.defs.metadata.columns import list_meter_columns, list_results_columns
from meter_pipeline.defs.metadata.entries import (
    Metadata,
    describe_table,
    drop_empty,
    list_rows,
    list_sample,
    make_link,
    make_timestamp,
)
from meter_pipeline.defs.metadata.lineage import trace_synced
from meter_pipeline.defs.naming import Keys
from meter_pipeline.defs.rows import read_job_rows
from meter_pipeline.defs.selection import find_concerned

if TYPE_CHECKING:
    from meter_pipeline.connect import Store
    from meter_pipeline.sync import StrategyReport, SyncReport


_LATEST_CHANGES = 8
_ID = 36
_NEW_NAMED = 20


class Events:
    """The events of one sync, in the order in which assets depend on each other.

    Args:
        context: The running step.
        store: Ledger and lake after the sync.
        report: The sync's report; `None` if the run evaluates checks only.
        known: Slugs that had an asset when definitions were loaded.
        keys: Translates between the project's asset keys and this package's, which the events have.
        declared: Strategies that the project declares, by slug.
        note: Metadata that every materialisation gets.
        partitions: The partitions of the strategies that have no asset each; None where every strategy has one.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        store: Store,
        report: SyncReport | None,
        known: frozenset[str],
        keys: Keys = Keys(),
        declared: Mapping[str, DeclaredStrategy] = MappingProxyType({}),
        note: Metadata | None = None,
        partitions: PartitionEvents | None = None,
    ) -> None:
        self._context, self._store, self._report, self._known = context, store, report, known
        self._declared, self._partitions = declared, partitions
        self._keys, self._note = keys, note or {}
        self._strategies = {strategy.slug: strategy for strategy in store.ledger.strategies()}
        self._tallies = data_versions.count_by_strategy(store.ledger)
        self._problems = job_checks.find_problem_jobs(store.ledger)

    def __iter__(self) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        """Yields the events of the selected assets and checks; logs the materialisations of the others."""
        changed = self._find_changed() if self._report is not None else {}
        selected = self._keys.list_selected(self._context)
        for key, version in changed.items():
            if key in selected:
                facts = self._describe(key)
                yield dg.MaterializeResult(key, metadata=facts, data_version=dg.DataVersion(version))
        if self._partitions is not None:
            self._partitions.register([find_slug(key) or "" for key in changed if self._is_partition(key)])
        for key, version in changed.items():
            slug = find_slug(key)
            if key in selected or slug is None:
                continue
            if self._is_partition(key):
                assert self._partitions is not None
                self._partitions.log(slug, version, self._describe(key))
            # This run loaded it, though it has no asset yet or was not selected: its history must not miss the event.
            elif self._find_report(slug) is not None:
                tags = {data_versions.VERSION_TAG: version}
                event = dg.AssetMaterialization(self._keys.add_prefix(key), metadata=self._describe(key), tags=tags)
                self._context.log_event(event)
        self._log_unknown()
        self._log_missing()
        yield from self._evaluate_checks(changed)

    def _find_changed(self) -> dict[dg.AssetKey, str]:
        """Returns the data versions that Dagster has not seen yet, by asset, upstream first."""
        versions = data_versions.compute_versions(self._store.ledger)
        own = [key for key in versions if not self._is_partition(key)]
        seen = dict(data_versions.read_seen_versions(self._context.instance, own, self._keys))
        if self._partitions is not None:
            seen |= {make_results_key(slug): version for slug, version in self._partitions.read_seen().items()}
        order = [key for key in (STRATEGIES, SCHEDULES, JOBS, ITEMS, SCHEDULE_CHANGES) if key in versions]
        order += [make_results_key(slug) for slug in self._strategies if make_results_key(slug) in versions]
        order += [key for key in (ITEM_CHANGES, ITEM_VERSIONS) if key in versions]
        return {key: versions[key] for key in order if seen.get(key) != versions[key] or self._has_new_jobs(key)}

    def _is_partition(self, key: dg.AssetKey) -> bool:
        """Returns whether the results of a strategy are a partition of `meter/results`, not an asset."""
        slug = find_slug(key)
        return self._partitions is not None and slug is not None and slug not in self._known

    def _has_new_jobs(self, key: dg.AssetKey) -> bool:
        slug = find_slug(key)
        done = self._find_report(slug) if slug else None
        return done is not None and done.accepted > 0

    def _find_report(self, slug: str) -> StrategyReport | None:
        return self._report.strategies.get(slug) if self._report is not None else None

    def _find_unknown(self) -> list[str]:
        """Returns the slugs of strategies that have no asset until definitions are reloaded."""
        if self._partitions is not None:
            return []
        return [slug for slug in self._strategies if slug not in self._known]

    def _log_unknown(self) -> None:
        unknown = self._find_unknown()
        if unknown:
            more = f" and {len(unknown) - _NEW_NAMED:,} more" if len(unknown) > _NEW_NAMED else ""
            named = ", ".join(f"results/{slug}" for slug in unknown[:_NEW_NAMED])
            self._context.log.info(f"new strategies: reload definitions to see {named}{more}")

    def _log_missing(self) -> None:
        if self._report is None:
            return
        missing = [strategy for slug, strategy in self._declared.items() if slug not in self._strategies]
        for strategy in missing[:_NEW_NAMED]:
            self._context.log.warning(f"results/{strategy.slug}: {strategy.explain_missing(self._strategies)}")
        if (more := len(missing) - _NEW_NAMED) > 0:
            self._context.log.warning(f"and {more:,} more declared strategies that Meter does not have")

    def _evaluate_checks(self, changed: dict[dg.AssetKey, str]) -> Iterator[dg.AssetCheckResult]:
        yield from fold(self._evaluate_each(changed), self._is_partition)

    def _evaluate_each(self, changed: dict[dg.AssetKey, str]) -> Iterator[dg.AssetCheckResult]:
        slugs = {strategy.strategy_id: slug for slug, strategy in self._strategies.items()}
        selected = self._keys.list_selected_checks(self._context)
        yield from schedule_checks.evaluate(selected, self._store.ledger)
        if self._report is None:
            concerned = set(self._strategies)
            yield from evaluate_checks(selected, self._declared, self._strategies)
        else:
            concerned = find_concerned(self._store.ledger, self._problems, slugs, changed)
            seen_first = {*concerned, *self._report.new_strategies}
            yield from evaluate_checks(selected, self._declared, self._strategies, seen_first)
            selected = {check for check in selected if job_checks.concerns(check, concerned)}
        selected = unfold(selected, [slug for slug in concerned if self._is_partition(make_results_key(slug))])
        verdicts = job_checks.read_audit(self._store.ledger, selected, self._problems, slugs)
        yield from job_checks.evaluate(selected, self._problems, slugs, verdicts)
        yield from claim_checks.evaluate(selected, self._store.ledger.claims.find_held_up())
        reports = self._report.strategies if self._report is not None else {}
        yield from row_checks.evaluate(selected, self._store, self._strategies, reports)
        yield from key_checks.evaluate(selected, self._strategies)

    # -- facts ---------------------------------------------------------------------------------------------------------

    def _describe(self, key: dg.AssetKey) -> Metadata:
        facts = self._note | self._describe_own(key)
        schema = facts.get("dagster/column_schema")
        return facts | trace_synced(key, schema.columns if schema else (), self._keys)

    def _describe_own(self, key: dg.AssetKey) -> Metadata:
        if slug := find_slug(key):
            return self._describe_results(slug)
        facts: dict[dg.AssetKey, Callable[[], Metadata]] = {
            STRATEGIES: self._describe_strategies,
            SCHEDULES: self._describe_schedules,
            JOBS: self._describe_jobs,
            ITEMS: self._describe_items,
            SCHEDULE_CHANGES: self._describe_change_sets,
            ITEM_CHANGES: lambda: changes.describe_changes(self._store, self._report),
            ITEM_VERSIONS: lambda: changes.describe_versions(self._store, self._report),
        }
        return facts[key]()

    def _describe_strategies(self) -> Metadata:
        unknown = self._find_unknown()
        return {
            **describe_table("meter.strategies", rows=len(self._strategies), columns=list_meter_columns("strategies")),
            "strategies": len(self._strategies),
            **({"reload definitions to see": ", ".join(f"results/{slug}" for slug in unknown)} if unknown else {}),
        }

    def _describe_schedules(self) -> Metadata:
        schedules = self._store.ledger.schedules()
        return {
            **describe_table("meter.schedules", rows=len(schedules), columns=list_meter_columns("schedules")),
            "schedules": len(schedules),
            "enabled": sum(bool(schedule.enabled) for schedule in schedules),
        }

    def _describe_jobs(self) -> Metadata:
        report = self._report
        states: dict[str, int] = {}
        for count in self._store.ledger.counts():
            states[count.state] = states.get(count.state, 0) + count.jobs
        done = list(report.strategies.values()) if report else []
        return drop_empty(
            {
                **describe_table("meter.jobs", rows=sum(states.values()), columns=list_meter_columns("jobs")),
                **{f"{state}, total": jobs for state, jobs in sorted(states.items())},
                "jobs loaded": sum(strategy.loaded for strategy in done),
                "held": sum(strategy.held for strategy in done),
                "unreadable": sum(strategy.unreadable for strategy in done),
                "requests": report.requests if report else None,
                "seconds": _measure_seconds(report) if report else None,
            }
        )

    def _describe_items(self) -> Metadata:
        done = list(self._report.strategies.values()) if self._report else []
        rows = sum(tally.items for tally in self._tallies.values())
        return {
            **describe_table("meter.items", rows=rows, columns=list_meter_columns("items")),
            "items loaded": sum(strategy.items for strategy in done),
            "bytes": sum(strategy.bytes for strategy in done),
        }

    def _describe_change_sets(self) -> Metadata:
        from meter_pipeline.store.ledger.change_sets import Unseen

        unseen, report = Unseen(self._store.ledger), self._report
        counts = unseen.counts()
        slugs = {row.schedule_id: row.strategy_id for row in self._store.ledger.schedules()}
        names = {strategy.strategy_id: slug for slug, strategy in self._strategies.items()}
        latest = [
            (
                names.get(slugs.get(schedule) or "", schedule),
                job,
                ("items", items),
                ("seen", _format_time(seen)),
                ("acknowledged", _format_time(acknowledged) or "not yet"),
            )
            for schedule, job, seen, items, acknowledged in unseen.latest(_LATEST_CHANGES)
        ]
        return drop_empty(
            {
                **describe_table(
                    "meter.schedule_changes", rows=counts.noted, columns=list_meter_columns("schedule_changes")
                ),
                "changes": report.changes if report else None,
                "acknowledged": report.acknowledged if report else None,
                "not acknowledged, total": counts.noted - counts.acknowledged,
                "latest": list_rows(latest, cell=_ID, word=_ID) if latest else None,
            }
        )

    def _describe_results(self, slug: str) -> Metadata:
        strategy, tally = self._strategies[slug], self._tallies.get(slug, data_versions.Tally())
        done = self._find_report(slug)
        latest = read_job_rows(self._store, slug, done.latest_job_id, done.latest_completed_at) if done else None
        facts = describe_table(
            f"results.{slug}",
            rows=tally.accepted_items,
            uri=f"lake/results/strategy={slug}",
            columns=list_results_columns(strategy, latest),
        )
        if done is not None:
            facts |= {
                "sample": list_sample(done.sample),
                "latest job": done.latest_job_id,
                "latest job completed": make_timestamp(done.latest_completed_at),
                "new columns": ", ".join(done.new_columns) or None,
                "widened columns": ", ".join(done.widened) or None,
                "jobs loaded": done.loaded,
                "items": done.items,
                "items added": done.added,
                "items removed": done.removed,
                "items changed": done.changed,
                "held": done.held,
                "items rejected": done.rejected,
                "unreadable": done.unreadable,
                "bytes": done.bytes,
            }
        facts |= {"accepted jobs, total": tally.accepted_jobs, "page": make_link(strategy.url)}
        facts |= changes.describe_key(strategy) | changes.describe_noise(self._store, strategy)
        return drop_empty(facts)


def _format_time(time: str | None) -> str:
    return (time or "")[:16].replace("T", " ")


def _measure_seconds(report: SyncReport) -> float:
    started, finished = (datetime.fromisoformat(time.rstrip("Z")) for time in (report.started_at, report.finished_at))
    return round((finished - started).total_seconds(), 3)
