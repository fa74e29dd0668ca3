"""Sets apart the items that cannot be loaded by themselves, so that the rest of their job is judged and loaded.

Such an item is not JSON (`NaN`, a bad escape), not UTF-8, nested too deep or beyond the bound of a record. It goes to
the lake's table `rejected` as it was received, under its place in the job, which no row of `raw` has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from meter_pipeline.api import Job, JobBody
from meter_pipeline.api.bodies import LargeItem
from meter_pipeline.host.sizes import spell_size
from meter_pipeline.store.item_json import ItemError, parse_items
from meter_pipeline.store.lake.lake import REJECTED
from meter_pipeline.sync.items.raw import job_columns
from meter_pipeline.sync.items.texts import Items, Numbers, Texts


class Reject(NamedTuple):
    """An item that cannot be loaded: its position in the job, from 0, the reason, and the item as received."""

    position: int
    reason: str
    item: bytes

    def __str__(self) -> str:
        return f"item_index {self.position}: {self.reason}"


@dataclass(frozen=True)
class Piece:
    """Consecutive items of a job: those that can be loaded, with their positions and values, and the others."""

    items: list[bytes]
    positions: Numbers
    values: list[Any]
    rejects: list[Reject]


def take_items(texts: Texts, received: Sequence[bytes]) -> tuple[Items, Numbers, list[Reject]]:
    """Adds a job's items to `texts`; returns those that can be loaded, their positions, and the others."""
    usual: Sequence[bytes] = received
    positions = np.arange(len(received))
    rejects = _find_large(received, 0)
    if rejects:
        positions = np.delete(positions, [reject.position for reject in rejects])
        usual = [received[position] for position in positions.tolist()]
    numbers = texts.take(usual)
    problems = texts.problems
    if problems:
        is_bad = np.isin(numbers, list(problems))
        bad = zip(positions[is_bad].tolist(), numbers[is_bad].tolist(), strict=True)
        rejects += [Reject(position, _shorten(problems[number]), texts.texts[number]) for position, number in bad]
        rejects.sort()
        numbers, positions = numbers[~is_bad], positions[~is_bad]
    return Items(texts, numbers), positions, rejects


def sort_out(received: list[bytes], start: int) -> Piece:
    """Parses items of a job, the first of which is at position `start`."""
    rejects = _find_large(received, start)
    if not rejects:
        try:
            return Piece(received, np.arange(start, start + len(received)), parse_items(received), [])
        except ItemError:
            pass
    large = {reject.position for reject in rejects}
    kept, values = {}, []
    for position, item in enumerate(received, start):
        if position in large:
            continue
        try:
            values += parse_items([item])
        except ItemError as error:
            rejects.append(Reject(position, _shorten(str(error)), item))
        else:
            kept[position] = item
    return Piece(list(kept.values()), np.fromiter(kept, np.int64, len(kept)), values, sorted(rejects))


def rejected_rows(job: Job, rejects: Sequence[Reject]) -> pa.Table:
    """Rows of the lake's `rejected`."""
    *about, times = job_columns([(job, np.array([reject.position for reject in rejects], np.int64))])
    items = [reject.item for reject in rejects]
    sizes = [item.size if isinstance(item, LargeItem) else len(item) for item in items]
    reasons = [reject.reason for reject in rejects]
    values = [pa.array(reasons, pa.string()), pa.array(sizes, pa.int64()), pa.array(items, pa.binary())]
    return pa.table([*about, *values, times], schema=REJECTED)


def number_after(first: int, rejects: Sequence[Reject]) -> list[Reject]:
    """Rejects in the same order at the positions from `first` on: after items that are elements of received ones."""
    return [reject._replace(position=position) for position, reject in enumerate(rejects, first)]


def rejected_pieces(body: JobBody, items: int, number: int | None = None) -> Iterator[pa.Table]:
    """Rows of the lake's `rejected` of a job too large for memory.

    Args:
        body: The job's body.
        items: How many of its items are in memory at a time.
        number: The position of the first one where they follow the job's other items; None where each keeps its own.
    """
    start = 0
    for received in body.batches(items):
        rejects = sort_out(received, start).rejects
        start += len(received)
        if rejects and number is not None:
            rejects = number_after(number, rejects)
            number += len(rejects)
        if rejects:
            yield rejected_rows(body.job, rejects)


def _find_large(received: Sequence[bytes], start: int) -> list[Reject]:
    if LargeItem not in set(map(type, received)):
        return []
    return [
        Reject(position, f"larger than {spell_size(item.most)}, which METER_MAX_RECORD allows", item)
        for position, item in enumerate(received, start)
        if isinstance(item, LargeItem)
    ]


def _shorten(problem: str) -> str:
    """The reason without its subject, which is the row's."""
    return problem.removeprefix("an item is ")
