"""Takes a strategy's items out of what was received again, where other parts of it are the items than before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import pyarrow as pa

from meter_pipeline.store.lake.lake import RAW, REJECTED
from meter_pipeline.store.lake.tables import PROFILES, find_runs
from meter_pipeline.sync.items.inside import Unwrapping
from meter_pipeline.sync.items.raw import NO_TIME
from meter_pipeline.sync.loading.rejects import Reject
from meter_pipeline.sync.loading.state import LoadContext


@dataclass(frozen=True)
class Unwrapped:
    """What the loaded jobs of a strategy have after they were unwrapped again.

    Attributes:
        counts: Numbers of items by job id; jobs without items are absent.
        rejections: By job id, which is the first rejected item, and why.
    """

    counts: Mapping[str, int]
    rejections: Mapping[str, str]


def unwrap_again(context: LoadContext, path: str | None) -> Unwrapped:
    """Makes `raw` again, and what else depends on which items there are; nothing is committed.

    Args:
        context: The load.
        path: Path of the array whose elements are the items; None if the received items are.
    """
    draft = context.draft
    rows = context.ledger.jobs(context.strategy_id, ("accepted", "held"))
    times = {row.job_id: row.completed_at or NO_TIME for row in rows}
    if not draft.of("received"):
        draft.replace("received", _as_tables(draft.scan("raw", times, RAW.names)), RAW)
    unwrapping = Unwrapping(path)
    draft.replace("raw", unwrapping.tables(draft.scan("received", times, RAW.names)), RAW)
    rejections: dict[str, str] = {}
    if draft.of("rejected"):
        positions = _number_rejects(context, times, unwrapping.counts, path)
        rejected = draft.scan("rejected", times, REJECTED.names)
        draft.replace("rejected", _renumber(rejected, positions, rejections), REJECTED)
    if path is None:
        draft.drop("received")
    # Verdicts need profiles of the new items. They are made when one is needed, of jobs whose items were parsed before.
    draft.replace("profiles", _without_profiles(draft.scan("profiles", times, PROFILES.names)), PROFILES)
    return Unwrapped(unwrapping.counts, rejections)


def _without_profiles(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Rows of the same jobs whose profiles are of no form that is read, and thus made again."""
    for batch in batches:
        nothing = pa.array([b""] * batch.num_rows, PROFILES.field("profile").type)
        yield pa.table([batch["job_id"], batch["completed_at"], nothing], schema=PROFILES)


def _as_tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    return (pa.Table.from_batches([batch], RAW) for batch in batches)


def _number_rejects(
    context: LoadContext, times: Mapping[str, str], counts: Counter[str], path: str | None
) -> Mapping[str, Iterator[int]]:
    """The positions of each job's rejected items: those that it received no other item at, or after its elements."""
    if path is not None:
        return _Positions({job_id: iter(count(number)) for job_id, number in counts.items()})
    taken: defaultdict[str, set[int]] = defaultdict(set)
    own = {job_id: times[job_id] for job_id in context.draft.job_ids("rejected") if job_id in times}
    for batch in context.draft.job_batches("received", ["job_id", "item_index"], own):
        for job_id, start, end in find_runs(batch["job_id"]):
            taken[job_id].update(batch["item_index"].slice(start, end - start).to_pylist())
    return _Positions({job_id: _free(used) for job_id, used in taken.items()})


def _free(used: set[int]) -> Iterator[int]:
    return (position for position in count() if position not in used)


class _Positions(dict[str, Iterator[int]]):
    """The next positions by job; from 0 for a job without other items."""

    def __missing__(self, job_id: str) -> Iterator[int]:
        positions = self[job_id] = iter(count())
        return positions


def _renumber(
    batches: Iterable[pa.RecordBatch], positions: Mapping[str, Iterator[int]], rejections: dict[str, str]
) -> Iterator[pa.Table]:
    """Rows of `rejected` at other positions; the first one of each job is noted in `rejections`."""
    for batch in batches:
        indexes = [next(positions[job_id]) for job_id in batch["job_id"].to_pylist()]
        for job_id, start, _ in find_runs(batch["job_id"]):
            reject = Reject(indexes[start], batch["reason"][start].as_py(), b"")
            rejections.setdefault(job_id, str(reject))
        columns = [pa.array(indexes, pa.int64()) if name == "item_index" else batch[name] for name in REJECTED.names]
        yield pa.table(columns, schema=REJECTED)
