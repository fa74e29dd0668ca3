"""Which held jobs are held for the same: one look at one of them is enough to decide about them all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from meter_pipeline.store.ledger.rows import FindingRow, JobRow
from meter_pipeline.sync.audit.findings import HELD

Test = tuple[str, str | None]
"""A test of the audit and the field that it is about."""
Findings = Mapping[str, Sequence[FindingRow]]
"""What the audit found about jobs, by job id."""

_AGAIN = re.compile(r"^the same change again, \d+ jobs: ")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class HeldGroup:
    """Jobs of one strategy that are held for the same, in order of time; at least one."""

    jobs: tuple[JobRow, ...]

    @property
    def first(self) -> JobRow:
        """The earliest."""
        return self.jobs[0]

    @property
    def reason(self) -> str:
        """Why the earliest is held."""
        return _AGAIN.sub("", self.first.reason or "")

    @property
    def summary(self) -> str:
        """Why the jobs are held, said once for all of them."""
        count = len(self.jobs)
        return self.reason if count == 1 else f"the same change again, {count} jobs: {self.reason}"


def find_holding(job: JobRow, findings: Sequence[FindingRow]) -> frozenset[Test]:
    """The tests that hold a job; none if a person holds it, or what its body is."""
    held = [finding for finding in findings if finding.outcome == HELD]
    if job.held_at is not None or not any(finding.message in (job.reason or "") for finding in held):
        return frozenset()
    return frozenset((finding.test, finding.field) for finding in held)


def is_like(job: JobRow, other: JobRow, findings: Findings) -> bool:
    """Whether two held jobs failed mostly the same tests; for holds that are no test's, the same up to numbers."""
    return _are_alike(_key_of(job, findings), _key_of(other, findings))


def group_alike(jobs: Iterable[JobRow], findings: Findings) -> list[HeldGroup]:
    """Groups held jobs by strategy and by what they are held for, the latest group first."""
    by_key: dict[tuple[str, str | frozenset[Test]], list[JobRow]] = {}
    for job in sorted(jobs, key=lambda job: (job.time or "", job.job_id)):
        by_key.setdefault((job.strategy_id, _key_of(job, findings)), []).append(job)
    groups: dict[str, list[tuple[str | frozenset[Test], list[JobRow]]]] = {}
    for (strategy_id, key), alike in by_key.items():
        own = groups.setdefault(strategy_id, [])
        earlier = next((members for other, members in own if _are_alike(key, other)), None)
        if earlier is None:
            own.append((key, alike))
        else:
            earlier += alike
    found = [
        HeldGroup(tuple(sorted(members, key=lambda job: (job.time or "", job.job_id))))
        for own in groups.values()
        for _, members in own
    ]
    return sorted(found, key=lambda group: (group.jobs[-1].time or "", group.jobs[-1].job_id), reverse=True)


def _key_of(job: JobRow, findings: Findings) -> str | frozenset[Test]:
    """What a job is held for: the tests that it failed, else its reason with its numbers left out."""
    tests = find_holding(job, findings.get(job.job_id, ()))
    return tests or _NUMBER.sub("0", _AGAIN.sub("", job.reason or ""))


def _are_alike(key: str | frozenset[Test], other: str | frozenset[Test]) -> bool:
    if isinstance(key, str) or isinstance(other, str):
        return key == other
    # The share by which the audit itself calls a change the same change again.
    return 2 * len(key & other) >= len(key | other)
