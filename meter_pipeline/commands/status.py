"""`status`: shows the state of the jobs and the last sync."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from meter_pipeline.commands.console import parse_time, print_json, print_line, print_table, to_document
from meter_pipeline.commands.options import Json
from meter_pipeline.commands.suggestions import find_suggestions
from meter_pipeline.commands.tables import format_cell
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_ledger
from meter_pipeline.text.counts import count_of

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.claim_rows import ClaimRow
    from meter_pipeline.store.ledger.findings import Doubt
    from meter_pipeline.store.ledger.rows import Counts, FindingRow, StrategyRow
    from meter_pipeline.store.ledger.troubles import Silence
    from meter_pipeline.sync.loading.likeness import HeldGroup

# Strategies whose jobs are printed by strategy; of more, the sums are printed.
_MAX_STRATEGIES = 50
# Gaps in the runs of schedules that are printed, the latest first.
_MAX_GAPS = 5
# Groups of jobs that are held for the same and that are printed, the latest first.
_MAX_HELD = 10
# Flagged jobs that are printed, the latest first.
_MAX_DOUBTS = 5
# Jobs that are printed because they could not be fetched or read.
_MAX_UNREADABLE = 10
# Strategies that are printed because Meter has them no more.
_MAX_DELETED = 5
# Jobs that are printed because some of their items were rejected, the latest first.
_MAX_REJECTING = 5
# Jobs that are printed because Meter does not document their status.
_MAX_UNKNOWN_STATUSES = 10
# Jobs that are printed because the latest scrapes of their page failed at Meter.
_MAX_FAILING = 10
# Strategies that are printed because their items have no key, or one that no longer holds.
_MAX_KEYS = 10
# Strategies that are printed because a field always changes, and because their items wrap a list.
_MAX_SUGGESTED = 5


def status(as_json: Json = False) -> None:
    """Show jobs by state and strategy, why jobs are held, failed or unreadable, strategies whose items have no key,
    fields that always change, items that wrap a list, late schedules, runs that were missing in the last 30 days, and
    the last sync.
    """
    from meter_pipeline.store.ledger.findings import find_doubts, read_findings
    from meter_pipeline.store.ledger.rows import describe_status
    from meter_pipeline.store.ledger.troubles import find_failing, find_gaps, find_rejecting, find_silences
    from meter_pipeline.sync.loading.likeness import group_alike
    from meter_pipeline.sync.report import IGNORED, Problem

    settings = Settings.from_env()
    with open_ledger(settings) as ledger:
        counts, last, problems, gaps = ledger.counts(), ledger.last_sync(), ledger.problems(), find_gaps(ledger)
        failing, silences, doubts = find_failing(ledger), find_silences(ledger), find_doubts(ledger)
        waiting = [job for job in problems if job.state == "held"]
        findings = read_findings(ledger, [job.job_id for job in waiting])
        held = group_alike(waiting, findings)
        rejecting = find_rejecting(ledger)
        odd, unended, claims = ledger.odd_statuses(), ledger.unended_sync(), ledger.claims.read()
        strategies = ledger.strategies()
        suggested = find_suggestions(settings, ledger, strategies)
    slugs = {strategy.strategy_id: strategy.slug for strategy in strategies}
    deleted = [strategy for strategy in strategies if strategy.deleted_at is not None]
    keys = _find_key_troubles(strategy for strategy in strategies if strategy.deleted_at is None)
    if as_json:
        print_json(
            {
                "data_dir": settings.data_dir,
                "jobs": [{"strategy": c.slug, "state": c.state, "jobs": c.jobs, "items": c.items} for c in counts],
                "problems": [
                    {"job_id": p.job_id, "strategy": slugs.get(p.strategy_id), "state": p.state, "reason": p.reason}
                    for p in problems
                ],
                "flagged": [
                    {"job_id": d.job_id, "strategy": slugs.get(d.strategy_id), "finding": d.message} for d in doubts
                ],
                "rejected": [
                    {
                        "job_id": j.job_id,
                        "strategy": slugs.get(j.strategy_id),
                        "items": j.rejected,
                        "first": j.rejection,
                    }
                    for j in rejecting
                ],
                "odd_statuses": [
                    {"job_id": j.job_id, "strategy": slugs.get(j.strategy_id), "status": j.status} for j in odd
                ],
                "deleted": [{"strategy": strategy.slug, "deleted_at": strategy.deleted_at} for strategy in deleted],
                "keys": [{"strategy": slug, "finding": message} for slug, message in keys],
                "noise": [{"strategy": slug, "finding": message} for slug, message in suggested.noise.items()],
                "wrappers": [{"strategy": slug, "finding": message} for slug, message in suggested.wrappers.items()],
                "gaps": [
                    {
                        "schedule_id": g.schedule_id,
                        "strategy": g.slug,
                        "since": g.since,
                        "until": g.until,
                        "missed_runs": g.missed,
                    }
                    for g in gaps
                ],
                "claims": [{**to_document(claim), "has_lapsed": has_lapsed} for claim, has_lapsed in claims],
                "failing": [
                    {"job_id": j.job_id, "strategy": slugs.get(j.strategy_id), "error": j.error} for j in failing
                ],
                "late": [_to_document(silence) for silence in silences if not silence.is_paused],
                "paused": [_to_document(silence) for silence in silences if silence.is_paused],
                "last_sync": last,
                "unended_sync": unended,
            }
        )
        return
    for line in origin.lines(settings.data_dir):
        print_line(line)
    _print_judged(held, findings, doubts, slugs)
    _print_counts(counts)
    _print_first(
        (
            f"{slugs.get(problem.strategy_id, '?')}: job {problem.job_id} is {problem.state}: {problem.reason}"
            for problem in sorted(problems, key=lambda job: job.created_at or "", reverse=True)
            if problem.state != "held"
        ),
        _MAX_UNREADABLE,
        "more jobs that are unreadable: see `meter-pipeline jobs list --state unreadable`",
    )
    _print_first(
        (
            f"{slugs.get(job.strategy_id, '?')}: job {job.job_id} was accepted without "
            f"{count_of(job.rejected or 0, 'rejected item')}: {job.rejection}"
            for job in rejecting
        ),
        _MAX_REJECTING,
        "more jobs with rejected items: see meter.rejected_items",
    )
    _print_first(
        (f"{slugs.get(job.strategy_id, '?')}: job {job.job_id} has {describe_status(job.status)}" for job in odd),
        _MAX_UNKNOWN_STATUSES,
        "more jobs with such a status: see --json",
    )
    for found, most, more in (
        (keys, _MAX_KEYS, "more strategies without a key that holds: see `meter-pipeline keys`"),
        (suggested.noise.items(), _MAX_SUGGESTED, "more strategies with fields that always change: see --json"),
        (suggested.wrappers.items(), _MAX_SUGGESTED, "more strategies with such items: see --json"),
    ):
        _print_first((f"{slug}: {message}" for slug, message in found), most, more)
    if suggested.unread is not None:
        print_line(suggested.unread)
    for job in failing[-_MAX_FAILING:]:
        print_line(
            f"{slugs.get(job.strategy_id, '?')}: job {job.job_id} failed at Meter: {job.error or 'no reason given'}"
        )
    if len(failing) > _MAX_FAILING:
        print_line(f"{len(failing) - _MAX_FAILING:,} more jobs that failed at Meter: see --json")
    _print_first(
        (
            f"{strategy.slug}: deleted at Meter before {format_cell(parse_time(strategy.deleted_at))}; "
            "the data that was loaded stays"
            for strategy in deleted
        ),
        _MAX_DELETED,
        "more strategies that were deleted: see meter.strategies",
    )
    _print_first(
        (
            f"{silence.slug}: schedule {silence.schedule_id} {silence.describe(format_cell(parse_time(silence.since)))}"
            for silence in silences
        ),
        _MAX_GAPS,
        "more schedules that are late or paused: see --json",
    )
    for gap in gaps[:_MAX_GAPS]:
        print_line(
            f"{gap.slug}: schedule {gap.schedule_id} has no job between {format_cell(parse_time(gap.since))} and "
            f"{format_cell(parse_time(gap.until))}, about {count_of(gap.missed, 'run')}"
        )
    if len(gaps) > _MAX_GAPS:
        print_line(f"{len(gaps) - _MAX_GAPS} earlier gaps: see --json")
    for claim, has_lapsed in claims:
        print_line(f"{claim.name}: {_describe_claim(claim, has_lapsed=has_lapsed)}")
    if unended:
        print_line(f"a sync that began at {unended} has not ended: it is still running, or was killed")
    if not last:
        print_line("never synced")
        return
    # The report of a sync of an older version has no number of loaded jobs under this name.
    jobs = sum(strategy.get("loaded", 0) for strategy in last.get("strategies", {}).values())
    loaded = f"{count_of(jobs, 'job')} and {count_of(last.get('items', 0), 'item')} loaded"
    problem_count = len(last.get("problems", ()))
    requests = count_of(last.get("requests", 0), "request")
    when = format_cell(parse_time(last["finished_at"]))
    ended = f", ended by {last['ended_by']} (exit code {last['exit_code']}): {last['problem']}" if _ended(last) else ""
    if ended and not problem_count:
        print_line(f"last sync: {when}{ended}")
    else:
        print_line(f"last sync: {when}, {loaded} with {requests}, {count_of(problem_count, 'problem')}{ended}")
    for problem in last.get("problems", ()):
        # Held and unreadable jobs are printed above.
        if problem["state"] == IGNORED or not problem["job_id"]:
            print_line(f"{problem['slug'] or 'last sync'}: {Problem(**problem).subject}{problem['reason']}")


def _print_counts(counts: Sequence[Counts]) -> None:
    """Prints jobs and items by strategy and state, and of many strategies by state alone."""
    if not counts:
        print_line("no job is known yet: run `meter-pipeline sync`")
        return
    strategies = len({count.slug for count in counts})
    if strategies <= _MAX_STRATEGIES:
        print_table(("strategy", "state", "jobs", "items"), [(c.slug, c.state, c.jobs, c.items) for c in counts])
        return
    jobs, items = Counter[str](), Counter[str]()
    for count in counts:
        jobs[count.state] += count.jobs
        items[count.state] += count.items
    print_table(("state", "jobs", "items"), [(state, jobs[state], items[state]) for state in sorted(jobs)])
    print_line(f"of {strategies:,} strategies: see --json for each")


def _print_first(lines: Iterable[str], most: int, more: str) -> None:
    """Prints the first `most` lines, and the number of the others before `more`."""
    listed = list(lines)
    for line in listed[:most]:
        print_line(line)
    if len(listed) > most:
        print_line(f"{len(listed) - most:,} {more}")


def _find_key_troubles(strategies: Iterable[StrategyRow]) -> list[tuple[str, str]]:
    """The strategies whose items have no key, or one that no longer holds, and what to do; by slug."""
    from meter_pipeline.sync.items.key_findings import find_trouble
    from meter_pipeline.sync.items.rules import load

    found = ((strategy.slug, find_trouble(load(strategy.identity))) for strategy in strategies if strategy.identity)
    return [(slug, trouble.message) for slug, trouble in found if trouble is not None and not trouble.is_learning]


def _first_finding(group: HeldGroup, findings: Mapping[str, Sequence[FindingRow]]) -> str:
    """Why jobs are held, in one sentence: the first thing that the audit found, and how much more there is."""
    found = findings.get(group.first.job_id, ())
    # A person's hold, and one for what the job's body is, is no finding's.
    if len(found) < 2 or found[0].message not in group.reason:
        return group.reason
    return f"{found[0].message}; and {count_of(len(found) - 1, 'more finding')}"


def _print_judged(
    held: Sequence[HeldGroup],
    findings: Mapping[str, Sequence[FindingRow]],
    doubts: Sequence[Doubt],
    slugs: Mapping[str, str],
) -> None:
    """Prints what waits for a decision: held jobs, those that are held for the same in one line, and flagged ones."""
    for group in held[:_MAX_HELD]:
        others = "" if len(group.jobs) == 1 else f", and {count_of(len(group.jobs) - 1, 'later one')}"
        print_line(
            f"{slugs.get(group.first.strategy_id, '?')}: job {group.first.job_id} is held{others}: "
            f"{_first_finding(group, findings)}"
        )
    if len(held) > _MAX_HELD:
        rest = sum(len(group.jobs) for group in held[_MAX_HELD:])
        print_line(f"{rest:,} more held jobs: see `meter-pipeline audit`")
    _print_first(
        (
            f"{slugs.get(doubt.strategy_id, '?')}: job {doubt.job_id} was accepted with a doubt: {doubt.message}"
            for doubt in doubts
        ),
        _MAX_DOUBTS,
        "more jobs that the audit doubts: see `meter-pipeline audit`",
    )
    if held:
        print_line(
            "`meter-pipeline audit` shows all that is wrong with held jobs; `meter-pipeline release JOB` accepts one, "
            "`meter-pipeline drop JOB` throws it away"
        )


def _describe_claim(claim: ClaimRow, *, has_lapsed: bool) -> str:
    """Who holds a claim, and what others do about it."""
    from meter_pipeline.store.ledger.claim_rows import SKIPS_FOUND, spell_time

    line = f"claimed by {claim.describe()}"
    if has_lapsed:
        return f"{line}, which has not been heard of since {spell_time(claim.renewed_at)}: the next sync goes on"
    if claim.skips >= SKIPS_FOUND:
        return f"{line}; {claim.skips} syncs in a row have skipped it: end that process if it does nothing"
    return line


def _to_document(silence: Silence) -> dict[str, Any]:
    document: dict[str, Any] = {"schedule_id": silence.schedule_id, "strategy": silence.slug, "since": silence.since}
    return document if silence.is_paused else {**document, "missed_runs": silence.missed}


def _ended(last: Mapping[str, Any]) -> bool:
    """Whether something ended the sync before it was done."""
    return last.get("ended_by") is not None
