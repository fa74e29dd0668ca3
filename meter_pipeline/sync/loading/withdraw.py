"""Holds or drops jobs by hand: results and feed become as if the jobs had never been accepted.

The strategy's columns are made from its accepted jobs alone, so columns and wider types that only a withdrawn job
brought go with it. So does a key that the other jobs do not support.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import RAW, Lake
from meter_pipeline.store.lake.tables import find_runs
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import FindingRow, JobRow, times_of
from meter_pipeline.store.times import now
from meter_pipeline.sync.audit.findings import HELD
from meter_pipeline.sync.changes.diff import Counts
from meter_pipeline.sync.changes.feed import seen_before
from meter_pipeline.sync.containment import refusal_explained
from meter_pipeline.sync.items.readings import PLAIN, survey
from meter_pipeline.sync.items.results import paused_collection, rewrite
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.decisions import Decision, decide
from meter_pipeline.sync.loading.job import BY_HAND, PIECE_FIELDS
from meter_pipeline.sync.loading.key_search import choose_key
from meter_pipeline.sync.loading.page_search import choose_compare
from meter_pipeline.sync.loading.rows import changes_fit, make_feed, rows_fit
from meter_pipeline.sync.loading.state import LoadContext, StrategyState, read_state
from meter_pipeline.sync.loading.updates import KEEP, JobUpdate

HOLD = Decision("held by hand", ("accepted",))
DROP = Decision("dropped", ("accepted", "held", "failed", "unreadable"))
DROPPED = "dropped by hand"


@dataclass(frozen=True)
class Withdrawal:
    """Jobs of one strategy that were held or dropped by hand.

    Attributes:
        slug: The strategy.
        jobs: How many jobs.
        items: Items that left the results.
        is_rewritten: Whether the rows of other jobs were made again, since columns were left out or are narrower.
    """

    slug: str
    jobs: int
    items: int
    is_rewritten: bool


def hold(
    ledger: Ledger,
    lake: Lake,
    job_ids: Sequence[str],
    reason: str | None = None,
    config: Config | None = None,
    limits: Limits = Limits(),
) -> list[Withdrawal]:
    """Holds accepted jobs: they leave results and feed, and stay in raw; `release` takes it back.

    Args:
        ledger: The ledger.
        lake: The lake.
        job_ids: The jobs; either all jobs of a strategy are held, or none.
        reason: Why, for whoever sees the held jobs.
        config: The contents of `meter.yaml`.
        limits: How much is kept in memory.

    Returns:
        What was held, strategy by strategy.

    Raises:
        DecisionError: A job is not accepted, or its strategy is being loaded by another process.
        StoreError: The ledger or the lake cannot be used.
    """
    apply = partial(_withdraw, state="held", reason=_extend(BY_HAND, reason))
    return decide(ledger, lake, job_ids, HOLD, apply, config, limits)


def drop(
    ledger: Ledger,
    lake: Lake,
    job_ids: Sequence[str],
    reason: str | None = None,
    config: Config | None = None,
    limits: Limits = Limits(),
) -> list[Withdrawal]:
    """Throws jobs away: they leave results, feed and raw, and no sync loads them again unless a user names them.

    Args:
        ledger: The ledger, which keeps the job and the reason.
        lake: The lake.
        job_ids: The jobs; either all jobs of a strategy are dropped, or none.
        reason: Why, for whoever sees the dropped jobs.
        config: The contents of `meter.yaml`.
        limits: How much is kept in memory.

    Returns:
        What was dropped, strategy by strategy.

    Raises:
        DecisionError: A job waits to be loaded or is dropped already, or its strategy is being loaded.
        StoreError: The ledger or the lake cannot be used.
    """
    apply = partial(_withdraw, state="dropped", reason=_extend(DROPPED, reason))
    return decide(ledger, lake, job_ids, DROP, apply, config, limits)


def _extend(reason: str, user_reason: str | None) -> str:
    """A reason in one line, with what the user adds to it."""
    return ": ".join([reason, *filter(None, [" ".join((user_reason or "").split())])])


def _withdraw(context: LoadContext, claim: Claim, rows: Sequence[JobRow], *, state: str, reason: str) -> Withdrawal:
    """Takes jobs of one strategy out of its rows, in one commit."""
    accepted = [row for row in rows if row.state == "accepted"]
    before = read_state(context)
    draft = context.draft
    try:
        with paused_collection():
            after = _state_without(context, before, accepted) if accepted else before
            after, counts, duplicates = _remove_rows(context, before, after, accepted)
            is_rewritten = not rows_fit(before, after)
        if state == "dropped":
            for table in ("raw", "profiles"):
                draft.remove(table, times_of(row for row in rows if row.loaded))
        updates = [_update_of(row, state, reason) for row in rows]
        updates += [
            JobUpdate(
                job_id, "accepted", duplicates=duplicates.get(job_id, KEEP), changes=counts.rows.get(job_id, KEEP)
            )
            for job_id in counts.rows.keys() | duplicates.keys()
        ]
        draft.merge()
        jobs = [update.as_row() for update in updates]
        # What a dropped job was like, or was found to be, is of no use any more.
        findings: dict[str, list[FindingRow]] = {row.job_id: [] for row in rows if state == "dropped"}
        parts, identity = draft.change(), after.rules.dump()
        values = after.readings.dump()
        commit = Commit(context.strategy_id, after.version, jobs, parts, after.fields, identity, findings, values)
        with refusal_explained(f"{context.slug}: the jobs stay as they were", "try again"):
            context.ledger.commit(commit)
    except BaseException:
        draft.discard()
        raise
    draft.settle()
    return Withdrawal(context.slug, len(rows), sum(row.items or 0 for row in accepted), is_rewritten)


def _update_of(row: JobRow, state: str, reason: str) -> JobUpdate:
    update = JobUpdate(row.job_id, state, reason=reason, duplicates=None, changes=None, released_at=None, retry_at=None)
    if state == "held":
        return replace(update, held_at=now(), audit=HELD)
    return replace(update, items=None, loaded_at=None, attempts=0, held_at=None, audit=None)


def _remove_rows(
    context: LoadContext, before: StrategyState, after: StrategyState, jobs: Sequence[JobRow]
) -> tuple[StrategyState, Counts, Mapping[str, int]]:
    """Takes the rows of accepted jobs out of results and feed; their successors are compared with other jobs then.

    Returns:
        The state with what is compared now; what the comparisons found; and the duplicates of other jobs, by id, whose
        rows were made again.
    """
    if not jobs:
        return after, Counts(), {}
    duplicates: Mapping[str, int] = {}
    rest = _list_rest(context, jobs)
    left = [seen_before(row) for row in jobs]
    is_fitting = rows_fit(before, after)
    if is_fitting:
        context.draft.remove("results", times_of(jobs))
    else:
        duplicates = rewrite(context.draft, after.fields, after.identity, times_of(rest), after.readings)
    after = choose_compare(context, after, [], left, is_rekeyed=after.identity != before.identity)
    if is_fitting and not rows_fit(before, after):
        duplicates = rewrite(context.draft, after.fields, after.identity, times_of(rest), after.readings)
    feed = make_feed(context, after)
    if changes_fit(before, after):
        return after, feed.update(after.identity, [], left, {}, first=False), duplicates
    return after, feed.rebuild(after.identity, map(seen_before, rest)), duplicates


def _state_without(context: LoadContext, state: StrategyState, jobs: Sequence[JobRow]) -> StrategyState:
    """The strategy's state as its other accepted jobs make it."""
    fields = _fields_without(context, state, jobs)
    after = choose_key(context, replace(state, fields=fields), [], jobs)
    known = state.readings.facts
    seen = survey(context.draft.scan("raw", times_of(_list_rest(context, jobs)), RAW.names), fields, enough=known)
    return replace(after, readings=PLAIN.with_facts(seen).settle(fields, after.rules.types))


