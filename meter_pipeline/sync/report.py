"""The report of a sync: counts, named problems, and a report for each strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from meter_pipeline.store.ledger.rows import StrategyRow

#: The state of a record that could not be recorded in the ledger.
IGNORED = "ignored"


@dataclass(frozen=True)
class Problem:
    """A job, schedule or strategy that could not be loaded or read, with the reason.

    `is_ours` is true for a fault of this program, and false for one of the data or the API.
    """

    job_id: str
    slug: str
    state: str
    reason: str
    schedule_id: str | None = None
    is_ours: bool = False

    @property
    def subject(self) -> str:
        """The beginning of the problem's line, before the reason: what the problem is about."""
        if self.state == IGNORED:
            return f"{f'job {self.job_id}' if self.job_id else 'a record'} is ignored: "
        if self.job_id:
            return f"job {self.job_id} is {self.state}: "
        return f"schedule {self.schedule_id}: " if self.schedule_id else ""


@dataclass
class StrategyReport:
    """Counts for one strategy in this sync.

    Attributes:
        sample: Up to five items of its latest job.
        rejected: Items that could not be loaded; they are kept in `meter.rejected_items`.
        rejection: Which was the first of them, and why.
        key: What identifies its items from now on, for people; None if that is what it was before.
    """

    strategy_id: str
    slug: str
    name: str | None
    loaded: int = 0
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
    rejected: int = 0
    rejection: str | None = None
    key: str | None = None

    def count(self, kinds: Mapping[str, int]) -> None:
        """Adds numbers of items added, removed and changed, and of fields whose old and new values are numbers."""
        self.added += kinds.get("added", 0)
        self.removed += kinds.get("removed", 0)
        self.changed += kinds.get("changed", 0)
        self.moved += kinds.get("moved", 0)


@dataclass
class SyncReport:
    """The result of a sync.

    Attributes:
        listed: Rows of the job listing that were read.
        discovered: Jobs that were not known before.
        changes: Unseen changes that were not known before.
        acknowledged: Changes that were acknowledged at Meter.
        reported: Jobs that the webhook inbox reported.
        strategies: Reports by slug, of the strategies that had jobs to load.
        new_strategies: Slugs of strategies that this sync found first.
        skipped: Slugs of strategies that another sync was loading.
        holders: What was loading the skipped strategies, and since when, by slug.
        notes: Lines about things that stopped nothing, such as a status that Meter does not document.
        gone: Jobs in the ledger that the API no longer lists; known after a reconcile only.
        stopped: Why the sync ended early; None if it did not.
        ended_by: The cause that ended the sync from outside: see `meter_pipeline.sync.ending`; None without one.
        problem: That cause in one line.
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
    holders: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stopped: str | None = None
    ended_by: str | None = None
    problem: str | None = None
    _code: int | None = None

    @property
    def exit_code(self) -> int:
        """0 if everything was loaded, 1 if not; if something ended the sync, the exit code of that."""
        if self._code is not None:
            return self._code
        return 1 if self.problems or self.stopped else 0

    def end(self, cause: str, problem: str, exit_code: int) -> None:
        """Records what ended the sync before it was done."""
        self.ended_by, self.problem, self._code = cause, problem, exit_code

    def of(self, strategy: StrategyRow) -> StrategyReport:
        """The report of a strategy, created at its first use."""
        return self.strategies.setdefault(
            strategy.slug, StrategyReport(strategy.strategy_id, strategy.slug, strategy.name)
        )

    def skip(self, slug: str, holder: str) -> None:
        """Notes a strategy that is left to its holder."""
        if slug not in self.skipped:
            self.skipped.append(slug)
        self.holders[slug] = holder

    def note(self, line: str) -> None:
        """Adds a note unless it is there already."""
        if line not in self.notes:
            self.notes.append(line)

    @property
    def jobs(self) -> int:
        """Number of jobs that were accepted, held, failed or unreadable."""
        return sum(s.accepted + s.held + s.failed + s.unreadable for s in self.strategies.values())

    @property
    def items(self) -> int:
        """Number of items that were loaded."""
        return sum(s.items for s in self.strategies.values())

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON and the ledger, without samples, which are scraped data."""
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
    """Receives the progress of a sync; the one protocol for command line, workers and engine."""

    def total(self, jobs: int) -> None:
        """`jobs` more jobs are to be loaded."""

    def advance(self, jobs: int) -> None:
        """`jobs` more jobs are done."""

    def note(self, text: str) -> None:
        """Shows a line of text."""


class Silent:
    """Progress that is not shown."""

    def total(self, jobs: int) -> None:
        """Ignored."""

    def advance(self, jobs: int) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""
