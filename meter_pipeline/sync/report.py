"""What a sync did: counts, problems by name, and what became of each strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from meter_pipeline.store.ledger.rows import StrategyRow

#: The state of a record that could not even be noted in the ledger.
IGNORED = "ignored"


@dataclass(frozen=True)
class Problem:
    """A job that could not be loaded, a schedule that could not be read, or a strategy's files, with the reason.

    `is_ours` tells a fault of this program from one of the data or the API.
    """

    job_id: str
    slug: str
    state: str
    reason: str
    schedule_id: str | None = None
    is_ours: bool = False

    @property
    def subject(self) -> str:
        """What it is about, to stand before the reason."""
        if self.state == IGNORED:
            return f"{f'job {self.job_id}' if self.job_id else 'a record'} is ignored: "
        if self.job_id:
            return f"job {self.job_id} is {self.state}: "
        return f"schedule {self.schedule_id}: " if self.schedule_id else ""


@dataclass
class StrategyReport:
    """What became of one strategy's jobs in this sync; `sample` is up to five items of its latest job."""

    strategy_id: str
    slug: str
    name: str | None
    landed: int = 0
    accepted: int = 0
    held: int = 0
    failed: int = 0
    unreadable: int = 0
    items: int = 0
    bytes: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    moved: int = 0
    new_columns: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    rewritten: bool = False
    sample: list[dict[str, Any]] = field(default_factory=list)
    latest_job_id: str | None = None
    latest_completed_at: str | None = None

    def count(self, kinds: Mapping[str, int]) -> None:
        """Adds numbers of items that were added, removed and changed, and of fields that went from number to number."""
        self.added += kinds.get("added", 0)
        self.removed += kinds.get("removed", 0)
        self.changed += kinds.get("changed", 0)
        self.moved += kinds.get("moved", 0)


@dataclass
class SyncReport:
    """What a sync did.

    Attributes:
        listed: Rows of the job listing that were looked at.
        discovered: Jobs that were not known before.
        changes: Unseen changes that were not known before.
        acknowledged: Changes that Meter was told were seen.
        reported: Reports of jobs that the webhook inbox held.
        strategies: Reports by slug, of the strategies that had something to load.
        new_strategies: Slugs of strategies that were seen for the first time.
        skipped: Slugs that another sync was working on.
        notes: What is worth a line and stopped nothing: statuses that Meter does not document, for one.
        gone: Jobs in the ledger that the API no longer lists; known after a reconcile only.
        stopped: Why the sync ended early, `None` when it did not.
        ended_by: What ended it, if it did not come to its end by itself: see `meter_pipeline.sync.ending`.
        problem: What that was, in one line.
    """

    sync_id: str = ""
    started_at: str = ""
    finished_at: str = ""
    requests: int = 0
    listed: int = 0
    discovered: int = 0
    reconciled: bool = False
    gone: int = 0
    changes: int = 0
    acknowledged: int = 0
    reported: int = 0
    strategies: dict[str, StrategyReport] = field(default_factory=dict)
    new_strategies: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stopped: str | None = None
    ended_by: str | None = None
    problem: str | None = None
    _code: int | None = None

    @property
    def exit_code(self) -> int:
        """0 when everything that there was to load was loaded; 1 when not; else that of what ended the sync."""
        if self._code is not None:
            return self._code
        return 1 if self.problems or self.stopped else 0

    def end(self, cause: str, problem: str, exit_code: int) -> None:
        """Notes what ended the sync before it was done."""
        self.ended_by, self.problem, self._code = cause, problem, exit_code

    def of(self, strategy: StrategyRow) -> StrategyReport:
        """The report of a strategy, begun where there is none yet."""
        return self.strategies.setdefault(
            strategy.slug, StrategyReport(strategy.strategy_id, strategy.slug, strategy.name)
        )

    def note(self, line: str) -> None:
        """Adds a note, once."""
        if line not in self.notes:
            self.notes.append(line)

    @property
    def jobs(self) -> int:
        """Jobs that ended in some state."""
        return sum(s.accepted + s.held + s.failed + s.unreadable for s in self.strategies.values())

    @property
    def items(self) -> int:
        """Items that were loaded."""
        return sum(s.items for s in self.strategies.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON, and for the ledger; without samples, which are data."""
        # Samples are not even copied: they may be nested deeper than a copy can follow from within a deep stack.
        strategies = {slug: asdict(replace(strategy, sample=[])) for slug, strategy in self.strategies.items()}
        for strategy in strategies.values():
            del strategy["sample"]
        form = {**asdict(replace(self, strategies={})), "strategies": strategies}
        del form["_code"]
        if self.problem is None and self.problems:
            first, more = self.problems[0], len(self.problems) - 1
            form["problem"] = f"{first.subject}{first.reason}" + (f"; and {more:,} more" if more else "")
        return {**form, "jobs": self.jobs, "items": self.items, "exit_code": self.exit_code}


class Progress(Protocol):
    """Who wants to know how far a sync is."""

    def total(self, jobs: int) -> None:
        """So many jobs are to be loaded."""

    def advance(self, jobs: int) -> None:
        """So many more have been."""

    def note(self, text: str) -> None:
        """Something worth a line."""


class Silent:
    """Nobody wants to know."""

    def total(self, jobs: int) -> None:
        """Ignored."""

    def advance(self, jobs: int) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""
