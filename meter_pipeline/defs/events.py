"""What a sync tells Dagster: materialisations of what has news, with their facts, and the outcome of the checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs import changes, checks, news, quality
from meter_pipeline.defs.columns import meter_columns, results_columns
from meter_pipeline.defs.declared import DeclaredStrategy, check_results
from meter_pipeline.defs.keys import (
    ITEM_CHANGES,
    ITEM_VERSIONS,
    ITEMS,
    JOBS,
    SCHEDULE_CHANGES,
    SCHEDULES,
    STRATEGIES,
    results_key,
    slug_of,
)
from meter_pipeline.defs.lineage import of_synced
from meter_pipeline.defs.metadata import Metadata, entries, link, moment, present, sample, table
from meter_pipeline.defs.naming import Keys
from meter_pipeline.defs.rows import job_rows

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
        report: What the sync did; `None` when only checks were asked for.
        known: Slugs that had an asset when definitions were loaded.
        keys: What the project calls the assets; the events go by this package's own keys.
        declared: Strategies that the project declares, by slug.
        note: What every materialisation says beside its own facts.
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
    ) -> None:
        self._context, self._store, self._report, self._known = context, store, report, known
        self._declared = declared
        self._keys, self._note = keys, note or {}
        self._strategies = {strategy.slug: strategy for strategy in store.ledger.strategies()}
        self._tallies = news.tallies(store.ledger)
        self._problems = checks.found(store.ledger)

    def __iter__(self) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        """Yields the events of what was selected; logs those of what was not."""
        told = self._news() if self._report is not None else {}
        selected = self._keys.selected(self._context)
        for key, version in told.items():
            if key in selected:
                facts = self._facts(key)
                yield dg.MaterializeResult(key, metadata=facts, data_version=dg.DataVersion(version))
        for key, version in told.items():
            # Loaded by this run, though it has no asset yet, or was not selected: its history shall not miss it.
            if key not in selected and (slug := slug_of(key)) and self._of_strategy(slug) is not None:
                tags = {news.VERSION_TAG: version}
                event = dg.AssetMaterialization(self._keys.shown(key), metadata=self._facts(key), tags=tags)
                self._context.log_event(event)
        self._say_unknown()
        self._warn_of_missing()
        yield from self._checks(told)

    def _news(self) -> dict[dg.AssetKey, str]:
        """The data versions of the assets that Dagster has not seen yet, upstream first."""
        versions = news.versions(self._store.ledger)
        seen = news.seen(self._context.instance, versions, self._keys)
        order = [key for key in (STRATEGIES, SCHEDULES, JOBS, ITEMS, SCHEDULE_CHANGES) if key in versions]
        order += [results_key(slug) for slug in self._strategies if results_key(slug) in versions]
        order += [key for key in (ITEM_CHANGES, ITEM_VERSIONS) if key in versions]
        return {key: versions[key] for key in order if seen.get(key) != versions[key] or self._loaded(key)}

    def _loaded(self, key: dg.AssetKey) -> bool:
        slug = slug_of(key)
        done = self._of_strategy(slug) if slug else None
        return done is not None and done.accepted > 0

    def _of_strategy(self, slug: str) -> StrategyReport | None:
        return self._report.strategies.get(slug) if self._report is not None else None

    def _unknown(self) -> list[str]:
        """Slugs with accepted jobs whose assets come with the next load of definitions."""
        return [slug for slug in self._strategies if slug not in self._known]

    def _say_unknown(self) -> None:
        unknown = self._unknown()
        if unknown:
            more = f" and {len(unknown) - _NEW_NAMED:,} more" if len(unknown) > _NEW_NAMED else ""
            named = ", ".join(f"results/{slug}" for slug in unknown[:_NEW_NAMED])
            self._context.log.info(f"new strategies: reload definitions to see {named}{more}")

    def _warn_of_missing(self) -> None:
        if self._report is None:
            return
        missing = [strategy for slug, strategy in self._declared.items() if slug not in self._strategies]
        for strategy in missing[:_NEW_NAMED]:
            self._context.log.warning(f"results/{strategy.slug}: {strategy.missing(self._strategies)}")
        if (more := len(missing) - _NEW_NAMED) > 0:
            self._context.log.warning(f"and {more:,} more declared strategies that are not at Meter")

    def _checks(self, told: dict[dg.AssetKey, str]) -> Iterator[dg.AssetCheckResult]:
        slugs = {strategy.strategy_id: slug for slug, strategy in self._strategies.items()}
        selected = self._keys.selected_checks(self._context)
        if self._report is None:
            yield from check_results(selected, self._declared, self._strategies)
        else:
            # A check of a strategy without news or trouble says nothing new.
            concerned = checks.troubled(self._problems, slugs) | {s for key in told if (s := slug_of(key))}
            seen_first = {*concerned, *self._report.new_strategies}
            yield from check_results(selected, self._declared, self._strategies, seen_first)
            selected = {check for check in selected if checks.about(check, concerned)}
        yield from checks.results(selected, self._problems, slugs)
        reports = self._report.strategies if self._report is not None else {}
        yield from quality.results(selected, self._store, self._strategies, reports)

    # -- facts ---------------------------------------------------------------------------------------------------------

    def _facts(self, key: dg.AssetKey) -> Metadata:
        facts = self._note | self._own_facts(key)
        schema = facts.get("dagster/column_schema")
        return facts | of_synced(key, schema.columns if schema else (), self._keys)

    def _own_facts(self, key: dg.AssetKey) -> Metadata:
        if slug := slug_of(key):
            return self._results(slug)
        facts: dict[dg.AssetKey, Callable[[], Metadata]] = {
            STRATEGIES: self._catalog,
            SCHEDULES: self._schedules,
            JOBS: self._jobs,
            ITEMS: self._items,
            SCHEDULE_CHANGES: self._changes,
            ITEM_CHANGES: lambda: changes.change_facts(self._store, self._report),
            ITEM_VERSIONS: lambda: changes.version_facts(self._store, self._report),
        }
        return facts[key]()

    def _catalog(self) -> Metadata:
        unknown = self._unknown()
        return {
            **table("meter.strategies", rows=len(self._strategies), columns=meter_columns("strategies")),
            "strategies": len(self._strategies),
            **({"reload definitions to see": ", ".join(f"results/{slug}" for slug in unknown)} if unknown else {}),
        }

    def _schedules(self) -> Metadata:
        schedules = self._store.ledger.schedules()
        return {
            **table("meter.schedules", rows=len(schedules), columns=meter_columns("schedules")),
            "schedules": len(schedules),
            "enabled": sum(bool(schedule.enabled) for schedule in schedules),
        }

    def _jobs(self) -> Metadata:
        report = self._report
        states: dict[str, int] = {}
        for one in self._store.ledger.counts():
            states[one.state] = states.get(one.state, 0) + one.jobs
        done = list(report.strategies.values()) if report else []
        return present(
            {
                **table("meter.jobs", rows=sum(states.values()), columns=meter_columns("jobs")),
                **{f"{state} in all": jobs for state, jobs in sorted(states.items())},
                "jobs landed": sum(one.landed for one in done),
                "held": sum(one.held for one in done),
                "unreadable": sum(one.unreadable for one in done),
                "requests": report.requests if report else None,
                "seconds": _seconds(report) if report else None,
            }
        )

    def _items(self) -> Metadata:
        done = list(self._report.strategies.values()) if self._report else []
        rows = sum(tally.items for tally in self._tallies.values())
        return {
            **table("meter.items", rows=rows, columns=meter_columns("items")),
            "items landed": sum(one.items for one in done),
            "bytes": sum(one.bytes for one in done),
        }

    def _changes(self) -> Metadata:
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
                ("seen", _short(seen)),
                ("acknowledged", _short(acknowledged) or "not yet"),
            )
            for schedule, job, seen, items, acknowledged in unseen.latest(_LATEST_CHANGES)
        ]
        return present(
            {
                **table("meter.schedule_changes", rows=counts.noted, columns=meter_columns("schedule_changes")),
                "changes": report.changes if report else None,
                "acknowledged": report.acknowledged if report else None,
                "not acknowledged in all": counts.noted - counts.acknowledged,
                "latest": entries(latest, cell=_ID, word=_ID) if latest else None,
            }
        )

    def _results(self, slug: str) -> Metadata:
        strategy, tally = self._strategies[slug], self._tallies.get(slug, news.Tally())
        done = self._of_strategy(slug)
        latest = job_rows(self._store, slug, done.latest_job_id, done.latest_completed_at) if done else None
        facts = table(
            f"results.{slug}",
            rows=tally.accepted_items,
            uri=f"lake/results/strategy={slug}",
            columns=results_columns(strategy, latest),
        )
        if done is not None:
            facts |= {
                "sample": sample(done.sample),
                "latest job": done.latest_job_id,
                "latest job completed": moment(done.latest_completed_at),
                "new columns": ", ".join(done.new_columns) or None,
                "widened columns": ", ".join(done.widened) or None,
                "jobs landed": done.landed,
                "items": done.items,
                "items added": done.added,
                "items removed": done.removed,
                "items changed": done.changed,
                "held": done.held,
                "unreadable": done.unreadable,
                "bytes": done.bytes,
            }
        facts |= {"accepted jobs in all": tally.accepted_jobs, "page": link(strategy.url)}
        facts |= changes.key_facts(strategy)
        return present(facts)


def _short(time: str | None) -> str:
    return (time or "")[:16].replace("T", " ")


def _seconds(report: SyncReport) -> float:
    started, finished = (datetime.fromisoformat(t.rstrip("Z")) for t in (report.started_at, report.finished_at))
    return round((finished - started).total_seconds(), 3)
