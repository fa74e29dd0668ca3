"""Compares consecutive jobs by Meter's verdict and by our item hashes: do both call the same pairs unchanged?

A verdict costs one request a pair, so each run asks about the newest pairs and the next run continues with older ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import takewhile
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
from meter_pipeline.sync.ahead import run_ahead
from meter_pipeline.sync.breaker import CircuitBreaker, describe_outage

LIMIT = 100
_WORKERS = 8
_JOB, _HASH = "_meter_job_id", "_meter_item_hash"


@dataclass(frozen=True)
class Disagreement:
    """A pair of jobs that one side calls the same and the other calls changed."""

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
        agreed: How many of these verdicts agree with our item hashes.
        refused: Pairs that Meter cannot compare, such as a pair with a deleted job; later runs leave them out.
        left: Pairs that wait for the next run.
        disagreements: Pairs on which Meter and our item hashes differ.
        problems: Pairs whose request failed, one line each.
        stopped: Why the run ended early; None if it did not.
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
        """0 if every requested pair has a verdict or was refused, else 1."""
        return 1 if self.problems or self.stopped else 0

    def as_dict(self) -> dict[str, Any]:
        """The report as a dict that JSON can represent."""
        return {**asdict(self), "exit_code": self.exit_code}


def compare(client: MeterClient, ledger: Ledger, lake: Lake, *, limit: int = LIMIT) -> CompareReport:
    """Requests Meter's verdict on pairs of consecutive accepted jobs of a target that have none yet, newest first.

    Args:
        client: The API.
        ledger: Knows which jobs are consecutive, and stores the verdicts.
        lake: Holds the hashes of the jobs' items; equal hashes make two jobs the same for us.
        limit: Most pairs; each one costs a request.

    Raises:
        MeterAuthError: The key is not accepted.
        StoreError: The ledger or the lake cannot be read.
    """
    verdicts, report = Verdicts(ledger), CompareReport()
    pairs, left = verdicts.due(limit)
    report.left = left
    if not pairs:
        return report
    try:
        # Before the workers start: each of them would find out in turn, with all its retries, that the API is gone.
        client.probe()
    except MeterConnectionError as error:
        report.stopped = f"the API does not answer: {error}"
        return report
    same = _have_same_items(lake, ledger, pairs)
    slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    rows = []
    for pair, answer in _request_verdicts(client, pairs, report):
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
            disagreement = Disagreement(
                slugs[pair.strategy_id],
                pair.job_id,
                pair.previous_job_id,
                meter_says="the same" if match else "changed",
                items_say="the same" if same[pair] else "changed",
            )
            report.disagreements.append(disagreement)
        rows.append(_row(pair, answer, agrees))
    verdicts.record(rows)
    report.left -= len(rows)
    return report


def _request_verdicts(
    client: MeterClient, pairs: Sequence[Pair], report: CompareReport
) -> Iterator[tuple[Pair, Comparison | MeterError]]:
    """Each pair with its verdict or the error that came instead; ends once the API is gone."""

    def request(pair: Pair) -> Comparison | MeterError:
        try:
            return client.compare_jobs(pair.job_id, pair.previous_job_id)
        except MeterAuthError:
            raise
        except MeterError as error:
            return error

    breaker = CircuitBreaker(client.schedules)
    waiting = takewhile(lambda _: not breaker.is_open, pairs)
    for pair, answer in run_ahead(request, waiting, _WORKERS, name="meter-compare"):
        if breaker.record(answer):
            report.stopped = describe_outage(answer)
        yield pair, answer


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


def _have_same_items(lake: Lake, ledger: Ledger, pairs: Sequence[Pair]) -> dict[Pair, bool]:
    """Whether both jobs of each pair have the same items, in any order; rejected ones are compared as received."""
    slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    parts = ledger.parts(sorted({pair.strategy_id for pair in pairs}))
    same = {}
    for strategy_id in {pair.strategy_id for pair in pairs}:
        own = [pair for pair in pairs if pair.strategy_id == strategy_id]
        ids = {id_ for pair in own for id_ in (pair.job_id, pair.previous_job_id)}
        stored = lake.part_set(slugs[strategy_id], parts[strategy_id])
        rejected = stored.read("rejected", ["job_id", "item"], ids)
        digests = [blake2b(item).hexdigest() for item in rejected["item"].to_pylist()]
        others = pa.table({_JOB: rejected["job_id"], _HASH: pa.array(digests, pa.string())})
        hashes = _hashes_by_job(pa.concat_tables([stored.read("results", [_JOB, _HASH], ids), others]))
        for pair in own:
            same[pair] = hashes.get(pair.job_id, _NO_HASHES).equals(hashes.get(pair.previous_job_id, _NO_HASHES))
    return same


_NO_HASHES = pa.array([], pa.string())


def _hashes_by_job(rows: pa.Table) -> dict[str, pa.Array]:
    """The sorted item hashes of each job, by job id."""
    ordered = rows.sort_by([(_JOB, "ascending"), (_HASH, "ascending")])
    counts = pc.value_counts(ordered[_JOB])
    hashes, start = {}, 0
    for count in counts.to_pylist():
        piece = ordered[_HASH].slice(start, count["counts"])
        hashes[count["values"]] = piece.combine_chunks().cast(pa.string())
        start += count["counts"]
    return hashes
