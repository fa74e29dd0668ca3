"""Checks of the jobs after a sync: unreadable, held and failing ones, and unknown statuses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.checks.verdicts import Verdicts, read_verdicts
from meter_pipeline.defs.keys import ITEMS, JOBS, find_slug
from meter_pipeline.defs.metadata.entries import Metadata, list_rows

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import JobRow

# Maximum characters of a reason and of an id.
_CELL, _ID = 120, 36
#: State of jobs that the audit or a person holds.
HELD = "held"
#: State, in these checks alone, of jobs with a status that Meter does not document.
ODD = "waiting with an odd status"
#: State, in these checks alone, of failed jobs that no later job with items followed on the same page.
FAILING = "failing at Meter"
_RULES = {
    "no_unreadable_jobs": (
        "unreadable",
        dg.AssetCheckSeverity.ERROR,
        "Every job could be fetched and parsed. Each sync tries the unreadable ones again.",
    ),
    "no_held_jobs": (
        HELD,
        dg.AssetCheckSeverity.WARN,
        "No job is held. A held job is kept in raw and stays out of results, changes and versions until somebody "
        "releases or drops it. The findings have what was expected and seen. The audit learns from the first three "
        "jobs of each page.",
    ),
    "no_failed_jobs": (
        FAILING,
        dg.AssetCheckSeverity.WARN,
        "The latest job of every page came through. A page whose latest jobs failed at Meter keeps its last results.",
    ),
    "no_odd_statuses": (
        ODD,
        dg.AssetCheckSeverity.WARN,
        "Every job has a status that Meter documents: pending, running, completed or failed. A job with another "
        "status, or with none, is not loaded until it is completed.",
    ),
}


def make_specs(keys: Iterable[dg.AssetKey]) -> list[dg.AssetCheckSpec]:
    """Returns these checks for each asset."""
    return [
        dg.AssetCheckSpec(name, asset=key, description=description)
        for key in keys
        for name, (_, _, description) in _RULES.items()
    ]


def evaluate(
    selected: Iterable[dg.AssetCheckKey],
    problems: Sequence[JobRow],
    slugs: dict[str, str],
    verdicts: Verdicts = Verdicts(),
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the selected checks on the jobs in the ledger.

    Args:
        selected: The checks to evaluate; those of other modules are ignored.
        problems: The jobs from `find_problem_jobs`.
        slugs: Slug by strategy id.
        verdicts: What the audit knows about the jobs of these checks' strategies.
    """
    # A dict, since each of the thousands of strategies has checks that look up its jobs.
    by_state: dict[tuple[str, str | None], list[JobRow]] = defaultdict(list)
    for job in problems:
        by_state[job.state, None].append(job)
        if slug := slugs.get(job.strategy_id):
            by_state[job.state, slug].append(job)
    for check in sorted(selected, key=lambda key: (key.asset_key, key.name)):
        if check.name not in _RULES:
            continue
        state, severity, _ = _RULES[check.name]
        subject = None if check.asset_key == JOBS else find_slug(check.asset_key) or ""
        jobs = by_state.get((state, subject), [])
        is_held = state == HELD
        yield dg.AssetCheckResult(
            passed=not jobs,
            asset_key=check.asset_key,
            check_name=check.name,
            severity=severity,
            description=verdicts.describe(jobs, subject) if is_held else _describe(jobs, state),
            metadata=verdicts.list_facts(jobs, subject) if is_held else _list_facts(jobs, state),
        )


def _list_facts(jobs: Sequence[JobRow], state: str) -> Metadata:
    rows = [(job.job_id, job.reason) for job in jobs]
    return {state: len(jobs), **({"jobs": list_rows(rows, cell=_CELL, word=_ID)} if jobs else {})}


def find_problem_jobs(ledger: Ledger) -> list[JobRow]:
    """Returns held and unreadable jobs, and those with the states `FAILING` and `ODD` of these checks."""
    from meter_pipeline.store.ledger.rows import describe_status
    from meter_pipeline.store.ledger.troubles import find_failing

    odd = ledger.odd_statuses()
    failing = (replace(row, state=FAILING, reason=row.error) for row in find_failing(ledger))
    return [*ledger.problems(), *failing, *(replace(row, state=ODD, reason=describe_status(row.status)) for row in odd)]


def read_audit(
    ledger: Ledger, selected: Iterable[dg.AssetCheckKey], problems: Iterable[JobRow], slugs: dict[str, str]
) -> Verdicts:
    """Reads what the audit knows about the strategies whose held jobs are checked."""
    checked = {find_slug(check.asset_key) for check in selected if _RULES.get(check.name, ("",))[0] == HELD}
    own = {strategy_id: slug for strategy_id, slug in slugs.items() if slug in checked}
    return read_verdicts(ledger, [job for job in problems if job.state == HELD], own) if checked else Verdicts()


def find_troubled_slugs(problems: Iterable[JobRow], slugs: dict[str, str]) -> set[str]:
    """Returns the slugs of the strategies that have problem jobs."""
    return {slugs[job.strategy_id] for job in problems if job.strategy_id in slugs}


def concerns(check: dg.AssetCheckKey, slugs: Set[str]) -> bool:
    """Returns whether the check is about all jobs or about one of these strategies."""
    return check.asset_key in (JOBS, ITEMS) or find_slug(check.asset_key) in slugs


def _describe(jobs: Sequence[JobRow], state: str) -> str:
    if not jobs:
        return f"no job is {state}"
    named = ", ".join(f"{job.job_id} ({job.reason})" for job in jobs[:3])
    return f"{len(jobs)} {state}: {named}" + (f" and {len(jobs) - 3} more" if len(jobs) > 3 else "")
