"""What the audit says of a job: findings, one a test that spoke, and the verdict that follows from them."""

from __future__ import annotations

from dataclasses import dataclass

ACCEPTED, FLAGGED, HELD = "accepted", "flagged", "held"
#: Accepted jobs that a baseline needs before it judges.
NEEDED = 3


@dataclass(frozen=True)
class Finding:
    """A test that spoke.

    Attributes:
        test: Name of the test, as `audit.off` in `meter.yaml` has it.
        field: Path of the field; None for a test of the job as a whole.
        low: The least that was expected; None where there is no lower bound.
        high: The most that was expected; None where there is no upper bound.
        seen: What was seen.
        samples: Values of the field in two items of the job, as JSON text, cut.
        outcome: `held` or `flagged`.
        message: The finding as a sentence.
    """

    test: str
    field: str | None
    low: float | None
    high: float | None
    seen: float
    samples: tuple[str, ...]
    outcome: str
    message: str

    @property
    def sentence(self) -> str:
        """The message with the values in two items; once, if they are the same."""
        samples = " and ".join(dict.fromkeys(self.samples))
        return f"{self.message} (in this job: {samples})" if samples else self.message


@dataclass(frozen=True)
class Verdict:
    """The verdict on a job.

    Attributes:
        outcome: `accepted`, `flagged` (accepted with a finding) or `held`.
        findings: The tests that spoke, held ones first.
        learning: How many accepted jobs precede it and how many are needed, while there are too few; else None.
        again: How many jobs in a row, this one included, were held with the same change; 0 for a first one.
    """

    outcome: str
    findings: tuple[Finding, ...] = ()
    learning: tuple[int, int] | None = None
    again: int = 0

    @property
    def reason(self) -> str | None:
        """Why the job is held, in one line; None if it is accepted."""
        if self.outcome != HELD:
            return None
        held = [finding.sentence for finding in self.findings if finding.outcome == HELD]
        more = f"; and {len(held) - 3} more" if len(held) > 3 else ""
        repeated = f"the same change again, {self.again} jobs: " if self.again else ""
        return repeated + "; ".join(held[:3]) + more
