"""Looks for a strategy's key in the jobs of a batch and those next to them, while it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.sync.changes.diff import Seen
from meter_pipeline.sync.changes.feed import by_target, seen_before
from meter_pipeline.sync.items.keys import MAX_JOBS, Cells, Profile, Suggestion, cells, suggest
from meter_pipeline.sync.items.texts import Items
from meter_pipeline.sync.loading.job import Landed


def look(
    lake: Lake, ledger: Ledger, strategy: StrategyRow, landed: Sequence[Landed], *, first: bool
) -> Suggestion | None:
    """The key that the jobs speak for, `None` when there is none to be told; `first`: no job was accepted before.

    Raises:
        NothingToCompare: No two jobs are of one target, so that nothing was looked at.
    """
    at_hand = {one.job.job_id: one for one in landed}
    jobs = [one.seen for one in landed if one.count > 1]
    if not first:
        spans = {
            target: (min(one.place for one in group), max(one.place for one in group))
            for target, group in by_target(jobs).items()
        }
        known = ledger.neighbourhood(strategy.strategy_id, spans)
        jobs += [
            seen_before(row)
            for rows in known.values()
            for row in rows
            if row.job_id not in at_hand and (row.items or 0) > 1
        ]
    chosen = _few(jobs)
    if not chosen:
        raise NothingToCompare
    columns_of: dict[str, Cells] = {}
    profiles = []
    for job in chosen:
        profile = Profile(job.target_id)
        one = at_hand.get(job.job_id)
        if one is not None and one.items is not None:
            _feed(profile, one.items, columns_of)
        else:
            for batch in lake.job_batches("raw", strategy.slug, ["item"], {job.job_id: job.time}):
                profile.feed(columns.parse(batch["item"].cast(pa.binary()).to_pylist()))
        profiles.append(profile)
    return suggest(profiles)


def _feed(profile: Profile, items: Items, known: dict[str, Cells]) -> None:
    """Feeds the items of a job at hand; `known` keeps the fields' values of all texts for the next job."""

    def cells_of(name: str) -> Cells:
        if name not in known:
            known[name] = cells(items.texts.values, name)
        return known[name].at(items.numbers)

    profile.take(items.texts.values[items.numbers[0]], len(items), cells_of)


class NothingToCompare(Exception):
    """No two jobs are of one target."""


def _few(jobs: Sequence[Seen]) -> list[Seen]:
    """Some jobs in order of time, of targets that have two of them at least; the busiest targets first."""
    counts = Counter(one.target_id for one in jobs)
    busiest = [target for target, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if count > 1]
    few: list[Seen] = []
    for target in busiest:
        room = MAX_JOBS - len(few)
        if room < 2:
            break
        few += sorted((one for one in jobs if one.target_id == target), key=lambda one: one.place)[:room]
    return few
