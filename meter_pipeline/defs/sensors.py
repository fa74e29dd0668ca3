"""The sensor `schedule_changes`: Dagster reacts to what runs at Meter, within a minute and in one run at a time.

What is due is told by the ledger and the API, not by what was asked for before: a run that failed, or that never came
about, leaves its schedules due. So nothing here can block a retry.
"""

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.config.settings import SettingsError
from meter_pipeline.defs.keys import METER_RESOURCE, STORE_RESOURCE, SYNC_STEP
from meter_pipeline.defs.naming import Names
from meter_pipeline.defs.resources import MeterResource, StoreResource
from meter_pipeline.text.printable import PrintableLog, printable

if TYPE_CHECKING:
    from meter_pipeline.sync.discovery.polling import Sight

NAME = "schedule_changes"
#: Runs that the sensor has asked for carry this tag.
TAG = "meter/asked_by"
INTERVAL_SECONDS = 30
BUDGET_SECONDS = 40.0
#: Schedules that one run is asked to sync: a backlog drains in bounded runs.
MOST_SCHEDULES = 100
_PATIENCE = timedelta(hours=1)
# A run that has told nothing for so long died with its machine: Dagster by itself never finds out.
_SILENCE = timedelta(minutes=10)
_STRATEGIES_EVERY = timedelta(minutes=10)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
_NAMED = 5
_IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Cursor:
    """What a tick leaves for the next one; times in ISO format.

    Attributes:
        after: The last schedule that was asked for: with more of them due than a run takes, the next run goes on here.
        strategies_at: When the strategies were listed.
        unreachable_since: Since when the API does not answer.
        failed_run: The latest run of ours that failed; `failures` in a row, and no other `before` this time.
    """

    after: str = ""
    strategies_at: str | None = None
    unreachable_since: str | None = None
    failed_run: str | None = None
    failures: int = 0
    before: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The cursor of a tick; a fresh one where the text cannot be read."""
        try:
            return cls(**json.loads(text)) if text else cls()
        except (ValueError, TypeError):
            return cls()

    def text(self) -> str:
        """As JSON, without what says nothing."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})


def schedule_changes(
    job: Any, known: Collection[str], *, acknowledge: bool = True, budget: float = BUDGET_SECONDS,
    most: int = MOST_SCHEDULES, names: Names = Names(),
) -> dg.SensorDefinition:  # fmt: skip
    """The sensor, off until somebody switches it on.

    Args:
        job: What it asks for a run of.
        known: Slugs of the strategies that have an asset.
        acknowledge: Whether Meter is to be told what was seen.
        budget: Seconds that a tick may take.
        most: Schedules of one run.
        names: The instance's names of the sensor, its resources and the step that syncs.
    """

    @dg.sensor(
        name=names.shown(NAME),
        job=job,
        required_resource_keys={names.shown(METER_RESOURCE), names.shown(STORE_RESOURCE)},
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Syncs what ran at Meter and what its webhooks have reported; switch it on to start.",
    )
    def sensor(context: dg.SensorEvaluationContext, **resources: object) -> dg.SensorResult:
        # Their names are the instance's, so they are read off the context; a sensor that is called gets them here, too.
        context.log.addFilter(PrintableLog())
        tick = _Tick(context, names, frozenset(known), acknowledge, budget, most)
        return tick.evaluate(job.name)

    return sensor


