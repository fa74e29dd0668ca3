"""What the check of held jobs says about the audit: groups of held jobs, findings as a table, what is still learned."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.metadata.entries import list_rows, shorten

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import FindingRow, JobRow
    from meter_pipeline.sync.loading.likeness import HeldGroup

# Maximum characters of a reason and of an id.
_REASON, _ID = 240, 36
# Maximum characters of a path and of a sample: a wider table would not fit into a window of 1,280 pixels.
_FIELD, _SAMPLE = 18, 18
# Maximum findings in the table, and groups of held jobs in the description.
_FINDINGS, _NAMED = 50, 3
_COLUMNS = [
    dg.TableColumn("job", description="Id of the job."),
    dg.TableColumn("field", description="The field; empty for a test of the job as a whole."),
    dg.TableColumn("test", description="The test, as `audit` in meter.yaml names it; in brackets if it only flags."),
    dg.TableColumn("expected", description="The range that the accepted jobs before lead to expect."),
    dg.TableColumn("seen", description="What was seen."),
    dg.TableColumn("samples", description="The field in two items."),
]


@dataclass(frozen=True)
class Verdicts:
    """What the audit knows about the jobs of some strategies.

    Attributes:
        findings: About held and flagged jobs, by job id.
        flagged: Jobs that were accepted with a doubt, the latest first, by slug.
        pages: The number of accepted jobs of each page, by slug.
        needed: Accepted jobs of a page that the audit learns from before it judges.
    """

    findings: Mapping[str, Sequence[FindingRow]] = field(default_factory=dict)
    flagged: Mapping[str | None, Sequence[JobRow]] = field(default_factory=dict)
    pages: Mapping[str | None, Sequence[int]] = field(default_factory=dict)
    needed: int = 0

    def describe(self, held: Sequence[JobRow], slug: str | None) -> str:
        """Describes in words whether jobs are held, doubted, or not judged yet."""
        groups = self.group(held)
        parts = [_describe_held(len(held), groups)] if held else ["no job is held"]
        if flagged := self.flagged.get(slug):
            first = self.findings.get(flagged[0].job_id, ())
            about = f", the latest {flagged[0].job_id}" + (f" ({first[0].message})" if first else "")
            parts.append(f"{len(flagged):,} accepted with a doubt{about}")
        if learning := self._describe_learning(slug):
            parts.append(learning)
        return "; ".join(parts)

    def list_facts(self, held: Sequence[JobRow], slug: str | None) -> dict[str, Any]:
        """Lists held and flagged jobs, and their findings as a table."""
        flagged = self.flagged.get(slug, ())
        facts: dict[str, Any] = {"held": len(held), "flagged": len(flagged)}
        learning = [jobs for jobs in self.pages.get(slug, ()) if jobs < self.needed]
        if learning:
            facts["pages still learned"] = len(learning)
        groups = self.group(held)
        if groups:
            rows = [(group.first.job_id, group.summary) for group in groups]
            facts["jobs"] = list_rows(rows, cell=_REASON, word=_ID)
        judged = [*(group.first for group in groups), *flagged]
        found = [finding for job in judged for finding in self.findings.get(job.job_id, ())]
        if found:
            facts["findings"] = dg.MetadataValue.table(
                [dg.TableRecord(_to_record(finding)) for finding in found[:_FINDINGS]],
                dg.TableSchema(columns=_COLUMNS),
            )
        return facts

    def group(self, held: Iterable[JobRow]) -> list[HeldGroup]:
        """Groups held jobs by what they are held for, the latest group first."""
        from meter_pipeline.sync.loading.likeness import group_alike

        return group_alike(held, self.findings)

    def _describe_learning(self, slug: str | None) -> str | None:
        pages = self.pages.get(slug, ())
        learning = [jobs for jobs in pages if jobs < self.needed]
        if not learning:
            return None
        if len(pages) == 1:
            return f"the audit is still learning ({learning[0]} of {self.needed} jobs)"
        return f"the audit is still learning about {len(learning):,} of {len(pages):,} pages"


def read_verdicts(ledger: Ledger, held: Iterable[JobRow], slugs: Mapping[str, str]) -> Verdicts:
    """Reads what the audit knows.

    Args:
        ledger: The ledger.
        held: The held jobs.
        slugs: The strategies that checks are evaluated of, by id.
    """
    from meter_pipeline.store.ledger.findings import count_accepted, find_flagged, read_findings
    from meter_pipeline.sync.audit.findings import NEEDED

    flagged: defaultdict[str | None, list[JobRow]] = defaultdict(list)
    for job in find_flagged(ledger, list(slugs)):
        flagged[slugs[job.strategy_id]].append(job)
    pages: defaultdict[str | None, list[int]] = defaultdict(list)
    for strategy_id, jobs in count_accepted(ledger, list(slugs)):
        pages[slugs[strategy_id]].append(jobs)
    shown = {job.job_id for jobs in flagged.values() for job in jobs[:_FINDINGS]}
    findings = read_findings(ledger, sorted({job.job_id for job in held} | shown))
    return Verdicts(findings, flagged, pages, NEEDED)


def _describe_held(count: int, groups: Sequence[HeldGroup]) -> str:
    named = [f"{group.first.job_id}{_count_others(group)} ({group.summary})" for group in groups[:_NAMED]]
    rest = sum(len(group.jobs) for group in groups[_NAMED:])
    return f"{count:,} held: {', '.join(named)}" + (f" and {rest:,} more" if rest else "")


def _count_others(group: HeldGroup) -> str:
    return f" and {len(group.jobs) - 1} later" if len(group.jobs) > 1 else ""


def _to_record(finding: FindingRow) -> dict[str, str | float]:
    return {
        "job": finding.job_id,
        "field": shorten(finding.field or "", _FIELD),
        "test": finding.test if finding.outcome == "held" else f"({finding.test})",
        "expected": finding.expected or "",
        "seen": f"{finding.seen:.4g}",
        "samples": " and ".join(shorten(sample, _SAMPLE) for sample in json.loads(finding.samples)),
    }
