"""Loads one strategy's jobs under its claim: raw rows, verdicts, typed rows, changes, and last the ledger.

Jobs are gathered into batches of a few megabytes. A kill at any point leaves the strategy marked as dirty and the jobs
of the batch uncommitted: the next sync loads them again, looking for the rows they may have left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa

from meter_pipeline.api import MeterBadResponse
from meter_pipeline.config.meter_yaml import StrategyConfig
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake.lake import RAW, Lake
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.ledger import Ledger, job_values
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
from meter_pipeline.store.times import iso, now
from meter_pipeline.sync.changes.feed import Feed, seen_before
from meter_pipeline.sync.changes.in_memory import AtHand
from meter_pipeline.sync.containment import Trouble, explain
from meter_pipeline.sync.items import rules as choices
from meter_pipeline.sync.items.keys import MAX_ATTEMPTS
from meter_pipeline.sync.items.raw import job_columns, raw_rows
from meter_pipeline.sync.items.results import Retyping, alike, paused_collection, results_schema, rewrite, typed, widen
from meter_pipeline.sync.items.texts import Gathered, Texts
from meter_pipeline.sync.loading.fetch import Fetched
from meter_pipeline.sync.loading.job import Landed, read, read_large
from meter_pipeline.sync.loading.key_search import NothingToCompare, look
from meter_pipeline.sync.loading.rebuild import make_anew
from meter_pipeline.sync.report import Problem, StrategyReport

# Parsed JSON takes six to eight times its bytes, and several strategies are written at once.
BATCH_BYTES = 4 * 2**20
_FIRST_RETRY = timedelta(minutes=1)
_LAST_RETRY = timedelta(days=1)
# A job that still runs after so many looks is looked at once an hour.
_PATIENCE = 10


class Load:
    """One strategy's jobs on their way into the lake and the ledger, while its claim is held.

    Args:
        lake: The lake.
        ledger: The ledger.
        strategy: Whose jobs they are.
        claim: Its claim, given up by `release`.
        first: Whether none of its jobs is accepted yet, which spares looks at what cannot be there.
        again: Whether jobs may have been loaded before.
        config: What `meter.yaml` says of it.
    """

    def __init__(
        self,
        lake: Lake,
        ledger: Ledger,
        strategy: StrategyRow,
        claim: Claim,
        *,
        first: bool,
        again: bool,
        config: StrategyConfig | None = None,
    ) -> None:
        self._lake = lake
        self._ledger = ledger
        self._claim = claim
        self._strategy = strategy
        self._slug = strategy.slug
        self._fields = columns.load(strategy.fields)
        self._config = config
        self._chosen = choices.load(strategy.identity)
        self._feed = Feed(lake, ledger, strategy, BATCH_BYTES)
        #: Items of the jobs that fit into memory.
        self.texts = Texts()
        self._typed = np.empty(0, np.bool_)
        self._sides: dict[str, AtHand] = {}
        self._thorough = strategy.dirty or again
        self._repaired = not strategy.dirty
        self._looked = False
        self._first = first
        self.report = StrategyReport(strategy.strategy_id, strategy.slug, strategy.name)
        self.problems: list[Problem] = []

    def write(self, batch: Sequence[Fetched], *, last: bool) -> None:
        """Writes a batch of fetched jobs and commits them; after the `last` one the strategy's files are whole.

        Raises:
            StoreError: The lake or the ledger cannot be written; the jobs stay as the ledger knows them.
        """
        self._repair()
        rows: list[dict[str, Any]] = []
        landed: list[Landed] = []
        for fetched in batch:
            if fetched.body is None:
                rows += self._unreadable(fetched)
            elif not fetched.body.job.is_completed:
                rows += self._unfinished(fetched)
            else:
                landed.append(self._read(fetched))
        if landed:
            landed.sort(key=lambda one: one.place)
            with paused_collection():
                self._land(landed)
                self._type(landed)
                self._compare(landed)
            rows += map(self._loaded, landed)
            self._let_go(last)
        groups = _alike(rows) or [[]]
        identity = self._chosen.dump()
        for number, group in enumerate(groups):
            whole = last and number == len(groups) - 1
            self._ledger.commit(
                self._strategy.strategy_id, group, fields=self._fields, dirty=not whole, identity=identity
            )
        self._first = self._first and not any(one.accepted for one in landed)
        self._tell(landed)

    def accept(self, held: Sequence[Landed]) -> None:
        """Takes held jobs among the accepted ones, from what the lake has of them.

        Raises:
            StoreError: The lake or the ledger cannot be written; the jobs stay held.
        """
        self._repair()
        with paused_collection():
            self._type(held)
            self._compare(held)
        rows = [
            {
                "job_id": one.job.job_id,
                "state": "accepted",
                "completed_at": one.time,
                "items": one.count,
                "duplicates": one.duplicates,
                "released_at": one.released_at,
            }
            for one in held
        ]
        self.report.accepted += len(rows)
        self.report.items += sum(one.count for one in held)
        for one in held:
            self._latest(one)
        identity = self._chosen.dump()
        # A load that was killed has rows to be looked for still.
        dirty = self._strategy.dirty
        self._ledger.commit(self._strategy.strategy_id, rows, fields=self._fields, dirty=dirty, identity=identity)

    def resumed(self) -> Load:
        """The same after `write` has failed: it begins at what the ledger says, and looks for rows that were left."""
        strategy = self._ledger.strategy(self._strategy.strategy_id) or self._strategy
        first = not self._ledger.with_accepted([strategy.strategy_id])
        load = Load(self._lake, self._ledger, strategy, self._claim, first=first, again=True, config=self._config)
        load.report, load.problems = self.report, self.problems
        return load

    def give_up(self, row: JobRow, trouble: Trouble, *, last: bool) -> None:
        """Commits a job that cannot be loaded as unreadable, and takes out what rows of it were written."""
        strategy_id = self._strategy.strategy_id
        self.report.unreadable += 1
        self.problems.append(Problem(row.job_id, self._slug, "unreadable", trouble.reason, is_ours=trouble.is_ours))
        gone = {**_unreadable_row(row, trouble.reason), "items": None, "duplicates": None, "loaded_at": None}
        self._ledger.commit(strategy_id, [gone], dirty=True)
        self._lake.replace("raw", self._slug, RAW.empty_table(), {row.job_id}, thorough=True)
        self._first = not self._ledger.with_accepted([strategy_id])
        self._repaired = False
        self._repair()
        self._ledger.commit(strategy_id, [], fields=self._fields, dirty=not last, identity=self._chosen.dump())

    def release(self) -> None:
        """Gives up the claim."""
        self._claim.release()

    # -- the lake

    def _read(self, fetched: Fetched) -> Landed:
        """Reads a body, which stays open: a batch that fails is written again in smaller ones."""
        body = fetched.body
        assert body is not None
        if body.size >= BATCH_BYTES:
            return read_large(fetched.row, body, self._lake, self._slug)
        with paused_collection():
            return read(fetched.row, body, self.texts)

    def _let_go(self, last: bool) -> None:
        """Forgets items, all after the `last` batch, else when there are so many that few can come again."""
        if last or self.texts.bytes > BATCH_BYTES:
            self.texts, self._typed, self._sides = Texts(), np.empty(0, np.bool_), {}

    def _land(self, landed: Sequence[Landed]) -> None:
        """Raw rows; those of a large job are there already."""
        small = [(one.job, one.items) for one in landed if one.items is not None]
        if small:
            rows = Gathered.of(self.texts, [items.numbers for _, items in small])
            raw = raw_rows([(job, len(items)) for job, items in small], rows.items())
            self._lake.replace("raw", self._slug, raw, {job.job_id for job, _ in small}, thorough=self._thorough)

    def _type(self, landed: Sequence[Landed]) -> None:
        """Typed rows: those of the new jobs, or of all jobs, where the new ones change the columns."""
        accepted = [one for one in landed if one.accepted]
        ids = {one.job.job_id for one in landed}
        self._choose(accepted)
        if self.texts.identify(self._chosen.identity):
            self._sides = {}
        for one in accepted:
            if one.items is not None:
                one.duplicates = one.items.repeats
        before = self._widen(accepted, ids)
        if before:
            self._rewrite(before | {one.job.job_id for one in accepted}, landed)
        else:
            self._append(accepted, ids)

    def _widen(self, accepted: Sequence[Landed], ids: set[str]) -> set[str]:
        """Takes in the fields of new jobs; returns the accepted ones that have to be typed anew for it."""
        old = results_schema(self._fields)
        more = np.zeros(len(self.texts) - len(self._typed), np.bool_)
        self._typed = np.concatenate([self._typed, more])
        fields = widen(self._fields, [(one.place, one.items) for one in accepted if one.items is not None], self._typed)
        for one in accepted:
            fields = columns.merge_fields(fields, one.fields)
        fields = self._chosen.floor(fields)
        self._note_columns(self._fields, fields)
        self._fields = fields
        if alike(results_schema(fields), old):
            return set()
        before = set() if self._first else self._ledger.accepted(self._strategy.strategy_id) - ids
        if not before and self._thorough:
            self._lake.drop("results", self._slug)
        return before

    def _rewrite(self, accepted: set[str], landed: Sequence[Landed]) -> None:
        duplicates = rewrite(self._lake, self._slug, self._fields, self._chosen.identity, accepted)
        for one in landed:
            one.duplicates = duplicates.get(one.job.job_id, one.duplicates)
        self.report.rewritten = True

    def _append(self, accepted: Sequence[Landed], ids: set[str]) -> None:
        small = [(one.job, one.items) for one in accepted if one.items is not None]
        large = [one for one in accepted if one.items is None]
        for one in large:
            retyping = Retyping(self._fields, self._chosen.identity)
            raw = self._lake.job_batches("raw", self._slug, RAW.names, {one.job.job_id: one.time})
            self._lake.write_job("results", self._slug, one.time, one.job.job_id, retyping.tables(raw))
            one.duplicates = retyping.duplicates.get(one.job.job_id)
        rows = Gathered.of(self.texts, [items.numbers for _, items in small])
        if any(items.repeats for _, items in small):
            keys = pa.array([key for _, items in small for key in items.keys], pa.string())
        else:
            keys = rows.keys()
        about = job_columns([(job, len(items)) for job, items in small])
        others = ids - {one.job.job_id for one in large}
        results = typed(about, rows, keys, self._fields)
        self._lake.replace("results", self._slug, results, others, thorough=self._thorough)

    def _compare(self, landed: Sequence[Landed]) -> None:
        """Changes: those that the new jobs show, and those of the jobs that come after them."""
        entered = [one.seen for one in landed if one.accepted]
        accepted = {one.job_id: one for one in entered}
        left = []
        for one in landed:
            if one.row.state == "accepted":
                before, after = seen_before(one.row), accepted.get(one.row.job_id)
                if after is None or (before.target_id, before.place) != (after.target_id, after.place):
                    left.append(before)
        sides = {one.job.job_id: AtHand(one.items) for one in landed if one.items is not None and one.accepted}
        at_hand = {**self._sides, **sides}
        kinds = self._feed.update(
            self._chosen.identity, entered, left, at_hand, first=self._first, thorough=self._thorough
        )
        self.report.count(kinds)
        # The next batch goes on from the last job of each target.
        last = {one.target_id: one.job_id for one in entered}
        self._sides = {id_: sides[id_] for id_ in last.values() if id_ in sides}

    def _choose(self, accepted: Sequence[Landed]) -> None:
        """Looks for a key while there is none; rows that are keyed by hash by then are made anew."""
        said = self._config is not None and self._config.key is not None
        if said or self._chosen.source != choices.NONE or self._chosen.attempts >= MAX_ATTEMPTS:
            return
        if any(one.row.loaded for one in accepted):
            # What the lake has of these no longer need fit the columns that older rows are in.
            return
        try:
            found = look(self._lake, self._ledger, self._strategy, accepted, first=self._first)
        except NothingToCompare:
            return
        if found is None:
            self._chosen = replace(self._chosen, attempts=self._chosen.attempts + 1)
            return
        self._chosen = replace(
            self._chosen, key=found.key, source=choices.SUGGESTED, chosen_at=now(), evidence=found.evidence()
        )
        if not self._first:
            self._make_anew()

    def _make_anew(self) -> None:
        self._fields = make_anew(
            self._lake, self._ledger, self._strategy, self._chosen, self._fields, large=BATCH_BYTES
        )
        self.report.rewritten = True

    def _repair(self) -> None:
        """After a kill in mid-write: half-written files go, and what may not be as the ledger says is made anew."""
        if self._thorough and not self._looked:
            self._give_up_lost()
        self._looked = True
        wanted = self._chosen.wanted(self._config, now())
        other = self._chosen.pending or not self._chosen.rows_alike(wanted)
        self._chosen = replace(wanted, pending=False)
        if not self._repaired:
            self._lake.sweep(self._slug)
        if other and not self._first:
            self._make_anew()
        elif not self._repaired:
            self._fields = self._chosen.floor(self._fields)
            if self._first:
                # Nothing was accepted: whatever is there was never committed.
                self._lake.drop("results", self._slug)
                self._lake.drop("changes", self._slug)
            else:
                self._mend()
                self._feed.rebuild(self._chosen.identity)
        self._repaired = True

    def _give_up_lost(self) -> None:
        """Jobs whose raw rows are gone, with a damaged file that somebody has deleted, count as not loaded again."""
        loaded = [row for row in self._ledger.jobs(self._strategy.strategy_id, ("accepted", "held")) if row.items]
        there = self._lake.job_ids("raw", self._slug) if loaded else set()
        lost = [row.job_id for row in loaded if row.job_id not in there]
        if lost:
            rows = [{"job_id": job_id, "state": "known", "reason": None, "loaded_at": None} for job_id in lost]
            self._ledger.commit(self._strategy.strategy_id, rows, dirty=True)
            self._first = not self._ledger.with_accepted([self._strategy.strategy_id])
            self._repaired = False

    def _mend(self) -> None:
        """Typed rows in columns that the ledger does not know, or of jobs that are not accepted."""
        schema = results_schema(self._fields)
        accepted = self._ledger.accepted(self._strategy.strategy_id)
        if not all(alike(found, schema) for found in self._lake.schemas("results", self._slug)):
            rewrite(self._lake, self._slug, self._fields, self._chosen.identity, accepted)
        elif accepted and (strays := self._lake.job_ids("results", self._slug) - accepted):
            self._lake.replace("results", self._slug, schema.empty_table(), strays, thorough=True)

    # -- the ledger

    def _loaded(self, one: Landed) -> dict[str, Any]:
        return {
            **one.values,
            # Derived tables order jobs by it: what the API left out is settled here, once.
            "completed_at": one.time,
            "state": "accepted" if one.accepted else "held",
            "reason": one.reason,
            "items": one.count,
            "duplicates": one.duplicates,
            "bytes": one.size,
            "loaded_at": now(),
            "attempts": 0,
            "retry_at": None,
            "released_at": one.released_at,
        }

    def _unfinished(self, fetched: Fetched) -> list[dict[str, Any]]:
        assert fetched.body is not None
        job, row = fetched.body.job, fetched.row
        fetched.body.close()
        if row.loaded:
            return []
        failed = job.status == "failed"
        attempts = row.attempts + 1
        if failed:
            self.report.failed += 1
        return [
            {
                **job_values(job),
                "state": "failed" if failed else "known",
                "loaded_at": now() if failed else None,
                "attempts": attempts,
                "retry_at": _later(timedelta(hours=1)) if attempts >= _PATIENCE else None,
            }
        ]

    def _unreadable(self, fetched: Fetched) -> list[dict[str, Any]]:
        row, error = fetched.row, fetched.error
        assert error is not None
        trouble = explain(error)
        reason = trouble.reason
        if isinstance(error, MeterBadResponse) and error.body:
            reason += f"; the body is kept in {self._lake.keep_body(row.job_id, error.body)}"
        self.report.unreadable += 1
        self.problems.append(Problem(row.job_id, self._slug, "unreadable", reason, is_ours=trouble.is_ours))
        if row.loaded:
            # What was loaded of it before stays what it is.
            return []
        return [_unreadable_row(row, reason)]

    def _problem(self, job_id: str, state: str, reason: str) -> None:
        self.problems.append(Problem(job_id, self._slug, state, reason))

    # -- the report

    def _tell(self, landed: Sequence[Landed]) -> None:
        """Counts jobs that are committed."""
        report = self.report
        for one in landed:
            report.landed += 1
            report.bytes += one.size
            if one.accepted:
                report.accepted += 1
                report.items += one.count
                self._latest(one)
            else:
                report.held += 1
                self._problem(one.job.job_id, "held", str(one.reason))

    def _note_columns(self, old: Sequence[Field], new: Sequence[Field]) -> None:
        before = {column.name: column.type for column in columns.columns(old)}
        after = {column.name: column.type for column in columns.columns(new)}
        fresh = tuple(name for name in after if name not in before)
        wider = tuple(name for name, kind in after.items() if name in before and before[name] != kind)
        self.report.new_columns += tuple(name for name in fresh if name not in self.report.new_columns)
        self.report.widened += tuple(name for name in wider if name not in self.report.widened)

    def _latest(self, one: Landed) -> None:
        if one.time >= (self.report.latest_completed_at or ""):
            self.report.latest_completed_at = one.time
            self.report.latest_job_id = one.job.job_id
            self.report.sample = one.sample


def _unreadable_row(row: JobRow, reason: str) -> dict[str, Any]:
    attempts = row.attempts + 1
    return {
        "job_id": row.job_id,
        "state": "unreadable",
        "reason": reason,
        "attempts": attempts,
        "retry_at": _later(min(_FIRST_RETRY * 2 ** min(attempts - 1, 20), _LAST_RETRY)),
    }


def _later(delay: timedelta) -> str | None:
    return iso(datetime.now(timezone.utc) + delay)


def _alike(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows grouped by the columns they name, as one statement takes them."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return list(groups.values())
