"""Which jobs a sync is to load: of some strategies or schedules, some jobs by id, since some time, or all there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from meter_pipeline.api import MeterBadRequest, MeterClient, MeterNotFound
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, ScheduleRow, called
from meter_pipeline.store.times import now
from meter_pipeline.sync.containment import Trouble, contained
from meter_pipeline.sync.discovery.listing import record_jobs
from meter_pipeline.sync.report import Problem, SyncReport

# The common listing of jobs is walked rather than those of more strategies than this, each by itself.
_WALKS = 20


class SelectionError(MeterPipelineError):
    """A strategy, schedule or job was asked for that is not there; the message is one line with the way out."""


class Selection:
    """Which jobs are to be loaded."""

    def __init__(
        self,
        schedules: Sequence[str] | None = None,
        strategies: Sequence[str] | None = None,
        jobs: Sequence[str] | None = None,
        since: str | None = None,
        at_once: bool = True,
        again: bool = False,
    ) -> None:
        self._schedules = None if schedules is None else set(schedules)
        self._strategies = strategies
        self._jobs = None if jobs is None else list(jobs)
        self._since = since
        self._at_once = at_once
        self.again = again
        self.strategy_ids: list[str] | None = None
        #: Jobs that are loaded whatever the selection says, and jobs whose items are at hand.
        self.hinted: frozenset[str] = frozenset()
        self.carried: frozenset[str] = frozenset()
        self._within: list[str] | None = None

    def part(self, strategy_ids: Sequence[str]) -> Selection:
        """The same, within some strategies only."""
        return self._copy(list(strategy_ids), self.hinted, self.carried)

    def within(self, strategy_ids: Iterable[str]) -> set[str]:
        """Those of some strategies that it is about."""
        return set(strategy_ids) if self._within is None else set(strategy_ids) & set(self._within)

    def _copy(self, within: list[str] | None, hinted: frozenset[str], carried: frozenset[str]) -> Selection:
        copy = Selection(None, None, self._jobs, self._since, self._at_once, self.again)
        copy._schedules, copy.strategy_ids, copy._within = self._schedules, self.strategy_ids, within
        copy.hinted, copy.carried = hinted, carried
        return copy

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the jobs whose items are at hand: these stay with whoever has them."""
        return {
            "schedules": None if self._schedules is None else sorted(self._schedules),
            "jobs": self._jobs,
            "since": self._since,
            "at_once": self._at_once,
            "again": self.again,
            "hinted": sorted(self.hinted),
            "strategy_ids": self.strategy_ids,
            "within": self._within,
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Selection:
        """The inverse of `as_dict`."""
        whole = cls(form["schedules"], None, form["jobs"], form["since"], form["at_once"], form["again"])
        whole.strategy_ids = form["strategy_ids"]
        return whole._copy(form["within"], frozenset(form["hinted"]), frozenset())

    def resolve(self, client: MeterClient, ledger: Ledger, report: SyncReport, *, missing_ok: bool = False) -> None:
        """Finds the strategies that are meant.

        Raises:
            SelectionError: One is not there; with `missing_ok`, strategies that are not there are left out.
        """
        ids: set[str] = set()
        if self._strategies is not None:
            ids |= set(_strategy_ids(ledger, self._strategies, missing_ok))
        if self._schedules is not None:
            known = {row.schedule_id: row.strategy_id for row in ledger.schedules()}
            for schedule in sorted(self._schedules):
                if schedule not in known:
                    raise SelectionError(f"no schedule {schedule}: see `meter-pipeline schedules list`")
                ids.add(known[schedule] or "")
        if self._jobs is not None:
            _look_up(client, ledger, self._jobs, report)
            ids |= {row.strategy_id for row in ledger.jobs(ids=self._jobs)}
        if self._strategies is not None or self._schedules is not None or self._jobs is not None:
            self.strategy_ids = sorted(ids)

    @property
    def partial(self) -> bool:
        """Whether jobs of the strategies that are meant may be left unknown."""
        return self._since is not None

    def walked(self, reconcile: bool) -> list[str] | None:
        """The strategies whose listings of jobs are to be walked; `None` for the common listing."""
        if self.strategy_ids is None or reconcile or len(self.strategy_ids) <= _WALKS:
            return self.strategy_ids
        return None

    def schedules(self, ledger: Ledger) -> list[ScheduleRow]:
        """The schedules that are meant."""
        return [
            row
            for row in ledger.schedules()
            if (self._schedules is None or row.schedule_id in self._schedules)
            and (self.strategy_ids is None or (row.strategy_id or "") in self.strategy_ids)
        ]

    def pending(self, ledger: Ledger, strategies: Sequence[str] | None = None) -> Iterator[JobRow]:
        """Jobs that are to be loaded now, all or those of some strategies."""
        states = () if self.again else ("known", "landed", "unreadable")
        moment = now()
        for row in ledger.jobs(self._within if strategies is None else strategies, states, self._jobs):
            if row.job_id in self.hinted:
                yield row
                continue
            if self.strategy_ids is not None and row.strategy_id not in self.strategy_ids:
                continue
            if self._schedules is not None and row.schedule_id is not None and row.schedule_id not in self._schedules:
                continue
            if self._since is not None and (row.created_at or self._since) < self._since:
                continue
            waits = not self._at_once and row.retry_at is not None and row.retry_at > moment
            if waits and row.job_id not in self.carried:
                continue
            yield row


def _look_up(client: MeterClient, ledger: Ledger, job_ids: Sequence[str], report: SyncReport) -> None:
    """Gives jobs that were never listed a row, and looks again at those that had failed at Meter.

    One that the API cannot show does not stop the others.
    """
    settled = {row.job_id for row in ledger.jobs(ids=job_ids) if row.state != "failed"}
    for job_id in sorted(set(job_ids) - settled):
        if not _is_found(client, ledger, job_id, report):
            raise SelectionError(f"no job {job_id}: see `meter-pipeline status` for the strategies there are")


def _is_found(client: MeterClient, ledger: Ledger, job_id: str, report: SyncReport) -> bool:
    """Whether Meter knows a job, which has a row then; one that cannot be read is known, too."""

    def give_up(trouble: Trouble) -> None:
        report.problems.append(Problem(job_id, "", "unknown", trouble.reason, is_ours=trouble.is_ours))

    try:
        with contained(give_up, passing=(MeterNotFound, MeterBadRequest)):
            record_jobs(ledger, report, [client.job(job_id)])
    except (MeterNotFound, MeterBadRequest):
        return False
    return True


def _strategy_ids(ledger: Ledger, wanted: Sequence[str], missing_ok: bool) -> Iterator[str]:
    rows = ledger.strategies()
    for name in wanted:
        found = called(rows, name)
        if not found and missing_ok:
            continue
        if not found:
            raise SelectionError(f"no strategy {name!r}: see `meter-pipeline strategies list`")
        if len(found) > 1:
            slugs = ", ".join(row.slug for row in found)
            raise SelectionError(f"several strategies are called {name!r}: name one of {slugs}")
        yield found[0].strategy_id
