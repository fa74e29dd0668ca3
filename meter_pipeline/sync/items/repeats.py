"""Tells apart the items of a job that have equal keys: which of them keeps the plain key.

A promoted copy of an advert stands beside the advert for a day. The copy that resembles most items of the job is the
main one, wherever it stands; so the advert keeps its key when the copy comes, goes or moves. The answer follows from
the job alone, like all keys.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.lake.tables import find_runs
from meter_pipeline.sync.items.identity import PLAIN, Identity, canonical

#: Size of a job, in bytes of its items' texts, up to which items with equal keys are numbered by content. In a larger
#: job they are numbered as they come: it is never in memory as a whole.
MOST_BYTES = 8 * 2**20
# A text with a digit in it is an amount or a count up to this length; a longer one is a title or an address.
_AMOUNT_LENGTH = 20


def number_by_content(keys: Sequence[str], values: Sequence[Any], identity: Identity = PLAIN) -> list[str]:
    """Keys with `#2`, `#3` ... appended to repeated ones: the most usual copy keeps the plain key.

    How usual a copy is, is the number of fields, of those in which the copies differ and which are no amounts, in which
    it has the value of most items of the job. Copies that are equally usual are ordered by the contents of these
    fields, first of texts, which move less than amounts; so nothing depends on the order of the items.

    Args:
        keys: Keys of a job's items, without occurrence numbers.
        values: The items, parsed.
        identity: Says what makes a difference.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    repeated = {key: group for key, group in places.items() if len(group) > 1}
    numbered = list(keys)
    if not repeated:
        return numbered
    copies = {
        place: identity.normalize(values[place], identity.ignored) for group in repeated.values() for place in group
    }
    differing = {key: _differing([copies[place] for place in group]) for key, group in repeated.items()}
    counts = {name: Counter(_form(value, name) for value in values) for name in set().union(*differing.values())}
    most = len(values) / 2
    for key, group in repeated.items():
        names = sorted(differing[key], key=lambda name: (_is_measure(copies, group, name), name))
        kinds = [name for name in names if not _is_measure(copies, group, name)]
        usual = {place: sum(counts[name][_form(values[place], name)] > most for name in kinds) for place in group}
        ordered = sorted(group, key=lambda place: (-usual[place], [_form(copies[place], name) for name in names]))
        for occurrence, place in enumerate(ordered[1:], 2):
            numbered[place] = f"{key}#{occurrence}"
    return numbered


def whole_jobs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """Rows of `raw` with each job in one batch, and True; with False pieces of jobs that are larger than `MOST_BYTES`.

    Args:
        batches: Rows of `raw`, those of a job adjacent.
    """
    last = _LastJob("")
    for batch in batches:
        runs = list(find_runs(batch["job_id"]))
        if not runs:
            continue
        (first_id, _, first_end), (last_id, start, _) = runs[0], runs[-1]
        if first_id == last.job_id:
            head = batch.slice(0, first_end)
            yield from last.add(head)
            if len(runs) == 1:
                continue
        else:
            first_end = 0
        yield from _joined([*last.rows, batch.slice(first_end, start - first_end)])
        last = _LastJob(last_id)
        yield from last.add(batch.slice(start))
    yield from _joined(last.rows)


@dataclass
class _LastJob:
    """The job whose rows may go on in the next batch."""

    job_id: str
    rows: list[pa.RecordBatch] = field(default_factory=list)
    size: int = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Adds rows; yields those that need not be kept, since the job is large."""
        self.rows.append(batch)
        self.size += _size(batch)
        if self.size > MOST_BYTES:
            yield from ((piece, False) for piece in self.rows)
            self.rows = []


def _joined(batches: Sequence[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """Whole jobs in one batch; each by itself where some may be large."""
    filled = [batch for batch in batches if batch.num_rows]
    if len(filled) > 1:
        filled = pa.Table.from_batches(filled).combine_chunks().to_batches()
    for batch in filled:
        if _size(batch) <= MOST_BYTES:
            yield batch, True
            continue
        for _, start, end in find_runs(batch["job_id"]):
            job = batch.slice(start, end - start)
            yield job, _size(job) <= MOST_BYTES


def _size(batch: pa.RecordBatch) -> int:
    return pc.sum(pc.binary_length(batch["item"])).as_py() or 0


def _differing(copies: Sequence[Any]) -> list[str]:
    names = dict.fromkeys(name for copy in copies if type(copy) is dict for name in copy)
    return [name for name in names if len({_form(copy, name) for copy in copies}) > 1]


def _form(value: Any, name: str) -> bytes:
    return canonical(value.get(name) if type(value) is dict else None)


def _is_measure(copies: Mapping[int, Any], group: Sequence[int], name: str) -> bool:
    """Whether the values of a field move: numbers, and short texts with a number."""
    values = [copies[place].get(name) for place in group if type(copies[place]) is dict]
    return any(
        type(value) in (int, float)
        or (type(value) is str and len(value) <= _AMOUNT_LENGTH and any(map(str.isdigit, value)))
        for value in values
    )
