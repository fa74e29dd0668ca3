"""`status`: shows the state of the jobs and the last sync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meter_pipeline.commands.console import cell, emit, read_time, say, show
from meter_pipeline.commands.options import Json
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_ledger

# How many missing stretches of runs are named, the latest first.
_GAPS = 5
# And how many jobs with a status that Meter does not document.
_ODD = 10


def status(as_json: Json = False) -> None:
    """Show the jobs by state and strategy, what is held or unreadable and why, runs that are missing, the last sync."""
    from meter_pipeline.store.ledger.rows import describe_status
    from meter_pipeline.sync.report import IGNORED, Problem

    settings = Settings.from_env()
    with open_ledger(settings) as ledger:
        counts, last, problems, gaps = ledger.counts(), ledger.last_sync(), ledger.problems(), ledger.gaps()
        odd, unended = ledger.odd_statuses(), ledger.unended_sync()
        slugs = {strategy.strategy_id: strategy.slug for strategy in ledger.strategies()}
    if as_json:
        emit(
            {
                "data_dir": settings.data_dir,
                "jobs": [{"strategy": c.slug, "state": c.state, "jobs": c.jobs, "items": c.items} for c in counts],
                "problems": [
                    {"job_id": p.job_id, "strategy": slugs.get(p.strategy_id), "state": p.state, "reason": p.reason}
                    for p in problems
                ],
                "odd_statuses": [
                    {"job_id": j.job_id, "strategy": slugs.get(j.strategy_id), "status": j.status} for j in odd
                ],
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
                "last_sync": last,
                "unended_sync": unended,
            }
        )
        return
    for line in origin.lines(settings.data_dir):
        say(line)
    if not counts:
        say("no job is known yet: run `meter-pipeline sync`")
    else:
        show(("strategy", "state", "jobs", "items"), [(c.slug, c.state, c.jobs, c.items) for c in counts])
    for problem in problems:
        say(f"{slugs.get(problem.strategy_id, '?')}: job {problem.job_id} is {problem.state}: {problem.reason}")
    for job in odd[:_ODD]:
        say(f"{slugs.get(job.strategy_id, '?')}: job {job.job_id} has {describe_status(job.status)}")
    if len(odd) > _ODD:
        say(f"{len(odd) - _ODD:,} more jobs with such a status: see --json")
    for gap in gaps[:_GAPS]:
        say(
            f"{gap.slug}: schedule {gap.schedule_id} has no job between {cell(read_time(gap.since))} and "
            f"{cell(read_time(gap.until))}, about {gap.missed} runs"
        )
    if len(gaps) > _GAPS:
        say(f"{len(gaps) - _GAPS} earlier gaps: see --json")
    if unended:
        say(f"a sync that began at {unended} has not ended: it is at work, or was killed")
    if not last:
        say("never synced")
        return
    landed = sum(done["landed"] for done in last.get("strategies", {}).values())
    loaded = f"{landed:,} jobs and {last.get('items', 0):,} items loaded"
    problems_then = len(last.get("problems", ()))
    asked = f"{last.get('requests', 0):,} requests"
    when = cell(read_time(last["finished_at"]))
    ended = f", ended by {last['ended_by']} (exit code {last['exit_code']}): {last['problem']}" if _ended(last) else ""
    if ended and not problems_then:
        say(f"last sync: {when}{ended}")
    else:
        say(f"last sync: {when}, {loaded} with {asked}, {problems_then:,} problems{ended}")
    for problem in last.get("problems", ()):
        # Jobs that are held or unreadable stand above.
        if problem["state"] == IGNORED or not problem["job_id"]:
            say(f"{problem['slug'] or 'last sync'}: {Problem(**problem).subject}{problem['reason']}")


def _ended(last: Mapping[str, Any]) -> bool:
    """Whether something ended a sync before it was done."""
    return last.get("ended_by") is not None
