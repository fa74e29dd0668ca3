"""Meter's own verdict on consecutive jobs, beside ours: does it call the same pairs unchanged?

A verdict costs a request for each pair, so a run asks for the newest ones and the next run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.api import (
    Comparison,
    MeterAuthError,
    MeterBadRequest,
    MeterClient,
    MeterConnectionError,
    MeterError,
    MeterNotFound,
)
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.comparisons import Pair, Verdicts
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.times import now

LIMIT = 100
_WORKERS = 8
# So many pairs in a row without an answer: the API is gone.
_SILENCE = 3
_JOB, _HASH = "_meter_job_id", "_meter_item_hash"


@dataclass(frozen=True)
class Disagreement:
    """A pair of jobs that one side calls the same and the other does not."""

    strategy: str
    job_id: str
    previous_job_id: str
    meter_says: str
    items_say: str


@dataclass
class CompareReport:
    """What a run of comparisons did.

    Attributes:
        compared: Pairs that have a verdict now.
        agreed: Of these, how many verdicts are ours, too.
        refused: Pairs that Meter cannot compare (a job is gone, say); they are not asked for again.
        left: Pairs that wait for the next run.
        problems: Pairs that could not be asked for, one line each.
        stopped: Why it ended early, `None` when it did not.
    """

    compared: int = 0
    agreed: int = 0
    refused: int = 0
    left: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    stopped: str | None = None

    @property
    def exit_code(self) -> int:
        """0 when every pair that was asked for has a verdict, else 1."""
        return 1 if self.problems or self.stopped else 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "exit_code": self.exit_code}


def compare(client: MeterClient, ledger: Ledger, lake: Lake, *, limit: int = LIMIT) -> CompareReport:
    """Asks Meter about consecutive accepted jobs of a target that it was not asked about, newest first.

    Args:
        client: The API.
        ledger: Says which jobs are consecutive, and keeps the verdicts.
        lake: Has the hashes of the jobs' items, which say whether they are the same to us.
        limit: Most pairs, each of them a request.

    Raises:
        MeterAuthError: The key is not accepted.
        StoreError: The ledger or the lake cannot be read.
    """
    verdicts, report = Verdicts(ledger), CompareReport()
    pairs, left = verdicts.due(limit)
    report.left = left
    if not pairs:
        return report
    same = _same(lake, ledger, pairs)
    slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    rows = []
    for pair, answer in _ask(client, pairs, report):
        if isinstance(answer, (MeterNotFound, MeterBadRequest)):
            report.refused += 1
            answer = Comparison(pair.job_id, pair.previous_job_id)
        elif isinstance(answer, MeterError):
            report.problems.append(f"{slugs[pair.strategy_id]}: job {pair.job_id} cannot be compared: {answer}")
            continue
        else:
            report.compared += 1
        match = answer.content_hash_match
        agrees = None if match is None else match == same[pair]
        report.agreed += agrees is True
        if agrees is False:
            told = ("the same" if match else "changed", "the same" if same[pair] else "changed")
            report.disagreements.append(Disagreement(slugs[pair.strategy_id], pair.job_id, pair.previous_job_id, *told))
        rows.append(_row(pair, answer, agrees))
    verdicts.record(rows)
    report.left -= len(rows)
    return report


def _ask(
    client: MeterClient, pairs: Sequence[Pair], report: CompareReport
) -> Iterator[tuple[Pair, Comparison | MeterError]]:
    def ask(pair: Pair) -> Comparison | MeterError:
        try:
            return client.compare_jobs(pair.job_id, pair.previous_job_id)
        except MeterAuthError:
            raise
        except MeterError as error:
            return error

    silent = 0
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="meter-compare") as pool:
        waiting = iter(pairs)
        while some := list(islice(waiting, _WORKERS)):
            for pair, answer in zip(some, pool.map(ask, some), strict=True):
                silent = silent + 1 if isinstance(answer, MeterConnectionError) else 0
                yield pair, answer
            if silent >= _SILENCE:
                report.stopped = f"the API does not answer: {answer}"
                return


def _row(pair: Pair, answer: Comparison, agrees: bool | None) -> dict[str, Any]:
    return {
        "job_id": pair.job_id,
        "strategy_id": pair.strategy_id,
        "previous_job_id": pair.previous_job_id,
        "content_hash_match": answer.content_hash_match,
        "structural_match": answer.structural_match,
        "semantic_similarity": answer.semantic_similarity,
        "item_count_difference": answer.item_count_diff,
        "structural_changes": json.dumps(answer.structural_changes, ensure_ascii=False),
        "compared_at": now(),
        "agrees": agrees,
    }


def _same(lake: Lake, ledger: Ledger, pairs: Sequence[Pair]) -> dict[Pair, bool]:
    """Whether the jobs of each pair have the same items, in whatever order."""
    slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    found = {}
    for strategy_id in {pair.strategy_id for pair in pairs}:
        own = [pair for pair in pairs if pair.strategy_id == strategy_id]
        ids = {id_ for pair in own for id_ in (pair.job_id, pair.previous_job_id)}
        hashes = _hashes(lake.read("results", slugs[strategy_id], [_JOB, _HASH], ids))
        for pair in own:
            found[pair] = hashes.get(pair.job_id, _NONE).equals(hashes.get(pair.previous_job_id, _NONE))
    return found


_NONE = pa.array([], pa.string())


def _hashes(rows: pa.Table) -> dict[str, pa.Array]:
    """The sorted hashes of each job's items."""
    ordered = rows.sort_by([(_JOB, "ascending"), (_HASH, "ascending")])
    counts = pc.value_counts(ordered[_JOB])
    found, start = {}, 0
    for count in counts.to_pylist():
        piece = ordered[_HASH].slice(start, count["counts"])
        found[count["values"]] = piece.combine_chunks().cast(pa.string())
        start += count["counts"]
    return found
