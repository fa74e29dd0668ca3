"""`status`: shows the state of the jobs and the last sync."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from meter_pipeline.commands.console import parse_time, print_json, print_line, print_table, to_document
from meter_pipeline.commands.options import Json
from meter_pipeline.commands.suggestions import Suggestions, find_suggestions
from meter_pipeline.commands.tables import format_cell
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_ledger
from meter_pipeline.text.counts import count_of

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.claim_rows import ClaimRow
    from meter_pipeline.store.ledger.findings import Doubt
    from meter_pipeline.store.ledger.rows import Counts, FindingRow, JobRow, StrategyRow
    from meter_pipeline.store.ledger.troubles import Gap, Silence
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


@dataclass(frozen=True)
class _Overview:
    """What the ledger has at one time.

    Attributes:
        data_dir: The data folder.
        counts: Jobs and items by strategy and state.
        last: The report of the last sync that ended.
        unended: When a sync began that has not ended.
        strategies: All strategies.
        problems: Jobs that are held or unreadable.
        held: The held ones by what they are held for.
        findings: What was found about held jobs, by job id.
        doubts: Jobs that were accepted with a doubt.
        rejecting: Jobs some of whose items were rejected.
        odd: Jobs whose status Meter does not document.
        failing: Jobs that failed at Meter, as did the latest scrapes of their page.
        silences: Schedules that are late or paused.
        gaps: Runs of schedules that were missing.
        claims: What is being loaded by whom, and whether that one has not been heard of.
        suggested: Fields that always change, and items that wrap a list.
    """

    data_dir: Path
    counts: Sequence[Counts]
    last: Mapping[str, Any] | None
    unended: str | None
    strategies: Sequence[StrategyRow]
    problems: Sequence[JobRow]
    held: Sequence[HeldGroup]
    findings: Mapping[str, Sequence[FindingRow]]
    doubts: Sequence[Doubt]
    rejecting: Sequence[JobRow]
    odd: Sequence[JobRow]
    failing: Sequence[JobRow]
    silences: Sequence[Silence]
    gaps: Sequence[Gap]
    claims: Sequence[tuple[ClaimRow, bool]]
    suggested: Suggestions

    @cached_property
    def slugs(self) -> dict[str, str]:
        """Slugs by strategy id."""
        return {strategy.strategy_id: strategy.slug for strategy in self.strategies}

    @cached_property
    def deleted(self) -> list[StrategyRow]:
        """The strategies that Meter has no more."""
        return [strategy for strategy in self.strategies if strategy.deleted_at is not None]

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """The strategies whose items have no key, or one that no longer holds, and what to do; by slug."""
        return _find_key_troubles(strategy for strategy in self.strategies if strategy.deleted_at is None)

    def name(self, job: JobRow | Doubt) -> str:
        """A job and its strategy, as the beginning of a line about it."""
        return f"{self.slugs.get(job.strategy_id, '?')}: job {job.job_id}"


def status(as_json: Json = False) -> None:
    """Show jobs by state and strategy, why jobs are held, failed or unreadable, strategies whose items have no key,
    fields that always change, items that wrap a list, late schedules, runs that were missing in the last 30 days, and
    the last sync.
    """
    overview = _read_overview(Settings.from_env())
    if as_json:
        print_json(_to_document(overview))
        return
    for line in origin.lines(overview.data_dir):
        print_line(line)
    _print_judged(overview)
    _print_counts(overview.counts)
    for section in _list_sections(overview):
        _print_first(section)
    if overview.unended:
        print_line(f"a sync that began at {overview.unended} has not ended: it is still running, or was killed")
    if overview.last:
        _print_last_sync(overview.last)
    else:
        print_line("never synced")


def _read_overview(settings: Settings) -> _Overview:
    from meter_pipeline.store.ledger.findings import find_doubts, read_findings
    from meter_pipeline.store.ledger.troubles import find_failing, find_gaps, find_rejecting, find_silences
    from meter_pipeline.sync.loading.likeness import group_alike

    with open_ledger(settings) as ledger:
        problems, strategies = ledger.problems(), ledger.strategies()
        held = [job for job in problems if job.state == "held"]
        findings = read_findings(ledger, [job.job_id for job in held])
        return _Overview(
            data_dir=settings.data_dir,
            counts=ledger.counts(),
            last=ledger.last_sync(),
            unended=ledger.unended_sync(),
            strategies=strategies,
            problems=problems,
            held=group_alike(held, findings),
            findings=findings,
            doubts=find_doubts(ledger),
            rejecting=find_rejecting(ledger),
            odd=ledger.odd_statuses(),
            failing=find_failing(ledger),
            silences=find_silences(ledger),
            gaps=find_gaps(ledger),
            claims=ledger.claims.read(),
            suggested=find_suggestions(settings, ledger, strategies),
        )


def _to_document(overview: _Overview) -> dict[str, Any]:
    def about(job: JobRow | Doubt, **more: Any) -> dict[str, Any]:
        return {"job_id": job.job_id, "strategy": overview.slugs.get(job.strategy_id), **more}

    def found(lines: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
        return [{"strategy": slug, "finding": message} for slug, message in lines]

    return {
        "data_dir": overview.data_dir,
        "jobs": [{"strategy": c.slug, "state": c.state, "jobs": c.jobs, "items": c.items} for c in overview.counts],
        "problems": [about(job, state=job.state, reason=job.reason) for job in overview.problems],
        "flagged": [about(doubt, finding=doubt.message) for doubt in overview.doubts],
        "rejected": [about(job, items=job.rejected, first=job.rejection) for job in overview.rejecting],
        "odd_statuses": [about(job, status=job.status) for job in overview.odd],
        "deleted": [{"strategy": row.slug, "deleted_at": row.deleted_at} for row in overview.deleted],
        "keys": found(overview.keys),
        "noise": found(overview.suggested.noise.items()),
        "wrappers": found(overview.suggested.wrappers.items()),
        "gaps": [
            {
                "schedule_id": gap.schedule_id,
                "strategy": gap.slug,
                "since": gap.since,
                "until": gap.until,
                "missed_runs": gap.missed,
            }
            for gap in overview.gaps
        ],
        "claims": [{**to_document(claim), "has_lapsed": has_lapsed} for claim, has_lapsed in overview.claims],
        "failing": [about(job, error=job.error) for job in overview.failing],
        "late": [_describe_silence(silence) for silence in overview.silences if not silence.is_paused],
        "paused": [_describe_silence(silence) for silence in overview.silences if silence.is_paused],
        "last_sync": overview.last,
        "unended_sync": overview.unended,
    }


class _Section(NamedTuple):
    """Lines about one thing: at most `most` are printed, and of the others the number before `more`."""

    lines: Iterable[str]
    most: int
    more: str


def _list_sections(overview: _Overview) -> Iterator[_Section]:
    from meter_pipeline.store.ledger.rows import describe_status

    unreadable = (job for job in overview.problems if job.state != "held")
    yield _Section(
        (
            f"{overview.name(job)} is {job.state}: {job.reason}"
            for job in sorted(unreadable, key=lambda job: job.created_at or "", reverse=True)
        ),
        _MAX_UNREADABLE,
        "more jobs that are unreadable: see `meter-pipeline jobs list --state unreadable`",
    )
    yield _Section(
        (
            f"{overview.name(job)} was accepted without {count_of(job.rejected or 0, 'rejected item')}: {job.rejection}"
            for job in overview.rejecting
        ),
        _MAX_REJECTING,
        "more jobs with rejected items: see meter.rejected_items",
    )
    yield _Section(
        (f"{overview.name(job)} has {describe_status(job.status)}" for job in overview.odd),
        _MAX_UNKNOWN_STATUSES,
        "more jobs with such a status: see --json",
    )
    noise, wrappers = overview.suggested.noise.items(), overview.suggested.wrappers.items()
    for found, most, more in (
        (overview.keys, _MAX_KEYS, "more strategies without a key that holds: see `meter-pipeline keys`"),
        (noise, _MAX_SUGGESTED, "more strategies with fields that always change: see --json"),
        (wrappers, _MAX_SUGGESTED, "more strategies with such items: see --json"),
    ):
        yield _Section((f"{slug}: {message}" for slug, message in found), most, more)
    if overview.suggested.unread is not None:
        yield _Section([overview.suggested.unread], 1, "")
    yield _Section(
        (
            f"{overview.name(job)} failed at Meter: {job.error or 'no reason given'}"
            for job in reversed(overview.failing)
        ),
        _MAX_FAILING,
        "more jobs that failed at Meter: see --json",
    )
    yield _Section(
        (
            f"{strategy.slug}: deleted at Meter before {_show(strategy.deleted_at)}; the data that was loaded stays"
            for strategy in overview.deleted
        ),
        _MAX_DELETED,
        "more strategies that were deleted: see meter.strategies",
    )
    yield _Section(
        (
            f"{silence.slug}: schedule {silence.schedule_id} {silence.describe(_show(silence.since))}"
            for silence in overview.silences
        ),
        _MAX_GAPS,
        "more schedules that are late or paused: see --json",
    )
    yield _Section(
        (
            f"{gap.slug}: schedule {gap.schedule_id} has no job between {_show(gap.since)} and {_show(gap.until)}, "
            f"about {count_of(gap.missed, 'run')}"
            for gap in overview.gaps
        ),
        _MAX_GAPS,
        "earlier gaps: see --json",
    )
    claims = [f"{row.name}: {_describe_claim(row, has_lapsed=has_lapsed)}" for row, has_lapsed in overview.claims]
    yield _Section(claims, len(claims), "")


def _print_last_sync(last: Mapping[str, Any]) -> None:
    from meter_pipeline.sync.report import IGNORED, Problem

    # The report of a sync of an older version has no number of loaded jobs under this name.
    jobs = sum(strategy.get("loaded", 0) for strategy in last.get("strategies", {}).values())
    loaded = f"{count_of(jobs, 'job')} and {count_of(last.get('items', 0), 'item')} loaded"
    problem_count = len(last.get("problems", ()))
    requests = count_of(last.get("requests", 0), "request")
    when = _show(last["finished_at"])
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


def _print_first(section: _Section) -> None:
    listed = list(section.lines)
    for line in listed[: section.most]:
        print_line(line)
    if len(listed) > section.most:
        print_line(f"{len(listed) - section.most:,} {section.more}")


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


def _print_judged(overview: _Overview) -> None:
    """Prints what waits for a decision: held jobs, those that are held for the same in one line, and flagged ones."""
    for group in overview.held[:_MAX_HELD]:
        others = "" if len(group.jobs) == 1 else f", and {count_of(len(group.jobs) - 1, 'later one')}"
        print_line(f"{overview.name(group.first)} is held{others}: {_first_finding(group, overview.findings)}")
    if rest := sum(len(group.jobs) for group in overview.held[_MAX_HELD:]):
        print_line(f"{rest:,} more held jobs: see `meter-pipeline audit`")
    doubted = (f"{overview.name(doubt)} was accepted with a doubt: {doubt.message}" for doubt in overview.doubts)
    _print_first(_Section(doubted, _MAX_DOUBTS, "more jobs that the audit doubts: see `meter-pipeline audit`"))
    if overview.held:
        print_line(
            "`meter-pipeline audit` shows all that is wrong with held jobs; `meter-pipeline release JOB` accepts one, "
            "`meter-pipeline drop JOB` throws it away"
        )


def _show(time: str | None) -> str:
    return format_cell(parse_time(time))


def _describe_claim(claim: ClaimRow, *, has_lapsed: bool) -> str:
    """Who holds a claim, and what others do about it."""
    from meter_pipeline.store.ledger.claim_rows import SKIPS_FOUND, spell_time

    line = f"claimed by {claim.describe()}"
    if has_lapsed:
        return f"{line}, which has not been heard of since {spell_time(claim.renewed_at)}: the next sync goes on"
    if claim.skips >= SKIPS_FOUND:
        return f"{line}; {claim.skips} syncs in a row have skipped it: end that process if it does nothing"
    return line


def _describe_silence(silence: Silence) -> dict[str, Any]:
    document: dict[str, Any] = {"schedule_id": silence.schedule_id, "strategy": silence.slug, "since": silence.since}
    return document if silence.is_paused else {**document, "missed_runs": silence.missed}


def _ended(last: Mapping[str, Any]) -> bool:
    """Whether something ended the sync before it was done."""
    return last.get("ended_by") is not None
