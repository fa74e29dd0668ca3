"""Checks that come with a sync: which jobs could not be read, and which ones the audit holds back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.keys import JOBS, slug_of
from meter_pipeline.defs.metadata import entries

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import JobRow

# Most characters of a reason and of an id.
_CELL, _ID = 120, 36
#: Jobs that wait with a status that Meter does not document.
ODD = "waiting with an odd status"
_RULES = {
    "no_unreadable_jobs": (
        "unreadable",
        dg.AssetCheckSeverity.ERROR,
        "Every job could be fetched and parsed; the ones that could not are asked for again by each sync.",
    ),
    "no_held_jobs": (
        "held",
        dg.AssetCheckSeverity.WARN,
        "The audit accepted every job; a held one is kept in raw and stays out of results.",
    ),
    "no_odd_statuses": (
        ODD,
        dg.AssetCheckSeverity.WARN,
        "Meter gives every job a documented status: pending, running, completed or failed. One with another, or with "
        "none, is not loaded until it is completed.",
    ),
}


def specs(keys: Iterable[dg.AssetKey]) -> list[dg.AssetCheckSpec]:
    """Both checks for each asset."""
    return [
        dg.AssetCheckSpec(name, asset=key, description=description)
        for key in keys
        for name, (_, _, description) in _RULES.items()
    ]


def results(
    selected: Iterable[dg.AssetCheckKey], problems: Sequence[JobRow], slugs: dict[str, str]
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the selected checks on what the ledger holds.

    Args:
        selected: The checks asked for.
        problems: What `found` returns.
        slugs: Slug by strategy id.
    """
    # Looked up and not searched: there are as many checks as strategies.
    by_state: dict[tuple[str, str | None], list[JobRow]] = defaultdict(list)
    for job in problems:
        by_state[job.state, None].append(job)
        if slug := slugs.get(job.strategy_id):
            by_state[job.state, slug].append(job)
    for check in sorted(selected, key=lambda key: (key.asset_key, key.name)):
        if check.name not in _RULES:
            continue
        state, severity, _ = _RULES[check.name]
        subject = None if check.asset_key == JOBS else slug_of(check.asset_key) or ""
        jobs = by_state.get((state, subject), [])
        yield dg.AssetCheckResult(
            passed=not jobs,
            asset_key=check.asset_key,
            check_name=check.name,
            severity=severity,
            description=_describe(jobs, state),
            metadata={
                state: len(jobs),
                **({"jobs": entries([(job.job_id, job.reason) for job in jobs], cell=_CELL, word=_ID)} if jobs else {}),
            },
        )


def found(ledger: Ledger) -> list[JobRow]:
    """What the checks are about: held and unreadable jobs, and those with an odd status, in a state of that name."""
    from meter_pipeline.store.ledger.rows import describe_status

    odd = ledger.odd_statuses()
    return [*ledger.problems(), *(replace(row, state=ODD, reason=describe_status(row.status)) for row in odd)]


def troubled(problems: Iterable[JobRow], slugs: dict[str, str]) -> set[str]:
    """The slugs of the strategies with held or unreadable jobs."""
    return {slugs[job.strategy_id] for job in problems if job.strategy_id in slugs}


def about(check: dg.AssetCheckKey, slugs: Set[str]) -> bool:
    """Whether the check is one of all jobs, or of one of these strategies."""
    return check.asset_key == JOBS or slug_of(check.asset_key) in slugs


def _describe(jobs: Sequence[JobRow], state: str) -> str:
    if not jobs:
        return f"no job is {state}"
    named = ", ".join(f"{job.job_id} ({job.reason})" for job in jobs[:3])
    return f"{len(jobs)} {state}: {named}" + (f" and {len(jobs) - 3} more" if len(jobs) > 3 else "")