def _fields_without(context: LoadContext, state: StrategyState, jobs: Sequence[JobRow]) -> tuple[Field, ...]:
    """The strategy's fields as its other accepted jobs make them."""
    found: tuple[Field, ...] = ()
    for fields in _stored_fields(context.draft, times_of(_list_rest(context, jobs))):
        found = columns.merge_fields(found, fields)
        # Fields only ever grow towards those of all jobs: once they are the same, no further job changes them.
        if state.rules.floor(found) == state.fields:
            return state.fields
    return state.rules.floor(found)


def _stored_fields(draft: Draft, times: Mapping[str, str]) -> Iterator[tuple[Field, ...]]:
    """The fields of jobs in raw, piece by piece, with the stamps that they had when the jobs were loaded."""
    for batch in draft.scan("raw", times, ["job_id", "item_index", "item"]):
        items = columns.as_objects(columns.parse(batch["item"].cast(pa.binary()).to_pylist()))
        for job_id, start, end in find_runs(batch["job_id"]):
            position = batch["item_index"][start].as_py() * PIECE_FIELDS
            yield columns.infer_fields(items[start:end], (times[job_id], job_id, position))


def _list_rest(context: LoadContext, jobs: Sequence[JobRow]) -> list[JobRow]:
    """The accepted jobs other than these."""
    own = {row.job_id for row in jobs}
    return [row for row in context.ledger.jobs(context.strategy_id, ("accepted",)) if row.job_id not in own]
