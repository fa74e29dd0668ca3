"""Makes a loaded account old: each strategy gets earlier jobs, whose rows are those of the two jobs that were loaded.

A sync of two million jobs takes an hour; this takes minutes and leaves the ledger and the lake as such a sync would:
jobs, findings aside, parts in sizes that halve, months, and changes that lead from one state of a page to the next.

The page is in the state of its older job for `hold` runs, then in that of its newer one, and so on back in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa

from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.lake.local import LocalFiles
from meter_pipeline.store.lake.tables import ORDER
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
from meter_pipeline.store.times import iso, moment

_TABLES = ("raw", "results", "changes", "profiles")
# Parts of each table, of which each has half the runs of the one before it.
_PARTS = 3
_UTC = pa.timestamp("us", tz="UTC")
# Columns of a job's row that are not those of the job that it is like.
_OWN = ("revision", "strategy_id")


@dataclass(frozen=True)
class Past:
    """The runs before those that were loaded.

    Attributes:
        runs: Runs of each strategy.
        between: The time between two of them.
        hold: Runs for which a page stays as it is.
    """

    runs: int
    between: timedelta
    hold: int = 1


class _Unsynced(LocalFiles):
    """A folder whose files need not survive a power cut: waiting for the disk is most of the time otherwise."""

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            yield file


class _Run(NamedTuple):
    """An earlier run.

    Attributes:
        job_id: Its job's id.
        previous_id: The id of the job before it.
        at: When it ended.
        state: 0 or 1: the page is as in the older or the newer job that was loaded.
        turns: 0 for a page that stays as it was, 1 for one that goes from state 0 to 1, 2 for one that goes back.
    """

    job_id: str
    previous_id: str
    at: datetime
    state: int
    turns: int


def lengthen(data: Path, past: Past) -> int:
    """Gives each strategy of a data folder its past; returns the number of jobs that were added.

    Args:
        data: A data folder into which two jobs of each strategy were loaded, and nothing else.
        past: What came before them.
    """
    ledger, lake = Ledger.open(str(data / "ledger.sqlite")), Lake(_Unsynced(data / "lake"))
    try:
        added = 0
        for strategy in ledger.strategies():
            loaded = sorted(ledger.jobs(strategy.strategy_id), key=lambda job: job.completed_at or "")
            added += _lengthen(ledger, lake, strategy, loaded, past)
        return added
    finally:
        ledger.close()


def _lengthen(ledger: Ledger, lake: Lake, strategy: StrategyRow, loaded: Sequence[JobRow], past: Past) -> int:
    older, newer = loaded
    parts = ledger.parts_of(strategy.slug)
    rows = lake.part_set(strategy.slug, parts)
    times = {job.job_id: str(job.completed_at) for job in loaded}
    templates = {
        table: [_of_job(table, rows.read(table, jobs=times), job.job_id) for job in loaded]
        for table in ("raw", "results", "profiles")
    }
    changes = _of_job("changes", rows.read("changes", jobs=times), newer.job_id)
    templates["changes"] = [changes.slice(0, 0), changes, _turn_back(changes)]
    runs = list(_runs(older, past))
    draft = lake.draft(strategy.slug, parts, ledger.name)
    for some in _halves(runs):
        for table in _TABLES:
            _append(draft, table, templates[table], some)
    kept = [{name: value for name, value in asdict(job).items() if name not in _OWN} for job in loaded]
    jobs = [{**kept[run.state], **_values_of(run), "changes": templates["changes"][run.turns].num_rows} for run in runs]
    ledger.commit(Commit(strategy.strategy_id, strategy.version, jobs=jobs, parts=draft.change()))
    draft.settle()
    return len(jobs)


def _runs(first: JobRow, past: Past) -> Iterator[_Run]:
    """The runs before a job, oldest first; the page is in state 0 when that job ran."""
    end = moment(str(first.completed_at))
    for number in range(past.runs, 0, -1):
        state, before = ((back - 1) // past.hold % 2 for back in (number, number + 1))
        turns = 0 if number == past.runs or state == before else 1 if state else 2
        yield _Run(
            f"{first.job_id}-{number}", f"{first.job_id}-{number + 1}", end - past.between * number, state, turns
        )


def _halves(runs: Sequence[_Run]) -> Iterator[Sequence[_Run]]:
    for left in range(_PARTS, 0, -1):
        size = len(runs) if left == 1 else -(-len(runs) // 2)
        if size:
            yield runs[:size]
        runs = runs[size:]


def _append(draft: Draft, table: str, templates: Sequence[pa.Table], runs: Sequence[_Run]) -> None:
    """Adds a part with the rows of some runs."""
    whole = pa.concat_tables(templates)
    begins = np.cumsum([0, *(template.num_rows for template in templates)])
    kinds = [run.turns if table == "changes" else run.state for run in runs]
    counts = [templates[kind].num_rows for kind in kinds]
    if not sum(counts):
        return
    places = np.concatenate([np.arange(begins[kind], begins[kind + 1]) for kind in kinds])
    owners = np.repeat(np.arange(len(runs)), counts)
    rows = whole.take(pa.array(places))
    order = ORDER[table]
    values = {order.job: pa.array([run.job_id for run in runs]), order.time: pa.array([run.at for run in runs], _UTC)}
    if table == "changes":
        values["previous_job_id"] = pa.array([run.previous_id for run in runs])
    for name, array in values.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), array.take(pa.array(owners)))
    draft.append(table, rows)
    # Reading writes what waits as a part of its own.
    draft.of(table)


def _of_job(table: str, rows: pa.Table, job_id: str) -> pa.Table:
    return rows.filter(pa.compute.equal(rows[ORDER[table].job], job_id))


def _turn_back(changes: pa.Table) -> pa.Table:
    """The changes that lead back."""
    names = [
        name.replace("old_", "new_", 1) if name.startswith("old_") else name.replace("new_", "old_", 1)
        for name in changes.column_names
    ]
    turned = changes.rename_columns(names).select(changes.column_names)
    kinds = {"added": "removed", "removed": "added"}
    kind = pa.array([kinds.get(name, name) for name in changes["kind"].to_pylist()], pa.string())
    place = turned.schema.get_field_index("kind")
    return turned.set_column(place, changes.schema.field("kind"), kind).cast(changes.schema)


def _values_of(run: _Run) -> dict[str, object]:
    begun, ended = iso(run.at - timedelta(seconds=9)), iso(run.at)
    return {"job_id": run.job_id, "created_at": begun, "started_at": begun, "completed_at": ended}
