"""One way for commands and Dagster jobs to do what a person decides: hold, release or drop jobs, or audit all again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync.loading.decisions import DecisionError
from meter_pipeline.sync.loading.readmission import release_items
from meter_pipeline.sync.loading.release import find_alike, release
from meter_pipeline.sync.loading.second_audit import SecondAudit, audit_again
from meter_pipeline.sync.loading.withdraw import drop, hold
from meter_pipeline.text.counts import count_of

#: What can be decided, with the word for what was done.
DONE = {"hold": "held", "release": "released", "drop": "dropped"}
_WITHDRAWALS = {"hold": hold, "drop": drop}


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    Attributes:
        verb: One of `DONE`.
        jobs: Ids of jobs.
        reason: Why, for whoever sees the jobs; a release has none.
        all_like: Id of a held job, to be released with all that are held for the same; for a release only.
        items: Whether rejected items of the jobs are let in, too; for a release only.
    """

    verb: str
    jobs: Sequence[str] = ()
    reason: str | None = None
    all_like: str | None = None
    items: bool = False


@dataclass(frozen=True)
class Decided:
    """Jobs of a strategy that were decided about.

    Attributes:
        slug: The strategy.
        jobs: How many jobs.
        items: Items that entered or left the results.
        is_rewritten: Whether rows of the other jobs were made again: columns or a key had come from what left.
        left: Rejected items that could not be let in.
        rejection: Which is the first of these, and why; None without any.
    """

    slug: str
    jobs: int
    items: int
    is_rewritten: bool = False
    left: int = 0
    rejection: str | None = None

    def describe(self, request: Request) -> Iterator[str]:
        """What was done, in lines for people."""
        jobs, items, done = count_of(self.jobs, "job"), count_of(self.items, "item"), DONE[request.verb]
        if request.items:
            yield f"{self.slug}: {count_of(self.items, 'rejected item')} of {jobs} let in"
        elif request.verb == "release":
            yield f"{self.slug}: {jobs} with {items} {done}"
        else:
            yield f"{self.slug}: {jobs} {done}, {items} left the results"
        if self.is_rewritten:
            yield f"{self.slug}: the rows of its other jobs were made again: columns or a key had come from what left"

    @property
    def trouble(self) -> str | None:
        """What could not be done, in one line; None if all was."""
        if self.rejection is None:
            return None
        return f"{self.slug}: {count_of(self.left, 'item')} cannot be read and stay out: {self.rejection}"


def decide_by_hand(ledger: Ledger, lake: Lake, request: Request, config: Config | None = None) -> list[Decided]:
    """Does what a person asks for, strategy by strategy.

    Args:
        ledger: The ledger.
        lake: The lake.
        request: What is asked for.
        config: The contents of `meter.yaml`.

    Raises:
        DecisionError: No job is named, one is not known or in another state, or its strategy is being loaded.
        StoreError: The ledger or the lake cannot be used.
    """
    if not request.jobs and request.all_like is None:
        raise DecisionError(f"no job is named: give the ids of the jobs to be {DONE[request.verb]}")
    if request.verb == "release":
        alike = find_alike(ledger, request.all_like) if request.all_like is not None else []
        if request.items:
            let_in = release_items(ledger, lake, [*request.jobs, *alike], config)
            return [Decided(own.slug, own.jobs, own.items, left=own.left, rejection=own.rejection) for own in let_in]
        reports = release(ledger, lake, [*request.jobs, *alike], config)
        return [Decided(report.slug, report.accepted, report.items) for report in reports]
    withdrawn = _WITHDRAWALS[request.verb](ledger, lake, request.jobs, request.reason, config)
    return [Decided(own.slug, own.jobs, own.items, own.is_rewritten) for own in withdrawn]


def audit_by_hand(
    ledger: Ledger, lake: Lake, strategy_ids: Iterable[str], config: Config | None = None, *, apply: bool
) -> tuple[list[SecondAudit], list[str]]:
    """Audits the loaded jobs of strategies again.

    Args:
        ledger: The ledger.
        lake: The lake.
        strategy_ids: The strategies.
        config: The contents of `meter.yaml`.
        apply: Whether the verdicts are to count.

    Returns:
        What each audit came to, and in one line each why strategies could not be audited: others load them.

    Raises:
        StoreError: The ledger or the lake cannot be used.
    """
    audits, problems = [], []
    for strategy_id in strategy_ids:
        try:
            audits.append(audit_again(ledger, lake, strategy_id, apply=apply, config=config))
        except DecisionError as error:
            # The verdicts on the other strategies have nothing to do with it.
            problems.append(str(error))
    return audits, problems
