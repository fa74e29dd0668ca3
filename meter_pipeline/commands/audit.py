"""`audit`: shows the jobs that the audit holds or doubts, and judges loaded jobs again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import parse_time, print_json, print_line, print_stderr, print_table
from meter_pipeline.commands.lookup import find_known_strategies
from meter_pipeline.commands.options import Json
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store
from meter_pipeline.text.counts import count_of

if TYPE_CHECKING:
    from meter_pipeline.connect import Store
    from meter_pipeline.store.ledger.findings import VerdictCount
    from meter_pipeline.store.ledger.rows import FindingRow, JobRow, StrategyRow
    from meter_pipeline.sync import SecondAudit
    from meter_pipeline.sync.loading.likeness import Findings, HeldGroup

# Rows of a table on a screen; `--json` has them all.
_MOST_ROWS = 50


def audit(
    strategy: Annotated[
        str | None, typer.Argument(help="Strategy id, slug or name; all without.", autocompletion=complete.strategies)
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Judge loaded jobs again with the rules of today, and show what would change."),
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="With --again: hold and accept jobs as the new verdicts say.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show which jobs the audit holds or doubts, and why: the field, what was expected, what was seen.

    With --again, judge the loaded jobs again, in order of time and without the API. Jobs that you released, held or
    dropped stay as you decided.
    """
    if apply and not again:
        raise typer.BadParameter("--apply needs --again: `meter-pipeline audit --again` shows what it would change")
    settings = Settings.from_env()
    config = load_config(settings.config)
    with open_store(settings) as store:
        rows = find_known_strategies(store.ledger, strategy)
        if again:
            _audit_again(store, rows, config, apply=apply, as_json=as_json)
        else:
            _show_findings(store, None if strategy is None else rows, as_json=as_json)


# -- findings


def _show_findings(store: Store, chosen: Sequence[StrategyRow] | None, *, as_json: bool) -> None:
    from meter_pipeline.store.ledger.findings import count_verdicts, find_flagged, read_findings
    from meter_pipeline.sync.loading.likeness import group_alike

    ids = None if chosen is None else [row.strategy_id for row in chosen]
    slugs = {row.strategy_id: row.slug for row in store.ledger.strategies(ids)}
    held = [job for job in store.ledger.jobs(states=("held",)) if job.strategy_id in slugs]
    flagged = find_flagged(store.ledger, ids)
    findings = read_findings(store.ledger, [job.job_id for job in (*held, *flagged)])
    groups = group_alike(held, findings)
    verdicts = [own for own in count_verdicts(store.ledger) if own.strategy_id in slugs]
    if as_json:
        documents = [
            {"strategy": slugs[job.strategy_id], **_to_document(job, findings)}
            for job in (*(job for group in groups for job in group.jobs), *flagged)
        ]
        counts = [{"strategy": slugs[own.strategy_id], "verdict": own.verdict, "jobs": own.jobs} for own in verdicts]
        print_json({"jobs": documents, "verdicts": counts})
        return
    rows = [_held_row(group, slugs) for group in groups] + [_flagged_row(job, slugs, findings) for job in flagged]
    if rows:
        columns = ("verdict", "strategy", "job", "scraped", "items", "why")
        print_table(columns, rows, prose=("why",), max_rows=_MOST_ROWS)
        _print_tests([*(group.first for group in groups), *flagged], findings, chosen)
    _print_counts(verdicts)
    if held:
        print_line(
            "`meter-pipeline release JOB` accepts a held job (--all-like JOB: all that are held for the same), "
            "`meter-pipeline drop JOB` throws it away"
        )


def _held_row(group: HeldGroup, slugs: dict[str, str]) -> tuple[object, ...]:
    job = group.first
    return "held", slugs[job.strategy_id], job.job_id, parse_time(job.completed_at), job.items, group.summary


def _flagged_row(job: JobRow, slugs: dict[str, str], findings: Findings) -> tuple[object, ...]:
    messages = "; ".join(finding.message for finding in findings.get(job.job_id, ()))
    return "flagged", slugs[job.strategy_id], job.job_id, parse_time(job.completed_at), job.items, messages