class _Tick:
    """One look at Meter and at the inbox."""

    def __init__(
        self, context: dg.SensorEvaluationContext, names: Names, known: frozenset[str], acknowledge: bool,
        budget: float, most: int,
    ) -> None:  # fmt: skip
        self._context, self._names = context, names
        self._meter: MeterResource = getattr(context.resources, names.shown(METER_RESOURCE))
        self._store: StoreResource = getattr(context.resources, names.shown(STORE_RESOURCE))
        self._known, self._acknowledge, self._budget, self._most = known, acknowledge, budget, most
        self._tags = {TAG: names.shown(NAME)}
        self._cursor = Cursor.parse(context.cursor)
        self._notices: list[str] = []
        self._now = datetime.now(timezone.utc)

    def evaluate(self, job_name: str) -> dg.SensorResult:
        """A request for a run, or the reason why there is none."""
        reason = self._in_flight(job_name) or self._after_failure()
        if reason is not None:
            return self._skip(reason)
        from meter_pipeline.api import MeterError

        try:
            return self._look()
        except (MeterError, SettingsError) as error:
            return self._unreachable(error)

    def _in_flight(self, job_name: str) -> str | None:
        running = dg.RunsFilter(job_name=job_name, statuses=_IN_FLIGHT)
        for record in self._context.instance.get_run_records(running):
            run = record.dagster_run
            if run.status is dg.DagsterRunStatus.QUEUED or self._now - self._heard_of(record) < _SILENCE:
                return f"run {run.run_id[:8]} is {run.status.value.lower()}: the next look is when it has ended"
            # Should it be alive after all, the engine's claims keep it and the next one apart.
            told = f"run {run.run_id[:8]} is {run.status.value.lower()} and has told nothing since"
            self._context.log.warning(f"{told} {self._heard_of(record):%Y-%m-%d %H:%M}: it is not waited for")
        return None

    def _heard_of(self, record: dg.RunRecord) -> datetime:
        """When a run last told anything."""
        last = self._context.instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
        told = datetime.fromtimestamp(last[0].timestamp if last else 0, timezone.utc)
        # Dagster keeps times in UTC, with or without saying so.
        changed = record.update_timestamp
        return max(told, changed if changed.tzinfo else changed.replace(tzinfo=timezone.utc))

    def _after_failure(self) -> str | None:
        """After runs that failed, the next one waits: longer each time, never for good."""
        cursor = self._cursor
        for run in self._context.instance.get_runs(dg.RunsFilter(tags=self._tags), limit=1):
            if run.status is dg.DagsterRunStatus.SUCCESS and cursor.failures:
                cursor = replace(cursor, failed_run=None, failures=0, before=None)
            elif run.status is dg.DagsterRunStatus.FAILURE and run.run_id != cursor.failed_run:
                pause = min(_FIRST_PAUSE * 2 ** min(cursor.failures, 10), _LONGEST_PAUSE)
                before = (self._now + pause).isoformat(timespec="seconds")
                cursor = replace(cursor, failed_run=run.run_id, failures=cursor.failures + 1, before=before)
        self._cursor = cursor
        if cursor.before is None or self._now.isoformat() >= cursor.before:
            return None
        run_id = (cursor.failed_run or "")[:8]
        return f"run {run_id} failed, {cursor.failures} in a row: the next try is at {cursor.before}"

    def _look(self) -> dg.SensorResult:
        from meter_pipeline.sync.discovery.polling import Sight, look

        sight = Sight()
        until = time.monotonic() + self._budget / 2
        self._store.refuse_mixing(self._meter)
        fresh = self._cursor.strategies_at
        stale = fresh is None or self._now - datetime.fromisoformat(fresh) >= _STRATEGIES_EVERY
        with self._store.open() as store:
            # Two calls at most lie between here and the end: the listing of schedules, and one that is read in pages.
            spool, share = self._store.settings().spool, self._budget / 4
            with self._meter.client(store.ledger, deadline=share, timeout=(5.0, share), spool_folder=spool) as client:
                try:
                    look(client, store.ledger, sight, strategies=stale, acknowledge=self._acknowledge, until=until)
                finally:
                    self._notices = sight.notices
            reported, elsewhere = self._reported(store.ledger)
            unknown = [
                row.slug for row in store.ledger.strategies() if row.slug not in self._known and not row.deleted_at
            ]
        if sight.strategies_listed:
            self._cursor = replace(self._cursor, strategies_at=self._now.isoformat(timespec="seconds"))
        self._cursor = replace(self._cursor, unreachable_since=None)
        self._tell(sight, unknown)
        chosen = self._chosen(sorted({*sight.due, *reported}))
        if not chosen and not elsewhere:
            return self._skip(_described(sight, unknown))
        config = {"schedules": chosen, "inbox": True}
        self._context.log.info(_described(sight, unknown))
        step = self._names.shown(SYNC_STEP)
        request = dg.RunRequest(run_config={"ops": {step: {"config": config}}}, tags=self._tags)
        return dg.SensorResult(run_requests=[request], cursor=self._cursor.text())

    def _reported(self, ledger: Any) -> tuple[set[str], int]:
        """Schedules of jobs that wait in the inbox, and how many wait of other schedules; loaded ones are taken out."""
        from meter_pipeline.sync.discovery.change_sets import SETTLED
        from meter_pipeline.sync.discovery.webhooks import MOST
        from meter_pipeline.webhooks.inbox import Inbox

        inbox = Inbox(self._store.settings().inbox)
        hints = inbox.hints(MOST)
        settled = {row.job_id for row in ledger.jobs(ids=[hint.job_id for hint in hints], states=tuple(SETTLED))}
        inbox.remove(settled)
        waiting = [hint for hint in hints if hint.job_id not in settled]
        known = {row.schedule_id for row in ledger.schedules()} if waiting else set()
        reported = [hint.schedule_id for hint in waiting]
        own = {schedule_id for schedule_id in reported if schedule_id is not None and schedule_id in known}
        return own, sum(schedule_id not in own for schedule_id in reported)

    def _chosen(self, due: list[str]) -> list[str]:
        """At most so many as a run takes: those after the last one that was asked for, and round again."""
        if len(due) <= self._most:
            return due
        later = [id_ for id_ in due if id_ > self._cursor.after]
        chosen = list(dict.fromkeys(later + due))[: self._most]
        self._cursor = replace(self._cursor, after=chosen[-1])
        return sorted(chosen)

    def _tell(self, sight: "Sight", unknown: list[str]) -> None:
        for notice in sight.notices:
            self._context.log.info(notice)
        for problem in sight.problems:
            self._context.log.warning(f"{problem.subject}{problem.reason}")
        for slug in unknown:
            self._context.log.info(f"reload definitions to see asset results/{slug}")

    def _unreachable(self, error: Exception) -> dg.SensorResult:
        """No reason for a failed tick, unless it has lasted for an hour."""
        reason = " ".join(printable(str(error)).split())
        since = self._cursor.unreachable_since
        if since is not None and self._now - datetime.fromisoformat(since) >= _PATIENCE:
            raise dg.Failure(f"Meter cannot be looked at since {since}: {reason}") from None
        since = since or self._now.isoformat(timespec="seconds")
        self._cursor = replace(self._cursor, unreachable_since=since)
        told = "".join(f"; {notice}" for notice in _shortened(self._notices))
        return self._skip(f"Meter cannot be looked at since {since}: {reason}{told}")

    def _skip(self, reason: str) -> dg.SensorResult:
        return dg.SensorResult(skip_reason=printable(reason), cursor=self._cursor.text())


def _described(sight: "Sight", unknown: list[str]) -> str:
    parts = [f"looked at {sight.schedules:,} schedules: {len(sight.due):,} due"]
    if sight.scraping:
        parts.append(f"{sight.scraping:,} still scraping")
    if sight.resting:
        parts.append(f"{sight.resting:,} to be tried again later")
    text = ", ".join(parts)
    if sight.notices:
        text += "; " + "; ".join(_shortened(sight.notices))
    if unknown:
        text += "; reload definitions to see asset " + ", ".join(f"results/{slug}" for slug in unknown[:_NAMED])
    return text


def _shortened(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _NAMED
    return [*lines[:_NAMED], *([f"{more:,} more"] if more > 0 else [])]
