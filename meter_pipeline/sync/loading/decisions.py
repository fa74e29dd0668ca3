"""What a user decides about jobs: the jobs are found, and their strategies claimed, before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.rebuild import rebuild_rows
from meter_pipeline.sync.loading.state import LoadContext, open_context, read_state

Result = TypeVar("Result")


class DecisionError(MeterPipelineError):
    """What a user decided about a job cannot be done; the message is one line with the reason."""


@dataclass(frozen=True)
class Decision:
    """A kind of decision.

    Attributes:
        done: What is done to a job, as in "can be released".
        states: States of the jobs that it can be about.
    """

    done: str
    states: tuple[str, ...]


def find_jobs(ledger: Ledger, job_ids: Iterable[str], decision: Decision) -> list[JobRow]:
    """The rows of jobs, by strategy.

    Raises:
        DecisionError: A job is not known, or in a state that the decision cannot be about.
    """
    wanted = list(dict.fromkeys(job_ids))
    rows = {row.job_id: row for row in ledger.jobs(ids=wanted)}
    for job_id in wanted:
        if job_id not in rows:
            raise DecisionError(f"no job {job_id}: see `meter-pipeline jobs list`")
        if (state := rows[job_id].state) not in decision.states:
            *others, last = decision.states
            states = f"{', '.join(others)} and {last}" if others else last
            raise DecisionError(f"job {job_id} is {state}: only {states} jobs can be {decision.done}")
    return list(rows.values())


def decide(
    ledger: Ledger,
    lake: Lake,
    job_ids: Sequence[str],
    decision: Decision,
    apply: Callable[[LoadContext, Claim, list[JobRow]], Result],
    config: Config | None = None,
    limits: Limits = Limits(),
) -> list[Result]:
    """Applies a decision to the jobs of each strategy, while the strategies are claimed.

    Args:
        ledger: The ledger.
        lake: The lake.
        job_ids: The jobs.
        decision: What is decided.
        apply: Changes one strategy's jobs in one commit: context, claim, and the jobs as the ledger has them.
        config: The contents of `meter.yaml`.
        limits: How much is kept in memory.

    Returns:
        What `apply` returned, strategy by strategy.

    Raises:
        DecisionError: A job is not known or in another state, or its strategy is being loaded by another process.
        StoreError: The ledger or the lake cannot be used.
    """
    rows = find_jobs(ledger, job_ids, decision)
    groups = [(id_, [row.job_id for row in group]) for id_, group in groupby(rows, key=lambda row: row.strategy_id)]
    results = []
    with ExitStack() as claimed:
        claims = []
        for strategy_id, _ in groups:
            claims.append(claim_strategy(ledger, strategy_id))
            claimed.callback(claims[-1].release)
        for (strategy_id, ids), claim in zip(groups, claims, strict=True):
            context = open_current(lake, ledger, strategy_id, config or Config(), limits)
            # Read again: what was committed before the state that this is built on would not be noticed.
            results.append(apply(context, claim, find_jobs(ledger, ids, decision)))
    return results


def claim_strategy(ledger: Ledger, strategy_id: str) -> Claim:
    """The claim of a strategy, which the caller releases.

    Raises:
        DecisionError: The strategy is not known, or is being loaded by another process.
    """
    strategy = ledger.strategy(strategy_id)
    if strategy is None:
        raise DecisionError(f"the strategy {strategy_id} is not known: run `meter-pipeline sync`")
    taken, held = ledger.claims.try_claims([strategy.slug])
    if held:
        holder = held[strategy.slug].describe()
        raise DecisionError(f"{strategy.slug} is being loaded by {holder}: try again when that has ended")
    return taken[strategy.slug]


def open_current(lake: Lake, ledger: Ledger, strategy_id: str, config: Config, limits: Limits) -> LoadContext:
    """The context of a strategy whose rows are made with the item rules that `meter.yaml` has now."""
    context = open_context(lake, ledger, strategy_id, config, limits)
    state = read_state(context)
    if not state.is_outdated:
        return context
    rebuild_rows(context, state)
    return open_context(lake, ledger, strategy_id, config, limits)