def _print_tests(jobs: Iterable[JobRow], findings: Findings, chosen: Sequence[StrategyRow] | None) -> None:
    """Prints the findings one by one, where the user asks about one strategy."""
    found = [finding for job in jobs for finding in findings.get(job.job_id, ())]
    if chosen is None or not found:
        return
    columns = ("job", "test", "field", "expected", "seen", "outcome", "samples")
    rows = [
        (row.job_id, row.test, row.field, row.expected, f"{row.seen:.4g}", row.outcome, _join_samples(row))
        for row in found
    ]
    print_line()
    print_table(columns, rows, prose=("samples",), max_rows=_MOST_ROWS)


def _join_samples(finding: FindingRow) -> str:
    import json

    return " and ".join(json.loads(finding.samples))


def _print_counts(verdicts: Iterable[VerdictCount]) -> None:
    totals: dict[str, int] = {}
    for own in verdicts:
        totals[own.verdict] = totals.get(own.verdict, 0) + own.jobs
    if not totals:
        print_line("no job is loaded yet: run `meter-pipeline sync`")
        return
    named = [(totals.get("held", 0), "held"), (totals.get("flagged", 0), "accepted with a doubt")]
    named += [(totals.get("accepted", 0), "accepted"), (totals.get("learning", 0), "accepted while the audit learned")]
    parts = [f"{jobs:,} {verdict}" for jobs, verdict in named if jobs]
    print_line(f"{count_of(sum(totals.values()), 'job')}: {', '.join(parts)}")


def _to_document(job: JobRow, findings: Findings) -> dict[str, Any]:
    import json

    found = [
        {
            name: json.loads(value) if name == "samples" else value
            for name, value in asdict(finding).items()
            if name not in ("job_id", "strategy_id", "position")
        }
        for finding in findings.get(job.job_id, ())
    ]
    verdict = "held" if job.state == "held" else "flagged"
    about = {"job_id": job.job_id, "verdict": verdict, "reason": job.reason, "url": job.url}
    return {**about, "completed_at": job.completed_at, "items": job.items, "findings": found}


# -- verdicts once more


def _audit_again(store: Store, strategies: Sequence[StrategyRow], config: Any, *, apply: bool, as_json: bool) -> None:
    from meter_pipeline.sync.loading.by_hand import audit_by_hand

    ids = [row.strategy_id for row in strategies]
    audits, problems = audit_by_hand(store.ledger, store.lake, ids, config, apply=apply)
    if as_json:
        print_json(
            {
                "strategies": [
                    {
                        "strategy": audit.slug,
                        "jobs": audit.jobs,
                        "changes": [asdict(change) for change in audit.changes],
                        "restated": audit.restated,
                        "applied": audit.is_applied,
                    }
                    for audit in audits
                ],
                "problems": problems,
            }
        )
    else:
        _print_audits(audits, apply=apply)
        for problem in problems:
            print_stderr(problem)
    if problems:
        raise typer.Exit(1)


def _print_audits(audits: Sequence[SecondAudit], *, apply: bool) -> None:
    changes = [
        (
            audit.slug,
            change.job_id,
            parse_time(change.completed_at),
            change.items,
            change.now,
            change.then,
            change.reason,
        )
        for audit in audits
        for change in audit.changes
    ]
    judged, restated = sum(audit.jobs for audit in audits), sum(audit.restated for audit in audits)
    if changes:
        now, then = ("before", "now") if apply else ("now", "then")
        columns = ("strategy", "job", "scraped", "items", now, then, "reason")
        print_table(columns, changes, prose=("reason",), max_rows=_MOST_ROWS)
    if restated:
        print_line(f"{count_of(restated, 'more job')} with the same outcome, and other findings or a first verdict")
    held, accepted = sum(audit.held for audit in audits), sum(audit.accepted for audit in audits)
    moves = f"{held:,} to be held, {accepted:,} to be accepted"
    if not changes and not restated:
        print_line(f"{count_of(judged, 'job')} judged again: no verdict changes")
    elif apply:
        moves = f"{held:,} held, {accepted:,} accepted"
        print_line(f"{count_of(judged, 'job')} judged again, {moves}; publish the warehouse to see it")
    else:
        print_line(f"{count_of(judged, 'job')} judged again, {moves}; nothing has changed yet: add --apply")
