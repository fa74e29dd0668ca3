"""The verdict on a job: accepted, flagged or held, by what precedes it for its target.

Comes in: the job's profile, and the jobs before it with their profiles and verdicts. Goes out: a `Verdict`. It follows
from these alone: not from the order in which jobs were loaded, the clock, or anything stored elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from operator import attrgetter

from meter_pipeline.config.audit_rules import NO_AUDIT_CONFIG, AuditConfig
from meter_pipeline.sync.audit.baseline import MOST_JOBS, Baseline, PastJob
from meter_pipeline.sync.audit.comparison import compare, compare_all
from meter_pipeline.sync.audit.families import belonging, counts, fields, levels, states, steps, texts
from meter_pipeline.sync.audit.families.clocks import weigh_numbers
from meter_pipeline.sync.audit.families.counts import FEWEST_MOVED
from meter_pipeline.sync.audit.findings import ACCEPTED, FLAGGED, HELD, NEEDED, Finding, Verdict
from meter_pipeline.sync.audit.nearness import Near, find_near, find_near_all, may_be_again
from meter_pipeline.sync.audit.profile import JobProfile

# Tests that need no more than jobs of the same shape: those of the strategy's other pages will do.
_OF_SHAPE = (fields.find_emptier, fields.find_other_forms, texts.find_marks, texts.find_new_units)
_ITEMS, _FIELDS, _NEW = attrgetter("items"), attrgetter("fields"), attrgetter("new")
# All tests of jobs with rows, each with what of `Near` keeps it silent.
_OF_ROWS: tuple[tuple[Callable[[Baseline], Iterator[Finding]], Callable[[Near], bool]], ...] = (
    (fields.find_emptier, _FIELDS),
    (fields.find_other_forms, _FIELDS),
    (fields.find_foreign, _FIELDS),
    (fields.find_equal, _FIELDS),
    (fields.find_fewer_distinct, _FIELDS),
    (fields.find_new_values, _NEW),
    (texts.find_marks, _FIELDS),
    (texts.find_new_units, _NEW),
    (texts.find_new_patterns, _NEW),
    (texts.find_other_lengths, _FIELDS),
    (states.find_inverted, _ITEMS),
    (steps.find_steps, _ITEMS),
    (belonging.find_other_fields, _ITEMS),
    (belonging.find_other_items, _ITEMS),
    (belonging.find_closed_gaps, _ITEMS),
    (levels.find_levels, _ITEMS),
    (levels.find_impossible_dates, _FIELDS),
)
# How much worse, as a share of itself, a doubtful figure may become and still be the same doubt.
_GROWN = 0.25
# Fewest items of a job that passes at once, and the largest share of them that differs from a job that passed.
_ENOUGH, _FEW = 12, 0.08
_PASSED = Verdict(ACCEPTED)


def judge(
    profile: JobProfile,
    history: Sequence[PastJob],
    *,
    config: AuditConfig = NO_AUDIT_CONFIG,
    others: Iterable[JobProfile] = (),
    version: int | None = None,
) -> Verdict:
    """The verdict on a job.

    Args:
        profile: The job's profile.
        history: The jobs of the target that precede it, in order of time: accepted and held ones.
        config: What `meter.yaml` says about the audit of the strategy.
        others: Profiles of accepted jobs of the strategy's other targets, the latest of each; read only if needed.
        version: The version of the strategy that made the job; None if unknown.
    """
    accepted = [job for job in history if job.is_accepted]
    since = [job for job in _after_last_accepted(history) if job.profile.rows or not profile.rows]
    if len(accepted) < NEEDED:
        findings = _judge_shape(profile, accepted, others)
        return _verdict(_configured(findings, config), learning=(len(accepted), NEEDED))
    if not since and _is_as_before(profile, accepted[-1]):
        return _PASSED
    near = _find_near(profile, accepted[-1], version)
    if near is not None and near.is_silent and not _may_be_old(profile, accepted):
        return _PASSED
    baseline = Baseline(profile, accepted, since, version)
    findings = list(_configured(_judge_all(baseline, others, near), config))
    findings = [finding for finding in findings if not _is_settled(finding, accepted[-1])]
    if baseline.is_new_version:
        findings = [replace(finding, outcome=FLAGGED) for finding in findings]
    return replace(_verdict(findings), again=_count_again(findings, since))


def look_ahead(jobs: Iterable[Sequence[JobProfile]]) -> None:
    """Compares jobs, each with the one before it, which `judge` then finds done; `jobs` has those of each target.

    A job is judged after the one before it, but most of the time on small jobs goes into calls: all of them together
    take little more time than one.
    """
    pairs = [pair for own in jobs for pair in zip(own[1:], own, strict=False)]
    compared = compare_all(pairs)
    find_near_all([pair for pair, found in zip(pairs, compared, strict=True) if found and found.moved > _FEW])


def _is_as_before(now: JobProfile, last: PastJob) -> bool:
    """Whether so few items differ from those of a job that passed that no test could speak."""
    before = last.profile
    if last.outcome != ACCEPTED or now.paths != before.paths or abs(now.items - before.items) > _FEW * before.items:
        return False
    if now.repeats > before.repeats + _FEW / 2 or now.sparse > before.sparse + _FEW / 2:
        return False
    comparison = compare(now, before)
    if comparison is None or comparison.matched < _ENOUGH or comparison.moved > _FEW:
        return False
    return now.damage <= before.damage + 1 and len(now.units.marks) == len(before.units.marks)


def _find_near(now: JobProfile, last: PastJob, version: int | None) -> Near | None:
    """In what a job is near to the last accepted one, which spares tests: most jobs need none."""
    # Only a job without findings, of the same version, teaches all tests.
    if last.outcome != ACCEPTED or last.version != version:
        return None
    return find_near(now, last.profile)


def _may_be_old(now: JobProfile, accepted: Sequence[PastJob]) -> bool:
    """Whether the items may be those of a job some time ago: wrong only where it says yes."""
    comparison = compare(now, accepted[-1].profile)
    if comparison is not None and comparison.moved < FEWEST_MOVED:
        return False
    return any(may_be_again(now, job.profile) for job in accepted[-MOST_JOBS:-2])


def _is_settled(finding: Finding, last: PastJob) -> bool:
    """Whether a doubt was recorded for the job before, and has not grown since."""
    if finding.outcome != FLAGGED:
        return False
    for before in last.findings:
        if (before.test, before.field) == (finding.test, finding.field):
            is_low = finding.low is not None and finding.seen <= finding.low
            return finding.seen >= before.seen * (1 - _GROWN) if is_low else finding.seen <= before.seen * (1 + _GROWN)
    return False


def _after_last_accepted(history: Sequence[PastJob]) -> list[PastJob]:
    since: list[PastJob] = []
    for job in reversed(history):
        if job.is_accepted:
            break
        since.append(job)
    return since[::-1]


def _judge_all(baseline: Baseline, others: Iterable[JobProfile], near: Near | None = None) -> Iterator[Finding]:
    yield from counts.count_items(baseline)
    if not baseline.now.rows:
        return
    yield from counts.count_repeats(baseline)
    yield from counts.count_sparse(baseline)
    with_rows = Baseline(
        baseline.now, [job for job in baseline.accepted if job.profile.rows], baseline.held, baseline.version
    )
    if not with_rows.accepted:
        return
    yield from counts.find_known(with_rows, others)
    yield from counts.find_stale(with_rows)
    tests = (test for test, is_silent in _OF_ROWS if near is None or not is_silent(near))
    yield from weigh_numbers(with_rows, chain.from_iterable(test(with_rows) for test in tests))


def _judge_shape(profile: JobProfile, accepted: Sequence[PastJob], others: Iterable[JobProfile]) -> list[Finding]:
    """What a target with little history fails though the strategy's other targets pass it: doubts."""
    alike = [PastJob(other, ACCEPTED) for other in others if other.rows]
    alike += [job for job in accepted if job.profile.rows]
    if len(alike) < NEEDED or not profile.rows:
        return []
    baseline = Baseline(profile, alike)
    found = [finding for test in _OF_SHAPE for finding in test(baseline)]
    return [replace(finding, outcome=FLAGGED) for finding in found if finding.outcome == HELD]


def _configured(findings: Iterable[Finding], config: AuditConfig) -> Iterator[Finding]:
    for finding in findings:
        if finding.test not in config.off and not config.is_ignored(finding.field):
            is_hold = finding.test in config.hold or finding.outcome == HELD
            yield replace(finding, outcome=HELD if is_hold and not config.softens(finding.test) else FLAGGED)


def _verdict(findings: Iterable[Finding], learning: tuple[int, int] | None = None) -> Verdict:
    ordered = sorted(findings, key=lambda finding: finding.outcome != HELD)
    outcome = ACCEPTED if not ordered else HELD if ordered[0].outcome == HELD else FLAGGED
    return Verdict(outcome, tuple(ordered), learning)


def _count_again(findings: Sequence[Finding], held: Sequence[PastJob]) -> int:
    """How many jobs in a row were held for the same, this one included; 0 if the job before was not."""
    now = {(finding.test, finding.field) for finding in findings if finding.outcome == HELD}
    if not now:
        return 0
    count = 1
    for job in reversed(held):
        before = {(finding.test, finding.field) for finding in job.findings if finding.outcome == HELD}
        if 2 * len(now & before) < len(now | before):
            break
        count += 1
    return count if count > 1 else 0
